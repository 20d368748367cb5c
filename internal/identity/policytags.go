package identity

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"borealis/internal/policy"
)

// TagPolicy adds tags to a managed policy, or replaces their values.
func (v *View) TagPolicy(ctx context.Context, in *iam.TagPolicyInput) (*iam.TagPolicyOutput, error) {
	tags, err := newTags(in.Tags)
	if err != nil {
		return nil, err
	}
	return &iam.TagPolicyOutput{}, v.change(ctx, func(r *request) error {
		p, err := r.policy("iam:TagPolicy", *in.PolicyArn, func(c policy.Context) policy.Context { return asked(c, tags) })
		if err != nil {
			return err
		}
		if p.Tags, err = merge(p.Tags, tags); err != nil {
			return err
		}
		return r.PutPolicy(p)
	})
}

// UntagPolicy removes tags from a managed policy.
func (v *View) UntagPolicy(ctx context.Context, in *iam.UntagPolicyInput) (*iam.UntagPolicyOutput, error) {
	return &iam.UntagPolicyOutput{}, v.change(ctx, func(r *request) error {
		p, err := r.policy("iam:UntagPolicy", *in.PolicyArn, func(c policy.Context) policy.Context { return askedKeys(c, in.TagKeys) })
		if err != nil {
			return err
		}
		p.Tags = without(p.Tags, in.TagKeys)
		return r.PutPolicy(p)
	})
}

// ListPolicyTags lists the tags of a managed policy by key.
func (v *View) ListPolicyTags(ctx context.Context, in *iam.ListPolicyTagsInput) (*iam.ListPolicyTagsOutput, error) {
	page, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iam.ListPolicyTagsOutput{}
	return out, v.read(ctx, func(r *request) error {
		p, err := r.policy("iam:ListPolicyTags", *in.PolicyArn, nil)
		some, next := cut(page, p.Tags, func(t Tag) string { return strings.ToLower(t.Key) })
		out.Tags, out.Marker, out.IsTruncated = append([]types.Tag{}, awsTags(some)...), next, next != nil
		return err
	})
}

// ListEntitiesForPolicy lists whom of the account a managed policy is attached
// to, or bounds: groups, roles and users, each by name.
func (v *View) ListEntitiesForPolicy(ctx context.Context, in *iam.ListEntitiesForPolicyInput) (*iam.ListEntitiesForPolicyOutput, error) {
	page, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iam.ListEntitiesForPolicyOutput{PolicyGroups: []types.PolicyGroup{}, PolicyRoles: []types.PolicyRole{}, PolicyUsers: []types.PolicyUser{}}
	return out, v.read(ctx, func(r *request) error {
		p, err := r.policy("iam:ListEntitiesForPolicy", *in.PolicyArn, nil)
		if err != nil {
			return err
		}
		all, err := r.entitiesFor(p, in)
		if err != nil {
			return err
		}
		some, next := cut(page, all, kindAndName)
		out.Marker, out.IsTruncated = next, next != nil
		for _, e := range some {
			switch e.Kind {
			case User:
				out.PolicyUsers = append(out.PolicyUsers, types.PolicyUser{UserId: &e.ID, UserName: &e.Name})
			case Role:
				out.PolicyRoles = append(out.PolicyRoles, types.PolicyRole{RoleId: &e.ID, RoleName: &e.Name})
			case Group:
				out.PolicyGroups = append(out.PolicyGroups, types.PolicyGroup{GroupId: &e.ID, GroupName: &e.Name})
			}
		}
		return nil
	})
}

func kindAndName(e Entity) string { return string(e.Kind) + "/" + strings.ToLower(e.Name) }

// entityFilter are the kinds that an EntityFilter lets through, if it is one of these.
var entityFilter = map[types.EntityType]Kind{
	types.EntityTypeUser: User, types.EntityTypeRole: Role, types.EntityTypeGroup: Group,
}

// entitiesFor are the users of p that in asks for, ordered by kindAndName.
func (r *request) entitiesFor(p ManagedPolicy, in *iam.ListEntitiesForPolicyInput) ([]Entity, error) {
	var links []Link
	for as, use := range map[types.PolicyUsageType]Use{
		types.PolicyUsageTypePermissionsPolicy: Attached, types.PolicyUsageTypePermissionsBoundary: Boundary,
	} {
		if in.PolicyUsageFilter != "" && in.PolicyUsageFilter != as {
			continue
		}
		some, err := r.LinksTo(r.caller.Account, p.ARN(), use)
		if err != nil {
			return nil, err
		}
		links = append(links, some...)
	}
	var all []Entity
	for _, l := range links {
		e, err := r.EntityByID(l.Source)
		if err != nil {
			return nil, err
		}
		kind, filtered := entityFilter[in.EntityFilter]
		if strings.HasPrefix(e.Path, orRoot(in.PathPrefix)) && (!filtered || kind == e.Kind) {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b Entity) int { return strings.Compare(kindAndName(a), kindAndName(b)) })
	return slices.CompactFunc(all, func(a, b Entity) bool { return a.ID == b.ID }), nil
}
