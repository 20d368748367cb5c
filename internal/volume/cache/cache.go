// Package cache keeps parts of a slow backend's objects in files on a local disk,
// up to a size. It owns those files and which of them go first, and trusts
// neither the disk nor itself: a part is served only if its hash is right, and is
// otherwise read anew. Losing the files loses time and nothing else.
package cache

import (
	"bytes"
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"borealis/internal/volume"
)

// A Source is a backend that is worth a cache.
type Source interface {
	volume.Backend
	// ReadAt is GetRange of an object that may end before p is full: it returns
	// how many bytes there were.
	ReadAt(ctx context.Context, name string, off int64, p []byte) (int, error)
}

// partSize is how many bytes of an object are kept, and fetched, together.
const partSize = 1 << 20

// A Cache is a volume.Backend. Ranges of the objects that it keeps are served
// from files; all else goes to its Source. It takes it that nobody else changes
// the objects that it keeps.
type Cache struct {
	volume.Backend
	source Source
	dir    string
	max    int64
	keeps  func(name string) bool

	mu      sync.Mutex
	size    int64 // bytes of all files
	order   *list.List
	files   map[string]*list.Element // of *entry, by file name; the last used is in front
	changes map[string]*change
	stats   Stats
}

// An entry is a file of the cache.
type entry struct {
	file string
	size int64
}

// A change says that an object may not be what those have read who are reading
// it now.
type change struct {
	readers int
	dirty   bool
}

// Stats are what a Cache has done since it was opened, and what it holds.
type Stats struct {
	Size, Max    int64 // bytes
	Hits, Misses int64 // parts
	Damaged      int64 // files that did not hold what was written
}

// Open makes a cache of max bytes of files in dir, which exists and is the
// cache's alone. What is there from before is used again. keeps says which
// objects to keep, by their names.
func Open(source Source, dir string, max int64, keeps func(name string) bool) (*Cache, error) {
	c := &Cache{Backend: source, source: source, dir: dir, max: max, keeps: keeps,
		order: list.New(), files: map[string]*list.Element{}, changes: map[string]*change{}}
	if err := c.load(); err != nil {
		return nil, fmt.Errorf("open the cache of volumes: %w", err)
	}
	return c, nil
}

const half = ".half" // ends the names of files that are being written

// load takes up the files of the directory, those used last in front.
func (c *Cache) load() error {
	type found struct {
		entry
		used time.Time
	}
	var all []found
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		st, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if strings.HasSuffix(e.Name(), half) {
			if err := os.Remove(filepath.Join(c.dir, e.Name())); err != nil {
				return err
			}
			continue
		}
		if e.Type().IsRegular() {
			all = append(all, found{entry{e.Name(), st.Size()}, st.ModTime()})
		}
	}
	slices.SortFunc(all, func(a, b found) int { return a.used.Compare(b.used) })
	for _, f := range all {
		c.add(f.entry)
	}
	return nil
}

// Stats are the cache's.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Size, s.Max = c.size, c.max
	return s
}

// add puts a file in front and removes those at the end that are too many.
func (c *Cache) add(e entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.files[e.file]; old != nil {
		c.forget(old)
	}
	c.files[e.file] = c.order.PushFront(&e)
	c.size += e.size
	for c.size > c.max && c.order.Len() > 0 {
		last := c.order.Back()
		// One that stays is counted again when the cache is next opened.
		_ = os.Remove(filepath.Join(c.dir, last.Value.(*entry).file))
		c.forget(last)
	}
}

// forget takes a file out of the books; mu is held.
func (c *Cache) forget(at *list.Element) {
	e := at.Value.(*entry)
	c.order.Remove(at)
	delete(c.files, e.file)
	c.size -= e.size
}

// use moves a file to the front and reports whether there is one.
func (c *Cache) use(file string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.files[file]
	if at == nil {
		c.stats.Misses++
		return false
	}
	c.order.MoveToFront(at)
	c.stats.Hits++
	return true
}

// remove removes a file.
func (c *Cache) remove(file string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = os.Remove(filepath.Join(c.dir, file)) // one that stays is no longer believed in
	if at := c.files[file]; at != nil {
		c.forget(at)
	}
}

// begin tells of a reader of name; end reports whether the object stayed the
// same all the while.
func (c *Cache) begin(name string) (end func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.changes[name]
	if x == nil {
		x = &change{}
		c.changes[name] = x
	}
	x.readers++
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		if x.readers--; x.readers == 0 && c.changes[name] == x {
			delete(c.changes, name)
		}
		return !x.dirty
	}
}

// drop forgets what is kept of an object, and what is being read of it.
func (c *Cache) drop(name string) {
	c.mu.Lock()
	if x := c.changes[name]; x != nil {
		x.dirty = true
		delete(c.changes, name)
	}
	var files []string
	for file := range c.files {
		if strings.HasPrefix(file, prefixOf(name)) {
			files = append(files, file)
		}
	}
	c.mu.Unlock()
	for _, file := range files {
		c.remove(file)
	}
}

// Put implements volume.Backend. What is stored is kept, too.
func (c *Cache) Put(ctx context.Context, name string, data []byte) error {
	if !c.keeps(name) {
		return c.Backend.Put(ctx, name, data)
	}
	c.drop(name)
	err := c.Backend.Put(ctx, name, data)
	c.drop(name) // who has read in between may have read either
	if err != nil {
		return err
	}
	end := c.begin(name)
	for i := 0; i*partSize < len(data); i++ {
		c.keep(name, int64(i), data[i*partSize:min((i+1)*partSize, len(data))])
	}
	if !end() {
		c.drop(name)
	}
	return nil
}

// Delete implements volume.Backend.
func (c *Cache) Delete(ctx context.Context, name string) error {
	if c.keeps(name) {
		defer c.drop(name)
		c.drop(name)
	}
	return c.Backend.Delete(ctx, name)
}

// GetRange implements volume.Backend.
func (c *Cache) GetRange(ctx context.Context, name string, off int64, p []byte) error {
	if !c.keeps(name) || len(p) == 0 {
		return c.Backend.GetRange(ctx, name, off, p)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	first, last := off/partSize, (off+int64(len(p))-1)/partSize
	for i := first; i <= last; i++ {
		part, ok := c.stored(name, i)
		if !ok {
			// From here on in one request: what comes after is seldom kept if this is not.
			return c.fetch(ctx, name, off, p, i, last)
		}
		if err := fill(p, off, part, i); err != nil {
			return fmt.Errorf("%s at %d: %w", name, off, err)
		}
	}
	return nil
}

// fill copies what part i of an object has of p, which begins at off. A part
// that ends before p does, and before a whole part, is the object's last.
func fill(p []byte, off int64, part []byte, i int64) error {
	start := i * partSize
	from, to := max(off, start), min(off+int64(len(p)), start+partSize)
	if from-start > int64(len(part)) || copy(p[from-off:to-off], part[from-start:]) < int(to-from) {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// fetch reads the parts from first to last, keeps them, and fills p.
func (c *Cache) fetch(ctx context.Context, name string, off int64, p []byte, first, last int64) error {
	end := c.begin(name)
	buf := make([]byte, (last-first+1)*partSize)
	n, err := c.source.ReadAt(ctx, name, first*partSize, buf)
	if err == nil {
		buf = buf[:n]
		for i := first; i <= last && (i-first)*partSize < int64(n); i++ {
			c.keep(name, i, buf[(i-first)*partSize:min((i-first+1)*partSize, int64(n))])
		}
	}
	if !end() {
		c.drop(name)
	}
	if err != nil {
		return err
	}
	for i := first; i <= last; i++ {
		at := min((i-first)*partSize, int64(n))
		if err := fill(p, off, buf[at:min(at+partSize, int64(n))], i); err != nil {
			return fmt.Errorf("%s at %d: %w", name, off, err)
		}
	}
	return nil
}

// prefixOf starts the names of an object's files.
func prefixOf(name string) string {
	sum := sha256.Sum256([]byte(name))
	return fmt.Sprintf("%x-", sum[:16])
}

func fileOf(name string, part int64) string { return fmt.Sprintf("%s%d", prefixOf(name), part) }

// seal is what a file begins with: a hash over what it is and what it holds.
func seal(name string, part int64, data []byte) []byte {
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(part)))
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(name))))
	h.Write([]byte(name))
	h.Write(data)
	return h.Sum(nil)
}

// keep writes a part to its file. If it cannot, the cache is a little smaller.
func (c *Cache) keep(name string, part int64, data []byte) {
	file := fileOf(name, part)
	if err := c.write(file, append(seal(name, part, data), data...)); err != nil {
		c.remove(file)
		return
	}
	c.add(entry{file, int64(len(data)) + sha256.Size})
}

// write makes a file hold data, wholly or not at all, as long as nothing crashes;
// after a crash the hash tells.
func (c *Cache) write(file string, data []byte) error {
	f, err := os.CreateTemp(c.dir, "*"+half)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(c.dir, file))
	}
	if err != nil {
		_ = os.Remove(f.Name()) // Open removes what stays
	}
	return err
}

// stored reads a part that is kept.
func (c *Cache) stored(name string, part int64) ([]byte, bool) {
	file := fileOf(name, part)
	if !c.use(file) {
		return nil, false
	}
	path := filepath.Join(c.dir, file)
	text, err := os.ReadFile(path)
	if err != nil || len(text) < sha256.Size || len(text) > partSize+sha256.Size ||
		!bytes.Equal(text[:sha256.Size], seal(name, part, text[sha256.Size:])) {
		c.mu.Lock()
		c.stats.Hits, c.stats.Misses, c.stats.Damaged = c.stats.Hits-1, c.stats.Misses+1, c.stats.Damaged+1
		c.mu.Unlock()
		c.remove(file)
		return nil, false
	}
	now := time.Now()
	_ = os.Chtimes(path, now, now) // that it was used, for the next process
	return text[sha256.Size:], true
}
