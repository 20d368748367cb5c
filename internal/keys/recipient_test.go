package keys_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/attestation"
	"borealis/internal/attestation/attestationtest"
)

// An enclave is something that runs where nobody can look, and can prove it.
type enclave struct {
	w         *world
	key       *rsa.PrivateKey
	authority *attestationtest.Authority
}

// enclave makes the world trust an authority, and an enclave of it.
func (w *world) enclave() *enclave {
	w.t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		w.t.Fatal(err)
	}
	e := &enclave{w, key, attestationtest.New(w.t, w.now)}
	if w.Attestations, err = attestation.NewVerifier(e.authority.Root()); err != nil {
		w.t.Fatal(err)
	}
	return e
}

// asks is the Recipient of the enclave's requests, with what change makes of its
// document.
func (e *enclave) asks(change func(map[string]any)) *types.RecipientInfo {
	return &types.RecipientInfo{
		AttestationDocument:    e.authority.Document(&e.key.PublicKey, e.w.clock(), change),
		KeyEncryptionAlgorithm: types.KeyEncryptionMechanismRsaesOaepSha256,
	}
}

// opens is what the enclave reads in an answer, with OpenSSL.
func (e *enclave) opens(envelope []byte) []byte {
	t := e.w.t
	t.Helper()
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("SKIPPED: the program openssl is not installed")
	}
	dir := t.TempDir()
	text := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(e.key)})
	for name, data := range map[string][]byte{"key": text, "envelope": envelope} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.CommandContext(t.Context(), openssl, "cms", "-decrypt", "-binary", "-inform", "DER",
		"-in", filepath.Join(dir, "envelope"), "-inkey", filepath.Join(dir, "key")).Output()
	if err != nil {
		t.Fatalf("openssl cms: %v", err)
	}
	return out
}

// What is for an enclave is in no answer in the clear, and the enclave reads it.
func TestAnswersForEnclaves(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	e := w.enclave()
	key := ann.key()
	blob := must(ann.encrypt(key, nil))(t)

	opened := must(ann.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob, Recipient: e.asks(nil)}))(t)
	if got := e.opens(opened.CiphertextForRecipient); opened.Plaintext != nil || string(got) != "secret" {
		t.Errorf("Decrypt: %q in the clear, %q for the enclave", opened.Plaintext, got)
	}
	data := must(ann.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: key, KeySpec: "AES_256", Recipient: e.asks(nil)}))(t)
	plain := must(ann.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: data.CiphertextBlob}))(t).Plaintext
	if got := e.opens(data.CiphertextForRecipient); data.Plaintext != nil || len(got) != 32 || !bytes.Equal(got, plain) {
		t.Errorf("GenerateDataKey: %q in the clear, %x for the enclave", data.Plaintext, got)
	}
	pair := must(ann.GenerateDataKeyPair(t.Context(), &kms.GenerateDataKeyPairInput{KeyId: key, KeyPairSpec: "ECC_NIST_P256", Recipient: e.asks(nil)}))(t)
	plain = must(ann.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: pair.PrivateKeyCiphertextBlob}))(t).Plaintext
	if got := e.opens(pair.CiphertextForRecipient); pair.PrivateKeyPlaintext != nil || len(got) < 100 || !bytes.Equal(got, plain) {
		t.Errorf("GenerateDataKeyPair: %q in the clear, %x for the enclave", pair.PrivateKeyPlaintext, got)
	}
	agreeing := must(ann.CreateKey(t.Context(), &kms.CreateKeyInput{KeySpec: "ECC_NIST_P256", KeyUsage: "KEY_AGREEMENT"}))(t).KeyMetadata.Arn
	agree := func(r *types.RecipientInfo) *kms.DeriveSharedSecretOutput {
		return must(ann.DeriveSharedSecret(t.Context(), &kms.DeriveSharedSecretInput{KeyId: agreeing, KeyAgreementAlgorithm: "ECDH", PublicKey: pair.PublicKey, Recipient: r}))(t)
	}
	secret := agree(e.asks(nil))
	if got := e.opens(secret.CiphertextForRecipient); secret.SharedSecret != nil || len(got) != 32 || !bytes.Equal(got, agree(nil).SharedSecret) {
		t.Errorf("DeriveSharedSecret: %q in the clear, %x for the enclave", secret.SharedSecret, got)
	}
	random := must(ann.GenerateRandom(t.Context(), &kms.GenerateRandomInput{NumberOfBytes: new(int32(100)), Recipient: e.asks(nil)}))(t)
	if got := e.opens(random.CiphertextForRecipient); random.Plaintext != nil || len(got) != 100 {
		t.Errorf("GenerateRandom: %q in the clear, %x for the enclave", random.Plaintext, got)
	}
	_, err := ann.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob, Recipient: e.asks(nil), DryRun: new(true)})
	ann.mayNot("decrypt and not decrypt", "DryRunOperationException", err)
}

func TestRecipientRefused(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	key := ann.key()
	blob := must(ann.encrypt(key, nil))(t)
	decrypt := func(r *types.RecipientInfo) error {
		_, err := ann.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob, Recipient: r})
		return err
	}
	ann.mayNot("be answered without a root", "UnsupportedOperationException: This server was given no root certificate of attestation documents (serve --attestation-root), so it trusts none, and does not offer Recipient.", decrypt(&types.RecipientInfo{}))
	e := w.enclave()
	other := newWorld(t).enclave()
	const invalid = "ValidationException: The attestation document is not valid: "
	ann.mayNot("leave the document out", invalid+"it has 0 bytes, and may have 1 to 16384.", decrypt(&types.RecipientInfo{KeyEncryptionAlgorithm: "RSAES_OAEP_SHA_256"}))
	ann.mayNot("leave the algorithm out", "ValidationException", decrypt(&types.RecipientInfo{AttestationDocument: e.asks(nil).AttestationDocument}))
	ann.mayNot("have another algorithm", "ValidationException: 1 validation error detected: Value 'RSAES_OAEP_SHA_1' at 'recipient.keyEncryptionAlgorithm' failed to satisfy constraint: Member must satisfy enum value set: [RSAES_OAEP_SHA_256]", decrypt(&types.RecipientInfo{AttestationDocument: e.asks(nil).AttestationDocument, KeyEncryptionAlgorithm: "RSAES_OAEP_SHA_1"}))
	ann.mayNot("have no key", invalid+"it has no public key.", decrypt(e.asks(func(p map[string]any) { p["public_key"] = nil })))
	if got := said(decrypt(other.asks(nil))); !strings.HasPrefix(got, invalid+"its signer's certificate does not lead to a trusted root") {
		t.Errorf("under another root: %s", got)
	}
	late := e.asks(nil)
	w.wait(6 * time.Minute)
	if got := said(decrypt(late)); !strings.HasPrefix(got, invalid+"it was made at ") {
		t.Errorf("late: %s", got)
	}
	ann.may("decrypt with a fresh one", decrypt(e.asks(nil)))
}

// What runs in the enclave is what policies can ask for.
func TestRecipientConditions(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	e := w.enclave()
	hex := func(digits string) string { return strings.Repeat(digits, 48) }
	tpm := func(p map[string]any) {
		delete(p, "pcrs")
		p["nitrotpm_pcrs"] = map[uint64][]byte{4: attestationtest.PCR(0xab)}
	}
	for _, c := range []struct {
		key, operator, value string
		yes, no              *types.RecipientInfo
	}{
		{"ImageSha384", "StringEquals", hex("a0"), e.asks(nil), e.asks(func(p map[string]any) { p["pcrs"] = map[uint64][]byte{0: attestationtest.PCR(1)} })},
		{"ImageSha384", "StringEqualsIgnoreCase", hex("A0"), e.asks(nil), nil},
		{"PCR0", "StringEquals", hex("a0"), e.asks(nil), nil},
		{"PCR2", "StringEquals", hex("a2"), e.asks(nil), e.asks(tpm)},
		{"PCR8", "StringEquals", hex("00"), e.asks(nil), nil},
		{"NitroTPMPCR4", "StringEquals", hex("ab"), e.asks(tpm), e.asks(nil)},
	} {
		eve := w.person(home, "user/eve")
		statement := strings.Replace(letting(eve.caller.ARN, "kms:Decrypt", "kms:GenerateDataKey"), `"Resource"`,
			`"Condition":{"`+c.operator+`":{"kms:RecipientAttestation:`+c.key+`":"`+c.value+`"}},"Resource"`, 1)
		key := ann.key(statement)
		blob := must(ann.encrypt(key, nil))(t)
		for _, do := range []func(*types.RecipientInfo) error{
			func(r *types.RecipientInfo) error {
				_, err := eve.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob, Recipient: r})
				return err
			},
			func(r *types.RecipientInfo) error {
				_, err := eve.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: key, KeySpec: "AES_128", Recipient: r})
				return err
			},
		} {
			eve.may("be answered under "+statement, do(c.yes))
			eve.mayNot("be answered under "+statement, "AccessDeniedException", do(c.no))
			eve.mayNot("be answered without an enclave under "+statement, "AccessDeniedException", do(nil))
		}
	}
	eve := w.person(home, "user/eve", strings.Replace(allow("kms:GenerateRandom"), `"Resource"`, `"Condition":{"Null":{"kms:RecipientAttestation:PCR0":"false"}},"Resource"`, 1))
	random := func(r *types.RecipientInfo) error {
		_, err := eve.GenerateRandom(t.Context(), &kms.GenerateRandomInput{NumberOfBytes: new(int32(1)), Recipient: r})
		return err
	}
	eve.may("ask for random bytes in an enclave", random(e.asks(nil)))
	eve.mayNot("ask for them elsewhere", "AccessDeniedException", random(nil))
}
