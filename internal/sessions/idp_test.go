package sessions_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // what thumbprints are
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/go-jose/go-jose/v4"
)

const idpHost = "idp.example.com"

// rsaKey is one key for all tests: it takes long to make.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// certificate is a certificate of key for a host, that the key itself has signed.
func certificate(t testing.TB, w *world, key crypto.Signer, host string) []byte {
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: w.now.Add(-time.Hour), NotAfter: w.now.AddDate(1, 0, 0),
	}
	return must(x509.CreateCertificate(rand.Reader, c, c, key.Public(), key))(t)
}

// An idp is an OpenID Connect provider that listens on a loopback port.
type idp struct {
	t          testing.TB
	w          *world
	url        string
	thumbprint string
	key        crypto.Signer
	keys       atomic.Pointer[jose.JSONWebKeySet]
	asked      atomic.Int32
	serve      atomic.Pointer[http.HandlerFunc] // instead of what it usually answers
}

func newIDP(t testing.TB, w *world) *idp {
	p := &idp{t: t, w: w, url: "https://" + idpHost, key: rsaKey()}
	p.publish(jose.JSONWebKey{Key: rsaKey().Public(), KeyID: "k1", Use: "sig"})
	server := httptest.NewUnstartedServer(http.HandlerFunc(p.answer))
	tlsKey := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	der := certificate(t, w, tlsKey, idpHost)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: tlsKey}}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	w.hosts[idpHost+":443"] = server.Listener.Addr().String()
	sum := sha1.Sum(der) //nolint:gosec // what thumbprints are
	p.thumbprint = hex.EncodeToString(sum[:])
	return p
}

func (p *idp) publish(keys ...jose.JSONWebKey) { p.keys.Store(&jose.JSONWebKeySet{Keys: keys}) }

func (p *idp) answer(out http.ResponseWriter, r *http.Request) {
	p.asked.Add(1)
	if f := p.serve.Load(); f != nil {
		(*f)(out, r)
		return
	}
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		_ = json.NewEncoder(out).Encode(map[string]string{"issuer": p.url, "jwks_uri": p.url + "/keys"})
	case "/keys":
		_ = json.NewEncoder(out).Encode(p.keys.Load())
	default:
		http.NotFound(out, r)
	}
}

// claims are those of a good token, changed.
func (p *idp) claims(change map[string]any) map[string]any {
	c := map[string]any{"iss": p.url, "sub": "repo:x/y", "aud": "client1", "iat": p.w.now.Unix(), "exp": p.w.now.Add(time.Hour).Unix()}
	maps.Copy(c, change)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// token is a token signed with the provider's key, called kid.
func (p *idp) token(kid string, alg jose.SignatureAlgorithm, change map[string]any) string {
	return p.sign(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: p.key, KeyID: kid}}, change)
}

func (p *idp) sign(key jose.SigningKey, change map[string]any) string {
	p.t.Helper()
	signer := must(jose.NewSigner(key, (&jose.SignerOptions{}).WithType("JWT")))(p.t)
	text := must(json.Marshal(p.claims(change)))(p.t)
	return must(must(signer.Sign(text))(p.t).CompactSerialize())(p.t)
}

// trusted makes the provider one of accountA's, and a role that trusts it on
// condition, a JSON object.
func (p *idp) trusted(condition string) (role string) {
	p.t.Helper()
	ctx, root := p.t.Context(), p.w.admin(accountA)
	provider := must(root.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{
		Url: &p.url, ClientIDList: []string{"client1", "client2"}, ThumbprintList: []string{p.thumbprint},
	}))(p.t).OpenIDConnectProviderArn
	return p.w.federatedRole("web", *provider, "sts:AssumeRoleWithWebIdentity", condition)
}

// federatedRole makes a role of accountA that trusts a provider.
func (w *world) federatedRole(name, provider, action, condition string) string {
	w.t.Helper()
	trust := fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Federated":%q},"Action":[%q,"sts:TagSession","sts:SetSourceIdentity"],"Condition":%s}}`, provider, action, condition)
	root := w.admin(accountA)
	role := must(root.CreateRole(w.t.Context(), &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust, MaxSessionDuration: new(int32(7200))}))(w.t).Role
	text := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["kms:*","sts:AssumeRole"],"Resource":"*"}}`
	must(root.PutRolePolicy(w.t.Context(), &iam.PutRolePolicyInput{RoleName: &name, PolicyName: new("p"), PolicyDocument: &text}))(w.t)
	return *role.Arn
}

// web asks for a role with a token, unsigned.
func (w *world) web(role, token string) (*sts.AssumeRoleWithWebIdentityOutput, error) {
	return w.As(stranger).AssumeRoleWithWebIdentity(w.t.Context(), &sts.AssumeRoleWithWebIdentityInput{RoleArn: &role, RoleSessionName: new("s1"), WebIdentityToken: &token})
}
