package volume

import (
	"bytes"
	"context"
	"crypto/cipher"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"borealis/internal/cloud"
)

// unreadable explains why an object that ought to be there cannot be read:
// missing and short ones are damage, the rest is the backend's trouble.
func unreadable(name string, err error) error {
	switch {
	case errors.Is(err, cloud.ErrNotFound):
		return fmt.Errorf("%s is missing: %w: %w", name, ErrDamaged, cloud.ErrNotFound)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return damaged(name, "it ends too early")
	}
	return fmt.Errorf("read %s: %w", name, err)
}

// A reader is a volume that has been opened. Its packs stay until close, also
// when the volume is deleted meanwhile.
type reader struct {
	e    *Engine
	keys *keys
	m    *manifest
	pins *pinning
	size int64 // of the manifest

	groups groupCache
}

// open verifies the volume that ref names, as far as its manifest goes.
func (e *Engine) open(ctx context.Context, ref Ref) (*reader, error) {
	if err := checkID(ref.ID); err != nil {
		return nil, err
	}
	k, err := derive(ref.Identity, ref.DataKey)
	if err != nil {
		return nil, err
	}
	v := e.vault(k.vault)
	if err := v.acquire(ctx); err != nil {
		return nil, err
	}
	defer v.release()
	name := volumeName(ref.ID, k.vault)
	data, err := e.backend.Get(ctx, name)
	if errors.Is(err, cloud.ErrNotFound) {
		return nil, e.explain(ctx, ref, k)
	}
	if err != nil {
		return nil, unreadable(name, err)
	}
	m, digest, err := decodeManifest(name, data, k)
	if err == nil && digest != ref.Digest {
		err = damaged(name, "it is authentic, but not the one whose digest is %s", ref.Digest)
	}
	if err == nil {
		err = m.checkPlace(name)
	}
	if err != nil {
		return nil, err
	}
	r := &reader{e: e, keys: k, m: m, pins: &pinning{vault: v}, size: int64(len(data))}
	r.pins.pin(m.packs...)
	return r, nil
}

func (r *reader) close() { r.pins.drop() }

// explain says why there is no manifest of ref's volume under ref's key.
func (e *Engine) explain(ctx context.Context, ref Ref, k *keys) error {
	h, err := e.Header(ctx, ref.ID)
	switch {
	case errors.Is(err, cloud.ErrNotFound):
		return unreadable(volumeName(ref.ID, k.vault), cloud.ErrNotFound)
	case err != nil:
		return err
	case h.Identity == ref.Identity:
		return fmt.Errorf("volume %s: %w", ref.ID, ErrKey)
	}
	return damaged(volumesDir+ref.ID, "it is of account %s, lineage %s and key %s", h.Account, h.Lineage, h.KeyARN)
}

// Facts returns the facts that the volume was made with.
func (e *Engine) Facts(ctx context.Context, ref Ref) (json.RawMessage, error) {
	r, err := e.open(ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("read facts of volume %s: %w", ref.ID, err)
	}
	defer r.close()
	return bytes.Clone(r.m.facts), nil
}

// Describe returns what is known of a volume without reading its chunks.
// Stored is the part of the packs that it refers to, shared or not.
func (e *Engine) Describe(ctx context.Context, ref Ref) (Info, error) {
	r, err := e.open(ctx, ref)
	if err != nil {
		return Info{}, fmt.Errorf("describe volume %s: %w", ref.ID, err)
	}
	defer r.close()
	info := Info{Digest: ref.Digest, Content: r.m.content(), Vault: r.keys.vault, Stored: r.size}
	for _, f := range r.m.files {
		info.Bytes += f.size
		if !f.dir {
			info.Files++
		}
	}
	pieces, _, err := r.m.pieces()
	for _, p := range pieces {
		info.Stored += int64(p.length)
	}
	return info, err
}

// A target is one block of one file.
type target struct{ file, n int }

// A piece is a stored chunk and the places that it belongs to: blocks that it is
// or is the base of, and none for a group of pages.
type piece struct {
	block
	plain   int
	targets []target
	extra   int // its place in the table of chunks, -1 if it is in none
}

func (p piece) chunk() chunk { return chunk{hash: p.hash, plain: p.plain, codec: p.codec} }

// A use is a place at which a manifest refers to a chunk.
type use struct {
	block
	plain int
	target
	extra int
}

// pieces returns the chunks of m in the order in which they are stored, each
// once, and the number of bytes that are zeros and stored nowhere.
func (m *manifest) pieces() ([]piece, int64, error) {
	uses, zero := m.uses()
	slices.SortStableFunc(uses, func(a, b use) int { return compareBlocks(&a.block, &b.block) })
	var pieces []piece
	targets := make([]target, 0, len(uses))
	for i := 0; i < len(uses); {
		u, j := &uses[i], i
		p := piece{block: u.block, plain: u.plain, extra: -1}
		start := len(targets)
		for ; j < len(uses) && uses[j].pack == u.pack && uses[j].offset == u.offset; j++ {
			if uses[j].block != u.block || uses[j].plain != u.plain {
				return nil, 0, damaged(volumesDir+m.id, "two blocks claim the same place")
			}
			if uses[j].file >= 0 {
				targets = append(targets, uses[j].target)
			}
			p.extra = max(p.extra, uses[j].extra)
		}
		p.targets = targets[start:len(targets):len(targets)]
		pieces = append(pieces, p)
		i = j
	}
	return pieces, zero, nil
}

// uses lists every reference of m to a stored chunk.
func (m *manifest) uses() (uses []use, zero int64) {
	uses = make([]use, 0, len(m.blocks)+len(m.chunks))
	for i := range m.files {
		f := &m.files[i]
		for n := range m.blocksOf(f.size) {
			b, t := m.blocks[f.first+n], target{i, n}
			switch b.codec {
			case codecZero:
				zero += int64(m.length(f, n))
			case codecPatched:
				base := m.chunks[b.pack]
				uses = append(uses, use{base.block, int(base.plain), t, int(b.pack)})
			default:
				uses = append(uses, use{b, m.length(f, n), t, -1})
			}
		}
	}
	for i, c := range m.chunks {
		uses = append(uses, use{c.block, int(c.plain), target{-1, -1}, i})
	}
	return uses, zero
}

func compareBlocks(a, b *block) int {
	if a.pack != b.pack {
		return int(int64(a.pack) - int64(b.pack))
	}
	return int(int64(a.offset) - int64(b.offset))
}

const (
	maxSpan = 2 << 20  // bytes read at once
	maxGap  = 64 << 10 // bytes read in vain rather than asked for separately
)

// spans cuts pieces into runs that are near each other in one pack.
func spans(pieces []piece) [][]piece {
	var out [][]piece
	for start, i := 0, 1; i <= len(pieces); i++ {
		if i < len(pieces) {
			first, last, next := &pieces[start], &pieces[i-1], &pieces[i]
			if next.pack == first.pack && next.offset <= last.offset+last.length+maxGap &&
				next.offset+next.length <= first.offset+maxSpan {
				continue
			}
		}
		out = append(out, pieces[start:i])
		start = i
	}
	return out
}

// A fetched span is pieces and the stored bytes that they lie in.
type fetched struct {
	pieces []piece
	buf    []byte
}

// fetchers is how many spans are read at once and ahead of those that are worked
// on: disks and object stores answer several requests sooner than one after another.
const fetchers = 6

// each reads and authenticates pieces in parallel, nearly in the order of
// storage, and calls fn with the body of each. body and s are fn's until it
// returns. Its memory is one span for each fetcher and each worker.
func (r *reader) each(ctx context.Context, pieces []piece, workers int, fn func(ctx context.Context, p piece, body []byte, s *scratch) error) error {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	g, ctx := errgroup.WithContext(ctx)
	ready := r.fetch(ctx, g, spans(pieces), workers)
	for range workers {
		g.Go(func() error {
			s := &scratch{}
			for {
				select {
				case f, more := <-ready.full:
					if !more {
						return nil
					}
					if err := r.openSpan(ctx, f, s, fn); err != nil {
						return err
					}
					ready.empty <- f.buf
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
		})
	}
	return g.Wait()
}

// A buffered is spans that have been read, and buffers to read others into. There
// is room in empty for all.
type buffered struct {
	full  chan fetched
	empty chan []byte
}

// fetch has members of g read the spans, as long as there are buffers.
func (r *reader) fetch(ctx context.Context, g *errgroup.Group, spans [][]piece, workers int) buffered {
	b := buffered{full: make(chan fetched), empty: make(chan []byte, workers+fetchers)}
	for range cap(b.empty) {
		b.empty <- nil
	}
	var next atomic.Int64
	var reading sync.WaitGroup
	for range fetchers {
		reading.Add(1)
		g.Go(func() error {
			defer reading.Done()
			for {
				var f fetched
				select {
				case f.buf = <-b.empty:
				case <-ctx.Done():
					return context.Cause(ctx)
				}
				i := int(next.Add(1)) - 1
				if i >= len(spans) {
					return nil
				}
				var err error
				f.pieces = spans[i]
				if f.buf, err = r.readSpan(ctx, f.pieces, f.buf); err != nil {
					return err
				}
				select {
				case b.full <- f:
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
		})
	}
	g.Go(func() error {
		reading.Wait()
		close(b.full)
		return nil
	})
	return b
}

// openSpan opens each piece of a span and calls fn with it.
func (r *reader) openSpan(ctx context.Context, f fetched, s *scratch, fn func(ctx context.Context, p piece, body []byte, s *scratch) error) error {
	open := r.opener(f.pieces[0].pack)
	for _, p := range f.pieces {
		at := p.offset - f.pieces[0].offset
		body, err := open(p, f.buf[at:at+p.length])
		if err == nil {
			err = fn(ctx, p, body, s)
		}
		if err == nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readSpan reads a run of pieces into buf, or a larger one.
func (r *reader) readSpan(ctx context.Context, span []piece, buf []byte) ([]byte, error) {
	first, last := span[0], span[len(span)-1]
	n := int(last.offset + last.length - first.offset)
	if cap(buf) < n {
		buf = make([]byte, max(n, min(2*cap(buf), maxSpan)))
	}
	name := r.m.packs[first.pack].name.object(r.keys.vault)
	if err := r.e.backend.GetRange(ctx, name, int64(first.offset), buf[:n]); err != nil {
		return buf, unreadable(name, err)
	}
	return buf[:n], nil
}

// opener returns what authenticates and decrypts the stored chunks of a pack, in
// place.
func (r *reader) opener(pack uint32) func(p piece, stored []byte) ([]byte, error) {
	var a cipher.AEAD
	if r.m.version != versionOne {
		a = r.keys.forPack(r.m.packs[pack].name)
	}
	return func(p piece, stored []byte) (body []byte, err error) {
		if a == nil {
			body, err = r.keys.openChunkV1(stored, p.chunk())
		} else {
			body, err = r.keys.openChunk(a, p.offset, stored, p.chunk())
		}
		if err != nil {
			return nil, r.damagedPiece(p, "chunk is not authentic")
		}
		return body, nil
	}
}

func (r *reader) damagedPiece(p piece, what string) error {
	whose := "pages"
	if len(p.targets) > 0 {
		t := p.targets[0]
		whose = fmt.Sprintf("block %d of %q", t.n, r.m.files[t.file].name)
	}
	where := fmt.Sprintf("%s at %d (%s in volume %s)", r.m.packs[p.pack].name.object(r.keys.vault), p.offset, whose, r.m.id)
	return damaged(where, "%s", what)
}

// plaintext is the verified plaintext of an authenticated body.
func (r *reader) plaintext(p piece, body []byte, s *scratch) ([]byte, error) {
	if p.codec != codecRaw {
		var err error
		if s.plain, err = s.decompress(s.plain[:0], body, p.codec, p.plain); err != nil {
			return nil, r.damagedPiece(p, "chunk does not decompress: "+err.Error())
		}
		body = s.plain
	}
	if len(body) != p.plain || r.m.hashOf(body) != p.hash {
		return nil, r.damagedPiece(p, "chunk is authentic, but is not the block it was stored for")
	}
	return body, nil
}

// blocksFrom calls fn with the verified content of every block that the piece,
// whose plaintext is plain, is or is the base of.
func (r *reader) blocksFrom(ctx context.Context, p piece, plain []byte, s *scratch, fn func(t target, content []byte) error) error {
	for _, t := range p.targets {
		content := plain
		if b := &r.m.blocks[r.m.files[t.file].first+t.n]; b.codec == codecPatched {
			s.old = append(s.old[:0], plain...)
			content = s.old
			if err := r.patch(ctx, b, content); err != nil {
				return err
			}
			if r.m.hashOf(content) != b.hash {
				return damaged(volumesDir+r.m.id, "the pages of block %d of %q are authentic, but do not make it", t.n, r.m.files[t.file].name)
			}
		}
		if err := fn(t, content); err != nil {
			return err
		}
	}
	return nil
}

// patch lays b's layers over its base.
func (r *reader) patch(ctx context.Context, b *block, base []byte) error {
	for _, l := range r.m.layers[b.first : b.first+uint32(b.layers)] {
		group, err := r.group(ctx, l.chunk)
		if err != nil {
			return err
		}
		group = group[int(l.at)*PageSize:]
		for i := range len(base) / PageSize {
			if l.bits&(1<<i) != 0 {
				copy(base[i*PageSize:(i+1)*PageSize], group)
				group = group[PageSize:]
			}
		}
	}
	return nil
}

// chunkAt reads, opens and decompresses one chunk into dst, or a new slice. Its
// hash is not computed: the tag says that it is what was sealed as that chunk.
func (r *reader) chunkAt(ctx context.Context, p piece, dst []byte, s *scratch) ([]byte, error) {
	var err error
	if s.sealed, err = r.readSpan(ctx, []piece{p}, s.sealed); err != nil {
		return nil, err
	}
	body, err := r.opener(p.pack)(p, s.sealed)
	if err != nil {
		return nil, err
	}
	out, err := s.decompress(dst[:0], body, p.codec, p.plain)
	if err != nil || len(out) != p.plain {
		return nil, r.damagedPiece(p, "chunk does not decompress to what it should")
	}
	return out, nil
}

// block returns the content of block n of f. It finds and opens what it needs
// and nothing else. The result is in s until that is used again.
func (r *reader) block(ctx context.Context, f *file, n int, s *scratch) (_ []byte, err error) {
	b, length := &r.m.blocks[f.first+n], r.m.length(f, n)
	switch b.codec {
	case codecZero:
		return zeros[:length], nil
	case codecPatched:
		base := r.m.chunks[b.pack]
		if s.old, err = r.chunkAt(ctx, piece{block: base.block, plain: int(base.plain)}, s.old, s); err != nil {
			return nil, err
		}
		return s.old, r.patch(ctx, b, s.old)
	}
	s.old, err = r.chunkAt(ctx, piece{block: *b, plain: length}, s.old, s)
	return s.old, err
}

// verified is block, with its hash computed.
func (r *reader) verified(ctx context.Context, f *file, n int, s *scratch) ([]byte, error) {
	plain, err := r.block(ctx, f, n, s)
	if err == nil && r.m.hashOf(plain) != r.m.blocks[f.first+n].hash {
		err = damaged(volumesDir+r.m.id, "block %d of %q is authentic, but is not what was stored", n, f.name)
	}
	return plain, err
}

// A groupCache holds the groups of pages that were used last. Those of one part
// of a volume are used together, so a few are enough.
type groupCache struct {
	mu   sync.Mutex
	held map[uint32][]byte
	age  []uint32 // oldest first
}

const heldGroups = 64 // 8 MiB

func (r *reader) group(ctx context.Context, n uint32) ([]byte, error) {
	c := &r.groups
	c.mu.Lock()
	g := c.held[n]
	c.mu.Unlock()
	if g != nil {
		return g, nil
	}
	x := r.m.chunks[n]
	g, err := r.chunkAt(ctx, piece{block: x.block, plain: int(x.plain)}, nil, &scratch{})
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil {
		c.held = map[uint32][]byte{}
	}
	if c.held[n] == nil {
		if len(c.age) == heldGroups {
			delete(c.held, c.age[0])
			c.age = c.age[1:]
		}
		c.held[n] = g
		c.age = append(c.age, n)
	}
	return g, nil
}
