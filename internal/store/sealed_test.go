package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"borealis/internal/cloud"
	"borealis/internal/identity"
	"borealis/internal/keys"
	"borealis/internal/store"
)

// generation is a Reseal that makes "N name" of "anything name".
func generation(n int) store.Reseal {
	return func(_ string, sealed []byte) ([]byte, error) {
		_, name, ok := strings.Cut(string(sealed), " ")
		if !ok {
			return nil, errors.New("damaged")
		}
		return fmt.Appendf(nil, "%d %s", n, name), nil
	}
}

func sealedRows(t *testing.T, db *store.DB) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := db.EachSealed(t.Context(), func(r store.SealedRow) { all[r.Purpose+": "+r.Name] = string(r.Sealed) })
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func openDB(t *testing.T) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

var place = keys.Place{Account: "111122223333", Region: "eu-west-1"}

func putKey(t *testing.T, db *store.DB, id string, sealed ...string) {
	t.Helper()
	k := keys.Key{Ref: keys.Ref{Place: place, ID: id}}
	if id == "imported" {
		k.Naming = []byte("0 naming")
	}
	for i, s := range sealed {
		m := keys.Material{ID: fmt.Sprint("m", i), Created: time.Now()}
		if s != "" {
			m.Sealed = []byte(s)
		}
		k.Materials = append(k.Materials, m)
	}
	if err := db.Keys().Update(t.Context(), func(tx keys.Tx) error { return tx.PutKey(k) }); err != nil {
		t.Fatal(err)
	}
}

// Whatever is written goes through the Reseal of the moment, so that a message
// that was sealed before the root key changed is not kept as it was.
func TestWritesAreResealed(t *testing.T) {
	db := openDB(t)
	db.UseReseal(generation(1))
	putKey(t, db, "k", "0 first", "", "0 second")
	putKey(t, db, "imported")
	if err := db.PutSecret(t.Context(), "s", []byte("0 secret")); err != nil {
		t.Fatal(err)
	}
	access := identity.AccessKey{ID: "AKIA1", Owner: "o", Account: "111122223333", Active: true, Sealed: []byte("0 access")}
	update := func(fn func(identity.Tx) error) {
		t.Helper()
		if err := db.Identity().Update(t.Context(), fn); err != nil {
			t.Fatal(err)
		}
	}
	update(func(tx identity.Tx) error { return tx.AddKey(access) })
	want := map[string]string{
		"keys: kms_materials 111122223333 eu-west-1 k m0": "1 first", "keys: kms_materials 111122223333 eu-west-1 k m2": "1 second",
		"keys: kms_keys 111122223333 eu-west-1 imported": "1 naming", "server: secrets s": "1 secret", "identity: access_keys AKIA1": "1 access",
	}
	expect(t, sealedRows(t, db), want)
	db.UseReseal(generation(2))
	access.Sealed = []byte("0 access")
	update(func(tx identity.Tx) error { return tx.PutKey(access) })
	want["identity: access_keys AKIA1"] = "2 access"
	putKey(t, db, "imported")
	want["keys: kms_keys 111122223333 eu-west-1 imported"] = "2 naming"
	expect(t, sealedRows(t, db), want)

	// The rest of a row stays as it is.
	if err := db.ResealAll(t.Context(), nil, nil); err != nil {
		t.Fatal(err)
	}
	access.Sealed = []byte("2 access")
	update(func(tx identity.Tx) error {
		got, err := tx.Key("AKIA1")
		if fmt.Sprint(got) != fmt.Sprint(access) {
			t.Errorf("access key %+v, want %+v", got, access)
		}
		return err
	})
}

func expect(t *testing.T, got, want map[string]string) {
	t.Helper()
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s: %q, want %q", k, got[k], v)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d sealed rows, want %d: %v", len(got), len(want), got)
	}
}

// More rows than one transaction takes; interrupted at every one, then ended.
// Rows that are damaged stay, and are told of.
func TestResealAll(t *testing.T) {
	db := openDB(t)
	const n = 450
	for i := range n {
		s := fmt.Sprint("0 ", i)
		if i%100 == 50 {
			s = "damaged"
		}
		putKey(t, db, fmt.Sprintf("k%03d", i), s)
	}
	if err := db.PutSecret(t.Context(), "s", []byte("0 secret")); err != nil {
		t.Fatal(err)
	}
	stop := errors.New("stop")
	for until := 1; ; until++ {
		db.UseReseal(generation(until))
		damaged, steps := 0, 0
		err := db.ResealAll(t.Context(), func(r store.SealedRow, err error) {
			if damaged++; err == nil || string(r.Sealed) != "damaged" || !strings.Contains(r.Name, "50 m0") {
				t.Errorf("refused: %+v, %v", r, err)
			}
		}, func() error {
			if steps++; steps == until {
				return stop
			}
			return nil
		})
		fresh := 0
		for _, s := range sealedRows(t, db) {
			if strings.HasPrefix(s, fmt.Sprint(until, " ")) {
				fresh++
			}
		}
		if err == nil {
			if fresh != n+1-4 || damaged != 4 {
				t.Errorf("%d rows are sealed again, and %d are damaged", fresh, damaged)
			}
			if steps < 8 { // secrets, access keys, three each of keys and materials
				t.Errorf("%d transactions", steps)
			}
			return
		}
		if !errors.Is(err, stop) || fresh == 0 || until > 20 {
			t.Fatalf("interrupted at %d: %d rows, %v", until, fresh, err)
		}
	}
}

// Scrub gives up on readers, and writers are as patient afterwards as before.
func TestScrub(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db, err := store.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.SetMeta(t.Context(), "x", "something secret"); err != nil {
		t.Fatal(err)
	}
	err = db.Keys().View(t.Context(), func(tx keys.Tx) error {
		if _, err := tx.Key(keys.Ref{Place: place, ID: "x"}); !errors.Is(err, cloud.ErrNotFound) {
			t.Error(err)
		}
		if err := db.SetMeta(t.Context(), "x", ""); err != nil {
			t.Error(err)
		}
		if done, err := db.Scrub(t.Context()); done || err != nil {
			t.Errorf("while somebody reads: %v, %v", done, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if done, err := db.Scrub(t.Context()); !done || err != nil {
		t.Errorf("while nobody reads: %v, %v", done, err)
	}
	for _, name := range []string{path, path + "-wal"} {
		if text := read(t, name); bytes.Contains(text, []byte("something secret")) {
			t.Errorf("%s still has it", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := db.Scrub(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := db.SetMeta(t.Context(), "y", "1"); err != nil {
		t.Error(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
