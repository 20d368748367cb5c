package identity

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// A detail is what GetAccountAuthorizationDetails lists: an entity or a policy.
type detail struct {
	key    string // orders details; begins with the kind
	entity Entity
	policy ManagedPolicy
}

// GetAccountAuthorizationDetails lists the users, roles, groups and managed
// policies of the account, and those of AWS's that are in use, with everything
// that says what they may do: groups first, then policies, roles and users, each
// by name.
func (v *View) GetAccountAuthorizationDetails(ctx context.Context, in *iam.GetAccountAuthorizationDetailsInput) (*iam.GetAccountAuthorizationDetailsOutput, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iam.GetAccountAuthorizationDetailsOutput{
		GroupDetailList: []types.GroupDetail{}, Policies: []types.ManagedPolicyDetail{}, RoleDetailList: []types.RoleDetail{}, UserDetailList: []types.UserDetail{},
	}
	return out, v.read(ctx, func(r *request) error {
		if err := r.authorize("iam:GetAccountAuthorizationDetails", resource{arn: "*"}); err != nil {
			return err
		}
		all, err := r.details(in.Filter)
		if err != nil {
			return err
		}
		some, next := cut(p, all, func(d detail) string { return d.key })
		for _, d := range some {
			if err := r.addDetail(out, d); err != nil {
				return err
			}
		}
		out.Marker, out.IsTruncated = next, next != nil
		return nil
	})
}

// details are all that a filter lets through, ordered by key.
func (r *request) details(filter []types.EntityType) ([]detail, error) {
	wanted := func(t types.EntityType) bool { return len(filter) == 0 || slices.Contains(filter, t) }
	var all []detail
	for t, k := range entityFilter {
		if !wanted(t) {
			continue
		}
		list, err := r.Entities(r.caller.Account, k, "/", "", quota[k].max)
		if err != nil {
			return nil, err
		}
		for _, e := range list {
			all = append(all, detail{key: kindAndName(e), entity: e})
		}
	}
	var policies []ManagedPolicy
	if wanted(types.EntityTypeLocalManagedPolicy) {
		own, err := r.Policies(r.caller.Account)
		if err != nil {
			return nil, err
		}
		policies = own
	}
	if wanted(types.EntityTypeAWSManagedPolicy) {
		used, err := r.inUse(builtins(), "")
		if err != nil {
			return nil, err
		}
		policies = append(policies, used...)
	}
	for _, p := range policies {
		all = append(all, detail{key: "policy/" + listKey(p), policy: p})
	}
	slices.SortFunc(all, func(a, b detail) int { return strings.Compare(a.key, b.key) })
	return all, nil
}

func (r *request) addDetail(out *iam.GetAccountAuthorizationDetailsOutput, d detail) error {
	if d.entity.Kind == "" {
		p, err := r.policyDetail(d.policy)
		out.Policies = append(out.Policies, p)
		return err
	}
	e := d.entity
	attached, err := r.attachedTo(e)
	if err != nil {
		return err
	}
	inline := []types.PolicyDetail{}
	for _, p := range e.Inline {
		inline = append(inline, types.PolicyDetail{PolicyName: &p.Name, PolicyDocument: encoded(p.Document)})
	}
	switch e.Kind {
	case Group:
		out.GroupDetailList = append(out.GroupDetailList, types.GroupDetail{
			Arn: new(e.ARN()), GroupId: &e.ID, GroupName: &e.Name, Path: &e.Path, CreateDate: &e.Created,
			AttachedManagedPolicies: attached, GroupPolicyList: inline,
		})
	case Role:
		role, err := r.wholeRole(e)
		if err != nil {
			return err
		}
		held, err := r.profilesOf(e)
		if err != nil {
			return err
		}
		profiles, _, err := r.profilePage(page{limit: len(held)}, held)
		if err != nil {
			return err
		}
		out.RoleDetailList = append(out.RoleDetailList, types.RoleDetail{
			Arn: role.Arn, RoleId: role.RoleId, RoleName: role.RoleName, Path: role.Path, CreateDate: role.CreateDate,
			AssumeRolePolicyDocument: role.AssumeRolePolicyDocument, AttachedManagedPolicies: attached, RolePolicyList: inline,
			PermissionsBoundary: role.PermissionsBoundary, RoleLastUsed: role.RoleLastUsed, Tags: append([]types.Tag{}, role.Tags...),
			InstanceProfileList: profiles,
		})
	case User:
		user, err := r.wholeUser(e)
		if err != nil {
			return err
		}
		groups, err := r.groupsOf(e)
		if err != nil {
			return err
		}
		out.UserDetailList = append(out.UserDetailList, types.UserDetail{
			Arn: user.Arn, UserId: user.UserId, UserName: user.UserName, Path: user.Path, CreateDate: user.CreateDate,
			AttachedManagedPolicies: attached, UserPolicyList: inline, GroupList: groups,
			PermissionsBoundary: user.PermissionsBoundary, Tags: append([]types.Tag{}, user.Tags...),
		})
	}
	return nil
}

// attachedTo are the managed policies attached to e, by ARN.
func (r *request) attachedTo(e Entity) ([]types.AttachedPolicy, error) {
	links, err := r.LinksFrom(e.ID, Attached)
	out := []types.AttachedPolicy{}
	for _, l := range links {
		out = append(out, types.AttachedPolicy{PolicyArn: &l.Target, PolicyName: new(policyName(l.Target))})
	}
	return out, err
}

// groupsOf are the names of a user's groups.
func (r *request) groupsOf(e Entity) ([]string, error) {
	links, err := r.LinksFrom(e.ID, Member)
	if err != nil {
		return nil, err
	}
	groups, _, err := r.linked(links, target, page{limit: len(links)})
	out := []string{}
	for _, g := range groups {
		out = append(out, g.Name)
	}
	return out, err
}

// policyDetail is p in IAM's words with all of its versions, newest first.
func (r *request) policyDetail(p ManagedPolicy) (types.ManagedPolicyDetail, error) {
	said, err := r.managedPolicy(p)
	if err != nil {
		return types.ManagedPolicyDetail{}, err
	}
	out := types.ManagedPolicyDetail{
		Arn: said.Arn, PolicyId: said.PolicyId, PolicyName: said.PolicyName, Path: said.Path, DefaultVersionId: said.DefaultVersionId,
		AttachmentCount: said.AttachmentCount, PermissionsBoundaryUsageCount: said.PermissionsBoundaryUsageCount,
		IsAttachable: said.IsAttachable, CreateDate: said.CreateDate, UpdateDate: said.UpdateDate,
	}
	if p.Description != "" {
		out.Description = &p.Description
	}
	for _, version := range slices.Backward(p.Versions) {
		v := policyVersion(p, version)
		v.Document = encoded(version.Document)
		out.PolicyVersionList = append(out.PolicyVersionList, v)
	}
	return out, nil
}
