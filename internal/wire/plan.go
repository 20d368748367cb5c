package wire

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"
)

// A kind is how values of a Go type look on the wire.
type kind uint8

const (
	stringKind kind = iota
	enumKind        // a string type; "" is absent
	boolKind
	intKind
	floatKind
	timeKind
	blobKind
	pointerKind // to a scalar or a structure; nil is absent
	listKind    // nil is absent, empty is empty
	mapKind     // of strings; nil is absent
	structKind
	unionKind // an interface with one member set
)

// A plan is how values of one Go type are read, checked and written. It is
// made once and then only read.
type plan struct {
	kind    kind
	typ     reflect.Type
	elem    *plan          // of pointers, lists and maps
	fields  []field        // of structures and unions
	byName  map[string]int // fields by their names on the wire
	values  []string       // of enums
	checked bool           // something in a structure, or below it, has constraints
}

// A field is a member of a structure or a union.
type field struct {
	index    int          // in the Go struct
	name     string       // on the wire
	lower    string       // in messages: lowerCamelCase
	element  string       // what a list's elements are called in XML
	variant  reflect.Type // a union's: the Go type with the field Value
	required bool
	limits   *limits
	plan     *plan
}

// A codec has the tables of a service and the plans made so far.
type codec struct {
	service string
	tables  *tables
	rules   rules
	plans   sync.Map // reflect.Type to *plan; complete ones only
	making  sync.Mutex
}

// planOf finds or makes the plan of the structure that v points to, which must
// be the operation's Input or Output (as suffix says).
func (c *codec) planOf(v any, op, suffix string) (*plan, reflect.Value, error) {
	rv := reflect.ValueOf(v)
	if rv.Kind() != reflect.Pointer || rv.IsNil() || rv.Type().Elem().Kind() != reflect.Struct {
		return nil, rv, fmt.Errorf("%s of %s is a %T, not a pointer to a struct", suffix, op, v)
	}
	rv = rv.Elem()
	t := rv.Type()
	if name, ok := strings.CutSuffix(t.Name(), suffix); !ok || name != op {
		return nil, rv, fmt.Errorf("%s of %s is a %T", suffix, op, v)
	}
	if p, ok := c.plans.Load(t); ok {
		return p.(*plan), rv, nil
	}
	if !strings.HasSuffix(t.PkgPath(), "/service/"+c.service) {
		return nil, rv, fmt.Errorf("%s of %s is of another service: %T of %s", suffix, op, v, t.PkgPath())
	}
	return c.newPlan(t), rv, nil
}

// newPlan makes the plan of t and all below it, and shares it when complete.
func (c *codec) newPlan(t reflect.Type) *plan {
	c.making.Lock()
	defer c.making.Unlock()
	m := maker{c, map[reflect.Type]*plan{}}
	root := m.plan(t)
	for mark := true; mark; { // until nothing changes: types may be recursive
		mark = false
		for _, p := range m.made {
			mark = p.markChecked() || mark
		}
	}
	for t, p := range m.made {
		c.plans.LoadOrStore(t, p)
	}
	return root
}

// A maker makes plans that may refer to each other.
type maker struct {
	*codec
	made map[reflect.Type]*plan
}

func (m maker) plan(t reflect.Type) *plan {
	if p, ok := m.plans.Load(t); ok {
		return p.(*plan)
	}
	if p := m.made[t]; p != nil {
		return p
	}
	p := &plan{typ: t}
	m.made[t] = p
	switch t.Kind() {
	case reflect.String:
		p.kind = stringKind
		if p.values = enumValues(t); p.values != nil {
			p.kind = enumKind
		}
	case reflect.Bool:
		p.kind = boolKind
	case reflect.Int32, reflect.Int64:
		p.kind = intKind
	case reflect.Float32, reflect.Float64:
		p.kind = floatKind
	case reflect.Pointer:
		p.kind, p.elem = pointerKind, m.plan(t.Elem())
	case reflect.Map:
		p.kind, p.elem = mapKind, m.plan(t.Elem())
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			p.kind = blobKind
		} else {
			p.kind, p.elem = listKind, m.plan(t.Elem())
		}
	case reflect.Struct:
		if t == reflect.TypeFor[time.Time]() {
			p.kind = timeKind
		} else {
			m.structure(p)
		}
	case reflect.Interface:
		m.union(p)
	default:
		panic("wire: the SDK has a field of type " + t.String())
	}
	return p
}

// structure plans the exported fields, those first that the table has first.
func (m maker) structure(p *plan) {
	p.kind, p.byName = structKind, map[string]int{}
	told := map[string]bool{}
	if s := m.tables.structure(p.typ.Name()); s != nil {
		for i := range s.members {
			if sf, ok := p.typ.FieldByName(s.members[i].field); ok {
				told[sf.Name] = true
				m.field(p, sf, &s.members[i])
			}
		}
	}
	for i := range p.typ.NumField() {
		sf := p.typ.Field(i)
		if sf.IsExported() && !sf.Anonymous && sf.Name != "ResultMetadata" && !told[sf.Name] {
			m.field(p, sf, &member{})
		}
	}
}

func (m maker) field(p *plan, sf reflect.StructField, t *member) {
	f := field{index: sf.Index[0], name: sf.Name, element: "member", required: t.required, plan: m.plan(sf.Type)}
	f.lower = strings.ToLower(sf.Name[:1]) + sf.Name[1:]
	if t.wire != "" {
		f.name = t.wire
	}
	if t.element != "" {
		f.element = t.element
	}
	f.limits = m.limits(t.shape)
	p.byName[f.name] = len(p.fields)
	p.fields = append(p.fields, f)
}

// markChecked finds out whether values of the type need checking, given what is
// known of the types below it, and reports whether that is news.
func (p *plan) markChecked() bool {
	if p.checked {
		return false
	}
	switch p.kind {
	case enumKind:
		p.checked = true
	case pointerKind, listKind, mapKind:
		p.checked = p.elem.checked
	case structKind, unionKind:
		for i := range p.fields {
			f := &p.fields[i]
			p.checked = p.checked || f.required || f.limits != nil || f.plan.checked
		}
	}
	return p.checked
}

// enumValues asks an enum type of the SDK for its values; nil if t is none.
func enumValues(t reflect.Type) []string {
	method := reflect.Zero(t).MethodByName("Values")
	if !method.IsValid() || method.Type().NumIn() != 0 || method.Type().NumOut() != 1 {
		return nil
	}
	list := method.Call(nil)[0]
	values := make([]string, list.Len())
	for i := range values {
		values[i] = list.Index(i).String()
	}
	return values
}
