package material

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/asn1"

	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"borealis/internal/seal"
)

// oidEd25519 names Ed25519 keys (RFC 8410).
var oidEd25519 = asn1.ObjectIdentifier{1, 3, 101, 112}

// ed25519Family are keys of RFC 8032.
type ed25519Family struct{}

type ed25519Key struct{ sk ed25519.PrivateKey }

func (ed25519Family) generate(s Spec) ([]byte, error) {
	return ed25519Key{ed25519.NewKeyFromSeed(random(kinds[s].size))}.encoding()
}

func (ed25519Family) load(s Spec, encoded []byte) (any, bool) {
	p, ok := parseSeed(encoded, oidEd25519, cbasn1.OCTET_STRING, kinds[s].size)
	if !ok {
		return nil, false
	}
	k := ed25519Key{ed25519.NewKeyFromSeed(p.key)}
	return k, p.is(k.point())
}

// point is the public key's bytes.
func (k ed25519Key) point() ed25519.PublicKey { return k.sk.Public().(ed25519.PublicKey) }

func (k ed25519Key) public() ([]byte, error) { return marshalPublic(oidEd25519, none, k.point()) }

func (k ed25519Key) encoding() ([]byte, error) {
	return marshalSeed(oidEd25519, cbasn1.OCTET_STRING, k.sk.Seed())
}

func (k ed25519Key) wipe() { seal.Wipe(k.sk) }

// prepare returns the message and the options of the two algorithms. Ed25519ph
// hashes what it is given, also if that is a digest: so KMS does it.
func (k ed25519Key) prepare(a Algorithm, message []byte) ([]byte, *ed25519.Options) {
	if a != Ed25519PHSHA512 {
		return message, &ed25519.Options{}
	}
	sum := sha512.Sum512(message)
	return sum[:], &ed25519.Options{Hash: crypto.SHA512}
}

func (k ed25519Key) sign(a Algorithm, _ MessageType, message []byte) ([]byte, error) {
	message, opts := k.prepare(a, message)
	return k.sk.Sign(nil, message, opts)
}

func (k ed25519Key) verify(a Algorithm, _ MessageType, message, signature []byte) bool {
	message, opts := k.prepare(a, message)
	return ed25519.VerifyWithOptions(k.point(), message, signature, opts) == nil
}
