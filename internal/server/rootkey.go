package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"borealis/internal/cloud"
	"borealis/internal/durable"
	"borealis/internal/seal"
	"borealis/internal/store"
)

// A rootKeyFile is where the root key is kept, and the key, if it is there.
type rootKeyFile struct {
	path string
	root *seal.Root // nil if the file does not exist and may be made
}

// readRootKey reads the root key from path, which must not be in the data
// directory. It changes nothing. Only with init may the file be missing.
func readRootKey(path, data string, init bool) (rootKeyFile, error) {
	k := rootKeyFile{path: path}
	if path == "" {
		return k, refuse(ErrRootKey, "no file of the root key is named; use --root-key")
	}
	if err := outside(path, data); err != nil {
		return k, err
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) && init {
		return k, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return k, refuse(ErrRootKey, "root key %s does not exist; name its file with --root-key, or, for a new data directory, make both with borealis serve --init", path)
	}
	if err != nil {
		return k, refuse(ErrRootKey, "read the root key: %v; name its file with --root-key", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return k, err
	}
	if p := info.Mode().Perm(); p&0o077 != 0 {
		return k, refuse(ErrRootKey, "root key %s can be read by others (mode %04o); chmod 600 it", path, p)
	}
	text, err := io.ReadAll(io.LimitReader(f, 1<<16))
	if err != nil {
		return k, refuse(ErrRootKey, "read the root key: %v; name its file with --root-key", err)
	}
	defer clear(text)
	if k.root, err = seal.ParseRoot(text); err != nil {
		return k, refuse(ErrRootKey, "root key %s: %v", path, err)
	}
	return k, nil
}

// unlock returns the root key of db: the one in the file, which becomes db's if
// db has none yet, and is made if there is none at all. It is on disk before
// anything is sealed under it.
func (k rootKeyFile) unlock(ctx context.Context, db *store.DB) (*seal.Root, error) {
	sealedUnder, err := db.Meta(ctx, "root key")
	if err != nil && !errors.Is(err, cloud.ErrNotFound) {
		return nil, err
	}
	switch {
	case sealedUnder != "" && k.root == nil:
		return nil, refuse(ErrRootKey, "root key %s does not exist, and the data are sealed under %s; bring that back, or name its file with --root-key", k.path, sealedUnder)
	case sealedUnder != "" && sealedUnder != k.root.ID():
		return nil, refuse(ErrRootKey, "root key %s is %s, but the data are sealed under %s; name the file of that one with --root-key", k.path, k.root.ID(), sealedUnder)
	case sealedUnder != "":
		return k.root, nil
	case k.root == nil:
		k.root = seal.NewRoot()
		if err := writeRootKey(k.path, k.root); err != nil {
			return nil, fmt.Errorf("make root key: %w", err)
		}
	}
	return k.root, db.SetMeta(ctx, "root key", k.root.ID())
}

func writeRootKey(path string, root *seal.Root) error {
	if err := durable.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	text := root.Text()
	defer clear(text)
	return durable.WriteFile(path, text, 0o600)
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
