package durable

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// SyncTree makes every file, directory and name below root durable, and root's
// own content; root's name is for the caller to sync. It is one syncfs of the
// file system that holds root, which reports write errors since Linux 5.8 and
// which costs one journal commit where a sync of each file costs thousands. The
// tree must be on one file system.
func SyncTree(root string) error {
	d, err := os.Open(root)
	if err != nil {
		return err
	}
	err = unix.Syncfs(int(d.Fd()))
	if errors.Is(err, unix.ENOSYS) {
		err = syncWalk(root)
	}
	if err := errors.Join(err, d.Close()); err != nil {
		return fmt.Errorf("sync tree %s: %w", root, err)
	}
	return nil
}
