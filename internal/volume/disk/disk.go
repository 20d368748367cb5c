// Package disk keeps volume objects as files below one directory. It owns their
// names on disk and their durability, and knows nothing of what is in them.
package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"borealis/internal/cloud"
	"borealis/internal/durable"
	"borealis/internal/volume"
)

// A Disk is a volume.Backend in a directory. An object is the file of its name.
type Disk struct {
	root string
	on   durable.On

	mu   sync.Mutex
	dirs map[string]*dir // directories known to be durable
}

var _ volume.Backend = (*Disk)(nil)

// Open uses the directory root, which must exist: a disk that is not mounted is
// not a new, empty backend. One process uses it at a time. Files that a crash
// left half-written are removed.
func Open(root string) (*Disk, error) { return OpenOn(durable.OS, root) }

// OpenOn is Open on a file system of the caller's choice.
func OpenOn(fsys durable.FS, root string) (*Disk, error) {
	d := &Disk{root: filepath.Clean(root), on: durable.On{FS: fsys}, dirs: map[string]*dir{}}
	err := d.settle(d.root)
	if err == nil {
		err = d.walk(d.root, func(path string, e fs.DirEntry) error {
			if !e.IsDir() {
				return nil
			}
			return d.settle(path)
		})
	}
	if err != nil {
		return nil, fmt.Errorf("open volume directory: %w", err)
	}
	return d, nil
}

// settle makes of a directory what List promises: what is seen there is durable,
// and what is not is gone, whatever the process before this one did last.
func (d *Disk) settle(path string) error {
	if err := d.on.RemoveTemps(path); err != nil {
		return err
	}
	return d.on.SyncDir(path)
}

// catchUp does the same for directories whose syncs have failed meanwhile.
func (d *Disk) catchUp() error {
	d.mu.Lock()
	dirs := slices.Collect(maps.Values(d.dirs))
	d.mu.Unlock()
	for _, x := range dirs {
		if err := x.catchUp(); err != nil {
			return err
		}
	}
	return nil
}

// walk calls fn for all that is below dir.
func (d *Disk) walk(dir string, fn func(path string, e fs.DirEntry) error) error {
	entries, err := d.on.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		err := fn(path, e)
		if err == nil && e.IsDir() {
			err = d.walk(path, fn)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var element = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*$`)

// path is where the object name is kept.
func (d *Disk) path(name string) (string, error) {
	for e := range strings.SplitSeq(name, "/") {
		if !element.MatchString(e) {
			return "", fmt.Errorf("%q is not the name of an object", name)
		}
	}
	return filepath.Join(d.root, filepath.FromSlash(name)), nil
}

// dir returns the directory path, which it makes if need be.
func (d *Disk) dir(path string) (*dir, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.durable(path)
}

// durable makes sure that the directory path is there, and stays there when the
// power is cut. d.mu is held.
func (d *Disk) durable(path string) (*dir, error) {
	if known := d.dirs[path]; known != nil {
		return known, nil
	}
	if path != d.root {
		above, err := d.durable(filepath.Dir(path))
		if err != nil {
			return nil, err
		}
		if _, err := d.on.Stat(path); errors.Is(err, fs.ErrNotExist) {
			if err := d.on.Mkdir(path, 0o700); err != nil {
				return nil, err
			}
		}
		// Also if it was there: whoever made it, a process before this one or this
		// one a moment ago, may not have got as far as to sync its name.
		if err := above.sync(); err != nil {
			return nil, err
		}
	}
	known := &dir{path: path, on: d.on}
	d.dirs[path] = known
	return known, nil
}

// Put implements volume.Backend.
func (d *Disk) Put(ctx context.Context, name string, data []byte) error {
	path, err := d.path(name)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	in, err := d.dir(filepath.Dir(path))
	if err != nil {
		return err
	}
	if err := d.on.WriteName(path, data, 0o600); err != nil {
		return err
	}
	return in.sync()
}

// Get implements volume.Backend.
func (d *Disk) Get(ctx context.Context, name string) ([]byte, error) {
	path, err := d.path(name)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	f, err := d.on.Open(path)
	if err != nil {
		return nil, notFound(err)
	}
	defer func() { _ = f.Close() }() // it was only read
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	data := make([]byte, st.Size())
	_, err = io.ReadFull(f, data)
	return data, err
}

// GetRange implements volume.Backend.
func (d *Disk) GetRange(ctx context.Context, name string, off int64, p []byte) error {
	path, err := d.path(name)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	f, err := d.on.Open(path)
	if err != nil {
		return notFound(err)
	}
	defer func() { _ = f.Close() }() // it was only read
	if n, err := f.ReadAt(p, off); n < len(p) {
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("read %s at %d: %w", path, off, io.ErrUnexpectedEOF)
		}
		return err
	}
	return nil
}

// List implements volume.Backend.
func (d *Disk) List(ctx context.Context, prefix string) ([]volume.Object, error) {
	if err := d.catchUp(); err != nil {
		return nil, err
	}
	var out []volume.Object
	// Only the directory that the prefix is in, and what is below, can match.
	start := filepath.Join(d.root, filepath.FromSlash(prefix[:strings.LastIndexByte(prefix, '/')+1]))
	if _, err := d.on.Stat(start); errors.Is(err, fs.ErrNotExist) && start != d.root {
		return nil, nil // nothing of that name yet
	}
	err := d.walk(start, func(path string, e fs.DirEntry) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !e.Type().IsRegular() || strings.HasPrefix(e.Name(), ".") {
			return nil
		}
		name := filepath.ToSlash(strings.TrimPrefix(path, d.root)[1:])
		if !strings.HasPrefix(name, prefix) {
			return nil
		}
		st, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // deleted a moment ago
		}
		if err == nil {
			out = append(out, volume.Object{Name: name, Size: st.Size()})
		}
		return err
	})
	// The walk's order is not that of whole names: "a/b" comes before "a-b".
	slices.SortFunc(out, func(a, b volume.Object) int { return strings.Compare(a.Name, b.Name) })
	return out, err
}

// Delete implements volume.Backend.
func (d *Disk) Delete(ctx context.Context, name string) error {
	path, err := d.path(name)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	// Before anything is removed: what is removed has to be synced, or noted as
	// behind.
	in, err := d.dir(filepath.Dir(path))
	if err != nil {
		return err
	}
	if err := d.on.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Also when it was not there: an earlier Delete may have ended before this.
	return in.sync()
}

func notFound(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", cloud.ErrNotFound, err)
	}
	return err
}
