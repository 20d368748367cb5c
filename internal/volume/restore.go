package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
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
	tree, err := durable.OpenTree(stage)
	if err != nil {
		return err
	}
	defer func() { _ = tree.Close() }() // nothing is written through it
	if err := r.fill(ctx, stage, opts); err != nil {
		return err
	}
	if err := tree.Sync(); err != nil {
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
	out := newOutput(root, r.m)
	if err := out.layOut(ctx); err != nil {
		return errors.Join(err, out.close())
	}
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
			return out.writeBlock(t.file, t.n, content)
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

// layOut makes the directories, and the files of which nothing is stored: those
// that are empty, and those of zeros alone, as one hole.
func (o *output) layOut(ctx context.Context) error {
	made := map[string]bool{".": true}
	for i := range o.files {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		f := &o.files[i]
		dir := path.Dir(f.name)
		if f.dir {
			dir = f.name
		}
		if !made[dir] {
			if err := o.root.MkdirAll(dir, 0o700); err != nil {
				return err
			}
			made[dir] = true
		}
		if f.dir || o.slots[i].left > 0 {
			continue
		}
		h, err := o.make(f)
		if err == nil {
			err = h.Close()
		}
		if err != nil {
			return err
		}
	}
	return nil
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
