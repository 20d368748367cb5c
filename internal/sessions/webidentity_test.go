package sessions_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/go-jose/go-jose/v4"

	"borealis/internal/cloud"
)

// stranger has not signed.
var stranger = cloud.Caller{SourceIP: "192.0.2.1", Region: "us-east-1"}

func TestWebIdentity(t *testing.T) {
	w := newWorld(t)
	p := newIDP(t, w)
	role := p.trusted(`{"StringEquals":{"idp.example.com:aud":"client1","idp.example.com:sub":"repo:x/y"}}`)
	out := must(w.web(role, p.token("k1", jose.RS256, nil)))(t)
	if *out.Audience != "client1" || *out.SubjectFromWebIdentityToken != "repo:x/y" || *out.Provider != "arn:aws:iam::111122223333:oidc-provider/idp.example.com" {
		t.Errorf("%s %s %s", *out.Audience, *out.SubjectFromWebIdentityToken, *out.Provider)
	}
	c := w.signer(out.Credentials)
	if c.Kind != cloud.AssumedRole || c.ARN != "arn:aws:sts::111122223333:assumed-role/web/s1" || c.Provider != *out.Provider || c.Session["idp.example.com:sub"][0] != "repo:x/y" {
		t.Errorf("who signs: %+v", c)
	}
	if !w.allowed(c, "kms:ListKeys") || w.allowed(c, "rds:DescribeDBClusters") {
		t.Error("the session may not do what its role may, or more")
	}
	if e := w.journal.events[len(w.journal.events)-1]; !e.Allowed || e.Action != "sts:AssumeRoleWithWebIdentity" || e.Caller.Kind != cloud.WebIdentity || e.Owner != accountA {
		t.Errorf("on record: %+v", e)
	}
	_, err := w.web(role, p.token("k1", jose.RS256, map[string]any{"sub": "repo:x/z"}))
	if code(err) != "AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity" {
		t.Errorf("another subject: %v", err)
	}
	_, err = w.web("arn:aws:iam::111122223333:role/none", p.token("k1", jose.RS256, nil))
	if code(err) != "AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity" {
		t.Errorf("no such role: %v", err)
	}
}

// What the token says of tags and of the source identity is the session's.
func TestWebIdentityTags(t *testing.T) {
	w := newWorld(t)
	p := newIDP(t, w)
	role := p.trusted(`{"StringEquals":{"aws:RequestTag/team":"red","sts:SourceIdentity":"ann"},"ForAnyValue:StringEquals":{"idp.example.com:amr":"mfa"}}`)
	tags := map[string]any{"principal_tags": map[string]any{"team": []string{"red"}}, "transitive_tag_keys": []string{"team"}}
	for name, change := range map[string]map[string]any{
		"nested": {"https://aws.amazon.com/tags": tags},
		"flat":   {"https://aws.amazon.com/tags/principal_tags/team": "red", "https://aws.amazon.com/tags/transitive_tag_keys": "team"},
	} {
		change["https://aws.amazon.com/source_identity"], change["amr"] = "ann", []string{"pwd", "mfa"}
		c := w.signer(must(w.web(role, p.token("k1", jose.RS256, change)))(t).Credentials)
		if c.Tags["team"] != "red" || len(c.TransitiveTags) != 1 || c.SourceIdentity != "ann" {
			t.Errorf("%s: %+v", name, c)
		}
	}
	many := map[string]any{}
	for i := range 51 {
		many[strings.Repeat("k", i+1)] = []string{"v"}
	}
	for name, change := range map[string]map[string]any{
		"too many tags": {"https://aws.amazon.com/tags": map[string]any{"principal_tags": many}},
		"a bad tag":     {"https://aws.amazon.com/tags": map[string]any{"principal_tags": map[string]any{"team": []string{"r<d"}}}},
		"two values":    {"https://aws.amazon.com/tags": map[string]any{"principal_tags": map[string]any{"team": []string{"a", "b"}}}},
		"tags a string": {"https://aws.amazon.com/tags": "team"},
		"a bad source":  {"https://aws.amazon.com/source_identity": "a b"},
	} {
		if _, err := w.web(role, p.token("k1", jose.RS256, change)); !strings.HasPrefix(code(err), "InvalidIdentityToken: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWebIdentityAlgorithms(t *testing.T) {
	w := newWorld(t)
	p := newIDP(t, w)
	role := p.trusted(`{}`)
	for _, alg := range []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512} {
		must(w.web(role, p.token("k1", alg, nil)))(t)
	}
	for alg, curve := range map[jose.SignatureAlgorithm]elliptic.Curve{jose.ES256: elliptic.P256(), jose.ES384: elliptic.P384(), jose.ES512: elliptic.P521()} {
		key := must(ecdsa.GenerateKey(curve, rand.Reader))(t)
		p.key = key
		p.publish(jose.JSONWebKey{Key: key.Public(), KeyID: string(alg)})
		w.now = w.now.Add(2 * time.Minute) // an unknown key is looked for again
		must(w.web(role, p.token(string(alg), alg, nil)))(t)
	}
}

// Nothing but what the provider has signed, for us and for now, is believed.
func TestWebIdentityRefused(t *testing.T) {
	w := newWorld(t)
	p := newIDP(t, w)
	role := p.trusted(`{}`)
	good := p.token("k1", jose.RS256, nil)
	part := strings.Split(good, ".")
	encode := base64.RawURLEncoding.EncodeToString
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(rsaKey().Public()))(t)})
	other := must(rsa.GenerateKey(rand.Reader, 2048))(t)
	forged := p.sign(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: other, KeyID: "k1"}}, nil)
	embedding := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: other}, &jose.SignerOptions{EmbedJWK: true}))(t)
	embedded := must(must(embedding.Sign([]byte(`{}`)))(t).CompactSerialize())(t)
	now := w.now.Unix()
	const notJWT, noKey, signature = "InvalidIdentityToken: The ID Token provided is not a valid JWT.", "InvalidIdentityToken: Couldn't retrieve verification key", "InvalidIdentityToken: The signature of the token is invalid"
	with := func(change map[string]any) string { return p.token("k1", jose.RS256, change) }
	for _, tt := range []struct{ name, token, want string }{
		{"nonsense", "nonsense", notJWT},
		{"two parts", part[0] + "." + part[1], notJWT},
		{"four parts", good + ".x", notJWT},
		{"alg none", encode([]byte(`{"alg":"none"}`)) + "." + part[1] + ".", notJWT},
		{"alg None", encode([]byte(`{"alg":"None","kid":"k1"}`)) + "." + part[1] + "." + part[2], notJWT},
		{"HS256 with the public key", p.sign(jose.SigningKey{Algorithm: jose.HS256, Key: public}, nil), notJWT},
		{"PS256", p.token("k1", jose.PS256, nil), notJWT},
		{"a critical header", encode([]byte(`{"alg":"RS256","kid":"k1","crit":["x"],"x":1}`)) + "." + part[1] + "." + part[2], signature},
		{"another header", encode([]byte(`{"alg":"RS256","kid":"k1","typ":"x"}`)) + "." + part[1] + "." + part[2], signature},
		{"no claims", encode([]byte(`{"alg":"RS256"}`)) + "." + encode([]byte(`null`)) + "." + part[2], notJWT},
		{"other claims", part[0] + "." + encode([]byte(`{"iss":"https://idp.example.com","sub":"x","aud":"client1"}`)) + "." + part[2], signature},
		{"another key", forged, signature},
		{"a key of its own", embedded, notJWT},
		{"wrong kid", p.token("k2", jose.RS256, nil), noKey},
		{"ES256 of an RSA key", encode([]byte(`{"alg":"ES256","kid":"k1"}`)) + "." + part[1] + "." + part[2], signature},
		{"wrong audience", with(map[string]any{"aud": "client3"}), "InvalidIdentityToken: Incorrect token audience"},
		{"two audiences", with(map[string]any{"aud": []string{"client1", "client3"}}), "InvalidIdentityToken: Incorrect token audience"},
		{"wrong party", with(map[string]any{"azp": "client3"}), "InvalidIdentityToken: Incorrect token audience"},
		{"no audience", with(map[string]any{"aud": nil}), "InvalidIdentityToken: Missing a required claim: aud"},
		{"no subject", with(map[string]any{"sub": nil}), "InvalidIdentityToken: Missing a required claim: sub"},
		{"a subject in capitals", with(map[string]any{"sub": nil, "SUB": "x"}), "InvalidIdentityToken: Missing a required claim: sub"},
		{"a number as subject", with(map[string]any{"sub": 1}), "InvalidIdentityToken: A claim of the token is malformed"},
		{"no end", with(map[string]any{"exp": nil}), "InvalidIdentityToken: Missing a required claim: exp"},
		{"no beginning", with(map[string]any{"iat": nil}), "InvalidIdentityToken: Missing a required claim: iat"},
		{"expired", with(map[string]any{"exp": now}), "ExpiredTokenException: Token expired: current date/time "},
		{"of tomorrow", with(map[string]any{"iat": now + 86400}), "InvalidIdentityToken: The token is not valid yet"},
		{"not yet", with(map[string]any{"nbf": now + 3600}), "InvalidIdentityToken: The token is not valid yet"},
		{"no issuer", with(map[string]any{"iss": nil}), notJWT},
		{"another issuer", with(map[string]any{"iss": "https://evil.example.com"}), "InvalidIdentityToken: No OpenIDConnect provider found in your account for https://evil.example.com"},
		{"an issuer without TLS", with(map[string]any{"iss": "http://idp.example.com"}), "InvalidIdentityToken: No OpenIDConnect provider found in your account for http://idp.example.com"},
	} {
		before := len(w.journal.events)
		if _, err := w.web(role, tt.token); !strings.HasPrefix(code(err), tt.want) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
		if e := w.journal.events[len(w.journal.events)-1]; len(w.journal.events) == before || e.Allowed || e.Owner != accountA {
			t.Errorf("%s: on record: %+v", tt.name, e)
		}
	}
	must(w.web(role, good))(t)
	must(w.web(role, good))(t) // a token is good until it ends, as on AWS
	must(w.web(role, with(map[string]any{"aud": []string{"client1", "other"}, "azp": "client2"})))(t)
	must(w.admin(accountA).DeleteOpenIDConnectProvider(t.Context(), &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: new("arn:aws:iam::111122223333:oidc-provider/idp.example.com")}))(t)
	if _, err := w.web(role, good); !strings.HasPrefix(code(err), "InvalidIdentityToken: No OpenIDConnect provider found") {
		t.Errorf("after the provider was deleted: %v", err)
	}
	in := &sts.AssumeRoleWithWebIdentityInput{RoleArn: &role, RoleSessionName: new("s1"), WebIdentityToken: &good, ProviderId: new("www.amazon.com")}
	if _, err := w.As(stranger).AssumeRoleWithWebIdentity(t.Context(), in); !strings.HasPrefix(code(err), "NotImplemented: ") {
		t.Errorf("with a ProviderId: %v", err)
	}
}

// A provider that does not answer as it should is not waited for, nor believed.
func TestWebIdentityProviders(t *testing.T) {
	const noKey = "InvalidIdentityToken: Couldn't retrieve verification key"
	text := func(s string) http.HandlerFunc {
		return func(out http.ResponseWriter, _ *http.Request) { _, _ = out.Write([]byte(s)) }
	}
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		change func(*idp)
		want   string
	}{
		{"no document", http.NotFound, nil, noKey},
		{"no JSON", text("<html>"), nil, noKey},
		{"another issuer", text(`{"issuer":"https://evil.example.com","jwks_uri":"https://idp.example.com/keys"}`), nil, noKey},
		{"keys without TLS", text(`{"issuer":"https://idp.example.com","jwks_uri":"http://idp.example.com/keys"}`), nil, noKey},
		{"a large document", func(out http.ResponseWriter, _ *http.Request) { _, _ = out.Write(bytes.Repeat([]byte(" "), 1<<20)) }, nil, noKey},
		{"a redirection", func(out http.ResponseWriter, r *http.Request) {
			http.Redirect(out, r, "https://idp.example.com/other", http.StatusFound)
		}, nil, noKey},
		{"no server", nil, func(p *idp) { p.w.hosts[idpHost+":443"] = "127.0.0.1:1" }, "IDPCommunicationError: "},
		{"wrong thumbprint", nil, func(p *idp) { p.thumbprint = strings.Repeat("0", 40) }, "InvalidIdentityToken: OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint"},
		{"a weak key", nil, func(p *idp) {
			p.publish(jose.JSONWebKey{Key: &rsa.PublicKey{N: rsaKey().Primes[0], E: 65537}, KeyID: "k1"})
		}, noKey},
		{"a key for encryption", nil, func(p *idp) { p.publish(jose.JSONWebKey{Key: rsaKey().Public(), KeyID: "k1", Use: "enc"}) }, noKey},
		{"two keys of one name", nil, func(p *idp) {
			k := jose.JSONWebKey{Key: rsaKey().Public(), KeyID: "k1"}
			p.publish(k, k)
		}, noKey},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			p := newIDP(t, w)
			if tt.answer != nil {
				p.serve.Store(&tt.answer)
			}
			if tt.change != nil {
				tt.change(p)
			}
			role := p.trusted(`{}`)
			if _, err := w.web(role, p.token("k1", jose.RS256, nil)); !strings.HasPrefix(code(err), tt.want) {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
}

// Tokens with names of keys that do not exist do not make the server ask for more.
func TestWebIdentityKeysAreRemembered(t *testing.T) {
	w := newWorld(t)
	p := newIDP(t, w)
	role := p.trusted(`{}`)
	for range 5 {
		must(w.web(role, p.token("k1", jose.RS256, nil)))(t)
		if _, err := w.web(role, p.token("k2", jose.RS256, nil)); err == nil {
			t.Fatal("a key that does not exist is accepted")
		}
	}
	if n := p.asked.Load(); n != 2 {
		t.Errorf("the provider was asked %d times", n)
	}
	p.publish(jose.JSONWebKey{Key: rsaKey().Public(), KeyID: "k2"})
	w.now = w.now.Add(time.Minute)
	must(w.web(role, p.token("k2", jose.RS256, nil)))(t)
	if n := p.asked.Load(); n != 4 {
		t.Errorf("after a minute the provider was asked %d times", n)
	}
}

func TestStrangersAreLimited(t *testing.T) {
	w := newWorld(t)
	role := w.role(accountA, "r", string(accountA), `{}`)
	var last error
	for range 101 {
		_, last = w.web(role, "none")
	}
	if code(last) != "Throttling: Rate exceeded" {
		t.Errorf("the hundred and first request at once: %v", last)
	}
	w.now = w.now.Add(time.Second)
	if _, err := w.web(role, "none"); !strings.HasPrefix(code(err), "InvalidIdentityToken: ") {
		t.Errorf("a second later: %v", err)
	}
}

// Paths of one host that differ in case alone may be different tenants': the keys of
// one are not those of the other.
func TestWebIdentityIssuersByCase(t *testing.T) {
	w := newWorld(t)
	victim, other := newIDP(t, w), newIDP(t, w)
	victim.url, other.url = "https://"+idpHost+"/Tenant", "https://"+idpHost+"/tenant"
	other.key = must(rsa.GenerateKey(rand.Reader, 2048))(t)
	at := func(url string, key *rsa.PublicKey) http.HandlerFunc {
		return func(out http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/keys") {
				_ = json.NewEncoder(out).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key, KeyID: "k1"}}})
				return
			}
			_ = json.NewEncoder(out).Encode(map[string]string{"issuer": url, "jwks_uri": url + "/keys"})
		}
	}
	honest, hostile := at(victim.url, &rsaKey().PublicKey), at(other.url, other.key.Public().(*rsa.PublicKey))
	both := http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/Tenant/") {
			honest(out, r)
			return
		}
		hostile(out, r)
	})
	other.serve.Store(&both) // the host's name leads to the one made last
	victim.thumbprint = other.thumbprint
	role := victim.trusted(`{}`)
	must(w.admin(accountA).CreateOpenIDConnectProvider(t.Context(), &iam.CreateOpenIDConnectProviderInput{
		Url: &other.url, ClientIDList: []string{"client1"}, ThumbprintList: []string{other.thumbprint},
	}))(t)
	if _, err := w.web(role, other.token("k1", jose.RS256, nil)); code(err) != "AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity" {
		t.Fatalf("a token of a provider that the role does not trust: %v", err)
	}
	_, err := w.web(role, other.token("k1", jose.RS256, map[string]any{"iss": victim.url}))
	if code(err) != "InvalidIdentityToken: The signature of the token is invalid" {
		t.Errorf("a token that another tenant has signed: %v", err)
	}
	must(w.web(role, victim.token("k1", jose.RS256, nil)))(t)
}

// A certificate for a name vouches for nothing at an address, whoever vouches for
// the certificate.
func TestWebIdentityIssuerAtAddress(t *testing.T) {
	w := newWorld(t)
	p := newIDP(t, w)
	p.url = "https://192.0.2.7"
	w.hosts["192.0.2.7:443"] = w.hosts[idpHost+":443"]
	_, err := w.web(p.trusted(`{}`), p.token("k1", jose.RS256, nil))
	if code(err) != "InvalidIdentityToken: OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint" {
		t.Error(err)
	}
}

// A key so large that looking at one signature takes long is none.
func TestWebIdentityHugeKey(t *testing.T) {
	w := newWorld(t)
	p := newIDP(t, w)
	role := p.trusted(`{}`)
	n := new(big.Int).Lsh(big.NewInt(1), 65536)
	p.publish(jose.JSONWebKey{Key: &rsa.PublicKey{N: n.Add(n, big.NewInt(1)), E: 65537}, KeyID: "k1", Use: "sig"})
	_, err := w.web(role, p.token("k1", jose.RS256, nil))
	if !strings.HasPrefix(code(err), "InvalidIdentityToken: Couldn't retrieve verification key") {
		t.Error(err)
	}
}
