package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"borealis/internal/cloud"
	"borealis/internal/volume"
	"borealis/internal/volume/cache"
	"borealis/internal/volume/volumetest"
)

// A source is a backend in memory that counts the reads that reach it.
type source struct {
	volumetest.Mem
	reads  atomic.Int64
	before func() // a read, if not nil
}

func (s *source) ReadAt(ctx context.Context, name string, off int64, p []byte) (int, error) {
	s.reads.Add(1)
	data, err := s.Get(ctx, name)
	if s.before != nil {
		s.before()
	}
	if err != nil {
		return 0, err
	}
	return copy(p, data[min(off, int64(len(data))):]), nil
}

func open(t testing.TB, s *source, dir string, max int64) *cache.Cache {
	t.Helper()
	c, err := cache.Open(s, dir, max, func(string) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestBackend(t *testing.T) {
	for _, max := range []int64{0, 100_000, 64 << 20} {
		t.Run(fmt.Sprint(max), func(t *testing.T) {
			volumetest.TestBackend(t, func(t *testing.T) volume.Backend { return open(t, new(source), t.TempDir(), max) })
		})
	}
}

func random(seed, n int) []byte {
	p := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed)}).Read(p)
	return p
}

func put(t testing.TB, b volume.Backend, name string, data []byte) {
	t.Helper()
	if err := b.Put(t.Context(), name, data); err != nil {
		t.Fatal(err)
	}
}

// want reads a range and compares it with the object's.
func want(t testing.TB, b volume.Backend, name string, data []byte, off, n int) {
	t.Helper()
	p := make([]byte, n)
	if err := b.GetRange(t.Context(), name, int64(off), p); err != nil || !bytes.Equal(p, data[off:off+n]) {
		t.Errorf("%d bytes of %s at %d: %v, or other bytes", n, name, off, err)
	}
}

const mib = 1 << 20

func TestReadsOnceAndSurvivesARestart(t *testing.T) {
	s, dir, data := new(source), t.TempDir(), random(1, 5*mib+100)
	put(t, &s.Mem, "packs/v/1", data)
	c := open(t, s, dir, 64<<20)
	for range 2 {
		want(t, c, "packs/v/1", data, mib+5, 3*mib)
		want(t, c, "packs/v/1", data, 2*mib, 10)
	}
	if n := s.reads.Load(); n != 1 {
		t.Errorf("%d reads, want 1", n)
	}
	put(t, c, "packs/v/2", data) // what is stored is kept
	c = open(t, s, dir, 64<<20)
	want(t, c, "packs/v/1", data, mib, mib)
	want(t, c, "packs/v/2", data, 0, len(data))
	if n := s.reads.Load(); n != 1 {
		t.Errorf("%d reads after a restart, want still 1", n)
	}
	if err := c.GetRange(t.Context(), "packs/v/2", 5*mib, make([]byte, 101)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a range beyond the end: %v, want ErrUnexpectedEOF", err)
	}
}

func TestSizeBoundAndWhatGoesFirst(t *testing.T) {
	s, dir, data := new(source), t.TempDir(), random(1, mib)
	for i := range 4 {
		put(t, &s.Mem, fmt.Sprint("packs/v/", i), data)
	}
	c := open(t, s, dir, 3*mib+1000)
	read := func(i int) int64 {
		before := s.reads.Load()
		want(t, c, fmt.Sprint("packs/v/", i), data, 0, mib)
		return s.reads.Load() - before
	}
	for i := range 3 {
		read(i)
	}
	read(0) // now 1 is the one not used for longest
	read(3)
	for i, reads := range []int64{0, 1} {
		if got := read(i); got != reads {
			t.Errorf("object %d took %d reads, want %d", i, got, reads)
		}
	}
	for _, max := range []int64{3*mib + 1000, 2 * mib, 0} {
		if max != 3*mib+1000 {
			c = open(t, s, dir, max)
		}
		if on := sizeOf(t, dir); on > max || on != c.Stats().Size {
			t.Errorf("%d bytes are on disk and %d in the books, of %d", on, c.Stats().Size, max)
		}
	}
}

func sizeOf(t *testing.T, dir string) (total int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		st, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		total += st.Size()
	}
	return total
}

// Whatever becomes of its files, a cache never serves other bytes than were stored.
func TestDamagedFiles(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, files []string){
		"a bit": func(t *testing.T, files []string) {
			edit(t, files[0], func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
		},
		"hash": func(t *testing.T, files []string) {
			edit(t, files[0], func(b []byte) []byte { b[0] ^= 1; return b })
		},
		"truncated": func(t *testing.T, files []string) {
			edit(t, files[0], func(b []byte) []byte { return b[:len(b)/2] })
		},
		"longer": func(t *testing.T, files []string) {
			edit(t, files[0], func(b []byte) []byte { return append(b, 1) })
		},
		"empty": func(t *testing.T, files []string) { edit(t, files[0], func([]byte) []byte { return nil }) },
		"gone": func(t *testing.T, files []string) {
			if err := os.Remove(files[0]); err != nil {
				t.Fatal(err)
			}
		},
		"swapped": func(t *testing.T, files []string) {
			if err := errors.Join(os.Rename(files[0], files[0]+"x"), os.Rename(files[1], files[0]), os.Rename(files[0]+"x", files[1])); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, dir, data := new(source), t.TempDir(), random(1, 2*mib)
			c := open(t, s, dir, 64<<20)
			put(t, c, "packs/v/1", data)
			files, err := filepath.Glob(filepath.Join(dir, "*"))
			if err != nil || len(files) != 2 {
				t.Fatalf("files: %v, %v", files, err)
			}
			damage(t, files)
			want(t, c, "packs/v/1", data, 0, 2*mib)
			if s.reads.Load() == 0 || c.Stats().Damaged == 0 {
				t.Error("the damage was not noticed")
			}
			want(t, open(t, s, dir, 64<<20), "packs/v/1", data, 0, 2*mib)
		})
	}
}

func edit(t *testing.T, path string, f func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, f(b), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A part that is read while its object is replaced or deleted is not kept.
func TestChangedWhileRead(t *testing.T) {
	s, old, fresh := new(source), random(1, mib), random(2, mib)
	put(t, &s.Mem, "x", old)
	c := open(t, s, t.TempDir(), 64<<20)
	s.before = func() { s.before = nil; put(t, c, "x", fresh) }
	if err := c.GetRange(t.Context(), "x", 0, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	want(t, c, "x", fresh, 0, mib)
	put(t, c, "y", old)
	if err := c.Delete(t.Context(), "y"); err != nil {
		t.Fatal(err)
	}
	if err := c.GetRange(t.Context(), "y", 0, make([]byte, 1)); !errors.Is(err, cloud.ErrNotFound) {
		t.Errorf("GetRange after Delete: %v, want ErrNotFound", err)
	}
}

// A disk that takes nothing makes a cache that holds nothing.
func TestCacheDirectoryGone(t *testing.T) {
	s, dir, data := new(source), filepath.Join(t.TempDir(), "gone"), random(1, mib)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	c := open(t, s, dir, 64<<20)
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	put(t, c, "x", data)
	want(t, c, "x", data, 10, 1000)
	if c.Stats().Size != 0 {
		t.Errorf("%d bytes in the books of a cache without a directory", c.Stats().Size)
	}
}

// Any reads and writes, in any order, with a cache that is too small: what is read
// is what was written last.
func TestAnyOrder(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			r.Fatal(err)
		}
		s := new(source)
		c := open(t, s, dir, 3*mib)
		objects := map[string][]byte{}
		for range rapid.IntRange(1, 20).Draw(r, "steps") {
			name := rapid.SampledFrom([]string{"a", "b"}).Draw(r, "name")
			switch rapid.IntRange(0, 4).Draw(r, "step") {
			case 0:
				objects[name] = random(rapid.IntRange(0, 255).Draw(r, "seed"), rapid.IntRange(0, 3*mib).Draw(r, "size"))
				put(t, c, name, objects[name])
			case 1:
				delete(objects, name)
				if err := c.Delete(t.Context(), name); err != nil {
					r.Fatal(err)
				}
			case 2:
				c = open(t, s, dir, 3*mib)
			default:
				off, n := rapid.IntRange(0, 3*mib).Draw(r, "off"), rapid.IntRange(1, 2*mib).Draw(r, "n")
				p := make([]byte, n)
				err := c.GetRange(t.Context(), name, int64(off), p)
				data, there := objects[name]
				switch {
				case !there && !errors.Is(err, cloud.ErrNotFound):
					r.Fatalf("GetRange of nothing: %v", err)
				case there && off+n > len(data) && !errors.Is(err, io.ErrUnexpectedEOF):
					r.Fatalf("GetRange beyond the end: %v", err)
				case there && off+n <= len(data) && (err != nil || !bytes.Equal(p, data[off:off+n])):
					r.Fatalf("GetRange: %v, or other bytes", err)
				}
			}
		}
	})
}

func TestConcurrentReaders(t *testing.T) {
	s, data := new(source), random(1, 4*mib)
	put(t, &s.Mem, "x", data)
	c := open(t, s, t.TempDir(), 2*mib)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 20 {
				want(t, c, "x", data, (i*j*77_777)%(3*mib), mib)
			}
		})
	}
	wg.Wait()
}
