package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// A Document is a policy's text for editing: statements are added and removed
// one by one, and whatever is not touched stays as it was written, members in
// their order. The zero Document is an empty one of version 2012-10-17.
type Document struct {
	members    []rawMember // all but Statement, in order; nil in the zero Document
	place      int         // where among them Statement stood
	statements []json.RawMessage
}

type rawMember struct {
	name  string
	value json.RawMessage
}

// Values are one or several strings; one is written without brackets, as AWS's
// console does.
type Values []string

// MarshalJSON writes a single value as a string.
func (v Values) MarshalJSON() ([]byte, error) {
	if len(v) == 1 {
		return marshal(v[0])
	}
	return marshal([]string(v))
}

// An Entry is a statement to be written. Its members come out in this order,
// empty ones not at all.
type Entry struct {
	Sid       string                       `json:",omitempty"`
	Effect    string                       // "Allow" or "Deny"
	Principal map[PrincipalType]Values     `json:",omitempty"`
	Action    Values                       `json:",omitempty"`
	Resource  Values                       `json:",omitempty"`
	Condition map[string]map[string]Values `json:",omitempty"`
}

// ParseDocument reads a policy of any kind for editing. Errors are *Malformed.
func ParseDocument(text string) (*Document, error) {
	if _, err := Parse("document", text); err != nil {
		return nil, err
	}
	d := &Document{members: []rawMember{}}
	err := eachMember([]byte(text), func(name string, value json.RawMessage) error {
		if name != "Statement" {
			d.members = append(d.members, rawMember{name, value})
			return nil
		}
		d.place = len(d.members)
		if value[0] == '{' {
			d.statements = []json.RawMessage{value}
			return nil
		}
		return json.Unmarshal(value, &d.statements)
	})
	if err != nil {
		return nil, fmt.Errorf("edit policy document: %w", err)
	}
	return d, nil
}

// eachMember calls do for the members of a JSON object in their order.
func eachMember(object []byte, do func(string, json.RawMessage) error) error {
	dec := json.NewDecoder(bytes.NewReader(object))
	if _, err := dec.Token(); err != nil {
		return err
	}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return err
		}
		if err := do(t.(string), value); err != nil {
			return err
		}
	}
	return nil
}

// Sids are the statements' Sids in order; "" for one without.
func (d *Document) Sids() []string {
	out := make([]string, len(d.statements))
	for i, raw := range d.statements {
		out[i] = sidOf(raw)
	}
	return out
}

func sidOf(raw json.RawMessage) (sid string) {
	// A statement was a valid object when it came in, and Sid a string.
	_ = eachMember(raw, func(name string, value json.RawMessage) error {
		if name == "Sid" {
			return json.Unmarshal(value, &sid)
		}
		return nil
	})
	return sid
}

// Append adds a statement at the end. It refuses a Sid that is there already, and
// what would make the document malformed, such as a principal that cannot be one.
func (d *Document) Append(e Entry) error {
	if e.Sid != "" && slices.Contains(d.Sids(), e.Sid) {
		return fmt.Errorf("add statement %q: %w", e.Sid, repeatedSid(e.Sid))
	}
	raw, err := marshal(e)
	if err != nil {
		return fmt.Errorf("add statement %q: %w", e.Sid, err)
	}
	next := *d
	next.statements = append(slices.Clone(d.statements), raw)
	if _, err := Parse("document", next.String()); err != nil {
		return fmt.Errorf("add statement %q: %w", e.Sid, err)
	}
	*d = next
	return nil
}

// Remove takes out the statements with the given Sid and reports how many they were.
func (d *Document) Remove(sid string) int {
	before := len(d.statements)
	d.statements = slices.DeleteFunc(slices.Clone(d.statements), func(raw json.RawMessage) bool { return sidOf(raw) == sid })
	return before - len(d.statements)
}

// freeSid is sid, or sid and a number if there is a statement of that Sid.
func (d *Document) freeSid(sid string) string {
	taken := d.Sids()
	name := sid
	for n := 2; slices.Contains(taken, name); n++ {
		name = fmt.Sprint(sid, n)
	}
	return name
}

// except adds a condition to the statement at i, as one more value where there
// is such a condition already, and returns the statement.
func (d *Document) except(i int, operator, key, value string) (json.RawMessage, error) {
	quoted, err := marshal(value)
	if err != nil {
		return nil, err
	}
	path := []string{"Condition", operator, key}
	statement, err := insert(d.statements[i], path, quoted)
	if err != nil {
		return nil, fmt.Errorf("change statement %d: %w", i, err)
	}
	d.statements = slices.Clone(d.statements)
	d.statements[i] = statement
	return statement, nil
}

// insert puts value into the object, or objects in objects, under path; beside
// what is there already.
func insert(object json.RawMessage, path []string, value json.RawMessage) (json.RawMessage, error) {
	if len(path) == 0 {
		return appendValue(object, value)
	}
	if object == nil {
		object = json.RawMessage("{}")
	}
	var members []rawMember
	found := false
	err := eachMember(object, func(name string, was json.RawMessage) (err error) {
		if name == path[0] {
			found = true
			was, err = insert(was, path[1:], value)
		}
		members = append(members, rawMember{name, was})
		return err
	})
	if err != nil {
		return nil, err
	}
	if !found {
		inner, err := insert(nil, path[1:], value)
		if err != nil {
			return nil, err
		}
		members = append(members, rawMember{path[0], inner})
	}
	return writeObject(members), nil
}

// appendValue is was, a value or a list of them, with one more; nil is none.
func appendValue(was, value json.RawMessage) (json.RawMessage, error) {
	var list []json.RawMessage
	switch {
	case was == nil:
		return value, nil
	case was[0] != '[':
		list = []json.RawMessage{was}
	default:
		if err := json.Unmarshal(was, &list); err != nil {
			return nil, err
		}
	}
	return marshal(append(list, value))
}

// writeObject is an object of members in their order.
func writeObject(members []rawMember) json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range members {
		if i > 0 {
			b.WriteByte(',')
		}
		name, _ := marshal(m.name) // a string always marshals
		b.Write(name)
		b.WriteByte(':')
		b.Write(m.value)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// String is the document, indented by two spaces. A document without statements
// is no valid policy.
func (d *Document) String() string {
	members, place := d.members, d.place
	if members == nil {
		members, place = []rawMember{{"Version", json.RawMessage(`"` + version2012 + `"`)}}, 1
	}
	statements, _ := marshal(d.statements) // raw JSON that was read from JSON
	if len(d.statements) == 0 {
		statements = []byte("[]")
	}
	members = slices.Insert(slices.Clone(members), place, rawMember{"Statement", statements})
	text := writeObject(members)
	var out bytes.Buffer
	if err := json.Indent(&out, text, "", "  "); err != nil {
		return string(text)
	}
	return out.String()
}

// marshal is json.Marshal that leaves <, > and & as they are.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}
