package e2e

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/rds"

	"borealis/internal/xks/xkstest"
)

const (
	xksHost   = "example.com" // in httptest's certificate
	xksKeyID  = "KMSXKSPROXYACCESSKEY2345"
	xksSecret = "FYtE5EFA5FT0mCc3DrGUe2sti527BitkQ0Zr9MO9fvE"
)

// An ekm is an external key store proxy at which things go wrong when they should.
type ekm struct {
	*xkstest.Proxy
	server *httptest.Server

	mu    sync.Mutex
	wrong http.Handler // answers in the proxy's place, if not nil
}

func newEKM(t *testing.T) *ekm {
	e := &ekm{Proxy: &xkstest.Proxy{Prefix: "/acme", Credentials: map[string]string{xksKeyID: xksSecret}}}
	e.AddKey("key-1")
	e.server = httptest.NewTLSServer(e)
	t.Cleanup(e.server.Close)
	return e
}

func (e *ekm) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	h := e.wrong
	e.mu.Unlock()
	if h == nil {
		h = e.Proxy
	}
	h.ServeHTTP(w, r)
}

// goWrong makes h answer until it is called again with nil.
func (e *ekm) goWrong(h http.HandlerFunc) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.wrong = nil
	if h != nil {
		e.wrong = h
	}
}

// flags are those of a server that may ask e.
func (e *ekm) flags(t *testing.T, timeout time.Duration) []string {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: e.server.Certificate().Raw})
	if err := os.WriteFile(ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"--xks-proxy", xksHost + "=" + e.server.Listener.Addr().String(), "--xks-ca", ca, "--xks-timeout", timeout.String()}
}

func xksStore(name string) *kms.CreateCustomKeyStoreInput {
	return &kms.CreateCustomKeyStoreInput{
		CustomKeyStoreName: &name, CustomKeyStoreType: "EXTERNAL_KEY_STORE", XksProxyConnectivity: "PUBLIC_ENDPOINT",
		XksProxyUriEndpoint: new("https://" + xksHost), XksProxyUriPath: new("/acme/kms/xks/v1"),
		XksProxyAuthenticationCredential: &kmstypes.XksProxyAuthenticationCredentialType{AccessKeyId: new(xksKeyID), RawSecretAccessKey: new(xksSecret)},
	}
}

// connected connects a store and waits for that; it gives the state that it got to.
func (p *person) connected(store *string) string {
	p.t.Helper()
	_, err := p.kms().ConnectCustomKeyStore(p.t.Context(), &kms.ConnectCustomKeyStoreInput{CustomKeyStoreId: store})
	p.must("connect", err)
	for range 200 {
		out, err := p.kms().DescribeCustomKeyStores(p.t.Context(), &kms.DescribeCustomKeyStoresInput{CustomKeyStoreId: store})
		p.must("describe", err)
		if e := out.CustomKeyStores[0]; e.ConnectionState != "CONNECTING" {
			return strings.TrimSpace(string(e.ConnectionState) + " " + string(e.ConnectionErrorCode))
		}
		time.Sleep(quick)
	}
	p.t.Fatal("the store does not stop connecting")
	return ""
}

// externalKey makes a store with a key in it, and gives both.
func (p *person) externalKey(name string) (store, key *string) {
	p.t.Helper()
	out, err := p.kms().CreateCustomKeyStore(p.t.Context(), xksStore(name))
	p.must("create store", err)
	if got := p.connected(out.CustomKeyStoreId); got != "CONNECTED" {
		p.t.Fatalf("the store is %s", got)
	}
	k, err := p.kms().CreateKey(p.t.Context(), &kms.CreateKeyInput{Origin: "EXTERNAL_KEY_STORE", CustomKeyStoreId: out.CustomKeyStoreId, XksKeyId: new("key-1")})
	p.must("create key", err)
	return out.CustomKeyStoreId, k.KeyMetadata.Arn
}

// once is a client that does not try again what the server says may be tried again.
func (p *person) once() *kms.Client {
	return kms.NewFromConfig(p.config(), func(o *kms.Options) { o.RetryMaxAttempts = 1 })
}

// A key in an external key store, with the SDK and a proxy: it is used as others
// are, through a crash of the server, a proxy that goes and comes, and a change of
// the proxy's credentials; and nobody finds the proxy's secret.
func TestExternalKeyStore(t *testing.T) {
	e := newEKM(t)
	flags := e.flags(t, 5*time.Second)
	s := newServer(t, flags...)
	ann, ctx := root(t, s, accountA), t.Context()
	store, key := ann.externalKey("store")
	context := map[string]string{"project": "nile"}
	sealed, err := ann.kms().Encrypt(ctx, &kms.EncryptInput{KeyId: key, Plaintext: []byte("secret"), EncryptionContext: context})
	ann.must("encrypt", err)
	opens := func(when string) {
		t.Helper()
		out, err := ann.once().Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob, EncryptionContext: context})
		if err != nil || string(out.Plaintext) != "secret" {
			t.Errorf("decrypt %s: %v", when, err)
		}
	}
	opens("at once")
	for _, r := range e.Requests() {
		if r.Operation == "encrypt" && (string(r.Associated) != `{"project":"nile"}` || r.Metadata["kmsKeyArn"] != *key || r.Metadata["awsPrincipalArn"] != "arn:aws:iam::"+accountA+":root") {
			t.Errorf("the proxy heard %v, %s", r.Metadata, r.Associated)
		}
	}
	d, err := ann.kms().GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: key, KeySpec: "AES_256"})
	ann.must("make a data key", err)
	if out, err := ann.kms().Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: d.CiphertextBlob}); err != nil || !bytes.Equal(out.Plaintext, d.Plaintext) {
		t.Errorf("the data key: %v", err)
	}
	there, err := ann.kms().ReEncrypt(ctx, &kms.ReEncryptInput{CiphertextBlob: sealed.CiphertextBlob, SourceEncryptionContext: context, DestinationKeyId: new(ann.newKey())})
	ann.must("take it out", err)
	if _, err := ann.kms().ReEncrypt(ctx, &kms.ReEncryptInput{CiphertextBlob: there.CiphertextBlob, DestinationKeyId: key}); err != nil {
		t.Errorf("bring it back: %v", err)
	}

	e.AddKey("key-1") // the external key manager rotates it
	opens("after the external key was rotated")
	s.Kill()
	start(t, s, flags...)
	opens("after a crash")

	e.Set(func(p *xkstest.Proxy) { p.Credentials["ANOTHERXKSPROXYKEY234567"] = strings.Repeat("z", 43) })
	update := &kms.UpdateCustomKeyStoreInput{CustomKeyStoreId: store, XksProxyAuthenticationCredential: &kmstypes.XksProxyAuthenticationCredentialType{
		AccessKeyId: new("ANOTHERXKSPROXYKEY234567"), RawSecretAccessKey: new(strings.Repeat("y", 43)),
	}}
	_, err = ann.kms().UpdateCustomKeyStore(ctx, update)
	refused(t, "another credential", err, "XksProxyIncorrectAuthenticationCredentialException")
	update.XksProxyAuthenticationCredential.RawSecretAccessKey = new(strings.Repeat("z", 43))
	_, err = ann.kms().UpdateCustomKeyStore(ctx, update)
	ann.must("change the credential", err)
	e.Set(func(p *xkstest.Proxy) { delete(p.Credentials, xksKeyID) })
	opens("with the new credential")

	_, err = ann.kms().DisconnectCustomKeyStore(ctx, &kms.DisconnectCustomKeyStoreInput{CustomKeyStoreId: store})
	ann.must("disconnect", err)
	_, err = ann.once().Encrypt(ctx, &kms.EncryptInput{KeyId: key, Plaintext: []byte("x")})
	refused(t, "encrypt when disconnected", err, "KMSInvalidStateException", *key+" is unavailable.")
	s.Kill()
	start(t, s, flags...)
	if got := ann.connected(store); got != "CONNECTED" {
		t.Errorf("connected again: %s", got)
	}
	opens("when connected again")
	_, err = ann.kms().EnableKeyRotation(ctx, &kms.EnableKeyRotationInput{KeyId: key})
	refused(t, "rotate", err, "UnsupportedOperationException")
	_, err = ann.kms().GetParametersForImport(ctx, &kms.GetParametersForImportInput{KeyId: key, WrappingAlgorithm: "RSAES_OAEP_SHA_256", WrappingKeySpec: "RSA_2048"})
	refused(t, "import", err, "UnsupportedOperationException", "origin is EXTERNAL_KEY_STORE which is not valid for this operation.")
	nowhere(t, s.Dir, xksSecret, strings.Repeat("z", 43))
}

// nowhere wants secrets to be in no file below dir.
func nowhere(t *testing.T, dir string, secrets ...string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		for _, s := range secrets {
			if bytes.Contains(text, []byte(s)) {
				t.Errorf("%s has a proxy's secret", path)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// answers answers every request with this.
func answers(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

// Whatever a proxy does, requests about its keys fail in KMS's words, soon, and
// requests about other keys are none the worse; and when it works again, so do
// its keys.
func TestBrokenProxies(t *testing.T) {
	e := newEKM(t)
	s := newServer(t, e.flags(t, time.Second)...)
	ann, ctx := root(t, s, accountA), t.Context()
	_, key := ann.externalKey("store")
	plain := ann.newKey()
	sealed, err := ann.kms().Encrypt(ctx, &kms.EncryptInput{KeyId: key, Plaintext: []byte("secret")})
	ann.must("encrypt", err)
	const interpret = "AWS KMS cannot interpret the response from the external key store proxy."
	for name, c := range map[string]struct {
		wrong http.HandlerFunc
		want  string
	}{
		"garbage": {answers(200, "\x00garbage"), interpret},
		"500":     {answers(500, "<html>"), interpret},
		"503":     {answers(503, `{"errorName":"DependencyTimeoutException"}`), "The external key store proxy did not respond to the request in the time allotted."},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, s.Endpoint, http.StatusTemporaryRedirect)
		}, interpret},
		"oversized":    {answers(200, `{"plaintext":"`+strings.Repeat("A", 1<<20)+`"}`), interpret},
		"wrong CDIV":   {e.tampered("ciphertextDataIntegrityValue", make([]byte, 32)), interpret},
		"credentials":  {answers(401, `{"errorName":"AuthenticationFailedException"}`), "The external key store proxy rejected the request because it could not authenticate AWS KMS."},
		"key disabled": {answers(400, `{"errorName":"InvalidStateException"}`), "is not enabled in the external key manager."},
		"key gone":     {answers(404, `{"errorName":"KeyNotFoundException","errorMessage":"the proxy's words"}`), "was not found in its external key manager."},
		"slow":         {hang, "the external key store proxy did not respond in time."},
		"hangs up":     {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "AWS KMS cannot communicate with the external key store proxy."},
	} {
		t.Run(name, func(t *testing.T) {
			e.goWrong(c.wrong)
			defer e.goWrong(nil)
			before := time.Now()
			_, err := ann.once().Encrypt(ctx, &kms.EncryptInput{KeyId: key, Plaintext: []byte("x")})
			refused(t, "encrypt", err, "KMSInvalidStateException", c.want)
			if took := time.Since(before); took > 8*time.Second {
				t.Errorf("took %v", took)
			}
			if err != nil && strings.Contains(err.Error(), "the proxy's words") {
				t.Errorf("the proxy speaks: %v", err)
			}
			if name != "wrong CDIV" {
				_, err = ann.once().Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob})
				refused(t, "decrypt", err, "KMSInvalidStateException", c.want)
			}
			if _, err := ann.once().Encrypt(ctx, &kms.EncryptInput{KeyId: &plain, Plaintext: []byte("x")}); err != nil {
				t.Errorf("another key: %v", err)
			}
		})
	}
	ann.must("decrypt when all is well", func() error {
		_, err := ann.once().Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob})
		return err
	}())

	// Many who wait for a dead proxy keep nobody else waiting.
	e.goWrong(hang)
	var waiting sync.WaitGroup
	for range 20 {
		waiting.Go(func() { ann.once().Encrypt(ctx, &kms.EncryptInput{KeyId: key, Plaintext: []byte("x")}) })
	}
	before := time.Now()
	for range 20 {
		_, err := ann.once().Encrypt(ctx, &kms.EncryptInput{KeyId: &plain, Plaintext: []byte("x")})
		ann.must("use another key", err)
	}
	if took := time.Since(before); took > 15*time.Second {
		t.Errorf("20 requests about another key took %v", took)
	}
	waiting.Wait()
	e.server.CloseClientConnections()
	e.server.Close()
	_, err = ann.once().Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob})
	refused(t, "decrypt with no proxy there", err, "KMSInvalidStateException", "AWS KMS cannot communicate with the external key store proxy.")
}

// hang answers nothing until the client goes away.
func hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // only then is the client's going noticed
	select {
	case <-r.Context().Done():
	case <-time.After(10 * time.Second):
	}
}

// tampered is the proxy with one member of its answers replaced.
func (e *ekm) tampered(name string, value any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		e.Proxy.ServeHTTP(rec, r)
		var m map[string]any
		if json.Unmarshal(rec.Body.Bytes(), &m) == nil && rec.Code == http.StatusOK {
			m[name] = value
		}
		w.WriteHeader(rec.Code)
		_ = json.NewEncoder(w).Encode(m)
	}
}

// Nobody makes the server connect to what is not public.
func TestNoServerSideRequests(t *testing.T) {
	e := newEKM(t)
	s := newServer(t)
	ann, ctx := root(t, s, accountA), t.Context()
	for _, endpoint := range []string{"https://localhost", "https://127.0.0.1", "https://169.254.169.254"} {
		in := xksStore("store")
		in.XksProxyUriEndpoint = &endpoint
		_, err := ann.kms().CreateCustomKeyStore(ctx, in)
		refused(t, endpoint, err, "XksProxyUriUnreachableException", "AWS KMS cannot communicate with the external key store proxy.")
	}
	for _, endpoint := range []string{"http://example.com", "https://example.com:8443", "https://user@example.com", "https://example.com/x"} {
		in := xksStore("store")
		in.XksProxyUriEndpoint = &endpoint
		_, err := ann.kms().CreateCustomKeyStore(ctx, in)
		refused(t, endpoint, err, "ValidationException")
	}
	if n := len(e.Requests()); n > 0 {
		t.Errorf("%d requests", n)
	}
	_, err := ann.kms().CreateCustomKeyStore(ctx, &kms.CreateCustomKeyStoreInput{
		CustomKeyStoreName: new("hsm"), CloudHsmClusterId: new("cluster-3a2b3c4d5e6"), KeyStorePassword: new("kmsPswd99"), TrustAnchorCertificate: new("x"),
	})
	refused(t, "a CloudHSM key store", err, "UnsupportedOperationException", "-tags pkcs11")
}

// A database under a key in an external key store is like any other, as long as
// the owner of the external key wants it to be.
func TestClusterUnderExternalKey(t *testing.T) {
	e := newEKM(t)
	s := newServer(t, e.flags(t, 5*time.Second)...)
	ann, ctx := root(t, s, accountA), t.Context()
	_, key := ann.externalKey("store")
	_, err := ann.rds().CreateDBCluster(ctx, &rds.CreateDBClusterInput{
		DBClusterIdentifier: new("orders"), Engine: new(postgresql), StorageEncrypted: new(true), KmsKeyId: key,
		MasterUsername: new("keeper"), MasterUserPassword: new(firstPassword), DatabaseName: new("shop"),
	})
	ann.must("create cluster", err)
	ann.available("cluster", "orders")
	ann.must("take a snapshot", ann.take(ctx, "nightly", "orders"))
	ann.available("snapshot", "nightly")
	ann.must("restore it", ann.restore(ctx, "nightly", "again", *key))
	ann.available("cluster", "again")
	seen := false
	for _, r := range e.Requests() {
		seen = seen || r.Operation == "decrypt" && strings.Contains(string(r.Associated), "aws:rds:dbc-id")
	}
	if !seen {
		t.Errorf("the proxy has not heard of the cluster: %v", e.Requests())
	}
	e.DeleteKey("key-1")
	if err := ann.restore(ctx, "nightly", "never", *key); err == nil {
		for range 600 {
			if st := ann.statusOf("cluster", "never"); st != "creating" {
				break
			}
			time.Sleep(quick)
		}
		if st := ann.statusOf("cluster", "never"); st == "available" {
			t.Error("a snapshot was restored without its external key")
		}
	}
}
