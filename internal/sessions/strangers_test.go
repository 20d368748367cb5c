package sessions_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/go-jose/go-jose/v4"

	"borealis/internal/cloud"
)

// Providers of one account that never answer hold up nobody else, however many wait
// for them.
func TestSlowIssuersHoldUpTheirAccountOnly(t *testing.T) {
	w := newWorld(t)
	good := newIDP(t, w)
	silent := must(new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0"))(t)
	var asked atomic.Int32
	go func() {
		for {
			c, err := silent.Accept()
			if err != nil {
				return
			}
			asked.Add(1)
			defer c.Close() //nolint:revive // open until the test ends
		}
	}()
	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	t.Cleanup(func() { cancel(); silent.Close(); waiting.Wait() })
	role := good.trusted(`{}`)
	other := w.admin(accountB)
	const n, tooBusy = 40, "IDPCommunicationError: Error communicating with the identity provider"
	var codes sync.Map
	tokens := make([]string, n)
	for i := range tokens {
		host := fmt.Sprintf("slow%d.example.com", i)
		w.hosts[host+":443"] = silent.Addr().String()
		url := "https://" + host
		must(other.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{Url: &url, ClientIDList: []string{"client1"}}))(t)
		tokens[i] = good.token("k1", jose.RS256, map[string]any{"iss": url})
	}
	for _, token := range tokens {
		waiting.Go(func() {
			_, err := w.As(cloud.Caller{SourceIP: "192.0.2.2"}).AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
				RoleArn: new("arn:aws:iam::444455556666:role/r"), RoleSessionName: new("s1"), WebIdentityToken: &token,
			})
			codes.Store(code(err), true)
		})
	}
	_, busy := codes.Load(tooBusy)
	for began := time.Now(); (asked.Load() < 4 || !busy) && time.Since(began) < 3*time.Second; {
		time.Sleep(time.Millisecond)
		_, busy = codes.Load(tooBusy)
	}
	began := time.Now()
	must(w.web(role, good.token("k1", jose.RS256, nil)))(t)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("another account waited %v", took)
	}
	if !busy {
		t.Error("all that ask for the slow providers wait")
	}
	if n := asked.Load(); n != 4 {
		t.Errorf("%d of one account's providers were asked at once", n)
	}
}

// An address of IPv6 is one of 2^64 that its owner has.
func TestStrangersAreLimitedByNetwork(t *testing.T) {
	w := newWorld(t)
	role := w.role(accountA, "r", string(accountA), `{}`)
	ask := func(ip string) error {
		in := &sts.AssumeRoleWithWebIdentityInput{RoleArn: &role, RoleSessionName: new("s1"), WebIdentityToken: new("none")}
		_, err := w.As(cloud.Caller{SourceIP: ip}).AssumeRoleWithWebIdentity(t.Context(), in)
		return err
	}
	for i := range 100 {
		if err := ask(fmt.Sprintf("2001:db8::%x", i+1)); strings.HasPrefix(code(err), "Throttling") {
			t.Fatalf("request %d: %v", i, err)
		}
	}
	for ip, limited := range map[string]bool{"2001:db8::1:1": true, "2001:db8:0:1::1": false, "192.0.2.9": false, "::ffff:192.0.2.9": false, "": false} {
		if got := strings.HasPrefix(code(ask(ip)), "Throttling"); got != limited {
			t.Errorf("%q limited: %v", ip, got)
		}
	}
}

// What strangers send is refused before it costs much, whatever it is.
func TestHostileResponsesAreCheap(t *testing.T) {
	w := newWorld(t)
	p := newSAML(t, w, `{}`)
	good := p.good(nil)
	var spaces strings.Builder
	for i := range 45 {
		spaces.WriteString("<a")
		for j := range 20 {
			fmt.Fprintf(&spaces, ` xmlns:n%d="u"`, 100*i+j)
		}
		spaces.WriteString(">")
	}
	signature := good[strings.Index(good, "<ds:Signature"):strings.Index(good, "</saml:Assertion>")]
	for name, text := range map[string]string{
		"namespaces":  strings.Replace(good, "<saml:Subject>", spaces.String()+strings.Repeat("<b/>", 4000)+strings.Repeat("</a>", 45)+"<saml:Subject>", 1),
		"elements":    strings.Replace(good, "<saml:Subject>", strings.Repeat("<b/>", 5000)+"<saml:Subject>", 1),
		"signatures":  strings.Replace(good, signature, strings.Repeat(signature, 30), 1),
		"depth":       strings.Replace(good, "<saml:Subject>", strings.Repeat("<b>", 10000)+"<saml:Subject>", 1),
		"attributes":  strings.Replace(good, "<saml:Subject>", "<b "+strings.Repeat(`a="" `, 10000)+"/><saml:Subject>", 1),
		"transforms":  strings.Replace(good, "</ds:Transforms>", strings.Repeat(`<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>`, 500)+"</ds:Transforms>", 1),
		"long prefix": strings.Replace(good, "<saml:Subject>", "<"+strings.Repeat("p", 70000)+":b/><saml:Subject>", 1),
	} {
		began := time.Now()
		if _, err := w.saml(text); !strings.HasPrefix(code(err), "InvalidIdentityToken: ") {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("%s: it took %v", name, took)
		}
	}
}

// Metadata have no more certificates than are tried on a signature.
func TestManyCertificates(t *testing.T) {
	w := newWorld(t)
	der := certificate(t, w, rsaKey(), "saml.example.com")
	one := `<KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>` + base64.StdEncoding.EncodeToString(der) + `</X509Certificate></X509Data></KeyInfo></KeyDescriptor>`
	for n, want := range map[int]string{10: "", 11: "InvalidInput: Metadata must have no more than 10 signing certificates"} {
		text := `<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="` + samlEntity + `"><IDPSSODescriptor>` + strings.Repeat(one, n) + `</IDPSSODescriptor></EntityDescriptor>`
		name := fmt.Sprint("corp", n)
		_, err := w.admin(accountA).CreateSAMLProvider(t.Context(), &iam.CreateSAMLProviderInput{Name: &name, SAMLMetadataDocument: &text})
		if code(err) != want {
			t.Errorf("%d certificates: %v", n, err)
		}
	}
}
