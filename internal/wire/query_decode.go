package wire

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/smithy-go"
)

// maxParameters is how many parameters a query request may have.
const maxParameters = 10000

// A parameter of a query request: "Tags.Tag.1.Key", "team".
type parameter struct{ key, value string }

// Action is the operation that form-encoded parameters name, or "". The first
// counts, as it does when the rest is decoded.
func Action(body []byte) string {
	for pair := range bytes.SplitSeq(body, []byte{'&'}) {
		if value, ok := bytes.CutPrefix(pair, []byte("Action=")); ok {
			name, _ := unescape(value)
			return name
		}
	}
	return ""
}

// readQuery reads form-encoded parameters into v. Parameters that the
// operation does not have are passed over, as AWS does; of parameters given
// twice the first counts. The elements of a list are numbered behind any word,
// or behind the list's own name; the numbers say their order and need not be
// dense.
func (c *codec) readQuery(p *plan, v reflect.Value, body []byte) error {
	ps, err := parse(body)
	if err != nil {
		return err
	}
	_, err = queryDecoder{c.rules}.structure(p, v, ps, 0)
	return err
}

// parse splits and unescapes parameters, and sorts them so that those below a
// common name stand together. A parameter of that very name may stand apart
// from them ("A", "A-b", "A.1"), which matters to no value that can be read.
func parse(body []byte) ([]parameter, error) {
	n := 1 + bytes.Count(body, []byte{'&'})
	if n > maxParameters {
		return nil, malformedQuery(fmt.Sprintf("The request has more than %d parameters.", maxParameters))
	}
	ps := make([]parameter, 0, n)
	for pair := range bytes.SplitSeq(body, []byte{'&'}) {
		if len(pair) == 0 {
			continue
		}
		k, v, _ := bytes.Cut(pair, []byte{'='})
		key, ok := unescape(k)
		value, ok2 := unescape(v)
		if !ok || !ok2 {
			return nil, malformedQuery("The query string contains a syntax error")
		}
		ps = append(ps, parameter{key, value})
	}
	slices.SortStableFunc(ps, func(a, b parameter) int { return strings.Compare(a.key, b.key) })
	return ps, nil
}

func malformedQuery(message string) error {
	return &smithy.GenericAPIError{Code: "MalformedQueryString", Message: message, Fault: smithy.FaultClient}
}

// unescape decodes percent-encoding and plus signs. What it makes must be UTF-8.
func unescape(b []byte) (string, bool) {
	if bytes.IndexByte(b, '%') < 0 && bytes.IndexByte(b, '+') < 0 {
		return string(b), utf8.Valid(b)
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '+':
			out = append(out, ' ')
		case '%':
			if i+2 >= len(b) {
				return "", false
			}
			n, err := strconv.ParseUint(string(b[i+1:i+3]), 16, 8)
			if err != nil {
				return "", false
			}
			out = append(out, byte(n))
			i += 2
		default:
			out = append(out, b[i])
		}
	}
	return string(out), utf8.Valid(out)
}

// A queryDecoder reads values as their plans say. Its methods take the
// parameters of one value, and how much of their keys has been read; they
// report whether there was a value.
type queryDecoder struct {
	rules rules
}

// segment is the part of the key from at to the next dot or the end.
func segment(key string, at int) string {
	s, _, _ := strings.Cut(key[at:], ".")
	return s
}

// groups calls fn for every run of parameters whose next segment is the same.
// Parameters that end at at, and have no next segment, are left out.
func groups(ps []parameter, at int, fn func(seg string, ps []parameter, at int) error) error {
	for len(ps) > 0 && len(ps[0].key) < at {
		ps = ps[1:]
	}
	for i := 0; i < len(ps); {
		seg := segment(ps[i].key, at)
		end := at + len(seg)
		j := i + 1
		for j < len(ps) && segment(ps[j].key, at) == seg {
			j++
		}
		if err := fn(seg, ps[i:j], end); err != nil {
			return err
		}
		i = j
	}
	return nil
}

// exact is the value of the parameter that ends at at: the one whose key is
// the whole name. It sorts first.
func exact(ps []parameter, at int) (string, bool) {
	if len(ps) > 0 && len(ps[0].key) == at {
		return ps[0].value, true
	}
	return "", false
}

func (d queryDecoder) value(p *plan, v reflect.Value, ps []parameter, at int) (bool, error) {
	switch p.kind {
	case pointerKind:
		to := reflect.New(p.elem.typ)
		ok, err := d.value(p.elem, to.Elem(), ps, at)
		if ok {
			v.Set(to)
		}
		return ok, err
	case structKind:
		return d.structure(p, v, ps, at+1)
	case listKind:
		return d.list(p, v, ps, at)
	case mapKind:
		return d.mapping(p, v, ps, at)
	case unionKind:
		return d.union(p, v, ps, at)
	}
	text, ok := exact(ps, at)
	if !ok {
		return false, nil
	}
	if err := d.scalar(p, v, text); err != nil {
		return false, d.rules.malformed(ps[0].key, text, err.Error())
	}
	return true, nil
}

// structure reads the members whose names start at at.
func (d queryDecoder) structure(p *plan, v reflect.Value, ps []parameter, at int) (bool, error) {
	any := false
	err := groups(ps, at, func(seg string, ps []parameter, end int) error {
		i, ok := p.byName[seg]
		if !ok {
			return nil
		}
		f := &p.fields[i]
		if text, ok := exact(ps, end); ok && text == "" && f.plan.kind == enumKind && !d.rules.loose {
			any = true
			return d.rules.refuse([]problem{{kind: unknown, path: f.lower, name: f.name, value: "''", text: enumText(f.plan.values)}})
		}
		ok, err := d.value(f.plan, v.Field(f.index), ps, end)
		any = any || ok
		return err
	})
	return any, err
}

// An item is an element of a list, or an entry of a map, to be read.
type item struct {
	n  uint64
	ps []parameter
	at int
}

// items finds the numbered values below a name that ends at at: "Name.1",
// "Name.member.1" or "Name.Word.1". They come in the order of their numbers,
// however large these are.
func (d queryDecoder) items(ps []parameter, at int) ([]item, error) {
	var out []item
	number := func(seg string, ps []parameter, end int) (bool, error) {
		n, err := strconv.ParseUint(seg, 10, 32)
		if err != nil {
			return false, d.rules.malformed(ps[0].key, ps[0].value, "is not numbered like the element of a list")
		}
		out = append(out, item{n, ps, end})
		return true, nil
	}
	err := groups(ps, at+1, func(seg string, ps []parameter, end int) error {
		if seg != "" && seg[0]-'0' <= 9 {
			_, err := number(seg, ps, end)
			return err
		}
		found := false
		err := groups(ps, end+1, func(seg string, ps []parameter, end int) error {
			ok, err := number(seg, ps, end)
			found = found || ok
			return err
		})
		if err == nil && !found {
			return d.rules.malformed(ps[0].key, ps[0].value, "is not numbered like the element of a list")
		}
		return err
	})
	slices.SortStableFunc(out, func(a, b item) int { return cmp.Compare(a.n, b.n) })
	return out, err
}

func (d queryDecoder) list(p *plan, v reflect.Value, ps []parameter, at int) (bool, error) {
	items, err := d.items(ps, at)
	if err != nil {
		return false, err
	}
	if text, ok := exact(ps, at); ok && text != "" {
		return false, d.rules.malformed(ps[0].key, text, "is not a list")
	}
	out := reflect.MakeSlice(p.typ, len(items), len(items))
	for i, it := range items {
		if _, err := d.value(p.elem, out.Index(i), it.ps, it.at); err != nil {
			return false, err
		}
	}
	v.Set(out)
	return true, nil
}

func (d queryDecoder) mapping(p *plan, v reflect.Value, ps []parameter, at int) (bool, error) {
	items, err := d.items(ps, at)
	if err != nil {
		return false, err
	}
	out := reflect.MakeMapWithSize(p.typ, len(items))
	for _, it := range items {
		var key string
		value, keyed := reflect.New(p.elem.typ).Elem(), false
		err := groups(it.ps, it.at+1, func(seg string, ps []parameter, end int) (err error) {
			switch seg {
			case "key":
				key, keyed = exact(ps, end)
			case "value":
				_, err = d.value(p.elem, value, ps, end)
			}
			return err
		})
		if err != nil {
			return false, err
		}
		if !keyed {
			return false, d.rules.malformed(it.ps[0].key, it.ps[0].value, "is not the key or value of a map")
		}
		out.SetMapIndex(reflect.ValueOf(key).Convert(p.typ.Key()), value)
	}
	v.Set(out)
	return true, nil
}

func (d queryDecoder) union(p *plan, v reflect.Value, ps []parameter, at int) (bool, error) {
	err := groups(ps, at+1, func(seg string, ps []parameter, end int) error {
		i, ok := p.byName[seg]
		if !ok {
			return nil
		}
		if !v.IsNil() {
			return d.rules.malformed(ps[0].key, ps[0].value, "is one too many: exactly one may be given")
		}
		f := &p.fields[i]
		set := reflect.New(f.variant)
		ok, err := d.value(f.plan, set.Elem().Field(0), ps, end)
		if ok {
			v.Set(set)
		}
		return err
	})
	return !v.IsNil(), err
}

func (d queryDecoder) scalar(p *plan, v reflect.Value, text string) error {
	switch p.kind {
	case stringKind, enumKind:
		v.SetString(text)
	case boolKind:
		if !strings.EqualFold(text, "true") && !strings.EqualFold(text, "false") {
			return errors.New("is not a boolean")
		}
		v.SetBool(strings.EqualFold(text, "true"))
	case intKind:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || v.OverflowInt(n) {
			return errors.New("is not an integer")
		}
		v.SetInt(n)
	case floatKind:
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsInf(x, 0) || math.IsNaN(x) {
			return errors.New("is not a number")
		}
		v.SetFloat(x)
	case timeKind:
		t, err := parseTime(text)
		if err != nil {
			return err
		}
		v.Set(reflect.ValueOf(t))
	case blobKind:
		blob, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return errors.New("is not base64")
		}
		v.SetBytes(blob)
	}
	return nil
}

// parseTime reads the forms of ISO 8601 that clients send. A time without a
// zone is UTC.
func parseTime(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04Z07:00", "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, errors.New("is not a time in ISO 8601")
}
