package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"borealis/e2e/local"
)

// TestFullDisk fills the disk: work that needs room fails and says so, the
// server lives, and once there is room everything works.
func TestFullDisk(t *testing.T) {
	s := onSmallDisk(t, "400m")
	d := &disk{t: t, ann: root(t, s, accountA), filler: filepath.Join(s.Data(), "engines", "filler")}
	ctx := t.Context()
	d.ann.database("orders", firstPassword)
	d.sum = d.ann.fill("orders", firstPassword, 200_000)
	d.ann.must("take", d.ann.take(ctx, "nightly", "orders"))
	d.ann.available("snapshot", "nightly")
	key := d.ann.newKey()
	for _, c := range []struct {
		kind, name string
		do         func(name string) error
	}{
		{"snapshot", "taken", func(name string) error { return d.ann.take(ctx, name, "orders") }},
		{"snapshot", "copied", func(name string) error { return d.ann.copy(ctx, "nightly", name, key) }},
		{"cluster", "restored", func(name string) error { return d.ann.restore(ctx, "nightly", name, "") }},
	} {
		d.leave(3 << 20)
		d.ann.must("promise "+c.name, c.do(c.name))
		d.failed(c.kind, c.name)
		d.empty()
		if c.kind == "cluster" {
			d.ann.must("delete "+c.name, d.ann.deleteCluster(ctx, c.name, ""))
			d.ann.gone("cluster", c.name)
		}
		d.ann.must("try again", c.do(c.name+"-again"))
		d.ann.available(c.kind, c.name+"-again")
		(&killer{t: t, s: s}).clean("after a full disk: " + c.name)
	}
	d.nothingAtAll()
	if sum := d.ann.sum("orders", firstPassword); sum != d.sum {
		t.Errorf("orders has %s, not %s", sum, d.sum)
	}
}

// onSmallDisk starts a server whose data directory is a disk of its own.
func onSmallDisk(t *testing.T, size string, more ...string) *local.Server {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: only root can mount a small disk, so a full one is not tested")
	}
	s := &local.Server{Binary: binary, Dir: tempDir(t)}
	if err := os.Mkdir(s.Data(), 0o711); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", s.Data(), "tmpfs", 0, "size="+size+",mode=711"); err != nil {
		t.Skipf("SKIPPED: root may not mount here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(s.Data(), 0); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
		noneLeft(t, s)
		if t.Failed() {
			log, _ := os.ReadFile(s.LogFile())
			t.Logf("the server's log:\n%s", tail(log, 8000))
		}
	})
	start(t, s, more...)
	return s
}

// A disk is a small one, with a file to fill it.
type disk struct {
	t      *testing.T
	ann    *person
	filler string
	sum    string
}

// leave fills the disk but for some bytes.
func (d *disk) leave(room uint64) {
	d.t.Helper()
	var st syscall.Statfs_t
	d.ann.must("statfs", syscall.Statfs(d.ann.s.Data(), &st))
	f, err := os.OpenFile(d.filler, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	d.ann.must("open", err)
	defer f.Close()
	free := st.Bavail * uint64(st.Bsize)
	if free <= room {
		d.t.Fatalf("only %d bytes are free", free)
	}
	chunk := make([]byte, 1<<20)
	for left := free - room; left > 0; {
		n, err := f.Write(chunk[:min(left, uint64(len(chunk)))])
		if errors.Is(err, syscall.ENOSPC) {
			return
		}
		d.ann.must("fill", err)
		left -= uint64(n)
	}
}

// empty makes room, and waits for the database, which may have ended for want
// of it.
func (d *disk) empty() {
	d.t.Helper()
	d.ann.must("make room", os.Remove(d.filler))
	until(d.t, "the database to answer", func() string {
		if _, err := d.ann.sql("orders", firstPassword, "SELECT 'x'"); err != nil {
			return err.Error()
		}
		return ""
	})
}

// failed waits until something has failed, and wants the disk to be the reason.
// It looks into the database: while the audit log has no room, the server
// answers nothing.
func (d *disk) failed(kind, name string) {
	d.t.Helper()
	until(d.t, name+" to fail", func() string {
		switch status := query(d.t, d.ann.s, "SELECT json_extract(body, '$.Status') FROM "+kind+"s WHERE name = '"+name+"'"); status {
		case "failed":
			return ""
		case "available":
			d.t.Fatalf("%s fitted on a full disk", name)
			return ""
		default:
			return "it is " + status
		}
	})
	body := query(d.t, d.ann.s, "SELECT body FROM "+kind+"s WHERE name = '"+name+"'")
	// PostgreSQL itself ends when it has no room for its log.
	if !strings.Contains(body, "no space left on device") && !strings.Contains(body, "unexpected EOF") {
		d.t.Errorf("%s: another reason: %s", name, body)
	}
}

// nothingAtAll leaves not one byte: what cannot be put on record is not done.
func (d *disk) nothingAtAll() {
	d.t.Helper()
	d.leave(0)
	ctx := d.t.Context()
	until(d.t, "the server to refuse", func() string {
		if _, err := d.ann.kms().CreateKey(ctx, &kms.CreateKeyInput{}); err == nil {
			return "it makes keys"
		}
		return ""
	})
	d.empty()
	until(d.t, "the server to work again", func() string {
		if _, err := d.ann.kms().CreateKey(ctx, &kms.CreateKeyInput{}); err != nil {
			return err.Error()
		}
		return ""
	})
	d.ann.settled()
	_, err := d.ann.sql("orders", firstPassword, "CREATE TABLE more (i int)")
	d.ann.must("create a table", err)
}
