package disk_test

import (
	"bytes"
	"errors"
	"os"
	"syscall"
	"testing"
)

// testFullDisk fills a file system of 1 MiB, which only root may mount.
func testFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("SKIPPED, no full disk was tried: mount tmpfs: %v", err)
	}
	defer syscall.Unmount(dir, syscall.MNT_DETACH)
	d := open(t, dir)
	if err := d.Put(t.Context(), "x", []byte("old")); err != nil {
		t.Fatal(err)
	}
	if err := d.Put(t.Context(), "x", bytes.Repeat([]byte("new"), 1<<20)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Put: %v, want ENOSPC", err)
	}
	if got, err := d.Get(t.Context(), "x"); err != nil || string(got) != "old" {
		t.Errorf("Get: %q, %v", got, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("directory: %v, %v; want one file", entries, err)
	}
}
