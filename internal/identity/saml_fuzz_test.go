package identity

import (
	"testing"
	"time"
)

func FuzzMetadata(f *testing.F) {
	f.Add(`<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="x" validUntil="2030-01-01T00:00:00Z"><IDPSSODescriptor><KeyDescriptor><KeyInfo><X509Data><X509Certificate>AAAA</X509Certificate></X509Data></KeyInfo></KeyDescriptor></IDPSSODescriptor></EntityDescriptor>`)
	f.Add(`<!DOCTYPE x [<!ENTITY e "e">]><x>&e;</x>`)
	f.Fuzz(func(t *testing.T, text string) {
		until, err := readMetadata(text, time.Unix(0, 0))
		if err != nil && !until.IsZero() {
			t.Errorf("%q: %v and %v", text, until, err)
		}
	})
}
