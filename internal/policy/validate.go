package policy

import (
	"fmt"
	"slices"
	"strings"
)

// The types of findings of Validate, in IAM Access Analyzer's words.
const (
	FindingError           = "ERROR"            // it does not work, or is refused
	FindingSecurityWarning = "SECURITY_WARNING" // it may let in more than wanted
	FindingWarning         = "WARNING"          // it may not do what is wanted
	FindingSuggestion      = "SUGGESTION"       // it does nothing, or could be clearer
)

// Validate looks for what is wrong in a document of any form that is to be a policy of kind
// k (AnyKind: an identity's), or valid and yet amiss,
// as IAM Access Analyzer's ValidatePolicy does, by its codes and in its words. What it
// would need all of AWS's services for is said of those only that Findings knows.
// Statement is -1 in findings about the whole document.
func (k Kind) Validate(name, text string) []Finding {
	if k == AnyKind || k == ManagedKind {
		k = InlineKind
	}
	v := &validation{typ: k, name: name, at: -1}
	root, err := readJSON(text)
	switch {
	case err != nil:
		v.fail("JSON_SYNTAX_ERROR", "Fix the JSON syntax error.")
	case root.kind != '{':
		v.mismatch("Object")
	default:
		v.document(&root)
	}
	return v.found
}

// A validation is a document being validated, and what was found.
type validation struct {
	typ   Kind // of those of identities, InlineKind
	name  string
	at    int // the statement's place
	sid   string
	vars  bool // the version has variables
	found []Finding
}

func (v *validation) add(kind, code, format string, args ...any) {
	v.found = append(v.found, Finding{
		Policy: v.name, Statement: v.at, Sid: v.sid, Type: kind, Code: code, Message: fmt.Sprintf(format, args...),
	})
}

func (v *validation) fail(code, format string, args ...any) {
	v.add(FindingError, code, format, args...)
}

func (v *validation) security(code, format string, args ...any) {
	v.add(FindingSecurityWarning, code, format, args...)
}

func (v *validation) warn(code, format string, args ...any) {
	v.add(FindingWarning, code, format, args...)
}

func (v *validation) suggest(code, format string, args ...any) {
	v.add(FindingSuggestion, code, format, args...)
}

func (v *validation) mismatch(want string) {
	v.fail("DATA_TYPE_MISMATCH", "The text does not match the expected JSON data type %s.", want)
}

func (v *validation) unknown(element string) {
	v.fail("INVALID_POLICY_ELEMENT", "The policy element %s is not valid.", element)
}

// string is a text member's value.
func (v *validation) string(n *node) (string, bool) {
	if n.kind != 's' {
		v.mismatch("String")
	}
	return n.text, n.kind == 's'
}

func (v *validation) document(root *node) {
	var version, statement *node
	for i := range root.members {
		m := &root.members[i]
		switch m.name {
		case "Version":
			version = &m.value
		case "Statement":
			statement = &m.value
		case "Id":
			v.string(&m.value)
		default:
			v.unknown(m.name)
		}
	}
	v.version(version)
	switch {
	case statement == nil || statement.kind == '[' && len(statement.items) == 0:
		v.fail("MISSING_STATEMENT", "Add a statement to the policy")
	case statement.kind == '{':
		v.statements([]node{*statement})
	case statement.kind == '[':
		v.statements(statement.items)
	default:
		v.mismatch("Object")
	}
}

func (v *validation) version(n *node) {
	if n == nil {
		v.warn("MISSING_VERSION", "We recommend that you specify the Version element to help you with debugging permission issues.")
		return
	}
	text, ok := v.string(n)
	if ok && text != version2008 && text != version2012 {
		v.fail("INVALID_VERSION", "The version %s is not valid. Use one of the following versions: %s, %s", text, version2012, version2008)
	}
	v.vars = text == version2012
}

func (v *validation) statements(items []node) {
	sids := map[string]bool{}
	var seen []string
	for i := range items {
		v.at, v.sid = i, ""
		n := &items[i]
		if n.kind != '{' {
			v.mismatch("Object")
			continue
		}
		s := v.elements(n)
		if s.sid != "" && sids[s.sid] {
			v.repeatedSid()
		}
		sids[s.sid] = true
		v.statement(s)
		if body := s.body(); slices.Contains(seen, body) {
			v.suggest("REDUNDANT_STATEMENT", "The statements are redundant because they provide identical permissions. Update the policy to remove the redundant statement.")
		} else {
			seen = append(seen, body)
		}
	}
}

func (v *validation) repeatedSid() {
	if v.typ == ResourceKind {
		v.warn("UNIQUE_SIDS_RECOMMENDED", "We recommend that you use statement IDs that are unique to your policy. Update the Sid value.")
		return
	}
	v.fail("UNIQUE_SIDS_REQUIRED", "Duplicate statement IDs are not supported for this policy type. Update the Sid value.")
}

// A rawStatement is a statement's elements as they are written.
type rawStatement struct {
	source                               *node
	sid, effect                          string
	action, resource, principal          *node
	notAction, notResource, notPrincipal bool
	actions, resources                   []string
	conditions                           []rawCondition
}

type rawCondition struct {
	condition      // its operator, as parseOperator reads it
	known     bool // there is such an operator
	key       string
	values    []node
}

// body is what the statement says, without its Sid.
func (s *rawStatement) body() string {
	plain := node{kind: '{'}
	for _, m := range s.source.members {
		if m.name != "Sid" {
			plain.members = append(plain.members, m)
		}
	}
	slices.SortFunc(plain.members, func(a, b member) int { return strings.Compare(a.name, b.name) })
	return fmt.Sprint(plain)
}

// elements reads a statement, and finds what is no element of one.
func (v *validation) elements(n *node) *rawStatement {
	s := &rawStatement{source: n}
	for i := range n.members {
		m := &n.members[i]
		switch m.name {
		case "Sid":
			v.readSid(s, &m.value)
		case "Effect":
			s.effect, _ = v.string(&m.value)
		case "Principal", "NotPrincipal":
			s.notPrincipal = m.name == "NotPrincipal"
			v.once(&s.principal, m)
		case "Action", "NotAction":
			s.notAction = m.name == "NotAction"
			v.once(&s.action, m)
			s.actions = v.list(&m.value)
		case "Resource", "NotResource":
			s.notResource = m.name == "NotResource"
			v.once(&s.resource, m)
			s.resources = v.list(&m.value)
		case "Condition":
			v.readConditions(s, &m.value)
		default:
			v.unknown(m.name)
		}
	}
	return s
}

func (v *validation) readSid(s *rawStatement, n *node) {
	text, ok := v.string(n)
	s.sid, v.sid = text, text
	switch {
	case !ok:
	case text == "":
		v.suggest("EMPTY_SID_VALUE", "Add a value to the empty string in the Sid element.")
	case v.typ != ResourceKind && !alphanumeric.MatchString(text):
		v.fail("UNSUPPORTED_SID", "Update the characters in the Sid element to use one of the following character types: [a-z, A-Z, 0-9]")
	}
}

func (v *validation) once(to **node, m *member) {
	if *to != nil {
		name := strings.TrimPrefix(m.name, "Not")
		v.fail("UNSUPPORTED_ELEMENT_COMBINATION", "The policy elements %s and Not%[1]s can not be used in the same statement. Remove one of these elements.", name)
	}
	*to = &m.value
}

// list is the texts of an element that is a string or a list of strings.
func (v *validation) list(n *node) []string {
	out, ok := n.list()
	if !ok {
		v.mismatch("String")
	}
	return out
}

func (v *validation) statement(s *rawStatement) {
	switch {
	case s.effect == "" && !slices.ContainsFunc(s.source.members, func(m member) bool { return m.name == "Effect" }):
		v.fail("MISSING_EFFECT", "Add an Effect element to the policy statement with a value of Allow or Deny.")
	case s.effect != "Allow" && s.effect != "Deny":
		v.fail("INVALID_EFFECT", "The effect %s is not valid. Use Allow or Deny.", s.effect)
	}
	v.actions(s)
	v.resources(s)
	v.principals(s)
	v.conditions(s)
	v.passing(s)
}

func (v *validation) actions(s *rawStatement) {
	switch {
	case s.action == nil:
		v.fail("MISSING_ACTION", "Add an Action or NotAction element to the policy statement.")
	case len(s.actions) == 0 && s.action.kind == '[':
		v.suggest("EMPTY_ARRAY_ACTION", "This statement includes no actions and does not affect the policy. Specify actions.")
	}
	for i, a := range s.actions {
		v.literal(a)
		v.actionExists(a)
		if covers(s.actions, i, lowered) {
			v.suggest("REDUNDANT_ACTION", "The 1 action(s) are redundant because they provide similar permissions. Update the policy to remove the redundant action such as: %s.", a)
		}
	}
}

func (v *validation) actionExists(a string) {
	service, _, _ := strings.Cut(lowered(a), ":")
	if service != "*" && strings.ContainsAny(service, "*?") {
		v.suggest("WILDCARD_IN_SERVICE_NAME", "Avoid using wildcards (*, ?) in the service name because it might grant unintended access to other AWS services with similar names.")
	}
	known := reference()[service]
	g := toGlob(lowered(a))
	if known != nil && !slices.ContainsFunc(known, func(r referenceAction) bool { return g.match(r.low) }) {
		v.fail("INVALID_ACTION", "The action %s does not exist.", a)
	}
}

// covers says that the text at i is repeated by an earlier one, or by a pattern that
// is not itself.
func covers(texts []string, i int, fold func(string) string) bool {
	text := fold(texts[i])
	for j, other := range texts {
		if other = fold(other); other == text && j < i || other != text && toGlob(other).match(text) {
			return true
		}
	}
	return false
}

// literal finds a variable in an element that has none.
func (v *validation) literal(text string) {
	if at := strings.Index(text, "${"); at >= 0 {
		v.fail("VARIABLE_UNSUPPORTED_IN_ELEMENT", "Policy variables are supported in the Resource and Condition elements. Remove the policy variable %s from this element.", text[at:])
	}
}

// variables finds what is wrong with the variables in a text.
func (v *validation) variables(text string) {
	for rest := text; ; {
		_, after, found := strings.Cut(rest, "${")
		if !found {
			return
		}
		if !v.vars {
			v.fail("VARIABLE_UNSUPPORTED_IN_VERSION", "To include variables in your policy, use the policy version 2012-10-17 or later.")
			return
		}
		body, after, closed := strings.Cut(after, "}")
		if !closed {
			v.fail("MISSING_BRACE_IN_VARIABLE", "The policy variable is missing a closing curly brace. Add } after the variable text.")
			return
		}
		v.variable(body)
		rest = after
	}
}

func (v *validation) variable(body string) {
	name, fallback, has := strings.Cut(body, ",")
	fallback = strings.TrimSpace(fallback)
	switch {
	case strings.TrimSpace(body) == "":
		v.fail("EMPTY_VARIABLE", "Empty policy variable. Remove the ${ } variable structure or provide a variable within the structure.")
	case has && (len(fallback) < 2 || fallback[0] != '\'' || fallback[len(fallback)-1] != '\''):
		v.fail("MISSING_QUOTE_IN_VARIABLE", "The policy variable default value must begin and end with a single quote. Add the missing quote.")
	case strings.Contains(name, " "):
		v.fail("UNSUPPORTED_SPACE_IN_VARIABLE", "A space is not supported within the policy variable text. Remove the space.")
	}
}

func (v *validation) resources(s *rawStatement) {
	switch {
	case v.typ == TrustKind:
		if s.resource != nil {
			v.fail("ROLE_TRUST_POLICY_SYNTAX_ERROR_RESOURCE", "Role trust policies apply to the role that they are attached to. You cannot specify a resource. Remove the Resource or NotResource element.")
		}
		return
	case s.resource == nil:
		v.fail("MISSING_RESOURCE", "Add a Resource or NotResource element to the policy statement.")
	case len(s.resources) == 0 && s.resource.kind == '[':
		v.suggest("EMPTY_ARRAY_RESOURCE", "This statement includes no resources and does not affect the policy. Specify resources.")
	}
	redundant := 0
	for i, r := range s.resources {
		v.variables(r)
		v.resource(r)
		if !strings.Contains(r, "${") && covers(s.resources, i, func(s string) string { return s }) {
			redundant++
		}
	}
	if redundant > 0 {
		v.suggest("REDUNDANT_RESOURCE", "The %d resource ARN(s) are redundant because they reference the same resource. Review the use of wildcards (*)", redundant)
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

// passing finds statements that let roles be passed on, or service-linked roles be made,
// for more than is named.
func (v *validation) passing(s *rawStatement) {
	if s.effect != "Allow" || v.typ != InlineKind {
		return
	}
	if code, text := s.tooMuch("iam:PassRole", "iam:PassedToService"); code != "" {
		end := "specify resource ARNs or add the iam:PassedToService condition key to your statement."
		if s.notResource {
			end = "specify resource ARNs instead."
		}
		v.security("PASS_ROLE_WITH_"+code, "Using %s can be overly permissive because it allows iam:PassRole permissions on multiple resources. We recommend that you %s", text, end)
	}
	if code, text := s.tooMuch("iam:CreateServiceLinkedRole", "iam:AWSServiceName"); code != "" {
		v.warn("CREATE_SLR_WITH_"+code, "Using %s can allow creation of unintended service-linked roles. We recommend that you specify resource ARNs instead.", text)
	}
}

// tooMuch says how the statement covers action on resources that it does not name; ""
// if it does not, or limits it by key.
func (s *rawStatement) tooMuch(action, key string) (code, text string) {
	star := slices.ContainsFunc(s.resources, func(r string) bool { return strings.Trim(r, "*") == "" && r != "" })
	limited := slices.ContainsFunc(s.conditions, func(c rawCondition) bool { return EqualFold(c.key, key) })
	if limited || !s.notResource && !star {
		return "", ""
	}
	exact := slices.ContainsFunc(s.actions, func(a string) bool { return EqualFold(a, action) })
	covered := slices.ContainsFunc(s.actions, func(a string) bool { return toGlob(lowered(a)).match(lowered(action)) })
	if s.action == nil || covered == s.notAction {
		return "", ""
	}
	switch {
	case s.notAction && s.notResource:
		return "NOTACTION_AND_NOTRESOURCE", "NotAction with NotResource"
	case s.notAction:
		return "STAR_IN_RESOURCE_AND_NOTACTION", "a resource with wildcards (*) and NotAction"
	case exact && s.notResource:
		return "NOTRESOURCE", "the " + action + " action with NotResource"
	case s.notResource:
		return "STAR_IN_ACTION_AND_NOTRESOURCE", "an action with a wildcard (*) and NotResource"
	case exact:
		return "STAR_IN_RESOURCE", "the " + action + " action with wildcards (*) in the resource"
	}
	return "STAR_IN_ACTION_AND_RESOURCE", "wildcards (*) in the action and the resource"
}
