package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"borealis/internal/policy"

	"github.com/google/go-cmp/cmp"
)

// What is kept of a denial names the statements that decided or came nearest.
func TestSummary(t *testing.T) {
	closed := ask(t, bob, sides{identity: []string{allowDecrypt}, resource: []string{to("Allow", `'*'`)}})
	closed.ServiceControl = policy.Control{Levels: levels(t, []string{allowAll}, []string{allowOther})}
	guarded := ask(t, bob, sides{identity: []string{allowDecrypt}, resource: []string{to("Allow", `'*'`)}})
	guarded.ResourceControl = policy.Control{Levels: levels(t, []string{denyDecrypt})}
	for _, c := range []struct {
		name string
		q    policy.Question
		want []string
	}{
		{"a condition that does not hold", nearlyShared(t), []string{
			`Allow statement 1 ("TargetUses") of key policy (resource-based policy) does not apply: its Condition wants kms:ViaService StringEquals rds.eu-west-1.amazonaws.com, but kms:ViaService is rds.us-east-1.amazonaws.com`,
			`Allow statement 0 of key policy (resource-based policy) does not apply: its Principal is for arn:aws:iam::111122223333:root, not arn:aws:iam::444455556666:user/bob`,
			`Allow statement 0 ("MayDecrypt") of identity (identity-based policy) applies`,
			`Allow statement 0 of boundary (permissions boundary) applies`,
		}},
		{"an explicit deny", ask(t, ann, sides{identity: []string{allowAll, denyDecrypt}, resource: []string{toHome}}), []string{
			`Deny statement 1 ("Never") of identity (identity-based policy) applies`,
		}},
		{"a resource control policy", guarded, []string{
			`Deny statement 0 ("Never") of ` + guarded.ResourceControl.Levels[0].Policies[0].Name + ` (resource control policy at ` + guarded.ResourceControl.Levels[0].Name + `) applies`,
		}},
		{"a level that does not allow it", closed, []string{
			`Allow statement 0 of ` + closed.ServiceControl.Levels[0].Policies[0].Name + ` (service control policy at ` + closed.ServiceControl.Levels[0].Name + `) applies`,
			`Allow statement 0 ("MayDecrypt") of identity (identity-based policy) applies`,
			`Allow statement 0 of key policy (resource-based policy) applies, naming the caller`,
			"no service control policy at " + closed.ServiceControl.Levels[1].Name + " allows it",
		}},
		{"nobody", policy.Question{Action: "kms:Decrypt", Resource: "*"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := c.q.Decide()
			s, ok := policy.ReadSummary(c.q.Summary(d))
			if !ok || s.Sentence != d.String() {
				t.Errorf("%+v, want the sentence %q", s, d)
			}
			if diff := cmp.Diff(c.want, s.Lines()); diff != "" {
				t.Error(diff)
			}
		})
	}
	q := ask(t, ann, sides{identity: []string{allowAll}, resource: []string{toHome}})
	if text := q.Summary(q.Decide()); text != nil {
		t.Errorf("of what is allowed: %s", text)
	}
	if s, ok := policy.ReadSummary([]byte(`{"version":2}`)); ok {
		t.Errorf("of another version: %+v", s)
	}
}

// Who writes many and long statements does not fill the log.
func TestSummaryIsShort(t *testing.T) {
	long := strings.Repeat("\x01<", 5000)
	var statements []string
	for i := range 200 {
		statements = append(statements, fmt.Sprintf(`{'Effect':'Allow','Action':'kms:Decrypt','Resource':'*','Condition':{'StringEquals':{'aws:PrincipalTag/%d':'%s'}}}`, i, strings.Repeat("x<", 400)))
	}
	q := ask(t, ann, sides{identity: statements, resource: []string{toHome}})
	q.Caller.Tags = map[string]string{"7": long}
	s, ok := policy.ReadSummary(q.Summary(q.Decide()))
	if n := len(q.Summary(q.Decide())); n > 32<<10 || !ok || len(s.Statements) != 8 || s.More != 193 {
		t.Errorf("%d bytes, %d statements and %d more", n, len(s.Statements), s.More)
	}
}
