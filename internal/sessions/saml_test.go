package sessions_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" //nolint:gosec // to see that it is refused
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"borealis/internal/cloud"
)

const (
	samlEntity   = "https://saml.example.com/idp"
	samlProvider = "arn:aws:iam::111122223333:saml-provider/corp"
	samlRole     = "arn:aws:iam::111122223333:role/sso"
)

// A samlIDP is a SAML provider.
type samlIDP struct {
	t   testing.TB
	w   *world
	key *rsa.PrivateKey
	der []byte
}

// newSAML makes a SAML provider of accountA, and a role that trusts it on condition.
func newSAML(t testing.TB, w *world, condition string) *samlIDP {
	p := &samlIDP{t: t, w: w, key: rsaKey()}
	p.der = certificate(t, w, p.key, "saml.example.com")
	metadata := fmt.Sprintf(`<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID=%q><IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"><KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>%s</X509Certificate></X509Data></KeyInfo></KeyDescriptor></IDPSSODescriptor>%s</EntityDescriptor>`,
		samlEntity, base64.StdEncoding.EncodeToString(p.der), "<!--"+strings.Repeat("x", 1000)+"-->")
	must(w.admin(accountA).CreateSAMLProvider(t.Context(), &iam.CreateSAMLProviderInput{Name: new("corp"), SAMLMetadataDocument: &metadata}))(t)
	w.federatedRole("sso", samlProvider, "sts:AssumeRoleWithSAML", condition)
	return p
}

// assertion is one, unsigned; what is in change takes the place of what is usual.
func (p *samlIDP) assertion(change map[string]string) string {
	at := func(d time.Duration) string { return p.w.now.UTC().Add(d).Format(time.RFC3339) }
	text := `<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="a1" Version="2.0" IssueInstant="{instant}">` +
		`<saml:Issuer>{issuer}</saml:Issuer><saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">{name}</saml:NameID>` +
		`<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData NotOnOrAfter="{confirmed}" Recipient="{recipient}"/></saml:SubjectConfirmation></saml:Subject>` +
		`<saml:Conditions NotBefore="{from}" NotOnOrAfter="{to}">{audience}</saml:Conditions><saml:AuthnStatement AuthnInstant="{instant}" SessionNotOnOrAfter="{ends}"/>` +
		`<saml:AttributeStatement><saml:Attribute Name="https://aws.amazon.com/SAML/Attributes/Role"><saml:AttributeValue>{role}</saml:AttributeValue></saml:Attribute>` +
		`<saml:Attribute Name="https://aws.amazon.com/SAML/Attributes/RoleSessionName"><saml:AttributeValue>{session}</saml:AttributeValue></saml:Attribute>{attributes}</saml:AttributeStatement></saml:Assertion>`
	usual := map[string]string{
		"instant": at(0), "issuer": samlEntity, "name": "ann", "confirmed": at(5 * time.Minute), "recipient": "https://signin.aws.amazon.com/saml",
		"from": at(-time.Minute), "to": at(time.Hour), "ends": at(8 * time.Hour), "role": samlRole + "," + samlProvider, "session": "ann@example.com",
		"audience": "<saml:AudienceRestriction><saml:Audience>urn:amazon:webservices</saml:Audience></saml:AudienceRestriction>", "attributes": "",
	}
	for name, value := range usual {
		if v, ok := change[name]; ok {
			value = v
		}
		text = strings.ReplaceAll(text, "{"+name+"}", value)
	}
	return text
}

func response(assertions string) string {
	return `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="r1" Version="2.0"><samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>` + assertions + `</samlp:Response>`
}

// sign signs an element of XML, whose signature is its last child.
func (p *samlIDP) sign(text string, hash crypto.Hash, canonicalizer dsig.Canonicalizer) string {
	p.t.Helper()
	ctx := must(dsig.NewSigningContext(p.key, [][]byte{p.der}))(p.t)
	ctx.Hash, ctx.Canonicalizer = hash, canonicalizer
	doc := etree.NewDocument()
	if err := doc.ReadFromString(text); err != nil {
		p.t.Fatal(err)
	}
	out := etree.NewDocumentWithRoot(must(ctx.SignEnveloped(doc.Root()))(p.t))
	return must(out.WriteToString())(p.t)
}

func exclusive() dsig.Canonicalizer { return dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("") }

// good is a response whose assertion is signed.
func (p *samlIDP) good(change map[string]string) string {
	return response(p.sign(p.assertion(change), crypto.SHA256, exclusive()))
}

func (w *world) saml(text string) (*sts.AssumeRoleWithSAMLOutput, error) {
	encoded := base64.StdEncoding.EncodeToString([]byte(text))
	return w.As(stranger).AssumeRoleWithSAML(w.t.Context(), &sts.AssumeRoleWithSAMLInput{RoleArn: new(samlRole), PrincipalArn: new(samlProvider), SAMLAssertion: &encoded})
}

func attribute(name, value string) string {
	return `<saml:Attribute Name="` + name + `"><saml:AttributeValue>` + value + `</saml:AttributeValue></saml:Attribute>`
}

func TestSAML(t *testing.T) {
	w := newWorld(t)
	p := newSAML(t, w, `{"StringEquals":{"saml:aud":"https://signin.aws.amazon.com/saml","saml:iss":"https://saml.example.com/idp","saml:sub":"ann","saml:sub_type":"persistent","saml:doc":"111122223333/corp","saml:edupersonnickname":"annie","aws:RequestTag/team":"red"}}`)
	attributes := attribute("https://aws.amazon.com/SAML/Attributes/PrincipalTag:team", "red") + attribute("https://aws.amazon.com/SAML/Attributes/TransitiveTagKeys", "team") +
		attribute("https://aws.amazon.com/SAML/Attributes/SourceIdentity", "ann") + attribute("urn:oid:1.3.6.1.4.1.5923.1.1.1.2", "annie")
	text := p.good(map[string]string{"attributes": attributes})
	out := must(w.saml(text))(t)
	if *out.Subject != "ann" || *out.SubjectType != "persistent" || *out.Issuer != samlEntity || *out.Audience != "https://signin.aws.amazon.com/saml" || *out.NameQualifier == "" || *out.SourceIdentity != "ann" {
		t.Errorf("%+v", out)
	}
	c := w.signer(out.Credentials)
	if c.Kind != cloud.AssumedRole || c.ARN != "arn:aws:sts::111122223333:assumed-role/sso/ann@example.com" || c.Provider != samlProvider ||
		c.Tags["team"] != "red" || len(c.TransitiveTags) != 1 || c.Session["saml:sub"][0] != "ann" || len(c.Session["saml:iss"]) != 0 {
		t.Errorf("who signs: %+v", c)
	}
	if e := w.journal.events[len(w.journal.events)-1]; !e.Allowed || e.Caller.Kind != cloud.SAML || e.Caller.UserName != "ann" || e.Owner != accountA {
		t.Errorf("on record: %+v", e)
	}
	w.now = w.now.Add(4 * time.Minute)
	must(w.saml(text))(t) // for five minutes, as on AWS
	w.now = w.now.Add(61 * time.Second)
	if _, err := w.saml(text); !strings.HasPrefix(code(err), "ExpiredTokenException: ") {
		t.Errorf("after five minutes: %v", err)
	}
}

// However a provider signs, as long as it signs.
func TestSAMLSignatures(t *testing.T) {
	w := newWorld(t)
	p := newSAML(t, w, `{}`)
	plain := p.assertion(nil)
	whole := func(hash crypto.Hash) string { return p.sign(response(plain), hash, exclusive()) }
	inner := response(p.sign(plain, crypto.SHA512, exclusive()))
	for name, text := range map[string]string{
		"the assertion": p.good(nil), "the response": whole(crypto.SHA256), "with SHA-512": whole(crypto.SHA512), "both": p.sign(inner, crypto.SHA256, exclusive()),
		"with a declaration": `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + p.good(nil),
		"another order":      p.good(map[string]string{"role": samlProvider + " , " + samlRole}),
		"a Region's address": p.good(map[string]string{"recipient": "https://eu-west-1.signin.aws.amazon.com/saml"}),
	} {
		if _, err := w.saml(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, text := range map[string]string{
		"SHA-1":               p.sign(response(plain), crypto.SHA1, exclusive()),
		"inclusive":           response(p.sign(plain, crypto.SHA256, dsig.MakeC14N11Canonicalizer())),
		"nothing":             response(plain),
		"an assertion alone":  p.sign(plain, crypto.SHA256, exclusive()),
		"a changed assertion": strings.Replace(p.good(nil), ">ann<", ">bob<", 1),
		"a changed response":  strings.Replace(whole(crypto.SHA256), ">ann<", ">bob<", 1),
	} {
		if _, err := w.saml(text); !strings.HasPrefix(code(err), "InvalidIdentityToken: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	p.key = must(rsa.GenerateKey(rand.Reader, 2048))(t)
	p.der = certificate(t, w, p.key, "saml.example.com")
	if _, err := w.saml(p.good(nil)); code(err) != "InvalidIdentityToken: Response signature invalid" {
		t.Errorf("a key of another's: %v", err)
	}
}

// What is read is what was signed, wherever else an assertion is put.
func TestSAMLSignatureWrapping(t *testing.T) {
	w := newWorld(t)
	p := newSAML(t, w, `{}`)
	good := p.sign(p.assertion(nil), crypto.SHA256, exclusive())
	evil := strings.Replace(p.assertion(map[string]string{"name": "eve", "session": "eve"}), `ID="a1"`, `ID="e1"`, 1)
	at := strings.Index(good, "<ds:Signature")
	signature, bare := good[at:strings.LastIndex(good, "</saml:Assertion>")], good[:at]+"</saml:Assertion>"
	with := func(assertion, signature string) string {
		return strings.Replace(assertion, "</saml:Assertion>", signature+"</saml:Assertion>", 1)
	}
	within := func(signature, object string) string {
		return strings.Replace(signature, "</ds:Signature>", "<ds:Object>"+object+"</ds:Object></ds:Signature>", 1)
	}
	same := strings.Replace(evil, `ID="e1"`, `ID="a1"`, 1)
	whole := p.sign(response(p.assertion(nil)), crypto.SHA256, exclusive())
	for name, text := range map[string]string{
		"1: evil before":                response(evil + good),
		"2: evil after":                 response(good + evil),
		"3: evil around":                response(with(evil, good)),
		"4: good in evil's signature":   response(with(evil, within(signature, bare))),
		"5: good in an extension":       response(`<samlp:Extensions>` + good + `</samlp:Extensions>` + evil),
		"6: evil with good's signature": response(with(evil, signature)),
		"7: evil with good's ID":        response(with(same, within(signature, bare))),
		"8: the response in another":    response(evil + whole),
		"9: the response in its own signature": strings.Replace(strings.ReplaceAll(whole, ">ann", ">eve"), "</ds:Signature>",
			"<ds:Object>"+response(p.assertion(nil))+"</ds:Object></ds:Signature>", 1),
		"10: evil of another namespace": response(strings.ReplaceAll(evil, "saml:", "samlp:") + evil),
		"11: two signatures":            response(with(evil, signature+signature)),
		"12: an empty reference":        response(with(evil, strings.Replace(signature, `URI="#a1"`, `URI=""`, 1))),
		"13: evil in the good":          response(strings.Replace(good, "<saml:Subject>", evil+"<saml:Subject>", 1)),
	} {
		out, err := w.saml(text)
		if !strings.HasPrefix(code(err), "InvalidIdentityToken: ") {
			t.Errorf("%s: %v, %+v", name, err, out)
		}
	}
	must(w.saml(response(good)))(t)
}

func TestSAMLRefused(t *testing.T) {
	w := newWorld(t)
	p := newSAML(t, w, `{"StringEquals":{"saml:sub":"ann"}}`)
	good := p.good(nil)
	at := func(d time.Duration) string { return w.now.Add(d).UTC().Format(time.RFC3339) }
	with := func(name, value string) string { return p.good(map[string]string{name: value}) }
	const invalid, audience, expired, denied = "InvalidIdentityToken: Invalid SAML response", "InvalidIdentityToken: Response does not contain the required audience.", "ExpiredTokenException: ", "AccessDenied: Not authorized to perform sts:AssumeRoleWithSAML"
	bomb := `<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>`
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "", invalid},
		{"no XML", "nonsense", invalid},
		{"cut short", good[:len(good)/2], invalid},
		{"a document type", `<!DOCTYPE x>` + good, invalid},
		{"an entity bomb", bomb + strings.Replace(good, ">ann<", ">&c;<", 1), invalid},
		{"an outer entity", `<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>` + strings.Replace(good, ">ann<", ">&a;<", 1), invalid},
		{"a comment in the name", strings.Replace(good, ">ann<", ">ann<!-- -->.evil.com<", 1), invalid},
		{"a comment", strings.Replace(good, "<saml:Subject>", "<!-- --><saml:Subject>", 1), invalid},
		{"a processing instruction", strings.Replace(good, "<saml:Subject>", "<?x y?><saml:Subject>", 1), invalid},
		{"an attribute twice", strings.Replace(good, `Version="2.0"`, `Version="2.0" Version="2.0"`, 1), invalid},
		{"two roots", good + good, invalid},
		{"very deep", strings.Repeat("<a>", 3000) + strings.Repeat("</a>", 3000), invalid},
		{"very long", good + strings.Repeat(" ", 100001), invalid},
		{"a failure", strings.Replace(good, "status:Success", "status:Requester", 1), invalid},
		{"encrypted", response(`<saml:EncryptedAssertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"/>`), "NotImplemented: "},
		{"another issuer", with("issuer", "https://evil.example.com"), "InvalidIdentityToken: Issuer not present in specified provider"},
		{"another audience", with("audience", "<saml:AudienceRestriction><saml:Audience>other</saml:Audience></saml:AudienceRestriction>"), audience},
		{"no audience", with("audience", ""), audience},
		{"another recipient", with("recipient", "https://evil.example.com/saml"), audience},
		{"a recipient like ours", with("recipient", "https://evil.com/x.signin.aws.amazon.com/saml"), audience},
		{"ended", with("to", at(0)), expired},
		{"not begun", with("from", at(2*time.Minute)), expired},
		{"confirmed too long ago", with("confirmed", at(0)), expired},
		{"a confirmation without end", with("confirmed", ""), invalid},
		{"a session that has ended", with("ends", at(-time.Second)), expired},
		{"too old", with("instant", at(-301*time.Second)), "ExpiredTokenException: Token must be redeemed within 5 minutes of issuance"},
		{"of tomorrow", with("instant", at(24*time.Hour)), expired},
		{"no time", with("instant", "yesterday"), invalid},
		{"no name", with("name", ""), invalid},
		{"another subject", with("name", "bob"), denied},
		{"another role", with("role", samlRole+"x,"+samlProvider), denied},
		{"another provider", with("role", samlRole+","+samlProvider+"x"), denied},
		{"no session name", with("session", ""), "InvalidIdentityToken: RoleSessionName is required in AuthnResponse"},
		{"a bad session name", with("session", "a b"), "InvalidIdentityToken: RoleSessionName in AuthnResponse must match"},
		{"a bad source identity", with("attributes", attribute("https://aws.amazon.com/SAML/Attributes/SourceIdentity", "aws:x")), "InvalidIdentityToken: Source Identity must match"},
		{"a bad tag", with("attributes", attribute("https://aws.amazon.com/SAML/Attributes/PrincipalTag:a", "a#b")), "InvalidIdentityToken: "},
		{"a tag twice", with("attributes", strings.Repeat(attribute("https://aws.amazon.com/SAML/Attributes/PrincipalTag:a", "b"), 2)), "InvalidIdentityToken: "},
	} {
		before := len(w.journal.events)
		if _, err := w.saml(tt.text); !strings.HasPrefix(code(err), tt.want) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
		if e := w.journal.events[len(w.journal.events)-1]; len(w.journal.events) == before || e.Allowed || e.Owner != accountA {
			t.Errorf("%s: on record: %+v", tt.name, e)
		}
		w.now = w.now.Add(20 * time.Millisecond) // not too many at once
	}
	in := &sts.AssumeRoleWithSAMLInput{RoleArn: new(samlRole), PrincipalArn: new("arn:aws:iam::444455556666:saml-provider/corp"), SAMLAssertion: new(base64.StdEncoding.EncodeToString([]byte(good)))}
	if _, err := w.As(stranger).AssumeRoleWithSAML(t.Context(), in); !strings.HasPrefix(code(err), denied) {
		t.Errorf("a provider of another account: %v", err)
	}
	in.PrincipalArn = new("arn:aws:iam::111122223333:saml-provider/none")
	if _, err := w.As(stranger).AssumeRoleWithSAML(t.Context(), in); code(err) != "InvalidIdentityToken: Specified provider doesn't exist" {
		t.Errorf("no provider: %v", err)
	}
}

func TestSAMLSessionEndsWithTheProviders(t *testing.T) {
	w := newWorld(t)
	p := newSAML(t, w, `{}`)
	end := w.now.Add(10 * time.Minute).Truncate(time.Second)
	out := must(w.saml(p.good(map[string]string{"ends": end.UTC().Format(time.RFC3339)})))(t)
	if !out.Credentials.Expiration.Equal(end) {
		t.Errorf("expires %v, want %v", out.Credentials.Expiration, end)
	}
}
