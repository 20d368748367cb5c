package organizations_test

import (
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/organizations/types"

	"borealis/internal/cloud"
	"borealis/internal/identity"
)

// Nobody acts for an account from the answer on that it is closed, also after it has
// gone from the tree.
func TestClosedAccounts(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	root := w.founded()
	w.joined(accountB)
	a := w.as(accountA)
	b := w.iam.As(ok2(w.iam.Caller(ctx, string(accountB)))(t))
	uma := *ok2(b.CreateUser(ctx, &iam.CreateUserInput{UserName: new("uma")}))(t).User.UserId
	key := *ok2(b.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: new("uma")}))(t).AccessKey.AccessKeyId
	rootKey := ok2(w.iam.CreateRootKey(ctx, accountB))(t).AccessKeyID
	role := ok2(b.CreateRole(ctx, &iam.CreateRoleInput{RoleName: new("r"), AssumeRolePolicyDocument: new(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + string(accountA) + `"},"Action":"sts:AssumeRole"}]}`)}))(t).Role
	const password = "Correct-horse-1"
	ok(t)(nil, w.iam.SetRootPassword(ctx, accountB, password))
	ways := map[string]func() error{
		"a user's key":     func() error { _, _, err := w.iam.Credential(ctx, key); return err },
		"the root's key":   func() error { _, _, err := w.iam.Credential(ctx, rootKey); return err },
		"a user":           func() error { _, err := w.iam.Caller(ctx, uma); return err },
		"the root":         func() error { _, err := w.iam.Caller(ctx, string(accountB)); return err },
		"a role's session": func() error { _, err := w.iam.Caller(ctx, *role.RoleId); return err },
		"a role to be":     func() error { _, err := w.iam.Role(ctx, *role.Arn); return err },
	}
	signIn := func() error {
		_, err := w.iam.SignIn(ctx, identity.SignIn{Account: string(accountB), Password: password})
		return err
	}
	for name, way := range ways { // and it is remembered
		if err := way(); err != nil {
			t.Errorf("%s before: %v", name, err)
		}
	}
	ok(t)(nil, signIn())
	closing := func(id cloud.AccountID) error {
		_, err := a.CloseAccount(ctx, &organizations.CloseAccountInput{AccountId: new(string(id))})
		return err
	}
	refused(t, closing(accountA), "ConstraintViolationException", "CANNOT_CLOSE_MANAGEMENT_ACCOUNT", "")
	refused(t, closing(accountC), "AccountNotFoundException", "", "You specified an account that doesn't exist.")
	if err := ways["a user's key"](); err != nil {
		t.Errorf("after refusals: %v", err)
	}
	ok(t)(nil, closing(accountB))
	closed := func(when string) {
		t.Helper()
		for name, way := range ways {
			if err := way(); !errors.Is(err, cloud.ErrNotFound) {
				t.Errorf("%s %s: %v", name, when, err)
			}
		}
		if err := signIn(); !errors.Is(err, identity.ErrSignIn) {
			t.Errorf("sign-in %s: %v", when, err)
		}
		if arn := ok2(w.iam.PrincipalARN(ctx, uma))(t); arn != "arn:aws:iam::"+string(accountB)+":user/uma" {
			t.Errorf("policies show %s %s", arn, when)
		}
	}
	closed("at once")
	refused(t, closing(accountB), "AccountAlreadyClosedException", "", "")
	describe := func() (*organizations.DescribeAccountOutput, error) {
		return a.DescribeAccount(ctx, &organizations.DescribeAccountInput{AccountId: new(string(accountB))})
	}
	if acc := ok2(describe())(t).Account; acc.State != types.AccountStateSuspended || acc.Status != types.AccountStatusSuspended {
		t.Errorf("account %+v", acc)
	}
	ok(t)(nil, w.move(accountB, root, w.unit(root, "closed")))
	_, err := a.RemoveAccountFromOrganization(ctx, &organizations.RemoveAccountFromOrganizationInput{AccountId: new(string(accountB))})
	refused(t, err, "ConflictException", "", "")
	service := new("config.amazonaws.com")
	ok(t)(a.EnableAWSServiceAccess(ctx, &organizations.EnableAWSServiceAccessInput{ServicePrincipal: service}))
	_, err = a.RegisterDelegatedAdministrator(ctx, &organizations.RegisterDelegatedAdministratorInput{AccountId: new(string(accountB)), ServicePrincipal: service})
	refused(t, err, "ConstraintViolationException", "CANNOT_REGISTER_SUSPENDED_ACCOUNT_AS_DELEGATED_ADMINISTRATOR", "")

	w.now = w.now.Add(90*24*time.Hour - time.Second)
	ok(t)(nil, w.Depart(ctx))
	ok(t)(describe())
	w.now = w.now.Add(time.Second)
	ok(t)(nil, w.Depart(ctx))
	_, err = describe()
	refused(t, err, "AccountNotFoundException", "", "")
	closed("after it has gone")
	_, err = a.InviteAccountToOrganization(ctx, invite(accountB))
	refused(t, err, "InvalidInputException", "INVALID_PATTERN_TARGET_ID", "")
}
