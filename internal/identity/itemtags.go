package identity

import (
	"context"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// item is the caller's item with an id, if the caller may do action to arn. The
// error is missing where there is none.
func (r *request) item(action string, k ItemKind, id, arn string, missing error, add more) (Item, error) {
	i, err := r.Item(r.caller.Account, k, id)
	gone := errors.Is(err, cloud.ErrNotFound)
	if err != nil && !gone {
		return Item{}, err
	}
	on := resource{arn: arn, context: policy.Context{}}
	if !gone {
		has, err := body[struct{ Tags []Tag }](i)
		if err != nil {
			return Item{}, err
		}
		on.context = tagged(has.Tags)
	}
	if named, err := cloud.ParseARN(arn); err == nil {
		on.owner = named.Account
	}
	if add != nil {
		on.context = add(on.context)
	}
	if err := r.authorize(action, on); err != nil {
		return Item{}, err
	}
	if gone {
		return Item{}, missing
	}
	return i, nil
}

// retag keeps the item with the tags that change makes of those it has.
func (r *request) retag(i Item, change func([]Tag) ([]Tag, error)) error {
	has, err := body[struct{ Tags []Tag }](i)
	if err != nil {
		return err
	}
	tags, err := change(has.Tags)
	if err != nil {
		return err
	}
	return amend(r, i, "Tags", tags)
}

// A finder finds an item that the caller may do something to.
type finder func(*request, more) (Item, error)

// tagItem adds tags to an item.
func (v *View) tagItem(ctx context.Context, in []types.Tag, find finder) error {
	tags, err := newTags(in)
	if err != nil {
		return err
	}
	return v.change(ctx, func(r *request) error {
		i, err := find(r, func(c policy.Context) policy.Context { return asked(c, tags) })
		if err != nil {
			return err
		}
		return r.retag(i, func(old []Tag) ([]Tag, error) { return merge(old, tags) })
	})
}

// untagItem removes tags from an item.
func (v *View) untagItem(ctx context.Context, keys []string, find finder) error {
	return v.change(ctx, func(r *request) error {
		i, err := find(r, func(c policy.Context) policy.Context { return askedKeys(c, keys) })
		if err != nil {
			return err
		}
		return r.retag(i, func(old []Tag) ([]Tag, error) { return without(old, keys), nil })
	})
}

// tagsOfItem is a page of an item's tags.
func (v *View) tagsOfItem(ctx context.Context, marker *string, items *int32, find finder) (tags []types.Tag, next *string, err error) {
	p, err := newPage(marker, items)
	if err != nil {
		return nil, nil, err
	}
	err = v.read(ctx, func(r *request) error {
		i, err := find(r, nil)
		if err != nil {
			return err
		}
		has, err := body[struct{ Tags []Tag }](i)
		var some []Tag
		some, next = cut(p, has.Tags, func(t Tag) string { return strings.ToLower(t.Key) })
		tags = append([]types.Tag{}, awsTags(some)...)
		return err
	})
	return tags, next, err
}

// deleteItem removes an item.
func (v *View) deleteItem(ctx context.Context, find finder) error {
	return v.change(ctx, func(r *request) error {
		i, err := find(r, nil)
		if err != nil {
			return err
		}
		return r.DeleteItem(i.Account, i.Kind, i.ID)
	})
}
