// Package durable changes files so that what it has answered survives a power
// cut. It owns the order of write, sync and rename, and nothing else: it knows
// no formats and takes no locks.
//
// Three facts about POSIX file systems shape it. A write is in memory until
// fsync of the file returns. A name lives in its directory, so a new, renamed or
// removed name is in memory until fsync of the directory returns. And a failed
// fsync throws the unwritten pages away (Rebello et al., "Can Applications
// Recover from fsync Failures?", USENIX ATC 2020): asking again answers nil and
// means nothing, so after a failed sync a file is given up, never retried.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// TempPrefix starts the names of files that WriteFile has not finished. A crash
// leaves them behind; whoever owns the directory may remove them when no
// WriteFile is under way.
const TempPrefix = ".tmp-"

// WriteFile makes name hold data. After a power cut at any moment, name holds
// all of the old content or all of the new. When it returns nil, the new.
//
// What strace shows, and why:
//
//	openat(dir/.tmp-1234, O_RDWR|O_CREAT|O_EXCL)  a name that no reader looks at
//	write(...)
//	fsync(tmp)      else the rename may reach the disk before the data
//	rename(tmp, name)
//	fsync(dir)      else the rename may not reach the disk at all
func WriteFile(name string, data []byte, perm fs.FileMode) error {
	if err := WriteName(name, data, perm); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(name))
}

// WriteName is On.WriteName on OS.
func WriteName(name string, data []byte, perm fs.FileMode) error {
	return On{OS}.WriteName(name, data, perm)
}

// WriteName is WriteFile without its last step: the content is on stable
// storage, the name is not until SyncDir of the directory that holds it. It is
// for writers of many files that sync their directory once.
func (on On) WriteName(name string, data []byte, perm fs.FileMode) (err error) {
	tmp, err := on.CreateTemp(filepath.Dir(name), TempPrefix+"*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = on.Remove(tmp.Name()) // nobody reads that name: best effort
		}
	}()
	_, werr := tmp.Write(data)
	if werr == nil {
		werr = tmp.Chmod(perm)
	}
	if werr == nil {
		werr = tmp.Sync()
	}
	if err := errors.Join(werr, tmp.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return on.Rename(tmp.Name(), name)
}

// MkdirAll makes the directory path and the parents it lacks. When it returns
// nil they are there after a power cut. Directories that exist already are
// taken to be durable.
func MkdirAll(path string, perm fs.FileMode) error {
	path = filepath.Clean(path)
	st, err := os.Stat(path)
	if err == nil {
		if !st.IsDir() {
			return &fs.PathError{Op: "mkdir", Path: path, Err: errors.New("is not a directory")}
		}
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := MkdirAll(parent, perm); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, perm); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// Also when someone else made it a moment ago: their sync may be yet to come.
	return SyncDir(parent)
}

// Rename moves a file or directory, whose content is the caller's to sync
// before. When it returns nil the move survives a power cut. Both directories
// are synced, the new one first: in between, both names or either may be seen,
// but never neither.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	if err := SyncDir(filepath.Dir(to)); err != nil {
		return err
	}
	if filepath.Dir(from) == filepath.Dir(to) {
		return nil
	}
	return SyncDir(filepath.Dir(from))
}

// SyncDir makes the names in directory dir durable: those added, and those
// removed.
//
// Unlike a file's, a directory's sync can be asked for again when it has failed:
// names go through the file system's journal, which keeps them for the next try
// or, when it is broken, refuses everything from then on.
func (on On) SyncDir(dir string) error {
	d, err := on.Open(dir)
	if err != nil {
		return err
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}

// SyncDir is On.SyncDir on OS.
func SyncDir(dir string) error { return On{OS}.SyncDir(dir) }

// RemoveTemps is On.RemoveTemps on OS.
func RemoveTemps(dir string) error { return On{OS}.RemoveTemps(dir) }

// RemoveTemps removes what WriteFile calls cut short by a crash have left in
// dir. The caller makes sure that no WriteFile is under way there.
func (on On) RemoveTemps(dir string) error {
	entries, err := on.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !strings.HasPrefix(e.Name(), TempPrefix) {
			continue
		}
		if err := on.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// syncWalk is SyncTree one file at a time.
func syncWalk(root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || (!d.IsDir() && !d.Type().IsRegular()) {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}
