package volume

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

	"github.com/zeebo/blake3"
	"golang.org/x/sync/errgroup"
)

// zeros is the plaintext of the largest block of zeros, of any version; zeroHash
// the hash of one of the version written. Neither costs a program anything that
// does not use it.
var (
	zeros    [blockSizeV1]byte
	zeroHash = sync.OnceValue(func() Digest { return blake3.Sum256(zeros[:BlockSize]) })
)

// runBlocks is how many blocks of a file are read at once: few enough to be in the
// processor's nearer caches still when they are hashed and compressed.
const runBlocks = 2

// Add stores files, whose names must be new to the volume, and returns when
// they have been read. Of the blocks that no volume shared with holds, some may
// still be on their way to the backend; Commit waits for them.
func (w *Writer) Add(ctx context.Context, files []File) error {
	if w.done {
		return fmt.Errorf("add to volume %s: it was committed or aborted before", w.m.id)
	}
	if w.err == nil {
		w.err = w.add(ctx, files)
	}
	if w.err != nil {
		return fmt.Errorf("add to volume %s: %w", w.m.id, w.err)
	}
	return nil
}

func (w *Writer) add(ctx context.Context, files []File) error {
	var total int64
	for _, f := range files {
		if err := w.admit(f); err != nil {
			return err
		}
		total += f.Size
	}
	w.meter.add(0, total)

	ctx, stop := w.packs.during(ctx)
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	jobs := make(chan job, w.workers)
	var opened []*source
	g.Go(func() (err error) {
		defer close(jobs)
		opened, err = w.feed(ctx, files, jobs)
		return err
	})
	for range w.workers {
		g.Go(func() error { return w.work(ctx, jobs) })
	}
	err := g.Wait()
	for _, s := range opened {
		s.close()
		w.keep(s)
	}
	return err
}

// feed opens the files one after another, no faster than their blocks are taken
// up, and returns those that it has opened.
func (w *Writer) feed(ctx context.Context, files []File, jobs chan<- job) (opened []*source, err error) {
	for _, f := range files {
		s, err := w.open(f)
		if err != nil {
			return opened, err
		}
		if s == nil {
			continue
		}
		opened = append(opened, s)
		if w.unchanged(s) {
			continue
		}
		for n := 0; n < len(s.cells); n += runBlocks {
			select {
			case jobs <- job{s, n}:
			case <-ctx.Done():
				return opened, context.Cause(ctx)
			}
		}
	}
	return opened, nil
}

// admit checks a file before any is read.
func (w *Writer) admit(f File) error {
	if err := checkName(f.Name); err != nil {
		return err
	}
	if w.names[f.Name] {
		return fmt.Errorf("%q is there twice", f.Name)
	}
	w.names[f.Name] = true
	if f.Mode&^(fs.ModePerm|fs.ModeDir) != 0 {
		return fmt.Errorf("%q is of a type that volumes do not hold: %v", f.Name, f.Mode)
	}
	if f.Mode.IsDir() && (f.Path != "" || f.Data != nil) {
		return fmt.Errorf("directory %q has content", f.Name)
	}
	return nil
}

// A job is a run of blocks to read and store, beginning with block n.
type job struct {
	*source
	n int
}

// A source is a file that is being read.
type source struct {
	file   file
	r      io.ReaderAt
	closer io.Closer
	before *before      // the file in the parent; nil if there is none
	cells  []cell       // of its blocks, as they are stored
	left   atomic.Int64 // runs to be read
	end    atomic.Int64 // where it was found to end
}

func (s *source) close() {
	if s.closer != nil {
		s.closer.Close() // it was only read
		s.closer = nil
	}
}

// open starts to read f. It returns nil for one that has vanished.
func (w *Writer) open(f File) (*source, error) {
	s := &source{file: file{name: f.Name, dir: f.Mode.IsDir(), mode: uint16(f.Mode.Perm())}, before: w.parent.file(f.Name)}
	if !f.ModTime.IsZero() {
		s.file.mtime = f.ModTime.UnixNano()
	}
	if f.from != nil {
		s.file.size, s.r = f.Size, f.from
	} else if f.Path == "" {
		s.file.size, s.r = int64(len(f.Data)), bytes.NewReader(f.Data)
	} else if err := s.openPath(f); errors.Is(err, fs.ErrNotExist) {
		w.omitted = append(w.omitted, f.Name)
		w.meter.add(0, -f.Size)
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	s.cells = make([]cell, blocksOf(s.file.size))
	s.left.Store(int64((len(s.cells) + runBlocks - 1) / runBlocks))
	s.end.Store(s.file.size)
	w.meter.add(0, s.file.size-f.Size)
	if len(s.cells) == 0 {
		s.close()
	}
	return s, nil
}

func (s *source) openPath(f File) error {
	h, err := os.Open(f.Path)
	if err != nil {
		return err
	}
	st, err := h.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", f.Path)
	}
	if err != nil {
		h.Close()
		return err
	}
	if f.ModTime.IsZero() {
		s.file.mtime = st.ModTime().UnixNano()
	}
	s.file.size, s.r, s.closer = st.Size(), h, h
	s.file.stamp = stampOf(st) // taken before the first byte is read
	return nil
}

// keep takes what has been read of s into the volume.
func (w *Writer) keep(s *source) {
	if end := s.end.Load(); end != s.file.size {
		s.file.size, s.file.stamp = end, stamp{} // it changed meanwhile
	}
	w.cells[s.file.name] = s.cells[:blocksOf(s.file.size)]
	w.m.files = append(w.m.files, s.file)
}

// work stores blocks until there are no more.
func (w *Writer) work(ctx context.Context, jobs <-chan job) error {
	var buf []byte
	scratch := &scratch{}
	for j := range jobs {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		at := int64(j.n) * BlockSize
		want := int(min(runBlocks*BlockSize, j.file.size-at))
		if len(buf) < want {
			buf = make([]byte, max(want, min(2*len(buf), runBlocks*BlockSize)))
		}
		if err := w.pace(ctx, want); err != nil {
			return err
		}
		plain, err := j.read(at, buf[:want])
		if err != nil {
			return fmt.Errorf("read %s: %w", j.file.name, err)
		}
		w.input.Add(int64(len(plain)))
		for n := j.n; len(plain) > 0; n++ {
			part := plain[:min(BlockSize, len(plain))]
			plain = plain[len(part):]
			if j.cells[n], err = w.store(ctx, j.source, n, part, scratch); err != nil {
				return err
			}
		}
		w.meter.add(int64(want), 0)
		if j.left.Add(-1) == 0 {
			j.close()
		}
	}
	return w.flushGroup(scratch)
}

// read fills p from offset at. Where the file ends before, it ends for good: what
// may have been written behind that in the meantime is not kept.
func (s *source) read(at int64, p []byte) ([]byte, error) {
	got, err := s.r.ReadAt(p, at)
	if got == len(p) {
		return p, nil
	}
	if !errors.Is(err, io.EOF) {
		return nil, err
	}
	for end := at + int64(got); ; {
		was := s.end.Load()
		if was <= end || s.end.CompareAndSwap(was, end) {
			return p[:got], nil
		}
	}
}

// scratch is the memory of one worker, used again for each block.
type scratch struct {
	body, s2, plain, sealed, old []byte

	group      []byte // pages gathered for the next group
	groupChunk uint32 // its number
}

// store makes sure that the vault holds block n of s, and says what it is made of.
func (w *Writer) store(ctx context.Context, s *source, n int, plain []byte, m *scratch) (cell, error) {
	if isZero(plain) {
		hash := zeroHash()
		if len(plain) < BlockSize {
			hash = blake3.Sum256(plain)
		}
		return cell{hash: hash, codec: codecZero}, nil
	}
	hash := Digest(blake3.Sum256(plain))
	if s.before.length(n) == len(plain) {
		c, ok := w.parent.cell(s.before, n)
		if ok && c.hash == hash {
			return c, nil
		}
		if ok && c.codec != codecZero {
			if c, ok, err := w.patch(ctx, s.before, n, c, hash, plain, m); ok || err != nil {
				return c, err
			}
		}
	}
	id, mine := w.index.claim(hash, len(plain))
	if !mine {
		return cell{hash: hash, chunk: id}, nil
	}
	return cell{hash: hash, chunk: id}, w.put(id, hash, plain, m, false)
}

// put compresses and stores chunk id, a block or a group of pages.
func (w *Writer) put(id uint32, hash Digest, plain []byte, m *scratch, group bool) error {
	body, codec := m.compress(plain, group)
	return w.packs.add(id, chunk{hash: hash, plain: len(plain), codec: codec}, body)
}

// isZero reports whether p is all zeros, at the cost of a byte where it is not.
func isZero(p []byte) bool {
	return p[0] == 0 && p[len(p)-1] == 0 && bytes.Equal(p, zeros[:len(p)])
}
