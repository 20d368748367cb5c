package material_test

import (
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/material"
)

// specs are all specs whose keys can be made.
var specs = []material.Spec{
	"SYMMETRIC_DEFAULT", "HMAC_224", "HMAC_256", "HMAC_384", "HMAC_512", "RSA_2048", "RSA_3072", "RSA_4096",
	"ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "ECC_SECG_P256K1", "ECC_NIST_EDWARDS25519", "SM2",
	"ML_DSA_44", "ML_DSA_65", "ML_DSA_87", "ML_KEM_512", "ML_KEM_768", "ML_KEM_1024",
}

// The SDK's enums are the list of what there is.
func TestEverythingOfTheSDK(t *testing.T) {
	var want, got []string
	for _, s := range types.KeySpec("").Values() {
		want = append(want, string(s))
	}
	for _, s := range specs {
		got = append(got, string(s))
		if !s.Known() {
			t.Errorf("%s is not known", s)
		}
	}
	same(t, "key specs", got, want)
	for _, p := range types.DataKeyPairSpec("").Values() {
		if !material.Spec(p).Asymmetric() {
			t.Errorf("no pairs of %s", p)
		}
	}
	algorithms := map[material.Usage][]string{}
	for _, s := range specs {
		for _, u := range s.Usages() {
			for _, a := range s.Algorithms(u) {
				if !slices.Contains(algorithms[u], string(a)) {
					algorithms[u] = append(algorithms[u], string(a))
				}
			}
		}
	}
	same(t, "usages", keysOf(algorithms), texts(types.KeyUsageType("").Values()))
	same(t, "signing", algorithms["SIGN_VERIFY"], texts(types.SigningAlgorithmSpec("").Values()))
	same(t, "encryption", algorithms["ENCRYPT_DECRYPT"], texts(types.EncryptionAlgorithmSpec("").Values()))
	same(t, "MAC", algorithms["GENERATE_VERIFY_MAC"], texts(types.MacAlgorithmSpec("").Values()))
	same(t, "agreement", algorithms["KEY_AGREEMENT"], texts(types.KeyAgreementAlgorithmSpec("").Values()))
	same(t, "encapsulation", algorithms["ENCAPSULATE_DECAPSULATE"], texts(types.EncapsulationAlgorithmSpec("").Values()))
}

func texts[S ~string](values []S) (list []string) {
	for _, v := range values {
		list = append(list, string(v))
	}
	return list
}

func keysOf(m map[material.Usage][]string) (list []string) {
	for u := range m {
		list = append(list, string(u))
	}
	return list
}

// same says which words are in one list only.
func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, the SDK has %q", what, got, want)
	}
}

// The order is that of KMS's answers: radkawar/stackd, testdata/aws/kms.
func TestOrderOfAlgorithms(t *testing.T) {
	for _, c := range []struct {
		spec  material.Spec
		usage material.Usage
		want  []material.Algorithm
	}{
		{"RSA_3072", "SIGN_VERIFY", []material.Algorithm{
			"RSASSA_PKCS1_V1_5_SHA_256", "RSASSA_PKCS1_V1_5_SHA_384", "RSASSA_PKCS1_V1_5_SHA_512",
			"RSASSA_PSS_SHA_256", "RSASSA_PSS_SHA_384", "RSASSA_PSS_SHA_512",
		}},
		{"RSA_4096", "ENCRYPT_DECRYPT", []material.Algorithm{"RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"}},
		{"ECC_NIST_EDWARDS25519", "SIGN_VERIFY", []material.Algorithm{"ED25519_PH_SHA_512", "ED25519_SHA_512"}},
		{"ECC_NIST_P384", "SIGN_VERIFY", []material.Algorithm{"ECDSA_SHA_384"}},
		{"ECC_NIST_P521", "KEY_AGREEMENT", []material.Algorithm{"ECDH"}},
		{"ECC_SECG_P256K1", "KEY_AGREEMENT", nil},
		{"ECC_NIST_EDWARDS25519", "KEY_AGREEMENT", nil},
	} {
		if got := c.spec.Algorithms(c.usage); !slices.Equal(got, c.want) {
			t.Errorf("%s, %s: %q", c.spec, c.usage, got)
		}
	}
}

func TestDigestSize(t *testing.T) {
	for a, want := range map[material.Algorithm]int{
		"RSASSA_PSS_SHA_384": 48, "ECDSA_SHA_256": 32, "SM2DSA": 32, "ED25519_PH_SHA_512": 64, "ED25519_SHA_512": 0,
		"ML_DSA_SHAKE_256": 64, "HMAC_SHA_224": 28, "RSAES_OAEP_SHA_256": 0, "": 0,
	} {
		if got := material.DigestSize(a); got != want {
			t.Errorf("%s: %d, want %d", a, got, want)
		}
	}
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
		{"SM2", "SM2PKE", 1024}, // the SDK's documentation of Encrypt
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
