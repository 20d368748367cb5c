package store_test

import (
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	"borealis/internal/cloud"
	"borealis/internal/store"
)

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a?b #c.db") // the path is not a URL
	db, err := store.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Meta(t.Context(), "x"); !errors.Is(err, cloud.ErrNotFound) {
		t.Errorf("Meta of nothing: %v, want ErrNotFound", err)
	}
	if err := errors.Join(db.SetMeta(t.Context(), "x", "1"), db.SetMeta(t.Context(), "x", "2"), db.Close()); err != nil {
		t.Fatal(err)
	}
	if db, err = store.Open(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if v, err := db.Meta(t.Context(), "x"); v != "2" || err != nil {
		t.Errorf("Meta after reopening: %q, %v", v, err)
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db, err := store.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	raw, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`); err != nil {
		t.Fatal(err)
	}
	raw.Close()
	if _, err := store.Open(t.Context(), path); !errors.Is(err, store.ErrNewer) {
		t.Errorf("Open of a newer schema: %v, want ErrNewer", err)
	}
}
