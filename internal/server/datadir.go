package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"borealis/internal/durable"
)

// Errors about the data directory. They come as a refusal, a sentence that says
// what to do.
var (
	// ErrLocked says that another process uses the data directory.
	ErrLocked = errors.New("in use by another process")
	// ErrNotInitialized says that the directory holds no data yet.
	ErrNotInitialized = errors.New("not initialized")
	// ErrFormat says that the directory is another program's, or another
	// version's of this one.
	ErrFormat = errors.New("unknown format")
	// ErrVolumes says that the snapshots are not where they are looked for.
	ErrVolumes = errors.New("snapshots elsewhere")
	// ErrRootKey says that the root key is missing or not the directory's own.
	ErrRootKey = errors.New("wrong root key")
)

// A refusal is one of these errors, in words for the operator.
type refusal struct {
	sentence string
	is       error
}

func (r refusal) Error() string { return r.sentence }

func (r refusal) Unwrap() error { return r.is }

func refuse(is error, format string, args ...any) error {
	return refusal{fmt.Sprintf(format, args...), is}
}

// format is what the file FORMAT of a data directory says. A program that finds
// another line there touches nothing.
const format = "borealis data 1\n"

// A dataDir is a data directory, held by this process alone.
//
//	FORMAT        names the format; the directory is initialized when it is there
//	LOCK          is locked while a process uses the directory
//	borealis.db   the database
//	volumes/      snapshots, encrypted
//	volumes.json  where they are if that is in S3; then volumes-cache/ has some
//	              of their bytes, too
//	volumes-sums  checksums of their objects
//	engines/      the running PostgreSQL servers' files
//	audit/        the log of decisions
//	operator/     where the running server listens for its operator
//
// PostgreSQL's user traverses the directory and engines; all else is private to
// the server's own user.
type dataDir struct {
	path        string
	initialized bool
	lock        *os.File
}

func (d *dataDir) join(name string) string { return filepath.Join(d.path, name) }

// openDataDir locks the directory, once it is sure that it is a data directory
// or, with init, may become one: then it makes it if it is missing. It does not
// initialize it yet.
func openDataDir(path string, init bool) (*dataDir, error) {
	if path == "" {
		return nil, errors.New("no data directory is named; use --data")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	d := &dataDir{path: path}
	if err := d.inspect(init); err != nil {
		return nil, err
	}
	if !d.initialized {
		if err := makeTraversable(path); err != nil {
			return nil, fmt.Errorf("make data directory: %w", err)
		}
	}
	if err := d.acquire(); err != nil {
		return nil, err
	}
	if err := d.inspect(init); err != nil { // now that nobody else is at it
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// inspect looks at the directory, and changes nothing.
func (d *dataDir) inspect(init bool) error {
	have, err := os.ReadFile(d.join("FORMAT"))
	switch {
	case err == nil && string(have) == format:
		d.initialized = true
		return nil
	case err == nil:
		return refuse(ErrFormat, "data directory %s says %q where this program knows %q; use the version that wrote it", d.path, strings.TrimSpace(string(have)), strings.TrimSpace(format))
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("data directory %s cannot be used: %w", d.path, err)
	}
	entries, err := os.ReadDir(d.path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && init:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return refuse(ErrNotInitialized, "data directory %s does not exist; name another with --data, or make it with borealis serve --init", d.path)
	case err != nil:
		return fmt.Errorf("data directory %s cannot be used: %w", d.path, err)
	}
	for _, e := range entries {
		if !allowedBefore(e.Name()) {
			return refuse(ErrFormat, "data directory %s holds %s but no file FORMAT, so it is not one of borealis; name another with --data", d.path, e.Name())
		}
	}
	if !init {
		return refuse(ErrNotInitialized, "data directory %s is empty (is a disk not mounted?); initialize it with borealis serve --init", d.path)
	}
	return nil
}

// allowedBefore reports whether a directory that is to be initialized may hold
// name: our own beginnings, and what a file system is born with.
func allowedBefore(name string) bool {
	return name == "LOCK" || name == "lost+found" || strings.HasPrefix(name, durable.TempPrefix)
}

// makeTraversable makes the directory path and the parents it lacks, durably,
// and lets other users pass through those that it makes, whatever the umask.
func makeTraversable(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := makeTraversable(filepath.Dir(path)); err != nil {
		return err
	}
	if err := durable.MkdirAll(path, 0o711); err != nil {
		return err
	}
	return os.Chmod(path, 0o711)
}

// acquire takes the lock, which the kernel gives back however the process ends.
func (d *dataDir) acquire() error {
	f, err := os.OpenFile(d.join("LOCK"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("data directory %s is not writable for user id %d: %w", d.path, os.Geteuid(), err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return errors.Join(refuse(ErrLocked, "data directory %s is in use by another process: does a borealis serve run already?", d.path), f.Close())
	}
	if err != nil {
		return errors.Join(fmt.Errorf("lock data directory %s: %w", d.path, err), f.Close())
	}
	d.lock = f
	return nil
}

// initialize makes what the directory lacks. FORMAT comes last but for what can
// be made again at any time, so that a directory is initialized or empty.
func (d *dataDir) initialize() error {
	if !d.initialized {
		if err := durable.RemoveTemps(d.path); err != nil {
			return err
		}
		if err := durable.WriteFile(d.join("FORMAT"), []byte(format), 0o644); err != nil {
			return fmt.Errorf("initialize data directory: %w", err)
		}
		d.initialized = true
	}
	for _, private := range []string{"audit", "operator", "volumes"} {
		if err := os.Mkdir(d.join(private), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return errors.Join(d.keepPrivate("borealis.db"), durable.SyncDir(d.path))
}

// keepPrivate makes sure that name is a file that nobody else can read. SQLite
// takes an empty file for a new database, and gives its journals the same mode.
func (d *dataDir) keepPrivate(name string) error {
	f, err := os.OpenFile(d.join(name), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("data directory %s is not writable for user id %d: %w", d.path, os.Geteuid(), err)
	}
	return errors.Join(f.Chmod(0o600), f.Close())
}

func (d *dataDir) close() error { return d.lock.Close() }
