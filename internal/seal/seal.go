// Package seal keeps secrets at rest: authenticated encryption bound to what a
// secret is for and where it belongs, under a root key from which one key for
// each purpose is derived, and which can be replaced by another. It does no I/O: whoever runs the program keeps the
// root key's text, and rows and files keep what is sealed.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync/atomic"
)

// KeySize is the size of every key of this package, in bytes.
const KeySize = 32

// Overhead is how many bytes longer than its plaintext a sealed message is.
const Overhead = headerSize + saltSize + wrappedSize + tagSize

const (
	version1 = 1
	version2 = 2

	idSize      = 8
	headerSize  = 1 + idSize
	saltSize    = 32
	tagSize     = 16
	wrappedSize = KeySize + tagSize
)

// ErrOpen says that a sealed message does not open: it was damaged, sealed
// under another key, or belongs to another context. Which of these, nobody can
// tell.
var ErrOpen = errors.New("sealed message does not open: damaged, or sealed under another key or for another place")

// A Sealer seals and opens messages for one purpose, under the keys that follow
// from its Ring's roots. It may be used by many goroutines at once. Printing one
// says REDACTED. It must not be copied.
//
// A sealed message is
//
//	header, 9 bytes: version 2 | the first 8 bytes of the root's id
//	salt, 32 random bytes
//	the message's own random key, AES-256-GCM under HKDF-SHA256(purpose's key, salt)
//	body, AES-256-GCM under the message's own key
//
// each GCM with its tag. No nonce is ever used twice because no key is: salts of
// 256 bits do not collide, however many messages one Sealer seals. The associated
// data of the message's key is the header; that of the body is the byte 1 and the
// context. The body depends on no root, so Reseal need not know the context.
//
// Version 1, which Open still reads, names no root and has no key of its own:
//
//	version 1 | salt, 32 bytes | body under HKDF-SHA256(purpose's key, salt)
//
// It belongs to the oldest root of the Ring.
type Sealer struct {
	ring     *Ring
	purposes []string
	memo     atomic.Pointer[derived]
}

// String keeps the key out of messages.
func (*Sealer) String() string { return redacted }

// Format keeps it out of messages whatever the verb.
func (*Sealer) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue keeps it out of logs.
func (*Sealer) LogValue() slog.Value { return slog.StringValue(redacted) }

// Derive returns a Sealer for a purpose within this one's.
func (s *Sealer) Derive(purpose string) *Sealer {
	return &Sealer{ring: s.ring, purposes: append(slices.Clip(s.purposes), purpose)}
}

// Seal encrypts plaintext so that only Open with the same key and the same
// context gives it back. The context is not secret and not stored: it names what
// the message is and where it belongs (see Context), so that a message moved
// elsewhere does not open. The error is always nil; it is there for Sealers
// that reach out to a device.
func (s *Sealer) Seal(plaintext, context []byte) ([]byte, error) {
	key := NewKey()
	defer Wipe(key)
	out := wrap(s.derived()[0], key, len(plaintext)+tagSize)
	return newGCM(key).Seal(out, zeroNonce[:], plaintext, associated(context)), nil
}

// Open gives back what Seal was given, or ErrOpen.
func (s *Sealer) Open(sealed, context []byte) ([]byte, error) {
	key, body, err := s.unwrap(sealed)
	if err != nil {
		return nil, err
	}
	defer Wipe(key)
	plaintext, err := newGCM(key).Open(nil, zeroNonce[:], body, associated(context))
	if err != nil {
		return nil, ErrOpen
	}
	return plaintext, nil
}

// Reseal returns the message of sealed, which a Sealer of this purpose has made,
// under the newest root: sealed itself if it is under that already. Open then
// answers as it would for sealed. It is ErrOpen if no root of the Ring has it.
func (s *Sealer) Reseal(sealed []byte) ([]byte, error) {
	newest := s.derived()[0]
	if RootOf(sealed) == hex.EncodeToString(newest.id[:]) {
		return sealed, nil
	}
	key, body, err := s.unwrap(sealed)
	if err != nil {
		return nil, err
	}
	defer Wipe(key)
	return append(wrap(newest, key, len(body)), body...), nil
}

// RootOf is the beginning of the id of the root that sealed is sealed under, 16
// hex digits, or "" if it does not say.
func RootOf(sealed []byte) string {
	if len(sealed) < headerSize || sealed[0] != version2 {
		return ""
	}
	return hex.EncodeToString(sealed[1:headerSize])
}

// wrap is all of a message but its body, whose key is key; it has room for a body
// of so many bytes.
func wrap(under sealerKey, key []byte, body int) []byte {
	out := make([]byte, headerSize+saltSize, headerSize+saltSize+wrappedSize+body)
	out[0] = version2
	copy(out[1:], under.id[:])
	salt := out[headerSize:]
	rand.Read(salt)
	return under.message(salt, "borealis seal v2 wrap").Seal(out, zeroNonce[:], key, out[:headerSize])
}

// unwrap returns a message's own key, and its body.
func (s *Sealer) unwrap(sealed []byte) (key Plaintext, body []byte, err error) {
	keys := s.derived()
	if len(sealed) >= 1+saltSize+tagSize && sealed[0] == version1 {
		oldest := keys[len(keys)-1]
		return derive(oldest.key[:], sealed[1:1+saltSize], "borealis seal v1 message"), sealed[1+saltSize:], nil
	}
	if len(sealed) < Overhead || sealed[0] != version2 {
		return nil, nil, ErrOpen
	}
	header, salt := sealed[:headerSize], sealed[headerSize:headerSize+saltSize]
	wrapped := sealed[headerSize+saltSize:][:wrappedSize]
	for _, k := range keys {
		if string(k.id[:]) != string(header[1:]) {
			continue
		}
		key, err := k.message(salt, "borealis seal v2 wrap").Open(nil, zeroNonce[:], wrapped, header)
		if err == nil {
			return key, sealed[headerSize+saltSize+wrappedSize:], nil
		}
	}
	return nil, nil, ErrOpen
}

// zeroNonce is the nonce of every message: each has its own key.
var zeroNonce [12]byte

// message is the cipher of the one message that has this salt.
func (k *sealerKey) message(salt []byte, info string) cipher.AEAD {
	key := derive(k.key[:], salt, info)
	defer Wipe(key)
	return newGCM(key)
}

func associated(context []byte) []byte {
	return append([]byte{version1}, context...)
}

// derive is HKDF-SHA256. It fails only for lengths that this package never asks.
func derive(key, salt []byte, info string) []byte {
	out, err := hkdf.Key(sha256.New, key, salt, info, KeySize)
	if err != nil {
		panic("seal: derive key: " + err.Error())
	}
	return out
}

// newGCM is AES-256-GCM; it fails only for a key of the wrong size.
func newGCM(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("seal: " + err.Error())
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic("seal: " + err.Error())
	}
	return gcm
}

// Context joins parts, the first of which names what is sealed and its version
// ("kms key material v1") and the others its place, so that no two lists of
// parts give the same bytes.
func Context(parts ...string) []byte {
	var b []byte
	for _, p := range parts {
		b = binary.BigEndian.AppendUint32(b, uint32(len(p)))
		b = append(b, p...)
	}
	return b
}
