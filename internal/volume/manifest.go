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

	"borealis/internal/cloud"
)

// The layout of a manifest: see docs/format.md, "Manifest". Numbers are
// big-endian.
const (
	manifestMagic = "BRLSVOLM"
	fixedSize     = len(manifestMagic) + 4*5 // magic, version, kind, three lengths
	sumSize       = sha256.Size
	saltSize      = 32

	entrySize      = 48   // of the block table
	segmentEntries = 4096 // entries sealed together
	segmentSize    = segmentEntries*entrySize + tagSize
)

// Kinds of manifest.
const (
	kindVolume   uint32 = 1
	kindProgress uint32 = 2
)

// Codecs: what the body of a chunk is.
const (
	codecRaw  uint8 = 0
	codecZstd uint8 = 1
	codecZero uint8 = 2 // all bytes are zero; nothing is stored
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

// A file is an entry of the tree.
type file struct {
	name  string
	dir   bool
	mode  uint16 // permission bits
	mtime int64  // nanoseconds since 1970
	size  int64
	first int // its first block's place in the table
}

// blocksOf is the number of blocks that size bytes make.
func blocksOf(size int64) int { return int((size + BlockSize - 1) / BlockSize) }

// length is that of the file's block n.
func (f file) length(n int) int { return int(min(BlockSize, f.size-int64(n)*BlockSize)) }

// A block says what one block of a file holds and where that is stored.
type block struct {
	hash   Digest // SHA-256 of the plaintext
	pack   uint32 // in the manifest's list of packs
	offset uint32 // in the pack
	length uint32 // as stored
	codec  uint8
}

// A public is the part of a manifest that is readable without a key.
type public struct {
	kind    uint32
	id      string
	wrapped []byte
	vault   []byte
	salt    []byte
	packs   []pack
	Identity

	size  int      // of the public part with its checksum
	root  int      // length of the sealed root that follows
	count int      // entries in the table that follows that
	hash  [32]byte // of the public part; what the rest is bound to
}

func (p *public) header() Header {
	return Header{ID: p.id, Version: Version, Identity: p.Identity, Wrapped: p.wrapped, Vault: hex.EncodeToString(p.vault)}
}

// total is the length of the whole manifest.
func (p *public) total() int64 {
	segments := (p.count + segmentEntries - 1) / segmentEntries
	return int64(p.size) + int64(p.root) + int64(p.count)*entrySize + int64(segments)*tagSize
}

// A manifest is everything about a volume but its chunks.
type manifest struct {
	public
	facts  []byte
	files  []file  // in order of their names
	blocks []block // of all files, in the same order
}

// encode seals m under a salt of its own and returns the object and its digest.
// It may be called again, after a failure or with other content: the salt is
// new each time.
func (m *manifest) encode(k *keys) ([]byte, Digest) {
	m.salt = make([]byte, saltSize)
	rand.Read(m.salt) // never fails
	m.vault = k.vaultID
	segments := slices.Collect(slices.Chunk(m.blocks, segmentEntries))
	root := m.encodeRoot(len(segments))
	m.root, m.count = len(root)+tagSize, len(m.blocks)
	out := m.encodePublic()

	hash := sha256.Sum256(out[:len(out)-sumSize])
	a := k.forManifest(m.salt, m.id)
	var table []byte
	sums := root[len(root)-len(segments)*sha256.Size:]
	for i, s := range segments {
		start := len(table)
		table = a.Seal(table, counter(i+1), encodeEntries(s), tableData(hash, i))
		sum := sha256.Sum256(table[start:])
		copy(sums[i*sha256.Size:], sum[:])
	}
	out = a.Seal(out, counter(0), root, append([]byte(labelRoot), hash[:]...))
	digest := sha256.Sum256(out)
	return append(out, table...), digest
}

// counter is the nonce of part n of a manifest: 0 is the root, n the n-th
// segment of the table counting from 1.
func counter(n int) []byte {
	nonce := make([]byte, nonceSize)
	binary.BigEndian.PutUint64(nonce[nonceSize-8:], uint64(n))
	return nonce
}

// tableData binds segment i of a table to its manifest and its place there.
func tableData(hash [32]byte, i int) []byte {
	aad := append([]byte(labelTable), hash[:]...)
	return binary.BigEndian.AppendUint32(aad, uint32(i))
}

func (m *manifest) encodePublic() []byte {
	var body encoder
	body.raw(m.salt)
	body.raw(m.vault)
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

// encodeRoot leaves room at the end for the hashes of the table's segments.
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
	}
	e.u32(uint32(segments))
	e.raw(make([]byte, segments*sha256.Size))
	return e.bytes
}

func encodeEntries(blocks []block) []byte {
	e := encoder{make([]byte, 0, len(blocks)*entrySize)}
	for _, b := range blocks {
		e.raw(b.hash[:])
		e.u32(b.pack)
		e.u32(b.offset)
		e.u32(b.length)
		e.u8(b.codec)
		e.raw([]byte{0, 0, 0})
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
	case version != Version:
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
	d := decoder{rest: data[len(manifestMagic)+4 : size-sumSize]}
	p.kind = d.u32()
	d.u32() // length, read above
	p.root, p.count = int(d.u32()), int(d.u32())
	p.salt, p.vault = d.raw(saltSize), d.raw(vaultLen)
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
	a := k.forManifest(p.salt, p.id)
	digest := Digest(sha256.Sum256(data[:p.size+p.root]))
	root, err := a.Open(nil, counter(0), data[p.size:p.size+p.root], append([]byte(labelRoot), p.hash[:]...))
	if err != nil {
		return nil, digest, damaged(where, "its root is not authentic")
	}
	sums, err := m.decodeRoot(root)
	if err == nil {
		err = m.decodeTable(a, data[p.size+p.root:], sums)
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
	m.files = make([]file, d.count(2+1+2+8+8))
	for i := range m.files {
		f := file{name: d.text()}
		typ := d.u8()
		f.dir = typ == typeDir
		f.mode, f.mtime, f.size = d.u16(), int64(d.u64()), int64(d.u64())
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

func (m *manifest) decodeTable(a cipher.AEAD, table, sums []byte) error {
	m.blocks = make([]block, 0, m.count)
	for i := 0; len(table) > 0; i++ {
		sealed := table[:min(segmentSize, len(table))]
		table = table[len(sealed):]
		sum := sha256.Sum256(sealed)
		if len(sums) < sha256.Size || !bytes.Equal(sum[:], sums[:sha256.Size]) {
			return fmt.Errorf("segment %d of its table is not the one its root names", i)
		}
		sums = sums[sha256.Size:]
		plain, err := a.Open(nil, counter(i+1), sealed, tableData(m.hash, i))
		if err != nil {
			return fmt.Errorf("segment %d of its table is not authentic", i)
		}
		if m.blocks, err = decodeEntries(m.blocks, plain); err != nil {
			return err
		}
	}
	if len(sums) != 0 {
		return errors.New("its table lacks a segment")
	}
	return nil
}

// decodeEntries appends the entries of a segment to blocks.
func decodeEntries(blocks []block, plain []byte) ([]block, error) {
	d := decoder{rest: plain}
	for len(d.rest) > 0 && d.err == nil {
		b := block{hash: Digest(d.fixed(32)), pack: d.u32(), offset: d.u32(), length: d.u32(), codec: d.u8()}
		if pad := d.fixed(3); !bytes.Equal(pad, []byte{0, 0, 0}) {
			return nil, errors.New("its table has an impossible entry")
		}
		blocks = append(blocks, b)
	}
	return blocks, d.err
}

// check makes sure that the parts of m fit each other, and numbers the blocks.
func (m *manifest) check() error {
	if err := checkTree(m.files); err != nil {
		return err
	}
	for i, b := range m.blocks {
		if err := m.checkBlock(b); err != nil {
			return fmt.Errorf("its block %d %w", i, err)
		}
	}
	if m.kind == kindProgress {
		return nil
	}
	at := 0
	for i := range m.files {
		f := &m.files[i]
		n := blocksOf(f.size)
		if f.size > 1<<50 || n > len(m.blocks)-at {
			return fmt.Errorf("its table ends before %q does", f.name)
		}
		f.first = at
		for j := range n {
			b, plain := m.blocks[at+j], uint32(f.length(j))
			if (b.codec == codecRaw && b.length != plain+overhead) || (b.codec == codecZstd && b.length >= plain+overhead) {
				return fmt.Errorf("block %d of %q has an impossible length", j, f.name)
			}
		}
		at += n
	}
	if at != len(m.blocks) {
		return errors.New("its table has entries left over")
	}
	return nil
}

func (m *manifest) checkBlock(b block) error {
	switch {
	case b.codec > codecZero:
		return fmt.Errorf("has unknown codec %d", b.codec)
	case b.codec == codecZero:
		if b.pack != 0 || b.offset != 0 || b.length != 0 {
			return errors.New("is zero and has a place")
		}
	case uint64(b.pack) >= uint64(len(m.packs)):
		return errors.New("is in no pack")
	case b.length <= overhead || b.offset < uint32(packHeaderSize) ||
		uint64(b.offset)+uint64(b.length) > uint64(m.packs[b.pack].size):
		return errors.New("is outside its pack")
	}
	return nil
}

// content is the hash of the files, whatever they are stored as.
func (m *manifest) content() Digest {
	h := sha256.New()
	h.Write([]byte(labelContent))
	for _, f := range m.files {
		var e encoder
		e.text(f.name)
		if e.u8(typeFile); f.dir {
			e.bytes[len(e.bytes)-1] = typeDir
		}
		e.u16(f.mode)
		e.u64(uint64(f.size))
		for _, b := range m.blocks[f.first : f.first+blocksOf(f.size)] {
			e.raw(b.hash[:])
		}
		h.Write(e.bytes)
	}
	return Digest(h.Sum(nil))
}
