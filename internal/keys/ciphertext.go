package keys

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"

	"borealis/internal/seal"
)

// A ciphertext is laid out as AWS's are, so that tools which look at the first
// bytes see what they expect:
//
//	01 02 TT 00 78 | 32 bytes: key material id | 01 | 16 random bytes |
//	4 bytes: length of the rest | the rest, DER
//
// TT is 02 for what Encrypt made and 03 for data keys. The DER is
//
//	SEQUENCE { OID encryptedData, [0] SEQUENCE { INTEGER 0, SEQUENCE {
//	    OID data, SEQUENCE { OID aes256-GCM, SEQUENCE { OCTETS nonce, INTEGER 16 } },
//	    [0] OCTETS body } } }
//
// and the body is 11 bytes of ours and the plaintext, encrypted, and the tag.
// No byte is free: a ciphertext in which any was changed does not open.
//
// The 16 random bytes are the salt of a key for this message alone, and the
// nonce is random as well: that makes 224 random bits a message, so that a key
// may encrypt as much as anybody likes. AES-GCM with random nonces under the key
// itself would have to stop at 2^32 messages.
const (
	forEncrypt byte = 2
	forDataKey byte = 3

	materialSize = 32
	saltSize     = 16
	nonceSize    = 12
	tagSize      = 16
	fixedSize    = 5 + materialSize + 1 + saltSize // up to the length
	innerHeader  = "borealis v1"
)

// The DER before the body, but for its lengths.
var (
	oidEncryptedData = []byte{0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x06}
	oidData          = []byte{0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01}
	oidAES256GCM     = []byte{0x06, 9, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2e}
)

// A blob is a ciphertext taken apart.
type blob struct {
	material string // the id of the key material
	head     []byte // the fixed part
	nonce    []byte
	body     []byte
}

// encrypt makes a ciphertext of plaintext.
func encrypt(use byte, materialID string, secret seal.Plaintext, plaintext []byte, context map[string]string) ([]byte, error) {
	material, err := hex.DecodeString(materialID)
	if err != nil {
		return nil, err
	}
	out := append([]byte{1, 2, use, 0, 0x78}, material...)
	out = append(out, 1)
	random := make([]byte, saltSize+nonceSize)
	rand.Read(random)
	salt, nonce := random[:saltSize], random[saltSize:]
	out = append(out, salt...)
	gcm, err := messageCipher(secret, salt)
	if err != nil {
		return nil, err
	}
	aad := associated(out, context)
	size := len(innerHeader) + len(plaintext) + tagSize
	head := derHead(nonce, size)
	out = binary.BigEndian.AppendUint32(out, uint32(len(head)+size))
	out = append(out, head...)
	inner := append([]byte(innerHeader), plaintext...)
	defer seal.Wipe(inner)
	return gcm.Seal(out, nonce, inner, aad), nil
}

// parseBlob takes a ciphertext apart. It accepts the one way of writing it.
func parseBlob(b []byte) (blob, bool) {
	if len(b) < fixedSize+4 {
		return blob{}, false
	}
	head, der := b[:fixedSize], b[fixedSize+4:]
	use := head[2]
	if !bytes.Equal(head[:5], []byte{1, 2, use, 0, 0x78}) || use != forEncrypt && use != forDataKey || head[5+materialSize] != 1 {
		return blob{}, false
	}
	if uint64(binary.BigEndian.Uint32(b[fixedSize:])) != uint64(len(der)) {
		return blob{}, false
	}
	nonce, body, ok := parseDER(der)
	return blob{hex.EncodeToString(head[5 : 5+materialSize]), head, nonce, body}, ok
}

// decrypt opens b. It reports false if b was damaged, was made with another
// secret, or belongs to another context.
func (b blob) decrypt(secret seal.Plaintext, context map[string]string) (seal.Plaintext, bool) {
	gcm, err := messageCipher(secret, b.head[fixedSize-saltSize:])
	if err != nil {
		return nil, false
	}
	inner, err := gcm.Open(nil, b.nonce, b.body, associated(b.head, context))
	if err != nil || !bytes.HasPrefix(inner, []byte(innerHeader)) {
		return nil, false
	}
	return inner[len(innerHeader):], true
}

// messageCipher is the cipher of the one message that has this salt.
func messageCipher(secret seal.Plaintext, salt []byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, secret, salt, "borealis kms v1 message", 32)
	if err != nil {
		return nil, err
	}
	defer seal.Wipe(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// associated is what a ciphertext is bound to: its own head, and the encryption
// context, written so that no two contexts are written alike.
func associated(head []byte, context map[string]string) []byte {
	b := slices.Clone(head)
	b = binary.BigEndian.AppendUint32(b, uint32(len(context)))
	for _, k := range slices.Sorted(maps.Keys(context)) {
		for _, s := range []string{k, context[k]} {
			b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
			b = append(b, s...)
		}
	}
	return b
}

// derHead is the DER before a body of this size.
func derHead(nonce []byte, size int) []byte {
	params := slices.Concat([]byte{0x04, nonceSize}, nonce, []byte{0x02, 1, tagSize})
	algorithm := slices.Concat(oidAES256GCM, []byte{0x30, byte(len(params))}, params)
	// From the inside out: each element's length counts the body too.
	head := append([]byte{0x80}, derLength(size)...)
	head = slices.Concat(oidData, []byte{0x30, byte(len(algorithm))}, algorithm, head)
	head = slices.Concat([]byte{0x02, 1, 0, 0x30}, derLength(len(head)+size), head)
	head = slices.Concat([]byte{0x30}, derLength(len(head)+size), head)
	head = slices.Concat(oidEncryptedData, []byte{0xa0}, derLength(len(head)+size), head)
	return slices.Concat([]byte{0x30}, derLength(len(head)+size), head)
}

// derLength writes a length below 65,536.
func derLength(n int) []byte {
	switch {
	case n < 0x80:
		return []byte{byte(n)}
	case n < 0x100:
		return []byte{0x81, byte(n)}
	}
	return []byte{0x82, byte(n >> 8), byte(n)}
}

// derSizes are the sizes that the DER before a body can have: 67 bytes while all
// its lengths take one byte each, and more for longer bodies.
const minHead, maxHead = 67, 67 + 5*2

// parseDER finds nonce and body by trying the few sizes that the head can have:
// the head that encrypt would have written must be the one that is there.
func parseDER(der []byte) (nonce, body []byte, ok bool) {
	for size := minHead; size <= maxHead; size++ {
		n := len(der) - size
		if n < len(innerHeader)+tagSize || n >= 1<<16 {
			continue
		}
		at := size - 1 - len(derLength(n)) - 3 - nonceSize
		nonce := der[at : at+nonceSize]
		if bytes.Equal(der[:size], derHead(nonce, n)) {
			return nonce, der[size:], true
		}
	}
	return nil, nil, false
}
