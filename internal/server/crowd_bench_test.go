package server

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"borealis/internal/cloud"
	"borealis/internal/identity"
	"borealis/internal/policy"
)

// BenchmarkDecision is what deciding takes, the look-up of all policies included,
// in an account with one role and in one with 10,000 roles and 1,000 policies:
// for a caller that is known, for one that is asked for the first time after a
// change, which reads the database, and for all in turn.
func BenchmarkDecision(b *testing.B) {
	for _, c := range []struct {
		name            string
		roles, policies int
	}{{"one role", 1, 1}, {"10000 roles, 1000 policies", 10_000, 1000}} {
		s, _ := benchServer(b)
		callers := s.crowd(b, c.roles, c.policies)
		decide := func(b *testing.B, who cloud.Caller) {
			q := policy.Question{Caller: who, Owner: who.Account, Action: "kms:ListKeys", Resource: "*", Now: time.Now()}
			if err := s.identity.Complete(b.Context(), &q); err != nil {
				b.Fatal(err)
			}
			if d := q.Decide(); !d.Allowed {
				b.Fatal(d)
			}
		}
		b.Run(c.name+"/known", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				decide(b, callers[len(callers)/2])
			}
		})
		b.Run(c.name+"/after a change", func(b *testing.B) {
			root := s.identity.As(cloud.Caller{Kind: cloud.Root, Account: "111122223333", ARN: "arn:aws:iam::111122223333:root", UserID: "111122223333"})
			for b.Loop() {
				b.StopTimer()
				if _, err := root.CreateAccountAlias(b.Context(), &iam.CreateAccountAliasInput{AccountAlias: new("bench")}); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				decide(b, callers[len(callers)/2])
			}
		})
		b.Run(c.name+"/in turn", func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				decide(b, callers[i%len(callers)])
			}
		})
	}
}

// crowd adds roles and managed policies, each attached to some of them, to the
// account, and returns the roles' sessions.
func (s benched) crowd(b *testing.B, roles, policies int) (callers []cloud.Caller) {
	const a = cloud.AccountID("111122223333")
	err := s.identity.Store.Update(b.Context(), func(tx identity.Tx) error {
		callers = nil
		arns := make([]string, policies)
		for i := range policies {
			p := identity.ManagedPolicy{Account: a, ID: fmt.Sprintf("ANPA%017d", i), Name: fmt.Sprint("policy-", i), Path: "/", Created: time.Now(), Default: 1, Last: 1}
			p.Versions = []identity.Version{{Number: 1, Document: fmt.Sprintf(`{"Version":"2012-10-17","Statement":[
				{"Effect":"Allow","Action":["kms:List*","kms:Describe*"],"Resource":"*"},
				{"Sid":"P%d","Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"StringEquals":{"kms:ViaService":"rds.eu-west-1.amazonaws.com"}}}]}`, i), Created: time.Now()}}
			if err := tx.AddPolicy(p); err != nil {
				return err
			}
			arns[i] = p.ARN()
		}
		for i := range roles {
			r := identity.Entity{Account: a, Kind: identity.Role, ID: fmt.Sprintf("AROA%017d", i), Name: fmt.Sprint("role-", i), Path: "/", Created: time.Now(), MaxSession: 3600,
				Trust: `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"sts:AssumeRole"}}`}
			if err := tx.AddEntity(r); err != nil {
				return err
			}
			if err := tx.AddLink(a, identity.Link{Source: r.ID, Use: identity.Attached, Target: arns[i%policies]}); err != nil {
				return err
			}
			callers = append(callers, cloud.Caller{
				Kind: cloud.AssumedRole, Account: a, ARN: fmt.Sprintf("arn:aws:sts::%s:assumed-role/%s/x", a, r.Name), Principal: r.ARN(), UserID: r.ID + ":x", TokenIssued: time.Now(),
			})
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return callers
}
