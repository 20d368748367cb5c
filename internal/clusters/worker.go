package clusters

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"borealis/internal/cloud"
)

// state is what a service knows while its process lives and no longer.
type state struct {
	owner string        // of leases: this process
	woken chan struct{} // holds a token when there may be new operations

	mu        sync.Mutex
	cancels   map[string]context.CancelCauseFunc // of running operations, by subject
	moved     map[string]progress                // by subject
	returning map[string]bool                    // clusters whose engine is being brought back
}

type progress struct {
	done, total int64
	percent     int32 // the most that was ever said of it
}

func (s *Service) live() *state {
	s.once.Do(func() {
		s.state = &state{
			owner: newID("process-"), woken: make(chan struct{}, 1),
			cancels: map[string]context.CancelCauseFunc{}, moved: map[string]progress{},
			returning: map[string]bool{},
		}
	})
	return s.state
}

// returns reports whether the engine of a cluster, which ran when the process
// before this one ended, is not back yet.
func (st *state) returns(cluster string) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.returning[cluster]
}

// percent is how much of the work on subject is done: 100 only when it is over.
func (st *state) percent(subject string) int32 {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.moved[subject].percent
}

func (s *Service) log() *slog.Logger {
	if s.Log == nil {
		return slog.Default()
	}
	return s.Log
}

// wake lets the worker know that there may be new operations.
func (s *Service) wake() {
	select {
	case s.live().woken <- struct{}{}:
	default: // it knows already
	}
}

var errCancelled = errors.New("cancelled")

// cancel ends the running operation about subject, if there is one.
func (s *Service) cancel(subject string) {
	st := s.live()
	st.mu.Lock()
	defer st.mu.Unlock()
	if end := st.cancels[subject]; end != nil {
		end(errCancelled)
	}
}

const (
	maxAttempts = 5  // of an operation that takes its process with it
	quickJobs   = 16 // that move no bytes, at once
)

// A worker carries out operations, each in a goroutine.
type worker struct {
	*Service
	bulk  chan struct{} // a place for each job that moves bytes
	quick chan struct{} // and for each that does not
	wg    sync.WaitGroup

	mu     sync.Mutex
	active map[string]bool      // operations being carried out
	busy   map[string]bool      // lanes of clusters whose engine is being brought back
	later  map[string]time.Time // operations that did not end, and when to try again
}

// Run carries out operations until ctx ends, and returns when all work has
// stopped. It first takes over from the process before it: what that one left
// behind is swept, engines are brought back, and unfinished operations go on.
// One process at a time may Run on a store.
func (s *Service) Run(ctx context.Context) error {
	w := &worker{
		Service: s, bulk: make(chan struct{}, max(s.Workers, 1)), quick: make(chan struct{}, quickJobs),
		active: map[string]bool{}, busy: map[string]bool{}, later: map[string]time.Time{},
	}
	if s.Workers == 0 {
		w.bulk = make(chan struct{}, 4)
	}
	defer w.wg.Wait()
	back, err := w.takeOver(ctx)
	if err == nil {
		err = s.Reconcile(ctx)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return nil // told to stop before it began: the next Run takes over
	case err != nil:
		return fmt.Errorf("take over: %w", err)
	}
	w.bringAllBack(ctx, back)
	for {
		next, err := w.dispatch(ctx)
		if err != nil && ctx.Err() == nil {
			s.log().ErrorContext(ctx, "operations cannot be read; trying again", "err", err)
			next = time.Second
		}
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-s.live().woken:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// takeOver frees the leases of processes that are no more, and returns the
// clusters whose engines are to be brought back. They are busy from now on.
func (w *worker) takeOver(ctx context.Context) (back []Cluster, err error) {
	err = w.Store.Update(ctx, func(tx Tx) error {
		ops, err := tx.Operations()
		if err != nil {
			return err
		}
		for _, op := range ops {
			op.Lease = Lease{}
			if jobs[op.Kind].volatile && op.Phase == Succeeded {
				op.Phase = Working
			}
			w.report(op.Subject, op.Done, op.Total)
			if err := tx.PutOperation(op); err != nil {
				return err
			}
		}
		back, err = toBringBack(tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	st := w.live()
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, c := range back {
		w.busy[c.ID], st.returning[c.ID] = true, true
	}
	return back, nil
}

// bringAllBack brings back the engines of clusters, a few at once.
func (w *worker) bringAllBack(ctx context.Context, back []Cluster) {
	for _, c := range back {
		w.wg.Go(func() {
			w.quick <- struct{}{}
			defer func() { <-w.quick; w.free(c.ID) }()
			w.bringBack(ctx, c)
		})
	}
}

// free lets operations on a cluster begin whose engine is back.
func (w *worker) free(cluster string) {
	w.mu.Lock()
	delete(w.busy, cluster)
	w.mu.Unlock()
	st := w.live()
	st.mu.Lock()
	delete(st.returning, cluster)
	st.mu.Unlock()
	w.wake()
}

// idle is how long the worker sleeps if nothing wakes it.
const idle = time.Hour

// dispatch starts every operation that can start now, and says when to look
// again at the latest. An operation waits for those before it in its lane, and
// one that deletes a volume for those before it that read the volume.
func (w *worker) dispatch(ctx context.Context) (time.Duration, error) {
	var ops []Operation
	if err := w.Store.View(ctx, func(tx Tx) (err error) {
		ops, err = tx.Operations()
		return err
	}); err != nil {
		return idle, err
	}
	taken, next := map[string]bool{}, idle
	for _, op := range ops {
		blocked := taken[op.Lane]
		taken[op.Lane], taken[op.Reads] = true, true
		if blocked {
			continue
		}
		wait, ok := w.reserve(op)
		if !ok {
			next = min(next, wait)
			continue
		}
		if err := w.start(ctx, op); err != nil {
			return next, err
		}
	}
	return next, nil
}

// reserve takes a place for op, unless it is being carried out, its cluster is
// busy, its time has not come (it says how long that is) or all places are taken.
func (w *worker) reserve(op Operation) (wait time.Duration, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.active[op.ID] || w.busy[op.Lane] {
		return idle, false
	}
	if wait := time.Until(w.later[op.ID]); wait > 0 {
		return wait, false
	}
	select {
	case w.places(op) <- struct{}{}:
	default:
		return idle, false // whoever leaves a place wakes the worker
	}
	w.active[op.ID] = true
	return 0, true
}

func (w *worker) places(op Operation) chan struct{} {
	if jobs[op.Kind].bulk {
		return w.bulk
	}
	return w.quick
}

// start takes the lease of op and carries it out in a goroutine.
func (w *worker) start(ctx context.Context, reserved Operation) error {
	var op Operation
	err := w.Store.Update(ctx, func(tx Tx) (err error) {
		if op, err = tx.Operation(reserved.ID); err != nil {
			return err
		}
		op.Attempts++
		op.Lease = w.lease()
		return tx.PutOperation(op)
	})
	if err != nil {
		w.leave(reserved)
		if errors.Is(err, cloud.ErrNotFound) {
			return nil // it ended between two looks
		}
		return err
	}
	w.wg.Go(func() {
		defer w.wake()
		defer w.leave(op)
		err := w.finish(ctx, op)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			w.handBack(context.WithoutCancel(ctx), op.ID)
		default:
			wait := min(time.Minute, 100*time.Millisecond<<min(op.Attempts, 10))
			w.log().ErrorContext(ctx, "operation did not end; it will be tried again", "operation", op.ID, "kind", op.Kind, "subject", op.Subject, "in", wait, "err", err)
			w.mu.Lock()
			w.later[op.ID] = time.Now().Add(wait)
			w.mu.Unlock()
		}
	})
	return nil
}

// handBack leaves an operation to the next process. An attempt that was ended
// on purpose is not held against it.
func (w *worker) handBack(ctx context.Context, id string) {
	err := w.Store.Update(ctx, func(tx Tx) error {
		op, err := tx.Operation(id)
		if err != nil {
			return err
		}
		op.Attempts--
		op.Lease = Lease{}
		return tx.PutOperation(op)
	})
	if err != nil {
		w.log().ErrorContext(ctx, "operation not handed back", "operation", id, "err", err)
	}
}

func (w *worker) leave(op Operation) {
	<-w.places(op)
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.active, op.ID)
}

func (s *Service) lease() Lease {
	return Lease{Owner: s.live().owner, Until: s.Now().Add(10 * s.keyCheck())}
}

func (s *Service) keyCheck() time.Duration {
	if s.KeyCheck == 0 {
		return 3 * time.Second
	}
	return s.KeyCheck
}

// report notes how far the work on subject is. What it says in per cent never
// falls, although there may turn out to be more to do, and an operation that was
// cut short does some things again.
func (s *Service) report(subject string, done, total int64) {
	st := s.live()
	st.mu.Lock()
	defer st.mu.Unlock()
	p := progress{done, total, st.moved[subject].percent}
	if total > 0 {
		p.percent = max(p.percent, min(99, int32(float64(done)/float64(total)*100)))
	}
	st.moved[subject] = p
}
