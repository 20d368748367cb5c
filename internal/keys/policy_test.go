package keys_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/cloud"
)

func TestDefaultPolicy(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:CreateKey", "kms:GetKeyPolicy"))
	got := must(ann.GetKeyPolicy(t.Context(), &kms.GetKeyPolicyInput{KeyId: ann.key()}))(t)
	const want = `{
  "Version" : "2012-10-17",
  "Id" : "key-default-1",
  "Statement" : [ {
    "Sid" : "Enable IAM User Permissions",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "arn:aws:iam::111122223333:root"
    },
    "Action" : "kms:*",
    "Resource" : "*"
  } ]
}`
	if *got.Policy != want || *got.PolicyName != "default" {
		t.Errorf("%s:\n%s", *got.PolicyName, *got.Policy)
	}
}

func TestPolicyChecks(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	sue := w.person(home, "user/sue", allow("kms:CreateKey"))
	app := w.person(home, "role/app")
	key := ann.key()
	const lockout = "MalformedPolicyDocumentException: The new key policy will not allow you to update the key policy in the future."
	const principals = "MalformedPolicyDocumentException: Policy contains a statement with one or more invalid principals."
	root := delegating(home, "kms:*")

	ann.mayNot("lock herself out", lockout, ann.putPolicy(key, delegating(home, "kms:Describe*")))
	ann.mayNot("give the key away", lockout, ann.putPolicy(key, letting(app.caller.Principal, "kms:*")))
	ann.mayNot("name nobody", principals, ann.putPolicy(key, root, letting("arn:aws:iam::111122223333:user/none", "kms:Decrypt")))
	ann.mayNot("name no account", principals, ann.putPolicy(key, root, letting("arn:aws:iam::123456789012:root", "kms:Decrypt")))
	ann.mayNot("name no account by id", principals, ann.putPolicy(key, root, letting("123456789012", "kms:Decrypt")))
	ann.mayNot("name a dead id", principals, ann.putPolicy(key, root, letting("AIDAEXAMPLE9999999999", "kms:Decrypt")))
	ann.mayNot("write nonsense", "MalformedPolicyDocumentException", func() error {
		_, err := ann.PutKeyPolicy(t.Context(), &kms.PutKeyPolicyInput{KeyId: key, Policy: new("{}")})
		return err
	}())
	ann.mayNot("leave out the principal", "MalformedPolicyDocumentException", ann.putPolicy(key, root, allow("kms:*")[strings.Index(allow("kms:*"), `{"Effect`):len(allow("kms:*"))-1]))
	ann.mayNot("write too much", "LimitExceededException", ann.putPolicy(key, root, letting(home.Root().String(), strings.Repeat("kms:x", 8000))))
	ann.mayNot("name another policy", "NotFoundException: No such policy exists", func() error {
		_, err := ann.PutKeyPolicy(t.Context(), &kms.PutKeyPolicyInput{KeyId: key, Policy: keyPolicy(root), PolicyName: new("other")})
		return err
	}())
	ann.may("still describe the key", ann.describe(key))

	ann.may("name principals that exist", ann.putPolicy(key, root, letting(app.caller.Principal, "kms:Decrypt"), letting(app.caller.ARN, "kms:Decrypt"), letting(strings.TrimSuffix(app.caller.UserID, ":s1"), "kms:Decrypt"), letting("*", "kms:Decrypt")))
	_, err := ann.PutKeyPolicy(t.Context(), &kms.PutKeyPolicyInput{KeyId: key, Policy: keyPolicy(letting(app.caller.Principal, "kms:Decrypt")), BypassPolicyLockoutSafetyCheck: true})
	ann.may("lock herself out on purpose", err)
	ann.mayNot("put the policy now", "AccessDeniedException: User: arn:aws:iam::111122223333:user/ann is not authorized to perform: kms:PutKeyPolicy on resource: "+*key+" because no resource-based policy allows the kms:PutKeyPolicy action", ann.putPolicy(key, root))

	_, err = sue.CreateKey(t.Context(), &kms.CreateKeyInput{})
	sue.may("create a key without a policy, whatever comes after", err)
	_, err = sue.CreateKey(t.Context(), &kms.CreateKeyInput{Policy: keyPolicy(root)})
	sue.mayNot("create a key whose policy she could not put", lockout, err)
	_, err = sue.CreateKey(t.Context(), &kms.CreateKeyInput{Policy: keyPolicy(root), BypassPolicyLockoutSafetyCheck: true})
	sue.may("create it on purpose", err)
}

func TestPolicyIsGivenBackAsPut(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	key := ann.key()
	app := w.person(home, "role/app")
	text := "  {\n \"Statement\":\t[" + delegating(home, "kms:*") + "," + letting(app.caller.Principal, "kms:GenerateDataKey") + " ], \"Version\":\"2008-10-17\" }\n"
	must(ann.PutKeyPolicy(t.Context(), &kms.PutKeyPolicyInput{KeyId: key, Policy: &text}))(t)
	if got := must(ann.GetKeyPolicy(t.Context(), &kms.GetKeyPolicyInput{KeyId: key}))(t); *got.Policy != text {
		t.Errorf("put %q, got %q", text, *got.Policy)
	}

	app.may("use the key", app.dataKey(key))
	w.remove(app)
	want := strings.Replace(text, app.caller.Principal, strings.TrimSuffix(app.caller.UserID, ":s1"), 1)
	if got := must(ann.GetKeyPolicy(t.Context(), &kms.GetKeyPolicyInput{KeyId: key}))(t); *got.Policy != want {
		t.Errorf("of a dead role: %s", *got.Policy)
	}
	again := w.person(home, "role/app")
	again.mayNot("use the key by its name alone", "AccessDeniedException", again.dataKey(key))
}

// The sentences of refusals within the key's own account.
func TestRefusals(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	eve := w.person(home, "user/eve")
	key := ann.key()
	refused := func(tail string) string {
		return "AccessDeniedException: User: arn:aws:iam::111122223333:user/eve is not authorized to perform: kms:DescribeKey on resource: " + *key + " " + tail
	}
	eve.mayNot("describe", refused("because no identity-based policy allows the kms:DescribeKey action"), eve.describe(key))
	w.setPolicies(eve.caller.ARN, allow("kms:*"), deny("kms:Describe*"))
	eve.mayNot("describe", refused("with an explicit deny in an identity-based policy"), eve.describe(key))
	w.setPolicies(eve.caller.ARN, allow("kms:*"))
	limited := eve.with(func(c *cloud.Caller) { c.SessionPolicies = []string{deny("kms:*")} })
	limited.mayNot("describe", refused("with an explicit deny in a session policy"), limited.describe(key))
	limited = eve.with(func(c *cloud.Caller) { c.SessionPolicies = []string{allow("s3:*")} })
	limited.mayNot("describe", refused("because no session policy allows the kms:DescribeKey action"), limited.describe(key))
	w.dir.people[eve.caller.ARN].identity.Boundary = w.parse(allow("s3:*"))
	eve.mayNot("describe", refused("because no permissions boundary allows the kms:DescribeKey action"), eve.describe(key))
	w.setPolicies(eve.caller.ARN, allow("kms:*"))

	ann.may("deny", ann.putPolicy(key, delegating(home, "kms:*"), strings.Replace(letting(eve.caller.ARN, "kms:*"), "Allow", "Deny", 1)))
	eve.mayNot("describe", refused("with an explicit deny in a resource-based policy"), eve.describe(key))
	ann.may("leave out the account", ann.putPolicy(key, letting(ann.caller.ARN, "kms:*")))
	eve.mayNot("describe", refused("because no resource-based policy allows the kms:DescribeKey action"), eve.describe(key))
	_, err := w.person(home, "user/eve").CreateKey(t.Context(), &kms.CreateKeyInput{})
	eve.mayNot("create", "AccessDeniedException: User: arn:aws:iam::111122223333:user/eve is not authorized to perform: kms:CreateKey on resource: * because no identity-based policy allows the kms:CreateKey action", err)
}

// A key of another account that is not there is refused like one that lets
// nobody in, whatever the caller's own policies say.
func TestExistenceIsNotTold(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	bob := w.person(abroad, "user/bob")
	key := ann.key()
	missing := new((*key)[:len(*key)-36] + "00000000-0000-4000-8000-000000000000")
	ann.may("make an alias", ann.alias("alias/there", key))
	for _, policies := range [][]string{{}, {allow("kms:*")}, {deny("kms:*")}, {allow("kms:*"), deny("kms:Describe*")}} {
		w.setPolicies(bob.caller.ARN, policies...)
		for _, pair := range [][2]*string{
			{key, missing},
			{new("arn:aws:kms:eu-west-1:111122223333:alias/there"), new("arn:aws:kms:eu-west-1:111122223333:alias/missing")},
		} {
			there, not := said(bob.describe(pair[0])), said(bob.describe(pair[1]))
			if there != not || !strings.HasPrefix(there, "AccessDeniedException") {
				t.Errorf("with %v:\n%s\n%s", policies, there, not)
			}
		}
	}
}

// Condition keys, each in a key policy that says yes to one value of it.
func TestConditionKeys(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	eve := w.person(home, "user/eve")
	app := w.person(home, "role/app").caller.Principal
	ctx := t.Context()
	when := func(action, operator, key, value string) string {
		return strings.Replace(letting(eve.caller.ARN, "kms:"+action), `"Resource"`, `"Condition":{"`+operator+`":{"`+key+`":`+value+`}},"Resource"`, 1)
	}
	encrypt := func(context map[string]string) func(*person, *string) error {
		return func(p *person, key *string) error { _, err := p.encrypt(key, context); return err }
	}
	grant := func(change func(*kms.CreateGrantInput)) func(*person, *string) error {
		return func(p *person, key *string) error {
			in := grantTo(key, app, "Decrypt")
			change(in)
			return p.tryGrant(in)
		}
	}
	schedule := func(days int32) func(*person, *string) error {
		return func(p *person, key *string) error {
			_, err := p.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: key, PendingWindowInDays: &days})
			return err
		}
	}
	tag := func(k, v string) func(*person, *string) error {
		return func(p *person, key *string) error {
			_, err := p.TagResource(ctx, &kms.TagResourceInput{KeyId: key, Tags: []types.Tag{{TagKey: &k, TagValue: &v}}})
			return err
		}
	}
	put := func(bypass bool) func(*person, *string) error {
		return func(p *person, key *string) error {
			_, err := p.PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: key, Policy: keyPolicy(delegating(home, "kms:*")), BypassPolicyLockoutSafetyCheck: bypass})
			return err
		}
	}
	describe := func(p *person, key *string) error { return p.describe(key) }
	byAlias := func(p *person, _ *string) error { return p.describe(new("alias/red")) }
	viaRDS := func(p *person, key *string) error { return p.through("rds.amazonaws.com").describe(key) }
	constrained := func(subset bool) func(*person, *string) error {
		return grant(func(in *kms.CreateGrantInput) {
			in.Constraints = &types.GrantConstraints{EncryptionContextEquals: map[string]string{"a": "1"}}
			if subset {
				in.Constraints = &types.GrantConstraints{EncryptionContextSubset: map[string]string{"a": "2"}}
			}
		})
	}
	asIs := grant(func(*kms.CreateGrantInput) {})
	toEve := grant(func(in *kms.CreateGrantInput) { in.GranteePrincipal = &eve.caller.ARN })
	retiring := grant(func(in *kms.CreateGrantInput) { in.RetiringPrincipal = &app })
	encrypting := grant(func(in *kms.CreateGrantInput) { in.Operations = []types.GrantOperation{"Decrypt", "Encrypt"} })

	for _, c := range []struct {
		statement string
		yes, no   func(*person, *string) error
	}{
		{when("DescribeKey", "StringEquals", "kms:ViaService", `"rds.eu-west-1.amazonaws.com"`), viaRDS, describe},
		{when("DescribeKey", "StringEquals", "kms:RequestAlias", `"alias/red"`), byAlias, describe},
		{when("DescribeKey", "ForAnyValue:StringEquals", "kms:ResourceAliases", `"alias/red"`), describe, nil},
		{when("DescribeKey", "ForAnyValue:StringEquals", "kms:ResourceAliases", `"alias/blue"`), nil, describe},
		{when("DescribeKey", "StringEquals", "kms:CallerAccount", `"111122223333"`), describe, nil},
		{when("DescribeKey", "StringEquals", "kms:CallerAccount", `"444455556666"`), nil, describe},
		{when("DescribeKey", "StringEquals", "kms:KeySpec", `"SYMMETRIC_DEFAULT"`), describe, nil},
		{when("DescribeKey", "StringEquals", "kms:KeyUsage", `"SIGN_VERIFY"`), nil, describe},
		{when("DescribeKey", "StringEquals", "kms:KeyOrigin", `"AWS_KMS"`), describe, nil},
		{when("DescribeKey", "Bool", "kms:MultiRegion", `"false"`), describe, nil},
		{when("DescribeKey", "StringEquals", "aws:ResourceTag/team", `"red"`), describe, nil},
		{when("DescribeKey", "StringEquals", "aws:ResourceTag/team", `"blue"`), nil, describe},
		{when("Encrypt", "StringEquals", "kms:EncryptionContext:A", `"1"`), encrypt(map[string]string{"a": "1"}), encrypt(map[string]string{"a": "2"})},
		{when("Encrypt", "ForAllValues:StringEquals", "kms:EncryptionContextKeys", `["a","b"]`), encrypt(map[string]string{"a": "1"}), encrypt(map[string]string{"a": "1", "c": "1"})},
		{when("Encrypt", "StringEquals", "kms:EncryptionAlgorithm", `"SYMMETRIC_DEFAULT"`), encrypt(nil), nil},
		{when("CreateGrant", "Bool", "kms:GrantIsForAWSResource", `"false"`), asIs, nil},
		{when("CreateGrant", "Bool", "kms:GrantIsForAWSResource", `"true"`), nil, asIs},
		{when("CreateGrant", "StringEquals", "kms:GranteePrincipal", `"`+app+`"`), asIs, toEve},
		{when("CreateGrant", "StringEquals", "kms:RetiringPrincipal", `"`+app+`"`), retiring, asIs},
		{when("CreateGrant", "ForAllValues:StringEquals", "kms:GrantOperations", `["Decrypt","DescribeKey"]`), asIs, encrypting},
		{when("CreateGrant", "StringEquals", "kms:GrantConstraintType", `"EncryptionContextSubset"`), constrained(true), constrained(false)},
		{when("CreateGrant", "StringEquals", "kms:EncryptionContext:a", `"2"`), constrained(true), constrained(false)},
		{when("ScheduleKeyDeletion", "NumericGreaterThanEquals", "kms:ScheduleKeyDeletionPendingWindowInDays", `"20"`), schedule(20), schedule(19)},
		{when("TagResource", "StringEquals", "aws:RequestTag/team", `"red"`), tag("team", "red"), tag("team", "blue")},
		{when("TagResource", "ForAllValues:StringEquals", "aws:TagKeys", `"team"`), tag("team", "x"), tag("other", "x")},
		{when("PutKeyPolicy", "Bool", "kms:BypassPolicyLockoutSafetyCheck", `"true"`), put(true), put(false)},
	} {
		key := ann.key(c.statement)
		must(ann.TagResource(ctx, &kms.TagResourceInput{KeyId: key, Tags: []types.Tag{{TagKey: new("team"), TagValue: new("red")}}}))(t)
		ann.DeleteAlias(ctx, &kms.DeleteAliasInput{AliasName: new("alias/red")})
		ann.may("make an alias", ann.alias("alias/red", key))
		if c.no != nil {
			eve.mayNot("do this under "+c.statement, "AccessDeniedException", c.no(eve, key))
		}
		if c.yes != nil {
			eve.may("do this under "+c.statement, c.yes(eve, key))
		}
	}
}

func TestReEncryptConditions(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	eve := w.person(home, "user/eve", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:ReEncrypt*","Resource":"*","Condition":{"Bool":{"kms:ReEncryptOnSameKey":"true"}}}}`)
	one, two := ann.key(), ann.key()
	blob := must(ann.encrypt(one, nil))(t)
	to := func(key *string) error {
		_, err := eve.ReEncrypt(t.Context(), &kms.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: key})
		return err
	}
	eve.may("re-encrypt on the same key", to(one))
	eve.mayNot("re-encrypt on another", "AccessDeniedException", to(two))
	w.setPolicies(eve.caller.ARN, allow("kms:ReEncryptFrom"))
	eve.mayNot("re-encrypt to", "AccessDeniedException: User: arn:aws:iam::111122223333:user/eve is not authorized to perform: kms:ReEncryptTo on resource: "+*two+" because no identity-based policy allows the kms:ReEncryptTo action", to(two))
	w.setPolicies(eve.caller.ARN, allow("kms:ReEncryptTo"))
	eve.mayNot("re-encrypt from", "AccessDeniedException: User: arn:aws:iam::111122223333:user/eve is not authorized to perform: kms:ReEncryptFrom on resource: "+*one+" because no identity-based policy allows the kms:ReEncryptFrom action", to(two))
}
