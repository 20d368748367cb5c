package sessions

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"

	"borealis/internal/cloud"
	"borealis/internal/federation"
)

// ahead is how far an identity provider's clock may be ahead.
const ahead = time.Minute

// AssumeRoleWithWebIdentity makes a session of a role for whom an OpenID Connect
// provider of the role's account vouches for, if the role trusts the provider in
// that. Nobody needs to sign: the token is the proof.
func (v *View) AssumeRoleWithWebIdentity(ctx context.Context, in *sts.AssumeRoleWithWebIdentityInput) (*sts.AssumeRoleWithWebIdentityOutput, error) {
	const action = "sts:AssumeRoleWithWebIdentity"
	t, err := v.admit(ctx)
	if err != nil {
		return nil, err
	}
	defer t.end()
	role, err := v.role(ctx, *in.RoleArn)
	if err != nil {
		return nil, err
	}
	if in.ProviderId != nil {
		return nil, v.rejected(action, role, &smithy.GenericAPIError{Code: "NotImplemented", Message: "ProviderId is not supported: only tokens of OpenID Connect are.", Fault: smithy.FaultClient})
	}
	w, err := v.webIdentity(ctx, t, role.Account, *in.WebIdentityToken)
	if err != nil {
		return nil, v.rejected(action, role, err)
	}
	out, err := v.vouched(w.caller()).assumeVouched(ctx, action, role, w.asks(in), nil, time.Time{})
	if err != nil {
		return nil, err
	}
	return &sts.AssumeRoleWithWebIdentityOutput{
		AssumedRoleUser: out.AssumedRoleUser, Credentials: out.Credentials, PackedPolicySize: out.PackedPolicySize,
		SourceIdentity: out.SourceIdentity, Audience: &w.audience, Provider: &w.arn, SubjectFromWebIdentityToken: &w.claims.Subject,
	}, nil
}

// rejected puts on record, and returns, why what should prove who asks for a role
// proves nothing.
func (v *View) rejected(action string, role Role, err error) error {
	var said smithy.APIError
	if !errors.As(err, &said) {
		return err // the server's own
	}
	if err := v.record(action, role.ARN, role.Account, false, "denied: "+said.ErrorMessage()); err != nil {
		return err
	}
	return err
}

// A webIdentity is whom a verified token speaks of.
type webIdentity struct {
	arn      string // of the provider
	url      string
	audience string
	claims   federation.Claims
}

// webIdentity verifies a token of a provider of account a, in turn t.
func (v *View) webIdentity(ctx context.Context, t *turn, a cloud.AccountID, text string) (w webIdentity, err error) {
	token, err := federation.ReadToken(text)
	if err != nil {
		return w, invalidToken("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
	}
	issuer, secure := strings.CutPrefix(token.Issuer(), "https://")
	w.url = strings.TrimSuffix(issuer, "/")
	w.arn = cloud.NewARN("iam", "", a, "oidc-provider/"+w.url).String()
	provider, err := v.Providers.OIDC(ctx, w.arn)
	if errors.Is(err, cloud.ErrNotFound) || !secure {
		return w, invalidToken("No OpenIDConnect provider found in your account for %s", short(token.Issuer()))
	}
	if err != nil {
		return w, fmt.Errorf("identity provider %s: %w", w.arn, err)
	}
	if w.claims, err = v.claims(ctx, t, a, token, provider.Thumbprints); err != nil {
		return w, unverified(err)
	}
	if err := v.inTime(w.claims); err != nil {
		return w, err
	}
	return w, w.check(provider)
}

// claims are what a token says, if its issuer has signed it.
func (v *View) claims(ctx context.Context, t *turn, a cloud.AccountID, token *federation.Token, thumbprints []string) (c federation.Claims, err error) {
	for _, again := range []bool{false, true} {
		var keys federation.Keys
		err = t.outside(ctx, func() error {
			keys, err = v.Issuers.Keys(ctx, string(a), token, thumbprints, again)
			return err
		})
		if err != nil {
			return c, err
		}
		if c, err = token.Verify(keys); !errors.Is(err, federation.ErrNoKey) {
			break
		}
	}
	return c, err
}

// unverified says in STS's words why a token could not be verified.
func unverified(err error) error {
	switch {
	case errors.Is(err, federation.ErrUnreachable):
		return &types.IDPCommunicationErrorException{Message: new("Error communicating with the identity provider")}
	case errors.Is(err, federation.ErrThumbprint):
		return invalidToken("OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint")
	case errors.Is(err, federation.ErrDocument), errors.Is(err, federation.ErrNoKey):
		return invalidToken("Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements")
	case errors.Is(err, federation.ErrSignature):
		return invalidToken("The signature of the token is invalid")
	case errors.Is(err, federation.ErrMalformed):
		return invalidToken("A claim of the token is malformed")
	}
	return err
}

// inTime says whether a token is good now.
func (v *View) inTime(c federation.Claims) error {
	now := v.Now()
	switch {
	case c.Expires.IsZero():
		return invalidToken("Missing a required claim: exp")
	case c.Issued.IsZero():
		return invalidToken("Missing a required claim: iat")
	case !now.Before(c.Expires):
		return expired("Token expired: current date/time %d must be before the expiration date/time%d", now.Unix(), c.Expires.Unix())
	case c.Issued.After(now.Add(ahead)), c.NotBefore.After(now.Add(ahead)):
		return invalidToken("The token is not valid yet")
	}
	return nil
}

// check says whether a token is for a client of the provider, and of somebody.
func (w *webIdentity) check(p OIDCProvider) error {
	c := &w.claims
	switch {
	case c.Subject == "":
		return invalidToken("Missing a required claim: sub")
	case len(c.Audience) == 0:
		return invalidToken("Missing a required claim: aud")
	case c.Party != "":
		w.audience = c.Party
	case len(c.Audience) == 1:
		w.audience = c.Audience[0]
	}
	// A token for several, that does not say whose it is, is nobody's.
	if w.audience == "" || !slices.Contains(p.Clients, w.audience) {
		return invalidToken("Incorrect token audience")
	}
	return nil
}

// caller is who asks with the token.
func (w *webIdentity) caller() cloud.Caller {
	keys := map[string][]string{w.url + ":aud": {w.audience}, w.url + ":sub": {w.claims.Subject}}
	if len(w.claims.Methods) > 0 {
		keys[w.url+":amr"] = w.claims.Methods
	}
	if w.claims.Party != "" {
		keys[w.url+":oaud"] = w.claims.Audience
	}
	return cloud.Caller{
		Kind: cloud.WebIdentity, UserID: short(w.arn + ":" + w.audience + ":" + w.claims.Subject), UserName: short(w.claims.Subject),
		Provider: w.arn, Session: keys,
	}
}

// asks is what is asked for, the token's part included.
func (w *webIdentity) asks(in *sts.AssumeRoleWithWebIdentityInput) *sts.AssumeRoleInput {
	out := &sts.AssumeRoleInput{
		RoleArn: in.RoleArn, RoleSessionName: in.RoleSessionName, Policy: in.Policy, PolicyArns: in.PolicyArns,
		DurationSeconds: in.DurationSeconds, TransitiveTagKeys: w.claims.Transitive, Tags: tagList(w.claims.Tags),
	}
	if w.claims.SourceIdentity != "" {
		out.SourceIdentity = &w.claims.SourceIdentity
	}
	return out
}

func tagList(tags map[string]string) (list []types.Tag) {
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, types.Tag{Key: &k, Value: new(tags[k])})
	}
	return list
}

// short is as much of what a stranger says as goes into messages and the log.
func short(s string) string {
	const most = 512
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

func invalidToken(format string, args ...any) error {
	return &types.InvalidIdentityTokenException{Message: new(fmt.Sprintf(format, args...))}
}

func expired(format string, args ...any) error {
	return &types.ExpiredTokenException{Message: new(fmt.Sprintf(format, args...))}
}
