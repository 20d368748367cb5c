package store

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"

	"borealis/internal/keys"
)

// A key as the first release kept it is one of today's keys.
func TestKeysOfTheFirstSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	old, err := sql.Open("sqlite", dsn(path, "immediate"))
	if err != nil {
		t.Fatal(err)
	}
	all, err := steps()
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, old, nil, goose.WithDisableGlobalRegistry(true), goose.WithGoMigrations(all...))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	_, err = old.ExecContext(t.Context(), `
		INSERT INTO kms_keys VALUES ('111122223333', 'eu-west-1', 'k', 3, NULL,
			'{"Created":"2026-11-23T10:00:00Z","State":"Enabled","Deletion":"0001-01-01T00:00:00Z","Window":0,"Manager":"CUSTOMER","Description":"d","Policy":"{}","Tags":null}');
		INSERT INTO kms_keys VALUES ('111122223333', 'eu-west-1', 'managed', 1, NULL,
			'{"Created":"2026-11-23T10:00:00Z","State":"Enabled","Deletion":"0001-01-01T00:00:00Z","Window":0,"Manager":"AWS","Description":"d","Policy":"{}","Tags":null}');
		INSERT INTO kms_materials VALUES ('managed', '111122223333', 'eu-west-1', 'managed', 0, 1000, x'03');
		INSERT INTO kms_materials VALUES ('first', '111122223333', 'eu-west-1', 'k', 0, 1000, x'01');
		INSERT INTO kms_materials VALUES ('last', '111122223333', 'eu-west-1', 'k', 1, 2000, x'02');`)
	if err != nil {
		t.Fatal(err)
	}
	old.Close()

	db, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var k keys.Key
	var due []keys.Ref
	ref := keys.Ref{Place: keys.Place{Account: "111122223333", Region: "eu-west-1"}, ID: "k"}
	err = db.Keys().View(t.Context(), func(tx keys.Tx) (err error) {
		if k, err = tx.Key(ref); err != nil {
			return err
		}
		due, err = tx.Due(time.UnixMilli(1), keys.Ref{}, 10)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := keys.Key{
		Ref: ref, Version: 3, Created: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC), State: keys.Enabled,
		Manager: keys.Customer, Description: "d", Policy: "{}",
		Spec: "SYMMETRIC_DEFAULT", Usage: "ENCRYPT_DECRYPT", Origin: "AWS_KMS", Current: "last",
		Materials: []keys.Material{
			{ID: "first", Created: fromMillis(1000), Sealed: []byte{1}},
			{ID: "last", Created: fromMillis(2000), Sealed: []byte{2}},
		},
	}
	if d := cmp.Diff(want, k); d != "" {
		t.Error(d)
	}
	if len(due) != 1 || due[0].ID != "managed" {
		t.Errorf("due for their first schedule: %v", due)
	}
}
