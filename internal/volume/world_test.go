package volume_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"borealis/internal/cloud"
	"borealis/internal/volume"
)

// The accounts of the stories, each with a key and a data key under it.
var (
	ann = vault("111122223333", "cluster-ANN", "arn:aws:kms:eu-west-1:111122223333:key/a")
	bob = vault("444455556666", "cluster-ANN", "arn:aws:kms:eu-west-1:444455556666:key/b")
)

// vault is a Spec without an ID. Its data key is a function of its identity.
func vault(account cloud.AccountID, lineage, key string) volume.Spec {
	dk := sha256.Sum256([]byte("data key of " + string(account) + lineage + key))
	return volume.Spec{
		Identity: volume.Identity{Account: account, Lineage: lineage, KeyARN: key},
		DataKey:  dk[:],
		Wrapped:  []byte("wrapped for " + account),
		Facts:    []byte(`{"major":17}`),
	}
}

// named is the Spec of volume id in s's vault.
func named(s volume.Spec, id string) volume.Spec {
	s.ID = id
	return s
}

// random returns n bytes that do not compress, the same for the same seed.
func random(seed, n int) []byte {
	p := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)}).Read(p)
	return p
}

// text returns n bytes that do.
func text(seed, n int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "row %d of table %d: %d\n", i, seed, i*seed)
	}
	return b.Bytes()[:n]
}

// paged is a file of n pages that do not compress.
func paged(seed, n int) []volume.File {
	var data []byte
	for i := range n {
		data = append(data, random(seed+i, volume.PageSize)...)
	}
	return []volume.File{{Name: "base/1/9000", Data: data, Mode: 0o600}}
}

// changePages is files with some pages of the first rewritten.
func changePages(files []volume.File, seed int, pages ...int) []volume.File {
	files = slices.Clone(files)
	files[0].Data = bytes.Clone(files[0].Data)
	for _, p := range pages {
		copy(files[0].Data[p*volume.PageSize:(p+1)*volume.PageSize], random(1000+seed*100+p, volume.PageSize))
	}
	return files
}

const mib = 1 << 20

// small is a tree that has every kind of file and block, in a megabyte or four.
func small() []volume.File {
	holes := make([]byte, 2*mib+5000)
	copy(holes[mib+10:], random(9, 4000))
	return []volume.File{
		{Name: "PG_VERSION", Data: []byte("17\n"), Mode: 0o600},
		{Name: "base", Mode: fs.ModeDir | 0o700},
		{Name: "base/1/1259", Data: text(1, mib+8192), Mode: 0o600},
		{Name: "base/1/1260", Data: random(2, 24576), Mode: 0o640},
		{Name: "base/1/2000", Data: holes, Mode: 0o400},
		{Name: "base/1/same", Data: text(1, mib+8192), Mode: 0o600},
		{Name: "base/1/zero", Data: make([]byte, 8192), Mode: 0o600},
		{Name: "empty", Data: []byte{}, Mode: 0o444},
		{Name: "pg_notify", Mode: fs.ModeDir | 0o750},
	}
}

// write makes a volume of files or ends the test.
func write(t testing.TB, e *volume.Engine, spec volume.Spec, files []volume.File) (volume.Ref, volume.Info) {
	t.Helper()
	info, err := tryWrite(t, e, spec, files)
	if err != nil {
		t.Fatal(err)
	}
	return spec.Ref(info.Digest), info
}

func tryWrite(t testing.TB, e *volume.Engine, spec volume.Spec, files []volume.File) (volume.Info, error) {
	w, err := e.Create(t.Context(), spec, volume.CreateOptions{})
	if err != nil {
		return volume.Info{}, err
	}
	defer w.Abort()
	if err := w.Add(t.Context(), files); err != nil {
		return volume.Info{}, err
	}
	return w.Commit(t.Context())
}

// restore returns what ref restores to.
func restore(t testing.TB, e *volume.Engine, ref volume.Ref) map[string]string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "out")
	if err := e.Restore(t.Context(), ref, dir, volume.RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	return readTree(t, dir)
}

// readTree says of every file in dir its mode and content.
func readTree(t testing.TB, dir string) map[string]string {
	t.Helper()
	tree := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		var data []byte
		if !d.IsDir() {
			if data, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		rel, err := filepath.Rel(dir, path)
		tree[filepath.ToSlash(rel)] = entry(st.Mode(), data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func entry(mode fs.FileMode, data []byte) string {
	return fmt.Sprintf("%v %d %x", mode, len(data), sha256.Sum256(data))
}

// expect is the tree that files are to be restored to.
func expect(files []volume.File) map[string]string {
	tree := map[string]string{}
	for _, f := range files {
		for dir := filepath.Dir(f.Name); dir != "."; dir = filepath.Dir(dir) {
			if tree[dir] == "" {
				tree[dir] = entry(fs.ModeDir|0o700, nil)
			}
		}
		tree[f.Name] = entry(f.Mode, f.Data)
	}
	return tree
}

// same fails the test if ref does not check, or restores to other than files.
func same(t testing.TB, e *volume.Engine, ref volume.Ref, files []volume.File) {
	t.Helper()
	if err := e.Check(t.Context(), ref, volume.CheckOptions{}); err != nil {
		t.Error(err)
	}
	if d := cmp.Diff(expect(files), restore(t, e, ref)); d != "" {
		t.Errorf("volume %s restores to other files (-want +got):\n%s", ref.ID, d)
	}
}
