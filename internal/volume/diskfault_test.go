package volume_test

import (
	"errors"
	"slices"
	"syscall"
	"testing"
	"time"

	"borealis/internal/durable/durabletest"
	"borealis/internal/volume"
	"borealis/internal/volume/disk"
	"borealis/internal/volume/volumetest"
)

// On disk a call is one that changes something in the file system: there are
// seven of them in every Put.
type onFiles struct{ fs *durabletest.FS }

func (s onFiles) open(t *testing.T) volume.Backend {
	d, err := disk.OpenOn(s.fs, "/volumes")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (s onFiles) strike(f volumetest.Fault) { s.fs.Break(durabletest.Fault(f)) }
func (s onFiles) clone() stage              { return onFiles{s.fs.Clone()} }

func newDisk(t *testing.T) onFiles {
	t.Helper()
	fs := durabletest.New()
	if err := fs.Mkdir("/volumes", 0o700); err != nil {
		t.Fatal(err)
	}
	root, err := fs.Open("/")
	if err == nil {
		err = root.Sync()
	}
	if err != nil {
		t.Fatal(err)
	}
	return onFiles{fs}
}

// refuse is err for the given calls, or all; the others go their way.
func refuse(err error, calls ...string) volumetest.Fault {
	return func(call, _ string) (bool, error) {
		if len(calls) == 0 || slices.Contains(calls, call) {
			return false, err
		}
		return true, nil
	}
}

// done is err for a call that takes effect.
func done(err error) volumetest.Fault {
	return func(string, string) (bool, error) { return true, err }
}

// cut is a power cut, after which another process starts. What was answered with
// success is there.
func cut(c durabletest.Cut) func(*disasterWorld) {
	return func(w *disasterWorld) {
		w.s.(onFiles).fs.Cut(c)
		w.restart()
	}
}

// needRoom are the calls that fail on a full disk, and changing those on one that
// cannot be written.
var (
	needRoom = []string{"create", "write", "mkdir", "rename"}
	changing = []string{"create", "write", "chmod", "mkdir", "rename", "remove"}
)

var diskDisasters = []disaster{
	{"no room", refuse(syscall.ENOSPC, needRoom...), nil, survived},
	{"no room any more", refuse(syscall.ENOSPC, needRoom...), refuse(syscall.ENOSPC, needRoom...), survived},
	{"read-only from then on", refuse(syscall.EROFS, changing...), refuse(syscall.EROFS, changing...), survived},
	{"broken", refuse(syscall.EIO), nil, survived},
	{"broken, and the power cut", refuse(syscall.EIO), nil, cut(durabletest.Nothing)},
	{"done, and said to be broken", done(syscall.EIO), nil, cut(durabletest.Nothing)},
	{"no sync succeeds any more", refuse(syscall.EIO, "sync", "syncdir"), refuse(syscall.EIO, "sync", "syncdir"), cut(durabletest.Names)},
	{"killed", refuse(syscall.EIO), refuse(syscall.EIO), killed},
	{"power cut, nothing stays", refuse(syscall.EIO), refuse(syscall.EIO), cut(durabletest.Nothing)},
	{"power cut, names stay", refuse(syscall.EIO), refuse(syscall.EIO), cut(durabletest.Names)},
	{"power cut, some stays", refuse(syscall.EIO), refuse(syscall.EIO), cut(durabletest.Some)},
}

// strikes is at how many calls of an operation each disaster is tried: all, if
// it has no more, or so many that are evenly apart, others for each disaster.
const strikes = 5

// Every change of every operation to the file system meets every disaster. What
// holds of TestDisasters holds here; and also after another power cut, which shows
// what had only seemed to be on the disk.
func TestDiskDisasters(t *testing.T) {
	for _, op := range operations {
		w := newDisasterWorld(t, newDisk(t))
		if op.first != nil {
			op.first(w)
		}
		w.s.(onFiles).fs.Cut(durabletest.Nothing)
		w.restart()
		w.verify("before " + op.name)
		op.run = thenCut(op.run)
		for i, d := range diskDisasters {
			t.Run(op.name+"/"+d.name, func(t *testing.T) {
				t.Parallel()
				calls := strikeOnce(w.clone(t), op, d, 1<<40)
				if calls < 3 {
					t.Errorf("only %d calls", calls)
				}
				stride := max(1, calls/strikes)
				for n := 1 + int64(i)%stride; n <= calls; n += stride {
					again := w.clone(t)
					strikeOnce(again, op, d, n)
					if left := again.s.(onFiles).fs.Temps(); len(left) != 0 {
						t.Errorf("call %d: half-written files are left: %v", n, left)
					}
				}
			})
		}
	}
}

// thenCut is run, and when it has succeeded a power cut: what it said is true.
func thenCut(run func(*disasterWorld) error) func(*disasterWorld) error {
	return func(w *disasterWorld) error {
		err := run(w)
		if err == nil {
			w.s.strike(nil)
			cut(durabletest.Nothing)(w)
		}
		return err
	}
}

// A slow disk makes all of it slow, and nothing else.
func TestSlowDisk(t *testing.T) {
	w := newDisasterWorld(t, newDisk(t))
	slow := func(string, string) (bool, error) {
		time.Sleep(time.Millisecond)
		return true, nil
	}
	w.s.strike(slow)
	if err := errors.Join(w.write("new", 106), w.e.Delete(t.Context(), "a1"), w.e.Collect(t.Context())); err != nil {
		t.Error(err)
	}
	delete(w.refs, "a1")
	w.s.strike(nil)
	w.noGarbage("slow")
}
