package identity

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"borealis/internal/cloud"
)

// maxReuse is how many last passwords a policy can keep from being used again.
const maxReuse = 24

// A login is a user's password for the console. It is stored, so its fields
// change only with a migration.
type login struct {
	Hash    string
	Earlier []string `json:",omitempty"` // hashes of passwords before, newest first, as many as the policy needs
	Created time.Time
	Changed time.Time // when the password was set
	Reset   bool      // the user must choose another at the next sign-in
}

// expired says whether the password is too old by policy p at now.
func (l login) expired(p *passwordPolicy, now time.Time) bool {
	return p != nil && p.MaxAge > 0 && now.Sub(l.Changed) >= time.Duration(p.MaxAge)*24*time.Hour
}

func (l login) profile(user string) *types.LoginProfile {
	return &types.LoginProfile{UserName: &user, CreateDate: &l.Created, PasswordResetRequired: l.Reset}
}

func noLogin(user string) error {
	return noSuchEntity("Login Profile for User %s cannot be found.", user)
}

// A change of a password is three steps: one that decides about it and reads what
// there is, one that hashes, which takes long and so is done outside of any
// transaction, and one that writes, if nothing has changed in between.

// loginOf is the user called name and its login, if the caller may do action.
func (v *View) loginOf(ctx context.Context, action, name string) (e Entity, l login, i Item, p *passwordPolicy, err error) {
	err = v.read(ctx, func(r *request) (err error) {
		if e, err = r.entity(action, User, name, nil); err != nil {
			return err
		}
		l, i, p, err = readLogin(r, e)
		return err
	})
	return e, l, i, p, err
}

// readLogin reads the login of e and the password policy that it is under. The item of a
// user without a login has no body.
func readLogin(tx Tx, e Entity) (l login, i Item, p *passwordPolicy, err error) {
	if e.Kind == User { // a root user is under none
		if p, err = passwordPolicyOf(tx, e.Account); err != nil {
			return l, i, nil, err
		}
	}
	l, i, err = findItem[login](tx, e.Account, LoginItem, e.ID)
	if errors.Is(err, cloud.ErrNotFound) {
		return login{}, Item{Account: e.Account, Kind: LoginItem, ID: e.ID, Owner: e.ID}, p, nil
	}
	return l, i, p, err
}

// writeLogin keeps l, if e is there and its login is what it was as i.
func (s *Service) writeLogin(ctx context.Context, e Entity, i Item, l login) error {
	return s.update(ctx, func(tx Tx) error {
		if _, err := callerOf(tx, e.ID); err != nil {
			return orNoSuch(err, "The user with name %s cannot be found.", e.Name)
		}
		_, now, _, err := readLogin(tx, e)
		switch {
		case err != nil:
			return err
		case !bytes.Equal(now.Body, i.Body):
			return &types.EntityTemporarilyUnmodifiableException{Message: new("The password is being changed by another request.")}
		case i.Body == nil:
			return addItem(tx, i, l)
		}
		return putItem(tx, i, l)
	})
}

// change puts password in l's place of the one before, if p allows it.
func (l login) change(p *passwordPolicy, password string, now time.Time) (login, error) {
	if err := p.check(password); err != nil {
		return l, err
	}
	keep := 0
	if p != nil {
		keep = p.Reuse
	}
	var last []string
	if l.Hash != "" {
		last = append([]string{l.Hash}, l.Earlier...)
	}
	last = last[:min(len(last), keep)]
	if slices.ContainsFunc(last, func(hash string) bool { return matches(hash, password) }) {
		return l, passwordViolation("Policy constraint violation with password reuse prevention during password change.")
	}
	l.Hash, l.Earlier, l.Changed = hashPassword(password), last[:min(len(last), max(keep-1, 0))], now
	return l, nil
}

// CreateLoginProfile gives a user a password for the console.
func (v *View) CreateLoginProfile(ctx context.Context, in *iam.CreateLoginProfileInput) (*iam.CreateLoginProfileOutput, error) {
	name, err := self(v.caller, in.UserName)
	if err != nil {
		return nil, err
	}
	e, l, i, p, err := v.loginOf(ctx, "iam:CreateLoginProfile", name)
	if err != nil {
		return nil, err
	}
	if i.Body != nil {
		return nil, alreadyExists("Login Profile for user %s already exists.", e.Name)
	}
	if in.Password == nil {
		return nil, validationError("1 validation error detected: Value at 'password' failed to satisfy constraint: Member must not be null")
	}
	now := v.Now().UTC()
	if l, err = l.change(p, *in.Password, now); err != nil {
		return nil, err
	}
	l.Created, l.Reset = now, in.PasswordResetRequired
	if err := v.writeLogin(ctx, e, i, l); err != nil {
		return nil, err
	}
	return &iam.CreateLoginProfileOutput{LoginProfile: l.profile(e.Name)}, nil
}

// GetLoginProfile says whether a user has a password, and since when.
func (v *View) GetLoginProfile(ctx context.Context, in *iam.GetLoginProfileInput) (*iam.GetLoginProfileOutput, error) {
	name, err := self(v.caller, in.UserName)
	if err != nil {
		return nil, err
	}
	e, l, i, _, err := v.loginOf(ctx, "iam:GetLoginProfile", name)
	if err == nil && i.Body == nil {
		err = noLogin(e.Name)
	}
	return &iam.GetLoginProfileOutput{LoginProfile: l.profile(e.Name)}, err
}

// UpdateLoginProfile sets another password for a user, or has it choose one.
func (v *View) UpdateLoginProfile(ctx context.Context, in *iam.UpdateLoginProfileInput) (*iam.UpdateLoginProfileOutput, error) {
	e, l, i, p, err := v.loginOf(ctx, "iam:UpdateLoginProfile", *in.UserName)
	if err != nil {
		return nil, err
	}
	if i.Body == nil {
		return nil, noLogin(e.Name)
	}
	if in.Password != nil {
		if l, err = l.change(p, *in.Password, v.Now().UTC()); err != nil {
			return nil, err
		}
	}
	if in.PasswordResetRequired != nil {
		l.Reset = *in.PasswordResetRequired
	}
	return &iam.UpdateLoginProfileOutput{}, v.writeLogin(ctx, e, i, l)
}

// DeleteLoginProfile takes a user's password away.
func (v *View) DeleteLoginProfile(ctx context.Context, in *iam.DeleteLoginProfileInput) (*iam.DeleteLoginProfileOutput, error) {
	name, err := self(v.caller, in.UserName)
	if err != nil {
		return nil, err
	}
	return &iam.DeleteLoginProfileOutput{}, v.change(ctx, func(r *request) error {
		e, err := r.entity("iam:DeleteLoginProfile", User, name, nil)
		if err != nil {
			return err
		}
		if _, err := r.Item(e.Account, LoginItem, e.ID); err != nil {
			return orNoSuch(err, "Login Profile for User %s cannot be found.", e.Name)
		}
		return r.DeleteItem(e.Account, LoginItem, e.ID)
	})
}

// ChangePassword sets another password for the caller, who must be a user and
// know the one before.
func (v *View) ChangePassword(ctx context.Context, in *iam.ChangePasswordInput) (*iam.ChangePasswordOutput, error) {
	const action = "iam:ChangePassword"
	if v.caller.Kind != cloud.User {
		err := v.read(ctx, func(r *request) error { return r.authorize(action, resource{arn: r.caller.ARN}) })
		if err == nil {
			err = &types.InvalidUserTypeException{Message: new("Only IAM Users can change their own password")}
		}
		return nil, err
	}
	e, l, i, p, err := v.ownLogin(ctx, action)
	if err != nil {
		return nil, err
	}
	if i.Body == nil {
		return nil, noLogin(e.Name)
	}
	if !matches(l.Hash, *in.OldPassword) {
		return nil, &accessDenied{apiError("AccessDenied", "The old password was incorrect.")}
	}
	if l, err = l.change(p, *in.NewPassword, v.Now().UTC()); err != nil {
		return nil, err
	}
	l.Reset = false
	return &iam.ChangePasswordOutput{}, v.writeLogin(ctx, e, i, l)
}

// ownLogin is loginOf the caller, a user, who needs no permission for action if
// the account's password policy says so.
func (v *View) ownLogin(ctx context.Context, action string) (e Entity, l login, i Item, p *passwordPolicy, err error) {
	err = v.read(ctx, func(r *request) error {
		if p, err = passwordPolicyOf(r, r.caller.Account); err != nil {
			return err
		}
		if p != nil && p.MayChange {
			r.given = "allowed by the account's password policy"
		}
		if e, err = r.entity(action, User, r.caller.UserName, nil); err != nil {
			return err
		}
		l, i, p, err = readLogin(r, e)
		return err
	})
	return e, l, i, p, err
}
