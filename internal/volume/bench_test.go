package volume_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"borealis/internal/volume"
	"borealis/internal/volume/disk"
)

// benchSize is the data of the benchmarks: one quarter does not compress, the
// rest looks like rows.
const benchSize = 256 * mib

// benchFiles writes the data to a directory and lists it.
func benchFiles(b *testing.B) []volume.File {
	dir := b.TempDir()
	var files []volume.File
	for i := range benchSize / (16 * mib) {
		data := text(i, 16*mib)
		if i%4 == 0 {
			data = random(i, 16*mib)
		}
		path := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(path, data, 0o600); err != nil {
			b.Fatal(err)
		}
		files = append(files, volume.File{Name: fmt.Sprint(i), Path: path, Mode: 0o600, Size: 16 * mib})
	}
	return files
}

func benchEngine(b *testing.B) *volume.Engine {
	d, err := disk.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	return volume.New(d)
}

// one runs work until the benchmark is over, and undo after each, off the clock.
func one(b *testing.B, work, undo func() error) {
	b.SetBytes(benchSize)
	for b.Loop() {
		if err := work(); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := undo(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func BenchmarkWrite(b *testing.B) {
	e, files := benchEngine(b), benchFiles(b)
	one(b, func() error { _, err := tryWrite(b, e, named(ann, "x"), files); return err },
		func() error { return e.Delete(b.Context(), "x") })
}

func BenchmarkWriteUnchanged(b *testing.B) {
	e, files := benchEngine(b), benchFiles(b)
	write(b, e, named(ann, "base"), files)
	one(b, func() error { _, err := tryWrite(b, e, named(ann, "x"), files); return err },
		func() error { return e.Delete(b.Context(), "x") })
}

func BenchmarkCopy(b *testing.B) {
	e := benchEngine(b)
	ref, _ := write(b, e, named(ann, "x"), benchFiles(b))
	one(b, func() error {
		_, err := e.Copy(b.Context(), ref, named(bob, "y"), volume.CopyOptions{})
		return err
	}, func() error { return e.Delete(b.Context(), "y") })
}

func BenchmarkRestore(b *testing.B) {
	e := benchEngine(b)
	ref, _ := write(b, e, named(ann, "x"), benchFiles(b))
	dir := filepath.Join(b.TempDir(), "out")
	one(b, func() error { return e.Restore(b.Context(), ref, dir, volume.RestoreOptions{}) },
		func() error { return os.RemoveAll(dir) })
}

func BenchmarkCheck(b *testing.B) {
	e := benchEngine(b)
	ref, _ := write(b, e, named(ann, "x"), benchFiles(b))
	one(b, func() error { return e.Check(b.Context(), ref, volume.CheckOptions{}) }, func() error { return nil })
}
