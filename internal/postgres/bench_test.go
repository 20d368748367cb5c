package postgres_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"borealis/internal/postgres"
	"borealis/internal/postgres/enginetest"
)

// BenchmarkCreate is the time from nothing to an engine that accepts
// connections, durable, with a spare at hand and without.
func BenchmarkCreate(b *testing.B) {
	for _, spare := range []bool{true, false} {
		b.Run(fmt.Sprintf("spare=%v", spare), func(b *testing.B) {
			e := enginetest.In(b, postgres.Config{Dir: enginetest.Dir(b)})
			for b.Loop() {
				b.StopTimer()
				if spare {
					ok(b, e.Prepare(b.Context()))
				} else {
					for _, name := range names(b, filepath.Join(root(e), "spares")) {
						ok(b, os.RemoveAll(filepath.Join(root(e), "spares", name)))
					}
				}
				b.StartTimer()
				ok(b, e.Create(b.Context(), "a", enginetest.Version(b, e).Full))
				start(b, e, "a")
				b.StopTimer()
				ok(b, e.Remove(b.Context(), "a"))
				b.StartTimer()
			}
		})
	}
}

// BenchmarkInitdb is the same with PostgreSQL's own means.
func BenchmarkInitdb(b *testing.B) {
	e := enginetest.New(b)
	bin := enginetest.Version(b, e).Bin
	ok(b, e.Create(b.Context(), "a", enginetest.Version(b, e).Full))
	owner := must[os.FileInfo](b)(os.Stat(filepath.Join(dirOf(e, "a"), "data"))).Sys().(*syscall.Stat_t)
	pg := func(program string, args ...string) {
		cmd := exec.Command(filepath.Join(bin, program), args...)
		cmd.Dir = "/"
		if os.Getuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}}
		}
		if err := cmd.Run(); err != nil {
			b.Fatalf("%s: %v", program, err)
		}
	}
	for b.Loop() {
		b.StopTimer()
		dir := enginetest.Dir(b)
		ok(b, os.Chown(dir, int(owner.Uid), int(owner.Gid)))
		data := filepath.Join(dir, "data")
		b.StartTimer()
		pg("initdb", "--pgdata", data, "--data-checksums", "--encoding", "UTF8", "--locale", "C.UTF-8")
		pg("pg_ctl", "start", "--wait", "--pgdata", data, "--log", filepath.Join(dir, "log"),
			"-o", "-c listen_addresses= -c unix_socket_directories="+dir)
		b.StopTimer()
		pg("pg_ctl", "stop", "--wait", "--pgdata", data, "--mode", "immediate")
		b.StartTimer()
	}
}
