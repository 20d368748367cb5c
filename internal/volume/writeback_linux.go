package volume

import (
	"os"

	"golang.org/x/sys/unix"
)

// startWriteback has the kernel begin to write bytes from to to of f to the disk,
// and does not wait for them. It promises nothing, so its errors mean nothing: what
// goes wrong is told by the sync that follows.
func startWriteback(f *os.File, from, to int64) {
	if from == to {
		return
	}
	c, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = c.Control(func(fd uintptr) {
		_ = unix.SyncFileRange(int(fd), from, to-from, unix.SYNC_FILE_RANGE_WRITE)
	})
}
