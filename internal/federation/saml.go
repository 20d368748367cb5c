package federation

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"
)

// Errors of responses that are well signed.
var (
	// ErrMetadata says that the provider's metadata are not good, or no more.
	ErrMetadata = errors.New("the identity provider's metadata are not good")
	// ErrIssuer says that another provider has made it.
	ErrIssuer = errors.New("the issuer is another one")
	// ErrAudience says that it is for somebody else.
	ErrAudience = errors.New("it is for another audience")
	// ErrExpired says that it has ended, or has not begun.
	ErrExpired = errors.New("its time is not now")
	// ErrEncrypted says that its assertion is encrypted.
	ErrEncrypted = errors.New("it is encrypted")
)

const (
	bearer  = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
	success = "urn:oasis:names:tc:SAML:2.0:status:Success"
	// skew is how far a provider's clock may be ahead.
	skew = time.Minute
)

// MaxCertificates is how many certificates of a provider's are tried on a signature:
// the first that its metadata have.
const MaxCertificates = 10

// Metadata are what is known of a SAML provider.
type Metadata struct {
	Entity       string
	Certificates []*x509.Certificate // that sign
	ValidUntil   time.Time           // zero for ever
}

// ReadMetadata reads a provider's metadata document, or is ErrMetadata.
func ReadMetadata(text string) (Metadata, error) {
	var raw struct {
		XMLName    xml.Name
		EntityID   string `xml:"entityID,attr"`
		ValidUntil string `xml:"validUntil,attr"`
		Keys       []struct {
			Use          string   `xml:"use,attr"`
			Certificates []string `xml:"KeyInfo>X509Data>X509Certificate"`
		} `xml:"IDPSSODescriptor>KeyDescriptor"`
	}
	if err := xml.Unmarshal([]byte(text), &raw); err != nil || raw.XMLName != (xml.Name{Space: nsMetadata, Local: "EntityDescriptor"}) || raw.EntityID == "" {
		return Metadata{}, ErrMetadata
	}
	m := Metadata{Entity: raw.EntityID}
	if raw.ValidUntil != "" {
		var err error
		if m.ValidUntil, err = time.Parse(time.RFC3339, raw.ValidUntil); err != nil {
			return Metadata{}, ErrMetadata
		}
	}
	for _, k := range raw.Keys {
		for _, text := range k.Certificates {
			der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
			if err != nil {
				return Metadata{}, ErrMetadata
			}
			c, err := x509.ParseCertificate(der)
			if err != nil {
				return Metadata{}, ErrMetadata
			}
			if k.Use != "encryption" && strong(c) && !slices.ContainsFunc(m.Certificates, c.Equal) && len(m.Certificates) < MaxCertificates {
				m.Certificates = append(m.Certificates, c)
			}
		}
	}
	return m, nil
}

// A Subject is whom a provider vouches for, and with what.
type Subject struct {
	Name, Format string // of the NameID
	Issuer       string
	Recipient    string // whom the assertion was made for
	Issued       time.Time
	SessionEnds  time.Time           // zero if it does not say
	Attributes   map[string][]string // by name
}

// An assertion is what there is to read in one, by SAML's names.
type assertion struct {
	Version      string `xml:"Version,attr"`
	IssueInstant string `xml:"IssueInstant,attr"`
	Issuer       string `xml:"urn:oasis:names:tc:SAML:2.0:assertion Issuer"`
	Subjects     []struct {
		Names []struct {
			Format string `xml:"Format,attr"`
			Value  string `xml:",chardata"`
		} `xml:"urn:oasis:names:tc:SAML:2.0:assertion NameID"`
		Confirmations []struct {
			Method string `xml:"Method,attr"`
			Data   struct {
				Recipient    string `xml:"Recipient,attr"`
				NotBefore    string `xml:"NotBefore,attr"`
				NotOnOrAfter string `xml:"NotOnOrAfter,attr"`
			} `xml:"urn:oasis:names:tc:SAML:2.0:assertion SubjectConfirmationData"`
		} `xml:"urn:oasis:names:tc:SAML:2.0:assertion SubjectConfirmation"`
	} `xml:"urn:oasis:names:tc:SAML:2.0:assertion Subject"`
	Conditions []struct {
		NotBefore    string `xml:"NotBefore,attr"`
		NotOnOrAfter string `xml:"NotOnOrAfter,attr"`
		Restrictions []struct {
			Audiences []string `xml:"urn:oasis:names:tc:SAML:2.0:assertion Audience"`
		} `xml:"urn:oasis:names:tc:SAML:2.0:assertion AudienceRestriction"`
	} `xml:"urn:oasis:names:tc:SAML:2.0:assertion Conditions"`
	Authentications []struct {
		Ends string `xml:"SessionNotOnOrAfter,attr"`
	} `xml:"urn:oasis:names:tc:SAML:2.0:assertion AuthnStatement"`
	Statements []struct {
		Attributes []struct {
			Name   string   `xml:"Name,attr"`
			Values []string `xml:"urn:oasis:names:tc:SAML:2.0:assertion AttributeValue"`
		} `xml:"urn:oasis:names:tc:SAML:2.0:assertion Attribute"`
	} `xml:"urn:oasis:names:tc:SAML:2.0:assertion AttributeStatement"`
}

// An Audience says which responses are for the server.
type Audience struct {
	// Names may be in an audience restriction.
	Names func(string) bool
	// Recipients may be the recipient of a subject's confirmation.
	Recipients func(string) bool
}

// VerifyResponse returns whom a SAML response vouches for, if the provider with
// these metadata has signed it for the audience and it is good at now.
func VerifyResponse(text []byte, m Metadata, to Audience, now time.Time) (Subject, error) {
	if !m.ValidUntil.IsZero() && !now.Before(m.ValidUntil) || len(m.Certificates) == 0 {
		return Subject{}, ErrMetadata
	}
	doc, err := readXML(text)
	if err != nil {
		return Subject{}, err
	}
	if len(under(doc.Root(), nsAssertion, "EncryptedAssertion")) > 0 {
		return Subject{}, ErrEncrypted
	}
	e, err := signed(doc.Root(), m.Certificates, now)
	if err != nil {
		return Subject{}, err
	}
	if !succeeded(doc.Root()) {
		return Subject{}, fmt.Errorf("status of the response: %w", ErrMalformed)
	}
	a, err := parse(e)
	if err != nil {
		return Subject{}, err
	}
	if a.Issuer != m.Entity {
		return Subject{}, ErrIssuer
	}
	return a.subject(to, now)
}

// succeeded says whether a response tells of success, or of nothing.
func succeeded(response *etree.Element) bool {
	for _, s := range children(response, nsProtocol, "Status") {
		code := only(s, nsProtocol, "StatusCode")
		if code == nil || code.SelectAttrValue("Value", "") != success {
			return false
		}
	}
	return true
}

// parse reads an assertion.
func parse(e *etree.Element) (assertion, error) {
	doc := etree.NewDocumentWithRoot(e.Copy())
	text, err := doc.WriteToBytes()
	var a assertion
	if err == nil {
		err = xml.Unmarshal(text, &a)
	}
	if err != nil || a.Version != "2.0" || len(a.Subjects) != 1 || len(a.Subjects[0].Names) != 1 || len(a.Conditions) != 1 {
		return a, fmt.Errorf("assertion: %w", ErrMalformed)
	}
	return a, nil
}

func (a *assertion) subject(to Audience, now time.Time) (s Subject, err error) {
	name := a.Subjects[0].Names[0]
	s = Subject{Name: name.Value, Format: name.Format, Issuer: a.Issuer, Attributes: map[string][]string{}}
	if s.Name == "" {
		return s, fmt.Errorf("name of the subject: %w", ErrMalformed)
	}
	if s.Issued, err = time.Parse(time.RFC3339, a.IssueInstant); err != nil {
		return s, fmt.Errorf("time of the assertion: %w", ErrMalformed)
	}
	if s.Issued.After(now.Add(skew)) {
		return s, ErrExpired
	}
	c := a.Conditions[0]
	if len(c.Restrictions) == 0 {
		return s, ErrAudience
	}
	for _, r := range c.Restrictions {
		if !slices.ContainsFunc(r.Audiences, to.Names) {
			return s, ErrAudience
		}
	}
	if err := during(c.NotBefore, c.NotOnOrAfter, now); err != nil {
		return s, err
	}
	if s.Recipient, err = a.recipient(to, now); err != nil {
		return s, err
	}
	if s.SessionEnds, err = a.ends(); err != nil {
		return s, err
	}
	for _, st := range a.Statements {
		for _, attribute := range st.Attributes {
			s.Attributes[attribute.Name] = append(s.Attributes[attribute.Name], attribute.Values...)
		}
	}
	return s, nil
}

// recipient is whom the subject is confirmed to as the assertion's bearer.
func (a *assertion) recipient(to Audience, now time.Time) (string, error) {
	reason := ErrAudience
	for _, c := range a.Subjects[0].Confirmations {
		if c.Method != bearer || !to.Recipients(c.Data.Recipient) {
			continue
		}
		if reason = during(c.Data.NotBefore, c.Data.NotOnOrAfter, now); reason == nil && c.Data.NotOnOrAfter != "" {
			return c.Data.Recipient, nil
		}
		if reason == nil {
			reason = ErrMalformed // a bearer's confirmation has an end
		}
	}
	return "", reason
}

// ends is the earliest end of a session that the assertion names.
func (a *assertion) ends() (first time.Time, err error) {
	for _, x := range a.Authentications {
		if x.Ends == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339, x.Ends)
		if err != nil {
			return first, fmt.Errorf("end of the session: %w", ErrMalformed)
		}
		if first.IsZero() || at.Before(first) {
			first = at
		}
	}
	return first, nil
}

// during says whether now is between two times, of which either may be missing.
func during(from, to string, now time.Time) error {
	if from != "" {
		at, err := time.Parse(time.RFC3339, from)
		if err != nil {
			return fmt.Errorf("time: %w", ErrMalformed)
		}
		if now.Before(at.Add(-skew)) {
			return ErrExpired
		}
	}
	if to != "" {
		at, err := time.Parse(time.RFC3339, to)
		if err != nil {
			return fmt.Errorf("time: %w", ErrMalformed)
		}
		if !now.Before(at) {
			return ErrExpired
		}
	}
	return nil
}
