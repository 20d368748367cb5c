package keys_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/cloud"
	"borealis/internal/material"
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
	_, err = east.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob, KeyId: new(strings.Replace(*key, "arn:aws:", "arn:aws-cn:", 1))})
	east.mayNot("decrypt by the ARN of another partition", "InvalidArnException", err)
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

// Keys of every spec are one key in every Region: what one makes the other opens
// or verifies.
func TestFamilyOfEverySpec(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	ann := w.person(home, "user/ann", allow("kms:*"))
	east := ann.at("us-east-1")
	message := []byte("to whom it may concern")
	for _, spec := range types.KeySpec("").Values() {
		if spec == "RSA_3072" || spec == "RSA_4096" {
			continue // slow to make, and no different from RSA_2048
		}
		for _, usage := range material.Spec(spec).Usages() {
			t.Run(string(spec)+" "+string(usage), func(t *testing.T) {
				m := must(ann.CreateKey(ctx, &kms.CreateKeyInput{MultiRegion: new(true), KeySpec: spec, KeyUsage: types.KeyUsageType(usage)}))(t).KeyMetadata
				key, there := m.Arn, inRegion(m.Arn, "us-east-1")
				ann.may("replicate", ann.replicate(key, "us-east-1"))
				r := east.metadata(there)
				if r.KeySpec != m.KeySpec || r.KeyUsage != m.KeyUsage || *r.KeyId != *m.KeyId {
					t.Errorf("%+v\nis a replica of\n%+v", r, m)
				}
				if material.Spec(spec).Asymmetric() {
					a, b := must(ann.GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: key}))(t), must(east.GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: there}))(t)
					if !bytes.Equal(a.PublicKey, b.PublicKey) || *a.KeyId != *key || *b.KeyId != *there {
						t.Errorf("public keys differ, or are %s's and %s's", *a.KeyId, *b.KeyId)
					}
				}
				switch usage {
				case material.EncryptDecrypt:
					for _, a := range m.EncryptionAlgorithms {
						blob := must(ann.Encrypt(ctx, &kms.EncryptInput{KeyId: key, Plaintext: message, EncryptionAlgorithm: a}))(t).CiphertextBlob
						out, err := east.Decrypt(ctx, &kms.DecryptInput{KeyId: there, CiphertextBlob: blob, EncryptionAlgorithm: a})
						if err != nil || !bytes.Equal(out.Plaintext, message) {
							t.Errorf("decrypt %s: %v", a, err)
						}
					}
				case material.SignVerify:
					for _, a := range m.SigningAlgorithms {
						if a == types.SigningAlgorithmSpecEd25519PhSha512 {
							continue // it signs digests only
						}
						signature := must(ann.Sign(ctx, &kms.SignInput{KeyId: key, Message: message, SigningAlgorithm: a}))(t).Signature
						_, err := east.Verify(ctx, &kms.VerifyInput{KeyId: there, Message: message, SigningAlgorithm: a, Signature: signature})
						east.may("verify", err)
					}
				case material.KeyAgreement:
					in := kms.DeriveSharedSecretInput{KeyAgreementAlgorithm: "ECDH", PublicKey: must(ann.GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: ann.sortOf(sort{spec, types.KeyUsageType(usage)})}))(t).PublicKey}
					in.KeyId = key
					a := must(ann.DeriveSharedSecret(ctx, &in))(t)
					in.KeyId = there
					if b := must(east.DeriveSharedSecret(ctx, &in))(t); !bytes.Equal(a.SharedSecret, b.SharedSecret) {
						t.Error("they agree on different secrets")
					}
				case material.GenerateVerifyMAC:
					a := m.MacAlgorithms[0]
					mac := must(ann.GenerateMac(ctx, &kms.GenerateMacInput{KeyId: key, Message: message, MacAlgorithm: a}))(t).Mac
					_, err := east.VerifyMac(ctx, &kms.VerifyMacInput{KeyId: there, Message: message, MacAlgorithm: a, Mac: mac})
					east.may("verify", err)
				case material.EncapsulateDecapsulate:
					a := m.EncapsulationAlgorithms[0]
					out := must(ann.Encapsulate(ctx, &kms.EncapsulateInput{KeyId: key, EncapsulationAlgorithm: a}))(t)
					in, err := east.Decapsulate(ctx, &kms.DecapsulateInput{KeyId: there, SharedSecretCiphertextBlob: out.SharedSecretCiphertextBlob, EncapsulationAlgorithm: a})
					if err != nil || !bytes.Equal(in.SharedSecret, out.SharedSecret) {
						t.Errorf("decapsulate: %v", err)
					}
				}
			})
		}
	}
}

// What a member does not share is its own.
func TestFamilyMembersAreTheirOwn(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	ann := w.person(home, "user/ann", allow("kms:*"))
	bob := w.person(abroad, "user/bob", allow("kms:*"))
	app := w.person(home, "role/app")
	east := ann.at("us-east-1")
	key := must(ann.CreateKey(ctx, &kms.CreateKeyInput{
		MultiRegion: new(true), Description: new("first"), Tags: []types.Tag{{TagKey: new("a"), TagValue: new("1")}},
		Policy: keyPolicy(delegating(home, "kms:*"), delegating(abroad, "kms:Encrypt", "kms:Decrypt")),
	}))(t).KeyMetadata.Arn
	there := inRegion(key, "us-east-1")
	if err := errors.Join(ann.alias("alias/x", key), ann.tryGrant(grantTo(key, app.caller.Principal, "Decrypt"))); err != nil {
		t.Fatal(err)
	}
	out := must(ann.ReplicateKey(ctx, &kms.ReplicateKeyInput{
		KeyId: key, ReplicaRegion: new("us-east-1"), Description: new("second"), Policy: keyPolicy(delegating(home, "kms:*"), letting(ann.caller.ARN, "kms:*")),
		Tags: []types.Tag{{TagKey: new("b"), TagValue: new("2")}},
	}))(t)
	if *out.ReplicaPolicy != *keyPolicy(delegating(home, "kms:*"), letting(ann.caller.ARN, "kms:*")) || len(out.ReplicaTags) != 1 {
		t.Errorf("%s, %v", *out.ReplicaPolicy, out.ReplicaTags)
	}
	if shown := must(east.GetKeyPolicy(ctx, &kms.GetKeyPolicyInput{KeyId: there}))(t); *shown.Policy != *out.ReplicaPolicy {
		t.Errorf("GetKeyPolicy says %s", *shown.Policy)
	}
	blob := must(ann.encrypt(key, nil))(t)
	bob.may("decrypt where the policy says so", bob.decrypt(blob, nil))
	bob.at("us-east-1").mayNot("decrypt where it does not", "AccessDeniedException", bob.at("us-east-1").decrypt(blob, nil))
	app.may("decrypt where the grant is", app.decrypt(blob, nil))
	app.at("us-east-1").mayNot("decrypt where it is not", "AccessDeniedException", app.at("us-east-1").decrypt(blob, nil))
	east.mayNot("use the other's alias", "NotFoundException", east.describe(new("alias/x")))
	if got := shape(ann.metadata(key)) + shape(east.metadata(there)); got != `Enabled true "first" PRIMARY of eu-west-1 us-east-1Enabled true "second" REPLICA of eu-west-1 us-east-1` {
		t.Error(got)
	}
	tags := must(east.ListResourceTags(ctx, &kms.ListResourceTagsInput{KeyId: there}))(t).Tags
	if len(tags) != 1 || *tags[0].TagKey != "b" {
		t.Errorf("tags %v", tags)
	}
	for region, want := range map[cloud.Region]string{"eu-west-1": *key, "us-east-1": *there} {
		if list := must(ann.at(region).ListKeys(ctx, &kms.ListKeysInput{}))(t).Keys; len(list) != 1 || *list[0].KeyArn != want {
			t.Errorf("keys of %s: %v", region, list)
		}
	}
	east.may("disable the replica alone", east.disable(there))
	ann.may("go on with the primary", ann.decrypt(blob, nil))
	ann.may("put another policy", ann.putPolicy(key, delegating(home, "kms:*")))
	bob.mayNot("go on", "AccessDeniedException", bob.decrypt(blob, nil))
}

// Replicas and new primaries take permissions in both Regions, and go on record in
// both.
func TestFamilyPermissions(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	ann := w.person(home, "user/ann", allow("kms:*"))
	eve := w.person(home, "user/eve")
	when := func(effect, action, key, value string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"},{"Effect":"` + effect +
			`","Action":"kms:` + action + `","Resource":"*","Condition":{"StringEquals":{"` + key + `":"` + value + `"}}}]}`
	}
	tagged := func(key *string) error {
		_, err := eve.ReplicateKey(ctx, &kms.ReplicateKeyInput{KeyId: key, ReplicaRegion: new("us-east-1"), Tags: []types.Tag{{TagKey: new("k"), TagValue: new("v")}}})
		return err
	}
	replicate := func(key *string) error { return eve.replicate(key, "us-east-1") }
	lead := func(key *string) error {
		ann.may("replicate", ann.replicate(key, "us-east-1"))
		return eve.lead(key, "us-east-1")
	}
	create := func(*string) error {
		_, err := eve.CreateKey(ctx, &kms.CreateKeyInput{MultiRegion: new(true)})
		return err
	}
	const elsewhere = " is not authorized to perform: kms:CreateKey on resource: * "
	for _, c := range []struct {
		what, policy string
		do           func(*string) error
		denied       string // what the refusal says, or ""
	}{
		{"replicate", allow("kms:ReplicateKey", "kms:CreateKey"), replicate, ""},
		{"replicate without ReplicateKey", allow("kms:CreateKey"), replicate, "kms:ReplicateKey on resource: KEY because no identity-based policy allows the kms:ReplicateKey action"},
		{"replicate without CreateKey", allow("kms:ReplicateKey"), replicate, elsewhere + "because no identity-based policy allows the kms:CreateKey action"},
		{"tag without TagResource", allow("kms:ReplicateKey", "kms:CreateKey"), tagged, "kms:TagResource on resource: THERE because no identity-based policy allows the kms:TagResource action"},
		{"tag", allow("kms:ReplicateKey", "kms:CreateKey", "kms:TagResource"), tagged, ""},
		{"replicate to this Region", when("Deny", "ReplicateKey", "kms:ReplicaRegion", "us-east-1"), replicate, "kms:ReplicateKey on resource: KEY with an explicit deny"},
		{"replicate to another", when("Deny", "ReplicateKey", "kms:ReplicaRegion", "us-west-2"), replicate, ""},
		{"create in this Region", when("Deny", "CreateKey", "aws:RequestedRegion", "us-east-1"), replicate, elsewhere + "with an explicit deny"},
		{"create in another", when("Deny", "CreateKey", "aws:RequestedRegion", "eu-west-1"), replicate, ""},
		{"create replicas", when("Deny", "CreateKey", "kms:MultiRegionKeyType", "REPLICA"), replicate, elsewhere + "with an explicit deny"},
		{"create primaries", when("Deny", "CreateKey", "kms:MultiRegionKeyType", "PRIMARY"), replicate, ""},
		{"replicate primaries", when("Deny", "ReplicateKey", "kms:MultiRegionKeyType", "PRIMARY"), replicate, "kms:ReplicateKey on resource: KEY with an explicit deny"},
		{"tag like this", when("Deny", "TagResource", "aws:RequestTag/k", "v"), tagged, "kms:TagResource on resource: THERE with an explicit deny"},
		{"make multi-Region keys", when("Deny", "CreateKey", "kms:MultiRegion", "true"), create, elsewhere + "with an explicit deny"},
		{"make other keys", when("Deny", "CreateKey", "kms:MultiRegion", "false"), create, ""},
		{"make primary keys", when("Deny", "CreateKey", "kms:MultiRegionKeyType", "PRIMARY"), create, elsewhere + "with an explicit deny"},
		{"lead", allow("kms:UpdatePrimaryRegion"), lead, ""},
		{"lead without UpdatePrimaryRegion", allow("kms:ReplicateKey"), lead, "kms:UpdatePrimaryRegion on resource: KEY because"},
		{"lead to this Region", when("Deny", "UpdatePrimaryRegion", "kms:PrimaryRegion", "us-east-1"), lead, "kms:UpdatePrimaryRegion on resource: KEY with an explicit deny"},
		{"change replicas", when("Deny", "UpdatePrimaryRegion", "kms:MultiRegionKeyType", "REPLICA"), lead, "kms:UpdatePrimaryRegion on resource: THERE with an explicit deny"},
		{"lead where there is no say", when("Deny", "UpdatePrimaryRegion", "aws:RequestedRegion", "us-east-1"), lead, "kms:UpdatePrimaryRegion on resource: THERE with an explicit deny"},
	} {
		t.Run(c.what, func(t *testing.T) {
			key := ann.family()
			w.setPolicies(eve.caller.Principal, c.policy)
			err := c.do(key)
			want := strings.NewReplacer("KEY", *key, "THERE", *inRegion(key, "us-east-1")).Replace(c.denied)
			switch got := said(err); {
			case want == "" && got != "", want != "" && (code(err) != "AccessDeniedException" || !strings.Contains(got, want)):
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}

	key := ann.family()
	_, err := ann.ReplicateKey(ctx, &kms.ReplicateKeyInput{KeyId: key, ReplicaRegion: new("us-east-1"), Policy: keyPolicy(letting(eve.caller.ARN, "kms:*"))})
	ann.mayNot("lock herself out", "MalformedPolicyDocumentException: The new key policy will not allow you to update the key policy in the future.", err)
	ann.at("us-east-1").mayNot("find what was refused", "NotFoundException", ann.at("us-east-1").describe(inRegion(key, "us-east-1")))
	if got := shape(ann.metadata(key)); got != `Enabled true "" PRIMARY of eu-west-1` {
		t.Errorf("after refusals: %s", got)
	}

	before := len(w.log.events)
	ann.may("replicate", ann.replicate(key, "us-east-1"))
	ann.may("lead", ann.lead(key, "us-east-1"))
	var record []string
	for _, e := range w.log.events[before:] {
		record = append(record, fmt.Sprintf("%s %s %s %t", e.Caller.Region, e.Action, e.Resource, e.Unasked))
	}
	there := *inRegion(key, "us-east-1")
	if want := []string{
		"eu-west-1 kms:ReplicateKey " + *key + " false", "us-east-1 kms:CreateKey * false", "eu-west-1 kms:SynchronizeMultiRegionKey " + *key + " true",
		"eu-west-1 kms:UpdatePrimaryRegion " + *key + " false", "us-east-1 kms:UpdatePrimaryRegion " + there + " false",
	}; !slices.Equal(record, want) {
		t.Errorf("on record:\n%s\nwant\n%s", strings.Join(record, "\n"), strings.Join(want, "\n"))
	}
}

// A primary key goes after its replicas, and its waiting period begins when the
// last of them is gone.
func TestFamilyEnds(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	east, west := ann.at("us-east-1"), ann.at("us-west-2")
	key := ann.family("us-east-1", "us-west-2")
	e, p := inRegion(key, "us-east-1"), inRegion(key, "us-west-2")
	blob := must(ann.encrypt(key, nil))(t)
	ann.may("schedule", errors.Join(ann.schedule(key), east.schedule(e)))
	w.wait(100 * day)
	w.sweep()
	if got := shape(ann.metadata(key)); got != `PendingReplicaDeletion false "" PRIMARY of eu-west-1 us-west-2, window 7` {
		t.Errorf("one replica left: %s", got)
	}
	ann.mayNot("encrypt", "KMSInvalidStateException: "+*key+" is pending replica deletion.", ann.dataKey(key))
	west.may("decrypt with the last replica", west.decrypt(blob, nil))
	west.may("schedule", west.schedule(p))
	w.wait(7 * day)
	if n := w.sweep(); n != 1 {
		t.Errorf("swept %d keys, want the replica", n)
	}
	if got := shape(ann.metadata(key)); got != `PendingDeletion false "" PRIMARY of eu-west-1, deletion 2027-03-17` {
		t.Errorf("alone: %s", got)
	}
	ann.may("think again", errors.Join(ann.cancel(key), ann.enable(key)))
	ann.may("decrypt", ann.decrypt(blob, nil))
	ann.may("replicate where a replica has been", ann.replicate(key, "us-west-2"))
	west.may("decrypt there again", west.decrypt(blob, nil))
	ann.may("schedule both", errors.Join(west.schedule(p), ann.schedule(key)))
	w.wait(7 * day)
	w.sweep()
	w.wait(7 * day)
	w.sweep()
	ann.mayNot("find it", "NotFoundException", ann.describe(key))
	ann.mayNot("decrypt", "InvalidCiphertextException", ann.decrypt(blob, nil))
}
