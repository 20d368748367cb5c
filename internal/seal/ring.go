package seal

import (
	"encoding/hex"
	"slices"
	"sync"
	"sync/atomic"
)

// A Ring is the root keys that a data directory is sealed under: one, or two
// while the older one is being replaced. Its Sealers seal under the newest and
// open what any of them has sealed. It may be used by many goroutines at once.
type Ring struct {
	mu    sync.Mutex               // held to change roots
	roots atomic.Pointer[[]keptAs] // newest first; what it points to never changes
}

// A keptAs is a root with what messages under it say.
type keptAs struct {
	*Root
	id [idSize]byte
}

// NewRing returns a Ring of one root.
func NewRing(root *Root) *Ring {
	r := new(Ring)
	r.roots.Store(&[]keptAs{keep(root)})
	return r
}

func keep(root *Root) keptAs {
	k := keptAs{Root: root}
	id, err := hex.DecodeString(root.ID())
	if err != nil {
		panic("seal: id of a root key: " + err.Error())
	}
	copy(k.id[:], id)
	return k
}

// Newest is the root that seals.
func (r *Ring) Newest() *Root { return (*r.roots.Load())[0].Root }

// Older are the other roots, the newest first.
func (r *Ring) Older() []*Root {
	var all []*Root
	for _, k := range (*r.roots.Load())[1:] {
		all = append(all, k.Root)
	}
	return all
}

// Add makes root the one that seals. What is sealed under the others still opens.
func (r *Ring) Add(root *Root) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := append([]keptAs{keep(root)}, *r.roots.Load()...)
	r.roots.Store(&all)
}

// Drop forgets roots, but for the newest: what is sealed under them does not open
// any more.
func (r *Ring) Drop(roots ...*Root) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.Clone((*r.roots.Load())[:1])
	for _, k := range (*r.roots.Load())[1:] {
		if !slices.Contains(roots, k.Root) {
			all = append(all, k)
		}
	}
	r.roots.Store(&all)
}

// Derive returns the Sealer for a purpose. The same purpose always gives the same
// keys, from which those of other purposes and the roots cannot be found.
func (r *Ring) Derive(purpose string) *Sealer {
	return &Sealer{ring: r, purposes: []string{purpose}}
}

// derived are the keys of one Sealer that follow from a Ring's roots.
type derived struct {
	of   *[]keptAs
	keys []sealerKey // newest first
}

type sealerKey struct {
	id  [idSize]byte
	key [KeySize]byte
}

// derived are the Sealer's keys as its Ring is now.
func (s *Sealer) derived() []sealerKey {
	roots := s.ring.roots.Load()
	if d := s.memo.Load(); d != nil && d.of == roots {
		return d.keys
	}
	d := &derived{of: roots}
	for _, root := range *roots {
		k := sealerKey{id: root.id, key: root.key}
		for _, purpose := range s.purposes {
			copy(k.key[:], derive(k.key[:], nil, "borealis seal v1 purpose\x00"+purpose))
		}
		d.keys = append(d.keys, k)
	}
	s.memo.Store(d)
	return d.keys
}
