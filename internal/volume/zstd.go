package volume

import (
	"math"
	"runtime"
	"sync"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// compressor and decompressor are shared by all: their EncodeAll and DecodeAll
// keep nothing between calls, and their tables are large.
//
// The fastest level: slower levels gain a few per cent on pages of a database. No
// checksum: the tag and the hash of the block say more. Literals are entropy coded
// where nothing repeats too: what would not gain by it does not come here.
var compressor = sync.OnceValue(func() *zstd.Encoder {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)),
		zstd.WithWindowSize(BlockSize), zstd.WithEncoderCRC(false), zstd.WithAllLitEntropyCompression(true), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic("volume: zstd refuses constant options: " + err.Error())
	}
	return enc
})

// decompressor refuses what would grow beyond a block of version 1.
var decompressor = sync.OnceValue(func() *zstd.Decoder {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(runtime.GOMAXPROCS(0)),
		zstd.WithDecoderMaxMemory(blockSizeV1), zstd.WithDecoderMaxWindow(blockSizeV1))
	if err != nil {
		panic("volume: zstd refuses constant options: " + err.Error())
	}
	return dec
})

// compress returns the body of a chunk and its codec. S2 comes first: it is four
// times as fast as Zstandard, tells at no cost what does not compress, and what
// it leaves of the pages of a database is so much less that Zstandard behind it
// takes half the time that it takes alone, and gains a little more. Where S2 finds nothing that
// repeats, Zstandard is tried only if some byte values are more frequent than
// others. Pages of a group are few, and their neighbours are not among them: S2
// looks harder there. body is plain or lies in s.
func (s *scratch) compress(plain []byte, group bool) (body []byte, codec uint8) {
	worth := len(plain) - len(plain)/64 // less is not worth a decompressor's time
	if n := s2.MaxEncodedLen(len(plain)); cap(s.s2) < n {
		s.s2 = make([]byte, n)
	}
	encode := s2.Encode
	if group {
		encode = s2.EncodeBetter
	}
	first := encode(s.s2[:cap(s.s2)], plain)
	if len(first) < len(plain)-len(plain)/8 {
		s.body = compressor().EncodeAll(first, s.body[:0])
		if len(s.body) < worth {
			return s.body, codecS2Zstd
		}
	} else if entropy(plain) < 7.7 {
		s.body = compressor().EncodeAll(plain, s.body[:0])
		if len(s.body) < worth {
			return s.body, codecZstd
		}
	}
	return plain, codecRaw
}

// entropy is the bits that a byte of p takes when each value has a code as long
// as its frequency deserves, estimated from a sample across p.
func entropy(p []byte) float64 {
	const samples = 4096
	var count [256]int
	n := 0
	for i := 0; i < len(p); i += max(1, len(p)/samples) {
		count[p[i]]++
		n++
	}
	bits := 0.0
	for _, c := range count {
		if c > 0 {
			bits -= float64(c) * math.Log2(float64(c)/float64(n))
		}
	}
	return bits / float64(max(n, 1))
}

// decompress appends the plaintext of body, or says why there is none. It does
// not grow beyond size.
func (s *scratch) decompress(dst, body []byte, codec uint8, size int) ([]byte, error) {
	switch codec {
	case codecZstd:
		return decompressor().DecodeAll(body, dst)
	case codecS2Zstd:
		var err error
		if s.s2, err = decompressor().DecodeAll(body, s.s2[:0]); err != nil {
			return nil, err
		}
		n, err := s2.DecodedLen(s.s2)
		if err != nil || n != size {
			return nil, errLength
		}
		if cap(dst)-len(dst) < n {
			dst = append(make([]byte, 0, len(dst)+n), dst...)
		}
		out, err := s2.Decode(dst[len(dst):len(dst)+n], s.s2)
		return dst[:len(dst)+len(out)], err
	}
	return append(dst, body...), nil
}
