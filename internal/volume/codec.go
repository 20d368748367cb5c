package volume

import (
	"encoding/binary"
	"errors"
)

// An encoder appends numbers, big-endian, and strings behind their lengths.
type encoder struct{ bytes []byte }

func (e *encoder) raw(p []byte) { e.bytes = append(e.bytes, p...) }
func (e *encoder) u8(v uint8)   { e.bytes = append(e.bytes, v) }
func (e *encoder) u16(v uint16) { e.bytes = binary.BigEndian.AppendUint16(e.bytes, v) }
func (e *encoder) u32(v uint32) { e.bytes = binary.BigEndian.AppendUint32(e.bytes, v) }
func (e *encoder) u64(v uint64) { e.bytes = binary.BigEndian.AppendUint64(e.bytes, v) }

// text appends s, of at most 65,535 bytes, behind its length.
func (e *encoder) text(s string) {
	e.u16(uint16(len(s)))
	e.bytes = append(e.bytes, s...)
}

var (
	errShort  = errors.New("it ends too early")
	errLength = errors.New("it is of another length than it should be")
)

// A decoder takes apart what an encoder made. After the first thing that does
// not fit it yields zeros and err says so; whoever loops asks err.
type decoder struct {
	rest []byte
	err  error
}

// raw returns the next n bytes, without copying.
func (d *decoder) raw(n int) []byte {
	if d.err != nil || n < 0 || n > len(d.rest) {
		d.fail(errShort)
		return nil
	}
	p := d.rest[:n:n]
	d.rest = d.rest[n:]
	return p
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

// fixed returns the next n bytes, or zeros if there are not so many.
func (d *decoder) fixed(n int) []byte {
	if p := d.raw(n); p != nil {
		return p
	}
	return make([]byte, n)
}

func (d *decoder) u8() uint8    { return d.fixed(1)[0] }
func (d *decoder) u16() uint16  { return binary.BigEndian.Uint16(d.fixed(2)) }
func (d *decoder) u32() uint32  { return binary.BigEndian.Uint32(d.fixed(4)) }
func (d *decoder) u64() uint64  { return binary.BigEndian.Uint64(d.fixed(8)) }
func (d *decoder) text() string { return string(d.raw(int(d.u16()))) }

// count reads the number of things that follow, each of at least size bytes,
// and refuses one that what is left cannot hold: nothing is allocated on the
// word of a damaged length.
func (d *decoder) count(size int) int {
	n := uint64(d.u32())
	if n*uint64(size) > uint64(len(d.rest)) {
		d.fail(errShort)
		return 0
	}
	return int(n)
}

// end is the error so far, or that something is left over.
func (d *decoder) end() error {
	if d.err == nil && len(d.rest) != 0 {
		d.fail(errors.New("it has bytes left over"))
	}
	return d.err
}
