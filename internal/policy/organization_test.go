package policy_test

import (
	"slices"
	"strings"
	"testing"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// levels are an organization's, each of policies that are named after it.
func levels(t *testing.T, each ...[]string) []policy.Level {
	t.Helper()
	var all []policy.Level
	for i, statements := range each {
		l := policy.Level{Name: []string{"root r-1", "unit ou-1", "account"}[i]}
		if statements != nil {
			l.Policies = []*policy.Policy{doc(t, "policy of "+l.Name, statements...)}
		}
		all = append(all, l)
	}
	return all
}

const (
	noSCP   = "because no service control policy allows the kms:Decrypt action"
	denySCP = "with an explicit deny in a service control policy"
	denyRCP = "with an explicit deny in a resource control policy"
)

// What organizations leave over, as docs/policies.md lists it with its sources.
func TestOrganizations(t *testing.T) {
	var (
		all     = []string{allowAll}
		linked  = session(home, "aws-service-role/rds.amazonaws.com/AWSServiceRoleForRDS", "rds")
		service = cloud.ServiceCaller("rds.amazonaws.com", "eu-west-1")
		mine    = sides{identity: []string{allowDecrypt}, resource: []string{toHome, toAnn, to("Allow", `{'Service':'rds.amazonaws.com'}`), to("Allow", aws(linked.Principal))}}
		theirs  = sides{identity: []string{allowDecrypt}, resource: []string{toAbroad}}
		foreign = `{'Effect':'Deny','Action':'*','Resource':'*','Principal':'*','Condition':{'StringNotEqualsIfExists':{'aws:PrincipalOrgID':'o-1'},'BoolIfExists':{'aws:PrincipalIsAWSService':'false'}}}`
	)
	scp := func(each ...[]string) func(*policy.Question) {
		return func(q *policy.Question) { q.ServiceControl.Levels = levels(t, each...) }
	}
	rcp := func(each ...[]string) func(*policy.Question) {
		return func(q *policy.Question) { q.ResourceControl.Levels = levels(t, each...) }
	}
	managing := func(q *policy.Question) { q.ServiceControl.Management, q.ResourceControl.Management = true, true }
	fixed := func(q *policy.Question) { q.Fixed = true }
	in := func(id string) func(*policy.Question) {
		return func(q *policy.Question) { q.Context = policy.Context{"aws:PrincipalOrgID": {id}} }
	}
	retire := func(q *policy.Question) { q.Action = "kms:RetireGrant" }
	for _, c := range []struct {
		name string
		who  cloud.Caller
		sides
		want   string
		change []func(*policy.Question)
	}{
		{"every level allows", ann, mine, allow, []func(*policy.Question){scp(all, all, all)}},
		{"the root does not", ann, mine, noSCP, []func(*policy.Question){scp([]string{allowOther}, all, all)}},
		{"a unit does not", ann, mine, noSCP, []func(*policy.Question){scp(all, []string{allowOther}, all)}},
		{"the account does not", ann, mine, noSCP, []func(*policy.Question){scp(all, all, []string{allowOther})}},
		{"a level without policies", ann, mine, noSCP, []func(*policy.Question){scp(all, nil, all)}},
		{"a level denies", ann, mine, denySCP, []func(*policy.Question){scp([]string{allowAll, denyDecrypt}, all, all)}},
		{"it allows nothing by itself", ann, sides{resource: []string{toHome}}, noIdentity, []func(*policy.Question){scp(all)}},
		{"named by the resource, too", ann, sides{resource: []string{toAnn}}, noSCP, []func(*policy.Question){scp([]string{allowOther})}},
		{"root user", root(home), mine, noSCP, []func(*policy.Question){scp([]string{allowOther})}},
		{"management account", ann, mine, allow, []func(*policy.Question){scp([]string{denyDecrypt}), managing}},
		{"service-linked role", linked, mine, allow, []func(*policy.Question){scp([]string{denyDecrypt})}},
		{"service", service, mine, allow, []func(*policy.Question){scp([]string{denyDecrypt})}},
		{"from abroad, the caller's own", bob, theirs, noSCP, []func(*policy.Question){scp([]string{allowOther})}},

		{"resource: full access alone", ann, mine, allow, []func(*policy.Question){rcp(all)}},
		{"resource: nothing denies", ann, mine, allow, []func(*policy.Question){rcp([]string{`{'Effect':'Deny','Principal':'*','Action':'s3:*','Resource':'*'}`})}},
		{"resource: denies", ann, mine, denyRCP, []func(*policy.Question){rcp(all, []string{to("Deny", `'*'`)})}},
		{"resource: root user", root(home), mine, denyRCP, []func(*policy.Question){rcp([]string{to("Deny", `'*'`)})}},
		{"resource: from abroad", bob, theirs, denyRCP, []func(*policy.Question){rcp([]string{foreign}), in("o-2")}},
		{"resource: from abroad, of the organization", bob, theirs, allow, []func(*policy.Question){rcp([]string{foreign}), in("o-1")}},
		{"resource: service", service, mine, denyRCP, []func(*policy.Question){rcp([]string{to("Deny", `'*'`)})}},
		{"resource: service left out by condition", service, mine, allow, []func(*policy.Question){rcp([]string{foreign})}},
		{"resource: management account", ann, mine, allow, []func(*policy.Question){rcp([]string{to("Deny", `'*'`)}), managing}},
		{"resource: service-linked role", linked, mine, allow, []func(*policy.Question){rcp([]string{to("Deny", `'*'`)})}},
		{"resource: AWS managed key", ann, mine, allow, []func(*policy.Question){rcp([]string{to("Deny", `'*'`)}), fixed}},
		{"resource: RetireGrant", ann, sides{identity: []string{allowAll}, resource: []string{`{'Effect':'Allow','Principal':'*','Action':'*','Resource':'*'}`}}, allow, []func(*policy.Question){rcp([]string{`{'Effect':'Deny','Principal':'*','Action':'*','Resource':'*'}`}), retire}},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := ask(t, c.who, c.sides)
			for _, f := range c.change {
				f(&q)
			}
			if got := said(q.Decide()); got != c.want {
				t.Errorf("got %q, want %q\n%s", got, c.want, q.Explain().Tree())
			}
		})
	}
}

// A grant opens no way round a service control policy.
func TestOrganizationsLimitGrants(t *testing.T) {
	q := ask(t, ann, sides{})
	q.Grants = []policy.Grant{{ID: "g", Issuer: home}}
	if d := q.Decide(); !d.Allowed {
		t.Fatal(d)
	}
	q.ServiceControl.Levels = levels(t, []string{allowOther})
	if got := said(q.Decide()); got != noSCP {
		t.Error(got)
	}
}

// The explanation says at which level, and what has no say.
func TestOrganizationsAreExplained(t *testing.T) {
	q := ask(t, ann, sides{identity: []string{allowAll}, resource: []string{toHome}})
	q.ServiceControl.Levels = levels(t, []string{allowAll}, nil, []string{denyDecrypt})
	q.ResourceControl.Levels = levels(t, []string{to("Deny", aws(bob.ARN))})
	tree := q.Explain().Tree()
	for _, want := range []string{
		"denied by statement 0 (\"Never\") of policy of account, with an explicit deny in a service control policy",
		"  resource control policy at root r-1: policy of root r-1\n    Deny 0 does not apply: its Principal is for " + bob.ARN,
		"  service control policy at account: policy of account\n  → Deny 0 \"Never\" applies\n",
		"  note: unit ou-1 has no service control policy, and so allows nothing\n",
	} {
		if !strings.Contains(tree, want) {
			t.Errorf("not in the tree: %s\n%s", want, tree)
		}
	}
	q.ServiceControl.Management, q.Fixed = true, true
	e := q.Explain()
	if !e.Decision.Allowed || len(e.Notes) != 3 || slices.ContainsFunc(e.Policies, func(t policy.Trace) bool { return t.Level != "" }) {
		t.Errorf("%v\n%s", e.Notes, e.Tree())
	}
}

// What a membership says of accounts are condition keys; without one, policies
// find what the Context says, or nothing.
func TestMembership(t *testing.T) {
	mine := policy.Membership{
		Place:          policy.Place{Organization: "o-1", Path: "o-1/r-1/ou-1/"},
		ServiceControl: policy.Control{Levels: levels(t, []string{allowAll})}, ResourceControl: policy.Control{Levels: levels(t, []string{allowOther})},
	}
	theirs := policy.Membership{Place: policy.Place{Organization: "o-2", Path: "o-2/r-2/"}}
	q := ask(t, ann, sides{identity: []string{allowDecrypt}})
	q.Within(&mine, &theirs)
	if len(q.ServiceControl.Levels) != 1 || len(q.ResourceControl.Levels) != 0 {
		t.Errorf("controls %v and %v", q.ServiceControl, q.ResourceControl)
	}
	q.SourceOrg = policy.Place{Organization: "o-3", Path: "o-3/r-3/"}
	for key, want := range map[string]string{
		"aws:PrincipalOrgID": "o-1", "aws:PrincipalOrgPaths": "o-1/r-1/ou-1/", "aws:ResourceOrgID": "o-2", "aws:ResourceOrgPaths": "o-2/r-2/",
		"aws:SourceOrgID": "o-3", "aws:SourceOrgPaths": "o-3/r-3/",
	} {
		has := func(q policy.Question, operator, value string) bool {
			q.ResourcePolicy = doc(t, "key policy", `{'Effect':'Allow','Principal':'*','Action':'*','Resource':'*','Condition':{'`+operator+`':{'`+key+`':'`+value+`'}}}`)
			return q.Decide().Allowed
		}
		if !has(q, "StringEquals", want) || !has(q, "ForAnyValue:StringLike", want[:2]+"*") || has(q, "StringEquals", "o-9") {
			t.Errorf("%s is not %s", key, want)
		}
		alone := q
		alone.Within(&policy.Membership{}, &policy.Membership{})
		alone.SourceOrg = policy.Place{}
		if !has(alone, "Null", "true") {
			t.Errorf("%s of an account in no organization", key)
		}
		alone.Context = policy.Context{key: {want}}
		if !has(alone, "StringEquals", want) {
			t.Errorf("%s of the Context is not found", key)
		}
	}
}
