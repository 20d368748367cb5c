package sigv4

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"borealis/internal/cloud"
)

// A signature is what a request says of its own signing, taken apart but not
// yet believed.
type signature struct {
	presigned bool
	keyID     string
	date      string // of the credential scope: "20260105"
	region    string
	service   string
	headers   []string // the signed headers, lower case, as listed
	value     string
	token     string // session token, or ""
	when      time.Time
	iso       string // when, as isoBasic
	expires   time.Duration
	query     query // the query string, without X-Amz-Signature
}

func (s *signature) has(param string) bool {
	_, ok := s.query.get(param)
	return ok
}

// parse finds the signature in r's Authorization header or in its query.
func parse(r *http.Request) (*signature, error) {
	q, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	auth := r.Header.Values("Authorization")
	inQuery := q.count("X-Amz-Algorithm")+q.count("X-Amz-Credential")+q.count("X-Amz-Signature") > 0
	switch {
	case len(auth) > 1, len(auth) == 1 && inQuery:
		return nil, refuse(ErrIncomplete, "The request must be signed once: in one Authorization header or in the query string.")
	case len(auth) == 1 && strings.TrimSpace(auth[0]) != "":
		return parseHeader(r, auth[0], q)
	case inQuery:
		return parsePresigned(r, q)
	}
	return nil, &Error{Kind: ErrMissing}
}

// An authorization is the parameters of an Authorization header.
type authorization struct {
	values [3]string // of authorizationNames
	told   [3]bool   // which of them there were
	others map[string]bool
}

var authorizationNames = [3]string{"Credential", "Signature", "SignedHeaders"}

// set reports false for a parameter that was set before.
func (a *authorization) set(name, value string) bool {
	if i := slices.Index(authorizationNames[:], name); i >= 0 {
		first := !a.told[i]
		a.values[i], a.told[i] = value, true
		return first
	}
	if a.others == nil {
		a.others = map[string]bool{}
	}
	first := !a.others[name]
	a.others[name] = true
	return first
}

// parseHeader takes an Authorization header apart.
func parseHeader(r *http.Request, auth string, q query) (*signature, error) {
	algo, rest, _ := strings.Cut(strings.TrimSpace(auth), " ")
	var param authorization
	for pair := range strings.SplitSeq(rest, ",") {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		if !ok || strings.ContainsAny(pair, " \t") || !param.set(name, value) {
			return nil, refuse(ErrIncomplete, "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and encoded with Base64): '%s'.", hashed(pair))
		}
	}
	date := first(headerValues(r.Header, "x-amz-date"))
	if date == "" {
		date = r.Header.Get("Date")
	}
	var missing []string
	for i, name := range authorizationNames {
		if param.values[i] == "" {
			missing = append(missing, "Authorization header requires '"+name+"' parameter.")
		}
	}
	if date == "" {
		missing = append(missing, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
	}
	if missing != nil {
		return nil, refuse(ErrIncomplete, "%s (Hashed with SHA-256 and encoded with Base64) Authorization=%s", strings.Join(missing, " "), hashed(auth))
	}
	s := &signature{
		value:   param.values[1],
		headers: strings.Split(param.values[2], ";"),
		token:   first(headerValues(r.Header, "x-amz-security-token")),
		query:   q,
	}
	return s, s.finish(algo, param.values[0], date)
}

// first is the first of a header's values, or "".
func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// parsePresigned takes the signing parameters of a query string apart.
func parsePresigned(r *http.Request, q query) (*signature, error) {
	param := make(map[string]string, 5)
	for _, name := range []string{"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date"} {
		value, ok := q.get(name)
		if !ok || value == "" || q.count(name) > 1 {
			return nil, refuse(ErrIncomplete, "AWS query-string parameters must include '%s'. Re-examine the query-string parameters.", name)
		}
		param[name] = value
	}
	s := &signature{
		presigned: true,
		value:     param["X-Amz-Signature"],
		headers:   strings.Split(param["X-Amz-SignedHeaders"], ";"),
		expires:   Window,
		query:     q.without("X-Amz-Signature"),
	}
	if text, ok := q.get("X-Amz-Expires"); ok {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > int(MaxExpires/time.Second) || q.count("X-Amz-Expires") > 1 {
			return nil, refuse(ErrIncomplete, "X-Amz-Expires must be a number of seconds from 1 to %d.", int(MaxExpires/time.Second))
		}
		s.expires = time.Duration(n) * time.Second
	}
	if q.count("X-Amz-Security-Token") > 1 {
		return nil, refuse(ErrIncomplete, "AWS query-string parameters must include 'X-Amz-Security-Token' once. Re-examine the query-string parameters.")
	}
	s.token, _ = q.get("X-Amz-Security-Token")
	if s.token == "" {
		s.token = r.Header.Get("X-Amz-Security-Token")
	}
	return s, s.finish(param["X-Amz-Algorithm"], param["X-Amz-Credential"], param["X-Amz-Date"])
}

// finish parses what both forms have in common.
func (s *signature) finish(algo, credential, date string) error {
	if algo != algorithm {
		return refuse(ErrIncomplete, "Unsupported AWS 'algorithm': only '%s' is supported.", algorithm)
	}
	if n := strings.Count(credential, "/") + 1; n != 5 {
		return refuse(ErrIncomplete, "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got %d", n)
	}
	var end string
	s.keyID, s.date, s.region, s.service, end = fields(credential)
	if end != terminator {
		return refuse(ErrMismatch, "Credential should be scoped with a valid terminator: '%s'.", terminator)
	}
	var err error
	if s.when, err = time.Parse(isoBasic, date); err == nil {
		s.iso = date
		if len(date) != len(isoBasic) { // it has a fraction of a second
			s.iso = s.when.Format(isoBasic)
		}
		return nil
	}
	// Only a Date header may have HTTP's own format.
	if s.when, err = http.ParseTime(date); err == nil && !s.presigned {
		s.when = s.when.UTC()
		s.iso = s.when.Format(isoBasic)
		return nil
	}
	return refuse(ErrIncomplete, "Date must be in ISO-8601 'basic format'. See http://en.wikipedia.org/wiki/ISO_8601")
}

// fields are the five elements of a credential.
func fields(credential string) (keyID, date, region, service, end string) {
	keyID, rest, _ := strings.Cut(credential, "/")
	date, rest, _ = strings.Cut(rest, "/")
	region, rest, _ = strings.Cut(rest, "/")
	service, end, _ = strings.Cut(rest, "/")
	return keyID, date, region, service, end
}

// check is all that can be said of a signature without the secret.
func (s *signature) check(r *http.Request, now time.Time) (cloud.Region, error) {
	if err := s.checkHeaders(r); err != nil {
		return "", err
	}
	region, err := cloud.ParseRegion(s.region)
	if err != nil {
		return "", refuse(ErrMismatch, "Credential should be scoped to a valid region.")
	}
	iso := s.iso
	if s.date != iso[:8] {
		if _, err := time.Parse("20060102", s.date); err != nil {
			return "", refuse(ErrIncomplete, "Date in Credential scope must be in the form YYYYMMDD.")
		}
		return "", refuse(ErrMismatch, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%s' != '%s', from '%s'.", s.date, iso[:8], iso)
	}
	now = now.UTC()
	age := Window
	if s.presigned {
		age = s.expires
	}
	if oldest := now.Add(-age); s.when.Before(oldest.Truncate(time.Second)) {
		return "", refuse(ErrMismatch, "Signature expired: %s is now earlier than %s (%s - %g min.)", iso, oldest.Format(isoBasic), now.Format(isoBasic), age.Minutes())
	}
	if newest := now.Add(Window); s.when.After(newest) {
		return "", refuse(ErrMismatch, "Signature not yet current: %s is still later than %s (%s + %g min.)", iso, newest.Format(isoBasic), now.Format(isoBasic), Window.Minutes())
	}
	return region, nil
}

// checkHeaders demands that everything a header could change is signed: the
// host, and every X-Amz- header but those that the signature covers by other
// means (the date and the body's hash are signed themselves; a session token is
// tied to its key by the Source).
func (s *signature) checkHeaders(r *http.Request) error {
	for i, h := range s.headers {
		if h == "" || h != strings.ToLower(h) || i > 0 && h <= s.headers[i-1] {
			return refuse(ErrMismatch, "'SignedHeaders' must be lower-case names in alphabetical order, each once.")
		}
	}
	signed := func(name string) bool {
		_, ok := slices.BinarySearchFunc(s.headers, name, compareLower)
		return ok
	}
	if !signed("host") {
		return refuse(ErrMismatch, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
	}
	for name := range r.Header {
		switch name {
		case "X-Amz-Date", "X-Amz-Content-Sha256", "X-Amz-Security-Token":
			continue
		}
		if strings.HasPrefix(name, "X-Amz-") && !signed(name) {
			return refuse(ErrMismatch, "'%s' must be a 'SignedHeader' in the AWS Authorization.", name)
		}
	}
	return nil
}

// compareLower compares a name in lower case with a header's, which may be in
// any.
func compareLower(lower, header string) int {
	for i := range min(len(lower), len(header)) {
		c := header[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if lower[i] != c {
			return cmp.Compare(lower[i], c)
		}
	}
	return cmp.Compare(len(lower), len(header))
}

// hashed is how AWS quotes an Authorization header without repeating it.
func hashed(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Claimed is the service in r's credential scope, or "". Nothing proves it: it
// is for choosing the protocol in which to turn the request away.
func Claimed(r *http.Request) string {
	credential := ""
	if _, after, ok := strings.Cut(r.Header.Get("Authorization"), "Credential="); ok {
		credential, _, _ = strings.Cut(after, ",")
	} else if q, err := parseQuery(r.URL.RawQuery); err == nil {
		credential, _ = q.get("X-Amz-Credential")
	}
	if strings.Count(credential, "/") != 4 {
		return ""
	}
	_, _, _, service, _ := fields(credential)
	return service
}
