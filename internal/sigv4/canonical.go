package sigv4

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// appendCanonical writes r as both sides of a signature see it: method, path,
// query, the signed headers and the hash of the body.
func appendCanonical(b []byte, r *http.Request, s *signature, payload []byte, q query) []byte {
	b = append(b, r.Method...)
	b = append(b, '\n')
	b = appendPath(b, rawPath(r))
	b = append(b, '\n')
	b = q.appendCanonical(b)
	b = append(b, '\n')
	for _, name := range s.headers {
		b = append(b, name...)
		b = append(b, ':')
		b = appendHeader(b, r, name)
		b = append(b, '\n')
	}
	b = append(b, '\n')
	for i, name := range s.headers {
		if i > 0 {
			b = append(b, ';')
		}
		b = append(b, name...)
	}
	b = append(b, '\n')
	return append(b, payload...)
}

// appendHeader appends the values of a header, by its lower-case name, also of
// those that net/http takes out of the header map.
func appendHeader(b []byte, r *http.Request, name string) []byte {
	values := headerValues(r.Header, name)
	switch {
	case name == "host":
		return appendTrimmed(b, r.Host)
	case name == "content-length" && values == nil && r.ContentLength >= 0:
		return strconv.AppendInt(b, r.ContentLength, 10)
	case name == "transfer-encoding":
		values = r.TransferEncoding
	}
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendTrimmed(b, v)
	}
	return b
}

// headerValues is h.Values(name) for a name in lower case. It makes no string of
// the canonical name, of which Values would make one for every X-Amz- header.
func headerValues(h http.Header, name string) []string {
	var key [64]byte
	if len(name) > len(key) {
		return h.Values(name)
	}
	first := true
	for i := range len(name) {
		c := name[i]
		if first && 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		key[i], first = c, c == '-'
	}
	return h[string(key[:len(name)])]
}

// appendTrimmed appends a header's value without the spaces around it, and with
// one space for every run of them inside.
func appendTrimmed(b []byte, value string) []byte {
	value = strings.Trim(value, " \t")
	if !strings.Contains(value, "  ") {
		return append(b, value...)
	}
	space := false
	for i := range len(value) {
		if c := value[i]; c != ' ' || !space {
			b = append(b, c)
			space = c == ' '
		}
	}
	return b
}

// rawPath is the path as it came over the wire, escapes untouched.
func rawPath(r *http.Request) string {
	if p := r.RequestURI; strings.HasPrefix(p, "/") {
		p, _, _ = strings.Cut(p, "?")
		return p
	}
	return r.URL.EscapedPath()
}

// appendPath appends the canonical form of a path: dot segments and empty
// segments resolved, then escaped once more than it was on the wire, as every
// service but S3 does.
func appendPath(b []byte, path string) []byte {
	if path == "" || path == "/" {
		return append(b, '/')
	}
	var kept []string
	segments := strings.Split(path, "/")
	for _, s := range segments {
		switch s {
		case "", ".":
		case "..":
			kept = kept[:max(0, len(kept)-1)]
		default:
			kept = append(kept, s)
		}
	}
	for _, s := range kept {
		b = append(b, '/')
		b = appendEscaped(b, s)
	}
	if last := segments[len(segments)-1]; len(kept) == 0 || last == "" || last == "." || last == ".." {
		b = append(b, '/')
	}
	return b
}

const upperHex = "0123456789ABCDEF"

// appendEscaped percent-encodes everything but RFC 3986's unreserved characters.
func appendEscaped(b []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '~':
			b = append(b, c)
		default:
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return b
}

// A query is a query string's parameters, decoded, in the order sent.
type query []parameter

type parameter struct{ name, value string }

// parseQuery decodes a raw query string; '+' is a space, as it is to the
// services that read it.
func parseQuery(raw string) (query, error) {
	if raw == "" {
		return nil, nil
	}
	var q query
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		n, err1 := url.QueryUnescape(name)
		v, err2 := url.QueryUnescape(value)
		if err1 != nil || err2 != nil {
			return nil, refuse(ErrIncomplete, "The query string is malformed. Re-examine the query-string parameters.")
		}
		q = append(q, parameter{n, v})
	}
	return q, nil
}

// get returns the first parameter of that name.
func (q query) get(name string) (string, bool) {
	for _, p := range q {
		if p.name == name {
			return p.value, true
		}
	}
	return "", false
}

func (q query) count(name string) int {
	n := 0
	for _, p := range q {
		if p.name == name {
			n++
		}
	}
	return n
}

// without is a copy of q that lacks the parameters of that name.
func (q query) without(name string) query {
	return slices.DeleteFunc(slices.Clone(q), func(p parameter) bool { return p.name == name })
}

// appendCanonical appends the parameters escaped and in order of their escaped
// names, then of their escaped values.
func (q query) appendCanonical(b []byte) []byte {
	if len(q) == 0 {
		return b
	}
	escaped := make(query, len(q))
	for i, p := range q {
		escaped[i] = parameter{string(appendEscaped(nil, p.name)), string(appendEscaped(nil, p.value))}
	}
	slices.SortFunc(escaped, func(x, y parameter) int {
		return cmp.Or(strings.Compare(x.name, y.name), strings.Compare(x.value, y.value))
	})
	for i, p := range escaped {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(b, p.name...)
		b = append(b, '=')
		b = append(b, p.value...)
	}
	return b
}
