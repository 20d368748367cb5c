package wire

import (
	"encoding/base64"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/aws/smithy-go"
)

// jsonType is the content type of requests and answers.
const jsonType = "application/x-amz-json-1.1"

func (s *Service) encodeJSON(o *Operation, out any) ([]byte, error) {
	if o.Empty {
		return nil, nil
	}
	p, v, err := s.planOf(out, o.Name, "Output")
	if err != nil {
		return nil, fmt.Errorf("encode answer: %w", err)
	}
	return appendJSON(make([]byte, 0, 512), p, v), nil
}

// appendJSON writes v, which is not absent.
func appendJSON(b []byte, p *plan, v reflect.Value) []byte {
	switch p.kind {
	case stringKind, enumKind:
		return appendString(b, v.String())
	case boolKind:
		return strconv.AppendBool(b, v.Bool())
	case intKind:
		return strconv.AppendInt(b, v.Int(), 10)
	case floatKind:
		return strconv.AppendFloat(b, v.Float(), 'g', -1, 64)
	case timeKind:
		return appendEpoch(b, v.Interface().(time.Time))
	case blobKind:
		b = base64.StdEncoding.AppendEncode(append(b, '"'), v.Bytes())
		return append(b, '"')
	case pointerKind:
		return appendJSON(b, p.elem, v.Elem())
	case listKind:
		b = append(b, '[')
		for i := range v.Len() {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, p.elem, v.Index(i))
		}
		return append(b, ']')
	case mapKind:
		return appendMap(b, p, v)
	case structKind:
		return appendStruct(b, p, v)
	}
	return append(b, "null"...) // a union, which no JSON service has
}

// appendStruct writes the members that are present.
func appendStruct(b []byte, p *plan, v reflect.Value) []byte {
	b = append(b, '{')
	start := len(b)
	for i := range p.fields {
		f := &p.fields[i]
		fv := v.Field(f.index)
		if f.plan.absent(fv) {
			continue
		}
		if len(b) > start {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), f.name...), '"', ':')
		b = appendJSON(b, f.plan, fv)
	}
	return append(b, '}')
}

// appendMap writes a map in the order of its keys.
func appendMap(b []byte, p *plan, v reflect.Value) []byte {
	b = append(b, '{')
	for i, k := range sortedKeys(v) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, k.String()), ':')
		b = appendJSON(b, p.elem, v.MapIndex(k))
	}
	return append(b, '}')
}

func sortedKeys(v reflect.Value) []reflect.Value {
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int {
		switch {
		case a.String() < b.String():
			return -1
		case a.String() > b.String():
			return 1
		}
		return 0
	})
	return keys
}

// absent reports whether a member with the value v is left out: nil, or an enum
// or a union that is not set. Numbers and booleans that are no pointers always
// have a value.
func (p *plan) absent(v reflect.Value) bool {
	switch p.kind {
	case enumKind:
		return v.Len() == 0
	case pointerKind, listKind, mapKind, blobKind, unionKind:
		return v.IsNil()
	}
	return false
}

// appendEpoch writes a time as seconds since 1970, with milliseconds if there
// are any.
func appendEpoch(b []byte, t time.Time) []byte {
	ms := t.UnixMilli()
	if ms < 0 {
		b, ms = append(b, '-'), -ms
	}
	b = strconv.AppendInt(b, ms/1000, 10)
	if frac := ms % 1000; frac != 0 {
		b = append(b, '.', byte('0'+frac/100), byte('0'+frac/10%10), byte('0'+frac%10))
	}
	return b
}

// appendString writes a JSON string. Bytes that are not UTF-8 become U+FFFD.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			if r, n := utf8.DecodeRuneInString(s[i:]); r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
		}
		b = append(b, s[start:i]...)
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c < ' ':
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			b = utf8.AppendRune(b, utf8.RuneError)
		}
		i++
		start = i
	}
	return append(append(b, s[start:]...), '"')
}

// errorJSON writes err as KMS does: no message if it has none, and Message
// with a capital for AccessDeniedException and in Organizations. Exceptions that
// have a Reason say it.
func (s *Service) errorJSON(err smithy.APIError) []byte {
	b := appendString([]byte(`{"__type":`), err.ErrorCode())
	if m := err.ErrorMessage(); m != "" {
		name := `,"message":`
		if err.ErrorCode() == "AccessDeniedException" || s.Name == "organizations" {
			name = `,"Message":`
		}
		b = appendString(append(b, name...), m)
	}
	if r := reasonOf(err); r != "" {
		b = appendString(append(b, `,"Reason":`...), r)
	}
	return append(b, '}')
}

// reasonOf is the Reason of an exception that has one.
func reasonOf(err smithy.APIError) string {
	v := reflect.Indirect(reflect.ValueOf(err))
	if v.Kind() != reflect.Struct {
		return ""
	}
	if f := v.FieldByName("Reason"); f.Kind() == reflect.String {
		return f.String()
	}
	return ""
}
