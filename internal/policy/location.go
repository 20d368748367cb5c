package policy

import (
	"slices"
	"sort"
	"strings"
	"unicode/utf8"
)

// A Location is a part of a document. It marshals to JSON as IAM Access Analyzer writes it.
type Location struct {
	// Path leads from the document to the value that the part is, or to the name of a
	// member.
	Path []Step `json:"path"`
	Span struct {
		Start Mark `json:"start"`
		End   Mark `json:"end"` // what is right behind
	} `json:"span"`
}

// A Step of a path goes to the value of an object's member or to its name, or to an
// element of an array. One of its fields is set.
type Step struct {
	Value string `json:"value,omitempty"`
	Key   string `json:"key,omitempty"`
	Index *int   `json:"index,omitempty"` // from 0
}

// A Mark is a place between two characters of a document.
type Mark struct {
	Line   int `json:"line"`   // from 1
	Column int `json:"column"` // in characters, from 0
	Offset int `json:"offset"` // in characters, from 0
}

// A locator says where parts of a text are.
type locator struct {
	text  string
	root  *node
	lines []int // where lines begin, in bytes
	// before counts the characters before each byte; nil if all are one byte.
	before []int
}

func newLocator(text string, root *node) *locator {
	l := &locator{text: text, root: root, lines: []int{0}}
	for i := range len(text) {
		if text[i] == '\n' {
			l.lines = append(l.lines, i+1)
		}
	}
	if strings.IndexFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) < 0 {
		return l
	}
	l.before = make([]int, len(text)+1)
	n := 0
	for i := range len(text) {
		l.before[i] = n
		if i+1 == len(text) || utf8.RuneStart(text[i+1]) {
			n++
		}
	}
	l.before[len(text)] = n
	return l
}

func (l *locator) all(in []extent) []Location {
	out := make([]Location, len(in))
	for i, e := range in {
		out[i].Path = l.path(e)
		out[i].Span.Start, out[i].Span.End = l.mark(e.from), l.mark(e.to)
	}
	return out
}

func (l *locator) mark(at int) Mark {
	line := sort.SearchInts(l.lines, at+1)
	return Mark{Line: line, Column: l.characters(at) - l.characters(l.lines[line-1]), Offset: l.characters(at)}
}

func (l *locator) characters(at int) int {
	if l.before == nil {
		return at
	}
	return l.before[at]
}

// path leads to the smallest value that e is in.
func (l *locator) path(e extent) []Step {
	path := []Step{}
	for n := l.root; n.in != e; {
		if n.kind == '[' {
			i, found := slices.BinarySearchFunc(n.items, e, func(i node, e extent) int { return i.in.compare(e) })
			if !found {
				return path
			}
			path, n = append(path, Step{Index: &i}), &n.items[i]
			continue
		}
		i, found := slices.BinarySearchFunc(n.members, e, func(m member, e extent) int { return extent{m.at.from, m.value.in.to}.compare(e) })
		if !found {
			return path
		}
		m := &n.members[i]
		if m.at == e {
			return append(path, Step{Key: m.name})
		}
		path, n = append(path, Step{Value: m.name}), &m.value
	}
	return path
}

// compare says whether e is before o, or holds it, or is behind it.
func (e extent) compare(o extent) int {
	switch {
	case e.to <= o.from:
		return -1
	case e.from >= o.to:
		return 1
	}
	return 0
}
