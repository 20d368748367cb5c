package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
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
}

type member struct {
	name  string
	value node
}

// readJSON reads text, which must be one JSON value and nothing after it.
func readJSON(text string) (node, error) {
	if !utf8.ValidString(text) {
		return node{}, fmt.Errorf("is not UTF-8")
	}
	if !json.Valid([]byte(text)) {
		return node{}, fmt.Errorf("is not JSON")
	}
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	n, err := readNode(d, 1)
	if err != nil {
		return node{}, err
	}
	if _, err := d.Token(); err != io.EOF {
		return node{}, fmt.Errorf("goes on after its end")
	}
	return n, nil
}

func readNode(d *json.Decoder, depth int) (node, error) {
	t, err := d.Token()
	if err != nil {
		return node{}, err
	}
	switch v := t.(type) {
	case json.Delim:
		if depth > maxDepth {
			return node{}, fmt.Errorf("nests deeper than %d levels", maxDepth)
		}
		if v == '{' {
			return readObject(d, depth)
		}
		return readArray(d, depth)
	case string:
		return node{kind: 's', text: v}, nil
	case json.Number:
		return node{kind: 'n', text: v.String()}, nil
	case bool:
		return node{kind: 'b', text: fmt.Sprint(v)}, nil
	}
	return node{kind: '0'}, nil
}

func readObject(d *json.Decoder, depth int) (node, error) {
	n := node{kind: '{'}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return node{}, err
		}
		name := t.(string) // JSON that is valid has nothing else here
		if seen[name] {
			return node{}, fmt.Errorf("has %q twice", name)
		}
		seen[name] = true
		v, err := readNode(d, depth+1)
		if err != nil {
			return node{}, err
		}
		n.members = append(n.members, member{name, v})
	}
	_, err := d.Token()
	return n, err
}

func readArray(d *json.Decoder, depth int) (node, error) {
	n := node{kind: '['}
	for d.More() {
		v, err := readNode(d, depth+1)
		if err != nil {
			return node{}, err
		}
		n.items = append(n.items, v)
	}
	_, err := d.Token()
	return n, err
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
