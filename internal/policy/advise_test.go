package policy_test

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"

	"borealis/internal/cloud"
	"borealis/internal/policy"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// sidesOf says which sides each way changes.
func sidesOf(a policy.Advice) string {
	var ways []string
	for _, w := range a.Ways {
		var sides []string
		for _, c := range w {
			s := string(c.Side)
			if c.Detach {
				s = "detach " + s
			}
			sides = append(sides, s)
		}
		ways = append(ways, strings.Join(sides, " + "))
	}
	return strings.Join(ways, ", or ")
}

func TestAdviceNamesTheSides(t *testing.T) {
	const identity, resource, boundary, sess, scp = "identity-based policy", "resource-based policy", "permissions boundary", "session policy", "service control policy"
	ordinary := func(q *policy.Question) { q.ResourceMustAllow = false }
	for _, c := range []struct {
		name string
		who  cloud.Caller
		sides
		change func(*policy.Question)
		want   string
	}{
		{"nothing is wrong", ann, sides{resource: []string{toAnn}}, nil, ""},
		{"key policy leaves it to the account", ann, sides{resource: []string{toHome}}, nil, identity + ", or " + resource},
		{"key policy does not let in", ann, sides{identity: []string{allowDecrypt}, resource: []string{toBob}}, nil, resource},
		{"abroad, neither", bob, sides{resource: []string{toHome}}, nil, identity + " + " + resource},
		{"abroad, identity", bob, sides{resource: []string{toAbroad}}, nil, identity},
		{"abroad, key policy", bob, sides{identity: []string{allowDecrypt}, resource: []string{toHome}}, nil, resource},
		{"boundary", ann, sides{identity: []string{allowAll}, resource: []string{toHome}, boundary: []string{allowOther}}, nil, resource + ", or " + boundary},
		{"boundary of a role", app, sides{identity: []string{allowAll}, resource: []string{toHome}, boundary: []string{allowOther}}, nil, boundary},
		{"session policy", app, sides{identity: []string{allowAll}, resource: []string{toHome}, session: []string{allowOther}}, nil, sess},
		{"everything at once", remote, sides{resource: []string{toHome}, session: []string{allowOther}, boundary: []string{allowOther}}, nil,
			identity + " + " + resource + " + " + boundary + " + " + sess},
		{"ordinary resource without a policy", ann, sides{}, ordinary, identity},
		{"root user", root(home), sides{identity: []string{allowAll}, resource: []string{toAnn}}, nil, resource},
		{"service", cloud.ServiceCaller("rds.amazonaws.com", "eu-west-1"), sides{resource: []string{toHome}}, nil, resource},
		{"two levels of an organization", ann, sides{identity: []string{allowAll}, resource: []string{toHome}}, func(q *policy.Question) {
			q.ServiceControl.Levels = levels(t, []string{allowOther}, nil, []string{allowAll})
		}, scp + " + " + scp},
		{"identity denies", ann, sides{identity: []string{allowAll, denyDecrypt}, resource: []string{toHome}}, nil, identity},
		{"three deny", app, sides{identity: []string{denyDecrypt}, boundary: []string{allowAll, denyDecrypt}, resource: []string{toRole, to("Deny", `'*'`)}}, nil,
			identity + " + " + boundary + " + " + resource},
		{"denies, and is not allowed", ann, sides{identity: []string{denyDecrypt}, resource: []string{toHome}}, nil,
			identity + " + " + identity + ", or " + identity + " + " + resource},
		{"a policy of AWS denies", ann, sides{resource: []string{toAnn}}, func(q *policy.Question) {
			q.Identity.Policies = []*policy.Policy{doc(t, "arn:aws:iam::aws:policy/AWSDenyAll", `{'Effect':'Deny','Action':'*','Resource':'*'}`)}
		}, "detach " + identity},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := ask(t, c.who, c.sides)
			if c.change != nil {
				c.change(&q)
			}
			a := q.Advise()
			if got := sidesOf(a); got != c.want {
				t.Errorf("got  %s\nwant %s\n%s", got, c.want, a)
			}
			checkWays(t, q, a)
		})
	}
}

func TestAdviceSaysWhenNothingHelps(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*policy.Question)
		want   string
	}{
		{"a service control policy denies", func(q *policy.Question) {
			q.ServiceControl.Levels = levels(t, []string{allowAll, denyDecrypt})
		}, `statement 1 ("Never") of policy of root r-1 denies it, a service control policy`},
		{"a resource control policy denies", func(q *policy.Question) {
			q.ResourceControl.Levels = levels(t, []string{to("Deny", `'*'`)})
		}, "a resource control policy: nothing that the accounts themselves change"},
		{"AWS managed key", func(q *policy.Question) { q.Fixed = true }, "the key is AWS managed"},
		{"AWS managed key that denies", func(q *policy.Question) {
			q.Fixed, q.ResourcePolicy = true, doc(t, "key policy", to("Deny", `'*'`))
		}, "which nobody can change"},
		{"no policy to let another account in", func(q *policy.Question) { q.ResourcePolicy = nil }, "has no policy of its own"},
		{"nobody", func(q *policy.Question) { q.Caller = cloud.Caller{} }, "nobody"},
		{"a Deny with a condition of its own on the caller", func(q *policy.Question) {
			q.Identity.Policies = []*policy.Policy{doc(t, "p", `{'Effect':'Deny','Action':'*','Resource':'*','Condition':{'ForAllValues:ArnNotEquals':{'aws:PrincipalArn':'x'}}}`)}
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := ask(t, bob, sides{identity: []string{allowDecrypt}, resource: []string{toHome}})
			c.change(&q)
			a := q.Advise()
			if (a.Hopeless == "") != (len(a.Ways) > 0) || c.want != "" && !strings.Contains(a.Hopeless, c.want) {
				t.Errorf("%d ways, %q", len(a.Ways), a.Hopeless)
			}
		})
	}
}

// What is added says as little as it can, in the policy that is there.
func TestAdviceIsAStatementAndADiff(t *testing.T) {
	q := ask(t, bob, sides{resource: []string{toHome}})
	q.Action = "kms:CreateGrant"
	q.Context = policy.Context{"kms:ViaService": {"rds.eu-west-1.amazonaws.com"}, "kms:GrantIsForAWSResource": {"true"}}
	want := `identity-based policy: make a new inline policy of user/bob
--- /dev/null
+++ new inline policy of user/bob
@@ -0,0 +1,19 @@
+{
+  "Version": "2012-10-17",
+  "Statement": [
+    {
+      "Sid": "AllowCreateGrant",
+      "Effect": "Allow",
+      "Action": "kms:CreateGrant",
+      "Resource": "` + keyARN + `",
+      "Condition": {
+        "Bool": {
+          "kms:GrantIsForAWSResource": "true"
+        },
+        "StringEquals": {
+          "kms:ViaService": "rds.eu-west-1.amazonaws.com"
+        }
+      }
+    }
+  ]
+}
resource-based policy: add a statement to key policy
--- key policy
+++ key policy
@@ -8,6 +8,23 @@
       },
       "Action": "kms:Decrypt",
       "Resource": "*"
+    },
+    {
+      "Sid": "AllowCreateGrant",
+      "Effect": "Allow",
+      "Principal": {
+        "AWS": "arn:aws:iam::444455556666:user/bob"
+      },
+      "Action": "kms:CreateGrant",
+      "Resource": "*",
+      "Condition": {
+        "Bool": {
+          "kms:GrantIsForAWSResource": "true"
+        },
+        "StringEquals": {
+          "kms:ViaService": "rds.eu-west-1.amazonaws.com"
+        }
+      }
     }
   ]
 }
`
	if d := cmp.Diff(want, q.Advise().String()); d != "" {
		t.Error(d)
	}
}

func TestAdviceLeavesTheCallerOut(t *testing.T) {
	q := ask(t, ann, sides{resource: []string{toAnn, `{'Sid':'Keep','Effect':'Deny','Principal':'*','Action':'kms:*','Resource':'*','Condition':{'ArnNotEquals':{'aws:PrincipalArn':'arn:aws:iam::111122223333:role/boss'}}}`}})
	a := q.Advise()
	checkWays(t, q, a)
	want := `{"Sid":"Keep","Effect":"Deny","Principal":"*","Action":"kms:*","Resource":"*","Condition":{"ArnNotEquals":{"aws:PrincipalArn":["arn:aws:iam::111122223333:role/boss","arn:aws:iam::111122223333:user/ann"]}}}`
	if len(a.Ways) != 1 || len(a.Ways[0]) != 1 || string(a.Ways[0][0].Statement) != want {
		t.Errorf("%s", a)
	}
}

// The user's own inline policy takes the statement, under a Sid of its own.
func TestAdviceUsesTheInlinePolicy(t *testing.T) {
	q := ask(t, ann, sides{resource: []string{toHome}})
	q.Identity.Policies = []*policy.Policy{
		doc(t, "arn:aws:iam::111122223333:policy/shared", allowOther),
		doc(t, "inline policy X of user/ann", `{'Sid':'AllowDecrypt','Effect':'Allow','Action':'rds:*','Resource':'*'}`),
	}
	a := q.Advise()
	checkWays(t, q, a)
	if c := a.Ways[0][0]; c.New || c.Policy != "inline policy X of user/ann" || !strings.Contains(string(c.Statement), `"AllowDecrypt2"`) {
		t.Errorf("%s", a)
	}
}

func TestAdviceIsJSON(t *testing.T) {
	b, err := json.Marshal(ask(t, ann, sides{resource: []string{toHome}}).Advise())
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Ways [][]struct {
			Side, Policy, Diff string
			New                bool
			Statement          struct{ Effect, Action string }
		}
	}
	if err := json.Unmarshal(b, &got); err != nil || len(got.Ways) != 2 || got.Ways[0][0].Statement.Action != "kms:Decrypt" || !got.Ways[0][0].New {
		t.Errorf("%v: %s", err, b)
	}
}

// Whatever the policies are, what the advice says works when it is done by its
// diffs, and no part of it can be spared.
func TestAdviceWorks(t *testing.T) {
	hopeless, helped := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		sc := drawScene(t)
		q := sc.ask(t)
		a := q.Advise()
		switch {
		case q.Decide().Allowed:
			if len(a.Ways) > 0 || a.Hopeless != "" {
				t.Fatalf("advice on what is allowed: %s", a)
			}
		case len(a.Ways) == 0:
			hopeless++
			if a.Hopeless == "" {
				t.Fatal("neither ways nor a reason")
			}
		default:
			helped++
			checkWays(t, q, a)
		}
	})
	if helped == 0 || hopeless > helped {
		t.Errorf("helped %d, hopeless %d", helped, hopeless)
	}
}

type fataler interface {
	Helper()
	Fatalf(string, ...any)
}

func checkWays(t fataler, q policy.Question, a policy.Advice) {
	t.Helper()
	for _, w := range a.Ways {
		if d := carryOut(t, q, w).Decide(); !d.Allowed {
			t.Fatalf("still %v after\n%s", d, a)
		}
		for i := range w {
			if dependent(w, i) {
				continue
			}
			if carryOut(t, q, slices.Delete(slices.Clone(w), i, i+1)).Decide().Allowed {
				t.Fatalf("change %d is not needed:\n%s", i, a)
			}
		}
	}
}

// dependent says that a later change is of the same policy, so that its diff
// begins where this one ends.
func dependent(w policy.Way, i int) bool {
	return slices.ContainsFunc(w[i+1:], func(c policy.Change) bool { return c.Policy == w[i].Policy && c.Side == w[i].Side })
}

// carryOut does what the changes' diffs say.
func carryOut(t fataler, q policy.Question, w policy.Way) policy.Question {
	t.Helper()
	edit := func(c policy.Change, all []*policy.Policy) []*policy.Policy {
		out := []*policy.Policy{}
		found := c.New
		for _, p := range all {
			if p.Name != c.Policy {
				out = append(out, p)
				continue
			}
			found = true
			if !c.Detach {
				out = append(out, patched(t, p, c))
			}
		}
		if !found {
			t.Fatalf("there is no policy %s", c.Policy)
		}
		if c.New {
			out = append(out, patched(t, nil, c))
		}
		return out
	}
	for _, c := range w {
		switch c.Side {
		case policy.IdentityBased:
			q.Identity.Policies = edit(c, q.Identity.Policies)
		case policy.Session:
			q.Identity.Session = edit(c, q.Identity.Session)
		case policy.Boundary:
			q.Identity.Boundary = edit(c, []*policy.Policy{q.Identity.Boundary})[0]
		case policy.ResourceBased:
			q.ResourcePolicy = edit(c, []*policy.Policy{q.ResourcePolicy})[0]
		case policy.ServiceControl:
			q.ServiceControl.Levels = slices.Clone(q.ServiceControl.Levels)
			for i := range q.ServiceControl.Levels {
				if l := &q.ServiceControl.Levels[i]; l.Name == c.Level {
					l.Policies = edit(c, l.Policies)
				}
			}
		}
	}
	return q
}

// patched is p, nil for a policy to be made, as the change's diff makes it.
func patched(t fataler, p *policy.Policy, c policy.Change) *policy.Policy {
	t.Helper()
	var old []string
	if p != nil {
		d, err := policy.ParseDocument(p.Text)
		if err != nil {
			t.Fatalf("%v", err)
		}
		old = strings.Split(d.String(), "\n")
	}
	diff := strings.Split(strings.TrimSuffix(c.Diff, "\n"), "\n")
	start, _, _ := strings.Cut(strings.TrimPrefix(diff[2], "@@ -"), ",")
	at, err := strconv.Atoi(start)
	if err != nil {
		t.Fatalf("%v in %s", err, c.Diff)
	}
	at = max(at-1, 0)
	out := slices.Clone(old[:at])
	for _, line := range diff[3:] {
		if line[0] != '+' {
			if old[at] != line[1:] {
				t.Fatalf("line %d is %q, the diff has %q", at, old[at], line)
			}
			at++
		}
		if line[0] != '-' {
			out = append(out, line[1:])
		}
	}
	after, err := policy.Parse(c.Policy, strings.Join(append(out, old[at:]...), "\n"))
	if err != nil {
		t.Fatalf("%v after %s", err, c.Diff)
	}
	return after
}
