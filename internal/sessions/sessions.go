// Package sessions is STS: it makes temporary credentials and knows them again.
// A session is nothing but its token, sealed by the server; nothing is kept of
// it. Who exists, and which policies speak for whom, it asks others.
package sessions

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/smithy-go"

	"borealis/internal/api"
	"borealis/internal/audit"
	"borealis/internal/cloud"
	"borealis/internal/federation"
	"borealis/internal/policy"
)

// Policies knows what has a say in a question beside the resource's own policy.
type Policies interface {
	// Complete adds to q what speaks for q.Caller or limits it, and what organizations
	// say of the accounts, as it is now.
	Complete(ctx context.Context, q *policy.Question) error
}

// Principals knows who exists. Its methods may be called concurrently, and
// answer from what is true when they are called.
type Principals interface {
	// Role finds a role by its ARN, or returns cloud.ErrNotFound.
	Role(ctx context.Context, arn string) (Role, error)
	// Caller is the user, role or account with a unique id as it is now, or
	// cloud.ErrNotFound once it is gone. For a role, ARN is that of an assumed role
	// without the session's name, and UserID is the role's.
	Caller(ctx context.Context, id string) (cloud.Caller, error)
	// PolicyDocument is the text of the managed policy arn, which must be account
	// a's or AWS's; else it is cloud.ErrNotFound.
	PolicyDocument(ctx context.Context, a cloud.AccountID, arn string) (string, error)
	// SecondFactor says whether code is what the MFA device called serial shows
	// now, and belongs to the user with a unique id. A code is good once.
	SecondFactor(ctx context.Context, user, serial, code string) (bool, error)
	// KeyActive is nil while the long-term access key with an id exists and is
	// active; else it is cloud.ErrNotFound.
	KeyActive(ctx context.Context, id string) error
}

// Providers knows the identity providers that accounts trust. What is not there
// is cloud.ErrNotFound. Its methods may be called concurrently.
type Providers interface {
	OIDC(ctx context.Context, arn string) (OIDCProvider, error)
	SAML(ctx context.Context, arn string) (SAMLProvider, error)
}

// An OIDCProvider is an identity provider by OpenID Connect.
type OIDCProvider struct {
	URL         string // without "https://" and without a slash at its end
	Clients     []string
	Thumbprints []string
}

// A SAMLProvider is an identity provider by SAML 2.0.
type SAMLProvider struct {
	Name       string
	Metadata   string
	ValidUntil time.Time
	// OnlyEncrypted says that assertions which are not encrypted are refused.
	OnlyEncrypted bool
}

// Issuers knows the keys of OpenID Connect providers. It may be used concurrently.
type Issuers interface {
	// Keys are those of a token's issuer, whom account trusts if an authority or one of
	// thumbprints vouches for it: as they are now if again is set, because the token
	// names one that was not among them. Its errors are those of package federation.
	// What it does for one account takes nothing from another.
	Keys(ctx context.Context, account string, t *federation.Token, thumbprints []string, again bool) (federation.Keys, error)
}

// A Role is what it takes to decide who may assume a role, and as whom.
type Role struct {
	ARN        string
	ID         string
	Name       string
	Account    cloud.AccountID
	Trust      *policy.Policy
	MaxSession time.Duration
	Tags       map[string]string
}

// Audit is where decisions are put on record.
type Audit interface {
	// Record returns nil when the event is on record. Without a record nothing is done.
	Record(audit.Event) error
}

// A Sealer keeps what is in a token from whoever holds it, and knows its own
// tokens again. Its methods may be called concurrently.
type Sealer interface {
	// Seal encrypts and authenticates plaintext, and binds it to context.
	Seal(plaintext, context []byte) ([]byte, error)
	// Open returns what Seal was given, if context is the same.
	Open(sealed, context []byte) ([]byte, error)
}

// Service is the session service. All its fields are required. Every operation
// needs a caller, and As is the only way to name one. It is safe for concurrent
// use and must not be copied.
type Service struct {
	Principals Principals
	Providers  Providers
	Issuers    Issuers
	Policies   Policies
	Audit      Audit
	// Sealer seals session tokens. Tokens live as long as its key, at most.
	Sealer Sealer
	Now    func() time.Time

	strangers strangers
	metadata  metadata
}

// A View is the service as one caller sees it.
type View struct {
	*Service
	caller cloud.Caller
}

// As is the service in the name of c.
func (s *Service) As(c cloud.Caller) *View { return &View{s, c} }

// Ops are the operations this service answers. An operation that is not here
// does not exist; one that is here is authorized, audited and tested like the rest.
var Ops = map[string]api.Op[*View]{
	"AssumeRole":                 api.Bind((*View).AssumeRole),
	"AssumeRoleWithSAML":         api.BindUnsigned((*View).AssumeRoleWithSAML),
	"AssumeRoleWithWebIdentity":  api.BindUnsigned((*View).AssumeRoleWithWebIdentity),
	"DecodeAuthorizationMessage": api.Bind((*View).DecodeAuthorizationMessage),
	"GetAccessKeyInfo":           api.Bind((*View).GetAccessKeyInfo),
	"GetCallerIdentity":          api.Bind((*View).GetCallerIdentity),
	"GetFederationToken":         api.Bind((*View).GetFederationToken),
	"GetSessionToken":            api.Bind((*View).GetSessionToken),
}

// authorize puts question q to the policies and writes the answer down before
// it is acted upon. The caller, its policies and the time are filled in here.
func (v *View) authorize(ctx context.Context, q policy.Question) error {
	q.Caller, q.Now = v.caller, v.Now()
	if err := v.Policies.Complete(ctx, &q); err != nil {
		return fmt.Errorf("authorize %s: %w", q.Action, err)
	}
	d := q.Decide()
	err := v.put(audit.Event{
		Action: q.Action, Resource: q.Resource, Owner: q.Owner, Allowed: d.Allowed, Reason: d.String(), Explanation: q.Summary(d),
	})
	if err != nil {
		return err
	}
	if !d.Allowed && v.caller.Kind.Outside() {
		return accessDenied("Not authorized to perform %s", q.Action)
	}
	if !d.Allowed {
		return accessDenied("User: %s is not authorized to perform: %s on resource: %s%s", v.caller.ARN, q.Action, q.Resource, because(d))
	}
	return nil
}

// free puts on record an operation that policy neither allows nor denies.
func (v *View) free(action string) error {
	if v.caller.Kind == "" || v.caller.Kind.Outside() {
		return accessDenied("User: %s is not authorized to perform: %s", v.caller.ARN, action)
	}
	return v.record(action, "*", v.caller.Account, true, "allowed without permission, to whoever can sign")
}

func (v *View) record(action, resource string, owner cloud.AccountID, allowed bool, reason string) error {
	return v.put(audit.Event{Action: action, Resource: resource, Owner: owner, Allowed: allowed, Reason: reason})
}

// put puts what the caller does now on record.
func (v *View) put(e audit.Event) error {
	e.Time, e.Caller = v.Now(), v.caller
	if err := v.Audit.Record(e); err != nil {
		return fmt.Errorf("audit %s: %w", e.Action, err)
	}
	return nil
}

// because is the tail of STS's refusals. To other accounts it says only what
// their own policies say.
func because(d policy.Decision) string {
	trust := d.Side == policy.ResourceBased
	switch {
	case d.CrossAccount && (trust || !d.Explicit):
		return ""
	case trust && d.Explicit:
		return " with an explicit deny in the role trust policy"
	case trust:
		return " because no role trust policy allows the " + d.Action + " action"
	}
	return " " + d.Because()
}

// denied is STS's refusal. It is cloud.ErrDenied too.
type denied struct{ smithy.GenericAPIError }

func (*denied) Unwrap() error { return cloud.ErrDenied }

func accessDenied(format string, args ...any) error {
	return &denied{smithy.GenericAPIError{Code: "AccessDenied", Message: fmt.Sprintf(format, args...), Fault: smithy.FaultClient}}
}

func validationError(format string, args ...any) error {
	return &smithy.GenericAPIError{Code: "ValidationError", Message: fmt.Sprintf(format, args...), Fault: smithy.FaultClient}
}
