package volume_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"borealis/internal/volume"
	"borealis/internal/volume/disk"
	"borealis/internal/volume/volumetest"
)

// Patched blocks too, of several layers, and in copies.
func TestFormatOfPatchedBlocks(t *testing.T) {
	m := new(volumetest.Mem)
	e := volume.New(m)
	e.SetPackSize(90 << 10)
	files := paged(1, 3*16+5)
	for i := range 8 {
		id := "v" + string(rune('0'+i))
		ref, info := write(t, e, named(ann, id), files)
		same(t, e, ref, files)
		tree, _, digest, content := opened(t, m, named(ann, id)).read(id)
		if d := cmp.Diff(listed(files), tree); d != "" || digest != info.Digest || content != info.Content {
			t.Errorf("%s: other files, digest or content (-written +read):\n%s", id, d)
		}
		copied, err := e.Copy(t.Context(), ref, named(bob, "copy-"+id), volume.CopyOptions{})
		if err != nil || copied.Content != info.Content {
			t.Errorf("copy of %s: %+v, %v", id, copied, err)
		}
		same(t, e, named(bob, "copy-"+id).Ref(copied.Digest), files)
		if i > 0 && (info.Stored > 40<<10 || copied.Stored > 40<<10) {
			t.Errorf("%s: %d bytes were stored for 3 changed pages, %d copied", id, info.Stored, copied.Stored)
		}
		files = changePages(files, i, 7, 20, 45)
	}
}

// opened is the reader of the format for spec's vault in b.
func opened(t *testing.T, b volume.Backend, spec volume.Spec) textReader {
	return textReader{
		get: func(name string) []byte {
			data, err := b.Get(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			return data
		},
		account: string(spec.Account), lineage: spec.Lineage, keyARN: spec.KeyARN, dataKey: spec.DataKey,
	}
}

// listed is expect without the directories that no one has listed.
func listed(files []volume.File) map[string]string {
	all := expect(files)
	names := map[string]bool{}
	for _, f := range files {
		names[f.Name] = true
	}
	maps.DeleteFunc(all, func(name, _ string) bool { return !names[name] })
	return all
}

// A reader written from the document opens what the engine writes.
func TestFormatIsAsWritten(t *testing.T) {
	m := new(volumetest.Mem)
	e := volume.New(m)
	e.SetPackSize(40 << 10)
	many := small()
	changed := paged(1, 40)
	for i := range 5000 { // more than one segment of the table
		many = append(many, volume.File{Name: "many/" + string(rune('a'+i%26)) + "/" + string(rune('a'+i/26%26)) + string(rune('0'+i/676)), Data: text(i+1, 40), Mode: 0o600})
	}
	for name, c := range map[string]struct {
		spec  volume.Spec
		files []volume.File
	}{
		"small":        {ann, small()},
		"second":       {ann, small()[1:]},
		"many-entries": {ann, many},
		"nothing":      {bob, nil},
		"wide":         {vault(ann.Account, "cluster-WIDE", ann.KeyARN), changed},
	} {
		spec := named(c.spec, name)
		_, info := write(t, e, spec, c.files)
		tree, facts, digest, content := opened(t, m, spec).read(name)
		if d := cmp.Diff(listed(c.files), tree); d != "" {
			t.Errorf("%s: other files (-written +read):\n%s", name, d)
		}
		if facts != string(spec.Facts) || digest != info.Digest || content != info.Content {
			t.Errorf("%s: facts %q, digest %x, content %x; want %q, %s, %s", name, facts, digest, content, spec.Facts, info.Digest, info.Content)
		}
	}
}

var freeze = flag.Bool("freeze", false, "write testdata of the current version, if there is none")

// frozen is what testdata/vN holds besides the objects.
type frozen struct {
	Small, Second, Copy volume.Digest
	Content             volume.Digest
}

func frozenFiles(version int) (first, second []volume.File) {
	first = []volume.File{
		{Name: "PG_VERSION", Data: []byte("17\n"), Mode: 0o600},
		{Name: "base", Mode: fs.ModeDir | 0o700},
		{Name: "base/1/1259", Data: text(1, 20000), Mode: 0o600},
		{Name: "base/1/1260", Data: random(2, 3000), Mode: 0o640},
		{Name: "base/1/zero", Data: make([]byte, mib+8192), Mode: 0o600},
		{Name: "empty", Data: []byte{}, Mode: 0o444},
	}
	second = append(first[:3:3], volume.File{Name: "base/1/2000", Data: text(4, 9000), Mode: 0o600})
	if version >= 2 { // which has patched blocks
		pages := paged(7, 20)
		second = append(second, changePages(pages, 8, 3, 9)...)
		first = append(first, pages...)
	}
	return first, second
}

// Volumes of every version ever written open for ever, in the engine and in the
// reader, and can be copied.
func TestFrozenVersions(t *testing.T) {
	for version := 1; version <= volume.Version; version++ {
		t.Run(fmt.Sprint(version), func(t *testing.T) { testFrozen(t, version) })
	}
}

func testFrozen(t *testing.T, version int) {
	dir := filepath.Join("testdata", fmt.Sprintf("v%d", version))
	if *freeze && version == volume.Version {
		writeFrozen(t, dir)
	}
	want := frozen{}
	data, err := os.ReadFile(filepath.Join(dir, "digests.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	objects := t.TempDir()
	if err := os.CopyFS(objects, os.DirFS(filepath.Join(dir, "objects"))); err != nil {
		t.Fatal(err)
	}
	d, err := disk.Open(objects)
	if err != nil {
		t.Fatal(err)
	}
	e := volume.New(d)
	first, second := frozenFiles(version)
	for _, c := range []struct {
		spec   volume.Spec
		digest volume.Digest
		files  []volume.File
	}{{named(ann, "small"), want.Small, first}, {named(ann, "second"), want.Second, second}, {named(bob, "copy"), want.Copy, first}} {
		ref := c.spec.Ref(c.digest)
		same(t, e, ref, c.files)
		tree, _, digest, content := opened(t, d, c.spec).read(c.spec.ID)
		if diff := cmp.Diff(listed(c.files), tree); diff != "" || digest != c.digest {
			t.Errorf("%s: digest %x, files:\n%s", c.spec.ID, digest, diff)
		}
		if h, err := e.Header(t.Context(), c.spec.ID); err != nil || len(h.Wrapped) == 0 || h.Version != version {
			t.Errorf("Header %s: %+v, %v", c.spec.ID, h, err)
		}
		if info, err := e.Describe(t.Context(), ref); err != nil || info.Content != content {
			t.Errorf("Describe %s: %+v, %v", c.spec.ID, info, err)
		}
		// Copied, and beside a new one of the same vault, nothing is lost.
		to := named(bob, c.spec.ID+"-again")
		info, err := e.Copy(t.Context(), ref, to, volume.CopyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		same(t, e, to.Ref(info.Digest), c.files)
		next, _ := write(t, e, named(c.spec, c.spec.ID+"-next"), second)
		same(t, e, next, second)
	}
	for _, id := range []string{"small-next", "second-next", "copy-next", "small-again", "second-again", "copy-again"} {
		if err := e.Delete(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	same(t, e, named(ann, "small").Ref(want.Small), first)
	info, err := e.Describe(t.Context(), named(bob, "copy").Ref(want.Copy))
	if err != nil || info.Content != want.Content {
		t.Errorf("Describe: %+v, %v", info, err)
	}
}

// writeFrozen makes testdata once. What is there is never written again.
func writeFrozen(t *testing.T, dir string) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "objects"), 0o755); err != nil {
		t.Fatal(err)
	}
	d, err := disk.Open(filepath.Join(dir, "objects"))
	if err != nil {
		t.Fatal(err)
	}
	e := volume.New(d)
	first, second := frozenFiles(volume.Version)
	ref, info := write(t, e, named(ann, "small"), first)
	_, info2 := write(t, e, named(ann, "second"), second)
	copied, err := e.Copy(t.Context(), ref, named(bob, "copy"), volume.CopyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.MarshalIndent(frozen{info.Digest, info2.Digest, copied.Digest, info.Content}, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "digests.json"), append(data, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}
