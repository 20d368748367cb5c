package postgres_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"borealis/internal/postgres"
	"borealis/internal/postgres/enginetest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(running{m})
}

// running is the tests, with what enginetest does around them.
type running struct{ m *testing.M }

func (r running) Run() int { return enginetest.Main(r.m) }

const password = "correct horse" // of ann, the master user in tests

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// create makes and starts engine id with master user ann and database app.
func create(t testing.TB, e *postgres.Engines, id string) postgres.Endpoint {
	t.Helper()
	ok(t, e.Create(t.Context(), id, ""))
	at := must[postgres.Endpoint](t)(e.Start(t.Context(), id, postgres.StartSpec{}))
	v := must[string](t)(postgres.ScramVerifier(password))
	ok(t, e.SetMaster(t.Context(), id, postgres.Master{User: "ann", Verifier: v, Database: "app"}))
	return at
}

// dial connects as a customer does: over TCP, with TLS verified, and a password.
func dial(ctx context.Context, e *postgres.Engines, at postgres.Endpoint, user, password, database string) (*pgx.Conn, error) {
	return pgx.Connect(ctx, fmt.Sprintf("host=%s port=%d user='%s' password='%s' dbname='%s' sslmode=verify-full sslrootcert=%s connect_timeout=10",
		at.Host, at.Port, user, password, database, e.CAFile()))
}

func ann(t testing.TB, e *postgres.Engines, at postgres.Endpoint) *pgx.Conn {
	t.Helper()
	c := must[*pgx.Conn](t)(dial(t.Context(), e, at, "ann", password, "app"))
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

func exec1(t testing.TB, c *pgx.Conn, sql string) {
	t.Helper()
	if _, err := c.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func query[T any](t testing.TB, c *pgx.Conn, sql string) T {
	t.Helper()
	var v T
	if err := c.QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func listens(at postgres.Endpoint) bool {
	c, err := net.DialTimeout("tcp", net.JoinHostPort(at.Host, strconv.Itoa(at.Port)), time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

func TestStory(t *testing.T) {
	e := enginetest.New(t)
	at := create(t, e, "a")
	c := ann(t, e, at)
	if !query[bool](t, c, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") {
		t.Error("the connection is not encrypted")
	}
	exec1(t, c, "CREATE TABLE t AS SELECT generate_series(1, 1000) AS n")
	ok(t, e.Stop(t.Context(), "a"))
	if s := e.Status("a").State; s != postgres.Stopped || listens(at) {
		t.Errorf("after Stop: %s, listens %v", s, listens(at))
	}
	again := must[postgres.Endpoint](t)(e.Start(t.Context(), "a", postgres.StartSpec{}))
	if again != at {
		t.Errorf("started again at %v, not at %v", again, at)
	}
	if n := query[int](t, ann(t, e, again), "SELECT count(*)::int FROM t"); n != 1000 {
		t.Errorf("%d rows", n)
	}
	out, _ := exec.Command("ps", "-eo", "pid,rss,pss,args").Output()
	for l := range strings.Lines(string(out)) {
		if strings.Contains(l, "postgres") {
			t.Log(l)
		}
	}
	ok(t, e.Remove(t.Context(), "a"))
	if _, err := os.Stat(filepath.Join(filepath.Dir(e.CAFile()), "../engines/a")); err == nil {
		t.Error("files are left")
	}
}
