package policy

import (
	"strings"

	"borealis/internal/cloud"
)

// A PrincipalType is the key under which a policy names a principal.
type PrincipalType string

// The types of principal that a policy can name.
const (
	AWS           PrincipalType = "AWS"
	AWSService    PrincipalType = "Service"
	Federated     PrincipalType = "Federated"
	CanonicalUser PrincipalType = "CanonicalUser"
)

// A Principal is one name in a Principal or NotPrincipal element.
type Principal struct {
	Type PrincipalType
	// Value is as written: an ARN, a 12-digit account id, a unique id such as
	// "AROA…", a service's name, or "*".
	Value string
	// Account is the account that Value stands for or belongs to; "" for "*",
	// unique ids and principals that are not of type AWS.
	Account cloud.AccountID

	form form
}

// A form is how a principal is named, which decides whom it matches.
type form uint8

const (
	other        form = iota // a type that no caller of this server has
	everyone                 // "*"
	wholeAccount             // account id or root ARN
	identity                 // a user's or role's ARN
	session                  // an assumed-role session's or a federated user's ARN
	unique                   // AIDA…, AROA…, AROA…:session
	service
	provider // an identity provider's ARN
)

// Whole says that the principal stands for its whole account, and so leaves it
// to that account's identity policies who may come in.
func (p Principal) Whole() bool { return p.form == wholeAccount }

// A reach is how closely a statement of a resource policy names the caller.
// Within one account that decides what else must allow the request, or may
// limit it: the more exact the name, the less.
type reach uint8

const (
	reachNone    reach = iota
	reachAccount       // the account: the identity's own policies must allow it
	reachRole          // the role: a boundary or session policy may still limit it
	reachDirect        // the session, the user, or everyone: nothing limits it
)

// parsePrincipal reads one name. ok is false if it can never be a principal.
func parsePrincipal(t PrincipalType, value string) (p Principal, ok bool) {
	p = Principal{Type: t, Value: value}
	switch t {
	case AWSService:
		p.form = service
		return p, strings.Contains(value, ".") && !strings.ContainsAny(value, "*? ")
	case Federated:
		p.form = provider
		return p, value != ""
	case CanonicalUser:
		return p, value != ""
	}
	if value == "*" {
		p.form = everyone
		return p, true
	}
	if a, err := cloud.ParseAccountID(value); err == nil {
		p.Account, p.form = a, wholeAccount
		return p, true
	}
	if isUniqueID(value) {
		p.form = unique
		return p, true
	}
	return p, p.readARN()
}

// readARN sets form and account for a principal named by ARN.
func (p *Principal) readARN() bool {
	a, err := cloud.ParseARN(p.Value)
	if err != nil || strings.ContainsAny(p.Value, "*?") || a.Region != "" {
		return false
	}
	if _, err := cloud.ParseAccountID(string(a.Account)); err != nil {
		return false
	}
	p.Account = a.Account
	kind, name, _ := strings.Cut(a.Resource, "/")
	switch a.Service + ":" + kind {
	case "iam:root":
		p.form = wholeAccount
		return a.Resource == "root"
	case "iam:user", "iam:role":
		p.form = identity
	case "sts:assumed-role":
		p.form = session
		return strings.Count(name, "/") == 1
	case "sts:federated-user":
		p.form = session
	default:
		return false
	}
	return name != "" && !strings.HasSuffix(name, "/")
}

// isUniqueID says whether s looks like the unique id of a principal, which is
// what a policy shows once the principal has been deleted.
func isUniqueID(s string) bool {
	id, _, _ := strings.Cut(s, ":")
	if len(id) < 16 || len(id) > 128 {
		return false
	}
	switch id[:4] {
	case "AIDA", "AROA", "AGPA", "AIPA", "ANPA":
	default:
		return false
	}
	return strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
}

// matches says how closely p names c.
func (p *Principal) matches(c *cloud.Caller) reach {
	switch p.form {
	case everyone:
		return reachDirect
	case service:
		if c.Kind == cloud.Service && (p.Value == c.Service || p.Value == withoutRegion(c.Service)) {
			return reachDirect
		}
	case provider:
		if (c.Kind == cloud.WebIdentity || c.Kind == cloud.SAML) && p.Value == c.Provider {
			return reachDirect
		}
	case wholeAccount:
		switch {
		case c.Kind.Outside() || c.Account != p.Account:
		case c.Kind == cloud.Root:
			return reachDirect
		default:
			return reachAccount
		}
	case identity:
		switch {
		case c.Kind.Outside():
		case c.Principal == p.Value:
			return reachOf(c)
		case c.MakerARN == p.Value:
			return reachRole
		}
	case session:
		if (c.Kind == cloud.AssumedRole || c.Kind == cloud.FederatedUser) && c.ARN == p.Value {
			return reachDirect
		}
	case unique:
		return p.matchesID(c)
	}
	return reachNone
}

func (p *Principal) matchesID(c *cloud.Caller) reach {
	switch {
	case c.Kind.Outside():
		return reachNone
	case c.UserID == p.Value:
		return reachDirect
	case c.Maker == p.Value:
		return reachRole // a federated user is to its maker what a session is to its role
	}
	if role, _, found := strings.Cut(c.UserID, ":"); found && role == p.Value {
		return reachRole
	}
	return reachNone
}

// reachOf is the reach of the caller's own ARN: a session's is its role's.
func reachOf(c *cloud.Caller) reach {
	if c.Kind == cloud.AssumedRole {
		return reachRole
	}
	return reachDirect
}

// withoutRegion is the name "rds.amazonaws.com" of "rds.eu-west-1.amazonaws.com".
func withoutRegion(service string) string {
	name, rest, ok := strings.Cut(service, ".")
	if !ok {
		return service
	}
	if region, tail, ok := strings.Cut(rest, "."); ok && strings.Contains(region, "-") {
		return name + "." + tail
	}
	return service
}
