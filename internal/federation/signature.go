package federation

import (
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
	"github.com/russellhaering/goxmldsig/etreeutils"
)

// Namespaces of what is read.
const (
	nsDsig      = "http://www.w3.org/2000/09/xmldsig#"
	nsProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	nsAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"
	nsMetadata  = "urn:oasis:names:tc:SAML:2.0:metadata"
)

// What a signature may be made of. SHA-1 is not among it.
var (
	canonical  = []string{string(dsig.CanonicalXML10ExclusiveAlgorithmId)}
	enveloped  = string(dsig.EnvelopedSignatureAltorithmId)
	signatures = []string{
		dsig.RSASHA256SignatureMethod, dsig.RSASHA384SignatureMethod, dsig.RSASHA512SignatureMethod,
		dsig.ECDSASHA256SignatureMethod, dsig.ECDSASHA384SignatureMethod, dsig.ECDSASHA512SignatureMethod,
	}
	digests = []string{
		"http://www.w3.org/2001/04/xmlenc#sha256", "http://www.w3.org/2001/04/xmldsig-more#sha384", "http://www.w3.org/2001/04/xmlenc#sha512",
	}
)

// signed is the assertion of a response as one of certificates has signed it: it
// is read from the very bytes that were signed. The signature may be the
// response's or the assertion's; if both have one, both must be good.
func signed(response *etree.Element, certificates []*x509.Certificate, now time.Time) (*etree.Element, error) {
	if response.Tag != "Response" || response.NamespaceURI() != nsProtocol {
		return nil, fmt.Errorf("response: %w", ErrMalformed)
	}
	assertion := only(response, nsAssertion, "Assertion")
	if assertion == nil || len(under(response, nsAssertion, "Assertion")) != 1 {
		return nil, fmt.Errorf("assertions of the response: %w", ErrMalformed)
	}
	outer, inner := children(response, nsDsig, "Signature"), children(assertion, nsDsig, "Signature")
	if all := len(under(response, nsDsig, "Signature")); all == 0 || all != len(outer)+len(inner) || len(outer) > 1 || len(inner) > 1 {
		return nil, ErrSignature // none, or one where none belongs
	}
	var out *etree.Element
	if len(inner) == 1 {
		whole, err := verified(assertion, inner[0], certificates, now)
		if err != nil {
			return nil, err
		}
		out = whole
	}
	if len(outer) == 1 {
		whole, err := verified(response, outer[0], certificates, now)
		if err != nil {
			return nil, err
		}
		if out == nil {
			out = only(whole, nsAssertion, "Assertion")
		}
	}
	if out == nil || out.Tag != "Assertion" || out.NamespaceURI() != nsAssertion {
		return nil, ErrSignature
	}
	return out, nil
}

// verified is what one of certificates has signed of e, whose signature s is.
func verified(e, s *etree.Element, certificates []*x509.Certificate, now time.Time) (*etree.Element, error) {
	if !wellMade(s, e.SelectAttrValue("ID", "")) {
		return nil, ErrSignature
	}
	one, err := alone(e)
	if err != nil {
		return nil, ErrSignature
	}
	for _, c := range certificates {
		context := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{c}})
		context.Clock = dsig.NewFakeClockAt(now)
		if out, err := context.Validate(one); err == nil {
			return out, nil
		}
	}
	return nil, ErrSignature
}

// alone is a copy of e that stands by itself, with a signature that names no key:
// which keys may sign is not for it to say.
func alone(e *etree.Element) (*etree.Element, error) {
	ctx, err := etreeutils.NSBuildParentContext(e)
	if err != nil {
		return nil, err
	}
	one, err := etreeutils.NSDetatch(ctx, e)
	if err != nil {
		return nil, err
	}
	for _, s := range children(one, nsDsig, "Signature") {
		for _, key := range children(s, nsDsig, "KeyInfo") {
			s.RemoveChild(key)
		}
		value := only(s, nsDsig, "SignatureValue")
		value.SetText(strings.Join(strings.Fields(value.Text()), ""))
	}
	return one, nil
}

// wellMade says whether signature s is made of what it may be made of, and is of
// the element with an ID and of nothing else.
func wellMade(s *etree.Element, id string) bool {
	info, value := only(s, nsDsig, "SignedInfo"), only(s, nsDsig, "SignatureValue")
	if id == "" || info == nil || value == nil || len(value.ChildElements()) > 0 {
		return false
	}
	reference := only(info, nsDsig, "Reference")
	if reference == nil || len(children(info, nsDsig, "Reference")) != 1 || reference.SelectAttrValue("URI", "") != "#"+id {
		return false
	}
	return names(info, "CanonicalizationMethod", canonical) && names(info, "SignatureMethod", signatures) &&
		names(reference, "DigestMethod", digests) && transforms(reference)
}

// names says whether the one element with a name right below e names one of
// algorithms.
func names(e *etree.Element, name string, algorithms []string) bool {
	a := only(e, nsDsig, name)
	return a != nil && slices.Contains(algorithms, a.SelectAttrValue("Algorithm", ""))
}

// transforms says whether a reference takes the signature out, canonicalizes what
// is left, and does nothing else.
func transforms(reference *etree.Element) bool {
	list := only(reference, nsDsig, "Transforms")
	if list == nil || len(list.ChildElements()) != 2 {
		return false
	}
	all := children(list, nsDsig, "Transform")
	return len(all) == 2 && all[0].SelectAttrValue("Algorithm", "") == enveloped &&
		slices.Contains(canonical, all[1].SelectAttrValue("Algorithm", ""))
}

// strong says whether a certificate's key may sign.
func strong(c *x509.Certificate) bool {
	key, ok := c.PublicKey.(*rsa.PublicKey)
	return !ok || strongRSA(key)
}
