package volume_test

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
)

// vaultOne derives the vault id and the keys Kc and Km of version 1.
func (r textReader) vaultOne() (id, chunkKey, manifestKey []byte) {
	s := sha256.Sum256(bytes.Join([][]byte{[]byte("borealis volume v1 vault\x00"), asText(r.account), asText(r.lineage), asText(r.keyARN)}, nil))
	prk := must(hkdf.Extract(sha256.New, r.dataKey, s[:]))
	t := must(hkdf.Expand(sha256.New, prk, "borealis volume v1 vault id", 16))
	return append(s[:8:8], t...), must(hkdf.Expand(sha256.New, prk, "borealis volume v1 chunk key", 32)),
		must(hkdf.Expand(sha256.New, prk, "borealis volume v1 manifest key", 32))
}

// readOne is read for volumes of version 1.
func (r textReader) readOne(volume string) (tree map[string]string, facts string, digest, content [32]byte) {
	vaultID, chunkKey, manifestKey := r.vaultOne()
	object := r.get("volumes/" + volume + "." + hex.EncodeToString(vaultID))

	// The public part.
	f := &fieldReader{object}
	if magic := string(f.take(8)); magic != "BRLSVOLM" || f.num(4) != 1 || f.num(4) != 1 {
		panic("not a volume of version 1: " + magic)
	}
	p, rootLen, entries := int(f.num(4)), int(f.num(4)), int(f.num(4))
	salt := f.take(32)
	if !bytes.Equal(f.take(24), vaultID) {
		panic("another vault")
	}
	for _, want := range []string{volume, r.account, r.lineage, r.keyARN} {
		if got := f.text(); got != want {
			panic(fmt.Sprintf("header says %q, not %q", got, want))
		}
	}
	f.text() // the wrapped data key: we have it unwrapped
	packs := make([]string, f.num(4))
	for i := range packs {
		packs[i] = "packs/" + hex.EncodeToString(vaultID) + "/" + hex.EncodeToString(f.take(16))
		if pack := r.get(packs[i]); len(pack) != int(f.num(4)) || !bytes.HasPrefix(pack, append([]byte("BRLSPACK\x00\x00\x00\x01"), vaultID...)) {
			panic("not a pack of this vault: " + packs[i])
		}
	}
	c := sha256.Sum256(object[:p])
	if len(object)-len(f.p) != p || !bytes.Equal(f.take(32), c[:]) {
		panic("checksum of the public part")
	}

	// The root.
	key := hmac256(manifestKey, salt, []byte(volume))
	root := &fieldReader{unseal(key, countingNonce(0), f.take(rootLen), []byte("borealis volume v1 root\x00"), c[:])}
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
	}

	// The table.
	var table []byte
	for i := range int(root.num(4)) {
		segment := f.take(min(4096*48, entries*48-len(table)) + 16)
		if sum := sha256.Sum256(segment); !bytes.Equal(root.take(32), sum[:]) {
			panic("hash of a segment")
		}
		table = append(table, unseal(key, countingNonce(i+1), segment, []byte("borealis volume v1 table\x00"), c[:], binary.BigEndian.AppendUint32(nil, uint32(i)))...)
	}
	if len(root.p) != 0 || len(f.p) != 0 || len(table) != entries*48 {
		panic("bytes left over")
	}

	// The blocks.
	tree = map[string]string{}
	hash := sha256.New()
	hash.Write([]byte("borealis volume v1 content\x00"))
	t := &fieldReader{table}
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
			h, pack, offset, length, codec := t.take(32), t.num(4), t.num(4), t.num(4), t.num(1)
			if t.num(3) != 0 {
				panic("padding")
			}
			hash.Write(h)
			plain := make([]byte, min(1048576, file.size-uint64(len(data))))
			if codec != 2 {
				chunk := r.get(packs[pack])[offset : offset+length]
				aad := bytes.Join([][]byte{[]byte("borealis volume v1 chunk\x00"), vaultID, h, binary.BigEndian.AppendUint32(nil, uint32(len(plain))), {byte(codec)}}, nil)
				body := unseal(hmac256(chunkKey, h), chunk[:12], chunk[12:], aad)
				if codec == 1 {
					body = must(unzstd.DecodeAll(body, nil))
				}
				if len(body) != len(plain) {
					panic("length of a block")
				}
				plain = body
			}
			if sum := sha256.Sum256(plain); !bytes.Equal(sum[:], h) {
				panic("hash of a block")
			}
			data = append(data, plain...)
		}
		tree[file.name] = entry(mode, data)
	}
	if len(t.p) != 0 {
		panic("entries left over")
	}
	return tree, facts, digest, [32]byte(hash.Sum(nil))
}
