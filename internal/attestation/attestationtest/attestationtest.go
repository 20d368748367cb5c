// Package attestationtest makes attestation documents as the Nitro hypervisor
// does, under an authority of its own, for tests.
package attestationtest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/veraison/go-cose"
)

// An Authority stands in for the hypervisor and for who vouches for it.
type Authority struct {
	t      testing.TB
	serial int64

	root    *x509.Certificate
	rootKey *ecdsa.PrivateKey
	bundle  [][]byte
	leaf    []byte
	signer  *ecdsa.PrivateKey
}

// New makes an authority whose certificates are good for three hours around at,
// the root's for a year.
func New(t testing.TB, at time.Time) *Authority {
	a := &Authority{t: t}
	a.rootKey = a.key(elliptic.P384())
	a.root = a.issue(template("root", at, 365*24*time.Hour, true), nil, a.rootKey, a.rootKey)
	regionKey := a.key(elliptic.P384())
	region := a.issue(template("region", at, 3*time.Hour, true), a.root, regionKey, a.rootKey)
	a.signer = a.key(elliptic.P384())
	a.leaf = a.issue(template("i-0123456789abcdef0-enc0123456789abcdef", at, 3*time.Hour, false), region, a.signer, regionKey).Raw
	a.bundle = [][]byte{a.root.Raw, region.Raw}
	return a
}

func template(name string, at time.Time, life time.Duration, authority bool) *x509.Certificate {
	c := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: at.Add(-life / 2), NotAfter: at.Add(life / 2),
		SignatureAlgorithm: x509.ECDSAWithSHA384, KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
	if authority {
		c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign
	}
	return c
}

func (a *Authority) key(curve elliptic.Curve) *ecdsa.PrivateKey {
	a.t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	return k
}

func (a *Authority) issue(c, by *x509.Certificate, key, byKey *ecdsa.PrivateKey) *x509.Certificate {
	a.t.Helper()
	a.serial++
	c.SerialNumber = big.NewInt(a.serial)
	if by == nil {
		by = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by, &key.PublicKey, byKey)
	if err != nil {
		a.t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return out
}

// Root is the authority's root certificate, in PEM.
func (a *Authority) Root() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.bundle[0]})
}

// PCR is the value of each register that has the byte b throughout.
func PCR(b byte) []byte { return bytes.Repeat([]byte{b}, 48) }

// Payload is what a document of an enclave that holds key says at a time.
func (a *Authority) Payload(key *rsa.PublicKey, at time.Time) map[string]any {
	a.t.Helper()
	spki, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return map[string]any{
		"module_id": "i-0123456789abcdef0-enc0123456789abcdef", "digest": "SHA384", "timestamp": uint64(at.UnixMilli()),
		"pcrs":        map[uint64][]byte{0: PCR(0xa0), 1: PCR(0xa1), 2: PCR(0xa2), 8: PCR(0)},
		"certificate": a.leaf, "cabundle": a.bundle,
		"public_key": spki, "user_data": nil, "nonce": nil,
	}
}

// Document is what Payload says after change, signed.
func (a *Authority) Document(key *rsa.PublicKey, at time.Time, change func(map[string]any)) []byte {
	a.t.Helper()
	p := a.Payload(key, at)
	if change != nil {
		change(p)
	}
	return a.Sign(p, cose.AlgorithmES384, a.signer)
}

// Sign signs a payload as a COSE_Sign1 message without a tag.
func (a *Authority) Sign(p map[string]any, algorithm cose.Algorithm, key crypto.Signer) []byte {
	a.t.Helper()
	text, err := cbor.Marshal(p)
	if err != nil {
		a.t.Fatal(err)
	}
	signer, err := cose.NewSigner(algorithm, key)
	if err != nil {
		a.t.Fatal(err)
	}
	m := cose.UntaggedSign1Message{Payload: text, Headers: cose.Headers{Protected: cose.ProtectedHeader{cose.HeaderLabelAlgorithm: algorithm}}}
	if err := m.Sign(rand.Reader, nil, signer); err != nil {
		a.t.Fatal(err)
	}
	out, err := m.MarshalCBOR()
	if err != nil {
		a.t.Fatal(err)
	}
	return out
}

// Leaf puts a certificate of change's making, and of a key on curve, in the
// place of the signer's. The signer stays the same.
func (a *Authority) Leaf(at time.Time, curve elliptic.Curve, change func(*x509.Certificate)) {
	a.t.Helper()
	c := template("another", at, 3*time.Hour, false)
	change(c)
	a.leaf = a.issue(c, a.root, a.key(curve), a.rootKey).Raw
}
