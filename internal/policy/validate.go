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
