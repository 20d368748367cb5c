package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// A Follower reads what is written to a log from a moment on, oldest event
// first, across rotations. Like a Reader it takes nothing from the writer. Its
// methods must not be called concurrently.
type Follower struct {
	// Damaged counts the lines that were skipped because they are not whole, and
	// Lost the times that files were rotated away before they were read.
	Damaged, Lost int

	path   string
	f      *os.File // nil as long as there is no file
	offset int64    // of what is to be read next
	buf    []byte   // read and not yet used
	skip   bool     // the line that buf begins with is too long
}

// Follow gives the events that are written after those that r reads. It must be
// called before anything is read with r, which then reads no more than what was
// written before. The Follower stays good when r is closed, and must be closed
// itself.
func (r *Reader) Follow() (*Follower, error) {
	w := &Follower{path: r.path}
	if len(r.files) == 0 {
		return w, nil
	}
	newest := r.files[0]
	fd, err := syscall.Dup(int(newest.f.Fd()))
	if err != nil {
		return nil, fmt.Errorf("follow audit log: %w", err)
	}
	syscall.CloseOnExec(fd)
	w.f, w.offset = os.NewFile(uintptr(fd), newest.f.Name()), newest.size
	// A line that is just being written is the Follower's.
	end, err := newest.wholeEnd()
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	newest.size, newest.start, w.offset = end, end, end
	return w, nil
}

// wholeEnd is where p's last whole line ends.
func (p *part) wholeEnd() (int64, error) {
	b := make([]byte, 4096)
	for end := p.size; end > 0; {
		n := min(end, int64(len(b)))
		if _, err := p.f.ReadAt(b[:n], end-n); err != nil {
			return 0, fmt.Errorf("follow audit log: %w", err)
		}
		if i := bytes.LastIndexByte(b[:n], '\n'); i >= 0 {
			return end - n + int64(i) + 1, nil
		}
		end -= n
	}
	return 0, nil
}

// Next returns the next event that f lets through; f may be nil. The error is
// io.EOF if there is none yet: ask again later.
func (w *Follower) Next(f *Filter) (*Entry, error) {
	for {
		line, err := w.line()
		if err != nil {
			return nil, err
		}
		if len(line) == 0 {
			continue
		}
		if !whole(line) {
			w.Damaged++
			continue
		}
		if f != nil && !f.may(line) {
			continue
		}
		e, err := parse(line)
		if err != nil {
			w.Damaged++
			continue
		}
		if f == nil || f.Match(e) {
			return e, nil
		}
	}
}

// line is the next line, valid until the next call.
func (w *Follower) line() ([]byte, error) {
	for {
		if i := bytes.IndexByte(w.buf, '\n'); i >= 0 {
			line := w.buf[:i]
			w.buf = w.buf[i+1:]
			if w.skip {
				w.skip, line = false, tooLong
			}
			return line, nil
		}
		if len(w.buf) > maxLine {
			w.buf, w.skip = w.buf[:0], true
		}
		err := w.fill()
		if !errors.Is(err, io.EOF) {
			if err != nil {
				return nil, err
			}
			continue
		}
		if more, err := w.advance(); err != nil {
			return nil, err
		} else if !more {
			return nil, io.EOF
		}
	}
}

// fill reads what comes after buf in the present file.
func (w *Follower) fill() error {
	if w.f == nil {
		return io.EOF
	}
	b := make([]byte, len(w.buf)+chunk)
	copy(b, w.buf)
	n, err := w.f.ReadAt(b[len(w.buf):], w.offset)
	w.offset += int64(n)
	w.buf = b[:len(w.buf)+n]
	if n > 0 {
		return nil
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("follow audit log: %w", err)
	}
	return io.EOF
}

// advance goes on to the file after the present one, if that has been rotated,
// and reports whether there is more to read.
func (w *Follower) advance() (bool, error) {
	if w.f == nil {
		f, err := os.Open(w.path)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("follow audit log: %w", err)
		}
		w.f, w.offset = f, 0
		return true, nil
	}
	at, next, err := w.place()
	if err != nil || at == 0 || next == nil {
		return false, err
	}
	// Between its last look and the rotation more may have been written.
	if err := w.fill(); !errors.Is(err, io.EOF) {
		return err == nil, errors.Join(err, next.Close())
	}
	if at < 0 {
		w.Lost++
	}
	if len(w.buf) > 0 {
		w.Damaged++
	}
	err = w.f.Close()
	w.f, w.offset, w.buf, w.skip = next, 0, nil, false
	return true, err
}

// place finds the number of the present file, -1 if it was rotated away, and
// opens the file after it: the oldest of all, if it was.
func (w *Follower) place() (int, *os.File, error) {
	info, err := w.f.Stat()
	if err != nil {
		return 0, nil, fmt.Errorf("follow audit log: %w", err)
	}
	is := func(n int) bool {
		other, err := os.Stat(nth(w.path, n))
		return err == nil && os.SameFile(info, other)
	}
	if is(0) {
		return 0, nil, nil
	}
	oldest, err := rotated(w.path)
	if err != nil {
		return 0, nil, err
	}
	at, after := -1, oldest
	for n := 1; n <= oldest; n++ {
		if is(n) {
			at, after = n, n-1
			break
		}
	}
	next, err := os.Open(nth(w.path, after))
	if errors.Is(err, fs.ErrNotExist) {
		return at, nil, nil // it is just being rotated
	}
	if err != nil {
		return 0, nil, fmt.Errorf("follow audit log: %w", err)
	}
	if at > 0 && !is(at) { // rotated meanwhile: next may not be the one
		return at, nil, next.Close()
	}
	return at, next, nil
}

// Close ends the Follower.
func (w *Follower) Close() error {
	if w.f == nil {
		return nil
	}
	return w.f.Close()
}
