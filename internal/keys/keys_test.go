package keys_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"borealis/internal/cloud"
)

// The domain's main rule: another account needs the key policy and its own
// identity policy, and neither alone.
func TestAnotherAccountNeedsBothSides(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	bob := w.person(abroad, "user/bob", allow("kms:*"))
	eve := w.person(abroad, "user/eve")
	key := ann.key()
	blob := must(ann.encrypt(key, nil))(t)
	const elsewhere = "because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access"

	bob.mayNot("decrypt by his own policy alone", "AccessDeniedException: User: arn:aws:iam::444455556666:user/bob is not authorized to perform: kms:Decrypt on the resource associated with this ciphertext "+elsewhere, bob.decrypt(blob, nil))
	bob.mayNot("describe by his own policy alone", "AccessDeniedException: User: arn:aws:iam::444455556666:user/bob is not authorized to perform: kms:DescribeKey on this resource "+elsewhere, bob.describe(key))

	ann.may("let the account in", ann.putPolicy(key, delegating(home, "kms:*"), delegating(abroad, "kms:Decrypt", "kms:DescribeKey")))
	bob.may("decrypt", bob.decrypt(blob, nil))
	bob.may("describe", bob.describe(key))
	eve.mayNot("decrypt by the key policy alone", "AccessDeniedException: User: arn:aws:iam::444455556666:user/eve is not authorized to perform: kms:Decrypt on the resource associated with this ciphertext because no identity-based policy allows the kms:Decrypt action", eve.decrypt(blob, nil))
	eve.mayNot("describe by the key policy alone", "AccessDeniedException: User: arn:aws:iam::444455556666:user/eve is not authorized to perform: kms:DescribeKey on this resource because no identity-based policy allows the kms:DescribeKey action", eve.describe(key))
	bob.mayNot("encrypt, which the key policy does not say", "AccessDeniedException: User: arn:aws:iam::444455556666:user/bob is not authorized to perform: kms:Encrypt on this resource "+elsewhere, func() error { _, err := bob.encrypt(key, nil); return err }())

	ann.may("shut them out again", ann.putPolicy(key, delegating(home, "kms:*")))
	bob.mayNot("decrypt", "AccessDeniedException", bob.decrypt(blob, nil))
}

func TestDescribeKey(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	out := must(ann.CreateKey(t.Context(), &kms.CreateKeyInput{Description: new("mine")}))(t).KeyMetadata
	m := must(ann.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: out.KeyId}))(t).KeyMetadata
	if !m.CreationDate.Equal(w.now) || *m.Description != "mine" || !m.Enabled || *m.Arn != "arn:aws:kms:eu-west-1:111122223333:key/"+*m.KeyId || len(*m.CurrentKeyMaterialId) != 64 {
		t.Errorf("metadata: %+v", m)
	}
	other := ann.with(func(c *cloud.Caller) { c.Region = "us-east-1" })
	other.mayNot("find it in another Region", "NotFoundException: Key 'arn:aws:kms:us-east-1:111122223333:key/"+*m.KeyId+"' does not exist", other.describe(m.KeyId))
	other.mayNot("reach another Region by ARN", "NotFoundException: Invalid arn us-east-1", other.describe(m.Arn))
}

func TestKeyNames(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	const arn = "arn:aws:kms:eu-west-1:111122223333:"
	for name, want := range map[string]string{
		"1234abcd-12ab-34cd-56ef-1234567890ab":           "NotFoundException: Key '" + arn + "key/1234abcd-12ab-34cd-56ef-1234567890ab' does not exist",
		arn + "key/1234abcd-12ab-34cd-56ef-1234567890ab": "NotFoundException: Key '" + arn + "key/1234abcd-12ab-34cd-56ef-1234567890ab' does not exist",
		"mrk-1234abcd12ab34cd56ef1234567890ab":           "NotFoundException: Key '" + arn + "key/mrk-1234abcd12ab34cd56ef1234567890ab' does not exist",
		"":                                               "NotFoundException: Invalid keyId ''",
		"x":                                              "NotFoundException: Invalid keyId 'x'",
		"1234ABCD-12ab-34cd-56ef-1234567890ab":           "NotFoundException: Invalid keyId '1234ABCD-12ab-34cd-56ef-1234567890ab'",
		"1234abcd-12ab-34cd-56ef-1234567890a-":           "NotFoundException: Invalid keyId '1234abcd-12ab-34cd-56ef-1234567890a-'",
		"key/1234abcd-12ab-34cd-56ef-1234567890ab":       "NotFoundException: Invalid keyId 'key/1234abcd-12ab-34cd-56ef-1234567890ab'",
		arn + "1234abcd-12ab-34cd-56ef-1234567890ab":     "NotFoundException: Invalid keyId '" + arn + "1234abcd-12ab-34cd-56ef-1234567890ab'",
		"arn:aws:s3:::bucket":                            "InvalidArnException: Invalid arn arn:aws:s3:::bucket",
		"alias/none":                                     "NotFoundException: Alias " + arn + "alias/none is not found.",
		arn + "alias/none":                               "NotFoundException: Alias " + arn + "alias/none is not found.",
	} {
		ann.mayNot("describe "+name, want, ann.describe(&name))
	}
}
