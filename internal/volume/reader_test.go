package volume_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"math/bits"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/zeebo/blake3"
)

// This is a reader of the format written from docs/format.md alone. It shares
// nothing with the package it tests but decompressors and BLAKE3, reads the
// objects itself, and is as strict as the document. Errors are panics: the test
// that uses it has nothing else to do with them.

var unzstd = must(zstd.NewReader(nil, zstd.WithDecoderConcurrency(1)))

// textReader opens volumes with nothing but an identity, a data key and objects.
type textReader struct {
	get                      func(object string) []byte
	account, lineage, keyARN string
	dataKey                  []byte
}

// fieldReader takes fields off the front of a byte string.
type fieldReader struct{ p []byte }

func (f *fieldReader) take(n int) []byte { p := f.p[:n]; f.p = f.p[n:]; return p }
func (f *fieldReader) num(bytes int) (v uint64) {
	for _, b := range f.take(bytes) {
		v = v<<8 | uint64(b)
	}
	return v
}
func (f *fieldReader) text() string { return string(f.take(int(f.num(2)))) }

func asText(s string) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func hmac256(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

func unseal(key, nonce, sealed []byte, aad ...[]byte) []byte {
	gcm := must(cipher.NewGCM(must(aes.NewCipher(key))))
	return must(gcm.Open(nil, nonce, sealed, bytes.Join(aad, nil)))
}

func countingNonce(n int) []byte { return binary.BigEndian.AppendUint64(make([]byte, 4), uint64(n)) }

// vault derives the vault id and the keys Kp and Km.
func (r textReader) vault() (id, packKey, manifestKey []byte) {
	s := sha256.Sum256(bytes.Join([][]byte{[]byte("borealis volume v1 vault\x00"), asText(r.account), asText(r.lineage), asText(r.keyARN)}, nil))
	prk := must(hkdf.Extract(sha256.New, r.dataKey, s[:]))
	t := must(hkdf.Expand(sha256.New, prk, "borealis volume v1 vault id", 16))
	return append(s[:8:8], t...), must(hkdf.Expand(sha256.New, prk, "borealis volume v2 pack key", 32)),
		must(hkdf.Expand(sha256.New, prk, "borealis volume v2 manifest key", 32))
}

// read returns the volume's files as entry describes them, its facts, its digest
// and its content hash.
func (r textReader) read(volume string) (tree map[string]string, facts string, digest, content [32]byte) {
	vaultID, packKey, manifestKey := r.vault()
	object := r.get("volumes/" + volume + "." + hex.EncodeToString(vaultID))
	f := &fieldReader{object}
	if magic := string(f.take(8)); magic != "BRLSVOLM" {
		panic("not a volume: " + magic)
	}
	switch f.num(4) {
	case 1:
		return r.readOne(volume)
	case 2:
	default:
		panic("unknown version")
	}
	if f.num(4) != 1 {
		panic("not a volume")
	}
	p, rootLen := int(f.num(4)), int(f.num(4))
	counts := []int{int(f.num(4)), 0, 0}
	salt := f.take(32)
	if !bytes.Equal(f.take(24), vaultID) {
		panic("another vault")
	}
	f.num(8) // when it was made
	counts[1], counts[2] = int(f.num(4)), int(f.num(4))
	for _, want := range []string{volume, r.account, r.lineage, r.keyARN} {
		if got := f.text(); got != want {
			panic(fmt.Sprintf("header says %q, not %q", got, want))
		}
	}
	f.text() // the wrapped data key: we have it unwrapped
	type pack struct{ key, data []byte }
	packs := make([]pack, f.num(4))
	for i := range packs {
		name := f.take(16)
		data := r.get("packs/" + hex.EncodeToString(vaultID) + "/" + hex.EncodeToString(name))
		if len(data) != int(f.num(4)) || !bytes.HasPrefix(data, append([]byte("BRLSPACK\x00\x00\x00\x02"), vaultID...)) {
			panic("not a pack of this vault")
		}
		packs[i] = pack{hmac256(packKey, name), data}
	}
	c := sha256.Sum256(object[:p])
	if len(object)-len(f.p) != p || !bytes.Equal(f.take(32), c[:]) {
		panic("checksum of the public part")
	}

	// The root.
	key := hmac256(manifestKey, salt, []byte(volume))
	root := &fieldReader{unseal(key, countingNonce(0), f.take(rootLen), []byte("borealis volume v2 root\x00"), c[:])}
	digest = sha256.Sum256(object[:p+32+rootLen])
	facts = string(root.take(int(root.num(4))))
	type listed struct {
		name      string
		typ, mode uint64
		size      uint64
	}
	files := make([]listed, root.num(4))
	for i := range files {
		files[i] = listed{name: root.text(), typ: root.num(1), mode: root.num(2)}
		root.num(8) // modification time
		files[i].size = root.num(8)
		root.take(16) // stamp
	}

	// The tables.
	var tables [3]*fieldReader
	segments, segment := int(root.num(4)), 0
	for i, size := range []int{52, 52, 8} {
		var table []byte
		for len(table) < counts[i]*size {
			sealed := f.take(min(4096*size, counts[i]*size-len(table)) + 16)
			if sum := sha256.Sum256(sealed); !bytes.Equal(root.take(32), sum[:]) {
				panic("hash of a segment")
			}
			table = append(table, unseal(key, countingNonce(segment+1), sealed, []byte("borealis volume v2 table\x00"), c[:], binary.BigEndian.AppendUint32(nil, uint32(segment)))...)
			segment++
		}
		tables[i] = &fieldReader{table}
	}
	if len(root.p) != 0 || len(f.p) != 0 || segment != segments {
		panic("bytes left over")
	}

	// chunk opens what an entry of the first two tables refers to.
	chunk := func(h []byte, at, offset, length, codec uint64, plain int) []byte {
		aad := bytes.Join([][]byte{[]byte("borealis volume v2 chunk\x00"), vaultID, h, binary.BigEndian.AppendUint32(nil, uint32(plain)), {byte(codec)}}, nil)
		body := unseal(packs[at].key, countingNonce(int(offset)), packs[at].data[offset:offset+length], aad)
		switch codec {
		case 0:
		case 1:
			body = must(unzstd.DecodeAll(body, nil))
		case 3:
			body = must(s2.Decode(nil, must(unzstd.DecodeAll(body, nil))))
		default:
			panic("codec of a chunk")
		}
		if sum := blake3.Sum256(body); len(body) != plain || !bytes.Equal(sum[:], h) {
			panic("hash of a chunk")
		}
		return body
	}

	// The chunks and the layers.
	chunks := make([][]byte, counts[1])
	for i := range chunks {
		t := tables[1]
		h, at, offset, length, plain, codec := t.take(32), t.num(4), t.num(4), t.num(4), t.num(4), t.num(1)
		if t.num(3) != 0 {
			panic("padding")
		}
		chunks[i] = chunk(h, at, offset, length, codec, int(plain))
	}
	type layer struct {
		chunk []byte
		bits  uint16
	}
	layers := make([]layer, counts[2])
	for i := range layers {
		t := tables[2]
		n, first := t.num(4), t.num(2)
		layers[i] = layer{chunks[n][first*8192:], uint16(t.num(2))}
	}

	// The blocks.
	tree = map[string]string{}
	hash := sha256.New()
	hash.Write([]byte("borealis volume v2 content\x00"))
	t := tables[0]
	for _, file := range files {
		hash.Write(asText(file.name))
		hash.Write([]byte{byte(file.typ), byte(file.mode >> 8), byte(file.mode)})
		hash.Write(binary.BigEndian.AppendUint64(nil, file.size))
		mode := fs.FileMode(file.mode)
		if file.typ == 1 {
			mode |= fs.ModeDir
		}
		data := make([]byte, 0, file.size)
		for uint64(len(data)) < file.size {
			h, at, offset, length, first, codec, count := t.take(32), t.num(4), t.num(4), t.num(4), t.num(4), t.num(1), t.num(1)
			if t.num(2) != 0 {
				panic("padding")
			}
			hash.Write(h)
			plain := make([]byte, min(131072, file.size-uint64(len(data))))
			switch codec {
			case 2:
			case 4:
				if copy(plain, chunks[at]) != len(chunks[at]) || len(chunks[at]) != len(plain) {
					panic("length of a base")
				}
				for _, l := range layers[first : first+count] {
					for p := l.chunk; l.bits != 0; p = p[8192:] {
						i := bits.TrailingZeros16(l.bits)
						l.bits &^= 1 << i
						copy(plain[i*8192:(i+1)*8192], p[:8192])
					}
				}
			default:
				plain = chunk(h, at, offset, length, codec, len(plain))
			}
			if sum := blake3.Sum256(plain); !bytes.Equal(sum[:], h) {
				panic("hash of a block")
			}
			data = append(data, plain...)
		}
		tree[file.name] = entry(mode, data)
	}
	if len(t.p)+len(tables[1].p)+len(tables[2].p) != 0 {
		panic("entries left over")
	}
	return tree, facts, digest, [32]byte(hash.Sum(nil))
}
