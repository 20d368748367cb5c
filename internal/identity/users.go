package identity

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"borealis/internal/cloud"
)

// user is e in IAM's words, as lists show it.
func (e Entity) user() *types.User {
	return &types.User{Path: &e.Path, UserName: &e.Name, UserId: &e.ID, Arn: new(e.ARN()), CreateDate: &e.Created}
}

// wholeUser is e with what lists leave out.
func (r *request) wholeUser(e Entity) (*types.User, error) {
	boundary, err := r.boundary(e)
	u := e.user()
	u.Tags, u.PermissionsBoundary = awsTags(e.Tags), awsBoundary(boundary)
	if err != nil {
		return nil, err
	}
	u.PasswordLastUsed, err = r.passwordLastUsed(r, e.ID)
	return u, err
}

// CreateUser makes a user that may do nothing yet.
func (v *View) CreateUser(ctx context.Context, in *iam.CreateUserInput) (*iam.CreateUserOutput, error) {
	tags, err := newTags(in.Tags)
	if err != nil {
		return nil, err
	}
	out := &iam.CreateUserOutput{}
	return out, v.change(ctx, func(r *request) error {
		merged, err := merge(nil, tags)
		if err != nil {
			return err
		}
		e := Entity{Kind: User, Name: *in.UserName, Path: orRoot(in.Path), Tags: merged}
		if e, err = r.add("iam:CreateUser", e, text(in.PermissionsBoundary)); err != nil {
			return err
		}
		out.User, err = r.wholeUser(e)
		return err
	})
}

// self is the name that a request about a user means: the one it gives, or the
// caller's own. A caller who is no user must give one.
func self(caller cloud.Caller, name *string) (string, error) {
	switch {
	case name != nil:
		return *name, nil
	case caller.Kind == cloud.User:
		return caller.UserName, nil
	}
	return "", validationError("Must specify userName when calling with non-User credentials")
}

// GetUser describes a user; without a name, the caller, be it the root user.
func (v *View) GetUser(ctx context.Context, in *iam.GetUserInput) (*iam.GetUserOutput, error) {
	out := &iam.GetUserOutput{}
	if in.UserName == nil && v.caller.Kind == cloud.Root {
		return out, v.read(ctx, func(r *request) (err error) {
			out.User, err = r.rootUser()
			return err
		})
	}
	name, err := self(v.caller, in.UserName)
	if err != nil {
		return nil, err
	}
	return out, v.read(ctx, func(r *request) error {
		e, err := r.entity("iam:GetUser", User, name, nil)
		if err != nil {
			return err
		}
		out.User, err = r.wholeUser(e)
		return err
	})
}

// rootUser describes the caller's root user, whom IAM shows as a user under the
// account's alias or name.
func (r *request) rootUser() (*types.User, error) {
	if err := r.authorize("iam:GetUser", resource{arn: r.caller.Account.Root().String()}); err != nil {
		return nil, err
	}
	return r.rootAsUser(r.caller.Account)
}

// rootAsUser is an account's root user in IAM's words.
func (r *request) rootAsUser(id cloud.AccountID) (*types.User, error) {
	a, err := r.Account(id)
	if err != nil {
		return nil, err
	}
	name := a.Alias
	if name == "" {
		name = a.Name
	}
	u := &types.User{Path: new("/"), UserName: &name, UserId: new(string(a.ID)), Arn: new(a.ID.Root().String()), CreateDate: &a.Created}
	u.PasswordLastUsed, err = r.passwordLastUsed(r, string(a.ID))
	return u, err
}

// ListUsers lists the users under a path by name.
func (v *View) ListUsers(ctx context.Context, in *iam.ListUsersInput) (*iam.ListUsersOutput, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iam.ListUsersOutput{Users: []types.User{}}
	return out, v.read(ctx, func(r *request) error {
		list, next, err := r.entities("iam:ListUsers", User, in.PathPrefix, p)
		for _, e := range list {
			u := e.user()
			if u.PasswordLastUsed, err = r.passwordLastUsed(r, e.ID); err != nil {
				return err
			}
			out.Users = append(out.Users, *u)
		}
		out.Marker, out.IsTruncated = next, next != nil
		return err
	})
}

// UpdateUser gives a user another name or path. The unique id stays, and with
// it everything that the user has and may do.
func (v *View) UpdateUser(ctx context.Context, in *iam.UpdateUserInput) (*iam.UpdateUserOutput, error) {
	return &iam.UpdateUserOutput{}, v.change(ctx, func(r *request) error {
		e, err := r.entity("iam:UpdateUser", User, *in.UserName, nil)
		if err != nil {
			return err
		}
		return r.rename(e, "iam:UpdateUser", in.NewUserName, in.NewPath)
	})
}

// DeleteUser removes a user that has nothing any more: no keys, password, MFA
// devices, certificates, credentials of services, policies or groups.
func (v *View) DeleteUser(ctx context.Context, in *iam.DeleteUserInput) (*iam.DeleteUserOutput, error) {
	return &iam.DeleteUserOutput{}, v.change(ctx, func(r *request) error {
		e, err := r.entity("iam:DeleteUser", User, *in.UserName, nil)
		if err != nil {
			return err
		}
		keys, err := r.Keys(e.ID)
		if err != nil {
			return err
		}
		if len(keys) > 0 {
			return deleteConflict("Cannot delete entity, must delete access keys first.")
		}
		groups, err := r.LinksFrom(e.ID, Member)
		if err != nil {
			return err
		}
		if len(groups) > 0 {
			return deleteConflict("Cannot delete entity, must remove users from group first.")
		}
		if err := r.ownsNothing(e); err != nil {
			return err
		}
		return r.remove(e)
	})
}

// ownsNothing refuses to delete a user to whom something belongs.
func (r *request) ownsNothing(e Entity) error {
	for _, own := range []struct {
		kind ItemKind
		name string
	}{
		{LoginItem, "login profile"}, {DeviceItem, "MFA device"}, {SigningItem, "signing certificate"},
		{SSHKeyItem, "SSH public key"}, {ServiceItem, "service specific credential"},
	} {
		items, err := r.ItemsOf(e.ID, own.kind)
		if err != nil {
			return err
		}
		if len(items) > 0 {
			return deleteConflict("Cannot delete entity, must delete " + own.name + " first.")
		}
	}
	return nil
}
