package disk_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"borealis/internal/durable"
	"borealis/internal/volume"
	"borealis/internal/volume/disk"
	"borealis/internal/volume/volumetest"
)

func TestBackend(t *testing.T) {
	volumetest.TestBackend(t, func(t *testing.T) volume.Backend { return open(t, t.TempDir()) })
}

func open(t *testing.T, dir string) *disk.Disk {
	t.Helper()
	d, err := disk.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestNamesStayInside(t *testing.T) {
	dir := t.TempDir()
	d := open(t, filepath.Join(mkdir(t, dir, "in")))
	for _, name := range []string{"", ".", "..", "../x", "a/../../x", "/x", "a//b", "a/", ".hidden", "a/.b", "a\\b", "a\x00b"} {
		if err := d.Put(t.Context(), name, nil); err == nil {
			t.Errorf("Put %q was accepted", name)
		}
		if _, err := d.Get(t.Context(), name); err == nil {
			t.Errorf("Get %q was accepted", name)
		}
		if err := d.Delete(t.Context(), name); err == nil {
			t.Errorf("Delete %q was accepted", name)
		}
	}
}

func TestOpenNeedsTheDirectory(t *testing.T) {
	if _, err := disk.Open(filepath.Join(t.TempDir(), "not-mounted")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open: %v, want ErrNotExist", err)
	}
}

// What a crash leaves of a Put is no object, and is gone after Open.
func TestOpenRemovesHalfWrittenFiles(t *testing.T) {
	dir := t.TempDir()
	if err := open(t, dir).Put(t.Context(), "packs/v/1", []byte("whole")); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(dir, "packs", "v", durable.TempPrefix+"123")
	if err := os.WriteFile(half, []byte("ha"), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := open(t, dir).List(t.Context(), "")
	if err != nil || len(list) != 1 || list[0].Name != "packs/v/1" {
		t.Errorf("List: %v, %v", list, err)
	}
	if _, err := os.Stat(half); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("half-written file: %v, want ErrNotExist", err)
	}
}

// A Put that fails leaves the object as it was, and nothing beside it.
func TestFailedPutChangesNothing(t *testing.T) {
	if os.Getuid() == 0 {
		testFullDisk(t)
		return
	}
	dir := t.TempDir()
	d := open(t, dir)
	if err := d.Put(t.Context(), "x", []byte("old")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o700)
	if err := d.Put(t.Context(), "x", []byte("new")); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("Put: %v, want ErrPermission", err)
	}
	if got, err := d.Get(t.Context(), "x"); err != nil || string(got) != "old" {
		t.Errorf("Get: %q, %v", got, err)
	}
}

func mkdir(t *testing.T, elem ...string) string {
	t.Helper()
	dir := filepath.Join(elem...)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}
