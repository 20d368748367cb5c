package material

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/asn1"
)

// nistFamily are the curves of FIPS 186-5: the same pairs sign and agree on
// secrets.
type nistFamily struct{}

// A nistCurve is a curve in the two parts of the library that have it, and its
// name of RFC 5480.
type nistCurve struct {
	sign  elliptic.Curve
	agree ecdh.Curve
	oid   asn1.ObjectIdentifier
}

var nistCurves = map[Spec]nistCurve{
	P256: {elliptic.P256(), ecdh.P256(), asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}},
	P384: {elliptic.P384(), ecdh.P384(), asn1.ObjectIdentifier{1, 3, 132, 0, 34}},
	P521: {elliptic.P521(), ecdh.P521(), asn1.ObjectIdentifier{1, 3, 132, 0, 35}},
}

type nistKey struct {
	curve nistCurve
	sk    *ecdsa.PrivateKey
	dh    *ecdh.PrivateKey
}

func (nistFamily) generate(s Spec) ([]byte, error) {
	c := nistCurves[s]
	dh, err := c.agree.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return nistKey{curve: c, dh: dh}.encoding()
}

func (nistFamily) load(s Spec, encoded []byte) (any, bool) {
	c := nistCurves[s]
	p, ok := parsePoint(encoded, c.oid, kinds[s].size)
	if !ok {
		return nil, false
	}
	sk, err := ecdsa.ParseRawPrivateKey(c.sign, p.scalar)
	if err != nil {
		return nil, false
	}
	dh, err := sk.ECDH()
	if err != nil || !p.is(dh.PublicKey().Bytes()) {
		return nil, false
	}
	return nistKey{c, sk, dh}, true
}

func (k nistKey) public() ([]byte, error) {
	return marshalPublic(oidEC, named(k.curve.oid), k.dh.PublicKey().Bytes())
}

func (k nistKey) encoding() ([]byte, error) {
	return (&point{k.dh.Bytes(), k.dh.PublicKey().Bytes()}).marshal(k.curve.oid)
}

func (k nistKey) sign(a Algorithm, t MessageType, message []byte) ([]byte, error) {
	return ecdsa.SignASN1(rand.Reader, k.sk, digest(hashes[a], t, message))
}

func (k nistKey) verify(a Algorithm, t MessageType, message, signature []byte) bool {
	return ecdsa.VerifyASN1(&k.sk.PublicKey, digest(hashes[a], t, message), signature)
}

func (k nistKey) agree(public []byte) ([]byte, error) {
	key, ok := parsePeer(public, k.curve.oid)
	if !ok {
		return nil, ErrPublicKey
	}
	peer, err := k.curve.agree.NewPublicKey(key)
	if err != nil {
		return nil, err
	}
	return k.dh.ECDH(peer)
}
