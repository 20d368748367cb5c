package identity

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"borealis/internal/cloud"
)

const maxKeys = 2 // of one user

// keyContext binds a sealed secret to its purpose and to the key it belongs to.
func keyContext(k AccessKey) []byte {
	return []byte("borealis access key v1\x00" + k.ID + "\x00" + k.Owner)
}

// newKey makes a key for owner. The secret it returns is kept only sealed.
func (s *Service) newKey(tx Tx, a cloud.AccountID, owner string) (AccessKey, string, error) {
	k := AccessKey{ID: newKeyID(a), Account: a, Owner: owner, Active: true, Created: s.Now().UTC()}
	secret := newSecret()
	return k, secret, s.addKey(tx, k, secret)
}

// addKey keeps k with its secret, sealed.
func (s *Service) addKey(tx Tx, k AccessKey, secret string) (err error) {
	if k.Sealed, err = s.Sealer.Seal([]byte(secret), keyContext(k)); err != nil {
		return fmt.Errorf("seal secret of access key %s: %w", k.ID, err)
	}
	return tx.AddKey(k)
}

// An owner is whose access keys a request is about.
type owner struct {
	id   string // as AccessKey.Owner
	name string // "" for the root user
}

// keyOwner is the user called name, or the caller without a name, if the caller
// may do action to its keys.
func (r *request) keyOwner(action string, name *string) (owner, error) {
	if name == nil && r.caller.Kind == cloud.Root {
		return owner{id: string(r.caller.Account)}, r.authorize(action, resource{arn: r.caller.Account.Root().String()})
	}
	user, err := self(r.caller, name)
	if err != nil {
		return owner{}, err
	}
	e, err := r.entity(action, User, user, nil)
	return owner{e.ID, e.Name}, err
}

func status(active bool) types.StatusType {
	if active {
		return types.StatusTypeActive
	}
	return types.StatusTypeInactive
}

// CreateAccessKey makes a long-term key. Its secret is in this answer and never
// to be had again.
func (v *View) CreateAccessKey(ctx context.Context, in *iam.CreateAccessKeyInput) (*iam.CreateAccessKeyOutput, error) {
	out := &iam.CreateAccessKeyOutput{}
	return out, v.change(ctx, func(r *request) error {
		o, err := r.keyOwner("iam:CreateAccessKey", in.UserName)
		if err != nil {
			return err
		}
		keys, err := r.Keys(o.id)
		if err != nil {
			return err
		}
		if len(keys) >= maxKeys {
			return limitExceeded("Cannot exceed quota for AccessKeysPerUser: %d", maxKeys)
		}
		k, secret, err := r.newKey(r, r.caller.Account, o.id)
		out.AccessKey = &types.AccessKey{
			UserName: &o.name, AccessKeyId: &k.ID, SecretAccessKey: &secret,
			Status: types.StatusTypeActive, CreateDate: &k.Created,
		}
		return err
	})
}

// ListAccessKeys lists the keys of a user; without a name, the caller's.
func (v *View) ListAccessKeys(ctx context.Context, in *iam.ListAccessKeysInput) (*iam.ListAccessKeysOutput, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iam.ListAccessKeysOutput{AccessKeyMetadata: []types.AccessKeyMetadata{}}
	return out, v.read(ctx, func(r *request) error {
		o, err := r.keyOwner("iam:ListAccessKeys", in.UserName)
		if err != nil {
			return err
		}
		keys, err := r.Keys(o.id)
		some, next := cut(p, keys, func(k AccessKey) string { return k.ID })
		for _, k := range some {
			out.AccessKeyMetadata = append(out.AccessKeyMetadata, types.AccessKeyMetadata{
				UserName: &o.name, AccessKeyId: &k.ID, Status: status(k.Active), CreateDate: &k.Created,
			})
		}
		out.Marker, out.IsTruncated = next, next != nil
		return err
	})
}

// ownKey is key id of the user called name, if the caller may do action to it.
func (r *request) ownKey(action string, name *string, id string) (AccessKey, error) {
	o, err := r.keyOwner(action, name)
	if err != nil {
		return AccessKey{}, err
	}
	k, err := r.Key(id)
	if err == nil && k.Owner != o.id {
		err = cloud.ErrNotFound
	}
	return k, orNoSuch(err, "The Access Key with id %s cannot be found.", id)
}

// UpdateAccessKey puts a key out of use, or into use again.
func (v *View) UpdateAccessKey(ctx context.Context, in *iam.UpdateAccessKeyInput) (*iam.UpdateAccessKeyOutput, error) {
	return &iam.UpdateAccessKeyOutput{}, v.change(ctx, func(r *request) error {
		k, err := r.ownKey("iam:UpdateAccessKey", in.UserName, *in.AccessKeyId)
		if err != nil {
			return err
		}
		k.Active = in.Status == types.StatusTypeActive
		return r.PutKey(k)
	})
}

// DeleteAccessKey removes a key.
func (v *View) DeleteAccessKey(ctx context.Context, in *iam.DeleteAccessKeyInput) (*iam.DeleteAccessKeyOutput, error) {
	return &iam.DeleteAccessKeyOutput{}, v.change(ctx, func(r *request) error {
		k, err := r.ownKey("iam:DeleteAccessKey", in.UserName, *in.AccessKeyId)
		if err != nil {
			return err
		}
		return r.DeleteKey(k.ID)
	})
}

// GetAccessKeyLastUsed says whose key an id is, and when, where and for which
// service it last signed a request.
func (v *View) GetAccessKeyLastUsed(ctx context.Context, in *iam.GetAccessKeyLastUsedInput) (*iam.GetAccessKeyLastUsedOutput, error) {
	out := &iam.GetAccessKeyLastUsedOutput{}
	return out, v.read(ctx, func(r *request) error {
		name := ""
		k, err := r.Key(*in.AccessKeyId)
		if err == nil && k.Account == r.caller.Account && k.Owner != string(k.Account) {
			var e Entity
			e, err = r.EntityByID(k.Owner)
			name = e.Name
		}
		missing := errors.Is(err, cloud.ErrNotFound) || k.Account != r.caller.Account
		if err != nil && !missing {
			return err
		}
		if err := r.authorize("iam:GetAccessKeyLastUsed", r.keyHolder(name)); err != nil {
			return err
		}
		if missing {
			return noSuchEntity("The Access Key with id %s cannot be found.", *in.AccessKeyId)
		}
		out.UserName = &name
		out.AccessKeyLastUsed, err = r.keyLastUsed(r, k.ID)
		return err
	})
}

// keyHolder is the resource of a request that knows a key and not whose it is.
func (r *request) keyHolder(name string) resource {
	if name == "" {
		return resource{arn: "*"}
	}
	return resource{arn: entityARN(r.caller.Account, User, "/", name), said: "user " + name}
}
