// Package material is key material: how the material of every key spec is made,
// kept, imported and used. It does no I/O and knows no keys but those that it
// is given; what a caller may do with them is decided elsewhere.
//
// # Encoding
//
// Material is kept as bytes. Symmetric keys and HMAC keys are their own bytes.
// The private keys of pairs are PKCS #8 in DER (RFC 5208 and RFC 5958): RSA as in
// RFC 8017, elliptic curves with the curve named as in RFC 5915 and RFC 5480,
// Ed25519 as in RFC 8410, ML-DSA and ML-KEM as seeds as in RFC 9881 and RFC 9935,
// SM2 as in GM/T 0006. Public keys are SubjectPublicKeyInfo in DER.
package material

import (
	"bytes"
	"context"
	"crypto"
	"crypto/hmac"
	_ "crypto/sha1"   // RSAES_OAEP_SHA_1
	_ "crypto/sha256" // crypto.SHA256.New
	_ "crypto/sha512" // crypto.SHA512.New
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"borealis/internal/seal"
)

// What can be wrong with a request. Errors say nothing about keys or messages,
// and those about ciphertexts and signatures do not say why.
var (
	ErrEncoding    = errors.New("key material is not the encoding of a valid key of its spec")
	ErrAlgorithm   = errors.New("algorithm is not one of the key spec's for this use")
	ErrMessageType = errors.New("message type does not go with the algorithm")
	ErrDigest      = errors.New("digest has not the length that the algorithm takes")
	ErrTooLong     = errors.New("plaintext is longer than the key encrypts")
	ErrSignature   = errors.New("signature is not the key's of this message")
	ErrCiphertext  = errors.New("ciphertext does not decrypt")
	ErrPublicKey   = errors.New("public key is not a valid key on the key's curve")
)

// A Key is key material that is ready for use. It does not change, and may be
// used by many goroutines at once until it is wiped. Printing one says REDACTED.
//
// Its methods answer ErrAlgorithm if the spec does not do what is asked with the
// algorithm that is named. They do not know which of the spec's usages the key
// was made for.
type Key struct {
	spec Spec
	impl any // what it can do: secret, signer, decrypter, agreer, encapsulator, pair
}

// What a key of some family can do. Algorithms and message types have been
// checked, and digests have the right length.
type (
	pair interface {
		public() ([]byte, error)
		encoding() ([]byte, error)
	}
	signer interface {
		sign(a Algorithm, t MessageType, message []byte) ([]byte, error)
		verify(a Algorithm, t MessageType, message, signature []byte) bool
	}
	decrypter interface {
		encrypt(a Algorithm, plaintext []byte) ([]byte, error)
		decrypt(a Algorithm, ciphertext []byte) ([]byte, error)
	}
	agreer interface {
		agree(public []byte) ([]byte, error)
	}
	encapsulator interface {
		encapsulate() (ciphertext, shared []byte)
		decapsulate(ciphertext []byte) ([]byte, error)
	}
	wiper interface {
		wipe()
	}
)

// Generate returns the encoding of a new key. It waits for its turn while other
// RSA keys are made, until ctx is done; a key that is being made is finished.
// The error is that of ctx, or ErrEncoding for an unknown spec.
func Generate(ctx context.Context, s Spec) (seal.Plaintext, error) {
	k, known := kinds[s]
	if !known {
		return nil, fmt.Errorf("generate %q: %w", s, ErrEncoding)
	}
	if _, slow := k.family.(rsaFamily); slow {
		select {
		case rsaSlots <- struct{}{}:
			defer func() { <-rsaSlots }()
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	encoded, err := k.family.generate(s)
	if err != nil {
		return nil, fmt.Errorf("generate %s: %w", s, err)
	}
	return encoded, nil
}

// Load reads an encoding. It answers ErrEncoding unless it is the encoding of a
// valid key of exactly this spec, with nothing after it: a key of another size or
// curve, an RSA key whose parts do not belong together, a public key that is not
// the private key's, are none. It keeps no reference to encoded. For RSA it takes
// milliseconds, as its primes are tested: keep the Key rather than load it again.
func Load(s Spec, encoded []byte) (*Key, error) {
	k, known := kinds[s]
	if !known {
		return nil, ErrEncoding
	}
	impl, ok := k.family.load(s, encoded)
	if !ok {
		return nil, ErrEncoding
	}
	return &Key{spec: s, impl: impl}, nil
}

const redacted = "REDACTED"

// String keeps the key out of messages.
func (*Key) String() string { return redacted }

// Format keeps it out of messages whatever the verb.
func (*Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue keeps it out of logs.
func (*Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText refuses, so that no encoder writes it.
func (*Key) MarshalText() ([]byte, error) { return nil, errors.New("key kept back") }

// Spec is what kind of key it is.
func (k *Key) Spec() Spec { return k.spec }

// Wipe overwrites the secret as far as it can be reached: symmetric, HMAC and
// Ed25519 keys wholly, others only in part. The key is of no use
// afterwards; no other call may be under way.
func (k *Key) Wipe() {
	if w, ok := k.impl.(wiper); ok {
		w.wipe()
	}
}

// Secret is the bytes of a symmetric or HMAC key, not a copy: Wipe wipes them.
// It is nil for other keys.
func (k *Key) Secret() seal.Plaintext {
	s, _ := k.impl.(secret)
	return seal.Plaintext(s)
}

// Encoding returns the encoding of the key, a copy. It is the same for every
// encoding that Load reads the same key from.
func (k *Key) Encoding() (seal.Plaintext, error) {
	if s, ok := k.impl.(secret); ok {
		return slices.Clone(seal.Plaintext(s)), nil
	}
	return k.impl.(pair).encoding()
}

// Public returns the public key of a pair, SubjectPublicKeyInfo in DER.
// ErrAlgorithm if the key is not a pair.
func (k *Key) Public() ([]byte, error) {
	p, ok := k.impl.(pair)
	if !ok {
		return nil, ErrAlgorithm
	}
	return p.public()
}

// Sign signs a message, its digest, or its representative. Signatures are as
// KMS gives them: ECDSA and SM2 in DER, everything else as bare bytes; only those
// of PKCS #1 v1.5 and Ed25519 are the same each time. It answers ErrMessageType
// if the algorithm does not sign what t says, ErrDigest if a digest has the
// wrong length.
func (k *Key) Sign(a Algorithm, t MessageType, message []byte) ([]byte, error) {
	s, t, err := k.signer(a, t, message)
	if err != nil {
		return nil, err
	}
	return s.sign(a, t, message)
}

// Verify checks what Sign returns, and answers ErrSignature if it is not the
// signature of this message. Other spellings of a signature are not one: DER
// must be minimal, the salt of PSS as long as the digest.
func (k *Key) Verify(a Algorithm, t MessageType, message, signature []byte) error {
	s, t, err := k.signer(a, t, message)
	if err != nil {
		return err
	}
	if !s.verify(a, t, message, signature) {
		return ErrSignature
	}
	return nil
}

// signer checks that the key signs such a message with a.
func (k *Key) signer(a Algorithm, t MessageType, message []byte) (signer, MessageType, error) {
	s, ok := k.impl.(signer)
	if !ok || !k.spec.has(SignVerify, a) {
		return nil, "", ErrAlgorithm
	}
	if t == "" {
		t = Raw
	}
	if !slices.Contains(kinds[k.spec].types, t) ||
		a == Ed25519SHA512 && t != Raw || a == Ed25519PHSHA512 && t != Digest {
		return nil, "", ErrMessageType
	}
	if t != Raw && len(message) != DigestSize(a) {
		return nil, "", ErrDigest
	}
	return s, t, nil
}

// MAC is the message authentication code of message. Compare it with another in
// constant time.
func (k *Key) MAC(a Algorithm, message []byte) ([]byte, error) {
	s, ok := k.impl.(secret)
	if !ok || !k.spec.has(GenerateVerifyMAC, a) {
		return nil, ErrAlgorithm
	}
	h := hmac.New(hashes[a].New, s)
	h.Write(message)
	return h.Sum(nil), nil
}

// Encrypt encrypts with the public key: RSA-OAEP with an empty label, or SM2
// with the ciphertext in DER. It answers ErrTooLong if plaintext is longer than
// the spec's MaxPlaintext. Symmetric keys do not encrypt here: see Secret.
func (k *Key) Encrypt(a Algorithm, plaintext []byte) ([]byte, error) {
	d, err := k.decrypter(a)
	if err != nil {
		return nil, err
	}
	if len(plaintext) > k.spec.MaxPlaintext(a) {
		return nil, ErrTooLong
	}
	return d.encrypt(a, plaintext)
}

// Decrypt gives back what Encrypt was given, or ErrCiphertext.
func (k *Key) Decrypt(a Algorithm, ciphertext []byte) (seal.Plaintext, error) {
	d, err := k.decrypter(a)
	if err != nil {
		return nil, err
	}
	plaintext, err := d.decrypt(a, ciphertext)
	if err != nil {
		return nil, ErrCiphertext
	}
	return plaintext, nil
}

func (k *Key) decrypter(a Algorithm) (decrypter, error) {
	d, ok := k.impl.(decrypter)
	if !ok || !k.spec.has(EncryptDecrypt, a) {
		return nil, ErrAlgorithm
	}
	return d, nil
}

// Agree is the secret that this key and another pair share: ECDH, the x
// coordinate as long as the field's elements. The other's public key is
// SubjectPublicKeyInfo in DER; ErrPublicKey if it is not a point of the same curve.
func (k *Key) Agree(publicDER []byte) (seal.Plaintext, error) {
	g, ok := k.impl.(agreer)
	if !ok {
		return nil, ErrAlgorithm
	}
	shared, err := g.agree(publicDER)
	if err != nil {
		return nil, ErrPublicKey
	}
	return shared, nil
}

// Encapsulate returns a new shared secret of 32 bytes and the ciphertext from
// which Decapsulate gets it.
func (k *Key) Encapsulate() (ciphertext []byte, shared seal.Plaintext, err error) {
	e, ok := k.impl.(encapsulator)
	if !ok {
		return nil, nil, ErrAlgorithm
	}
	ciphertext, secret := e.encapsulate()
	return ciphertext, secret, nil
}

// Decapsulate returns the shared secret that Encapsulate returned with
// ciphertext. It answers ErrCiphertext only if the length is wrong: as FIPS 203
// has it, a ciphertext that was changed gives another secret.
func (k *Key) Decapsulate(ciphertext []byte) (seal.Plaintext, error) {
	e, ok := k.impl.(encapsulator)
	if !ok {
		return nil, ErrAlgorithm
	}
	shared, err := e.decapsulate(ciphertext)
	if err != nil {
		return nil, ErrCiphertext
	}
	return shared, nil
}

// digest is what a signs: the message's hash, or message if that is what it is.
func digest(h crypto.Hash, t MessageType, message []byte) []byte {
	if t != Raw {
		return message
	}
	d := h.New()
	d.Write(message)
	return d.Sum(nil)
}

// secret is a symmetric or an HMAC key.
type secret []byte

func (s secret) wipe() { seal.Wipe(s) }

// secretFamily are the specs whose keys are as many random bytes as they say.
type secretFamily struct{}

func (secretFamily) generate(s Spec) ([]byte, error) {
	return random(kinds[s].size), nil
}

func (secretFamily) load(s Spec, encoded []byte) (any, bool) {
	return secret(bytes.Clone(encoded)), len(encoded) == kinds[s].size
}
