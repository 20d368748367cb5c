package volume_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"testing"

	"borealis/internal/volume"
	"borealis/internal/volume/volumetest"
)

// Whatever a manifest's object holds, reading it answers with an error of ours,
// and neither panics nor allocates on its word.
func FuzzManifest(f *testing.F) {
	m := new(volumetest.Mem)
	write(f, volume.New(m), named(ann, "nightly"), []volume.File{{Name: "a/b", Data: text(1, 1000), Mode: 0o600}, {Name: "z", Data: make([]byte, 9), Mode: 0o600}})
	list, err := m.List(f.Context(), "volumes/")
	if err != nil || len(list) != 1 {
		f.Fatal(list, err)
	}
	good, err := m.Get(f.Context(), list[0].Name)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:100])
	f.Add([]byte("BRLSVOLM\x00\x00\x00\x02"))
	f.Fuzz(func(t *testing.T, data []byte) {
		mended := bytes.Clone(data)
		if len(mended) > 20 { // let what is behind the checksum be tried too
			if p := int(binary.BigEndian.Uint32(mended[16:])); p >= 20 && p <= len(mended)-32 {
				sum := sha256.Sum256(mended[:p])
				copy(mended[p:], sum[:])
			}
		}
		for _, object := range [][]byte{data, mended} {
			err := volume.OpenManifest(ann, object)
			if err != nil && !errors.Is(err, volume.ErrDamaged) && !errors.Is(err, volume.ErrVersion) {
				t.Errorf("%v, want ErrDamaged or ErrVersion", err)
			}
		}
	})
}

// The root and the table are read only when they are authentic, so what reads
// them is tried with what only a holder of the key could have sealed.
func FuzzRoot(f *testing.F) {
	root, table := volume.SampleRoot()
	chunk := append(bytes.Repeat([]byte{7}, 51), 0)
	f.Add(root, table, []byte{}, []byte{})
	f.Add(root[:len(root)-1], table, chunk, []byte{0, 0, 0, 0, 0, 0, 0, 3})
	f.Fuzz(func(t *testing.T, root, table, chunks, layers []byte) {
		if err := volume.ParseRoot(root, table, chunks, layers); err != nil {
			return // refusing is fine; panicking is not
		}
	})
}
