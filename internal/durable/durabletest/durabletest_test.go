package durabletest_test

import (
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"borealis/internal/durable"
	"borealis/internal/durable/durabletest"
)

// read is the content of a file, "none" if there is none.
func read(t *testing.T, f *durabletest.FS, name string) string {
	t.Helper()
	file, err := f.Open(name)
	if err != nil {
		return "none"
	}
	b, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// What each step of a careful write is good for: without it, a power cut loses
// the file, or leaves half of it.
func TestPowerCuts(t *testing.T) {
	on := func(f *durabletest.FS) durable.On { return durable.On{FS: f} }
	write := func(t *testing.T, f *durabletest.FS, sync bool) {
		t.Helper()
		tmp, err := f.CreateTemp("/", durable.TempPrefix+"*")
		if err == nil {
			_, err = tmp.Write([]byte("1234"))
		}
		if err == nil && sync {
			err = tmp.Sync()
		}
		if err == nil {
			err = f.Rename(tmp.Name(), "/x")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		sync, syncDir bool
		cut           durabletest.Cut
		want          []string // may be seen
	}{
		"no sync, nothing stays":      {false, false, durabletest.Nothing, []string{"none"}},
		"no sync, names stay":         {false, false, durabletest.Names, []string{"12"}},
		"name synced, nothing stays":  {false, true, durabletest.Nothing, []string{""}},
		"bytes synced, nothing stays": {true, false, durabletest.Nothing, []string{"none"}},
		"bytes synced, names stay":    {true, false, durabletest.Names, []string{"1234"}},
		"bytes synced, some stay":     {true, false, durabletest.Some, []string{"1234", "none"}},
		"both, nothing stays":         {true, true, durabletest.Nothing, []string{"1234"}},
		"both, some stay":             {true, true, durabletest.Some, []string{"1234"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := durabletest.New()
			write(t, f, c.sync)
			if c.syncDir {
				if err := on(f).SyncDir("/"); err != nil {
					t.Fatal(err)
				}
			}
			f = f.Clone()
			f.Cut(c.cut)
			if got := read(t, f, "/x"); !slices.Contains(c.want, got) {
				t.Errorf("after the cut: %q, want one of %q", got, c.want)
			}
		})
	}
}

// After a sync that failed the bytes read as if all were well, and are lost.
func TestFailedSync(t *testing.T) {
	f := durabletest.New()
	f.Break(func(call, _ string) (bool, error) { return call != "sync", syscall.EIO })
	tmp, err := f.CreateTemp("/", "x*")
	if err == nil || tmp != nil {
		t.Error("a fault that applies and fails is not told")
	}
	f.Break(nil)
	if tmp, err = f.CreateTemp("/", "x*"); err != nil {
		t.Fatal(err)
	}
	if _, err := tmp.Write([]byte("1234")); err != nil {
		t.Fatal(err)
	}
	f.Break(func(string, string) (bool, error) { return false, syscall.EIO })
	if err := tmp.Sync(); err == nil {
		t.Error("Sync succeeds")
	}
	f.Break(nil)
	if err := tmp.Sync(); err != nil {
		t.Errorf("second Sync: %v, want what Linux says", err)
	}
	if err := (durable.On{FS: f}).SyncDir("/"); err != nil {
		t.Fatal(err)
	}
	if got := read(t, f, tmp.Name()); got != "1234" {
		t.Errorf("before the cut: %q", got)
	}
	f.Cut(durabletest.Names)
	if got := read(t, f, tmp.Name()); got != "" {
		t.Errorf("after the cut: %q", got)
	}
}

// WriteName leaves nothing beside the name, whichever of its steps fails, and
// the old content or the new under it.
func TestWriteNameAtEveryFault(t *testing.T) {
	for _, call := range []string{"create", "write", "chmod", "sync", "close", "rename"} {
		for _, applies := range []bool{false, true} {
			f := durabletest.New()
			on := durable.On{FS: f}
			if err := on.WriteName("/x", []byte("old"), fs.FileMode(0o600)); err != nil {
				t.Fatal(err)
			}
			if err := on.SyncDir("/"); err != nil {
				t.Fatal(err)
			}
			f.Break(func(c, _ string) (bool, error) {
				if c == call {
					return applies, syscall.EIO
				}
				return true, nil
			})
			if err := on.WriteName("/x", []byte("new"), fs.FileMode(0o600)); err == nil {
				t.Errorf("%s: WriteName succeeds", call)
			}
			want := "old"
			if call == "rename" && applies {
				want = "new"
			}
			if got := read(t, f, "/x"); got != want {
				t.Errorf("%s, applied %v: %q, want %q", call, applies, got, want)
			}
			if left := f.Temps(); len(left) != 0 && call != "create" {
				t.Errorf("%s: left %v", call, left)
			}
			f.Cut(durabletest.Nothing)
			if got := read(t, f, filepath.Join("/", "x")); got != "old" {
				t.Errorf("%s, after a cut: %q", call, got)
			}
		}
	}
}
