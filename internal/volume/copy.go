package volume

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"
	"time"
)

// CopyOptions are those of Copy. The zero value is good.
type CopyOptions struct {
	// Workers is how many chunks to work on at a time; as many as the process
	// may use processors if 0.
	Workers int
	// Progress is told of the stored bytes that have been moved, of those to move.
	Progress Progress
}

// recordPacks is how many packs are made durable before a record of them is: a
// copy that was killed does at most these again.
const recordPacks = 8

// Copy makes the volume to with the content of from. In another vault, under
// another key, every chunk is decrypted and encrypted anew, in one pass and
// without being compressed again. In the same vault no bytes move: only a
// manifest is written. The source's facts are kept unless to has others.
// The copy needs nothing of its source afterwards.
//
// When it returns nil the copy is complete and durable. When it returns an error
// there is none, as with Commit. A Copy to the same ID under the same data key
// goes on from where one was killed, or stopped by cancelling its context with
// ErrSuspend as the cause; any other error makes it start from nothing.
func (e *Engine) Copy(ctx context.Context, from Ref, to Spec, opts CopyOptions) (Info, error) {
	info, err := e.copy(ctx, from, to, opts)
	if err != nil {
		return Info{}, fmt.Errorf("copy volume %s to %s: %w", from.ID, to.ID, err)
	}
	return info, nil
}

func (e *Engine) copy(ctx context.Context, from Ref, to Spec, opts CopyOptions) (Info, error) {
	if from.ID == to.ID {
		return Info{}, errors.New("a volume cannot be copied to itself")
	}
	src, err := e.open(ctx, from)
	if err != nil {
		return Info{}, err
	}
	defer src.close()
	if to.Facts == nil && len(src.m.facts) > 0 {
		to.Facts = slices.Clone(src.m.facts)
	}
	w, err := e.begin(ctx, to, CreateOptions{Workers: opts.Workers, Progress: opts.Progress}, true)
	if err != nil {
		return Info{}, err
	}
	if src.m.version == versionOne {
		return w.transcode(ctx, src)
	}
	c := &copier{Writer: w, src: src}
	w.packs.put = c.record
	if err := c.run(ctx); err != nil {
		if errors.Is(context.Cause(ctx), ErrSuspend) {
			c.suspend(context.WithoutCancel(ctx))
		} else {
			w.Abort()
		}
		return Info{}, err
	}
	return w.Commit(ctx)
}

// A copier is a Writer whose blocks come from another volume.
type copier struct {
	*Writer
	src *reader

	mu   sync.Mutex
	made []*recorded // packs that are durable and in no record yet
}

// A recorded pack is what a progress record says of it.
type recorded struct {
	pack   pack
	chunks []extra
}

// run moves the chunks that the vault lacks and takes over the file list.
func (c *copier) run(ctx context.Context) error {
	pieces, _, err := c.src.m.pieces()
	if err != nil {
		return err
	}
	missing := make([]piece, 0, len(pieces))
	ids := make(map[uint64]uint32, len(pieces)) // by place in the source
	extras := make([]uint32, len(c.src.m.chunks))
	var total, done int64
	for _, p := range pieces {
		total += int64(p.length)
		id, mine := c.index.claim(p.hash, p.plain)
		ids[p.place()] = id
		if mine {
			missing = append(missing, p)
		} else {
			done += int64(p.length)
		}
	}
	for i, x := range c.src.m.chunks {
		extras[i] = ids[x.place()]
	}
	c.meter.add(done, total)
	for i := range c.src.m.files {
		f := &c.src.m.files[i]
		c.m.files = append(c.m.files, *f)
		cells := make([]cell, c.src.m.blocksOf(f.size))
		for n := range cells {
			cells[n] = c.cell(c.src.m.blocks[f.first+n], ids, extras)
		}
		c.cells[f.name] = cells
	}
	ctx, stop := c.packs.during(ctx)
	defer stop()
	return c.src.each(ctx, missing, c.workers, func(_ context.Context, p piece, body []byte, _ *scratch) error {
		// What body holds has been authenticated as the chunk with this hash; it is
		// not looked into.
		c.meter.add(int64(p.length), 0)
		return c.packs.add(ids[p.place()], p.chunk(), body)
	})
}

// place is where a chunk is, as one number.
func (b block) place() uint64 { return uint64(b.pack)<<32 | uint64(b.offset) }

// cell is what a block of the source is made of, in numbers of the index.
func (c *copier) cell(b block, ids map[uint64]uint32, extras []uint32) cell {
	out := cell{hash: b.hash, codec: b.codec}
	switch b.codec {
	case codecZero:
	case codecPatched:
		out.chunk, out.patch = extras[b.pack], new([]layer)
		for _, l := range c.src.m.layers[b.first : b.first+uint32(b.layers)] {
			l.chunk = extras[l.chunk]
			*out.patch = append(*out.patch, l)
		}
	default:
		out.chunk = ids[b.place()]
	}
	return out
}

// transcode stores the files of a volume of version 1 anew: its blocks are larger
// and their hashes are others.
func (w *Writer) transcode(ctx context.Context, src *reader) (Info, error) {
	defer w.Abort()
	files := make([]File, len(src.m.files))
	for i := range src.m.files {
		f := &src.m.files[i]
		files[i] = File{Name: f.name, Mode: fs.FileMode(f.mode), Size: f.size}
		if f.mtime != 0 {
			files[i].ModTime = time.Unix(0, f.mtime)
		}
		if f.dir {
			files[i].Mode |= fs.ModeDir
		} else {
			files[i].from = &content{ctx: ctx, r: src, f: f}
		}
	}
	if err := w.Add(ctx, files); err != nil {
		return Info{}, err
	}
	return w.Commit(ctx)
}

// A content reads a file of a volume. It may be read by many at once.
type content struct {
	ctx context.Context
	r   *reader
	f   *file
}

// ReadAt implements io.ReaderAt.
func (c *content) ReadAt(p []byte, off int64) (got int, err error) {
	s, size := &scratch{}, c.r.m.blockSize()
	for got < len(p) && off < c.f.size {
		n := int(off / size)
		plain, err := c.r.verified(c.ctx, c.f, n, s)
		if err != nil {
			return got, err
		}
		moved := copy(p[got:], plain[off-int64(n)*size:])
		got, off = got+moved, off+int64(moved)
	}
	if got < len(p) {
		return got, io.EOF
	}
	return got, nil
}

// record notes a pack that has become durable, and writes the notes down when
// there are enough.
func (c *copier) record(o *openPack) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made = append(c.made, &recorded{pack{o.name, uint32(len(o.data))}, o.chunks})
	if len(c.made) < recordPacks {
		return nil
	}
	return c.writeRecord(c.packs.ctx)
}

// writeRecord puts a progress record of the packs made. The caller has c.mu, or
// is alone. Collectors keep packs that a record names.
func (c *copier) writeRecord(ctx context.Context) error {
	m := manifest{public: c.m.public}
	m.kind, m.packs = kindProgress, nil
	for i, r := range c.made {
		m.packs = append(m.packs, r.pack)
		for _, x := range r.chunks {
			x.pack = uint32(i)
			m.chunks = append(m.chunks, x)
		}
	}
	data, _ := m.encode(c.keys)
	name := progressPrefix(m.id, c.keys.vault) + newPackName().String()
	c.records = append(c.records, name)
	if err := c.e.backend.Put(ctx, name, data); err != nil {
		return fmt.Errorf("put progress record %s: %w", name, err)
	}
	c.made = nil
	return nil
}

// suspend ends the copy and keeps what has been moved.
func (c *copier) suspend(ctx context.Context) {
	c.packs.stop(ErrSuspend)
	if len(c.made) > 0 {
		_ = c.writeRecord(ctx) // without it the next try only has more to do
	}
	c.done = true
	c.pins.drop()
	c.release()
}
