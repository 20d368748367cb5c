package identity

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"borealis/internal/policy"
)

const maxTags = 50

func tagMap(tags []Tag) map[string]string {
	if len(tags) == 0 {
		return nil
	}
	m := make(map[string]string, len(tags))
	for _, t := range tags {
		m[t.Key] = t.Value
	}
	return m
}

// newTags checks the tags of a request.
func newTags(in []types.Tag) ([]Tag, error) {
	var tags []Tag
	for _, t := range in {
		tags = append(tags, Tag{*t.Key, *t.Value})
	}
	seen := map[string]bool{}
	for _, t := range tags {
		k := strings.ToLower(t.Key)
		if seen[k] {
			return nil, invalidInput("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		if strings.HasPrefix(k, "aws:") {
			return nil, invalidInput("Tag keys that begin with 'aws:' are reserved for system use.")
		}
		seen[k] = true
	}
	return tags, nil
}

// merge is old with the tags of add in addition or in place of those with the
// same keys, whose case does not tell them apart. It is ordered by key.
func merge(old, add []Tag) ([]Tag, error) {
	all := map[string]Tag{}
	for _, t := range slices.Concat(old, add) {
		all[strings.ToLower(t.Key)] = t
	}
	if len(all) > maxTags {
		return nil, limitExceeded("The number of tags has reached the maximum limit.")
	}
	var tags []Tag
	for _, k := range slices.Sorted(maps.Keys(all)) {
		tags = append(tags, all[k])
	}
	return tags, nil
}

// without is tags but for those called keys.
func without(tags []Tag, keys []string) []Tag {
	return slices.DeleteFunc(slices.Clone(tags), func(t Tag) bool {
		return slices.ContainsFunc(keys, func(k string) bool { return strings.EqualFold(k, t.Key) })
	})
}

func awsTags(tags []Tag) []types.Tag {
	var out []types.Tag
	for _, t := range tags {
		out = append(out, types.Tag{Key: &t.Key, Value: &t.Value})
	}
	return out
}

// tagKeys are the names of tags.
func tagKeys(tags []Tag) []string {
	var keys []string
	for _, t := range tags {
		keys = append(keys, t.Key)
	}
	return keys
}

// asked adds the condition keys of a request that brings tags.
func asked(c policy.Context, tags []Tag) policy.Context {
	c = askedKeys(c, tagKeys(tags))
	for _, t := range tags {
		c["aws:RequestTag/"+t.Key] = []string{t.Value}
	}
	return c
}

// askedKeys adds the condition key of a request that names tags.
func askedKeys(c policy.Context, keys []string) policy.Context {
	c = maps.Clone(c)
	if c == nil {
		c = policy.Context{}
	}
	if len(keys) > 0 {
		c["aws:TagKeys"] = keys
	}
	return c
}

// tagged are the condition keys of a resource with tags.
func tagged(tags []Tag) policy.Context {
	c := policy.Context{}
	for _, t := range tags {
		c["aws:ResourceTag/"+t.Key] = []string{t.Value}
		c["iam:ResourceTag/"+t.Key] = []string{t.Value}
	}
	return c
}

// tag adds tags to an entity.
func (v *View) tag(ctx context.Context, action string, k Kind, name string, in []types.Tag) error {
	tags, err := newTags(in)
	if err != nil {
		return err
	}
	return v.change(ctx, func(r *request) error {
		e, err := r.entity(action, k, name, func(c policy.Context) policy.Context { return asked(c, tags) })
		if err != nil {
			return err
		}
		if e.Tags, err = merge(e.Tags, tags); err != nil {
			return err
		}
		return r.PutEntity(e)
	})
}

// untag removes tags from an entity.
func (v *View) untag(ctx context.Context, action string, k Kind, name string, keys []string) error {
	return v.change(ctx, func(r *request) error {
		e, err := r.entity(action, k, name, func(c policy.Context) policy.Context { return askedKeys(c, keys) })
		if err != nil {
			return err
		}
		e.Tags = without(e.Tags, keys)
		return r.PutEntity(e)
	})
}

// tagsOf is a page of an entity's tags.
func (v *View) tagsOf(ctx context.Context, action string, k Kind, name string, marker *string, items *int32) (tags []types.Tag, next *string, err error) {
	p, err := newPage(marker, items)
	if err != nil {
		return nil, nil, err
	}
	err = v.read(ctx, func(r *request) error {
		e, err := r.entity(action, k, name, nil)
		var some []Tag
		some, next = cut(p, e.Tags, func(t Tag) string { return strings.ToLower(t.Key) })
		tags = append([]types.Tag{}, awsTags(some)...)
		return err
	})
	return tags, next, err
}

// TagUser adds tags to a user, or replaces their values.
func (v *View) TagUser(ctx context.Context, in *iam.TagUserInput) (*iam.TagUserOutput, error) {
	return &iam.TagUserOutput{}, v.tag(ctx, "iam:TagUser", User, *in.UserName, in.Tags)
}

// TagRole adds tags to a role, or replaces their values.
func (v *View) TagRole(ctx context.Context, in *iam.TagRoleInput) (*iam.TagRoleOutput, error) {
	return &iam.TagRoleOutput{}, v.tag(ctx, "iam:TagRole", Role, *in.RoleName, in.Tags)
}

// UntagUser removes tags from a user.
func (v *View) UntagUser(ctx context.Context, in *iam.UntagUserInput) (*iam.UntagUserOutput, error) {
	return &iam.UntagUserOutput{}, v.untag(ctx, "iam:UntagUser", User, *in.UserName, in.TagKeys)
}

// UntagRole removes tags from a role.
func (v *View) UntagRole(ctx context.Context, in *iam.UntagRoleInput) (*iam.UntagRoleOutput, error) {
	return &iam.UntagRoleOutput{}, v.untag(ctx, "iam:UntagRole", Role, *in.RoleName, in.TagKeys)
}

// ListUserTags lists the tags of a user by key.
func (v *View) ListUserTags(ctx context.Context, in *iam.ListUserTagsInput) (*iam.ListUserTagsOutput, error) {
	tags, next, err := v.tagsOf(ctx, "iam:ListUserTags", User, *in.UserName, in.Marker, in.MaxItems)
	return &iam.ListUserTagsOutput{Tags: tags, Marker: next, IsTruncated: next != nil}, err
}

// ListRoleTags lists the tags of a role by key.
func (v *View) ListRoleTags(ctx context.Context, in *iam.ListRoleTagsInput) (*iam.ListRoleTagsOutput, error) {
	tags, next, err := v.tagsOf(ctx, "iam:ListRoleTags", Role, *in.RoleName, in.Marker, in.MaxItems)
	return &iam.ListRoleTagsOutput{Tags: tags, Marker: next, IsTruncated: next != nil}, err
}
