package identity_test

import (
	"database/sql"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	_ "modernc.org/sqlite" // the database/sql driver "sqlite"

	"borealis/internal/cloud"
	"borealis/internal/identity"
)

const goodPassword = "Correct-Horse-1"

// signIn signs in to account A.
func (w *world) signIn(user, password string) (identity.SignedIn, error) {
	return w.SignIn(w.t.Context(), identity.SignIn{Account: string(accountA), User: user, Password: password, From: cloud.Caller{SourceIP: "10.0.0.1"}})
}

func TestLoginProfileLives(t *testing.T) {
	w := newWorld(t)
	ctx, root := t.Context(), w.root(accountA)
	must(root.CreateUser(ctx, &iam.CreateUserInput{UserName: new("ann")}))(t)
	if _, err := root.GetLoginProfile(ctx, &iam.GetLoginProfileInput{UserName: new("ann")}); code(err) != "NoSuchEntity: Login Profile for User ann cannot be found." {
		t.Errorf("GetLoginProfile of none: %v", err)
	}
	made := must(root.CreateLoginProfile(ctx, &iam.CreateLoginProfileInput{UserName: new("ANN"), Password: new(goodPassword), PasswordResetRequired: true}))(t).LoginProfile
	if *made.UserName != "ann" || !made.PasswordResetRequired || made.CreateDate == nil {
		t.Errorf("CreateLoginProfile: %+v", made)
	}
	if in, err := w.signIn("ann", goodPassword); err != nil || !in.MustChange || in.Caller.ARN != "arn:aws:iam::111122223333:user/ann" {
		t.Errorf("SignIn: %+v, %v", in, err)
	}
	if e := w.journal.last(); e.Action != "signin:ConsoleLogin" || !e.Allowed || e.Caller.SourceIP != "10.0.0.1" || e.Caller.UserName != "ann" {
		t.Errorf("on record: %+v", e)
	}
	must(root.UpdateLoginProfile(ctx, &iam.UpdateLoginProfileInput{UserName: new("ann"), Password: new("Another-Horse-2"), PasswordResetRequired: new(false)}))(t)
	w.open() // all of it survives
	root = w.root(accountA)
	if _, err := w.signIn("ann", goodPassword); !errors.Is(err, identity.ErrSignIn) || w.journal.last().Allowed {
		t.Errorf("SignIn with the password before: %v", err)
	}
	if in, err := w.signIn("ann", "Another-Horse-2"); err != nil || in.MustChange {
		t.Errorf("SignIn: %+v, %v", in, err)
	}
	again := must(root.GetLoginProfile(ctx, &iam.GetLoginProfileInput{UserName: new("ann")}))(t).LoginProfile
	if !again.CreateDate.Equal(*made.CreateDate) || again.PasswordResetRequired {
		t.Errorf("GetLoginProfile: %+v", again)
	}
	if _, err := root.DeleteUser(ctx, &iam.DeleteUserInput{UserName: new("ann")}); code(err) != "DeleteConflict: Cannot delete entity, must delete login profile first." {
		t.Errorf("DeleteUser: %v", err)
	}
	must(root.DeleteLoginProfile(ctx, &iam.DeleteLoginProfileInput{UserName: new("ann")}))(t)
	if _, err := w.signIn("ann", "Another-Horse-2"); !errors.Is(err, identity.ErrSignIn) {
		t.Errorf("SignIn without a login profile: %v", err)
	}
	must(root.DeleteUser(ctx, &iam.DeleteUserInput{UserName: new("ann")}))(t)
}

// Passwords are in no column of the database, and equal ones are kept differently.
func TestPasswordsAreNotKept(t *testing.T) {
	w := newWorld(t)
	ctx, root := t.Context(), w.root(accountA)
	for _, name := range []string{"ann", "bob"} {
		must(root.CreateUser(ctx, &iam.CreateUserInput{UserName: &name}))(t)
		must(root.CreateLoginProfile(ctx, &iam.CreateLoginProfileInput{UserName: &name, Password: new(goodPassword)}))(t)
	}
	if n, where, err := w.db.Holding(ctx, []byte(goodPassword)); n != 0 || err != nil {
		t.Errorf("%s holds a password; %v", where, err)
	}
	db := must(sql.Open("sqlite", w.path))(t)
	defer db.Close()
	var hashes int
	err := db.QueryRowContext(ctx, `SELECT count(DISTINCT json_extract(body, '$.Hash')) FROM identity_items WHERE body LIKE '%$argon2id$v=19$m=19456,t=2,p=1$%'`).Scan(&hashes)
	if err != nil || hashes != 2 {
		t.Errorf("%d different hashes of equal passwords, %v", hashes, err)
	}
}

func TestSignInTellsNothing(t *testing.T) {
	w := newWorld(t)
	ctx, root := t.Context(), w.root(accountA)
	must(root.CreateUser(ctx, &iam.CreateUserInput{UserName: new("ann")}))(t)
	must(root.CreateUser(ctx, &iam.CreateUserInput{UserName: new("bare")}))(t)
	must(root.CreateLoginProfile(ctx, &iam.CreateLoginProfileInput{UserName: new("ann"), Password: new(goodPassword)}))(t)
	must(root.CreateAccountAlias(ctx, &iam.CreateAccountAliasInput{AccountAlias: new("first")}))(t)
	if _, err := w.SignIn(ctx, identity.SignIn{Account: "first", User: "Ann", Password: goodPassword}); err != nil {
		t.Errorf("SignIn by the account's alias: %v", err)
	}
	for name, in := range map[string]identity.SignIn{
		"another password":    {Account: string(accountA), User: "ann", Password: goodPassword + " "},
		"no password":         {Account: string(accountA), User: "ann"},
		"another account":     {Account: string(accountB), User: "ann", Password: goodPassword},
		"no such account":     {Account: "999999999999", User: "ann", Password: goodPassword},
		"no such alias":       {Account: "second", User: "ann", Password: goodPassword},
		"no such user":        {Account: string(accountA), User: "eve", Password: goodPassword},
		"no login profile":    {Account: string(accountA), User: "bare", Password: goodPassword},
		"neither nor nothing": {},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := w.SignIn(ctx, in); !errors.Is(err, identity.ErrSignIn) || got.Caller.Kind != "" {
				t.Errorf("SignIn: %+v, %v", got, err)
			}
			if e := w.journal.last(); e.Action != "signin:ConsoleLogin" || e.Allowed {
				t.Errorf("on record: %+v", e)
			}
		})
	}
	w.journal.fail = errors.New("disk full")
	if _, err := w.signIn("ann", goodPassword); !errors.Is(err, w.journal.fail) {
		t.Errorf("SignIn without a record: %v", err)
	}
}

func TestPasswordPolicyTexts(t *testing.T) {
	w := newWorld(t)
	ctx, root := t.Context(), w.root(accountA)
	must(root.CreateUser(ctx, &iam.CreateUserInput{UserName: new("ann")}))(t)
	strict := &iam.UpdateAccountPasswordPolicyInput{MinimumPasswordLength: new(int32(10)), RequireSymbols: true, RequireNumbers: true, RequireUppercaseCharacters: true, RequireLowercaseCharacters: true}
	for _, tt := range []struct {
		policy   *iam.UpdateAccountPasswordPolicyInput
		password string
		want     string
	}{
		{nil, "Short-1", "Password should have a minimum length of 8"},
		{nil, "lowercase1", "Password should meet 1 more of the following requirements: Password should have at least one uppercase letter, Password should have at least one symbol"},
		{nil, "lowercase", "Password should meet 2 more of the following requirements: Password should have at least one uppercase letter, Password should have at least one number, Password should have at least one symbol"},
		{nil, "lower-case1", ""},
		{&iam.UpdateAccountPasswordPolicyInput{}, "short", "Password should have a minimum length of 6"},
		{&iam.UpdateAccountPasswordPolicyInput{}, "simple", ""},
		{strict, "Uppercase-", "Password should have at least one number"},
		{strict, "lower", "Password should have a minimum length of 10, Password should have at least one uppercase letter, Password should have at least one number, Password should have at least one symbol"},
		{strict, "UPPERCASE-1", "Password should have at least one lowercase letter"},
		{strict, "Ünicode-1x", "Password should have at least one uppercase letter"},
		{strict, goodPassword, ""},
	} {
		t.Run(tt.password, func(t *testing.T) {
			if tt.policy != nil {
				must(root.UpdateAccountPasswordPolicy(ctx, tt.policy))(t)
			}
			_, err := root.CreateLoginProfile(ctx, &iam.CreateLoginProfileInput{UserName: new("ann"), Password: &tt.password})
			want := ""
			if tt.want != "" {
				want = "PasswordPolicyViolation: " + tt.want
			} else if err == nil {
				must(root.DeleteLoginProfile(ctx, &iam.DeleteLoginProfileInput{UserName: new("ann")}))(t)
			}
			if code(err) != want {
				t.Errorf("%v, want %s", err, want)
			}
		})
	}
}

func TestPasswordPolicyLives(t *testing.T) {
	w := newWorld(t)
	ctx, root := t.Context(), w.root(accountA)
	none := "NoSuchEntity: The Password Policy with domain name 111122223333 cannot be found."
	if _, err := root.GetAccountPasswordPolicy(ctx, nil); code(err) != none {
		t.Errorf("GetAccountPasswordPolicy of none: %v", err)
	}
	if _, err := root.DeleteAccountPasswordPolicy(ctx, nil); code(err) != "NoSuchEntity: The account policy with name PasswordPolicy cannot be found." {
		t.Errorf("DeleteAccountPasswordPolicy of none: %v", err)
	}
	for _, tt := range []struct {
		in   iam.UpdateAccountPasswordPolicyInput
		want types.PasswordPolicy
	}{
		{iam.UpdateAccountPasswordPolicyInput{AllowUsersToChangePassword: true, HardExpiry: new(true), MaxPasswordAge: new(int32(60)), MinimumPasswordLength: new(int32(10)), PasswordReusePrevention: new(int32(3)), RequireNumbers: true},
			types.PasswordPolicy{AllowUsersToChangePassword: true, ExpirePasswords: true, HardExpiry: new(true), MaxPasswordAge: new(int32(60)), MinimumPasswordLength: new(int32(10)), PasswordReusePrevention: new(int32(3)), RequireNumbers: true}},
		{iam.UpdateAccountPasswordPolicyInput{}, types.PasswordPolicy{MinimumPasswordLength: new(int32(6))}},
	} {
		must(root.UpdateAccountPasswordPolicy(ctx, &tt.in))(t)
		if d := cmpDiff(&tt.want, must(root.GetAccountPasswordPolicy(ctx, nil))(t).PasswordPolicy); d != "" {
			t.Errorf("GetAccountPasswordPolicy (-want +got):\n%s", d)
		}
	}
	must(root.DeleteAccountPasswordPolicy(ctx, nil))(t)
	if _, err := root.GetAccountPasswordPolicy(ctx, nil); code(err) != none {
		t.Errorf("GetAccountPasswordPolicy of a deleted one: %v", err)
	}
}

func TestChangePassword(t *testing.T) {
	w := newWorld(t)
	ctx, root := t.Context(), w.root(accountA)
	ann := w.user(accountA, "ann", "")
	change := func(old, password string) string {
		_, err := w.As(ann).ChangePassword(ctx, &iam.ChangePasswordInput{OldPassword: &old, NewPassword: &password})
		return code(err)
	}
	must(root.CreateLoginProfile(ctx, &iam.CreateLoginProfileInput{UserName: new("ann"), Password: new(goodPassword), PasswordResetRequired: true}))(t)
	if got := change(goodPassword, "Another-Horse-2"); !strings.HasPrefix(got, "AccessDenied: User: "+ann.ARN+" is not authorized to perform: iam:ChangePassword") {
		t.Errorf("without permission: %s", got)
	}
	must(root.UpdateAccountPasswordPolicy(ctx, &iam.UpdateAccountPasswordPolicyInput{AllowUsersToChangePassword: true, PasswordReusePrevention: new(int32(2))}))(t)
	if got := change("wrong", "Another-Horse-2"); got != "AccessDenied: The old password was incorrect." {
		t.Errorf("with a wrong password: %s", got)
	}
	if got := change(goodPassword, goodPassword); !strings.HasPrefix(got, "PasswordPolicyViolation: ") {
		t.Errorf("to the same password: %s", got)
	}
	if got := change(goodPassword, "tiny"); got != "PasswordPolicyViolation: Password should have a minimum length of 6" {
		t.Errorf("to a short password: %s", got)
	}
	if got := change(goodPassword, "Another-Horse-2"); got != "" {
		t.Errorf("ChangePassword: %s", got)
	}
	if in, err := w.signIn("ann", "Another-Horse-2"); err != nil || in.MustChange {
		t.Errorf("SignIn: %+v, %v", in, err)
	}
	if got := change("Another-Horse-2", goodPassword); !strings.HasPrefix(got, "PasswordPolicyViolation: ") {
		t.Errorf("back to the password before: %s", got)
	}
	for _, step := range [][2]string{{"Another-Horse-2", "Third-Horse-3"}, {"Third-Horse-3", goodPassword}} {
		if got := change(step[0], step[1]); got != "" {
			t.Errorf("to %s: %s", step[1], got)
		}
	}
	must(root.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: new("ann"), PolicyName: new("no"), PolicyDocument: new(`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"iam:ChangePassword","Resource":"*"}]}`)}))(t)
	if got := change(goodPassword, "Another-Horse-2"); !strings.HasSuffix(got, "with an explicit deny in an identity-based policy") {
		t.Errorf("against a Deny: %s", got)
	}
	if _, err := root.ChangePassword(ctx, &iam.ChangePasswordInput{OldPassword: new(goodPassword), NewPassword: new(goodPassword)}); code(err) != "InvalidUserType: Only IAM Users can change their own password" {
		t.Errorf("as root: %v", err)
	}
	bare := w.user(accountA, "bare", anything)
	if _, err := w.As(bare).ChangePassword(ctx, &iam.ChangePasswordInput{OldPassword: new("x"), NewPassword: new("y")}); code(err) != "NoSuchEntity: Login Profile for User bare cannot be found." {
		t.Errorf("without a login profile: %v", err)
	}
}

func TestPasswordsExpire(t *testing.T) {
	w := newWorld(t)
	ctx, root := t.Context(), w.root(accountA)
	must(root.CreateUser(ctx, &iam.CreateUserInput{UserName: new("ann")}))(t)
	must(root.CreateLoginProfile(ctx, &iam.CreateLoginProfileInput{UserName: new("ann"), Password: new(goodPassword)}))(t)
	must(root.UpdateAccountPasswordPolicy(ctx, &iam.UpdateAccountPasswordPolicyInput{MaxPasswordAge: new(int32(1))}))(t)
	if in, err := w.signIn("ann", goodPassword); err != nil || in.MustChange {
		t.Errorf("SignIn on the first day: %+v, %v", in, err)
	}
	w.Now = func() time.Time { return time.Now().Add(24 * time.Hour) }
	if in, err := w.signIn("ann", goodPassword); err != nil || !in.MustChange {
		t.Errorf("SignIn a day later: %+v, %v", in, err)
	}
	must(root.UpdateAccountPasswordPolicy(ctx, &iam.UpdateAccountPasswordPolicyInput{MaxPasswordAge: new(int32(1)), HardExpiry: new(true)}))(t)
	if _, err := w.signIn("ann", goodPassword); !errors.Is(err, identity.ErrPasswordExpired) {
		t.Errorf("SignIn after the hard expiry: %v", err)
	}
	if _, err := w.signIn("ann", "wrong"); !errors.Is(err, identity.ErrSignIn) {
		t.Errorf("SignIn with a wrong password after the hard expiry: %v", err)
	}
}

// Of changes at once one wins, and the others say so or come after it.
func TestPasswordChangesAtOnce(t *testing.T) {
	w := newWorld(t)
	ctx, root := t.Context(), w.root(accountA)
	must(root.CreateUser(ctx, &iam.CreateUserInput{UserName: new("ann")}))(t)
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() {
			_, errs[i] = root.CreateLoginProfile(ctx, &iam.CreateLoginProfileInput{UserName: new("ann"), Password: new(goodPassword)})
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		switch c, _, _ := strings.Cut(code(err), ":"); c {
		case "":
			won++
		case "EntityTemporarilyUnmodifiable", "EntityAlreadyExists":
		default:
			t.Errorf("CreateLoginProfile: %v", err)
		}
	}
	if won != 1 {
		t.Errorf("%d of %d made the login profile", won, len(errs))
	}
}
