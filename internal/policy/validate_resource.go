package policy

import (
	"strings"
)

func (v *validation) resources(s *rawStatement) {
	if s.resource != nil {
		v.look(s.resource.in)
	} else {
		v.look(s.source.in)
	}
	switch {
	case v.typ == TrustKind:
		if s.resource != nil {
			v.fail("ROLE_TRUST_POLICY_SYNTAX_ERROR_RESOURCE", "Role trust policies apply to the role that they are attached to. You cannot specify a resource. Remove the Resource or NotResource element.")
		}
		return
	case s.resource == nil:
		v.fail("MISSING_RESOURCE", "Add a Resource or NotResource element to the policy statement.")
	case s.resource.kind == '[' && len(s.resource.items) == 0:
		v.suggest("EMPTY_ARRAY_RESOURCE", "This statement includes no resources and does not affect the policy. Specify resources.")
	}
	var literal []*node
	for _, r := range s.resources {
		v.look(r.in)
		v.variables(r.text)
		v.resource(r.text)
		if !strings.Contains(r.text, "${") {
			literal = append(literal, r)
		}
	}
	var places []extent
	for i, is := range v.redundant(literal, func(s string) string { return s }) {
		if is {
			places = append(places, literal[i].in)
		}
	}
	if places != nil {
		v.look(places...)
		v.suggest("REDUNDANT_RESOURCE", "The %d resource ARN(s) are redundant because they reference the same resource. Review the use of wildcards (*)", len(places))
	}
}

func (v *validation) resource(text string) {
	if strings.Trim(text, "*") == "" && text != "" {
		return
	}
	f := strings.SplitN(text, ":", 6)
	switch {
	case f[0] != "arn":
		v.fail("INVALID_ARN_PREFIX", "Add the required prefix (arn) to the resource ARN.")
		return
	case len(f) < 6 && !strings.HasSuffix(text, "*"):
		v.fail("MISSING_ARN_FIELD", "Resource ARNs must include at least 6 fields in the following structure: arn:partition:service:region:account:resource")
		return
	case len(f) > 2 && f[2] != lowered(f[2]):
		v.fail("INVALID_ARN_SERVICE_CASE", "Update the service name %s in the resource ARN to use all lowercase letters.", f[2])
	}
	if len(f) < 6 {
		return
	}
	for _, field := range f[:5] {
		v.literal(field)
	}
	switch {
	case f[2] == "iam" && f[3] != "" && f[3] != "*":
		v.fail("ARN_REGION_NOT_ALLOWED", "The service %s does not support specifying a Region in the resource ARN.", f[2])
	case f[2] == "s3" && f[4] != "" && f[4] != "*" && !strings.Contains(f[5], ":") && !strings.HasPrefix(f[5], "accesspoint/"):
		v.fail("ARN_ACCOUNT_NOT_ALLOWED", "The service %s does not support specifying an account ID in the resource ARN.", f[2])
	case f[4] != "" && f[4] != "aws" && !strings.ContainsAny(f[4], "*?$") && !isAccount(f[4]):
		v.fail("INVALID_ARN_ACCOUNT", "The resource ARN account ID %s is not valid. Provide a 12-digit account ID.", f[4])
	}
}

func isAccount(s string) bool { return len(s) == 12 && strings.Trim(s, "0123456789") == "" }
