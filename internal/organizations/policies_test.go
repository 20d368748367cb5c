package organizations_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/organizations/types"

	"borealis/internal/cloud"
)

const (
	scp = types.PolicyTypeServiceControlPolicy
	rcp = types.PolicyTypeResourceControlPolicy
)

// What is no policy of its type, or too much, is refused.
func TestPolicyDocuments(t *testing.T) {
	w := newWorld(t)
	w.founded()
	create := func(typ types.PolicyType, content string) error {
		_, err := w.as(accountA).CreatePolicy(t.Context(), &organizations.CreatePolicyInput{Type: typ, Name: new(t.Name()), Description: new(""), Content: &content})
		return err
	}
	long := func(n int) string {
		const short = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"kms:*","Resource":"*"}]}`
		return short + strings.Repeat(" ", n-len(short))
	}
	const unfit = "The provided policy document does not meet the requirements of the specified policy type."
	for _, c := range []struct {
		name, content, code, reason, words string
		typ                                types.PolicyType
	}{
		{"no JSON", "x", "MalformedPolicyDocumentException", "", "Syntax errors", scp},
		{"empty", "{}", "MalformedPolicyDocumentException", "", "Syntax errors", scp},
		{"principal", `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"kms:*","Resource":"*"}]}`, "MalformedPolicyDocumentException", "", "principal", scp},
		{"old version", `{"Statement":[{"Effect":"Deny","Action":"kms:*","Resource":"*"}]}`, "MalformedPolicyDocumentException", "", unfit, scp},
		{"resource: allow", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}]}`, "MalformedPolicyDocumentException", "", unfit, rcp},
		{"too long", long(10241), "ConstraintViolationException", "POLICY_CONTENT_LIMIT_EXCEEDED", "You have exceeded the maximum policy size.", scp},
		{"resource: too long", long(5121), "ConstraintViolationException", "POLICY_CONTENT_LIMIT_EXCEEDED", "You have exceeded the maximum policy size.", rcp},
		{"another type", "{}", "PolicyTypeNotAvailableForOrganizationException", "", "", types.PolicyTypeTagPolicy},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := create(c.typ, c.content)
			refused(t, err, c.code, c.reason, "")
			if err != nil && !strings.Contains(err.Error(), c.words) {
				t.Errorf("%v does not say %q", err, c.words)
			}
		})
	}
	if err := create(scp, long(10240)); err != nil {
		t.Error(err)
	}
	refused(t, create(scp, allowAll), "DuplicatePolicyException", "", "A policy with the same name already exists.")
}

// Policies of a type are in force while the type is, in a number that is limited.
func TestAttachments(t *testing.T) {
	w := newWorld(t)
	ctx, root, a := t.Context(), w.founded(), w.as(accountA)
	w.joined(accountB)
	b := string(accountB)
	var all []string
	for i := range 10 {
		all = append(all, w.policy(fmt.Sprint("p", i), allowAll))
	}
	for _, p := range all[:9] {
		ok(t)(nil, w.attach(p, b))
	}
	refused(t, w.attach(all[0], b), "DuplicatePolicyAttachmentException", "", "A policy with the specified name and type already exists.")
	refused(t, w.attach(all[9], b), "ConstraintViolationException", "MAX_POLICY_TYPE_ATTACHMENT_LIMIT_EXCEEDED", "You have attached the maximum number of policies to the specified target.")
	refused(t, w.attach("p-00000000", b), "PolicyNotFoundException", "", "You specified a policy that doesn't exist.")
	refused(t, w.attach(all[9], string(accountC)), "TargetNotFoundException", "", "You specified a target that doesn't exist.")
	refused(t, w.attach("p-RCPFullAWSAccess", b), "PolicyTypeNotEnabledException", "", "This operation can be performed only for enabled policy types.")
	refused(t, w.detach(all[9], b), "PolicyNotAttachedException", "", "")
	refused(t, w.detach("p-FullAWSAccess", root), "ConstraintViolationException", "MIN_POLICY_TYPE_ATTACHMENT_LIMIT_EXCEEDED", "You cannot remove the last policy attached to the specified target. You must have at least one attached at all times.")
	_, err := a.DeletePolicy(ctx, &organizations.DeletePolicyInput{PolicyId: &all[0]})
	refused(t, err, "PolicyInUseException", "", "")
	ok(t)(a.DeletePolicy(ctx, &organizations.DeletePolicyInput{PolicyId: &all[9]}))
	for _, id := range []string{"p-FullAWSAccess", "p-RCPFullAWSAccess"} {
		_, err = a.UpdatePolicy(ctx, &organizations.UpdatePolicyInput{PolicyId: &id, Name: new("x")})
		refused(t, err, "InvalidInputException", "IMMUTABLE_POLICY", "")
		_, err = a.TagResource(ctx, &organizations.TagResourceInput{ResourceId: &id, Tags: []types.Tag{{Key: new("k"), Value: new("v")}}})
		refused(t, err, "InvalidInputException", "IMMUTABLE_POLICY", "")
	}
	targets := ok2(a.ListTargetsForPolicy(ctx, &organizations.ListTargetsForPolicyInput{PolicyId: new("p-FullAWSAccess")}))(t).Targets
	if len(targets) != 3 || *targets[2].TargetId != root || *targets[2].Name != "Root" || targets[2].Type != types.TargetTypeRoot {
		t.Errorf("targets %+v", targets)
	}
	of := func(typ types.PolicyType) int {
		return len(ok2(a.ListPoliciesForTarget(ctx, &organizations.ListPoliciesForTargetInput{TargetId: &b, Filter: typ}))(t).Policies)
	}
	if of(scp) != 10 || of(rcp) != 0 {
		t.Errorf("%d and %d policies", of(scp), of(rcp))
	}
	change := &organizations.EnablePolicyTypeInput{RootId: &root, PolicyType: rcp}
	ok(t)(a.EnablePolicyType(ctx, change))
	_, err = a.EnablePolicyType(ctx, change)
	refused(t, err, "PolicyTypeAlreadyEnabledException", "", "The specified policy type is already enabled.")
	refused(t, w.detach("p-RCPFullAWSAccess", b), "InvalidInputException", "NON_DETACHABLE_POLICY", "")
	if m := w.says(accountB); len(m.ServiceControl.Levels) != 2 || len(m.ResourceControl.Levels) != 2 || of(rcp) != 1 {
		t.Errorf("membership %+v", m)
	}
	out := ok2(a.DisablePolicyType(ctx, &organizations.DisablePolicyTypeInput{RootId: &root, PolicyType: scp}))(t)
	if len(out.Root.PolicyTypes) != 1 || out.Root.PolicyTypes[0].Type != rcp {
		t.Errorf("root %+v", out.Root)
	}
	_, err = a.DisablePolicyType(ctx, &organizations.DisablePolicyTypeInput{RootId: &root, PolicyType: scp})
	refused(t, err, "PolicyTypeNotEnabledException", "", "")
	if m := w.says(accountB); m.ServiceControl.Levels != nil || of(scp) != 0 {
		t.Errorf("membership %+v", m)
	}
	ok(t)(a.EnablePolicyType(ctx, &organizations.EnablePolicyTypeInput{RootId: &root, PolicyType: scp}))
	if of(scp) != 1 {
		t.Errorf("%d policies", of(scp))
	}
	_, err = a.EnablePolicyType(ctx, &organizations.EnablePolicyTypeInput{RootId: &root, PolicyType: types.PolicyTypeTagPolicy})
	refused(t, err, "PolicyTypeNotAvailableForOrganizationException", "", "")
}

// An organization for its bill alone has no policies.
func TestConsolidatedBilling(t *testing.T) {
	w := newWorld(t)
	ctx, a := t.Context(), w.as(accountA)
	o := ok2(a.CreateOrganization(ctx, &organizations.CreateOrganizationInput{FeatureSet: types.OrganizationFeatureSetConsolidatedBilling}))(t).Organization
	if o.FeatureSet != types.OrganizationFeatureSetConsolidatedBilling || len(o.AvailablePolicyTypes) != 0 {
		t.Errorf("organization %+v", o)
	}
	_, err := a.CreatePolicy(ctx, &organizations.CreatePolicyInput{Type: scp, Name: new("p"), Description: new(""), Content: new(allowAll)})
	refused(t, err, "PolicyTypeNotAvailableForOrganizationException", "", "")
	if m := w.says(accountA); m.Organization != *o.Id || m.ServiceControl.Levels != nil {
		t.Errorf("membership %+v", m)
	}
}

// Tags are unique by key, limited, and of use in policies.
func TestTags(t *testing.T) {
	w := newWorld(t)
	ctx, root, a := t.Context(), w.founded(), w.as(accountA)
	tag := func(k, v string) types.Tag { return types.Tag{Key: &k, Value: &v} }
	p := w.policy("p", allowAll)
	for _, id := range []string{root, string(accountA), p, w.unit(root, "u")} {
		ok(t)(a.TagResource(ctx, &organizations.TagResourceInput{ResourceId: &id, Tags: []types.Tag{tag("b", "1"), tag("a", "2")}}))
		ok(t)(a.TagResource(ctx, &organizations.TagResourceInput{ResourceId: &id, Tags: []types.Tag{tag("b", "3")}}))
		ok(t)(a.UntagResource(ctx, &organizations.UntagResourceInput{ResourceId: &id, TagKeys: []string{"a", "z"}}))
		got := ok2(a.ListTagsForResource(ctx, &organizations.ListTagsForResourceInput{ResourceId: &id}))(t).Tags
		if len(got) != 1 || *got[0].Key != "b" || *got[0].Value != "3" {
			t.Errorf("%s has %+v", id, got)
		}
		if c := w.journal.last(); !c.Allowed {
			t.Errorf("on record is %+v", c)
		}
	}
	var many []types.Tag
	for i := range 50 {
		many = append(many, tag(fmt.Sprint("k", i), ""))
	}
	for reason, tags := range map[string][]types.Tag{"DUPLICATE_TAG_KEY": {tag("a", ""), tag("a", "")}, "INVALID_SYSTEM_TAGS_PARAMETER": {tag("aws:x", "")}} {
		_, err := a.TagResource(ctx, &organizations.TagResourceInput{ResourceId: &root, Tags: tags})
		refused(t, err, "InvalidInputException", reason, "")
	}
	_, err := a.TagResource(ctx, &organizations.TagResourceInput{ResourceId: &root, Tags: many})
	refused(t, err, "ConstraintViolationException", "MAX_TAG_LIMIT_EXCEEDED", "")
	_, err = a.TagResource(ctx, &organizations.TagResourceInput{ResourceId: new(string(accountC)), Tags: many})
	refused(t, err, "TargetNotFoundException", "", "You specified a target that doesn't exist.")
}

// An invitation goes from one account to another, and has an end.
func TestHandshakes(t *testing.T) {
	w := newWorld(t)
	ctx, root, a, b := t.Context(), w.founded(), w.as(accountA), w.as(accountB)
	in := invite(accountB)
	in.Notes = new("please")
	send := func() *string { return ok2(a.InviteAccountToOrganization(ctx, in))(t).Handshake.Id }
	first := send()
	_, err := a.InviteAccountToOrganization(ctx, in)
	refused(t, err, "DuplicateHandshakeException", "", "")
	h := ok2(b.ListHandshakesForAccount(ctx, &organizations.ListHandshakesForAccountInput{}))(t).Handshakes
	org := w.says(accountA).Organization
	if len(h) != 1 || h[0].State != types.HandshakeStateOpen || *h[0].Parties[0].Id != string(accountB) || *h[0].Parties[1].Id != org[2:] ||
		*h[0].Arn != "arn:aws:organizations::"+string(accountA)+":handshake/"+org+"/invite/"+*first || *h[0].Resources[2].Value != "please" ||
		!h[0].ExpirationTimestamp.Equal(w.now.Add(15*24*time.Hour)) {
		t.Errorf("handshakes %+v", h)
	}
	_, err = w.as(accountC).AcceptHandshake(ctx, &organizations.AcceptHandshakeInput{HandshakeId: first})
	refused(t, err, "HandshakeNotFoundException", "", "")
	_, err = a.AcceptHandshake(ctx, &organizations.AcceptHandshakeInput{HandshakeId: first})
	refused(t, err, "AccessDeniedException", "", "You don't have permissions to access this resource.")
	_, err = b.CancelHandshake(ctx, &organizations.CancelHandshakeInput{HandshakeId: first})
	refused(t, err, "AccessDeniedException", "", "You don't have permissions to access this resource.")
	if d := ok2(b.DeclineHandshake(ctx, &organizations.DeclineHandshakeInput{HandshakeId: first}))(t).Handshake; d.State != types.HandshakeStateDeclined {
		t.Errorf("handshake %+v", d)
	}
	_, err = b.DeclineHandshake(ctx, &organizations.DeclineHandshakeInput{HandshakeId: first})
	refused(t, err, "HandshakeAlreadyInStateException", "", "")
	_, err = b.AcceptHandshake(ctx, &organizations.AcceptHandshakeInput{HandshakeId: first})
	refused(t, err, "InvalidHandshakeTransitionException", "", "")
	second := send()
	ok(t)(a.CancelHandshake(ctx, &organizations.CancelHandshakeInput{HandshakeId: second}))
	third := send()
	w.now = w.now.Add(15 * 24 * time.Hour)
	_, err = b.AcceptHandshake(ctx, &organizations.AcceptHandshakeInput{HandshakeId: third})
	refused(t, err, "InvalidHandshakeTransitionException", "", "")
	if d := ok2(b.DescribeHandshake(ctx, &organizations.DescribeHandshakeInput{HandshakeId: third}))(t).Handshake; d.State != types.HandshakeStateExpired {
		t.Errorf("handshake %+v", d)
	}
	if n := len(ok2(a.ListHandshakesForOrganization(ctx, &organizations.ListHandshakesForOrganizationInput{}))(t).Handshakes); n != 3 {
		t.Errorf("%d handshakes", n)
	}
	w.now = w.now.Add(16 * 24 * time.Hour) // the first two have ended over a month ago
	if n := len(ok2(a.ListHandshakesForOrganization(ctx, &organizations.ListHandshakesForOrganizationInput{}))(t).Handshakes); n != 1 {
		t.Errorf("%d handshakes", n)
	}
	_, err = b.DescribeHandshake(ctx, &organizations.DescribeHandshakeInput{HandshakeId: first})
	refused(t, err, "HandshakeNotFoundException", "", "")
	fourth := send()
	ok(t)(b.AcceptHandshake(ctx, &organizations.AcceptHandshakeInput{HandshakeId: fourth}))
	if m := w.says(accountB); m.Path != org+"/"+root+"/" {
		t.Errorf("membership %+v", m)
	}
	_, err = a.InviteAccountToOrganization(ctx, in)
	refused(t, err, "HandshakeConstraintViolationException", "ALREADY_IN_AN_ORGANIZATION", "")
	ok(t)(w.as(accountC).CreateOrganization(ctx, &organizations.CreateOrganizationInput{}))
	fifth := ok2(a.InviteAccountToOrganization(ctx, invite(accountC)))(t).Handshake.Id
	_, err = w.as(accountC).AcceptHandshake(ctx, &organizations.AcceptHandshakeInput{HandshakeId: fifth})
	refused(t, err, "HandshakeConstraintViolationException", "ALREADY_IN_AN_ORGANIZATION", "")
	for reason, p := range map[string]*types.HandshakeParty{
		"INVALID_PATTERN_TARGET_ID":    {Type: types.HandshakePartyTypeAccount, Id: new("999988887777")},
		"INVALID_EMAIL_ADDRESS_TARGET": {Type: types.HandshakePartyTypeEmail, Id: new("x@example.com")},
		"INVALID_PARTY_TYPE_TARGET":    {Type: types.HandshakePartyTypeOrganization, Id: new("o-1")},
	} {
		_, err = a.InviteAccountToOrganization(ctx, &organizations.InviteAccountToOrganizationInput{Target: p})
		refused(t, err, "InvalidInputException", reason, "")
	}
	if w.says(cloud.AccountID("999988887777")).Organization != "" {
		t.Error("an account that does not exist is in an organization")
	}
}
