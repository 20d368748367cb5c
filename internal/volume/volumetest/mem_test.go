package volumetest_test

import (
	"testing"

	"borealis/internal/volume"
	"borealis/internal/volume/volumetest"
)

func TestBackend(t *testing.T) {
	volumetest.TestBackend(t, func(*testing.T) volume.Backend { return new(volumetest.Mem) })
}

// The two faults are what they say.
func TestFaults(t *testing.T) {
	for name, c := range map[string]struct {
		fault volumetest.Fault
		lands bool
	}{"Fail": {volumetest.Fail, false}, "LoseAnswer": {volumetest.LoseAnswer, true}} {
		m := new(volumetest.Mem)
		m.Break(c.fault)
		if err := m.Put(t.Context(), "x", []byte("1")); err == nil {
			t.Errorf("%s: Put succeeds", name)
		}
		m.Break(nil)
		if _, err := m.Get(t.Context(), "x"); (err == nil) != c.lands {
			t.Errorf("%s: Get: %v", name, err)
		}
	}
}
