package keys

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
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
	from     byte // fromKMS, or what made it for a key in a custom key store (see storekeys.go)
}

// encrypt makes a ciphertext of plaintext.
func encrypt(use byte, materialID string, secret seal.Plaintext, plaintext []byte, context map[string]string) ([]byte, error) {
	size := len(innerHeader) + len(plaintext) + tagSize
	out := make([]byte, 0, fixedSize+4+maxHead+size)
	out, err := hex.AppendDecode(append(out, 1, 2, use, 0, 0x78), []byte(materialID))
	if err != nil {
		return nil, err
	}
	random := make([]byte, saltSize+nonceSize)
	rand.Read(random)
	salt, nonce := random[:saltSize], random[saltSize:]
	out = append(append(out, fromKMS), salt...)
	gcm, err := messageCipher(secret, salt)
	if err != nil {
		return nil, err
	}
	aad := associated(out, context)
	out = append(out, 0, 0, 0, 0) // the length, once it is known
	out = appendHead(out, nonce, size)
	binary.BigEndian.PutUint32(out[fixedSize:], uint32(len(out)-fixedSize-4+size))
	inner := append(append(out[len(out):], innerHeader...), plaintext...)
	return gcm.Seal(out, nonce, inner, aad), nil // in place: nothing of inner stays
}

// parseBlob takes a ciphertext apart. It accepts the one way of writing it.
func parseBlob(b []byte) (blob, bool) {
	if len(b) < fixedSize+4 {
		return blob{}, false
	}
	head, der := b[:fixedSize], b[fixedSize+4:]
	use := head[2]
	if !bytes.Equal(head[:5], []byte{1, 2, use, 0, 0x78}) || use != forEncrypt && use != forDataKey {
		return blob{}, false
	}
	if head[5+materialSize] != fromKMS {
		return parseStoreBlob(b)
	}
	if uint64(binary.BigEndian.Uint32(b[fixedSize:])) != uint64(len(der)) {
		return blob{}, false
	}
	nonce, body, ok := parseDER(der)
	var material [2 * materialSize]byte
	hex.Encode(material[:], head[5:5+materialSize])
	return blob{string(material[:]), head, nonce, body, fromKMS}, ok
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
	key := messageKey(secret, salt)
	defer seal.Wipe(key[:])
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// messageKey is hkdf.Key(sha256.New, secret, salt, "borealis kms v1 message", 32),
// on the stack.
func messageKey(secret seal.Plaintext, salt []byte) [sha256.Size]byte {
	prk := hmacSHA256(salt, secret)
	defer seal.Wipe(prk[:])
	return hmacSHA256(prk[:], []byte("borealis kms v1 message\x01"))
}

// hmacSHA256 is the MAC of text, which has at most a block as key has.
func hmacSHA256(key, text []byte) [sha256.Size]byte {
	var inner, outer [2 * sha256.BlockSize]byte
	defer seal.Wipe(inner[:])
	defer seal.Wipe(outer[:])
	for i := range sha256.BlockSize {
		inner[i], outer[i] = 0x36, 0x5c
	}
	subtle.XORBytes(inner[:], inner[:], key)
	subtle.XORBytes(outer[:], outer[:], key)
	n := sha256.BlockSize + copy(inner[sha256.BlockSize:], text)
	sum := sha256.Sum256(inner[:n])
	n = sha256.BlockSize + copy(outer[sha256.BlockSize:], sum[:])
	return sha256.Sum256(outer[:n])
}

// associated is what a ciphertext is bound to: its own head, and the encryption
// context, written so that no two contexts are written alike.
func associated(head []byte, context map[string]string) []byte {
	size := len(head) + 4
	names := make([]string, 0, 8)
	for k, value := range context {
		names = append(names, k)
		size += 4 + len(k) + 4 + len(value)
	}
	slices.Sort(names)
	b := append(make([]byte, 0, size), head...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(context)))
	for _, k := range names {
		for _, s := range [...]string{k, context[k]} {
			b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
			b = append(b, s...)
		}
	}
	return b
}

// appendHead appends the DER before a body of this size.
func appendHead(b, nonce []byte, size int) []byte {
	const params = 2 + nonceSize + 3
	algorithm := len(oidAES256GCM) + 2 + params
	// From the inside out: each element counts those in it, and the body.
	content := len(oidData) + 2 + algorithm + 1 + lengthSize(size) + size
	data := 3 + 1 + lengthSize(content) + content
	explicit := 1 + lengthSize(data) + data
	whole := len(oidEncryptedData) + 1 + lengthSize(explicit) + explicit
	b = appendLength(append(b, 0x30), whole)
	b = append(b, oidEncryptedData...)
	b = appendLength(append(b, 0xa0), explicit)
	b = appendLength(append(b, 0x30), data)
	b = append(b, 0x02, 1, 0)
	b = appendLength(append(b, 0x30), content)
	b = append(b, oidData...)
	b = append(b, 0x30, byte(algorithm))
	b = append(b, oidAES256GCM...)
	b = append(b, 0x30, params, 0x04, nonceSize)
	b = append(b, nonce...)
	b = append(b, 0x02, 1, tagSize)
	return appendLength(append(b, 0x80), size)
}

// appendLength appends a length below 65,536.
func appendLength(b []byte, n int) []byte {
	switch lengthSize(n) {
	case 1:
		return append(b, byte(n))
	case 2:
		return append(b, 0x81, byte(n))
	}
	return append(b, 0x82, byte(n>>8), byte(n))
}

// lengthSize is how many bytes appendLength appends.
func lengthSize(n int) int {
	switch {
	case n < 0x80:
		return 1
	case n < 0x100:
		return 2
	}
	return 3
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
		at := size - 1 - lengthSize(n) - 3 - nonceSize
		nonce := der[at : at+nonceSize]
		var head [maxHead]byte
		if bytes.Equal(der[:size], appendHead(head[:0], nonce, n)) {
			return nonce, der[size:], true
		}
	}
	return nil, nil, false
}
