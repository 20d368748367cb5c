package policy

import "strings"

// A quantifier is how an operator treats a key with several values.
type quantifier uint8

const (
	single quantifier = iota
	forAll
	forAny
)

// A condition is one operator applied to one key: an element of the block that
// all must hold.
type condition struct {
	name       string // the operator as written, for explanations
	operator   operator
	quantifier quantifier
	ifExists   bool
	key        key
	values     []value
}

// parseOperator reads an operator's name with its prefix and suffix.
func parseOperator(name string) (c condition, ok bool) {
	c.name = name
	switch {
	case strings.HasPrefix(name, "ForAllValues:"):
		c.quantifier = forAll
	case strings.HasPrefix(name, "ForAnyValue:"):
		c.quantifier = forAny
	}
	if c.quantifier != single {
		_, name, _ = strings.Cut(name, ":")
	}
	name, c.ifExists = strings.CutSuffix(name, "IfExists")
	c.operator, ok = operators[name]
	if c.operator.compare == null && c.ifExists {
		return c, false // whether a key exists, if it exists, is no question
	}
	return c, ok
}

// holds reports whether the request meets the condition.
func (c *condition) holds(r *request) bool {
	got, present := r.values(&c.key)
	if c.operator.compare == null {
		absent := !present || len(got) == 0
		return len(c.values) > 0 && c.acceptsNull(absent)
	}
	if !present && c.ifExists {
		return true
	}
	switch c.quantifier {
	case forAll:
		for _, g := range got {
			if c.accepts(r, g) == c.operator.negated {
				return false
			}
		}
		return true
	case forAny:
		for _, g := range got {
			if c.accepts(r, g) != c.operator.negated {
				return true
			}
		}
		return false
	}
	for _, g := range got {
		if c.accepts(r, g) {
			return !c.operator.negated
		}
	}
	return c.operator.negated
}

// accepts reports whether got compares to any of the policy's values, leaving
// negation aside. got is taken before variables in those values are looked up.
func (c *condition) accepts(r *request, got string) bool {
	for i := range c.values {
		if c.values[i].accepts(r, c.operator, got) {
			return true
		}
	}
	return false
}

func (c *condition) acceptsNull(absent bool) bool {
	for i := range c.values {
		if c.values[i].flag == absent {
			return true
		}
	}
	return false
}
