package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// memory is what processes hold of the machine's memory, in bytes. Pss counts a
// page that n processes share as 1/n of it for each, so that sums are right.
type memory struct{ rss, pss, uss int64 }

func (m *memory) add(o memory) { m.rss, m.pss, m.uss = m.rss+o.rss, m.pss+o.pss, m.uss+o.uss }

const mib = 1 << 20

// memoryOf reads a process's memory from /proc.
func memoryOf(pid int) (memory, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return memory{}, err
	}
	var m memory
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) != 3 || f[2] != "kB" {
			continue
		}
		n, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			return memory{}, err
		}
		switch f[0] {
		case "Rss:":
			m.rss = n << 10
		case "Pss:":
			m.pss = n << 10
		case "Private_Clean:", "Private_Dirty:":
			m.uss += n << 10
		}
	}
	return m, nil
}

// peakOf is the most that a process has held resident so far, in bytes.
func peakOf(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	var kb int64
	_, err = fmt.Sscan(rest, &kb)
	return kb << 10, err
}

// A process is what /proc/<pid>/stat says of one.
type process struct {
	pid, parent int
	cpu         time.Duration // of all threads, in user and kernel mode
}

// clockTick is the unit of times in /proc, on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

func readProcess(pid int) (process, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, err
	}
	// The name, in parentheses, may hold anything.
	f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	var n [3]int
	for i, at := range []int{1, 11, 12} { // parent, user, system
		if n[i], err = strconv.Atoi(f[at]); err != nil {
			return process{}, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
	}
	return process{pid, n[0], time.Duration(n[1]+n[2]) * clockTick}, nil
}

// rest waits until a process has had next to nothing to do for longer than a
// server takes to write down what it did before, such as when keys were last used.
func rest(ctx context.Context, pid int) error {
	const quiet = 12 * time.Second
	since := time.Now()
	last, err := readProcess(pid)
	for err == nil && time.Since(since) < quiet {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
		var now process
		if now, err = readProcess(pid); err == nil && now.cpu-last.cpu > 50*time.Millisecond {
			since = time.Now()
		}
		last = now
	}
	return err
}

// family is the processes below pid, itself not among them.
func family(pid int) []int {
	names, _ := filepath.Glob("/proc/[0-9]*") // the pattern is well-formed
	children := map[int][]int{}
	for _, name := range names {
		n, err := strconv.Atoi(filepath.Base(name))
		if err != nil {
			continue
		}
		if p, err := readProcess(n); err == nil { // else it has just ended
			children[p.parent] = append(children[p.parent], n)
		}
	}
	below := children[pid]
	for i := 0; i < len(below); i++ {
		below = append(below, children[below[i]]...)
	}
	return below
}
