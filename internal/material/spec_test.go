package material_test

import (
	"slices"
	"testing"

	"borealis/internal/material"
)

// specs are all specs whose keys can be made.
var specs = []material.Spec{
	"SYMMETRIC_DEFAULT", "HMAC_224", "HMAC_256", "HMAC_384", "HMAC_512", "RSA_2048", "RSA_3072", "RSA_4096",
	"ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "ECC_SECG_P256K1", "ECC_NIST_EDWARDS25519", "SM2",
	"ML_DSA_44", "ML_DSA_65", "ML_DSA_87", "ML_KEM_512", "ML_KEM_768", "ML_KEM_1024",
}

func TestUnknownSpec(t *testing.T) {
	for _, s := range []material.Spec{"", "RSA_1024", "rsa_2048", "HMAC_SHA_256"} {
		if s.Known() || s.Usages() != nil || s.Asymmetric() || s.Algorithms("SIGN_VERIFY") != nil {
			t.Errorf("%q is known", s)
		}
	}
}

func TestMaxPlaintext(t *testing.T) {
	for _, c := range []struct {
		spec      material.Spec
		algorithm material.Algorithm
		want      int
	}{ // AWS's limits: LocalStack's recordings of test_encrypt_validate_plaintext_size_per_key_type
		{"RSA_2048", "RSAES_OAEP_SHA_1", 214},
		{"RSA_2048", "RSAES_OAEP_SHA_256", 190},
		{"RSA_3072", "RSAES_OAEP_SHA_1", 342},
		{"RSA_3072", "RSAES_OAEP_SHA_256", 318},
		{"RSA_4096", "RSAES_OAEP_SHA_1", 470},
		{"RSA_4096", "RSAES_OAEP_SHA_256", 446},
		{"SYMMETRIC_DEFAULT", "SYMMETRIC_DEFAULT", 4096},
		{"ECC_NIST_P256", "RSAES_OAEP_SHA_1", 0},
		{"RSA_2048", "SYMMETRIC_DEFAULT", 0},
	} {
		if got := c.spec.MaxPlaintext(c.algorithm); got != c.want {
			t.Errorf("%s with %s: %d bytes, want %d", c.spec, c.algorithm, got, c.want)
		}
	}
}

func TestWhatIsAnsweredIsACopy(t *testing.T) {
	a := material.RSA2048.Algorithms("SIGN_VERIFY")
	slices.Reverse(a)
	if material.RSA2048.Algorithms("SIGN_VERIFY")[0] == a[0] {
		t.Error("the list of algorithms was changed from outside")
	}
}
