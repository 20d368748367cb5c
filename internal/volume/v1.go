package volume

import (
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
)

// What version 1 of the format has of its own. Volumes of that version are read,
// and no longer written: docs/format.md, "Version 1".
const (
	versionOne  = 1
	blockSizeV1 = 1 << 20
	overheadV1  = nonceSize + tagSize // of a stored chunk over its body
	entrySizeV1 = 48
)

const (
	labelChunkKeyV1    = "borealis volume v1 chunk key"
	labelManifestKeyV1 = "borealis volume v1 manifest key"
	labelChunkV1       = "borealis volume v1 chunk\x00"
	labelRootV1        = "borealis volume v1 root\x00"
	labelTableV1       = "borealis volume v1 table\x00"
	labelContentV1     = "borealis volume v1 content\x00"
)

// oldKeys are the keys of version 1.
type oldKeys struct{ chunk, manifest []byte }

func (k *oldKeys) forManifest(salt []byte, id string) cipher.AEAD {
	return newGCM(mac(k.manifest, salt, []byte(id)))
}

// openChunkV1 authenticates a stored chunk and decrypts it in place. Its key is
// derived from its hash, and its nonce stands before it.
func (k *keys) openChunkV1(stored []byte, c chunk) (body []byte, err error) {
	aad := append([]byte(labelChunkV1), k.vaultID...)
	aad = append(aad, c.hash[:]...)
	aad = binary.BigEndian.AppendUint32(aad, uint32(c.plain))
	aad = append(aad, c.codec)
	nonce, ct := stored[:nonceSize], stored[nonceSize:]
	return newGCM(mac(k.v1.chunk, c.hash[:])).Open(ct[:0], nonce, ct, aad)
}

func hashV1(plain []byte) Digest { return sha256.Sum256(plain) }
