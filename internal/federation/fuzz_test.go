package federation_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"borealis/internal/federation"
)

// No text is a token that keys have signed but those that they have.
func FuzzToken(f *testing.F) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		f.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
	if err != nil {
		f.Fatal(err)
	}
	const claims = `{"iss":"https://idp.example.com","sub":"s","aud":["a","b"],"exp":1,"iat":1.5,"https://aws.amazon.com/tags":{"principal_tags":{"k":["v"]}}}`
	signed, err := signer.Sign([]byte(claims))
	if err != nil {
		f.Fatal(err)
	}
	good, err := signed.CompactSerialize()
	if err != nil {
		f.Fatal(err)
	}
	text, err := jose.JSONWebKey{Key: key.Public(), KeyID: "k"}.MarshalJSON()
	if err != nil {
		f.Fatal(err)
	}
	keys, err := federation.ReadKeys([]byte(`{"keys":[` + string(text) + `]}`))
	if err != nil {
		f.Fatal(err)
	}
	body := good[:strings.LastIndexByte(good, '.')]
	for _, seed := range []string{good, body + ".", "eyJhbGciOiJub25lIn0.e30.", "..", "", good + "A", `{"payload":"","signatures":[]}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		token, err := federation.ReadToken(s)
		if err != nil {
			if !errors.Is(err, federation.ErrMalformed) {
				t.Errorf("%v is not ErrMalformed", err)
			}
			return
		}
		if c, err := token.Verify(keys); err == nil && (c.Subject != "s" || !strings.HasPrefix(s, body)) {
			t.Errorf("%q is believed: %+v", s, c)
		}
	})
}

func FuzzKeys(f *testing.F) {
	for _, seed := range []string{`{"keys":[]}`, `{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`, `{"keys":[{"kty":"oct","k":"AA"}]}`, `{"keys":[{"kty":"EC","crv":"P-256","x":"","y":""}]}`, `{"keys":null}`, `[]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, err := federation.ReadKeys(text); err != nil && !errors.Is(err, federation.ErrMalformed) {
			t.Errorf("%v is not ErrMalformed", err)
		}
	})
}

// Nobody has signed anything here, so nothing is believed.
func FuzzResponse(f *testing.F) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		f.Fatal(err)
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		f.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		f.Fatal(err)
	}
	all := func(string) bool { return true }
	m := federation.Metadata{Entity: "idp", Certificates: []*x509.Certificate{c}}
	const signature = `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/><ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"/><ds:Reference URI="#a"><ds:Transforms><ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/><ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/></ds:Transforms><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue>AA==</ds:DigestValue></ds:Reference></ds:SignedInfo><ds:SignatureValue>AA==</ds:SignatureValue></ds:Signature>`
	const head, tail = `<p:Response xmlns:p="urn:oasis:names:tc:SAML:2.0:protocol" ID="r"><s:Assertion xmlns:s="urn:oasis:names:tc:SAML:2.0:assertion" ID="a" Version="2.0">`, `</s:Assertion></p:Response>`
	for _, seed := range []string{head + signature + tail, head + tail, head + signature + signature + tail, `<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>`, `<a:b:c/>`, `<:a/>`, `<a xmlns:="x"/>`, ""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if s, err := federation.VerifyResponse(text, m, federation.Audience{Names: all, Recipients: all}, now); err == nil {
			t.Errorf("%q is believed: %+v", text, s)
		}
	})
}

func FuzzMetadata(f *testing.F) {
	f.Add(`<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="x"><IDPSSODescriptor><KeyDescriptor><KeyInfo><X509Data><X509Certificate>AA==</X509Certificate></X509Data></KeyInfo></KeyDescriptor></IDPSSODescriptor></EntityDescriptor>`)
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if m, err := federation.ReadMetadata(text); err == nil && m.Entity == "" {
			t.Error("metadata of nobody")
		}
	})
}
