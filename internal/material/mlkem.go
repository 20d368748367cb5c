package material

import (
	"crypto/mlkem"
	"encoding/asn1"

	"github.com/cloudflare/circl/kem/mlkem/mlkem512"

	"borealis/internal/seal"
)

// mlkemFamily are keys of FIPS 203, kept as seeds.
type mlkemFamily struct{}

// mlkemOIDs name the parameter sets (RFC 9935).
var mlkemOIDs = map[Spec]asn1.ObjectIdentifier{
	MLKEM512:  {2, 16, 840, 1, 101, 3, 4, 4, 1},
	MLKEM768:  {2, 16, 840, 1, 101, 3, 4, 4, 2},
	MLKEM1024: {2, 16, 840, 1, 101, 3, 4, 4, 3},
}

type mlkemKey struct {
	kem
	oid  asn1.ObjectIdentifier
	seed []byte
}

// A kem is a parameter set's key.
type kem interface {
	point() []byte // the encapsulation key's bytes
	encapsulate() (ciphertext, shared []byte)
	decapsulate(ciphertext []byte) ([]byte, error)
}

func (mlkemFamily) generate(s Spec) ([]byte, error) {
	return marshalSeed(mlkemOIDs[s], seedTag, random(kinds[s].size))
}

func (mlkemFamily) load(s Spec, encoded []byte) (any, bool) {
	p, ok := parseSeed(encoded, mlkemOIDs[s], seedTag, kinds[s].size)
	if !ok {
		return nil, false
	}
	seed := append([]byte(nil), p.key...)
	k, err := newKEM(s, seed)
	if err != nil {
		return nil, false
	}
	return mlkemKey{k, mlkemOIDs[s], seed}, p.is(k.point())
}

func newKEM(s Spec, seed []byte) (kem, error) {
	switch s {
	case MLKEM512:
		public, private := mlkem512.NewKeyFromSeed(seed)
		return mlkem512Key{public, private}, nil
	case MLKEM768:
		k, err := mlkem.NewDecapsulationKey768(seed)
		return mlkem768Key{k}, err
	}
	k, err := mlkem.NewDecapsulationKey1024(seed)
	return mlkem1024Key{k}, err
}

func (k mlkemKey) public() ([]byte, error) { return marshalPublic(k.oid, none, k.point()) }

func (k mlkemKey) encoding() ([]byte, error) { return marshalSeed(k.oid, seedTag, k.seed) }

func (k mlkemKey) wipe() { seal.Wipe(k.seed) }

type mlkem768Key struct{ *mlkem.DecapsulationKey768 }

func (k mlkem768Key) point() []byte { return k.EncapsulationKey().Bytes() }

func (k mlkem768Key) encapsulate() (ciphertext, shared []byte) {
	shared, ciphertext = k.EncapsulationKey().Encapsulate()
	return ciphertext, shared
}

func (k mlkem768Key) decapsulate(ciphertext []byte) ([]byte, error) { return k.Decapsulate(ciphertext) }

type mlkem1024Key struct{ *mlkem.DecapsulationKey1024 }

func (k mlkem1024Key) point() []byte { return k.EncapsulationKey().Bytes() }

func (k mlkem1024Key) encapsulate() (ciphertext, shared []byte) {
	shared, ciphertext = k.EncapsulationKey().Encapsulate()
	return ciphertext, shared
}

func (k mlkem1024Key) decapsulate(ciphertext []byte) ([]byte, error) {
	return k.Decapsulate(ciphertext)
}

// mlkem512Key is of another library: the standard library leaves ML-KEM-512 out.
type mlkem512Key struct {
	encapsulation *mlkem512.PublicKey
	decapsulation *mlkem512.PrivateKey
}

func (k mlkem512Key) point() []byte {
	b := make([]byte, mlkem512.PublicKeySize)
	k.encapsulation.Pack(b)
	return b
}

func (k mlkem512Key) encapsulate() (ciphertext, shared []byte) {
	ciphertext, shared = make([]byte, mlkem512.CiphertextSize), make([]byte, mlkem512.SharedKeySize)
	k.encapsulation.EncapsulateTo(ciphertext, shared, random(mlkem512.EncapsulationSeedSize))
	return ciphertext, shared
}

func (k mlkem512Key) decapsulate(ciphertext []byte) ([]byte, error) {
	if len(ciphertext) != mlkem512.CiphertextSize {
		return nil, ErrCiphertext
	}
	shared := make([]byte, mlkem512.SharedKeySize)
	k.decapsulation.DecapsulateTo(shared, ciphertext)
	return shared, nil
}
