// Package volume keeps snapshot volumes: trees of files as they were at one
// moment, compressed, encrypted and never changed afterwards. It owns the format
// described in docs/format.md and the order of writes that makes a volume exist
// wholly or not at all.
//
// Volumes of one lineage (a database cluster), account and KMS key share a
// vault: one data key, and one store of chunks in which equal blocks are kept
// once. Each volume is nevertheless complete in itself: deleting any other never
// affects it.
//
// The package refuses to know KMS (the caller brings the data key, plain and
// wrapped), who may do what, what the files mean, and where objects are kept
// (a Backend).
package volume

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"borealis/internal/cloud"
)

// Sizes of the format. They are part of version 2, not settings.
const (
	// Version is the format that this package writes. It reads version 1 too.
	Version = 2
	// BlockSize is the plaintext of every block of a file but its last.
	BlockSize = 128 << 10
	// PageSize is the part of a block that can be stored alone when the rest is as
	// it was in the parent.
	PageSize = 8 << 10
	// PackSize is the most that a pack holds.
	PackSize = 8 << 20
)

// What a volume can be found to be. They are wrapped with what and where.
var (
	// ErrDamaged says that bytes are missing, or not those that were written
	// for this volume, account and key at this place.
	ErrDamaged = errors.New("volume is damaged")
	// ErrKey says that the data key is not the one the volume was written with.
	ErrKey = errors.New("wrong data key for the volume")
	// ErrVersion says that the volume has a format that this program cannot read.
	ErrVersion = fmt.Errorf("this program reads volume format versions 1 to %d only", Version)
	// ErrSuspend is a cause to cancel a Copy's context with: what has been
	// copied is then kept, and a later Copy to the same volume goes on from there.
	ErrSuspend = errors.New("suspended")
)

// A DataKey is a 32-byte data key in plaintext. Printing one says REDACTED;
// marshalling one is an error.
type DataKey []byte

func (DataKey) String() string { return "REDACTED" }

// GoString is String.
func (DataKey) GoString() string { return "REDACTED" }

// LogValue is String.
func (DataKey) LogValue() slog.Value { return slog.StringValue("REDACTED") }

// MarshalText refuses.
func (DataKey) MarshalText() ([]byte, error) { return nil, errors.New("data key kept back") }

// A Digest is a hash of 32 bytes. Its text form is 64 hexadecimal digits.
type Digest [32]byte

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText writes the text form.
func (d Digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText reads the text form.
func (d *Digest) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDigest(string(text))
	return err
}

// ParseDigest reads the text form of a Digest.
func ParseDigest(s string) (d Digest, err error) {
	if len(s) != 2*len(d) {
		return d, fmt.Errorf("%q is not a digest", s)
	}
	if _, err := hex.Decode(d[:], []byte(s)); err != nil {
		return Digest{}, fmt.Errorf("%q is not a digest", s)
	}
	return d, nil
}

// An Identity says whose a volume is. It is part of every key that is derived
// from the data key, so a volume opens under the identity it was written for
// and under no other. With the data key it makes a vault.
type Identity struct {
	Account cloud.AccountID
	Lineage string // what the volumes are snapshots of: a cluster's resource id
	KeyARN  string // the KMS key that the data key is wrapped with
}

// A Spec says what volume to make.
type Spec struct {
	// ID names the volume: 1 to 128 letters, digits, '-' and '_', never used for
	// another. The caller stores it before the work begins, so that after a
	// crash it can begin again under the same ID, or Delete it.
	ID string
	Identity
	// DataKey is the vault's data key. To have blocks shared with the earlier
	// volumes of an Identity, take the key that Find's header holds wrapped.
	DataKey DataKey
	// Wrapped is the data key as KMS wrapped it, kept in the public header.
	Wrapped []byte
	// Facts is what the engine that made the files wants to know before it
	// takes them back: a JSON document that this package does not look into. It
	// is stored encrypted.
	Facts json.RawMessage
}

// Ref is the reference to the volume that Spec describes once Commit or Copy
// has given its digest.
func (s Spec) Ref(d Digest) Ref {
	return Ref{ID: s.ID, Identity: s.Identity, DataKey: s.DataKey, Digest: d}
}

// A Ref names a volume and says what the caller knows about it, all of which is
// verified: a volume of another account or key, or an older volume put in this
// one's place, does not open.
type Ref struct {
	ID string
	Identity
	DataKey DataKey
	Digest  Digest // as Commit or Copy returned it
}

// Info is what making a volume came to.
type Info struct {
	// Digest commits to every byte of the volume. The caller stores it where
	// whoever holds the backend cannot change it, and gives it back in a Ref.
	Digest Digest
	// Content is a hash of the files (names, modes, sizes and bytes; not of
	// times), independent of keys and of how they are stored. A copy has its
	// source's.
	Content Digest
	Vault   string   // for Collect
	Bytes   int64    // content of all files
	Read    int64    // of these, what was read: the rest is in files that rested since the parent
	Stored  int64    // bytes that were added to the backend for it
	Files   int      // files, without directories
	Omitted []string // files that vanished before they were read
}

// A Header is the public part of a volume: readable without a key, and not to
// be trusted before the volume has been opened with one.
type Header struct {
	ID      string
	Version int
	Identity
	Wrapped []byte    // the data key, wrapped by the KMS key KeyARN
	Vault   string    // names the data key within the backend; for Collect
	Made    time.Time // when the volume was; zero in version 1, which does not say
}

// Progress is told how far an operation is, in bytes. Calls are serial, done
// never falls, and the last call of an operation that succeeds has done equal
// to total. total may change while the files of a live system do.
type Progress func(done, total int64)

// An Engine makes, reads and deletes the volumes of one Backend. Its methods
// may be called concurrently. One Engine, in one process, uses a Backend at a
// time: what keeps writers and collectors apart is in its memory.
type Engine struct {
	backend  Backend
	packSize int // PackSize, but for tests that want many packs of little data

	mu     sync.Mutex
	busy   map[string]bool   // IDs being written or deleted, directories being restored to
	vaults map[string]*vault // those used since the start
}

// New returns an Engine over b.
func New(b Backend) *Engine {
	return &Engine{backend: b, packSize: PackSize, busy: map[string]bool{}, vaults: map[string]*vault{}}
}

// claim keeps two operations from working on the same thing; release ends it.
func (e *Engine) claim(what, name string) (release func(), err error) {
	key := what + " " + name
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.busy[key] {
		return nil, fmt.Errorf("%s is in use by another operation: %w", key, cloud.ErrConflict)
	}
	e.busy[key] = true
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.busy, key)
	}, nil
}

// Header reads the public part of volume id, or returns cloud.ErrNotFound. It
// is how a caller that has only the ID learns which key to ask KMS for.
func (e *Engine) Header(ctx context.Context, id string) (Header, error) {
	if err := checkID(id); err != nil {
		return Header{}, err
	}
	names, err := e.list(ctx, volumesDir+id+".")
	if err != nil {
		return Header{}, err
	}
	switch len(names) {
	case 0:
		return Header{}, fmt.Errorf("volume %s: %w", id, cloud.ErrNotFound)
	case 1:
		p, err := e.readPublic(ctx, names[0])
		if err != nil {
			return Header{}, err
		}
		return p.header(), nil
	}
	return Header{}, damaged(volumesDir+id, "it has %d manifests under different keys", len(names))
}

// IDs names the volumes that there are, and those that a Copy which did not end
// has left something of, in order.
func (e *Engine) IDs(ctx context.Context) ([]string, error) {
	found := map[string]bool{}
	for _, dir := range []string{volumesDir, progressDir} {
		names, err := e.list(ctx, dir)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			id, _, _ := strings.Cut(strings.TrimPrefix(name, dir), ".")
			found[id] = true
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// Find returns the header of a volume of the identity, whose data key further
// volumes of that identity should use, or cloud.ErrNotFound if there is none.
func (e *Engine) Find(ctx context.Context, id Identity) (Header, error) {
	names, err := e.list(ctx, volumesDir)
	if err != nil {
		return Header{}, err
	}
	found := Header{}
	for _, name := range names {
		if _, v, _ := splitVolume(name); len(v) < scopeLen || v[:scopeLen] != id.scope() || (found.Vault != "" && v >= found.Vault) {
			continue // of several data keys, always the same one
		}
		p, err := e.readPublic(ctx, name)
		if err != nil || p.Identity != id {
			continue // another volume's header will do; Check reports this one
		}
		found = p.header()
	}
	if found.Vault == "" {
		return Header{}, fmt.Errorf("volume of %s: %w", id.Lineage, cloud.ErrNotFound)
	}
	return found, nil
}

// list returns the names that start with prefix.
func (e *Engine) list(ctx context.Context, prefix string) ([]string, error) {
	objects, err := e.backend.List(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", prefix, err)
	}
	names := make([]string, len(objects))
	for i, o := range objects {
		names[i] = o.Name
	}
	return names, nil
}

// damaged is an ErrDamaged that says where, and what is wrong there.
func damaged(where, format string, args ...any) error {
	return fmt.Errorf("%s: %s: %w", where, fmt.Sprintf(format, args...), ErrDamaged)
}
