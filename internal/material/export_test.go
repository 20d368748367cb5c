package material

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"

	"borealis/internal/seal"
)

// LoadPublic returns a Key that only verifies, for signatures recorded from
// others.
func LoadPublic(s Spec, der []byte) (*Key, error) {
	if s == Secp256k1 {
		point, _ := parsePeer(der, oidSecp256k1)
		public, err := secp256k1.ParsePubKey(point)
		if err != nil {
			return nil, err
		}
		return &Key{s, publicSecp256k1{public}}, nil
	}
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, err
	}
	switch public := public.(type) {
	case *rsa.PublicKey:
		return &Key{s, rsaKey{&rsa.PrivateKey{PublicKey: *public}}}, nil
	case *ecdsa.PublicKey:
		return &Key{s, nistKey{sk: &ecdsa.PrivateKey{PublicKey: *public}}}, nil
	}
	// The public half of an Ed25519 key is the end of its private half.
	sk := append(make(ed25519.PrivateKey, ed25519.SeedSize), public.(ed25519.PublicKey)...)
	return &Key{s, ed25519Key{sk}}, nil
}

type publicSecp256k1 struct{ *secp256k1.PublicKey }

func (publicSecp256k1) sign(Algorithm, MessageType, []byte) ([]byte, error) {
	return nil, ErrAlgorithm
}

func (k publicSecp256k1) verify(_ Algorithm, t MessageType, message, signature []byte) bool {
	return verifySecp256k1(k.PublicKey, t, message, signature)
}

// SignAny signs without checks what the algorithm takes.
func (k *Key) SignAny(a Algorithm, message []byte) ([]byte, error) {
	return k.impl.(signer).sign(a, Digest, message)
}

// FillRSASlots takes all turns to make RSA keys until the function it returns is
// called.
func FillRSASlots() (free func()) {
	for range cap(rsaSlots) {
		rsaSlots <- struct{}{}
	}
	return func() {
		for range cap(rsaSlots) {
			<-rsaSlots
		}
	}
}

// MarshalPoint is the encoding of a key on a curve, with whatever scalar and
// public point it is given.
func MarshalPoint(s Spec, scalar, public []byte) ([]byte, error) {
	oid := oidSM2
	switch s {
	case P256, P384, P521:
		oid = nistCurves[s].oid
	case Secp256k1:
		oid = oidSecp256k1
	}
	return (&point{scalar, public}).marshal(oid)
}

// MarshalPeer is the public key of such a point.
func MarshalPeer(s Spec, public []byte) ([]byte, error) {
	oid := oidSM2
	if s != SM2 {
		oid = nistCurves[s].oid
	}
	return marshalPublic(oidEC, named(oid), public)
}

// UnwrapAES is the key unwrap alone.
func UnwrapAES(key, wrapped []byte) (seal.Plaintext, error) { return unwrapAES(key, wrapped) }
