package policy

import (
	"fmt"
	"strings"
)

// A Malformed error says that a text is not a policy of the kind wanted.
type Malformed struct {
	// Sentence is what AWS says, for the message of MalformedPolicyDocument.
	Sentence string
	// Detail is what is wrong and where, for whoever wrote the policy.
	Detail string
}

func (m *Malformed) Error() string {
	if m.Detail == "" {
		return m.Sentence
	}
	return m.Sentence + " (" + m.Detail + ")"
}

// malformed is an error with a detail that is formatted.
func malformed(sentence, format string, args ...any) error {
	return &Malformed{Sentence: sentence, Detail: fmt.Sprintf(format, args...)}
}

// What IAM says to most mistakes, without saying where they are.
const (
	syntaxErrors  = "Syntax errors in policy."
	legacyParsing = "The policy failed legacy parsing"
)

// A Kind is where a policy will be put, which decides what it must hold.
type Kind uint8

// The kinds of policy.
const (
	// AnyKind checks only what all kinds have in common.
	AnyKind Kind = iota
	// InlineKind is an identity's inline policy or a session policy: it names no
	// principal.
	InlineKind
	// ManagedKind is InlineKind of version 2012-10-17: a customer managed policy,
	// or a permissions boundary.
	ManagedKind
	// ResourceKind is a resource's policy, such as a key policy: every statement
	// names principals and resources.
	ResourceKind
	// TrustKind is a role's trust policy: every statement names principals, none
	// a resource, and all are about assuming the role.
	TrustKind
	// ServiceControlKind and ResourceControlKind are an organization's policies, of
	// version 2012-10-17. The former name no principal. The latter deny alone, to
	// everybody, and name the services whose actions they deny.
	ServiceControlKind
	ResourceControlKind
)

// Parse reads a policy document of any kind. name is how decisions will call
// it. Errors are *Malformed.
func Parse(name, text string) (*Policy, error) { return AnyKind.Parse(name, text) }

// Parse reads a policy document and checks that it is one of kind k, in IAM's
// words and IAM's order. How long a document may be is the caller's to limit,
// before calling. Errors are *Malformed.
func (k Kind) Parse(name, text string) (*Policy, error) {
	d, err := readDraft(text)
	if err != nil {
		return nil, err
	}
	if err := k.check(d); err != nil {
		return nil, err
	}
	p := &Policy{Name: name, Text: text, Version: d.version, ID: d.id}
	for i := range d.statements {
		s, err := d.statements[i].compile(d.version == version2012)
		if err != nil {
			return nil, err
		}
		p.Statements = append(p.Statements, s)
	}
	p.index()
	return p, nil
}

// The versions of the policy language. Without a Version a document is of the
// first, which has no variables.
const (
	version2008 = "2008-10-17"
	version2012 = "2012-10-17"
)

// A draft is a document whose form is right and whose content is unread.
type draft struct {
	version    string
	id         string
	statements []draftStatement
}

type draftStatement struct {
	sid, effect                          string
	principal, action, resource          *node
	notPrincipal, notAction, notResource bool
	actions, resources                   []string
	conditions                           []draftCondition
}

type draftCondition struct {
	operator, key string
	values        []string
}

func readDraft(text string) (draft, error) {
	d := draft{version: version2008}
	root, err := readJSON(text)
	if err != nil {
		return d, malformed(syntaxErrors, "the document %v", err)
	}
	if root.kind != '{' {
		return d, malformed(syntaxErrors, "the document is not an object")
	}
	var statements *node
	for i := range root.members {
		m := &root.members[i]
		switch m.name {
		case "Version":
			d.version = m.value.text
		case "Id":
			if m.value.kind != 's' {
				return d, malformed(syntaxErrors, "Id is not a string")
			}
			d.id = m.value.text
		case "Statement":
			statements = &m.value
		default:
			return d, malformed(syntaxErrors, "a document has no element %q", m.name)
		}
	}
	if d.version != version2008 && d.version != version2012 {
		return d, malformed(syntaxErrors, "there is no Version %q", d.version)
	}
	return d, d.readStatements(statements)
}

func (d *draft) readStatements(n *node) error {
	var items []node
	switch {
	case n == nil:
		return malformed(syntaxErrors, "Statement is missing")
	case n.kind == '{':
		items = []node{*n}
	case n.kind == '[':
		items = n.items
	}
	if len(items) == 0 {
		return malformed(syntaxErrors, "Statement holds no statement")
	}
	for i := range items {
		var s draftStatement
		if err := s.read(&items[i]); err != nil {
			return malformed(syntaxErrors, "statement %d: %v", i, err)
		}
		d.statements = append(d.statements, s)
	}
	return nil
}

func (d *draftStatement) read(n *node) error {
	if n.kind != '{' {
		return fmt.Errorf("is not an object")
	}
	for i := range n.members {
		m := &n.members[i]
		var err error
		switch m.name {
		case "Sid":
			err = m.text(&d.sid)
		case "Effect":
			err = m.text(&d.effect)
		case "Principal", "NotPrincipal":
			d.notPrincipal = m.name == "NotPrincipal"
			err = m.once(&d.principal)
		case "Action", "NotAction":
			d.notAction = m.name == "NotAction"
			err = m.listOnce(&d.action, &d.actions)
		case "Resource", "NotResource":
			d.notResource = m.name == "NotResource"
			err = m.listOnce(&d.resource, &d.resources)
		case "Condition":
			err = d.readConditions(&m.value)
		default:
			err = fmt.Errorf("has an element %q", m.name)
		}
		if err != nil {
			return err
		}
	}
	if !EqualFold(d.effect, "Allow") && !EqualFold(d.effect, "Deny") {
		return fmt.Errorf("has the Effect %q", d.effect)
	}
	return nil
}

func (m *member) text(to *string) error {
	if m.value.kind != 's' {
		return fmt.Errorf("has a %s that is not a string", m.name)
	}
	*to = m.value.text
	return nil
}

// once notes an element that may come in two forms, X and NotX, but not in both.
func (m *member) once(to **node) error {
	if *to != nil {
		return fmt.Errorf("has both %s and Not%[1]s", strings.TrimPrefix(m.name, "Not"))
	}
	*to = &m.value
	return nil
}

func (m *member) listOnce(to **node, list *[]string) error {
	var ok bool
	if *list, ok = m.value.list(); !ok {
		return fmt.Errorf("has a %s that is neither a string nor a list of strings", m.name)
	}
	return m.once(to)
}

func (d *draftStatement) readConditions(n *node) error {
	if n.kind != '{' {
		return fmt.Errorf("has a Condition that is not an object")
	}
	for _, op := range n.members {
		if op.value.kind != '{' {
			return fmt.Errorf("has a condition operator %q without keys", op.name)
		}
		for _, k := range op.value.members {
			if _, ok := parseOperator(op.name); !ok {
				return fmt.Errorf("has a condition operator %q, which there is not", op.name)
			}
			values, ok := k.value.scalars()
			if !ok {
				return fmt.Errorf("has a condition key %q whose values are not strings", k.name)
			}
			d.conditions = append(d.conditions, draftCondition{op.name, k.name, values})
		}
	}
	return nil
}
