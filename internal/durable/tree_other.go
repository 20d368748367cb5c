//go:build !linux

package durable

import "fmt"

// SyncTree makes every file, directory and name below root durable, and root's
// own content; root's name is for the caller to sync.
func SyncTree(root string) error {
	if err := syncWalk(root); err != nil {
		return fmt.Errorf("sync tree %s: %w", root, err)
	}
	return nil
}
