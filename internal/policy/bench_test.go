package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"borealis/internal/policy"
)

// busy is a question with ten policies of ten statements on the caller's side,
// of which one allows, and a key policy.
func busy(t testing.TB) policy.Question {
	q := ask(t, app, sides{resource: []string{
		toHome,
		`{'Effect':'Deny','Principal':'*','Action':'kms:*','Resource':'*','Condition':{'Bool':{'aws:SecureTransport':'true'},'StringNotEqualsIfExists':{'kms:CallerAccount':'111122223333'}}}`,
	}})
	q.Context = policy.Context{"kms:CallerAccount": {string(home)}, "kms:EncryptionContextKeys": {"aws:rds:dbc-id"}, "kms:EncryptionContext:aws:rds:dbc-id": {"cluster-1"}}
	for i := range 10 {
		var statements []string
		for j := range 10 {
			statements = append(statements, []string{
				`{'Effect':'Allow','Action':['rds:Describe*','rds:ListTagsForResource'],'Resource':'*'}`,
				`{'Effect':'Allow','Action':['kms:Encrypt','kms:ReEncrypt*','kms:GenerateDataKey*'],'Resource':'arn:aws:kms:*:111122223333:key/*'}`,
				`{'Effect':'Allow','Action':'kms:Decrypt','Resource':'arn:aws:kms:us-east-1:111122223333:key/*'}`,
				`{'Effect':'Deny','NotAction':['iam:*','kms:*'],'Resource':'*','Condition':{'Bool':{'aws:MultiFactorAuthPresent':'false'}}}`,
				`{'Effect':'Allow','Action':'kms:Decrypt','Resource':'*','Condition':{'StringEquals':{'kms:EncryptionContext:aws:rds:dbc-id':'cluster-${aws:PrincipalTag/cluster}'}}}`,
			}[j%5])
		}
		if i == 9 {
			statements[9] = allowDecrypt
		}
		q.Identity.Policies = append(q.Identity.Policies, doc(t, fmt.Sprint("policy ", i), statements...))
	}
	return q
}

func BenchmarkDecide(b *testing.B) {
	q := busy(b)
	if d := q.Decide(); !d.Allowed || d.Decided.Index != 9 {
		b.Fatal(d)
	}
	b.ReportAllocs()
	for b.Loop() {
		q.Decide()
	}
}

func BenchmarkParse(b *testing.B) {
	text := busy(b).Identity.Policies[0].Text
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := policy.Parse("p", text); err != nil {
			b.Fatal(err)
		}
	}
}

// A pattern that fits nearly everywhere, for a long value of a request.
func BenchmarkSlowPattern(b *testing.B) {
	q := ask(b, app, sides{resource: []string{toHome}, identity: []string{
		`{'Effect':'Allow','Action':'kms:Decrypt','Resource':'*','Condition':{'StringLike':{'aws:UserAgent':'*` + strings.Repeat("a?", 1000) + `b*'}}}`,
	}})
	q.Caller.UserAgent = strings.Repeat("a", 16<<10)
	for b.Loop() {
		if q.Decide().Allowed {
			b.Fatal("matched")
		}
	}
}

// Policies that do not match cost no memory, however many there are.
func TestDecideAllocatesNothingPerPolicy(t *testing.T) {
	q := busy(t)
	few := testing.AllocsPerRun(100, func() { q.Decide() })
	for range 5 {
		q.Identity.Policies = append(q.Identity.Policies, q.Identity.Policies[:9]...)
	}
	if many := testing.AllocsPerRun(100, func() { q.Decide() }); many > few {
		t.Errorf("%v allocations with 10 policies, %v with %d", few, many, len(q.Identity.Policies))
	}
}
