// Package seal keeps secrets at rest: authenticated encryption bound to what a
// secret is for and where it belongs, under a root key from which one key for
// each purpose is derived. It does no I/O: whoever runs the program keeps the
// root key's text, and rows and files keep what is sealed.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// KeySize is the size of every key of this package, in bytes.
const KeySize = 32

// Overhead is how many bytes longer than its plaintext a sealed message is.
const Overhead = 1 + saltSize + 16

const (
	version  = 1
	saltSize = 32
)

// ErrOpen says that a sealed message does not open: it was damaged, sealed
// under another key, or belongs to another context. Which of these, nobody can
// tell.
var ErrOpen = errors.New("sealed message does not open: damaged, or sealed under another key or for another place")

// A Sealer seals and opens messages under one key. It is immutable and may be
// used by many goroutines at once. Printing one says REDACTED.
//
// A sealed message is
//
//	version, 1 byte: 1 | salt, 32 random bytes | AES-256-GCM ciphertext and tag
//
// under a key of its own, HKDF-SHA256(key, salt). A nonce is never used twice
// because no message key is: salts of 256 bits do not collide, however many
// messages one Sealer seals. The associated data is the version and the context.
type Sealer struct {
	key [KeySize]byte
}

// String keeps the key out of messages.
func (Sealer) String() string { return redacted }

// Format keeps it out of messages whatever the verb.
func (Sealer) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue keeps it out of logs.
func (Sealer) LogValue() slog.Value { return slog.StringValue(redacted) }

// Derive returns a Sealer whose key follows from this one's and from purpose,
// and from which this one's cannot be found. The same purpose always gives the
// same Sealer.
func (s *Sealer) Derive(purpose string) *Sealer {
	d := new(Sealer)
	copy(d.key[:], derive(s.key[:], nil, "borealis seal v1 purpose\x00"+purpose))
	return d
}

// Seal encrypts plaintext so that only Open with the same key and the same
// context gives it back. The context is not secret and not stored: it names what
// the message is and where it belongs (see Context), so that a message moved
// elsewhere does not open. The error is always nil; it is there for Sealers
// that reach out to a device.
func (s *Sealer) Seal(plaintext, context []byte) ([]byte, error) {
	out := make([]byte, 1+saltSize, len(plaintext)+Overhead)
	out[0] = version
	rand.Read(out[1:])
	var nonce [12]byte
	return s.message(out[1:]).Seal(out, nonce[:], plaintext, associated(context)), nil
}

// Open gives back what Seal was given, or ErrOpen.
func (s *Sealer) Open(sealed, context []byte) ([]byte, error) {
	if len(sealed) < Overhead || sealed[0] != version {
		return nil, ErrOpen
	}
	salt, body := sealed[1:1+saltSize], sealed[1+saltSize:]
	var nonce [12]byte
	plaintext, err := s.message(salt).Open(nil, nonce[:], body, associated(context))
	if err != nil {
		return nil, ErrOpen
	}
	return plaintext, nil
}

// message is the cipher of the one message that has this salt.
func (s *Sealer) message(salt []byte) cipher.AEAD {
	key := derive(s.key[:], salt, "borealis seal v1 message")
	defer Wipe(key)
	return newGCM(key)
}

func associated(context []byte) []byte {
	return append([]byte{version}, context...)
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
