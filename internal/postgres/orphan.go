package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// stopOrphans ends the server that an earlier process, now dead, left running
// on a data directory, and waits until all of it is gone. A server is told by
// where it works, never by its number alone, which may be another's by now. A
// postmaster.pid whose number is a stranger's, which would keep PostgreSQL from
// starting, is removed.
func (e *Engines) stopOrphans(ctx context.Context, data string) error {
	pidFile := filepath.Join(data, "postmaster.pid")
	text, err := os.ReadFile(pidFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for a server that was left running: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	leader, _ := strconv.Atoi(strings.TrimSpace(line))
	began := time.Now()
	for sent := syscall.Signal(0); ; {
		pids, err := serversIn(data)
		if err != nil {
			return fmt.Errorf("look for a server that was left running: %w", err)
		}
		if len(pids) == 0 {
			return removeStale(pidFile, leader)
		}
		if s := nextSignal(time.Since(began), slices.Contains(pids, leader)); s != sent {
			sent = s
			e.log.Warn("stopping a server that was left running", "data", data, "pid", leader, "signal", s.String())
			signalServers(data, pids, leader, s)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// nextSignal is what to send to a server that has been asked to end for a
// while. Children whose leader is dead have nothing left to write out.
func nextSignal(elapsed time.Duration, led bool) syscall.Signal {
	switch {
	case elapsed < fastGrace && led:
		return syscall.SIGINT
	case elapsed < fastGrace+immediateGrace:
		return syscall.SIGQUIT
	}
	return syscall.SIGKILL
}

// signalServers sends s to the leader, who tells the others; or, by force or
// without a leader, to all of them.
func signalServers(data string, pids []int, leader int, s syscall.Signal) {
	if s != syscall.SIGKILL && slices.Contains(pids, leader) {
		pids = []int{leader}
	}
	var held []*os.Process
	for _, pid := range pids {
		if p, err := os.FindProcess(pid); err == nil {
			held = append(held, p)
		}
	}
	// From here on a number cannot become another's: the processes are held.
	// Those that are still servers here are the right ones.
	still, _ := serversIn(data)
	for _, p := range held {
		if slices.Contains(still, p.Pid) {
			p.Signal(s) // an error says that it has exited
		}
		p.Release()
	}
}

// removeStale removes a postmaster.pid whose process is alive but is not the
// server. One whose process is dead is left to PostgreSQL, which knows more
// about what else a dead server leaves.
func removeStale(pidFile string, leader int) error {
	if leader <= 0 || syscall.Kill(leader, 0) == syscall.ESRCH {
		return nil
	}
	if err := os.Remove(pidFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove stale %s: %w", pidFile, err)
	}
	return nil
}
