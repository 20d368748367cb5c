package policy

import (
	"slices"
	"strings"

	"borealis/internal/cloud"
)

// principals looks at whom the statement names, which only some types of policy may.
func (v *validation) principals(s *rawStatement) {
	switch {
	case v.typ == ServiceControlKind:
		if s.principal != nil {
			v.fail("SCP_SYNTAX_ERROR_PRINCIPAL", "SCPs do not support specifying principals. Remove the Principal or NotPrincipal element.")
		}
		return
	case v.typ == InlineKind:
		if s.principal != nil {
			v.fail("UNSUPPORTED_PRINCIPAL", "The policy type IDENTITY_POLICY does not support the Principal element. Remove the Principal element.")
		}
		return
	case s.principal == nil:
		v.fail("MISSING_PRINCIPAL", "Add a Principal element to the policy statement.")
		return
	case v.typ == TrustKind && s.notPrincipal:
		v.fail("ROLE_TRUST_POLICY_SYNTAX_ERROR_NOTPRINCIPAL", "Role trust policies do not support NotPrincipal. Update the policy to use a Principal element instead.")
	case s.notPrincipal && s.effect == "Allow":
		v.security("ALLOW_WITH_NOTPRINCIPAL", "Using Allow with NotPrincipal can be overly permissive. We recommend that you use Principal instead.")
	}
	if v.typ == ResourceControlKind {
		v.resourceControl(s)
	}
	v.principalElement(s)
}

// resourceControl looks for what such policies may not have (Organizations user guide,
// "RCP syntax").
func (v *validation) resourceControl(s *rawStatement) {
	if s.effect == "Allow" {
		v.fail("RCP_SYNTAX_ERROR_ALLOW", "RCPs do not support the effect Allow. Update the effect to Deny.")
	}
	if s.notAction {
		v.fail("RCP_SYNTAX_ERROR_NOTACTION", "RCPs do not support the NotAction element. Update the policy to use Action instead.")
	}
	if s.notPrincipal || s.principal.text != "*" {
		v.fail("RCP_SYNTAX_ERROR_PRINCIPAL", "RCPs support the Principal \"*\" only. Name principals in a condition.")
	}
}

func (v *validation) principalElement(s *rawStatement) {
	switch n := s.principal; {
	case n.kind == 's' && n.text == "*":
		if v.typ == TrustKind && !s.notPrincipal {
			v.fail("ROLE_TRUST_POLICY_UNSUPPORTED_WILDCARD_IN_PRINCIPAL", `"Principal:" "*" is not supported in the principal element of a role trust policy. Replace the wildcard with a valid principal value.`)
		}
	case n.kind != '{':
		v.fail("INVALID_PRINCIPAL_FORMAT", "The Principal element contents are not valid. Specify a key-value pair in the Principal element.")
	case len(n.members) == 0:
		v.suggest("EMPTY_OBJECT_PRINCIPAL", "This statement includes no principals and does not affect the policy. Specify principals.")
	default:
		for i := range n.members {
			v.principalsOf(s, n.members[i].name, &n.members[i].value)
		}
	}
}

func (v *validation) principalsOf(s *rawStatement, key string, n *node) {
	t := PrincipalType(key)
	switch t {
	case AWS, AWSService, Federated, CanonicalUser:
	default:
		v.fail("INVALID_PRINCIPAL_KEY", "The principal key %s is not valid.", key)
		return
	}
	names := v.list(n)
	if n.kind == '[' && len(n.items) == 0 {
		v.suggest("EMPTY_ARRAY_PRINCIPAL", "This statement includes no principals and does not affect the policy. Specify principals.")
	}
	for _, name := range names {
		v.literal(name)
		v.principal(s, t, name)
		if parent := roleOf(name); parent != "" && v.typ == TrustKind && slices.ContainsFunc(names, func(o string) bool { return strings.HasPrefix(o, parent) && strings.HasSuffix(o, "/"+roleName(name)) }) {
			v.suggest("REDUNDANT_PRINCIPAL_IN_ROLE_TRUST_POLICY", "The assumed-role principal %s is redundant with its parent role. Remove the assumed-role principal.", name)
		}
	}
}

func (v *validation) principal(s *rawStatement, t PrincipalType, name string) {
	switch {
	case name != "*" && strings.ContainsAny(name, "*?") || name == "*" && t != AWS:
		v.fail("UNSUPPORTED_WILDCARD_IN_PRINCIPAL", "Wildcards (*, ?) are not supported with the principal key %s. Replace the wildcard with a valid principal value.", t)
	case t == AWSService:
		v.servicePrincipal(s, name)
	case t == Federated && v.typ == TrustKind:
		v.federated(s, name)
	case t == AWS && isUniqueID(name) && strings.HasPrefix(name, "AROA"):
		v.warn("INVALID_ROLE_REFERENCE", "The Principal element includes the IAM role ID %s. We recommend that you use a role ARN instead.", name)
	case t == AWS && isUniqueID(name) && strings.HasPrefix(name, "AIDA"):
		v.warn("INVALID_USER_REFERENCE", "The Principal element includes the IAM user ID %s. We recommend that you use a user ARN instead.", name)
	}
}

// servicePrincipal looks at a service that is let in: one that acts for others should
// be asked for whom.
func (v *validation) servicePrincipal(s *rawStatement, name string) {
	if _, ok := parsePrincipal(AWSService, name); !ok || !strings.Contains(name, ".amazonaws.com") && !strings.Contains(name, ".aws.internal") {
		v.fail("INVALID_SERVICE_PRINCIPAL_FORMAT", "The service principal does not match the expected format. Use the format service.amazonaws.com.")
		return
	}
	if s.effect != "Allow" || v.typ != ResourceKind {
		return
	}
	asks := slices.ContainsFunc(s.conditions, func(c rawCondition) bool {
		k := globalKeys[lowered(c.key)]
		return k == sourceARN || k == sourceAccount || k == sourceOrgID || k == sourceOrgPaths
	})
	if !asks {
		v.security("RESTRICT_ACCESS_TO_SERVICE_PRINCIPAL", "Granting access to a service principal without specifying a source is overly permissive. Use aws:SourceArn or aws:SourceAccount condition key and scope access to a specific source to grant fine-grained access.")
	}
}

// federated looks at an identity provider in a trust policy: SAML and OpenID Connect
// have an action each.
func (v *validation) federated(s *rawStatement, name string) {
	saml := strings.Contains(name, ":saml-provider/")
	if !saml && strings.HasPrefix(name, "arn:") && !strings.Contains(name, ":oidc-provider/") {
		v.fail("INVALID_FEDERATED_PRINCIPAL_SYNTAX_IN_ROLE_TRUST_POLICY", "The principal value specifies a federated principal that does not match the expected format. Update the federated principal to a domain name or a SAML metadata ARN.")
		return
	}
	other := "sts:AssumeRoleWithSAML"
	if saml {
		other = "sts:AssumeRoleWithWebIdentity"
	}
	for _, a := range s.actions {
		if EqualFold(a, other) || EqualFold(a, "sts:AssumeRole") {
			v.fail("MISMATCHED_ACTION_FOR_PRINCIPAL", "The %s action is invalid with the following principal(s): %s. Use a SAML provider principal with the sts:AssumeRoleWithSAML action or use an OIDC provider principal with the sts:AssumeRoleWithWebIdentity action. Ensure the provider is Federated if you use either of the two options.", a, name)
		}
	}
	host := name[strings.LastIndex(name, ":oidc-provider/")+1:]
	host = strings.TrimPrefix(host, "oidc-provider/")
	asks := slices.ContainsFunc(s.conditions, func(c rawCondition) bool { return strings.HasPrefix(c.key, host+":") })
	if !saml && s.effect == "Allow" && !asks {
		v.security("MISSING_CONDITION_KEY_FOR_OIDC_PRINCIPAL", "Using an Open ID Connect principal without a condition can be overly permissive. Add condition keys with a prefix that matches your federated OIDC principals to ensure that only the intended identity provider assumes the role.")
	}
}

// roleOf is how the ARN of a session's role begins; "" if name is no session.
func roleOf(name string) string {
	a, err := cloud.ParseARN(name)
	if err != nil || a.Service != "sts" || !strings.HasPrefix(a.Resource, "assumed-role/") {
		return ""
	}
	return "arn:" + a.Partition + ":iam::" + string(a.Account) + ":role/"
}

// roleName is the role of a session's ARN.
func roleName(session string) string {
	_, name, _ := strings.Cut(session, ":assumed-role/")
	name, _, _ = strings.Cut(name, "/")
	return name
}
