package gateway_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	rdstypes "github.com/aws/aws-sdk-go-v2/service/rds/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"borealis/internal/api"
	"borealis/internal/audit"
	"borealis/internal/cloud"
	"borealis/internal/gateway"
	"borealis/internal/sigv4"
	"borealis/internal/wire"
)

const (
	annID, annSecret         = "AKIAANNANNANNANNANNA", "ann/secret+1"
	sessionID, sessionSecret = "ASIASESSIONSESSION00", "session/secret"
	sessionToken             = "token/of+the=session"
	secretText               = "hunter2-is-what-nobody-may-read"
)

// keyring is ann's access key and a session's. Its database can break.
type keyring struct{}

func (keyring) Credential(_ context.Context, id, token string) (sigv4.Credential, error) {
	ann := cloud.Caller{Kind: cloud.User, Account: "111122223333", ARN: "arn:aws:iam::111122223333:user/ann"}
	switch {
	case id == annID && token == "":
		return sigv4.Credential{Secret: annSecret, Caller: ann}, nil
	case id == sessionID && token == sessionToken:
		return sigv4.Credential{Secret: sessionSecret, Caller: cloud.Caller{Kind: cloud.AssumedRole, Account: "444455556666"}}, nil
	case id == sessionID && token == "old":
		return sigv4.Credential{}, sigv4.ErrExpired
	case id == "AKIABROKEN":
		return sigv4.Credential{}, errors.New("disk on fire")
	}
	return sigv4.Credential{}, cloud.ErrNotFound
}

// A view is every service of the tests, as a caller sees it. What an operation
// does depends on the name that it is given.
type view struct {
	*world
	caller cloud.Caller
}

func (v view) DescribeKey(ctx context.Context, in *kms.DescribeKeyInput) (*kms.DescribeKeyOutput, error) {
	v.saw(v.caller)
	switch *in.KeyId {
	case "panic":
		panic("key " + *in.KeyId)
	case "boom":
		return nil, fmt.Errorf("read row: %w", errors.New("disk on fire"))
	case "denied":
		return nil, &smithy.GenericAPIError{Code: "AccessDeniedException", Message: "User: ann is not authorized"}
	case "missing":
		return nil, &kmstypes.NotFoundException{Message: new("Key 'missing' does not exist")}
	case "slow":
		v.entered <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &kms.DescribeKeyOutput{KeyMetadata: &kmstypes.KeyMetadata{KeyId: in.KeyId, AWSAccountId: new(string(v.caller.Account))}}, nil
}

func (v view) DisableKey(context.Context, *kms.DisableKeyInput) (*kms.DisableKeyOutput, error) {
	return &kms.DisableKeyOutput{}, nil
}

func (v view) Encrypt(_ context.Context, in *kms.EncryptInput) (*kms.EncryptOutput, error) {
	return &kms.EncryptOutput{CiphertextBlob: in.Plaintext}, nil
}

func (v view) DescribeDBClusters(_ context.Context, in *rds.DescribeDBClustersInput) (*rds.DescribeDBClustersOutput, error) {
	v.saw(v.caller)
	if in.DBClusterIdentifier == nil {
		return &rds.DescribeDBClustersOutput{DBClusters: []rdstypes.DBCluster{}}, nil
	}
	return nil, &rdstypes.DBClusterNotFoundFault{Message: new("DBCluster " + *in.DBClusterIdentifier + " not found.")}
}

func (v view) GetCallerIdentity(context.Context, *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
	v.saw(v.caller)
	return &sts.GetCallerIdentityOutput{Account: new(string(v.caller.Account)), Arn: &v.caller.ARN}, nil
}

func (v view) GetUser(_ context.Context, in *iam.GetUserInput) (*iam.GetUserOutput, error) {
	v.saw(v.caller)
	return &iam.GetUserOutput{User: &iamtypes.User{UserName: in.UserName, Arn: new("a"), Path: new("/"), UserId: new("i"), CreateDate: new(time.Now())}}, nil
}

// A world is a server with a gateway in front of small services.
type world struct {
	*httptest.Server
	gateway *gateway.Gateway
	entered chan struct{} // a slow operation has begun

	mu     sync.Mutex
	caller cloud.Caller // of the last operation
	log    lockedBuffer
	audit  journal
}

// A journal is an audit log that may fail.
type journal struct {
	mu    sync.Mutex
	err   error
	calls []finished
}

type finished struct {
	call *audit.Call
	audit.Outcome
}

func (j *journal) Finish(c *audit.Call, o audit.Outcome) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.calls = append(j.calls, finished{c, o})
	return j.err
}

func (w *world) saw(c cloud.Caller) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.caller = c
}

func (w *world) lastCaller() cloud.Caller {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.caller
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{entered: make(chan struct{}, 1)}
	log := slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.gateway = gateway.New(gateway.Config{Credentials: keyring{}, Services: w.services(), Audit: &w.audit, Log: log})
	w.Server = httptest.NewUnstartedServer(nil)
	w.Config = gateway.NewServer(w.gateway, log)
	w.Start()
	t.Cleanup(w.Close)
	return w
}

func (w *world) services() []gateway.Service {
	as := func(c cloud.Caller) view { return view{w, c} }
	return []gateway.Service{
		gateway.Serve(wire.KMS, map[string]api.Op[view]{
			"DescribeKey": api.Bind(view.DescribeKey), "DisableKey": api.Bind(view.DisableKey), "Encrypt": api.Bind(view.Encrypt),
		}, as),
		gateway.Serve(wire.RDS, map[string]api.Op[view]{"DescribeDBClusters": api.Bind(view.DescribeDBClusters)}, as),
		gateway.Serve(wire.IAM, map[string]api.Op[view]{"GetUser": api.Bind(view.GetUser)}, as),
		gateway.Serve(wire.STS, map[string]api.Op[view]{"GetCallerIdentity": api.Bind(view.GetCallerIdentity)}, as),
	}
}

// config is an SDK configuration for the world. There are no retries: a test
// wants the first answer.
func (w *world) config(id, secret, token string) aws.Config {
	return aws.Config{
		Region: "eu-west-1", BaseEndpoint: new(w.URL), HTTPClient: w.Client(), RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: id, SecretAccessKey: secret, SessionToken: token}, nil
		}),
	}
}

func (w *world) ann() aws.Config { return w.config(annID, annSecret, "") }

// A call is a request made by hand: signed right unless it says otherwise.
type call struct {
	method, query, body string
	header              map[string]string
	service             string // of the scope
	id, secret, token   string
	at                  time.Time
	after               func(*http.Request) // spoils the signed request
	bodyAfter           string
	unsigned, presign   bool
	payload             string // the hash to sign; the body's if ""
}

func (c call) request(t testing.TB, base string) *http.Request {
	t.Helper()
	or := func(s, d string) string {
		if s == "" {
			return d
		}
		return s
	}
	r, err := http.NewRequest(or(c.method, "POST"), base+"/", strings.NewReader(c.body+c.bodyAfter))
	if err != nil {
		t.Fatal(err)
	}
	r.URL.RawQuery = c.query
	for k, v := range c.header {
		r.Header.Set(k, v)
	}
	at := c.at
	if at.IsZero() {
		at = time.Now()
	}
	sum := sha256.Sum256([]byte(c.body))
	hash := or(c.payload, hex.EncodeToString(sum[:]))
	cred := aws.Credentials{AccessKeyID: or(c.id, annID), SecretAccessKey: or(c.secret, annSecret), SessionToken: c.token}
	r.ContentLength -= int64(len(c.bodyAfter)) // what is signed
	switch {
	case c.unsigned:
	case c.presign:
		uri, _, err := v4.NewSigner().PresignHTTP(t.Context(), cred, r, hash, or(c.service, "sts"), "eu-west-1", at)
		if err != nil {
			t.Fatal(err)
		}
		_, r.URL.RawQuery, _ = strings.Cut(uri, "?")
	default:
		if err := v4.NewSigner().SignHTTP(t.Context(), cred, r, hash, or(c.service, "kms"), "eu-west-1", at); err != nil {
			t.Fatal(err)
		}
	}
	r.ContentLength += int64(len(c.bodyAfter))
	if c.after != nil {
		c.after(r)
	}
	return r
}

// A reply is what came back, with the error that its protocol carries.
type reply struct {
	status              int
	header              http.Header
	body                string
	protocol            wire.Protocol
	code, message, kind string // kind is Sender or Receiver, in XML
}

func (w *world) do(t testing.TB, c call) reply {
	t.Helper()
	res, err := w.Client().Do(c.request(t, w.URL))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return parseReply(t, res, b)
}

func parseReply(t testing.TB, res *http.Response, b []byte) reply {
	t.Helper()
	out := reply{status: res.StatusCode, header: res.Header, body: string(b)}
	id := res.Header.Get("x-amzn-RequestId")
	switch ct := res.Header.Get("Content-Type"); ct {
	case "application/x-amz-json-1.1":
		out.protocol = wire.JSON
		var e struct {
			Type    string `json:"__type"`
			Message string `json:"message"`
		}
		if err := json.Unmarshal(b, &e); err != nil && len(b) > 0 {
			t.Errorf("%q is not JSON: %v", b, err)
		}
		out.code, out.message = e.Type, e.Message
	case "text/xml":
		out.protocol = wire.Query
		var e struct {
			XMLName   xml.Name
			Error     struct{ Type, Code, Message string }
			RequestID string `xml:"RequestId"`
		}
		if err := xml.Unmarshal(b, &e); err != nil {
			t.Errorf("%q is not XML: %v", b, err)
		}
		out.code, out.message, out.kind = e.Error.Code, e.Error.Message, e.Error.Type
		if e.XMLName.Local == "ErrorResponse" && e.RequestID != id {
			t.Errorf("the body's request id %q is not the header's %q", e.RequestID, id)
		}
	default:
		t.Errorf("Content-Type %q, body %q", ct, b)
	}
	if len(id) != 36 {
		t.Errorf("request id %q", id)
	}
	return out
}

// A lockedBuffer is a log that a test reads while the server writes it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
