package postgres

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// reflink makes out, an empty file, share in's blocks. It fails where the file
// system does not do that.
func reflink(out, in *os.File) error {
	return unix.IoctlFileClone(int(out.Fd()), int(in.Fd()))
}

// childOf makes the process its own process group, so that a terminal's
// interrupt reaches only us, and has the kernel shut it down (SIGINT: "fast")
// when the thread that starts it ends, which is at the latest when this process
// does, however that happens. The caller locks its goroutine to its thread for
// as long as the child is to live.
func childOf(user account) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: user.credential(), Setpgid: true, Pdeathsig: syscall.SIGINT}
}

// serversIn lists the PostgreSQL processes whose working directory is data. A
// server and its children never leave their data directory, so these are its
// own, and no other process is.
func serversIn(data string) ([]int, error) {
	data, err := filepath.EvalSymlinks(data)
	if err != nil {
		return nil, err
	}
	proc, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var pids []int
	for _, p := range proc {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		if cwd, err := os.Readlink("/proc/" + p.Name() + "/cwd"); err != nil || cwd != data {
			continue // another's, or gone by now
		}
		exe, err := os.Readlink("/proc/" + p.Name() + "/exe")
		exe = strings.TrimSuffix(exe, " (deleted)") // upgraded since
		if err == nil && filepath.Base(exe) == "postgres" {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
