package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A faulty file has room for so many bytes more, and may fail to sync.
type faulty struct {
	*os.File
	room    int
	syncErr error
}

func (f *faulty) Write(b []byte) (int, error) {
	n := min(len(b), f.room)
	f.room -= n
	n, err := f.File.Write(b[:n])
	if err == nil && n < len(b) {
		err = syscall.ENOSPC
	}
	return n, err
}

func (f *faulty) Sync() error { return f.syncErr }

// openFaulty is a Log without its goroutine's timing: the test flushes.
func openFaulty(t *testing.T, room int) (*Log, *faulty, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	l.mu.Lock()
	defer l.mu.Unlock()
	f := &faulty{File: l.file.(*os.File), room: room}
	l.file = f
	return l, f, path
}

func TestFullDisk(t *testing.T) {
	for room := 0; room < 400; room += 3 { // places all over the first two lines
		l, f, path := openFaulty(t, room)
		accepted := 0
		for ; accepted < 3; accepted++ {
			if err := l.Record(Event{Action: fmt.Sprintf("kms:Op%d", accepted)}); err != nil {
				t.Fatal(err) // nothing is known of the disk yet
			}
		}
		if err := l.Flush(); (err == nil) != (f.room > 0) {
			t.Fatalf("room %d: Flush: %v", room, err)
		}
		if f.room > 0 {
			break
		}
		for range 3 {
			if err := l.Record(Event{Action: "kms:Refused"}); !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("room %d: Record on a full disk: %v", room, err)
			}
		}
		l.mu.Lock()
		f.room = 1 << 20 // somebody makes room
		l.mu.Unlock()
		if err := errors.Join(l.Record(Event{Action: "kms:Op3"}), l.Close()); err != nil {
			t.Fatalf("room %d: afterwards: %v", room, err)
		}
		var got []string
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			var r Entry
			if json.Unmarshal([]byte(line), &r) == nil {
				got = append(got, r.Name)
			}
		}
		if s := strings.Join(got, " "); s != "Op0 Op1 Op2 Op3" {
			t.Fatalf("room %d: the log holds %q:\n%s", room, s, b)
		}
	}
}

func TestFullDiskDoesNotFillMemory(t *testing.T) {
	l, _, _ := openFaulty(t, 0)
	refused := 0
	for range 5_000 {
		if l.Record(Event{Action: "kms:Decrypt", Reason: strings.Repeat("x", 100)}) != nil {
			refused++
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if refused == 0 || len(l.pending) > maxPending {
		t.Errorf("%d refused, %d bytes pending", refused, len(l.pending))
	}
}

func TestFailedSyncIsReported(t *testing.T) {
	l, f, _ := openFaulty(t, 1<<20)
	f.syncErr = syscall.EIO
	if err := errors.Join(l.Record(Event{Action: "kms:Decrypt"})); err != nil {
		t.Fatal(err)
	}
	if err := l.Flush(); !errors.Is(err, syscall.EIO) {
		t.Errorf("Flush: %v", err)
	}
	if err := l.Record(Event{Action: "kms:Decrypt"}); !errors.Is(err, syscall.EIO) {
		t.Errorf("Record: %v", err)
	}
	l.mu.Lock()
	f.syncErr = nil
	l.mu.Unlock()
	if err := errors.Join(l.Record(Event{Action: "kms:Decrypt"}), l.Flush()); err != nil {
		t.Errorf("after the disk came back: %v", err)
	}
}

// A rotation that cannot make the new file loses neither the old ones nor what
// is pending, however often it is tried.
func TestRotationThatFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	path := filepath.Join(dir, "audit.jsonl")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := Open(path, Rotate(1, 2))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	step := func(name string) error { return errors.Join(l.Record(Event{Action: "kms:" + name}), l.Flush()) }
	if err := errors.Join(step("A"), step("B")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if err := step("C"); err == nil {
			t.Fatal("rotated into a directory that is not there")
		}
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{".2": "A", ".1": "B", "": "C"} {
		b, err := os.ReadFile(path + name)
		if err != nil || strings.Count(string(b), "\n") != 1 || !strings.Contains(string(b), `"eventName":"`+want+`"`) {
			t.Errorf("%s: %s, %v", name, b, err)
		}
	}
}
