//go:build !linux

package disk_test

import "testing"

func testFullDisk(t *testing.T) {
	t.Skip("SKIPPED, no full disk was tried: it takes a small tmpfs")
}
