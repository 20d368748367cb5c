package keys_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"

	"borealis/internal/audit"
	"borealis/internal/cloud"
	"borealis/internal/keys"
	"borealis/internal/policy"
	"borealis/internal/seal"
	"borealis/internal/store"
)

const (
	home   cloud.AccountID = "111122223333"
	abroad cloud.AccountID = "444455556666"
	far    cloud.AccountID = "999999999999"
	region cloud.Region    = "eu-west-1"
)

// A world is a key service over a real database, with accounts and people in
// them. It is empty at first, and gone with the test.
type world struct {
	*keys.Service
	t    testing.TB
	path string
	db   *store.DB
	root *seal.Root
	dir  *directory
	log  *eventLog
	xks  *fakeProxies
	hsm  *fakeHSMs

	// theirs imports the material of the key that brought makes.
	theirs *kms.ImportKeyMaterialInput

	mu  sync.Mutex
	now time.Time
}

func newWorld(t testing.TB) *world {
	w := &world{
		t: t, path: filepath.Join(t.TempDir(), "db"), root: seal.NewRoot(), log: new(eventLog), xks: new(fakeProxies), hsm: new(fakeHSMs),
		dir: &directory{people: make(map[string]*entry)}, now: time.Date(2026, 11, 23, 10, 0, 0, 562_000_000, time.UTC),
	}
	if err := os.WriteFile(w.path, must(emptyDatabase())(t), 0o600); err != nil {
		t.Fatal(err)
	}
	w.reopen()
	t.Cleanup(func() { w.db.Close() })
	return w
}

// emptyDatabase is a database in its present form, with nothing in it: made once,
// for every world.
var emptyDatabase = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "db")
	db, err := store.Open(context.Background(), path)
	if err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// reopen starts another service on the same database, as after a crash.
func (w *world) reopen() {
	w.t.Helper()
	if w.db != nil {
		w.db.Close()
	}
	var err error
	if w.db, err = store.Open(w.t.Context(), w.path); err != nil {
		w.t.Fatal(err)
	}
	w.restart()
}

// image closes the database, remembers it as it is now, and returns what brings
// that back, in a new process.
func (w *world) image() (restore func()) {
	w.t.Helper()
	w.db.Close()
	image := must(os.ReadFile(w.path))(w.t)
	return func() {
		w.t.Helper()
		w.db.Close()
		for _, f := range []string{"-wal", "-shm"} {
			os.Remove(w.path + f)
		}
		if err := os.WriteFile(w.path, image, 0o600); err != nil {
			w.t.Fatal(err)
		}
		w.reopen()
	}
}

// restart starts another service on the same database, with nothing in memory.
func (w *world) restart() {
	w.Service = &keys.Service{
		Store: w.db.Keys(), Policies: w.dir, Principals: w.dir, Audit: w.log, Sealer: w.root.Derive("keys"), Now: w.clock,
		Proxies: w.xks, HSMs: w.hsm, Ready: 1, // so that every test sees keys packed and unpacked
	}
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) wait(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// A directory is who exists and what speaks for them.
type directory struct {
	mu     sync.Mutex
	people map[string]*entry // by ARN
	orgs   map[cloud.AccountID]policy.Membership
	serial int
}

type entry struct {
	id       string
	identity policy.Identity
}

func (d *directory) Complete(_ context.Context, q *policy.Question) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	mine, owners := d.orgs[q.Caller.Account], d.orgs[q.ResourceAccount()]
	q.Within(&mine, &owners)
	e := d.people[q.Caller.Principal]
	if e == nil {
		return nil
	}
	q.Identity = e.identity
	for _, text := range q.Caller.SessionPolicies {
		p, err := policy.Parse("session policy", text)
		if err != nil {
			return err
		}
		q.Identity.Session = append(q.Identity.Session, p)
	}
	return nil
}

func (d *directory) PrincipalID(_ context.Context, arn string) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	session := ""
	if a, err := cloud.ParseARN(arn); err == nil && a.Service == "sts" {
		f := strings.Split(a.Resource, "/")
		arn, session = cloud.NewARN("iam", "", a.Account, "role/"+f[1]).String(), ":"+f[2]
	} else if a, err := cloud.ParseAccountID(arn); err == nil {
		arn = a.Root().String()
	}
	if e := d.people[arn]; e != nil {
		return e.id + session, nil
	}
	return "", fmt.Errorf("principal %s: %w", arn, cloud.ErrNotFound)
}

func (d *directory) PrincipalARN(_ context.Context, id string) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	base, session, _ := strings.Cut(id, ":")
	for arn, e := range d.people {
		if e.id == base && session != "" {
			return strings.Replace(strings.Replace(arn, ":iam:", ":sts:", 1), ":role/", ":assumed-role/", 1) + "/" + session, nil
		}
		if e.id == base {
			return arn, nil
		}
	}
	return "", fmt.Errorf("principal %s: %w", id, cloud.ErrNotFound)
}

// An eventLog keeps what was put on record.
type eventLog struct {
	mu     sync.Mutex
	events []audit.Event
	fail   error
}

func (l *eventLog) Record(e audit.Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
	return l.fail
}

func (l *eventLog) last() audit.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.events) == 0 {
		return audit.Event{}
	}
	return l.events[len(l.events)-1]
}

// A person is a caller who acts, and whose failures fail the test.
type person struct {
	*keys.View
	w      *world
	caller cloud.Caller
}

// person makes or finds the user, role or root user that name ("user/ann",
// "role/app", "root") is in an account, and gives it these policies and no
// others.
func (w *world) person(a cloud.AccountID, name string, policies ...string) *person {
	w.t.Helper()
	arn := cloud.NewARN("iam", "", a, name).String()
	c := cloud.Caller{Kind: cloud.User, Account: a, ARN: arn, Principal: arn, UserName: name[strings.LastIndex(name, "/")+1:], Region: region}
	e := w.dir.entry(arn, name, a)
	switch {
	case name == "root":
		c.Kind, c.UserName = cloud.Root, ""
		policies = []string{allow("*")}
	case strings.HasPrefix(name, "role/"):
		c.Kind, c.UserName = cloud.AssumedRole, ""
		c.ARN = cloud.NewARN("sts", "", a, "assumed-role/"+name[5:]+"/s1").String()
	}
	c.UserID = e.id
	if c.Kind == cloud.AssumedRole {
		c.UserID += ":s1"
	}
	w.setPolicies(arn, policies...)
	return &person{w.As(c), w, c}
}

func (d *directory) entry(arn, name string, a cloud.AccountID) *entry {
	d.mu.Lock()
	defer d.mu.Unlock()
	if root := a.Root().String(); d.people[root] == nil {
		d.people[root] = &entry{id: string(a)}
	}
	e := d.people[arn]
	if e == nil {
		d.serial++
		prefix := "AIDA"
		if strings.HasPrefix(name, "role/") {
			prefix = "AROA"
		}
		e = &entry{id: fmt.Sprintf("%sEXAMPLE%010d", prefix, d.serial)}
		d.people[arn] = e
	}
	return e
}

// setPolicies gives a principal these identity policies and no others.
func (w *world) setPolicies(arn string, policies ...string) {
	w.t.Helper()
	var id policy.Identity
	for _, text := range policies {
		id.Policies = append(id.Policies, w.parse(text))
	}
	w.dir.mu.Lock()
	defer w.dir.mu.Unlock()
	w.dir.people[arn].identity = id
}

func (w *world) parse(text string) *policy.Policy {
	w.t.Helper()
	p, err := policy.Parse("policy", text)
	if err != nil {
		w.t.Fatalf("%s: %v", text, err)
	}
	return p
}

// remove ends a principal's existence.
func (w *world) remove(p *person) {
	w.dir.mu.Lock()
	defer w.dir.mu.Unlock()
	delete(w.dir.people, p.caller.Principal)
}

// with is the same person with its caller changed.
func (p *person) with(change func(*cloud.Caller)) *person {
	c := p.caller
	change(&c)
	return &person{p.w.As(c), p.w, c}
}

// through is p when RDS acts in p's name.
func (p *person) through(service string) *person {
	c := p.caller.Through(service)
	return &person{p.w.As(c), p.w, c}
}

// again is p as a caller of the service that the world has now.
func (p *person) again() *person { return p.with(func(*cloud.Caller) {}) }

// allow is an identity policy.
func allow(actions ...string) string {
	return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["` + strings.Join(actions, `","`) + `"],"Resource":"*"}}`
}

// deny is an identity policy.
func deny(actions ...string) string {
	return strings.Replace(allow(actions...), "Allow", "Deny", 1)
}

// delegating is a statement of a key policy that leaves the key to an account.
func delegating(a cloud.AccountID, actions ...string) string {
	return letting(a.Root().String(), actions...)
}

// letting is a statement of a key policy that names a principal.
func letting(arn string, actions ...string) string {
	return `{"Effect":"Allow","Principal":{"AWS":"` + arn + `"},"Action":["` + strings.Join(actions, `","`) + `"],"Resource":"*"}`
}

func keyPolicy(statements ...string) *string {
	return new(`{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`)
}

// key makes a key with the default policy and these statements, and returns its ARN.
func (p *person) key(statements ...string) *string {
	p.w.t.Helper()
	in := &kms.CreateKeyInput{}
	if len(statements) > 0 {
		in.Policy = keyPolicy(append([]string{delegating(p.caller.Account, "kms:*")}, statements...)...)
	}
	out, err := p.CreateKey(p.w.t.Context(), in)
	if err != nil {
		p.w.t.Fatalf("create key: %v", err)
	}
	return out.KeyMetadata.Arn
}

// must is for what has to work for the test to go on.
func must[T any](out T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

// said is what a client hears of err: "", or its code, and its message if it has one.
func said(err error) string {
	if err == nil {
		return ""
	}
	e, ok := errors.AsType[smithy.APIError](err)
	switch {
	case !ok:
		return "not an API error: " + err.Error()
	case e.ErrorMessage() == "":
		return e.ErrorCode()
	}
	return e.ErrorCode() + ": " + e.ErrorMessage()
}

// code is the code of err, or "".
func code(err error) string {
	c, _, _ := strings.Cut(said(err), ":")
	return c
}

// may fails the test if what was done failed.
func (p *person) may(what string, err error) {
	p.w.t.Helper()
	if err != nil {
		p.w.t.Errorf("%s may not %s: %v", p.caller.ARN, what, err)
	}
}

// mayNot fails the test if what was done did not fail with want: a code, or a
// code, a colon and the whole message.
func (p *person) mayNot(what, want string, err error) {
	p.w.t.Helper()
	got := said(err)
	if code, _, _ := strings.Cut(got, ":"); got != want && code != want {
		p.w.t.Errorf("%s: %s:\n got %s\nwant %s", p.caller.ARN, what, got, want)
	}
}

// The operations that stories tell of most.

func (p *person) encrypt(key *string, context map[string]string) ([]byte, error) {
	out, err := p.Encrypt(p.w.t.Context(), &kms.EncryptInput{KeyId: key, Plaintext: []byte("secret"), EncryptionContext: context})
	if err != nil {
		return nil, err
	}
	return out.CiphertextBlob, nil
}

func (p *person) decrypt(blob []byte, context map[string]string) error {
	out, err := p.Decrypt(p.w.t.Context(), &kms.DecryptInput{CiphertextBlob: blob, EncryptionContext: context})
	if err == nil && string(out.Plaintext) != "secret" {
		p.w.t.Errorf("decrypted to %q", out.Plaintext)
	}
	return err
}

func (p *person) dataKey(key *string) error {
	_, err := p.GenerateDataKey(p.w.t.Context(), &kms.GenerateDataKeyInput{KeyId: key, KeySpec: "AES_256"})
	return err
}

func (p *person) describe(key *string) error {
	_, err := p.DescribeKey(p.w.t.Context(), &kms.DescribeKeyInput{KeyId: key})
	return err
}

func (p *person) putPolicy(key *string, statements ...string) error {
	_, err := p.PutKeyPolicy(p.w.t.Context(), &kms.PutKeyPolicyInput{KeyId: key, Policy: keyPolicy(statements...)})
	return err
}

func (p *person) disable(key *string) error {
	_, err := p.DisableKey(p.w.t.Context(), &kms.DisableKeyInput{KeyId: key})
	return err
}

func (p *person) alias(name string, key *string) error {
	_, err := p.CreateAlias(p.w.t.Context(), &kms.CreateAliasInput{AliasName: &name, TargetKeyId: key})
	return err
}
