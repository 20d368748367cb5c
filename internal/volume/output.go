package volume

import (
	"errors"
	"os"
	"slices"
	"sync"
)

const (
	openFiles = 64       // of an output, at once
	maxFresh  = 16 << 20 // bytes of a file that are not on their way to the disk
)

// An output is the files that are being restored. A file is made when its first
// block is written and closed when its last is. What is written is sent on its
// way to the disk while other blocks are opened, so that the sync at the end
// finds little left to do.
type output struct {
	root  *os.Root
	files []file
	size  int64 // of a block
	slots []slot

	mu   sync.Mutex
	open []int // files that are open, the one opened first before others

	written chan stretch
	sent    chan error // what closing the files came to, once written is closed
}

// A slot is what is known of one file.
type slot struct {
	mu    sync.Mutex
	made  bool
	h     *os.File // nil while it is not open
	left  int      // blocks that are to be written
	fresh stretch  // what has been written and not been sent lies here
	bytes int64    // and is so much
}

// A stretch is a part of a file that has been written.
type stretch struct {
	h        *os.File
	from, to int64
	last     bool // h is to be closed
}

func newOutput(root *os.Root, m *manifest) *output {
	o := &output{
		root: root, files: m.files, size: m.blockSize(), slots: make([]slot, len(m.files)),
		written: make(chan stretch, openFiles), sent: make(chan error, 1),
	}
	for i := range m.files {
		f := &m.files[i]
		for n := range m.blocksOf(f.size) {
			if m.blocks[f.first+n].codec != codecZero {
				o.slots[i].left++
			}
		}
	}
	go o.send()
	return o
}

// send starts the way of what is written to the disk. It may have to wait until
// the disk takes it, as those who write more then do.
func (o *output) send() {
	var errs []error
	for s := range o.written {
		startWriteback(s.h, s.from, s.to)
		if s.last {
			errs = append(errs, s.h.Close())
		}
	}
	o.sent <- errors.Join(errs...)
}

// make makes f at its full size: what is not written to it is a hole.
func (o *output) make(f *file) (*os.File, error) {
	h, err := o.root.OpenFile(f.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil && f.size > 0 {
		if err = h.Truncate(f.size); err != nil {
			err = errors.Join(err, h.Close())
		}
	}
	return h, err
}

// writeBlock writes block n of file i, once.
func (o *output) writeBlock(i, n int, content []byte) error {
	at := int64(n) * o.size
	for {
		h, err := o.handle(i)
		if err != nil {
			return err
		}
		_, err = h.WriteAt(content, at)
		if errors.Is(err, os.ErrClosed) {
			continue // because others are wanted, since it was handed out
		}
		if err == nil {
			o.wrote(i, at, at+int64(len(content)))
		}
		return err
	}
}

// handle returns file i, open. Another may be closed for it.
func (o *output) handle(i int) (h *os.File, err error) {
	s := &o.slots[i]
	s.mu.Lock()
	if s.h != nil {
		defer s.mu.Unlock()
		return s.h, nil
	}
	if s.made {
		h, err = o.root.OpenFile(o.files[i].name, os.O_WRONLY, 0)
	} else {
		h, err = o.make(&o.files[i])
	}
	if err == nil {
		s.h, s.made = h, true
	}
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	o.open = append(o.open, i)
	old := -1
	if len(o.open) > openFiles {
		old, o.open = o.open[0], o.open[1:]
	}
	o.mu.Unlock()
	if old >= 0 {
		o.retire(old)
	}
	return h, nil
}

// retire closes file i for now.
func (o *output) retire(i int) {
	s := &o.slots[i]
	s.mu.Lock()
	out := s.take(true)
	s.mu.Unlock()
	if out.h != nil {
		o.written <- out
	}
}

// take is what of the slot's file is to be sent. The caller has s.mu.
func (s *slot) take(last bool) stretch {
	out := s.fresh
	out.h, out.last = s.h, last
	s.fresh, s.bytes = stretch{}, 0
	if last {
		s.h = nil
	}
	return out
}

// wrote notes that a block has been written to file i.
func (o *output) wrote(i int, from, to int64) {
	s := &o.slots[i]
	s.mu.Lock()
	if s.bytes == 0 {
		s.fresh.from = from
	}
	s.fresh.from, s.fresh.to = min(s.fresh.from, from), max(s.fresh.to, to)
	s.bytes += to - from
	s.left--
	over := s.left == 0
	var out stretch
	if s.h != nil && (over || s.bytes >= maxFresh) {
		out = s.take(over)
	}
	s.mu.Unlock()
	if out.h == nil {
		return
	}
	if over {
		o.mu.Lock()
		if at := slices.Index(o.open, i); at >= 0 {
			o.open = slices.Delete(o.open, at, at+1)
		}
		o.mu.Unlock()
	}
	o.written <- out
}

// close closes what is open. Nobody writes any more.
func (o *output) close() error {
	for _, i := range o.open {
		o.retire(i)
	}
	close(o.written)
	return <-o.sent
}
