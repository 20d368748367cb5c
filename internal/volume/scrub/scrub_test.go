package scrub_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"borealis/internal/volume"
	"borealis/internal/volume/scrub"
	"borealis/internal/volume/volumetest"
)

func open(t *testing.T, m *volumetest.Mem, path string) *scrub.Notes {
	t.Helper()
	n, err := scrub.Open(m, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func TestBackend(t *testing.T) {
	volumetest.TestBackend(t, func(t *testing.T) volume.Backend {
		return open(t, new(volumetest.Mem), filepath.Join(t.TempDir(), "sums"))
	})
}

// problems reads everything and returns what is found.
func problems(t *testing.T, n *scrub.Notes, m *volumetest.Mem) (found []volume.Problem) {
	t.Helper()
	if _, err := n.Read(t.Context(), m, scrub.Options{Found: func(p volume.Problem) { found = append(found, p) }}); err != nil {
		t.Fatal(err)
	}
	return found
}

func TestRotIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		rot  []byte
		want string
	}{
		"bit":       {[]byte("contenT"), "its bytes are not those that were written"},
		"truncated": {[]byte("con"), "it has 3 bytes, not the 7 that were written"},
		"longer":    {[]byte("content!"), "it has 8 bytes, not the 7 that were written"},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restart %v", name, restart), func(t *testing.T) {
				m, path := new(volumetest.Mem), filepath.Join(t.TempDir(), "sums")
				n := open(t, m, path)
				for _, object := range []string{"packs/v/1", "packs/v/2"} {
					if err := n.Put(t.Context(), object, []byte("content")); err != nil {
						t.Fatal(err)
					}
				}
				if found := problems(t, n, m); len(found) != 0 {
					t.Errorf("found in what is whole: %v", found)
				}
				if err := m.Put(t.Context(), "packs/v/1", c.rot); err != nil { // behind its back
					t.Fatal(err)
				}
				if restart {
					n = open(t, m, path)
				}
				found := problems(t, n, m)
				if len(found) != 1 || found[0].Object != "packs/v/1" || found[0].Message != c.want {
					t.Errorf("found %v, want %q", found, c.want)
				}
				if again := problems(t, n, m); len(again) != 1 {
					t.Errorf("found the second time: %v", again)
				}
			})
		}
	}
}

func TestReplacedDeletedAndUnknownObjects(t *testing.T) {
	m, path := new(volumetest.Mem), filepath.Join(t.TempDir(), "sums")
	if err := m.Put(t.Context(), "packs/v/old", []byte("from before there were notes")); err != nil {
		t.Fatal(err)
	}
	n := open(t, m, path)
	for _, text := range []string{"1", "22", "333"} {
		if err := n.Put(t.Context(), "progress/p", []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Delete(t.Context(), "progress/p"); err != nil {
		t.Fatal(err)
	}
	if found := problems(t, n, m); len(found) != 0 {
		t.Errorf("found: %v", found)
	}
	if err := m.Put(t.Context(), "packs/v/old", []byte("From before there were notes")); err != nil {
		t.Fatal(err)
	}
	if found := problems(t, n, m); len(found) != 1 {
		t.Errorf("rot of an object that was first read: %v", found)
	}
}

// Notes that are garbage, or cut off by a crash, are none.
func TestDamagedNotes(t *testing.T) {
	m, path := new(volumetest.Mem), filepath.Join(t.TempDir(), "sums")
	if err := m.Put(t.Context(), "x", []byte("1")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("garbage\n{\"n\":\"x\",\"s\":"), 0o600); err != nil {
		t.Fatal(err)
	}
	if found := problems(t, open(t, m, path), m); len(found) != 0 {
		t.Errorf("found: %v", found)
	}
}

func TestReadsNoFasterThanTold(t *testing.T) {
	m := new(volumetest.Mem)
	n := open(t, m, filepath.Join(t.TempDir(), "sums"))
	if err := n.Put(t.Context(), "x", make([]byte, 3<<20)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var last int64
	read, err := n.Read(t.Context(), m, scrub.Options{Rate: 10 << 20, Progress: func(done, total int64) {
		if done <= last || total != 3<<20 {
			t.Errorf("progress: %d of %d after %d", done, total, last)
		}
		last = done
	}})
	if err != nil || read != 3<<20 || last != read {
		t.Errorf("Read: %d bytes, %v", read, err)
	}
	if took := time.Since(began); took < 150*time.Millisecond { // the first of three MiB is free
		t.Errorf("3 MiB at 10 MiB a second took %v", took)
	}
}
