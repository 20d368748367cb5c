package volume_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"borealis/internal/volume"
	"borealis/internal/volume/volumetest"
)

// Files whose blocks lie in another volume's packs, in an order that has nothing to
// do with theirs, are restored, although they are more than are held open.
func TestRestoreOfScatteredBlocks(t *testing.T) {
	e := volume.New(new(volumetest.Mem))
	const files, blocks, tail = 150, 3, 5000
	pool := random(1, files*blocks*volume.BlockSize/8)
	block := func(i int) []byte { // an eighth of each is its own
		b := make([]byte, volume.BlockSize)
		copy(b[volume.BlockSize/2:], pool[i*len(b)/8:(i+1)*len(b)/8])
		return b
	}
	whole := []volume.File{{Name: "all", Mode: 0o600}}
	for i := range files * blocks {
		whole[0].Data = append(whole[0].Data, block(i)...)
	}
	write(t, e, named(ann, "whole"), whole)
	var cut []volume.File
	order := rand.New(rand.NewPCG(1, 2)).Perm(files * blocks)
	for i := range files {
		f := volume.File{Name: fmt.Sprintf("base/%d/%d", i%7, i), Mode: 0o400}
		for n := range blocks {
			f.Data = append(f.Data, block(order[i*blocks+n])...)
			if (i+n)%5 == 0 {
				f.Data = append(f.Data, make([]byte, volume.BlockSize)...)
			}
		}
		f.Data = append(f.Data, bytes.Repeat([]byte{byte(i)}, tail)...)
		cut = append(cut, f)
	}
	ref, info := write(t, e, named(ann, "cut"), cut)
	if info.Stored > 1<<20 {
		t.Fatalf("%d bytes were stored: the blocks are not those of the other volume", info.Stored)
	}
	same(t, e, ref, cut)
}
