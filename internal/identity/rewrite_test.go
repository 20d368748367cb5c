package identity

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"borealis/internal/policy"
)

func TestMapPrincipals(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{`{"Principal":{"AWS":"a"}}`, `{"Principal":{"AWS":"<a>"}}`},
		{`{"NotPrincipal" : { "AWS" : [ "a" , "\u0062" ] , "Service" : "a" } }`, `{"NotPrincipal" : { "AWS" : [ "<a>" , "<b>" ] , "Service" : "a" } }`},
		{`{"Principal":"a","AWS":"a","x":[{"AWS":"a"}]}`, `{"Principal":"a","AWS":"a","x":[{"AWS":"a"}]}`},
		{`{"Condition":{"ArnLike":{"aws:PrincipalArn":"a"}},"Principal":{"AWS":"a"}} `, `{"Condition":{"ArnLike":{"aws:PrincipalArn":"a"}},"Principal":{"AWS":"<a>"}} `},
	} {
		got, err := mapPrincipals(tt.in, func(s string) string { return "<" + s + ">" })
		got = strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(got)
		if got != tt.want || err != nil {
			t.Errorf("%s:\n got %s, %v\nwant %s", tt.in, got, err, tt.want)
		}
	}
}

func FuzzMapPrincipals(f *testing.F) {
	f.Add(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["111122223333","*"]},"Action":"sts:AssumeRole"}]}`)
	f.Add(`{"Statement":{"Effect":"Deny","NotPrincipal":{"AWS":"arn:aws:iam::111122223333:user\/\u0061nn"},"Action":"sts:*"}}`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := policy.TrustKind.Parse("p", text)
		if err != nil {
			return // mapPrincipals is not asked
		}
		seen := 0
		same, err := mapPrincipals(text, func(s string) string { seen++; return s })
		if err != nil {
			t.Fatal(err)
		}
		var a, b any
		if json.Unmarshal([]byte(text), &a) != nil || json.Unmarshal([]byte(same), &b) != nil || !reflect.DeepEqual(a, b) {
			t.Errorf("%s became %s", text, same)
		}
		want := 0
		for _, who := range p.Principals() {
			if who.Type == policy.AWS && who.Value != "*" {
				want++
			}
		}
		if seen < want {
			t.Errorf("%s: %d of %d principals seen", text, seen, want)
		}
	})
}
