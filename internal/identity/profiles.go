package identity

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"borealis/internal/cloud"
)

const (
	maxProfiles       = 1000 // of an account
	maxRolesInProfile = 1
	profilePrefix     = "AIPA"
)

// InProfile is the use of a link from a role to the id of an instance profile
// that holds it.
const InProfile Use = "profile"

// A profile is an instance profile. It is stored, so its fields change only with
// a migration.
type profile struct {
	ID      string
	Name    string
	Path    string
	Created time.Time
	Tags    []Tag
}

func profileARN(a cloud.AccountID, path, name string) string {
	return cloud.NewARN("iam", "", a, "instance-profile"+path+name).String()
}

func profileKey(p profile) string { return strings.ToLower(p.Name) }

// profile is the caller's instance profile called name if the caller may do
// action to it.
func (r *request) profile(action, name string, add more) (profile, Item, error) {
	id, path := strings.ToLower(name), "/"
	p, _, err := findItem[profile](r, r.caller.Account, ProfileItem, id)
	switch {
	case err == nil:
		path, name = p.Path, p.Name
	case !errors.Is(err, cloud.ErrNotFound):
		return p, Item{}, err
	}
	i, err := r.item(action, ProfileItem, id, profileARN(r.caller.Account, path, name), noSuchEntity("Instance Profile %s cannot be found.", name), add)
	return p, i, err
}

// instanceProfile is p in IAM's words, without tags.
func (r *request) instanceProfile(p profile) (types.InstanceProfile, error) {
	out := types.InstanceProfile{
		Arn: new(profileARN(r.caller.Account, p.Path, p.Name)), InstanceProfileId: &p.ID, InstanceProfileName: &p.Name,
		Path: &p.Path, CreateDate: &p.Created, Roles: []types.Role{},
	}
	links, err := r.LinksTo(r.caller.Account, p.ID, InProfile)
	if err != nil {
		return out, err
	}
	for _, l := range links {
		e, err := r.EntityByID(l.Source)
		if err != nil {
			return out, err
		}
		role, err := r.role(e)
		if err != nil {
			return out, err
		}
		role.MaxSessionDuration, role.Description = nil, nil // which IAM leaves out here
		out.Roles = append(out.Roles, *role)
	}
	return out, nil
}

// CreateInstanceProfile makes an instance profile without a role.
func (v *View) CreateInstanceProfile(ctx context.Context, in *iam.CreateInstanceProfileInput) (*iam.CreateInstanceProfileOutput, error) {
	tags, err := newTags(in.Tags)
	if err != nil {
		return nil, err
	}
	out := &iam.CreateInstanceProfileOutput{}
	return out, v.change(ctx, func(r *request) error {
		p := profile{ID: newID(profilePrefix), Name: *in.InstanceProfileName, Path: orRoot(in.Path), Created: r.Now().UTC()}
		err := r.authorize("iam:CreateInstanceProfile", resource{arn: profileARN(r.caller.Account, p.Path, p.Name), context: asked(nil, tags)})
		if err != nil {
			return err
		}
		if p.Tags, err = merge(nil, tags); err != nil {
			return err
		}
		err = r.addCounted(Item{Kind: ProfileItem, ID: profileKey(p)}, p, limit{maxProfiles, "InstanceProfilesPerAccount"},
			alreadyExists("Instance Profile %s already exists.", p.Name))
		if err != nil {
			return err
		}
		said, err := r.instanceProfile(p)
		said.Tags = awsTags(p.Tags)
		out.InstanceProfile = &said
		return err
	})
}

// GetInstanceProfile describes an instance profile.
func (v *View) GetInstanceProfile(ctx context.Context, in *iam.GetInstanceProfileInput) (*iam.GetInstanceProfileOutput, error) {
	out := &iam.GetInstanceProfileOutput{}
	return out, v.read(ctx, func(r *request) error {
		p, _, err := r.profile("iam:GetInstanceProfile", *in.InstanceProfileName, nil)
		if err != nil {
			return err
		}
		said, err := r.instanceProfile(p)
		said.Tags = append([]types.Tag{}, awsTags(p.Tags)...)
		out.InstanceProfile = &said
		return err
	})
}

// DeleteInstanceProfile removes an instance profile without a role.
func (v *View) DeleteInstanceProfile(ctx context.Context, in *iam.DeleteInstanceProfileInput) (*iam.DeleteInstanceProfileOutput, error) {
	return &iam.DeleteInstanceProfileOutput{}, v.change(ctx, func(r *request) error {
		p, i, err := r.profile("iam:DeleteInstanceProfile", *in.InstanceProfileName, nil)
		if err != nil {
			return err
		}
		links, err := r.LinksTo(i.Account, p.ID, InProfile)
		if err != nil {
			return err
		}
		if len(links) > 0 {
			return deleteConflict("Cannot delete entity, must remove roles from instance profile first.")
		}
		return r.DeleteItem(i.Account, i.Kind, i.ID)
	})
}

// ListInstanceProfiles lists the instance profiles under a path by name.
func (v *View) ListInstanceProfiles(ctx context.Context, in *iam.ListInstanceProfilesInput) (*iam.ListInstanceProfilesOutput, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iam.ListInstanceProfilesOutput{}
	return out, v.read(ctx, func(r *request) error {
		under := orRoot(in.PathPrefix)
		if err := r.authorize("iam:ListInstanceProfiles", resource{arn: profileARN(r.caller.Account, under, "")}); err != nil {
			return err
		}
		all, err := r.profiles(func(p profile) bool { return strings.HasPrefix(p.Path, under) })
		if err != nil {
			return err
		}
		out.InstanceProfiles, out.Marker, err = r.profilePage(p, all)
		out.IsTruncated = out.Marker != nil
		return err
	})
}

// profiles are the account's instance profiles that fit, ordered by profileKey.
func (r *request) profiles(fits func(profile) bool) ([]profile, error) {
	items, err := r.Items(r.caller.Account, ProfileItem)
	if err != nil {
		return nil, err
	}
	var all []profile
	for _, i := range items {
		p, err := body[profile](i)
		if err != nil {
			return nil, err
		}
		if fits(p) {
			all = append(all, p)
		}
	}
	return all, nil
}

// profilePage is a page of instance profiles in IAM's words.
func (r *request) profilePage(p page, all []profile) ([]types.InstanceProfile, *string, error) {
	out := []types.InstanceProfile{}
	some, next := cut(p, all, profileKey)
	for _, p := range some {
		said, err := r.instanceProfile(p)
		if err != nil {
			return nil, nil, err
		}
		out = append(out, said)
	}
	return out, next, nil
}

// profilesOf are the instance profiles that hold a role.
func (r *request) profilesOf(e Entity) ([]profile, error) {
	links, err := r.LinksFrom(e.ID, InProfile)
	if err != nil || len(links) == 0 {
		return nil, err
	}
	return r.profiles(func(p profile) bool {
		return slices.ContainsFunc(links, func(l Link) bool { return l.Target == p.ID })
	})
}

// ListInstanceProfilesForRole lists the instance profiles that hold a role by name.
func (v *View) ListInstanceProfilesForRole(ctx context.Context, in *iam.ListInstanceProfilesForRoleInput) (*iam.ListInstanceProfilesForRoleOutput, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iam.ListInstanceProfilesForRoleOutput{}
	return out, v.read(ctx, func(r *request) error {
		e, err := r.entity("iam:ListInstanceProfilesForRole", Role, *in.RoleName, nil)
		if err != nil {
			return err
		}
		all, err := r.profilesOf(e)
		if err != nil {
			return err
		}
		out.InstanceProfiles, out.Marker, err = r.profilePage(p, all)
		out.IsTruncated = out.Marker != nil
		return err
	})
}

// AddRoleToInstanceProfile puts a role, which the caller may pass on, into an
// instance profile that has none.
func (v *View) AddRoleToInstanceProfile(ctx context.Context, in *iam.AddRoleToInstanceProfileInput) (*iam.AddRoleToInstanceProfileOutput, error) {
	return &iam.AddRoleToInstanceProfileOutput{}, v.change(ctx, func(r *request) error {
		p, i, err := r.profile("iam:AddRoleToInstanceProfile", *in.InstanceProfileName, nil)
		if err != nil {
			return err
		}
		e, err := r.entity("iam:PassRole", Role, *in.RoleName, with("iam:PassedToService", "ec2.amazonaws.com"))
		if err != nil {
			return err
		}
		links, err := r.LinksTo(i.Account, p.ID, InProfile)
		if err != nil {
			return err
		}
		if len(links) >= maxRolesInProfile {
			return limitExceeded("Cannot exceed quota for InstanceSessionsPerInstanceProfile: %d", maxRolesInProfile)
		}
		return r.AddLink(i.Account, Link{Source: e.ID, Use: InProfile, Target: p.ID})
	})
}

// RemoveRoleFromInstanceProfile undoes AddRoleToInstanceProfile.
func (v *View) RemoveRoleFromInstanceProfile(ctx context.Context, in *iam.RemoveRoleFromInstanceProfileInput) (*iam.RemoveRoleFromInstanceProfileOutput, error) {
	return &iam.RemoveRoleFromInstanceProfileOutput{}, v.change(ctx, func(r *request) error {
		p, i, err := r.profile("iam:RemoveRoleFromInstanceProfile", *in.InstanceProfileName, nil)
		if err != nil {
			return err
		}
		e, err := r.Entity(i.Account, Role, *in.RoleName)
		if err != nil {
			return orNoSuch(err, "The role with name %s cannot be found.", *in.RoleName)
		}
		err = r.DeleteLink(Link{Source: e.ID, Use: InProfile, Target: p.ID})
		return orNoSuch(err, "Role %s in Instance Profile %s cannot be found.", e.Name, p.Name)
	})
}
