// Package e2e drives the real borealis program with real clients: the AWS SDK,
// the AWS CLI, psql.
package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"borealis/e2e/local"
	"borealis/e2e/story"
)

// binary is the program under test, built by TestMain.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "borealis-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "borealis")
	if out, err := exec.Command("go", "build", "-o", binary, "borealis/cmd/borealis").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build borealis: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// newServer starts a server that is gone with t, and fails t if the server
// leaves a process behind.
func newServer(t *testing.T, more ...string) *local.Server {
	t.Helper()
	s := &local.Server{Binary: binary, Dir: tempDir(t)}
	start(t, s, more...)
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Errorf("stop the server: %v", err)
		}
		noneLeft(t, s)
		if t.Failed() {
			log, _ := os.ReadFile(s.LogFile())
			t.Logf("the server's log:\n%s", tail(log, 8000))
		}
	})
	return s
}

func start(t *testing.T, s *local.Server, more ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := s.Start(ctx, "127.0.0.1:0", more...); err != nil {
		t.Fatal(err)
	}
}

func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

// tempDir is t.TempDir, except that PostgreSQL's user can reach what is in it.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "borealis-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// noneLeft fails t if a process still has the server's directory on its command
// line: a PostgreSQL server that nobody looks after. One that the kernel has
// told to end, because the server that ran it was killed, may take a moment.
func noneLeft(t *testing.T, s *local.Server) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); len(processes(s.Dir)) > 0 && time.Now().Before(end); {
		pause(context.WithoutCancel(t.Context()), 20*time.Millisecond)
	}
	for _, p := range processes(s.Dir) {
		t.Errorf("left behind: %s", p)
	}
}

// processes lists those with dir on their command line.
func processes(dir string) []string {
	var found []string
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range paths {
		line, err := os.ReadFile(p)
		if err == nil && strings.Contains(string(line), dir) {
			found = append(found, filepath.Base(filepath.Dir(p))+" "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

// account makes an account and a driver for its root user.
func account(t *testing.T, s *local.Server, id, name string, as func(profile, key, secret string) (story.Driver, error)) story.Account {
	t.Helper()
	k, err := s.CreateAccount(t.Context(), id, name, name+"-root")
	if err != nil {
		t.Fatal(err)
	}
	d, err := as("", k.AccessKeyID, k.SecretAccessKey)
	if err != nil {
		t.Fatal(err)
	}
	return story.Account{ID: k.AccountID, Root: d}
}
