package identity

import (
	"context"
	"encoding/json"

	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"borealis/internal/cloud"
)

// A kept is a kind of credential that users have some of, each with an id and a
// status. What its items are has a member Active.
type kept struct {
	kind  ItemKind
	max   int    // of one user
	quota string // the limit's name
	// missing is what is said of an id that the user has nothing of.
	missing string
}

// ownItem is a user's credential with an id, if the caller may do action to the user.
func (r *request) ownItem(action string, k kept, name *string, id string) (owner, Item, error) {
	o, err := r.keyOwner(action, name)
	if err != nil {
		return o, Item{}, err
	}
	i, err := r.Item(r.caller.Account, k.kind, id)
	if err == nil && i.Owner != o.id {
		err = cloud.ErrNotFound
	}
	return o, i, orNoSuch(err, k.missing, id)
}

// addOwn keeps one more credential of a user, whose body is v.
func (r *request) addOwn(k kept, i Item, v any) error {
	has, err := r.ItemsOf(i.Owner, k.kind)
	if err != nil {
		return err
	}
	if len(has) >= k.max {
		return limitExceeded("Cannot exceed quota for %s: %d", k.quota, k.max)
	}
	return addItem(r, i, v)
}

// setStatus puts a user's credential out of use, or into use again.
func (v *View) setStatus(ctx context.Context, action string, k kept, name *string, id string, s types.StatusType) error {
	return v.change(ctx, func(r *request) error {
		_, i, err := r.ownItem(action, k, name, id)
		if err != nil {
			return err
		}
		return amend(r, i, "Active", s == types.StatusTypeActive)
	})
}

// amend keeps the item with one member of what it is changed.
func amend(tx Tx, i Item, member string, value any) error {
	all, err := body[map[string]json.RawMessage](i)
	if err != nil {
		return err
	}
	if all[member], err = json.Marshal(value); err != nil {
		return err
	}
	return putItem(tx, i, all)
}

// deleteOwn removes a user's credential.
func (v *View) deleteOwn(ctx context.Context, action string, k kept, name *string, id string) error {
	return v.change(ctx, func(r *request) error {
		_, i, err := r.ownItem(action, k, name, id)
		if err != nil {
			return err
		}
		return r.DeleteItem(i.Account, i.Kind, i.ID)
	})
}

// listOwn shows a page of a user's credentials, by id, to add.
func listOwn[T any](ctx context.Context, v *View, action string, k kept, name, marker *string, items *int32, add func(owner, string, T)) (next *string, err error) {
	p, err := newPage(marker, items)
	if err != nil {
		return nil, err
	}
	return next, v.read(ctx, func(r *request) error {
		o, err := r.keyOwner(action, name)
		if err != nil {
			return err
		}
		all, err := r.ItemsOf(o.id, k.kind)
		if err != nil {
			return err
		}
		some, more := cut(p, all, itemID)
		next = more
		return eachBody(some, func(i Item, v T) { add(o, i.ID, v) })
	})
}

// eachBody passes what items are to do.
func eachBody[T any](all []Item, do func(Item, T)) error {
	for _, i := range all {
		v, err := body[T](i)
		if err != nil {
			return err
		}
		do(i, v)
	}
	return nil
}

// sameOwn says whether a user has a credential like v already.
func sameOwn[T any](tx Tx, k kept, owner string, same func(T) bool) (found bool, err error) {
	all, err := tx.ItemsOf(owner, k.kind)
	if err == nil {
		err = eachBody(all, func(_ Item, v T) { found = found || same(v) })
	}
	return found, err
}

// newOwn is a new item of a user's, without a body.
func (r *request) newOwn(k kept, o owner, id string) Item {
	return Item{Account: r.caller.Account, Kind: k.kind, ID: id, Owner: o.id}
}
