package policy

import (
	"slices"
	"strings"

	"borealis/internal/cloud"
)

// principals looks at whom the statement names, which only some types of policy may.
func (v *validation) principals(s *rawStatement) {
	v.look(s.source.in)
	if s.principal != nil {
		v.look(s.principal.in)
	}
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
		v.security("ALLOW_WITH_NOT_PRINCIPAL", "Using Allow with NotPrincipal can be overly permissive. We recommend that you use Principal instead.")
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
		v.look(s.member("Effect").value.in)
		v.fail("RCP_SYNTAX_ERROR_ALLOW", "RCPs do not support the effect Allow. Update the effect to Deny.")
	}
	if s.notAction {
		v.look(s.action.in)
		v.fail("RCP_SYNTAX_ERROR_NOTACTION", "RCPs do not support the NotAction element. Update the policy to use Action instead.")
	}
	v.look(s.principal.in)
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
			v.principalsOf(s, &n.members[i])
		}
	}
}

func (v *validation) principalsOf(s *rawStatement, m *member) {
	t, n := PrincipalType(m.name), &m.value
	v.look(m.at)
	switch t {
	case AWS, AWSService, Federated, CanonicalUser:
	default:
		v.fail("INVALID_PRINCIPAL_KEY", "The principal key %s is not valid.", m.name)
		return
	}
	names := v.list(n)
	v.look(n.in)
	if n.kind == '[' && len(n.items) == 0 {
		v.suggest("EMPTY_ARRAY_PRINCIPAL", "This statement includes no principals and does not affect the policy. Specify principals.")
	}
	roles := map[string]bool{}
	for _, name := range names {
		roles[roleID(name.text)] = true
	}
	for _, name := range names {
		v.look(name.in)
		v.literal(name.text)
		v.principal(s, t, name.text)
		if id := sessionRoleID(name.text); id != "" && v.typ == TrustKind && roles[id] {
			v.suggest("REDUNDANT_PRINCIPAL_IN_ROLE_TRUST_POLICY", "The assumed-role principal %s is redundant with its parent role. Remove the assumed-role principal.", name.text)
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
	case t == Federated:
		v.fail("FEDERATED_PRINCIPAL_NOT_SUPPORTED", "The policy type does not support a federated identity provider in the principal element. Use a supported principal.")
	case t == CanonicalUser && s.onlyAbout("kms"):
		v.warn(PrincipalWithoutEffect, "The principal %s has no effect: KMS has no callers of type %s.", name, t)
	case t == AWS && idlePrincipal(name) != "":
		v.warn(PrincipalWithoutEffect, "The principal %s has no effect: %s.", name, idlePrincipal(name))
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
	v.work -= 16 * len(s.conditions)
	asks := v.work < 0 || slices.ContainsFunc(s.conditions, func(c rawCondition) bool {
		k := globalKeys[lowered(c.key)]
		return k == sourceARN || k == sourceAccount || k == sourceOrgID || k == sourceOrgPaths
	})
	switch {
	case s.onlyAbout("kms") && withoutRegion(name) == "rds.amazonaws.com":
		v.warn(PrincipalWithoutEffect, "The principal %s has no effect: RDS uses keys in the name of those who call it, and under the grants that it makes then.", name)
	case !asks:
		v.security("RESTRICT_ACCESS_TO_SERVICE_PRINCIPAL", "Granting access to a service principal without specifying a source is overly permissive. Use aws:SourceArn or aws:SourceAccount condition key and scope access to a specific source to grant fine-grained access.")
	}
}

// onlyAbout says that all of the statement's actions are a service's.
func (s *rawStatement) onlyAbout(service string) bool {
	return !s.notAction && !slices.ContainsFunc(s.actions, func(a *node) bool { return serviceOf(lowered(a.text)) != service })
}

// idlePrincipal says why no request comes from a principal of type AWS; "" if one may.
func idlePrincipal(name string) string {
	a, err := cloud.ParseARN(name)
	kind, _, _ := strings.Cut(a.Resource, "/")
	_, is := parsePrincipal(AWS, name)
	switch {
	case err == nil && a.Service == "iam" && kind == "group":
		return "a group is no principal; name its users, or their account"
	case err == nil && a.Service == "iam" && kind == "instance-profile":
		return "an instance profile is no principal; name its role"
	case !is:
		return "no request comes from such a principal"
	}
	return ""
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
	here := v.in
	for _, a := range s.actions {
		if EqualFold(a.text, other) || EqualFold(a.text, "sts:AssumeRole") {
			v.look(append([]extent{a.in}, here...)...)
			v.fail("MISMATCHED_ACTION_FOR_PRINCIPAL", "The %s action is invalid with the following principal(s): %s. Use a SAML provider principal with the sts:AssumeRoleWithSAML action or use an OIDC provider principal with the sts:AssumeRoleWithWebIdentity action. Ensure the provider is Federated if you use either of the two options.", a.text, name)
		}
	}
	v.look(here...)
	host := name[strings.LastIndex(name, ":oidc-provider/")+1:]
	host = strings.TrimPrefix(host, "oidc-provider/")
	v.work -= 16 * (len(s.actions) + len(s.conditions))
	asks := v.work < 0 || slices.ContainsFunc(s.conditions, func(c rawCondition) bool { return strings.HasPrefix(c.key, host+":") })
	if !saml && s.effect == "Allow" && !asks {
		v.security("MISSING_CONDITION_KEY_FOR_OIDC_PRINCIPAL", "Using an Open ID Connect principal without a condition can be overly permissive. Add condition keys with a prefix that matches your federated OIDC principals to ensure that only the intended identity provider assumes the role.")
	}
}

// roleID stands for the role that an ARN names, by account and name without path; "" if it
// names none.
func roleID(arn string) string {
	a, err := cloud.ParseARN(arn)
	if err != nil || a.Service != "iam" || !strings.HasPrefix(a.Resource, "role/") {
		return ""
	}
	return string(a.Account) + "/" + a.Resource[strings.LastIndexByte(a.Resource, '/')+1:]
}

// sessionRoleID is the roleID of the role whose session an ARN names; "" if it names none.
func sessionRoleID(arn string) string {
	a, err := cloud.ParseARN(arn)
	rest, is := strings.CutPrefix(a.Resource, "assumed-role/")
	if err != nil || a.Service != "sts" || !is {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return string(a.Account) + "/" + name
}
