package gateway_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"borealis/internal/gateway"
)

func TestHangUpEndsTheOperation(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := kms.NewFromConfig(w.ann()).DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: new("slow")})
		done <- err
	}()
	<-w.entered
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the client got %v", err)
	}
	w.Close() // waits for the operation, which waits for its context
	if log := w.log.String(); !strings.Contains(log, "client went away") || strings.Contains(log, "level=ERROR") {
		t.Errorf("log:\n%s", log)
	}
}

// raw sends bytes as they are and returns all that comes back.
func raw(t *testing.T, addr, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	c.(*net.TCPConn).CloseWrite()
	b, _ := io.ReadAll(c) // a reset is an answer too
	return string(b)
}

func TestGarbage(t *testing.T) {
	w := newWorld(t)
	addr := w.Listener.Addr().String()
	for name, text := range map[string]string{
		"nothing":           "",
		"binary":            "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\xff\r\n\r\n",
		"no HTTP":           "HELLO\r\n\r\n",
		"endless header":    "GET / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: " + strings.Repeat("x", 200_000) + "\r\n\r\n",
		"lying length":      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nshort",
		"negative length":   "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
		"two lengths":       "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
		"endless chunks":    "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("8000\r\n"+strings.Repeat("x", 0x8000)+"\r\n", 40),
		"bad chunk":         "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"asterisk":          "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
		"absolute form":     "GET http://elsewhere/%zz?x=%zz HTTP/1.1\r\nHost: x\r\n\r\n",
		"bad query":         "GET /?%zz HTTP/1.1\r\nHost: x\r\n\r\n",
		"nonsense in quite": "GET /?X-Amz-Signature=&X-Amz-Credential=a/b/c/d/e HTTP/1.1\r\nHost: x\r\nAuthorization: AWS4-HMAC-SHA256 ,,=,\r\n\r\n",
	} {
		got := raw(t, addr, text)
		if strings.HasPrefix(got, "HTTP/1.1 2") || strings.HasPrefix(got, "HTTP/1.1 5") {
			t.Errorf("%s: %.200s", name, got)
		}
		if r := w.do(t, call{service: "sts", body: identity}); r.status != 200 {
			t.Fatalf("after %s: %d %s", name, r.status, r.body)
		}
	}
	if strings.Contains(w.log.String(), "level=ERROR") {
		t.Errorf("log:\n%s", w.log.String())
	}
}

func TestHalfRequestsBlockNobody(t *testing.T) {
	w := newWorld(t)
	for i := range 50 {
		c, err := net.Dial("tcp", w.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		half := "POST / HTTP/1.1\r\nHost: x\r\nX-Amz-"
		if i%2 == 0 {
			half = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nAct"
		}
		if _, err := io.WriteString(c, half); err != nil {
			t.Fatal(err)
		}
	}
	if r := w.do(t, call{service: "sts", body: identity}); r.status != 200 {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestTruncatedBodyIsRefused(t *testing.T) {
	w := newWorld(t)
	got := raw(t, w.Listener.Addr().String(), "POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: TrentService.DescribeKey\r\nContent-Length: 100\r\n\r\n{")
	res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(got)), nil)
	if err != nil {
		t.Fatalf("%q: %v", got, err)
	}
	b, _ := io.ReadAll(res.Body)
	if r := parseReply(t, res, b); r.status != 400 || r.code != "SerializationException" {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// Over TLS, and HTTP/2, where the host and the lengths of requests travel
// otherwise.
func TestTLS(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		w := newWorld(t)
		s := httptest.NewUnstartedServer(nil)
		s.Config = gateway.NewServer(w.gateway, slog.New(slog.DiscardHandler))
		s.EnableHTTP2 = http2
		s.StartTLS()
		defer s.Close()
		cfg := w.ann()
		cfg.BaseEndpoint, cfg.HTTPClient = &s.URL, s.Client()
		if _, err := kms.NewFromConfig(cfg).DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: new("x")}); err != nil {
			t.Errorf("HTTP/2 %v: %v", http2, err)
		}
		if !w.lastCaller().SecureTransport {
			t.Errorf("HTTP/2 %v: not secure", http2)
		}
	}
}

func BenchmarkRequest(b *testing.B) {
	w := newWorld(b)
	g := gateway.New(gateway.Config{Credentials: keyring{}, Services: w.services(), Audit: &w.audit, Log: slog.New(slog.DiscardHandler)})
	r := call{header: describe, body: key}.request(b, w.URL)
	b.ReportAllocs()
	for b.Loop() {
		r.Body = io.NopCloser(strings.NewReader(key))
		rec := httptest.NewRecorder()
		if g.ServeHTTP(rec, r); rec.Code != 200 {
			b.Fatal(rec.Body)
		}
	}
}
