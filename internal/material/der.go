package material

import (
	"crypto/rand"
	"encoding/asn1"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Algorithm identifiers: RFC 8017, RFC 5480.
var (
	oidRSA = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidEC  = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
)

// random returns n random bytes.
func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// private is a PKCS #8 private key: a OneAsymmetricKey of RFC 5958, whose first
// version is the PrivateKeyInfo of RFC 5208.
type private struct {
	parameters []byte // of the algorithm, DER; empty if there are none
	key        []byte // what the algorithm makes of a private key
	public     []byte // the public key's bytes; nil if it is not there
}

// null is whether the parameters are NULL, as RSA's must be.
func (p *private) null() bool { return string(p.parameters) == "\x05\x00" }

// parsePrivate reads a PKCS #8 private key of the algorithm. Attributes are
// allowed and not looked at; anything else that does not belong there is not.
func parsePrivate(der []byte, algorithm asn1.ObjectIdentifier) (*private, bool) {
	var version int64
	var outer, id, key, public cryptobyte.String
	var oid asn1.ObjectIdentifier
	var hasPublic bool
	in := cryptobyte.String(der)
	ok := in.ReadASN1(&outer, cbasn1.SEQUENCE) && in.Empty() &&
		outer.ReadASN1Integer(&version) && (version == 0 || version == 1) &&
		outer.ReadASN1(&id, cbasn1.SEQUENCE) &&
		id.ReadASN1ObjectIdentifier(&oid) && oid.Equal(algorithm) &&
		outer.ReadASN1(&key, cbasn1.OCTET_STRING) &&
		outer.SkipOptionalASN1(cbasn1.Tag(0).Constructed().ContextSpecific()) &&
		outer.ReadOptionalASN1(&public, &hasPublic, cbasn1.Tag(1).ContextSpecific()) &&
		outer.Empty()
	if !ok || hasPublic && (version == 0 || len(public) < 2 || public[0] != 0) {
		return nil, false
	}
	p := &private{parameters: id, key: key}
	if hasPublic {
		p.public = public[1:] // after the number of unused bits
	}
	return p, true
}

// marshalPrivate writes the PKCS #8 private key that parsePrivate reads.
// Parameters adds those of the algorithm, key what the algorithm makes of the
// private key.
func marshalPrivate(algorithm asn1.ObjectIdentifier, parameters, key cryptobyte.BuilderContinuation) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(0)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(algorithm)
			parameters(b)
		})
		b.AddASN1(cbasn1.OCTET_STRING, key)
	})
	return b.Bytes()
}

// parsePublic reads a SubjectPublicKeyInfo of the algorithm.
func parsePublic(der []byte, algorithm asn1.ObjectIdentifier) (parameters, key []byte, ok bool) {
	var outer, id cryptobyte.String
	var oid asn1.ObjectIdentifier
	in := cryptobyte.String(der)
	ok = in.ReadASN1(&outer, cbasn1.SEQUENCE) && in.Empty() &&
		outer.ReadASN1(&id, cbasn1.SEQUENCE) &&
		id.ReadASN1ObjectIdentifier(&oid) && oid.Equal(algorithm) &&
		outer.ReadASN1BitStringAsBytes(&key) && outer.Empty()
	return id, key, ok
}

// marshalPublic writes the SubjectPublicKeyInfo that parsePublic reads.
func marshalPublic(algorithm asn1.ObjectIdentifier, parameters cryptobyte.BuilderContinuation, key []byte) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(algorithm)
			parameters(b)
		})
		b.AddASN1BitString(key)
	})
	return b.Bytes()
}

// none adds no parameters.
func none(*cryptobyte.Builder) {}

// named adds the object identifier of a curve.
func named(curve asn1.ObjectIdentifier) cryptobyte.BuilderContinuation {
	return func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(curve) }
}

// isNamed is whether parameters are the object identifier of the curve.
func isNamed(parameters []byte, curve asn1.ObjectIdentifier) bool {
	var oid asn1.ObjectIdentifier
	s := cryptobyte.String(parameters)
	return s.ReadASN1ObjectIdentifier(&oid) && s.Empty() && oid.Equal(curve)
}

// A point is a key pair of a curve in Weierstrass form, as bytes: the scalar as
// long as the curve's order, the public point uncompressed.
type point struct {
	scalar, public []byte
}

// parsePoint reads the PKCS #8 private key of a pair on the curve, its scalar
// size bytes long. Public is nil if the encoding does not hold it.
func parsePoint(der []byte, curve asn1.ObjectIdentifier, size int) (*point, bool) {
	p, ok := parsePrivate(der, oidEC)
	if !ok || !isNamed(p.parameters, curve) {
		return nil, false
	}
	var version int64
	var outer, scalar, parameters, public cryptobyte.String
	var hasParameters, hasPublic bool
	in := cryptobyte.String(p.key)
	ok = in.ReadASN1(&outer, cbasn1.SEQUENCE) && in.Empty() &&
		outer.ReadASN1Integer(&version) && version == 1 &&
		outer.ReadASN1(&scalar, cbasn1.OCTET_STRING) && len(scalar) == size &&
		outer.ReadOptionalASN1(&parameters, &hasParameters, cbasn1.Tag(0).Constructed().ContextSpecific()) &&
		(!hasParameters || isNamed(parameters, curve)) &&
		outer.ReadOptionalASN1(&public, &hasPublic, cbasn1.Tag(1).Constructed().ContextSpecific()) &&
		outer.Empty()
	if !ok {
		return nil, false
	}
	pt := &point{scalar: scalar, public: p.public}
	if hasPublic && (!public.ReadASN1BitStringAsBytes(&pt.public) || !public.Empty() ||
		p.public != nil && string(p.public) != string(pt.public)) {
		return nil, false
	}
	return pt, true
}

// is says whether public is the point's public key, or the point has none.
func (p *point) is(public []byte) bool {
	return p.public == nil || string(p.public) == string(public)
}

// marshal writes the PKCS #8 private key that parsePoint reads: as KMS does, with
// the public key, and with the curve named twice.
func (p *point) marshal(curve asn1.ObjectIdentifier) ([]byte, error) {
	return marshalPrivate(oidEC, named(curve), func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(1)
			b.AddASN1OctetString(p.scalar)
			b.AddASN1(cbasn1.Tag(0).Constructed().ContextSpecific(), named(curve))
			b.AddASN1(cbasn1.Tag(1).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) {
				b.AddASN1BitString(p.public)
			})
		})
	})
}

// parsePeer reads the public point of another's pair on the curve.
func parsePeer(der []byte, curve asn1.ObjectIdentifier) ([]byte, bool) {
	parameters, key, ok := parsePublic(der, oidEC)
	return key, ok && isNamed(parameters, curve)
}

// parseSeed reads the PKCS #8 private key of an algorithm without parameters
// whose private keys are a seed of size bytes. Only the seed form is read: the
// expanded forms of RFC 9881 and RFC 9935 do not hold all that the key is.
func parseSeed(der []byte, algorithm asn1.ObjectIdentifier, tag cbasn1.Tag, size int) (*private, bool) {
	p, ok := parsePrivate(der, algorithm)
	if !ok || len(p.parameters) != 0 {
		return nil, false
	}
	var seed cryptobyte.String
	in := cryptobyte.String(p.key)
	ok = in.ReadASN1(&seed, tag) && in.Empty() && len(seed) == size
	p.key = seed
	return p, ok
}

// marshalSeed writes the PKCS #8 private key that parseSeed reads.
func marshalSeed(algorithm asn1.ObjectIdentifier, tag cbasn1.Tag, seed []byte) ([]byte, error) {
	return marshalPrivate(algorithm, none, func(b *cryptobyte.Builder) {
		b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes(seed) })
	})
}

// is says whether public is the public key, or there is none.
func (p *private) is(public []byte) bool {
	return p.public == nil || string(p.public) == string(public)
}

// seedTag is the tag of the seed of ML-DSA and ML-KEM keys.
var seedTag = cbasn1.Tag(0).ContextSpecific()
