package volume

import (
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// compressor and decompressor are shared by all: their EncodeAll and DecodeAll
// keep nothing between calls, and their tables are large.
//
// The fastest level: compression is what writing a volume takes its time for,
// and slower levels gain a few per cent on pages of a database. No checksum: the
// tag and the hash of the block say more.
var compressor = sync.OnceValue(func() *zstd.Encoder {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)),
		zstd.WithWindowSize(BlockSize), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic("volume: zstd refuses constant options: " + err.Error())
	}
	return enc
})

// decompressor refuses what would grow beyond a block.
var decompressor = sync.OnceValue(func() *zstd.Decoder {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(runtime.GOMAXPROCS(0)),
		zstd.WithDecoderMaxMemory(BlockSize), zstd.WithDecoderMaxWindow(BlockSize))
	if err != nil {
		panic("volume: zstd refuses constant options: " + err.Error())
	}
	return dec
})
