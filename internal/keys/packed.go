package keys

import (
	"encoding/binary"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/cloud"
	"borealis/internal/material"
)

// A packed key is a key and its aliases in one piece of memory, from which it can be
// made ready for use in microseconds: the garbage collector, which looks at every
// piece of a hundred thousand keys that are ready for use, hardly notices as many
// that are packed. Its material is as it is in the database: sealed. It never leaves
// the process, so its form may change at any time. It is a string, since parts of
// that need not be copied.
type packed string

// pack is l packed, or "" for a key that has to stay as it is: one that has grants,
// that is in a custom key store, or whose material is no bare secret and so takes
// longer to open, up to milliseconds for RSA.
func (l *loaded) pack() packed {
	if len(l.grants.all) > 0 || l.Key.Store != nil {
		return ""
	}
	size := 512 + len(l.Policy) + 256*len(l.Materials)
	for _, m := range l.secrets {
		if m != nil && m.Secret() == nil {
			return ""
		}
	}
	w := packer{make([]byte, 0, size)}
	w.key(&l.Key)
	w.number(int64(len(l.aliases)))
	for _, name := range l.aliases {
		w.text(name)
	}
	return packed(w.b)
}

// unpack is what was packed: a key and its aliases, for prepare to complete. It is nil
// for "".
func (p packed) unpack() *loaded {
	if p == "" {
		return nil
	}
	l, r := new(loaded), unpacker{string(p)}
	r.key(&l.Key)
	l.aliases = list(&r, (*unpacker).text)
	return l
}

// ref is the name of the key that is packed.
func (p packed) ref() Ref {
	r := unpacker{string(p)}
	return r.ref()
}

// A shelf is packed keys. In its maps are no pointers but those to the keys, and what
// is found there by its hash is to be compared with what was looked for.
type shelf struct {
	keys  map[uint64]packed // by the hashes of Refs
	names map[uint64]uint64 // hashes of Refs, by those of materialNames and aliasNames
}

// put puts l on the shelf, packed as p.
func (s *shelf) put(l *loaded, p packed) {
	if s.keys == nil {
		s.keys, s.names = make(map[uint64]packed), make(map[uint64]uint64)
	}
	h := hashOf(l.Ref)
	if s.keys[h] == p {
		return
	}
	s.drop(h)
	for other := range s.keys { // any will do
		if len(s.keys) < maxLoaded {
			break
		}
		s.drop(other)
	}
	s.keys[h] = p
	for _, n := range namesOf(l) {
		s.names[n] = h
	}
}

// find names the key that has the material or the alias of this hash, if its
// hash does not deceive.
func (s *shelf) find(h uint64) (Ref, bool) {
	p := s.keys[s.names[h]]
	if p == "" {
		return Ref{}, false
	}
	return p.ref(), true
}

// drop takes the key away whose Ref has this hash, if there is one.
func (s *shelf) drop(h uint64) {
	l := s.keys[h].unpack()
	if l == nil {
		return
	}
	for _, n := range namesOf(l) {
		delete(s.names, n)
	}
	delete(s.keys, h)
}

// namesOf are the hashes of what l is found by: its materials and its aliases.
func namesOf(l *loaded) []uint64 {
	names := make([]uint64, 0, 8)
	for i := range l.Materials {
		names = append(names, hashOf(materialName{l.Region, l.Materials[i].ID}))
	}
	for _, a := range l.aliases {
		names = append(names, hashOf(aliasName{l.Place, a}))
	}
	return names
}

// A packer writes one thing behind the other. What it writes an unpacker reads, in
// the same order.
type packer struct{ b []byte }

type unpacker struct{ rest string }

func (w *packer) key(k *Key) {
	w.ref(k.Ref)
	w.number(k.Version)
	w.time(k.Created)
	w.text(string(k.State))
	w.time(k.Deletion)
	w.number(int64(k.Window))
	w.text(string(k.Manager))
	w.text(k.Description)
	w.text(k.Policy)
	w.number(int64(len(k.Tags)))
	for _, t := range k.Tags {
		w.text(t.Key)
		w.text(t.Value)
	}
	w.text(string(k.Spec))
	w.text(string(k.Usage))
	w.text(k.Origin)
	w.text(k.StoreID)
	w.text(k.XksKeyID)
	w.family(k.MultiRegion)
	w.number(int64(k.Rotation.Period))
	w.time(k.Rotation.Next)
	w.number(int64(len(k.Materials)))
	for i := range k.Materials {
		w.material(&k.Materials[i])
	}
	w.text(k.Current)
	w.bytes(k.Naming)
}

func (r *unpacker) key(k *Key) {
	k.Ref = r.ref()
	k.Version = r.number()
	k.Created = r.time()
	k.State = State(r.text())
	k.Deletion = r.time()
	k.Window = int32(r.number())
	k.Manager = Manager(r.text())
	k.Description = r.text()
	k.Policy = r.text()
	k.Tags = list(r, func(r *unpacker) Tag { return Tag{r.text(), r.text()} })
	k.Spec = material.Spec(r.text())
	k.Usage = material.Usage(r.text())
	k.Origin = r.text()
	k.StoreID = r.text()
	k.XksKeyID = r.text()
	k.MultiRegion = r.family()
	k.Rotation.Period = int32(r.number())
	k.Rotation.Next = r.time()
	k.Materials = list(r, (*unpacker).material)
	k.Current = r.text()
	k.Naming = r.bytes()
}

func (w *packer) ref(r Ref) {
	w.text(string(r.Account))
	w.text(string(r.Region))
	w.text(r.ID)
}

func (r *unpacker) ref() Ref {
	return Ref{Place{cloud.AccountID(r.text()), cloud.Region(r.text())}, r.text()}
}

func (w *packer) material(m *Material) {
	w.text(m.ID)
	w.time(m.Created)
	w.bytes(m.Sealed)
	w.time(m.Rotated)
	w.text(string(m.Rotation))
	w.time(m.ValidTo)
	w.text(m.Description)
}

func (r *unpacker) material() Material {
	return Material{
		ID: r.text(), Created: r.time(), Sealed: r.bytes(), Rotated: r.time(), Rotation: types.RotationType(r.text()),
		ValidTo: r.time(), Description: r.text(),
	}
}

func (w *packer) family(m *MultiRegion) {
	if m == nil {
		w.number(0)
		return
	}
	w.number(1)
	w.text(string(m.Primary))
	w.number(int64(len(m.Replicas)))
	for _, r := range m.Replicas {
		w.text(string(r))
	}
}

func (r *unpacker) family() *MultiRegion {
	if r.number() == 0 {
		return nil
	}
	return &MultiRegion{cloud.Region(r.text()), list(r, func(r *unpacker) cloud.Region { return cloud.Region(r.text()) })}
}

func (w *packer) number(n int64) { w.b = binary.AppendVarint(w.b, n) }

func (r *unpacker) number() int64 {
	var n uint64
	for shift := 0; ; shift += 7 {
		c := r.rest[0]
		r.rest = r.rest[1:]
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return int64(n>>1) ^ -int64(n&1)
		}
	}
}

func (w *packer) text(s string) {
	w.number(int64(len(s)))
	w.b = append(w.b, s...)
}

func (r *unpacker) text() string {
	n := r.number()
	s := r.rest[:n]
	r.rest = r.rest[n:]
	return s
}

// bytes keeps nil and empty apart: nil is that there is no secret.
func (w *packer) bytes(b []byte) {
	if b == nil {
		w.number(0)
		return
	}
	w.number(int64(len(b)) + 1)
	w.b = append(w.b, b...)
}

func (r *unpacker) bytes() []byte {
	n := r.number() - 1
	if n < 0 {
		return nil
	}
	b := []byte(r.rest[:n])
	r.rest = r.rest[n:]
	return b
}

// time keeps times in UTC.
func (w *packer) time(t time.Time) {
	w.number(t.Unix())
	w.number(int64(t.Nanosecond()))
}

func (r *unpacker) time() time.Time { return time.Unix(r.number(), r.number()).UTC() }

// list reads as many as a number before them says, nil for none.
func list[T any](r *unpacker, one func(*unpacker) T) []T {
	n := r.number()
	if n == 0 {
		return nil
	}
	all := make([]T, n)
	for i := range all {
		all[i] = one(r)
	}
	return all
}
