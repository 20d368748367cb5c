package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/e2e/local"
)

// ok ends the test unless an operation succeeded.
func ok[T any](out T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

func (p *person) keyOf(spec types.KeySpec, usage types.KeyUsageType) *string {
	p.t.Helper()
	return ok(p.kms().CreateKey(p.t.Context(), &kms.CreateKeyInput{KeySpec: spec, KeyUsage: usage}))(p.t).KeyMetadata.Arn
}

// Every cryptographic operation, with the SDK's client over the wire.
func TestCryptography(t *testing.T) {
	s := newServer(t)
	ann := root(t, s, accountA)
	c, ctx, message := ann.kms(), t.Context(), []byte("to whom it may concern")

	t.Run("sign", func(t *testing.T) {
		key := ann.keyOf("ECC_NIST_P256", "SIGN_VERIFY")
		signed := ok(c.Sign(ctx, &kms.SignInput{KeyId: key, Message: message, SigningAlgorithm: "ECDSA_SHA_256"}))(t)
		public := ok(c.GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: key}))(t)
		digest := sha256.Sum256(message)
		if !ecdsa.VerifyASN1(ok(x509.ParsePKIXPublicKey(public.PublicKey))(t).(*ecdsa.PublicKey), digest[:], signed.Signature) {
			t.Error("the signature is not the public key's")
		}
		v := &kms.VerifyInput{KeyId: key, Message: digest[:], MessageType: "DIGEST", SigningAlgorithm: "ECDSA_SHA_256", Signature: signed.Signature}
		if !ok(c.Verify(ctx, v))(t).SignatureValid {
			t.Error("not valid")
		}
		v.Message = make([]byte, 32)
		_, err := c.Verify(ctx, v)
		refused(t, "another digest", err, "KMSInvalidSignatureException")
		_, err = c.Sign(ctx, &kms.SignInput{KeyId: key, Message: []byte{}, SigningAlgorithm: "ECDSA_SHA_256"})
		refused(t, "no message", err, "ValidationException", "1 validation error detected: Value at 'message' failed to satisfy constraint: Member must have length greater than or equal to 1")
		_, err = c.Sign(ctx, &kms.SignInput{KeyId: key, Message: make([]byte, 4097), SigningAlgorithm: "ECDSA_SHA_256"})
		refused(t, "a long message", err, "ValidationException", "Value at 'message' failed to satisfy constraint: Member must have length less than or equal to 4096")
	})
	t.Run("authenticate", func(t *testing.T) {
		key := ann.keyOf("HMAC_384", "GENERATE_VERIFY_MAC")
		made := ok(c.GenerateMac(ctx, &kms.GenerateMacInput{KeyId: key, Message: message, MacAlgorithm: "HMAC_SHA_384"}))(t)
		v := &kms.VerifyMacInput{KeyId: key, Message: message, MacAlgorithm: "HMAC_SHA_384", Mac: made.Mac}
		if !ok(c.VerifyMac(ctx, v))(t).MacValid || len(made.Mac) != 48 {
			t.Errorf("%+v", made)
		}
		v.DryRun = new(true)
		_, err := c.VerifyMac(ctx, v)
		refused(t, "dry", err, "DryRunOperationException")
		v.Mac = v.Mac[1:]
		_, err = c.VerifyMac(ctx, v)
		refused(t, "a short MAC", err, "KMSInvalidMacException")
		_, err = c.GenerateMac(ctx, &kms.GenerateMacInput{KeyId: key, Message: message, MacAlgorithm: "INVALID"})
		refused(t, "no such algorithm", err, "ValidationException", "Value 'INVALID' at 'macAlgorithm' failed to satisfy constraint: Member must satisfy enum value set: [")
	})
	t.Run("encrypt", func(t *testing.T) {
		key := ann.keyOf("RSA_2048", "ENCRYPT_DECRYPT")
		e := ok(c.Encrypt(ctx, &kms.EncryptInput{KeyId: key, Plaintext: message, EncryptionAlgorithm: "RSAES_OAEP_SHA_256"}))(t)
		re := ok(c.ReEncrypt(ctx, &kms.ReEncryptInput{
			CiphertextBlob: e.CiphertextBlob, SourceKeyId: key, SourceEncryptionAlgorithm: "RSAES_OAEP_SHA_256", DestinationKeyId: new(ann.newKey()),
		}))(t)
		if d := ok(c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: re.CiphertextBlob}))(t); !bytes.Equal(d.Plaintext, message) {
			t.Errorf("%q", d.Plaintext)
		}
		_, err := c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: e.CiphertextBlob, EncryptionAlgorithm: "RSAES_OAEP_SHA_256"})
		refused(t, "no key", err, "ValidationException", "KeyId must not be null")
	})
	t.Run("agree", func(t *testing.T) {
		one, two := ann.keyOf("ECC_NIST_P384", "KEY_AGREEMENT"), ann.keyOf("ECC_NIST_P384", "KEY_AGREEMENT")
		derive := func(key, with *string) []byte {
			public := ok(c.GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: with}))(t).PublicKey
			return ok(c.DeriveSharedSecret(ctx, &kms.DeriveSharedSecretInput{KeyId: key, KeyAgreementAlgorithm: "ECDH", PublicKey: public}))(t).SharedSecret
		}
		if a, b := derive(one, two), derive(two, one); !bytes.Equal(a, b) || len(a) != 48 {
			t.Errorf("%d and %d bytes", len(a), len(b))
		}
		_, err := c.DeriveSharedSecret(ctx, &kms.DeriveSharedSecretInput{KeyId: one, KeyAgreementAlgorithm: "ECDH", PublicKey: message})
		refused(t, "no public key", err, "ValidationException")
	})
	t.Run("encapsulate", func(t *testing.T) {
		key := ann.keyOf("ML_KEM_1024", "ENCAPSULATE_DECAPSULATE")
		e := ok(c.Encapsulate(ctx, &kms.EncapsulateInput{KeyId: key, EncapsulationAlgorithm: "ML_KEM"}))(t)
		d := ok(c.Decapsulate(ctx, &kms.DecapsulateInput{KeyId: key, EncapsulationAlgorithm: "ML_KEM", SharedSecretCiphertextBlob: e.SharedSecretCiphertextBlob}))(t)
		if !bytes.Equal(e.SharedSecret, d.SharedSecret) {
			t.Error("the secrets differ")
		}
	})
	t.Run("data key pairs", func(t *testing.T) {
		key := new(ann.newKey())
		with := ok(c.GenerateDataKeyPair(ctx, &kms.GenerateDataKeyPairInput{KeyId: key, KeyPairSpec: "ECC_NIST_P521"}))(t)
		without := ok(c.GenerateDataKeyPairWithoutPlaintext(ctx, &kms.GenerateDataKeyPairWithoutPlaintextInput{KeyId: key, KeyPairSpec: "ML_KEM_768"}))(t)
		if d := ok(c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: with.PrivateKeyCiphertextBlob}))(t); !bytes.Equal(d.Plaintext, with.PrivateKeyPlaintext) {
			t.Error("the sealed private key is another")
		}
		ok(c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: without.PrivateKeyCiphertextBlob}))(t)
	})
	t.Run("last usage", func(t *testing.T) {
		key := new(ann.newKey())
		if u := ok(c.GetKeyLastUsage(ctx, &kms.GetKeyLastUsageInput{KeyId: key}))(t).KeyLastUsage; u == nil || u.Operation != "" {
			t.Errorf("before: %+v", u)
		}
		ok(c.Encrypt(ctx, &kms.EncryptInput{KeyId: key, Plaintext: message}))(t)
		before := ok(c.GetKeyLastUsage(ctx, &kms.GetKeyLastUsageInput{KeyId: key}))(t).KeyLastUsage
		if before.Operation != "Encrypt" || before.Timestamp == nil || before.KmsRequestId == nil {
			t.Errorf("%+v", before)
		}
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
		log := ok(os.ReadFile(filepath.Join(s.Data(), "audit", "decisions.jsonl")))(t)
		if !bytes.Contains(log, []byte(`"eventID":"`+*before.CloudTrailEventId+`"`)) {
			t.Errorf("event %s is not on record", *before.CloudTrailEventId)
		}
		start(t, s)
		after := ok(ann.kms().GetKeyLastUsage(ctx, &kms.GetKeyLastUsageInput{KeyId: key}))(t).KeyLastUsage
		if after.Operation != "Encrypt" || !after.Timestamp.Equal(*before.Timestamp) || *after.CloudTrailEventId != *before.CloudTrailEventId {
			t.Errorf("after a restart %+v", after)
		}
	})
}

// What the AWS CLI gets from KMS, OpenSSL takes, and the other way round.
func TestCLICryptography(t *testing.T) {
	for _, program := range []string{"aws", "openssl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("SKIPPED: the %s command is not on PATH, so it is not tried with KMS", program)
		}
	}
	s := newServer(t)
	ann := root(t, s, accountA)
	d := shell{t, t.TempDir(), append(s.Env(), "AWS_ACCESS_KEY_ID="+ann.key.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+ann.key.SecretAccessKey, "AWS_DEFAULT_REGION="+local.Region)}
	d.write("message", []byte("to whom it may concern"))
	cli := func(operation string, args ...string) string {
		t.Helper()
		return d.run("aws", append([]string{"--endpoint-url", s.Endpoint, "--output", "text", "kms", operation}, args...)...)
	}
	public := func(key *string) {
		t.Helper()
		d.write("public.der", unbase64(t, cli("get-public-key", "--key-id", *key, "--query", "PublicKey")))
		d.run("openssl", "pkey", "-pubin", "-inform", "DER", "-in", "public.der", "-out", "public.pem")
	}
	for _, c := range []struct {
		spec      types.KeySpec
		algorithm string
		openssl   []string
	}{
		{"ECC_NIST_P384", "ECDSA_SHA_384", []string{"-sha384"}},
		{"ECC_SECG_P256K1", "ECDSA_SHA_256", []string{"-sha256"}},
		{"RSA_2048", "RSASSA_PKCS1_V1_5_SHA_512", []string{"-sha512"}},
		{"RSA_2048", "RSASSA_PSS_SHA_256", []string{"-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"}},
	} {
		t.Run("sign "+c.algorithm, func(t *testing.T) {
			key := ann.keyOf(c.spec, "SIGN_VERIFY")
			public(key)
			d.write("signature", unbase64(t, cli("sign", "--key-id", *key, "--message", "fileb://message", "--signing-algorithm", c.algorithm, "--query", "Signature")))
			d.run("openssl", append(append([]string{"dgst"}, c.openssl...), "-verify", "public.pem", "-signature", "signature", "message")...)
			if got := cli("verify", "--key-id", *key, "--message", "fileb://message", "--signing-algorithm", c.algorithm, "--signature", "fileb://signature", "--query", "SignatureValid"); got != "True" {
				t.Errorf("verify: %s", got)
			}
		})
	}
	t.Run("encrypt with OpenSSL", func(t *testing.T) {
		key := ann.keyOf("RSA_3072", "ENCRYPT_DECRYPT")
		public(key)
		d.run("openssl", "pkeyutl", "-encrypt", "-pubin", "-inkey", "public.pem", "-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha256", "-in", "message", "-out", "sealed")
		got := unbase64(t, cli("decrypt", "--key-id", *key, "--ciphertext-blob", "fileb://sealed", "--encryption-algorithm", "RSAES_OAEP_SHA_256", "--query", "Plaintext"))
		if string(got) != "to whom it may concern" {
			t.Errorf("%q", got)
		}
	})
	t.Run("agree with OpenSSL", func(t *testing.T) {
		key := ann.keyOf("ECC_NIST_P256", "KEY_AGREEMENT")
		public(key)
		d.run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "mine.pem")
		d.run("openssl", "pkey", "-in", "mine.pem", "-pubout", "-outform", "DER", "-out", "mine.der")
		d.run("openssl", "pkeyutl", "-derive", "-inkey", "mine.pem", "-peerkey", "public.pem", "-out", "secret")
		got := unbase64(t, cli("derive-shared-secret", "--key-id", *key, "--key-agreement-algorithm", "ECDH", "--public-key", "fileb://mine.der", "--query", "SharedSecret"))
		if !bytes.Equal(got, d.read("secret")) {
			t.Error("the secrets differ")
		}
	})
	t.Run("authenticate", func(t *testing.T) {
		key := ann.keyOf("HMAC_224", "GENERATE_VERIFY_MAC")
		d.write("mac", unbase64(t, cli("generate-mac", "--key-id", *key, "--message", "fileb://message", "--mac-algorithm", "HMAC_SHA_224", "--query", "Mac")))
		if got := cli("verify-mac", "--key-id", *key, "--message", "fileb://message", "--mac-algorithm", "HMAC_SHA_224", "--mac", "fileb://mac", "--query", "MacValid"); got != "True" || len(d.read("mac")) != 28 {
			t.Errorf("verify-mac: %s", got)
		}
	})
	t.Run("read a data key pair", func(t *testing.T) {
		for _, spec := range []string{"RSA_2048", "ECC_NIST_P256", "ECC_SECG_P256K1", "ECC_NIST_EDWARDS25519"} {
			f := strings.Fields(cli("generate-data-key-pair", "--key-id", ann.newKey(), "--key-pair-spec", spec, "--query", "[PrivateKeyPlaintext,PublicKey]"))
			d.write("private.der", unbase64(t, f[0]))
			d.run("openssl", "pkey", "-inform", "DER", "-in", "private.der", "-pubout", "-outform", "DER", "-out", "its.der")
			if !bytes.Equal(d.read("its.der"), unbase64(t, f[1])) {
				t.Errorf("%s: the public key is not the private one's", spec)
			}
		}
	})
}

// A shell runs programs in a directory.
type shell struct {
	t   *testing.T
	dir string
	env []string
}

// run runs a program, and returns what it says.
func (s shell) run(program string, args ...string) string {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), program, args...)
	cmd.Dir, cmd.Env = s.dir, s.env
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("%s %s: %v: %s%s", program, strings.Join(args, " "), err, out, said.Bytes())
	}
	return strings.TrimSpace(string(out))
}

func (s shell) write(name string, data []byte) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), data, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s shell) read(name string) []byte {
	s.t.Helper()
	return ok(os.ReadFile(filepath.Join(s.dir, name)))(s.t)
}

func unbase64(t *testing.T, s string) []byte {
	t.Helper()
	return ok(base64.StdEncoding.DecodeString(s))(t)
}
