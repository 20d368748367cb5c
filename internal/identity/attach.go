package identity

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// maxAttached is how many managed policies an entity may have, and the limit's name.
var maxAttached = map[Kind]limit{
	User:  {10, "PoliciesPerUser"},
	Role:  {10, "PoliciesPerRole"},
	Group: {10, "PoliciesPerGroup"},
}

// attach lets a managed policy speak for an entity. Attaching it again is not an error.
func (v *View) attach(ctx context.Context, action string, k Kind, name, arn string) error {
	return v.change(ctx, func(r *request) error {
		e, err := r.entity(action, k, name, with("iam:PolicyARN", arn))
		if err != nil {
			return err
		}
		if _, err := r.usable(arn); err != nil {
			return orNoSuch(err, "Policy %s does not exist or is not attachable.", arn)
		}
		have, err := r.LinksFrom(e.ID, Attached)
		if err != nil {
			return err
		}
		l := Link{Source: e.ID, Use: Attached, Target: arn}
		if most := maxAttached[k]; len(have) >= most.max && !slices.Contains(have, l) {
			return limitExceeded("Cannot exceed quota for %s: %d", most.name, most.max)
		}
		return r.AddLink(e.Account, l)
	})
}

// detach undoes attach.
func (v *View) detach(ctx context.Context, action string, k Kind, name, arn string) error {
	return v.change(ctx, func(r *request) error {
		e, err := r.entity(action, k, name, with("iam:PolicyARN", arn))
		if err != nil {
			return err
		}
		err = r.DeleteLink(Link{Source: e.ID, Use: Attached, Target: arn})
		return orNoSuch(err, "Policy %s was not found.", arn)
	})
}

// listAttached is a page of the managed policies attached to an entity.
func (v *View) listAttached(ctx context.Context, action string, k Kind, name string, prefix, marker *string, items *int32) (out []types.AttachedPolicy, next *string, err error) {
	p, err := newPage(marker, items)
	if err != nil {
		return nil, nil, err
	}
	out = []types.AttachedPolicy{}
	err = v.read(ctx, func(r *request) error {
		e, err := r.entity(action, k, name, nil)
		if err != nil {
			return err
		}
		links, err := r.LinksFrom(e.ID, Attached)
		if err != nil {
			return err
		}
		links = slices.DeleteFunc(links, func(l Link) bool { return !strings.HasPrefix(policyPath(l.Target), orRoot(prefix)) })
		links, next = cut(p, links, func(l Link) string { return l.Target })
		for _, l := range links {
			out = append(out, types.AttachedPolicy{PolicyArn: &l.Target, PolicyName: new(policyName(l.Target))})
		}
		return nil
	})
	return out, next, err
}

// bound makes the policy arn the permissions boundary of e, instead of any other.
func (r *request) bound(e Entity, arn string) error {
	if _, err := r.usable(arn); err != nil {
		return orNoSuch(err, "Scope ARN: %s does not exist or is not attachable.", arn)
	}
	if err := r.unbound(e); err != nil {
		return err
	}
	return r.AddLink(e.Account, Link{Source: e.ID, Use: Boundary, Target: arn})
}

// unbound takes the permissions boundary away from e, if it has one.
func (r *request) unbound(e Entity) error {
	arn, err := r.boundary(e)
	if err != nil || arn == "" {
		return err
	}
	return r.DeleteLink(Link{Source: e.ID, Use: Boundary, Target: arn})
}

func (v *View) putBoundary(ctx context.Context, action string, k Kind, name, arn string) error {
	return v.change(ctx, func(r *request) error {
		e, err := r.entity(action, k, name, with("iam:PermissionsBoundary", arn))
		if err != nil {
			return err
		}
		return r.bound(e, arn)
	})
}

func (v *View) deleteBoundary(ctx context.Context, action string, k Kind, name string) error {
	return v.change(ctx, func(r *request) error {
		e, err := r.entity(action, k, name, nil)
		if err != nil {
			return err
		}
		return r.unbound(e)
	})
}

// AttachUserPolicy lets a managed policy speak for a user.
func (v *View) AttachUserPolicy(ctx context.Context, in *iam.AttachUserPolicyInput) (*iam.AttachUserPolicyOutput, error) {
	return &iam.AttachUserPolicyOutput{}, v.attach(ctx, "iam:AttachUserPolicy", User, *in.UserName, *in.PolicyArn)
}

// DetachUserPolicy takes a managed policy away from a user.
func (v *View) DetachUserPolicy(ctx context.Context, in *iam.DetachUserPolicyInput) (*iam.DetachUserPolicyOutput, error) {
	return &iam.DetachUserPolicyOutput{}, v.detach(ctx, "iam:DetachUserPolicy", User, *in.UserName, *in.PolicyArn)
}

// ListAttachedUserPolicies lists the managed policies of a user by ARN.
func (v *View) ListAttachedUserPolicies(ctx context.Context, in *iam.ListAttachedUserPoliciesInput) (*iam.ListAttachedUserPoliciesOutput, error) {
	list, next, err := v.listAttached(ctx, "iam:ListAttachedUserPolicies", User, *in.UserName, in.PathPrefix, in.Marker, in.MaxItems)
	return &iam.ListAttachedUserPoliciesOutput{AttachedPolicies: list, Marker: next, IsTruncated: next != nil}, err
}

// AttachRolePolicy lets a managed policy speak for a role.
func (v *View) AttachRolePolicy(ctx context.Context, in *iam.AttachRolePolicyInput) (*iam.AttachRolePolicyOutput, error) {
	return &iam.AttachRolePolicyOutput{}, v.attach(ctx, "iam:AttachRolePolicy", Role, *in.RoleName, *in.PolicyArn)
}

// DetachRolePolicy takes a managed policy away from a role.
func (v *View) DetachRolePolicy(ctx context.Context, in *iam.DetachRolePolicyInput) (*iam.DetachRolePolicyOutput, error) {
	return &iam.DetachRolePolicyOutput{}, v.detach(ctx, "iam:DetachRolePolicy", Role, *in.RoleName, *in.PolicyArn)
}

// ListAttachedRolePolicies lists the managed policies of a role by ARN.
func (v *View) ListAttachedRolePolicies(ctx context.Context, in *iam.ListAttachedRolePoliciesInput) (*iam.ListAttachedRolePoliciesOutput, error) {
	list, next, err := v.listAttached(ctx, "iam:ListAttachedRolePolicies", Role, *in.RoleName, in.PathPrefix, in.Marker, in.MaxItems)
	return &iam.ListAttachedRolePoliciesOutput{AttachedPolicies: list, Marker: next, IsTruncated: next != nil}, err
}

// AttachGroupPolicy lets a managed policy speak for a group.
func (v *View) AttachGroupPolicy(ctx context.Context, in *iam.AttachGroupPolicyInput) (*iam.AttachGroupPolicyOutput, error) {
	return &iam.AttachGroupPolicyOutput{}, v.attach(ctx, "iam:AttachGroupPolicy", Group, *in.GroupName, *in.PolicyArn)
}

// DetachGroupPolicy takes a managed policy away from a group.
func (v *View) DetachGroupPolicy(ctx context.Context, in *iam.DetachGroupPolicyInput) (*iam.DetachGroupPolicyOutput, error) {
	return &iam.DetachGroupPolicyOutput{}, v.detach(ctx, "iam:DetachGroupPolicy", Group, *in.GroupName, *in.PolicyArn)
}

// ListAttachedGroupPolicies lists the managed policies of a group by ARN.
func (v *View) ListAttachedGroupPolicies(ctx context.Context, in *iam.ListAttachedGroupPoliciesInput) (*iam.ListAttachedGroupPoliciesOutput, error) {
	list, next, err := v.listAttached(ctx, "iam:ListAttachedGroupPolicies", Group, *in.GroupName, in.PathPrefix, in.Marker, in.MaxItems)
	return &iam.ListAttachedGroupPoliciesOutput{AttachedPolicies: list, Marker: next, IsTruncated: next != nil}, err
}

// PutUserPermissionsBoundary makes a managed policy the bound of what a user may do.
func (v *View) PutUserPermissionsBoundary(ctx context.Context, in *iam.PutUserPermissionsBoundaryInput) (*iam.PutUserPermissionsBoundaryOutput, error) {
	return &iam.PutUserPermissionsBoundaryOutput{}, v.putBoundary(ctx, "iam:PutUserPermissionsBoundary", User, *in.UserName, *in.PermissionsBoundary)
}

// DeleteUserPermissionsBoundary takes the bound away. Without one it changes nothing.
func (v *View) DeleteUserPermissionsBoundary(ctx context.Context, in *iam.DeleteUserPermissionsBoundaryInput) (*iam.DeleteUserPermissionsBoundaryOutput, error) {
	return &iam.DeleteUserPermissionsBoundaryOutput{}, v.deleteBoundary(ctx, "iam:DeleteUserPermissionsBoundary", User, *in.UserName)
}

// PutRolePermissionsBoundary makes a managed policy the bound of what a role may do.
func (v *View) PutRolePermissionsBoundary(ctx context.Context, in *iam.PutRolePermissionsBoundaryInput) (*iam.PutRolePermissionsBoundaryOutput, error) {
	return &iam.PutRolePermissionsBoundaryOutput{}, v.putBoundary(ctx, "iam:PutRolePermissionsBoundary", Role, *in.RoleName, *in.PermissionsBoundary)
}

// DeleteRolePermissionsBoundary takes the bound away. Without one it changes nothing.
func (v *View) DeleteRolePermissionsBoundary(ctx context.Context, in *iam.DeleteRolePermissionsBoundaryInput) (*iam.DeleteRolePermissionsBoundaryOutput, error) {
	return &iam.DeleteRolePermissionsBoundaryOutput{}, v.deleteBoundary(ctx, "iam:DeleteRolePermissionsBoundary", Role, *in.RoleName)
}
