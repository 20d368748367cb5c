package clusters

import (
	"regexp"
	"strings"
	"testing"
)

var ruleOfNames = regexp.MustCompile(`^[A-Za-z](-?[A-Za-z0-9])*$`)

func FuzzNames(f *testing.F) {
	for _, s := range []string{"a", "shop-1", "Shop", "1a", "a-", "a--b", "-a", "a_b", "ä", "rds:x", "", strings.Repeat("a", 64)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseName("X", s, maxName)
		if ok := ruleOfNames.MatchString(s) && len(s) <= maxName; ok != (err == nil) {
			t.Errorf("parseName(%q): %v", s, err)
		}
		if err == nil && got != strings.ToLower(s) {
			t.Errorf("parseName(%q) = %q", s, got)
		}
	})
}

func TestIDs(t *testing.T) {
	form := regexp.MustCompile(`^cluster-[A-Z2-7]{26}$`)
	if a, b := newID("cluster-"), newID("cluster-"); !form.MatchString(a) || a == b {
		t.Errorf("ids %s and %s", a, b)
	}
}

// Every state can be reached, and leads somewhere that there is.
func TestLivesAreWhole(t *testing.T) {
	whole(t, clusterLife)
	whole(t, instanceLife)
}

func whole[S ~string](t *testing.T, life map[S][]S) {
	t.Helper()
	reached := map[S]bool{"": true}
	for _, next := range life {
		for _, s := range next {
			reached[s] = true
			if _, known := life[s]; !known {
				t.Errorf("nothing is said of %q", s)
			}
		}
	}
	for s := range life {
		if !reached[s] {
			t.Errorf("nothing leads to %q", s)
		}
	}
}

// Every kind of operation is carried out by something.
func TestJobsAreWhole(t *testing.T) {
	for k, j := range jobs {
		if j.work == nil || j.succeed == nil || j.fail == nil || j.bulk && j.undo == nil {
			t.Errorf("%s: %+v", k, j)
		}
	}
	if len(jobs) != 11 {
		t.Errorf("%d kinds", len(jobs))
	}
}
