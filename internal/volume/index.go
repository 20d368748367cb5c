package volume

import (
	"fmt"
	"sync"
)

// An index says where the blocks that a volume under way may refer to are
// stored: those of earlier volumes of the vault, and its own.
type index struct {
	mu    sync.Mutex
	at    map[Digest]block
	packs []pack
	known map[packName]uint32 // place in packs
}

// claimed is the place of a block that someone is about to store.
const claimed = ^uint32(0)

func newIndex() *index {
	return &index{at: map[Digest]block{}, known: map[packName]uint32{}}
}

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

// learn adds the blocks of a manifest, as far as their packs are there and as
// long as the manifest says: a pack that was lost is then stored again instead
// of being referred to once more.
func (x *index) learn(m *manifest, there map[packName]int64) {
	places := make([]uint32, len(m.packs))
	for i, p := range m.packs {
		places[i] = claimed
		if size, ok := there[p.name]; ok && size == int64(p.size) {
			places[i] = x.addPack(p)
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, b := range m.blocks {
		if b.codec == codecZero || places[b.pack] == claimed {
			continue
		}
		b.pack = places[b.pack]
		if _, ok := x.at[b.hash]; !ok {
			x.at[b.hash] = b
		}
	}
}

// claim reports whether the caller has to store the block and set its place:
// nobody has, and nobody else is about to.
func (x *index) claim(hash Digest) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, ok := x.at[hash]; ok {
		return false
	}
	x.at[hash] = block{hash: hash, pack: claimed}
	return true
}

func (x *index) set(b block) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.at[b.hash] = b
}

// place fills the blocks' places in m from their hashes, and m's packs with
// those that are referred to. A block that nobody has stored is a bug of ours,
// found before it can become a volume that lacks it.
func (x *index) place(m *manifest, hashes []Digest) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	used := make(map[uint32]uint32)
	m.blocks = make([]block, len(hashes))
	m.packs = nil
	for i, hash := range hashes {
		b, ok := x.at[hash]
		if !ok || (b.codec != codecZero && b.pack == claimed) {
			return fmt.Errorf("block %s was not stored", hash)
		}
		if b.codec != codecZero {
			n, ok := used[b.pack]
			if !ok {
				n = uint32(len(m.packs))
				used[b.pack] = n
				m.packs = append(m.packs, x.packs[b.pack])
			}
			b.pack = n
		}
		m.blocks[i] = b
	}
	return nil
}
