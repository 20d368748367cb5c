package organizations

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/organizations/types"

	"borealis/internal/policy"
)

const maxTags = 50

// newTags checks the tags of a request.
func newTags(in []types.Tag) ([]Tag, error) {
	seen := map[string]bool{}
	for _, t := range in {
		switch k := *t.Key; {
		case seen[k]:
			return nil, invalidInput(types.InvalidInputExceptionReasonDuplicateTagKey, "Tag keys must be unique among the tags attached to the same entity.")
		case strings.HasPrefix(strings.ToLower(k), "aws:"):
			return nil, invalidInput(types.InvalidInputExceptionReasonInvalidSystemTagsParameter, "You specified a tag key that is a system tag. You can't add, edit, or delete system tag keys because they're reserved for AWS use.")
		}
		seen[*t.Key] = true
	}
	return merge(nil, in)
}

// merge is old with the tags of add in addition or in place of those with the
// same keys, ordered by key.
func merge(old []Tag, add []types.Tag) ([]Tag, error) {
	all := map[string]string{}
	for _, t := range old {
		all[t.Key] = t.Value
	}
	for _, t := range add {
		all[*t.Key] = *t.Value
	}
	if len(all) > maxTags {
		return nil, constraint(types.ConstraintViolationExceptionReasonMaxTagLimitExceeded, "You have exceeded the number of tags allowed on this resource.")
	}
	var tags []Tag
	for _, k := range slices.Sorted(maps.Keys(all)) {
		tags = append(tags, Tag{k, all[k]})
	}
	return tags, nil
}

// tagged adds the condition keys of a resource's tags.
func tagged(c policy.Context, tags []Tag) policy.Context {
	for _, t := range tags {
		c = with(c, "aws:ResourceTag/"+t.Key, t.Value)
	}
	return c
}

// asked adds the condition keys of a request that brings tags.
func asked(c policy.Context, tags []Tag) policy.Context {
	var keys []string
	for _, t := range tags {
		c = with(c, "aws:RequestTag/"+t.Key, t.Value)
		keys = append(keys, t.Key)
	}
	if keys != nil {
		c = with(c, "aws:TagKeys", keys...)
	}
	return c
}

// with is c with one more key. It changes c.
func with(c policy.Context, key string, values ...string) policy.Context {
	if c == nil {
		c = policy.Context{}
	}
	c[key] = values
	return c
}

// authorizeNew is authorize for something new with tags: to give it those takes
// a permission of its own.
func (r *request) authorizeNew(action string, who standing, tags []Tag, on ...resource) error {
	if err := r.authorize(action, who, on...); err != nil || len(tags) == 0 {
		return err
	}
	return r.authorize("organizations:TagResource", who, on...)
}

// A thing is what has tags: a node or a policy.
type thing struct {
	tags []Tag
	put  func([]Tag) error // keeps other tags in their place
}

// thing finds what has the id, for an operation on its tags.
func (r *request) thing(action string, who standing, id string, change func(policy.Context) policy.Context) (thing, error) {
	if strings.HasPrefix(id, "p-") {
		p, on, err := r.findPolicy(id)
		if err != nil {
			return thing{}, err
		}
		on.context = change(on.context)
		if err := r.authorize(action, who, on); err != nil {
			return thing{}, err
		}
		switch {
		case p.ID == "":
			return thing{}, noTarget()
		case p.Organization == "" && who == management:
			return thing{}, immutable()
		}
		return thing{p.Tags, func(tags []Tag) error {
			p.Tags = tags
			return r.PutPolicy(p)
		}}, nil
	}
	n, on, err := r.find(id)
	if err != nil {
		return thing{}, err
	}
	on.context = change(on.context)
	if err := r.authorize(action, who, on); err != nil {
		return thing{}, err
	}
	if n.ID == "" {
		return thing{}, noTarget()
	}
	return thing{n.Tags, func(tags []Tag) error {
		n.Tags = tags
		return r.PutNode(n)
	}}, nil
}

// TagResource gives something tags, in place of those with the same keys.
func (v *View) TagResource(ctx context.Context, in *organizations.TagResourceInput) (*organizations.TagResourceOutput, error) {
	return &organizations.TagResourceOutput{}, v.change(ctx, func(r *request) error {
		tags, bad := newTags(in.Tags)
		x, err := r.thing("organizations:TagResource", management, *in.ResourceId, func(c policy.Context) policy.Context { return asked(c, tags) })
		switch {
		case err != nil:
			return err
		case bad != nil:
			return bad
		}
		all, err := merge(x.tags, in.Tags)
		if err != nil {
			return err
		}
		return x.put(all)
	})
}

// UntagResource takes tags away.
func (v *View) UntagResource(ctx context.Context, in *organizations.UntagResourceInput) (*organizations.UntagResourceOutput, error) {
	return &organizations.UntagResourceOutput{}, v.change(ctx, func(r *request) error {
		x, err := r.thing("organizations:UntagResource", management, *in.ResourceId, func(c policy.Context) policy.Context { return with(c, "aws:TagKeys", in.TagKeys...) })
		if err != nil {
			return err
		}
		return x.put(slices.DeleteFunc(slices.Clone(x.tags), func(t Tag) bool { return slices.Contains(in.TagKeys, t.Key) }))
	})
}

// ListTagsForResource lists the tags of something, all on one page.
func (v *View) ListTagsForResource(ctx context.Context, in *organizations.ListTagsForResourceInput) (*organizations.ListTagsForResourceOutput, error) {
	out := &organizations.ListTagsForResourceOutput{Tags: []types.Tag{}}
	return out, v.read(ctx, func(r *request) error {
		if _, err := newPage("tags "+*in.ResourceId, in.NextToken, nil); err != nil {
			return err
		}
		x, err := r.thing("organizations:ListTagsForResource", delegate, *in.ResourceId, func(c policy.Context) policy.Context { return c })
		for _, t := range x.tags {
			out.Tags = append(out.Tags, types.Tag{Key: &t.Key, Value: &t.Value})
		}
		return err
	})
}
