package policy

import (
	"encoding/json"
	"reflect"
	"slices"
)

// RemoveSame removes the statements that say the same as e, whatever their Sid,
// and returns how many it removed. Two statements say the same if they have the
// same members, where lists are compared as sets and one value as a list of it.
func (d *Document) RemoveSame(e Entry) int {
	e.Sid = ""
	text, err := marshal(e)
	if err != nil {
		return 0 // what cannot be written is in no document
	}
	want, before := meaning(text), len(d.statements)
	d.statements = slices.DeleteFunc(slices.Clone(d.statements), func(s json.RawMessage) bool {
		return reflect.DeepEqual(meaning(s), want)
	})
	return before - len(d.statements)
}

// AWSPrincipals are the principals of type AWS that statements name, as they are
// written, each once, sorted.
func (d *Document) AWSPrincipals() []string {
	var all []string
	for _, s := range d.statements {
		var named struct {
			Principal map[PrincipalType]any
		}
		if json.Unmarshal(s, &named) != nil {
			continue // "*" is nobody in particular
		}
		switch v := named.Principal[AWS].(type) {
		case string:
			all = append(all, v)
		case []any:
			for _, one := range v {
				if s, ok := one.(string); ok {
					all = append(all, s)
				}
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// meaning is a statement without its Sid, and with every list as a set.
func meaning(statement json.RawMessage) map[string]any {
	var members map[string]any
	if json.Unmarshal(statement, &members) != nil {
		return nil
	}
	delete(members, "Sid")
	for name, v := range members {
		members[name] = asSets(v)
	}
	return members
}

func asSets(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			v[name] = asSets(inner)
		}
		return v
	case []any:
		set := make(map[any]bool, len(v))
		for _, one := range v {
			switch one.(type) {
			case string, bool, float64:
				set[one] = true
			default:
				return v // no policy has such a list
			}
		}
		return set
	case string, bool, float64:
		return map[any]bool{v: true}
	}
	return v
}
