package postgres_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"borealis/internal/postgres"
	"borealis/internal/postgres/enginetest"
)

// A server that ends while it recovers restored files for the first time, for
// whatever reason, takes up the recovery when it is started again.
func TestRecoveryIsResumed(t *testing.T) {
	e := enginetest.New(t)
	at := create(t, e, "a")
	run(t, ann(t, e, at), "CREATE TABLE t AS SELECT generate_series(1, 1000) AS n")
	var s shelf
	facts := must[postgres.Facts](t)(e.Backup(t.Context(), "a", s.store))
	s.restore(t, e, "b", facts)

	// Without the end of the backup in its WAL, the server gives up half-way.
	data := filepath.Join(dirOf(e, "b"), "data")
	segment, rest := walAfterCheckpoint(t, data)
	whole := must[[]byte](t)(os.ReadFile(segment))
	cut := append(bytes.Clone(whole[:rest]), make([]byte, len(whole)-rest)...)
	ok(t, os.WriteFile(segment, cut, 0o600))
	if _, err := e.Start(t.Context(), "b", postgres.StartSpec{}); err == nil || !strings.Contains(err.Error(), "WAL ends before end of online backup") {
		t.Fatalf("Start without the end of the backup: %v", err)
	}
	if _, err := os.Stat(filepath.Join(data, "backup_label")); !os.IsNotExist(err) {
		t.Fatalf("the server left the label where it was: %v", err)
	}
	ok(t, os.WriteFile(segment, whole, 0o600))
	if n := query[int](t, ann(t, e, start(t, e, "b")), "SELECT count(*)::int FROM t"); n != 1000 {
		t.Errorf("%d rows", n)
	}
	if _, err := os.Stat(filepath.Join(data, "backup_label.old")); !os.IsNotExist(err) {
		t.Errorf("the label is kept: %v", err)
	}
	checked(t, e, "b")
}

// walAfterCheckpoint is the WAL segment that recovery of data begins in, and the
// place in it that comes after the checkpoint's record.
func walAfterCheckpoint(t *testing.T, data string) (segment string, rest int) {
	t.Helper()
	label := must[[]byte](t)(os.ReadFile(filepath.Join(data, "backup_label")))
	m := regexp.MustCompile(`\(file ([0-9A-F]{24})\)\nCHECKPOINT LOCATION: [0-9A-F]+/([0-9A-F]+)`).FindSubmatch(label)
	if m == nil {
		t.Fatalf("backup label:\n%s", label)
	}
	var checkpoint int
	must[int](t)(fmt.Sscanf(string(m[2]), "%X", &checkpoint))
	const segmentSize, record = 16 << 20, 120 // bytes; a checkpoint's record is 114, and aligned
	return filepath.Join(data, "pg_wal", string(m[1])), checkpoint%segmentSize + record
}
