package volume

import "crypto/sha256"

// SetPackSize makes e fill packs up to n bytes only, so that a little data makes
// many packs.
func (e *Engine) SetPackSize(n int) { e.packSize = n }

// RecordPacks is how many packs a progress record is about.
const RecordPacks = recordPacks

// SampleRoot is a root in plaintext and the entries of its table.
func SampleRoot() (root, table []byte) {
	m := sample()
	return m.encodeRoot(0), encodeBlocks(m.blocks)
}

func sample() *manifest {
	m := &manifest{facts: []byte("{}"), files: []file{{name: "a", dir: true, mode: 0o700}, {name: "a/b", mode: 0o600, size: 5}}}
	m.version, m.kind, m.packs = Version, kindVolume, []pack{{size: 100}}
	m.blocks = []block{{hash: sha256.Sum256([]byte("12345")), offset: uint32(packHeaderSize), length: 5 + tagSize}}
	return m
}

// ParseRoot reads a root, and entries of a table, as if they had been authentic,
// and does what opening and reading a volume does with them.
func ParseRoot(root, table, chunks, layers []byte) error {
	m := sample()
	if _, err := m.decodeRoot(root); err != nil {
		return err
	}
	m.blocks = nil
	for kind, t := range [][]byte{table, chunks, layers} {
		if err := m.decodeEntries(kind, t); err != nil {
			return err
		}
	}
	if err := m.check(); err != nil {
		return err
	}
	if _, _, err := m.pieces(); err != nil {
		return err
	}
	m.content()
	return nil
}

// OpenManifest opens a manifest with s's key, as if it had come from a backend.
func OpenManifest(s Spec, data []byte) error {
	k, err := derive(s.Identity, s.DataKey)
	if err != nil {
		return err
	}
	_, _, err = decodeManifest("manifest", data, k)
	return err
}

// SealChunk is, as stored at offset of the pack object, the raw chunk of body under
// another hash: what a bug, or a writer who has the key and lies, would leave.
func SealChunk(s Spec, object string, offset int, hash Digest, body []byte) []byte {
	k, err := derive(s.Identity, s.DataKey)
	if err != nil {
		panic(err)
	}
	_, name, ok := parsePack(object)
	if !ok {
		panic(object + " is no pack")
	}
	return k.sealChunk(nil, k.forPack(name), uint32(offset), chunk{hash: hash, plain: len(body), codec: codecRaw}, body)
}
