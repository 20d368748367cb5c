package cloud

import (
	"slices"
	"time"
)

// A PrincipalKind says what sort of identity a Caller is.
type PrincipalKind string

// The kinds of principal that can make a request.
const (
	Root        PrincipalKind = "Root"        // the account's root user
	User        PrincipalKind = "User"        // an IAM user, or a GetSessionToken session of one
	AssumedRole PrincipalKind = "AssumedRole" // a session of an IAM role
	Service     PrincipalKind = "Service"     // an AWS service acting for itself
	// FederatedUser is a session of GetFederationToken.
	FederatedUser PrincipalKind = "FederatedUser"
	// Those whom an identity provider vouches for, and who are in no account. All
	// that they can ask for is a role.
	WebIdentity PrincipalKind = "WebIdentityUser"
	SAML        PrincipalKind = "SAMLUser"
)

// Outside says that principals of this kind are in no account: policies of an
// account neither speak for them nor limit them.
func (k PrincipalKind) Outside() bool { return k == Service || k == WebIdentity || k == SAML }

// A Caller is who makes a request and how it came in: an authenticated identity.
// It says nothing about what the caller may do. A Caller is a value; With and
// Through return changed copies. The zero Caller is nobody, and may do nothing.
type Caller struct {
	Kind    PrincipalKind
	Account AccountID
	// ARN is what GetCallerIdentity and error messages say: for a user
	// arn:aws:iam::A:user/path/name, for a role session
	// arn:aws:sts::A:assumed-role/name/session, for root arn:aws:iam::A:root, for a
	// federated user arn:aws:sts::A:federated-user/name.
	ARN string
	// Principal is aws:PrincipalArn, and what key policies and grants name: for a
	// role session the role's ARN (with its path), else the same as ARN.
	Principal string
	// UserID is aws:userid: AIDA… for a user, AROA…:session for a role session,
	// the account id for root, A:name for a federated user.
	UserID string
	// UserName is aws:username; only users have one.
	UserName string
	// AccessKeyID is the id of the key that signed the request.
	AccessKeyID string
	// Service is the service principal's name, such as
	// "rds.eu-west-1.amazonaws.com", for Kind Service.
	Service string

	// SessionPolicies are the inline and managed policy documents (JSON texts)
	// passed when the session was made. A session without any has nil.
	SessionPolicies []string
	// TokenIssued is when a session's credentials were issued; zero for
	// long-term credentials.
	TokenIssued time.Time
	// MFA says whether the session was made with a second factor.
	MFA bool
	// Tags are aws:PrincipalTag/*: the tags of the user or role, and of the session.
	Tags map[string]string
	// TransitiveTags are the keys of the session's Tags that go on to the sessions
	// made from it.
	TransitiveTags []string
	// SourceIdentity is aws:SourceIdentity: who a chain of sessions began with, as
	// said when it was made; "" if nobody said.
	SourceIdentity string

	// Maker is the unique id, and MakerARN the ARN, of the user (or the root user)
	// who made a federated user's session, and whose policies speak for it.
	Maker, MakerARN string
	// Provider is aws:FederatedProvider: the ARN of the identity provider that
	// vouched for whoever assumed the role, or asks to.
	Provider string
	// Session are the condition keys that a session has from its identity
	// provider, such as "idp.example.com:sub".
	Session map[string][]string

	// SourceARN is aws:SourceArn: the resource for whose sake a service makes the
	// request; "" if it says none, as for all that do not come from a service.
	SourceARN string

	// Region is the Region that the request was signed for.
	Region Region
	// RequestID is the id that the answer and the audit log carry.
	RequestID string
	// SourceIP is the address that the request came from, without a port.
	SourceIP string
	// UserAgent is the request's User-Agent header.
	UserAgent string
	// SecureTransport says whether the request came over TLS.
	SecureTransport bool
	// Via lists the services that pass the request on in the caller's name,
	// first one first, as DNS names without a Region: "rds.amazonaws.com".
	Via []string

	// Call is the request as the audit log knows it, an *audit.Call. Calls that
	// services make, in the caller's name or their own, have none.
	Call any
}

// Through is the caller when service ("rds.amazonaws.com") makes a call in the
// caller's name (a forward access session).
func (c Caller) Through(service string) Caller {
	c.Via = append(slices.Clip(slices.Clone(c.Via)), service)
	c.Call = nil
	return c
}

// In is the caller with its request aimed at Region r.
func (c Caller) In(r Region) Caller {
	c.Region = r
	return c
}

// ServiceCaller is an AWS service acting in Region r under no one's name but
// its own, such as RDS using a grant that it was given. name is the service's
// DNS name without a Region ("rds.amazonaws.com"); the principal that grants
// and policies name is "rds.<region>.amazonaws.com".
func ServiceCaller(name string, r Region) Caller {
	short := name[:len(name)-len(".amazonaws.com")]
	principal := short + "." + string(r) + ".amazonaws.com"
	return Caller{Kind: Service, ARN: principal, Principal: principal, UserID: principal, Service: principal, Region: r, SecureTransport: true}
}
