package policy

import (
	"errors"
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

const (
	// maxFindings is how many findings Validate stops at.
	maxFindings = 1000
	// maxWork bounds what Validate spends on comparing the elements of a document
	// with each other and with the reference, in steps of about a nanosecond: in a
	// document of thousands of patterns it does not compare them all.
	maxWork = 4 << 20
)

// Validate looks for what is wrong in a document of any form that is to be a policy of kind
// k (AnyKind: an identity's), or valid and yet amiss,
// as IAM Access Analyzer's ValidatePolicy does, by its codes and in its words, and for
// what has no effect, by codes of ours. What it
// would need all of AWS's services for is said of KMS, RDS, IAM, STS, CloudTrail and
// Organizations only. It finds a thousand things at most, and takes time that is linear
// in the length of text.
// Statement is -1 in findings about the whole document.
func (k Kind) Validate(name, text string) []Finding {
	if k == AnyKind || k == ManagedKind {
		k = InlineKind
	}
	v := &validation{typ: k, name: name, text: text, at: -1, work: maxWork, in: []extent{{0, len(text)}}}
	root, err := readJSON(text)
	bad, isBad := errors.AsType[*jsonError](err)
	switch {
	case isBad:
		v.look(bad.in)
		v.fail("JSON_SYNTAX_ERROR", "Fix the JSON syntax error.")
	case root.kind != '{':
		v.look(root.in)
		v.mismatch("Object")
	default:
		v.document(&root)
	}
	where := newLocator(text, &root)
	for i := range v.found {
		v.found[i].Locations = where.all(v.found[i].in)
	}
	return v.found
}

// A validation is a document being validated, and what was found.
type validation struct {
	typ   Kind // of those of identities, InlineKind
	name  string
	text  string
	at    int // the statement's place
	sid   string
	in    []extent // what is looked at
	vars  bool     // the version has variables
	work  int      // what may yet be spent
	found []Finding
}

// look says where what is found next is.
func (v *validation) look(in ...extent) { v.in = in }

func (v *validation) add(kind, code, format string, args ...any) {
	if len(v.found) == maxFindings {
		return
	}
	v.found = append(v.found, Finding{
		Policy: v.name, Statement: v.at, Sid: v.sid, Type: kind, Code: code, Message: fmt.Sprintf(format, args...), in: v.in,
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

func (v *validation) unknown(m *member) {
	v.look(m.at)
	v.fail("INVALID_POLICY_ELEMENT", "The policy element %s is not valid.", m.name)
}

// matches is g.match(s), as long as there is work left to spend.
func (v *validation) matches(g glob, s string) bool {
	if v.work < 0 {
		return false
	}
	head, _, wild := strings.Cut(string(g), "\xff")
	n, ok := glob(head).begins(s)
	v.work -= 16 + n
	if !ok || !wild && n != len(s) {
		return false
	}
	v.work -= len(s)*(2+len(g)/64) + 512*strings.Count(string(g), "\xfe")
	return v.work >= 0 && g.match(s)
}

// string is a text member's value.
func (v *validation) string(n *node) (string, bool) {
	v.look(n.in)
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
			v.unknown(m)
		}
	}
	v.look(root.in)
	v.version(version)
	v.look(root.in)
	switch {
	case statement == nil || statement.kind == '[' && len(statement.items) == 0:
		v.fail("MISSING_STATEMENT", "Add a statement to the policy")
	case statement.kind == '{':
		v.statements([]node{*statement})
	case statement.kind == '[':
		v.statements(statement.items)
	default:
		v.look(statement.in)
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

// A rawStatement is a statement's elements as they are written.
type rawStatement struct {
	at                                   int
	source                               *node
	sid, effect                          string
	action, resource, principal          *node
	notAction, notResource, notPrincipal bool
	actions, resources                   []*node // texts
	conditions                           []rawCondition
}

type rawCondition struct {
	condition      // its operator, as parseOperator reads it
	known     bool // there is such an operator
	key       string
	at        extent // of the key
	value     *node
	values    []node
}

func (v *validation) statements(items []node) {
	sids, bodies := map[string]bool{}, map[string]bool{}
	var all []*rawStatement
	for i := range items {
		n := &items[i]
		v.at, v.sid = i, ""
		v.look(n.in)
		if n.kind != '{' {
			v.mismatch("Object")
			continue
		}
		s := v.elements(n)
		s.at = i
		if s.sid != "" && sids[s.sid] {
			v.repeatedSid(s)
		}
		sids[s.sid] = true
		v.statement(s)
		if body := v.body(s); bodies[body] {
			v.look(n.in)
			v.suggest("REDUNDANT_STATEMENT", "The statements are redundant because they provide identical permissions. Update the policy to remove the redundant statement.")
		} else {
			bodies[body] = true
			all = append(all, s)
		}
	}
	v.withoutEffect(all)
}

func (v *validation) repeatedSid(s *rawStatement) {
	v.look(s.member("Sid").value.in)
	if v.typ == ResourceKind {
		v.warn("UNIQUE_SIDS_RECOMMENDED", "We recommend that you use statement IDs that are unique to your policy. Update the Sid value.")
		return
	}
	v.fail("UNIQUE_SIDS_REQUIRED", "Duplicate statement IDs are not supported for this policy type. Update the Sid value.")
}

// member is an element of the statement; nil if it has none of that name.
func (s *rawStatement) member(name string) *member {
	i := slices.IndexFunc(s.source.members, func(m member) bool { return m.name == name })
	if i < 0 {
		return nil
	}
	return &s.source.members[i]
}

// body is what the statement says, without its Sid.
func (v *validation) body(s *rawStatement) string {
	var parts []string
	for _, m := range s.source.members {
		if m.name != "Sid" {
			parts = append(parts, m.name+"\x00"+m.value.canonical())
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, "\x00")
}

// canonical is the node without the white space that it was written with.
func (n *node) canonical() string {
	var b strings.Builder
	n.write(&b)
	return b.String()
}

func (n *node) write(b *strings.Builder) {
	fmt.Fprintf(b, "%c%q", n.kind, n.text)
	for i := range n.members {
		fmt.Fprintf(b, "%q", n.members[i].name)
		n.members[i].value.write(b)
	}
	for i := range n.items {
		n.items[i].write(b)
	}
	b.WriteByte(';')
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
			v.unknown(m)
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
		v.look(m.at)
		v.fail("UNSUPPORTED_ELEMENT_COMBINATION", "The policy elements %s and Not%[1]s can not be used in the same statement. Remove one of these elements.", name)
	}
	*to = &m.value
}

// list is the texts of an element that is a string or a list of strings.
func (v *validation) list(n *node) []*node {
	switch n.kind {
	case 's':
		return []*node{n}
	case '[':
	default:
		v.look(n.in)
		v.mismatch("String")
		return nil
	}
	out := make([]*node, 0, len(n.items))
	for i := range n.items {
		if n.items[i].kind != 's' {
			v.look(n.items[i].in)
			v.mismatch("String")
			return nil
		}
		out = append(out, &n.items[i])
	}
	return out
}

func (v *validation) statement(s *rawStatement) {
	v.look(s.source.in)
	effect := s.member("Effect")
	switch {
	case effect == nil:
		v.fail("MISSING_EFFECT", "Add an Effect element to the policy statement with a value of Allow or Deny.")
	case s.effect != "Allow" && s.effect != "Deny":
		v.look(effect.value.in)
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
		v.look(s.source.in)
		v.fail("MISSING_ACTION", "Add an Action or NotAction element to the policy statement.")
	case len(s.actions) == 0 && s.action.kind == '[' && len(s.action.items) == 0:
		v.look(s.action.in)
		v.suggest("EMPTY_ARRAY_ACTION", "This statement includes no actions and does not affect the policy. Specify actions.")
	}
	redundant := v.redundant(s.actions, lowered)
	for i, a := range s.actions {
		v.look(a.in)
		v.literal(a.text)
		v.actionExists(a.text)
		if redundant[i] {
			v.suggest("REDUNDANT_ACTION", "The 1 action(s) are redundant because they provide similar permissions. Update the policy to remove the redundant action such as: %s.", a.text)
		}
	}
}

func (v *validation) actionExists(a string) {
	service, _, _ := strings.Cut(lowered(a), ":")
	if service != "*" && strings.ContainsAny(service, "*?") {
		v.suggest("WILDCARD_IN_SERVICE_NAME", "Avoid using wildcards (*, ?) in the service name because it might grant unintended access to other AWS services with similar names.")
	}
	known := reference()[service]
	if known == nil || len(v.fitting(known, a)) > 0 || v.work < 0 {
		return
	}
	if v.work -= 1000 * len(known); v.work < 0 {
		return
	}
	if near := nearest(known, lowered(a)); near != "" {
		v.fail("INVALID_ACTION", "The action %s does not exist. Did you mean %s?", a, near)
		return
	}
	v.fail("INVALID_ACTION", "The action %s does not exist.", a)
}

// fitting are the known actions that a pattern matches.
func (v *validation) fitting(known []referenceAction, pattern string) (fit []referenceAction) {
	if v.work < 0 {
		return nil
	}
	g := toGlob(lowered(pattern))
	for i := range known {
		if v.matches(g, known[i].low) {
			fit = append(fit, known[i])
		}
	}
	return fit
}

// redundant says which of the texts repeat an earlier one, or fit a pattern that is not
// the same text.
func (v *validation) redundant(nodes []*node, fold func(string) string) []bool {
	out, seen := make([]bool, len(nodes)), map[string]bool{}
	var patterns []string
	texts := make([]string, len(nodes))
	for i, n := range nodes {
		texts[i] = fold(n.text)
		if out[i] = seen[texts[i]]; !out[i] && strings.ContainsAny(texts[i], "*?") {
			patterns = append(patterns, texts[i])
		}
		seen[texts[i]] = true
	}
	for _, p := range patterns {
		g := toGlob(p)
		for i, text := range texts {
			if v.work < 0 {
				return out
			}
			out[i] = out[i] || text != p && v.covers(g, text)
		}
	}
	return out
}

// covers says that what fits text, which may be a pattern, fits the pattern g too. A ? of g
// stands for no * of text.
func (v *validation) covers(g glob, text string) bool {
	if strings.IndexByte(string(g), one) >= 0 && strings.IndexByte(text, '*') >= 0 {
		v.work -= 16 + len(g)
		return toGlob(text) == g
	}
	return v.matches(g, text)
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

// passing finds statements that let roles be passed on, or service-linked roles be made,
// for more than is named.
func (v *validation) passing(s *rawStatement) {
	if s.effect != "Allow" || v.typ != InlineKind {
		return
	}
	if s.action == nil || s.resource == nil {
		return
	}
	v.look(s.action.in, s.resource.in)
	if code, text := v.tooMuch(s, "iam:PassRole", "iam:PassedToService"); code != "" {
		end := "specify resource ARNs or add the iam:PassedToService condition key to your statement."
		if s.notResource {
			end = "specify resource ARNs instead."
		}
		v.security("PASS_ROLE_WITH_"+code, "Using %s can be overly permissive because it allows iam:PassRole permissions on multiple resources. We recommend that you %s", text, end)
	}
	if code, text := v.tooMuch(s, "iam:CreateServiceLinkedRole", "iam:AWSServiceName"); code != "" {
		v.warn("CREATE_SLR_WITH_"+code, "Using %s can allow creation of unintended service-linked roles. We recommend that you specify resource ARNs instead.", text)
	}
}

// tooMuch says how the statement covers action on resources that it does not name; ""
// if it does not, or limits it by key.
func (v *validation) tooMuch(s *rawStatement, action, key string) (code, text string) {
	star := slices.ContainsFunc(s.resources, func(r *node) bool { return strings.Trim(r.text, "*") == "" && r.text != "" })
	limited := slices.ContainsFunc(s.conditions, func(c rawCondition) bool { return EqualFold(c.key, key) })
	if limited || !s.notResource && !star {
		return "", ""
	}
	exact := slices.ContainsFunc(s.actions, func(a *node) bool { return EqualFold(a.text, action) })
	covered := slices.ContainsFunc(s.actions, func(a *node) bool { return v.matches(toGlob(lowered(a.text)), lowered(action)) })
	if covered == s.notAction {
		return "", ""
	}
	switch {
	case s.notAction && s.notResource:
		return "NOT_ACTION_AND_NOT_RESOURCE", "NotAction with NotResource"
	case s.notAction:
		return "STAR_IN_RESOURCE_AND_NOT_ACTION", "a resource with wildcards (*) and NotAction"
	case exact && s.notResource:
		return "NOT_RESOURCE", "the " + action + " action with NotResource"
	case s.notResource:
		return "STAR_IN_ACTION_AND_NOT_RESOURCE", "an action with a wildcard (*) and NotResource"
	case exact:
		return "STAR_IN_RESOURCE", "the " + action + " action with wildcards (*) in the resource"
	}
	return "STAR_IN_ACTION_AND_RESOURCE", "wildcards (*) in the action and the resource"
}
