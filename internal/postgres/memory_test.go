package postgres_test

import (
	"fmt"
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
		t.Skip("shares of memory are told by /proc/<pid>/smaps_rollup")
	}
	e := enginetest.New(t)
	create(t, e, "a")
	pids := family(t, e.Status("a").PID)
	if len(pids) < 4 {
		t.Fatalf("a server has processes %v only", pids)
	}
	total := 0
	for _, pid := range pids {
		kb := memory(t, pid)
		t.Logf("%d kB: %s", kb, must[[]byte](t)(os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))))
		total += kb
	}
	t.Logf("an idle engine of PostgreSQL %s: %d kB", e.Status("a").Version, total)
	if total > idleMemory {
		t.Errorf("an idle engine has %d kB, more than %d", total, idleMemory)
	}
}

var statLine = regexp.MustCompile(`^([0-9]+) \(.*\) . ([0-9]+)`)

// family lists a server's processes but for those that come and go.
func family(t testing.TB, leader int) []int {
	t.Helper()
	pids := []int{leader}
	for _, s := range must[[]string](t)(filepath.Glob("/proc/[0-9]*/stat")) {
		stat, err1 := os.ReadFile(s)
		title, err2 := os.ReadFile(filepath.Join(filepath.Dir(s), "cmdline"))
		if err1 != nil || err2 != nil || regexp.MustCompile(`autovacuum worker`).Match(title) {
			continue
		}
		if m := statLine.FindSubmatch(stat); m != nil && string(m[2]) == strconv.Itoa(leader) {
			pids = append(pids, must[int](t)(strconv.Atoi(string(m[1]))))
		}
	}
	return pids
}

var pss = regexp.MustCompile(`(?m)^Pss: +([0-9]+) kB`)

func memory(t testing.TB, pid int) int {
	t.Helper()
	m := pss.FindSubmatch(must[[]byte](t)(os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))))
	if m == nil {
		t.Fatalf("no Pss of process %d", pid)
	}
	return must[int](t)(strconv.Atoi(string(m[1])))
}
