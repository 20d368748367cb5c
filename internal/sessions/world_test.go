package sessions_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"

	"borealis/internal/audit"
	"borealis/internal/cloud"
	"borealis/internal/federation"
	"borealis/internal/identity"
	"borealis/internal/policy"
	"borealis/internal/sessions"
	"borealis/internal/store"
)

const (
	accountA cloud.AccountID = "111122223333"
	accountB cloud.AccountID = "444455556666"
)

// A gcm is a Sealer as small as can be.
type gcm struct{ cipher.AEAD }

func newGCM(t testing.TB) gcm {
	key := make([]byte, 32)
	rand.Read(key)
	block := must(aes.NewCipher(key))(t)
	return gcm{must(cipher.NewGCMWithRandomNonce(block))(t)}
}

func (g gcm) Seal(plaintext, context []byte) ([]byte, error) {
	return g.AEAD.Seal(nil, nil, plaintext, context), nil
}

func (g gcm) Open(sealed, context []byte) ([]byte, error) {
	return g.AEAD.Open(nil, nil, sealed, context)
}

type journal struct {
	mu     sync.Mutex
	events []audit.Event
}

func (j *journal) Record(e audit.Event) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, e)
	return nil
}

// principals are an identity service as this package asks for it.
type principals struct{ *identity.Service }

func (p principals) Role(ctx context.Context, arn string) (sessions.Role, error) {
	r, err := p.Service.Role(ctx, arn)
	return sessions.Role(r), err
}

func (p principals) KeyActive(ctx context.Context, id string) error {
	_, _, err := p.Credential(ctx, id)
	return err
}

func (p principals) OIDC(ctx context.Context, arn string) (sessions.OIDCProvider, error) {
	o, err := p.OIDCProvider(ctx, arn)
	return sessions.OIDCProvider{URL: o.URL, Clients: o.Clients, Thumbprints: o.Thumbprints}, err
}

func (p principals) SAML(ctx context.Context, arn string) (sessions.SAMLProvider, error) {
	s, err := p.SAMLProvider(ctx, arn)
	return sessions.SAMLProvider{Name: s.Name, Metadata: s.Metadata, ValidUntil: s.ValidUntil, OnlyEncrypted: s.Encryption == "Required"}, err
}

// A world is a session service beside a real identity service, with two accounts.
type world struct {
	*sessions.Service
	t       testing.TB
	iam     *identity.Service
	journal *journal
	now     time.Time
	hosts   map[string]string // addresses of identity providers
}

func newWorld(t testing.TB) *world {
	db := must(store.Open(t.Context(), filepath.Join(t.TempDir(), "db")))(t)
	t.Cleanup(func() { db.Close() })
	w := &world{t: t, journal: &journal{}, now: time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)}
	sealer, clock := newGCM(t), func() time.Time { return w.now }
	w.iam = &identity.Service{Store: db.Identity(), Audit: w.journal, Sealer: sealer, Now: clock}
	w.Service = &sessions.Service{Principals: principals{w.iam}, Providers: principals{w.iam}, Policies: w.iam, Audit: w.journal, Sealer: sealer, Now: clock}
	w.hosts = map[string]string{}
	w.Issuers = federation.NewIssuers(func(ctx context.Context, network, address string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, w.hosts[address])
	}, x509.NewCertPool(), clock)
	for _, id := range []cloud.AccountID{accountA, accountB} {
		if _, _, err := w.iam.CreateAccount(t.Context(), identity.NewAccount{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *world) rootCaller(a cloud.AccountID) cloud.Caller {
	w.t.Helper()
	return must(w.iam.Caller(w.t.Context(), string(a)))(w.t)
}

// admin is IAM in the name of a's root user.
func (w *world) admin(a cloud.AccountID) *identity.View { return w.iam.As(w.rootCaller(a)) }

// user makes a user who may do actions of STS, if any are named, and returns
// who signs with its key.
func (w *world) user(a cloud.AccountID, name string, actions ...string) cloud.Caller {
	w.t.Helper()
	ctx, root := w.t.Context(), w.admin(a)
	u := must(root.CreateUser(ctx, &iam.CreateUserInput{UserName: &name}))(w.t).User
	if len(actions) > 0 {
		text := fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":%s,"Resource":"*"}}`, quoted(actions))
		must(root.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &name, PolicyName: new("p"), PolicyDocument: &text}))(w.t)
	}
	return must(w.iam.Caller(ctx, *u.UserId))(w.t)
}

func quoted(list []string) string {
	s := ""
	for _, x := range list {
		s += fmt.Sprintf(",%q", x)
	}
	return "[" + s[1:] + "]"
}

// role makes a role that trusts principals (an ARN or account id) on condition,
// a JSON object, and may read keys.
func (w *world) role(a cloud.AccountID, name, principal, condition string) string {
	w.t.Helper()
	trust := fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":%q},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"],"Condition":%s}}`, principal, condition)
	root := w.admin(a)
	role := must(root.CreateRole(w.t.Context(), &iam.CreateRoleInput{RoleName: &name, Path: new("/p/"), AssumeRolePolicyDocument: &trust, MaxSessionDuration: new(int32(7200))}))(w.t).Role
	text := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["kms:*","sts:AssumeRole"],"Resource":"*"}}`
	must(root.PutRolePolicy(w.t.Context(), &iam.PutRolePolicyInput{RoleName: &name, PolicyName: new("p"), PolicyDocument: &text}))(w.t)
	return *role.Arn
}

// assume makes a session of role; change, if not nil, changes what is asked for.
func (w *world) assume(c cloud.Caller, role string, change func(*sts.AssumeRoleInput)) (*sts.AssumeRoleOutput, error) {
	in := &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: new("s1")}
	if change != nil {
		change(in)
	}
	return w.As(c).AssumeRole(w.t.Context(), in)
}

// signer is who signs with credentials.
func (w *world) signer(c *types.Credentials) cloud.Caller {
	w.t.Helper()
	secret, caller, err := w.Credential(w.t.Context(), *c.AccessKeyId, *c.SessionToken)
	if err != nil || secret != *c.SecretAccessKey {
		w.t.Fatalf("Credential: %v", err)
	}
	return caller
}

// allowed says whether c may do action, by its own policies alone.
func (w *world) allowed(c cloud.Caller, action string) bool {
	w.t.Helper()
	who := must(w.iam.IdentityOf(w.t.Context(), c))(w.t)
	return policy.Question{Caller: c, Identity: who, Action: action, Resource: "*", Owner: c.Account, Now: w.now}.Decide().Allowed
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// code is the code and message of an API error, as "Code: message".
func code(err error) string {
	var e smithy.APIError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.ErrorCode() + ": " + e.ErrorMessage()
	}
	return "not an API error: " + err.Error()
}

func iamTag(key, value string) iamtypes.Tag { return iamtypes.Tag{Key: &key, Value: &value} }
