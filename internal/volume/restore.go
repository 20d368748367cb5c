package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"
	"time"

	"borealis/internal/cloud"
	"borealis/internal/durable"
)

// An Owner is a user and a group of the operating system.
type Owner struct{ UID, GID int }

// RestoreOptions are those of Restore. The zero value is good.
type RestoreOptions struct {
	// Owner is who shall own the restored files and dir itself; the process's
	// own user if nil.
	Owner *Owner
	// Workers is how many chunks to work on at a time; as many as the process
	// may use processors if 0.
	Workers int
	// Progress is told of the bytes of files restored.
	Progress Progress
}

// Restore writes the volume's files into dir, which must be an empty directory
// or not exist; its parent must. Every byte is verified. When it returns nil dir
// is complete, has mode 0700 and is on stable storage; until then, and after an
// error or a crash, it is empty or absent: the files grow in a directory beside
// it, named dir with ".restoring" appended, which Restore removes when it fails
// and before it starts.
func (e *Engine) Restore(ctx context.Context, ref Ref, dir string, opts RestoreOptions) error {
	if err := e.restore(ctx, ref, filepath.Clean(dir), opts); err != nil {
		return fmt.Errorf("restore volume %s to %s: %w", ref.ID, dir, err)
	}
	return nil
}

func (e *Engine) restore(ctx context.Context, ref Ref, dir string, opts RestoreOptions) (err error) {
	release, err := e.claim("directory", dir)
	if err != nil {
		return err
	}
	defer release()
	if err := checkEmpty(dir); err != nil {
		return err
	}
	r, err := e.open(ctx, ref)
	if err != nil {
		return err
	}
	defer r.close()
	stage := dir + ".restoring"
	if err := os.RemoveAll(stage); err != nil {
		return err
	}
	if err := os.Mkdir(stage, 0o700); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(stage))
		}
	}()
	if err := r.fill(ctx, stage, opts); err != nil {
		return err
	}
	if err := durable.SyncTree(stage); err != nil {
		return err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return durable.Rename(stage, dir)
}

func checkEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && len(entries) > 0 {
		return fmt.Errorf("directory is not empty: %w", cloud.ErrExists)
	}
	return err
}

// fill makes the tree below stage, which is reached only through an os.Root: no
// name in a manifest can lead out of it.
func (r *reader) fill(ctx context.Context, stage string, opts RestoreOptions) error {
	root, err := os.OpenRoot(stage)
	if err != nil {
		return err
	}
	defer root.Close()
	pieces, zero, err := r.m.pieces()
	if err != nil {
		return err
	}
	m := meter{fn: opts.Progress}
	m.add(zero, r.m.bytes())
	if err := r.layOut(ctx, root); err != nil {
		return err
	}
	out := &output{root: root, files: r.m.files, open: map[int]*os.File{}}
	err = r.each(ctx, pieces, opts.Workers, func(ctx context.Context, p piece, body []byte, s *scratch) error {
		if len(p.targets) == 0 {
			return nil // pages, which blocks that need them ask for
		}
		plain, err := r.plaintext(p, body, s)
		if err != nil {
			return err
		}
		return r.blocksFrom(ctx, p, plain, s, func(t target, content []byte) error {
			m.add(int64(len(content)), 0)
			return out.writeAt(t.file, int64(t.n)*r.m.blockSize(), content)
		})
	})
	err = errors.Join(err, out.close())
	if err == nil {
		err = r.dress(root, stage, opts.Owner)
	}
	if err == nil {
		m.finish()
	}
	return err
}

func (m *manifest) bytes() (n int64) {
	for _, f := range m.files {
		n += f.size
	}
	return n
}

// layOut makes every directory, and every file at its full size: blocks of
// zeros are then there already, as holes.
func (r *reader) layOut(ctx context.Context, root *os.Root) error {
	made := map[string]bool{".": true}
	for _, f := range r.m.files {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		dir := path.Dir(f.name)
		if f.dir {
			dir = f.name
		}
		if !made[dir] {
			if err := root.MkdirAll(dir, 0o700); err != nil {
				return err
			}
			made[dir] = true
		}
		if f.dir {
			continue
		}
		h, err := root.OpenFile(f.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		if f.size > 0 {
			err = h.Truncate(f.size)
		}
		if err := errors.Join(err, h.Close()); err != nil {
			return err
		}
	}
	return nil
}

// An output is the files that are being restored, of which those written last
// are kept open.
type output struct {
	root  *os.Root
	files []file

	mu   sync.Mutex
	open map[int]*os.File
	last []int // oldest first
}

const openFiles = 64

// writeAt writes content at offset at of file n. A file that is closed because
// others are wanted is closed after the writes that have begun.
func (o *output) writeAt(n int, at int64, content []byte) error {
	h, err := o.handle(n)
	if err != nil {
		return err
	}
	_, err = h.WriteAt(content, at)
	if errors.Is(err, os.ErrClosed) { // since it was handed out
		return o.writeAt(n, at, content)
	}
	return err
}

func (o *output) handle(n int) (*os.File, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if h := o.open[n]; h != nil {
		return h, nil
	}
	h, err := o.root.OpenFile(o.files[n].name, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	if len(o.last) == openFiles {
		old := o.last[0]
		o.last = o.last[1:]
		err = o.open[old].Close()
		delete(o.open, old)
	}
	o.open[n] = h
	o.last = append(o.last, n)
	return h, err
}

func (o *output) close() error {
	var errs []error
	for _, h := range o.open {
		errs = append(errs, h.Close())
	}
	return errors.Join(errs...)
}

// dress gives the files their owners, modes and times, children before parents:
// a directory may end up closed to us, and its time changes with its children.
func (r *reader) dress(root *os.Root, stage string, owner *Owner) error {
	owned := map[string]bool{}
	chown := func(name string) error {
		if owner == nil || owned[name] {
			return nil
		}
		owned[name] = true
		return root.Lchown(name, owner.UID, owner.GID)
	}
	for i := len(r.m.files) - 1; i >= 0; i-- {
		f := r.m.files[i]
		// Directories above it that have no entry of their own are owned too.
		for dir := path.Dir(f.name); dir != "."; dir = path.Dir(dir) {
			if err := chown(dir); err != nil {
				return err
			}
		}
		if err := chown(f.name); err != nil {
			return err
		}
		if err := root.Chmod(f.name, fs.FileMode(f.mode)); err != nil {
			return err
		}
		if f.mtime != 0 {
			t := time.Unix(0, f.mtime)
			if err := root.Chtimes(f.name, t, t); err != nil {
				return err
			}
		}
	}
	if owner == nil {
		return nil
	}
	return os.Lchown(stage, owner.UID, owner.GID)
}
