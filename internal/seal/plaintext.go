package seal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

const redacted = "REDACTED"

// Plaintext is key material or decrypted data. Printing one, by mistake or in a
// struct that holds one, says REDACTED; marshalling one is an error.
type Plaintext []byte

// String keeps the bytes out of messages.
func (Plaintext) String() string { return redacted }

// Format keeps them out of messages whatever the verb.
func (Plaintext) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue keeps them out of logs.
func (Plaintext) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText refuses, so that no encoder writes the bytes.
func (Plaintext) MarshalText() ([]byte, error) {
	return nil, errors.New("plaintext kept back")
}

// NewKey returns KeySize random bytes.
func NewKey() Plaintext {
	key := make(Plaintext, KeySize)
	rand.Read(key)
	return key
}

// Wipe overwrites b with zeros. It is called on keys that are done with; copies
// that the runtime made are out of its reach.
func Wipe[B ~[]byte](b B) { clear(b) }
