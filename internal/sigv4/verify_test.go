package sigv4_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"borealis/internal/cloud"
	"borealis/internal/sigv4"
)

// anyToken has secrets by access key id, and takes any session token.
type anyToken map[string]string

func (a anyToken) Credential(_ context.Context, id, _ string) (sigv4.Credential, error) {
	secret, ok := a[id]
	if !ok {
		return sigv4.Credential{}, fmt.Errorf("access key: %w", cloud.ErrNotFound)
	}
	return sigv4.Credential{Secret: secret}, nil
}

const (
	longID, longSecret       = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	sessionID, sessionSecret = "ASIAIOSFODNN7EXAMPLE", "9drTJvcXLB89EXAMPLELB8923FB892xMFI"
	token                    = "FwoGZXIvYXdzEBY+a/b=="
)

var now = time.Date(2026, 1, 5, 3, 10, 30, 0, time.UTC)

// keyring is a Source as the server's is: one user and one session, which needs
// its token.
type keyring struct{}

var errSource = errors.New("the database is gone")

func (keyring) Credential(_ context.Context, id, tok string) (sigv4.Credential, error) {
	switch {
	case id == longID && tok == "":
		return sigv4.Credential{Secret: longSecret, Caller: cloud.Caller{Kind: cloud.User, Account: "111122223333", ARN: "arn:aws:iam::111122223333:user/ann"}}, nil
	case id == sessionID && tok == token:
		return sigv4.Credential{Secret: sessionSecret, Caller: cloud.Caller{Kind: cloud.AssumedRole, Account: "111122223333"}}, nil
	case id == sessionID && tok == "expired":
		return sigv4.Credential{}, fmt.Errorf("session: %w", sigv4.ErrExpired)
	case id == "AKIABROKEN":
		return sigv4.Credential{}, errSource
	case id == "AKIAEMPTY":
		return sigv4.Credential{}, nil
	}
	return sigv4.Credential{}, cloud.ErrNotFound
}

// A request is what a test signs with the SDK's signer, and may spoil before,
// while or after doing so.
type request struct {
	method, url, body     string
	header                http.Header
	id, secret, token     string
	service, region       string
	at                    time.Time
	presign               bool
	expires               string
	payload               string // "" is the body's true hash
	after                 func(*http.Request)
	bodyAfter             string
	withoutSignatureToken bool // add the token only after presigning
}

func (q request) signed(t testing.TB) (*http.Request, []byte) {
	t.Helper()
	or := func(s, d string) string {
		if s == "" {
			return d
		}
		return s
	}
	r := httptest.NewRequest(or(q.method, "POST"), or(q.url, "http://localhost:4566/"), strings.NewReader(q.body))
	r.RequestURI = "" // the client's side has none
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	for name, values := range q.header {
		r.Header[name] = values
	}
	sum := sha256.Sum256([]byte(q.body))
	hash := or(q.payload, hex.EncodeToString(sum[:]))
	at := q.at
	if at.IsZero() {
		at = now
	}
	cred := aws.Credentials{AccessKeyID: or(q.id, longID), SecretAccessKey: or(q.secret, longSecret), SessionToken: q.token}
	service, region := or(q.service, "kms"), or(q.region, "eu-west-1")
	signer := v4.NewSigner()
	if q.presign {
		if q.expires != "" {
			v := r.URL.Query()
			v.Set("X-Amz-Expires", q.expires)
			r.URL.RawQuery = v.Encode()
		}
		if q.withoutSignatureToken {
			cred.SessionToken = ""
		}
		uri, headers, err := signer.PresignHTTP(t.Context(), cred, r, hash, service, region, at)
		if err != nil {
			t.Fatal(err)
		}
		if q.withoutSignatureToken {
			uri += "&X-Amz-Security-Token=" + url.QueryEscape(q.token)
		}
		if r.URL, err = url.Parse(uri); err != nil {
			t.Fatal(err)
		}
		r.Header = headers
		r.Header.Del("Host")
		r.Header.Del("Content-Length")
	} else if err := signer.SignHTTP(t.Context(), cred, r, hash, service, region, at); err != nil {
		t.Fatal(err)
	}
	if q.after != nil {
		q.after(r)
	}
	return r, []byte(q.body + q.bodyAfter)
}

var presignedGet = request{method: "GET", url: "http://localhost:4566/?Action=GetCallerIdentity&Version=2011-06-15", presign: true, service: "sts", region: "us-east-1"}

// with is q changed.
func (q request) with(change func(*request)) request {
	change(&q)
	return q
}

// good are requests as SDKs sign them.
var good = map[string]request{
	"json":              {body: `{"KeyId":"x"}`, header: http.Header{"X-Amz-Target": {"TrentService.DescribeKey"}}},
	"form":              {body: "Action=GetCallerIdentity&Version=2011-06-15", service: "sts", region: "us-east-1"},
	"empty body":        {},
	"content-sha256":    {body: "x", header: http.Header{"X-Amz-Content-Sha256": {"2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"}}},
	"host without port": {url: "http://kms.eu-west-1.amazonaws.com/"},
	"get with a query":  {method: "GET", url: "http://localhost/?b=2&a=%2B%20x/y&a=1&empty=&c+d=e", service: "rds"},
	"escaped path":      {method: "GET", url: "http://localhost/a%20b/c%2Fd"},
	"many values":       {header: http.Header{"X-Amz-Meta": {" a  b", "c "}, "Accept": {"x/y"}}},
	"session":           {id: sessionID, secret: sessionSecret, token: token},
	"14 minutes ago":    {at: now.Add(-14 * time.Minute)},
	"in 14 minutes":     {at: now.Add(14 * time.Minute)},
	"presigned":         presignedGet,
	"presigned session": presignedGet.with(func(q *request) { q.id, q.secret, q.token = sessionID, sessionSecret, token }),
	"presigned, token added after signing": presignedGet.with(func(q *request) {
		q.id, q.secret, q.token, q.withoutSignatureToken = sessionID, sessionSecret, token, true
	}),
	"presigned for a week": presignedGet.with(func(q *request) { q.expires, q.at = "604800", now.Add(-167*time.Hour) }),
	"presigned, 14 minutes ago": presignedGet.with(func(q *request) {
		q.at = now.Add(-14 * time.Minute)
	}),
	"presigned post": {body: "Action=X", presign: true, service: "rds"},
}

func TestSDKSignaturesVerify(t *testing.T) {
	v := sigv4.New(keyring{})
	for name, q := range good {
		for range 2 { // derived, then from the cache
			r, body := q.signed(t)
			got, err := v.Verify(r, body, now)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			wantID, wantService, wantRegion := longID, "kms", cloud.Region("eu-west-1")
			if q.id != "" {
				wantID = q.id
			}
			if q.service != "" {
				wantService = q.service
			}
			if q.region != "" {
				wantRegion = cloud.Region(q.region)
			}
			if got.Caller.AccessKeyID != wantID || got.Caller.Account != "111122223333" || got.Service != wantService || got.Region != wantRegion || got.Caller.Region != wantRegion {
				t.Errorf("%s: %+v", name, got)
			}
		}
	}
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func swap(old, new string) func(*http.Request) {
	return func(r *http.Request) {
		a := r.Header.Get("Authorization")
		b := strings.Replace(a, old, new, 1)
		if a == b {
			panic(old + " is not in " + a)
		}
		r.Header.Set("Authorization", b)
	}
}

func swapQuery(old, new string) func(*http.Request) {
	return func(r *http.Request) {
		a := r.URL.RawQuery
		r.URL.RawQuery = strings.Replace(a, old, new, 1)
		if a == r.URL.RawQuery {
			panic(old + " is not in " + a)
		}
	}
}

const mismatch = "" // AWS's sentence for the kind

// bad are requests that must not pass, and why.
var bad = map[string]struct {
	request
	kind   error
	detail string
}{
	"unsigned":                {request{after: func(r *http.Request) { r.Header.Del("Authorization") }}, sigv4.ErrMissing, ""},
	"empty header":            {request{after: header("Authorization", " ")}, sigv4.ErrMissing, ""},
	"bearer":                  {request{after: header("Authorization", "Bearer c2VjcmV0")}, sigv4.ErrIncomplete, "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and encoded with Base64): 'HBGF4C/z4js+WhxbyGzxXUEmyqPc3g/bbpOtxN7sEZ4='."},
	"no signature":            {request{after: swap("Signature=", "Sig=")}, sigv4.ErrIncomplete, "Authorization header requires 'Signature' parameter."},
	"no signed headers":       {request{after: swap("SignedHeaders=", "Headers=")}, sigv4.ErrIncomplete, "Authorization header requires 'SignedHeaders' parameter."},
	"no credential":           {request{after: swap("Credential=", "Cred=")}, sigv4.ErrIncomplete, "Authorization header requires 'Credential' parameter."},
	"no date":                 {request{after: func(r *http.Request) { r.Header.Del("X-Amz-Date") }}, sigv4.ErrIncomplete, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."},
	"a parameter twice":       {request{after: swap("Signature=", "Signature=x, Signature=")}, sigv4.ErrIncomplete, "Invalid key=value pair"},
	"two headers":             {request{after: func(r *http.Request) { r.Header.Add("Authorization", "AWS4-HMAC-SHA256 x=y") }}, sigv4.ErrIncomplete, "The request must be signed once"},
	"header and query":        {presignedGet.with(func(q *request) { q.after = header("Authorization", "AWS4-HMAC-SHA256 x=y") }), sigv4.ErrIncomplete, "The request must be signed once"},
	"other algorithm":         {request{after: swap("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256")}, sigv4.ErrIncomplete, "Unsupported AWS 'algorithm'"},
	"short scope":             {request{after: swap("/kms/", "/")}, sigv4.ErrIncomplete, "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got 4"},
	"terminator":              {request{after: swap("aws4_request", "aws4_reques")}, sigv4.ErrMismatch, "Credential should be scoped with a valid terminator: 'aws4_request'."},
	"Region":                  {request{region: "aws-global"}, sigv4.ErrMismatch, "Credential should be scoped to a valid region."},
	"other Region":            {request{after: swap("eu-west-1", "eu-west-2")}, sigv4.ErrMismatch, mismatch},
	"other service":           {request{after: swap("/kms/", "/rds/")}, sigv4.ErrMismatch, mismatch},
	"other day":               {request{after: swap("/20260105/", "/20260104/")}, sigv4.ErrMismatch, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20260104' != '20260105', from '20260105T031030Z'."},
	"no day in scope":         {request{after: swap("/20260105/", "/c2VjcmV0/")}, sigv4.ErrIncomplete, "Date in Credential scope must be in the form YYYYMMDD."},
	"bad date":                {request{after: header("X-Amz-Date", "yesterday")}, sigv4.ErrIncomplete, "Date must be in ISO-8601 'basic format'. See http://en.wikipedia.org/wiki/ISO_8601"},
	"other date":              {request{after: header("X-Amz-Date", "20260105T031031Z")}, sigv4.ErrMismatch, mismatch},
	"too old":                 {request{at: now.Add(-15*time.Minute - time.Second)}, sigv4.ErrMismatch, "Signature expired: 20260105T025529Z is now earlier than 20260105T025530Z (20260105T031030Z - 15 min.)"},
	"too new":                 {request{at: now.Add(15*time.Minute + time.Second)}, sigv4.ErrMismatch, "Signature not yet current: 20260105T032531Z is still later than 20260105T032530Z (20260105T031030Z + 15 min.)"},
	"wrong secret":            {request{secret: "x"}, sigv4.ErrMismatch, mismatch},
	"unknown key":             {request{id: "AKIAUNKNOWN"}, sigv4.ErrUnknown, ""},
	"endless key id":          {request{id: strings.Repeat("A", 129)}, sigv4.ErrUnknown, ""},
	"session without token":   {request{id: sessionID, secret: sessionSecret}, sigv4.ErrUnknown, ""},
	"session, wrong token":    {request{id: sessionID, secret: sessionSecret, token: "x"}, sigv4.ErrUnknown, ""},
	"session expired":         {request{id: sessionID, secret: sessionSecret, token: "expired"}, sigv4.ErrExpired, ""},
	"user with a token":       {request{token: token}, sigv4.ErrUnknown, ""},
	"tampered body":           {request{body: "x", bodyAfter: "y"}, sigv4.ErrMismatch, mismatch},
	"tampered header":         {request{after: header("Content-Type", "text/plain")}, sigv4.ErrMismatch, mismatch},
	"tampered target":         {request{header: http.Header{"X-Amz-Target": {"TrentService.DescribeKey"}}, after: header("X-Amz-Target", "TrentService.Decrypt")}, sigv4.ErrMismatch, mismatch},
	"tampered host":           {request{after: func(r *http.Request) { r.Host = "elsewhere" }}, sigv4.ErrMismatch, mismatch},
	"tampered method":         {request{after: func(r *http.Request) { r.Method = "PUT" }}, sigv4.ErrMismatch, mismatch},
	"tampered path":           {request{after: func(r *http.Request) { r.URL.Path = "/x" }}, sigv4.ErrMismatch, mismatch},
	"added query":             {request{after: func(r *http.Request) { r.URL.RawQuery = "Action=Evil" }}, sigv4.ErrMismatch, mismatch},
	"malformed query":         {request{after: func(r *http.Request) { r.URL.RawQuery = "a=%zz" }}, sigv4.ErrIncomplete, "The query string is malformed. Re-examine the query-string parameters."},
	"target not signed":       {request{after: header("X-Amz-Target", "TrentService.Decrypt")}, sigv4.ErrMismatch, "'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization."},
	"host not signed":         {request{after: swap(";host;", ";")}, sigv4.ErrMismatch, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."},
	"signed headers unsorted": {request{after: swap("content-type;host", "host;content-type")}, sigv4.ErrMismatch, "'SignedHeaders' must be lower-case names in alphabetical order, each once."},
	"signed header is absent": {request{after: swap(";x-amz-date", ";x-amz-date;x-zzz")}, sigv4.ErrMismatch, mismatch},
	"upper-case signature":    {request{after: func(r *http.Request) { r.Header.Set("Authorization", upperSignature(r.Header.Get("Authorization"))) }}, sigv4.ErrMismatch, mismatch},
	"cut signature":           {request{after: func(r *http.Request) { a := r.Header.Get("Authorization"); r.Header.Set("Authorization", a[:len(a)-1]) }}, sigv4.ErrMismatch, mismatch},
	"unsigned payload":        {request{payload: "UNSIGNED-PAYLOAD", header: http.Header{"X-Amz-Content-Sha256": {"UNSIGNED-PAYLOAD"}}}, sigv4.ErrMismatch, "The provided 'x-amz-content-sha256' header does not match what was computed."},
	"streaming payload":       {request{payload: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", header: http.Header{"X-Amz-Content-Sha256": {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}}}, sigv4.ErrMismatch, "The provided 'x-amz-content-sha256' header does not match what was computed."},
	"silent unsigned payload": {request{payload: "UNSIGNED-PAYLOAD"}, sigv4.ErrMismatch, mismatch},
	"payload of another body": {request{body: "x", header: http.Header{"X-Amz-Content-Sha256": {strings.Repeat("0", 64)}}}, sigv4.ErrMismatch, "The provided 'x-amz-content-sha256' header does not match what was computed."},
	"presigned, expired":      {presignedGet.with(func(q *request) { q.expires, q.at = "60", now.Add(-61*time.Second) }), sigv4.ErrMismatch, "Signature expired: 20260105T030929Z is now earlier than 20260105T030930Z (20260105T031030Z - 1 min.)"},
	"presigned, old":          {presignedGet.with(func(q *request) { q.at = now.Add(-16 * time.Minute) }), sigv4.ErrMismatch, "Signature expired:"},
	"presigned, in future":    {presignedGet.with(func(q *request) { q.expires, q.at = "604800", now.Add(16*time.Minute) }), sigv4.ErrMismatch, "Signature not yet current:"},
	"presigned for too long":  {presignedGet.with(func(q *request) { q.expires = "604801" }), sigv4.ErrIncomplete, "X-Amz-Expires must be a number of seconds from 1 to 604800."},
	"presigned for nothing":   {presignedGet.with(func(q *request) { q.expires = "0" }), sigv4.ErrIncomplete, "X-Amz-Expires must be a number of seconds from 1 to 604800."},
	"presigned, longer":       {presignedGet.with(func(q *request) { q.expires, q.after = "60", swapQuery("X-Amz-Expires=60", "X-Amz-Expires=600") }), sigv4.ErrMismatch, mismatch},
	"presigned, other action": {presignedGet.with(func(q *request) { q.after = swapQuery("GetCallerIdentity", "AssumeRole") }), sigv4.ErrMismatch, mismatch},
	"presigned, no date":      {presignedGet.with(func(q *request) { q.after = swapQuery("X-Amz-Date", "X-Date") }), sigv4.ErrIncomplete, "AWS query-string parameters must include 'X-Amz-Date'. Re-examine the query-string parameters."},
	"presigned, no signature": {presignedGet.with(func(q *request) { q.after = swapQuery("X-Amz-Signature", "X-Signature") }), sigv4.ErrIncomplete, "AWS query-string parameters must include 'X-Amz-Signature'."},
	"presigned, two scopes": {presignedGet.with(func(q *request) {
		q.after = swapQuery("X-Amz-Credential", "X-Amz-Credential=a/b/c/d/e&X-Amz-Credential")
	}), sigv4.ErrIncomplete, "AWS query-string parameters must include 'X-Amz-Credential'."},
	"presigned, unsigned": {presignedGet.with(func(q *request) {
		q.url += "&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD"
		q.payload = "UNSIGNED-PAYLOAD"
	}), sigv4.ErrMismatch, "The provided 'x-amz-content-sha256' header does not match what was computed."},
	"presigned, with a body":       {presignedGet.with(func(q *request) { q.bodyAfter = "Action=Evil" }), sigv4.ErrMismatch, mismatch},
	"presigned, session, no token": {presignedGet.with(func(q *request) { q.id, q.secret = sessionID, sessionSecret }), sigv4.ErrUnknown, ""},
	"presigned, two tokens":        {presignedGet.with(func(q *request) { q.url += "&X-Amz-Security-Token=a&X-Amz-Security-Token=b" }), sigv4.ErrIncomplete, "AWS query-string parameters must include 'X-Amz-Security-Token' once."},
	"presigned with an HTTP date": {presignedGet.with(func(q *request) {
		q.after = swapQuery("X-Amz-Date=20260105T031030Z", "X-Amz-Date=Mon,+05+Jan+2026+03:10:30+GMT")
	}), sigv4.ErrIncomplete, "Date must be in ISO-8601 'basic format'."},
	"presigned, unsigned parameters": {presignedGet.with(func(q *request) { q.after = func(r *http.Request) { r.URL.RawQuery += "&x=y" } }), sigv4.ErrMismatch, mismatch},
}

func upperSignature(auth string) string {
	head, sig, _ := strings.Cut(auth, "Signature=")
	return head + "Signature=" + strings.ToUpper(sig)
}

func TestBadRequestsAreRefused(t *testing.T) {
	v := sigv4.New(keyring{})
	for name, c := range bad {
		t.Run(name, func(t *testing.T) {
			r, body := c.signed(t)
			got, err := v.Verify(r, body, now)
			if err == nil {
				t.Fatalf("accepted: %+v", got)
			}
			e, ok := errors.AsType[*sigv4.Error](err)
			if !ok || !errors.Is(err, c.kind) {
				t.Fatalf("%v, want kind %v", err, c.kind)
			}
			if c.detail == "" && e.Detail != "" || !strings.HasPrefix(e.Detail, c.detail) {
				t.Errorf("detail %q, want %q", e.Detail, c.detail)
			}
			for _, secret := range []string{longSecret, sessionSecret, token, "c2VjcmV0"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%q gives %q away", err, secret)
				}
			}
		})
	}
}

// A Date header is understood where X-Amz-Date is absent. SDKs sign X-Amz-Date
// only, so this is signed by hand, with the key of the test above.
func TestDateHeaderWillDo(t *testing.T) {
	mac := func(key []byte, text string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	const date, empty = "Mon, 05 Jan 2026 03:10:30 GMT", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	canonical := sha256.Sum256([]byte("GET\n/\n\ndate:" + date + "\nhost:h\n\ndate;host\n" + empty))
	key := []byte("AWS4" + longSecret)
	for _, part := range []string{"20260105", "eu-west-1", "kms", "aws4_request"} {
		key = mac(key, part)
	}
	sig := mac(key, "AWS4-HMAC-SHA256\n20260105T031030Z\n20260105/eu-west-1/kms/aws4_request\n"+hex.EncodeToString(canonical[:]))
	r := httptest.NewRequest("GET", "http://h/", nil)
	r.Header.Set("Date", date)
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+longID+"/20260105/eu-west-1/kms/aws4_request,SignedHeaders=date;host,Signature="+hex.EncodeToString(sig))
	if _, err := sigv4.New(keyring{}).Verify(r, nil, now); err != nil {
		t.Error(err)
	}
}

func TestSourceFailuresAreNotRefusals(t *testing.T) {
	v := sigv4.New(keyring{})
	for id, want := range map[string]error{"AKIABROKEN": errSource, "AKIAEMPTY": nil} {
		r, body := request{id: id}.signed(t)
		_, err := v.Verify(r, body, now)
		if _, refused := errors.AsType[*sigv4.Error](err); err == nil || refused || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v", id, err)
		}
	}
}

func TestNewSecretIsNotTheOldOnesKey(t *testing.T) {
	ring := anyToken{longID: longSecret}
	v := sigv4.New(ring)
	r, body := request{}.signed(t)
	if _, err := v.Verify(r, body, now); err != nil {
		t.Fatal(err)
	}
	ring[longID] = "another"
	if _, err := v.Verify(r, body, now); !errors.Is(err, sigv4.ErrMismatch) {
		t.Errorf("after the secret changed: %v", err)
	}
}

func TestManyKeysAtOnce(t *testing.T) {
	ring := anyToken{}
	for i := range 3000 { // more than the cache keeps
		ring[fmt.Sprint("AKIA", i)] = fmt.Sprint("secret", i)
	}
	v := sigv4.New(ring)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := w; i < 3000; i += 4 {
				r, body := request{id: fmt.Sprint("AKIA", i), secret: fmt.Sprint("secret", i)}.signed(t)
				if _, err := v.Verify(r, body, now); err != nil {
					t.Errorf("key %d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestCredentialKeepsItsSecret(t *testing.T) {
	c := sigv4.Credential{Secret: longSecret, Caller: cloud.Caller{ARN: "arn:aws:iam::111122223333:user/ann"}}
	for _, s := range []string{fmt.Sprint(c), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c), c.String(), c.LogValue().String()} {
		if strings.Contains(s, longSecret) {
			t.Errorf("printed %q", s)
		}
	}
}

func TestClaimed(t *testing.T) {
	for name, q := range good {
		r, _ := q.signed(t)
		want := q.service
		if want == "" {
			want = "kms"
		}
		if got := sigv4.Claimed(r); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := sigv4.Claimed(httptest.NewRequest("GET", "/?X-Amz-Credential=a/b", nil)); got != "" {
		t.Errorf("of nonsense: %q", got)
	}
}

// FuzzVerify lets anything stand in the places that a client writes: nothing may
// panic, and nothing may pass but what was signed.
func FuzzVerify(f *testing.F) {
	r, _ := request{}.signed(f)
	f.Add(r.Header.Get("Authorization"), "", "/", "localhost:4566", "20260105T031030Z", "")
	p, _ := presignedGet.signed(f)
	f.Add("", p.URL.RawQuery, "/", "localhost:4566", "", "")
	f.Add("AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request,SignedHeaders=host;;,Signature=", "a=%", "//../.", "", "Mon, 05 Jan 2026 03:10:30 GMT", "x")
	f.Add("Credential=,=,=", "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=////&X-Amz-Expires=-1", "", "", "", "")
	v := sigv4.New(keyring{})
	f.Fuzz(func(t *testing.T, auth, query, path, host, date, body string) {
		r := &http.Request{Method: "POST", URL: &url.URL{Path: path, RawQuery: query}, Host: host, Header: http.Header{
			"Authorization": {auth}, "X-Amz-Date": {date}, "Content-Type": {"application/x-amz-json-1.1"},
		}}
		sigv4.Claimed(r)
		got, err := v.Verify(r, []byte(body), now)
		if err == nil && (got.Caller.Account == "" || !strings.Contains(auth+query, "Signature=")) {
			t.Errorf("%q %q passed as %+v", auth, query, got)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	q := request{body: `{"KeyId":"alias/x","KeySpec":"AES_256","EncryptionContext":{"aws:rds:dbc-id":"cluster-ABC"}}`, header: http.Header{"X-Amz-Target": {"TrentService.GenerateDataKey"}}}
	r, body := q.signed(b)
	r.Body = http.NoBody
	v := sigv4.New(keyring{})
	body = bytes.Clone(body)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(r, body, now); err != nil {
			b.Fatal(err)
		}
	}
}
