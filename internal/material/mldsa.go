package material

import (
	"crypto"
	"encoding/asn1"

	"filippo.io/mldsa"
	"filippo.io/mldsa/mldsacrypto"
)

// mldsaFamily are keys of FIPS 204, kept as seeds.
type mldsaFamily struct{}

// An mldsaSet is a parameter set and its name of RFC 9881.
type mldsaSet struct {
	parameters mldsa.Parameters
	oid        asn1.ObjectIdentifier
}

var mldsaSets = map[Spec]mldsaSet{
	MLDSA44: {mldsa.MLDSA44(), asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3, 17}},
	MLDSA65: {mldsa.MLDSA65(), asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3, 18}},
	MLDSA87: {mldsa.MLDSA87(), asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3, 19}},
}

type mldsaKey struct {
	sk  *mldsa.PrivateKey
	oid asn1.ObjectIdentifier
}

func (mldsaFamily) generate(s Spec) ([]byte, error) {
	return marshalSeed(mldsaSets[s].oid, seedTag, random(kinds[s].size))
}

func (mldsaFamily) load(s Spec, encoded []byte) (any, bool) {
	set := mldsaSets[s]
	p, ok := parseSeed(encoded, set.oid, seedTag, kinds[s].size)
	if !ok {
		return nil, false
	}
	sk, err := mldsa.NewPrivateKey(set.parameters, p.key)
	if err != nil {
		return nil, false
	}
	return mldsaKey{sk, set.oid}, p.is(sk.PublicKey().Bytes())
}

func (k mldsaKey) public() ([]byte, error) {
	return marshalPublic(k.oid, none, k.sk.PublicKey().Bytes())
}

func (k mldsaKey) encoding() ([]byte, error) { return marshalSeed(k.oid, seedTag, k.sk.Bytes()) }

// mldsaOptions are those of a message, with the empty context, or of its mu.
func mldsaOptions(t MessageType) crypto.SignerOpts {
	if t == ExternalMu {
		return mldsacrypto.MLDSAMu
	}
	return &mldsa.Options{}
}

func (k mldsaKey) sign(_ Algorithm, t MessageType, message []byte) ([]byte, error) {
	return k.sk.Sign(nil, message, mldsaOptions(t))
}

func (k mldsaKey) verify(_ Algorithm, t MessageType, message, signature []byte) bool {
	if t == ExternalMu {
		return verifyMu(k.sk.PublicKey(), message, signature)
	}
	return mldsa.Verify(k.sk.PublicKey(), message, signature, nil) == nil
}
