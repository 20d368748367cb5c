package identity

import (
	"encoding/json"
	"fmt"
	"strings"
)

// mapPrincipals returns document text with f(p) in place of every principal p of
// type AWS, "*" included where it stands as "AWS": "*". All else, the white
// space too, stays as it is.
func mapPrincipals(text string, f func(string) string) (string, error) {
	w := rewriter{text: text, dec: json.NewDecoder(strings.NewReader(text)), f: f}
	if err := w.value(elsewhere); err != nil {
		return "", fmt.Errorf("rewrite principals: %w", err)
	}
	return w.out.String() + text[w.copied:], nil
}

// A place is where in a document a value stands.
type place int

const (
	elsewhere   place = iota
	inPrincipal       // the value of Principal or NotPrincipal
	inAWS             // the value of AWS in there
)

// under is the place of the value of member name of an object at p.
func (p place) under(name string) place {
	switch {
	case p == elsewhere && (name == "Principal" || name == "NotPrincipal"):
		return inPrincipal
	case p == inPrincipal && name == "AWS":
		return inAWS
	}
	return elsewhere
}

// A rewriter copies a JSON text, changing some strings.
type rewriter struct {
	text   string
	dec    *json.Decoder
	f      func(string) string
	out    strings.Builder
	copied int // how much of text is in out, changed or not
}

// value copies the next value, which stands at p.
func (w *rewriter) value(p place) error {
	before := int(w.dec.InputOffset())
	token, err := w.dec.Token()
	if err != nil {
		return err
	}
	switch t := token.(type) {
	case string:
		if p == inAWS {
			w.replace(before, t)
		}
	case json.Delim:
		return w.members(t, p)
	}
	return nil
}

// members copies what an object or list that began with open holds, and its end.
func (w *rewriter) members(open json.Delim, p place) error {
	for w.dec.More() {
		at := p
		if open == '{' {
			name, err := w.dec.Token()
			if err != nil {
				return err
			}
			at = p.under(name.(string))
		}
		if err := w.value(at); err != nil {
			return err
		}
	}
	_, err := w.dec.Token()
	return err
}

// replace puts f(value) in place of the string whose quotes come after before.
func (w *rewriter) replace(before int, value string) {
	start := before + strings.IndexByte(w.text[before:], '"')
	quoted, _ := json.Marshal(w.f(value)) // strings can be marshalled
	w.out.WriteString(w.text[w.copied:start])
	w.out.Write(quoted)
	w.copied = int(w.dec.InputOffset())
}
