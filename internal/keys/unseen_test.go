package keys_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// Whoever is not let in to a key cannot make the policies of its own account
// tell about the key, its tags and its aliases: all of it is answered as a key
// that is not there.
func TestPoliciesAreNoOracle(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	key := ann.key()
	_, err := ann.TagResource(t.Context(), &kms.TagResourceInput{KeyId: key, Tags: []types.Tag{{TagKey: new("env"), TagValue: new("prod")}}})
	ann.may("tag", err)
	ann.may("name", ann.alias("alias/payroll", key))
	none := new("arn:aws:kms:eu-west-1:111122223333:key/00000000-0000-4000-8000-000000000000")
	for _, condition := range []string{
		`"StringEquals":{"aws:ResourceTag/env":"prod"}`,
		`"ForAnyValue:StringEquals":{"kms:ResourceAliases":"alias/payroll"}`,
		`"Null":{"kms:KeySpec":"false"}`,
	} {
		spy := w.person(far, "user/spy", allow("kms:*"), `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"kms:*","Resource":"*","Condition":{`+condition+`}}]}`)
		want := said(spy.describe(none))
		if want == "" {
			t.Fatal("the spy sees a key that is not there")
		}
		for _, name := range []*string{key, new("arn:aws:kms:eu-west-1:111122223333:alias/payroll")} {
			spy.mayNot("find out with "+condition, want, spy.describe(name))
		}
		_, err := spy.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: none})
		spy.mayNot("find out with "+condition, said(err), spy.disable(key))
	}
	// A deny that does not look at the key is told, whether there is one or not.
	carl := w.person(far, "user/carl", deny("kms:*"))
	carl.mayNot("describe", said(carl.describe(none)), carl.describe(key))
	// Nor is anything withheld from those whom the key lets in.
	bob := w.person(abroad, "user/bob", allow("kms:*"), `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/env":"prod"}}}]}`)
	ann.may("let bob in", ann.putPolicy(key, delegating(home, "kms:*"), delegating(abroad, "kms:*")))
	bob.mayNot("describe", "AccessDeniedException: User: arn:aws:iam::444455556666:user/bob is not authorized to perform: kms:DescribeKey on this resource with an explicit deny in an identity-based policy", bob.describe(key))
}
