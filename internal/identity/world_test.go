package identity_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/smithy-go"

	"borealis/internal/audit"
	"borealis/internal/cloud"
	"borealis/internal/identity"
	"borealis/internal/store"
)

const (
	accountA cloud.AccountID = "111122223333"
	accountB cloud.AccountID = "444455556666"
	admin                    = "arn:aws:iam::aws:policy/AdministratorAccess"
	anything                 = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
)

// A gcm is a Sealer as small as can be.
type gcm struct{ cipher.AEAD }

func newGCM() gcm {
	key := make([]byte, 32)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return gcm{aead}
}

func (g gcm) Seal(plaintext, context []byte) ([]byte, error) {
	return g.AEAD.Seal(nil, nil, plaintext, context), nil
}

func (g gcm) Open(sealed, context []byte) ([]byte, error) {
	return g.AEAD.Open(nil, nil, sealed, context)
}

// A journal remembers decisions.
type journal struct {
	mu     sync.Mutex
	events []audit.Event
	fail   error
}

func (j *journal) Record(e audit.Event) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, e)
	return j.fail
}

func (j *journal) last() audit.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.events[len(j.events)-1]
}

// A world is a service on a database of its own with two accounts.
type world struct {
	*identity.Service
	t       *testing.T
	db      *store.DB
	path    string
	sealer  gcm
	journal *journal
	keys    map[cloud.AccountID]identity.RootKey
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, path: filepath.Join(t.TempDir(), "db"), sealer: newGCM(), journal: &journal{}, keys: map[cloud.AccountID]identity.RootKey{}}
	w.open()
	for _, id := range []cloud.AccountID{accountA, accountB} {
		_, key, err := w.CreateAccount(t.Context(), identity.NewAccount{ID: id})
		if err != nil {
			t.Fatal(err)
		}
		w.keys[id] = key
	}
	t.Cleanup(func() { w.db.Close() })
	return w
}

// open opens the database again, or for the first time, under a new service.
func (w *world) open() {
	w.t.Helper()
	if w.db != nil {
		w.db.Close()
	}
	db, err := store.Open(w.t.Context(), w.path)
	if err != nil {
		w.t.Fatal(err)
	}
	w.db = db
	w.Service = &identity.Service{Store: db.Identity(), Audit: w.journal, Sealer: w.sealer, Now: time.Now}
}

// root is the service as the root user of a.
func (w *world) root(a cloud.AccountID) *identity.View {
	return w.As(must(w.Caller(w.t.Context(), string(a)))(w.t))
}

// user makes a user with inline policy text, if it is not empty, and returns
// who signs with its first key.
func (w *world) user(a cloud.AccountID, name, text string) cloud.Caller {
	w.t.Helper()
	ctx, root := w.t.Context(), w.root(a)
	must(root.CreateUser(ctx, &iam.CreateUserInput{UserName: &name}))(w.t)
	if text != "" {
		must(root.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &name, PolicyName: new("p"), PolicyDocument: &text}))(w.t)
	}
	key := must(root.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &name}))(w.t).AccessKey
	_, c, err := w.Credential(ctx, *key.AccessKeyId)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// must returns what a call returned, if without an error.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
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
	if !errors.As(err, &e) {
		if err == nil {
			return ""
		}
		return "not an API error: " + err.Error()
	}
	return e.ErrorCode() + ": " + e.ErrorMessage()
}

// decoded undoes the encoding of documents in answers.
func decoded(t *testing.T, s *string) string {
	t.Helper()
	text, err := url.PathUnescape(*s)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// allowed says whether c may do action to resource, by identity policies alone.
func (w *world) allowed(ctx context.Context, c cloud.Caller, action, resource string) bool {
	w.t.Helper()
	return w.decide(ctx, c, action, resource).Allowed
}
