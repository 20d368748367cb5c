package material

import (
	"crypto"
	"encoding/asn1"
	"math/big"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// oidSecp256k1 names the curve (SEC 2, RFC 5480).
var oidSecp256k1 = asn1.ObjectIdentifier{1, 3, 132, 0, 10}

// secp256k1Family are keys on the curve of SEC 2, section 2.4.1.
type secp256k1Family struct{}

type secp256k1Key struct{ sk *secp256k1.PrivateKey }

func (secp256k1Family) generate(Spec) ([]byte, error) {
	sk, err := secp256k1.GeneratePrivateKey()
	if err != nil {
		return nil, err
	}
	return secp256k1Key{sk}.encoding()
}

func (secp256k1Family) load(s Spec, encoded []byte) (any, bool) {
	p, ok := parsePoint(encoded, oidSecp256k1, kinds[s].size)
	if !ok {
		return nil, false
	}
	var d secp256k1.ModNScalar
	if tooLarge := d.SetByteSlice(p.scalar); tooLarge || d.IsZero() {
		return nil, false
	}
	k := secp256k1Key{secp256k1.NewPrivateKey(&d)}
	return k, p.is(k.point())
}

// point is the public key's bytes.
func (k secp256k1Key) point() []byte { return k.sk.PubKey().SerializeUncompressed() }

func (k secp256k1Key) public() ([]byte, error) {
	return marshalPublic(oidEC, named(oidSecp256k1), k.point())
}

func (k secp256k1Key) encoding() ([]byte, error) {
	return (&point{k.sk.Serialize(), k.point()}).marshal(oidSecp256k1)
}

func (k secp256k1Key) wipe() { k.sk.Zero() }

func (k secp256k1Key) sign(_ Algorithm, t MessageType, message []byte) ([]byte, error) {
	sum := digest(crypto.SHA256, t, message)
	for {
		if r, s, ok := k.try(sum, random(32)); ok {
			return derSignature(r, s)
		}
	}
}

// try makes a signature of ECDSA (FIPS 186-5, section 6.4.1) with the nonce of
// RFC 6979, section 3.6, so that neither a bad source of random numbers nor a
// signature that is asked for twice shows the key. The library has no signatures
// that differ each time, and makes s small, which KMS does not. It also has no
// multiplication in constant time, so the nonce is used in two random parts. It
// fails as good as never: when r or s is 0.
func (k secp256k1Key) try(sum, extra []byte) (r, s secp256k1.ModNScalar, ok bool) {
	secret := k.sk.Key.Bytes()
	defer clear(secret[:])
	nonce := secp256k1.NonceRFC6979(secret[:], sum, extra, nil, 0)
	defer nonce.Zero()

	r = abscissa(nonce)
	var e secp256k1.ModNScalar
	e.SetByteSlice(sum)
	s.Mul2(&k.sk.Key, &r).Add(&e).Mul(inverse(nonce))
	return r, s, !r.IsZero() && !s.IsZero()
}

// abscissa is the x coordinate of k times the base point, modulo the order.
func abscissa(k *secp256k1.ModNScalar) (x secp256k1.ModNScalar) {
	blind := blinding()
	var rest secp256k1.ModNScalar
	rest.NegateVal(blind).Add(k)
	var one, other, sum secp256k1.JacobianPoint
	secp256k1.ScalarBaseMultNonConst(blind, &one)
	secp256k1.ScalarBaseMultNonConst(&rest, &other)
	secp256k1.AddNonConst(&one, &other, &sum)
	sum.ToAffine()
	x.SetByteSlice(sum.X.Bytes()[:])
	return x
}

// inverse is 1/k modulo the order.
func inverse(k *secp256k1.ModNScalar) *secp256k1.ModNScalar {
	blind := blinding()
	var i secp256k1.ModNScalar
	return i.Mul2(k, blind).InverseNonConst().Mul(blind)
}

// blinding is a random scalar that is not 0.
func blinding() *secp256k1.ModNScalar {
	for {
		var b secp256k1.ModNScalar
		if tooLarge := b.SetByteSlice(random(32)); !tooLarge && !b.IsZero() {
			return &b
		}
	}
}

// derSignature is the ECDSA-Sig-Value of RFC 5480.
func derSignature(r, s secp256k1.ModNScalar) ([]byte, error) {
	rb, sb := r.Bytes(), s.Bytes()
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(new(big.Int).SetBytes(rb[:]))
		b.AddASN1BigInt(new(big.Int).SetBytes(sb[:]))
	})
	return b.Bytes()
}

func (k secp256k1Key) verify(_ Algorithm, t MessageType, message, signature []byte) bool {
	return verifySecp256k1(k.sk.PubKey(), t, message, signature)
}

func verifySecp256k1(public *secp256k1.PublicKey, t MessageType, message, signature []byte) bool {
	sig, err := ecdsa.ParseDERSignature(signature)
	if err != nil {
		return false
	}
	return sig.Verify(digest(crypto.SHA256, t, message), public)
}
