package identity

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

const maxGroups = 10 // of one user

// group is e in IAM's words.
func (e Entity) group() *types.Group {
	return &types.Group{Path: &e.Path, GroupName: &e.Name, GroupId: &e.ID, Arn: new(e.ARN()), CreateDate: &e.Created}
}

// CreateGroup makes a group without members or policies.
func (v *View) CreateGroup(ctx context.Context, in *iam.CreateGroupInput) (*iam.CreateGroupOutput, error) {
	out := &iam.CreateGroupOutput{}
	return out, v.change(ctx, func(r *request) error {
		e, err := r.add("iam:CreateGroup", Entity{Kind: Group, Name: *in.GroupName, Path: orRoot(in.Path)}, "")
		out.Group = e.group()
		return err
	})
}

// linked are the entities at the ends of links, ordered by name.
func (r *request) linked(links []Link, end func(Link) string, p page) ([]Entity, *string, error) {
	var all []Entity
	for _, l := range links {
		e, err := r.EntityByID(end(l))
		if err != nil {
			return nil, nil, err
		}
		all = append(all, e)
	}
	key := func(e Entity) string { return strings.ToLower(e.Name) }
	slices.SortFunc(all, func(a, b Entity) int { return strings.Compare(key(a), key(b)) })
	some, next := cut(p, all, key)
	return some, next, nil
}

func source(l Link) string { return l.Source }
func target(l Link) string { return l.Target }

// GetGroup describes a group and lists its members by name.
func (v *View) GetGroup(ctx context.Context, in *iam.GetGroupInput) (*iam.GetGroupOutput, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iam.GetGroupOutput{Users: []types.User{}}
	return out, v.read(ctx, func(r *request) error {
		g, err := r.entity("iam:GetGroup", Group, *in.GroupName, nil)
		if err != nil {
			return err
		}
		links, err := r.LinksTo(g.Account, g.ID, Member)
		if err != nil {
			return err
		}
		users, next, err := r.linked(links, source, p)
		for _, e := range users {
			out.Users = append(out.Users, *e.user())
		}
		out.Group, out.Marker, out.IsTruncated = g.group(), next, next != nil
		return err
	})
}

// ListGroups lists the groups under a path by name.
func (v *View) ListGroups(ctx context.Context, in *iam.ListGroupsInput) (*iam.ListGroupsOutput, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iam.ListGroupsOutput{Groups: []types.Group{}}
	return out, v.read(ctx, func(r *request) error {
		list, next, err := r.entities("iam:ListGroups", Group, in.PathPrefix, p)
		for _, e := range list {
			out.Groups = append(out.Groups, *e.group())
		}
		out.Marker, out.IsTruncated = next, next != nil
		return err
	})
}

// ListGroupsForUser lists the groups of a user by name.
func (v *View) ListGroupsForUser(ctx context.Context, in *iam.ListGroupsForUserInput) (*iam.ListGroupsForUserOutput, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iam.ListGroupsForUserOutput{Groups: []types.Group{}}
	return out, v.read(ctx, func(r *request) error {
		u, err := r.entity("iam:ListGroupsForUser", User, *in.UserName, nil)
		if err != nil {
			return err
		}
		links, err := r.LinksFrom(u.ID, Member)
		if err != nil {
			return err
		}
		groups, next, err := r.linked(links, target, p)
		for _, g := range groups {
			out.Groups = append(out.Groups, *g.group())
		}
		out.Marker, out.IsTruncated = next, next != nil
		return err
	})
}

// UpdateGroup gives a group another name or path.
func (v *View) UpdateGroup(ctx context.Context, in *iam.UpdateGroupInput) (*iam.UpdateGroupOutput, error) {
	return &iam.UpdateGroupOutput{}, v.change(ctx, func(r *request) error {
		e, err := r.entity("iam:UpdateGroup", Group, *in.GroupName, nil)
		if err != nil {
			return err
		}
		return r.rename(e, "iam:UpdateGroup", in.NewGroupName, in.NewPath)
	})
}

// DeleteGroup removes a group that has neither members nor policies.
func (v *View) DeleteGroup(ctx context.Context, in *iam.DeleteGroupInput) (*iam.DeleteGroupOutput, error) {
	return &iam.DeleteGroupOutput{}, v.change(ctx, func(r *request) error {
		g, err := r.entity("iam:DeleteGroup", Group, *in.GroupName, nil)
		if err != nil {
			return err
		}
		members, err := r.LinksTo(g.Account, g.ID, Member)
		if err != nil {
			return err
		}
		if len(members) > 0 {
			return deleteConflict("Cannot delete entity, must remove users from group first.")
		}
		return r.remove(g)
	})
}

// membership is the link of a user to a group, whether there is one or not, if
// the caller may do action to the group.
func (r *request) membership(action string, group, user string) (Link, error) {
	g, err := r.entity(action, Group, group, nil)
	if err != nil {
		return Link{}, err
	}
	u, err := r.Entity(r.caller.Account, User, user)
	if err != nil {
		return Link{}, orNoSuch(err, "The user with name %s cannot be found.", user)
	}
	return Link{Source: u.ID, Use: Member, Target: g.ID}, nil
}

// AddUserToGroup lets the group's policies speak for a user. Adding a member
// again is not an error.
func (v *View) AddUserToGroup(ctx context.Context, in *iam.AddUserToGroupInput) (*iam.AddUserToGroupOutput, error) {
	return &iam.AddUserToGroupOutput{}, v.change(ctx, func(r *request) error {
		l, err := r.membership("iam:AddUserToGroup", *in.GroupName, *in.UserName)
		if err != nil {
			return err
		}
		have, err := r.LinksFrom(l.Source, Member)
		if err != nil {
			return err
		}
		if len(have) >= maxGroups && !slices.Contains(have, l) {
			return limitExceeded("Cannot exceed quota for GroupsPerUser: %d", maxGroups)
		}
		return r.AddLink(r.caller.Account, l)
	})
}

// RemoveUserFromGroup undoes AddUserToGroup.
func (v *View) RemoveUserFromGroup(ctx context.Context, in *iam.RemoveUserFromGroupInput) (*iam.RemoveUserFromGroupOutput, error) {
	return &iam.RemoveUserFromGroupOutput{}, v.change(ctx, func(r *request) error {
		l, err := r.membership("iam:RemoveUserFromGroup", *in.GroupName, *in.UserName)
		if err != nil {
			return err
		}
		return orNoSuch(r.DeleteLink(l), "User %s not in group %s", *in.UserName, *in.GroupName)
	})
}
