package clusters

import (
	"context"
	"errors"
	"fmt"
	"time"

	"borealis/internal/cloud"
)

// A job is how operations of one kind are carried out. Every function may be
// run again after it was interrupted at any point.
type job struct {
	work func(*Service, context.Context, *Operation) error
	// undo removes what an operation that failed or was cancelled has made.
	undo func(*Service, context.Context, *Operation) error
	// succeed and fail say in the rows what has become of the subject, in the
	// transaction that ends the operation. succeed returns cloud.ErrNotFound if
	// the subject was deleted meanwhile: then the operation fails after all.
	succeed, fail func(Tx, *Operation) error
	bulk          bool // it moves bytes, and watches its keys while it does
	insist        bool // it cannot fail; it is tried until it succeeds
	volatile      bool // what it does, running an engine, ends with the process
}

// errFinal says that a cluster was not deleted because its last snapshot failed.
var errFinal = errors.New("the final snapshot was not made")

// finish ends an operation, begun a moment ago or by a process that died: there
// is no second path for recovery to rot in. It returns an error if it could not,
// and the row stays for another try.
func (s *Service) finish(ctx context.Context, op Operation) error {
	j, known := jobs[op.Kind]
	if !known {
		return fmt.Errorf("operation %s: kind %q is not known", op.ID, op.Kind)
	}
	for {
		var err error
		switch op.Phase {
		case Working:
			err = s.work(ctx, j, &op)
		case Succeeded:
			err = s.conclude(ctx, &op, j.succeed)
			if err == nil {
				s.forget(op.Subject)
				return nil
			}
			if errors.Is(err, cloud.ErrNotFound) {
				err = s.become(ctx, &op, Failing, errCancelled)
			}
		case Failing:
			if j.undo != nil {
				err = j.undo(s, ctx, &op)
			}
			if err == nil {
				err = s.conclude(ctx, &op, j.fail)
			}
			if err == nil {
				s.forget(op.Subject)
				return nil
			}
		}
		if err != nil {
			return err
		}
	}
}

// work does what an operation is there for and writes down how that went. It
// returns an error if that is not decided yet.
func (s *Service) work(ctx context.Context, j job, op *Operation) error {
	if op.Attempts > maxAttempts && !j.insist {
		return s.become(ctx, op, Failing, fmt.Errorf("given up after %d attempts that were cut short", maxAttempts))
	}
	err := s.watched(ctx, j, op)
	switch {
	case err == nil:
		return s.become(ctx, op, Succeeded, nil)
	case ctx.Err() != nil:
		return err // the process ends; the next one goes on
	case j.insist && !errors.Is(err, errFinal):
		return err
	}
	return s.become(ctx, op, Failing, err)
}

// watched runs a job's work. While it runs, and once more at its end, it makes
// sure that the keys it uses may still be used.
func (s *Service) watched(ctx context.Context, j job, op *Operation) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	st := s.live()
	st.mu.Lock()
	st.cancels[op.Subject] = end
	st.mu.Unlock()
	defer func() {
		st.mu.Lock()
		delete(st.cancels, op.Subject)
		st.mu.Unlock()
	}()
	if !j.bulk {
		return because(ctx, j.work(s, ctx, op))
	}
	watching, over := context.WithCancel(ctx)
	stopped, as := make(chan struct{}), *op // what it is as the work begins: the work changes it
	go func() {
		defer close(stopped)
		s.watch(watching, as, end)
	}()
	err := j.work(s, ctx, op)
	over()
	<-stopped
	if err == nil {
		err = s.checkKeys(ctx, *op)
	}
	return because(ctx, err)
}

// because is err with the cause of its context's end, which is what it is about.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w (%w)", cause, err)
	}
	return err
}

// watch checks the keys of op and renews its lease until ctx ends, and ends the
// work if a key is lost.
func (s *Service) watch(ctx context.Context, op Operation, end context.CancelCauseFunc) {
	tick := time.NewTicker(s.keyCheck())
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := s.checkKeys(ctx, op); errors.Is(err, errKeyLost) {
			end(err)
			return
		}
		if err := s.renew(ctx, op); err != nil && ctx.Err() == nil {
			s.log().ErrorContext(ctx, "lease not renewed", "operation", op.ID, "err", err)
		}
	}
}

// checkKeys makes sure that the data keys that op uses can still be opened. One
// that does not exist yet is no matter.
func (s *Service) checkKeys(ctx context.Context, op Operation) error {
	check := func(id DataKeyID, g Grant) error {
		if id.KeyARN == "" {
			return nil
		}
		err := s.checkDataKey(ctx, id, g)
		if errors.Is(err, cloud.ErrNotFound) {
			return nil
		}
		return err
	}
	if op.From != nil {
		if err := check(op.From.Key, op.From.Grant); err != nil {
			return err
		}
	}
	if op.To == nil {
		return nil
	}
	return check(op.To.Key, op.To.Grant)
}

// renew writes a running operation's lease and progress.
func (s *Service) renew(ctx context.Context, op Operation) error {
	st := s.live()
	st.mu.Lock()
	p := st.moved[op.Subject]
	st.mu.Unlock()
	return s.Store.Update(ctx, func(tx Tx) error {
		kept, err := tx.Operation(op.ID)
		if err != nil {
			return err
		}
		kept.Lease, kept.Done, kept.Total = s.lease(), p.done, p.total
		return tx.PutOperation(kept)
	})
}

// become moves op to a phase, in its row first. reason is why, for Failing.
func (s *Service) become(ctx context.Context, op *Operation, to Phase, reason error) error {
	next := *op
	next.Phase = to
	if reason != nil {
		next.Reason, next.KeyLost = reason.Error(), errors.Is(reason, errKeyLost)
	}
	if err := s.Store.Update(ctx, func(tx Tx) error { return tx.PutOperation(next) }); err != nil {
		return fmt.Errorf("operation %s: note that it is %s: %w", op.ID, to, err)
	}
	*op = next
	if reason != nil && !errors.Is(reason, errCancelled) {
		s.log().ErrorContext(ctx, "operation failed", "operation", op.ID, "kind", op.Kind, "subject", op.Subject, "err", reason)
	}
	return nil
}

// conclude gives back the grants of op, and then says in one transaction what
// has become of its subject and that it is over.
func (s *Service) conclude(ctx context.Context, op *Operation, say func(Tx, *Operation) error) error {
	if err := s.retire(ctx, op.Grants); err != nil {
		return err
	}
	return s.Store.Update(ctx, func(tx Tx) error {
		if err := say(tx, op); err != nil {
			return err
		}
		if err := tx.DeleteOperation(op.ID); err != nil {
			return err
		}
		if op.To == nil {
			return nil
		}
		return sweepDataKey(tx, op.To.Key)
	})
}

// sweepDataKey deletes a data key that opens nothing any more.
func sweepDataKey(tx Tx, id DataKeyID) error {
	snapshots, err := tx.Snapshots().All()
	if err != nil {
		return err
	}
	for _, s := range snapshots {
		if s.dataKey() == id {
			return nil
		}
	}
	c, err := tx.Clusters().Get(id.Lineage)
	if err == nil && c.Account == id.Account && c.KeyARN == id.KeyARN {
		return nil
	}
	if err != nil && !errors.Is(err, cloud.ErrNotFound) {
		return err
	}
	ops, err := tx.Operations()
	if err != nil {
		return err
	}
	for _, op := range ops {
		if op.From != nil && op.From.Key == id || op.To != nil && op.To.Key == id {
			return nil
		}
	}
	return tx.DeleteDataKey(id)
}

func (s *Service) forget(subject string) {
	st := s.live()
	st.mu.Lock()
	defer st.mu.Unlock()
	delete(st.moved, subject)
}
