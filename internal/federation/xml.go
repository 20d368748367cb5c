package federation

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/beevik/etree"
)

const (
	maxResponse = 100000 // bytes of XML
	maxDepth    = 50
	maxElements = 5000
	maxAttrs    = 50 // of an element
	maxSpaces   = 64 // declarations of namespaces, in all
)

// readXML reads a document, and refuses all that has no place in a response and
// has served to make two readers see two things: document types, entities,
// comments, processing instructions, two attributes of one name and two elements
// of one ID.
func readXML(text []byte) (*etree.Document, error) {
	if len(text) > maxResponse {
		return nil, fmt.Errorf("%d bytes of XML: %w", len(text), ErrMalformed)
	}
	if err := plain(text); err != nil {
		return nil, err
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(text); err != nil || doc.Root() == nil {
		return nil, fmt.Errorf("XML: %w", ErrMalformed)
	}
	return doc, nil
}

func plain(text []byte) error {
	d := xml.NewDecoder(bytes.NewReader(text))
	s := scan{ids: map[string]bool{}}
	for {
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			if s.depth != 0 || s.elements == 0 {
				return fmt.Errorf("XML: %w", ErrMalformed)
			}
			return nil
		}
		if err != nil || !s.takes(token, d.InputOffset()) {
			return fmt.Errorf("XML: %w", ErrMalformed)
		}
	}
}

// A scan is what was seen of a document.
type scan struct {
	depth, elements, spaces int
	ids                     map[string]bool
}

// takes says whether a token, which ends at an offset, may be where it is.
func (s *scan) takes(token xml.Token, end int64) bool {
	switch t := token.(type) {
	case xml.StartElement:
		s.depth++
		s.elements++
		again := s.elements > 1 && s.depth == 1
		return !again && s.depth <= maxDepth && s.elements <= maxElements && s.attributes(t.Attr)
	case xml.EndElement:
		s.depth--
		return s.depth >= 0
	case xml.CharData:
		return s.depth > 0 || len(bytes.TrimSpace(t)) == 0
	case xml.ProcInst:
		return t.Target == "xml" && s.elements == 0 && end < 200
	}
	return false
}

func (s *scan) attributes(all []xml.Attr) bool {
	seen := map[xml.Name]bool{}
	for _, a := range all {
		if seen[a.Name] {
			return false
		}
		seen[a.Name] = true
		if a.Name.Space == "xmlns" || a.Name == (xml.Name{Local: "xmlns"}) {
			s.spaces++
		}
		if strings.EqualFold(a.Name.Local, "ID") && a.Name.Space != "xmlns" {
			if a.Value == "" || s.ids[a.Value] {
				return false
			}
			s.ids[a.Value] = true
		}
	}
	return len(all) <= maxAttrs && s.spaces <= maxSpaces
}

// under are the elements of a tree with a name in a namespace, the tree's root
// among them.
func under(e *etree.Element, space, name string) []*etree.Element {
	var all []*etree.Element
	if e.Tag == name && e.NamespaceURI() == space {
		all = append(all, e)
	}
	for _, c := range e.ChildElements() {
		all = append(all, under(c, space, name)...)
	}
	return all
}

// children are the elements right below e with a name in a namespace.
func children(e *etree.Element, space, name string) []*etree.Element {
	var all []*etree.Element
	for _, c := range e.ChildElements() {
		if c.Tag == name && c.NamespaceURI() == space {
			all = append(all, c)
		}
	}
	return all
}

// only is the one element right below e with a name in a namespace; nil if there
// is none, or another one.
func only(e *etree.Element, space, name string) *etree.Element {
	if all := children(e, space, name); len(all) == 1 {
		return all[0]
	}
	return nil
}
