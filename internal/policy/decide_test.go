package policy_test

import (
	"testing"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// A decisionCase asks one question. want is "allow", or the tail of AWS's message.
type decisionCase struct {
	name string
	who  cloud.Caller
	sides
	want string
}

// The tails of AWS's messages, as recorded.
const (
	allow        = "allow"
	noIdentity   = "because no identity-based policy allows the kms:Decrypt action"
	noResource   = "because no resource-based policy allows the kms:Decrypt action"
	noSession    = "because no session policy allows the kms:Decrypt action"
	noBoundary   = "because no permissions boundary allows the kms:Decrypt action"
	denyIdentity = "with an explicit deny in an identity-based policy"
	denyResource = "with an explicit deny in a resource-based policy"
	denySession  = "with an explicit deny in a session policy"
	denyBoundary = "with an explicit deny in a permissions boundary"
)

func said(d policy.Decision) string {
	if d.Allowed {
		return allow
	}
	return d.Because()
}

func decideAll(t *testing.T, cases []decisionCase, change ...func(*policy.Question)) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			q := ask(t, c.who, c.sides)
			for _, f := range change {
				f(&q)
			}
			d := q.Decide()
			if got := said(d); got != c.want {
				t.Errorf("got %q, want %q\n%s", got, c.want, q.Explain().Tree())
			}
			if foreign := c.who.Account != home && c.who.Kind != cloud.Service; d.CrossAccount != foreign {
				t.Errorf("CrossAccount = %v", d.CrossAccount)
			}
		})
	}
}

var (
	ann       = user(home, "ann")
	bob       = user(abroad, "bob")
	app       = session(home, "team/app", "i-1")
	otherApp  = session(home, "team/app", "i-2")
	remote    = session(abroad, "copier", "job")
	toHome    = to("Allow", aws("arn:aws:iam::111122223333:root"))
	toAbroad  = to("Allow", aws("444455556666"))
	toAnn     = to("Allow", aws(ann.ARN))
	toBob     = to("Allow", aws(bob.ARN))
	toRole    = to("Allow", aws(app.Principal))
	toSession = to("Allow", aws(app.ARN))
	toAll     = to("Allow", aws("*"))
)

// Within the owner's account a key policy must let the caller in: by name, or
// by naming the account, which leaves it to identity policies (KMS developer
// guide, "Key policies in AWS KMS": facts on KMS, §4 rule 1).
func TestKeyInOwnAccount(t *testing.T) {
	decideAll(t, []decisionCase{
		{"nothing at all", ann, sides{}, noResource},
		{"identity alone", ann, sides{identity: []string{allowAll}}, noResource},
		{"key policy for somebody else", ann, sides{identity: []string{allowAll}, resource: []string{toBob}}, noResource},
		{"named", ann, sides{resource: []string{toAnn}}, allow},
		{"account, but no identity policy", ann, sides{resource: []string{toHome}}, noIdentity},
		{"account and identity policy", ann, sides{identity: []string{allowDecrypt}, resource: []string{toHome}}, allow},
		{"account and identity policy for something else", ann, sides{identity: []string{allowOther}, resource: []string{toHome}}, noIdentity},
		{"account by its bare number", ann, sides{identity: []string{allowDecrypt}, resource: []string{to("Allow", aws("111122223333"))}}, allow},
		{"everyone", ann, sides{resource: []string{toAll}}, allow},
		{"everyone, short form", ann, sides{resource: []string{to("Allow", `'*'`)}}, allow},
		{"root user by the account's name", root(home), sides{resource: []string{toHome}}, allow},
		{"root user shut out", root(home), sides{identity: []string{allowAll}, resource: []string{toAnn}}, noResource},
		{"unique id", ann, sides{resource: []string{to("Allow", aws(ann.UserID))}}, allow},
		{"unique id of a dead namesake", ann, sides{resource: []string{to("Allow", aws("AIDAOTHER0000000ANN"))}}, noResource},
		{"role by unique id", app, sides{resource: []string{to("Allow", aws("AROAEXAMPLE00000APP"))}}, allow},
		{"session by unique id", app, sides{resource: []string{to("Allow", aws("AROAEXAMPLE00000APP:i-1"))}, session: []string{allowOther}}, allow},
		{"role", app, sides{resource: []string{toRole}}, allow},
		{"role without its path", app, sides{resource: []string{to("Allow", aws("arn:aws:iam::111122223333:role/app"))}}, noResource},
		{"session", app, sides{resource: []string{toSession}}, allow},
		{"another session of the role", otherApp, sides{resource: []string{toSession}}, noResource},
		{"nobody", cloud.Caller{Account: home}, sides{identity: []string{allowAll}, resource: []string{toAll}}, noIdentity},
	})
}

// An explicit deny anywhere outweighs every allow (IAM user guide, "Policy
// evaluation logic").
func TestExplicitDenyWins(t *testing.T) {
	full := sides{identity: []string{allowAll}, resource: []string{toHome, toAnn, toRole, toSession, toBob, toAbroad}}
	with := func(change func(*sides)) sides {
		s := full
		change(&s)
		return s
	}
	decideAll(t, []decisionCase{
		{"none", ann, full, allow},
		{"identity", ann, with(func(s *sides) { s.identity = []string{allowAll, denyDecrypt} }), denyIdentity},
		{"identity, though named by the key", ann, sides{identity: []string{denyDecrypt}, resource: []string{toAnn}}, denyIdentity},
		{"boundary", ann, with(func(s *sides) { s.boundary = []string{allowAll, denyDecrypt} }), denyBoundary},
		{"session", app, with(func(s *sides) { s.session = []string{denyDecrypt, allowAll} }), denySession},
		{"resource", ann, with(func(s *sides) { s.resource = []string{toAnn, to("Deny", aws(ann.ARN))} }), denyResource},
		{"resource, the whole account", app, with(func(s *sides) { s.resource = []string{toSession, to("Deny", aws("111122223333"))} }), denyResource},
		{"resource, the role of the session", app, with(func(s *sides) { s.resource = []string{toSession, to("Deny", aws(app.Principal))} }), denyResource},
		{"resource, somebody else", ann, with(func(s *sides) { s.resource = []string{toAnn, to("Deny", aws(bob.ARN))} }), allow},
		{"resource, root user too", root(home), with(func(s *sides) { s.resource = []string{toHome, to("Deny", `'*'`)} }), denyResource},
		{"abroad, resource", bob, with(func(s *sides) { s.resource = []string{toBob, to("Deny", aws("*"))} }), denyResource},
		{"abroad, identity", bob, with(func(s *sides) { s.identity = []string{denyDecrypt, allowAll} }), denyIdentity},
	})
}

// Across accounts both sides must allow, whatever the principal's form (KMS
// developer guide, "Allowing users in other accounts to use a KMS key").
func TestKeyAbroad(t *testing.T) {
	both := sides{identity: []string{allowDecrypt}, resource: []string{toAbroad}}
	decideAll(t, []decisionCase{
		{"both, by account", bob, both, allow},
		{"both, by name", bob, sides{identity: []string{allowDecrypt}, resource: []string{toBob}}, allow},
		{"both, by everyone", bob, sides{identity: []string{allowDecrypt}, resource: []string{toAll}}, allow},
		{"key policy alone, by account", bob, sides{resource: []string{toAbroad}}, noIdentity},
		{"key policy alone, by name", bob, sides{resource: []string{toBob}}, noIdentity},
		{"key policy alone, by session", remote, sides{resource: []string{to("Allow", aws(remote.ARN))}}, noIdentity},
		{"identity alone", bob, sides{identity: []string{allowAll}}, noResource},
		{"key policy for the owner only", bob, sides{identity: []string{allowAll}, resource: []string{toHome}}, noResource},
		{"neither", bob, sides{resource: []string{toHome}}, noResource},
		{"boundary", bob, sides{identity: []string{allowAll}, resource: []string{toBob}, boundary: []string{allowOther}}, noBoundary},
		{"session policy", remote, sides{identity: []string{allowAll}, resource: []string{toAbroad}, session: []string{allowOther}}, noSession},
		{"session policy allows", remote, sides{identity: []string{allowAll}, resource: []string{toAbroad}, session: []string{allowDecrypt}}, allow},
		{"root user", root(abroad), sides{identity: []string{allowAll}, resource: []string{toAbroad}}, allow},
	})
}

// What a boundary or session policy leaves out limits identity policies and
// what is granted to a role, but not what a resource policy grants to a user,
// a session or everyone directly (IAM user guide, "Policy evaluation logic",
// and "Principal": the table of implicit denies).
func TestImplicitDenials(t *testing.T) {
	narrow := []string{allowOther}
	decideAll(t, []decisionCase{
		{"boundary, via account", ann, sides{identity: []string{allowAll}, resource: []string{toHome}, boundary: narrow}, noBoundary},
		{"boundary allows, via account", ann, sides{identity: []string{allowAll}, resource: []string{toHome}, boundary: []string{allowDecrypt}}, allow},
		{"boundary is no permission", ann, sides{resource: []string{toHome}, boundary: []string{allowAll}}, noIdentity},
		{"boundary, user named", ann, sides{resource: []string{toAnn}, boundary: narrow}, allow},
		{"boundary, role named", app, sides{resource: []string{toRole}, boundary: narrow}, noBoundary},
		{"boundary, session named", app, sides{resource: []string{toSession}, boundary: narrow}, allow},
		{"boundary, everyone", app, sides{resource: []string{toAll}, boundary: narrow}, allow},
		{"session, via account", app, sides{identity: []string{allowAll}, resource: []string{toHome}, session: narrow}, noSession},
		{"session, role named", app, sides{resource: []string{toRole}, session: narrow}, noSession},
		{"session allows, role named", app, sides{resource: []string{toRole}, session: []string{allowDecrypt}}, allow},
		{"session, session named", app, sides{resource: []string{toSession}, session: narrow}, allow},
		{"session, role and session named", app, sides{resource: []string{toRole, toSession}, session: narrow}, allow},
		{"session, everyone", app, sides{resource: []string{toAll}, session: narrow}, allow},
		{"both, boundary first", app, sides{resource: []string{toRole}, session: narrow, boundary: narrow}, noBoundary},
		{"session and identity both lack", app, sides{resource: []string{toHome}, session: narrow}, noIdentity},
	})
}

// For ordinary resources of one account either side is enough (IAM user guide,
// "Policy evaluation for requests within a single account").
func TestOrdinaryResource(t *testing.T) {
	ordinary := func(q *policy.Question) { q.ResourceMustAllow = false }
	decideAll(t, []decisionCase{
		{"identity alone", ann, sides{identity: []string{allowDecrypt}}, allow},
		{"resource alone", ann, sides{resource: []string{toAnn}}, allow},
		{"resource names the account only", ann, sides{resource: []string{toHome}}, noIdentity},
		{"identity, resource for another", ann, sides{identity: []string{allowDecrypt}, resource: []string{toBob}}, allow},
		{"neither", ann, sides{}, noIdentity},
		{"boundary", ann, sides{identity: []string{allowAll}, boundary: []string{allowOther}}, noBoundary},
		{"session", app, sides{identity: []string{allowAll}, session: []string{allowOther}}, noSession},
		{"root user", root(home), sides{identity: []string{allowAll}}, allow},
		{"abroad, resource alone", bob, sides{resource: []string{toBob}}, noIdentity},
		{"abroad, identity alone", bob, sides{identity: []string{allowAll}}, noResource},
		{"abroad, both", bob, sides{identity: []string{allowAll}, resource: []string{toAbroad}}, allow},
	}, ordinary)
}

// Several session policies: one of them must allow, any may deny (STS: inline
// and managed session policies together).
func TestSeveralSessionPolicies(t *testing.T) {
	q := ask(t, app, sides{identity: []string{allowAll}, resource: []string{toHome}})
	q.Identity.Session = []*policy.Policy{doc(t, "a", allowOther), doc(t, "b", allowDecrypt)}
	if d := q.Decide(); !d.Allowed {
		t.Errorf("one of two allows: %v", d)
	}
	q.Identity.Session = []*policy.Policy{doc(t, "a", allowDecrypt), doc(t, "b", denyDecrypt)}
	if got := said(q.Decide()); got != denySession {
		t.Errorf("one of two denies: %q", got)
	}
	q.Identity.Session = []*policy.Policy{}
	if got := said(q.Decide()); got != noSession {
		t.Errorf("a session with an empty set of policies: %q", got)
	}
}

// A trust policy lets in by name, or leaves it to the account; abroad both
// sides are needed (IAM user guide, "Cross account resource access": roles).
func TestTrustPolicy(t *testing.T) {
	trust := func(principal string) string {
		return `{'Effect':'Allow','Principal':` + principal + `,'Action':'sts:AssumeRole'}`
	}
	may := `{'Effect':'Allow','Action':'sts:AssumeRole','Resource':'arn:aws:iam::111122223333:role/app'}`
	for _, c := range []struct {
		name     string
		who      cloud.Caller
		identity []string
		trust    string
		want     bool
	}{
		{"named", ann, nil, aws(ann.ARN), true},
		{"not named", ann, []string{allowAll}, aws(bob.ARN), false},
		{"account alone", ann, nil, aws("111122223333"), false},
		{"account and identity", ann, []string{may}, aws("111122223333"), true},
		{"abroad, trust alone", bob, nil, aws(bob.ARN), false},
		{"abroad, identity alone", bob, []string{may}, aws(ann.ARN), false},
		{"abroad, both", bob, []string{may}, aws("444455556666"), true},
		{"service", cloud.ServiceCaller("rds.amazonaws.com", "eu-west-1"), nil, `{'Service':'rds.amazonaws.com'}`, true},
		{"another service", cloud.ServiceCaller("rds.amazonaws.com", "eu-west-1"), nil, `{'Service':'ec2.amazonaws.com'}`, false},
		{"federated", ann, []string{allowAll}, `{'Federated':'cognito-identity.amazonaws.com'}`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := ask(t, c.who, sides{identity: c.identity, resource: []string{trust(c.trust)}})
			q.Action, q.Resource = "sts:AssumeRole", "arn:aws:iam::111122223333:role/app"
			if d := q.Decide(); d.Allowed != c.want {
				t.Errorf("%v, want allowed %v\n%s", d, c.want, q.Explain().Tree())
			}
		})
	}
}

// Services have no identity policies: a resource policy or a grant lets them in.
func TestServicePrincipal(t *testing.T) {
	rds := cloud.ServiceCaller("rds.amazonaws.com", "eu-west-1")
	decideAll(t, []decisionCase{
		{"not named", rds, sides{resource: []string{toHome}}, noResource},
		{"named", rds, sides{resource: []string{to("Allow", `{'Service':'rds.amazonaws.com'}`)}}, allow},
		{"named with its Region", rds, sides{resource: []string{to("Allow", `{'Service':'rds.eu-west-1.amazonaws.com'}`)}}, allow},
		{"named with another Region", rds, sides{resource: []string{to("Allow", `{'Service':'rds.us-east-1.amazonaws.com'}`)}}, noResource},
		{"denied", rds, sides{resource: []string{to("Allow", `{'Service':'rds.amazonaws.com'}`), to("Deny", `'*'`)}}, denyResource},
		{"a user is no service", ann, sides{resource: []string{to("Allow", `{'Service':'rds.amazonaws.com'}`)}}, noResource},
	})
	q := ask(t, rds, sides{resource: []string{toHome}})
	q.Grants = []policy.Grant{{ID: "g1", Issuer: home}}
	if d := q.Decide(); !d.Allowed || d.Decided.Policy != "grant g1" {
		t.Errorf("with a grant: %v", d)
	}
}

// Grants stand in for the key policy (facts on KMS, §4 rules 3 and 4: recorded).
func TestGrants(t *testing.T) {
	byOwner := policy.Grant{ID: "g", Issuer: home}
	byCaller := policy.Grant{ID: "g", Issuer: abroad}
	exact := func(g policy.Grant) policy.Grant { g.ToSession = true; return g }
	may, mayNot := []string{allowAll}, []string{allowOther}
	for _, c := range []struct {
		decisionCase
		grant policy.Grant
	}{
		{decisionCase{"own account", ann, sides{}, allow}, byOwner},
		{decisionCase{"own account, key policy denies", ann, sides{resource: []string{to("Deny", aws(ann.ARN))}}, denyResource}, byOwner},
		{decisionCase{"own account, identity denies", ann, sides{identity: []string{denyDecrypt}}, denyIdentity}, byOwner},
		{decisionCase{"role, session policy lacks it", app, sides{session: mayNot}, noSession}, byOwner},
		{decisionCase{"role, session policy has it", app, sides{session: may}, allow}, byOwner},
		{decisionCase{"role, boundary lacks it", app, sides{boundary: mayNot}, noBoundary}, byOwner},
		{decisionCase{"exact session, session policy lacks it", app, sides{session: mayNot}, allow}, exact(byOwner)},
		{decisionCase{"exact session, session policy denies it", app, sides{session: []string{denyDecrypt}}, denySession}, exact(byOwner)},
		{decisionCase{"abroad, by owner, no identity policy", bob, sides{}, noIdentity}, byOwner},
		{decisionCase{"abroad, by owner, identity policy", bob, sides{identity: may}, allow}, byOwner},
		{decisionCase{"abroad, by owner, exact session", remote, sides{}, noIdentity}, exact(byOwner)},
		{decisionCase{"abroad, by caller's account", bob, sides{}, allow}, byCaller},
		{decisionCase{"abroad, by caller's account, session policy lacks it", remote, sides{session: mayNot}, noSession}, byCaller},
		{decisionCase{"abroad, by caller's account, exact session", remote, sides{session: mayNot}, allow}, exact(byCaller)},
		{decisionCase{"abroad, key policy denies", bob, sides{identity: may, resource: []string{to("Deny", "'*'")}}, denyResource}, byCaller},
	} {
		decideAll(t, []decisionCase{c.decisionCase}, func(q *policy.Question) { q.Grants = []policy.Grant{c.grant} })
	}
}

// NotPrincipal with Deny spares only who is named with all that stands above
// it; with Allow it lets in everyone else (IAM user guide, "NotPrincipal").
func TestNotPrincipal(t *testing.T) {
	spare := func(effect, principals string) []string {
		return []string{toAll, `{'Effect':'` + effect + `','NotPrincipal':{'AWS':` + principals + `},'Action':'kms:*','Resource':'*'}`}
	}
	whole := `'arn:aws:iam::111122223333:root'`
	annToo := `['` + ann.ARN + `',` + whole + `]`
	appToo := `['` + app.ARN + `','` + app.Principal + `',` + whole + `]`
	decideAll(t, []decisionCase{
		{"user and account", ann, sides{resource: spare("Deny", annToo)}, allow},
		{"user without account", ann, sides{resource: spare("Deny", `'`+ann.ARN+`'`)}, denyResource},
		{"account only", ann, sides{resource: spare("Deny", whole)}, denyResource},
		{"account only, its root user", root(home), sides{resource: spare("Deny", whole)}, allow},
		{"another user of the account", user(home, "eve"), sides{resource: spare("Deny", annToo)}, denyResource},
		{"abroad", bob, sides{identity: []string{allowAll}, resource: spare("Deny", annToo)}, denyResource},
		{"session, role and account", app, sides{resource: spare("Deny", appToo)}, allow},
		{"another session", otherApp, sides{resource: spare("Deny", appToo)}, denyResource},
		{"role and account without session", app, sides{resource: spare("Deny", `['`+app.Principal+`',`+whole+`]`)}, denyResource},
		{"everyone", bob, sides{identity: []string{allowAll}, resource: spare("Deny", `'*'`)}, allow},
		{"with a boundary", ann, sides{boundary: []string{allowAll}, resource: spare("Deny", annToo)}, denyResource},
		{"everyone, with a boundary", app, sides{boundary: []string{allowAll}, resource: spare("Deny", `'*'`)}, denyResource},
		{"allowed but for bob", ann, sides{resource: spare("Allow", `'`+bob.ARN+`'`)[1:]}, allow},
		{"allowed but for bob: bob", bob, sides{identity: []string{allowAll}, resource: spare("Allow", `'`+bob.ARN+`'`)[1:]}, noResource},
	})
}

// The default key admits everyone of its account through RDS, and nobody else:
// that is why a snapshot under it cannot be shared (facts on KMS, §5).
func TestManagedRDSKey(t *testing.T) {
	managed := []string{
		`{'Sid':'Through RDS','Effect':'Allow','Principal':{'AWS':'*'},'Action':['kms:Encrypt','kms:Decrypt','kms:CreateGrant'],'Resource':'*',
		  'Condition':{'StringEquals':{'kms:ViaService':'rds.eu-west-1.amazonaws.com','kms:CallerAccount':'111122223333'}}}`,
		`{'Sid':'Metadata','Effect':'Allow','Principal':{'AWS':'arn:aws:iam::111122223333:root'},'Action':['kms:Describe*','kms:Get*','kms:List*','kms:RevokeGrant'],'Resource':'*'}`,
	}
	through := func(c cloud.Caller) func(*policy.Question) {
		return func(q *policy.Question) {
			q.Context = policy.Context{"kms:CallerAccount": {string(c.Account)}, "kms:ViaService": {"rds.eu-west-1.amazonaws.com"}}
		}
	}
	direct := func(q *policy.Question) { q.Context = policy.Context{"kms:CallerAccount": {string(home)}} }
	decideAll(t, []decisionCase{{"via RDS", ann, sides{resource: managed}, allow}}, through(ann))
	decideAll(t, []decisionCase{{"directly", ann, sides{identity: []string{allowAll}, resource: managed}, noResource}}, direct)
	decideAll(t, []decisionCase{{"abroad via RDS", bob, sides{identity: []string{allowAll}, resource: managed}, noResource}}, through(bob))
}

// A Decision names what decided, on both sides where both had to.
func TestDecisionNamesStatements(t *testing.T) {
	q := ask(t, bob, sides{identity: []string{allowOther, allowDecrypt}, resource: []string{toHome, toAbroad}})
	want := `allowed by statement 1 ("MayDecrypt") of identity, let in by statement 1 of key policy`
	if got := q.Decide().String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	q.Identity.Policies = append(q.Identity.Policies, doc(t, "guard", denyDecrypt))
	want = `denied by statement 0 ("Never") of guard, with an explicit deny in an identity-based policy`
	if got := q.Decide().String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	// Of several, the first in the document decides.
	for _, s := range []sides{
		{identity: []string{allowOther, allowAll, allowDecrypt}, resource: []string{toBob, toHome, toHome}},
		{identity: []string{allowOther, allowDecrypt, allowAll}, resource: []string{toBob, toHome, `{'Effect':'Allow','Principal':'*','Action':'rds:*','Resource':'*'}`}},
	} {
		if d := ask(t, ann, s).Decide(); d.Decided.Index != 1 || d.Beside.Index != 1 {
			t.Errorf("not the first: %v", d)
		}
	}
	q = ask(t, ann, sides{})
	q.Grants = []policy.Grant{{ID: "0c23", Issuer: home}}
	if got := q.Decide().String(); got != "allowed by grant 0c23" {
		t.Errorf("got %s", got)
	}
}
