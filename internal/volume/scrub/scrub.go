// Package scrub finds bytes that a disk or an object store has changed or lost,
// without any key: it notes a checksum of every object that is put, and reads
// objects again to compare. It owns the notes. It is for rot, not for forgery,
// which the volumes' own authentication finds when they are read with their key.
package scrub

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"

	"golang.org/x/time/rate"

	"borealis/internal/cloud"
	"borealis/internal/durable"
	"borealis/internal/volume"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// pieceSize is how many bytes are read at a time.
const pieceSize = 1 << 20

// A note says what an object was when it was put, or first read.
type note struct {
	Name string `json:"n"`
	Size int64  `json:"s"`
	Sum  uint32 `json:"c"` // CRC-32C
}

// Notes is a volume.Backend that notes what is put. The notes are in a file,
// which may lag behind after a crash: an object without a note is noted when it
// is next read, and believed.
type Notes struct {
	volume.Backend
	path string

	mu    sync.Mutex
	of    map[string]note
	file  *os.File
	lines int // in the file
}

// Open notes what is put into b, in the file path. A line that a crash has cut
// off is no note.
func Open(b volume.Backend, path string) (*Notes, error) {
	n := &Notes{Backend: b, path: path, of: map[string]note{}}
	if err := n.load(); err != nil {
		return nil, fmt.Errorf("read the checksums of volumes: %w", err)
	}
	return n, nil
}

func (n *Notes) load() error {
	text, err := os.ReadFile(n.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	whole := len(text) > 0 && text[len(text)-1] == '\n'
	for line := range strings.Lines(string(text)) {
		n.lines++
		var x note
		if json.Unmarshal([]byte(line), &x) != nil || x.Name == "" {
			continue
		}
		if n.of[x.Name] = x; x.Size < 0 {
			delete(n.of, x.Name)
		}
	}
	if !whole || n.tooMany() {
		return n.rewrite()
	}
	n.file, err = os.OpenFile(n.path, os.O_APPEND|os.O_WRONLY, 0o600)
	return err
}

// tooMany reports whether most lines of the file are out of date.
func (n *Notes) tooMany() bool { return n.lines > 2*len(n.of)+1000 }

// rewrite makes the file hold the notes and nothing else; mu is held, or nobody
// else knows n.
func (n *Notes) rewrite() error {
	var b strings.Builder
	w := json.NewEncoder(&b)
	for _, x := range n.of {
		if err := w.Encode(x); err != nil {
			return err
		}
	}
	if err := durable.WriteFile(n.path, []byte(b.String()), 0o600); err != nil {
		return err
	}
	f, err := os.OpenFile(n.path, os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if n.file != nil {
		err = n.file.Close()
	}
	n.file, n.lines = f, len(n.of)
	return err
}

// set notes x, or with a negative size that there is no such object.
func (n *Notes) set(x note) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.of[x.Name] = x; x.Size < 0 {
		delete(n.of, x.Name)
	}
	n.lines++
	if n.tooMany() && n.rewrite() == nil {
		return
	}
	// A note that is not written is made again when the object is next read.
	w := bufio.NewWriter(n.file)
	_ = json.NewEncoder(w).Encode(x)
	_ = w.Flush()
}

func (n *Notes) get(name string) (note, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	x, ok := n.of[name]
	return x, ok
}

// Put implements volume.Backend.
func (n *Notes) Put(ctx context.Context, name string, data []byte) error {
	n.set(note{Name: name, Size: -1}) // until it is known what is there
	err := n.Backend.Put(ctx, name, data)
	if err == nil {
		n.set(note{name, int64(len(data)), crc32.Checksum(data, castagnoli)})
	}
	return err
}

// Delete implements volume.Backend.
func (n *Notes) Delete(ctx context.Context, name string) error {
	n.set(note{Name: name, Size: -1})
	return n.Backend.Delete(ctx, name)
}

// Close ends the writing of notes.
func (n *Notes) Close() error { return n.file.Close() }

// Options are those of Read.
type Options struct {
	// Rate is how many bytes a second are read at most; as many as can be if 0.
	Rate int64
	// Progress is told of the bytes that are read; it may be nil.
	Progress volume.Progress
	// Found is told of every object that is not what it was.
	Found func(volume.Problem)
}

// Read reads every object of from, which is what the notes are of, without a
// cache before it. It returns how many bytes it has read. What is damaged is no
// error; that nothing can be read is.
func (n *Notes) Read(ctx context.Context, from volume.Backend, o Options) (int64, error) {
	objects, err := from.List(ctx, "")
	if err != nil {
		return 0, fmt.Errorf("read all volumes: %w", err)
	}
	r := reading{from: from, buf: make([]byte, pieceSize), progress: o.Progress}
	if o.Rate > 0 {
		r.limit = rate.NewLimiter(rate.Limit(o.Rate), pieceSize)
	}
	for _, x := range objects {
		r.total += x.Size
	}
	for _, x := range objects {
		if err := n.check(ctx, &r, x, o.Found); err != nil {
			return r.done, fmt.Errorf("read all volumes: %w", err)
		}
	}
	return r.done, nil
}

// check reads one object and compares it with its note, or makes that.
func (n *Notes) check(ctx context.Context, r *reading, x volume.Object, found func(volume.Problem)) error {
	want, noted := n.get(x.Name)
	sum, err := r.sum(ctx, x)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if again, still := n.get(x.Name); still != noted || again != want {
		return nil // it was replaced or deleted meanwhile
	}
	switch {
	case errors.Is(err, cloud.ErrNotFound) && !noted:
		return nil // deleted, by who had no note of it
	case err != nil:
		found(volume.Problem{Object: x.Name, Message: "it cannot be read: " + err.Error()})
	case !noted:
		n.set(note{x.Name, x.Size, sum})
	case x.Size != want.Size:
		found(volume.Problem{Object: x.Name, Message: fmt.Sprintf("it has %d bytes, not the %d that were written", x.Size, want.Size)})
	case sum != want.Sum:
		found(volume.Problem{Object: x.Name, Message: "its bytes are not those that were written"})
	}
	return nil
}

// A reading is one run of Read.
type reading struct {
	from        volume.Backend
	buf         []byte
	limit       *rate.Limiter
	progress    volume.Progress
	done, total int64
}

// sum is the checksum of an object.
func (r *reading) sum(ctx context.Context, x volume.Object) (sum uint32, err error) {
	for off := int64(0); off < x.Size; {
		p := r.buf[:min(pieceSize, x.Size-off)]
		if r.limit != nil {
			if err := r.limit.WaitN(ctx, len(p)); err != nil {
				return 0, err
			}
		}
		if err := r.from.GetRange(ctx, x.Name, off, p); err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) {
				err = errors.New("it ends too early")
			}
			return 0, err
		}
		sum = crc32.Update(sum, castagnoli, p)
		off += int64(len(p))
		r.done += int64(len(p))
		if r.progress != nil {
			r.progress(r.done, max(r.done, r.total))
		}
	}
	return sum, nil
}
