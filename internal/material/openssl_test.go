package material_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"borealis/internal/material"
)

// openssl runs the program in a directory of its own.
type openssl struct {
	t   *testing.T
	dir string
}

func newOpenSSL(t *testing.T) openssl {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("SKIPPED: no openssl on PATH")
	}
	return openssl{t, t.TempDir()}
}

func (o openssl) write(name string, data []byte) {
	o.t.Helper()
	if err := os.WriteFile(filepath.Join(o.dir, name), data, 0o600); err != nil {
		o.t.Fatal(err)
	}
}

func (o openssl) read(name string) []byte {
	o.t.Helper()
	data, err := os.ReadFile(filepath.Join(o.dir, name))
	if err != nil {
		o.t.Fatal(err)
	}
	return data
}

// run runs openssl, which must succeed.
func (o openssl) run(args ...string) {
	o.t.Helper()
	cmd := exec.CommandContext(o.t.Context(), "openssl", args...)
	cmd.Dir = o.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		o.t.Errorf("openssl %v: %v\n%s", args, err, out)
	}
}

// signing says how openssl pkeyutl names an algorithm.
var signing = map[material.Algorithm][]string{
	"RSASSA_PKCS1_V1_5_SHA_256": {"-digest", "sha256", "-pkeyopt", "rsa_padding_mode:pkcs1"},
	"RSASSA_PKCS1_V1_5_SHA_384": {"-digest", "sha384", "-pkeyopt", "rsa_padding_mode:pkcs1"},
	"RSASSA_PKCS1_V1_5_SHA_512": {"-digest", "sha512", "-pkeyopt", "rsa_padding_mode:pkcs1"},
	"RSASSA_PSS_SHA_256":        {"-digest", "sha256", "-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt", "rsa_pss_saltlen:32"},
	"RSASSA_PSS_SHA_384":        {"-digest", "sha384", "-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt", "rsa_pss_saltlen:48"},
	"RSASSA_PSS_SHA_512":        {"-digest", "sha512", "-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt", "rsa_pss_saltlen:64"},
	"ECDSA_SHA_256":             {"-digest", "sha256"},
	"ECDSA_SHA_384":             {"-digest", "sha384"},
	"ECDSA_SHA_512":             {"-digest", "sha512"},
	"ED25519_SHA_512":           nil,
	"SM2DSA":                    {"-digest", "sm3", "-pkeyopt", "distid:1234567812345678"},
}

func TestOpenSSLSignatures(t *testing.T) {
	for _, s := range specs {
		for _, a := range s.Algorithms("SIGN_VERIFY") {
			how, known := signing[a]
			if !known {
				continue // OpenSSL 3.0 has neither Ed25519ph nor ML-DSA
			}
			t.Run(fmt.Sprintf("%s/%s", s, a), func(t *testing.T) {
				o, k, m := newOpenSSL(t), key(t, s), []byte("a message for two")
				sig, err := k.Sign(a, "RAW", m)
				if err != nil {
					t.Fatal(err)
				}
				o.write("m", m)
				o.write("sig", sig)
				o.write("public.der", public(t, k))
				o.write("private.der", encoding(t, k))
				base := append([]string{"pkeyutl", "-rawin", "-in", "m"}, how...)
				o.run(append(base, "-verify", "-pubin", "-keyform", "DER", "-inkey", "public.der", "-sigfile", "sig")...)
				o.run(append(base, "-sign", "-keyform", "DER", "-inkey", "private.der", "-out", "theirs")...)
				if err := k.Verify(a, "RAW", m, o.read("theirs")); err != nil {
					t.Errorf("theirs: %v", err)
				}
			})
		}
	}
}

// generating says how openssl makes the keys of a spec.
var generating = map[material.Spec][]string{
	"RSA_2048":              {"RSA", "-pkeyopt", "rsa_keygen_bits:2048"},
	"ECC_NIST_P256":         {"EC", "-pkeyopt", "ec_paramgen_curve:P-256"},
	"ECC_NIST_P384":         {"EC", "-pkeyopt", "ec_paramgen_curve:P-384"},
	"ECC_NIST_P521":         {"EC", "-pkeyopt", "ec_paramgen_curve:P-521"},
	"ECC_SECG_P256K1":       {"EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"},
	"ECC_NIST_EDWARDS25519": {"ED25519"},
	"SM2":                   {"EC", "-pkeyopt", "ec_paramgen_curve:SM2"},
}

// Keys are made as AWS's guide to imports says, and wrapped in all ways.
func TestOpenSSLImports(t *testing.T) {
	for s, how := range generating {
		t.Run(string(s), func(t *testing.T) {
			o := newOpenSSL(t)
			o.run(append([]string{"genpkey", "-out", "private.pem", "-algorithm"}, how...)...)
			o.run("pkcs8", "-topk8", "-nocrypt", "-in", "private.pem", "-outform", "DER", "-out", "material")
			o.run("pkey", "-in", "private.pem", "-pubout", "-outform", "DER", "-out", "public.der")
			k, err := material.Load(s, o.read("material"))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(public(t, k), o.read("public.der")) {
				t.Error("another public key")
			}
			o.write("ours.der", encoding(t, k))
			o.run("pkey", "-inform", "DER", "-in", "ours.der", "-check", "-noout")
			for _, a := range []material.Algorithm{"RSA_AES_KEY_WRAP_SHA_1", "RSA_AES_KEY_WRAP_SHA_256"} {
				o.wrapped(a)
			}
			if s == "ECC_NIST_P256" {
				o.wrapped("RSAES_OAEP_SHA_256")
				o.wrapped("RSAES_OAEP_SHA_1")
			}
		})
	}
}

// wrapped wraps the file "material" under an RSA key of ours and unwraps it.
func (o openssl) wrapped(a material.Algorithm) {
	o.t.Helper()
	k, hash := key(o.t, "RSA_2048"), "sha256"
	if a == "RSAES_OAEP_SHA_1" || a == "RSA_AES_KEY_WRAP_SHA_1" {
		hash = "sha1"
	}
	in := "material"
	aesKey := bytes.Repeat([]byte{0xa5}, 32)
	isWrap := a == "RSA_AES_KEY_WRAP_SHA_1" || a == "RSA_AES_KEY_WRAP_SHA_256"
	if isWrap {
		in = "aes-key"
		o.write("aes-key", aesKey)
		o.run("enc", "-id-aes256-wrap-pad", "-K", hex.EncodeToString(aesKey), "-iv", "A65959A6", "-in", "material", "-out", "wrapped-material")
	}
	o.write("wrapping.der", public(o.t, k))
	o.run("pkeyutl", "-encrypt", "-in", in, "-out", "wrapped", "-inkey", "wrapping.der", "-keyform", "DER", "-pubin",
		"-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:"+hash, "-pkeyopt", "rsa_mgf1_md:"+hash)
	wrapped := o.read("wrapped")
	if isWrap {
		wrapped = append(wrapped, o.read("wrapped-material")...)
	}
	got, err := material.Unwrap(k, a, wrapped)
	if err != nil || !bytes.Equal(got, o.read("material")) {
		o.t.Errorf("%s: other material, or %v", a, err)
	}
}

func TestOpenSSLImportsOfSecrets(t *testing.T) {
	for _, s := range []material.Spec{"SYMMETRIC_DEFAULT", "HMAC_224", "HMAC_384", "HMAC_512"} {
		o := newOpenSSL(t)
		o.write("material", encoding(t, key(t, s)))
		for _, a := range []material.Algorithm{"RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256", "RSA_AES_KEY_WRAP_SHA_1", "RSA_AES_KEY_WRAP_SHA_256"} {
			o.wrapped(a)
		}
	}
}

func TestOpenSSLEncryption(t *testing.T) {
	for _, c := range []struct {
		spec      material.Spec
		algorithm material.Algorithm
		how       []string
	}{
		{"RSA_2048", "RSAES_OAEP_SHA_1", []string{"-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha1"}},
		{"RSA_2048", "RSAES_OAEP_SHA_256", []string{"-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha256"}},
		{"SM2", "SM2PKE", nil},
	} {
		t.Run(string(c.algorithm), func(t *testing.T) {
			o, k := newOpenSSL(t), key(t, c.spec)
			o.write("public.der", public(t, k))
			o.write("private.der", encoding(t, k))
			o.write("plain", []byte("for your eyes only"))
			o.run(append([]string{"pkeyutl", "-encrypt", "-pubin", "-keyform", "DER", "-inkey", "public.der", "-in", "plain", "-out", "theirs"}, c.how...)...)
			if p, err := k.Decrypt(c.algorithm, o.read("theirs")); err != nil || string(p) != "for your eyes only" {
				t.Errorf("theirs: %q, %v", []byte(p), err)
			}
			ours, err := k.Encrypt(c.algorithm, []byte("for your eyes only"))
			if err != nil {
				t.Fatal(err)
			}
			o.write("ours", ours)
			o.run(append([]string{"pkeyutl", "-decrypt", "-keyform", "DER", "-inkey", "private.der", "-in", "ours", "-out", "opened"}, c.how...)...)
			if got := o.read("opened"); string(got) != "for your eyes only" {
				t.Errorf("ours: %q", got)
			}
		})
	}
}

func TestOpenSSLAgreement(t *testing.T) {
	for _, s := range []material.Spec{"ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521"} {
		o, k := newOpenSSL(t), key(t, s)
		o.run(append([]string{"genpkey", "-out", "private.pem", "-algorithm"}, generating[s]...)...)
		o.run("pkey", "-in", "private.pem", "-pubout", "-outform", "DER", "-out", "theirs.der")
		o.write("ours.der", public(t, k))
		o.run("pkeyutl", "-derive", "-inkey", "private.pem", "-peerkey", "ours.der", "-peerform", "DER", "-out", "shared")
		if shared, err := k.Agree(o.read("theirs.der")); err != nil || !bytes.Equal(shared, o.read("shared")) {
			t.Errorf("%s: another secret, or %v", s, err)
		}
	}
}
