package policy

import (
	"fmt"
	"strings"
)

// A Malformed error says that a text is not a policy.
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

// syntax is the error for what IAM does not describe further.
func syntax(format string, args ...any) error {
	return &Malformed{Sentence: "Syntax errors in policy.", Detail: fmt.Sprintf(format, args...)}
}

// Parse reads a policy document of any kind. name is how decisions will call
// it. Errors are *Malformed.
func Parse(name, text string) (*Policy, error) {
	root, err := readJSON(text)
	if err != nil {
		return nil, syntax("the document %v", err)
	}
	if root.kind != '{' {
		return nil, syntax("the document is not an object")
	}
	p := &Policy{Name: name, Text: text, Version: "2008-10-17"}
	var statements *node
	for i := range root.members {
		m := &root.members[i]
		switch m.name {
		case "Version":
			if m.value.text != "2012-10-17" && m.value.text != "2008-10-17" {
				return nil, syntax("Version is %q", m.value.text)
			}
			p.Version = m.value.text
		case "Id":
			if m.value.kind != 's' {
				return nil, syntax("Id is not a string")
			}
			p.ID = m.value.text
		case "Statement":
			statements = &m.value
		default:
			return nil, syntax("the document has an element %q", m.name)
		}
	}
	if statements == nil {
		return nil, syntax("the document has no Statement")
	}
	if err := p.parseStatements(statements); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Policy) parseStatements(n *node) error {
	items := n.items
	if n.kind == '{' {
		items = []node{*n}
	} else if n.kind != '[' {
		return syntax("Statement is neither an object nor a list")
	}
	for i := range items {
		s, err := parseStatement(&items[i], p.Version == "2012-10-17")
		if err != nil {
			return err
		}
		p.Statements = append(p.Statements, s)
	}
	p.index()
	return nil
}

// parseStatement reads one statement. vars says that it may use variables.
func parseStatement(n *node, vars bool) (s Statement, err error) {
	if n.kind != '{' {
		return s, syntax("a statement is not an object")
	}
	effect := ""
	for i := range n.members {
		m := &n.members[i]
		switch m.name {
		case "Sid":
			if m.value.kind != 's' {
				return s, syntax("a Sid is not a string")
			}
			s.Sid = m.value.text
		case "Effect":
			effect = m.value.text
		case "Principal", "NotPrincipal":
			if s.principals != nil {
				return s, syntax("a statement has both Principal and NotPrincipal")
			}
			s.notPrincipal = m.name == "NotPrincipal"
			s.principals, err = parsePrincipals(&m.value)
		case "Action", "NotAction":
			if s.actions != nil {
				return s, syntax("a statement has both Action and NotAction")
			}
			s.notAction = m.name == "NotAction"
			s.actions, err = parseActions(&m.value)
		case "Resource", "NotResource":
			if s.resources != nil {
				return s, syntax("a statement has both Resource and NotResource")
			}
			s.notResource = m.name == "NotResource"
			s.resources, err = parseResources(&m.value, vars)
		case "Condition":
			s.conditions, err = parseConditions(&m.value, vars)
		default:
			err = syntax("a statement has an element %q", m.name)
		}
		if err != nil {
			return s, err
		}
	}
	if effect != "Allow" && effect != "Deny" {
		return s, syntax("Effect is %q", effect)
	}
	s.Deny = effect == "Deny"
	if len(s.actions) == 0 {
		return s, &Malformed{Sentence: "Policy statement must contain actions."}
	}
	return s, nil
}

func parsePrincipals(n *node) ([]Principal, error) {
	if n.kind == 's' && n.text == "*" {
		return []Principal{{Type: AWS, Value: "*", form: everyone}}, nil
	}
	if n.kind != '{' {
		return nil, invalidPrincipal(n.text)
	}
	out := []Principal{}
	for _, m := range n.members {
		t := PrincipalType(m.name)
		switch t {
		case AWS, AWSService, Federated, CanonicalUser:
		default:
			return nil, invalidPrincipal(m.name)
		}
		values, ok := m.value.list()
		if !ok {
			return nil, invalidPrincipal(m.name)
		}
		for _, v := range values {
			p, ok := parsePrincipal(t, v)
			if !ok {
				return nil, invalidPrincipal(v)
			}
			out = append(out, p)
		}
	}
	if len(out) == 0 {
		return nil, invalidPrincipal("")
	}
	return out, nil
}

func invalidPrincipal(what string) error {
	return &Malformed{Sentence: fmt.Sprintf("Invalid principal in policy: %q", what)}
}

func parseActions(n *node) ([]action, error) {
	list, ok := n.list()
	if !ok {
		return nil, syntax("an Action is not a string")
	}
	out := []action{}
	for _, text := range list {
		if text != "*" && strings.Count(text, ":") != 1 {
			return nil, &Malformed{Sentence: "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.", Detail: text}
		}
		out = append(out, action{text: text, glob: toGlob(strings.ToLower(text))})
	}
	return out, nil
}

func parseResources(n *node, vars bool) ([]resource, error) {
	list, ok := n.list()
	if !ok {
		return nil, syntax("a Resource is not a string")
	}
	if len(list) == 0 {
		return nil, &Malformed{Sentence: "Policy statement must contain resources."}
	}
	out := []resource{}
	for _, text := range list {
		t, ok := parseTemplate(text, vars)
		if !ok {
			return nil, syntax("the resource %q has a variable that cannot be read", text)
		}
		r := resource{text: text, any: t.pieces == nil && t.glob.any()}
		if !r.any {
			if !strings.HasPrefix(text, "arn:") && !strings.HasPrefix(text, "*:") {
				return nil, &Malformed{Sentence: fmt.Sprintf("Resource %s must be in ARN format or \"*\".", text)}
			}
			// An ARN that ends early is completed with wildcards.
			r.fields = t.cut(6)
			for len(r.fields) < 6 {
				r.fields = append(r.fields, template{glob: "\xff"})
			}
		}
		out = append(out, r)
	}
	return out, nil
}

func parseConditions(n *node, vars bool) (out []condition, err error) {
	if n.kind != '{' {
		return nil, syntax("Condition is not an object")
	}
	for _, op := range n.members {
		c, ok := parseOperator(op.name)
		if !ok {
			return nil, syntax("there is no condition operator %q", op.name)
		}
		if op.value.kind != '{' {
			return nil, syntax("condition operator %q has no keys", op.name)
		}
		for _, k := range op.value.members {
			c.key, c.values = newKey(k.name), nil
			list, ok := k.value.scalars()
			if !ok {
				return nil, syntax("condition key %q has a value that is no string", k.name)
			}
			for _, text := range list {
				v, ok := parseValue(c.operator, text, vars)
				if !ok {
					return nil, syntax("condition key %q: %q is no value for %s", k.name, text, op.name)
				}
				c.values = append(c.values, v)
			}
			out = append(out, c)
		}
	}
	return out, nil
}
