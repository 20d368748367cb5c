package server

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"borealis/internal/cloud"
	"borealis/internal/rootkey"
	"borealis/internal/seal"
	"borealis/internal/store"
)

// What the database says of the root key, beside the secrets under it.
const (
	metaRoot     = "root key"          // id of the root key
	metaSince    = "root key since"    // since when, RFC 3339
	metaNext     = "next root key"     // id of the one that is about to replace it, if any
	metaReplaced = "replaced root key" // while there is a next: the root key's text, sealed under the next, in base64
)

// nextSuffix ends the name of the file of a root key that is to replace another.
// It is a valid root key from the moment that metaNext or metaRoot names it;
// before, it is left over from a replacement that has not begun.
const nextSuffix = ".next"

// A keyHolder has the files of the root key, and what opens them.
type keyHolder struct {
	path    string        // of the root key's file
	file    *rootkey.File // nil if there is none, or none that can be read
	err     error         // why it cannot be read
	next    *rootkey.File // the file beside it, nil if there is none
	made    rootkey.How   // how a new root key is to be kept
	secrets rootkey.Secrets
	opened  map[*rootkey.File]*seal.Root

	mu sync.Mutex // held to read and change all but path, once requests are answered
}

// readRootKey reads the files of the root key, which must not be in the data
// directory. It changes nothing. Only with Init may they be missing.
func readRootKey(cfg Config) (*keyHolder, error) {
	k := &keyHolder{secrets: rootkey.Secrets{Passphrase: remember(cfg.Passphrase)}, opened: map[*rootkey.File]*seal.Root{}}
	if cfg.RootKey == "" {
		return k, refuse(ErrRootKey, "no file of the root key is named; use --root-key")
	}
	if err := outside(cfg.RootKey, cfg.Data); err != nil {
		return k, err
	}
	var err error
	if k.made, err = rootkey.ParseHow(cfg.RootKeyWrap, cfg.RootKeyEndpoint); err != nil {
		return k, refuse(ErrRootKey, "--root-key-wrap: %v", err)
	}
	if k.path, err = resolve(cfg.RootKey); err != nil {
		return k, refuse(ErrRootKey, "read the root key: %v; name its file with --root-key", err)
	}
	k.next, err = rootkey.Read(k.path + nextSuffix)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return k, refuse(ErrRootKey, "root key %s: %v", k.path+nextSuffix, err)
	}
	k.file, err = rootkey.Read(k.path)
	switch {
	case err == nil || errors.Is(err, fs.ErrNotExist) && cfg.Init:
		return k, nil
	case errors.Is(err, fs.ErrNotExist):
		k.err = refuse(ErrRootKey, "root key %s does not exist; name its file with --root-key, or, for a new data directory, make both with borealis serve --init", cfg.RootKey)
	case errors.Is(err, rootkey.ErrMode):
		k.err = refuse(ErrRootKey, "root key %s %v", cfg.RootKey, err)
	default:
		k.err = refuse(ErrRootKey, "root key %s: %v; name its file with --root-key", cfg.RootKey, err)
	}
	if k.next != nil {
		return k, nil // it may be that the file was about to be replaced by the next one
	}
	return k, k.err
}

// remember is fn, which is asked once for what is not new.
func remember(fn func(context.Context, bool) (seal.Plaintext, error)) func(context.Context, bool) (seal.Plaintext, error) {
	if fn == nil {
		return nil
	}
	var kept seal.Plaintext
	return func(ctx context.Context, isNew bool) (seal.Plaintext, error) {
		if kept != nil {
			return append(seal.Plaintext{}, kept...), nil
		}
		p, err := fn(ctx, isNew)
		kept = append(seal.Plaintext{}, p...)
		return p, err
	}
}

// root is the root key in f. It takes the help of what wraps it, once.
func (k *keyHolder) root(ctx context.Context, f *rootkey.File) (*seal.Root, error) {
	if r := k.opened[f]; r != nil {
		return r, nil
	}
	r, err := f.Root(ctx, k.secrets)
	if err != nil {
		return nil, refuse(ErrRootKey, "root key %s, %s: %v", f.Path, f.How, err)
	}
	k.opened[f] = r
	return r, nil
}

// open opens the root key's file if there is one.
func (k *keyHolder) open(ctx context.Context) error {
	if k.file == nil {
		return nil
	}
	_, err := k.root(ctx, k.file)
	if k.next != nil && k.file.Provider != rootkey.Plain {
		return nil // it may be that the next file is all that is needed
	}
	return err
}

// unlock returns the root keys of db: the one in the file, which becomes db's if
// db has none yet, and is made if there is none at all; and the one that is to
// replace it, if that was begun. A root key is on disk before anything is sealed
// under it. What an ended replacement has left to do to the files is done.
func (k *keyHolder) unlock(ctx context.Context, db *store.DB) (*seal.Ring, error) {
	under, err := meta(ctx, db, metaRoot)
	if err != nil {
		return nil, err
	}
	next, err := meta(ctx, db, metaNext)
	switch {
	case err != nil:
		return nil, err
	case under == "":
		return k.adopt(ctx, db)
	case next != "":
		return k.resume(ctx, db, under, next)
	}
	if k.next != nil {
		if err := k.settle(ctx, under); err != nil {
			return nil, err
		}
	}
	if k.err != nil {
		return nil, k.err
	}
	if k.file == nil {
		return nil, refuse(ErrRootKey, "root key %s does not exist, and the data are sealed under %s; bring that back, or name its file with --root-key", k.path, under)
	}
	root, err := k.root(ctx, k.file)
	if err != nil {
		return nil, err
	}
	if root.ID() != under {
		return nil, refuse(ErrRootKey, "root key %s is %s, but the data are sealed under %s; name the file of that one with --root-key", k.path, root.ID(), under)
	}
	return seal.NewRing(root), nil
}

// meta is the value kept under name, or "".
func meta(ctx context.Context, db *store.DB, name string) (string, error) {
	v, err := db.Meta(ctx, name)
	if errors.Is(err, cloud.ErrNotFound) {
		return "", nil
	}
	return v, err
}

// adopt gives a new database its root key.
func (k *keyHolder) adopt(ctx context.Context, db *store.DB) (*seal.Ring, error) {
	if k.err != nil {
		return nil, k.err
	}
	if k.file == nil {
		if err := k.make(ctx); err != nil {
			return nil, err
		}
	}
	root, err := k.root(ctx, k.file)
	if err != nil {
		return nil, err
	}
	return seal.NewRing(root), db.SetMetas(ctx, map[string]string{metaRoot: root.ID(), metaSince: now()})
}

func now() string { return time.Now().UTC().Format(time.RFC3339) }

// make makes a root key and its file.
func (k *keyHolder) make(ctx context.Context) error {
	root := seal.NewRoot()
	f, text, err := wrap(ctx, k.made, root, k.secrets)
	if err != nil {
		return refuse(ErrRootKey, "make root key %s: %v", k.path, err)
	}
	defer clear(text)
	if err := rootkey.Write(k.path, text); err != nil {
		return fmt.Errorf("make root key: %w", err)
	}
	f.Path = k.path
	k.file, k.opened[f] = f, root
	return nil
}

// wrap is the file that keeps root, and its contents, of which it is sure that
// they can be opened again: who may encrypt under a key may not decrypt for that.
func wrap(ctx context.Context, how rootkey.How, root *seal.Root, s rootkey.Secrets) (*rootkey.File, []byte, error) {
	text, err := how.Wrap(ctx, root, s)
	if err != nil {
		return nil, nil, err
	}
	f, err := rootkey.Parse(text)
	if err != nil {
		return nil, nil, err
	}
	again, err := f.Root(ctx, s)
	if err == nil && again.ID() != root.ID() {
		err = errors.New("what was wrapped is another key when it is opened again")
	}
	return f, text, err
}

// resume returns the two root keys of a replacement that has not ended. The next
// one opens the one before it.
func (k *keyHolder) resume(ctx context.Context, db *store.DB, under, next string) (*seal.Ring, error) {
	if k.next == nil {
		return nil, refuse(ErrRootKey, "the root key %s is being replaced by %s, whose file %s does not exist; bring it back", under, next, k.path+nextSuffix)
	}
	to, err := k.root(ctx, k.next)
	if err != nil {
		return nil, fmt.Errorf("the root key %s is being replaced by another: %w", under, err)
	}
	if to.ID() != next {
		return nil, refuse(ErrRootKey, "root key %s is %s, but the root key is being replaced by %s; bring that back", k.next.Path, to.ID(), next)
	}
	text, err := meta(ctx, db, metaReplaced)
	if err != nil {
		return nil, err
	}
	from, err := openReplaced(to, text)
	if err != nil {
		return nil, refuse(ErrRootKey, "root key %s does not open the root key %s that it replaces: %v", k.next.Path, under, err)
	}
	ring := seal.NewRing(from)
	ring.Add(to)
	return ring, nil
}

// replacedContext is what a root key is sealed for under the one that replaces it.
var replacedContext = seal.Context("borealis replaced root key v1")

// sealReplaced is the root key from, sealed under its successor.
func sealReplaced(from, to *seal.Root) (string, error) {
	text := from.Text()
	defer seal.Wipe(text)
	sealed, err := to.Derive(store.PurposeServer).Seal(text, replacedContext)
	return base64.StdEncoding.EncodeToString(sealed), err
}

func openReplaced(to *seal.Root, text string) (*seal.Root, error) {
	sealed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	plain, err := to.Derive(store.PurposeServer).Open(sealed, replacedContext)
	if err != nil {
		return nil, err
	}
	defer seal.Wipe(plain)
	return seal.ParseRoot(plain)
}

// settle decides about a next file when no replacement is under way. Either it
// holds the root key of the data, and takes the place of the old file; or a
// replacement ended before it began, and it goes. If neither file holds the root
// key, unlock says so.
func (k *keyHolder) settle(ctx context.Context, under string) error {
	fileErr := k.err
	if k.file != nil {
		root, err := k.root(ctx, k.file)
		if err == nil && root.ID() == under {
			next := k.next
			k.next = nil
			return rootkey.Destroy(next.Path)
		}
		fileErr = err
	}
	root, err := k.root(ctx, k.next)
	if err == nil && root.ID() == under {
		return k.succeed(func() error { return nil })
	}
	if fileErr == nil && k.file == nil {
		return err
	}
	return fileErr
}

// replaceBy makes f, which holds root and opens with these secrets, the next file.
func (k *keyHolder) replaceBy(f *rootkey.File, root *seal.Root, s rootkey.Secrets) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.next, k.opened[f], k.secrets = f, root, s
}

// pending reports whether there is a next file.
func (k *keyHolder) pending() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.next != nil
}

// how is how the root key is kept.
func (k *keyHolder) how() rootkey.How {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.file == nil {
		return k.next.How
	}
	return k.file.How
}

// succeed puts the next file in the place of the root key's, which it destroys;
// then it calls destroyed. A crash in between leaves the next one, which is all
// that is needed.
func (k *keyHolder) succeed(destroyed func() error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := rootkey.Destroy(k.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("destroy the old root key: %w", err)
	}
	if err := destroyed(); err != nil {
		return err
	}
	if err := rootkey.Rename(k.next.Path, k.path); err != nil {
		return fmt.Errorf("put the new root key in its place: %w", err)
	}
	k.next.Path = k.path
	k.file, k.next, k.err = k.next, nil, nil
	return nil
}

// outside refuses a root key that lies in the data directory.
func outside(file, dir string) error {
	at, err := resolve(file)
	if err != nil {
		return err
	}
	in, err := resolve(dir)
	if err != nil {
		return err
	}
	if rel, err := filepath.Rel(in, at); err == nil && filepath.IsLocal(rel) {
		return refuse(ErrRootKey, "root key %s lies in the data directory, so every copy of the data would carry it; keep it elsewhere", file)
	}
	return nil
}

// resolve is path without symbolic links, as far as it exists.
func resolve(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(path)
	if !errors.Is(err, fs.ErrNotExist) || path == filepath.Dir(path) {
		return real, err
	}
	parent, err := resolve(filepath.Dir(path))
	return filepath.Join(parent, filepath.Base(path)), err
}
