package volume

import (
	"context"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// The layout of a pack: see docs/format.md, "Pack".
const (
	packMagic      = "BRLSPACK"
	packHeaderSize = len(packMagic) + 4 + vaultLen

	packBuffers = 4 // packs in memory: one being filled, the others being put
)

// packHeader starts every pack of a vault.
func packHeader(dst []byte, version uint32, vaultID []byte) []byte {
	dst = append(dst, packMagic...)
	dst = binary.BigEndian.AppendUint32(dst, version)
	return append(dst, vaultID...)
}

// A packer gathers chunks into packs and puts these while the next are filled.
// Its memory is packBuffers packs, whatever the volume.
type packer struct {
	ctx    context.Context // of the whole volume; its cancel stops the packer
	cancel context.CancelCauseFunc
	e      *Engine
	keys   *keys
	index  *index
	pins   *pinning
	// put is told of each pack that has become durable. Calls may be concurrent.
	put func(*openPack) error

	free chan []byte // buffers; nil until first used
	wg   sync.WaitGroup

	mu      sync.Mutex
	current *openPack
	created []packName // packs that may be there because of us

	stored atomic.Int64 // bytes of packs put
}

// An openPack is a pack that is being filled or put.
type openPack struct {
	name   packName
	cipher cipher.AEAD
	place  uint32 // in the index
	data   []byte
	chunks []extra
	seals  sync.WaitGroup // those who have a place in data and have not filled it yet
}

func newPacker(ctx context.Context, e *Engine, k *keys, x *index, pins *pinning) *packer {
	p := &packer{e: e, keys: k, index: x, pins: pins, free: make(chan []byte, packBuffers)}
	p.ctx, p.cancel = context.WithCancelCause(ctx)
	p.put = func(*openPack) error { return nil }
	for range packBuffers {
		p.free <- nil
	}
	return p
}

// during is ctx for work that feeds the packer: it ends when the packer does, with
// the packer's cause.
func (p *packer) during(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	detach := context.AfterFunc(p.ctx, func() { cancel(context.Cause(p.ctx)) })
	return ctx, func() { detach(); cancel(nil) }
}

// add stores chunk n of the index with its body, which may be used again when it
// returns. Places in packs are given one after another; sealing is parallel.
func (p *packer) add(n uint32, c chunk, body []byte) error {
	o, offset, dst, err := p.reserve(n, c, len(body)+tagSize)
	if err != nil {
		return err
	}
	defer o.seals.Done()
	p.keys.sealChunk(dst, o.cipher, offset, c, body)
	return nil
}

// reserve finds a place for a chunk of size bytes, dst, which is at offset of its
// pack, and tells the index of it. The caller fills it and then says so to the
// pack's seals.
func (p *packer) reserve(n uint32, c chunk, size int) (o *openPack, offset uint32, dst []byte, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current != nil && len(p.current.data)+size > p.e.packSize {
		p.send()
	}
	if p.current == nil {
		if err := p.start(); err != nil {
			return nil, 0, nil, err
		}
	}
	o = p.current
	b := block{hash: c.hash, pack: o.place, offset: uint32(len(o.data)), length: uint32(size), codec: c.codec}
	if cap(o.data) < len(o.data)+size { // only a chunk that is larger than a pack is meant to be
		o.seals.Wait()
		o.data = slices.Grow(o.data, size)
	}
	o.data = o.data[:len(o.data)+size]
	o.seals.Add(1)
	o.chunks = append(o.chunks, extra{b, uint32(c.plain)})
	p.index.set(n, extra{b, uint32(c.plain)})
	return o, b.offset, o.data[b.offset:b.offset:len(o.data)], nil
}

// start opens a pack as soon as there is a buffer for it. The pack is pinned
// before it can be seen.
func (p *packer) start() error {
	var buf []byte
	select {
	case buf = <-p.free:
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	}
	if buf == nil {
		buf = make([]byte, 0, p.e.packSize)
	}
	o := &openPack{name: newPackName(), data: packHeader(buf[:0], Version, p.keys.vaultID)}
	o.cipher = p.keys.forPack(o.name)
	o.place = p.index.addPack(pack{name: o.name})
	p.pins.pin(pack{name: o.name})
	p.created = append(p.created, o.name)
	p.current = o
	return nil
}

// send puts the current pack in the background. p.mu is held, and may be held by
// one who waits for a buffer: what runs in the background does not take it.
func (p *packer) send() {
	o := p.current
	p.current = nil
	p.index.setSize(o.place, len(o.data))
	p.wg.Go(func() {
		if err := p.store(o); err != nil {
			p.cancel(err)
		}
		p.free <- o.data
	})
}

func (p *packer) store(o *openPack) error {
	o.seals.Wait()
	if err := p.ctx.Err(); err != nil {
		return err
	}
	name := o.name.object(p.keys.vault)
	if err := p.e.backend.Put(p.ctx, name, o.data); err != nil {
		return fmt.Errorf("put pack %s: %w", name, err)
	}
	p.stored.Add(int64(len(o.data)))
	return p.put(o)
}

// flush puts what is left and waits until every pack is durable.
func (p *packer) flush() error {
	p.mu.Lock()
	if p.current != nil {
		p.send()
	}
	p.mu.Unlock()
	p.wg.Wait()
	return context.Cause(p.ctx)
}

// stop waits until nothing of the packer is under way, and gives its memory back
// though someone may keep hold of the Writer. It may be called again.
func (p *packer) stop(cause error) {
	p.cancel(cause)
	p.wg.Wait()
	p.current = nil
	for range len(p.free) {
		<-p.free
	}
}
