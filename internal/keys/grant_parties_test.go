package keys_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/cloud"
)

// service is a service acting for itself, for the sake of a resource.
func (w *world) service(name, source string) *person {
	c := cloud.ServiceCaller(name, region)
	c.SourceARN = source
	return &person{w.As(c), w, c}
}

const (
	database = "arn:aws:rds:eu-west-1:111122223333:cluster:blue"
	otherDB  = "arn:aws:rds:eu-west-1:111122223333:cluster:red"
)

// A grant to a service principal holds for the resource that it names.
func TestGrantToServicePrincipal(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	for _, name := range []string{"rds.amazonaws.com", "rds.eu-west-1.amazonaws.com"} {
		t.Run(name, func(t *testing.T) {
			key := ann.key()
			in := grantTo(key, "", "GenerateDataKey DescribeKey CreateGrant")
			in.GranteePrincipal, in.GranteeServicePrincipal, in.RetiringServicePrincipal = nil, &name, &name
			in.Constraints = &types.GrantConstraints{SourceArn: new(database)}
			g := ann.grant(in)
			rds := w.service("rds.amazonaws.com", database)
			other := w.service("rds.amazonaws.com", otherDB)
			aimless := w.service("rds.amazonaws.com", "")
			rds.may("use it", rds.dataKey(key))
			rds.may("describe", rds.describe(key))
			other.mayNot("use it for another resource", "AccessDeniedException", other.dataKey(key))
			other.mayNot("describe", "AccessDeniedException", other.describe(key))
			aimless.mayNot("use it for no resource", "AccessDeniedException", aimless.dataKey(key))
			ec2 := w.service("ec2.amazonaws.com", database)
			ec2.mayNot("use another service's", "AccessDeniedException", ec2.dataKey(key))

			child := grantTo(key, name, "GenerateDataKey")
			rds.mayNot("drop the constraint for a child", "AccessDeniedException", rds.tryGrant(child))
			child.Constraints = &types.GrantConstraints{SourceArn: new(otherDB)}
			rds.mayNot("change it", "AccessDeniedException", rds.tryGrant(child))
			child.Constraints = in.Constraints
			child.RetiringPrincipal = &name
			passed := rds.grant(child)

			e := ann.grants(&kms.ListGrantsInput{KeyId: key, GrantId: g.GrantId})[0]
			if e.GranteePrincipal != nil || e.RetiringPrincipal != nil || *e.GranteeServicePrincipal != name || *e.RetiringServicePrincipal != name || *e.Constraints.SourceArn != database {
				t.Errorf("entry: %+v", e)
			}
			list := must(aimless.ListRetirableGrants(t.Context(), &kms.ListRetirableGrantsInput{RetiringServicePrincipal: &name}))(t).Grants
			if len(list) != 2 || *list[0].GrantId != *g.GrantId && *list[1].GrantId != *g.GrantId {
				t.Errorf("retirable: %+v", list)
			}
			_, err := ec2.ListRetirableGrants(t.Context(), &kms.ListRetirableGrantsInput{RetiringServicePrincipal: &name})
			ec2.mayNot("list another service's", "AccessDeniedException", err)
			ec2.mayNot("retire another service's", "AccessDeniedException", ec2.retire(key, g.GrantId))
			aimless.may("retire it, whatever the constraint", aimless.retire(key, g.GrantId))
			rds.may("use the child, which lives on", rds.dataKey(key))
			rds.may("retire it too", rds.retire(key, passed.GrantId))
			rds.mayNot("use it afterwards", "AccessDeniedException", rds.dataKey(key))
		})
	}
}

func TestGrantPartiesAreChecked(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	app := w.person(home, "role/app").caller.Principal
	key := ann.key()
	rds := new("rds.amazonaws.com")
	source := &types.GrantConstraints{SourceArn: new(database)}
	const both = "ValidationException: You must specify either GranteePrincipal or GranteeServicePrincipal, but not both."
	for name, c := range map[string]struct {
		want   string
		change func(*kms.CreateGrantInput)
	}{
		"no grantee":   {both, func(in *kms.CreateGrantInput) { in.GranteePrincipal = nil }},
		"two grantees": {both, func(in *kms.CreateGrantInput) { in.GranteeServicePrincipal = rds }},
		"two to retire": {"ValidationException: You can specify either RetiringPrincipal or RetiringServicePrincipal, but not both.", func(in *kms.CreateGrantInput) {
			in.RetiringPrincipal, in.RetiringServicePrincipal = &app, rds
		}},
		"a service without a resource": {"ValidationException: You must specify a SourceArn grant constraint when you specify a GranteeServicePrincipal.", func(in *kms.CreateGrantInput) {
			in.GranteePrincipal, in.GranteeServicePrincipal, in.RetiringPrincipal = nil, rds, &app
		}},
		"a service and nobody to retire": {"ValidationException: You must specify either a RetiringPrincipal or a RetiringServicePrincipal when you specify a GranteeServicePrincipal.", func(in *kms.CreateGrantInput) {
			in.GranteePrincipal, in.GranteeServicePrincipal, in.Constraints = nil, rds, source
		}},
		"no service": {"ValidationException: nobody is not a valid service principal.", func(in *kms.CreateGrantInput) {
			in.RetiringServicePrincipal = new("nobody")
		}},
		"a dead id to retire": {"InvalidArnException: RetiringPrincipal does not refer to a valid principal.", func(in *kms.CreateGrantInput) {
			in.RetiringPrincipal = new("AIDAEXAMPLE9999999999")
		}},
		"a group": {"InvalidArnException: ARN does not refer to a valid principal: arn:aws:iam::111122223333:group/all", func(in *kms.CreateGrantInput) {
			in.GranteePrincipal = new("arn:aws:iam::111122223333:group/all")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			in := grantTo(key, app, "Decrypt")
			c.change(in)
			ann.mayNot("grant", c.want, ann.tryGrant(in))
		})
	}
	_, err := ann.ListGrants(t.Context(), &kms.ListGrantsInput{KeyId: key, GranteeServicePrincipal: rds})
	ann.mayNot("list a service's grants as its own", "ValidationException: GranteeServicePrincipal can be used by callers in a service principal only.", err)
	_, err = ann.ListRetirableGrants(t.Context(), &kms.ListRetirableGrantsInput{RetiringServicePrincipal: rds})
	ann.mayNot("list what a service may retire", "ValidationException: RetiringServicePrincipal can be used by callers in a service principal only.", err)
	_, err = ann.ListRetirableGrants(t.Context(), &kms.ListRetirableGrantsInput{})
	ann.mayNot("list what nobody may retire", "ValidationException", err)
}

// Whoever may not make grants to somebody may not by another of his names
// either: conditions are about the principal's ARN, however it was named.
func TestGranteeByAnyName(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	eve := w.person(home, "user/eve")
	role := w.person(home, "role/app")
	session, roleID := role.caller.UserID, strings.TrimSuffix(role.caller.UserID, ":s1")
	user := w.person(home, "user/friend")
	for forbidden, names := range map[string][]string{
		role.caller.Principal:        {role.caller.Principal, roleID},
		role.caller.ARN:              {role.caller.ARN, session},
		user.caller.ARN:              {user.caller.ARN, user.caller.UserID},
		abroad.Root().String():       {abroad.Root().String(), string(abroad)},
		"arn:aws:iam::*:user/friend": {user.caller.ARN, user.caller.UserID},
	} {
		w.person(abroad, "root")
		for _, field := range []string{"kms:GranteePrincipal", "kms:RetiringPrincipal"} {
			not := strings.Replace(strings.Replace(letting(eve.caller.ARN, "kms:CreateGrant"), "Allow", "Deny", 1),
				`"Resource"`, `"Condition":{"StringLike":{"`+field+`":"`+forbidden+`"}},"Resource"`, 1)
			key := ann.key(letting(eve.caller.ARN, "kms:CreateGrant"), not)
			for _, name := range names {
				in := grantTo(key, user.caller.ARN, "Decrypt")
				if field == "kms:GranteePrincipal" {
					in.GranteePrincipal = &name
				} else {
					in.RetiringPrincipal = &name
				}
				eve.mayNot("grant to "+name+" as "+field, "AccessDeniedException", eve.tryGrant(in))
				ann.may("do the same", ann.tryGrant(in))
			}
		}
	}
}

// What grants lists hold, by filter and page, is what there is.
func TestListGrantsFilters(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	key := ann.key()
	people := []*person{w.person(home, "role/one"), w.person(home, "role/two"), w.person(home, "user/three")}
	made := map[string][]string{}
	for i := range 40 {
		p := people[i%7%3]
		g := ann.grant(grantTo(key, p.caller.Principal, "Decrypt"))
		if i%5 == 0 {
			ann.may("revoke", ann.revoke(key, g.GrantId))
			continue
		}
		for _, who := range []string{"", p.caller.Principal, *g.GrantId} {
			made[who] = append(made[who], *g.GrantId)
		}
	}
	pages := func(limit int32, in kms.ListGrantsInput) (ids []string) {
		in.KeyId, in.Limit = key, &limit
		for {
			out := must(ann.ListGrants(t.Context(), &in))(t)
			if len(out.Grants) > int(limit) || out.Truncated != (out.NextMarker != nil) {
				t.Fatalf("a page of %d, truncated %t", len(out.Grants), out.Truncated)
			}
			for _, g := range out.Grants {
				ids = append(ids, *g.GrantId)
			}
			if in.Marker = out.NextMarker; in.Marker == nil {
				return ids
			}
		}
	}
	w.reopen()
	ann = ann.again()
	for _, limit := range []int32{1, 3, 7, 100} {
		for who, want := range made {
			in := kms.ListGrantsInput{}
			switch {
			case strings.HasPrefix(who, "arn:"):
				in.GranteePrincipal = &who
			case who != "":
				in.GrantId = &who
			}
			slices.Sort(want)
			if got := pages(limit, in); !slices.Equal(got, want) {
				t.Errorf("by %d of %q: %v, want %v", limit, who, got, want)
			}
		}
	}
	one := made[people[0].caller.Principal][0]
	if got := pages(10, kms.ListGrantsInput{GrantId: &one, GranteePrincipal: &people[1].caller.Principal}); got != nil {
		t.Errorf("another's grant by its id: %v", got)
	}
}

// Who may retire a grant, beside those that TestRetireGrant names.
func TestRetiringParties(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	app := w.person(home, "role/app")
	key := ann.key()
	fresh := func(retiring string) *string {
		in := grantTo(key, app.caller.Principal, "Decrypt")
		in.RetiringPrincipal = &retiring
		return ann.grant(in).GrantId
	}
	limited := app.with(func(c *cloud.Caller) { c.SessionPolicies = []string{allow("s3:*")} })
	limited.may("retire as exactly this session", limited.retire(key, fresh(app.caller.ARN)))
	limited.mayNot("retire as the role's session beyond its policy", "AccessDeniedException: User: "+app.caller.ARN+" is not authorized to perform: kms:RetireGrant on resource: "+*key+" because no session policy allows the kms:RetireGrant action", limited.retire(key, fresh(app.caller.Principal)))
	root := w.person(home, "root")
	root.may("retire as the account's root user", root.retire(key, fresh(app.caller.ARN)))
	bob := w.person(abroad, "user/bob", allow("kms:RetireGrant"))
	eve := w.person(abroad, "user/eve")
	eve.mayNot("retire without a policy what the account may retire", "AccessDeniedException", eve.retire(key, fresh(abroad.Root().String())))
	bob.may("retire with one", bob.retire(key, fresh(abroad.Root().String())))
	bob.mayNot("retire what neither he nor his account may", "AccessDeniedException", bob.retire(key, fresh(app.caller.ARN)))
	dry := fresh(app.caller.ARN)
	_, err := app.RetireGrant(t.Context(), &kms.RetireGrantInput{KeyId: key, GrantId: dry, DryRun: new(true)})
	app.mayNot("retire and not retire", "DryRunOperationException", err)
	app.may("retire it after all", app.retire(key, dry))
}

// A token is good for nothing but saying that a grant is there.
func TestTokenOfAnotherKey(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	app := w.person(home, "role/app")
	one, two := ann.key(), ann.key()
	g := ann.grant(grantTo(one, app.caller.Principal, "GenerateDataKey"))
	use := func(key *string) error {
		_, err := app.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: key, KeySpec: "AES_256", GrantTokens: []string{*g.GrantToken}})
		return err
	}
	app.may("use the key with it", use(one))
	app.mayNot("use another with it", "AccessDeniedException", use(two))
	eve := w.person(home, "user/eve")
	_, err := eve.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: one, KeySpec: "AES_256", GrantTokens: []string{*g.GrantToken}})
	eve.mayNot("use another's token", "AccessDeniedException", err)
	must(ann.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: one, PendingWindowInDays: new(int32(7))}))(t)
	w.wait(8 * 24 * 3600e9)
	must(w.Sweep(t.Context(), w.clock()))(t)
	app.mayNot("use a deleted key's token", "InvalidGrantTokenException", use(two))
}

// A caller of another account, limited by a session policy or not: which side
// the refusal names depends on whether the grant was made to the role or to the
// session (recorded from AWS, September 2026).
func TestGrantRefusalsAcrossAccounts(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	bob := w.person(abroad, "user/bob", allow("kms:CreateGrant"))
	app := w.person(abroad, "role/app")
	limited := app.with(func(c *cloud.Caller) { c.SessionPolicies = []string{allow("s3:*")} })
	const no = "AccessDeniedException: User: arn:aws:sts::444455556666:assumed-role/app/s1 is not authorized to perform: kms:GenerateDataKey on this resource because no "
	const identity, session = no + "identity-based policy allows the kms:GenerateDataKey action", no + "session policy allows the kms:GenerateDataKey action"
	for _, c := range []struct {
		name                 string
		issuer               *person
		grantee              string
		plain, session, both string // without policies, with a session policy, with an identity policy too
	}{
		{"owner's grant to the session", ann, app.caller.ARN, identity, identity, session},
		{"owner's grant to the role", ann, app.caller.Principal, identity, session, session},
		{"own account's grant to the session", bob, app.caller.ARN, "", "", ""},
		{"own account's grant to the role", bob, app.caller.Principal, "", session, session},
	} {
		t.Run(c.name, func(t *testing.T) {
			key := ann.key(delegating(abroad, "kms:CreateGrant"))
			w.setPolicies(app.caller.Principal)
			c.issuer.grant(grantTo(key, c.grantee, "GenerateDataKey"))
			if got := said(app.dataKey(key)); got != c.plain {
				t.Errorf("without policies: %s", got)
			}
			if got := said(limited.dataKey(key)); got != c.session {
				t.Errorf("with a session policy: %s", got)
			}
			w.setPolicies(app.caller.Principal, allow("kms:*"))
			if got := said(limited.dataKey(key)); got != c.both {
				t.Errorf("with an identity policy too: %s", got)
			}
			app.may("use it with an identity policy", app.dataKey(key))
		})
	}
}
