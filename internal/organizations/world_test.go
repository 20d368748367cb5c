package organizations_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/organizations/types"
	"github.com/aws/smithy-go"

	"borealis/internal/audit"
	"borealis/internal/cloud"
	"borealis/internal/identity"
	orgs "borealis/internal/organizations"
	"borealis/internal/policy"
	"borealis/internal/store"
)

const (
	accountA cloud.AccountID = "111122223333"
	accountB cloud.AccountID = "444455556666"
	accountC cloud.AccountID = "777788889999"
	accountD cloud.AccountID = "121212121212"

	allowAll = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
	denyAll  = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`
)

// A journal remembers decisions.
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

func (j *journal) last() audit.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.events[len(j.events)-1]
}

// plain is a Sealer that hides nothing: nothing here is secret.
type plain struct{}

func (plain) Seal(text, _ []byte) ([]byte, error)   { return text, nil }
func (plain) Open(sealed, _ []byte) ([]byte, error) { return sealed, nil }

// accounts are IAM's. Before one is made, fail is asked whether it fails; before it is
// kept, stop, and after that lose.
type accounts struct {
	*identity.Service
	fail       func(orgs.NewMember) error
	stop, lose func() error
}

func (a *accounts) Member(ctx context.Context, id cloud.AccountID) (orgs.Member, error) {
	acc, err := a.AccountByID(ctx, id)
	return orgs.Member{Name: acc.Name, Email: acc.Email, Closed: !acc.Closed.IsZero()}, err
}

func (a *accounts) CloseMember(ctx context.Context, id cloud.AccountID, at time.Time, how func(orgs.Tx) error) error {
	return a.Service.CloseMember(ctx, id, at, func(tx identity.Tx) error { return how(store.OrganizationsIn(tx)) })
}

func (a *accounts) MakeMember(ctx context.Context, n orgs.NewMember, join func(orgs.Tx) error) error {
	if a.fail != nil {
		if err := a.fail(n); err != nil {
			return err
		}
	}
	in := identity.NewMember{ID: n.ID, Name: n.Name, Email: n.Email, Role: n.Role, Trusts: n.Trusts, Request: n.Request}
	err := a.CreateMember(ctx, in, func(tx identity.Tx) error {
		err := join(store.OrganizationsIn(tx))
		if err == nil && a.stop != nil {
			err = a.stop()
		}
		return err
	})
	if err == nil && a.lose != nil {
		return a.lose()
	}
	return err
}

// A world is a service on a database of its own with four accounts.
type world struct {
	*orgs.Service
	t        *testing.T
	db       *store.DB
	iam      *identity.Service
	accounts *accounts
	journal  *journal
	now      time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	w := &world{t: t, db: db, journal: &journal{}, now: time.Date(2026, 1, 5, 4, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return w.now }
	w.iam = &identity.Service{Store: db.Identity(), Audit: w.journal, Sealer: plain{}, Now: clock}
	w.accounts = &accounts{Service: w.iam}
	w.Service = w.service()
	for id, name := range map[cloud.AccountID]string{accountA: "alpha", accountB: "beta", accountC: "gamma", accountD: "delta"} {
		if _, _, err := w.iam.CreateAccount(t.Context(), identity.NewAccount{ID: id, Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// service is another process's service on the same database.
func (w *world) service() *orgs.Service {
	s := &orgs.Service{
		Store: w.db.Organizations(), Policies: w.iam, Accounts: w.accounts, Audit: w.journal,
		Now: func() time.Time { return w.now }, Log: slog.New(slog.DiscardHandler),
	}
	w.iam.Organizations = s
	return s
}

// as is the service as the root user of an account.
func (w *world) as(a cloud.AccountID) *orgs.View {
	w.t.Helper()
	c, err := w.iam.Caller(w.t.Context(), string(a))
	if err != nil {
		w.t.Fatal(err)
	}
	return w.As(c)
}

// founded has A make an organization, and is its root.
func (w *world) founded() string {
	w.t.Helper()
	ok(w.t)(w.as(accountA).CreateOrganization(w.t.Context(), &organizations.CreateOrganizationInput{}))
	return *ok2(w.as(accountA).ListRoots(w.t.Context(), &organizations.ListRootsInput{}))(w.t).Roots[0].Id
}

// joined has account a join the organization of A.
func (w *world) joined(a cloud.AccountID) {
	w.t.Helper()
	h := ok2(w.as(accountA).InviteAccountToOrganization(w.t.Context(), invite(a)))(w.t)
	ok(w.t)(w.as(a).AcceptHandshake(w.t.Context(), &organizations.AcceptHandshakeInput{HandshakeId: h.Handshake.Id}))
}

func invite(a cloud.AccountID) *organizations.InviteAccountToOrganizationInput {
	return &organizations.InviteAccountToOrganizationInput{Target: &types.HandshakeParty{Type: types.HandshakePartyTypeAccount, Id: new(string(a))}}
}

// unit makes a unit and gives its id.
func (w *world) unit(parent, name string) string {
	w.t.Helper()
	return *ok2(w.as(accountA).CreateOrganizationalUnit(w.t.Context(), &organizations.CreateOrganizationalUnitInput{ParentId: &parent, Name: &name}))(w.t).OrganizationalUnit.Id
}

// policy makes a service control policy and gives its id.
func (w *world) policy(name, content string) string {
	w.t.Helper()
	in := &organizations.CreatePolicyInput{Type: types.PolicyTypeServiceControlPolicy, Name: &name, Description: new(""), Content: &content}
	return *ok2(w.as(accountA).CreatePolicy(w.t.Context(), in))(w.t).Policy.PolicySummary.Id
}

func (w *world) attach(policy, target string) error {
	_, err := w.as(accountA).AttachPolicy(w.t.Context(), &organizations.AttachPolicyInput{PolicyId: &policy, TargetId: &target})
	return err
}

func (w *world) detach(policy, target string) error {
	_, err := w.as(accountA).DetachPolicy(w.t.Context(), &organizations.DetachPolicyInput{PolicyId: &policy, TargetId: &target})
	return err
}

func (w *world) move(a cloud.AccountID, from, to string) error {
	_, err := w.as(accountA).MoveAccount(w.t.Context(), &organizations.MoveAccountInput{AccountId: new(string(a)), SourceParentId: &from, DestinationParentId: &to})
	return err
}

// says is what the organization says of a.
func (w *world) says(a cloud.AccountID) *policy.Membership {
	w.t.Helper()
	return ok2(w.Membership(w.t.Context(), a))(w.t)
}

// ok wants a call to have gone well, whatever it has answered.
func ok(t *testing.T) func(any, error) {
	t.Helper()
	return func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
}

// ok2 is the answer of a call that must have gone well.
func ok2[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// refused wants an error with a code, a reason and words.
func refused(t *testing.T, err error, code, reason, words string) {
	t.Helper()
	e, is := errors.AsType[smithy.APIError](err)
	if !is || e.ErrorCode() != code || e.ErrorMessage() != words && words != "" {
		t.Errorf("got %v, want %s: %s", err, code, words)
	}
	if got := reasonOf(err); got != reason {
		t.Errorf("%v: reason %q, want %q", err, got, reason)
	}
}

func reasonOf(err error) string {
	if e, ok := errors.AsType[*types.ConstraintViolationException](err); ok {
		return string(e.Reason)
	}
	if e, ok := errors.AsType[*types.InvalidInputException](err); ok {
		return string(e.Reason)
	}
	if e, ok := errors.AsType[*types.HandshakeConstraintViolationException](err); ok {
		return string(e.Reason)
	}
	return ""
}
