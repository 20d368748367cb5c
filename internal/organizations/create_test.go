package organizations_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/organizations/types"

	"borealis/internal/cloud"
	orgs "borealis/internal/organizations"
)

// Accounts are made one after the other, whatever fails in between.
func TestAccountsAreMade(t *testing.T) {
	w := newWorld(t)
	w.founded()
	ctx, a := t.Context(), w.as(accountA)
	failures, stopped, lost := 2, 1, 1
	w.accounts.fail = func(orgs.NewMember) error {
		if failures--; failures >= 0 {
			return []error{errors.New("disk full"), cloud.ErrExists}[failures] // a number that is taken, and then a failure
		}
		return nil
	}
	w.accounts.stop = func() error {
		if stopped--; stopped >= 0 {
			return errors.New("killed before it was kept")
		}
		return nil
	}
	w.accounts.lose = func() error {
		if lost--; lost >= 0 {
			return errors.New("killed after that")
		}
		return nil
	}
	create := func(name, email string) string {
		t.Helper()
		out := ok2(a.CreateAccount(ctx, &organizations.CreateAccountInput{AccountName: &name, Email: &email, RoleName: new("Admin"), Tags: []types.Tag{{Key: new("k"), Value: new("v")}}}))(t)
		if s := out.CreateAccountStatus; s.State != types.CreateAccountStateInProgress || s.AccountId != nil {
			t.Errorf("status %+v", s)
		}
		w.now = w.now.Add(time.Second)
		return *out.CreateAccountStatus.Id
	}
	status := func(id string) *types.CreateAccountStatus {
		return ok2(a.DescribeCreateAccountStatus(ctx, &organizations.DescribeCreateAccountStatusInput{CreateAccountRequestId: &id}))(t).CreateAccountStatus
	}
	first, again := create("one", "One@example.com"), create("two", "one@example.com")
	_, err := a.DeleteOrganization(ctx, nil)
	refused(t, err, "OrganizationNotEmptyException", "", "")
	before := len(ok2(w.iam.Accounts(ctx))(t))
	for range 5 { // each with a failure, and begun anew
		err := w.service().Finish(ctx)
		t.Log(err)
	}
	if s := status(first); s.State != types.CreateAccountStateSucceeded || s.AccountId == nil {
		t.Fatalf("status %+v", s)
	}
	if s := status(again); s.State != types.CreateAccountStateFailed || s.FailureReason != types.CreateAccountFailureReasonEmailAlreadyExists {
		t.Errorf("status %+v", s)
	}
	if n := len(ok2(w.iam.Accounts(ctx))(t)); n != before+1 {
		t.Errorf("%d accounts, want %d", n, before+1)
	}
	id := *status(first).AccountId
	w.Service = w.service()
	if role := ok2(w.iam.Role(ctx, "arn:aws:iam::"+id+":role/Admin"))(t); role.MaxSession != time.Hour {
		t.Errorf("role %+v", role)
	}
	tags := ok2(w.as(accountA).ListTagsForResource(ctx, &organizations.ListTagsForResourceInput{ResourceId: &id}))(t).Tags
	if len(tags) != 1 || w.says(cloud.AccountID(id)).Path != w.says(accountA).Path {
		t.Errorf("tags %v, path %s", tags, w.says(cloud.AccountID(id)).Path)
	}
	failed := ok2(a.ListCreateAccountStatus(ctx, &organizations.ListCreateAccountStatusInput{States: []types.CreateAccountState{types.CreateAccountStateFailed}}))(t).CreateAccountStatuses
	if len(failed) != 1 || *failed[0].Id != again {
		t.Errorf("failed %+v", failed)
	}
	// It keeps its address when it goes and comes back.
	ok(t)(w.as(accountA).RemoveAccountFromOrganization(ctx, &organizations.RemoveAccountFromOrganizationInput{AccountId: &id}))
	w.joined(cloud.AccountID(id))
	if acc := ok2(w.as(accountA).DescribeAccount(ctx, &organizations.DescribeAccountInput{AccountId: &id}))(t).Account; *acc.Email != "One@example.com" {
		t.Errorf("account %+v", acc)
	}
}

// ask asks A's organization for an account, a second after the one before.
func (w *world) ask(name string) (request string) {
	w.t.Helper()
	w.now = w.now.Add(time.Second)
	in := &organizations.CreateAccountInput{AccountName: &name, Email: new(name + "@example.com")}
	return *ok2(w.as(accountA).CreateAccount(w.t.Context(), in))(w.t).CreateAccountStatus.Id
}

func (w *world) status(request string) *types.CreateAccountStatus {
	w.t.Helper()
	in := &organizations.DescribeCreateAccountStatusInput{CreateAccountRequestId: &request}
	return ok2(w.as(accountA).DescribeCreateAccountStatus(w.t.Context(), in))(w.t).CreateAccountStatus
}

// From the moment that an account can be seen, its organization's policies bind it,
// also for those who look while the change is being kept.
func TestAccountsAreMembersAtOnce(t *testing.T) {
	w := newWorld(t)
	root := w.founded()
	ok(t)(nil, w.attach(w.policy("nothing", denyAll), root))
	var made cloud.AccountID
	bound := func() bool { return len(w.says(made).ServiceControl.Levels) == 2 }
	w.accounts.fail = func(n orgs.NewMember) error {
		made = n.ID
		if bound() {
			t.Error("an account that is not there is a member")
		}
		return nil
	}
	w.accounts.stop = func() error {
		bound() // so that it would be remembered that there is none
		return nil
	}
	w.accounts.lose = func() error {
		if _, err := w.iam.Caller(t.Context(), string(made)); err != nil || !bound() {
			t.Errorf("%v; its organization says %+v", err, w.says(made))
		}
		return nil
	}
	id := w.ask("one")
	ok(t)(nil, w.Finish(t.Context()))
	if s := w.status(id); s.State != types.CreateAccountStateSucceeded || *s.AccountId != string(made) || !bound() {
		t.Errorf("status %+v", s)
	}
}

// A request that cannot be fulfilled does not keep others waiting, but for those
// with the same address.
func TestOneRequestDoesNotBlockOthers(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.founded()
	org := ok2(w.as(accountA).DescribeOrganization(ctx, nil))(t).Organization.Id
	broken, same, unread := w.ask("broken"), w.ask("broken"), w.ask("unread")
	elsewhere, good := w.ask("elsewhere"), w.ask("good")
	change := func(kind orgs.ItemKind, id string, how func(map[string]any) any) {
		err := w.db.Organizations().Update(ctx, func(tx orgs.Tx) error {
			i, err := tx.Item(*org, kind, id)
			var m map[string]any
			json.Unmarshal(i.Body, &m)
			i.Body, _ = json.Marshal(how(m))
			return errors.Join(err, tx.PutItem(i))
		})
		ok(t)(nil, err)
	}
	change(orgs.PendingItem, unread, func(map[string]any) any { return "not a time" })
	change(orgs.RequestItem, unread, func(map[string]any) any { return []int{1} })
	// As an older version left it that was killed before it joined what it had made.
	left := accountID(t, w, elsewhere)
	change(orgs.RequestItem, elsewhere, func(m map[string]any) any {
		m["Account"] = left
		return m
	})
	ok(t)(w.as(accountB).CreateOrganization(ctx, &organizations.CreateOrganizationInput{}))
	h := ok2(w.as(accountB).InviteAccountToOrganization(ctx, invite(left)))(t)
	ok(t)(w.as(left).AcceptHandshake(ctx, &organizations.AcceptHandshakeInput{HandshakeId: h.Handshake.Id}))

	w.accounts.fail = func(n orgs.NewMember) error {
		if n.Request == broken {
			return errors.New("disk full")
		}
		return nil
	}
	if err := w.Finish(ctx); err == nil {
		t.Error("nothing has failed")
	}
	for request, want := range map[string]types.CreateAccountState{
		broken: types.CreateAccountStateInProgress, same: types.CreateAccountStateInProgress,
		elsewhere: types.CreateAccountStateFailed, good: types.CreateAccountStateSucceeded,
	} {
		if s := w.status(request); s.State != want {
			t.Errorf("%s is %s, want %s", *s.AccountName, s.State, want)
		}
	}
	if s := w.status(elsewhere); s.FailureReason != types.CreateAccountFailureReasonInternalFailure {
		t.Errorf("status %+v", s)
	}
	w.accounts.fail = nil
	if err := w.Finish(ctx); err == nil {
		t.Error("what cannot be read is not told")
	}
	if a, b := w.status(broken), w.status(same); a.State != types.CreateAccountStateSucceeded || b.FailureReason != types.CreateAccountFailureReasonEmailAlreadyExists {
		t.Errorf("statuses %+v, %+v", a, b)
	}
}

// accountID is an account that request has made, and that is in no organization.
func accountID(t *testing.T, w *world, request string) cloud.AccountID {
	t.Helper()
	const id cloud.AccountID = "313131313131"
	ok(t)(nil, w.accounts.MakeMember(t.Context(), orgs.NewMember{ID: id, Role: "r", Trusts: accountA, Request: request}, func(orgs.Tx) error { return nil }))
	return id
}
