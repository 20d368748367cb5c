package sigv4_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"borealis/internal/sigv4"
)

// Whatever the path, the query and the headers hold, both sides canonicalize
// them alike; and a change in any of them shows.
func TestSDKAndVerifierAgree(t *testing.T) {
	v := sigv4.New(keyring{})
	text := rapid.StringMatching(`[ -~é☃]{0,12}`)
	rapid.Check(t, func(rt *rapid.T) {
		query := url.Values{}
		for range rapid.IntRange(0, 4).Draw(rt, "parameters") {
			query.Add(rapid.StringMatching(`[a-zA-Z+ é./-]{1,5}`).Draw(rt, "name"), text.Draw(rt, "value"))
		}
		path := "/"
		for range rapid.IntRange(0, 3).Draw(rt, "segments") {
			path += url.PathEscape("s"+text.Draw(rt, "segment")) + "/"
		}
		q := request{
			method: rapid.SampledFrom([]string{"GET", "POST"}).Draw(rt, "method"),
			url:    "http://localhost:4566" + path + "?" + query.Encode(),
			body:   text.Draw(rt, "body"),
			header: http.Header{
				"X-Amz-Target": {text.Draw(rt, "target")},
				"X-Many":       {"a", text.Draw(rt, "second"), "  b  c "},
			},
		}
		r, body := q.signed(t)
		if _, err := v.Verify(r, body, now); err != nil {
			rt.Fatalf("%s %s: %v", q.method, q.url, err)
		}
		switch rapid.SampledFrom([]string{"body", "query", "path", "header"}).Draw(rt, "tampered") {
		case "body":
			body = append(body, 'x')
		case "query":
			r.URL.RawQuery += "&x=y"
		case "path":
			r.URL.Path, r.URL.RawPath = r.URL.Path+"x", ""
		case "header":
			r.Header["X-Many"] = []string{strings.Join(r.Header["X-Many"], ",") + "x"}
		}
		if _, err := v.Verify(r, body, now); err == nil {
			rt.Fatalf("%s %s: accepted after it was changed", q.method, q.url)
		}
	})
}
