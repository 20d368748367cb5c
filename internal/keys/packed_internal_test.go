package keys

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Everything that there is of a key comes back as it was, whatever it is.
func TestPackedIsWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &loaded{grants: new(grants)}
		fill(t, reflect.ValueOf(&l.Key).Elem())
		fill(t, reflect.ValueOf(&l.aliases).Elem())
		l.Key.Store = nil // keys in stores are not packed
		p := l.pack()
		got := p.unpack()
		if d := cmp.Diff(l.Key, got.Key) + cmp.Diff(l.aliases, got.aliases); d != "" {
			t.Fatalf("changed:\n%s", d)
		}
		if p.ref() != l.Ref {
			t.Fatalf("%v is called %v", l.Ref, p.ref())
		}
	})
}

// fill sets v to anything; a type that it does not know is a reason to fail.
func fill(t *rapid.T, v reflect.Value) {
	if v.Type() == reflect.TypeFor[time.Time]() {
		ns := rapid.Int64().Draw(t, "time")
		if v.Set(reflect.ValueOf(time.Time{})); ns != 0 {
			v.Set(reflect.ValueOf(time.Unix(0, ns).UTC()))
		}
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(rapid.String().Draw(t, "string"))
	case reflect.Int32:
		v.SetInt(int64(rapid.Int32().Draw(t, "number")))
	case reflect.Int64:
		v.SetInt(rapid.Int64().Draw(t, "number"))
	case reflect.Uint8:
		v.SetUint(uint64(rapid.Byte().Draw(t, "byte")))
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i))
		}
	case reflect.Pointer:
		if rapid.Bool().Draw(t, "there") {
			v.Set(reflect.New(v.Type().Elem()))
			fill(t, v.Elem())
		}
	case reflect.Slice:
		n := rapid.IntRange(0, 3).Draw(t, "length")
		switch {
		case n > 0 || v.Type().Elem().Kind() == reflect.Uint8 && rapid.Bool().Draw(t, "empty"):
			v.Set(reflect.MakeSlice(v.Type(), n, n))
		}
		for i := range n {
			fill(t, v.Index(i))
		}
	default:
		panic(fmt.Sprintf("a key has a %s", v.Type()))
	}
}

// What is on a shelf is found by its names until it is dropped, and nothing is left
// of it then.
func TestShelf(t *testing.T) {
	var s shelf
	key := func(id string, aliases ...string) *loaded {
		l := &loaded{grants: new(grants), aliases: aliases}
		l.Ref = Ref{Place{"111122223333", "eu-west-1"}, id}
		l.Materials = []Material{{ID: id + "-1"}, {ID: id + "-2"}}
		return l
	}
	one, two := key("one", "alias/a", "alias/b"), key("two")
	for _, l := range []*loaded{one, two, one} {
		s.put(l, l.pack())
	}
	changed := key("one", "alias/b")
	s.put(changed, changed.pack())
	for name, want := range map[any]string{
		aliasName{one.Place, "alias/a"}: "", aliasName{one.Place, "alias/b"}: "one",
		materialName{one.Region, "one-2"}: "one", materialName{one.Region, "two-1"}: "two", materialName{one.Region, "three"}: "",
	} {
		var h uint64
		switch n := name.(type) {
		case aliasName:
			h = hashOf(n)
		case materialName:
			h = hashOf(n)
		}
		if r, _ := s.find(h); r.ID != want {
			t.Errorf("%v is of %q, want %q", name, r.ID, want)
		}
	}
	s.drop(hashOf(one.Ref))
	s.drop(hashOf(one.Ref))
	s.drop(hashOf(two.Ref))
	if len(s.keys)+len(s.names) != 0 {
		t.Errorf("left: %d keys, %d names", len(s.keys), len(s.names))
	}
}
