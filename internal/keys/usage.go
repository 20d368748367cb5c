package keys

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// A Usage is a cryptographic operation that a key was used for, the last one. It
// is stored, so its fields change only with a migration.
type Usage struct {
	Ref       `json:"-"`
	Time      time.Time `json:"-"` // in milliseconds
	Operation string    // as types.KeyLastUsageTrackingOperation
	Event     string    // the id of its record in the audit log
	Request   string    // the id of the request, "" if no client asked for it
}

// usages are the last uses of keys that are not in the database yet.
type usages struct {
	mu   sync.Mutex
	last map[Ref]Usage
}

// used notes that t was used successfully. It waits for nothing but other
// callers' notes: WriteUsage brings them to the database.
func (v *View) used(t target, operation types.KeyLastUsageTrackingOperation) {
	u := Usage{Ref: t.Ref, Time: t.at.UTC().Truncate(time.Millisecond), Operation: string(operation), Event: t.event, Request: v.caller.RequestID}
	v.usages.mu.Lock()
	defer v.usages.mu.Unlock()
	if v.usages.last == nil {
		v.usages.last = make(map[Ref]Usage)
	}
	if before, ok := v.usages.last[t.Ref]; !ok || !u.Time.Before(before.Time) {
		v.usages.last[t.Ref] = u
	}
}

// noted is the last use of a key, if it is not in the database yet.
func (u *usages) noted(r Ref) (Usage, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	last, ok := u.last[r]
	return last, ok
}

// WriteUsage writes down when keys were last used, and returns how many it wrote.
// Until then a crash makes the service forget it, and nothing else. It is safe to
// repeat and to call while keys are used.
func (s *Service) WriteUsage(ctx context.Context) (int, error) {
	s.usages.mu.Lock()
	batch := make([]Usage, 0, len(s.usages.last))
	for _, u := range s.usages.last {
		batch = append(batch, u)
	}
	s.usages.mu.Unlock()
	if len(batch) == 0 {
		return 0, nil
	}
	err := s.Store.Update(ctx, func(tx Tx) error {
		for _, u := range batch {
			if err := tx.PutUsage(u); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("write last usage of keys: %w", err)
	}
	s.usages.mu.Lock()
	defer s.usages.mu.Unlock()
	for _, u := range batch {
		if s.usages.last[u.Ref] == u { // else it was used again
			delete(s.usages.last, u.Ref)
		}
	}
	return len(batch), nil
}

// GetKeyLastUsage answers with the last successful cryptographic operation of a
// key: which, when, and where it is on record.
func (v *View) GetKeyLastUsage(ctx context.Context, in *kms.GetKeyLastUsageInput) (*kms.GetKeyLastUsageOutput, error) {
	t, err := v.open(ctx, ask{action: "GetKeyLastUsage", key: str(in.KeyId)})
	if err != nil {
		return nil, err
	}
	last, err := v.lastUsage(ctx, t.Ref)
	if err != nil {
		return nil, err
	}
	out := &kms.GetKeyLastUsageOutput{
		KeyId: new(t.arn), KeyCreationDate: new(t.Created), TrackingStartDate: new(t.Created), KeyLastUsage: &types.KeyLastUsageData{},
	}
	if last.Operation != "" {
		*out.KeyLastUsage = types.KeyLastUsageData{
			Operation: types.KeyLastUsageTrackingOperation(last.Operation), Timestamp: &last.Time, CloudTrailEventId: &last.Event,
		}
		if last.Request != "" {
			out.KeyLastUsage.KmsRequestId = &last.Request
		}
	}
	return out, nil
}

// lastUsage is the last use of a key, or zero. Memory is asked first: what it
// forgets is in the database before.
func (v *View) lastUsage(ctx context.Context, r Ref) (Usage, error) {
	if u, ok := v.usages.noted(r); ok {
		return u, nil
	}
	var u Usage
	err := v.Store.View(ctx, func(tx Tx) (err error) {
		u, err = tx.Usage(r)
		return err
	})
	if isNotFound(err) {
		return Usage{}, nil
	}
	if err != nil {
		return Usage{}, fmt.Errorf("read last usage of %s: %w", r.ARN(), err)
	}
	return u, nil
}
