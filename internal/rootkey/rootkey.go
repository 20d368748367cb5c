// Package rootkey keeps the root key of a data directory in its file: as it is,
// or wrapped under a passphrase, a key of an upstream KMS, or a key on a PKCS#11
// token. In memory the root key is always a seal.Root; what differs is what
// somebody needs who finds the file.
package rootkey

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"borealis/internal/durable"
	"borealis/internal/seal"
)

// A Provider is what a root key's file is wrapped by.
type Provider string

// The providers.
const (
	Plain      Provider = "none" // nothing: the file holds the key
	Passphrase Provider = "passphrase"
	KMS        Provider = "kms"
	PKCS11     Provider = "pkcs11"
)

// How says how a root key is kept.
type How struct {
	Provider Provider `json:"provider"`
	// Key is the ARN of the KMS key, or the PKCS#11 URI of the token's key.
	Key string `json:"key,omitempty"`
	// Endpoint is the URL of the KMS. If it is empty the SDK finds it.
	Endpoint string `json:"endpoint,omitempty"`
}

// ParseHow reads what --root-key-wrap and --to say: none, passphrase, the ARN of
// a KMS key, or a PKCS#11 URI. The empty text is none.
func ParseHow(text, endpoint string) (How, error) {
	h := How{Key: text, Endpoint: endpoint}
	switch {
	case text == "" || text == string(Plain):
		h = How{Plain, "", endpoint}
	case text == string(Passphrase):
		h = How{Passphrase, "", endpoint}
	case strings.HasPrefix(text, "arn:"):
		h.Provider = KMS
		if _, err := regionOf(text); err != nil {
			return How{}, err
		}
	case strings.HasPrefix(text, "pkcs11:"):
		h.Provider = PKCS11
		if _, err := parseURI(text); err != nil {
			return How{}, err
		}
	default:
		return How{}, fmt.Errorf("a root key is wrapped by none, passphrase, the ARN of a KMS key or a pkcs11: URI, not by %q", text)
	}
	if endpoint != "" && h.Provider != KMS {
		return How{}, errors.New("only a root key that is wrapped by a KMS key has an endpoint")
	}
	return h, nil
}

// String says it in words.
func (h How) String() string {
	switch h.Provider {
	case Passphrase:
		return "wrapped under a passphrase"
	case KMS:
		return "wrapped by the KMS key " + h.Key
	case PKCS11:
		return "wrapped on the PKCS#11 token by " + h.Key
	}
	return "not wrapped"
}

// Secrets are what providers may need that is in no file of the root key.
type Secrets struct {
	// Passphrase returns the passphrase. It may ask somebody, twice if the
	// passphrase is a new one.
	Passphrase func(ctx context.Context, isNew bool) (seal.Plaintext, error)
}

func (s Secrets) passphrase(ctx context.Context, isNew bool) (string, error) {
	if s.Passphrase == nil {
		return "", errors.New("no passphrase is given")
	}
	p, err := s.Passphrase(ctx, isNew)
	if err != nil {
		return "", err
	}
	defer seal.Wipe(p)
	if len(p) == 0 {
		return "", errors.New("the passphrase is empty")
	}
	return string(p), nil
}

// Wrap returns the contents of the file that keeps root in this way.
func (h How) Wrap(ctx context.Context, root *seal.Root, s Secrets) ([]byte, error) {
	text := root.Text()
	defer seal.Wipe(text)
	switch h.Provider {
	case Passphrase:
		return wrapAge(ctx, text, s)
	case KMS:
		return h.wrapKMS(ctx, text, root.ID())
	case PKCS11:
		wrapped, err := tokenWrap(h.Key, text, root.ID())
		if err != nil {
			return nil, err
		}
		return h.encode(root.ID(), wrapped)
	}
	return bytes.Clone(text), nil
}

// A File is the file of a root key, as it was read.
type File struct {
	Path string
	How
	root    *seal.Root // of a plain file
	text    []byte     // of one under a passphrase
	id      string     // what the file says that its root key is
	wrapped []byte
}

// maxFile bounds the size of a root key's file, in bytes.
const maxFile = 1 << 16

// ErrMode says that a root key's file can be read by others than its owner.
var ErrMode = errors.New("can be read by others")

// Read reads a root key's file. It asks nobody for anything. The error is
// fs.ErrNotExist if there is no file, and ErrMode if others may read it.
func Read(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if p := info.Mode().Perm(); p&0o077 != 0 {
		return nil, fmt.Errorf("%w (mode %04o); chmod 600 it", ErrMode, p)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, err
	}
	defer clear(text)
	file, err := Parse(text)
	if err != nil {
		return nil, err
	}
	file.Path = path
	return file, nil
}

// Parse reads the contents of a root key's file. Its errors do not quote them.
func Parse(text []byte) (*File, error) {
	switch start := bytes.TrimSpace(text); {
	case isAge(start):
		return &File{How: How{Provider: Passphrase}, text: bytes.Clone(text)}, nil
	case bytes.HasPrefix(start, []byte("{")):
		return decode(start)
	}
	root, err := seal.ParseRoot(text)
	if err != nil {
		return nil, err
	}
	return &File{How: How{Provider: Plain}, root: root}, nil
}

// Root is the root key in the file. It may take a provider's help, and time.
func (f *File) Root(ctx context.Context, s Secrets) (*seal.Root, error) {
	var text seal.Plaintext
	var err error
	switch f.Provider {
	case Plain:
		return f.root, nil
	case Passphrase:
		text, err = unwrapAge(ctx, f.text, s)
	case KMS:
		text, err = f.unwrapKMS(ctx)
	case PKCS11:
		text, err = tokenUnwrap(f.Key, f.wrapped, f.id)
	}
	if err != nil {
		return nil, err
	}
	defer seal.Wipe(text)
	root, err := seal.ParseRoot(text)
	if err == nil && f.id != "" && f.id != root.ID() {
		return nil, fmt.Errorf("the file says that the key is %s, but %s was wrapped", f.id, root.ID())
	}
	return root, err
}

// Write keeps text, which Wrap made, at path, durably and for the owner only.
func Write(path string, text []byte) error {
	if err := durable.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return durable.WriteFile(path, text, 0o600)
}

// Destroy overwrites the file at path and removes it. A file system that keeps
// old blocks, or a backup, may have it still.
func Destroy(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		_, err = f.WriteAt(make([]byte, info.Size()), 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("overwrite %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(path))
}

// Rename moves a root key's file, durably.
func Rename(from, to string) error { return durable.Rename(from, to) }

// fileFormat names the form of files of wrapped root keys, and its version.
const fileFormat = "borealis root key 2"

// envelope is the file of a root key that something outside has wrapped.
type envelope struct {
	Format string `json:"format"`
	How
	ID      string `json:"id"`      // the root key's
	Wrapped []byte `json:"wrapped"` // the text of a plain file, as the provider encrypts it
}

func (h How) encode(id string, wrapped []byte) ([]byte, error) {
	text, err := json.MarshalIndent(envelope{fileFormat, h, id, wrapped}, "", "  ")
	return append(text, '\n'), err
}

func decode(text []byte) (*File, error) {
	var e envelope
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil || d.More() {
		return nil, errors.New("root key: damaged: not one JSON object of a wrapped root key")
	}
	if e.Format != fileFormat {
		return nil, fmt.Errorf("root key: this version reads the format %q only", fileFormat)
	}
	how, err := ParseHow(e.Key, e.Endpoint)
	if err != nil || how != e.How || how.Provider == Plain || how.Provider == Passphrase || len(e.Wrapped) == 0 || e.ID == "" {
		return nil, errors.New("root key: damaged: provider, key, id and wrapped do not fit together")
	}
	return &File{How: e.How, id: e.ID, wrapped: e.Wrapped}, nil
}
