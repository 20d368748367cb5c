package material

import (
	"crypto"
	"slices"
)

// A Spec is a kind of key material, spelled as KMS spells key specs. What is
// not one of the constants is unknown, and has no usages and no algorithms.
type Spec string

// The key specs of KMS.
const (
	SymmetricDefault Spec = "SYMMETRIC_DEFAULT"
	RSA2048          Spec = "RSA_2048"
	RSA3072          Spec = "RSA_3072"
	RSA4096          Spec = "RSA_4096"
	P256             Spec = "ECC_NIST_P256"
	P384             Spec = "ECC_NIST_P384"
	P521             Spec = "ECC_NIST_P521"
	Secp256k1        Spec = "ECC_SECG_P256K1"
	Ed25519          Spec = "ECC_NIST_EDWARDS25519"
	HMAC224          Spec = "HMAC_224"
	HMAC256          Spec = "HMAC_256"
	HMAC384          Spec = "HMAC_384"
	HMAC512          Spec = "HMAC_512"
	SM2              Spec = "SM2"
	MLDSA44          Spec = "ML_DSA_44"
	MLDSA65          Spec = "ML_DSA_65"
	MLDSA87          Spec = "ML_DSA_87"
	MLKEM512         Spec = "ML_KEM_512"
	MLKEM768         Spec = "ML_KEM_768"
	MLKEM1024        Spec = "ML_KEM_1024"
)

// A Usage is what a key is for, spelled as KMS spells key usages. A KMS key has
// one; its spec may allow several.
type Usage string

// The key usages of KMS.
const (
	SignVerify             Usage = "SIGN_VERIFY"
	EncryptDecrypt         Usage = "ENCRYPT_DECRYPT"
	GenerateVerifyMAC      Usage = "GENERATE_VERIFY_MAC"
	KeyAgreement           Usage = "KEY_AGREEMENT"
	EncapsulateDecapsulate Usage = "ENCAPSULATE_DECAPSULATE"
)

// An Algorithm is spelled as KMS spells the algorithms of encryption, signing,
// message authentication, key agreement, key encapsulation and key wrapping.
type Algorithm string

// The algorithms of KMS. AlgorithmSymmetric is AES-256-GCM, and its ciphertexts
// are laid out by whoever uses the key's Secret.
const (
	AlgorithmSymmetric Algorithm = "SYMMETRIC_DEFAULT"
	OAEPSHA1           Algorithm = "RSAES_OAEP_SHA_1"
	OAEPSHA256         Algorithm = "RSAES_OAEP_SHA_256"
	SM2PKE             Algorithm = "SM2PKE"
	PKCS1SHA256        Algorithm = "RSASSA_PKCS1_V1_5_SHA_256"
	PKCS1SHA384        Algorithm = "RSASSA_PKCS1_V1_5_SHA_384"
	PKCS1SHA512        Algorithm = "RSASSA_PKCS1_V1_5_SHA_512"
	PSSSHA256          Algorithm = "RSASSA_PSS_SHA_256"
	PSSSHA384          Algorithm = "RSASSA_PSS_SHA_384"
	PSSSHA512          Algorithm = "RSASSA_PSS_SHA_512"
	ECDSASHA256        Algorithm = "ECDSA_SHA_256"
	ECDSASHA384        Algorithm = "ECDSA_SHA_384"
	ECDSASHA512        Algorithm = "ECDSA_SHA_512"
	Ed25519SHA512      Algorithm = "ED25519_SHA_512"
	Ed25519PHSHA512    Algorithm = "ED25519_PH_SHA_512"
	SM2DSA             Algorithm = "SM2DSA"
	MLDSASHAKE256      Algorithm = "ML_DSA_SHAKE_256"
	HMACSHA224         Algorithm = "HMAC_SHA_224"
	HMACSHA256         Algorithm = "HMAC_SHA_256"
	HMACSHA384         Algorithm = "HMAC_SHA_384"
	HMACSHA512         Algorithm = "HMAC_SHA_512"
	ECDH               Algorithm = "ECDH"
	MLKEM              Algorithm = "ML_KEM"

	// For imports only, see Unwrap.
	RSAESPKCS1       Algorithm = "RSAES_PKCS1_V1_5"
	AESKeyWrapSHA1   Algorithm = "RSA_AES_KEY_WRAP_SHA_1"
	AESKeyWrapSHA256 Algorithm = "RSA_AES_KEY_WRAP_SHA_256"
)

// A MessageType says what is signed: a message, its digest, or the
// representative mu of ML-DSA. The empty one means Raw.
type MessageType string

// The message types of KMS.
const (
	Raw        MessageType = "RAW"
	Digest     MessageType = "DIGEST"
	ExternalMu MessageType = "EXTERNAL_MU"
)

// A use is a usage and the algorithms that go with it.
type use struct {
	usage      Usage
	algorithms []Algorithm
}

// A kind is what there is to know about a spec.
type kind struct {
	family family
	size   int // of the secret: bits of an RSA modulus, otherwise bytes
	uses   []use
	types  []MessageType
}

// A family makes and reads the keys of some specs.
type family interface {
	// generate returns the encoding of a new key.
	generate(Spec) ([]byte, error)
	// load reads an encoding; whatever is wrong with it, the answer is false.
	load(Spec, []byte) (any, bool)
}

func sign(algorithms ...Algorithm) use    { return use{SignVerify, algorithms} }
func encrypt(algorithms ...Algorithm) use { return use{EncryptDecrypt, algorithms} }
func mac(algorithm Algorithm) use         { return use{GenerateVerifyMAC, []Algorithm{algorithm}} }

var (
	agree       = use{KeyAgreement, []Algorithm{ECDH}}
	encapsulate = use{EncapsulateDecapsulate, []Algorithm{MLKEM}}

	rsaSign    = sign(PKCS1SHA256, PKCS1SHA384, PKCS1SHA512, PSSSHA256, PSSSHA384, PSSSHA512)
	rsaEncrypt = encrypt(OAEPSHA1, OAEPSHA256)

	rawOrDigest = []MessageType{Raw, Digest}
	rawOrMu     = []MessageType{Raw, ExternalMu}
)

// kinds are all specs. Usages and algorithms are in the order of KMS's answers.
var kinds = map[Spec]kind{
	SymmetricDefault: {secretFamily{}, 32, []use{encrypt(AlgorithmSymmetric)}, nil},
	HMAC224:          {secretFamily{}, 28, []use{mac(HMACSHA224)}, nil},
	HMAC256:          {secretFamily{}, 32, []use{mac(HMACSHA256)}, nil},
	HMAC384:          {secretFamily{}, 48, []use{mac(HMACSHA384)}, nil},
	HMAC512:          {secretFamily{}, 64, []use{mac(HMACSHA512)}, nil},
	RSA2048:          {rsaFamily{}, 2048, []use{rsaSign, rsaEncrypt}, rawOrDigest},
	RSA3072:          {rsaFamily{}, 3072, []use{rsaSign, rsaEncrypt}, rawOrDigest},
	RSA4096:          {rsaFamily{}, 4096, []use{rsaSign, rsaEncrypt}, rawOrDigest},
	P256:             {nistFamily{}, 32, []use{sign(ECDSASHA256), agree}, rawOrDigest},
	P384:             {nistFamily{}, 48, []use{sign(ECDSASHA384), agree}, rawOrDigest},
	P521:             {nistFamily{}, 66, []use{sign(ECDSASHA512), agree}, rawOrDigest},
	Secp256k1:        {secp256k1Family{}, 32, []use{sign(ECDSASHA256)}, rawOrDigest},
	Ed25519:          {ed25519Family{}, 32, []use{sign(Ed25519PHSHA512, Ed25519SHA512)}, rawOrDigest},
	SM2:              {sm2Family{}, 32, []use{sign(SM2DSA), encrypt(SM2PKE), agree}, rawOrDigest},
	MLDSA44:          {mldsaFamily{}, 32, []use{sign(MLDSASHAKE256)}, rawOrMu},
	MLDSA65:          {mldsaFamily{}, 32, []use{sign(MLDSASHAKE256)}, rawOrMu},
	MLDSA87:          {mldsaFamily{}, 32, []use{sign(MLDSASHAKE256)}, rawOrMu},
	MLKEM512:         {mlkemFamily{}, 64, []use{encapsulate}, nil},
	MLKEM768:         {mlkemFamily{}, 64, []use{encapsulate}, nil},
	MLKEM1024:        {mlkemFamily{}, 64, []use{encapsulate}, nil},
}

// Known says whether s is one of KMS's specs.
func (s Spec) Known() bool { return kinds[s].family != nil }

// Usages are those that a key of this spec may have, in KMS's order.
func (s Spec) Usages() []Usage {
	var usages []Usage
	for _, u := range kinds[s].uses {
		usages = append(usages, u.usage)
	}
	return usages
}

// Algorithms are those of a key of this spec and usage, in the order in which
// KMS lists them: none if the two do not go together.
func (s Spec) Algorithms(usage Usage) []Algorithm {
	for _, u := range kinds[s].uses {
		if u.usage == usage {
			return slices.Clone(u.algorithms)
		}
	}
	return nil
}

// has is whether a is one of the algorithms of s, used for usage.
func (s Spec) has(usage Usage, a Algorithm) bool {
	return slices.ContainsFunc(kinds[s].uses, func(u use) bool {
		return u.usage == usage && slices.Contains(u.algorithms, a)
	})
}

// MessageTypes are those that keys of this spec sign, each with at least one of
// their algorithms.
func (s Spec) MessageTypes() []MessageType { return slices.Clone(kinds[s].types) }

// Asymmetric says whether keys of this spec have a public half.
func (s Spec) Asymmetric() bool {
	_, secret := kinds[s].family.(secretFamily)
	return s.Known() && !secret
}

// MaxPlaintext is how many bytes a key of this spec encrypts with a; 0 if it
// does not encrypt with a.
func (s Spec) MaxPlaintext(a Algorithm) int {
	if !s.has(EncryptDecrypt, a) {
		return 0
	}
	switch a {
	case OAEPSHA1, OAEPSHA256: // RFC 8017, section 7.1.1
		return kinds[s].size/8 - 2*hashes[a].Size() - 2
	case SM2PKE:
		return maxSM2
	}
	return maxSymmetric
}

// What KMS encrypts at once, in bytes.
const (
	maxSymmetric = 4096
	maxSM2       = 1024
)

// hashes are the hash functions of algorithms that take a digest or make a MAC.
var hashes = map[Algorithm]crypto.Hash{
	OAEPSHA1:         crypto.SHA1,
	OAEPSHA256:       crypto.SHA256,
	AESKeyWrapSHA1:   crypto.SHA1,
	AESKeyWrapSHA256: crypto.SHA256,
	PKCS1SHA256:      crypto.SHA256,
	PKCS1SHA384:      crypto.SHA384,
	PKCS1SHA512:      crypto.SHA512,
	PSSSHA256:        crypto.SHA256,
	PSSSHA384:        crypto.SHA384,
	PSSSHA512:        crypto.SHA512,
	ECDSASHA256:      crypto.SHA256,
	ECDSASHA384:      crypto.SHA384,
	ECDSASHA512:      crypto.SHA512,
	Ed25519PHSHA512:  crypto.SHA512,
	HMACSHA224:       crypto.SHA224,
	HMACSHA256:       crypto.SHA256,
	HMACSHA384:       crypto.SHA384,
	HMACSHA512:       crypto.SHA512,
}

// DigestSize is the length, in bytes, of what a signing algorithm takes as
// Digest or ExternalMu, or of the MACs of a MAC algorithm. It is 0 for other
// algorithms, and for those that sign messages only.
func DigestSize(a Algorithm) int {
	switch a {
	case OAEPSHA1, OAEPSHA256, AESKeyWrapSHA1, AESKeyWrapSHA256:
		return 0
	case SM2DSA:
		return sm3Size
	case MLDSASHAKE256:
		return muSize
	}
	if h, ok := hashes[a]; ok {
		return h.Size()
	}
	return 0
}

const (
	sm3Size = 32
	muSize  = 64
)
