package e2e

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"borealis/e2e/local"
)

// A proxy stands between a command and the server, writes down what is asked,
// and lets a test step in.
type proxy struct {
	URL string
	// Close ends the proxy once everything that has come this far has happened.
	Close func()

	mu            sync.Mutex
	before, after func(action string)
	actions       []string
}

// newProxy starts a proxy that is gone with t.
func newProxy(t *testing.T, s *local.Server) *proxy {
	t.Helper()
	to, err := url.Parse(s.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{}
	forward := &httputil.ReverseProxy{
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Host = r.In.Host }, // the host is signed
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the command has gone away
		}
		action := actionOf(r, body)
		p.mu.Lock()
		p.actions = append(p.actions, action)
		before, after := p.before, p.after
		p.mu.Unlock()
		if before != nil {
			before(action)
		}
		// What has come this far happens, also if the command goes away meanwhile.
		r = r.WithContext(t.Context())
		r.Body = io.NopCloser(bytes.NewReader(body))
		answer := httptest.NewRecorder()
		forward.ServeHTTP(answer, r)
		if after != nil {
			after(action)
		}
		for k, v := range answer.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	}))
	t.Cleanup(front.Close)
	p.URL, p.Close = front.URL, front.Close
	return p
}

// hook sets what is called before and after each request, by the requests' own
// goroutines; nil for nothing. A request is not answered until after returns.
func (p *proxy) hook(before, after func(action string)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.before, p.after = before, after
}

// actionOf names the operation that a request is for.
func actionOf(r *http.Request, body []byte) string {
	if _, op, ok := strings.Cut(r.Header.Get("X-Amz-Target"), "."); ok {
		return op
	}
	form, _ := url.ParseQuery(string(body))
	return form.Get("Action")
}

// asked are the operations asked for so far.
func (p *proxy) asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.actions)
}

// flags make a command go through the proxy on both sides.
func (p *proxy) flags() []string {
	return []string{"--source-endpoint-url", p.URL, "--target-endpoint-url", p.URL}
}

// nth calls do at the nth request for action.
func nth(n int, action string, do func()) func(string) {
	var mu sync.Mutex
	return func(a string) {
		mu.Lock()
		if a == action {
			n--
		}
		now := a == action && n == 0
		mu.Unlock()
		if now {
			do()
		}
	}
}
