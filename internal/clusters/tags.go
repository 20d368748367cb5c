package clusters

import (
	"context"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"

	"borealis/internal/cloud"
)

// parseTags checks tags that a request gives.
func parseTags(in []types.Tag) ([]Tag, error) {
	var tags []Tag
	for _, t := range in {
		k, val := value(t.Key), value(t.Value)
		switch {
		case k == "" || utf8.RuneCountInString(k) > 128:
			return nil, invalidValue("Tag keys must be between 1 and 128 characters in length.")
		case utf8.RuneCountInString(val) > 256:
			return nil, invalidValue("Tag values must not be longer than 256 characters.")
		case reservedTag(k):
			return nil, invalidValue("Tag keys cannot start with the reserved prefixes 'aws:' and 'rds:': %s", k)
		case slices.ContainsFunc(tags, func(have Tag) bool { return have.Key == k }):
			return nil, invalidValue("Duplicate tag keys found: %s", k)
		}
		tags = append(tags, Tag{k, val})
	}
	if len(tags) > maxTags {
		return nil, tooManyTags()
	}
	return tags, nil
}

func reservedTag(key string) bool {
	key = strings.ToLower(key)
	return strings.HasPrefix(key, "aws:") || strings.HasPrefix(key, "rds:")
}

// contentRoot is the key of the tag that this server itself puts on snapshots:
// the hash of what they hold. Nobody else can, for the prefix is reserved, on AWS
// as it is here.
const contentRoot = "rds:borealis-content-root"

// shownTags are the tags that the owner of s sees: its own, and the content root.
func (s Snapshot) shownTags() []Tag {
	if s.Volume.Content == "" {
		return s.Tags
	}
	return append(slices.Clone(s.Tags), Tag{contentRoot, s.Volume.Content})
}

func tooManyTags() error { return invalidValue("A resource cannot have more than %d tags.", maxTags) }

// AddTagsToResource puts tags on a cluster, an instance or a cluster snapshot.
func (v *View) AddTagsToResource(ctx context.Context, in *rds.AddTagsToResourceInput) (*rds.AddTagsToResourceOutput, error) {
	more, err := parseTags(in.Tags)
	if err != nil {
		return nil, err
	}
	err = v.Store.Update(ctx, func(tx Tx) error {
		_, err := v.retag(ctx, tx, in.ResourceName, request{action: "rds:AddTagsToResource", tags: more}, func(have []Tag) []Tag {
			kept := keepIf(have, func(t Tag) bool {
				return !slices.ContainsFunc(more, func(m Tag) bool { return m.Key == t.Key })
			})
			return append(kept, more...)
		})
		return err
	})
	return &rds.AddTagsToResourceOutput{}, err
}

// RemoveTagsFromResource takes tags off. Those that are not there are no error.
func (v *View) RemoveTagsFromResource(ctx context.Context, in *rds.RemoveTagsFromResourceInput) (*rds.RemoveTagsFromResourceOutput, error) {
	err := v.Store.Update(ctx, func(tx Tx) error {
		_, err := v.retag(ctx, tx, in.ResourceName, request{action: "rds:RemoveTagsFromResource", keys: in.TagKeys}, func(have []Tag) []Tag {
			return keepIf(have, func(t Tag) bool { return !slices.Contains(in.TagKeys, t.Key) })
		})
		return err
	})
	return &rds.RemoveTagsFromResourceOutput{}, err
}

// ListTagsForResource lists the tags of one of the caller's resources.
func (v *View) ListTagsForResource(ctx context.Context, in *rds.ListTagsForResourceInput) (*rds.ListTagsForResourceOutput, error) {
	out := &rds.ListTagsForResourceOutput{}
	err := v.Store.View(ctx, func(tx Tx) error {
		tags, err := v.retag(ctx, tx, in.ResourceName, request{action: "rds:ListTagsForResource"}, nil)
		out.TagList = shapeTags(tags)
		return err
	})
	return out, err
}

// retag authorizes r on the resource that name, an ARN, names, and changes its
// tags if change is not nil. It returns the tags as they then are.
func (v *View) retag(ctx context.Context, tx Tx, name *string, r request, change func([]Tag) []Tag) ([]Tag, error) {
	arn, err := cloud.ParseARN(value(name))
	if err != nil || arn.Partition != cloud.Partition || arn.Service != "rds" {
		return nil, invalidValue("Invalid resource name: %s", value(name))
	}
	switch kind, id, _ := cutResource(arn); kind {
	case clusterType:
		return retagRow(ctx, v, tx.Clusters(), arn, r, noCluster(id), change, func(c *Cluster) *[]Tag { return &c.Tags })
	case instanceType:
		return retagRow(ctx, v, tx.Instances(), arn, r, noInstance(id), change, func(i *Instance) *[]Tag { return &i.Tags })
	case snapshotType:
		var of *Snapshot
		_, err := retagRow(ctx, v, tx.Snapshots(), arn, r, noSnapshot(id), change, func(s *Snapshot) *[]Tag { of = s; return &s.Tags })
		if err != nil {
			return nil, err
		}
		return of.shownTags(), nil
	}
	return nil, invalidValue("Invalid resource name: %s", value(name))
}

func retagRow[R Row](ctx context.Context, v *View, t Table[R], arn cloud.ARN, r request, none error, change func([]Tag) []Tag, of func(*R) *[]Tag) ([]Tag, error) {
	row, found, err := findOwn(v, t, arn)
	if err != nil {
		return nil, err
	}
	if err := v.authorize(ctx, r, object{arn, *of(&row)}); err != nil {
		return nil, err
	}
	if !found {
		return nil, none
	}
	tags := of(&row)
	if change == nil {
		return *tags, nil
	}
	if *tags = change(*tags); len(*tags) > maxTags {
		return nil, tooManyTags()
	}
	return *tags, t.Put(row)
}

func shapeTags(tags []Tag) []types.Tag {
	out := make([]types.Tag, 0, len(tags))
	for _, t := range tags {
		out = append(out, types.Tag{Key: &t.Key, Value: &t.Value})
	}
	return out
}
