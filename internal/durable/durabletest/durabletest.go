// Package durabletest is a file system in memory that fails on command and, when
// its power is cut, forgets what was not synced. It is for tests only.
//
// It is as unkind as POSIX lets a file system be, with one exception: a directory
// can be synced again after a failure, as journals have it. A rename is seen
// wholly or not at all. A file whose sync has failed reads as if all were well,
// and nothing that was in it by then ever reaches the disk.
package durabletest

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"borealis/internal/durable"
)

// A Fault decides the fate of one call that changes something: whether it takes
// effect, and what the caller is told. A write that does not take effect leaves its
// first half. Calls are "create", "write", "chmod", "sync", "close", "mkdir",
// "rename", "remove" and "syncdir".
type Fault func(call, path string) (apply bool, err error)

// A Cut says what a power cut leaves of that which was not synced.
type Cut int

// The cuts.
const (
	Nothing Cut = iota // nothing
	Names              // all names, and the first half of the bytes
	Some               // some names, and some bytes: each by a coin
)

// FS is a durable.FS. Directories but "/" have to be made. Methods may be called
// concurrently.
type FS struct {
	mu    sync.Mutex
	fault Fault
	root  *node
	temps int
	coin  *rand.Rand
}

var _ durable.FS = (*FS)(nil)

// A node is a file or a directory: as it is seen, and as it is on the disk.
type node struct {
	dir        bool
	data, kept []byte
	dirty      bool // data has what a sync would still make durable
	seen, held map[string]*node
}

// New returns an empty file system.
func New() *FS { return &FS{root: newDir(), coin: rand.New(rand.NewPCG(1, 2))} }

func newDir() *node { return &node{dir: true, seen: map[string]*node{}, held: map[string]*node{}} }

// Break lets f decide the fate of calls from now on; nil mends.
func (f *FS) Break(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

// Cut cuts the power and starts anew with what the disk holds.
func (f *FS) Cut(c Cut) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.root = f.after(f.root, c, map[*node]*node{})
}

// after is what a cut leaves of n. Two names of a file stay names of one.
func (f *FS) after(n *node, c Cut, done map[*node]*node) *node {
	if out := done[n]; out != nil {
		return out
	}
	if !n.dir {
		out := &node{kept: n.kept}
		if n.dirty && (c == Names || c == Some && f.coin.IntN(2) == 0) {
			cut := len(n.data) / 2
			if c == Some {
				cut = f.coin.IntN(len(n.data) + 1)
			}
			out.kept = n.data[:cut:cut]
		}
		out.data = bytes.Clone(out.kept)
		done[n] = out
		return out
	}
	out := newDir()
	done[n] = out
	names := slices.Sorted(maps.Keys(n.held))
	for name := range n.seen {
		if n.held[name] == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		x := n.held[name]
		if x != n.seen[name] && (c == Names || c == Some && f.coin.IntN(2) == 0) {
			x = n.seen[name]
		}
		if x != nil {
			out.seen[name] = f.after(x, c, done)
		}
	}
	out.held = maps.Clone(out.seen)
	return out
}

// Clone is another file system with the same content, seen and on disk.
func (f *FS) Clone() *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := New()
	out.root, out.temps = clone(f.root, map[*node]*node{}), f.temps
	return out
}

func clone(n *node, done map[*node]*node) *node {
	if n == nil || done[n] != nil {
		return done[n]
	}
	out := &node{dir: n.dir, data: n.data, kept: n.kept, dirty: n.dirty}
	done[n] = out
	if n.dir {
		out.seen, out.held = map[string]*node{}, map[string]*node{}
		for name, x := range n.seen {
			out.seen[name] = clone(x, done)
		}
		for name, x := range n.held {
			out.held[name] = clone(x, done)
		}
	}
	return out
}

// Temps lists the files that writers of package durable have left half done.
func (f *FS) Temps() (found []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var look func(path string, n *node)
	look = func(path string, n *node) {
		for name, x := range n.seen {
			if strings.HasPrefix(name, durable.TempPrefix) {
				found = append(found, path+"/"+name)
			}
			look(path+"/"+name, x)
		}
	}
	look("", f.root)
	return found
}

// do makes one call that changes something. fail is what is left of it when it
// does not take effect; it may be nil.
func (f *FS) do(call, path string, fail func(), apply func() error) error {
	f.mu.Lock()
	fault := f.fault
	f.mu.Unlock()
	applies, ferr := true, error(nil)
	if fault != nil {
		applies, ferr = fault(call, path)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !applies {
		if fail != nil {
			fail()
		}
		return &fs.PathError{Op: call, Path: path, Err: ferr}
	}
	if err := apply(); err != nil {
		return &fs.PathError{Op: call, Path: path, Err: err}
	}
	if ferr != nil {
		return &fs.PathError{Op: call, Path: path, Err: ferr}
	}
	return nil
}

// find is the node of a path; f.mu is held.
func (f *FS) find(path string) (*node, error) {
	n := f.root
	for e := range strings.SplitSeq(strings.Trim(filepath.ToSlash(path), "/"), "/") {
		if e == "" {
			continue
		}
		if !n.dir {
			return nil, syscall.ENOTDIR
		}
		if n = n.seen[e]; n == nil {
			return nil, syscall.ENOENT
		}
	}
	return n, nil
}

// above is the directory of a path, and its last element; f.mu is held.
func (f *FS) above(path string) (*node, string, error) {
	dir, err := f.find(filepath.Dir(path))
	if err == nil && !dir.dir {
		err = syscall.ENOTDIR
	}
	return dir, filepath.Base(path), err
}

// CreateTemp implements durable.FS.
func (f *FS) CreateTemp(dir, pattern string) (durable.File, error) {
	f.mu.Lock()
	f.temps++
	path := filepath.Join(dir, strings.Replace(pattern, "*", fmt.Sprint(f.temps), 1))
	f.mu.Unlock()
	n := &node{}
	err := f.do("create", path, nil, func() error {
		in, name, err := f.above(path)
		if err == nil {
			in.seen[name] = n
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &file{f: f, n: n, path: path}, nil
}

// Open implements durable.FS.
func (f *FS) Open(name string) (durable.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.find(name)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return &file{f: f, n: n, path: name, read: true}, nil
}

// Mkdir implements durable.FS.
func (f *FS) Mkdir(path string, _ fs.FileMode) error {
	return f.do("mkdir", path, nil, func() error {
		in, name, err := f.above(path)
		if err != nil {
			return err
		}
		if in.seen[name] != nil {
			return syscall.EEXIST
		}
		in.seen[name] = newDir()
		return nil
	})
}

// Rename implements durable.FS.
func (f *FS) Rename(from, to string) error {
	return f.do("rename", to, nil, func() error {
		src, old, err := f.above(from)
		if err != nil {
			return err
		}
		dst, name, err := f.above(to)
		if err != nil {
			return err
		}
		n := src.seen[old]
		if n == nil {
			return syscall.ENOENT
		}
		delete(src.seen, old)
		dst.seen[name] = n
		return nil
	})
}

// Remove implements durable.FS.
func (f *FS) Remove(path string) error {
	return f.do("remove", path, nil, func() error {
		in, name, err := f.above(path)
		if err != nil {
			return err
		}
		n := in.seen[name]
		switch {
		case n == nil:
			return syscall.ENOENT
		case len(n.seen) > 0:
			return syscall.ENOTEMPTY
		}
		delete(in.seen, name)
		return nil
	})
}

// Stat implements durable.FS.
func (f *FS) Stat(path string) (fs.FileInfo, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.find(path)
	if err != nil {
		return nil, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return n.info(filepath.Base(path)), nil
}

// ReadDir implements durable.FS.
func (f *FS) ReadDir(path string) ([]fs.DirEntry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.find(path)
	if err == nil && !n.dir {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	var out []fs.DirEntry
	for _, name := range slices.Sorted(maps.Keys(n.seen)) {
		out = append(out, fs.FileInfoToDirEntry(n.seen[name].info(name)))
	}
	return out, nil
}

// info is what Stat says.
func (n *node) info(name string) info {
	if n.dir {
		return info{name, 0, fs.ModeDir | 0o700}
	}
	return info{name, int64(len(n.data)), 0o600}
}

type info struct {
	name string
	size int64
	mode fs.FileMode
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) Mode() fs.FileMode  { return i.mode }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return i.mode.IsDir() }
func (i info) Sys() any           { return nil }

// A file is an open one.
type file struct {
	f    *FS
	n    *node
	path string
	read bool // it was opened for reading
	at   int
}

func (o *file) Name() string { return o.path }

func (o *file) Stat() (fs.FileInfo, error) {
	o.f.mu.Lock()
	defer o.f.mu.Unlock()
	return o.n.info(filepath.Base(o.path)), nil
}

func (o *file) Read(p []byte) (int, error) {
	n, err := o.ReadAt(p, int64(o.at))
	o.at += n
	if n > 0 {
		err = nil
	}
	return n, err
}

func (o *file) ReadAt(p []byte, off int64) (int, error) {
	o.f.mu.Lock()
	defer o.f.mu.Unlock()
	if off > int64(len(o.n.data)) {
		return 0, io.EOF
	}
	n := copy(p, o.n.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (o *file) Write(p []byte) (int, error) {
	add := func(p []byte) {
		o.n.data = append(o.n.data[:len(o.n.data):len(o.n.data)], p...)
		o.n.dirty = true
	}
	err := o.f.do("write", o.path, func() { add(p[:len(p)/2]) }, func() error { add(p); return nil })
	if err != nil {
		return len(p) / 2, err
	}
	return len(p), nil
}

func (o *file) Chmod(fs.FileMode) error {
	return o.f.do("chmod", o.path, nil, func() error { return nil })
}

func (o *file) Sync() error {
	if o.n.dir {
		return o.f.do("syncdir", o.path, nil, func() error {
			o.n.held = maps.Clone(o.n.seen)
			return nil
		})
	}
	return o.f.do("sync", o.path, func() { o.n.dirty = false }, func() error {
		if o.n.dirty {
			o.n.kept, o.n.dirty = o.n.data, false
		}
		return nil
	})
}

func (o *file) Close() error {
	if o.read {
		return nil
	}
	return o.f.do("close", o.path, nil, func() error { return nil })
}
