package keys

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/policy"
)

// maxTags is how many tags one key may have.
const maxTags = 50

// mergeTags is old with the tags of add, which take the place of those with the
// same keys.
func mergeTags(old []Tag, add []types.Tag) ([]Tag, error) {
	out := slices.Clone(old)
	seen := make(map[string]bool, len(add))
	for _, t := range add {
		key, value := str(t.TagKey), str(t.TagValue)
		switch {
		case seen[key]:
			return nil, tagError("Duplicate tag keys")
		case strings.HasPrefix(strings.ToLower(key), "aws:"):
			return nil, tagError("Tags beginning with aws: are reserved")
		}
		seen[key] = true
		if i := slices.IndexFunc(out, func(t Tag) bool { return t.Key == key }); i >= 0 {
			out[i].Value = value
		} else {
			out = append(out, Tag{key, value})
		}
	}
	if len(out) > maxTags {
		return nil, tagError("Too many tags")
	}
	return out, nil
}

// TagResource adds or changes tags of a key.
func (v *View) TagResource(ctx context.Context, in *kms.TagResourceInput) (*kms.TagResourceOutput, error) {
	_, err := v.update(ctx, ask{action: "TagResource", key: str(in.KeyId), context: tagContext(in.Tags)}, func(t target) (apply, error) {
		tags, err := mergeTags(t.Tags, in.Tags)
		return edit(func(k *Key) { k.Tags = tags }), err
	})
	if err != nil {
		return nil, err
	}
	return &kms.TagResourceOutput{}, nil
}

// UntagResource removes tags of a key; those it does not have are no error.
func (v *View) UntagResource(ctx context.Context, in *kms.UntagResourceInput) (*kms.UntagResourceOutput, error) {
	_, err := v.update(ctx, ask{
		action: "UntagResource", key: str(in.KeyId), context: policy.Context{"aws:TagKeys": in.TagKeys},
	}, func(t target) (apply, error) {
		return edit(func(k *Key) {
			k.Tags = slices.DeleteFunc(k.Tags, func(t Tag) bool { return slices.Contains(in.TagKeys, t.Key) })
		}), nil
	})
	if err != nil {
		return nil, err
	}
	return &kms.UntagResourceOutput{}, nil
}

// ListResourceTags lists the tags of a key.
func (v *View) ListResourceTags(ctx context.Context, in *kms.ListResourceTagsInput) (*kms.ListResourceTagsOutput, error) {
	t, err := v.open(ctx, ask{action: "ListResourceTags", key: str(in.KeyId)})
	if err != nil {
		return nil, err
	}
	p, err := newPage("tags "+t.ID, in.Limit, in.Marker, 50, 50)
	if err != nil {
		return nil, err
	}
	key := func(t Tag) string { return t.Key }
	tags := slices.SortedFunc(slices.Values(t.Tags), func(a, b Tag) int { return strings.Compare(a.Key, b.Key) })
	out := &kms.ListResourceTagsOutput{Tags: []types.Tag{}}
	tags, out.NextMarker = cut(p, from(p, tags, key), key)
	out.Truncated = out.NextMarker != nil
	for _, t := range tags {
		out.Tags = append(out.Tags, types.Tag{TagKey: new(t.Key), TagValue: new(t.Value)})
	}
	return out, nil
}
