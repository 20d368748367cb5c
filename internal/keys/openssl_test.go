package keys_test

import (
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// A shell runs OpenSSL in a directory of its own.
type shell struct {
	t       testing.TB
	dir     string
	program string
}

func openSSL(t testing.TB) *shell {
	program, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("SKIPPED: openssl is not on PATH, so nothing is imported that it wrapped")
	}
	return &shell{t, t.TempDir(), program}
}

// run runs openssl with these words, split at spaces.
func (s *shell) run(words string) {
	s.t.Helper()
	c := exec.CommandContext(s.t.Context(), s.program, strings.Fields(words)...)
	c.Dir = s.dir
	if out, err := c.CombinedOutput(); err != nil {
		s.t.Fatalf("openssl %s: %v\n%s", words, err, out)
	}
}

func (s *shell) write(name string, b []byte) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), b, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shell) read(name string) []byte {
	s.t.Helper()
	return must(os.ReadFile(filepath.Join(s.dir, name)))(s.t)
}

// wrap wraps the file material for c as AWS's documentation tells its users to,
// and returns what is to be imported.
func (s *shell) wrap(c parcel, a types.AlgorithmSpec) []byte {
	s.t.Helper()
	s.write("wrapping.der", c.PublicKey)
	digest := "sha1"
	if strings.HasSuffix(string(a), "256") {
		digest = "sha256"
	}
	oaep := " -pubin -keyform DER -inkey wrapping.der -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:" + digest + " -pkeyopt rsa_mgf1_md:" + digest
	if !strings.HasPrefix(string(a), "RSA_AES") {
		s.run("pkeyutl -encrypt -in material -out wrapped" + oaep)
		return s.read("wrapped")
	}
	s.run("rand -out aes 32")
	s.run("enc -id-aes256-wrap-pad -iv A65959A6 -K " + hex.EncodeToString(s.read("aes")) + " -in material -out wrapped")
	s.run("pkeyutl -encrypt -in aes -out wrapped.aes" + oaep)
	return append(s.read("wrapped.aes"), s.read("wrapped")...)
}

// What OpenSSL makes and wraps is imported, whatever it is and whichever way: and
// it is the same material each time, so it arrives as it was sent.
func TestOpenSSLWraps(t *testing.T) {
	t.Parallel()
	const direct, hybrid = "RSAES_OAEP_SHA_1 RSAES_OAEP_SHA_256", "RSA_AES_KEY_WRAP_SHA_1 RSA_AES_KEY_WRAP_SHA_256"
	ssl := openSSL(t)
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	const aPair = "genpkey -out pair -algorithm "
	curve := func(name string) string { return aPair + "EC -pkeyopt ec_paramgen_curve:" + name }
	for _, c := range []struct {
		spec    types.KeySpec
		usage   types.KeyUsageType
		make    string // another key each time
		wrapped string // how
	}{
		{"SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "rand -out material 32", direct},
		{"HMAC_512", "GENERATE_VERIFY_MAC", "rand -out material 64", direct},
		{"RSA_2048", "SIGN_VERIFY", aPair + "RSA -pkeyopt rsa_keygen_bits:2048", hybrid},
		{"RSA_3072", "ENCRYPT_DECRYPT", aPair + "RSA -pkeyopt rsa_keygen_bits:3072", "RSA_AES_KEY_WRAP_SHA_256"},
		{"ECC_NIST_P256", "SIGN_VERIFY", curve("P-256"), direct + " " + hybrid},
		{"ECC_NIST_P384", "KEY_AGREEMENT", curve("P-384"), "RSAES_OAEP_SHA_256 RSA_AES_KEY_WRAP_SHA_256"},
		{"ECC_NIST_P521", "SIGN_VERIFY", curve("P-521"), hybrid},
		{"ECC_SECG_P256K1", "SIGN_VERIFY", curve("secp256k1"), "RSAES_OAEP_SHA_256 RSA_AES_KEY_WRAP_SHA_256"},
		{"ECC_NIST_EDWARDS25519", "SIGN_VERIFY", aPair + "ED25519", "RSAES_OAEP_SHA_256 RSA_AES_KEY_WRAP_SHA_256"},
	} {
		t.Run(string(c.spec), func(t *testing.T) {
			key := ann.external(kms.CreateKeyInput{KeySpec: c.spec, KeyUsage: c.usage})
			make := func() {
				ssl.run(c.make)
				if strings.HasPrefix(c.make, aPair) {
					ssl.run("pkcs8 -topk8 -nocrypt -outform DER -in pair -out material")
				}
			}
			make()
			parcels := map[types.AlgorithmSpec]parcel{} // each takes an RSA key, and is good for a day
			bring := func(a types.AlgorithmSpec) error {
				p, ok := parcels[a]
				if !ok {
					p = ann.parcelOf(key, a, "RSA_2048")
					parcels[a] = p
				}
				_, err := ann.ImportKeyMaterial(t.Context(), &kms.ImportKeyMaterialInput{
					KeyId: key, ImportToken: p.ImportToken, EncryptedKeyMaterial: ssl.wrap(p, a), ExpirationModel: "KEY_MATERIAL_DOES_NOT_EXPIRE",
				})
				return err
			}
			for _, a := range strings.Fields(c.wrapped) {
				ann.may("import it by "+a, bring(types.AlgorithmSpec(a)))
				if m := ann.metadata(key); m.KeyState != "Enabled" {
					t.Fatalf("%s: %s", a, m.KeyState)
				}
			}
			make()
			ann.mayNot("import another", "IncorrectKeyMaterialException", bring(types.AlgorithmSpec(strings.Fields(c.wrapped)[0])))
		})
	}
}

// Longer wrapping keys are good too, and their tokens not too long.
func TestOpenSSLWrapsForLongKeys(t *testing.T) {
	t.Parallel()
	ssl := openSSL(t)
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	key := ann.external(kms.CreateKeyInput{KeySpec: "ECC_NIST_P521", KeyUsage: "SIGN_VERIFY"})
	ssl.run("genpkey -out pair -algorithm EC -pkeyopt ec_paramgen_curve:P-521")
	ssl.run("pkcs8 -topk8 -nocrypt -outform DER -in pair -out material")
	for _, size := range []types.WrappingKeySpec{"RSA_3072", "RSA_4096"} {
		p := ann.parcelOf(key, "RSAES_OAEP_SHA_256", size)
		if len(p.ImportToken) > 6144 {
			t.Errorf("token of %d bytes", len(p.ImportToken))
		}
		_, err := ann.ImportKeyMaterial(t.Context(), &kms.ImportKeyMaterialInput{
			KeyId: key, ImportToken: p.ImportToken, EncryptedKeyMaterial: ssl.wrap(p, "RSAES_OAEP_SHA_256"), ExpirationModel: "KEY_MATERIAL_DOES_NOT_EXPIRE",
		})
		ann.may("import under "+string(size), err)
	}
}
