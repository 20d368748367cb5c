package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// ErrClosed says that Record was called after Close.
var ErrClosed = errors.New("the audit log is closed")

const (
	// writeEvery bounds how long a recorded event waits in memory, and syncEvery
	// how long it waits in the operating system's.
	writeEvery = 100 * time.Millisecond
	syncEvery  = time.Second
	// maxPending is how many bytes may wait in memory; Record writes them itself
	// beyond that.
	maxPending = 256 << 10

	defaultSize = 64 << 20
	defaultKeep = 8
)

// A Log is the append-only log of calls: a file of JSON lines, one an event.
//
// Record and Finish return when the event is in the Log's memory; it is handed to
// the operating system within a tenth of a second and synced to the disk within
// about a second, and Close does both. So a crash of the process loses at most
// the last tenth of a second of events, and a power cut about the last second;
// what is lost are always the newest. An event that cannot be written is not
// dropped in silence: every Record and Finish fails, from the first failed write or sync
// until one succeeds. Events already accepted wait for that, in bounded memory.
//
// Its methods may be called concurrently. A Log owns its file: only one may be
// open on a path.
type Log struct {
	path string
	size int64 // rotate before the file grows beyond
	keep int   // rotated files to keep

	mu      sync.Mutex
	file    file
	written int64  // bytes in file
	pending []byte // not yet written
	inLine  bool   // the file ends in half a line, of which pending is the rest
	dirty   bool   // written since the last sync
	err     error  // why the last write or sync failed; nil if it did not
	closed  bool

	stop chan struct{}
	done chan struct{}
}

// file is what a Log needs of *os.File.
type file interface {
	io.WriteCloser
	Sync() error
}

// An Option changes how a Log keeps its files.
type Option func(*Log)

// Rotate makes the Log begin a new file before the present one would grow beyond
// size bytes, and keep that many of the old ones: path.1 is the newest. Without
// this option it is 64 MiB and 8 files. An event larger than size gets a file of
// its own.
func Rotate(size int64, keep int) Option {
	return func(l *Log) { l.size, l.keep = size, keep }
}

// Open opens the log at path, making it with mode 0600 if there is none. A last
// line that a crash left unfinished stays as it is; what follows begins on a
// line of its own.
func Open(path string, options ...Option) (*Log, error) {
	l := &Log{path: path, size: defaultSize, keep: defaultKeep, stop: make(chan struct{}), done: make(chan struct{})}
	for _, o := range options {
		o(l)
	}
	if err := l.open(); err != nil {
		return nil, err
	}
	go l.flushes()
	return l, nil
}

// open opens path for appending and learns its size and how it ends.
func (l *Log) open() error {
	f, err := os.OpenFile(l.path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open audit log: %w", err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", l.path)
	}
	last := []byte{'\n'}
	if err == nil && info.Size() > 0 {
		_, err = f.ReadAt(last, info.Size()-1)
	}
	if err == nil {
		err = f.Chmod(0o600)
	}
	if err != nil {
		f.Close()
		return fmt.Errorf("open audit log: %w", err)
	}
	if info.Size() == 0 {
		syncDir(filepath.Dir(l.path))
	}
	l.file, l.written = f, info.Size()
	if last[0] != '\n' {
		l.pending = append([]byte{'\n'}, l.pending...)
	}
	return nil
}

// syncDir makes the names in dir durable, where the file system can.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync() // some file systems cannot; the log is usable all the same
		d.Close()
	}
}

// lines are buffers to make lines in.
var lines = sync.Pool{New: func() any { return new([]byte) }}

// Record puts e on record, on the terms of the Log's comment: as an event of its
// own or, if its caller has a Call, as a decision of that one, for Finish. If it
// returns an error, e may not be on record and what e allows must not be done.
func (l *Log) Record(e Event) error {
	if c, ok := e.Caller.Call.(*Call); ok && c.add(e.decision()) {
		if err := l.ready(); err != nil {
			return fmt.Errorf("record %s: %w", e.Action, err)
		}
		return nil
	}
	b := lines.Get().(*[]byte)
	defer lines.Put(b)
	*b = appendEvent((*b)[:0], &e)
	if err := l.accept(*b, false); err != nil {
		return fmt.Errorf("record %s: %w", e.Action, err)
	}
	return nil
}

// Finish puts a call on record that has ended, with the decisions about it. If
// it returns an error, the call may not be on record, and its answer must not be
// given; unless memory runs out or the Log is closed, it will be on record when
// the log can be written again.
func (l *Log) Finish(c *Call, o Outcome) error {
	b := lines.Get().(*[]byte)
	defer lines.Put(b)
	*b = appendCall((*b)[:0], c, c.finish(), o)
	if err := l.accept(*b, true); err != nil {
		return fmt.Errorf("record %s:%s: %w", c.Service, c.Operation, err)
	}
	return nil
}

// ready says whether the log can be written, as far as is known.
func (l *Log) ready() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.check(0)
}

// check is ready for n bytes more; l.mu is held.
func (l *Log) check(n int) error {
	if l.closed {
		return ErrClosed
	}
	if len(l.pending)+n > maxPending || l.err != nil {
		// Too much is waiting, or the last attempt failed: find out how things are.
		l.flush()
	}
	return l.err
}

// accept takes a line into memory. One whose call has been done already is kept,
// where there is room, even if the log cannot be written now.
func (l *Log) accept(line []byte, done bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.check(len(line))
	if err == nil || done && !l.closed && len(l.pending)+len(line) <= maxPending {
		l.pending = append(l.pending, line...)
	}
	return err
}

// Written hands what is recorded to the operating system, so that readers of the
// files find it.
func (l *Log) Written() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	l.flush()
	return l.err
}

// Read opens the log for reading, with all that is recorded.
func (l *Log) Read() (*Reader, error) {
	if err := l.Written(); err != nil {
		return nil, err
	}
	return OpenReader(l.path)
}

// Flush hands what is recorded to the operating system and syncs it to the disk.
func (l *Log) Flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	return l.settle()
}

// Close writes and syncs what is recorded, and ends the Log. Closing it again
// does nothing.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	err := errors.Join(l.settle(), l.file.Close())
	l.mu.Unlock()
	close(l.stop)
	<-l.done
	return err
}

// flushes writes and syncs at the promised intervals until Close.
func (l *Log) flushes() {
	defer close(l.done)
	writes, syncs := time.NewTicker(writeEvery), time.NewTicker(syncEvery)
	defer writes.Stop()
	defer syncs.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-writes.C:
			l.mu.Lock()
			if !l.closed {
				l.flush()
			}
			l.mu.Unlock()
		case <-syncs.C:
			l.syncAside()
		}
	}
}

// syncAside is sync without making Record wait for the disk.
func (l *Log) syncAside() {
	l.mu.Lock()
	f := l.file
	if l.closed || !l.dirty {
		l.mu.Unlock()
		return
	}
	l.dirty = false
	l.mu.Unlock()
	err := f.Sync()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil && l.file == f && !l.closed {
		// Otherwise rotate or Close has synced f before closing it.
		l.err, l.dirty = fmt.Errorf("sync audit log: %w", err), true
	}
}

// settle writes and syncs, and waits for both.
func (l *Log) settle() error {
	l.flush()
	if err := l.sync(); l.err == nil { // even if syncAside is at it just now
		l.err = err
	}
	return l.err
}

// flush writes what is pending, and leaves in err how that went.
func (l *Log) flush() {
	failing := l.err != nil
	if len(l.pending) > 0 {
		l.err = l.write()
	}
	if failing && len(l.pending) == 0 {
		l.err = l.sync() // what failed may have been a sync: only another tells
	}
}

// write writes what is pending, in a new file if the present one is full. What
// did not get into the file stays pending, from the byte where it broke off.
func (l *Log) write() error {
	if !l.inLine && l.written > 0 && l.written+int64(len(l.pending)) > l.size {
		if err := l.rotate(); err != nil {
			return fmt.Errorf("rotate audit log: %w", err)
		}
	}
	n, err := l.file.Write(l.pending)
	if n > 0 {
		l.written += int64(n)
		l.dirty = true
		l.inLine = l.pending[n-1] != '\n'
	}
	l.pending = append(l.pending[:0], l.pending[n:]...)
	if err != nil {
		return fmt.Errorf("write audit log: %w", err)
	}
	return nil
}

// sync makes what is written durable.
func (l *Log) sync() error {
	err := l.file.Sync()
	l.dirty = err != nil
	if err != nil {
		err = fmt.Errorf("sync audit log: %w", err)
	}
	return err
}

// rotate begins a new file. It may be done again after a crash or a failure
// anywhere in it.
func (l *Log) rotate() error {
	if err := l.file.Sync(); err != nil {
		return err
	}
	_, err := os.Lstat(l.path)
	if err == nil { // else an earlier attempt has moved the files already
		err = l.shift()
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return err
	}
	old := l.file
	if err := l.open(); err != nil {
		return err // old stays open until the next attempt
	}
	return old.Close()
}

// shift makes path.1 of path, path.2 of path.1 and so on, and forgets the oldest,
// and those that an earlier setting has kept.
func (l *Log) shift() error {
	oldest, err := rotated(l.path)
	if err != nil {
		return err
	}
	for n := oldest; n > 0; n-- {
		if n >= l.keep {
			err = os.Remove(nth(l.path, n))
		} else {
			err = os.Rename(nth(l.path, n), nth(l.path, n+1))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if l.keep < 1 {
		return os.Remove(l.path)
	}
	return os.Rename(l.path, nth(l.path, 1))
}
