package keys_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/cloud"
)

// grant is CreateGrant's input for operations separated by blanks.
func grantTo(key *string, grantee, operations string) *kms.CreateGrantInput {
	in := &kms.CreateGrantInput{KeyId: key, GranteePrincipal: &grantee}
	for _, op := range strings.Fields(operations) {
		in.Operations = append(in.Operations, types.GrantOperation(op))
	}
	return in
}

func (p *person) grant(in *kms.CreateGrantInput) *kms.CreateGrantOutput {
	p.w.t.Helper()
	return must(p.CreateGrant(p.w.t.Context(), in))(p.w.t)
}

func (p *person) tryGrant(in *kms.CreateGrantInput) error {
	_, err := p.CreateGrant(p.w.t.Context(), in)
	return err
}

func (p *person) revoke(key, grant *string) error {
	_, err := p.RevokeGrant(p.w.t.Context(), &kms.RevokeGrantInput{KeyId: key, GrantId: grant})
	return err
}

func (p *person) retire(key, grant *string) error {
	_, err := p.RetireGrant(p.w.t.Context(), &kms.RetireGrantInput{KeyId: key, GrantId: grant})
	return err
}

func (p *person) grants(in *kms.ListGrantsInput) []types.GrantListEntry {
	p.w.t.Helper()
	return must(p.ListGrants(p.w.t.Context(), in))(p.w.t).Grants
}

func TestGrantLetsIn(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	app := w.person(home, "role/app")
	key := ann.key()
	blob := must(ann.encrypt(key, map[string]string{"a": "1", "b": "2"}))(t)

	app.mayNot("decrypt without a grant", "AccessDeniedException", app.decrypt(blob, map[string]string{"a": "1", "b": "2"}))
	in := grantTo(key, app.caller.Principal, "Decrypt DescribeKey")
	in.Constraints = &types.GrantConstraints{EncryptionContextSubset: map[string]string{"a": "1"}}
	g := ann.grant(in)
	app.may("decrypt within the constraint", app.decrypt(blob, map[string]string{"a": "1", "b": "2"}))
	app.mayNot("decrypt without the pair", "AccessDeniedException", app.decrypt(blob, map[string]string{"b": "2"}))
	app.may("describe, which no constraint limits", app.describe(key))
	app.mayNot("encrypt, which the grant does not say", "AccessDeniedException", func() error { _, err := app.encrypt(key, map[string]string{"a": "1"}); return err }())

	ann.may("revoke", ann.revoke(key, g.GrantId))
	app.mayNot("decrypt afterwards", "AccessDeniedException", app.decrypt(blob, map[string]string{"a": "1", "b": "2"}))
	ann.mayNot("revoke again", "NotFoundException: Grant ID "+*g.GrantId+" not found", ann.revoke(key, g.GrantId))

	in.Constraints = &types.GrantConstraints{EncryptionContextEquals: map[string]string{"a": "1"}}
	ann.grant(in)
	app.mayNot("decrypt with more than equals", "AccessDeniedException", app.decrypt(blob, map[string]string{"a": "1", "b": "2"}))
	app.mayNot("decrypt with what the blob is not under", "InvalidCiphertextException", app.decrypt(blob, map[string]string{"a": "1"}))
}

// Whether another account's identity policies are asked depends on who issued
// the grant.
func TestGrantAcrossAccounts(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	bob := w.person(abroad, "user/bob", allow("kms:CreateGrant"))
	app := w.person(abroad, "role/app")
	key := ann.key(delegating(abroad, "kms:CreateGrant"))

	g := ann.grant(grantTo(key, app.caller.Principal, "GenerateDataKey"))
	app.mayNot("use the owner's grant without an identity policy", "AccessDeniedException: User: "+app.caller.ARN+" is not authorized to perform: kms:GenerateDataKey on this resource because no identity-based policy allows the kms:GenerateDataKey action", app.dataKey(key))
	w.setPolicies(app.caller.Principal, allow("kms:GenerateDataKey"))
	app.may("use it with one", app.dataKey(key))
	w.setPolicies(app.caller.Principal)
	ann.may("revoke", ann.revoke(key, g.GrantId))

	bob.grant(grantTo(key, app.caller.Principal, "GenerateDataKey"))
	app.may("use a grant of its own account without one", app.dataKey(key))
	if e := ann.grants(&kms.ListGrantsInput{KeyId: key})[0]; *e.IssuingAccount != "arn:aws:iam::444455556666:root" || *e.KeyId != *key {
		t.Errorf("entry: %+v", e)
	}
}

func TestGrantToWholeAccount(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	bob := w.person(abroad, "user/bob", allow("kms:GenerateDataKey"))
	eve := w.person(abroad, "user/eve")
	zed := w.person(far, "user/zed", allow("kms:*"))
	key := ann.key()
	ann.grant(grantTo(key, "arn:aws:iam::444455556666:root", "GenerateDataKey"))
	bob.may("use it by an identity policy", bob.dataKey(key))
	eve.mayNot("use it without", "AccessDeniedException", eve.dataKey(key))
	zed.mayNot("use another account's", "AccessDeniedException", zed.dataKey(key))
}

func TestGrantToSessionAndRole(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	app := w.person(home, "role/app")
	limited := app.with(func(c *cloud.Caller) { c.SessionPolicies = []string{allow("s3:*")} })
	other := app.with(func(c *cloud.Caller) {
		c.ARN, c.UserID = strings.Replace(c.ARN, "/s1", "/s2", 1), strings.Replace(c.UserID, ":s1", ":s2", 1)
	})
	key := ann.key()

	ann.mayNot("name a session with a path", "InvalidArnException: ARN is not valid: arn:aws:sts::111122223333:assumed-role/path/app/s1", ann.tryGrant(grantTo(key, "arn:aws:sts::111122223333:assumed-role/path/app/s1", "Decrypt")))
	g := ann.grant(grantTo(key, app.caller.ARN, "GenerateDataKey"))
	app.may("use the session's grant", app.dataKey(key))
	limited.may("use it whatever the session policy leaves out", limited.dataKey(key))
	other.mayNot("use another session's", "AccessDeniedException: User: "+other.caller.ARN+" is not authorized to perform: kms:GenerateDataKey on resource: "+*key+" because no identity-based policy allows the kms:GenerateDataKey action", other.dataKey(key))
	ann.may("revoke", ann.revoke(key, g.GrantId))

	ann.grant(grantTo(key, app.caller.Principal, "GenerateDataKey"))
	other.may("use the role's grant", other.dataKey(key))
	limited.mayNot("use it beyond the session policy", "AccessDeniedException: User: "+app.caller.ARN+" is not authorized to perform: kms:GenerateDataKey on resource: "+*key+" because no session policy allows the kms:GenerateDataKey action", limited.dataKey(key))
}

// A principal that was deleted and made again is another.
func TestGrantDiesWithItsPrincipal(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	app := w.person(home, "role/app")
	key := ann.key()
	ann.grant(grantTo(key, app.caller.ARN, "GenerateDataKey"))
	if e := ann.grants(&kms.ListGrantsInput{KeyId: key})[0]; *e.GranteePrincipal != app.caller.ARN {
		t.Errorf("grantee is shown as %s", *e.GranteePrincipal)
	}
	w.remove(app)
	if e := ann.grants(&kms.ListGrantsInput{KeyId: key})[0]; *e.GranteePrincipal != app.caller.UserID {
		t.Errorf("dead grantee is shown as %s", *e.GranteePrincipal)
	}
	ann.mayNot("name the dead by ARN", "InvalidArnException: ARN does not refer to a valid principal: "+app.caller.Principal, ann.tryGrant(grantTo(key, app.caller.Principal, "Decrypt")))
	ann.mayNot("name the dead by id", "InvalidArnException: GranteePrincipal does not refer to a valid principal.", ann.tryGrant(grantTo(key, app.caller.UserID, "Decrypt")))
	_, err := ann.ListGrants(t.Context(), &kms.ListGrantsInput{KeyId: key, GranteePrincipal: &app.caller.UserID})
	ann.mayNot("list the dead's grants", "InvalidArnException: Input does not refer to a valid principal", err)
	_, err = ann.ListRetirableGrants(t.Context(), &kms.ListRetirableGrantsInput{RetiringPrincipal: &app.caller.UserID})
	ann.mayNot("list what the dead may retire", "NotFoundException: Retiring principal "+app.caller.UserID+" could not be found", err)

	again := w.person(home, "role/app")
	again.mayNot("use the dead one's grant", "AccessDeniedException", again.dataKey(key))
}

func TestGrantOfTheSameName(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	app := w.person(home, "role/app")
	key := ann.key()
	in := grantTo(key, app.caller.Principal, "Decrypt Encrypt")
	in.Name = new("one")
	first := ann.grant(in)
	byID := grantTo(key, strings.TrimSuffix(app.caller.UserID, ":s1"), "Encrypt Decrypt")
	byID.Name = in.Name
	for _, in := range []*kms.CreateGrantInput{in, byID} {
		again := ann.grant(in)
		if *again.GrantId != *first.GrantId || *again.GrantToken == *first.GrantToken {
			t.Errorf("again: same id %t, same token %t", *again.GrantId == *first.GrantId, *again.GrantToken == *first.GrantToken)
		}
	}
	more := grantTo(key, app.caller.Principal, "Decrypt Encrypt DescribeKey")
	more.Name = in.Name
	if *ann.grant(more).GrantId == *first.GrantId {
		t.Error("other operations under the same name are the same grant")
	}
	in.Name = nil
	if one, two := ann.grant(in), ann.grant(in); *one.GrantId == *two.GrantId {
		t.Error("two grants without a name are one")
	}
	if n := len(ann.grants(&kms.ListGrantsInput{KeyId: key})); n != 4 {
		t.Errorf("%d grants, want 4", n)
	}
}

func TestGrantTokens(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	app := w.person(home, "role/app")
	key := ann.key()
	g := ann.grant(grantTo(key, app.caller.Principal, "GenerateDataKey RetireGrant"))
	use := func(token string) error {
		_, err := app.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: key, KeySpec: "AES_256", GrantTokens: []string{token}})
		return err
	}
	app.may("use the token", use(*g.GrantToken))
	app.mayNot("make a token up", "InvalidGrantTokenException", use("AQpB"))
	app.mayNot("spoil a token", "InvalidGrantTokenException", use("AA"+(*g.GrantToken)[2:]))
	_, err := app.RetireGrant(t.Context(), &kms.RetireGrantInput{GrantToken: g.GrantToken})
	app.may("retire by token", err)
	app.mayNot("use the token afterwards", "InvalidGrantTokenException", use(*g.GrantToken))
	_, err = app.RetireGrant(t.Context(), &kms.RetireGrantInput{GrantToken: g.GrantToken})
	app.mayNot("retire again", "InvalidGrantTokenException", err)
	_, err = app.RetireGrant(t.Context(), &kms.RetireGrantInput{KeyId: key})
	app.mayNot("retire nothing in particular", "ValidationException", err)
}

func TestGrantThatDelegates(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	app := w.person(home, "role/app")
	leaf := w.person(home, "role/leaf")
	key := ann.key()
	in := grantTo(key, app.caller.Principal, "CreateGrant Decrypt")
	in.Constraints = &types.GrantConstraints{EncryptionContextSubset: map[string]string{"a": "1"}}
	ann.grant(in)
	ann.grant(grantTo(key, app.caller.Principal, "CreateGrant Encrypt"))

	child := func(operations string, c *types.GrantConstraints) *kms.CreateGrantInput {
		in := grantTo(key, leaf.caller.Principal, operations)
		in.Constraints = c
		return in
	}
	narrow := &types.GrantConstraints{EncryptionContextSubset: map[string]string{"a": "1", "b": "2"}}
	app.mayNot("widen the operations", "AccessDeniedException", app.tryGrant(child("DescribeKey", narrow)))
	app.mayNot("drop the constraint", "AccessDeniedException", app.tryGrant(child("Decrypt", nil)))
	app.mayNot("loosen the constraint", "AccessDeniedException", app.tryGrant(child("Decrypt", &types.GrantConstraints{EncryptionContextSubset: map[string]string{"b": "2"}})))
	app.mayNot("combine two parents", "AccessDeniedException", app.tryGrant(child("Encrypt Decrypt", narrow)))
	app.may("pass on less", app.tryGrant(child("Decrypt", narrow)))
	app.may("pass on less, exactly", app.tryGrant(child("Decrypt", &types.GrantConstraints{EncryptionContextEquals: map[string]string{"a": "1"}})))
	app.may("pass on the other", app.tryGrant(child("Encrypt", nil)))
	leaf.mayNot("pass it on in turn", "AccessDeniedException", leaf.tryGrant(child("Encrypt", nil)))
}

func TestGrantTerms(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	app := w.person(home, "role/app").caller.Principal
	key := ann.key()
	ann.mayNot("grant to nobody known", "InvalidArnException: ARN does not refer to a valid principal: arn:aws:iam::111122223333:role/none", ann.tryGrant(grantTo(key, "arn:aws:iam::111122223333:role/none", "Decrypt")))
	ann.mayNot("grant to an unknown account", "InvalidArnException: ARN does not refer to a valid principal: arn:aws:iam::123456789012:root", ann.tryGrant(grantTo(key, "arn:aws:iam::123456789012:root", "Decrypt")))
	ann.mayNot("grant to a service", "InvalidArnException: ARN does not refer to a valid principal: rds.eu-west-1.amazonaws.com", ann.tryGrant(grantTo(key, "rds.eu-west-1.amazonaws.com", "Decrypt")))
	ann.mayNot("grant what the key cannot do", "ValidationException: Operations [Sign] are not supported when creating a grant for a symmetric KMS key with key usage ENCRYPT_DECRYPT. Valid operations are [Decrypt, Encrypt, GenerateDataKey, GenerateDataKeyWithoutPlaintext, ReEncryptFrom, ReEncryptTo, CreateGrant, RetireGrant, DescribeKey, GenerateDataKeyPair, GenerateDataKeyPairWithoutPlaintext]", ann.tryGrant(grantTo(key, app, "Decrypt Sign")))
	many := grantTo(key, app, "Decrypt")
	many.Constraints = &types.GrantConstraints{EncryptionContextSubset: map[string]string{}}
	for _, k := range "abcdefghi" {
		many.Constraints.EncryptionContextSubset[string(k)] = "x"
	}
	ann.mayNot("constrain nine pairs", "ValidationException", ann.tryGrant(many))
	dry := grantTo(key, app, "Decrypt")
	dry.DryRun = new(true)
	ann.mayNot("try without doing", "DryRunOperationException: The request would have succeeded, but the DryRun option is set.", ann.tryGrant(dry))
	if got := ann.grants(&kms.ListGrantsInput{KeyId: key}); len(got) != 0 {
		t.Errorf("refused grants exist: %v", got)
	}
}

func TestRetireGrant(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:CreateGrant", "kms:CreateKey", "kms:PutKeyPolicy"))
	app := w.person(home, "role/app")
	ret := w.person(home, "user/ret")
	admin := w.person(home, "user/admin", allow("kms:RetireGrant"))
	key := ann.key()
	fresh := func(operations string, retiring *person) *string {
		in := grantTo(key, app.caller.Principal, operations)
		if retiring != nil {
			in.RetiringPrincipal = &retiring.caller.Principal
		}
		return ann.grant(in).GrantId
	}

	g := fresh("Decrypt", ret)
	app.mayNot("retire what is not for the grantee to retire", "AccessDeniedException", app.retire(key, g))
	ret.may("retire as retiring principal", ret.retire(key, g))
	ret.mayNot("retire it twice", "NotFoundException", ret.retire(key, g))
	app.may("retire as grantee with RetireGrant", app.retire(key, fresh("Decrypt RetireGrant", nil)))
	admin.may("retire in the issuing account", admin.retire(key, fresh("Decrypt", nil)))
	w.setPolicies(ret.caller.Principal, deny("kms:RetireGrant"))
	ret.mayNot("retire against an explicit deny", "AccessDeniedException", ret.retire(key, fresh("Decrypt", ret)))

	far := w.person(abroad, "user/far")
	g = fresh("Decrypt", far)
	far.mayNot("retire from abroad without an identity policy", "AccessDeniedException: User: arn:aws:iam::444455556666:user/far is not authorized to perform: kms:RetireGrant on this resource because no identity-based policy allows the kms:RetireGrant action", far.retire(key, g))
	w.setPolicies(far.caller.Principal, allow("kms:RetireGrant", "kms:ListRetirableGrants"))
	list := must(far.ListRetirableGrants(t.Context(), &kms.ListRetirableGrantsInput{RetiringPrincipal: &far.caller.Principal}))(t).Grants
	if len(list) != 1 || *list[0].GrantId != *g || *list[0].RetiringPrincipal != far.caller.Principal {
		t.Errorf("retirable: %+v", list)
	}
	far.may("retire from abroad with one", far.retire(key, g))
	far.mayNot("learn that a grant is not there", "AccessDeniedException", far.retire(key, g))
	_, err := far.ListRetirableGrants(t.Context(), &kms.ListRetirableGrantsInput{RetiringPrincipal: &ret.caller.Principal})
	far.mayNot("list another account's", "InvalidArnException", err)
}

// RDS makes a grant to itself in the caller's name, and works under it alone.
func TestServiceGrant(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	bob := w.person(abroad, "user/bob", allow("kms:CreateGrant", "kms:DescribeKey", "kms:GenerateDataKey"))
	condition := strings.Replace(letting(abroad.Root().String(), "kms:CreateGrant"), `"Resource"`,
		`"Condition":{"Bool":{"kms:GrantIsForAWSResource":"true"},"StringEquals":{"kms:ViaService":"rds.eu-west-1.amazonaws.com","kms:CallerAccount":"444455556666"}},"Resource"`, 1)
	key := ann.key(condition)
	const service = "rds.eu-west-1.amazonaws.com"
	in := grantTo(key, service, "Decrypt GenerateDataKey RetireGrant DescribeKey")
	in.RetiringPrincipal = new(service)
	in.Constraints = &types.GrantConstraints{EncryptionContextSubset: map[string]string{"aws:rds:dbc-id": "cluster-X"}}

	bob.mayNot("make the grant himself", "AccessDeniedException", bob.tryGrant(grantTo(key, bob.caller.Principal, "Decrypt")))
	bob.mayNot("make it through another service", "AccessDeniedException", bob.through("ec2.amazonaws.com").tryGrant(in))
	g := bob.through("rds.amazonaws.com").grant(in)
	bob.through("rds.amazonaws.com").mayNot("make a grant to another service", "InvalidArnException", bob.through("rds.amazonaws.com").tryGrant(grantTo(key, "ec2.eu-west-1.amazonaws.com", "Decrypt")))

	rds := bob.with(func(c *cloud.Caller) { *c = cloud.ServiceCaller("rds.amazonaws.com", region) })
	elsewhere := bob.with(func(c *cloud.Caller) { *c = cloud.ServiceCaller("rds.amazonaws.com", "us-east-1") })
	ec2 := bob.with(func(c *cloud.Caller) { *c = cloud.ServiceCaller("ec2.amazonaws.com", region) })
	generate := func(p *person, context map[string]string) error {
		_, err := p.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{
			KeyId: key, KeySpec: "AES_256", EncryptionContext: context, GrantTokens: []string{*g.GrantToken},
		})
		return err
	}
	mine := map[string]string{"aws:rds:dbc-id": "cluster-X", "more": "x"}
	rds.may("use it", generate(rds, mine))
	rds.mayNot("use it for another cluster", "AccessDeniedException", generate(rds, map[string]string{"aws:rds:dbc-id": "cluster-Y"}))
	ec2.mayNot("use another service's", "AccessDeniedException", generate(ec2, mine))
	elsewhere.mayNot("use it in another Region", "NotFoundException: Invalid arn us-east-1", generate(elsewhere, mine))
	bob.mayNot("use RDS's grant", "AccessDeniedException", generate(bob, mine))

	e := ann.grants(&kms.ListGrantsInput{KeyId: key, GranteePrincipal: new(service)})
	if len(e) != 1 || *e[0].GranteePrincipal != service || *e[0].RetiringPrincipal != service || *e[0].IssuingAccount != "arn:aws:iam::444455556666:root" {
		t.Errorf("entry: %+v", e)
	}
	ann.may("shut bob out", ann.putPolicy(key, delegating(home, "kms:*")))
	rds.may("still use the grant", generate(rds, mine))
	ann.may("revoke it", ann.revoke(key, g.GrantId))
	rds.mayNot("use it any more", "InvalidGrantTokenException", generate(rds, mine))
}

func TestListGrantsPages(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	app := w.person(home, "role/app").caller.Principal
	key := ann.key()
	var made, got []string
	for range 7 {
		made = append(made, *ann.grant(grantTo(key, app, "Decrypt")).GrantId)
	}
	in := &kms.ListGrantsInput{KeyId: key, Limit: new(int32(3))}
	for pages := 1; ; pages++ {
		out := must(ann.ListGrants(t.Context(), in))(t)
		for _, e := range out.Grants {
			got = append(got, *e.GrantId)
			if !e.CreationDate.Equal(w.now.Truncate(time.Second)) || *e.Name != "" || e.Constraints != nil {
				t.Errorf("entry: %+v", e)
			}
		}
		if out.Truncated != (out.NextMarker != nil) || out.Truncated != (pages < 3) {
			t.Fatalf("page %d: truncated %t, marker %v", pages, out.Truncated, out.NextMarker)
		}
		if in.Marker = out.NextMarker; in.Marker == nil {
			break
		}
	}
	slices.Sort(made)
	if !slices.Equal(got, made) {
		t.Errorf("listed %v, made %v", got, made)
	}
	in.Marker = new("nonsense")
	_, err := ann.ListGrants(t.Context(), in)
	ann.mayNot("make up a marker", "InvalidMarkerException", err)
}
