package policy

import (
	"encoding/json"
	"fmt"
	"strings"
)

// ReplacePrincipals writes a policy's text again with other names for its
// principals: with is asked for each, and answers p.Value to keep it. Nothing
// else in the text changes, not even white space.
//
// AWS binds a policy to the unique ids of the users and roles that it names, so
// that one made later under the same name is not let in. A service does so by
// storing the text with ids for ARNs, and showing it with ARNs for the ids of
// those that still exist. Errors are *Malformed.
func ReplacePrincipals(text string, with func(p Principal) string) (string, error) {
	if _, err := Parse("document", text); err != nil {
		return "", err
	}
	r := replacer{dec: json.NewDecoder(strings.NewReader(text)), text: text, with: with}
	if err := r.object(r.document); err != nil {
		return "", fmt.Errorf("replace principals: %w", err)
	}
	return r.out.String() + text[r.copied:], nil
}

// A replacer walks a document that Parse has accepted, and so need not ask
// whether things are what they should be.
type replacer struct {
	dec    *json.Decoder
	text   string
	with   func(Principal) string
	out    strings.Builder
	copied int64 // how much of text is in out, or replaced there
}

// object reads an object, calling member for each name with the decoder at its value.
func (r *replacer) object(member func(name string) error) error {
	if _, err := r.dec.Token(); err != nil {
		return err
	}
	for r.dec.More() {
		name, err := r.dec.Token()
		if err != nil {
			return err
		}
		if err := member(name.(string)); err != nil {
			return err
		}
	}
	_, err := r.dec.Token()
	return err
}

// oneOrMore reads a value or a list of such values.
func (r *replacer) oneOrMore(value func() error) error {
	if r.next() != '[' {
		return value()
	}
	if _, err := r.dec.Token(); err != nil {
		return err
	}
	for r.dec.More() {
		if err := value(); err != nil {
			return err
		}
	}
	_, err := r.dec.Token()
	return err
}

func (r *replacer) skip() error {
	var value json.RawMessage
	return r.dec.Decode(&value)
}

func (r *replacer) document(name string) error {
	if name != "Statement" {
		return r.skip()
	}
	return r.oneOrMore(func() error { return r.object(r.statement) })
}

func (r *replacer) statement(name string) error {
	if name != "Principal" && name != "NotPrincipal" || r.next() != '{' {
		return r.skip()
	}
	return r.object(func(kind string) error {
		return r.oneOrMore(func() error { return r.principal(PrincipalType(kind)) })
	})
}

func (r *replacer) principal(t PrincipalType) error {
	start := r.start()
	token, err := r.dec.Token()
	if err != nil {
		return err
	}
	p, _ := parsePrincipal(t, token.(string)) // Parse has read it already
	value := r.with(p)
	if value == p.Value {
		return nil
	}
	quoted, err := marshal(value)
	if err != nil {
		return err
	}
	r.out.WriteString(r.text[r.copied:start])
	r.out.Write(quoted)
	r.copied = r.dec.InputOffset()
	return nil
}

// start is where the next value begins.
func (r *replacer) start() int64 {
	at := r.dec.InputOffset()
	for strings.IndexByte(" \t\r\n,:", r.text[at]) >= 0 {
		at++
	}
	return at
}

func (r *replacer) next() byte { return r.text[r.start()] }
