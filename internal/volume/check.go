package volume

import (
	"bytes"
	"context"
	"fmt"
)

// CheckOptions are those of Check. The zero value is good.
type CheckOptions struct {
	// Workers is how many chunks to work on at a time; as many as the process
	// may use processors if 0.
	Workers int
	// Progress is told of the bytes of files verified.
	Progress Progress
}

// Check verifies every byte of a volume: that its manifest is the one that ref
// means, and that each block of each file is stored where it says and is the
// block that was written. Its error says what is damaged and where.
func (e *Engine) Check(ctx context.Context, ref Ref, opts CheckOptions) error {
	if err := e.check(ctx, ref, opts); err != nil {
		return fmt.Errorf("check volume %s: %w", ref.ID, err)
	}
	return nil
}

func (e *Engine) check(ctx context.Context, ref Ref, opts CheckOptions) error {
	r, err := e.open(ctx, ref)
	if err != nil {
		return err
	}
	defer r.close()
	pieces, zero, err := r.m.pieces()
	if err != nil {
		return err
	}
	m := meter{fn: opts.Progress}
	m.add(zero, r.m.bytes())
	if err := r.checkZeros(); err != nil {
		return err
	}
	if err := r.checkPacks(ctx); err != nil {
		return err
	}
	err = r.each(ctx, pieces, opts.Workers, func(ctx context.Context, p piece, body []byte, s *scratch) error {
		plain, err := r.plaintext(p, body, s)
		if err != nil {
			return err
		}
		return r.blocksFrom(ctx, p, plain, s, func(_ target, content []byte) error {
			m.add(int64(len(content)), 0)
			return nil
		})
	})
	if err == nil {
		m.finish()
	}
	return err
}

// checkZeros makes sure that blocks said to be zero have the hash of zeros.
func (r *reader) checkZeros() error {
	for i := range r.m.files {
		f := &r.m.files[i]
		for n := range r.m.blocksOf(f.size) {
			b, plain := r.m.blocks[f.first+n], r.m.length(f, n)
			if b.codec != codecZero || (plain == BlockSize && b.hash == zeroHash()) {
				continue
			}
			if b.hash != r.m.hashOf(zeros[:plain]) {
				return damaged(volumesDir+r.m.id, "block %d of %q is said to be zero and is not", n, f.name)
			}
		}
	}
	return nil
}

// checkPacks makes sure that the packs are there, whole, and say that they are
// packs of this vault.
func (r *reader) checkPacks(ctx context.Context) error {
	there, err := r.e.packSizes(ctx, r.keys.vault)
	if err != nil {
		return err
	}
	want, got := packHeader(nil, r.m.version, r.keys.vaultID), make([]byte, packHeaderSize)
	for _, p := range r.m.packs {
		name := p.name.object(r.keys.vault)
		if size, ok := there[p.name]; ok && size != int64(p.size) {
			return damaged(name, "it has %d bytes, not %d", size, p.size)
		}
		if err := r.e.backend.GetRange(ctx, name, 0, got); err != nil {
			return unreadable(name, err)
		}
		if !bytes.Equal(got, want) {
			return damaged(name, "its header is not that of a pack of this vault")
		}
	}
	return nil
}
