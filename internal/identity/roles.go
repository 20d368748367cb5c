package identity

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

const (
	defaultMaxSession = 3600 // seconds
	maxTrust          = 2048 // characters of a trust policy
)

// role is e in IAM's words, as lists show it.
func (r *request) role(e Entity) (*types.Role, error) {
	trust, err := showTrust(r, e.Trust)
	if err != nil {
		return nil, err
	}
	role := &types.Role{
		Path: &e.Path, RoleName: &e.Name, RoleId: &e.ID, Arn: new(e.ARN()), CreateDate: &e.Created,
		AssumeRolePolicyDocument: encoded(trust), MaxSessionDuration: new(int32(e.MaxSession)),
	}
	if e.Description != "" {
		role.Description = &e.Description
	}
	return role, nil
}

// wholeRole is e with what lists leave out.
func (r *request) wholeRole(e Entity) (*types.Role, error) {
	role, err := r.role(e)
	if err != nil {
		return nil, err
	}
	boundary, err := r.boundary(e)
	role.Tags, role.PermissionsBoundary = awsTags(e.Tags), awsBoundary(boundary)
	if err != nil {
		return nil, err
	}
	role.RoleLastUsed, err = r.roleLastUsed(r, e.ID)
	return role, err
}

// trust checks a new trust policy and returns it as it is kept.
func (r *request) trust(document string) (string, error) {
	if size(document) > maxTrust {
		return "", limitExceeded("Cannot exceed quota for ACLSizePerRole: %d", maxTrust)
	}
	return keepTrust(r, document)
}

// CreateRole makes a role that those whom its trust policy names may assume.
func (v *View) CreateRole(ctx context.Context, in *iam.CreateRoleInput) (*iam.CreateRoleOutput, error) {
	tags, err := newTags(in.Tags)
	if err != nil {
		return nil, err
	}
	out := &iam.CreateRoleOutput{}
	return out, v.change(ctx, func(r *request) error {
		e := Entity{Kind: Role, Name: *in.RoleName, Path: orRoot(in.Path), Description: text(in.Description), MaxSession: defaultMaxSession}
		if in.MaxSessionDuration != nil {
			e.MaxSession = int(*in.MaxSessionDuration)
		}
		if e.Tags, err = merge(nil, tags); err != nil {
			return err
		}
		if e, err = r.add("iam:CreateRole", e, text(in.PermissionsBoundary)); err != nil {
			return err
		}
		// Only now: whether the principals that it names exist is not for everybody.
		if e.Trust, err = r.trust(*in.AssumeRolePolicyDocument); err != nil {
			return err
		}
		if err := r.PutEntity(e); err != nil {
			return err
		}
		out.Role, err = r.wholeRole(e)
		return err
	})
}

// GetRole describes a role.
func (v *View) GetRole(ctx context.Context, in *iam.GetRoleInput) (*iam.GetRoleOutput, error) {
	out := &iam.GetRoleOutput{}
	return out, v.read(ctx, func(r *request) error {
		e, err := r.entity("iam:GetRole", Role, *in.RoleName, nil)
		if err != nil {
			return err
		}
		out.Role, err = r.wholeRole(e)
		return err
	})
}

// ListRoles lists the roles under a path by name.
func (v *View) ListRoles(ctx context.Context, in *iam.ListRolesInput) (*iam.ListRolesOutput, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iam.ListRolesOutput{Roles: []types.Role{}}
	return out, v.read(ctx, func(r *request) error {
		list, next, err := r.entities("iam:ListRoles", Role, in.PathPrefix, p)
		for _, e := range list {
			role, err := r.role(e)
			if err != nil {
				return err
			}
			out.Roles = append(out.Roles, *role)
		}
		out.Marker, out.IsTruncated = next, next != nil
		return err
	})
}

// UpdateRole changes a role's description, if one is given, and the longest
// duration of its sessions, which is an hour if none is given.
func (v *View) UpdateRole(ctx context.Context, in *iam.UpdateRoleInput) (*iam.UpdateRoleOutput, error) {
	return &iam.UpdateRoleOutput{}, v.change(ctx, func(r *request) error {
		e, err := r.entity("iam:UpdateRole", Role, *in.RoleName, nil)
		if err != nil {
			return err
		}
		if in.Description != nil {
			e.Description = *in.Description
		}
		e.MaxSession = defaultMaxSession
		if in.MaxSessionDuration != nil {
			e.MaxSession = int(*in.MaxSessionDuration)
		}
		return r.PutEntity(e)
	})
}

// UpdateRoleDescription changes a role's description.
func (v *View) UpdateRoleDescription(ctx context.Context, in *iam.UpdateRoleDescriptionInput) (*iam.UpdateRoleDescriptionOutput, error) {
	out := &iam.UpdateRoleDescriptionOutput{}
	return out, v.change(ctx, func(r *request) error {
		e, err := r.entity("iam:UpdateRoleDescription", Role, *in.RoleName, nil)
		if err != nil {
			return err
		}
		e.Description = *in.Description
		if err := r.PutEntity(e); err != nil {
			return err
		}
		out.Role, err = r.wholeRole(e)
		return err
	})
}

// UpdateAssumeRolePolicy replaces a role's trust policy. Sessions that exist go on.
func (v *View) UpdateAssumeRolePolicy(ctx context.Context, in *iam.UpdateAssumeRolePolicyInput) (*iam.UpdateAssumeRolePolicyOutput, error) {
	return &iam.UpdateAssumeRolePolicyOutput{}, v.change(ctx, func(r *request) error {
		e, err := r.entity("iam:UpdateAssumeRolePolicy", Role, *in.RoleName, nil)
		if err != nil {
			return err
		}
		if e.Trust, err = r.trust(*in.PolicyDocument); err != nil {
			return err
		}
		return r.PutEntity(e)
	})
}

// DeleteRole removes a role that has no policies and is in no instance profile. Its sessions end with it.
func (v *View) DeleteRole(ctx context.Context, in *iam.DeleteRoleInput) (*iam.DeleteRoleOutput, error) {
	return &iam.DeleteRoleOutput{}, v.change(ctx, func(r *request) error {
		e, err := r.entity("iam:DeleteRole", Role, *in.RoleName, nil)
		if err != nil {
			return err
		}
		profiles, err := r.LinksFrom(e.ID, InProfile)
		if err != nil {
			return err
		}
		if len(profiles) > 0 {
			return deleteConflict("Cannot delete entity, must remove roles from instance profile first.")
		}
		return r.remove(e)
	})
}
