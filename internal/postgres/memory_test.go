package postgres_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"testing"

	"borealis/internal/postgres/enginetest"
)

// idleMemory is what an idle engine may cost, in kilobytes, each shared page
// counted as its share.
const idleMemory = 25 << 10

func TestIdleMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: the memory of engines is not measured: only Linux tells shares of it")
	}
	e := enginetest.New(t)
	create(t, e, "a")
	least := math.MaxInt
	// Processes that come and go, such as autovacuum's workers, have to be gone.
	eventually(t, fmt.Sprintf("an idle engine has at most %d kB", idleMemory), func() bool {
		total := 0
		for _, pid := range family(t, e.Status("a").PID) {
			total += memory(pid)
		}
		least = min(least, total)
		return least <= idleMemory
	})
	t.Logf("an idle engine of PostgreSQL %s has %d kB", e.Status("a").Version, least)
}

var statLine = regexp.MustCompile(`^([0-9]+) \(.*\) . ([0-9]+)`)

// family lists a server's processes.
func family(t testing.TB, leader int) []int {
	t.Helper()
	pids := []int{leader}
	for _, path := range must[[]string](t)(filepath.Glob("/proc/[0-9]*/stat")) {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it is gone
		}
		if m := statLine.FindSubmatch(stat); m != nil && string(m[2]) == strconv.Itoa(leader) {
			pids = append(pids, must[int](t)(strconv.Atoi(string(m[1]))))
		}
	}
	if len(pids) < 5 {
		t.Fatalf("server %d has processes %v only", leader, pids)
	}
	return pids
}

var pss = regexp.MustCompile(`(?m)^Pss: +([0-9]+) kB`)

// memory is a process's share of memory in kilobytes; 0 if it is gone.
func memory(pid int) int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if m := pss.FindSubmatch(text); m != nil {
		kb, _ := strconv.Atoi(string(m[1]))
		return kb
	}
	return 0
}
