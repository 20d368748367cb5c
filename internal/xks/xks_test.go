package xks_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"borealis/internal/xks"
	"borealis/internal/xks/xkstest"
)

const (
	host      = "example.com" // the name in httptest's certificate
	accessKey = "KMSXKSPROXYACCESSKEY2345"
	secret    = "FYtE5EFA5FT0mCc3DrGUe2sti527BitkQ0Zr9MO9fvE"
)

var call = xks.Call{
	Principal: "arn:aws:iam::111122223333:user/ann", KeyARN: "arn:aws:kms:eu-west-1:111122223333:key/k",
	Operation: "Encrypt", RequestID: "r-1", ViaService: "rds",
}

// serve serves h over TLS, and returns a client that finds it at https://example.com.
func serve(t *testing.T, h http.Handler) (*xks.Client, xks.Proxy) {
	t.Helper()
	s := httptest.NewTLSServer(h)
	t.Cleanup(s.Close)
	return client(t, s, s.Listener.Addr().String()), proxy()
}

func client(t *testing.T, s *httptest.Server, address string) *xks.Client {
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	c := xks.New(xks.Config{Hosts: map[string]string{host: address}, Roots: roots})
	t.Cleanup(c.Close)
	return c
}

func proxy() xks.Proxy {
	return xks.Proxy{Endpoint: "https://" + host, Path: "/acme/kms/xks/v1", Region: "eu-west-1", AccessKeyID: accessKey, Secret: secret}
}

func acme() *xkstest.Proxy {
	p := &xkstest.Proxy{Prefix: "/acme", Credentials: map[string]string{accessKey: secret}}
	p.AddKey("key-1")
	return p
}

// kind is what sort of *xks.Error err is, or "".
func kind(t *testing.T, err error) xks.Kind {
	t.Helper()
	if err == nil {
		return ""
	}
	e, ok := errors.AsType[*xks.Error](err)
	if !ok {
		t.Fatalf("%v is no *xks.Error", err)
	}
	return e.Kind
}

func TestRoundTrip(t *testing.T) {
	h := acme()
	c, p := serve(t, h)
	if err := c.Health(t.Context(), p, call); err != nil {
		t.Fatal(err)
	}
	k, err := c.Describe(t.Context(), p, "key-1", call)
	if err != nil || k.Spec != "AES_256" || k.Status != "ENABLED" {
		t.Fatalf("%v, %v", k, err)
	}
	for _, associated := range [][]byte{nil, []byte("project=nile"), bytes.Repeat([]byte("a"), 8192)} {
		for _, size := range []int{1, 32, 4300} {
			plaintext := bytes.Repeat([]byte{7}, size)
			m, err := c.Encrypt(t.Context(), p, "key-1", call, plaintext, associated)
			if err != nil {
				t.Fatal(err)
			}
			h.AddKey("key-1") // a new version: what the old one encrypted still opens
			got, err := c.Decrypt(t.Context(), p, "key-1", call, m, associated)
			if err != nil || !bytes.Equal(got, plaintext) {
				t.Fatalf("%d bytes, %d associated: %v", size, len(associated), err)
			}
			if _, err := c.Decrypt(t.Context(), p, "key-1", call, m, append(associated, 'x')); kind(t, err) != xks.InvalidCiphertext && kind(t, err) != xks.BadAnswer {
				t.Errorf("other associated data: %v", err)
			}
		}
	}
}

// The proxy learns who asks and why: as much as the API says, for each operation.
func TestMetadata(t *testing.T) {
	h := acme()
	c, p := serve(t, h)
	if err := c.Health(t.Context(), p, call); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Describe(t.Context(), p, "key-1", call); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Encrypt(t.Context(), p, "key-1", call, []byte("x"), nil); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`{"kmsOperation":"Encrypt","kmsRequestId":"r-1"}`,
		`{"awsPrincipalArn":"arn:aws:iam::111122223333:user/ann","kmsOperation":"Encrypt","kmsRequestId":"r-1"}`,
		`{"awsPrincipalArn":"arn:aws:iam::111122223333:user/ann","kmsKeyArn":"arn:aws:kms:eu-west-1:111122223333:key/k","kmsOperation":"Encrypt","kmsRequestId":"r-1","kmsViaService":"rds"}`,
	}
	for i, r := range h.Requests() {
		if got, _ := json.Marshal(r.Metadata); string(got) != want[i] {
			t.Errorf("%s: %s", r.Operation, got)
		}
	}
}

// What a proxy reports is told apart.
func TestReported(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*xkstest.Proxy)
		key    string
		want   xks.Kind
	}{
		"wrong secret":   {func(p *xkstest.Proxy) { p.Credentials[accessKey] = strings.Repeat("x", 43) }, "key-1", xks.AuthenticationFailed},
		"wrong key id":   {func(p *xkstest.Proxy) { delete(p.Credentials, accessKey) }, "key-1", xks.AuthenticationFailed},
		"wrong path":     {func(p *xkstest.Proxy) { p.Prefix = "/other" }, "key-1", xks.InvalidURIPath},
		"denied":         {func(p *xkstest.Proxy) { p.Allow = func(xkstest.Request) bool { return false } }, "key-1", xks.AccessDenied},
		"no such key":    {func(*xkstest.Proxy) {}, "key-2", xks.KeyNotFound},
		"nothing wrong":  {func(*xkstest.Proxy) {}, "key-1", ""},
		"all unhealthy":  {func(p *xkstest.Proxy) { p.Health = "UNAVAILABLE" }, "", xks.Unavailable},
		"only degraded":  {func(p *xkstest.Proxy) { p.Health = "DEGRADED" }, "", ""},
		"strange health": {func(p *xkstest.Proxy) { p.Health = "FINE" }, "", xks.BadAnswer},
	} {
		t.Run(name, func(t *testing.T) {
			h := acme()
			c.change(h)
			client, p := serve(t, h)
			err := client.Health(t.Context(), p, call)
			if c.key != "" {
				_, err = client.Encrypt(t.Context(), p, c.key, call, []byte("x"), nil)
			}
			if got := kind(t, err); got != c.want {
				t.Errorf("%q, not %q: %v", got, c.want, err)
			}
		})
	}
	for name, c := range map[string]struct {
		change func(*xkstest.Key)
		want   xks.Kind
	}{
		"disabled":         {func(k *xkstest.Key) { k.Status = "DISABLED" }, xks.InvalidState},
		"not for this":     {func(k *xkstest.Key) { k.Usage = []string{"DECRYPT"} }, xks.InvalidKeyUsage},
		"of another sort":  {func(k *xkstest.Key) { k.Spec = "RSA_2048" }, xks.Unsupported},
		"nothing is wrong": {func(*xkstest.Key) {}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := acme()
			h.SetKey("key-1", c.change)
			client, p := serve(t, h)
			_, err := client.Encrypt(t.Context(), p, "key-1", call, []byte("x"), nil)
			if got := kind(t, err); got != c.want {
				t.Errorf("%q, not %q: %v", got, c.want, err)
			}
		})
	}
}

// tampered passes requests on to a proxy, and changes its answers.
func tampered(p http.Handler, change func(status int, body []byte) (int, []byte)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		p.ServeHTTP(rec, r)
		status, body := change(rec.Code, rec.Body.Bytes())
		w.WriteHeader(status)
		w.Write(body)
	})
}

// member replaces one member of a JSON answer.
func member(name string, value any) func(int, []byte) (int, []byte) {
	return func(status int, body []byte) (int, []byte) {
		var m map[string]any
		if json.Unmarshal(body, &m) != nil {
			return status, body
		}
		m[name] = value
		body, _ = json.Marshal(m)
		return status, body
	}
}

// No answer that is not exactly one of the API's gets through.
func TestBadAnswers(t *testing.T) {
	says := func(status int, body string) func(int, []byte) (int, []byte) {
		return func(int, []byte) (int, []byte) { return status, []byte(body) }
	}
	for name, change := range map[string]func(int, []byte) (int, []byte){
		"garbage":                says(200, "\x00\x01\x02"),
		"nothing":                says(200, ""),
		"null":                   says(200, "null"),
		"a list":                 says(200, "[]"),
		"an empty object":        says(200, "{}"),
		"two objects":            says(200, "{}{}"),
		"oversized":              says(200, `{"ciphertext":"`+strings.Repeat("A", 100_000)+`"}`),
		"a redirect":             says(307, ""),
		"a redirect with a name": says(302, `{"errorName":"KeyNotFoundException"}`),
		"500 without JSON":       says(500, "<html>"),
		"an unknown error name":  says(400, `{"errorName":"TeapotException"}`),
		"204":                    says(204, ""),
		"wrong integrity value":  member("ciphertextDataIntegrityValue", make([]byte, 32)),
		"no integrity value":     member("ciphertextDataIntegrityValue", nil),
		"another ciphertext":     member("ciphertext", []byte("y")),
		"a long ciphertext":      member("ciphertext", []byte("yy")),
		"an IV of 11 bytes":      member("initializationVector", make([]byte, 11)),
		"a tag of 12 bytes":      member("authenticationTag", make([]byte, 12)),
		"21 bytes of metadata":   member("ciphertextMetadata", make([]byte, 21)),
		"ciphertext, no base64":  member("ciphertext", "?"),
		"ciphertext, a number":   member("ciphertext", 1),
	} {
		t.Run(name, func(t *testing.T) {
			c, p := serve(t, tampered(acme(), change))
			_, err := c.Encrypt(t.Context(), p, "key-1", call, []byte("x"), []byte("aad"))
			if got := kind(t, err); got != xks.BadAnswer {
				t.Errorf("%q: %v", got, err)
			}
			if err != nil && strings.Contains(err.Error(), "html") {
				t.Errorf("quotes the proxy: %v", err)
			}
		})
	}
}

// A proxy that redirects does not get its client to go there.
func TestNoRedirect(t *testing.T) {
	var elsewhere atomic.Int32
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			elsewhere.Add(1)
		}
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	c, p := serve(t, h)
	if got := kind(t, c.Health(t.Context(), p, call)); got != xks.BadAnswer || elsewhere.Load() != 0 {
		t.Errorf("%q, and %d requests followed", got, elsewhere.Load())
	}
}

// An answer that does not come in time is not waited for, and asked for once.
func TestSlow(t *testing.T) {
	var asked atomic.Int32
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
		case <-time.After(5 * time.Second):
		}
	})
	c, p := serve(t, h)
	start := time.Now()
	err := c.Health(t.Context(), p, call)
	if got := kind(t, err); got != xks.TimedOut {
		t.Errorf("%q: %v", got, err)
	}
	if d := time.Since(start); d < xks.Timeout || d > 4*time.Second {
		t.Errorf("waited %v", d)
	}
	if asked.Load() != 1 {
		t.Errorf("asked %d times", asked.Load())
	}
}

// A network that lets no connection through is tried twice.
func TestNoConnectionInTime(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var accepted atomic.Int32
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close() // and never a TLS handshake
			accepted.Add(1)
		}
	}()
	c := xks.New(xks.Config{Hosts: map[string]string{host: l.Addr().String()}, Timeout: 50 * time.Millisecond})
	defer c.Close()
	if got := kind(t, c.Health(t.Context(), proxy(), call)); got != xks.Unreachable {
		t.Errorf("%q", got)
	}
	if accepted.Load() != 2 {
		t.Errorf("%d connections", accepted.Load())
	}
}

func TestDown(t *testing.T) {
	s := httptest.NewTLSServer(acme())
	c := client(t, s, s.Listener.Addr().String())
	if err := c.Health(t.Context(), proxy(), call); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if got := kind(t, c.Health(t.Context(), proxy(), call)); got != xks.Unreachable {
		t.Errorf("%q", got)
	}
}

// Who knows an access key id and not its secret does not get requests signed
// because somebody else's were.
func TestSecretsAreApart(t *testing.T) {
	c, p := serve(t, acme())
	if err := c.Health(t.Context(), p, call); err != nil {
		t.Fatal(err)
	}
	other := p
	other.Secret = strings.Repeat("x", 43)
	if got := kind(t, c.Health(t.Context(), other, call)); got != xks.AuthenticationFailed {
		t.Errorf("another secret: %q", got)
	}
	if err := c.Health(t.Context(), p, call); err != nil {
		t.Error(err)
	}
}

// A connection is used again; one that the proxy has closed meanwhile is replaced.
func TestConnectionReuse(t *testing.T) {
	s := httptest.NewUnstartedServer(acme())
	var opened atomic.Int32
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	s.StartTLS()
	defer s.Close()
	c := client(t, s, s.Listener.Addr().String())
	for range 5 {
		if err := c.Health(t.Context(), proxy(), call); err != nil {
			t.Fatal(err)
		}
	}
	if opened.Load() != 1 {
		t.Errorf("%d connections for 5 requests", opened.Load())
	}
	s.CloseClientConnections()
	if err := c.Health(t.Context(), proxy(), call); err != nil {
		t.Errorf("after the proxy closed the connection: %v", err)
	}
}

func TestTLS(t *testing.T) {
	s := httptest.NewTLSServer(acme())
	defer s.Close()
	address := s.Listener.Addr().String()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	old := httptest.NewUnstartedServer(acme())
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11}
	old.StartTLS()
	defer old.Close()
	oldRoots := x509.NewCertPool()
	oldRoots.AddCert(old.Certificate())
	plain := httptest.NewServer(acme())
	defer plain.Close()
	for name, cfg := range map[string]xks.Config{
		"unknown authority": {Hosts: map[string]string{host: address}},
		"another host":      {Hosts: map[string]string{"other.test": address}, Roots: roots},
		"TLS 1.1":           {Hosts: map[string]string{host: old.Listener.Addr().String()}, Roots: oldRoots},
		"no TLS":            {Hosts: map[string]string{host: plain.Listener.Addr().String()}, Roots: roots},
	} {
		t.Run(name, func(t *testing.T) {
			c := xks.New(cfg)
			defer c.Close()
			p := proxy()
			for h := range cfg.Hosts {
				p.Endpoint = "https://" + h
			}
			if err := c.Health(t.Context(), p, call); kind(t, err) != xks.BadTLS {
				t.Errorf("%v", err)
			}
		})
	}
}

// Without the operator's word no address is reached that is not public.
func TestForbidden(t *testing.T) {
	c := xks.New(xks.Config{Timeout: time.Second})
	defer c.Close()
	for _, endpoint := range []string{
		"https://localhost", "https://127.0.0.1", "https://169.254.169.254", "https://10.0.0.1", "https://192.168.1.1",
		"https://172.16.0.1", "https://0.0.0.0", "https://100.64.0.1", "https://[::1]", "https://[fe80::1]", "https://[fd00::1]",
		"https://[::ffff:127.0.0.1]", "https://[64:ff9b::7f00:1]", "https://255.255.255.255", "https://224.0.0.1",
	} {
		p := proxy()
		p.Endpoint = endpoint
		if got := kind(t, c.Health(t.Context(), p, call)); got != xks.Forbidden {
			t.Errorf("%s: %q", endpoint, got)
		}
	}
}

func TestSecretStaysSecret(t *testing.T) {
	if s := proxy().GoString() + proxy().String() + proxy().LogValue().String(); strings.Contains(s, secret) {
		t.Error(s)
	}
}
