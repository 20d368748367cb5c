package keys_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// An alias moves between keys of one type and usage only, whatever their specs.
func TestAliasesKeepTheirSort(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	for i, c := range []struct {
		from, to sort
		may      bool
	}{
		{encrypting, encrypting, true},
		{signer, sort{"RSA_2048", "SIGN_VERIFY"}, true},
		{maker, sort{"HMAC_512", "GENERATE_VERIFY_MAC"}, true},
		{encrypting, sort{"RSA_2048", "ENCRYPT_DECRYPT"}, false},
		{encrypting, maker, false},
		{signer, agreer, false},
		{signer, concealer, false},
	} {
		name := fmt.Sprintf("alias/sort%d", i)
		from, to := ann.sortOf(c.from), ann.sortOf(c.to)
		ann.may("alias", ann.alias(name, from))
		_, err := ann.UpdateAlias(t.Context(), &kms.UpdateAliasInput{AliasName: &name, TargetKeyId: to})
		if c.may {
			ann.may("move an alias", err)
			continue
		}
		ann.mayNot("move an alias", fmt.Sprintf("ValidationException: The alias %s cannot move from a key of spec %s and usage %s to one of spec %s and usage %s: both must be symmetric, asymmetric or HMAC keys of the same usage.",
			name, c.from.spec, c.from.usage, c.to.spec, c.to.usage), err)
		if m := must(ann.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: &name}))(t).KeyMetadata; *m.Arn != *from {
			t.Errorf("%s moved all the same", name)
		}
	}
}

// The condition keys of cryptographic operations: each request meets the policy
// that names its value and no other.
func TestCryptographicConditions(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	ctx, message := t.Context(), []byte("m")
	ed := sort{"ECC_NIST_EDWARDS25519", "SIGN_VERIFY"}
	rsa := sort{"RSA_2048", "ENCRYPT_DECRYPT"}
	digest := make([]byte, 64)
	encrypt := func(a types.EncryptionAlgorithmSpec) func(p *person, key *string) error {
		return func(p *person, key *string) error {
			_, err := p.Encrypt(ctx, &kms.EncryptInput{KeyId: key, Plaintext: message, EncryptionAlgorithm: a})
			return err
		}
	}
	sign := func(a types.SigningAlgorithmSpec, kind types.MessageType, message []byte) func(p *person, key *string) error {
		return func(p *person, key *string) error {
			_, err := p.Sign(ctx, &kms.SignInput{KeyId: key, Message: message, MessageType: kind, SigningAlgorithm: a})
			return err
		}
	}
	for _, c := range []struct {
		sort
		condition, value string
		meets, misses    func(p *person, key *string) error
	}{
		{encrypting, "kms:EncryptionAlgorithm", "SYMMETRIC_DEFAULT", encrypt(""), nil},
		{rsa, "kms:EncryptionAlgorithm", "RSAES_OAEP_SHA_1", encrypt("RSAES_OAEP_SHA_1"), encrypt("RSAES_OAEP_SHA_256")},
		{ed, "kms:SigningAlgorithm", "ED25519_SHA_512", sign("ED25519_SHA_512", "", message), sign("ED25519_PH_SHA_512", "DIGEST", digest)},
		{ed, "kms:MessageType", "RAW", sign("ED25519_SHA_512", "", message), sign("ED25519_PH_SHA_512", "DIGEST", digest)},
		{ed, "kms:MessageType", "DIGEST", sign("ED25519_PH_SHA_512", "DIGEST", digest), sign("ED25519_SHA_512", "RAW", message)},
		{maker, "kms:MacAlgorithm", "HMAC_SHA_256", func(p *person, key *string) error {
			_, err := p.GenerateMac(ctx, &kms.GenerateMacInput{KeyId: key, Message: message, MacAlgorithm: "HMAC_SHA_256"})
			return err
		}, func(p *person, key *string) error {
			_, err := p.GenerateMac(ctx, &kms.GenerateMacInput{KeyId: key, Message: message, MacAlgorithm: "HMAC_SHA_512"})
			return err
		}},
		{encrypting, "kms:DataKeyPairSpec", "ECC_NIST_P256", func(p *person, key *string) error {
			_, err := p.GenerateDataKeyPairWithoutPlaintext(ctx, &kms.GenerateDataKeyPairWithoutPlaintextInput{KeyId: key, KeyPairSpec: "ECC_NIST_P256"})
			return err
		}, func(p *person, key *string) error {
			_, err := p.GenerateDataKeyPairWithoutPlaintext(ctx, &kms.GenerateDataKeyPairWithoutPlaintextInput{KeyId: key, KeyPairSpec: "ECC_NIST_P384"})
			return err
		}},
		{agreer, "kms:KeyAgreementAlgorithm", "ECDH", func(p *person, key *string) error {
			public := must(ann.again().GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: key}))(t).PublicKey
			_, err := p.DeriveSharedSecret(ctx, &kms.DeriveSharedSecretInput{KeyId: key, KeyAgreementAlgorithm: "ECDH", PublicKey: public})
			return err
		}, nil},
	} {
		t.Run(c.condition+" "+c.value, func(t *testing.T) {
			statement := `{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"` + c.condition + `":"` + c.value + `"}}}`
			bob := w.person(home, "user/bob", `{"Version":"2012-10-17","Statement":`+statement+`}`)
			key := ann.sortOf(c.sort)
			bob.may("do what the condition names", c.meets(bob, key))
			if c.misses != nil {
				bob.mayNot("do anything else", "AccessDeniedException", c.misses(bob, key))
			}
			bob.mayNot("do what has no such condition", "AccessDeniedException", bob.describe(key))
		})
	}
}

// A grant on a key of each sort lets its grantee do what it says.
func TestGrantsOnEverySort(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	app := w.person(home, "role/app")
	for _, name := range []string{
		"Sign", "Verify", "GetPublicKey", "GenerateMac", "VerifyMac", "DeriveSharedSecret", "Encapsulate", "Decapsulate",
		"GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext",
	} {
		key := ann.keyFor(name)
		in := w.inputs(ann, key)[name]
		ann.dropAliases()
		_, err := operation(app, name, in)
		app.mayNot(name+" without a grant", "AccessDeniedException", err)
		g := ann.grant(grantTo(key, app.caller.Principal, name))
		_, err = operation(app, name, in)
		app.may(name+" under a grant", err)
		must(ann.RevokeGrant(t.Context(), &kms.RevokeGrantInput{KeyId: key, GrantId: g.GrantId}))(t)
		_, err = operation(app, name, in)
		app.mayNot(name+" after the grant", "AccessDeniedException", err)
	}
}
