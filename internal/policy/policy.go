// Package policy is the IAM policy language: it parses documents, decides
// questions and says why. It does no I/O and knows no clock but the one it is
// given, so the server and the share workflow use the same evaluator.
package policy

import (
	"strconv"
	"strings"
	"time"

	"borealis/internal/cloud"
)

// A Question asks whether Caller may do Action to Resource. It holds everything
// that the answer depends on.
type Question struct {
	Caller   cloud.Caller
	Identity Identity // the policies on the caller's side
	Action   string   // "kms:Decrypt"
	Resource string   // an ARN, or "*" for an action without a resource
	// Owner is whose policies must allow it too: the resource's account, or the
	// caller's own for "*" and for resources that no policy of their owner's speaks
	// of. For those, "aws:ResourceAccount" in Context says whose they are.
	Owner cloud.AccountID
	// ResourcePolicy is the resource's own policy; nil where it has none.
	ResourcePolicy *Policy
	// ResourceMustAllow says that in the owner's own account, too, an identity
	// policy counts only if the resource policy lets the caller or its account
	// in, as for KMS keys and for assuming roles. Where it is false, one of the
	// two sides is enough.
	ResourceMustAllow bool
	// Grants are the KMS grants that cover this request: the service has matched
	// their grantee, operation and constraints already.
	Grants []Grant
	// ServiceControl is what the organization of the caller's account leaves to it,
	// and ResourceControl what the owner's leaves others to do to its resources.
	ServiceControl, ResourceControl Control
	// CallerOrg, OwnerOrg and SourceOrg are the places in organizations of the
	// caller's account, of the account whose the resource is, and of the one that
	// Caller.SourceARN belongs to. Within sets the first two.
	CallerOrg, OwnerOrg, SourceOrg Place
	// Fixed says that nobody can change ResourcePolicy: it is an AWS managed key's.
	// Organizations do not control such resources either.
	Fixed bool
	// Context holds the service's own condition keys and the resource's and
	// request's tags, by full name: "kms:ViaService", "aws:ResourceTag/team".
	// Global keys that follow from Caller and Now are added by Decide.
	Context Context
	// More is asked for the condition keys that Context does not have; nil for none.
	More Conditions
	Now  time.Time
	// Hypothetical says that Context has all the condition keys there are: none
	// follow from Caller, Owner and Now, and More is not asked.
	Hypothetical bool
}

// Identity is what speaks for or limits a caller on the caller's own side.
// The zero Identity allows nothing.
type Identity struct {
	Policies []*Policy // inline and managed policies of the user or role
	Boundary *Policy   // permissions boundary; nil if there is none
	// Session are the session policies; nil if the session has none, else the
	// session may do only what one of them allows as well.
	Session []*Policy
}

// A Control is what an organization's policies say about one of its accounts.
// The zero Control, of an account in no organization, limits nothing.
type Control struct {
	// Management says that the account manages the organization, which limits
	// all accounts but that one.
	Management bool
	// Levels go from the organization's root through its units to the account.
	// What one level does not allow is not allowed.
	Levels []Level
}

// A Level is the policies that are attached to one place in an organization:
// its root, a unit, an account.
type Level struct {
	Name     string // such as "root r-1a2b"; for explanations
	Policies []*Policy
}

// A Place is where in an organization an account is. The zero Place is that of
// an account in no organization.
type Place struct {
	Organization string // its id: "o-a1b2c3d4e5"
	// Path is the value of aws:PrincipalOrgPaths: the ids of the organization, its
	// root and the units down to the account, a slash after each:
	// "o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/".
	Path string
}

// A Membership is all that an organization says of one of its accounts. The zero
// Membership is that of an account in no organization.
type Membership struct {
	Place
	// ServiceControl limits the account's principals, and ResourceControl what is
	// done to its resources.
	ServiceControl, ResourceControl Control
}

// Within completes q with what organizations say of the account of the caller
// and of that whose the resource is.
func (q *Question) Within(caller, owner *Membership) {
	q.ServiceControl, q.CallerOrg = caller.ServiceControl, caller.Place
	q.ResourceControl, q.OwnerOrg = owner.ResourceControl, owner.Place
}

// ResourceAccount is the account whose the resource is, whoever's policies decide.
func (q *Question) ResourceAccount() cloud.AccountID {
	if v := q.Context["aws:ResourceAccount"]; len(v) == 1 {
		return cloud.AccountID(v[0])
	}
	return q.Owner
}

// A Grant stands in for the resource policy (KMS's third way in).
type Grant struct {
	ID string
	// Issuer is the account whose principal made the grant. A grant issued in the
	// caller's own account needs no identity policy beside it; one issued in the
	// owner's account to a foreign principal does.
	Issuer cloud.AccountID
	// ToSession says that the grantee is the exact role session, which implicit
	// denials by session policy or boundary then do not limit.
	ToSession bool
}

// Context holds condition keys and their values. A key that is absent and a key
// with no values are different things to a policy.
type Context map[string][]string

// Conditions are condition keys whose values are worked out when a policy asks
// for them: most policies ask for few, and a map of all of them takes long to make.
type Conditions interface {
	// Condition is the values of the key that is called name in one case or
	// another, of ASCII letters; name is in lower case. found is false if the
	// request has no such key. The answer is good until the next call.
	Condition(name string) (values []string, found bool)
}

// Condition makes a Context Conditions.
func (c Context) Condition(name string) (all []string, found bool) {
	for n, v := range c {
		switch {
		case !EqualFold(n, name):
		case found:
			all = append(all[:len(all):len(all)], v...)
		default:
			all, found = v, true
		}
	}
	return all, found
}

// Indexed answers as c does, and for a large one without looking at every name:
// who chooses how many there are does not choose how long a decision takes.
func (c Context) Indexed() Conditions {
	if len(c) <= 32 {
		return c
	}
	out := make(indexed, len(c))
	for n, v := range c {
		low := lowered(n)
		out[low] = append(out[low], v...)
	}
	return out
}

// indexed are condition keys by their names in lower case.
type indexed map[string][]string

func (c indexed) Condition(name string) (values []string, found bool) {
	values, found = c[name]
	return values, found
}

// A Policy is a parsed document, indexed for matching. It is immutable and may
// be used by many goroutines at once.
type Policy struct {
	// Name says which policy this is when it decides: an ARN, or
	// "inline policy X of user/ann", or "key policy".
	Name string
	// Text is the document as it was given to Parse.
	Text       string
	Version    string
	ID         string
	Statements []Statement

	actions actionIndex
}

// A Statement is one statement of a policy, parsed.
type Statement struct {
	Sid  string
	Deny bool

	principals   []Principal // nil if the statement has no such element
	actions      []action
	resources    []resource // nil if the statement has no such element
	conditions   []condition
	notPrincipal bool
	notAction    bool
	notResource  bool
}

// A Side names the kind of policy that decided, in the words of AWS's messages.
type Side string

// The sides, as "no … policy allows" and "an explicit deny in a … policy" name them.
const (
	IdentityBased Side = "identity-based policy"
	ResourceBased Side = "resource-based policy"
	Session       Side = "session policy"
	Boundary      Side = "permissions boundary"
	// Those of organizations.
	ServiceControl  Side = "service control policy"
	ResourceControl Side = "resource control policy"
)

// A Decision is the answer to a Question, and why.
type Decision struct {
	Allowed bool `json:"allowed"`
	// Explicit says that a Deny statement decided; otherwise a refusal is implicit.
	Explicit bool `json:"explicit"`
	// Side is the side that refused, or that allowed.
	Side Side `json:"side"`
	// CrossAccount says that caller and resource belong to different accounts.
	CrossAccount bool `json:"crossAccount"`
	// Action is the action that was asked about.
	Action string `json:"action"`
	// Decided names the statement that decided; it is zero where nothing matched.
	Decided Ref `json:"decided,omitzero"`
	// Beside names what the other side allowed it with, where both had to: the
	// statement of the resource policy, or the grant. It is zero elsewhere.
	Beside Ref `json:"beside,omitzero"`
}

// A Ref names a statement of a policy, or a grant.
type Ref struct {
	Policy string `json:"policy"` // Policy.Name, or "grant <id>"
	Index  int    `json:"index"`  // the statement's place, from 0
	Sid    string `json:"sid,omitempty"`
}

// Because is the tail of AWS's access-denied messages for a refusal: "because no
// identity-based policy allows the kms:Decrypt action" or "with an explicit deny
// in a resource-based policy". It is "" for a Decision that allows.
func (d Decision) Because() string {
	switch {
	case d.Allowed:
		return ""
	case d.Explicit && d.Side == Boundary:
		return "with an explicit deny in a permissions boundary"
	case d.Explicit:
		article := "a "
		if d.Side == IdentityBased {
			article = "an "
		}
		return "with an explicit deny in " + article + string(d.Side)
	}
	return "because no " + string(d.Side) + " allows the " + d.Action + " action"
}

// String is the decision as one sentence without subject, for the audit log:
// "allowed by statement 0 (\"Admins\") of key policy".
func (d Decision) String() string {
	switch {
	case !d.Allowed && d.Explicit:
		return "denied by " + d.Decided.String() + ", " + d.Because()
	case !d.Allowed:
		return "denied " + d.Because()
	}
	b := make([]byte, 0, 256) // every request's sentence is made: no fmt
	b = d.Decided.append(append(b, "allowed by "...))
	if d.Beside != (Ref{}) {
		b = d.Beside.append(append(b, ", let in by "...))
	}
	return string(b)
}

// String names the statement: "statement 2 (\"TargetDescribes\") of key policy".
func (r Ref) String() string { return string(r.append(nil)) }

func (r Ref) append(b []byte) []byte {
	if strings.HasPrefix(r.Policy, "grant ") {
		return append(b, r.Policy...)
	}
	b = strconv.AppendInt(append(b, "statement "...), int64(r.Index), 10)
	if r.Sid != "" {
		b = append(strconv.AppendQuote(append(b, " ("...), r.Sid), ')')
	}
	return append(append(b, " of "...), r.Policy...)
}

// Named is p under another name. Everything else of it the two share.
func (p *Policy) Named(name string) *Policy {
	q := *p
	q.Name = name
	return &q
}

// Principals are the names in the policy's Principal and NotPrincipal elements,
// in the document's order, repetitions included.
func (p *Policy) Principals() []Principal {
	var all []Principal
	for i := range p.Statements {
		all = append(all, p.Statements[i].principals...)
	}
	return all
}
