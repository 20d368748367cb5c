package sessions

import (
	"context"
	"crypto/sha1" //nolint:gosec // what AWS makes NameQualifier with
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"borealis/internal/cloud"
	"borealis/internal/federation"
	"borealis/internal/policy"
)

const (
	// redeem is how long after it was made an assertion is good for a session.
	redeem = 5 * time.Minute

	samlAttributes = "https://aws.amazon.com/SAML/Attributes/"
	samlAudience   = "https://signin.aws.amazon.com/saml"
	samlFormats    = "urn:oasis:names:tc:SAML:2.0:nameid-format:"
)

// here is whom SAML responses to AWS are for.
var here = federation.Audience{
	Names: func(s string) bool { return s == samlAudience || s == "urn:amazon:webservices" },
	Recipients: func(s string) bool {
		if s == samlAudience {
			return true
		}
		region, ok := strings.CutSuffix(strings.TrimPrefix(s, "https://"), ".signin.aws.amazon.com/saml")
		_, err := cloud.ParseRegion(region)
		return ok && err == nil && strings.HasPrefix(s, "https://")
	},
}

// sessionName is what names of sessions and source identities are made of.
var sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)

// AssumeRoleWithSAML makes a session of a role for whom a SAML provider of the
// role's account vouches for, if the provider offers the role to them and the role
// trusts it in that. Nobody needs to sign: the response is the proof.
func (v *View) AssumeRoleWithSAML(ctx context.Context, in *sts.AssumeRoleWithSAMLInput) (*sts.AssumeRoleWithSAMLOutput, error) {
	const action = "sts:AssumeRoleWithSAML"
	t, err := v.admit(ctx)
	if err != nil {
		return nil, err
	}
	defer t.end()
	role, err := v.role(ctx, *in.RoleArn)
	if err != nil {
		return nil, err
	}
	a, err := v.assertion(ctx, role, in)
	if err != nil {
		return nil, v.rejected(action, role, err)
	}
	asks, err := a.asks(in)
	if err != nil {
		return nil, v.rejected(action, role, err)
	}
	out, err := v.vouched(a.caller()).assumeVouched(ctx, action, role, asks, a.context(), a.SessionEnds)
	if err != nil {
		return nil, err
	}
	return &sts.AssumeRoleWithSAMLOutput{
		AssumedRoleUser: out.AssumedRoleUser, Credentials: out.Credentials, PackedPolicySize: out.PackedPolicySize,
		SourceIdentity: out.SourceIdentity, Audience: &a.Recipient, Issuer: &a.Issuer, NameQualifier: new(a.qualifier()),
		Subject: &a.Name, SubjectType: new(a.subjectType()),
	}, nil
}

// An assertion is whom a verified SAML response speaks of.
type assertion struct {
	federation.Subject
	provider string // ARN
	account  cloud.AccountID
	called   string // the provider
}

// assertion verifies the response in a request for role.
func (v *View) assertion(ctx context.Context, role Role, in *sts.AssumeRoleWithSAMLInput) (a assertion, err error) {
	named, err := cloud.ParseARN(*in.PrincipalArn)
	if err != nil {
		return a, validationError("%s is invalid", *in.PrincipalArn)
	}
	if named.Account != role.Account {
		return a, accessDenied("Not authorized to perform sts:AssumeRoleWithSAML")
	}
	p, err := v.Providers.SAML(ctx, *in.PrincipalArn)
	if errors.Is(err, cloud.ErrNotFound) {
		return a, invalidToken("Specified provider doesn't exist")
	}
	if err != nil {
		return a, fmt.Errorf("identity provider %s: %w", *in.PrincipalArn, err)
	}
	if p.OnlyEncrypted {
		return a, unverifiedSAML(federation.ErrEncrypted)
	}
	text, err := base64.StdEncoding.DecodeString(*in.SAMLAssertion)
	if err != nil {
		return a, invalidToken("Invalid base64 SAMLResponse")
	}
	now := v.Now()
	metadata, err := v.metadata.read(p.Metadata)
	if err == nil && now.Before(p.ValidUntil) {
		a.Subject, err = federation.VerifyResponse(text, metadata, here, now)
	} else {
		err = federation.ErrMetadata
	}
	if err != nil {
		return a, unverifiedSAML(err)
	}
	a.provider, a.account, a.called = *in.PrincipalArn, role.Account, p.Name
	if !a.SessionEnds.IsZero() && !now.Before(a.SessionEnds) {
		return a, unverifiedSAML(federation.ErrExpired)
	}
	if now.Sub(a.Issued) > redeem {
		return a, expired("Token must be redeemed within 5 minutes of issuance")
	}
	if !a.offers(role.ARN) {
		return a, accessDenied("Not authorized to perform sts:AssumeRoleWithSAML")
	}
	return a, nil
}

// metadata are those of providers, read once. The zero value is ready.
type metadata struct {
	mu    sync.Mutex
	known map[[sha256.Size]byte]federation.Metadata
}

// maxMetadata is how many documents metadata remembers.
const maxMetadata = 256

func (m *metadata) read(text string) (federation.Metadata, error) {
	sum := sha256.Sum256([]byte(text))
	m.mu.Lock()
	old, ok := m.known[sum]
	m.mu.Unlock()
	if ok {
		return old, nil
	}
	read, err := federation.ReadMetadata(text)
	if err != nil {
		return read, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.known) >= maxMetadata || m.known == nil {
		m.known = map[[sha256.Size]byte]federation.Metadata{}
	}
	m.known[sum] = read
	return read, nil
}

// unverifiedSAML says in STS's words why a response could not be verified.
func unverifiedSAML(err error) error {
	switch {
	case errors.Is(err, federation.ErrSignature):
		return invalidToken("Response signature invalid")
	case errors.Is(err, federation.ErrMetadata):
		return invalidToken("The metadata of the specified provider are not valid")
	case errors.Is(err, federation.ErrIssuer):
		return invalidToken("Issuer not present in specified provider")
	case errors.Is(err, federation.ErrAudience):
		return invalidToken("Response does not contain the required audience.")
	case errors.Is(err, federation.ErrExpired):
		return expired("The SAML assertion is not valid at this time")
	case errors.Is(err, federation.ErrEncrypted):
		return &smithy.GenericAPIError{Code: "NotImplemented", Message: "Encrypted assertions are not supported.", Fault: smithy.FaultClient}
	case errors.Is(err, federation.ErrMalformed):
		return invalidToken("Invalid SAML response")
	}
	return err
}

// offers says whether the provider offers a role, and itself with it.
func (a *assertion) offers(role string) bool {
	return slices.ContainsFunc(a.Attributes[samlAttributes+"Role"], func(pair string) bool {
		one, other, _ := strings.Cut(pair, ",")
		one, other = strings.TrimSpace(one), strings.TrimSpace(other)
		return one == role && other == a.provider || one == a.provider && other == role
	})
}

// asks is what is asked for, the assertion's part included.
func (a *assertion) asks(in *sts.AssumeRoleWithSAMLInput) (*sts.AssumeRoleInput, error) {
	out := &sts.AssumeRoleInput{RoleArn: in.RoleArn, Policy: in.Policy, PolicyArns: in.PolicyArns, DurationSeconds: in.DurationSeconds}
	switch names := a.Attributes[samlAttributes+"RoleSessionName"]; {
	case len(names) != 1 || names[0] == "":
		return nil, invalidToken("RoleSessionName is required in AuthnResponse")
	case !sessionName.MatchString(names[0]):
		return nil, invalidToken("RoleSessionName in AuthnResponse must match [a-zA-Z_0-9+=,.@-]{2,64}")
	default:
		out.RoleSessionName = &names[0]
	}
	if source := a.Attributes[samlAttributes+"SourceIdentity"]; len(source) > 0 {
		if len(source) != 1 || !sessionName.MatchString(source[0]) || strings.HasPrefix(strings.ToLower(source[0]), "aws:") {
			return nil, invalidToken(`Source Identity must match [a-zA-Z_0-9+=,.@-]{2,64} and not begin with "aws:"`)
		}
		out.SourceIdentity = &source[0]
	}
	tags := map[string]string{}
	for name, values := range a.Attributes {
		if key, ok := strings.CutPrefix(name, samlAttributes+"PrincipalTag:"); ok {
			if len(values) != 1 {
				return nil, invalidToken("A principal tag in AuthnResponse must have one value")
			}
			tags[key] = values[0]
		}
	}
	out.Tags, out.TransitiveTagKeys = tagList(tags), a.Attributes[samlAttributes+"TransitiveTagKeys"]
	return out, nil
}

// samlKeys are the condition keys that attributes of a response are.
var samlKeys = map[string]string{
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.1":  "saml:edupersonaffiliation",
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.2":  "saml:edupersonnickname",
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.3":  "saml:edupersonorgdn",
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.4":  "saml:edupersonorgunitdn",
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.5":  "saml:edupersonprimaryaffiliation",
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.6":  "saml:edupersonprincipalname",
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.7":  "saml:edupersonentitlement",
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.8":  "saml:edupersonprimaryorgunitdn",
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.9":  "saml:edupersonscopedaffiliation",
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.10": "saml:edupersontargetedid",
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.11": "saml:edupersonassurance",
	"urn:oid:1.3.6.1.4.1.5923.1.2.1.2":  "saml:eduorghomepageuri",
	"urn:oid:1.3.6.1.4.1.5923.1.2.1.3":  "saml:eduorgidentityauthnpolicyuri",
	"urn:oid:1.3.6.1.4.1.5923.1.2.1.4":  "saml:eduorglegalname",
	"urn:oid:1.3.6.1.4.1.5923.1.2.1.5":  "saml:eduorgsuperioruri",
	"urn:oid:1.3.6.1.4.1.5923.1.2.1.6":  "saml:eduorgwhitepagesuri",
	"urn:oid:2.5.4.3":                   "saml:cn",
}

// caller is who asks with the response. Of its condition keys, sessions keep those
// about the subject.
func (a *assertion) caller() cloud.Caller {
	return cloud.Caller{
		Kind: cloud.SAML, UserID: short(a.qualifier() + ":" + a.Name), UserName: short(a.Name), Provider: a.provider,
		Session: map[string][]string{
			"saml:namequalifier": {a.qualifier()}, "saml:sub": {a.Name}, "saml:sub_type": {a.subjectType()},
		},
	}
}

// context are the other condition keys of the request.
func (a *assertion) context() policy.Context {
	keys := policy.Context{
		"saml:aud": {a.Recipient}, "saml:iss": {a.Issuer}, "saml:doc": {string(a.account) + "/" + a.called},
	}
	for name, values := range a.Attributes {
		if key := samlKeys[name]; key != "" {
			keys[key] = values
		}
	}
	return keys
}

// qualifier is what tells a subject from those of the same name that other
// providers vouch for.
func (a *assertion) qualifier() string {
	sum := sha1.Sum([]byte(a.Issuer + string(a.account) + "/" + a.called)) //nolint:gosec // AWS's own
	return base64.StdEncoding.EncodeToString(sum[:])
}

// subjectType is the format of the subject's name, the usual ones in short.
func (a *assertion) subjectType() string { return strings.TrimPrefix(a.Format, samlFormats) }
