package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"borealis/internal/cloud"
	"borealis/internal/postgres"
	"borealis/internal/postgres/enginetest"
)

// A shelf keeps a backup in memory, as a store of snapshots would.
type shelf struct {
	files map[string][]byte
	calls int
	// meanwhile runs before the files of each call are read.
	meanwhile func()
}

func (s *shelf) store(_ context.Context, files []postgres.File) error {
	if s.files == nil {
		s.files = map[string][]byte{}
	}
	s.calls++
	if s.meanwhile != nil {
		s.meanwhile()
	}
	for _, f := range files {
		if _, twice := s.files[f.Name]; twice {
			return fmt.Errorf("%s is stored twice", f.Name)
		}
		data := f.Data
		if data == nil {
			b, err := os.ReadFile(f.Path)
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			data = b
		}
		s.files[f.Name] = data
	}
	return nil
}

// restore makes engine id of what is on the shelf.
func (s *shelf) restore(t testing.TB, e *postgres.Engines, id string, f postgres.Facts) {
	t.Helper()
	dir := must[string](t)(e.RestoreDir(t.Context(), id))
	for name, data := range s.files {
		at := filepath.Join(dir, filepath.FromSlash(name))
		ok(t, os.MkdirAll(filepath.Dir(at), 0o755))
		ok(t, os.WriteFile(at, data, 0o644))
	}
	ok(t, e.Adopt(t.Context(), id, f))
}

// checked runs PostgreSQL's own checkers over engine id, which runs, and leaves
// it stopped.
func checked(t testing.TB, e *postgres.Engines, id string) {
	t.Helper()
	bin := enginetest.Version(t, e).Bin
	at := e.Status(id).Endpoint
	amcheck := exec.Command(filepath.Join(bin, "pg_amcheck"), "--all", "--install-missing", "--heapallindexed",
		"--username", postgres.Superuser, "--host", filepath.Join(dirOf(e, id), "run"), "--port", fmt.Sprint(at.Port))
	if out, err := amcheck.CombinedOutput(); err != nil {
		t.Errorf("pg_amcheck: %v\n%s", err, out)
	}
	ok(t, e.Stop(t.Context(), id))
	sums := exec.Command(filepath.Join(bin, "pg_checksums"), "--check", "-D", filepath.Join(dirOf(e, id), "data"))
	if out, err := sums.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("Bad checksums:  0")) {
		t.Errorf("pg_checksums: %v\n%s", err, out)
	}
}

// slotsGone waits until no replication slot is left: the server drops one a
// moment after its connection.
func slotsGone(t testing.TB, c *pgx.Conn) {
	t.Helper()
	eventually(t, "end of the slot", func() bool { return query[int](t, c, "SELECT count(*)::int FROM pg_replication_slots") == 0 })
}

// Money moves between accounts, is logged, and tables come and go, while the
// backup is taken; whatever moment it shows, no money is lost.
func TestBackupUnderLoad(t *testing.T) {
	e := enginetest.New(t)
	at := create(t, e, "a")
	c := ann(t, e, at)
	run(t, c, "CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL)",
		"CREATE TABLE history (id bigserial PRIMARY KEY, amount int, filler text)",
		"CREATE UNLOGGED TABLE scratch AS SELECT generate_series(1, 1000) AS n",
		"INSERT INTO account SELECT n, 100 FROM generate_series(1, 5000) AS n")
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	for n := range 3 {
		conn := ann(t, e, at)
		load.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				from, to, amount := rand.IntN(5000)+1, rand.IntN(5000)+1, rand.IntN(50)
				_, err := conn.Exec(context.WithoutCancel(ctx), fmt.Sprintf(`
					UPDATE account SET balance = balance - %d WHERE id = %d;
					INSERT INTO history (amount, filler) VALUES (%[1]d, repeat('x', 500));
					UPDATE account SET balance = balance + %[1]d WHERE id = %d`, amount, min(from, to), max(from, to)))
				if err == nil && i%100 == 0 {
					_, err = conn.Exec(context.WithoutCancel(ctx), fmt.Sprintf(`DROP TABLE IF EXISTS t%d; CREATE TABLE t%[1]d AS SELECT * FROM account`, n))
				}
				if err != nil && !strings.Contains(err.Error(), "40P01") { // a deadlock is part of it
					t.Error(err)
					return
				}
			}
		})
	}
	moved := func() int { return query[int](t, c, "SELECT count(*)::int FROM history") }
	atStart := 0
	s := &shelf{meanwhile: func() {
		n := moved()
		atStart = max(atStart, n)
		eventually(t, "transfers", func() bool { return moved() > n+50 })
	}}
	facts := must[postgres.Facts](t)(e.Backup(t.Context(), "a", s.store))
	stop()
	load.Wait()
	if s.calls != 2 || s.files["backup_label"] == nil || s.files["global/pg_control"] == nil {
		t.Errorf("%d calls, %d files", s.calls, len(s.files))
	}
	slotsGone(t, c)

	s.restore(t, e, "b", facts)
	b := start(t, e, "b")
	r := ann(t, e, b)
	if sum := query[int](t, r, "SELECT sum(balance)::int FROM account"); sum != 5000*100 {
		t.Errorf("the balances sum up to %d", sum)
	}
	if n := query[int](t, r, "SELECT count(*)::int FROM history"); n < 50 || n > moved() {
		t.Errorf("%d transfers, of %d", n, moved())
	}
	run(t, r, "INSERT INTO history (amount) VALUES (1)")
	if n := query[int](t, r, "SELECT count(*)::int FROM scratch"); n != 0 {
		t.Errorf("an unlogged table has %d rows after recovery", n)
	}
	r.Close(t.Context())
	checked(t, e, "b")
	ann(t, e, start(t, e, "b")) // and once more
}

func TestBackupOfStopped(t *testing.T) {
	e := enginetest.New(t)
	ok(t, e.Create(t.Context(), "new", enginetest.Version(t, e).Full))
	create(t, e, "clean")
	run(t, ann(t, e, e.Status("clean").Endpoint), "CREATE TABLE t AS SELECT generate_series(1, 1000) AS n")
	ok(t, e.Stop(t.Context(), "clean"))
	for _, id := range []string{"new", "clean"} {
		var s shelf
		facts := must[postgres.Facts](t)(e.Backup(t.Context(), id, s.store))
		if e.Status(id).State != postgres.Stopped || s.files["backup_label"] != nil {
			t.Errorf("%s: a stopped engine's backup is not a plain one", id)
		}
		s.restore(t, e, id+"2", facts)
		at := start(t, e, id+"2")
		if id == "clean" {
			if n := query[int](t, ann(t, e, at), "SELECT count(*)::int FROM t"); n != 1000 {
				t.Errorf("%d rows", n)
			}
		}
		checked(t, e, id+"2")
	}
}

// A server that was cut short has to recover before its files make sense.
func TestBackupOfCrashed(t *testing.T) {
	e := enginetest.New(t)
	o := orphan(t, e)
	run(t, ann(t, e, e.Status("a").Endpoint), "CREATE TABLE t AS SELECT generate_series(1, 1000) AS n")
	ok(t, o.Process.Signal(syscall.SIGQUIT))
	o.Wait() // says that it ended in disorder
	var s shelf
	facts := must[postgres.Facts](t)(e.Backup(t.Context(), "a", s.store))
	if e.Status("a").State != postgres.Stopped {
		t.Error("it runs now")
	}
	s.restore(t, e, "b", facts)
	if n := query[int](t, ann(t, e, start(t, e, "b")), "SELECT count(*)::int FROM t"); n != 1000 {
		t.Errorf("%d rows", n)
	}
}

func TestFacts(t *testing.T) {
	e := enginetest.New(t)
	c := ann(t, e, create(t, e, "a"))
	var running, stopped shelf
	got := must[postgres.Facts](t)(e.Backup(t.Context(), "a", running.store))
	want := postgres.Facts{
		Version: query[string](t, c, "SELECT split_part(current_setting('server_version'), ' ', 1)"),
		Major:   query[int](t, c, "SELECT current_setting('server_version_num')::int / 10000"),
		System:  runtime.GOOS, Architecture: runtime.GOARCH, Libc: got.Libc,
		Locale: postgres.Locale{
			Encoding: query[string](t, c, "SHOW server_encoding"),
			Collate:  query[string](t, c, "SELECT datcollate FROM pg_database WHERE datname = 'template0'"),
			Ctype:    query[string](t, c, "SELECT datctype FROM pg_database WHERE datname = 'template0'"),
		},
		SystemID:       uint64(query[int64](t, c, "SELECT system_identifier FROM pg_control_system()")),
		PageSize:       query[int](t, c, "SELECT current_setting('block_size')::int"),
		WALSegmentSize: query[int](t, c, "SELECT setting::int FROM pg_settings WHERE name = 'wal_segment_size'"),
		Checksums:      query[string](t, c, "SHOW data_checksums") == "on",
	}
	if got != want || got.Libc == "" || !got.Checksums {
		t.Errorf("facts\n%+v, want\n%+v", got, want)
	}
	ok(t, e.Stop(t.Context(), "a"))
	if again := must[postgres.Facts](t)(e.Backup(t.Context(), "a", stopped.store)); again != want {
		t.Errorf("facts of the stopped engine\n%+v, want\n%+v", again, want)
	}
}

func TestBackupFailures(t *testing.T) {
	e := enginetest.New(t)
	if _, err := e.Backup(t.Context(), "a", nil); !errors.Is(err, cloud.ErrNotFound) {
		t.Errorf("Backup of nothing: %v", err)
	}
	c := ann(t, e, create(t, e, "a"))
	full := errors.New("the shelf is full")
	for failing := 1; failing <= 2; failing++ {
		calls := 0
		_, err := e.Backup(t.Context(), "a", func(context.Context, []postgres.File) error {
			if calls++; calls == failing {
				return full
			}
			return nil
		})
		if !errors.Is(err, full) {
			t.Errorf("Backup: %v, want the store's error", err)
		}
		slotsGone(t, c)
	}
	var s shelf // none of that stands in the way of the next one
	must[postgres.Facts](t)(e.Backup(t.Context(), "a", s.store))
}

func TestTablespacesAreRefused(t *testing.T) {
	e := enginetest.New(t)
	at := create(t, e, "a")
	space := enginetest.Dir(t)
	owner := must[os.FileInfo](t)(os.Stat(filepath.Join(dirOf(e, "a"), "data"))).Sys().(*syscall.Stat_t)
	ok(t, os.Chown(space, int(owner.Uid), int(owner.Gid)))
	psql := exec.Command(filepath.Join(enginetest.Version(t, e).Bin, "psql"), "-U", postgres.Superuser, "-h", filepath.Join(dirOf(e, "a"), "run"),
		"-p", fmt.Sprint(at.Port), "-c", "CREATE TABLESPACE attic LOCATION '"+space+"'")
	if out, err := psql.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, state := range []string{"running", "stopped"} {
		var s shelf
		_, err := e.Backup(t.Context(), "a", s.store)
		if _, is := errors.AsType[*postgres.TablespaceError](err); !is || s.calls > 0 {
			t.Errorf("%s: %v, after %d calls", state, err, s.calls)
		}
		ok(t, e.Stop(t.Context(), "a"))
	}
}

func TestRestoreBeginsAnew(t *testing.T) {
	e := enginetest.New(t)
	ok(t, e.Create(t.Context(), "a", enginetest.Version(t, e).Full))
	if _, err := e.RestoreDir(t.Context(), "a"); !errors.Is(err, cloud.ErrExists) {
		t.Errorf("RestoreDir of an engine: %v", err)
	}
	var s shelf
	facts := must[postgres.Facts](t)(e.Backup(t.Context(), "a", s.store))
	dir := must[string](t)(e.RestoreDir(t.Context(), "b"))
	ok(t, os.WriteFile(filepath.Join(dir, "half"), []byte("half"), 0o600))
	if _, err := e.Start(t.Context(), "b", postgres.StartSpec{}); !errors.Is(err, cloud.ErrNotFound) {
		t.Errorf("Start before Adopt: %v", err)
	}
	if again := must[string](t)(e.RestoreDir(t.Context(), "b")); again != dir || len(names(t, dir)) != 0 {
		t.Errorf("begun anew in %s with %v", again, names(t, dir))
	}
	s.restore(t, e, "b", facts)
	ok(t, e.Adopt(t.Context(), "b", facts))
	start(t, e, "b")
	if err := e.Adopt(t.Context(), "c", facts); !errors.Is(err, cloud.ErrNotFound) {
		t.Errorf("Adopt of nothing: %v", err)
	}
}

func TestIncompatible(t *testing.T) {
	e := enginetest.New(t)
	ok(t, e.Create(t.Context(), "a", enginetest.Version(t, e).Full))
	good := must[postgres.Facts](t)(e.Backup(t.Context(), "a", (&shelf{}).store))
	must[postgres.Version](t)(e.Compatible(t.Context(), good))
	for says, change := range map[string]func(*postgres.Facts){
		"written on mips":                         func(f *postgres.Facts) { f.Architecture = "mips" },
		"PostgreSQL 9.6.1 is not installed":       func(f *postgres.Facts) { f.Version, f.Major = "9.6.1", 9 },
		"pages have 4096 bytes":                   func(f *postgres.Facts) { f.PageSize = 4096 },
		`locale "xx_YY.UTF-8" is not installed`:   func(f *postgres.Facts) { f.Locale.Collate = "xx_YY.UTF-8" },
		`locale "xx_YY@euro" is not installed on`: func(f *postgres.Facts) { f.Locale.Ctype = "xx_YY@euro" },
	} {
		f := good
		change(&f)
		if _, err := e.Compatible(t.Context(), f); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want …%s…", err, says)
		}
	}
	older := good
	older.Version = fmt.Sprintf("%d.0", good.Major)
	older.Libc = strings.Fields(good.Libc)[0] + " 1.0"
	if v := must[postgres.Version](t)(e.Compatible(t.Context(), older)); v.Major != good.Major {
		t.Errorf("%s runs on %s", older.Version, v.Full)
	}
}

// A server writes while its files are read: a file may be gone, or longer.
func TestBackupLeavesOut(t *testing.T) {
	e := enginetest.New(t)
	at := create(t, e, "a")
	c := ann(t, e, at)
	run(t, c, "CREATE TEMP TABLE mine AS SELECT generate_series(1, 100) AS n")
	var listed []string
	must[postgres.Facts](t)(e.Backup(t.Context(), "a", func(_ context.Context, files []postgres.File) error {
		for _, f := range files {
			listed = append(listed, f.Name)
			if f.Data == nil {
				in := must[*os.File](t)(os.Open(f.Path))
				_, err := io.Copy(io.Discard, in)
				ok(t, errors.Join(err, in.Close()))
			}
		}
		return nil
	}))
	temporary := query[string](t, c, "SELECT pg_relation_filepath('mine')")
	for _, no := range []string{temporary, "postmaster.pid", "postmaster.opts", "postgresql.conf", "postgresql.auto.conf", "pg_hba.conf"} {
		if slices.Contains(listed, no) {
			t.Errorf("%s is in the backup", no)
		}
	}
	for _, name := range listed {
		if strings.HasPrefix(name, "pg_replslot/") || strings.Contains(name, "pg_internal.init") || filepath.IsAbs(name) {
			t.Errorf("%s is in the backup", name)
		}
	}
}
