package policy_test

import (
	"strings"
	"testing"

	"borealis/internal/policy"
)

// A role's namesake is not the role: bound to unique ids, a policy lets in the
// one that it was written for, and shows its ARN for as long as it exists.
func TestReplacePrincipals(t *testing.T) {
	text := ` { "Id" : "a:b","Statement":[{"Effect" : "Allow", "Principal":{ "AWS" : [ "` + ann.ARN + `" ,"*","` + app.Principal + `"],
	"Service":"rds.amazonaws.com"},"Action":"*"}, {"Effect":"Deny","NotPrincipal":{"AWS":"` + ann.ARN + `"},"Action":["kms:*"]},
	{"Effect":"Deny","Principal":"*","Action":"a:b","Condition":{"StringLike":{"x":"` + ann.ARN + `"}}}]}` + "\n"
	ids := map[string]string{ann.ARN: ann.UserID, app.Principal: "AROAEXAMPLE00000APP"}
	bound, err := policy.ReplacePrincipals(text, func(p policy.Principal) string {
		if id, ok := ids[p.Value]; ok {
			return id
		}
		return p.Value
	})
	if err != nil {
		t.Fatal(err)
	}
	want := strings.NewReplacer(
		`"AWS" : [ "`+ann.ARN+`" ,"*","`+app.Principal+`"]`, `"AWS" : [ "`+ann.UserID+`" ,"*","AROAEXAMPLE00000APP"]`,
		`{"AWS":"`+ann.ARN+`"}`, `{"AWS":"`+ann.UserID+`"}`).Replace(text)
	if bound != want {
		t.Errorf("got  %s\nwant %s", bound, want)
	}
	shown, err := policy.ReplacePrincipals(bound, func(p policy.Principal) string {
		for arn, id := range ids {
			if id == p.Value {
				return arn
			}
		}
		return p.Value
	})
	if err != nil || shown != text {
		t.Errorf("not what it was: %v\n%s", err, shown)
	}
	if _, err := policy.ReplacePrincipals("{}", func(p policy.Principal) string { return p.Value }); sentence(err) != syntax {
		t.Errorf("of no policy: %v", err)
	}
}

func TestBoundPolicyIsNotForNamesakes(t *testing.T) {
	bound, err := policy.ReplacePrincipals(document(toAnn), func(policy.Principal) string { return ann.UserID })
	if err != nil {
		t.Fatal(err)
	}
	q := ask(t, ann, sides{})
	if q.ResourcePolicy, err = policy.Parse("key policy", bound); err != nil {
		t.Fatal(err)
	}
	if d := q.Decide(); !d.Allowed {
		t.Errorf("ann: %v", d)
	}
	q.Caller.UserID = "AIDAEXAMPLE00001ANN"
	if d := q.Decide(); d.Allowed {
		t.Errorf("a later ann: %v", d)
	}
}
