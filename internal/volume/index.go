package volume

import (
	"encoding/binary"
	"fmt"
	"sync"
)

// An index says where the chunks that a volume under way may refer to are
// stored: those of its parent, and its own. A chunk's number in it never changes.
type index struct {
	mu     sync.Mutex
	chunks []extra
	// at finds a chunk by the first 8 bytes of its hash. Of two that share them
	// it knows one: the other is stored again when it comes again.
	at    map[uint64]uint32
	packs []pack
	known map[packName]uint32 // place in packs
}

// none is the number of no chunk, and the pack of one that is about to be stored.
const none = ^uint32(0)

func newIndex() *index {
	return &index{at: map[uint64]uint32{}, known: map[packName]uint32{}}
}

func prefix(hash Digest) uint64 { return binary.BigEndian.Uint64(hash[:]) }

// addPack adds a pack whose size may be told later, and returns its place.
func (x *index) addPack(p pack) uint32 {
	x.mu.Lock()
	defer x.mu.Unlock()
	if n, ok := x.known[p.name]; ok {
		return n
	}
	n := uint32(len(x.packs))
	x.packs = append(x.packs, p)
	x.known[p.name] = n
	return n
}

func (x *index) setSize(n uint32, size int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.packs[n].size = uint32(size)
}

// learned are the numbers of a manifest's chunks in an index, none for those
// that cannot be referred to.
type learned struct {
	blocks []uint32 // of the blocks that are one chunk
	extras []uint32
}

// learn adds the chunks of a manifest, as far as their packs are there and as
// long as the manifest says: a pack that was lost is then stored again instead
// of being referred to once more.
func (x *index) learn(m *manifest, there map[packName]int64) learned {
	places := make([]uint32, len(m.packs))
	for i, p := range m.packs {
		places[i] = none
		if size, ok := there[p.name]; ok && size == int64(p.size) {
			places[i] = x.addPack(p)
		}
	}
	l := learned{make([]uint32, len(m.blocks)), make([]uint32, len(m.chunks))}
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range m.files {
		f := &m.files[i]
		for n := range m.blocksOf(f.size) {
			l.blocks[f.first+n] = x.add(m.blocks[f.first+n], uint32(m.length(f, n)), places)
		}
	}
	for i, c := range m.chunks {
		l.extras[i] = x.add(c.block, c.plain, places)
	}
	return l
}

// add numbers the chunk b, whose pack is places[b.pack].
func (x *index) add(b block, plain uint32, places []uint32) uint32 {
	if b.codec == codecZero || b.codec == codecPatched || places[b.pack] == none {
		return none
	}
	if n, ok := x.at[prefix(b.hash)]; ok && x.chunks[n].hash == b.hash {
		return n
	}
	b.pack = places[b.pack]
	x.chunks = append(x.chunks, extra{b, plain})
	n := uint32(len(x.chunks) - 1)
	x.at[prefix(b.hash)] = n
	return n
}

// claim returns the number of the chunk with this hash, and whether the caller
// has to store it: nobody has, and nobody else is about to.
func (x *index) claim(hash Digest, plain int) (n uint32, mine bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if n, ok := x.at[prefix(hash)]; ok && x.chunks[n].hash == hash {
		return n, false
	}
	n = x.reserve()
	x.chunks[n].hash, x.chunks[n].plain = hash, uint32(plain)
	x.at[prefix(hash)] = n
	return n, true
}

// number returns the number of a chunk that the caller will store, and of which
// it does not know yet what it will hold.
func (x *index) number() uint32 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.reserve()
}

func (x *index) reserve() uint32 {
	x.chunks = append(x.chunks, extra{block: block{pack: none}})
	return uint32(len(x.chunks) - 1)
}

func (x *index) set(n uint32, c extra) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.chunks[n] = c
}

// A cell says what a block of a volume under way is made of.
type cell struct {
	hash  Digest
	chunk uint32   // its number; for a patched block the base's
	codec uint8    // codecZero, codecPatched, or anything else
	patch *[]layer // the layers of a patched block, their chunks as numbers
}

// A placer fills a manifest with blocks whose chunks are numbers in an index.
type placer struct {
	*index
	m      *manifest
	packs  map[uint32]uint32
	extras map[uint32]uint32
}

// place fills the tables of m from its files' cells, and m's packs with those
// that are referred to. A chunk that nobody has stored is a bug of ours, found
// before it can become a volume that lacks it.
func (x *index) place(m *manifest, cells [][]cell) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := 0
	for _, c := range cells {
		n += len(c)
	}
	m.blocks, m.chunks, m.layers, m.packs = make([]block, 0, n), nil, nil, nil
	p := placer{x, m, map[uint32]uint32{}, map[uint32]uint32{}}
	for _, file := range cells {
		for _, c := range file {
			b, err := p.block(c)
			if err != nil {
				return err
			}
			m.blocks = append(m.blocks, b)
		}
	}
	return nil
}

func (p *placer) block(c cell) (b block, err error) {
	switch c.codec {
	case codecZero:
		return block{hash: c.hash, codec: codecZero}, nil
	case codecPatched:
		b = block{hash: c.hash, codec: codecPatched, first: uint32(len(p.m.layers)), layers: uint8(len(*c.patch))}
		b.pack, err = p.extra(c.chunk)
		for _, l := range *c.patch {
			if err == nil {
				l.chunk, err = p.extra(l.chunk)
				p.m.layers = append(p.m.layers, l)
			}
		}
		return b, err
	}
	return p.stored(c.chunk)
}

// extra returns the place of chunk n in the manifest's table of chunks.
func (p *placer) extra(n uint32) (uint32, error) {
	if at, ok := p.extras[n]; ok {
		return at, nil
	}
	b, err := p.stored(n)
	if err != nil {
		return 0, err
	}
	at := uint32(len(p.m.chunks))
	p.m.chunks = append(p.m.chunks, extra{b, p.chunks[n].plain})
	p.extras[n] = at
	return at, nil
}

// stored returns where chunk n is, in terms of the manifest's packs.
func (p *placer) stored(n uint32) (block, error) {
	if n >= uint32(len(p.chunks)) || p.chunks[n].pack == none {
		return block{}, fmt.Errorf("chunk %d was not stored", n)
	}
	b := p.chunks[n].block
	at, ok := p.packs[b.pack]
	if !ok {
		at = uint32(len(p.m.packs))
		p.packs[b.pack] = at
		p.m.packs = append(p.m.packs, p.index.packs[b.pack])
	}
	b.pack = at
	return b, nil
}
