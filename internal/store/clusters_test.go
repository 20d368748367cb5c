package store_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"borealis/internal/cloud"
	"borealis/internal/clusters"
	"borealis/internal/store"
)

// updateClusters runs fn in a transaction on the clusters' part of db.
func updateClusters(t *testing.T, db *store.DB, fn func(clusters.Tx) error) error {
	t.Helper()
	return db.Clusters().Update(t.Context(), fn)
}

func openClusters(t *testing.T) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func snapshotRow(id, account, name string, shared ...string) clusters.Snapshot {
	return clusters.Snapshot{
		Ident: clusters.Ident{ID: id, Account: cloud.AccountID(account), Region: "eu-west-1", Name: name},
		Tags:  []clusters.Tag{{Key: "k", Value: "v"}}, Created: time.Date(2026, 11, 23, 1, 2, 3, 4, time.UTC), Shared: shared,
	}
}

// A row comes back as it was put; its name is taken in its account and Region
// only, and free again when it is gone.
func TestClusterRows(t *testing.T) {
	db := openClusters(t)
	a, b := snapshotRow("1", "111122223333", "nightly"), snapshotRow("2", "444455556666", "nightly")
	err := updateClusters(t, db, func(tx clusters.Tx) error {
		if err := errors.Join(tx.Snapshots().Put(a), tx.Snapshots().Put(b)); err != nil {
			return err
		}
		if err := tx.Snapshots().Put(snapshotRow("3", "111122223333", "nightly")); !errors.Is(err, cloud.ErrExists) {
			t.Errorf("Put of a taken name: %v, want ErrExists", err)
		}
		a.Reason = "changed"
		return tx.Snapshots().Put(a)
	})
	if err != nil {
		t.Fatal(err)
	}
	err = updateClusters(t, db, func(tx clusters.Tx) error {
		got, err := tx.Snapshots().Named("111122223333", "eu-west-1", "nightly")
		if d := cmp.Diff(a, got); d != "" || err != nil {
			t.Errorf("Named: %v\n%s", err, d)
		}
		all, err := tx.Snapshots().All()
		if d := cmp.Diff([]clusters.Snapshot{a, b}, all); d != "" || err != nil {
			t.Errorf("All: %v\n%s", err, d)
		}
		mine, err := tx.Snapshots().In("444455556666", "eu-west-1")
		if d := cmp.Diff([]clusters.Snapshot{b}, mine); d != "" || err != nil {
			t.Errorf("In: %v\n%s", err, d)
		}
		if _, err := tx.Snapshots().Named("111122223333", "us-east-1", "nightly"); !errors.Is(err, cloud.ErrNotFound) {
			t.Errorf("Named in another Region: %v, want ErrNotFound", err)
		}
		if err := errors.Join(tx.Snapshots().Delete("1"), tx.Snapshots().Delete("1")); err != nil {
			t.Errorf("Delete twice: %v", err)
		}
		if _, err := tx.Snapshots().Get("1"); !errors.Is(err, cloud.ErrNotFound) {
			t.Errorf("Get of what is gone: %v, want ErrNotFound", err)
		}
		return tx.Snapshots().Put(snapshotRow("3", "111122223333", "nightly"))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Shares follow the snapshot's row, and go with it.
func TestSnapshotShares(t *testing.T) {
	db := openClusters(t)
	shared := func(tx clusters.Tx, who string) (ids []string) {
		all, err := tx.SharedWith(who, "eu-west-1")
		if err != nil {
			t.Error(err)
		}
		for _, s := range all {
			ids = append(ids, s.ID)
		}
		return ids
	}
	err := updateClusters(t, db, func(tx clusters.Tx) error {
		return errors.Join(
			tx.Snapshots().Put(snapshotRow("1", "111122223333", "b", "444455556666", "all")),
			tx.Snapshots().Put(snapshotRow("2", "111122223333", "a", "444455556666")),
		)
	})
	if err != nil {
		t.Fatal(err)
	}
	err = updateClusters(t, db, func(tx clusters.Tx) error {
		if d := cmp.Diff([]string{"2", "1"}, shared(tx, "444455556666")); d != "" {
			t.Errorf("shared: %s", d)
		}
		if err := errors.Join(tx.Snapshots().Put(snapshotRow("1", "111122223333", "b", "all")), tx.Snapshots().Delete("2")); err != nil {
			return err
		}
		if got := shared(tx, "444455556666"); got != nil {
			t.Errorf("shared after all: %v", got)
		}
		if d := cmp.Diff([]string{"1"}, shared(tx, "all")); d != "" {
			t.Errorf("public: %s", d)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Operations keep the order in which they were first put; of two data keys with
// one id the first stays; and what a failed transaction wrote is not there.
func TestOperationsAndDataKeys(t *testing.T) {
	db := openClusters(t)
	id := clusters.DataKeyID{Account: "111122223333", Lineage: "cluster-A", KeyARN: "arn"}
	failed := errors.New("changed my mind")
	if err := updateClusters(t, db, func(tx clusters.Tx) error {
		return errors.Join(tx.PutOperation(clusters.Operation{ID: "never"}), failed)
	}); !errors.Is(err, failed) {
		t.Errorf("Update: %v", err)
	}
	err := updateClusters(t, db, func(tx clusters.Tx) error {
		return errors.Join(
			tx.PutOperation(clusters.Operation{ID: "b"}), tx.PutOperation(clusters.Operation{ID: "a"}),
			tx.PutOperation(clusters.Operation{ID: "b", Kind: clusters.CopySnapshot, From: &clusters.Source{VolumeID: "v"}}),
			tx.AddDataKey(clusters.DataKey{DataKeyID: id, Wrapped: []byte("first")}),
			tx.AddDataKey(clusters.DataKey{DataKeyID: id, Wrapped: []byte("second")}),
		)
	})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Clusters().View(t.Context(), func(tx clusters.Tx) error {
		got, err := tx.Operations()
		want := []clusters.Operation{{ID: "b", Kind: clusters.CopySnapshot, From: &clusters.Source{VolumeID: "v"}}, {ID: "a"}}
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("Operations: %v\n%s", err, d)
		}
		if _, err := tx.Operation("never"); !errors.Is(err, cloud.ErrNotFound) {
			t.Errorf("Operation: %v, want ErrNotFound", err)
		}
		k, err := tx.DataKey(id)
		if string(k.Wrapped) != "first" || err != nil {
			t.Errorf("DataKey: %q, %v", k.Wrapped, err)
		}
		return tx.PutOperation(clusters.Operation{ID: "c"})
	})
	if err == nil {
		t.Error("a View wrote")
	}
	if err := updateClusters(t, db, func(tx clusters.Tx) error {
		return errors.Join(tx.DeleteDataKey(id), tx.DeleteOperation("a"), tx.DeleteOperation("a"))
	}); err != nil {
		t.Fatal(err)
	}
}
