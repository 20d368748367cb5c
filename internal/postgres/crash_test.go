package postgres_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"borealis/internal/postgres"
	"borealis/internal/postgres/enginetest"
)

// alive reports whether a process is there, other than as a zombie.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) == syscall.ESRCH {
		return false
	}
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return !strings.Contains(string(stat), ") Z ")
}

func TestKilledServerComesBack(t *testing.T) {
	e := enginetest.New(t)
	at := create(t, e, "a")
	run(t, ann(t, e, at), "CREATE TABLE t AS SELECT generate_series(1, 1000) AS n")
	for n := 1; n <= 2; n++ {
		pid := e.Status("a").PID
		ok(t, syscall.Kill(pid, syscall.SIGKILL))
		eventually(t, "restart", func() bool {
			s := e.Status("a")
			return s.State == postgres.Running && s.Restarts == n && s.PID != pid && s.Endpoint == at
		})
		if rows := query[int](t, ann(t, e, at), "SELECT count(*)::int FROM t"); rows != 1000 {
			t.Errorf("%d rows", rows)
		}
	}
}

// victimDir names the variable that makes this program a victim: it starts
// engine a, says where, and waits to be killed.
const victimDir = "ENGINES_OF_VICTIM"

func victim(dir string) {
	ctx := context.Background()
	e, err := postgres.New(postgres.Config{Dir: dir, Unsafe: true})
	if err == nil {
		err = e.Create(ctx, "a", "")
	}
	if err == nil {
		_, err = e.Start(ctx, "a", postgres.StartSpec{})
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(e.Status("a").PID)
	io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

func TestServerDiesWithUs(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: a killed parent is not tried: only Linux ends its children")
	}
	dir := enginetest.Dir(t)
	enginetest.Templates(t, dir)
	cmd := exec.Command(must[string](t)(os.Executable()))
	cmd.Env = append(os.Environ(), victimDir+"="+dir)
	stdin := must[io.WriteCloser](t)(cmd.StdinPipe())
	defer stdin.Close()
	out := must[io.ReadCloser](t)(cmd.StdoutPipe())
	ok(t, cmd.Start())
	line := must[string](t)(bufio.NewReader(out).ReadString('\n'))
	server := must[int](t)(strconv.Atoi(strings.TrimSpace(line)))
	ok(t, cmd.Process.Kill())
	cmd.Wait() // says that it was killed
	eventually(t, "end of the server", func() bool { return !alive(server) })
	if _, err := os.Stat(filepath.Join(dir, "engines/a/data/postmaster.pid")); err == nil {
		t.Error("the server did not end in good order")
	}
}

// orphan starts a server on engine a's files as an earlier process would have
// left it, and returns its process.
func orphan(t *testing.T, e *postgres.Engines) *exec.Cmd {
	t.Helper()
	at := create(t, e, "a")
	ok(t, e.Stop(t.Context(), "a"))
	data := filepath.Join(dirOf(e, "a"), "data")
	owner := must[os.FileInfo](t)(os.Stat(data)).Sys().(*syscall.Stat_t)
	cmd := exec.Command(filepath.Join(enginetest.Version(t, e).Bin, "postgres"), "-D", data,
		"-c", "config_file="+filepath.Join(dirOf(e, "a"), "conf", "postgresql.conf"),
		"-c", "port="+strconv.Itoa(at.Port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=")
	cmd.Dir = data
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Getuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}
	}
	ok(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	eventually(t, "orphan", func() bool {
		c, err := dial(t.Context(), e, at, "ann", password, "app")
		return err == nil && c.Close(t.Context()) == nil
	})
	return cmd
}

func TestOrphanIsStopped(t *testing.T) {
	for name, act := range map[string]func(e *postgres.Engines) error{
		"Start":  func(e *postgres.Engines) error { _, err := e.Start(t.Context(), "a", postgres.StartSpec{}); return err },
		"Stop":   func(e *postgres.Engines) error { return e.Stop(t.Context(), "a") },
		"Remove": func(e *postgres.Engines) error { return e.Remove(t.Context(), "a") },
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.New(t)
			o := orphan(t, e)
			gone := make(chan error, 1)
			go func() { gone <- o.Wait() }() // nobody else reaps it
			ok(t, act(e))
			if err := <-gone; err != nil {
				t.Errorf("the orphan ended in disorder: %v", err)
			}
		})
	}
}

func TestStrangersPidIsLeftAlone(t *testing.T) {
	e := enginetest.New(t)
	at := create(t, e, "a")
	data := filepath.Join(dirOf(e, "a"), "data")
	pidFile := must[[]byte](t)(os.ReadFile(filepath.Join(data, "postmaster.pid")))
	ok(t, e.Stop(t.Context(), "a"))
	stranger := exec.Command("sleep", "60")
	if os.Getuid() == 0 { // PostgreSQL minds processes of its own user only
		owner := must[os.FileInfo](t)(os.Stat(data)).Sys().(*syscall.Stat_t)
		stranger.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}}
	}
	ok(t, stranger.Start())
	defer func() { stranger.Process.Kill(); stranger.Wait() }()
	for _, pid := range []int{stranger.Process.Pid, 1 << 30} {
		_, rest, _ := strings.Cut(string(pidFile), "\n")
		ok(t, os.WriteFile(filepath.Join(data, "postmaster.pid"), []byte(strconv.Itoa(pid)+"\n"+rest), 0o644))
		ann(t, e, must[postgres.Endpoint](t)(e.Start(t.Context(), "a", postgres.StartSpec{Port: at.Port})))
		ok(t, e.Stop(t.Context(), "a"))
	}
	if !alive(stranger.Process.Pid) {
		t.Error("the stranger is dead")
	}
}

// A server that cannot come up says why.
func TestBrokenServer(t *testing.T) {
	e := enginetest.New(t)
	ok(t, e.Create(t.Context(), "a", enginetest.Version(t, e).Full))
	ok(t, os.WriteFile(filepath.Join(dirOf(e, "a"), "data/global/pg_control"), []byte("nonsense"), 0o600))
	_, err := e.Start(t.Context(), "a", postgres.StartSpec{})
	if err == nil || !strings.Contains(err.Error(), "pg_control") {
		t.Errorf("Start: %v", err)
	}
	if s := e.Status("a"); s.State != postgres.Stopped || s.Err == nil || s.PID != 0 {
		t.Errorf("status %+v", s)
	}
}
