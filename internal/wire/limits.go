package wire

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"unicode/utf8"
)

// limits are a shape's constraints, ready to be applied.
type limits struct {
	min, max            int64 // 0 is no bound
	pattern             string
	match               *regexp.Regexp
	sensitive           bool
	items, keys, values *limits
}

// limits makes the limits of a shape; nil if it is "".
func (c *codec) limits(name string) *limits {
	s := c.tables.shape(name)
	if s == nil {
		return nil
	}
	l := &limits{min: s.min, max: s.max, pattern: s.pattern, sensitive: s.sensitive,
		items: c.limits(s.items), keys: c.limits(s.keys), values: c.limits(s.values)}
	if s.pattern != "" && !c.rules.loose {
		l.match = regexp.MustCompile(`\A(?:` + goPattern(s.pattern) + `)\z`)
	}
	return l
}

var (
	unicodeEscape = regexp.MustCompile(`\\u([0-9A-F]{4})`)
	aliasPattern  = `^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$`
)

// goPattern says a pattern of a model, which is one of Java's, in Go's terms.
func goPattern(p string) string {
	if p == aliasPattern { // Go cannot look ahead; the shape's length bounds the rest
		return `[a-z0-9](?:-?[a-z0-9])+`
	}
	p = strings.ReplaceAll(p, `\u10000-\u10FFFF`, `\x{10000}-\x{10FFFF}`)
	return unicodeEscape.ReplaceAllString(p, `\x{$1}`)
}

// size is what bounds apply to: a number itself, or a length.
func size(p *plan, v reflect.Value) (n int64, word string) {
	switch p.kind {
	case intKind:
		return v.Int(), "value"
	case stringKind, enumKind:
		return int64(utf8.RuneCountInString(v.String())), "length"
	}
	return int64(v.Len()), "length"
}

// broken lists, in words, the constraints that v, of a scalar or a list or map
// as such, does not satisfy.
func (l *limits) broken(p *plan, v reflect.Value) []problem {
	var out []problem
	if l.max != 0 || l.min != 0 {
		n, word := size(p, v)
		if l.max != 0 && n > l.max {
			out = append(out, problem{kind: tooLarge, text: l.maxText(word)})
		}
		if l.min != 0 && n < l.min {
			out = append(out, problem{kind: tooSmall, text: l.minText(word)})
		}
	}
	if l.match != nil && p.kind == stringKind && !l.match.MatchString(v.String()) {
		out = append(out, problem{kind: unlike, text: l.patternText()})
	}
	return out
}

func (l *limits) maxText(word string) string {
	return fmt.Sprintf("Member must have %s less than or equal to %d", word, l.max)
}

func (l *limits) minText(word string) string {
	return fmt.Sprintf("Member must have %s greater than or equal to %d", word, l.min)
}

func (l *limits) patternText() string {
	return "Member must satisfy regular expression pattern: " + l.pattern
}

func enumText(values []string) string {
	return "Member must satisfy enum value set: [" + strings.Join(values, ", ") + "]"
}

// all lists, in words, every constraint on elements of type p: AWS reports them
// together, whichever is broken.
func (l *limits) all(p *plan) string {
	var out []string
	if l != nil {
		word := "length"
		if p.kind == intKind {
			word = "value"
		}
		if l.max != 0 {
			out = append(out, l.maxText(word))
		}
		if l.min != 0 || p.kind == stringKind && l.max != 0 {
			out = append(out, l.minText(word))
		}
		if l.match != nil {
			out = append(out, l.patternText())
		}
	}
	if p.kind == enumKind {
		out = append(out, enumText(p.values))
	}
	return "[" + strings.Join(out, ", ") + "]"
}
