package durable

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// A Tree is a directory and what is below it, all on one file system, about to be
// written and then made durable together.
type Tree struct{ dir *os.File }

// OpenTree is called before the writing begins, so that Sync can tell of writes that
// the kernel did, and failed in, on its own before.
func OpenTree(root string) (*Tree, error) {
	d, err := os.Open(root)
	return &Tree{d}, err
}

// Sync makes every file, directory and name below the root durable, and the root's
// own content; the root's name is for the caller to sync. It is one syncfs of the
// file system, which reports errors of all writes since the tree was opened (Linux
// 5.8) and which costs one journal commit where a sync of each file costs thousands.
func (t *Tree) Sync() error {
	err := unix.Syncfs(int(t.dir.Fd()))
	if errors.Is(err, unix.ENOSYS) {
		err = syncWalk(t.dir.Name())
	}
	if err != nil {
		return fmt.Errorf("sync tree %s: %w", t.dir.Name(), err)
	}
	return nil
}

// Close ends the use of the tree.
func (t *Tree) Close() error { return t.dir.Close() }

// SyncTree is Sync of a tree that has been written already.
func SyncTree(root string) error {
	t, err := OpenTree(root)
	if err != nil {
		return err
	}
	return errors.Join(t.Sync(), t.Close())
}
