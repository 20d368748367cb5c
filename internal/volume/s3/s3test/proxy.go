package s3test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync"
	"testing"
)

// A Fault is what happens to one request.
type Fault int

// The faults.
const (
	None       Fault = iota
	Refuse           // 500 InternalError, and nothing is done
	SlowDown         // 503 SlowDown, and nothing is done
	Reset            // the connection is reset, and nothing is done
	ResetHalf        // the connection is reset in the middle of the request
	LoseAnswer       // it is done, and the connection is reset
	ErrAnswer        // it is done, and answered 500
	Truncate         // it is done, and the answer's body ends half way
	Pretend          // nothing is done, and it is answered as a PUT that was
	Hang             // nothing is done and nothing answered until the client goes
)

// Faults are all of them, by name.
var Faults = map[string]Fault{
	"refused": Refuse, "slow down": SlowDown, "reset": Reset, "reset half way": ResetHalf,
	"answer lost": LoseAnswer, "answered 500": ErrAnswer, "truncated": Truncate,
}

// A Proxy passes requests on to a Server, but for those that Decide has something
// else in mind for.
type Proxy struct {
	URL string

	mu     sync.Mutex
	decide func(r *http.Request) Fault
	to     *url.URL
	pass   *httputil.ReverseProxy
	direct *http.Transport
}

// NewProxy starts a proxy in front of s, gone with t.
func NewProxy(t testing.TB, s *Server) *Proxy {
	t.Helper()
	to, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{to: to, direct: &http.Transport{MaxIdleConnsPerHost: 32}}
	p.pass = &httputil.ReverseProxy{
		// The Host header is signed, and stays as it is.
		Rewrite:      func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = to.Scheme, to.Host },
		Transport:    p.direct,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { cut(w) },
	}
	h := httptest.NewServer(p)
	t.Cleanup(func() {
		h.CloseClientConnections()
		h.Close()
		p.direct.CloseIdleConnections()
	})
	p.URL = h.URL
	return p
}

// Location is that of a prefix, reached through the proxy.
func (p *Proxy) Location(bucket, prefix string) string {
	return fmt.Sprintf("s3://%s/%s?endpoint=%s&region=%s", bucket, prefix, p.URL, Region)
}

// Decide lets f decide about requests from now on; nil lets all pass. It may be
// called concurrently.
func (p *Proxy) Decide(f func(r *http.Request) Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.decide = f
}

func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	decide := p.decide
	p.mu.Unlock()
	fault := None
	if decide != nil {
		fault = decide(r)
	}
	switch fault {
	case None:
		p.pass.ServeHTTP(w, r)
	case Refuse, SlowDown:
		_, _ = io.Copy(io.Discard, r.Body)
		complain(w, fault)
	case Reset:
		cut(w)
	case ResetHalf:
		_, _ = io.CopyN(io.Discard, r.Body, r.ContentLength/2)
		cut(w)
	case Pretend:
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("ETag", `"pretended"`)
	case Hang:
		_, _ = io.Copy(io.Discard, r.Body) // only then is it seen that the client goes
		<-r.Context().Done()
	case LoseAnswer, ErrAnswer, Truncate:
		p.spoil(w, r, fault)
	}
}

// spoil does what is asked and spoils the answer.
func (p *Proxy) spoil(w http.ResponseWriter, r *http.Request, fault Fault) {
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host, out.RequestURI = p.to.Scheme, p.to.Host, ""
	resp, err := p.direct.RoundTrip(out)
	if err != nil {
		cut(w)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil || fault == LoseAnswer:
		cut(w)
	case fault == ErrAnswer:
		complain(w, Refuse)
	default:
		for k, v := range resp.Header {
			w.Header()[k] = v
		}
		if r.Method != http.MethodHead {
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		}
		w.WriteHeader(resp.StatusCode)
		_, _ = w.Write(body[:len(body)/2])
		cut(w)
	}
}

// complain answers as S3 does when it is in trouble.
func complain(w http.ResponseWriter, fault Fault) {
	code, status := "InternalError", http.StatusInternalServerError
	if fault == SlowDown {
		code, status = "SlowDown", http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>as told</Message></Error>`, code)
}

// cut resets the connection.
func cut(w http.ResponseWriter) {
	c, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // which closes it
	}
	if tcp, ok := c.(*net.TCPConn); ok && buffered.Writer.Buffered() == 0 {
		_ = tcp.SetLinger(0) // which would overtake what is still to be written
	}
	_ = buffered.Flush()
	_ = c.Close()
}
