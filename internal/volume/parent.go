package volume

import (
	"bytes"
	"context"
	"math/bits"

	"github.com/zeebo/blake3"
)

// A parent is the earlier volume that a new one takes its unchanged blocks from.
// A nil one has nothing.
type parent struct {
	r     *reader
	files map[string]*file
	ids   learned
}

// before is what the parent has of a file. A nil one has no blocks.
type before struct {
	m *manifest
	*file
}

func (p *parent) file(name string) *before {
	if p == nil || p.files[name] == nil {
		return nil
	}
	return &before{p.r.m, p.files[name]}
}

// length is that of block n, 0 if there is none.
func (b *before) length(n int) int {
	if b == nil || n >= b.m.blocksOf(b.size) {
		return 0
	}
	return b.m.length(b.file, n)
}

// cell returns what block n is made of, unless some of that was lost.
func (p *parent) cell(f *before, n int) (cell, bool) {
	b := p.r.m.blocks[f.first+n]
	switch b.codec {
	case codecZero:
		return cell{hash: b.hash, codec: codecZero}, true
	case codecPatched:
		return p.patched(b)
	}
	id := p.ids.blocks[f.first+n]
	return cell{hash: b.hash, chunk: id}, id != none
}

func (p *parent) patched(b block) (cell, bool) {
	c := cell{hash: b.hash, chunk: p.ids.extras[b.pack], codec: codecPatched, patch: new([]layer)}
	ok := c.chunk != none
	for _, l := range p.r.m.layers[b.first : b.first+uint32(b.layers)] {
		l.chunk = p.ids.extras[l.chunk]
		ok = ok && l.chunk != none
		*c.patch = append(*c.patch, l)
	}
	return c, ok
}

// unchanged takes a file over from the parent without reading it, if its stamp
// says that it is as it was read for that.
func (w *Writer) unchanged(s *source) bool {
	if s.before == nil || s.file.stamp == (stamp{}) || s.file.stamp != s.before.stamp || s.file.size != s.before.size {
		return false
	}
	for n := range s.cells {
		var ok bool
		if s.cells[n], ok = w.parent.cell(s.before, n); !ok {
			return false
		}
	}
	s.close()
	w.meter.add(s.file.size, 0)
	return true
}

// mergeLayers is how many layers a block gets before they are made one again:
// a reader opens so many chunks for one block.
const mergeLayers = 4

// patch stores, of block n, only the pages that are not as in the parent, if
// they are few. It reads the parent's block and compares: what it leaves out has
// just been read, opened and found equal.
func (w *Writer) patch(ctx context.Context, f *before, n int, was cell, hash Digest, plain []byte, m *scratch) (cell, bool, error) {
	if len(plain)%PageSize != 0 {
		return cell{}, false, nil
	}
	old, err := w.parent.r.block(ctx, f.file, n, m)
	if err != nil {
		if ctx.Err() != nil {
			return cell{}, false, context.Cause(ctx)
		}
		return cell{}, false, nil // the block is stored whole; Check and its owner find the damage
	}
	var changed uint16
	for i := range len(plain) / PageSize {
		if !bytes.Equal(plain[i*PageSize:(i+1)*PageSize], old[i*PageSize:(i+1)*PageSize]) {
			changed |= 1 << i
		}
	}
	var layers []layer
	if was.codec == codecPatched {
		layers = *was.patch
	}
	if len(layers) >= mergeLayers {
		for _, l := range layers {
			changed |= l.bits
		}
		layers = nil
	}
	pages := bits.OnesCount16(changed)
	if pages*PageSize*2 > len(plain) || pages == 0 {
		return cell{}, false, nil
	}
	added, err := w.group(changed, plain, m)
	c := cell{hash: hash, chunk: was.chunk, codec: codecPatched, patch: new([]layer)}
	*c.patch = append(append(*c.patch, layers...), added)
	return c, err == nil, err
}

// group adds the pages of plain that bits names to the worker's group.
func (w *Writer) group(pages uint16, plain []byte, m *scratch) (layer, error) {
	if len(m.group)+bits.OnesCount16(pages)*PageSize > groupPages*PageSize {
		if err := w.flushGroup(m); err != nil {
			return layer{}, err
		}
	}
	if len(m.group) == 0 {
		m.groupChunk = w.index.number()
	}
	l := layer{chunk: m.groupChunk, at: uint16(len(m.group) / PageSize), bits: pages}
	for i := range len(plain) / PageSize {
		if pages&(1<<i) != 0 {
			m.group = append(m.group, plain[i*PageSize:(i+1)*PageSize]...)
		}
	}
	return l, nil
}

// flushGroup stores the worker's group.
func (w *Writer) flushGroup(m *scratch) error {
	if len(m.group) == 0 {
		return nil
	}
	group := m.group
	m.group = m.group[:0]
	return w.put(m.groupChunk, blake3.Sum256(group), group, m, true)
}
