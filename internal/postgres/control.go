package postgres

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"time"
)

// What this file knows of PostgreSQL's binary formats, the same in every
// version that engines run on: pg_control begins with the system identifier and
// ends with 32 bytes of nonce and a CRC-32C; the first page of a WAL segment
// has the identifier at longHeaderID when its header is a long one.
const (
	longHeaderID   = 24
	longHeaderFlag = 0x0002 // in the 16 bits at offset 2
	nonceSize      = 32
)

// errTorn says that pg_control was read while the server wrote it.
var errTorn = errors.New("pg_control is not whole")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func controlFile(data string) string { return filepath.Join(data, "global", "pg_control") }

// controlCRC is where the checksum in pg_control is. The structure before it
// grows from version to version, so the place is the one where it is right.
func controlCRC(control []byte) (int, error) {
	for at := 128; at+4 <= min(len(control), 512); at += 4 {
		if binary.NativeEndian.Uint32(control[at:]) == crc32.Checksum(control[:at], castagnoli) {
			return at, nil
		}
	}
	return 0, errTorn
}

// readControl reads pg_control of a server that may be running, and writing it:
// the file is read again until its checksum is right.
func readControl(ctx context.Context, data string) ([]byte, error) {
	for attempt := 0; ; attempt++ {
		control, err := os.ReadFile(controlFile(data))
		if err != nil {
			return nil, err
		}
		if _, err = controlCRC(control); err == nil {
			return control, nil
		}
		if attempt == 100 {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(time.Millisecond):
		}
	}
}

// newIdentity gives the fresh copy of a template in data a system identifier
// and a nonce of its own, as initdb would: engines that share them could be
// taken for each other's replicas, and would betray which users they lack.
func newIdentity(data string) error {
	control, err := os.ReadFile(controlFile(data))
	if err != nil {
		return err
	}
	crc, err := controlCRC(control)
	if err != nil {
		return err
	}
	now := time.Now()
	var random [8]byte
	rand.Read(random[:])
	id := uint64(now.Unix())<<32 | uint64(now.Nanosecond()/1000)<<12 | binary.NativeEndian.Uint64(random[:])&0xFFF
	old := binary.NativeEndian.Uint64(control)
	binary.NativeEndian.PutUint64(control, id)
	rand.Read(control[crc-nonceSize : crc])
	binary.NativeEndian.PutUint32(control[crc:], crc32.Checksum(control[:crc], castagnoli))
	segments, err := filepath.Glob(filepath.Join(data, "pg_wal", "????????????????????????"))
	if err != nil {
		return err
	}
	for _, s := range segments {
		if err := relabelSegment(s, old, id); err != nil {
			return err
		}
	}
	return overwrite(controlFile(data), control, 0)
}

// relabelSegment changes the system identifier in a WAL segment.
func relabelSegment(path string, old, id uint64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	header := make([]byte, longHeaderID+8)
	_, err = f.ReadAt(header, 0)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if bytes.Equal(header, zeros[:len(header)]) {
		return nil // not used yet
	}
	if binary.NativeEndian.Uint16(header[2:])&longHeaderFlag == 0 || binary.NativeEndian.Uint64(header[longHeaderID:]) != old {
		return fmt.Errorf("%s does not begin as a WAL segment does", path)
	}
	return overwrite(path, binary.NativeEndian.AppendUint64(nil, id), longHeaderID)
}

// overwrite puts b, durably, at offset at of the file, which stays what it is
// otherwise.
func overwrite(path string, b []byte, at int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, at)
	return errors.Join(err, f.Sync(), f.Close())
}

// A control is what pg_control tells of a data directory.
type control struct {
	systemID  uint64
	clean     bool   // the server was shut down in good order, or never ran
	redo      uint64 // where recovery would begin, in WAL
	timeline  uint32
	pageSize  uint32
	segment   uint32 // bytes of a WAL segment
	checksums bool
	// recovering says that the end of the backup that the files were restored
	// from has not been reached yet.
	recovering bool
}

// Places in pg_control that have not moved since version 11, and what marks
// the place of those that have: a constant that tells how numbers are stored.
const (
	stateAt, stateClean = 16, 1
	redoAt, timelineAt  = 40, 48
	floatFormat         = 1234567.0
	backupStartBefore   = 56
)

func parseControl(raw []byte) (control, error) {
	crc, err := controlCRC(raw)
	if err != nil {
		return control{}, err
	}
	u32, u64 := binary.NativeEndian.Uint32, binary.NativeEndian.Uint64
	mark := timelineAt + 8
	for ; math.Float64frombits(u64(raw[mark:])) != floatFormat; mark += 8 {
		if mark+56 > crc {
			return control{}, errors.New("pg_control has an unknown layout")
		}
	}
	return control{
		systemID: u64(raw), clean: u32(raw[stateAt:]) == stateClean,
		redo: u64(raw[redoAt:]), timeline: u32(raw[timelineAt:]),
		pageSize: u32(raw[mark+8:]), segment: u32(raw[mark+20:]), checksums: u32(raw[mark+44:]) != 0,
		recovering: u64(raw[mark-backupStartBefore:]) != 0,
	}, nil
}

// segmentName is the name of the WAL segment that a location is in.
func (c control) segmentName(lsn uint64) string {
	return walSegment(c.timeline, lsn, uint64(c.segment))
}

// walSegment names the segment that a location of a timeline is in.
func walSegment(timeline uint32, lsn, size uint64) string {
	n, perID := lsn/size, uint64(1<<32)/size
	return fmt.Sprintf("%08X%08X%08X", timeline, n/perID, n%perID)
}
