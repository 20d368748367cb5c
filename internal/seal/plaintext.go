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

// String, Format and LogValue keep the bytes out of logs and messages, whatever
// the verb.
func (Plaintext) String() string             { return redacted }
func (Plaintext) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }
func (Plaintext) LogValue() slog.Value       { return slog.StringValue(redacted) }

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
