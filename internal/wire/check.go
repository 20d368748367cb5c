package wire

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// A problem is one thing that is wrong with an input.
type problem struct {
	kind   problemKind
	path   string // "tags.1.member.tagKey"
	name   string // the member's name on the wire
	value  string // as it is shown; "" if it must not be
	text   string // the constraint: "Member must …"
	limits *limits
}

type problemKind uint8

const (
	missing  problemKind = iota // a required member
	tooLarge                    // or too long
	tooSmall                    // or too short
	unlike                      // the pattern
	unknown                     // enum value
	element                     // of a list or map, for any of these reasons
)

// check applies the service's constraints to an input.
func (c *codec) check(p *plan, v reflect.Value) error {
	if !p.checked {
		return nil
	}
	k := checker{rules: c.rules}
	k.structure(p, v, "")
	if k.found == nil {
		return nil
	}
	return c.rules.refuse(k.found)
}

// A checker collects problems. Its paths are made of what leads to a value,
// with the last dot.
type checker struct {
	rules rules
	found []problem
}

func (k *checker) structure(p *plan, v reflect.Value, path string) {
	for i := range p.fields {
		f := &p.fields[i]
		if !f.required && f.limits == nil && !f.plan.checked {
			continue
		}
		k.field(f, v.Field(f.index), path)
	}
}

func (k *checker) field(f *field, v reflect.Value, path string) {
	if f.plan.absent(v) || k.rules.blank && f.required && blankString(f.plan, v) {
		if f.required {
			k.add(f, path, problem{kind: missing, value: "null", text: "Member must not be null"})
		}
		return
	}
	p := f.plan
	if p.kind == pointerKind {
		p, v = p.elem, v.Elem()
	}
	if f.limits != nil {
		for _, b := range f.limits.broken(p, v) {
			b.value = shown(p, v, f.limits)
			k.add(f, path, b)
		}
	}
	switch p.kind {
	case enumKind:
		if !k.rules.loose && !slices.Contains(p.values, v.String()) {
			k.add(f, path, problem{kind: unknown, value: shown(p, v, f.limits), text: enumText(p.values)})
		}
	case structKind:
		if p.checked {
			k.structure(p, v, path+f.lower+".")
		}
	case listKind:
		k.list(f, p, v, path)
	case mapKind:
		k.mapping(f, p, v, path)
	case unionKind:
		if set, member := p.member(v); set != nil {
			k.field(set, member, path+f.lower+".")
		}
	}
}

func blankString(p *plan, v reflect.Value) bool {
	return p.kind == pointerKind && p.elem.kind == stringKind && strings.TrimSpace(v.Elem().String()) == ""
}

// add notes a problem with the field f of the structure at path.
func (k *checker) add(f *field, path string, b problem) {
	b.path, b.name, b.limits = path+f.lower, f.name, f.limits
	k.found = append(k.found, b)
}

// list checks the elements of a list.
func (k *checker) list(f *field, p *plan, v reflect.Value, path string) {
	var items *limits
	if f.limits != nil {
		items = f.limits.items
	}
	switch p.elem.kind {
	case structKind, unionKind:
		if !p.elem.checked {
			return
		}
		for i := range v.Len() {
			below := fmt.Sprintf("%s%s.%d.member.", path, f.lower, i+1)
			if p.elem.kind == structKind {
				k.structure(p.elem, v.Index(i), below)
			} else if set, member := p.elem.member(v.Index(i)); set != nil {
				k.field(set, member, below)
			}
		}
	default:
		for i := range v.Len() {
			if k.breaks(items, p.elem, v.Index(i)) {
				text := "Member must satisfy constraint: " + items.all(p.elem)
				k.add(f, path, problem{kind: element, value: shown(p, v, items), text: text})
				return
			}
		}
	}
}

// breaks reports whether an element, key or value breaks its constraints.
func (k *checker) breaks(l *limits, p *plan, v reflect.Value) bool {
	if l != nil && len(l.broken(p, v)) > 0 {
		return true
	}
	return p.kind == enumKind && !k.rules.loose && !slices.Contains(p.values, v.String())
}

// mapping checks the keys and values of a map.
func (k *checker) mapping(f *field, p *plan, v reflect.Value, path string) {
	keys := &plan{kind: stringKind}
	var l limits
	if f.limits != nil {
		l = *f.limits
	}
	for _, key := range sortedKeys(v) {
		value := v.MapIndex(key)
		if p.elem.kind == structKind {
			k.structure(p.elem, value, path+f.lower+"."+key.String()+".member.")
			continue
		}
		switch {
		case k.breaks(l.keys, keys, key):
			k.add(f, path, problem{kind: element, value: shown(p, v, l.keys), text: "Map keys must satisfy constraint: " + l.keys.all(keys)})
			return
		case k.breaks(l.values, p.elem, value):
			k.add(f, path, problem{kind: element, value: shown(p, v, l.values), text: "Map value must satisfy constraint: " + l.values.all(p.elem)})
			return
		}
	}
}

// shown is v as a message shows it, in quotes; "" if l says that it is
// sensitive, or if it holds structures.
func shown(p *plan, v reflect.Value, l *limits) string {
	if l != nil && l.sensitive {
		return ""
	}
	switch p.kind {
	case stringKind, enumKind:
		return "'" + v.String() + "'"
	case intKind:
		return fmt.Sprintf("'%d'", v.Int())
	case blobKind: // what Java says of a buffer
		return fmt.Sprintf("'java.nio.HeapByteBuffer[pos=0 lim=%d cap=%[1]d]'", v.Len())
	case listKind:
		if p.elem.kind == stringKind || p.elem.kind == enumKind {
			return "'[" + strings.Join(texts(v), ", ") + "]'"
		}
	case mapKind:
		if p.elem.kind == stringKind {
			var out []string
			for _, key := range sortedKeys(v) {
				out = append(out, key.String()+"="+v.MapIndex(key).String())
			}
			return "'{" + strings.Join(out, ", ") + "}'"
		}
	}
	return ""
}

func texts(v reflect.Value) []string {
	out := make([]string, v.Len())
	for i := range out {
		out[i] = v.Index(i).String()
	}
	return out
}
