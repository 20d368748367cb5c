package wire

import (
	"reflect"
	"strings"

	iam "github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// unions are the SDK's union types: a Go interface, which reflection cannot
// ask for its members. A test finds a union that is missing here.
var unions = map[reflect.Type][]variant{
	reflect.TypeFor[iam.PolicyIdentifier](): {
		{"InlinePolicyIdentifier", reflect.TypeFor[iam.PolicyIdentifierMemberInlinePolicyIdentifier]()},
		{"PolicyArn", reflect.TypeFor[iam.PolicyIdentifierMemberPolicyArn]()},
		{"PolicyType", reflect.TypeFor[iam.PolicyIdentifierMemberPolicyType]()},
	},
}

// A variant is a member of a union: its name on the wire, and the struct of
// which a pointer implements the union and whose field Value is the member's.
type variant struct {
	name string
	typ  reflect.Type
}

// union plans a union's members. An interface that is no known union has none,
// and is passed over. No output has a union.
func (m maker) union(p *plan) {
	p.kind, p.byName = unionKind, map[string]int{}
	for i, v := range unions[p.typ] {
		value := v.typ.Field(0)
		p.byName[v.name] = i
		p.fields = append(p.fields, field{name: v.name, lower: strings.ToLower(v.name[:1]) + v.name[1:], element: "member", variant: v.typ, plan: m.plan(value.Type)})
	}
}

// member is the field of the union p that v, an interface value, has set, and
// its value; nil if there is none.
func (p *plan) member(v reflect.Value) (*field, reflect.Value) {
	if v.IsNil() {
		return nil, v
	}
	set := v.Elem()
	for i := range p.fields {
		if set.Type() == reflect.PointerTo(p.fields[i].variant) && !set.IsNil() {
			return &p.fields[i], set.Elem().Field(0)
		}
	}
	return nil, v
}
