package attestation_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/veraison/go-cose"

	"borealis/internal/attestation"
	"borealis/internal/attestation/attestationtest"
)

var now = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

// enclave is the key of an enclave. Making it takes long enough to do it once.
var enclave = sync.OnceValue(func() *rsa.PrivateKey { return newKey(2048) })

func newKey(bits int) *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return k
}

func verifier(t testing.TB, a *attestationtest.Authority) *attestation.Verifier {
	t.Helper()
	v, err := attestation.NewVerifier(a.Root())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVerify(t *testing.T) {
	a := attestationtest.New(t, now)
	v := verifier(t, a)
	made := now.Add(-time.Minute)
	doc := a.Document(&enclave().PublicKey, made, nil)
	for name, text := range map[string][]byte{"untagged": doc, "tagged": append([]byte{0xd2}, doc...)} {
		t.Run(name, func(t *testing.T) {
			d, err := v.Verify(text, now)
			if err != nil {
				t.Fatal(err)
			}
			if !d.Time.Equal(made) || d.TPM || !strings.HasPrefix(d.Module, "i-") || len(d.Registers) != 4 || !bytes.Equal(d.Registers[1], attestationtest.PCR(0xa1)) {
				t.Errorf("%+v", d)
			}
		})
	}
	tpm := a.Document(&enclave().PublicKey, made, func(p map[string]any) {
		p["nitrotpm_pcrs"] = map[uint64][]byte{4: attestationtest.PCR(4)}
		delete(p, "pcrs")
	})
	d, err := v.Verify(tpm, now)
	if err != nil || !d.TPM || !bytes.Equal(d.Registers[4], attestationtest.PCR(4)) {
		t.Errorf("of a NitroTPM: %+v, %v", d, err)
	}
}

// Every way in which a document may be wrong, and what is said of it.
func TestVerifyRefuses(t *testing.T) {
	set := func(name string, value any) func(map[string]any) {
		return func(p map[string]any) { p[name] = value }
	}
	small, err := x509.MarshalPKIXPublicKey(&newKey(1024).PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := x509.MarshalPKIXPublicKey(&func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, want string
		change     func(map[string]any)
	}{
		{"no module", "it does not name its module", set("module_id", "")},
		{"a long module", "it does not name its module", set("module_id", strings.Repeat("x", 257))},
		{"another digest", "its digest is not SHA384", set("digest", "SHA256")},
		{"no time", "it has no time", set("timestamp", 0)},
		{"the end of time", "it has no time", set("timestamp", uint64(1)<<63)},
		{"an old document", "it was made at", set("timestamp", uint64(now.Add(-6*time.Minute).UnixMilli()))},
		{"a document of the future", "it was made at", set("timestamp", uint64(now.Add(6*time.Minute).UnixMilli()))},
		{"no registers", "it has 0 registers", set("pcrs", map[uint64][]byte{})},
		{"both sorts of registers", "it speaks of an enclave and of a NitroTPM", set("nitrotpm_pcrs", map[uint64][]byte{4: attestationtest.PCR(4)})},
		{"a register too far", "its register 32 has 48 bytes", set("pcrs", map[uint64][]byte{32: attestationtest.PCR(4)})},
		{"a short register", "its register 0 has 5 bytes", set("pcrs", map[uint64][]byte{0: []byte("short")})},
		{"no bundle", "it has no certificates above its signer's", set("cabundle", [][]byte{})},
		{"too large a bundle", "its payload is not an attestation document", set("cabundle", make([][]byte, 17))},
		{"an empty certificate", "a certificate of it has 0 bytes", set("cabundle", [][]byte{{}})},
		{"a bundle of nonsense", "a certificate of it cannot be read", set("cabundle", [][]byte{[]byte("x")})},
		{"a large certificate", "a certificate of it has 1025 bytes", set("certificate", make([]byte, 1025))},
		{"a certificate of nonsense", "its signer's certificate cannot be read", set("certificate", []byte("x"))},
		{"large user data", "more than 1024 bytes", set("user_data", make([]byte, 1025))},
		{"no key", "it has no public key", set("public_key", nil)},
		{"a key of nonsense", "its public key cannot be read", set("public_key", []byte("x"))},
		{"a small key", "its public key has 1024 bits", set("public_key", small)},
		{"a key on a curve", "its public key is not an RSA key", set("public_key", curve)},
		{"a member of another type", "its payload is not an attestation document", set("timestamp", "now")},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := attestationtest.New(t, now)
			refuses(t, verifier(t, a), a.Document(&enclave().PublicKey, now, c.change), c.want)
		})
	}
}

func refuses(t *testing.T, v *attestation.Verifier, doc []byte, want string) {
	t.Helper()
	if d, err := v.Verify(doc, now); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %+v, %v, want %q", d, err, want)
	}
}

func TestVerifyRefusesStrangers(t *testing.T) {
	a, other := attestationtest.New(t, now), attestationtest.New(t, now)
	doc := a.Document(&enclave().PublicKey, now, nil)
	const noRoot = "its signer's certificate does not lead to a trusted root"
	t.Run("another root", func(t *testing.T) { refuses(t, verifier(t, other), doc, noRoot) })
	t.Run("another root, brought along", func(t *testing.T) {
		refuses(t, verifier(t, a), other.Document(&enclave().PublicKey, now, nil), noRoot)
	})
	t.Run("certificates that are over", func(t *testing.T) {
		old := attestationtest.New(t, now.Add(-2*time.Hour))
		refuses(t, verifier(t, old), old.Document(&enclave().PublicKey, now, nil), noRoot)
	})
	t.Run("another's signature", func(t *testing.T) {
		key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		refuses(t, verifier(t, a), a.Sign(a.Payload(&enclave().PublicKey, now), cose.AlgorithmES384, key), "its signature is not its signer's")
	})
	t.Run("another algorithm", func(t *testing.T) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		refuses(t, verifier(t, a), a.Sign(a.Payload(&enclave().PublicKey, now), cose.AlgorithmES256, key), "it is not signed with ES384")
	})
	for name, c := range map[string]struct {
		curve  elliptic.Curve
		change func(*x509.Certificate)
	}{
		"a signer on another curve":       {elliptic.P256(), func(*x509.Certificate) {}},
		"an authority that signs":         {elliptic.P384(), func(c *x509.Certificate) { c.IsCA = true }},
		"a signer that may not sign this": {elliptic.P384(), func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }},
	} {
		t.Run(name, func(t *testing.T) {
			a := attestationtest.New(t, now)
			a.Leaf(now, c.curve, c.change)
			refuses(t, verifier(t, a), a.Document(&enclave().PublicKey, now, nil), "its signer's certificate is not one for signing documents")
		})
	}
}

// No byte of a document can be changed but its tag.
func TestVerifyRefusesChanges(t *testing.T) {
	a := attestationtest.New(t, now)
	v := verifier(t, a)
	doc := a.Document(&enclave().PublicKey, now, nil)
	for i := range doc {
		changed := bytes.Clone(doc)
		changed[i] ^= 1
		if _, err := v.Verify(changed, now); err == nil {
			t.Errorf("byte %d of %d can be changed", i, len(doc))
		}
	}
	for _, text := range [][]byte{nil, {0x84}, {0xd2}, doc[:len(doc)-1], append(bytes.Clone(doc), 0), make([]byte, 16<<10+1), bytes.Repeat([]byte{0x84}, 1000)} {
		if _, err := v.Verify(text, now); err == nil {
			t.Errorf("a document of %d bytes is accepted", len(text))
		}
	}
}

func TestRoots(t *testing.T) {
	a := attestationtest.New(t, now)
	key := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: []byte("x")})
	for name, c := range map[string]struct {
		text []byte
		want string
	}{
		"nothing":           {nil, "has no certificate in PEM"},
		"no PEM":            {[]byte("nonsense"), "has no certificate in PEM"},
		"a key":             {append(a.Root(), key...), `has a "EC PRIVATE KEY"`},
		"a broken one":      {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), "read attestation root"},
		"no authority's":    {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Payload(&enclave().PublicKey, now)["certificate"].([]byte)}), "is not the certificate of an authority"},
		"one and then text": {append(a.Root(), "the end"...), ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := attestation.NewVerifier(c.text)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// OpenSSL reads what is encrypted for a document, and nobody without its key.
func TestEnvelope(t *testing.T) {
	a := attestationtest.New(t, now)
	d, err := verifier(t, a).Verify(a.Document(&enclave().PublicKey, now, nil), now)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, 15, 16, 32, 4096} {
		plaintext := make([]byte, n)
		rand.Read(plaintext)
		env, err := d.Envelope(plaintext)
		if err != nil {
			t.Fatal(err)
		}
		if got := decryptWithOpenSSL(t, env, enclave()); !bytes.Equal(got, plaintext) {
			t.Errorf("%d bytes: got %x", n, got)
		}
		if bytes.Contains(env, plaintext) && n > 1 {
			t.Errorf("%d bytes are in the envelope", n)
		}
	}
}

// The layout of an answer of KMS, from its public examples: what comes before
// and between the parts that differ from answer to answer.
func TestEnvelopeLayout(t *testing.T) {
	a := attestationtest.New(t, now)
	d, err := verifier(t, a).Verify(a.Document(&enclave().PublicKey, now, nil), now)
	if err != nil {
		t.Fatal(err)
	}
	env, err := d.Envelope(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		at   int
		want string
	}{
		{0, "308006092a864886f70d010703a0803080020102" + "3182016b" + "30820167" + "020102" + "8020"},
		{65, "303c06092a864886f70d010107302fa00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d06096086480165030402010500" + "04820100"},
		{387, "308006092a864886f70d010701301d06096086480165030401" + "2a0410"},
		{431, "a0800430"},
		{483, "00000000000000000000"},
	} {
		want, err := hex.DecodeString(c.want)
		if err != nil {
			t.Fatal(err)
		}
		if len(env) < c.at+len(want) || !bytes.Equal(env[c.at:c.at+len(want)], want) {
			t.Errorf("at %d: %x, want %x", c.at, env[c.at:min(len(env), c.at+len(want))], want)
		}
	}
	if len(env) != 493 {
		t.Errorf("%d bytes, want 493", len(env))
	}
}

func decryptWithOpenSSL(t *testing.T, env []byte, key *rsa.PrivateKey) []byte {
	t.Helper()
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("SKIPPED: the program openssl is not installed, so answers for enclaves are not opened with it")
	}
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	out, err := exec.CommandContext(t.Context(), openssl, "cms", "-decrypt", "-binary", "-inform", "DER", "-in", file("envelope", env), "-inkey", file("key", text)).Output()
	if err != nil {
		t.Fatalf("openssl cms: %v", err)
	}
	return out
}

// Whatever bytes come, they are refused or verified, and fast.
func FuzzVerify(f *testing.F) {
	a := attestationtest.New(f, now)
	v := verifier(f, a)
	f.Add(a.Document(&enclave().PublicKey, now, nil))
	f.Add(a.Document(&enclave().PublicKey, now, func(p map[string]any) { p["cabundle"] = nil }))
	f.Add([]byte{0x84, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xa0, 0x40, 0x40})
	f.Add([]byte{0xd2, 0x84, 0x43, 0xa1, 0x01, 0x26, 0xa0, 0x40, 0x40})
	f.Fuzz(func(t *testing.T, doc []byte) {
		if d, err := v.Verify(doc, now); err == nil {
			if _, err := d.Envelope(nil); err != nil {
				t.Errorf("a document is good and of no use: %v", err)
			}
		}
	})
}
