package volume

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
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
	blocks []block
}

// run moves the chunks that the vault lacks and takes over the file list.
func (c *copier) run(ctx context.Context) error {
	pieces, _, err := c.src.m.pieces()
	if err != nil {
		return err
	}
	var missing []piece
	var total, done int64
	for _, p := range pieces {
		total += int64(p.length)
		if c.index.claim(p.hash) {
			missing = append(missing, p)
		} else {
			done += int64(p.length)
		}
	}
	c.meter.add(done, total)
	for _, b := range c.src.m.blocks {
		if b.codec == codecZero {
			c.index.set(b)
		}
	}
	for _, f := range c.src.m.files {
		c.m.files = append(c.m.files, f)
		hashes := make([]Digest, blocksOf(f.size))
		for n := range hashes {
			hashes[n] = c.src.m.blocks[f.first+n].hash
		}
		c.hashes[f.name] = hashes
	}
	ctx, stop := c.packs.during(ctx)
	defer stop()
	return c.src.each(ctx, missing, c.workers, c.move)
}

// move seals one chunk under the other key. What it holds has been
// authenticated as the block with this hash; it is not looked into.
func (c *copier) move(_ context.Context, p piece, body []byte, s *scratch) error {
	s.sealed = c.keys.sealChunk(s.sealed[:0], p.chunk(), body)
	c.meter.add(int64(p.length), 0)
	return c.packs.add(p.chunk(), s.sealed)
}

// record notes a pack that has become durable, and writes the notes down when
// there are enough.
func (c *copier) record(o *openPack) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made = append(c.made, &recorded{pack{o.name, uint32(len(o.data))}, o.blocks})
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
		for _, b := range r.blocks {
			b.pack = uint32(i)
			m.blocks = append(m.blocks, b)
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
