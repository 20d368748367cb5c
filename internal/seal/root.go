package seal

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// A Root is a key that seals the other secrets of a data directory: a Ring of
// roots makes Sealers of it. It is immutable. Printing one says REDACTED.
type Root struct {
	key [KeySize]byte
}

// NewRoot makes a new random root key.
func NewRoot() *Root {
	key := NewKey()
	defer Wipe(key)
	r := new(Root)
	copy(r.key[:], key)
	return r
}

// String keeps the key out of messages.
func (Root) String() string { return redacted }

// Format keeps it out of messages whatever the verb.
func (Root) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue keeps it out of logs.
func (Root) LogValue() slog.Value { return slog.StringValue(redacted) }

// ID is the root key's fingerprint, 32 hex digits. It says nothing about the
// key, so a data directory may record which root key seals it.
func (r *Root) ID() string {
	return hex.EncodeToString(derive(r.key[:], nil, "borealis seal v1 id")[:16])
}

// Mark is what every message that is sealed under r begins with. It is as public
// as the id. Its size is a multiple of three bytes, so messages in base64 begin
// with it in base64.
func (r *Root) Mark() []byte {
	k := keep(r)
	return append([]byte{version2}, k.id[:]...)
}

// Derive returns the Sealer for a purpose of a Ring that has only this root.
func (r *Root) Derive(purpose string) *Sealer { return NewRing(r).Derive(purpose) }

// rootMagic starts the line of a key file that holds the key; the key in
// base64 and the key's id follow it, after colons.
const rootMagic = "borealis-root-key-v1"

// Text is the contents of a key file, which ParseRoot reads. Only a key file
// may hold it.
func (r *Root) Text() Plaintext {
	return fmt.Appendf(nil, "# The root key of a borealis server. Who holds it and the data directory can\n"+
		"# read everything; without it nobody can, ever again. Keep a copy apart.\n"+
		"%s:%s:%s\n", rootMagic, base64.StdEncoding.EncodeToString(r.key[:]), r.ID())
}

// ParseRoot reads the text of a key file: lines that are blank or start with #
// are comments, and one line holds the key. The key's id, which the line ends
// with, must fit, so that a damaged file is noticed before anything is sealed.
// The error says what is wrong and never quotes the text.
func ParseRoot(text []byte) (*Root, error) {
	var line string
	for l := range strings.Lines(string(text)) {
		l = strings.TrimSpace(l)
		if l == "" || l[0] == '#' {
			continue
		}
		if line != "" {
			return nil, errors.New("root key: more than one key")
		}
		line = l
	}
	f := strings.Split(line, ":")
	if len(f) != 3 || f[0] != rootMagic {
		return nil, errors.New("root key: no line of the form " + rootMagic + ":KEY:ID")
	}
	key, err := base64.StdEncoding.Strict().DecodeString(f[1])
	if err != nil || len(key) != KeySize {
		return nil, errors.New("root key: the key is not 32 bytes in base64")
	}
	defer Wipe(key)
	r := new(Root)
	copy(r.key[:], key)
	if r.ID() != f[2] {
		return nil, errors.New("root key: damaged: the key and its id do not belong together")
	}
	return r, nil
}
