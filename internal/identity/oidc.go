package identity

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"borealis/internal/cloud"
)

const (
	maxOIDC        = 100 // providers of an account
	maxClients     = 100 // of a provider
	maxThumbprints = 5   // of a provider
	maxProviderURL = 255 // characters
)

// An OIDCProvider is an identity provider by OpenID Connect that an account
// trusts. It is stored, so its fields change only with a migration.
type OIDCProvider struct {
	URL         string // without "https://"
	Clients     []string
	Thumbprints []string // SHA-1 of certificates, in hex
	Created     time.Time
	Tags        []Tag
}

func oidcARN(a cloud.AccountID, url string) string {
	return cloud.NewARN("iam", "", a, "oidc-provider/"+url).String()
}

// OIDCProvider is the provider with an ARN, or cloud.ErrNotFound.
func (s *Service) OIDCProvider(ctx context.Context, arn string) (OIDCProvider, error) {
	return provider[OIDCProvider](ctx, s, OIDCItem, arn)
}

// provider is an identity provider with an ARN, of any account.
func provider[T any](ctx context.Context, s *Service, k ItemKind, arn string) (p T, err error) {
	a, err := cloud.ParseARN(arn)
	if err != nil {
		return p, errors.Join(cloud.ErrNotFound, err)
	}
	err = s.Store.View(ctx, func(tx Tx) (err error) {
		p, _, err = findItem[T](tx, a.Account, k, arn)
		return err
	})
	return p, err
}

// oidcURL is the URL of a provider as it is kept.
func oidcURL(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.Port() != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || len(s) > maxProviderURL {
		return "", validationError("Invalid Open ID Connect Provider URL")
	}
	return strings.TrimSuffix(strings.TrimPrefix(s, "https://"), "/"), nil
}

// checkOIDC refuses more clients and thumbprints than a provider may have, and
// thumbprints that cannot be any.
func checkOIDC(p OIDCProvider) error {
	if len(p.Thumbprints) > maxThumbprints {
		return invalidInput("Thumbprint list must contain fewer than %d entries.", maxThumbprints)
	}
	for _, t := range p.Thumbprints {
		if strings.Trim(t, "0123456789abcdefABCDEF") != "" {
			return invalidInput("Thumbprint %s is not hexadecimal.", t)
		}
	}
	if len(p.Clients) > maxClients {
		return limitExceeded("Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: %d", maxClients)
	}
	return nil
}

// CreateOpenIDConnectProvider makes a provider that trust policies can name.
func (v *View) CreateOpenIDConnectProvider(ctx context.Context, in *iam.CreateOpenIDConnectProviderInput) (*iam.CreateOpenIDConnectProviderOutput, error) {
	at, err := oidcURL(*in.Url)
	if err != nil {
		return nil, err
	}
	tags, err := newTags(in.Tags)
	if err != nil {
		return nil, err
	}
	arn := oidcARN(v.caller.Account, at)
	return &iam.CreateOpenIDConnectProviderOutput{OpenIDConnectProviderArn: &arn, Tags: in.Tags}, v.change(ctx, func(r *request) error {
		p := OIDCProvider{URL: at, Clients: in.ClientIDList, Thumbprints: in.ThumbprintList, Created: r.Now().UTC()}
		err := r.authorize("iam:CreateOpenIDConnectProvider", resource{arn: arn, context: asked(nil, tags)})
		if err != nil {
			return err
		}
		if p.Tags, err = merge(nil, tags); err != nil {
			return err
		}
		if err := checkOIDC(p); err != nil {
			return err
		}
		return r.addCounted(Item{Kind: OIDCItem, ID: arn}, p, limit{maxOIDC, "OpenIdConnectProvidersPerAccount"},
			alreadyExists("Provider with url %s already exists.", *in.Url))
	})
}

// oidc is the provider with an ARN if the caller may do action to it.
func (r *request) oidc(action, arn string, add more) (OIDCProvider, Item, error) {
	missing := noSuchEntity("OpenIDConnect Provider not found for arn %s", arn)
	if action == "iam:DeleteOpenIDConnectProvider" {
		missing = noSuchEntity("OpenId connect Provider %s cannot be found.", arn)
	}
	i, err := r.item(action, OIDCItem, arn, arn, missing, add)
	if err != nil {
		return OIDCProvider{}, i, err
	}
	p, err := body[OIDCProvider](i)
	return p, i, err
}

// GetOpenIDConnectProvider describes a provider.
func (v *View) GetOpenIDConnectProvider(ctx context.Context, in *iam.GetOpenIDConnectProviderInput) (*iam.GetOpenIDConnectProviderOutput, error) {
	out := &iam.GetOpenIDConnectProviderOutput{}
	return out, v.read(ctx, func(r *request) error {
		p, _, err := r.oidc("iam:GetOpenIDConnectProvider", *in.OpenIDConnectProviderArn, nil)
		if err != nil {
			return err
		}
		out.Url, out.CreateDate, out.Tags = &p.URL, &p.Created, append([]types.Tag{}, awsTags(p.Tags)...)
		out.ClientIDList, out.ThumbprintList = append([]string{}, p.Clients...), append([]string{}, p.Thumbprints...)
		return nil
	})
}

// ListOpenIDConnectProviders lists the account's providers by ARN.
func (v *View) ListOpenIDConnectProviders(ctx context.Context, _ *iam.ListOpenIDConnectProvidersInput) (*iam.ListOpenIDConnectProvidersOutput, error) {
	out := &iam.ListOpenIDConnectProvidersOutput{OpenIDConnectProviderList: []types.OpenIDConnectProviderListEntry{}}
	return out, v.read(ctx, func(r *request) error {
		if err := r.authorize("iam:ListOpenIDConnectProviders", resource{arn: "*"}); err != nil {
			return err
		}
		all, err := r.Items(r.caller.Account, OIDCItem)
		for _, i := range all {
			out.OpenIDConnectProviderList = append(out.OpenIDConnectProviderList, types.OpenIDConnectProviderListEntry{Arn: &i.ID})
		}
		return err
	})
}

// changeOIDC changes a provider.
func (v *View) changeOIDC(ctx context.Context, action, arn string, fn func(*OIDCProvider)) error {
	return v.change(ctx, func(r *request) error {
		p, i, err := r.oidc(action, arn, nil)
		if err != nil {
			return err
		}
		fn(&p)
		if err := checkOIDC(p); err != nil {
			return err
		}
		return putItem(r, i, p)
	})
}

// AddClientIDToOpenIDConnectProvider adds a client. Adding one again is not an error.
func (v *View) AddClientIDToOpenIDConnectProvider(ctx context.Context, in *iam.AddClientIDToOpenIDConnectProviderInput) (*iam.AddClientIDToOpenIDConnectProviderOutput, error) {
	return &iam.AddClientIDToOpenIDConnectProviderOutput{}, v.changeOIDC(ctx, "iam:AddClientIDToOpenIDConnectProvider", *in.OpenIDConnectProviderArn, func(p *OIDCProvider) {
		if !slices.Contains(p.Clients, *in.ClientID) {
			p.Clients = append(p.Clients, *in.ClientID)
		}
	})
}

// RemoveClientIDFromOpenIDConnectProvider removes a client. Removing what is not
// there is not an error.
func (v *View) RemoveClientIDFromOpenIDConnectProvider(ctx context.Context, in *iam.RemoveClientIDFromOpenIDConnectProviderInput) (*iam.RemoveClientIDFromOpenIDConnectProviderOutput, error) {
	return &iam.RemoveClientIDFromOpenIDConnectProviderOutput{}, v.changeOIDC(ctx, "iam:RemoveClientIDFromOpenIDConnectProvider", *in.OpenIDConnectProviderArn, func(p *OIDCProvider) {
		p.Clients = slices.DeleteFunc(p.Clients, func(c string) bool { return c == *in.ClientID })
	})
}

// UpdateOpenIDConnectProviderThumbprint replaces a provider's thumbprints.
func (v *View) UpdateOpenIDConnectProviderThumbprint(ctx context.Context, in *iam.UpdateOpenIDConnectProviderThumbprintInput) (*iam.UpdateOpenIDConnectProviderThumbprintOutput, error) {
	return &iam.UpdateOpenIDConnectProviderThumbprintOutput{}, v.changeOIDC(ctx, "iam:UpdateOpenIDConnectProviderThumbprint", *in.OpenIDConnectProviderArn, func(p *OIDCProvider) {
		p.Thumbprints = in.ThumbprintList
	})
}

// DeleteOpenIDConnectProvider removes a provider. Who trusts it trusts nobody then.
func (v *View) DeleteOpenIDConnectProvider(ctx context.Context, in *iam.DeleteOpenIDConnectProviderInput) (*iam.DeleteOpenIDConnectProviderOutput, error) {
	return &iam.DeleteOpenIDConnectProviderOutput{}, v.deleteItem(ctx, by((*request).oidc, "iam:DeleteOpenIDConnectProvider", *in.OpenIDConnectProviderArn))
}
