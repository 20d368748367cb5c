package policy

import (
	"fmt"
	"strings"
)

// compile makes a statement ready for matching. vars says that its version of
// the language has variables.
func (d *draftStatement) compile(vars bool) (s Statement, err error) {
	s = Statement{Sid: d.sid, Deny: d.effect == "Deny", notPrincipal: d.notPrincipal, notAction: d.notAction, notResource: d.notResource}
	if d.principal != nil {
		if s.principals, err = compilePrincipals(d.principal); err != nil {
			return s, err
		}
	}
	for _, text := range d.actions {
		s.actions = append(s.actions, action{text: text, glob: toGlob(lowered(text)), plain: !strings.ContainsAny(text, "*?")})
	}
	for _, text := range d.resources {
		r, ok := compileResource(text, vars)
		if !ok {
			return s, malformed(syntaxErrors, "the resource %q has a variable that cannot be read", text)
		}
		s.resources = append(s.resources, r)
	}
	for i := range d.conditions {
		c, err := d.conditions[i].compile(vars)
		if err != nil {
			return s, err
		}
		s.conditions = append(s.conditions, c)
	}
	return s, nil
}

// compileResource reads one resource.
func compileResource(text string, vars bool) (resource, bool) {
	t, ok := parseTemplate(text, vars)
	if !ok {
		return resource{}, false
	}
	p := resource{text: text, any: t.pieces == nil && t.glob.any()}
	if p.any {
		return p, true
	}
	p.fields = t.cut(6)
	for i, f := range p.fields {
		// AWS has variables in an ARN's last field only.
		p.never = p.never || i < 5 && f.pieces != nil
		p.crosses = p.crosses || i < len(p.fields)-1 && strings.HasSuffix(string(f.glob), "\xff")
	}
	return p, true
}

func (d *draftCondition) compile(vars bool) (condition, error) {
	c, _ := parseOperator(d.operator) // read once already
	c.key = newKey(d.key)
	for _, text := range d.values {
		v, ok := parseValue(c.operator, text, vars)
		if !ok {
			return c, malformed(syntaxErrors, "condition key %s: %q is not a value for %s", d.key, text, d.operator)
		}
		c.values = append(c.values, v)
	}
	return c, nil
}

func compilePrincipals(n *node) ([]Principal, error) {
	if n.kind == 's' && n.text == "*" {
		return []Principal{{Type: AWS, Value: "*", form: everyone}}, nil
	}
	if n.kind != '{' || len(n.members) == 0 {
		return nil, malformed(syntaxErrors, "a Principal is neither \"*\" nor an object")
	}
	var out []Principal
	for _, m := range n.members {
		t := PrincipalType(m.name)
		switch t {
		case AWS, AWSService, Federated, CanonicalUser:
		default:
			return nil, malformed(syntaxErrors, "there is no type of principal %q", m.name)
		}
		values, ok := m.value.list()
		if !ok || len(values) == 0 {
			return nil, malformed(syntaxErrors, "principals of type %s are neither a string nor a list of strings", m.name)
		}
		for _, v := range values {
			p, ok := parsePrincipal(t, v)
			if !ok {
				return nil, &Malformed{Sentence: fmt.Sprintf("Invalid principal in policy: %q:%q", strings.ToUpper(m.name), v)}
			}
			out = append(out, p)
		}
	}
	return out, nil
}
