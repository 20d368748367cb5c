package keys_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"borealis/internal/cloud"
)

// at is p with requests aimed at another Region.
func (p *person) at(r cloud.Region) *person {
	return p.with(func(c *cloud.Caller) { c.Region = r })
}

// inRegion is the ARN of the key of another Region that is of the same family.
func inRegion(key *string, r cloud.Region) *string {
	f := strings.SplitN(*key, ":", 5)
	return new(strings.Join([]string{f[0], f[1], f[2], string(r), f[4]}, ":"))
}

// family makes a multi-Region key with these replicas, and returns the ARN of the
// primary.
func (p *person) family(replicas ...cloud.Region) *string {
	p.w.t.Helper()
	key := must(p.CreateKey(p.w.t.Context(), &kms.CreateKeyInput{MultiRegion: new(true)}))(p.w.t).KeyMetadata.Arn
	for _, r := range replicas {
		p.may("replicate", p.replicate(key, r))
	}
	return key
}

func (p *person) replicate(key *string, r cloud.Region) error {
	_, err := p.ReplicateKey(p.w.t.Context(), &kms.ReplicateKeyInput{KeyId: key, ReplicaRegion: new(string(r))})
	return err
}

func (p *person) lead(key *string, r cloud.Region) error {
	_, err := p.UpdatePrimaryRegion(p.w.t.Context(), &kms.UpdatePrimaryRegionInput{KeyId: key, PrimaryRegion: new(string(r))})
	return err
}

// What is encrypted in one Region is decrypted in another, by whatever name the key
// has there, and by no name that it has elsewhere.
func TestFamilyDecrypts(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	east := ann.at("us-east-1")
	key := ann.family("us-east-1", "ap-east-1")
	there, id := inRegion(key, "us-east-1"), new((*key)[strings.LastIndex(*key, "/")+1:])
	blob := must(ann.encrypt(key, nil))(t)
	for what, name := range map[string]*string{"no name": nil, "its id": id, "its ARN": there} {
		out, err := east.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob, KeyId: name})
		east.may("decrypt by "+what, err)
		if err == nil && (*out.KeyId != *there || string(out.Plaintext) != "secret") {
			t.Errorf("decrypted %q with %s", out.Plaintext, *out.KeyId)
		}
	}
	const wrong = "IncorrectKeyException: The key ID in the request does not identify a CMK that can perform this operation."
	_, err := east.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob, KeyId: key})
	east.mayNot("decrypt by the primary's ARN", wrong, err)
	_, err = east.ReEncrypt(t.Context(), &kms.ReEncryptInput{CiphertextBlob: blob, SourceKeyId: key, DestinationKeyId: there})
	east.mayNot("re-encrypt by the primary's ARN", wrong, err)
	north := ann.at("eu-north-1")
	_, err = north.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob, KeyId: key})
	north.mayNot("decrypt where there is no replica", "NotFoundException: Invalid arn eu-north-1", err)
	north.mayNot("decrypt without a name where there is no replica", "AccessDeniedException", north.decrypt(blob, nil))
	bob := w.person(abroad, "user/bob", allow("kms:*")).at("us-east-1")
	for what, name := range map[string]*string{"a key": key, "no key": new(strings.Replace(*key, "mrk-", "mrk-"+strings.Repeat("0", 32), 1)[:len(*key)])} {
		_, err = bob.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob, KeyId: name})
		bob.mayNot("learn whether there is "+what, "AccessDeniedException: User: arn:aws:iam::444455556666:user/bob is not authorized to perform: kms:Decrypt on this resource because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access", err)
	}
}
