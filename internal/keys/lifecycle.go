package keys

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// An apply makes a change to k, the key as it is in the transaction.
type apply func(tx *change, k *Key) error

// edit is the apply that changes the key's row.
func edit(fn func(*Key)) apply {
	return func(tx *change, k *Key) error {
		fn(k)
		return tx.PutKey(*k)
	}
}

// update changes the key that a names. plan checks the request and says what
// to do; it runs outside the transaction. If the key changes between the
// decision and the transaction, all of it is done again, so that nothing is
// changed under a policy or in a state that no longer holds.
func (v *View) update(ctx context.Context, a ask, plan func(target) (apply, error)) (target, error) {
	for {
		t, err := v.open(ctx, a)
		if err != nil {
			return target{}, err
		}
		do, err := plan(t)
		if err != nil {
			return target{}, err
		}
		err = v.write(ctx, func(tx *change) error {
			k, err := tx.current(t)
			if err != nil {
				return err
			}
			return do(tx, &k)
		})
		if errors.Is(err, cloud.ErrConflict) {
			v.cache.forget(t.Ref)
			continue
		}
		return t, err
	}
}

// current is the key of t inside the transaction, or cloud.ErrConflict if it is
// not as t has it.
func (c *change) current(t target) (Key, error) {
	k, err := c.Key(t.Ref)
	if isNotFound(err) || err == nil && k.Version != t.Version {
		return Key{}, fmt.Errorf("key %s: %w", t.arn, cloud.ErrConflict)
	}
	return k, err
}

// EnableKey puts a key back into use.
func (v *View) EnableKey(ctx context.Context, in *kms.EnableKeyInput) (*kms.EnableKeyOutput, error) {
	_, err := v.update(ctx, ask{action: "EnableKey", key: str(in.KeyId)}, func(target) (apply, error) {
		return edit(func(k *Key) { k.State = Enabled }), nil
	})
	if err != nil {
		return nil, err
	}
	return &kms.EnableKeyOutput{}, nil
}

// DisableKey puts a key out of use until EnableKey.
func (v *View) DisableKey(ctx context.Context, in *kms.DisableKeyInput) (*kms.DisableKeyOutput, error) {
	_, err := v.update(ctx, ask{action: "DisableKey", key: str(in.KeyId)}, func(target) (apply, error) {
		return edit(func(k *Key) { k.State = Disabled }), nil
	})
	if err != nil {
		return nil, err
	}
	return &kms.DisableKeyOutput{}, nil
}

// UpdateKeyDescription replaces a key's description.
func (v *View) UpdateKeyDescription(ctx context.Context, in *kms.UpdateKeyDescriptionInput) (*kms.UpdateKeyDescriptionOutput, error) {
	_, err := v.update(ctx, ask{action: "UpdateKeyDescription", key: str(in.KeyId)}, func(target) (apply, error) {
		return edit(func(k *Key) { k.Description = str(in.Description) }), nil
	})
	if err != nil {
		return nil, err
	}
	return &kms.UpdateKeyDescriptionOutput{}, nil
}

// ScheduleKeyDeletion puts a key out of use and sets the day of its deletion,
// after which nothing brings back what it encrypted. For a primary key with
// replicas that day is set when the last of them is deleted.
func (v *View) ScheduleKeyDeletion(ctx context.Context, in *kms.ScheduleKeyDeletionInput) (*kms.ScheduleKeyDeletionOutput, error) {
	days := int32(30)
	if in.PendingWindowInDays != nil {
		days = *in.PendingWindowInDays
	}
	out := &kms.ScheduleKeyDeletionOutput{PendingWindowInDays: &days}
	t, err := v.update(ctx, ask{
		action: "ScheduleKeyDeletion", key: str(in.KeyId),
		context: policy.Context{"kms:ScheduleKeyDeletionPendingWindowInDays": []string{strconv.Itoa(int(days))}},
	}, func(t target) (apply, error) {
		if err := checkWindow(days); err != nil {
			return nil, err
		}
		if t.hasReplicas() {
			out.KeyState, out.DeletionDate = types.KeyStatePendingReplicaDeletion, nil
			return edit(func(k *Key) { k.State, k.Window = PendingReplicaDeletion, days }), nil
		}
		due := v.now().Add(time.Duration(days) * day)
		out.KeyState, out.DeletionDate = types.KeyStatePendingDeletion, &due
		return edit(func(k *Key) { k.State, k.Deletion, k.Window = PendingDeletion, due, days }), nil
	})
	if err != nil {
		return nil, err
	}
	out.KeyId = new(t.ARN())
	return out, nil
}

func checkWindow(days int32) error {
	const form = "1 validation error detected: Value '%d' at 'pendingWindowInDays' failed to satisfy constraint: Member must have value %s than or equal to %d"
	switch {
	case days < 7:
		return invalid(form, days, "greater", 7)
	case days > 30:
		return invalid(form, days, "less", 30)
	}
	return nil
}

// CancelKeyDeletion takes back ScheduleKeyDeletion; the key is left disabled, or
// without the material that it lacks.
func (v *View) CancelKeyDeletion(ctx context.Context, in *kms.CancelKeyDeletionInput) (*kms.CancelKeyDeletionOutput, error) {
	t, err := v.update(ctx, ask{action: "CancelKeyDeletion", key: str(in.KeyId)}, func(target) (apply, error) {
		return edit(func(k *Key) {
			k.State, k.Deletion, k.Window = Disabled, time.Time{}, 0
			k.settle(v.now())
		}), nil
	})
	if err != nil {
		return nil, err
	}
	return &kms.CancelKeyDeletionOutput{KeyId: new(t.ARN())}, nil
}
