//go:build !linux

package postgres

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// reflink fails: files are copied.
func reflink(_, _ *os.File) error { return errors.ErrUnsupported }

// childOf makes the process its own process group, so that a terminal's
// interrupt reaches only us. A server that outlives this process is stopped by
// the next one that starts the engine.
func childOf(user account) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: user.credential(), Setpgid: true}
}

// serversIn lists the PostgreSQL servers that were started on data: their
// command line is "<bin>/postgres -D <data> …", which is how engines start them.
func serversIn(data string) ([]int, error) {
	out, err := exec.Command("ps", "-axww", "-o", "pid=,command=").Output()
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var pids []int
	for line := range strings.Lines(string(out)) {
		pid, command, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.Atoi(pid); err == nil && strings.Contains(command+" ", "/postgres -D "+data+" ") {
			pids = append(pids, n)
		}
	}
	return pids, nil
}
