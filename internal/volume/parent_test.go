package volume_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"borealis/internal/cloud"
	"borealis/internal/volume"
	"borealis/internal/volume/volumetest"
)

// add makes a volume with options.
func add(t *testing.T, e *volume.Engine, spec volume.Spec, opts volume.CreateOptions, files []volume.File) (volume.Ref, volume.Info) {
	t.Helper()
	w, err := e.Create(t.Context(), spec, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if err := w.Add(t.Context(), files); err != nil {
		t.Fatal(err)
	}
	info, err := w.Commit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return spec.Ref(info.Digest), info
}

// onDisk writes data to a file.
func onDisk(t *testing.T, path string, data []byte) volume.File {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return volume.File{Name: "base/1/9000", Path: path, Mode: 0o600, Size: int64(len(data))}
}

// A file is read again if and only if it may have changed since it was read.
func TestFilesThatRestedAreNotReadAgain(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: files are read again on this system: what their times mean is known of Linux only")
	}
	if testing.Short() {
		t.Skip("SKIPPED: files are not let rest with -short: it takes seconds")
	}
	e := volume.New(new(volumetest.Mem))
	data := random(1, 3*volume.BlockSize+volume.PageSize)
	file := onDisk(t, filepath.Join(t.TempDir(), "a"), data)
	write := func(id string, want []byte, read bool) {
		t.Helper()
		ref, info := add(t, e, named(ann, id), volume.CreateOptions{}, []volume.File{file})
		if (info.Read > 0) != read {
			t.Errorf("%s: read %d bytes, want it read: %v", id, info.Read, read)
		}
		if !read && info.Stored > 4096 {
			t.Errorf("%s: stored %d bytes", id, info.Stored)
		}
		same(t, e, ref, []volume.File{{Name: file.Name, Data: want, Mode: 0o600}})
	}
	first := []byte(nil)
	first = append(first, data...)
	write("parent", first, true)
	write("too-young", first, true)
	time.Sleep(2100 * time.Millisecond)
	write("first-rested", first, true)
	write("rested", first, false)
	write("rested-again", first, false)

	// As long, and as old by the time that programs can set.
	st, err := os.Stat(file.Path)
	if err != nil {
		t.Fatal(err)
	}
	data[volume.BlockSize+5]++
	onDisk(t, file.Path, data)
	if err := os.Chtimes(file.Path, st.ModTime(), st.ModTime()); err != nil {
		t.Fatal(err)
	}
	write("changed", data, true)
	time.Sleep(2100 * time.Millisecond)
	write("changed-rested", data, true)

	// Another file with the same content in its place.
	if err := os.Rename(file.Path, file.Path+".old"); err != nil {
		t.Fatal(err)
	}
	onDisk(t, file.Path, data)
	time.Sleep(2100 * time.Millisecond)
	write("replaced", data, true)
}

// Pages that change again and again, until more has changed than not.
func TestLayersAreMerged(t *testing.T) {
	e := volume.New(new(volumetest.Mem))
	files := paged(1, 16)
	refs := map[string][]volume.File{}
	var last volume.Ref
	for i := range 16 {
		id := "v" + string(rune('a'+i))
		var info volume.Info
		last, info = write(t, e, named(ann, id), files)
		refs[id] = files
		if most := int64(volume.BlockSize + 4096); info.Stored > most {
			t.Errorf("%s: stored %d bytes", id, info.Stored)
		}
		same(t, e, last, files)
		files = changePages(files, i, i)
	}
	// Each is complete in itself: when all others are gone, the last is whole.
	for id := range refs {
		if id != last.ID {
			if err := e.Delete(t.Context(), id); err != nil {
				t.Error(err)
			}
		}
	}
	same(t, e, last, refs[last.ID])
}

// A parent's block that cannot be read is no base for anything.
func TestDamagedParentIsNotPatched(t *testing.T) {
	m := new(volumetest.Mem)
	e := volume.New(m)
	files := paged(1, 16)
	first, _ := write(t, e, named(ann, "one"), files)
	list, err := m.List(t.Context(), "packs/")
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	data, err := m.Get(t.Context(), list[0].Name)
	if err != nil {
		t.Fatal(err)
	}
	data[5000]++
	put(t, m, list[0].Name, data)
	changed := changePages(files, 1, 3)
	ref, _ := write(t, e, named(ann, "two"), changed)
	same(t, e, ref, changed)
	if err := e.Check(t.Context(), first, volume.CheckOptions{}); !errors.Is(err, volume.ErrDamaged) {
		t.Errorf("Check of the damaged one: %v", err)
	}
}

// The parent is the newest, the one that was asked for, or none.
func TestParent(t *testing.T) {
	m := new(volumetest.Mem)
	e := volume.New(m)
	old, now := paged(1, 8), paged(100, 8)
	add(t, e, named(ann, "zzz"), volume.CreateOptions{}, old)
	newest := named(ann, "aaa")
	newest.Facts = []byte(`{"newest":true}`)
	add(t, e, newest, volume.CreateOptions{}, now)
	stored := func(id string, files []volume.File, opts volume.CreateOptions) int64 {
		t.Helper()
		spec := named(ann, id)
		ref, info := add(t, volume.New(m), spec, opts, files)
		same(t, e, ref, files)
		if err := e.Delete(t.Context(), id); err != nil {
			t.Error(err)
		}
		return info.Stored
	}
	const little = 4096
	if n := stored("b", now, volume.CreateOptions{}); n > little {
		t.Errorf("beside the newest: %d bytes", n)
	}
	if n := stored("c", old, volume.CreateOptions{Parent: "zzz"}); n > little {
		t.Errorf("beside the one asked for: %d bytes", n)
	}
	if n := stored("d", now, volume.CreateOptions{Alone: true}); n < 8*volume.PageSize {
		t.Errorf("alone: %d bytes", n)
	}
	if _, err := e.Create(t.Context(), named(ann, "e"), volume.CreateOptions{Parent: "none"}); !errors.Is(err, cloud.ErrNotFound) {
		t.Errorf("no such parent: %v", err)
	}
	w, err := e.Create(t.Context(), named(ann, "f"), volume.CreateOptions{})
	if err != nil || string(w.Parent()) != `{"newest":true}` {
		t.Errorf("facts of the parent: %s, %v", w.Parent(), err)
	}
	w.Abort()
	// An unreadable newest costs the sharing with it, and nothing else.
	list, err := m.List(t.Context(), "volumes/aaa.")
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	data, _ := m.Get(t.Context(), list[0].Name)
	data[len(data)-1]++
	put(t, m, list[0].Name, data)
	if n := stored("g", old, volume.CreateOptions{}); n > little {
		t.Errorf("beside the readable one: %d bytes", n)
	}
}

// A rate bounds the reading of all workers together.
func TestReadRate(t *testing.T) {
	e := volume.New(new(volumetest.Mem))
	began := time.Now()
	files := []volume.File{{Name: "a", Data: random(1, 4*mib), Mode: 0o600}}
	ref, _ := add(t, e, named(ann, "x"), volume.CreateOptions{ReadRate: 20 * mib}, files)
	if took := time.Since(began); took < 140*time.Millisecond { // the first run is free
		t.Errorf("4 MiB at 20 MiB a second took %v", took)
	}
	same(t, e, ref, files)
}

// S2 finds nothing in some data that Zstandard does, and neither in noise.
func TestEveryCodecIsUsed(t *testing.T) {
	const size = volume.BlockSize
	hex := []byte(strings.Repeat(" ", size))
	for i, b := range random(5, size) {
		hex[i] = "0123456789abcdef"[b&15]
	}
	for name, c := range map[string]struct {
		data        []byte
		least, most int64
	}{
		"noise":       {random(1, size), size, size + 2048},
		"hexadecimal": {hex, size / 2, size * 6 / 10},
		"rows":        {text(1, size), 500, size / 4},
	} {
		e := volume.New(new(volumetest.Mem))
		files := []volume.File{{Name: "a", Data: c.data, Mode: 0o600}}
		ref, info := write(t, e, named(ann, "x"), files)
		same(t, e, ref, files)
		if info.Stored < c.least || info.Stored > c.most {
			t.Errorf("%s: %d bytes stored, want %d to %d", name, info.Stored, c.least, c.most)
		}
	}
}
