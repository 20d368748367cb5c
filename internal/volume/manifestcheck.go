package volume

import (
	"errors"
	"fmt"
	"math/bits"
)

// check makes sure that the parts of m fit each other, and numbers the blocks.
func (m *manifest) check() error {
	if err := checkTree(m.files); err != nil {
		return err
	}
	for i, c := range m.chunks {
		if c.plain > BlockSize {
			return fmt.Errorf("its chunk %d is larger than a block", i)
		}
		if err := m.checkStored(c.block, c.plain); err != nil {
			return fmt.Errorf("its chunk %d is impossible: %w", i, err)
		}
	}
	for i, l := range m.layers {
		if uint64(l.chunk) >= uint64(len(m.chunks)) {
			return fmt.Errorf("its layer %d is in no chunk", i)
		}
		if end := (int(l.at) + bits.OnesCount16(l.bits)) * PageSize; l.bits == 0 || end > int(m.chunks[l.chunk].plain) {
			return fmt.Errorf("its layer %d is outside its chunk", i)
		}
	}
	if m.kind == kindProgress {
		if len(m.files) != 0 || len(m.blocks) != 0 && m.version != versionOne {
			return errors.New("it is a progress record and has files")
		}
		return nil
	}
	at := 0
	for i := range m.files {
		f := &m.files[i]
		if f.size > 1<<50 || m.blocksOf(f.size) > len(m.blocks)-at {
			return fmt.Errorf("its table ends before %q does", f.name)
		}
		f.first = at
		for j := range m.blocksOf(f.size) {
			if err := m.checkBlock(m.blocks[at+j], uint32(m.length(f, j))); err != nil {
				return fmt.Errorf("block %d of %q is impossible: %w", j, f.name, err)
			}
		}
		at += m.blocksOf(f.size)
	}
	if at != len(m.blocks) {
		return errors.New("its table has entries left over")
	}
	return nil
}

// checkBlock makes sure that b can be a block of the given length.
func (m *manifest) checkBlock(b block, plain uint32) error {
	switch b.codec {
	case codecZero:
		if b.pack != 0 || b.offset != 0 || b.length != 0 || b.first != 0 || b.layers != 0 {
			return errors.New("it is zero and has a place")
		}
		return nil
	case codecPatched:
		return m.checkPatched(b, plain)
	}
	if b.first != 0 || b.layers != 0 {
		return errors.New("it is not patched and has layers")
	}
	return m.checkStored(b, plain)
}

func (m *manifest) checkPatched(b block, plain uint32) error {
	switch {
	case m.version == versionOne:
		return errors.New("its codec is unknown")
	case b.offset != 0 || b.length != 0 || uint64(b.pack) >= uint64(len(m.chunks)) || m.chunks[b.pack].plain != plain:
		return errors.New("its base does not fit it")
	case b.layers == 0 || b.layers > maxLayers || uint64(b.first)+uint64(b.layers) > uint64(len(m.layers)):
		return errors.New("its layers are not there")
	}
	for _, l := range m.layers[b.first : b.first+uint32(b.layers)] {
		if plain%PageSize != 0 || bits.Len16(l.bits) > int(plain/PageSize) {
			return errors.New("a layer is larger than it")
		}
	}
	return nil
}

// checkStored makes sure that a stored chunk of plain bytes can be where b says.
func (m *manifest) checkStored(b block, plain uint32) error {
	over, most := uint32(tagSize), codecS2Zstd
	if m.version == versionOne {
		over, most = overheadV1, codecZstd
	}
	switch {
	case b.codec > most || b.codec == codecZero:
		return fmt.Errorf("its codec %d is unknown", b.codec)
	case uint64(b.pack) >= uint64(len(m.packs)):
		return errors.New("it is in no pack")
	case b.length <= over || b.offset < uint32(packHeaderSize) ||
		uint64(b.offset)+uint64(b.length) > uint64(m.packs[b.pack].size):
		return errors.New("it is outside its pack")
	case (b.codec == codecRaw && b.length != plain+over) || (b.codec != codecRaw && b.length >= plain+over):
		return errors.New("its length does not fit")
	}
	return nil
}
