package wire

import (
	"encoding/base64"
	"math"
	"reflect"
	"strconv"
	"time"

	"github.com/aws/smithy-go"
)

// readJSON reads a JSON document into v. Members that the operation does not
// have are passed over, as AWS does; names are case-sensitive, null is absent,
// and of members given twice the last counts.
func (c *codec) readJSON(p *plan, v reflect.Value, body []byte) error {
	d := jsonDecoder{scanner: scanner{text: body}, rules: c.rules}
	switch {
	case d.next() == 0 && d.at == len(body):
		return nil
	case d.next() != '{':
		return errJSON
	}
	if err := d.structure(p, v); err != nil {
		return err
	}
	if d.next() != 0 || d.at < len(body) {
		return errJSON
	}
	return nil
}

var errJSON = serialization("The request is not valid JSON.")

// serialization is what a JSON service answers to what it cannot read.
func serialization(message string) error {
	return &smithy.GenericAPIError{Code: "SerializationException", Message: message, Fault: smithy.FaultClient}
}

// A jsonDecoder reads values as their plans say.
type jsonDecoder struct {
	scanner
	rules rules
}

// value reads what comes next into v. It is not null.
func (d *jsonDecoder) value(p *plan, v reflect.Value) error {
	c := d.next()
	switch p.kind {
	case pointerKind:
		to := reflect.New(p.elem.typ)
		v.Set(to)
		return d.value(p.elem, to.Elem())
	case structKind:
		if c != '{' {
			return d.misfit(c, "")
		}
		return d.structure(p, v)
	case listKind:
		if c != '[' {
			return d.misfit(c, "")
		}
		return d.list(p, v)
	case mapKind:
		if c != '{' {
			return d.misfit(c, "")
		}
		return d.mapping(p, v)
	case unionKind:
		return d.skip() // no JSON service has unions
	default:
		return d.scalar(p, v, c)
	}
}

func (d *jsonDecoder) structure(p *plan, v reflect.Value) error {
	return d.each(func(key []byte) error {
		i, ok := p.byName[string(key)]
		if !ok {
			return d.skip()
		}
		f := &p.fields[i]
		to := v.Field(f.index)
		if d.next() == 'n' {
			to.SetZero()
			return d.word("null")
		}
		if f.plan.kind == enumKind && d.blank() {
			return d.rules.refuse([]problem{{kind: unknown, path: f.lower, name: f.name, value: "''", text: enumText(f.plan.values)}})
		}
		return d.value(f.plan, to)
	})
}

// blank reports whether an empty string comes next.
func (d *jsonDecoder) blank() bool {
	return d.at+1 < len(d.text) && d.text[d.at] == '"' && d.text[d.at+1] == '"'
}

func (d *jsonDecoder) list(p *plan, v reflect.Value) error {
	out := reflect.MakeSlice(p.typ, 0, 4)
	err := d.each(func([]byte) error {
		if d.next() == 'n' {
			return serialization("Null found in a list where not expected.")
		}
		out = reflect.Append(out, reflect.Zero(p.elem.typ))
		return d.value(p.elem, out.Index(out.Len()-1))
	})
	v.Set(out)
	return err
}

func (d *jsonDecoder) mapping(p *plan, v reflect.Value) error {
	if p.typ == stringMap {
		return d.stringMap(v)
	}
	v.Set(reflect.MakeMap(p.typ))
	return d.each(func(key []byte) error {
		name := reflect.ValueOf(string(key)).Convert(p.typ.Key())
		if d.next() == 'n' {
			return serialization("Null found in a map where not expected.")
		}
		value := reflect.New(p.elem.typ).Elem()
		if err := d.value(p.elem, value); err != nil {
			return err
		}
		v.SetMapIndex(name, value)
		return nil
	})
}

// stringMap is the type of encryption contexts, which have a way of their own:
// reflection allocates more for each pair.
var stringMap = reflect.TypeFor[map[string]string]()

func (d *jsonDecoder) stringMap(v reflect.Value) error {
	m := map[string]string{}
	v.Set(reflect.ValueOf(m))
	return d.each(func(key []byte) error {
		name := string(key)
		switch c := d.next(); c {
		case 'n':
			return serialization("Null found in a map where not expected.")
		case '"':
			text, err := d.string()
			if err == nil {
				m[name] = string(text)
			}
			return err
		default:
			return d.misfit(c, typeWords[stringKind])
		}
	})
}

// scalar reads a string, number or boolean, which starts with c.
func (d *jsonDecoder) scalar(p *plan, v reflect.Value, c byte) error {
	switch {
	case c == '"' && (p.kind == stringKind || p.kind == enumKind):
		text, err := d.string()
		if err == nil {
			v.SetString(string(text))
		}
		return err
	case c == '"' && p.kind == blobKind:
		return d.blob(v)
	case c == 't' && p.kind == boolKind:
		v.SetBool(true)
		return d.word("true")
	case c == 'f' && p.kind == boolKind:
		v.SetBool(false)
		return d.word("false")
	case c == '-' || c-'0' <= 9:
		return d.numeric(p, v, c)
	}
	return d.misfit(c, typeWords[p.kind])
}

// typeWords are AWS's names of what a value can not be converted to.
var typeWords = map[kind]string{
	stringKind: "a String", enumKind: "a String", boolKind: "a Boolean", intKind: "an Integer",
	floatKind: "a Double", timeKind: "milliseconds since epoch", blobKind: "a ByteBuffer",
}

// misfit says that a value starting with c is none of what is wanted: the
// scalar type of that name, or a list or structure if that is "".
func (d *jsonDecoder) misfit(c byte, wanted string) error {
	if err := d.skip(); err != nil {
		return err
	}
	found := map[byte]string{'"': "STRING_VALUE", 't': "TRUE_VALUE", 'f': "FALSE_VALUE"}[c]
	switch {
	case c == '{':
		return serialization("Start of structure or map found where not expected.")
	case c == '[':
		return serialization("Start of list found where not expected.")
	case wanted == "":
		return serialization("Unexpected scalar value where a list, structure or map was expected.")
	case found == "":
		found = "NUMBER_VALUE"
	}
	return serialization(found + " can not be converted to " + wanted)
}

func (d *jsonDecoder) blob(v reflect.Value) error {
	text, err := d.string()
	if err != nil {
		return err
	}
	blob := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Strict().Decode(blob, text)
	if err != nil {
		return serialization("A blob is not valid base64.")
	}
	v.SetBytes(blob[:n])
	return nil
}

// numeric reads a number, which starts with c, exactly or not at all.
func (d *jsonDecoder) numeric(p *plan, v reflect.Value, c byte) error {
	if p.kind != intKind && p.kind != floatKind && p.kind != timeKind {
		return d.misfit(c, typeWords[p.kind])
	}
	text, err := d.number()
	if err != nil {
		return err
	}
	if n, err := strconv.ParseInt(string(text), 10, 64); err == nil && p.kind == intKind && !v.OverflowInt(n) {
		v.SetInt(n)
		return nil
	}
	x, err := strconv.ParseFloat(string(text), 64)
	switch {
	case err != nil || p.kind == intKind && (x != math.Trunc(x) || math.Abs(x) > 1<<53 || v.OverflowInt(int64(x))):
		return serialization("NUMBER_VALUE can not be converted to " + typeWords[p.kind])
	case p.kind == intKind:
		v.SetInt(int64(x))
	case p.kind == floatKind:
		v.SetFloat(x)
	case math.Abs(x) > maxEpoch:
		return serialization("NUMBER_VALUE can not be converted to milliseconds since epoch")
	default:
		v.Set(reflect.ValueOf(time.UnixMilli(int64(math.Round(x * 1000))).UTC()))
	}
	return nil
}

// maxEpoch is the last second of the year 9999, after which no protocol can
// say a time.
const maxEpoch = 253402300799
