// Package disk keeps volume objects as files below one directory. It owns their
// names on disk and their durability, and knows nothing of what is in them.
package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
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

	mu   sync.Mutex
	dirs map[string]*dir // directories known to exist
}

var _ volume.Backend = (*Disk)(nil)

// Open uses the directory root, which must exist: a disk that is not mounted is
// not a new, empty backend. One process uses it at a time. Files that a crash
// left half-written are removed.
func Open(root string) (*Disk, error) {
	d := &Disk{root: root, dirs: map[string]*dir{}}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		return durable.RemoveTemps(path)
	})
	if err != nil {
		return nil, fmt.Errorf("open volume directory: %w", err)
	}
	return d, nil
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
	if known := d.dirs[path]; known != nil {
		return known, nil
	}
	if err := durable.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	known := &dir{path: path}
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
	if err := durable.WriteName(path, data, 0o600); err != nil {
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
	data, err := os.ReadFile(path)
	return data, notFound(err)
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
	f, err := os.Open(path)
	if err != nil {
		return notFound(err)
	}
	defer f.Close()
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
	var out []volume.Object
	// Only the directory that the prefix is in, and what is below, can match.
	start := filepath.Join(d.root, filepath.FromSlash(prefix[:strings.LastIndexByte(prefix, '/')+1]))
	err := filepath.WalkDir(start, func(path string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // nothing of that name yet, or deleted a moment ago
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !e.Type().IsRegular() || strings.HasPrefix(e.Name(), "."):
			return nil
		}
		rel, err := filepath.Rel(d.root, path)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		if !strings.HasPrefix(name, prefix) {
			return nil
		}
		st, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			out = append(out, volume.Object{Name: name, Size: st.Size()})
		}
		return err
	})
	// WalkDir's order is not that of whole names: "a/b" comes before "a-b".
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
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Also when it was not there: an earlier Delete may have ended before this.
	in, err := d.dir(filepath.Dir(path))
	if err != nil {
		return err
	}
	return in.sync()
}

func notFound(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", cloud.ErrNotFound, err)
	}
	return err
}
