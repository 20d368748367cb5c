package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"borealis/internal/cloud"
	"borealis/internal/durable"
	"borealis/internal/seal"
	"borealis/internal/store"
)

// Errors about the data directory. They come wrapped in sentences that say what
// to do.
var (
	// ErrLocked says that another process uses the data directory.
	ErrLocked = errors.New("in use by another process")
	// ErrNotInitialized says that the directory holds no data yet.
	ErrNotInitialized = errors.New("not initialized")
	// ErrFormat says that another version of the program wrote the directory.
	ErrFormat = errors.New("written in another format")
	// ErrRootKey says that the root key is missing or not the directory's own.
	ErrRootKey = errors.New("wrong root key")
)

// format is what the file FORMAT of a data directory says. A program that finds
// another line there touches nothing.
const format = "borealis data 1\n"

// A dataDir is a data directory, held by this process alone.
//
//	FORMAT        names the format
//	LOCK          is locked while a process uses the directory
//	borealis.db   the database
//	volumes/      snapshots, encrypted
//	engines/      the running PostgreSQL servers' files
//	audit/        the log of decisions
//	admin.addr    where the running server listens for its operator
type dataDir struct {
	path string
	lock *os.File
}

func (d *dataDir) join(name string) string { return filepath.Join(d.path, name) }

// openDataDir locks the directory and checks its format. With init it makes a
// directory that is missing and initializes one that is empty.
func openDataDir(path string, init bool) (*dataDir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if init {
		if err := os.MkdirAll(path, 0o711); err != nil { // engines' own user must reach its files below
			return nil, fmt.Errorf("make data directory: %w", err)
		}
	}
	d := &dataDir{path: path}
	if err := d.acquire(); err != nil {
		return nil, err
	}
	if err := d.checkFormat(init); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// acquire takes the lock, which the kernel gives back however the process ends.
func (d *dataDir) acquire() error {
	f, err := os.OpenFile(d.join("LOCK"), os.O_CREATE|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("data directory %s does not exist; create it with --init: %w", d.path, ErrNotInitialized)
	}
	if err != nil {
		return fmt.Errorf("data directory %s is not writable: %w", d.path, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return fmt.Errorf("data directory %s: %w", d.path, ErrLocked)
	}
	d.lock = f
	return nil
}

func (d *dataDir) checkFormat(init bool) error {
	have, err := os.ReadFile(d.join("FORMAT"))
	switch {
	case err == nil && string(have) == format:
		return nil
	case err == nil:
		return fmt.Errorf("data directory %s has format %q, this program knows %q; use the version that wrote it: %w", d.path, strings.TrimSpace(string(have)), strings.TrimSpace(format), ErrFormat)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != "LOCK" {
			return fmt.Errorf("data directory %s holds %s but no file FORMAT, so it is not one of borealis: %w", d.path, e.Name(), ErrFormat)
		}
	}
	if !init {
		return fmt.Errorf("data directory %s is empty (is a disk not mounted?); initialize it with --init: %w", d.path, ErrNotInitialized)
	}
	return durable.WriteFile(d.join("FORMAT"), []byte(format), 0o644)
}

func (d *dataDir) close() error { return d.lock.Close() }

// rootKey reads the root key from path. With init it makes one where there is
// none, unless the database was sealed under one before.
func rootKey(ctx context.Context, db *store.DB, path string, init bool) (*seal.Root, error) {
	sealedUnder, err := db.Meta(ctx, "root key")
	if err != nil && !errors.Is(err, cloud.ErrNotFound) {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && init && sealedUnder == "" {
		if text, err = newRootKey(path); err != nil {
			return nil, fmt.Errorf("make root key: %w", err)
		}
	} else if err != nil {
		return nil, fmt.Errorf("read the root key (%w): %w", err, ErrRootKey)
	}
	defer clear(text)
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("root key %s can be read by others (mode %04o); chmod 600 it: %w", path, info.Mode().Perm(), ErrRootKey)
	}
	root, err := seal.ParseRoot(text)
	if err != nil {
		return nil, fmt.Errorf("root key %s: %w: %w", path, err, ErrRootKey)
	}
	if sealedUnder == "" {
		return root, db.SetMeta(ctx, "root key", root.ID())
	}
	if sealedUnder != root.ID() {
		return nil, fmt.Errorf("root key %s is %s, but the data are sealed under %s: %w", path, root.ID(), sealedUnder, ErrRootKey)
	}
	return root, nil
}

func newRootKey(path string) ([]byte, error) {
	text := seal.NewRoot().Text()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	return text, durable.WriteFile(path, text, 0o600)
}
