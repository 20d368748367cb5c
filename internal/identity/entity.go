package identity

import (
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// quota is how many entities of a kind an account may have, and the limit's name.
var quota = map[Kind]limit{
	User:  {5000, "UsersPerAccount"},
	Role:  {1000, "RolesPerAccount"},
	Group: {300, "GroupsPerAccount"},
}

// titles are the kinds as sentences begin with them.
var titles = map[Kind]string{User: "User", Role: "Role", Group: "Group"}

// A more adds what belongs to a request to the condition keys of its resource.
type more func(policy.Context) policy.Context

// with is a more that adds one key, unless value is empty.
func with(key, value string) more {
	return func(c policy.Context) policy.Context {
		if value != "" {
			c[key] = []string{value}
		}
		return c
	}
}

// entity returns the caller's entity called name if the caller may do action to
// it. To those who may not, it does not tell whether there is one.
func (r *request) entity(action string, k Kind, name string, add more) (Entity, error) {
	e, err := r.Entity(r.caller.Account, k, name)
	missing := errors.Is(err, cloud.ErrNotFound)
	if err != nil && !missing {
		return Entity{}, err
	}
	if missing {
		e = Entity{Account: r.caller.Account, Kind: k, Path: "/", Name: name}
	}
	on := resource{arn: e.ARN(), said: string(k) + " " + name, context: tagged(e.Tags)}
	if k != Group && !missing {
		boundary, err := r.boundary(e)
		if err != nil {
			return Entity{}, err
		}
		on.context = with("iam:PermissionsBoundary", boundary)(on.context)
	}
	if add != nil {
		on.context = add(on.context)
	}
	if err := r.authorize(action, on); err != nil {
		return Entity{}, err
	}
	if missing {
		return Entity{}, noSuchEntity("The %s with name %s cannot be found.", k, name)
	}
	if e.Service != "" && protected[action] {
		return Entity{}, unmodifiable(e)
	}
	return e, nil
}

// boundary is the ARN of the policy that bounds e, or "".
func (r *request) boundary(e Entity) (string, error) {
	links, err := r.LinksFrom(e.ID, Boundary)
	if err != nil || len(links) == 0 {
		return "", err
	}
	return links[0].Target, nil
}

// add makes a new entity if the caller may do action, which creates it. boundary
// is the ARN of its permissions boundary, or "".
func (r *request) add(action string, e Entity, boundary string) (Entity, error) {
	e.Account, e.ID, e.Created = r.caller.Account, newID(idPrefix[e.Kind]), r.Now().UTC()
	on := resource{arn: e.ARN(), context: with("iam:PermissionsBoundary", boundary)(asked(nil, e.Tags))}
	if err := r.authorize(action, on); err != nil {
		return Entity{}, err
	}
	if e.Kind == Role && strings.HasPrefix(e.Path, linkedPrefix) {
		return Entity{}, invalidInput("The path %s is reserved for service-linked roles.", e.Path)
	}
	if err := r.room(e.Kind); err != nil {
		return Entity{}, err
	}
	err := r.AddEntity(e)
	if errors.Is(err, cloud.ErrExists) {
		return Entity{}, alreadyExists("%s with name %s already exists.", titles[e.Kind], e.Name)
	}
	if err != nil || boundary == "" {
		return e, err
	}
	return e, r.bound(e, boundary)
}

// room refuses one more entity of a kind than an account may have.
func (r *request) room(k Kind) error {
	n, err := r.CountEntities(r.caller.Account, k)
	if err != nil {
		return err
	}
	if q := quota[k]; n >= q.max {
		return limitExceeded("Cannot exceed quota for %s: %d", q.name, q.max)
	}
	return nil
}

// remove deletes e, which must have no policies any more.
func (r *request) remove(e Entity) error {
	attached, err := r.LinksFrom(e.ID, Attached)
	if err != nil {
		return err
	}
	if len(attached) > 0 {
		return deleteConflict("Cannot delete entity, must detach all policies first.")
	}
	if len(e.Inline) > 0 {
		return deleteConflict("Cannot delete entity, must delete policies first.")
	}
	return r.DeleteEntity(e.ID)
}

// entities is a page of the entities of a kind, and where the next page begins.
func (r *request) entities(action string, k Kind, prefix *string, p page) ([]Entity, *string, error) {
	under := "/"
	if prefix != nil {
		under = *prefix
	}
	if err := r.authorize(action, resource{arn: entityARN(r.caller.Account, k, under, "")}); err != nil {
		return nil, nil, err
	}
	list, err := r.Entities(r.caller.Account, k, under, p.after, p.limit+1)
	if err != nil {
		return nil, nil, err
	}
	some, next := cut(p, list, func(e Entity) string { return strings.ToLower(e.Name) })
	return some, next, nil
}

// awsBoundary is a permissions boundary in IAM's words.
func awsBoundary(arn string) *types.AttachedPermissionsBoundary {
	if arn == "" {
		return nil
	}
	return &types.AttachedPermissionsBoundary{
		PermissionsBoundaryArn:  &arn,
		PermissionsBoundaryType: types.PermissionsBoundaryAttachmentTypePolicy,
	}
}

// orRoot is a path, or the root of paths if none was given.
func orRoot(path *string) string {
	if path == nil {
		return "/"
	}
	return *path
}

// text is what p points to, or "".
func text(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

// rename gives e another name and path, where they are not nil, if the caller
// may do action to what it is called then, too.
func (r *request) rename(e Entity, action string, name, path *string) error {
	old := e.Name
	if name != nil {
		e.Name = *name
	}
	if path != nil {
		e.Path = *path
	}
	if err := r.authorize(action, resource{arn: e.ARN(), context: tagged(e.Tags)}); err != nil {
		return err
	}
	if !strings.EqualFold(old, e.Name) {
		_, err := r.Entity(e.Account, e.Kind, e.Name)
		if err == nil {
			return alreadyExists("%s with name %s already exists.", titles[e.Kind], e.Name)
		}
		if !errors.Is(err, cloud.ErrNotFound) {
			return err
		}
	}
	return r.PutEntity(e)
}
