package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// A table is what package wire is told about a service.
type table struct {
	model      *model
	sdk        *sdk
	operations map[string]bool // whether the operation has no output
	structures map[string]*structure
	shapes     map[string]bool // that constrain something
	faults     map[string]int  // code to HTTP status
}

type structure struct {
	members []*member
}

type member struct {
	field, wire, shape, element string
	required                    bool
}

func merge(m *model, s *sdk) (*table, error) {
	t := &table{model: m, sdk: s, operations: map[string]bool{}, structures: map[string]*structure{}, shapes: map[string]bool{}, faults: map[string]int{}}
	for name, o := range m.Operations {
		t.operations[name] = o.Output == nil
		if o.Input != nil {
			t.add(name+"Input", o.Input.Shape, true)
		}
		if o.Output != nil {
			t.add(name+"Output", o.Output.Shape, false)
		}
	}
	for _, name := range s.operations {
		if _, ok := t.operations[name]; !ok {
			t.operations[name] = m.Metadata.Protocol == "query" && !s.results[name]
		}
	}
	t.addFaults()
	return t, t.complete()
}

// goName is the SDK's name of a shape or member.
func goName(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// add tells of shape, which Go calls name, and of what is below it. Constraints
// are of interest only in inputs.
func (t *table) add(name, shape string, input bool) {
	sh := t.model.Shapes[shape]
	st := t.structures[name]
	if st == nil {
		st = new(structure)
		t.structures[name] = st
	} else if !input || st.constrained() {
		return
	}
	st.members = nil
	for _, m := range sh.Members {
		target := t.model.Shapes[m.Shape]
		e := &member{field: goName(m.Name), wire: cmp.Or(m.LocationName, m.Name)}
		if target.Type == "list" {
			e.element = cmp.Or(target.Member.LocationName, "member")
		}
		if input {
			e.required = slices.Contains(sh.Required, m.Name)
			e.shape = t.constraint(m.Shape)
		}
		st.members = append(st.members, e)
	}
	for _, m := range sh.Members {
		t.below(m.Shape, input)
	}
}

func (s *structure) constrained() bool {
	return slices.ContainsFunc(s.members, func(m *member) bool { return m.required || m.shape != "" })
}

// below adds the structures that shape leads to.
func (t *table) below(shape string, input bool) {
	switch sh := t.model.Shapes[shape]; sh.Type {
	case "structure":
		t.add(goName(shape), shape, input)
	case "list":
		t.below(sh.Member.Shape, input)
	case "map":
		t.below(sh.Value.Shape, input)
	}
}

// constraint is the name of shape if it or its elements constrain values, else "".
func (t *table) constraint(shape string) string {
	sh := t.model.Shapes[shape]
	says := sh.Sensitive || sh.Min != 0 || sh.Max != 0 || sh.Pattern != ""
	for _, r := range []*ref{sh.Member, sh.Key, sh.Value} {
		if r != nil && t.model.Shapes[r.Shape].Type != "structure" && t.constraint(r.Shape) != "" {
			says = true
		}
	}
	if !says {
		return ""
	}
	t.shapes[shape] = true
	return shape
}

func (t *table) addFaults() {
	for name, sh := range t.model.Shapes {
		if !sh.Exception {
			continue
		}
		status := cmp.Or(sh.Error.Status, 400)
		if sh.Fault {
			status = 500
		}
		t.faults[cmp.Or(sh.Error.Code, name)] = status
	}
	for code := range t.sdk.faults {
		if _, ok := t.faults[code]; ok {
			continue
		}
		t.faults[code] = 400
		if strings.Contains(code, "NotFound") && t.model.Metadata.Protocol == "query" {
			t.faults[code] = 404
		}
	}
}

// complete adds what only the SDK knows, and compares what both do.
func (t *table) complete() error {
	for _, p := range sorted(t.sdk.fields) {
		f := t.sdk.fields[p]
		if t.sdk.exceptions[p.structure] {
			continue // errors are written without reflection
		}
		st := t.structures[p.structure]
		if st == nil {
			st = new(structure)
			t.structures[p.structure] = st
		}
		m := st.member(p.field)
		if m == nil {
			m = &member{field: p.field, wire: f.name, element: f.element}
			st.members = append(st.members, m)
			continue
		}
		if !strings.EqualFold(m.wire, f.name) || f.element != "" && m.element != f.element {
			return fmt.Errorf("%s.%s is %q of %q in the model and %q of %q in the SDK", p.structure, p.field, m.wire, m.element, f.name, f.element)
		}
	}
	t.relax()
	for _, p := range sorted(t.sdk.required) {
		st := t.structures[p.structure]
		if st == nil {
			st = new(structure)
			t.structures[p.structure] = st
		}
		if m := st.member(p.field); m != nil {
			m.required = true
		} else {
			st.members = append(st.members, &member{field: p.field, wire: p.field, required: true})
		}
	}
	for _, st := range t.structures {
		st.sortTail()
	}
	return t.checkText()
}

// relax takes back the required members that the SDK, which is newer, requires
// no more: another member can stand in for them.
func (t *table) relax() {
	for name := range t.operations {
		st := t.structures[name+"Input"]
		if st == nil {
			continue
		}
		for _, m := range st.members {
			m.required = m.required && t.sdk.required[place{name + "Input", m.field}]
		}
	}
}

// sorted are the places of a map in an order that does not change.
func sorted[V any](m map[place]V) []place {
	return slices.SortedFunc(maps.Keys(m), func(a, b place) int {
		return cmp.Or(strings.Compare(a.structure, b.structure), strings.Compare(a.field, b.field))
	})
}

func (s *structure) member(field string) *member {
	i := slices.IndexFunc(s.members, func(m *member) bool { return m.field == field })
	if i < 0 {
		return nil
	}
	return s.members[i]
}

// sortTail keeps what has constraints in the model's order and puts the rest,
// whose order says nothing, behind it by name.
func (s *structure) sortTail() {
	slices.SortStableFunc(s.members, func(a, b *member) int {
		ca, cb := a.shape != "" || a.required, b.shape != "" || b.required
		if ca && cb {
			return 0
		}
		if ca != cb {
			if ca {
				return -1
			}
			return 1
		}
		return strings.Compare(a.field, b.field)
	})
}

func (t *table) checkText() error {
	for name := range t.shapes {
		if !utf8.ValidString(t.model.Shapes[name].Pattern) {
			return fmt.Errorf("the pattern of %s is not UTF-8", name)
		}
	}
	return nil
}
