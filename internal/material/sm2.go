package material

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/subtle"
	"encoding/asn1"
	"math/big"
	"slices"

	"github.com/emmansun/gmsm/ecdh"
	"github.com/emmansun/gmsm/kdf"
	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// oidSM2 names the curve (GM/T 0006).
var oidSM2 = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 301}

// sm2ID is the distinguishing identifier that KMS signs messages with: the
// default of GM/T 0009.
var sm2ID = []byte("1234567812345678")

// sm2Family are keys of GM/T 0003.
type sm2Family struct{}

type sm2Key struct {
	sk *sm2.PrivateKey
	dh *ecdh.PrivateKey
}

func (sm2Family) generate(s Spec) ([]byte, error) {
	for {
		dh, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		if k, ok := newSM2(dh); ok {
			return k.encoding()
		}
	}
}

func (sm2Family) load(s Spec, encoded []byte) (any, bool) {
	p, ok := parsePoint(encoded, oidSM2, kinds[s].size)
	if !ok {
		return nil, false
	}
	dh, err := ecdh.P256().NewPrivateKey(p.scalar)
	if err != nil {
		return nil, false
	}
	k, ok := newSM2(dh)
	return k, ok && p.is(k.point())
}

// newSM2 makes the key for signatures and encryption of the one for agreement.
// The scalar must not be the order less 1, with which nothing can be signed.
func newSM2(dh *ecdh.PrivateKey) (sm2Key, bool) {
	sk := new(sm2.PrivateKey)
	sk.Curve = sm2.P256()
	sk.D = new(big.Int).SetBytes(dh.Bytes())
	point := dh.PublicKey().Bytes()
	sk.X = new(big.Int).SetBytes(point[1:33])
	sk.Y = new(big.Int).SetBytes(point[33:])
	largest := new(big.Int).Sub(sk.Params().N, big.NewInt(2))
	return sm2Key{sk, dh}, sk.D.Cmp(largest) <= 0
}

// point is the public key's bytes.
func (k sm2Key) point() []byte { return k.dh.PublicKey().Bytes() }

func (k sm2Key) public() ([]byte, error) { return marshalPublic(oidEC, named(oidSM2), k.point()) }

func (k sm2Key) encoding() ([]byte, error) {
	return (&point{k.dh.Bytes(), k.point()}).marshal(oidSM2)
}

func (k sm2Key) wipe() { clear(k.sk.D.Bits()) }

func (k sm2Key) sign(_ Algorithm, t MessageType, message []byte) ([]byte, error) {
	if t == Raw {
		return k.sk.Sign(rand.Reader, message, sm2.NewSM2SignerOption(true, sm2ID))
	}
	return k.sk.Sign(rand.Reader, message, nil)
}

func (k sm2Key) verify(_ Algorithm, t MessageType, message, signature []byte) bool {
	if t == Raw {
		return sm2.VerifyASN1WithSM2(k.publicKey(), sm2ID, message, signature)
	}
	return sm2.VerifyASN1(k.publicKey(), message, signature)
}

func (k sm2Key) publicKey() *ecdsa.PublicKey { return &k.sk.PublicKey }

// encrypt looks at what comes out for short plaintexts. When its first mask is
// zero, for one byte once in 256 times, the library takes another and spoils the
// public key meanwhile: the ciphertext does not decrypt. From 8 bytes on that does
// not happen.
func (k sm2Key) encrypt(a Algorithm, plaintext []byte) ([]byte, error) {
	for {
		ciphertext, err := sm2.EncryptASN1(rand.Reader, k.publicKey(), plaintext)
		if err != nil || len(plaintext) == 0 || len(plaintext) >= 8 {
			return ciphertext, err
		}
		again, err := k.decrypt(a, ciphertext)
		if err == nil && bytes.Equal(again, plaintext) {
			return ciphertext, nil
		}
	}
}

// decrypt reads ciphertexts in DER only: the library also reads bare points and
// hashes one after the other, and KMS does not.
func (k sm2Key) decrypt(_ Algorithm, ciphertext []byte) ([]byte, error) {
	var outer, c2, c3 cryptobyte.String
	x, y := new(big.Int), new(big.Int)
	in := cryptobyte.String(ciphertext)
	ok := in.ReadASN1(&outer, cbasn1.SEQUENCE) && in.Empty() &&
		outer.ReadASN1Integer(x) && outer.ReadASN1Integer(y) &&
		outer.ReadASN1(&c3, cbasn1.OCTET_STRING) && outer.ReadASN1(&c2, cbasn1.OCTET_STRING) &&
		outer.Empty()
	if !ok {
		return nil, ErrCiphertext
	}
	if bytes.Equal(c2, make([]byte, len(c2))) {
		return k.decryptZeros(x, y, c3, len(c2))
	}
	return k.sk.Decrypt(rand.Reader, ciphertext, sm2.ASN1DecrypterOpts)
}

// decryptZeros decrypts (GM/T 0003.4, section 7.1) size bytes of zeros, which
// the library refuses: one plaintext of a single byte in 256 is encrypted so.
func (k sm2Key) decryptZeros(x, y *big.Int, c3 []byte, size int) ([]byte, error) {
	curve := k.sk.Curve
	if size == 0 || x.Sign() < 0 || y.Sign() < 0 || !curve.IsOnCurve(x, y) {
		return nil, ErrCiphertext
	}
	x2, y2 := curve.ScalarMult(x, y, k.dh.Bytes())
	shared := append(x2.FillBytes(make([]byte, 32)), y2.FillBytes(make([]byte, 32))...)
	plaintext := kdf.Kdf(sm3.New(), shared, size)
	sum := sm3.Sum(slices.Concat(shared[:32], plaintext, shared[32:]))
	if subtle.ConstantTimeCompare(sum[:], c3) != 1 || bytes.Equal(plaintext, make([]byte, size)) {
		return nil, ErrCiphertext
	}
	return plaintext, nil
}

func (k sm2Key) agree(public []byte) ([]byte, error) {
	key, ok := parsePeer(public, oidSM2)
	if !ok {
		return nil, ErrPublicKey
	}
	peer, err := ecdh.P256().NewPublicKey(key)
	if err != nil {
		return nil, err
	}
	return k.dh.ECDH(peer)
}
