package clusters_test

import (
	"context"
	"sync"
	"testing"

	"borealis/internal/clusters"
)

// A lateStore answers, once, with an operation that has ended meanwhile.
type lateStore struct {
	clusters.Store
	once sync.Once
	op   clusters.Operation
}

func (s *lateStore) View(ctx context.Context, fn func(clusters.Tx) error) error {
	return s.Store.View(ctx, func(tx clusters.Tx) error { return fn(lateTx{tx, s}) })
}

type lateTx struct {
	clusters.Tx
	of *lateStore
}

func (t lateTx) Operations() ([]clusters.Operation, error) {
	ops, err := t.Tx.Operations()
	if len(ops) > 0 { // the worker is at work
		t.of.once.Do(func() { ops = append([]clusters.Operation{t.of.op}, ops...) })
	}
	return ops, err
}

// An operation that ends between the worker's look at the list and its taking
// the lease gives back the place that it was to have, and the worker goes on.
func TestOperationThatEndsBeforeItIsTaken(t *testing.T) {
	w := newWorld(t)
	w.stop()
	w.rds.Workers = 1
	w.rds.Store = &lateStore{Store: w.store, op: clusters.Operation{ID: "op-ended", Kind: clusters.CopySnapshot, Subject: "gone", Lane: "gone"}}
	w.run()
	ann := w.person(home, "ann", everything)
	ann.cluster("shop")
	ann.snapshot("nightly", "shop")
}
