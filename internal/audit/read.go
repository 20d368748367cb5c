package audit

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	// chunk is how many bytes are read at once.
	chunk = 256 << 10
	// maxLine bounds a line that is read: no event is as large. What is longer is
	// damage.
	maxLine = 2 << 20
	// nameSize is how many of its first bytes tell a file of the log from others:
	// they hold its first event's id.
	nameSize = 60
)

// ErrGone says that the file of a position is there no more: it was rotated away.
var ErrGone = errors.New("this part of the audit log is there no more")

// ErrPaused says that a Reader has read as much as its Budget allows.
var ErrPaused = errors.New("the audit log was not read to its beginning")

// A Position is the place of an event in the log. It stays the same when files
// are rotated.
type Position struct {
	File   string // "" is nowhere
	Offset int64
}

// A Reader reads a log from its newest event to its oldest, as it was when the
// Reader was opened. It takes nothing from the log's writer: no lock, and none of
// the files, which may be rotated away meanwhile. Its methods must not be called
// concurrently.
type Reader struct {
	// Damaged counts the lines that were skipped because they are not whole: a
	// crash leaves one.
	Damaged int
	// Budget is how many bytes Next reads before it pauses; 0 for no bound.
	Budget int64

	path  string
	read  int64
	files []*part // newest first; [0] is read
}

// A part is a file of the log, of which what precedes buf[:end] is to be read.
type part struct {
	f     *os.File
	name  string // "" of a file without a whole event
	size  int64
	start int64 // offset of buf[0]
	buf   []byte
	end   int
	skip  bool // what buf[:end] ends with belongs to a line that is too long
}

// OpenReader opens the log at path for reading. A log that is not there is empty.
func OpenReader(path string) (*Reader, error) {
	r := &Reader{path: path}
	oldest, err := rotated(path)
	if err != nil {
		return nil, err
	}
	// A rotation meanwhile makes files older: they may be met twice, but are not
	// missed by one who goes on as long as there are older ones.
	for n := 0; n <= oldest; n++ {
		p, err := openPart(nth(path, n))
		if n == oldest && err == nil || errors.Is(err, fs.ErrNotExist) {
			older, rerr := rotated(path)
			oldest = max(oldest, older)
			if rerr != nil {
				err = rerr
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, errors.Join(err, r.Close())
		}
		if slices.ContainsFunc(r.files, p.same) {
			p.f.Close()
			continue
		}
		r.files = append(r.files, p)
	}
	return r, nil
}

// nth is the name of a log's file: the present one is 0.
func nth(path string, n int) string {
	if n == 0 {
		return path
	}
	return path + "." + strconv.Itoa(n)
}

// rotated is the number of the oldest rotated file, 0 if there is none.
func rotated(path string) (int, error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("read audit log: %w", err)
	}
	oldest := 0
	for _, e := range entries {
		suffix, ok := strings.CutPrefix(e.Name(), filepath.Base(path)+".")
		if n, err := strconv.Atoi(suffix); ok && err == nil && n < 1<<20 {
			oldest = max(oldest, n)
		}
	}
	return oldest, nil
}

func openPart(path string) (*part, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read audit log: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read audit log: %w", err), f.Close())
	}
	p := &part{f: f, size: info.Size(), start: info.Size()}
	first := make([]byte, nameSize)
	if _, err := f.ReadAt(first, 0); err == nil {
		p.name = hex.EncodeToString(first[nameSize-36:])
	}
	return p, nil
}

func (p *part) same(q *part) bool {
	a, aerr := p.f.Stat()
	b, berr := q.f.Stat()
	return aerr == nil && berr == nil && os.SameFile(a, b)
}

// Close ends the Reader.
func (r *Reader) Close() error {
	var errs []error
	for _, p := range r.files {
		errs = append(errs, p.f.Close())
	}
	r.files = nil
	return errors.Join(errs...)
}

// Before makes Next go on with the event before the one at p. If its file is
// gone, so is all that was before it, and the error is ErrGone.
func (r *Reader) Before(p Position) error {
	for len(r.files) > 0 && r.files[0].name != p.File {
		r.files[0].f.Close()
		r.files = r.files[1:]
	}
	if len(r.files) == 0 || p.File == "" {
		return ErrGone
	}
	f := r.files[0]
	f.start, f.end, f.skip = min(max(p.Offset, 0), f.size), 0, false
	return nil
}

// Next returns the next event, going back in time, for which f's quick look says
// that it may match, and which does. f may be nil. The error is io.EOF at the
// log's beginning, and ErrPaused when the Budget is used up; then it comes with
// the position to go on from. What is damaged is skipped, and counted.
func (r *Reader) Next(f *Filter) (*Entry, Position, error) {
	for {
		line, at, err := r.line()
		if err != nil {
			return nil, Position{}, err
		}
		if r.read += int64(len(line)); r.Budget > 0 && r.read > r.Budget {
			r.read = 0
			at.Offset += int64(len(line)) // this line is still to come
			return nil, at, ErrPaused
		}
		if !whole(line) {
			r.Damaged++
			continue
		}
		if f != nil && f.past(line) {
			return nil, Position{}, io.EOF
		}
		if f != nil && !f.may(line) {
			continue
		}
		e, err := parse(line)
		if err != nil {
			r.Damaged++
			continue
		}
		if f == nil || f.Match(e) {
			return e, at, nil
		}
	}
}

// line is the next line that is not empty, valid until the next call.
func (r *Reader) line() ([]byte, Position, error) {
	for len(r.files) > 0 {
		p := r.files[0]
		line, at, err := p.line()
		if err == nil && len(line) == 0 {
			continue
		}
		if err == nil || !errors.Is(err, io.EOF) {
			return line, Position{p.name, at}, err
		}
		if p.skip {
			r.Damaged++
		}
		p.f.Close()
		r.files = r.files[1:]
	}
	return nil, Position{}, io.EOF
}

// line is the line before the last one that was returned, and its offset. A line
// that is too long is returned as one that is damaged.
func (p *part) line() ([]byte, int64, error) {
	for {
		i := bytes.LastIndexByte(p.buf[:p.end], '\n')
		if i >= 0 || p.start == 0 {
			if i < 0 && p.end == 0 {
				return nil, 0, io.EOF
			}
			line := p.buf[i+1 : p.end]
			p.end = max(i, 0)
			if p.skip {
				p.skip, line = false, tooLong
			}
			return line, p.start + int64(i) + 1, nil
		}
		if p.end > maxLine {
			p.end, p.skip = 0, true
		}
		if err := p.fill(); err != nil {
			return nil, 0, err
		}
	}
}

// tooLong stands for a line that was not kept.
var tooLong = []byte("too long")

// fill reads what comes before buf.
func (p *part) fill() error {
	n := int(min(p.start, chunk))
	if need := n + p.end; cap(p.buf) < need {
		bigger := make([]byte, need, 2*need)
		copy(bigger[n:], p.buf[:p.end])
		p.buf = bigger
	} else {
		p.buf = p.buf[:need]
		copy(p.buf[n:], p.buf[:p.end])
	}
	if _, err := p.f.ReadAt(p.buf[:n], p.start-int64(n)); err != nil {
		return fmt.Errorf("read audit log: %w", err)
	}
	p.start -= int64(n)
	p.end += n
	return nil
}
