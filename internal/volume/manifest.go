package volume

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/zeebo/blake3"

	"borealis/internal/cloud"
)

// The layout of a manifest: see docs/format.md, "Manifest". Numbers are
// big-endian.
const (
	manifestMagic = "BRLSVOLM"
	fixedSize     = len(manifestMagic) + 4*5 // magic, version, kind, three numbers
	sumSize       = sha256.Size
	saltSize      = 32

	entrySize      = 52   // of the tables of blocks and of chunks
	layerSize      = 8    // of the table of layers
	segmentEntries = 4096 // entries sealed together
)

// Kinds of manifest.
const (
	kindVolume   uint32 = 1
	kindProgress uint32 = 2
)

// Codecs: what the body of a chunk is, or how else a block is made.
const (
	codecRaw     uint8 = 0
	codecZstd    uint8 = 1
	codecZero    uint8 = 2 // all bytes are zero; nothing is stored
	codecS2Zstd  uint8 = 3 // S2, and that by Zstandard
	codecPatched uint8 = 4 // a chunk, with pages of others over it
)

// A patched block has layers of pages, at most maxLayers of them. A group of
// pages is a chunk of at most groupPages.
const (
	maxLayers  = 16
	groupPages = BlockSize / PageSize
)

// Types of file.
const (
	typeFile uint8 = 0
	typeDir  uint8 = 1
)

// A pack is an object that holds chunks.
type pack struct {
	name packName
	size uint32
}

// A stamp says which state of a file on disk was read: the same stamp means the
// same bytes. It is zero when nothing certain can be said.
type stamp [16]byte

// A file is an entry of the tree.
type file struct {
	name  string
	dir   bool
	mode  uint16 // permission bits
	mtime int64  // nanoseconds since 1970
	size  int64
	stamp stamp
	first int // its first block's place in the table
}

// blockSize is the plaintext of every block but a file's last.
func (p *public) blockSize() int64 {
	if p.version == versionOne {
		return blockSizeV1
	}
	return BlockSize
}

// blocksOf is the number of blocks that size bytes make.
func (p *public) blocksOf(size int64) int { return int((size + p.blockSize() - 1) / p.blockSize()) }

// length is that of block n of f.
func (p *public) length(f *file, n int) int {
	return int(min(p.blockSize(), f.size-int64(n)*p.blockSize()))
}

// hashOf is the hash of a block or chunk in the volume's version.
func (p *public) hashOf(plain []byte) Digest {
	if p.version == versionOne {
		return hashV1(plain)
	}
	return blake3.Sum256(plain)
}

// blocksOf is the number of blocks that size bytes make in the version written.
func blocksOf(size int64) int { return int((size + BlockSize - 1) / BlockSize) }

// A block says what one block of a file holds and where that is stored. For a
// patched one pack is the place of its base in the table of chunks, and layers
// and first say which of the layers are its.
type block struct {
	hash   Digest // of the plaintext
	pack   uint32 // in the manifest's list of packs
	offset uint32 // in the pack
	length uint32 // as stored
	first  uint32
	codec  uint8
	layers uint8
}

// An extra is a chunk that is not, by itself, a block: the base of a patched
// block, or a group of pages.
type extra struct {
	block
	plain uint32
}

// A layer lays pages of a group over a block: bit i of bits says that page i of
// the block is the next of the group's pages, beginning with page at.
type layer struct {
	chunk uint32 // in the table of chunks
	at    uint16
	bits  uint16
}

// A public is the part of a manifest that is readable without a key.
type public struct {
	version uint32
	kind    uint32
	id      string
	made    int64 // nanoseconds since 1970
	wrapped []byte
	vault   []byte
	salt    []byte
	packs   []pack
	Identity

	size   int      // of the public part with its checksum
	root   int      // length of the sealed root that follows
	count  int      // entries in the table of blocks that follows that
	extras int      // entries in the table of chunks
	over   int      // entries in the table of layers
	hash   [32]byte // of the public part; what the rest is bound to
}

func (p *public) header() Header {
	h := Header{ID: p.id, Version: int(p.version), Identity: p.Identity, Wrapped: p.wrapped, Vault: hex.EncodeToString(p.vault)}
	if p.made != 0 {
		h.Made = time.Unix(0, p.made)
	}
	return h
}

// A table is a number of entries of one size.
type table struct{ count, size int }

// tables are those that follow the root, in order.
func (p *public) tables() []table {
	if p.version == versionOne {
		return []table{{p.count, entrySizeV1}}
	}
	return []table{{p.count, entrySize}, {p.extras, entrySize}, {p.over, layerSize}}
}

func (t table) segments() int { return (t.count + segmentEntries - 1) / segmentEntries }

// total is the length of the whole manifest.
func (p *public) total() int64 {
	n := int64(p.size) + int64(p.root)
	for _, t := range p.tables() {
		n += int64(t.count)*int64(t.size) + int64(t.segments())*tagSize
	}
	return n
}

// A manifest is everything about a volume but its chunks.
type manifest struct {
	public
	facts  []byte
	files  []file  // in order of their names
	blocks []block // of all files, in the same order
	chunks []extra
	layers []layer
}

// encode seals m under a salt of its own and returns the object and its digest.
// It may be called again, after a failure or with other content: the salt is
// new each time.
func (m *manifest) encode(k *keys) ([]byte, Digest) {
	m.salt = make([]byte, saltSize)
	rand.Read(m.salt) // never fails
	m.vault = k.vaultID
	m.version, m.count, m.extras, m.over = Version, len(m.blocks), len(m.chunks), len(m.layers)
	segments := 0
	for _, t := range m.tables() {
		segments += t.segments()
	}
	root := m.encodeRoot(segments)
	m.root = len(root) + tagSize
	pub := m.encodePublic()
	hash := sha256.Sum256(pub[:len(pub)-sumSize])
	m.size = len(pub)

	a := k.forManifest(m.salt, m.id)
	out := make([]byte, len(pub)+m.root, m.total())
	copy(out, pub)
	sums, n := root[len(root)-segments*sha256.Size:], 0
	seal := func(entries []byte) {
		start := len(out)
		out = a.Seal(out, counter(n+1), entries, tableData(labelTable, hash, n))
		sum := sha256.Sum256(out[start:])
		copy(sums[n*sha256.Size:], sum[:])
		n++
	}
	for s := range slices.Chunk(m.blocks, segmentEntries) {
		seal(encodeBlocks(s))
	}
	for s := range slices.Chunk(m.chunks, segmentEntries) {
		seal(encodeChunks(s))
	}
	for s := range slices.Chunk(m.layers, segmentEntries) {
		seal(encodeLayers(s))
	}
	a.Seal(out[:len(pub)], counter(0), root, append([]byte(labelRoot), hash[:]...))
	return out, sha256.Sum256(out[:len(pub)+m.root])
}

// counter is the nonce of part n of a manifest: 0 is the root, n the n-th
// segment of the table counting from 1.
func counter(n int) []byte {
	nonce := make([]byte, nonceSize)
	binary.BigEndian.PutUint64(nonce[nonceSize-8:], uint64(n))
	return nonce
}

// tableData binds segment i of the tables to its manifest and its place there.
func tableData(label string, hash [32]byte, i int) []byte {
	aad := append([]byte(label), hash[:]...)
	return binary.BigEndian.AppendUint32(aad, uint32(i))
}

func (m *manifest) encodePublic() []byte {
	var body encoder
	body.raw(m.salt)
	body.raw(m.vault)
	body.u64(uint64(m.made))
	body.u32(uint32(m.extras))
	body.u32(uint32(m.over))
	body.text(m.id)
	body.text(string(m.Account))
	body.text(m.Lineage)
	body.text(m.KeyARN)
	body.text(string(m.wrapped))
	body.u32(uint32(len(m.packs)))
	for _, p := range m.packs {
		body.raw(p.name[:])
		body.u32(p.size)
	}
	var e encoder
	e.raw([]byte(manifestMagic))
	e.u32(Version)
	e.u32(m.kind)
	e.u32(uint32(fixedSize + len(body.bytes)))
	e.u32(uint32(m.root))
	e.u32(uint32(m.count))
	e.raw(body.bytes)
	sum := sha256.Sum256(e.bytes)
	e.raw(sum[:])
	return e.bytes
}

// encodeRoot leaves room at the end for the hashes of the tables' segments.
func (m *manifest) encodeRoot(segments int) []byte {
	var e encoder
	e.u32(uint32(len(m.facts)))
	e.raw(m.facts)
	e.u32(uint32(len(m.files)))
	for _, f := range m.files {
		e.text(f.name)
		typ := typeFile
		if f.dir {
			typ = typeDir
		}
		e.u8(typ)
		e.u16(f.mode)
		e.u64(uint64(f.mtime))
		e.u64(uint64(f.size))
		e.raw(f.stamp[:])
	}
	e.u32(uint32(segments))
	e.raw(make([]byte, segments*sha256.Size))
	return e.bytes
}

func encodeBlocks(blocks []block) []byte {
	e := encoder{make([]byte, 0, len(blocks)*entrySize)}
	for _, b := range blocks {
		e.raw(b.hash[:])
		e.u32(b.pack)
		e.u32(b.offset)
		e.u32(b.length)
		e.u32(b.first)
		e.u8(b.codec)
		e.u8(b.layers)
		e.u16(0)
	}
	return e.bytes
}

func encodeChunks(chunks []extra) []byte {
	e := encoder{make([]byte, 0, len(chunks)*entrySize)}
	for _, c := range chunks {
		e.raw(c.hash[:])
		e.u32(c.pack)
		e.u32(c.offset)
		e.u32(c.length)
		e.u32(c.plain)
		e.u8(c.codec)
		e.u8(0)
		e.u16(0)
	}
	return e.bytes
}

func encodeLayers(layers []layer) []byte {
	e := encoder{make([]byte, 0, len(layers)*layerSize)}
	for _, l := range layers {
		e.u32(l.chunk)
		e.u16(l.at)
		e.u16(l.bits)
	}
	return e.bytes
}

// publicSize reads, from the first fixedSize bytes of a manifest, how long its
// public part is with its checksum.
func publicSize(where string, fixed []byte) (int, error) {
	d := decoder{rest: fixed}
	magic, version := d.raw(len(manifestMagic)), d.u32()
	d.u32() // kind
	n := d.u32()
	switch {
	case d.err != nil || string(magic) != manifestMagic:
		return 0, damaged(where, "it is not a manifest")
	case version != Version && version != versionOne:
		return 0, fmt.Errorf("%s has version %d: %w", where, version, ErrVersion)
	case n < uint32(fixedSize) || n > 1<<30:
		return 0, damaged(where, "the length of its header is impossible")
	}
	return int(n) + sumSize, nil
}

// decodePublic reads the public part at the start of data. where names the
// object in errors.
func decodePublic(where string, data []byte) (*public, error) {
	size, err := publicSize(where, data[:min(len(data), fixedSize)])
	if err != nil {
		return nil, err
	}
	if len(data) < size {
		return nil, damaged(where, "its header ends too early")
	}
	p := &public{size: size, hash: sha256.Sum256(data[:size-sumSize])}
	if !bytes.Equal(p.hash[:], data[size-sumSize:size]) {
		return nil, damaged(where, "its header does not have its checksum")
	}
	d := decoder{rest: data[len(manifestMagic) : size-sumSize]}
	p.version, p.kind = d.u32(), d.u32()
	d.u32() // length, read above
	p.root, p.count = int(d.u32()), int(d.u32())
	p.salt, p.vault = d.raw(saltSize), d.raw(vaultLen)
	if p.version != versionOne {
		p.made, p.extras, p.over = int64(d.u64()), int(d.u32()), int(d.u32())
	}
	p.id, p.Account, p.Lineage, p.KeyARN = d.text(), cloud.AccountID(d.text()), d.text(), d.text()
	p.wrapped = bytes.Clone(d.raw(int(d.u16())))
	p.packs = make([]pack, d.count(len(packName{})+4))
	for i := range p.packs {
		copy(p.packs[i].name[:], d.fixed(len(packName{})))
		p.packs[i].size = d.u32()
	}
	if err := d.end(); err != nil {
		return nil, damaged(where, "its header does not parse: %v", err)
	}
	if p.kind != kindVolume && p.kind != kindProgress {
		return nil, damaged(where, "it is of unknown kind %d", p.kind)
	}
	return p, nil
}

// decodeManifest opens a whole manifest. Only what k has sealed gets through.
func decodeManifest(where string, data []byte, k *keys) (*manifest, Digest, error) {
	p, err := decodePublic(where, data)
	if err != nil {
		return nil, Digest{}, err
	}
	if int64(len(data)) != p.total() {
		return nil, Digest{}, damaged(where, "it has %d bytes, not %d", len(data), p.total())
	}
	if !bytes.Equal(p.vault, k.vaultID) {
		return nil, Digest{}, damaged(where, "it is of another account, lineage or key")
	}
	m := &manifest{public: *p}
	a, rootLabel, tableLabel := k.forManifest(p.salt, p.id), labelRoot, labelTable
	if p.version == versionOne {
		a, rootLabel, tableLabel = k.v1.forManifest(p.salt, p.id), labelRootV1, labelTableV1
	}
	digest := Digest(sha256.Sum256(data[:p.size+p.root]))
	root, err := a.Open(nil, counter(0), data[p.size:p.size+p.root], append([]byte(rootLabel), p.hash[:]...))
	if err != nil {
		return nil, digest, damaged(where, "its root is not authentic")
	}
	sums, err := m.decodeRoot(root)
	if err == nil {
		err = m.decodeTables(a, tableLabel, data[p.size+p.root:], sums)
	}
	if err == nil {
		err = m.check()
	}
	if err != nil {
		return nil, digest, damaged(where, "%v", err)
	}
	return m, digest, nil
}

// decodeRoot reads the opened root and returns the hashes of the segments.
func (m *manifest) decodeRoot(root []byte) (sums []byte, err error) {
	d := decoder{rest: root}
	m.facts = d.raw(d.count(1))
	m.files = make([]file, d.count(2+1+2+8+8+m.stampSize()))
	for i := range m.files {
		f := file{name: d.text()}
		typ := d.u8()
		f.dir = typ == typeDir
		f.mode, f.mtime, f.size = d.u16(), int64(d.u64()), int64(d.u64())
		copy(f.stamp[:], d.fixed(m.stampSize()))
		if typ > typeDir || f.size < 0 || f.mode&^0o777 != 0 || (f.dir && f.size != 0) {
			d.fail(fmt.Errorf("its entry for %q is impossible", f.name))
		}
		m.files[i] = f
		if d.err != nil {
			return nil, d.err
		}
	}
	sums = d.raw(d.count(sha256.Size) * sha256.Size)
	return sums, d.end()
}

// stampSize is the length of a stamp in the root.
func (p *public) stampSize() int {
	if p.version == versionOne {
		return 0
	}
	return len(stamp{})
}

// decodeTables opens the segments of all tables.
func (m *manifest) decodeTables(a cipher.AEAD, label string, sealed, sums []byte) error {
	m.blocks, m.chunks, m.layers = make([]block, 0, m.count), make([]extra, 0, m.extras), make([]layer, 0, m.over)
	n := 0
	var plain []byte
	for kind, t := range m.tables() {
		for left := t.count; left > 0; left -= segmentEntries {
			size := min(left, segmentEntries)*t.size + tagSize
			segment := sealed[:size]
			sealed = sealed[size:]
			sum := sha256.Sum256(segment)
			if len(sums) < sha256.Size || !bytes.Equal(sum[:], sums[:sha256.Size]) {
				return fmt.Errorf("segment %d of its tables is not the one its root names", n)
			}
			sums = sums[sha256.Size:]
			var err error
			if plain, err = a.Open(plain[:0], counter(n+1), segment, tableData(label, m.hash, n)); err != nil {
				return fmt.Errorf("segment %d of its tables is not authentic", n)
			}
			n++
			if err := m.decodeEntries(kind, plain); err != nil {
				return err
			}
		}
	}
	if len(sums) != 0 {
		return errors.New("its tables lack a segment")
	}
	return nil
}

var errEntry = errors.New("its tables have an impossible entry")

// decodeEntries adds the entries of a segment of the kind-th table to m.
func (m *manifest) decodeEntries(kind int, plain []byte) error {
	d := decoder{rest: plain}
	for len(d.rest) > 0 && d.err == nil {
		switch {
		case kind == 2:
			m.layers = append(m.layers, layer{chunk: d.u32(), at: d.u16(), bits: d.u16()})
			continue
		case kind == 1:
			c := extra{block: block{hash: Digest(d.fixed(32)), pack: d.u32(), offset: d.u32(), length: d.u32()}, plain: d.u32()}
			c.codec = d.u8()
			m.chunks = append(m.chunks, c)
		case m.version == versionOne:
			m.blocks = append(m.blocks, block{hash: Digest(d.fixed(32)), pack: d.u32(), offset: d.u32(), length: d.u32(), codec: d.u8()})
		default:
			b := block{hash: Digest(d.fixed(32)), pack: d.u32(), offset: d.u32(), length: d.u32(), first: d.u32(), codec: d.u8()}
			b.layers = d.u8()
			m.blocks = append(m.blocks, b)
			if d.u16() != 0 {
				return errEntry
			}
			continue
		}
		if pad := d.fixed(3); !bytes.Equal(pad, []byte{0, 0, 0}) {
			return errEntry
		}
	}
	return d.err
}

// content is the hash of the files, whatever they are stored as.
func (m *manifest) content() Digest {
	h := sha256.New()
	if m.version == versionOne {
		h.Write([]byte(labelContentV1))
	} else {
		h.Write([]byte(labelContent))
	}
	for _, f := range m.files {
		var e encoder
		e.text(f.name)
		if e.u8(typeFile); f.dir {
			e.bytes[len(e.bytes)-1] = typeDir
		}
		e.u16(f.mode)
		e.u64(uint64(f.size))
		h.Write(e.bytes)
		for _, b := range m.blocks[f.first : f.first+m.blocksOf(f.size)] {
			h.Write(b.hash[:])
		}
	}
	return Digest(h.Sum(nil))
}
