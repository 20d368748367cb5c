package policy

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// A Match is a statement that applies to a request.
type Match struct {
	Side   Side
	Policy *Policy
	Index  int // of the statement, from 0
	Deny   bool
}

// Matches are the statements that apply, of all policies that have a say, in the
// order of evaluation. What they come to is for Decide to say.
func (q Question) Matches() []Match {
	var all []Match
	r := newRequest(&q)
	for _, a := range q.attached() {
		for _, p := range a.policies {
			for c := p.candidates(r.action); c.next(); {
				s := &p.Statements[c.at]
				if e, _, _ := s.check(&r); e == fits {
					all = append(all, Match{a.side, p, c.at, s.Deny})
				}
			}
		}
	}
	return all
}

// Missing are the condition keys that the request lacks and that statements about
// its action, and for its caller, ask for, as they name them, each once. Policies of
// organizations are not looked at.
func (q Question) Missing() []string {
	var all names
	r := newRequest(&q)
	for _, a := range q.attached() {
		if a.side == ServiceControl || a.side == ResourceControl {
			continue
		}
		for _, p := range a.policies {
			for c := p.candidates(r.action); c.next(); {
				s := &p.Statements[c.at]
				e, _, _ := s.check(&r)
				if e == unfitAction || e == unfitPrincipal {
					continue
				}
				s.eachKey(e != unfitResource, func(k *key) {
					if _, has := r.values(k); !has {
						all.add(k)
					}
				})
			}
		}
	}
	return all.list
}

// ContextKeys are the condition keys that the policy asks for in conditions and in
// variables, as it names them, each once.
func (p *Policy) ContextKeys() []string {
	var all names
	for i := range p.Statements {
		p.Statements[i].eachKey(true, all.add)
	}
	return all.list
}

// names are condition keys, each once, whatever its case.
type names struct {
	list []string
	seen map[string]bool
}

func (n *names) add(k *key) {
	if n.seen[k.low] {
		return
	}
	if n.seen == nil {
		n.seen = map[string]bool{}
	}
	n.seen[k.low] = true
	n.list = append(n.list, k.name)
}

// eachKey calls do for the keys of variables in the statement's resources and, if
// that is wanted, for those of its conditions and of variables in their values.
func (s *Statement) eachKey(conditions bool, do func(*key)) {
	for i := range s.resources {
		for j := range s.resources[i].fields {
			s.resources[i].fields[j].eachKey(do)
		}
	}
	for i := range s.conditions {
		if !conditions {
			return
		}
		c := &s.conditions[i]
		do(&c.key)
		for j := range c.values {
			c.values[j].tmpl.eachKey(do)
		}
	}
}

func (t *template) eachKey(do func(*key)) {
	for i := range t.pieces {
		if v := t.pieces[i].variable; v != nil {
			do(&v.key)
		}
	}
}

// A Position is a place in a policy's text. Lines and columns are counted from 1.
type Position struct{ Line, Column int }

// A Span is where a statement is in a policy's text.
type Span struct{ Start, End Position }

// Spans say of each statement where it is, as IAM's policy simulator counts: a
// statement in a list starts right after the bracket or comma before it, one that
// is alone right after its own brace, and both end right after their last brace.
func (p *Policy) Spans() []Span {
	d := json.NewDecoder(strings.NewReader(p.Text))
	var all []Span
	at := counter{text: p.Text}
	for {
		// The text has been parsed: errors are its end.
		t, err := d.Token()
		if err != nil {
			return all
		}
		name, ok := t.(string)
		var value json.RawMessage
		switch {
		case !ok: // the document's brace
		case name != "Statement":
			_ = d.Decode(&value)
		default:
			return at.statements(d)
		}
	}
}

// statements are the spans of the statements that d reads next.
func (c *counter) statements(d *json.Decoder) []Span {
	if t, _ := d.Token(); t == json.Delim('{') {
		s := Span{Start: c.position(int(d.InputOffset()))}
		depth := 1
		for depth > 0 {
			t, err := d.Token()
			switch {
			case err != nil:
				return nil
			case t == json.Delim('{') || t == json.Delim('['):
				depth++
			case t == json.Delim('}') || t == json.Delim(']'):
				depth--
			}
		}
		s.End = c.position(int(d.InputOffset()))
		return []Span{s}
	}
	var all []Span
	for {
		from := int(d.InputOffset())
		if !d.More() {
			return slices.Clip(all)
		}
		if len(all) > 0 {
			from += strings.IndexByte(c.text[from:], ',') + 1
		}
		s := Span{Start: c.position(from)}
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return nil
		}
		s.End = c.position(int(d.InputOffset()))
		all = append(all, s)
	}
}

// A counter tells lines and columns of a text at offsets that only grow.
type counter struct {
	text        string
	offset      int
	line, start int // lines before offset, and where the last of them ended
}

func (c *counter) position(offset int) Position {
	passed := c.text[c.offset:offset]
	c.line += strings.Count(passed, "\n")
	if i := strings.LastIndexByte(passed, '\n'); i >= 0 {
		c.start = c.offset + i + 1
	}
	c.offset = offset
	return Position{c.line + 1, utf8.RuneCountInString(c.text[c.start:offset]) + 1}
}

// A Wildcard is a pattern in which * stands for any run of characters and ? for
// any one.
type Wildcard struct{ glob glob }

// ParseWildcard reads a pattern. Every text is one.
func ParseWildcard(text string) Wildcard { return Wildcard{toGlob(text)} }

// Matches says whether s fits the pattern, in time that is linear in its length.
func (w Wildcard) Matches(s string) bool { return w.glob.match(s) }

// ValidValue says whether text is a value of a type of condition key: "string",
// "numeric", "boolean", "ip", "binary" or "date".
func ValidValue(kind, text string) bool {
	op, ok := valueOperators[kind]
	if !ok {
		return kind == "string"
	}
	_, ok = parseValue(operators[op], text, false)
	return ok
}

var valueOperators = map[string]string{
	"numeric": "NumericEquals", "boolean": "Bool", "ip": "IpAddress", "binary": "BinaryEquals", "date": "DateEquals",
}
