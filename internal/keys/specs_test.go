package keys_test

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // RSAES_OAEP_SHA_1
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"hash"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// A made is a sort of key, and the algorithms that AWS lists for it: recorded
// from AWS, but for SM2 and ML-KEM, of which the API's documentation speaks only.
type made struct {
	sort
	algorithms string
}

const rsaSigning = "RSASSA_PKCS1_V1_5_SHA_256 RSASSA_PKCS1_V1_5_SHA_384 RSASSA_PKCS1_V1_5_SHA_512 RSASSA_PSS_SHA_256 RSASSA_PSS_SHA_384 RSASSA_PSS_SHA_512"

var everySort = []made{
	{sort{"SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"}, "SYMMETRIC_DEFAULT"},
	{sort{"RSA_2048", "ENCRYPT_DECRYPT"}, "RSAES_OAEP_SHA_1 RSAES_OAEP_SHA_256"},
	{sort{"RSA_3072", "ENCRYPT_DECRYPT"}, "RSAES_OAEP_SHA_1 RSAES_OAEP_SHA_256"},
	{sort{"RSA_4096", "ENCRYPT_DECRYPT"}, "RSAES_OAEP_SHA_1 RSAES_OAEP_SHA_256"},
	{sort{"SM2", "ENCRYPT_DECRYPT"}, "SM2PKE"},
	{sort{"RSA_2048", "SIGN_VERIFY"}, rsaSigning},
	{sort{"ECC_NIST_P256", "SIGN_VERIFY"}, "ECDSA_SHA_256"},
	{sort{"ECC_NIST_P384", "SIGN_VERIFY"}, "ECDSA_SHA_384"},
	{sort{"ECC_NIST_P521", "SIGN_VERIFY"}, "ECDSA_SHA_512"},
	{sort{"ECC_SECG_P256K1", "SIGN_VERIFY"}, "ECDSA_SHA_256"},
	{sort{"ECC_NIST_EDWARDS25519", "SIGN_VERIFY"}, "ED25519_PH_SHA_512 ED25519_SHA_512"},
	{sort{"SM2", "SIGN_VERIFY"}, "SM2DSA"},
	{sort{"ML_DSA_44", "SIGN_VERIFY"}, "ML_DSA_SHAKE_256"},
	{sort{"ML_DSA_65", "SIGN_VERIFY"}, "ML_DSA_SHAKE_256"},
	{sort{"ML_DSA_87", "SIGN_VERIFY"}, "ML_DSA_SHAKE_256"},
	{sort{"HMAC_224", "GENERATE_VERIFY_MAC"}, "HMAC_SHA_224"},
	{sort{"HMAC_256", "GENERATE_VERIFY_MAC"}, "HMAC_SHA_256"},
	{sort{"HMAC_384", "GENERATE_VERIFY_MAC"}, "HMAC_SHA_384"},
	{sort{"HMAC_512", "GENERATE_VERIFY_MAC"}, "HMAC_SHA_512"},
	{sort{"ECC_NIST_P256", "KEY_AGREEMENT"}, "ECDH"},
	{sort{"ECC_NIST_P384", "KEY_AGREEMENT"}, "ECDH"},
	{sort{"ECC_NIST_P521", "KEY_AGREEMENT"}, "ECDH"},
	{sort{"SM2", "KEY_AGREEMENT"}, "ECDH"},
	{sort{"ML_KEM_512", "ENCAPSULATE_DECAPSULATE"}, "ML_KEM"},
	{sort{"ML_KEM_768", "ENCAPSULATE_DECAPSULATE"}, "ML_KEM"},
	{sort{"ML_KEM_1024", "ENCAPSULATE_DECAPSULATE"}, "ML_KEM"},
}

// Every sort of key is made, described as AWS describes it, and does with each of
// its algorithms what it is for; and so it does after a restart.
func TestEverySort(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	for _, s := range everySort {
		t.Run(fmt.Sprintf("%s %s", s.spec, s.usage), func(t *testing.T) {
			key := ann.again().sortOf(s.sort)
			w.restart()
			u := user{person: ann.again(), t: t, key: key, made: s}
			u.checkMetadata()
			u.checkPublic()
			for _, a := range strings.Fields(s.algorithms) {
				switch s.usage {
				case "ENCRYPT_DECRYPT":
					u.encrypts(types.EncryptionAlgorithmSpec(a))
				case "SIGN_VERIFY":
					u.signs(types.SigningAlgorithmSpec(a))
				case "GENERATE_VERIFY_MAC":
					u.authenticates(types.MacAlgorithmSpec(a))
				case "KEY_AGREEMENT":
					u.agrees()
				default:
					u.conceals()
				}
			}
		})
	}
}

// A user uses a key.
type user struct {
	*person
	made

	t      *testing.T
	key    *string
	public []byte
}

func (u *user) checkMetadata() {
	u.t.Helper()
	m := must(u.DescribeKey(u.t.Context(), &kms.DescribeKeyInput{KeyId: u.key}))(u.t).KeyMetadata
	var algorithms []string
	for _, a := range m.EncryptionAlgorithms {
		algorithms = append(algorithms, string(a))
	}
	for _, a := range m.SigningAlgorithms {
		algorithms = append(algorithms, string(a))
	}
	for _, a := range m.MacAlgorithms {
		algorithms = append(algorithms, string(a))
	}
	for _, a := range m.KeyAgreementAlgorithms {
		algorithms = append(algorithms, string(a))
	}
	for _, a := range m.EncapsulationAlgorithms {
		algorithms = append(algorithms, string(a))
	}
	if strings.Join(algorithms, " ") != u.algorithms || m.KeySpec != u.spec || m.KeyUsage != u.usage || string(m.CustomerMasterKeySpec) != string(u.spec) || //nolint:staticcheck // old clients read it
		!m.Enabled || (m.CurrentKeyMaterialId != nil) != (u.spec == "SYMMETRIC_DEFAULT") {
		u.t.Errorf("%q, %+v", algorithms, m)
	}
}

// checkPublic gets the public key, if there is one, and reads it with the
// standard library, if that can.
func (u *user) checkPublic() {
	u.t.Helper()
	out, err := u.GetPublicKey(u.t.Context(), &kms.GetPublicKeyInput{KeyId: u.key})
	if u.spec == "SYMMETRIC_DEFAULT" || u.usage == "GENERATE_VERIFY_MAC" {
		if said(err) != "UnsupportedOperationException" {
			u.t.Errorf("GetPublicKey: %v", err)
		}
		return
	}
	if err != nil {
		u.t.Fatal(err)
	}
	u.public = out.PublicKey
	if *out.KeyId != *u.key || out.KeySpec != u.spec || out.KeyUsage != u.usage || len(out.PublicKey) == 0 {
		u.t.Errorf("%+v", out)
	}
}

// bits are the bare bytes of the public key.
func (u *user) bits() []byte {
	u.t.Helper()
	var info struct {
		Algorithm asn1.RawValue
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(u.public, &info); err != nil {
		u.t.Fatal(err)
	}
	return info.Key.Bytes
}

func (u *user) encrypts(a types.EncryptionAlgorithmSpec) {
	u.t.Helper()
	ctx, message := u.t.Context(), []byte("for your eyes only")
	e := must(u.Encrypt(ctx, &kms.EncryptInput{KeyId: u.key, Plaintext: message, EncryptionAlgorithm: a}))(u.t)
	if e.EncryptionAlgorithm != a || *e.KeyId != *u.key {
		u.t.Errorf("%+v", e)
	}
	decrypts := func(blob []byte) {
		u.t.Helper()
		d := must(u.Decrypt(ctx, &kms.DecryptInput{KeyId: u.key, CiphertextBlob: blob, EncryptionAlgorithm: a}))(u.t)
		if !bytes.Equal(d.Plaintext, message) || d.EncryptionAlgorithm != a || *d.KeyId != *u.key || (d.KeyMaterialId != nil) != (u.spec == "SYMMETRIC_DEFAULT") {
			u.t.Errorf("%+v", d)
		}
	}
	decrypts(e.CiphertextBlob)
	bad := bytes.Clone(e.CiphertextBlob)
	bad[len(bad)-1] ^= 1
	_, err := u.Decrypt(ctx, &kms.DecryptInput{KeyId: u.key, CiphertextBlob: bad, EncryptionAlgorithm: a, DryRun: new(true)})
	u.mayNot("decrypt what was changed, dry or not", "InvalidCiphertextException", err)
	if strings.HasPrefix(string(u.spec), "RSA") {
		public := must(x509.ParsePKIXPublicKey(u.public))(u.t).(*rsa.PublicKey)
		h := map[types.EncryptionAlgorithmSpec]func() hash.Hash{"RSAES_OAEP_SHA_1": sha1.New, "RSAES_OAEP_SHA_256": sha256.New}[a]
		decrypts(must(rsa.EncryptOAEP(h(), rand.Reader, public, message, nil))(u.t))
	}
}

func (u *user) signs(a types.SigningAlgorithmSpec) {
	u.t.Helper()
	ctx, message := u.t.Context(), []byte("to whom it may concern")
	kinds := []types.MessageType{"", "RAW", "DIGEST"}
	switch {
	case a == "ED25519_SHA_512":
		kinds = kinds[:2]
	case a == "ED25519_PH_SHA_512":
		kinds = kinds[2:]
	case a == "ML_DSA_SHAKE_256":
		kinds = []types.MessageType{"", "RAW", "EXTERNAL_MU"}
	}
	for _, kind := range kinds {
		what := message
		if kind == "DIGEST" || kind == "EXTERNAL_MU" {
			what = bytes.Repeat([]byte{7}, map[bool]int{true: 32, false: 64}[strings.HasSuffix(string(a), "256") && kind == "DIGEST" || a == "SM2DSA"])
			if strings.HasSuffix(string(a), "384") {
				what = what[:48]
			}
		}
		s := must(u.Sign(ctx, &kms.SignInput{KeyId: u.key, Message: what, MessageType: kind, SigningAlgorithm: a}))(u.t)
		v := must(u.Verify(ctx, &kms.VerifyInput{KeyId: u.key, Message: what, MessageType: kind, SigningAlgorithm: a, Signature: s.Signature}))(u.t)
		if !v.SignatureValid || v.SigningAlgorithm != a || s.SigningAlgorithm != a || *s.KeyId != *u.key || *v.KeyId != *u.key {
			u.t.Errorf("%+v\n%+v", s, v)
		}
		if !u.verified(a, kind, what, s.Signature) {
			u.t.Errorf("the standard library does not verify %s of %q", a, kind)
		}
		for _, dry := range []bool{false, true} {
			_, err := u.Verify(ctx, &kms.VerifyInput{
				KeyId: u.key, Message: append([]byte{1}, what[1:]...), MessageType: kind, SigningAlgorithm: a, Signature: s.Signature, DryRun: &dry,
			})
			u.mayNot("have another message verified", "KMSInvalidSignatureException", err)
		}
	}
}

// verified is what the standard library says of a signature, or true if it does
// not know the algorithm.
func (u *user) verified(a types.SigningAlgorithmSpec, kind types.MessageType, message, signature []byte) bool {
	public, err := x509.ParsePKIXPublicKey(u.public)
	if err != nil || !slices.Contains([]string{"RSA_2048", "ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "ECC_NIST_EDWARDS25519"}, string(u.spec)) {
		return true
	}
	h := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[string(a[len(a)-3:])]
	digest := message
	if kind != "DIGEST" {
		x := h.New()
		x.Write(message)
		digest = x.Sum(nil)
	}
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(k, digest, signature)
	case ed25519.PublicKey:
		if a == "ED25519_SHA_512" {
			return ed25519.Verify(k, message, signature)
		}
		twice := sha512.Sum512(message) // KMS hashes the digest once more
		return ed25519.VerifyWithOptions(k, twice[:], signature, &ed25519.Options{Hash: crypto.SHA512}) == nil
	case *rsa.PublicKey:
		if strings.Contains(string(a), "PSS") {
			return rsa.VerifyPSS(k, h, digest, signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		}
		return rsa.VerifyPKCS1v15(k, h, digest, signature) == nil
	}
	return false
}

func (u *user) authenticates(a types.MacAlgorithmSpec) {
	u.t.Helper()
	ctx, message := u.t.Context(), bytes.Repeat([]byte("m"), 4096)
	one := must(u.GenerateMac(ctx, &kms.GenerateMacInput{KeyId: u.key, Message: message, MacAlgorithm: a}))(u.t)
	two := must(u.GenerateMac(ctx, &kms.GenerateMacInput{KeyId: u.key, Message: message, MacAlgorithm: a}))(u.t)
	size := map[types.MacAlgorithmSpec]int{"HMAC_SHA_224": 28, "HMAC_SHA_256": 32, "HMAC_SHA_384": 48, "HMAC_SHA_512": 64}[a]
	if !bytes.Equal(one.Mac, two.Mac) || len(one.Mac) != size || one.MacAlgorithm != a || *one.KeyId != *u.key {
		u.t.Errorf("%+v\n%+v", one, two)
	}
	verify := func(mac []byte, dry bool) error {
		_, err := u.VerifyMac(ctx, &kms.VerifyMacInput{KeyId: u.key, Message: message, MacAlgorithm: a, Mac: mac, DryRun: &dry})
		return err
	}
	v := must(u.VerifyMac(ctx, &kms.VerifyMacInput{KeyId: u.key, Message: message, MacAlgorithm: a, Mac: one.Mac}))(u.t)
	if !v.MacValid || v.MacAlgorithm != a || *v.KeyId != *u.key {
		u.t.Errorf("%+v", v)
	}
	u.mayNot("run dry", "DryRunOperationException", verify(one.Mac, true))
	u.mayNot("have another MAC verified", "KMSInvalidMacException", verify(make([]byte, size), false))
	u.mayNot("have a short MAC verified, dry", "KMSInvalidMacException", verify(one.Mac[1:], true))
}

func (u *user) agrees() {
	u.t.Helper()
	ctx := u.t.Context()
	other := u.sortOf(u.sort)
	public := must(u.GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: other}))(u.t).PublicKey
	derive := func(key *string, public []byte) *kms.DeriveSharedSecretOutput {
		return must(u.DeriveSharedSecret(ctx, &kms.DeriveSharedSecretInput{KeyId: key, PublicKey: public, KeyAgreementAlgorithm: "ECDH"}))(u.t)
	}
	here, there := derive(u.key, public), derive(other, u.public)
	if !bytes.Equal(here.SharedSecret, there.SharedSecret) || here.KeyOrigin != "AWS_KMS" || here.KeyAgreementAlgorithm != "ECDH" || *here.KeyId != *u.key {
		u.t.Errorf("%+v\n%+v", here, there)
	}
	curve := map[types.KeySpec]ecdh.Curve{"ECC_NIST_P256": ecdh.P256(), "ECC_NIST_P384": ecdh.P384(), "ECC_NIST_P521": ecdh.P521()}[u.spec]
	if curve == nil {
		return
	}
	mine := must(curve.GenerateKey(rand.Reader))(u.t)
	want := must(mine.ECDH(must(curve.NewPublicKey(u.bits()))(u.t)))(u.t)
	if got := derive(u.key, must(x509.MarshalPKIXPublicKey(mine.PublicKey()))(u.t)).SharedSecret; !bytes.Equal(got, want) {
		u.t.Errorf("the standard library derives another secret of %d bytes", len(want))
	}
	for what, public := range map[string][]byte{
		"no key": []byte("x"), "another curve": must(x509.MarshalPKIXPublicKey(must(ecdh.X25519().GenerateKey(rand.Reader))(u.t).PublicKey()))(u.t),
	} {
		for _, dry := range []bool{false, true} {
			_, err := u.DeriveSharedSecret(ctx, &kms.DeriveSharedSecretInput{KeyId: u.key, PublicKey: public, KeyAgreementAlgorithm: "ECDH", DryRun: &dry})
			u.mayNot("agree with "+what, "ValidationException", err)
		}
	}
}

func (u *user) conceals() {
	u.t.Helper()
	ctx := u.t.Context()
	e := must(u.Encapsulate(ctx, &kms.EncapsulateInput{KeyId: u.key, EncapsulationAlgorithm: "ML_KEM"}))(u.t)
	reveal := func(blob []byte) []byte {
		d := must(u.Decapsulate(ctx, &kms.DecapsulateInput{KeyId: u.key, EncapsulationAlgorithm: "ML_KEM", SharedSecretCiphertextBlob: blob}))(u.t)
		if d.EncapsulationAlgorithm != "ML_KEM" || *d.KeyId != *u.key {
			u.t.Errorf("%+v", d)
		}
		return d.SharedSecret
	}
	if len(e.SharedSecret) != 32 || e.EncapsulationAlgorithm != "ML_KEM" || *e.KeyId != *u.key || !bytes.Equal(reveal(e.SharedSecretCiphertextBlob), e.SharedSecret) {
		u.t.Errorf("%+v", e)
	}
	bad := bytes.Clone(e.SharedSecretCiphertextBlob)
	bad[0] ^= 1
	if bytes.Equal(reveal(bad), e.SharedSecret) {
		u.t.Error("a changed ciphertext gives the same secret")
	}
	_, err := u.Decapsulate(ctx, &kms.DecapsulateInput{KeyId: u.key, EncapsulationAlgorithm: "ML_KEM", SharedSecretCiphertextBlob: bad[1:]})
	u.mayNot("decapsulate half a ciphertext", "InvalidCiphertextException", err)
	var secret, blob []byte
	switch u.spec {
	case "ML_KEM_768":
		secret, blob = must(mlkem.NewEncapsulationKey768(u.bits()))(u.t).Encapsulate()
	case "ML_KEM_1024":
		secret, blob = must(mlkem.NewEncapsulationKey1024(u.bits()))(u.t).Encapsulate()
	default:
		return
	}
	if !bytes.Equal(reveal(blob), secret) {
		u.t.Error("what the standard library encapsulates comes out different")
	}
}

// Data key pairs of every spec: the private key opens under its context, and is
// the public one's.
func TestDataKeyPairs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	ctx, key, context := t.Context(), ann.key(), map[string]string{"for": "the night"}
	for _, spec := range types.DataKeyPairSpec("").Values() {
		t.Run(string(spec), func(t *testing.T) {
			out := must(ann.GenerateDataKeyPair(ctx, &kms.GenerateDataKeyPairInput{KeyId: key, KeyPairSpec: spec, EncryptionContext: context}))(t)
			if *out.KeyId != *key || out.KeyPairSpec != spec || out.KeyMaterialId == nil || !samePair(t, out.PrivateKeyPlaintext, out.PublicKey) {
				t.Errorf("%+v", out)
			}
			d := must(ann.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: out.PrivateKeyCiphertextBlob, EncryptionContext: context}))(t)
			if !bytes.Equal(d.Plaintext, out.PrivateKeyPlaintext) {
				t.Error("the sealed private key is another")
			}
			_, err := ann.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: out.PrivateKeyCiphertextBlob})
			ann.mayNot("open it without the context", "InvalidCiphertextException", err)
			if strings.HasPrefix(string(spec), "RSA") {
				return // the rest is the same, and takes its time
			}
			w := must(ann.GenerateDataKeyPairWithoutPlaintext(ctx, &kms.GenerateDataKeyPairWithoutPlaintextInput{KeyId: key, KeyPairSpec: spec}))(t)
			d = must(ann.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: w.PrivateKeyCiphertextBlob}))(t)
			if *w.KeyId != *key || w.KeyPairSpec != spec || w.KeyMaterialId == nil || !samePair(t, d.Plaintext, w.PublicKey) {
				t.Errorf("%+v", w)
			}
		})
	}
}

// samePair says whether a private key, PKCS #8, is that of a public one, as far
// as the standard library can read them.
func samePair(t *testing.T, private, public []byte) bool {
	t.Helper()
	k, err := x509.ParsePKCS8PrivateKey(private)
	if err != nil {
		var info struct {
			Version   int
			Algorithm asn1.RawValue
			Key       []byte
		}
		rest, err := asn1.Unmarshal(private, &info)
		return err == nil && len(rest) == 0
	}
	of, ok := k.(interface{ Public() crypto.PublicKey })
	if !ok {
		return false
	}
	return bytes.Equal(must(x509.MarshalPKIXPublicKey(of.Public()))(t), public)
}

// Keys in custom key stores seal no key pairs, whatever their store.
func TestDataKeyPairsOfStoreKeys(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	h := ann.create(hsmStore("hsm", "cluster-1a2b3c4d5e6"))
	ann.connect(h)
	key := must(ann.keyIn(h, ""))(t).Arn
	_, err := ann.GenerateDataKeyPair(t.Context(), &kms.GenerateDataKeyPairInput{KeyId: key, KeyPairSpec: "ECC_NIST_P256"})
	ann.mayNot("make a pair", "UnsupportedOperationException: "+*key+" origin is AWS_CLOUDHSM which is not valid for this operation.", err)
}
