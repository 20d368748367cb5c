package policy_test

import (
	"encoding/json"
	"strings"
	"testing"

	"borealis/internal/policy"

	"github.com/google/go-cmp/cmp"
)

// The commonest mistake in sharing a snapshot: the key policy wants the request
// to come through RDS of one Region, and it comes through another's.
func nearlyShared(t *testing.T) policy.Question {
	q := ask(t, bob, sides{
		identity: []string{allowDecrypt},
		boundary: []string{allowAll},
		resource: []string{
			toHome,
			`{'Sid':'TargetUses','Effect':'Allow','Principal':{'AWS':'444455556666'},'Action':['kms:Encrypt','kms:Decrypt'],'Resource':'*',
			  'Condition':{'StringEquals':{'kms:ViaService':'rds.eu-west-1.amazonaws.com'}}}`,
		},
	})
	q.Context = policy.Context{"kms:ViaService": {"rds.us-east-1.amazonaws.com"}}
	return q
}

func TestExplanationIsOneSentence(t *testing.T) {
	want := `arn:aws:iam::444455556666:user/bob: kms:Decrypt on ` + keyARN +
		`: denied because no resource-based policy allows the kms:Decrypt action` +
		`; nearest to allowing it: statement 1 ("TargetUses") of key policy, whose Condition wants kms:ViaService StringEquals rds.eu-west-1.amazonaws.com,` +
		` but kms:ViaService is rds.us-east-1.amazonaws.com`
	if d := cmp.Diff(want, nearlyShared(t).Explain().String()); d != "" {
		t.Error(d)
	}
}

func TestExplanationIsATree(t *testing.T) {
	want := `arn:aws:iam::444455556666:user/bob
  kms:Decrypt on ` + keyARN + `
  denied because no resource-based policy allows the kms:Decrypt action
  identity-based policy: identity
    Allow 0 "MayDecrypt" applies
  permissions boundary: boundary
    Allow 0 applies
  resource-based policy: key policy
    Allow 0 does not apply: its Principal is for arn:aws:iam::111122223333:root, not arn:aws:iam::444455556666:user/bob
    Allow 1 "TargetUses" does not apply: its Condition wants kms:ViaService StringEquals rds.eu-west-1.amazonaws.com, but kms:ViaService is rds.us-east-1.amazonaws.com
`
	if d := cmp.Diff(want, nearlyShared(t).Explain().Tree()); d != "" {
		t.Error(d)
	}
}

func TestExplanationIsJSON(t *testing.T) {
	b, err := json.Marshal(nearlyShared(t).Explain())
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Decision struct {
			Allowed, CrossAccount  bool
			Side, Action, Sentence string
		}
		Policies []struct {
			Policy, Side string
			Statements   []struct {
				Effect, Element, Sid string
				Applies              bool
			}
		}
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	last := got.Policies[2].Statements[1]
	if d := got.Decision; d.Allowed || !d.CrossAccount || d.Side != "resource-based policy" || d.Action != "kms:Decrypt" || !strings.HasPrefix(d.Sentence, "denied because") {
		t.Errorf("decision: %s", b)
	}
	if last.Element != "Condition" || last.Sid != "TargetUses" || last.Applies {
		t.Errorf("statement: %s", b)
	}
}

// Each element has its words.
func TestExplanationNamesTheElement(t *testing.T) {
	for _, c := range []struct{ statement, element, why string }{
		{allowOther, "Action", "is about kms:Encrypt, not kms:Decrypt"},
		{`{'Effect':'Deny','NotAction':['kms:*','a:1','a:2','a:3','a:4','a:5'],'Resource':'*'}`, "Action", "is about anything but kms:*, a:1, a:2, a:3 and 2 more, not kms:Decrypt"},
		{`{'Effect':'Allow','Action':'*','Resource':'arn:aws:kms:*:*:alias/*'}`, "Resource", "is about arn:aws:kms:*:*:alias/*, not " + keyARN},
		{`{'Effect':'Allow','Action':'*','Resource':'*','Condition':{'Bool':{'aws:MultiFactorAuthPresent':'true'}}}`, "Condition", "wants aws:MultiFactorAuthPresent Bool true, but the request has no aws:MultiFactorAuthPresent"},
		{`{'Effect':'Allow','Action':'*','Resource':'*','Condition':{'StringLike':{'aws:userid':'${aws:username}:*'}}}`, "Condition", "wants aws:userid StringLike ${aws:username}:* (here ann:*), but aws:userid is " + ann.UserID},
		{`{'Effect':'Allow','Action':'*','Resource':'*','Condition':{'StringLike':{'x:empty':'*'}}}`, "Condition", "wants x:empty StringLike *, but x:empty has no values"},
		{allowDecrypt, "", "applies"},
	} {
		q := ask(t, ann, sides{identity: []string{c.statement}})
		q.Context = policy.Context{"x:empty": {}}
		s := q.Explain().Policies[0].Statements[0]
		if s.Element != c.element || s.Why != c.why {
			t.Errorf("%s: %s %q, want %s %q", c.statement, s.Element, s.Why, c.element, c.why)
		}
	}
}

// Nothing is near when a Deny decided, when all is well, or when no statement
// is even about the action.
func TestNoNearMiss(t *testing.T) {
	for _, s := range []sides{
		{identity: []string{denyDecrypt}, resource: []string{toBob}},
		{resource: []string{toAnn}},
		{identity: []string{allowOther}, resource: []string{toHome}},
	} {
		if text, ok := ask(t, ann, s).Explain().NearMiss(); ok {
			t.Errorf("%v: %s", s, text)
		}
	}
}
