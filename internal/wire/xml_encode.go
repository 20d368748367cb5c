package wire

import (
	"encoding/base64"
	"fmt"
	"reflect"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/aws/smithy-go"
)

// xmlType is the content type of a query service's answers.
const xmlType = "text/xml"

// encodeXML writes <XResponse>, in it <XResult> unless the operation has no
// output, and the request's id.
func (s *Service) encodeXML(o *Operation, requestID string, out any) ([]byte, error) {
	b := make([]byte, 0, 1024)
	b = append(append(append(b, '<'), o.Name...), `Response xmlns="`...)
	b = append(append(b, s.Namespace...), `">`...)
	if !o.Empty {
		p, v, err := s.planOf(out, o.Name, "Output")
		if err != nil {
			return nil, fmt.Errorf("encode answer: %w", err)
		}
		w := xmlWriter{b: b, millis: s.Name == "rds"}
		w.open(o.Name + "Result")
		w.value(p, v, "")
		w.close(o.Name + "Result")
		b = w.b
	}
	b = append(b, "<ResponseMetadata><RequestId>"...)
	b = append(appendText(b, requestID), "</RequestId></ResponseMetadata></"...)
	return append(append(b, o.Name...), "Response>"...), nil
}

// errorXML writes err as the query services do.
func (s *Service) errorXML(requestID string, status int, err smithy.APIError) []byte {
	b := append([]byte(`<ErrorResponse xmlns="`), s.Namespace...)
	who := "Sender"
	if status >= 500 {
		who = "Receiver"
	}
	b = append(append(append(b, `"><Error><Type>`...), who...), "</Type><Code>"...)
	b = append(appendText(b, err.ErrorCode()), "</Code>"...)
	b = append(appendText(append(b, "<Message>"...), err.ErrorMessage()), "</Message></Error><RequestId>"...)
	return append(appendText(b, requestID), "</RequestId></ErrorResponse>"...)
}

// An xmlWriter writes values as their plans say.
type xmlWriter struct {
	b []byte
	// millis says that times always have milliseconds, as RDS's have. IAM and
	// STS say whole seconds if it is such.
	millis bool
}

func (w *xmlWriter) open(name string) { w.b = append(append(append(w.b, '<'), name...), '>') }

func (w *xmlWriter) close(name string) { w.b = append(append(append(w.b, '<', '/'), name...), '>') }

// value writes what goes between the tags of v, which is not absent. element is
// what the elements are called if v is a list.
func (w *xmlWriter) value(p *plan, v reflect.Value, element string) {
	switch p.kind {
	case stringKind, enumKind:
		w.b = appendText(w.b, v.String())
	case boolKind:
		w.b = strconv.AppendBool(w.b, v.Bool())
	case intKind:
		w.b = strconv.AppendInt(w.b, v.Int(), 10)
	case floatKind:
		w.b = strconv.AppendFloat(w.b, v.Float(), 'f', -1, 64)
	case timeKind:
		w.time(v.Interface().(time.Time))
	case blobKind:
		w.b = base64.StdEncoding.AppendEncode(w.b, v.Bytes())
	case pointerKind:
		w.value(p.elem, v.Elem(), element)
	case listKind:
		for i := range v.Len() {
			w.open(element)
			w.value(p.elem, v.Index(i), "member")
			w.close(element)
		}
	case mapKind:
		w.mapping(p, v)
	case structKind:
		for i := range p.fields {
			w.field(&p.fields[i], v.Field(p.fields[i].index))
		}
	}
}

// field writes a member, if it is present.
func (w *xmlWriter) field(f *field, v reflect.Value) {
	if f.plan.absent(v) {
		return
	}
	w.open(f.name)
	w.value(f.plan, v, f.element)
	w.close(f.name)
}

// mapping writes a map in the order of its keys.
func (w *xmlWriter) mapping(p *plan, v reflect.Value) {
	for _, k := range sortedKeys(v) {
		w.b = append(w.b, "<entry><key>"...)
		w.b = append(appendText(w.b, k.String()), "</key><value>"...)
		w.value(p.elem, v.MapIndex(k), "member")
		w.b = append(w.b, "</value></entry>"...)
	}
}

func (w *xmlWriter) time(t time.Time) {
	layout := "2006-01-02T15:04:05.000Z"
	if !w.millis && t.Nanosecond()/1e6 == 0 {
		layout = "2006-01-02T15:04:05Z"
	}
	w.b = t.UTC().AppendFormat(w.b, layout)
}

// appendText writes character data. Characters that XML cannot hold, and bytes
// that are not UTF-8, become U+FFFD.
func appendText(b []byte, s string) []byte {
	start := 0
	for i := 0; i < len(s); {
		if c := s[i]; c >= ' ' && c < utf8.RuneSelf && c != '<' && c != '>' && c != '&' && c != '"' {
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if esc := escape(r, n); esc != "" {
			b = append(append(b, s[start:i]...), esc...)
			start = i + n
		}
		i += n
	}
	return append(b, s[start:]...)
}

// escape is what is written for r, of n bytes, or "" for r itself. A carriage
// return would be read as a newline, and white space of attributes as blanks.
func escape(r rune, n int) string {
	switch {
	case r == '<':
		return "&lt;"
	case r == '>':
		return "&gt;"
	case r == '&':
		return "&amp;"
	case r == '"':
		return "&quot;"
	case r == '\r':
		return "&#xD;"
	case r == '\n' || r == '\t':
		return ""
	case r < ' ', r == 0xFFFE, r == 0xFFFF, r == utf8.RuneError && n == 1:
		return "\uFFFD"
	}
	return ""
}
