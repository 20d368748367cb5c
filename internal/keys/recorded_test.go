package keys_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// What AWS answered. Sources: "rsa", "ecc", "hmac" and "mldsa" are answers that
// the project stackd recorded from AWS in September 2026; "localstack" are those
// that LocalStack's tests recorded; "users" are messages that users of AWS quote in
// public issues. Those of "ours" are like these, where nobody has recorded one.
func TestRecordedRefusals(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	ctx := t.Context()
	key := map[string]*string{}
	for name, s := range map[string]sort{
		"symmetric": encrypting, "mac": maker, "p256": signer, "ecdh": agreer, "kem": concealer,
		"rsa": {"RSA_2048", "ENCRYPT_DECRYPT"}, "rsa-sign": {"RSA_2048", "SIGN_VERIFY"}, "ed25519": {"ECC_NIST_EDWARDS25519", "SIGN_VERIFY"},
		"mldsa": {"ML_DSA_44", "SIGN_VERIFY"}, "off": maker,
	} {
		key[name] = ann.sortOf(s)
	}
	ann.may("disable", ann.disable(key["off"]))
	blob := must(ann.encrypt(key["symmetric"], nil))(t)
	sealed := must(ann.Encrypt(ctx, &kms.EncryptInput{KeyId: key["rsa"], Plaintext: []byte("x"), EncryptionAlgorithm: "RSAES_OAEP_SHA_256"}))(t).CiphertextBlob
	some := map[string]string{"a": "b"}

	create := func(spec types.KeySpec, usage types.KeyUsageType) error {
		_, err := ann.CreateKey(ctx, &kms.CreateKeyInput{KeySpec: spec, KeyUsage: usage})
		return err
	}
	encrypt := func(of string, a types.EncryptionAlgorithmSpec, n int, context map[string]string) error {
		_, err := ann.Encrypt(ctx, &kms.EncryptInput{KeyId: key[of], Plaintext: make([]byte, n), EncryptionAlgorithm: a, EncryptionContext: context})
		return err
	}
	decrypt := func(of string, a types.EncryptionAlgorithmSpec, blob []byte, context map[string]string) error {
		_, err := ann.Decrypt(ctx, &kms.DecryptInput{KeyId: key[of], CiphertextBlob: blob, EncryptionAlgorithm: a, EncryptionContext: context})
		return err
	}
	sign := func(of string, a types.SigningAlgorithmSpec, kind types.MessageType, n int) error {
		_, err := ann.Sign(ctx, &kms.SignInput{KeyId: key[of], Message: make([]byte, n), MessageType: kind, SigningAlgorithm: a})
		return err
	}
	mac := func(of string, a types.MacAlgorithmSpec) error {
		_, err := ann.GenerateMac(ctx, &kms.GenerateMacInput{KeyId: key[of], Message: []byte("m"), MacAlgorithm: a})
		return err
	}
	dataKey := func(of string) error { return ann.dataKey(key[of]) }
	pair := func(of string, spec types.DataKeyPairSpec) error {
		_, err := ann.GenerateDataKeyPair(ctx, &kms.GenerateDataKeyPairInput{KeyId: key[of], KeyPairSpec: spec})
		return err
	}
	grant := func(of string, c *types.GrantConstraints, operations ...types.GrantOperation) error {
		_, err := ann.CreateGrant(ctx, &kms.CreateGrantInput{KeyId: key[of], GranteePrincipal: &ann.caller.Principal, Operations: operations, Constraints: c})
		return err
	}
	subset := &types.GrantConstraints{EncryptionContextSubset: some}
	for _, c := range []struct {
		source, what string
		err          error
		want         string // KEY NAME stands for the ARN of the key of this name
	}{
		{"hmac", "no usage", create("HMAC_224", ""), "ValidationException: You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys."},
		{"ecc", "usage of another spec", create("ECC_NIST_EDWARDS25519", "ENCRYPT_DECRYPT"), "ValidationException: KeyUsage ENCRYPT_DECRYPT is not compatible with KeySpec ECC_NIST_EDWARDS25519"},
		{"mldsa", "usage of another spec", create("ML_DSA_44", "KEY_AGREEMENT"), "ValidationException: KeyUsage KEY_AGREEMENT is not compatible with KeySpec ML_DSA_44"},
		{"localstack", "usage of another spec", create("RSA_2048", "KEY_AGREEMENT"), "ValidationException: KeyUsage KEY_AGREEMENT is not compatible with KeySpec RSA_2048"},
		{"ours", "usage of another spec", create("ECC_SECG_P256K1", "KEY_AGREEMENT"), "ValidationException: KeyUsage KEY_AGREEMENT is not compatible with KeySpec ECC_SECG_P256K1"},

		{"hmac", "encrypt with a MAC key", encrypt("mac", "", 1, nil), "InvalidKeyUsageException: KEY mac key usage is GENERATE_VERIFY_MAC which is not valid for Encrypt."},
		{"users", "encrypt with a signing key", encrypt("rsa-sign", "", 1, nil), "InvalidKeyUsageException: KEY rsa-sign key usage is SIGN_VERIFY which is not valid for Encrypt."},
		{"ours", "the default algorithm", encrypt("rsa", "", 1, nil), "InvalidKeyUsageException: Algorithm SYMMETRIC_DEFAULT is incompatible with key spec RSA_2048."},
		{"rsa", "a context", encrypt("rsa", "RSAES_OAEP_SHA_1", 1, some), "ValidationException: EncryptionContext is not supported when encrypting/decrypting with asymmetric CMKs."},
		{"rsa", "an empty context", encrypt("rsa", "RSAES_OAEP_SHA_256", 1, map[string]string{}), ""},
		{"rsa", "as much as there is room", encrypt("rsa", "RSAES_OAEP_SHA_1", 214, nil), ""},
		{"rsa", "too much", encrypt("rsa", "RSAES_OAEP_SHA_1", 215, nil), "ValidationException: Algorithm RSAES_OAEP_SHA_1 and key spec RSA_2048 cannot encrypt data larger than 214 bytes."},
		{"localstack", "too much", encrypt("rsa", "RSAES_OAEP_SHA_256", 191, nil), "ValidationException: Algorithm RSAES_OAEP_SHA_256 and key spec RSA_2048 cannot encrypt data larger than 190 bytes."},

		{"rsa", "decrypt without a key", func() error {
			_, err := ann.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: sealed, EncryptionAlgorithm: "RSAES_OAEP_SHA_256"})
			return err
		}(), "ValidationException: KeyId must not be null"},
		{"rsa", "decrypt with the default algorithm", decrypt("rsa", "", sealed, nil), "InvalidCiphertextException"},
		{"rsa", "decrypt with another algorithm", decrypt("rsa", "RSAES_OAEP_SHA_1", sealed, nil), "InvalidCiphertextException"},
		{"rsa", "decrypt with a context", decrypt("rsa", "RSAES_OAEP_SHA_256", sealed, some), "ValidationException: EncryptionContext is not supported when encrypting/decrypting with asymmetric CMKs."},
		{"rsa", "decrypt nonsense", decrypt("rsa", "RSAES_OAEP_SHA_1", []byte("x"), nil), "InvalidCiphertextException"},
		{"ours", "decrypt with a MAC key", decrypt("mac", "", blob, nil), "InvalidKeyUsageException: KEY mac key usage is GENERATE_VERIFY_MAC which is not valid for Decrypt."},
		{"ours", "decrypt another key's with RSA's", decrypt("rsa", "", blob, nil), "IncorrectKeyException: The key ID in the request does not identify a CMK that can perform this operation."},
		{"localstack", "decrypt with an RSA algorithm", decrypt("symmetric", "RSAES_OAEP_SHA_256", blob, nil), "InvalidKeyUsageException: Algorithm RSAES_OAEP_SHA_256 is incompatible with key spec SYMMETRIC_DEFAULT."},

		{"ecc", "another family's algorithm", sign("p256", "RSASSA_PSS_SHA_256", "", 1), "InvalidKeyUsageException: Algorithm RSASSA_PSS_SHA_256 is incompatible with key spec ECC_NIST_P256."},
		{"ours", "sign with a MAC key", sign("mac", "ECDSA_SHA_256", "", 1), "InvalidKeyUsageException: KEY mac key usage is GENERATE_VERIFY_MAC which is not valid for Sign."},
		{"ecc", "a representative", sign("p256", "ECDSA_SHA_256", "EXTERNAL_MU", 64), "ValidationException: Message type EXTERNAL_MU is incompatible with key spec ECC_NIST_P256."},
		{"ecc", "a short digest", sign("p256", "ECDSA_SHA_256", "DIGEST", 31), "ValidationException: Digest is invalid length for algorithm ECDSA_SHA_256."},
		{"rsa", "a long digest", sign("rsa-sign", "RSASSA_PKCS1_V1_5_SHA_384", "DIGEST", 64), "ValidationException: Digest is invalid length for algorithm RSASSA_PKCS1_V1_5_SHA_384."},
		{"ecc", "a message", sign("ed25519", "ED25519_PH_SHA_512", "RAW", 1), "ValidationException: Message type RAW is incompatible with algorithm ED25519_PH_SHA_512."},
		{"ecc", "a digest", sign("ed25519", "ED25519_SHA_512", "DIGEST", 64), "ValidationException: Message type DIGEST is incompatible with algorithm ED25519_SHA_512."},
		{"ecc", "a short digest", sign("ed25519", "ED25519_SHA_512", "DIGEST", 63), "ValidationException: Message type DIGEST is incompatible with algorithm ED25519_SHA_512."},
		{"ecc", "a short digest", sign("ed25519", "ED25519_PH_SHA_512", "DIGEST", 63), "ValidationException: Digest is invalid length for algorithm ED25519_PH_SHA_512."},
		{"ecc", "a representative", sign("ed25519", "ED25519_SHA_512", "EXTERNAL_MU", 64), "ValidationException: Message type EXTERNAL_MU is incompatible with key spec ECC_NIST_EDWARDS25519."},
		{"mldsa", "a digest", sign("mldsa", "ML_DSA_SHAKE_256", "DIGEST", 64), "ValidationException: Message type DIGEST is incompatible with key spec ML_DSA_44."},
		{"mldsa", "a short representative", sign("mldsa", "ML_DSA_SHAKE_256", "EXTERNAL_MU", 63), "ValidationException: External Mu is invalid length for algorithm ML_DSA_SHAKE_256."},

		{"hmac", "another size's algorithm", mac("mac", "HMAC_SHA_512"), "InvalidKeyUsageException: Algorithm HMAC_SHA_512 is incompatible with key spec HMAC_256."},
		{"hmac", "disabled, and another size's algorithm", mac("off", "HMAC_SHA_512"), "DisabledException: KEY off is disabled."},

		{"users", "a data key of a pair", dataKey("rsa"), "InvalidKeyUsageException: You cannot generate a data key with an asymmetric CMK"},
		{"ours", "a data key of a signing key", dataKey("p256"), "InvalidKeyUsageException: KEY p256 key usage is SIGN_VERIFY which is not valid for GenerateDataKey."},
		{"rsa", "a data key pair of a pair", pair("rsa", "RSA_2048"), "InvalidKeyUsageException: You cannot generate a data key pair with an asymmetric CMK"},
		{"ours", "a data key pair of a MAC key", pair("mac", "RSA_2048"), "InvalidKeyUsageException: KEY mac key usage is GENERATE_VERIFY_MAC which is not valid for GenerateDataKeyPair."},

		{"ours", "agree with a signing key", func() error {
			_, err := ann.DeriveSharedSecret(ctx, &kms.DeriveSharedSecretInput{KeyId: key["p256"], KeyAgreementAlgorithm: "ECDH", PublicKey: []byte("x")})
			return err
		}(), "InvalidKeyUsageException: KEY p256 key usage is SIGN_VERIFY which is not valid for DeriveSharedSecret."},
		{"ecc", "agree with nonsense", func() error {
			_, err := ann.DeriveSharedSecret(ctx, &kms.DeriveSharedSecretInput{KeyId: key["ecdh"], KeyAgreementAlgorithm: "ECDH", PublicKey: []byte("x")})
			return err
		}(), "ValidationException"},
		{"ours", "encapsulate with a signing key", func() error {
			_, err := ann.Encapsulate(ctx, &kms.EncapsulateInput{KeyId: key["p256"], EncapsulationAlgorithm: "ML_KEM"})
			return err
		}(), "InvalidKeyUsageException: KEY p256 key usage is SIGN_VERIFY which is not valid for Encapsulate."},

		{"hmac", "grant encryption", grant("mac", nil, "Encrypt"), "ValidationException: Operations [Encrypt] are not supported when creating a grant for a symmetric KMS key with key usage GENERATE_VERIFY_MAC. Valid operations are [CreateGrant, RetireGrant, DescribeKey, GenerateMac, VerifyMac]"},
		{"ours", "grant encryption and more", grant("p256", nil, "Encrypt", "Sign", "VerifyMac"), "ValidationException: Operations [Encrypt, VerifyMac] are not supported when creating a grant for an asymmetric KMS key with key usage SIGN_VERIFY. Valid operations are [Sign, Verify, GetPublicKey, CreateGrant, RetireGrant, DescribeKey]"},
		{"ours", "grant signing", grant("rsa", nil, "Sign"), "ValidationException: Operations [Sign] are not supported when creating a grant for an asymmetric KMS key with key usage ENCRYPT_DECRYPT. Valid operations are [Decrypt, Encrypt, ReEncryptFrom, ReEncryptTo, GetPublicKey, CreateGrant, RetireGrant, DescribeKey]"},
		{"ours", "grant signing", grant("ecdh", nil, "Sign"), "ValidationException: Operations [Sign] are not supported when creating a grant for an asymmetric KMS key with key usage KEY_AGREEMENT. Valid operations are [GetPublicKey, CreateGrant, RetireGrant, DescribeKey, DeriveSharedSecret]"},
		{"ours", "grant signing", grant("kem", nil, "Sign"), "ValidationException: Operations [Sign] are not supported when creating a grant for an asymmetric KMS key with key usage ENCAPSULATE_DECAPSULATE. Valid operations are [GetPublicKey, CreateGrant, RetireGrant, DescribeKey, Encapsulate, Decapsulate]"},
		{"hmac", "constrain a grant of MACs", grant("mac", subset, "VerifyMac"), "ValidationException: EncryptionContext is supported only when creating a grant for a symmetric encryption KMS key."},
		{"ecc", "constrain a grant of signing", grant("p256", subset, "Sign"), "ValidationException: EncryptionContext is supported only when creating a grant for a symmetric encryption KMS key."},
	} {
		want := c.want
		for name, arn := range key {
			want = strings.Replace(want, "KEY "+name+" ", *arn+" ", 1)
		}
		if got := said(c.err); got != want {
			t.Errorf("%s (%s):\n got %q\nwant %q", c.what, c.source, got, want)
		}
	}
}

// A dry run says what the operation would have said, and does nothing.
func TestDryRuns(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	ctx, dry := t.Context(), new(true)
	const would = "DryRunOperationException: The request would have succeeded, but the DryRun option is set."
	in := w.allInputs(ann, ann.key())
	for name, run := range map[string]func() error{
		"Sign": func() error {
			i := *in["Sign"].(*kms.SignInput)
			i.DryRun = dry
			_, err := ann.Sign(ctx, &i)
			return err
		},
		"Verify": func() error {
			i := *in["Verify"].(*kms.VerifyInput)
			i.DryRun = dry
			_, err := ann.Verify(ctx, &i)
			return err
		},
		"GenerateMac": func() error {
			i := *in["GenerateMac"].(*kms.GenerateMacInput)
			i.DryRun = dry
			_, err := ann.GenerateMac(ctx, &i)
			return err
		},
		"VerifyMac": func() error {
			i := *in["VerifyMac"].(*kms.VerifyMacInput)
			i.DryRun = dry
			_, err := ann.VerifyMac(ctx, &i)
			return err
		},
		"DeriveSharedSecret": func() error {
			i := *in["DeriveSharedSecret"].(*kms.DeriveSharedSecretInput)
			i.DryRun = dry
			_, err := ann.DeriveSharedSecret(ctx, &i)
			return err
		},
		"Encapsulate": func() error {
			i := *in["Encapsulate"].(*kms.EncapsulateInput)
			i.DryRun = dry
			_, err := ann.Encapsulate(ctx, &i)
			return err
		},
		"Decapsulate": func() error {
			i := *in["Decapsulate"].(*kms.DecapsulateInput)
			i.DryRun = dry
			_, err := ann.Decapsulate(ctx, &i)
			return err
		},
		"GenerateDataKeyPair": func() error {
			i := *in["GenerateDataKeyPair"].(*kms.GenerateDataKeyPairInput)
			i.DryRun = dry
			_, err := ann.GenerateDataKeyPair(ctx, &i)
			return err
		},
		"GenerateDataKeyPairWithoutPlaintext": func() error {
			i := *in["GenerateDataKeyPairWithoutPlaintext"].(*kms.GenerateDataKeyPairWithoutPlaintextInput)
			i.DryRun = dry
			_, err := ann.GenerateDataKeyPairWithoutPlaintext(ctx, &i)
			return err
		},
		"ReEncrypt": func() error {
			i := *in["ReEncrypt"].(*kms.ReEncryptInput)
			i.DryRun = dry
			_, err := ann.ReEncrypt(ctx, &i)
			return err
		},
	} {
		if got := said(run()); got != would {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// What is encrypted under a pair moves under a symmetric key, and back; only
// symmetric keys name their materials.
func TestReEncryptBetweenSorts(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	ctx, key, pair := t.Context(), ann.key(), ann.sortOf(sort{"RSA_2048", "ENCRYPT_DECRYPT"})
	context := map[string]string{"a": "1"}
	blob := must(ann.encrypt(key, context))(t)
	there := must(ann.ReEncrypt(ctx, &kms.ReEncryptInput{
		CiphertextBlob: blob, SourceEncryptionContext: context, DestinationKeyId: pair, DestinationEncryptionAlgorithm: "RSAES_OAEP_SHA_1",
	}))(t)
	if there.SourceKeyMaterialId == nil || there.DestinationKeyMaterialId != nil || there.DestinationEncryptionAlgorithm != "RSAES_OAEP_SHA_1" || *there.SourceKeyId != *key || *there.KeyId != *pair {
		t.Errorf("%+v", there)
	}
	back := must(ann.ReEncrypt(ctx, &kms.ReEncryptInput{
		CiphertextBlob: there.CiphertextBlob, SourceKeyId: pair, SourceEncryptionAlgorithm: "RSAES_OAEP_SHA_1", DestinationKeyId: key, DestinationEncryptionContext: context,
	}))(t)
	if back.SourceKeyMaterialId != nil || back.DestinationKeyMaterialId == nil || back.SourceEncryptionAlgorithm != "RSAES_OAEP_SHA_1" {
		t.Errorf("%+v", back)
	}
	ann.may("decrypt what came back", ann.decrypt(back.CiphertextBlob, context))

	long := must(ann.Encrypt(ctx, &kms.EncryptInput{KeyId: key, Plaintext: make([]byte, 191)}))(t).CiphertextBlob
	for want, in := range map[string]*kms.ReEncryptInput{
		"ValidationException: SourceKeyId must not be null":                                                                       {CiphertextBlob: blob, SourceEncryptionAlgorithm: "RSAES_OAEP_SHA_1", DestinationKeyId: key},
		"ValidationException: EncryptionContext is not supported when encrypting/decrypting with asymmetric CMKs.":                {CiphertextBlob: blob, SourceEncryptionContext: context, DestinationKeyId: pair, DestinationEncryptionAlgorithm: "RSAES_OAEP_SHA_1", DestinationEncryptionContext: context},
		"InvalidKeyUsageException: Algorithm SYMMETRIC_DEFAULT is incompatible with key spec RSA_2048.":                           {CiphertextBlob: blob, SourceEncryptionContext: context, DestinationKeyId: pair},
		"ValidationException: Algorithm RSAES_OAEP_SHA_256 and key spec RSA_2048 cannot encrypt data larger than 190 bytes.":      {CiphertextBlob: long, DestinationKeyId: pair, DestinationEncryptionAlgorithm: "RSAES_OAEP_SHA_256"},
		"InvalidKeyUsageException: " + *ann.sortOf(maker) + " key usage is GENERATE_VERIFY_MAC which is not valid for ReEncrypt.": nil,
	} {
		if in == nil {
			arn := strings.Fields(want)[1]
			in = &kms.ReEncryptInput{CiphertextBlob: blob, SourceEncryptionContext: context, DestinationKeyId: &arn}
		}
		_, err := ann.ReEncrypt(ctx, in)
		ann.mayNot("re-encrypt", want, err)
	}
}

// A signed or sealed blob that names a pair's material opens nothing: pairs have
// no symmetric secret.
func TestPairsOpenNoSymmetricCiphertext(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	pair := ann.sortOf(sort{"RSA_2048", "ENCRYPT_DECRYPT"})
	id := w.stored(pair).Current
	blob := must(ann.encrypt(ann.key(), nil))(t)
	copy(blob[5:37], unhex(t, id))
	_, err := ann.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob})
	ann.mayNot("decrypt by a pair's material", "IncorrectKeyException", err)
}
