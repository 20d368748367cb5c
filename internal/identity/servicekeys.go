package identity

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"borealis/internal/cloud"
)

var serviceKeys = kept{ServiceItem, 4 * maxServiceKeys, "ServiceSpecificCredentialsPerUser", "No service-specific credential with id %s exists."}

const maxServiceKeys = 2 // of a user for one service

// longTerm are the services that have credentials of their own, and how the names of
// those begin that are API keys; "" for services that have user names and passwords.
var longTerm = map[string]string{
	"bedrock.amazonaws.com": "BedrockAPIKey", "logs.amazonaws.com": "CloudWatchLogsAPIKey",
	"cassandra.amazonaws.com": "", "codecommit.amazonaws.com": "",
}

// A serviceKey is a user's credential for one service: a name and a password, or an
// API key, which is the item's secret. It is stored, so its fields change only with a
// migration.
type serviceKey struct {
	Service string
	Name    string // the user name, or the API key's alias
	Active  bool
	Created time.Time
	Expires time.Time // zero for never
}

// isAPI says that the credential is an API key.
func (k serviceKey) isAPI() bool { return longTerm[k.Service] != "" }

func (k serviceKey) expires() *time.Time {
	if k.Expires.IsZero() {
		return nil
	}
	return &k.Expires
}

// credential is k in IAM's words with its secret, which is shown once.
func (k serviceKey) credential(user, id, secret string) *types.ServiceSpecificCredential {
	out := &types.ServiceSpecificCredential{
		UserName: &user, ServiceSpecificCredentialId: &id, ServiceName: &k.Service, Status: status(k.Active), CreateDate: &k.Created, ExpirationDate: k.expires(),
	}
	if k.isAPI() {
		out.ServiceCredentialAlias, out.ServiceCredentialSecret = &k.Name, &secret
	} else {
		out.ServiceUserName, out.ServicePassword = &k.Name, &secret
	}
	return out
}

func (k serviceKey) metadata(user, id string) types.ServiceSpecificCredentialMetadata {
	out := types.ServiceSpecificCredentialMetadata{
		UserName: &user, ServiceSpecificCredentialId: &id, ServiceName: &k.Service, Status: status(k.Active), CreateDate: &k.Created, ExpirationDate: k.expires(),
	}
	if k.isAPI() {
		out.ServiceCredentialAlias = &k.Name
	} else {
		out.ServiceUserName = &k.Name
	}
	return out
}

func checkService(name *string) error {
	if name == nil {
		return nil
	}
	if _, ok := longTerm[*name]; !ok {
		return &types.ServiceNotSupportedException{Message: new(fmt.Sprintf("The service %s does not support service-specific credentials.", *name))}
	}
	return nil
}

// sealSecret makes a new secret for the item, sealed in it and returned.
func (r *request) sealSecret(i *Item) (secret string, err error) {
	secret = base64.StdEncoding.EncodeToString(random(32))
	if i.Sealed, err = r.Sealer.Seal([]byte(secret), itemContext(*i)); err != nil {
		return "", fmt.Errorf("seal %s %s: %w", i.Kind, i.ID, err)
	}
	return secret, nil
}

// CreateServiceSpecificCredential gives a user a credential for one service. Its
// secret is in this answer and never to be had again.
func (v *View) CreateServiceSpecificCredential(ctx context.Context, in *iam.CreateServiceSpecificCredentialInput) (*iam.CreateServiceSpecificCredentialOutput, error) {
	out := &iam.CreateServiceSpecificCredentialOutput{}
	return out, v.change(ctx, func(r *request) error {
		o, err := r.keyOwner("iam:CreateServiceSpecificCredential", in.UserName)
		if err != nil {
			return err
		}
		if err := checkService(in.ServiceName); err != nil {
			return err
		}
		k := serviceKey{Service: *in.ServiceName, Active: true, Created: r.Now().UTC()}
		if in.CredentialAgeDays != nil {
			if !k.isAPI() {
				return invalidInput("CredentialAgeDays is not supported for %s.", k.Service)
			}
			k.Expires = k.Created.AddDate(0, 0, int(*in.CredentialAgeDays))
		}
		if k.Name, err = r.serviceName(o, k); err != nil {
			return err
		}
		i := r.newOwn(serviceKeys, o, newID(serviceKeyPrefix))
		secret, err := r.sealSecret(&i)
		if err != nil {
			return err
		}
		out.ServiceSpecificCredential = k.credential(o.name, i.ID, secret)
		return r.addOwn(serviceKeys, i, k)
	})
}

// serviceName is a name for one more credential, which no other of the user's has.
func (r *request) serviceName(o owner, k serviceKey) (string, error) {
	var taken []string
	all, err := r.ItemsOf(o.id, ServiceItem)
	if err == nil {
		err = eachBody(all, func(_ Item, has serviceKey) {
			if has.Service == k.Service {
				taken = append(taken, has.Name)
			}
		})
	}
	if err != nil {
		return "", err
	}
	if len(taken) >= maxServiceKeys {
		return "", limitExceeded("Cannot exceed quota for ServiceSpecificCredentialsPerUser: %d", maxServiceKeys)
	}
	if k.isAPI() {
		return longTerm[k.Service] + "-" + strings.ToLower(newID("")[:4]) + "-at-" + string(r.caller.Account), nil
	}
	name := o.name + "-at-" + string(r.caller.Account)
	for n := 1; slices.Contains(taken, name); n++ {
		name = fmt.Sprintf("%s+%d-at-%s", o.name, n, r.caller.Account)
	}
	return name, nil
}

// ResetServiceSpecificCredential gives a credential another secret.
func (v *View) ResetServiceSpecificCredential(ctx context.Context, in *iam.ResetServiceSpecificCredentialInput) (*iam.ResetServiceSpecificCredentialOutput, error) {
	out := &iam.ResetServiceSpecificCredentialOutput{}
	return out, v.change(ctx, func(r *request) error {
		o, i, err := r.ownItem("iam:ResetServiceSpecificCredential", serviceKeys, in.UserName, *in.ServiceSpecificCredentialId)
		if err != nil {
			return err
		}
		k, err := body[serviceKey](i)
		if err != nil {
			return err
		}
		secret, err := r.sealSecret(&i)
		if err != nil {
			return err
		}
		out.ServiceSpecificCredential = k.credential(o.name, i.ID, secret)
		return putItem(r, i, k)
	})
}

// ListServiceSpecificCredentials lists a user's credentials, without a name the
// caller's, or those of all users, by id.
func (v *View) ListServiceSpecificCredentials(ctx context.Context, in *iam.ListServiceSpecificCredentialsInput) (*iam.ListServiceSpecificCredentialsOutput, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iam.ListServiceSpecificCredentialsOutput{ServiceSpecificCredentials: []types.ServiceSpecificCredentialMetadata{}}
	return out, v.read(ctx, func(r *request) error {
		all, err := r.serviceItems(in.UserName, in.AllUsers != nil && *in.AllUsers)
		if err != nil {
			return err
		}
		if err := checkService(in.ServiceName); err != nil {
			return err
		}
		var fit []Item
		err = eachBody(all, func(i Item, k serviceKey) {
			if in.ServiceName == nil || k.Service == *in.ServiceName {
				fit = append(fit, i)
			}
		})
		if err != nil {
			return err
		}
		some, next := cut(p, fit, itemID)
		for _, i := range some {
			c, err := callerOf(r, i.Owner)
			if err != nil {
				return err
			}
			k, err := body[serviceKey](i)
			if err != nil {
				return err
			}
			out.ServiceSpecificCredentials = append(out.ServiceSpecificCredentials, k.metadata(c.UserName, i.ID))
		}
		out.Marker, out.IsTruncated = next, next != nil
		return nil
	})
}

// serviceItems are the credentials of a user or of all, if the caller may list them.
func (r *request) serviceItems(name *string, all bool) ([]Item, error) {
	const action = "iam:ListServiceSpecificCredentials"
	if all {
		if err := r.authorize(action, resource{arn: cloud.NewARN("iam", "", r.caller.Account, "user/*").String()}); err != nil {
			return nil, err
		}
		return r.Items(r.caller.Account, ServiceItem)
	}
	o, err := r.keyOwner(action, name)
	if err != nil {
		return nil, err
	}
	return r.ItemsOf(o.id, ServiceItem)
}

// UpdateServiceSpecificCredential puts a credential out of use, or into use again.
func (v *View) UpdateServiceSpecificCredential(ctx context.Context, in *iam.UpdateServiceSpecificCredentialInput) (*iam.UpdateServiceSpecificCredentialOutput, error) {
	return &iam.UpdateServiceSpecificCredentialOutput{}, v.setStatus(ctx, "iam:UpdateServiceSpecificCredential", serviceKeys, in.UserName, *in.ServiceSpecificCredentialId, in.Status)
}

// DeleteServiceSpecificCredential removes a credential.
func (v *View) DeleteServiceSpecificCredential(ctx context.Context, in *iam.DeleteServiceSpecificCredentialInput) (*iam.DeleteServiceSpecificCredentialOutput, error) {
	return &iam.DeleteServiceSpecificCredentialOutput{}, v.deleteOwn(ctx, "iam:DeleteServiceSpecificCredential", serviceKeys, in.UserName, *in.ServiceSpecificCredentialId)
}
