package wire_test

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/google/go-cmp/cmp"

	"borealis/internal/wire"
)

var unionMembers = map[reflect.Type][]reflect.Type{
	reflect.TypeFor[iamtypes.PolicyIdentifier](): {
		reflect.TypeFor[iamtypes.PolicyIdentifierMemberInlinePolicyIdentifier](),
		reflect.TypeFor[iamtypes.PolicyIdentifierMemberPolicyArn](),
		reflect.TypeFor[iamtypes.PolicyIdentifierMemberPolicyType](),
	},
}

// The official client is the oracle. For every operation that it has, inputs
// and outputs with every member set, and with few, arrive as they were sent.
func TestEveryOperationRoundTrips(t *testing.T) {
	for _, l := range loops() {
		t.Run(l.service.Name, func(t *testing.T) {
			t.Parallel()
			for i, op := range l.operations() {
				for round := range 8 {
					f := filler{rand.New(rand.NewPCG(uint64(i), uint64(round))), 10, textRunes, 0}
					if l.service.Protocol == wire.JSON {
						f.runes = jsonRunes
					}
					if round > 2 {
						f.density = round - 3 // 0 to 4
					}
					l.roundTrip(t, op, f)
				}
			}
		})
	}
}

func (l *loop) roundTrip(t *testing.T, op string, f filler) {
	t.Helper()
	inType, outType := l.types(op)
	in, out := reflect.New(inType.Elem()), reflect.New(outType.Elem())
	f.fill(in.Elem())
	f.fill(out.Elem())
	if l.service.Protocol == wire.Query {
		speakable(in.Elem())
	}
	l.answer = out.Interface()
	got, err := l.call(op, in.Interface())
	if err != nil {
		t.Errorf("%s: %v", op, err)
		return
	}
	if d := cmp.Diff(in.Interface(), l.decoded, exactly); d != "" {
		t.Errorf("%s: the input changed on the wire (-sent +arrived):\n%s", op, d)
	}
	if d := cmp.Diff(out.Interface(), got, exactly); d != "" {
		t.Errorf("%s: the output changed on the wire (-sent +arrived):\n%s", op, d)
	}
}

// speakable takes from an input what the client cannot say in the query
// protocol: a structure without members, an empty map. It reports whether anything of v is left.
func speakable(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return false
		}
		if !speakable(v.Elem()) {
			v.SetZero()
			return false
		}
		return true
	case reflect.Struct:
		if v.NumField() == 0 || v.Type().PkgPath() == "time" {
			return true
		}
		some := false
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				some = speakable(v.Field(i)) || some
			}
		}
		return some
	case reflect.Slice:
		if k := v.Type().Elem().Kind(); k != reflect.Struct && k != reflect.Interface || v.IsNil() {
			return !v.IsNil()
		}
		var kept []int
		for i := range v.Len() {
			if speakable(v.Index(i)) {
				kept = append(kept, i)
			}
		}
		out := reflect.MakeSlice(v.Type(), 0, len(kept))
		for _, i := range kept {
			out = reflect.Append(out, v.Index(i))
		}
		v.Set(out)
		return true
	case reflect.Interface:
		return speakable(v.Elem().Elem().FieldByName("Value"))
	case reflect.Map:
		if v.Len() == 0 {
			v.SetZero()
		}
		return !v.IsNil()
	case reflect.String:
		return v.MethodByName("Values").IsValid() && v.Len() > 0 || !v.MethodByName("Values").IsValid()
	}
	return true
}

// The tables have the operations that the clients have, and no others.
func TestOperations(t *testing.T) {
	for _, l := range loops() {
		if d := cmp.Diff(l.operations(), l.service.Operations()); d != "" {
			t.Errorf("%s (-client +table):\n%s", l.service.Name, d)
		}
		if !slices.IsSorted(l.service.Operations()) {
			t.Errorf("%s: operations are not sorted", l.service.Name)
		}
		for _, op := range l.operations() {
			if o, ok := l.service.Operation(op); !ok || o.Name != op {
				t.Errorf("%s: Operation(%q) = %v, %v", l.service.Name, op, o, ok)
			}
		}
		if o, ok := l.service.Operation("describeKey"); ok {
			t.Errorf("%s has %v", l.service.Name, o)
		}
	}
}
