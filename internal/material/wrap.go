package material

import (
	"borealis/internal/seal"

	"github.com/tink-crypto/tink-go/v2/kwp/subtle"
)

// Unwrap opens key material that was wrapped for an import under the public key
// of wrapping:
//
//   - RSAES_OAEP_SHA_1 and RSAES_OAEP_SHA_256: RSA-OAEP of the material;
//   - RSA_AES_KEY_WRAP_SHA_1 and RSA_AES_KEY_WRAP_SHA_256: RSA-OAEP of an AES-256
//     key, and after it the material under that key with the key wrap with
//     padding of RFC 5649;
//   - SM2PKE: as Decrypt.
//
// It answers ErrCiphertext whatever is wrong with wrapped, and ErrAlgorithm for
// a key that does not unwrap with a. RSAES_PKCS1_V1_5 is ErrAlgorithm with every
// key: AWS wraps nothing with it any more.
func Unwrap(wrapping *Key, a Algorithm, wrapped []byte) (seal.Plaintext, error) {
	k, isRSA := wrapping.impl.(rsaKey)
	if a != AESKeyWrapSHA1 && a != AESKeyWrapSHA256 {
		return wrapping.Decrypt(a, wrapped)
	}
	if !isRSA {
		return nil, ErrAlgorithm
	}
	if len(wrapped) < k.Size() {
		return nil, ErrCiphertext
	}
	key, err := k.decrypt(a, wrapped[:k.Size()])
	if err != nil || len(key) != seal.KeySize {
		return nil, ErrCiphertext
	}
	defer seal.Wipe(key)
	return unwrapAES(key, wrapped[k.Size():])
}

// unwrapAES is the key unwrap with padding of RFC 5649.
func unwrapAES(key, wrapped []byte) (seal.Plaintext, error) {
	kwp, err := subtle.NewKWP(key)
	if err != nil {
		return nil, ErrCiphertext
	}
	material, err := kwp.Unwrap(wrapped)
	if err != nil {
		return nil, ErrCiphertext
	}
	return material, nil
}
