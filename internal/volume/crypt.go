package volume

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

const (
	nonceSize = 12
	tagSize   = 16

	scopeLen = 16 // hexadecimal digits of a vault's name that say the identity
	vaultLen = 24 // bytes that a vault's name says
)

// Labels say what a key or a ciphertext is for, so that none does for another.
const (
	labelVault   = "borealis volume v1 vault\x00"
	labelVaultID = "borealis volume v1 vault id"

	labelPackKey     = "borealis volume v2 pack key"
	labelManifestKey = "borealis volume v2 manifest key"
	labelChunk       = "borealis volume v2 chunk\x00"
	labelRoot        = "borealis volume v2 root\x00"
	labelTable       = "borealis volume v2 table\x00"
	labelContent     = "borealis volume v2 content\x00"
)

// hash is the identity as one value; every field is written with its length.
func (id Identity) hash() [32]byte {
	var b encoder
	b.raw([]byte(labelVault))
	b.text(string(id.Account))
	b.text(id.Lineage)
	b.text(id.KeyARN)
	return sha256.Sum256(b.bytes)
}

// scope is the part of a vault's name that its identity alone decides.
func (id Identity) scope() string {
	h := id.hash()
	return hex.EncodeToString(h[:scopeLen/2])
}

func (id Identity) check() error {
	if id.Account == "" || id.Lineage == "" || id.KeyARN == "" {
		return errors.New("volume needs an account, a lineage and a key ARN")
	}
	if len(id.Account) > maxField || len(id.Lineage) > maxField || len(id.KeyARN) > maxField {
		return errors.New("the identity of a volume is too long")
	}
	return nil
}

// keys are what is derived from one data key under one identity.
type keys struct {
	vault    string // names the pair of identity and data key
	vaultID  []byte // the same in bytes
	pack     []byte
	manifest []byte
	v1       oldKeys
}

func derive(id Identity, dk DataKey) (*keys, error) {
	if err := id.check(); err != nil {
		return nil, err
	}
	if len(dk) != 32 {
		return nil, fmt.Errorf("data key has %d bytes, not 32", len(dk))
	}
	scope := id.hash()
	prk, err := hkdf.Extract(sha256.New, dk, scope[:])
	if err != nil {
		return nil, err
	}
	expand := func(label string, n int) []byte {
		k, xerr := hkdf.Expand(sha256.New, prk, label, n)
		err = errors.Join(err, xerr)
		return k
	}
	k := &keys{pack: expand(labelPackKey, 32), manifest: expand(labelManifestKey, 32)}
	k.v1 = oldKeys{chunk: expand(labelChunkKeyV1, 32), manifest: expand(labelManifestKeyV1, 32)}
	k.vaultID = append(scope[:scopeLen/2:scopeLen/2], expand(labelVaultID, vaultLen-scopeLen/2)...)
	k.vault = hex.EncodeToString(k.vaultID)
	return k, err
}

// newGCM returns AES-256-GCM under key, which has 32 bytes.
func newGCM(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("volume: " + err.Error()) // only for a key of another size
	}
	a, err := cipher.NewGCM(block)
	if err != nil {
		panic("volume: " + err.Error()) // only for a block of another size
	}
	return a
}

func mac(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// forManifest is the cipher of one manifest. Its salt is 32 random bytes used
// for one encoding only, so its key seals each nonce once.
func (k *keys) forManifest(salt []byte, id string) cipher.AEAD {
	return newGCM(mac(k.manifest, salt, []byte(id)))
}

// forPack is the cipher of one pack. A pack's name is 16 random bytes chosen for
// one attempt to write it, and the nonce of a chunk is its place in the pack, so
// its key seals each nonce once.
func (k *keys) forPack(name packName) cipher.AEAD {
	return newGCM(mac(k.pack, name[:]))
}

// A chunk is what distinguishes the plaintext of a chunk within a vault.
type chunk struct {
	hash  Digest // of the plaintext
	plain int    // length of the plaintext
	codec uint8  // what the sealed body is
}

// chunkData binds a chunk to its vault and to the plaintext that it holds. Its
// pack is bound by the key and its place there by the nonce.
func (k *keys) chunkData(c chunk) []byte {
	aad := make([]byte, 0, len(labelChunk)+vaultLen+len(c.hash)+5)
	aad = append(aad, labelChunk...)
	aad = append(aad, k.vaultID...)
	aad = append(aad, c.hash[:]...)
	aad = binary.BigEndian.AppendUint32(aad, uint32(c.plain))
	return append(aad, c.codec)
}

// sealChunk appends to dst the stored form of the chunk at offset of the pack that
// a is the cipher of.
func (k *keys) sealChunk(dst []byte, a cipher.AEAD, offset uint32, c chunk, body []byte) []byte {
	return a.Seal(dst, counter(int(offset)), body, k.chunkData(c))
}

// openChunk authenticates a stored chunk and decrypts it in place.
func (k *keys) openChunk(a cipher.AEAD, offset uint32, stored []byte, c chunk) (body []byte, err error) {
	return a.Open(stored[:0], counter(int(offset)), stored, k.chunkData(c))
}
