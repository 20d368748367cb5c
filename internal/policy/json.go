package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth is how deep a document may nest. The deepest place that means
// anything, a value in a list under a condition key, is the seventh.
const maxDepth = 12

// A node is a JSON value that kept the order of its members and refused a name
// that comes twice: encoding/json into structs would let both pass silently,
// and two readers of one policy might then see two different policies.
type node struct {
	kind    byte // '{', '[', 's'tring, 'n'umber, 'b'oolean, '0' for null
	text    string
	members []member
	items   []node
	in      extent
}

type member struct {
	name  string
	at    extent // of the name
	value node
}

// An extent is a part of a text, in bytes: its first one, and the one after it.
type extent struct{ from, to int }

// A jsonError says why a text cannot be read as JSON, and where.
type jsonError struct {
	says string
	in   extent
}

func (e *jsonError) Error() string { return e.says }

// readJSON reads text, which must be one JSON value and nothing after it. Errors
// are *jsonError.
func readJSON(text string) (node, error) {
	if !utf8.ValidString(text) {
		return node{}, &jsonError{"is not UTF-8", extent{0, len(text)}}
	}
	if !json.Valid([]byte(text)) {
		return node{}, invalidJSON(text)
	}
	r := nodeReader{text: text, Decoder: json.NewDecoder(strings.NewReader(text))}
	r.UseNumber()
	return r.node(1)
}

// invalidJSON says where text ceases to be JSON.
func invalidJSON(text string) error {
	e := &jsonError{"is not JSON", extent{0, len(text)}}
	var v json.RawMessage
	if s, ok := errors.AsType[*json.SyntaxError](json.Unmarshal([]byte(text), &v)); ok {
		e.in.to = min(int(s.Offset), len(text))
		e.in.from = max(e.in.to-1, 0)
	}
	return e
}

// A nodeReader reads text that is valid JSON.
type nodeReader struct {
	text string
	*json.Decoder
}

// token is the next token, and where it is.
func (r *nodeReader) token() (json.Token, extent) {
	from := int(r.InputOffset())
	t, _ := r.Token() // the text is valid, and asked for no token after its end
	for strings.IndexByte(" \t\r\n:,", r.text[from]) >= 0 {
		from++
	}
	return t, extent{from, int(r.InputOffset())}
}

func (r *nodeReader) node(depth int) (node, error) {
	t, in := r.token()
	switch v := t.(type) {
	case json.Delim:
		if depth > maxDepth {
			return node{}, &jsonError{fmt.Sprintf("nests deeper than %d levels", maxDepth), in}
		}
		n := node{kind: byte(v), in: in}
		if v == '{' {
			err := r.object(&n, depth)
			return n, err
		}
		err := r.array(&n, depth)
		return n, err
	case string:
		return node{kind: 's', text: v, in: in}, nil
	case json.Number:
		return node{kind: 'n', text: v.String(), in: in}, nil
	case bool:
		return node{kind: 'b', text: strconv.FormatBool(v), in: in}, nil
	}
	return node{kind: '0', in: in}, nil
}

func (r *nodeReader) object(n *node, depth int) error {
	seen := map[string]bool{}
	for r.More() {
		t, at := r.token()
		name := t.(string) // JSON that is valid has nothing else here
		if seen[name] {
			return &jsonError{fmt.Sprintf("has %q twice", name), at}
		}
		seen[name] = true
		v, err := r.node(depth + 1)
		if err != nil {
			return err
		}
		n.members = append(n.members, member{name, at, v})
	}
	_, end := r.token()
	n.in.to = end.to
	return nil
}

func (r *nodeReader) array(n *node, depth int) error {
	for r.More() {
		v, err := r.node(depth + 1)
		if err != nil {
			return err
		}
		n.items = append(n.items, v)
	}
	_, end := r.token()
	n.in.to = end.to
	return nil
}

// list is a string, or a list of strings, as a list; ok is false for anything else.
func (n node) list() (out []string, ok bool) {
	if n.kind == 's' {
		return []string{n.text}, true
	}
	if n.kind != '[' {
		return nil, false
	}
	for _, i := range n.items {
		if i.kind != 's' {
			return nil, false
		}
		out = append(out, i.text)
	}
	return out, true
}

// scalars is list for condition values, which may be numbers and booleans too.
func (n node) scalars() (out []string, ok bool) {
	switch n.kind {
	case 's', 'n', 'b':
		return []string{n.text}, true
	case '[':
	default:
		return nil, false
	}
	for _, i := range n.items {
		if i.kind != 's' && i.kind != 'n' && i.kind != 'b' {
			return nil, false
		}
		out = append(out, i.text)
	}
	return out, true
}
