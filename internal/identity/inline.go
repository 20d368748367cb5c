package identity

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"borealis/internal/policy"
)

// maxInline is how many characters the inline policies of an entity may have together.
var maxInline = map[Kind]int{User: 2048, Role: 10240, Group: 5120}

// putInline adds an inline policy to an entity, or replaces the one of that name.
func (v *View) putInline(ctx context.Context, action string, k Kind, name, called, document string) error {
	return v.change(ctx, func(r *request) error {
		e, err := r.entity(action, k, name, nil)
		if err != nil {
			return err
		}
		if i, ok := e.inline(called); ok {
			e.Inline[i].Document = document
		} else {
			e.Inline = slices.Insert(e.Inline, i, Inline{called, document})
		}
		total := 0
		for _, p := range e.Inline {
			total += size(p.Document)
		}
		if total > maxInline[k] {
			return limitExceeded("Maximum policy size of %d bytes exceeded for %s %s", maxInline[k], k, name)
		}
		if err := checkPolicy(policy.InlineKind, document); err != nil {
			return err
		}
		return r.PutEntity(e)
	})
}

// findInline is where the policy is in e.Inline, which the error says if it is not.
func findInline(e Entity, policy string) (int, error) {
	i, ok := e.inline(policy)
	if !ok {
		return 0, noSuchEntity("The %s policy with name %s cannot be found.", e.Kind, policy)
	}
	return i, nil
}

// getInline returns the entity's name as it is written, and the document, encoded.
func (v *View) getInline(ctx context.Context, action string, k Kind, name, policy string) (written, document *string, err error) {
	err = v.read(ctx, func(r *request) error {
		e, err := r.entity(action, k, name, nil)
		if err != nil {
			return err
		}
		i, err := findInline(e, policy)
		if err != nil {
			return err
		}
		written, document = &e.Name, encoded(e.Inline[i].Document)
		return nil
	})
	return written, document, err
}

func (v *View) deleteInline(ctx context.Context, action string, k Kind, name, policy string) error {
	return v.change(ctx, func(r *request) error {
		e, err := r.entity(action, k, name, nil)
		if err != nil {
			return err
		}
		i, err := findInline(e, policy)
		if err != nil {
			return err
		}
		e.Inline = slices.Delete(e.Inline, i, i+1)
		return r.PutEntity(e)
	})
}

// listInline is a page of the names of an entity's inline policies.
func (v *View) listInline(ctx context.Context, action string, k Kind, name string, marker *string, items *int32) (names []string, next *string, err error) {
	p, err := newPage(marker, items)
	if err != nil {
		return nil, nil, err
	}
	names = []string{}
	err = v.read(ctx, func(r *request) error {
		e, err := r.entity(action, k, name, nil)
		var some []Inline
		some, next = cut(p, e.Inline, func(p Inline) string { return p.Name })
		for _, in := range some {
			names = append(names, in.Name)
		}
		return err
	})
	return names, next, err
}

// PutUserPolicy gives a user an inline policy, replacing the one of that name.
func (v *View) PutUserPolicy(ctx context.Context, in *iam.PutUserPolicyInput) (*iam.PutUserPolicyOutput, error) {
	return &iam.PutUserPolicyOutput{}, v.putInline(ctx, "iam:PutUserPolicy", User, *in.UserName, *in.PolicyName, *in.PolicyDocument)
}

// GetUserPolicy shows an inline policy of a user.
func (v *View) GetUserPolicy(ctx context.Context, in *iam.GetUserPolicyInput) (*iam.GetUserPolicyOutput, error) {
	name, doc, err := v.getInline(ctx, "iam:GetUserPolicy", User, *in.UserName, *in.PolicyName)
	return &iam.GetUserPolicyOutput{UserName: name, PolicyName: in.PolicyName, PolicyDocument: doc}, err
}

// DeleteUserPolicy removes an inline policy of a user.
func (v *View) DeleteUserPolicy(ctx context.Context, in *iam.DeleteUserPolicyInput) (*iam.DeleteUserPolicyOutput, error) {
	return &iam.DeleteUserPolicyOutput{}, v.deleteInline(ctx, "iam:DeleteUserPolicy", User, *in.UserName, *in.PolicyName)
}

// ListUserPolicies lists the names of the inline policies of a user.
func (v *View) ListUserPolicies(ctx context.Context, in *iam.ListUserPoliciesInput) (*iam.ListUserPoliciesOutput, error) {
	names, next, err := v.listInline(ctx, "iam:ListUserPolicies", User, *in.UserName, in.Marker, in.MaxItems)
	return &iam.ListUserPoliciesOutput{PolicyNames: names, Marker: next, IsTruncated: next != nil}, err
}

// PutRolePolicy gives a role an inline policy, replacing the one of that name.
func (v *View) PutRolePolicy(ctx context.Context, in *iam.PutRolePolicyInput) (*iam.PutRolePolicyOutput, error) {
	return &iam.PutRolePolicyOutput{}, v.putInline(ctx, "iam:PutRolePolicy", Role, *in.RoleName, *in.PolicyName, *in.PolicyDocument)
}

// GetRolePolicy shows an inline policy of a role.
func (v *View) GetRolePolicy(ctx context.Context, in *iam.GetRolePolicyInput) (*iam.GetRolePolicyOutput, error) {
	name, doc, err := v.getInline(ctx, "iam:GetRolePolicy", Role, *in.RoleName, *in.PolicyName)
	return &iam.GetRolePolicyOutput{RoleName: name, PolicyName: in.PolicyName, PolicyDocument: doc}, err
}

// DeleteRolePolicy removes an inline policy of a role.
func (v *View) DeleteRolePolicy(ctx context.Context, in *iam.DeleteRolePolicyInput) (*iam.DeleteRolePolicyOutput, error) {
	return &iam.DeleteRolePolicyOutput{}, v.deleteInline(ctx, "iam:DeleteRolePolicy", Role, *in.RoleName, *in.PolicyName)
}

// ListRolePolicies lists the names of the inline policies of a role.
func (v *View) ListRolePolicies(ctx context.Context, in *iam.ListRolePoliciesInput) (*iam.ListRolePoliciesOutput, error) {
	names, next, err := v.listInline(ctx, "iam:ListRolePolicies", Role, *in.RoleName, in.Marker, in.MaxItems)
	return &iam.ListRolePoliciesOutput{PolicyNames: names, Marker: next, IsTruncated: next != nil}, err
}

// PutGroupPolicy gives a group an inline policy, replacing the one of that name.
func (v *View) PutGroupPolicy(ctx context.Context, in *iam.PutGroupPolicyInput) (*iam.PutGroupPolicyOutput, error) {
	return &iam.PutGroupPolicyOutput{}, v.putInline(ctx, "iam:PutGroupPolicy", Group, *in.GroupName, *in.PolicyName, *in.PolicyDocument)
}

// GetGroupPolicy shows an inline policy of a group.
func (v *View) GetGroupPolicy(ctx context.Context, in *iam.GetGroupPolicyInput) (*iam.GetGroupPolicyOutput, error) {
	name, doc, err := v.getInline(ctx, "iam:GetGroupPolicy", Group, *in.GroupName, *in.PolicyName)
	return &iam.GetGroupPolicyOutput{GroupName: name, PolicyName: in.PolicyName, PolicyDocument: doc}, err
}

// DeleteGroupPolicy removes an inline policy of a group.
func (v *View) DeleteGroupPolicy(ctx context.Context, in *iam.DeleteGroupPolicyInput) (*iam.DeleteGroupPolicyOutput, error) {
	return &iam.DeleteGroupPolicyOutput{}, v.deleteInline(ctx, "iam:DeleteGroupPolicy", Group, *in.GroupName, *in.PolicyName)
}

// ListGroupPolicies lists the names of the inline policies of a group.
func (v *View) ListGroupPolicies(ctx context.Context, in *iam.ListGroupPoliciesInput) (*iam.ListGroupPoliciesOutput, error) {
	names, next, err := v.listInline(ctx, "iam:ListGroupPolicies", Group, *in.GroupName, in.Marker, in.MaxItems)
	return &iam.ListGroupPoliciesOutput{PolicyNames: names, Marker: next, IsTruncated: next != nil}, err
}
