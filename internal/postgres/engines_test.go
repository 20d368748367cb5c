package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"borealis/internal/cloud"
	"borealis/internal/postgres"
	"borealis/internal/postgres/enginetest"
)

func TestStory(t *testing.T) {
	e := enginetest.New(t)
	at, other := create(t, e, "a"), create(t, e, "b")
	c := ann(t, e, at)
	if !query[bool](t, c, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") {
		t.Error("the connection is not encrypted")
	}
	run(t, c, "CREATE TABLE t AS SELECT generate_series(1, 1000) AS n")
	if query[bool](t, ann(t, e, other), "SELECT to_regclass('t') IS NOT NULL") {
		t.Error("one engine's table is in the other")
	}
	ok(t, e.Stop(t.Context(), "a"))
	if s := e.Status("a").State; s != postgres.Stopped || listens(at) || !listens(other) {
		t.Errorf("after Stop: %s, listens %v, the other %v", s, listens(at), listens(other))
	}
	ok(t, e.Stop(t.Context(), "a"))
	ok(t, e.Create(t.Context(), "a", enginetest.Version(t, e).Full))
	if again := start(t, e, "a"); again != at {
		t.Errorf("started again at %v, not at %v", again, at)
	}
	if n := query[int](t, ann(t, e, at), "SELECT count(*)::int FROM t"); n != 1000 {
		t.Errorf("%d rows", n)
	}
	if twice := start(t, e, "a"); twice != at {
		t.Errorf("started twice at %v, not at %v", twice, at)
	}
	ids := must[[]string](t)(e.IDs())
	if d := cmp.Diff([]string{"a", "b"}, ids); d != "" {
		t.Error(d)
	}
}

func TestEnginesHaveIdentities(t *testing.T) {
	e := enginetest.New(t)
	const id = "SELECT system_identifier::text FROM pg_control_system()"
	a, b := query[string](t, ann(t, e, create(t, e, "a")), id), query[string](t, ann(t, e, create(t, e, "b")), id)
	if a == b {
		t.Errorf("both engines are %s", a)
	}
}

func TestRemoveLeavesNothing(t *testing.T) {
	e := enginetest.New(t)
	at := create(t, e, "a")
	pid := e.Status("a").PID
	ok(t, e.Remove(t.Context(), "a"))
	if left := names(t, filepath.Join(root(e), "engines")); len(left) != 0 {
		t.Errorf("files are left: %v", left)
	}
	if listens(at) || alive(pid) {
		t.Errorf("listens %v, process alive %v", listens(at), alive(pid))
	}
	if s := e.Status("a"); s != (postgres.Status{State: postgres.Stopped}) {
		t.Errorf("status %+v", s)
	}
	ok(t, e.Remove(t.Context(), "a"))
	if _, err := e.Start(t.Context(), "a", postgres.StartSpec{}); !errors.Is(err, cloud.ErrNotFound) {
		t.Errorf("Start: %v, want ErrNotFound", err)
	}
}

func TestLongPath(t *testing.T) {
	deep := filepath.Join(enginetest.Dir(t), strings.Repeat("d", 100))
	ok(t, os.Mkdir(deep, 0o711))
	e := enginetest.In(t, postgres.Config{Dir: deep, Unsafe: true})
	short := enginetest.Dir(t)
	t.Setenv("TMPDIR", short)
	at := create(t, e, "a")
	ann(t, e, at)
	if len(names(t, short)) != 1 {
		t.Error("the socket is not in the directory for temporary files")
	}
	ok(t, e.Remove(t.Context(), "a"))
	if left := names(t, short); len(left) != 0 {
		t.Errorf("the directory of the socket is left: %v", left)
	}
}

func TestPorts(t *testing.T) {
	e := enginetest.New(t)
	l := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	taken := l.Addr().(*net.TCPAddr).Port
	ok(t, e.Create(t.Context(), "a", enginetest.Version(t, e).Full))
	_, err := e.Start(t.Context(), "a", postgres.StartSpec{Port: taken})
	if p, is := errors.AsType[*postgres.PortTakenError](err); !is || p.Port != taken {
		t.Errorf("Start on a taken port: %v, want PortTakenError", err)
	}
	if s := e.Status("a").State; s != postgres.Stopped {
		t.Errorf("then it is %s", s)
	}
	at := must[postgres.Endpoint](t)(e.Start(t.Context(), "a", postgres.StartSpec{Port: taken, Elsewhere: true}))
	if at.Port == taken || !listens(at) {
		t.Errorf("elsewhere: %v", at)
	}
	ok(t, e.Stop(t.Context(), "a"))
	ok(t, l.Close())
	at = must[postgres.Endpoint](t)(e.Start(t.Context(), "a", postgres.StartSpec{Port: taken}))
	if at.Port != taken {
		t.Errorf("asked for %d, got %v", taken, at)
	}
	ok(t, e.Stop(t.Context(), "a"))
	l = must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(taken)))
	defer l.Close()
	if at = start(t, e, "a"); at.Port == taken || !listens(at) {
		t.Errorf("with its port of last time taken: %v", at)
	}
}

func TestCancelledStart(t *testing.T) {
	e := enginetest.New(t)
	ok(t, e.Create(t.Context(), "a", enginetest.Version(t, e).Full))
	for range 10 { // a server can be faster than we are
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error)
		go func() {
			_, err := e.Start(ctx, "a", postgres.StartSpec{})
			result <- err
		}()
		var s postgres.Status
		eventually(t, "server process", func() bool { s = e.Status("a"); return s.PID != 0 })
		cancel()
		err := <-result
		if err == nil {
			ok(t, e.Stop(t.Context(), "a"))
			continue
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Start: %v", err)
		}
		if s.PID == 0 || alive(s.PID) || listens(s.Endpoint) || e.Status("a").State != postgres.Stopped {
			t.Errorf("process alive %v, listens %v, status %+v", alive(s.PID), listens(s.Endpoint), e.Status("a"))
		}
		start(t, e, "a") // as if nothing had happened
		return
	}
	t.Fatal("no Start could be cancelled")
}

func TestClose(t *testing.T) {
	e := enginetest.New(t)
	at := create(t, e, "a")
	ok(t, e.Close(t.Context()))
	if listens(at) {
		t.Error("it still listens")
	}
	if _, err := e.Start(t.Context(), "a", postgres.StartSpec{}); !errors.Is(err, postgres.ErrClosed) {
		t.Errorf("Start: %v, want ErrClosed", err)
	}
}

func TestStopWithoutPatience(t *testing.T) {
	e := enginetest.New(t)
	at := create(t, e, "a")
	run(t, ann(t, e, at), "CREATE TABLE t AS SELECT 1 AS n")
	// The less time there is, the likelier it is that the server is hurried; at
	// none at all, nothing is tried.
	for patience := time.Duration(0); ; patience += time.Millisecond {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		err := e.Stop(ctx, "a")
		cancel()
		if err == nil {
			break
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	}
	if listens(at) {
		t.Error("it still listens")
	}
	if n := query[int](t, ann(t, e, start(t, e, "a")), "SELECT n FROM t"); n != 1 {
		t.Errorf("n = %d", n)
	}
}

func TestLeftovers(t *testing.T) {
	dir := enginetest.Dir(t)
	for _, d := range []string{"templates/.new-1/data/base", "engines/.new-2/data", "engines/.gone-3/engine", "spares/.new-4"} {
		ok(t, os.MkdirAll(filepath.Join(dir, d), 0o700))
	}
	e := must[*postgres.Engines](t)(postgres.New(postgres.Config{Dir: dir}))
	defer e.Close(t.Context())
	for _, d := range []string{"templates", "engines", "spares"} {
		if left := names(t, filepath.Join(dir, d)); len(left) != 0 {
			t.Errorf("%s: %v is left", d, left)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Create(ctx, "a", ""); err == nil {
		t.Error("Create under an ended context succeeded")
	}
	if left := append(names(t, filepath.Join(dir, "templates")), names(t, filepath.Join(dir, "engines"))...); len(left) != 0 {
		t.Errorf("a cancelled Create leaves %v", left)
	}
}

// The initdb of a process that was killed may outlive it a little, and write into
// what is being removed.
func TestLeftoversThatGrow(t *testing.T) {
	dir := enginetest.Dir(t)
	base := filepath.Join(dir, "templates/.new-1/data/base")
	ok(t, os.MkdirAll(base, 0o700))
	began := time.Now()
	var wg sync.WaitGroup
	defer wg.Wait()
	for w := range 4 {
		wg.Go(func() {
			for n := 0; time.Since(began) < 300*time.Millisecond; n++ {
				if os.WriteFile(filepath.Join(base, fmt.Sprint(w, "-", n)), nil, 0o600) != nil {
					return // its directory is gone
				}
			}
		})
	}
	e := must[*postgres.Engines](t)(postgres.New(postgres.Config{Dir: dir}))
	defer e.Close(t.Context())
	if left := names(t, filepath.Join(dir, "templates")); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
}

func TestPrepare(t *testing.T) {
	dir := enginetest.Dir(t)
	ok(t, os.MkdirAll(filepath.Join(dir, "templates", "9.6.1-1"), 0o700))
	e := must[*postgres.Engines](t)(postgres.New(postgres.Config{Dir: dir}))
	defer e.Close(t.Context())
	ok(t, e.Prepare(t.Context()))
	var want []string
	for _, v := range e.Versions() {
		want = append([]string{v.Full + "-1"}, want...)
	}
	for _, d := range []string{"templates", "spares"} {
		if diff := cmp.Diff(want, names(t, filepath.Join(dir, d))); diff != "" {
			t.Errorf("%s: %s", d, diff)
		}
	}
	start(t, e, must[string](t)("a", e.Create(t.Context(), "a", enginetest.Version(t, e).Full)))
	if left := names(t, filepath.Join(dir, "spares")); len(left) != len(want)-1 {
		t.Errorf("Create did not take a spare: %v", left)
	}
}

func TestRefusals(t *testing.T) {
	e := enginetest.New(t)
	err := e.Create(t.Context(), "a", "9.6.1")
	if n, is := errors.AsType[*postgres.NotInstalledError](err); !is || !strings.Contains(n.Error(), "apt-get install postgresql-9") {
		t.Errorf("Create of an old version: %v", err)
	}
	for _, id := range []string{"", ".", "..", "../x", "a/b", ".new-1", strings.Repeat("x", 200)} {
		if e.Create(t.Context(), id, "") == nil {
			t.Errorf("Create(%q) succeeded", id)
		}
	}
	if err := e.SetMaster(t.Context(), "a", postgres.Master{User: "ann", Verifier: verifier(t, "x")}); !errors.Is(err, postgres.ErrNotRunning) {
		t.Errorf("SetMaster of nothing: %v", err)
	}
	if os.Getuid() != 0 {
		if _, err := postgres.New(postgres.Config{Dir: enginetest.Dir(t), User: "somebody-else"}); err == nil {
			t.Error("engines can run as somebody else without being root")
		}
	} else if _, err := postgres.New(postgres.Config{Dir: enginetest.Dir(t), User: "root"}); err == nil {
		t.Error("engines can run as root")
	}
}

func TestUnreachable(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: an engine user who is kept out is not tried: only root runs engines as another user")
	}
	closed := filepath.Join(enginetest.Dir(t), "closed")
	ok(t, os.Mkdir(closed, 0o700))
	e := must[*postgres.Engines](t)(postgres.New(postgres.Config{Dir: filepath.Join(closed, "engines")}))
	defer e.Close(t.Context())
	err := e.Create(t.Context(), "a", enginetest.Version(t, e).Full)
	u, is := errors.AsType[*postgres.UnreachableError](err)
	if !is || u.Path != closed || !strings.Contains(err.Error(), "chmod o+x "+closed) {
		t.Errorf("Create: %v, want UnreachableError of %s", err, closed)
	}
	ok(t, os.Chmod(closed, 0o711))
	ok(t, e.Create(t.Context(), "a", enginetest.Version(t, e).Full))
}
