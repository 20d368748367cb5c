package server_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/go-jose/go-jose/v4"

	"borealis/internal/server"
)

// apiCode is the code of an API error.
func apiCode(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return ""
}

// A provider with a certificate of its own CA, at a private address that the
// operator names, vouches for somebody who signs nothing.
func TestWebIdentityOverTheWire(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	const url = "https://example.com" // the name in httptest's certificate
	idp := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/keys" {
			_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k1"}}})
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": url, "jwks_uri": url + "/keys"})
	}))
	t.Cleanup(idp.Close)
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: idp.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := server.Open(t.Context(), server.Config{
		Data: filepath.Join(dir, "data"), RootKey: filepath.Join(dir, "root.key"), Init: true, Log: slog.New(slog.DiscardHandler),
		OIDCIssuers: map[string]string{"example.com": idp.Listener.Addr().String()}, OIDCCA: ca, EncodedDenials: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	ctx := t.Context()
	a, err := s.CreateAccount(ctx, server.NewAccount{ID: "111122223333", Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	at := serve(t, s)
	people := iam.NewFromConfig(client(at, a.AccessKeyID, a.SecretAccessKey, ""))
	check := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	p, err := people.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{Url: aws.String(url), ClientIDList: []string{"c"}})
	check("CreateOpenIDConnectProvider", err)
	trust := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Federated":"` + *p.OpenIDConnectProviderArn + `"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"example.com:aud":"c"}}}}`
	role, err := people.CreateRole(ctx, &iam.CreateRoleInput{RoleName: new("web"), AssumeRolePolicyDocument: &trust})
	check("CreateRole", err)
	_, err = people.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: new("web"), PolicyArn: new("arn:aws:iam::aws:policy/ReadOnlyAccess")})
	check("AttachRolePolicy", err)

	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k1"}}, nil)
	check("NewSigner", err)
	claims, err := json.Marshal(map[string]any{"iss": url, "sub": "ann", "aud": "c", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()})
	check("Marshal", err)
	signed, err := signer.Sign(claims)
	check("Sign", err)
	token, err := signed.CompactSerialize()
	check("CompactSerialize", err)

	anonymous := sts.NewFromConfig(aws.Config{Region: "eu-west-1", BaseEndpoint: &at, RetryMaxAttempts: 1, Credentials: aws.AnonymousCredentials{}})
	in := &sts.AssumeRoleWithWebIdentityInput{RoleArn: role.Role.Arn, RoleSessionName: new("s1"), WebIdentityToken: &token}
	out, err := anonymous.AssumeRoleWithWebIdentity(ctx, in)
	check("AssumeRoleWithWebIdentity", err)
	c := out.Credentials
	_, err = kms.NewFromConfig(client(at, *c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)).ListKeys(ctx, nil)
	check("ListKeys", err)
	_, err = kms.NewFromConfig(client(at, *c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)).CreateKey(ctx, nil)
	if err == nil || apiCode(err) != "AccessDeniedException" {
		t.Fatalf("CreateKey: %v", err)
	}
	_, encoded, _ := strings.Cut(err.Error(), " Encoded authorization failure message: ")
	root := sts.NewFromConfig(client(at, a.AccessKeyID, a.SecretAccessKey, ""))
	message, err := root.DecodeAuthorizationMessage(ctx, &sts.DecodeAuthorizationMessageInput{EncodedMessage: &encoded})
	check("DecodeAuthorizationMessage", err)
	if !strings.Contains(*message.DecodedMessage, `"action":"kms:CreateKey"`) || !strings.Contains(*message.DecodedMessage, *out.AssumedRoleUser.Arn) {
		t.Errorf("DecodeAuthorizationMessage: %s", *message.DecodedMessage)
	}
	in.WebIdentityToken = new(token[:len(token)-4] + "AAAA")
	if _, err := anonymous.AssumeRoleWithWebIdentity(ctx, in); apiCode(err) != "InvalidIdentityToken" {
		t.Errorf("a changed token: %v", err)
	}
	_, err = anonymous.AssumeRoleWithSAML(ctx, &sts.AssumeRoleWithSAMLInput{RoleArn: role.Role.Arn, PrincipalArn: new("arn:aws:iam::111122223333:saml-provider/none"), SAMLAssertion: new("AAAA")})
	if apiCode(err) != "InvalidIdentityToken" {
		t.Errorf("AssumeRoleWithSAML: %v", err)
	}
	if _, err := anonymous.GetCallerIdentity(ctx, nil); err == nil {
		t.Error("GetCallerIdentity without a signature")
	}

	_, err = people.CreateUser(ctx, &iam.CreateUserInput{UserName: new("bob")})
	check("CreateUser", err)
	all := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`
	fed, err := root.GetFederationToken(ctx, &sts.GetFederationTokenInput{Name: new("carl"), Policy: &all})
	check("GetFederationToken", err)
	c = fed.Credentials
	carl := client(at, *c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
	_, err = kms.NewFromConfig(carl).ListKeys(ctx, nil)
	check("ListKeys as a federated user", err)
	if _, err := iam.NewFromConfig(carl).ListUsers(ctx, nil); apiCode(err) != "InvalidClientTokenId" {
		t.Errorf("IAM as a federated user: %v", err)
	}

	check("Close", s.Close()) // then all of the log is in its file
	text, err := os.ReadFile(filepath.Join(dir, "data", "audit", "decisions.jsonl"))
	check("ReadFile", err)
	for _, want := range []string{`"type":"WebIdentityUser","principalId":"arn:aws:iam::111122223333:oidc-provider/example.com:c:ann"`, `"type":"Unknown"`, `"type":"FederatedUser"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the audit log has no %s", want)
		}
	}
	if strings.Contains(string(text), token) || strings.Contains(string(text), *c.SessionToken) {
		t.Error("a token is in the audit log")
	}
}

// Without being named, a provider at a private address is not asked.
func TestPrivateIssuersAreNotAsked(t *testing.T) {
	dial := server.DialIssuer(map[string]string{})
	for _, address := range []string{"127.0.0.1:443", "10.0.0.1:443", "169.254.169.254:443", "[::1]:443", "1.1.1.1:80"} {
		if c, err := dial(t.Context(), "tcp", address); err == nil || !strings.Contains(err.Error(), "--oidc-issuer") {
			t.Errorf("%s: %v, %v", address, c, err)
		}
	}
	dir := t.TempDir()
	_, err := server.Open(t.Context(), server.Config{Data: filepath.Join(dir, "data"), RootKey: filepath.Join(dir, "root.key"), Init: true, OIDCIssuers: map[string]string{"x": "y"}, Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "--oidc-issuer x=y") {
		t.Errorf("a bad address: %v", err)
	}
}
