package keys

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/cloud"
)

// Due is when the service has something to do with k by itself, or zero: at its
// deletion, when imported material expires, when it is to be rotated.
func (k *Key) Due() time.Time {
	due := earlier(k.Deletion, k.expires())
	if k.rotates() {
		due = earlier(due, k.Rotation.Next)
	}
	return due
}

// Sweep does what is due by now: it deletes the keys whose waiting period is over,
// with their material, aliases and grants; it destroys imported material that has
// expired; it rotates the keys whose period is over, once, however long ago that
// was. It returns how many keys it saw to. It is safe to repeat and to cut short,
// a key that cannot be seen to does not hold up the others, and what is over is
// unusable whether it was swept or not.
func (s *Service) Sweep(ctx context.Context, now time.Time) (int, error) {
	const page = 100
	seen := 0
	var errs []error
	for after, more := (Ref{}), true; more; {
		var due []Ref
		err := s.Store.View(ctx, func(tx Tx) (err error) {
			due, err = tx.Due(now, after, page)
			return err
		})
		if err != nil {
			return seen, errors.Join(append(errs, fmt.Errorf("list keys that are due: %w", err))...)
		}
		more = len(due) == page
		for _, r := range due {
			after = r
			if err := s.attend(ctx, r, now); err != nil {
				errs = append(errs, fmt.Errorf("see to key %s: %w", r.ARN(), err))
				continue
			}
			seen++
		}
	}
	return seen, errors.Join(errs...)
}

// attend does one thing after the other until nothing is due of the key r.
func (s *Service) attend(ctx context.Context, r Ref, now time.Time) error {
	for {
		var k Key
		err := s.Store.View(ctx, func(tx Tx) (err error) {
			k, err = tx.Key(r)
			return err
		})
		if isNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		do, err := s.chore(ctx, &k, now)
		if do == nil || err != nil {
			return err
		}
		err = s.write(ctx, func(tx *change) error {
			as, err := tx.current(target{loaded: &loaded{Key: k}, arn: k.ARN()})
			if err != nil {
				return err
			}
			return do(tx, &as)
		})
		if err != nil && !errors.Is(err, cloud.ErrConflict) {
			return err
		}
	}
}

// chore is the first thing that is due of k, or nil. It goes on record when
// nothing but the disk stands in its way.
func (s *Service) chore(ctx context.Context, k *Key, now time.Time) (apply, error) {
	due := func(at time.Time) bool { return !at.IsZero() && !now.Before(at) }
	switch {
	case due(k.Deletion):
		// First, so that the next try does it if this one is cut short. A store that
		// cannot do it does not keep the key: it may never be back.
		_ = s.dropFromStore(ctx, k)
		return s.destroy(now), nil
	case k.Manager == AWS && k.Rotation.Period == 0:
		return firstSchedule, nil
	case due(k.expires()):
		return s.expire(now), nil
	case k.rotates() && due(k.Rotation.Next):
		versions, err := s.newVersion(ctx, k)
		return func(tx *change, k *Key) error {
			return s.rotate(tx, *k, versions, types.RotationTypeAutomatic, now)
		}, err
	}
	return nil, nil
}

// destroy deletes a key whose waiting period is over, and tells its family.
func (s *Service) destroy(now time.Time) apply {
	return func(tx *change, k *Key) error {
		if err := s.unasked(now, k, "DeleteKey", "the waiting period of ScheduleKeyDeletion is over", map[string]string{"keyId": k.ID}); err != nil {
			return err
		}
		if err := tx.leave(*k, now); err != nil {
			return err
		}
		return tx.DeleteKey(k.Ref)
	}
}

// expire destroys the secrets of k that are over.
func (s *Service) expire(now time.Time) apply {
	return func(tx *change, k *Key) error {
		for _, m := range k.Materials {
			if !m.expired(now) {
				continue
			}
			err := s.unasked(now, k, "DeleteImportedKeyMaterial", "the imported key material has expired", map[string]string{
				"keyId": k.ID, "keyMaterialId": m.ID,
			})
			if err != nil {
				return err
			}
			k.forget(m.ID)
		}
		k.settle(now)
		return tx.PutKey(*k)
	}
}

// firstSchedule gives a key that AWS manages its yearly rotation.
func firstSchedule(tx *change, k *Key) error {
	k.Rotation = every(defaultPeriod, k.Created)
	return tx.PutKey(*k)
}
