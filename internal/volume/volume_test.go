package volume_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"borealis/internal/cloud"
	"borealis/internal/volume"
	"borealis/internal/volume/disk"
	"borealis/internal/volume/volumetest"
)

func TestRoundTrip(t *testing.T) {
	d, err := disk.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]volume.Backend{"disk": d, "mem": new(volumetest.Mem)} {
		t.Run(name, func(t *testing.T) {
			e := volume.New(b)
			files := small()
			ref, info := write(t, e, named(ann, "nightly"), files)
			same(t, e, ref, files)

			var bytes int64
			for _, f := range files {
				bytes += int64(len(f.Data))
			}
			if info.Bytes != bytes || info.Files != 7 || len(info.Omitted) != 0 {
				t.Errorf("info: %+v, want %d bytes in 7 files", info, bytes)
			}
			facts, err := e.Facts(t.Context(), ref)
			if err != nil || string(facts) != string(ann.Facts) {
				t.Errorf("Facts: %s, %v", facts, err)
			}
		})
	}
}

func TestHeaderNeedsNoKey(t *testing.T) {
	e := volume.New(new(volumetest.Mem))
	if _, err := e.Header(t.Context(), "nightly"); !errors.Is(err, cloud.ErrNotFound) {
		t.Errorf("Header of nothing: %v, want ErrNotFound", err)
	}
	if _, err := e.Find(t.Context(), ann.Identity); !errors.Is(err, cloud.ErrNotFound) {
		t.Errorf("Find of nothing: %v, want ErrNotFound", err)
	}
	_, info := write(t, e, named(ann, "nightly"), small())
	want := volume.Header{ID: "nightly", Version: 2, Identity: ann.Identity, Wrapped: ann.Wrapped, Vault: info.Vault}
	h, err := e.Header(t.Context(), "nightly")
	if since := time.Since(h.Made); since < 0 || since > time.Minute {
		t.Errorf("made %v ago", since)
	}
	want.Made = h.Made
	if d := cmp.Diff(want, h); d != "" || err != nil {
		t.Errorf("Header: %v\n%s", err, d)
	}
	h, err = e.Find(t.Context(), ann.Identity)
	if d := cmp.Diff(want, h); d != "" || err != nil {
		t.Errorf("Find: %v\n%s", err, d)
	}
	if _, err := e.Find(t.Context(), bob.Identity); !errors.Is(err, cloud.ErrNotFound) {
		t.Errorf("Find of bob's: %v, want ErrNotFound", err)
	}
}

func TestFilesFromDisk(t *testing.T) {
	dir := t.TempDir()
	then := time.Date(2026, 1, 5, 3, 10, 0, 123456789, time.UTC)
	data := text(3, 3*mib+17)
	path := filepath.Join(dir, "1259")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, then, then); err != nil {
		t.Fatal(err)
	}
	e := volume.New(new(volumetest.Mem))
	ref, info := write(t, e, named(ann, "nightly"), []volume.File{
		{Name: "1259", Path: path, Mode: 0o600, Size: 5},
		{Name: "gone", Path: filepath.Join(dir, "gone"), Mode: 0o600, Size: 9},
	})
	if d := cmp.Diff([]string{"gone"}, info.Omitted); d != "" {
		t.Errorf("omitted: %s", d)
	}
	same(t, e, ref, []volume.File{{Name: "1259", Data: data, Mode: 0o600}})
	out := filepath.Join(t.TempDir(), "out")
	if err := e.Restore(t.Context(), ref, out, volume.RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(filepath.Join(out, "1259"))
	if err != nil || !st.ModTime().Equal(then) {
		t.Errorf("restored time %v, %v; want %v", st.ModTime(), err, then)
	}
}

func TestCopy(t *testing.T) {
	e := volume.New(new(volumetest.Mem))
	files := small()
	ref, info := write(t, e, named(ann, "nightly"), files)

	within := named(ann, "within")
	in, err := e.Copy(t.Context(), ref, within, volume.CopyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	across := named(bob, "across")
	across.Facts = nil
	out, err := e.Copy(t.Context(), ref, across, volume.CopyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if in.Stored > 4096 {
		t.Errorf("a copy under the same key stored %d bytes", in.Stored)
	}
	if out.Stored < info.Stored*9/10 || out.Stored > info.Stored*11/10 {
		t.Errorf("a copy under another key stored %d bytes, the source %d", out.Stored, info.Stored)
	}
	if in.Content != info.Content || out.Content != info.Content {
		t.Errorf("content %s, in the copies %s and %s", info.Content, in.Content, out.Content)
	}
	if err := e.Delete(t.Context(), "nightly"); err != nil {
		t.Fatal(err)
	}
	same(t, e, within.Ref(in.Digest), files)
	same(t, e, across.Ref(out.Digest), files)
	facts, err := e.Facts(t.Context(), across.Ref(out.Digest))
	if err != nil || string(facts) != string(ann.Facts) {
		t.Errorf("facts of the copy: %s, %v", facts, err)
	}
}

func TestBlocksAreStoredOnce(t *testing.T) {
	e := volume.New(new(volumetest.Mem))
	files := []volume.File{{Name: "a", Data: random(1, 6*mib), Mode: 0o600}, {Name: "b", Data: random(1, 6*mib), Mode: 0o600}}
	_, first := write(t, e, named(ann, "one"), files)
	if first.Stored > 6*mib+8192 {
		t.Errorf("two equal files of 6 MiB stored %d bytes", first.Stored)
	}
	files[0].Data[3*mib]++
	ref, second := write(t, e, named(ann, "two"), files)
	if second.Stored > mib+8192 {
		t.Errorf("one changed block stored %d bytes", second.Stored)
	}
	if err := e.Delete(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	same(t, e, ref, files)
}

// Every byte of a backend is gone when its last volume is.
func TestDeleteLeavesNothing(t *testing.T) {
	m := new(volumetest.Mem)
	e := volume.New(m)
	ref, _ := write(t, e, named(ann, "one"), small())
	write(t, e, named(ann, "two"), small())
	if _, err := e.Copy(t.Context(), ref, named(bob, "three"), volume.CopyOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"one", "two", "three", "three", "none"} {
		if err := e.Delete(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	if list, _ := m.List(t.Context(), ""); len(list) != 0 {
		t.Errorf("left behind: %v", list)
	}
}
