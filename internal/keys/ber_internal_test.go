package keys

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"testing"

	"borealis/internal/material"
)

// loosely writes an element as BER may: the length open, the parts of a sequence
// loosely too, octet strings in two pieces, and other lengths longer than need be.
func loosely(t testing.TB, der []byte) []byte {
	t.Helper()
	var e asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &e); err != nil || len(rest) != 0 {
		t.Fatalf("%x: %v", der, err)
	}
	switch {
	case e.IsCompound:
		out := []byte{der[0], openLength}
		for rest := e.Bytes; len(rest) > 0; {
			var part asn1.RawValue
			var err error
			if rest, err = asn1.Unmarshal(rest, &part); err != nil {
				t.Fatal(err)
			}
			out = append(out, loosely(t, part.FullBytes)...)
		}
		return append(out, 0, 0)
	case der[0] == octets:
		content := e.Bytes
		if len(content) > 40 && content[0] == 0x30 { // the key of the algorithm
			content = loosely(t, content)
		}
		half := len(content) / 2
		out := []byte{octets | constructed, openLength}
		for _, piece := range [][]byte{content[:half], content[half:]} {
			out = append(append(out, octets, 0x83, 0, byte(len(piece)>>8), byte(len(piece))), piece...)
		}
		return append(out, 0, 0)
	}
	return append([]byte{der[0], 0x83, 0, byte(len(e.Bytes) >> 8), byte(len(e.Bytes))}, e.Bytes...)
}

// AWS takes BER for RSA and NIST curves, and not for Ed25519: radkawar/stackd,
// testdata/aws/kms/imports_families.json, recorded 2026-09-12.
func TestImportedInBER(t *testing.T) {
	pkcs8 := func(key any, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	for spec, der := range map[material.Spec][]byte{
		material.RSA2048: pkcs8(rsa.GenerateKey(rand.Reader, 2048)),
		material.P256:    pkcs8(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)),
		material.P521:    pkcs8(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)),
		material.Ed25519: pkcs8(edwards, err),
	} {
		want, err := loadImported(spec, der)
		if err != nil {
			t.Fatalf("%s in DER: %v", spec, err)
		}
		ber := loosely(t, der)
		got, err := loadImported(spec, ber)
		if spec == material.Ed25519 {
			if err == nil {
				t.Errorf("%s in BER is taken", spec)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s in BER: %v", spec, err)
			continue
		}
		a, _ := want.Encoding()
		if b, _ := got.Encoding(); !bytes.Equal(a, b) {
			t.Errorf("%s in BER is another key", spec)
		}
		for name, bad := range map[string][]byte{"more": append(bytes.Clone(ber), 0), "less": ber[:len(ber)-1], "none": nil} {
			if _, err := loadImported(spec, bad); err == nil {
				t.Errorf("%s with %s is taken", spec, name)
			}
		}
	}
}

// Whatever it is: what becomes of it is DER, of which nothing else becomes.
func FuzzDERof(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	f.Add(loosely(f, der))
	f.Add([]byte{0x24, 0x80, 4, 1, 7, 0, 0})
	f.Add(bytes.Repeat([]byte{0x30, 0x80}, 3000))
	f.Add([]byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, ber []byte) {
		der, ok := derOf(ber)
		if !ok {
			return
		}
		again, ok := derOf(der)
		if !ok || !bytes.Equal(der, again) {
			t.Errorf("%x becomes %x becomes %x", ber, der, again)
		}
		if len(der) > len(ber)+16 {
			t.Errorf("%d bytes become %d", len(ber), len(der))
		}
	})
}
