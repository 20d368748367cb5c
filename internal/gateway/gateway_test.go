package gateway_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	rdstypes "github.com/aws/aws-sdk-go-v2/service/rds/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"borealis/internal/api"
	"borealis/internal/cloud"
	"borealis/internal/gateway"
	"borealis/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSDKClients(t *testing.T) {
	w := newWorld(t)
	k := kms.NewFromConfig(w.ann())
	out, err := k.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: new("mine")})
	if err != nil || *out.KeyMetadata.KeyId != "mine" || *out.KeyMetadata.AWSAccountId != "111122223333" {
		t.Fatalf("DescribeKey: %+v, %v", out, err)
	}
	if _, err := k.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: new("mine")}); err != nil {
		t.Errorf("DisableKey: %v", err)
	}
	if _, err := rds.NewFromConfig(w.ann()).DescribeDBClusters(t.Context(), &rds.DescribeDBClustersInput{}); err != nil {
		t.Errorf("DescribeDBClusters: %v", err)
	}
	if c := w.lastCaller(); c.Region != "eu-west-1" {
		t.Errorf("Region of RDS: %q", c.Region)
	}
	who, err := sts.NewFromConfig(w.config(sessionID, sessionSecret, sessionToken)).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil || *who.Account != "444455556666" {
		t.Errorf("GetCallerIdentity: %+v, %v", who, err)
	}
	if _, err := iam.NewFromConfig(w.ann()).GetUser(t.Context(), &iam.GetUserInput{UserName: new("ann")}); err != nil {
		t.Errorf("GetUser: %v", err)
	}
	if c := w.lastCaller(); c.Region != "us-east-1" {
		t.Errorf("Region of IAM: %q", c.Region)
	}
}

func TestCallerIsFilledIn(t *testing.T) {
	w := newWorld(t)
	cfg := w.ann()
	cfg.AppID = "the-test"
	out, err := kms.NewFromConfig(cfg).DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: new("x")})
	if err != nil {
		t.Fatal(err)
	}
	c := w.lastCaller()
	if c.Region != "eu-west-1" || c.SourceIP != "127.0.0.1" || c.SecureTransport || c.AccessKeyID != annID || !strings.Contains(c.UserAgent, "the-test") {
		t.Errorf("%+v", c)
	}
	if _, err := uuid.Parse(c.RequestID); err != nil {
		t.Errorf("RequestID %q: %v", c.RequestID, err)
	}
	if got, _ := awsmiddleware.GetRequestIDMetadata(out.ResultMetadata); got != c.RequestID {
		t.Errorf("the client got request id %q, the service %q", got, c.RequestID)
	}
}

func TestServicesSpeakForThemselves(t *testing.T) {
	w := newWorld(t)
	_, err := kms.NewFromConfig(w.ann()).DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: new("missing")})
	if e, ok := errors.AsType[*kmstypes.NotFoundException](err); !ok || e.ErrorMessage() != "Key 'missing' does not exist" {
		t.Errorf("KMS: %v", err)
	}
	_, err = rds.NewFromConfig(w.ann()).DescribeDBClusters(t.Context(), &rds.DescribeDBClustersInput{DBClusterIdentifier: new("gone")})
	if e, ok := errors.AsType[*rdstypes.DBClusterNotFoundFault](err); !ok || e.ErrorMessage() != "DBCluster gone not found." {
		t.Errorf("RDS: %v", err)
	}
	if r := w.do(t, call{service: "rds", body: "Action=DescribeDBClusters&Version=2014-10-31&DBClusterIdentifier=gone"}); r.status != 404 {
		t.Errorf("status of RDS: %d", r.status)
	}
}

func TestSDKErrors(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		cfg        aws.Config
		json, form string
	}{
		"wrong secret":  {w.config(annID, "wrong", ""), "InvalidSignatureException", "SignatureDoesNotMatch"},
		"unknown key":   {w.config("AKIANOBODY", "x", ""), "UnrecognizedClientException", "InvalidClientTokenId"},
		"expired token": {w.config(sessionID, sessionSecret, "old"), "ExpiredTokenException", "ExpiredToken"},
		"broken source": {w.config("AKIABROKEN", "x", ""), "KMSInternalException", "InternalFailure"},
	} {
		_, err := kms.NewFromConfig(c.cfg).DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: new("x")})
		if e, ok := errors.AsType[smithy.APIError](err); !ok || e.ErrorCode() != c.json {
			t.Errorf("%s: KMS: %v, want %s", name, err, c.json)
		}
		_, err = sts.NewFromConfig(c.cfg).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
		if e, ok := errors.AsType[smithy.APIError](err); !ok || e.ErrorCode() != c.form {
			t.Errorf("%s: STS: %v, want %s", name, err, c.form)
		}
	}
}

const (
	identity = "Action=GetCallerIdentity&Version=2011-06-15"
	mismatch = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
	invalid  = "The security token included in the request is invalid."
)

var (
	describe = map[string]string{"X-Amz-Target": "TrentService.DescribeKey", "Content-Type": "application/x-amz-json-1.1"}
	key      = `{"KeyId":"x"}`
)

func with(header map[string]string, name, value string) map[string]string {
	out := map[string]string{name: value}
	for k, v := range header {
		if k != name {
			out[k] = v
		}
	}
	return out
}

// refused are requests of every bad kind, and exactly what they get.
var refused = map[string]struct {
	call
	status   int
	protocol wire.Protocol
	code     string
	message  string // a prefix; "-" for none at all
}{
	"json, unsigned":                {call{unsigned: true, header: describe, body: key}, 400, wire.JSON, "MissingAuthenticationTokenException", "Missing Authentication Token"},
	"form, unsigned":                {call{unsigned: true, body: identity}, 403, wire.Query, "MissingAuthenticationToken", "Request is missing Authentication Token"},
	"a browser":                     {call{unsigned: true, method: "GET"}, 403, wire.Query, "MissingAuthenticationToken", "Request is missing Authentication Token"},
	"json, bearer":                  {call{unsigned: true, header: with(describe, "Authorization", "Bearer "+secretText), body: key}, 400, wire.JSON, "IncompleteSignatureException", "Invalid key=value pair (missing equal-sign) in Authorization header"},
	"form, bearer":                  {call{unsigned: true, header: map[string]string{"Authorization": "Bearer " + secretText}, body: identity}, 400, wire.Query, "IncompleteSignature", "Invalid key=value pair (missing equal-sign) in Authorization header"},
	"json, wrong secret":            {call{secret: "x", header: describe, body: key}, 400, wire.JSON, "InvalidSignatureException", mismatch},
	"form, wrong secret":            {call{secret: "x", service: "rds", body: identity}, 403, wire.Query, "SignatureDoesNotMatch", mismatch},
	"json, unknown key":             {call{id: "AKIAX", header: describe, body: key}, 400, wire.JSON, "UnrecognizedClientException", invalid},
	"form, unknown key":             {call{id: "AKIAX", service: "iam", body: identity}, 403, wire.Query, "InvalidClientTokenId", invalid},
	"json, token missing":           {call{id: sessionID, secret: sessionSecret, header: describe, body: key}, 400, wire.JSON, "UnrecognizedClientException", invalid},
	"form, token invalid":           {call{id: sessionID, secret: sessionSecret, token: "x", service: "sts", body: identity}, 403, wire.Query, "InvalidClientTokenId", invalid},
	"json, token expired":           {call{id: sessionID, secret: sessionSecret, token: "old", header: describe, body: key}, 400, wire.JSON, "ExpiredTokenException", "The security token included in the request is expired"},
	"form, token expired":           {call{id: sessionID, secret: sessionSecret, token: "old", service: "sts", body: identity}, 403, wire.Query, "ExpiredToken", "The security token included in the request is expired"},
	"json, an hour ago":             {call{at: time.Now().Add(-time.Hour), header: describe, body: key}, 400, wire.JSON, "InvalidSignatureException", "Signature expired: "},
	"form, an hour ahead":           {call{at: time.Now().Add(time.Hour), service: "sts", body: identity}, 403, wire.Query, "SignatureDoesNotMatch", "Signature not yet current: "},
	"json, tampered body":           {call{header: describe, body: key, bodyAfter: " "}, 400, wire.JSON, "InvalidSignatureException", mismatch},
	"json, tampered header":         {call{header: describe, body: key, after: func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }}, 400, wire.JSON, "InvalidSignatureException", mismatch},
	"json, unsigned target":         {call{body: key, after: func(r *http.Request) { r.Header.Set("X-Amz-Target", "TrentService.DescribeKey") }}, 400, wire.JSON, "InvalidSignatureException", "'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization."},
	"json, unsigned payload":        {call{payload: "UNSIGNED-PAYLOAD", header: with(describe, "X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"), body: key}, 400, wire.JSON, "InvalidSignatureException", "The provided 'x-amz-content-sha256' header"},
	"presigned, expired":            {call{presign: true, method: "GET", query: identity + "&X-Amz-Expires=60", at: time.Now().Add(-2 * time.Minute)}, 403, wire.Query, "SignatureDoesNotMatch", "Signature expired: "},
	"presigned, forever":            {call{presign: true, method: "GET", query: identity + "&X-Amz-Expires=9999999"}, 400, wire.Query, "IncompleteSignature", "X-Amz-Expires must be"},
	"presigned, tampered":           {call{presign: true, method: "GET", query: identity, after: func(r *http.Request) { r.URL.RawQuery += "&Action=AssumeRole" }}, 403, wire.Query, "SignatureDoesNotMatch", mismatch},
	"json, scope of rds":            {call{service: "rds", header: describe, body: key}, 400, wire.JSON, "InvalidSignatureException", "Credential should be scoped to correct service: 'kms'."},
	"json, scope of s3":             {call{service: "s3", header: describe, body: key}, 400, wire.JSON, "InvalidSignatureException", "Credential should be scoped to correct service."},
	"form, scope of s3":             {call{service: "s3", body: identity}, 403, wire.Query, "SignatureDoesNotMatch", "Credential should be scoped to correct service."},
	"form, scope of kms":            {call{service: "kms", body: identity}, 400, wire.JSON, "UnknownOperationException", "-"},
	"form, scope of iam":            {call{service: "iam", body: identity}, 400, wire.Query, "InvalidAction", "Could not find operation GetCallerIdentity for version 2011-06-15"},
	"json, unknown operation":       {call{header: with(describe, "X-Amz-Target", "TrentService.Explode"), body: key}, 400, wire.JSON, "UnknownOperationException", "-"},
	"json, unknown prefix":          {call{header: with(describe, "X-Amz-Target", "DynamoDB_20120810.GetItem"), body: key}, 400, wire.JSON, "UnknownOperationException", "-"},
	"json, no operation":            {call{header: with(describe, "X-Amz-Target", "TrentService"), body: key}, 400, wire.JSON, "UnknownOperationException", "-"},
	"json, no target":               {call{header: map[string]string{"Content-Type": "application/x-amz-json-1.1"}, body: key}, 400, wire.JSON, "UnknownOperationException", "-"},
	"form, unknown action":          {call{service: "rds", body: "Action=Explode&Version=2014-10-31"}, 400, wire.Query, "InvalidAction", "Could not find operation Explode for version 2014-10-31"},
	"form, other version":           {call{service: "sts", body: "Action=GetCallerIdentity&Version=2010-05-08"}, 400, wire.Query, "InvalidAction", "Could not find operation GetCallerIdentity for version 2010-05-08"},
	"form, no version":              {call{service: "sts", body: "Action=GetCallerIdentity"}, 400, wire.Query, "InvalidAction", "Could not find operation GetCallerIdentity for version NO_VERSION_SPECIFIED"},
	"form, no action":               {call{service: "sts", body: "Version=2011-06-15"}, 400, wire.Query, "MissingAction", "The request is missing an action or a required parameter."},
	"form, nothing":                 {call{service: "sts"}, 400, wire.Query, "MissingAction", "The request is missing an action or a required parameter."},
	"form, an endless action":       {call{service: "sts", body: "Action=" + strings.Repeat("A", 100_000)}, 400, wire.Query, "InvalidAction", "Could not find operation " + strings.Repeat("A", 128) + " for version NO_VERSION_SPECIFIED"},
	"form, garbage":                 {call{service: "sts", body: "\x00\xff&&==%zz&Action=GetCallerIdentity&Version=2011-06-15"}, 400, wire.Query, "MalformedQueryString", ""},
	"json, not implemented":         {call{header: with(describe, "X-Amz-Target", "TrentService.ReplicateKey"), body: key}, 501, wire.JSON, "NotImplemented", "The operation kms:ReplicateKey is not implemented."},
	"form, not implemented":         {call{service: "rds", body: "Action=CreateBlueGreenDeployment&Version=2014-10-31"}, 501, wire.Query, "NotImplemented", "The operation rds:CreateBlueGreenDeployment is not implemented."},
	"not implemented to a stranger": {call{unsigned: true, header: with(describe, "X-Amz-Target", "TrentService.ReplicateKey"), body: key}, 400, wire.JSON, "MissingAuthenticationTokenException", "Missing Authentication Token"},
	"json, huge body":               {call{header: describe, body: `{"KeyId":"` + strings.Repeat("x", gateway.MaxBody) + `"}`}, 413, wire.JSON, "RequestEntityTooLargeException", "The request body is larger than 1048576 bytes."},
	"form, huge body":               {call{service: "rds", body: strings.Repeat("x", gateway.MaxBody+1)}, 413, wire.Query, "RequestEntityTooLarge", "The request body is larger than 1048576 bytes."},
	"huge body to a stranger":       {call{unsigned: true, body: strings.Repeat("x", gateway.MaxBody+1)}, 413, wire.Query, "RequestEntityTooLarge", "The request body is larger than 1048576 bytes."},
	"json, deep":                    {call{header: describe, body: strings.Repeat(`{"a":`, 100_000) + strings.Repeat("}", 100_000)}, 400, wire.JSON, "SerializationException", ""},
	"json, not json":                {call{header: describe, body: "KeyId=x"}, 400, wire.JSON, "SerializationException", ""},
	"json, required missing":        {call{header: describe, body: "{}"}, 400, wire.JSON, "ValidationException", "1 validation error detected: Value null at 'keyId' failed to satisfy constraint: Member must not be null"},
	"json, PUT":                     {call{method: "PUT", header: describe, body: key}, 405, wire.JSON, "MethodNotAllowedException", "The HTTP method of this request is not supported."},
	"json, GET":                     {call{method: "GET", header: describe}, 405, wire.JSON, "MethodNotAllowedException", "The HTTP method of this request is not supported by this service. Use POST."},
	"form, DELETE":                  {call{method: "DELETE", service: "rds"}, 405, wire.Query, "MethodNotAllowed", "The HTTP method of this request is not supported."},
	"json, boom":                    {call{header: describe, body: `{"KeyId":"boom"}`}, 500, wire.JSON, "KMSInternalException", "The request processing has failed because of an unknown error, exception or failure. Request id: "},
	"json, panic":                   {call{header: describe, body: `{"KeyId":"panic"}`}, 500, wire.JSON, "KMSInternalException", "The request processing has failed because of an unknown error, exception or failure. Request id: "},
}

func TestRefused(t *testing.T) {
	w := newWorld(t)
	for name, c := range refused {
		t.Run(name, func(t *testing.T) {
			got := w.do(t, c.call)
			if got.status != c.status || got.protocol != c.protocol || got.code != c.code {
				t.Errorf("got %d %s %s %q, want %d %s %s", got.status, got.protocol, got.code, got.message, c.status, c.protocol, c.code)
			}
			if c.message == "-" && got.message != "" || c.message != "-" && !strings.HasPrefix(got.message, c.message) {
				t.Errorf("message %q, want %q", got.message, c.message)
			}
			if want := map[bool]string{true: "Receiver", false: "Sender"}[c.status >= 500]; c.protocol == wire.Query && got.kind != want {
				t.Errorf("Type %q, want %q", got.kind, want)
			}
			if allow := got.header.Get("Allow"); (allow != "") != (c.status == 405) {
				t.Errorf("Allow: %q", allow)
			}
			if len(got.body) > 2048 {
				t.Errorf("an answer of %d bytes", len(got.body))
			}
		})
	}
	if r := w.do(t, call{service: "sts", body: identity}); r.status != 200 {
		t.Errorf("afterwards, a good request: %d %s", r.status, r.body)
	}
	if log := w.log.String(); strings.Contains(log, secretText) || strings.Contains(log, annSecret) || strings.Contains(log, sessionToken) {
		t.Errorf("the log holds a secret:\n%s", log)
	}
}

func TestLogSaysOnceWhatFailed(t *testing.T) {
	w := newWorld(t)
	for body, cause := range map[string]string{`{"KeyId":"boom"}`: "read row: disk on fire", `{"KeyId":"panic"}`: "panic: key panic"} {
		r := w.do(t, call{header: describe, body: body})
		id := r.header.Get("x-amzn-RequestId")
		if strings.Contains(r.body, "fire") || strings.Contains(r.body, "panic") || !strings.Contains(r.body, id) {
			t.Errorf("the caller got %s", r.body)
		}
		lines := slices.DeleteFunc(strings.Split(w.log.String(), "\n"), func(l string) bool { return !strings.Contains(l, id) })
		if len(lines) != 1 || !strings.Contains(lines[0], cause) || !strings.Contains(lines[0], "level=ERROR") {
			t.Errorf("the log has %q", lines)
		}
	}
	r := w.do(t, call{header: with(describe, "X-Amz-Target", "TrentService.Encrypt"), body: `{"KeyId":"` + secretText + `"}`})
	if r.status != 400 || strings.Contains(w.log.String(), secretText) {
		t.Errorf("%d; log:\n%s", r.status, w.log.String())
	}
}

func TestQueryByGet(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]call{
		"signed in the header": {method: "GET", query: identity, service: "sts"},
		"presigned":            {method: "GET", query: identity, presign: true},
		"query and body":       {query: "Version=2011-06-15", body: "Action=GetCallerIdentity", service: "sts"},
	} {
		if r := w.do(t, c); r.status != 200 || !strings.Contains(r.body, "<Account>111122223333</Account>") {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
}

func TestPresignedBySDK(t *testing.T) {
	w := newWorld(t)
	p, err := sts.NewPresignClient(sts.NewFromConfig(w.config(sessionID, sessionSecret, sessionToken))).PresignGetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest(p.Method, p.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range p.SignedHeader {
		if name != "Host" {
			r.Header[name] = values
		}
	}
	res, err := w.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, _ := io.ReadAll(res.Body); res.StatusCode != 200 || !strings.Contains(string(b), "444455556666") {
		t.Errorf("%d %s", res.StatusCode, b)
	}
}

func TestHealth(t *testing.T) {
	w := newWorld(t)
	res, err := w.Client().Get(w.URL + gateway.HealthPath)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, _ := io.ReadAll(res.Body); res.StatusCode != 200 || string(b) != "ok\n" || res.Header.Get("x-amzn-RequestId") == "" {
		t.Errorf("%d %q %v", res.StatusCode, b, res.Header)
	}
}

func TestOffers(t *testing.T) {
	w := newWorld(t)
	for _, s := range w.services() {
		served := 0
		offers := s.Offers()
		for _, o := range offers {
			if o.Served {
				served++
			}
		}
		if s.Name() == "kms" && (served != 3 || len(offers) < 50) || served == 0 {
			t.Errorf("%s: %d of %d", s.Name(), served, len(offers))
		}
	}
}

func TestProgrammingErrorsPanic(t *testing.T) {
	w := newWorld(t)
	for name, wrong := range map[string]func(){
		"unknown operation": func() {
			gateway.Serve(wire.KMS, map[string]api.Op[view]{"Describe": api.Bind(view.DescribeKey)}, func(c cloud.Caller) view { return view{} })
		},
		"one service twice": func() {
			gateway.New(gateway.Config{Services: slices.Concat(w.services(), w.services())})
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			wrong()
		}()
	}
}

// FuzzRequest sends anything that can be an HTTP request: it gets an answer in
// one of the protocols, never 200 and never 5xx.
func FuzzRequest(f *testing.F) {
	f.Add("POST", "", "AWS4-HMAC-SHA256 Credential=a/20260105/eu-west-1/kms/aws4_request, SignedHeaders=host, Signature=0", "TrentService.Encrypt", "{}")
	f.Add("GET", "Action=GetCallerIdentity&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a/b/c/sts/e", "", "", "")
	f.Add("PUT", "%", ",", ".", "\x00")
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, method, query, auth, target, body string) {
		r := &http.Request{Method: method, URL: &url.URL{Path: "/", RawQuery: query}, Header: http.Header{}, Host: "x", RemoteAddr: "pipe",
			Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
		for k, v := range map[string]string{"Authorization": auth, "X-Amz-Target": target} {
			if v != "" {
				r.Header.Set(k, v)
			}
		}
		rec := httptest.NewRecorder()
		w.gateway.ServeHTTP(rec, r.WithContext(t.Context()))
		if got := parseReply(t, rec.Result(), rec.Body.Bytes()); got.status < 400 || got.status >= 500 || got.code == "" {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
}
