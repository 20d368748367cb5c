package postgres_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"borealis/internal/postgres"
	"borealis/internal/postgres/enginetest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimDir); dir != "" {
		victim(dir)
	}
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

// eventually waits for something that another process does.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func start(t testing.TB, e *postgres.Engines, id string) postgres.Endpoint {
	t.Helper()
	return must[postgres.Endpoint](t)(e.Start(t.Context(), id, postgres.StartSpec{}))
}

func verifier(t testing.TB, password string) string {
	t.Helper()
	return must[string](t)(postgres.ScramVerifier(password))
}

// create makes and starts engine id with master user ann and database app.
func create(t testing.TB, e *postgres.Engines, id string) postgres.Endpoint {
	t.Helper()
	ok(t, e.Create(t.Context(), id, enginetest.Version(t, e).Full))
	at := start(t, e, id)
	ok(t, e.SetMaster(t.Context(), id, postgres.Master{User: "ann", Verifier: verifier(t, password), Database: "app"}))
	return at
}

// dial connects as a customer does: over TCP, with TLS verified, and a password.
func dial(ctx context.Context, e *postgres.Engines, at postgres.Endpoint, user, password, database string) (*pgx.Conn, error) {
	return pgx.Connect(ctx, fmt.Sprintf("host=%s port=%d user='%s' password='%s' dbname='%s' sslmode=verify-full sslrootcert=%s connect_timeout=10",
		at.Host, at.Port, user, password, database, e.CAFile()))
}

// as is dial for those who must get in, until the end of t.
func as(t testing.TB, e *postgres.Engines, at postgres.Endpoint, user, password, database string) *pgx.Conn {
	t.Helper()
	c := must[*pgx.Conn](t)(dial(t.Context(), e, at, user, password, database))
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

func ann(t testing.TB, e *postgres.Engines, at postgres.Endpoint) *pgx.Conn {
	t.Helper()
	return as(t, e, at, "ann", password, "app")
}

func run(t testing.TB, c *pgx.Conn, sql ...string) {
	t.Helper()
	for _, s := range sql {
		if _, err := c.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
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

// dirOf is the directory of engine id, and root of all engines.
func dirOf(e *postgres.Engines, id string) string { return filepath.Join(root(e), "engines", id) }
func root(e *postgres.Engines) string             { return filepath.Dir(filepath.Dir(e.CAFile())) }

func names(t testing.TB, dir string) []string {
	t.Helper()
	var all []string
	for _, x := range must[[]os.DirEntry](t)(os.ReadDir(dir)) {
		all = append(all, x.Name())
	}
	return all
}
