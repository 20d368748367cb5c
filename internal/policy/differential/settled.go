package main

import (
	"slices"
	"strings"
)

// A class is disagreements of one cause, under the name that docs/policies.md has for it.
type class struct {
	name string
	is   func(*testCase) bool // of a case made small
}

var settled = []class{
	{"variables in 2008-10-17", func(c *testCase) bool {
		return c.hasDocument(func(d *document) bool {
			old := testCase{Identity: []document{*d}}
			return d.Version == "2008-10-17" && old.hasCondition(func(_, _ string, v values) bool {
				return slices.ContainsFunc(v, func(text string) bool { return strings.Contains(text, "${") })
			})
		})
	}},
	{"several values, no set operator", func(c *testCase) bool {
		return c.hasCondition(func(op, key string, _ values) bool {
			return !strings.HasPrefix(op, "For") && (key == "aws:tagkeys" || key == "kms:encryptioncontextkeys")
		})
	}},
	{"ForAnyValue with IfExists", func(c *testCase) bool {
		return c.hasCondition(func(op, key string, _ values) bool {
			return strings.HasPrefix(op, "ForAnyValue:") && strings.HasSuffix(op, "IfExists") && c.lacks(key)
		})
	}},
	{"NotPrincipal that names a part", func(c *testCase) bool {
		return c.hasStatement(func(s *statement) bool { return len(s.NotPrincipal) > 0 })
	}},
	{"variables in ARNs", func(c *testCase) bool {
		return c.hasStatement(func(s *statement) bool {
			return slices.ContainsFunc(slices.Concat(s.Resource, s.NotResource), func(r string) bool { return strings.Contains(r, "${") })
		})
	}},
	{"escaped characters", func(c *testCase) bool {
		return c.hasCondition(func(_, _ string, v values) bool {
			return slices.ContainsFunc(v, func(text string) bool { return strings.Contains(text, "${*}") })
		})
	}},
	{"inverted operators, variables without a value", func(c *testCase) bool {
		return c.hasCondition(func(op, _ string, v values) bool {
			return strings.Contains(op, "Not") && slices.ContainsFunc(v, func(text string) bool { return strings.Contains(text, "${") })
		})
	}},
	{"session policy beside a principal that is not the role", func(c *testCase) bool {
		return c.Session != nil && c.Kind == "AssumedRole" && c.Account == c.Owner
	}},
	{"epoch seconds", func(c *testCase) bool {
		const seconds = "1795435200"
		return c.hasCondition(func(op, key string, v values) bool {
			return strings.Contains(op, "Date") && (slices.Contains(v, seconds) || c.first(key) == seconds)
		})
	}},
	{"exponents", func(c *testCase) bool {
		return c.hasCondition(func(op, key string, v values) bool {
			return strings.Contains(op, "Numeric") && (slices.Contains(v, "1e1") || c.first(key) == "1e1")
		})
	}},
	{"IPv4 and IPv6", func(c *testCase) bool {
		return c.hasCondition(func(op, key string, _ values) bool {
			return strings.Contains(op, "IpAddress") && strings.Contains(c.first(key), ":")
		})
	}},
	{"all IPv4 addresses", func(c *testCase) bool {
		return c.hasCondition(func(_, _ string, v values) bool { return slices.Contains(v, "0.0.0.0/0") })
	}},
	{"values of another type", func(c *testCase) bool {
		return c.hasCondition(func(_, key string, _ values) bool {
			return slices.Contains([]string{"somewhere", "no-arn", "ten", "tomorrow", "maybe", "ABC"}, c.first(key))
		})
	}},
}

// settledAs is the class of a disagreement, "" if it is of none.
func settledAs(c *testCase) string {
	for _, s := range settled {
		if s.is(c) {
			return s.name
		}
	}
	return ""
}

func (c *testCase) hasStatement(is func(*statement) bool) bool {
	return c.hasDocument(func(d *document) bool {
		return slices.ContainsFunc(d.Statement, func(s statement) bool { return is(&s) })
	})
}

func (c *testCase) hasDocument(is func(*document) bool) bool {
	all := slices.Clone(c.Identity)
	for _, d := range []*document{c.Boundary, c.Session, c.ResourcePolicy} {
		if d != nil {
			all = append(all, *d)
		}
	}
	all = slices.Concat(all, slices.Concat(c.ServiceControl...), slices.Concat(c.ResourceControl...))
	return slices.ContainsFunc(all, func(d document) bool { return is(&d) })
}

// hasCondition asks of all conditions, with the key in lower case.
func (c *testCase) hasCondition(is func(op, key string, v values) bool) bool {
	return c.hasStatement(func(s *statement) bool {
		for op, keys := range s.Condition {
			for key, v := range keys {
				if is(op, strings.ToLower(key), v) {
					return true
				}
			}
		}
		return false
	})
}

// first is the first value of a condition key, whose name is in lower case.
func (c *testCase) first(key string) string {
	for name, v := range c.Context {
		if strings.EqualFold(name, key) && len(v) > 0 {
			return v[0]
		}
	}
	return ""
}

func (c *testCase) lacks(key string) bool {
	for name := range c.Context {
		if strings.EqualFold(name, key) {
			return false
		}
	}
	return true
}
