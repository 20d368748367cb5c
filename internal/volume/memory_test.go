package volume_test

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"

	"borealis/internal/volume"
	"borealis/internal/volume/disk"
)

// The memory of an operation does not grow with the volume: half a gigabyte
// that does not compress is written, copied and restored in far less.
func TestMemoryIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: bounded memory is not tried with -short: it writes half a gigabyte")
	}
	const size, most = 512 * mib, 120 * mib
	path := filepath.Join(t.TempDir(), "large")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range size / (16 * mib) {
		if _, err := f.Write(random(i, 16*mib)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	d, err := disk.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	e := volume.New(d)
	defer debug.SetGCPercent(debug.SetGCPercent(20)) // so that the heap is what is in use
	var peak uint64
	watch := func(_, _ int64) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		peak = max(peak, m.HeapAlloc)
	}
	under := func(what string, err error) {
		t.Helper()
		if err != nil || peak > most {
			t.Errorf("%s: %v, %d MiB in use", what, err, peak/mib)
		}
		t.Logf("%s: %d MiB in use", what, peak/mib)
		peak = 0
		runtime.GC()
	}
	spec := named(ann, "large")
	w, err := e.Create(t.Context(), spec, volume.CreateOptions{Progress: watch})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if err := w.Add(t.Context(), []volume.File{{Name: "large", Path: path, Mode: 0o600, Size: size}}); err != nil {
		t.Fatal(err)
	}
	info, err := w.Commit(t.Context())
	under("write", err)
	ref := spec.Ref(info.Digest)
	_, err = e.Copy(t.Context(), ref, named(bob, "copy"), volume.CopyOptions{Progress: watch})
	under("copy", err)
	under("restore", e.Restore(t.Context(), ref, filepath.Join(t.TempDir(), "out"), volume.RestoreOptions{Progress: watch}))
}
