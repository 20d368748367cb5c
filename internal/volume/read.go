package volume

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"

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

// A piece is a stored chunk and the places that it belongs to.
type piece struct {
	block
	plain   int
	targets []target
}

func (p piece) chunk() chunk { return chunk{hash: p.hash, plain: p.plain, codec: p.codec} }

// pieces returns the chunks of m in the order in which they are stored, each
// once, and the number of bytes that are zeros and stored nowhere.
func (m *manifest) pieces() ([]piece, int64, error) {
	var all []target
	var zero int64
	for i, f := range m.files {
		for n := range blocksOf(f.size) {
			if m.blocks[f.first+n].codec == codecZero {
				zero += int64(f.length(n))
				continue
			}
			all = append(all, target{i, n})
		}
	}
	at := func(t target) *block { return &m.blocks[m.files[t.file].first+t.n] }
	slices.SortStableFunc(all, func(a, b target) int { return compareBlocks(at(a), at(b)) })
	var pieces []piece
	for i := 0; i < len(all); {
		b, j := at(all[i]), i+1
		p := piece{block: *b, plain: m.files[all[i].file].length(all[i].n)}
		for ; j < len(all) && at(all[j]).pack == b.pack && at(all[j]).offset == b.offset; j++ {
			if *at(all[j]) != *b || m.files[all[j].file].length(all[j].n) != p.plain {
				return nil, 0, damaged(volumesDir+m.id, "two blocks claim the same place")
			}
		}
		p.targets = all[i:j:j]
		pieces = append(pieces, p)
		i = j
	}
	return pieces, zero, nil
}

func compareBlocks(a, b *block) int {
	if a.pack != b.pack {
		return int(int64(a.pack) - int64(b.pack))
	}
	return int(int64(a.offset) - int64(b.offset))
}

const (
	maxSpan = 4 << 20  // bytes read at once
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

// each reads and authenticates pieces in parallel, nearly in the order of
// storage, and calls fn with the body of each. body and s are fn's until it
// returns.
func (r *reader) each(ctx context.Context, pieces []piece, workers int, fn func(ctx context.Context, p piece, body []byte, s *scratch) error) error {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	g, ctx := errgroup.WithContext(ctx)
	work := make(chan []piece)
	g.Go(func() error {
		defer close(work)
		for _, s := range spans(pieces) {
			select {
			case work <- s:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	})
	for range workers {
		g.Go(func() error {
			var buf []byte
			s := &scratch{}
			for span := range work {
				var err error
				if buf, err = r.readSpan(ctx, span, buf); err != nil {
					return err
				}
				for _, p := range span {
					at := p.offset - span[0].offset
					body, err := r.body(p, buf[at:at+p.length])
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
			}
			return nil
		})
	}
	return g.Wait()
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

// body authenticates and decrypts a stored chunk, in place.
func (r *reader) body(p piece, stored []byte) ([]byte, error) {
	body, err := r.keys.openChunk(stored, p.chunk())
	if err != nil {
		return nil, r.damagedPiece(p, "chunk is not authentic")
	}
	return body, nil
}

func (r *reader) damagedPiece(p piece, what string) error {
	t := p.targets[0]
	where := fmt.Sprintf("%s at %d (block %d of %q in volume %s)", r.m.packs[p.pack].name.object(r.keys.vault), p.offset, t.n, r.m.files[t.file].name, r.m.id)
	return damaged(where, "%s", what)
}

// plaintext is the verified plaintext of an authenticated body.
func (r *reader) plaintext(p piece, body []byte, s *scratch) ([]byte, error) {
	if p.codec == codecZstd {
		var err error
		if s.plain, err = decompressor().DecodeAll(body, s.plain[:0]); err != nil {
			return nil, r.damagedPiece(p, "chunk does not decompress: "+err.Error())
		}
		body = s.plain
	}
	if len(body) != p.plain || sha256.Sum256(body) != p.hash {
		return nil, r.damagedPiece(p, "chunk is authentic, but is not the block it was stored for")
	}
	return body, nil
}
