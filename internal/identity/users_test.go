package identity_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"borealis/internal/cloud"
	"borealis/internal/identity"
	"borealis/internal/policy"
)

func (w *world) decide(ctx context.Context, c cloud.Caller, action, resource string) policy.Decision {
	w.t.Helper()
	who, err := w.IdentityOf(ctx, c)
	if err != nil {
		w.t.Fatal(err)
	}
	return policy.Question{Caller: c, Identity: who, Action: action, Resource: resource, Owner: c.Account, Now: time.Now()}.Decide()
}

func TestUserLives(t *testing.T) {
	w := newWorld(t)
	ctx, root := t.Context(), w.root(accountA)

	made := must(root.CreateUser(ctx, &iam.CreateUserInput{UserName: new("Ann"), Path: new("/eng/"), Tags: []types.Tag{{Key: new("team"), Value: new("db")}}}))(t).User
	if *made.Arn != "arn:aws:iam::111122223333:user/eng/Ann" || len(*made.UserId) != 21 || !strings.HasPrefix(*made.UserId, "AIDA") {
		t.Errorf("CreateUser: %s %s", *made.Arn, *made.UserId)
	}
	got := must(root.GetUser(ctx, &iam.GetUserInput{UserName: new("ann")}))(t).User
	if *got.UserId != *made.UserId || *got.Tags[0].Value != "db" || !got.CreateDate.Equal(*made.CreateDate) {
		t.Errorf("GetUser by another case: %+v", got)
	}
	key := must(root.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: new("Ann")}))(t).AccessKey
	secret, c, err := w.Credential(ctx, *key.AccessKeyId)
	if err != nil || secret != *key.SecretAccessKey || len(secret) != 40 {
		t.Errorf("Credential: %v, %d characters", err, len(secret))
	}
	want := cloud.Caller{
		Kind: cloud.User, Account: accountA, ARN: *made.Arn, Principal: *made.Arn, UserID: *made.UserId,
		UserName: "Ann", AccessKeyID: *key.AccessKeyId, Tags: map[string]string{"team": "db"},
	}
	if d := cmpDiff(want, c); d != "" {
		t.Errorf("Credential's caller (-want +got):\n%s", d)
	}

	w.open() // all of it survives
	if s, again, err := w.Credential(ctx, *key.AccessKeyId); s != secret || err != nil || cmpDiff(c, again) != "" {
		t.Errorf("Credential after reopening: %v", err)
	}
	root = w.root(accountA)
	must(root.UpdateUser(ctx, &iam.UpdateUserInput{UserName: new("Ann"), NewUserName: new("anna"), NewPath: new("/")}))(t)
	if _, c, _ := w.Credential(ctx, *key.AccessKeyId); c.ARN != "arn:aws:iam::111122223333:user/anna" || c.UserID != *made.UserId {
		t.Errorf("after UpdateUser: %s %s", c.ARN, c.UserID)
	}
	must(root.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: new("anna"), AccessKeyId: key.AccessKeyId, Status: types.StatusTypeInactive}))(t)
	if _, _, err := w.Credential(ctx, *key.AccessKeyId); !errors.Is(err, cloud.ErrNotFound) {
		t.Errorf("Credential of an inactive key: %v", err)
	}
	must(root.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: new("anna"), AccessKeyId: key.AccessKeyId, Status: types.StatusTypeActive}))(t)
	must(root.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: new("anna"), AccessKeyId: key.AccessKeyId}))(t)
	if _, _, err := w.Credential(ctx, *key.AccessKeyId); !errors.Is(err, cloud.ErrNotFound) {
		t.Errorf("Credential of a deleted key: %v", err)
	}
	must(root.DeleteUser(ctx, &iam.DeleteUserInput{UserName: new("anna")}))(t)
	if _, err := root.GetUser(ctx, &iam.GetUserInput{UserName: new("anna")}); code(err) != "NoSuchEntity: The user with name anna cannot be found." {
		t.Errorf("GetUser after DeleteUser: %v", err)
	}
}

// A deleted user may do nothing, and a namesake inherits nothing.
func TestDeletedUserMayDoNothing(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	ann := w.user(accountA, "ann", anything)
	if !w.allowed(ctx, ann, "kms:ListKeys", "*") {
		t.Fatal("ann may do nothing to begin with")
	}
	root := w.root(accountA)
	must(root.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: new("ann"), AccessKeyId: &ann.AccessKeyID}))(t)
	must(root.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: new("ann"), PolicyName: new("p")}))(t)
	must(root.DeleteUser(ctx, &iam.DeleteUserInput{UserName: new("ann")}))(t)
	w.user(accountA, "ann", anything)
	if w.allowed(ctx, ann, "kms:ListKeys", "*") {
		t.Error("a deleted user may act by its namesake's policies")
	}
}

func TestSameNameAtOnce(t *testing.T) {
	w := newWorld(t)
	root := w.root(accountA)
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for i := range 8 {
		wg.Go(func() {
			name := "ann"
			if i%2 == 1 {
				name = "ANN"
			}
			_, err := root.CreateUser(t.Context(), &iam.CreateUserInput{UserName: &name})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				won++
			case code(err) != "EntityAlreadyExists: User with name "+name+" already exists.":
				t.Errorf("CreateUser: %v", err)
			}
		})
	}
	wg.Wait()
	if won != 1 {
		t.Errorf("%d of 8 made the same user", won)
	}
}

func TestRootUser(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	key := w.keys[accountA]
	secret, c, err := w.Credential(ctx, key.AccessKeyID)
	if err != nil || secret != key.SecretAccessKey || c.Kind != cloud.Root || c.UserID != string(accountA) {
		t.Errorf("Credential of root: %+v, %v", c, err)
	}
	if a, err := cloud.AccountOfKey(key.AccessKeyID); a != accountA || err != nil {
		t.Errorf("the key's id says account %s, %v", a, err)
	}
	u := must(w.As(c).GetUser(ctx, &iam.GetUserInput{}))(t).User
	if *u.Arn != "arn:aws:iam::111122223333:root" || *u.UserId != string(accountA) {
		t.Errorf("GetUser as root: %s", *u.Arn)
	}
	newKey := must(w.CreateRootKey(ctx, accountA))(t)
	third := must(w.CreateRootKey(ctx, accountA))(t)
	if _, _, err := w.Credential(ctx, key.AccessKeyID); !errors.Is(err, cloud.ErrNotFound) {
		t.Errorf("the oldest of three root keys: %v", err)
	}
	list := must(w.As(c).ListAccessKeys(ctx, &iam.ListAccessKeysInput{}))(t).AccessKeyMetadata
	if len(list) != 2 {
		t.Errorf("%d root keys", len(list))
	}
	must(w.As(c).DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{AccessKeyId: &newKey.AccessKeyID}))(t)
	if _, _, err := w.Credential(ctx, third.AccessKeyID); err != nil {
		t.Errorf("the key that was kept: %v", err)
	}
}

func TestAccounts(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	if _, _, err := w.CreateAccount(ctx, identity.NewAccount{ID: accountA}); !errors.Is(err, cloud.ErrExists) {
		t.Errorf("CreateAccount again: %v", err)
	}
	if _, _, err := w.CreateAccount(ctx, identity.NewAccount{Name: "two\nlines"}); err == nil {
		t.Error("CreateAccount took a name of two lines")
	}
	if _, _, err := w.CreateAccount(ctx, identity.NewAccount{ID: "12"}); err == nil {
		t.Error("CreateAccount with two digits")
	}
	if _, err := w.CreateRootKey(ctx, "000000000000"); !errors.Is(err, cloud.ErrNotFound) {
		t.Errorf("CreateRootKey of no account: %v", err)
	}
	a, _, err := w.CreateAccount(ctx, identity.NewAccount{Name: "Chosen at random"})
	if _, perr := cloud.ParseAccountID(string(a.ID)); err != nil || perr != nil {
		t.Errorf("CreateAccount without an id: %s, %v", a.ID, err)
	}
	if all := must(w.Accounts(ctx))(t); len(all) != 3 || all[0].ID >= all[1].ID {
		t.Errorf("Accounts: %v", all)
	}
}
