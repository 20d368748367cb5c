package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// A copier copies the files of a data directory. Where the file system shares
// blocks between files it does that; elsewhere it leaves out the blocks that
// are all zeros, which is most of a fresh WAL segment.
type copier struct {
	user      account
	noReflink atomic.Bool
}

// copyTree makes dst a copy of src for user, private to it. Nothing is durable
// before durable.SyncTree. What is left in dst after an error is of no use.
func copyTree(ctx context.Context, dst, src string, user account) error {
	c := &copier{user: user}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(2, runtime.GOMAXPROCS(0)))
	err := filepath.WalkDir(src, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		to := filepath.Join(dst, path[len(src):])
		switch {
		case d.IsDir():
			return user.mkdir(to)
		case d.Type().IsRegular():
			g.Go(func() error { return c.copyFile(to, path) })
			return nil
		}
		return fmt.Errorf("copy %s: not a file or directory", path)
	})
	return errors.Join(err, g.Wait())
}

func (c *copier) copyFile(dst, src string) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(dst, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if c.user.other {
		err = out.Chown(c.user.uid, c.user.gid)
	}
	if err == nil && (c.noReflink.Load() || reflink(out, in) != nil) {
		c.noReflink.Store(true)
		err = copySparse(out, in)
	}
	return errors.Join(err, out.Close())
}

// block is what copySparse reads at once and leaves out when it is all zeros.
const block = 64 << 10

var zeros [block]byte

// copySparse copies in to out, an empty file, with holes for zeros.
func copySparse(out, in *os.File) error {
	buf := make([]byte, block)
	var size int64
	for {
		n, err := io.ReadFull(in, buf)
		if n > 0 && !bytes.Equal(buf[:n], zeros[:n]) {
			if _, err := out.WriteAt(buf[:n], size); err != nil {
				return err
			}
		}
		size += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return out.Truncate(size)
		}
		if err != nil {
			return err
		}
	}
}
