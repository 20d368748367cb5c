//go:build !linux

package durable

import "fmt"

// A Tree is a directory and what is below it, about to be written and then made
// durable together.
type Tree struct{ root string }

// OpenTree is called before the writing begins.
func OpenTree(root string) (*Tree, error) { return &Tree{root}, nil }

// Sync makes every file, directory and name below the root durable, and the root's
// own content; the root's name is for the caller to sync.
func (t *Tree) Sync() error {
	if err := syncWalk(t.root); err != nil {
		return fmt.Errorf("sync tree %s: %w", t.root, err)
	}
	return nil
}

// Close ends the use of the tree.
func (t *Tree) Close() error { return nil }

// SyncTree is Sync of a tree that has been written already.
func SyncTree(root string) error { return (&Tree{root}).Sync() }
