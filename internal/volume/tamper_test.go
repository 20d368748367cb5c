package volume_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zeebo/blake3"

	"borealis/internal/cloud"
	"borealis/internal/volume"
	"borealis/internal/volume/volumetest"
)

// vandal is a world whose objects someone else can write.
type vandal struct {
	t     *testing.T
	m     *volumetest.Mem
	e     *volume.Engine
	ref   volume.Ref // the victim: ann's volume "nightly"
	files []volume.File
}

func newVandal(t *testing.T) *vandal {
	v := &vandal{t: t, m: new(volumetest.Mem)}
	v.e = volume.New(v.m)
	v.e.SetPackSize(smallPack)
	v.files = append(manyBlocks(1, 4), volume.File{Name: "base", Mode: fs.ModeDir | 0o700}, volume.File{Name: "text", Data: text(1, 3000), Mode: 0o600})
	v.ref, _ = write(t, v.e, named(ann, "nightly"), v.files)
	return v
}

func (v *vandal) get(name string) []byte {
	v.t.Helper()
	data, err := v.m.Get(context.Background(), name)
	if err != nil {
		v.t.Fatal(err)
	}
	return data
}

func (v *vandal) put(name string, data []byte) { put(v.t, v.m, name, data) }

func put(t *testing.T, b volume.Backend, name string, data []byte) {
	t.Helper()
	if err := b.Put(t.Context(), name, data); err != nil {
		t.Fatal(err)
	}
}

// names lists objects, which the test must find.
func (v *vandal) names(prefix string) []string {
	v.t.Helper()
	list, err := v.m.List(context.Background(), prefix)
	if err != nil || len(list) == 0 {
		v.t.Fatalf("list %s: %v, %v", prefix, list, err)
	}
	var names []string
	for _, o := range list {
		names = append(names, o.Name)
	}
	return names
}

func (v *vandal) manifest() string { return v.names("volumes/nightly.")[0] }
func (v *vandal) packs() []string  { return v.names("packs/") }

// refused makes sure that Check finds what was done, and that nothing else takes
// it for the volume either: an error of ours, or the right bytes.
func (v *vandal) refused(what string) {
	v.t.Helper()
	err := v.e.Check(v.t.Context(), v.ref, volume.CheckOptions{})
	if !typed(err) {
		v.t.Errorf("%s: Check: %v", what, err)
	}
	dir := filepath.Join(v.t.TempDir(), "out")
	if err := v.e.Restore(v.t.Context(), v.ref, dir, volume.RestoreOptions{}); err == nil {
		v.t.Errorf("%s: Restore succeeds", what)
	} else if !typed(err) {
		v.t.Errorf("%s: Restore: %v", what, err)
	}
	if left, _ := filepath.Glob(dir + "*"); len(left) != 0 {
		v.t.Errorf("%s: Restore left %v", what, left)
	}
	carol := vault("777788889999", "cluster-CAROL", "arn:aws:kms:eu-west-1:777788889999:key/c") // has nothing to share
	if _, err := v.e.Copy(v.t.Context(), v.ref, named(carol, "copy"), volume.CopyOptions{}); err == nil {
		v.t.Errorf("%s: Copy succeeds", what)
	} else if !typed(err) {
		v.t.Errorf("%s: Copy: %v", what, err)
	}
}

func typed(err error) bool {
	return errors.Is(err, volume.ErrDamaged) || errors.Is(err, volume.ErrKey) || errors.Is(err, volume.ErrVersion)
}

func TestEveryFlippedByteOfAManifestIsFound(t *testing.T) {
	v := newVandal(t)
	name := v.manifest()
	good := v.get(name)
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1 << (i % 8)
		v.put(name, bad)
		if err := v.e.Check(t.Context(), v.ref, volume.CheckOptions{}); !typed(err) {
			t.Errorf("byte %d of %d: %v", i, len(good), err)
		}
		// Nor does an attacker get further who mends the checksum.
		p := int(binary.BigEndian.Uint32(good[16:]))
		if i >= p {
			continue
		}
		sum := sha256.Sum256(bad[:p])
		copy(bad[p:], sum[:])
		v.put(name, bad)
		if err := v.e.Check(t.Context(), v.ref, volume.CheckOptions{}); !typed(err) {
			t.Errorf("byte %d of %d, checksum mended: %v", i, len(good), err)
		}
	}
	v.put(name, good)
	same(t, v.e, v.ref, v.files)
}

func TestEveryFlippedByteOfAPackIsFound(t *testing.T) {
	v := newVandal(t)
	for _, name := range v.packs() {
		good := v.get(name)
		for i := 0; i < len(good); i++ {
			if i > 100 && i < len(good)-100 && i%37 != 0 {
				continue // its header, its ends and a sample of the middle
			}
			bad := bytes.Clone(good)
			bad[i] ^= 1 << (i % 8)
			v.put(name, bad)
			err := v.e.Check(t.Context(), v.ref, volume.CheckOptions{})
			if !errors.Is(err, volume.ErrDamaged) || !strings.Contains(err.Error(), name) {
				t.Errorf("%s, byte %d of %d: %v", name, i, len(good), err)
			}
		}
		v.put(name, good)
	}
	same(t, v.e, v.ref, v.files)
}

func TestMissingAndTruncatedObjectsAreFound(t *testing.T) {
	v := newVandal(t)
	for _, name := range append(v.packs(), v.manifest()) {
		good := v.get(name)
		if err := v.m.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		v.refused(name + " missing")
		for _, n := range []int{0, 1, 35, 36, 100, len(good) / 2, len(good) - 1} {
			v.put(name, good[:n])
			v.refused(fmt.Sprintf("%s cut to %d", name, n))
		}
		v.put(name, append(bytes.Clone(good), 0))
		if err := v.e.Check(t.Context(), v.ref, volume.CheckOptions{}); !errors.Is(err, volume.ErrDamaged) {
			t.Errorf("%s with a byte more: %v", name, err)
		}
		v.put(name, good)
	}
	same(t, v.e, v.ref, v.files)
}

// Two chunks of equal length change places.
func TestSwappedChunksAreFound(t *testing.T) {
	v := newVandal(t)
	const stored = 6<<10 + 16
	for _, name := range v.packs() {
		pack := v.get(name)
		if len(pack) < 36+2*stored {
			continue
		}
		a, b := pack[36:36+stored], pack[36+stored:36+2*stored]
		tmp := bytes.Clone(a)
		copy(a, b)
		copy(b, tmp)
		v.put(name, pack)
		v.refused("two chunks of " + name + " swapped")
		return
	}
	t.Fatal("no pack with two chunks of equal length")
}

// Chunks, packs and manifests of another volume, vault or account are authentic
// there and nowhere else.
func TestSubstitutesAreFound(t *testing.T) {
	sibling, stranger := named(ann, "sibling"), named(bob, "stranger")
	otherCluster := named(vault(ann.Account, "cluster-OTHER", ann.KeyARN), "other")
	otherCluster.DataKey = ann.DataKey // a caller's mistake that must not matter
	for _, spec := range []volume.Spec{sibling, stranger, otherCluster} {
		t.Run(spec.ID, func(t *testing.T) {
			v := newVandal(t)
			mine, myPacks := v.manifest(), v.packs()
			files := slices.Clone(v.files)
			if spec.ID == "sibling" {
				files = append(manyBlocks(50, 4), v.files[4:]...) // equal shape, other bytes
			}
			write(t, v.e, spec, files)
			theirs := v.names("volumes/" + spec.ID + ".")[0]
			good, their := v.get(mine), v.get(theirs)
			v.put(mine, their)
			v.refused("manifest of " + spec.ID)
			v.put(mine, good)
			for _, p := range v.packs() {
				if slices.Contains(myPacks, p) {
					continue
				}
				was := v.get(myPacks[0])
				v.put(myPacks[0], v.get(p))
				v.refused("pack of " + spec.ID)
				v.put(myPacks[0], was)
			}
			same(t, v.e, v.ref, v.files)
		})
	}
}

// An older volume under the same id is authentic, and is not what the caller
// knows the digest of.
func TestReplayedManifestIsFound(t *testing.T) {
	v := newVandal(t)
	name := v.manifest()
	old := v.get(name)
	keep, _ := write(t, v.e, named(ann, "keep"), v.files) // keeps the old packs alive
	v.ref, _ = write(t, v.e, named(ann, "nightly"), manyBlocks(70, 4))
	now := v.get(name)
	v.put(name, old)
	v.refused("older manifest")
	v.put(name, now)
	same(t, v.e, v.ref, manyBlocks(70, 4))
	same(t, v.e, keep, v.files)
}

// Segments of a table are bound to their places and to their manifest.
func TestSwappedSegmentsAreFound(t *testing.T) {
	v := newVandal(t)
	var files []volume.File
	for i := range 8200 {
		files = append(files, volume.File{Name: fmt.Sprint(i), Data: fmt.Append(nil, i), Mode: 0o600})
	}
	ref, _ := write(t, v.e, named(ann, "nightly"), files)
	v.ref = ref
	name := v.manifest()
	good := v.get(name)
	const segment = 4096*52 + 16
	bad := bytes.Clone(good)
	table := bad[len(bad)-2*segment-((8200-8192)*52+16):]
	tmp := bytes.Clone(table[:segment])
	copy(table[:segment], table[segment:2*segment])
	copy(table[segment:], tmp)
	v.put(name, bad)
	v.refused("segments swapped")
	v.put(name, good)
	if err := v.e.Check(t.Context(), ref, volume.CheckOptions{}); err != nil {
		t.Error(err)
	}
}

func TestWrongReferences(t *testing.T) {
	v := newVandal(t)
	check := func(ref volume.Ref) error { return v.e.Check(t.Context(), ref, volume.CheckOptions{}) }
	wrongKey := v.ref
	wrongKey.DataKey = bob.DataKey
	if err := check(wrongKey); !errors.Is(err, volume.ErrKey) || errors.Is(err, volume.ErrDamaged) {
		t.Errorf("wrong key: %v, want ErrKey", err)
	}
	account := v.ref
	account.Account = bob.Account
	if err := check(account); !errors.Is(err, volume.ErrDamaged) {
		t.Errorf("wrong account: %v, want ErrDamaged", err)
	}
	digest := v.ref
	digest.Digest[0]++
	if err := check(digest); !errors.Is(err, volume.ErrDamaged) {
		t.Errorf("wrong digest: %v, want ErrDamaged", err)
	}
	none := v.ref
	none.ID = "none"
	if err := check(none); !errors.Is(err, volume.ErrDamaged) || !errors.Is(err, cloud.ErrNotFound) {
		t.Errorf("no such volume: %v, want ErrDamaged and ErrNotFound", err)
	}
	short := v.ref
	short.DataKey = short.DataKey[:16]
	if err := check(short); err == nil || typed(err) {
		t.Errorf("short key: %v", err)
	}
	newer := v.get(v.manifest())
	newer[11] = 3
	v.put(v.manifest(), newer)
	if err := check(v.ref); !errors.Is(err, volume.ErrVersion) {
		t.Errorf("version 3: %v, want ErrVersion", err)
	}
}

// A list of packs that cannot be trusted must not get packs deleted.
func TestCollectKeepsAllWhenAManifestIsDamaged(t *testing.T) {
	v := newVandal(t)
	name := v.manifest()
	good := v.get(name)
	packs := v.packs()
	p := int(binary.BigEndian.Uint32(good[16:]))
	for i := range p + 32 {
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		v.put(name, bad)
		if err := v.e.Collect(t.Context()); !typed(err) {
			t.Errorf("byte %d: Collect: %v", i, err)
		}
	}
	for _, n := range []int{0, 20, p} {
		v.put(name, good[:n])
		if err := v.e.Collect(t.Context()); !typed(err) {
			t.Errorf("cut to %d: Collect: %v", n, err)
		}
	}
	if !slices.Equal(packs, v.packs()) {
		t.Error("packs were deleted")
	}
	v.put(name, good)
	same(t, v.e, v.ref, v.files)
}

// A writer shares only what is there: lost and shortened packs are stored again.
func TestLostPacksAreStoredAgain(t *testing.T) {
	v := newVandal(t)
	packs := v.packs()
	if err := v.m.Delete(t.Context(), packs[0]); err != nil {
		t.Fatal(err)
	}
	last := packs[len(packs)-1]
	v.put(last, v.get(last)[:40])
	ref, _ := write(t, v.e, named(ann, "next"), v.files)
	same(t, v.e, ref, v.files)
}

// Authentic is not enough: what is read must be the block that was written.
func TestAuthenticChunkWithOtherContentIsFound(t *testing.T) {
	v := newVandal(t)
	data := random(11, 6<<10)
	v.ref, _ = write(t, v.e, named(ann, "one"), []volume.File{{Name: "a", Data: data, Mode: 0o600}})
	for _, name := range v.packs() {
		if pack := v.get(name); len(pack) == 36+16+len(data) {
			v.put(name, append(pack[:36], volume.SealChunk(ann, name, 36, blake3.Sum256(data), random(12, len(data)))...))
		}
	}
	if err := v.e.Check(t.Context(), v.ref, volume.CheckOptions{}); !errors.Is(err, volume.ErrDamaged) {
		t.Errorf("Check: %v", err)
	}
	if err := v.e.Restore(t.Context(), v.ref, filepath.Join(t.TempDir(), "out"), volume.RestoreOptions{}); !errors.Is(err, volume.ErrDamaged) {
		t.Errorf("Restore: %v", err)
	}
}
