package volume

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// zeros is the plaintext of a block of zeros; zeroHash its hash. Neither costs
// a program anything that does not use it.
var (
	zeros    [BlockSize]byte
	zeroHash = sync.OnceValue(func() Digest { return sha256.Sum256(zeros[:]) })
)

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
		for n := range s.hashes {
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

// A job is one block to read and store.
type job struct {
	*source
	n int
}

// A source is a file that is being read.
type source struct {
	file   file
	r      io.ReaderAt
	closer io.Closer
	hashes []Digest     // of its blocks, as they are stored
	left   atomic.Int64 // blocks to be read
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
	s := &source{file: file{name: f.Name, dir: f.Mode.IsDir(), mode: uint16(f.Mode.Perm())}}
	if !f.ModTime.IsZero() {
		s.file.mtime = f.ModTime.UnixNano()
	}
	if f.Path == "" {
		s.file.size, s.r = int64(len(f.Data)), bytes.NewReader(f.Data)
	} else if err := s.openPath(f); errors.Is(err, fs.ErrNotExist) {
		w.omitted = append(w.omitted, f.Name)
		w.meter.add(0, -f.Size)
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	s.hashes = make([]Digest, blocksOf(s.file.size))
	s.left.Store(int64(len(s.hashes)))
	s.end.Store(s.file.size)
	w.meter.add(0, s.file.size-f.Size)
	if len(s.hashes) == 0 {
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
	return nil
}

// keep takes what has been read of s into the volume.
func (w *Writer) keep(s *source) {
	s.file.size = s.end.Load()
	w.hashes[s.file.name] = s.hashes[:blocksOf(s.file.size)]
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
		want := j.file.length(j.n)
		if len(buf) < want {
			buf = make([]byte, max(want, min(2*len(buf), BlockSize)))
		}
		plain, err := j.read(j.n, buf[:want])
		if err != nil {
			return fmt.Errorf("read %s: %w", j.file.name, err)
		}
		if len(plain) > 0 {
			if j.hashes[j.n], err = w.store(plain, scratch); err != nil {
				return err
			}
		}
		w.meter.add(int64(want), 0)
		if j.left.Add(-1) == 0 {
			j.close()
		}
	}
	return nil
}

// read fills p from block n. Where the file ends before, it ends for good: what
// may have been written behind that in the meantime is not kept.
func (s *source) read(n int, p []byte) ([]byte, error) {
	at := int64(n) * BlockSize
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
type scratch struct{ body, sealed, plain []byte }

// store makes sure that the vault holds the block, and returns its hash.
func (w *Writer) store(plain []byte, s *scratch) (Digest, error) {
	if bytes.Equal(plain, zeros[:len(plain)]) {
		hash := zeroHash()
		if len(plain) < BlockSize {
			hash = sha256.Sum256(plain)
		}
		w.index.set(block{hash: hash, codec: codecZero})
		return hash, nil
	}
	c := chunk{hash: sha256.Sum256(plain), plain: len(plain), codec: codecZstd}
	if !w.index.claim(c.hash) {
		return c.hash, nil
	}
	s.body = compressor().EncodeAll(plain, s.body[:0])
	body := s.body
	if len(body) >= len(plain)-len(plain)/64 { // not worth a decompressor's time
		c.codec, body = codecRaw, plain
	}
	s.sealed = w.keys.sealChunk(s.sealed[:0], c, body)
	return c.hash, w.packs.add(c, s.sealed)
}
