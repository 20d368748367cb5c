package postgres

import (
	"crypto/x509"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestParseVersion(t *testing.T) {
	for text, want := range map[string]Version{
		"postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n": {Full: "15.18", Major: 15},
		"postgres (PostgreSQL) 17.0":                             {Full: "17.0", Major: 17},
		"postgres (PostgreSQL) 19beta1":                          {Full: "19beta1", Major: 19},
		"postgres (PostgreSQL) 9.6.24":                           {Full: "9.6.24", Major: 9},
	} {
		if v, ok := parseVersion(text); !ok || v != want {
			t.Errorf("parseVersion(%q) = %+v, %v", text, v, ok)
		}
	}
	for _, text := range []string{"", "postgres", "mysqld 8.0", "(PostgreSQL) devel"} {
		if v, ok := parseVersion(text); ok {
			t.Errorf("parseVersion(%q) = %+v", text, v)
		}
	}
}

func TestCompareVersions(t *testing.T) {
	want := []string{"9.6.24", "12.1", "15", "15.2", "15.18", "17.0"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, compareVersions)
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// Which versions are there is found out from programs in directories.
func TestProbe(t *testing.T) {
	dir := t.TempDir()
	script := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var in installed
	if v, ok := in.probe(dir); ok {
		t.Errorf("an empty directory has %+v", v)
	}
	script("postgres", "echo 'postgres (PostgreSQL) 16.4'")
	if v, ok := in.probe(dir); ok {
		t.Errorf("without initdb: %+v", v)
	}
	script("initdb", "")
	for range 2 {
		if v, ok := in.probe(dir); !ok || v != (Version{"16.4", 16, dir}) {
			t.Errorf("probe: %+v, %v", v, ok)
		}
	}
	script("postgres", "echo 'postgres (PostgreSQL) 16.10'") // upgraded
	if v, ok := in.probe(dir); !ok || v.Full != "16.10" {
		t.Errorf("after an upgrade: %+v, %v", v, ok)
	}
	for _, text := range []string{"exit 1", "echo hello", "echo 'postgres (PostgreSQL) 9.6.24'"} {
		script("postgres", text)
		if v, ok := in.probe(dir); ok {
			t.Errorf("%s: %+v", text, v)
		}
	}
}

func TestSegmentsOf(t *testing.T) {
	const mb16 = 16 << 20
	label := func(lsn, file string) string {
		return "START WAL LOCATION: " + lsn + " (file " + file + ")\nCHECKPOINT LOCATION: 0/2000060\nBACKUP METHOD: streamed\n"
	}
	for _, c := range []struct {
		label, end string
		size       uint64
		want       []string
	}{
		{label("0/2000028", "000000010000000000000002"), "0/2000138", mb16, []string{"000000010000000000000002"}},
		{label("0/2000028", "000000010000000000000002"), "0/3000000", mb16, []string{"000000010000000000000002"}},
		{label("0/2000028", "000000010000000000000002"), "0/3000001", mb16, []string{"000000010000000000000002", "000000010000000000000003"}},
		{label("1/FF000028", "0000000A00000001000000FF"), "2/28", mb16, []string{"0000000A00000001000000FF", "0000000A0000000200000000"}},
		{label("0/40000028", "000000010000000000000001"), "0/40000138", 1 << 30, []string{"000000010000000000000001"}},
	} {
		got, err := segmentsOf(c.label, c.end, c.size)
		names := []string{}
		for n := range got {
			names = append(names, n)
		}
		slices.Sort(names)
		if d := cmp.Diff(c.want, names); d != "" || err != nil {
			t.Errorf("%v %s", err, d)
		}
	}
	for _, bad := range []string{"", "START WAL LOCATION: x", label("0/2", "2")} {
		if got, err := segmentsOf(bad, "0/3000000", mb16); err == nil {
			t.Errorf("segmentsOf(%q) = %v", bad, got)
		}
	}
	if got, err := segmentsOf(label("0/2000028", "000000010000000000000002"), "nowhere", mb16); err == nil {
		t.Errorf("an end nowhere gives %v", got)
	}
}

// The place of the checksum is found whatever the size of the structure, and
// any change of what it covers is seen.
func TestControlCRC(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.IntRange(32, 120).Draw(t, "words") * 4
		control := make([]byte, 8192)
		copy(control, rapid.SliceOfN(rapid.Byte(), at, at).Draw(t, "content"))
		binary.NativeEndian.PutUint32(control[at:], crc32.Checksum(control[:at], castagnoli))
		if got, err := controlCRC(control); err != nil || got > at {
			t.Fatalf("controlCRC = %d, %v, want %d", got, err, at)
		}
		control[rapid.IntRange(0, 127).Draw(t, "torn")] ^= 1
		if got, err := controlCRC(control); !errors.Is(err, errTorn) {
			t.Fatalf("controlCRC of a torn file = %d, %v", got, err)
		}
	})
}

func TestWithoutUnlogged(t *testing.T) {
	var files []File
	for _, name := range []string{
		"PG_VERSION", "base/5/1", "base/5/2", "base/5/2.1", "base/5/2_fsm", "base/5/2_init", "base/5/2_vm", "base/5/22", "base/6/2", "global/2",
	} {
		files = append(files, File{Name: name})
	}
	var got []string
	for _, f := range withoutUnlogged(files) {
		got = append(got, f.Name)
	}
	want := []string{"PG_VERSION", "base/5/1", "base/5/2_init", "base/5/22", "base/6/2", "global/2"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestSkip(t *testing.T) {
	for name, want := range map[string]bool{
		"postmaster.pid": true, "base/pgsql_tmp123": true, "base/5/pg_internal.init": true, "base/5/pg_internal.init.77": true,
		"base/5/t3_16385": true, "base/5/t3_16385_fsm.1": true, "global/pg_control": true, "postgresql.auto.conf": true,
		"PG_VERSION": false, "base/5/16385": false, "base/5/pg_filenode.map": false, "base/5/postmaster.pid": false, "pg_xact/0000": false,
	} {
		if skip(name) != want {
			t.Errorf("skip(%q) = %v", name, !want)
		}
	}
}

func TestNextSignal(t *testing.T) {
	for _, c := range []struct {
		elapsed time.Duration
		led     bool
		want    syscall.Signal
	}{
		{0, true, syscall.SIGINT},
		{0, false, syscall.SIGQUIT},
		{fastGrace, true, syscall.SIGQUIT},
		{fastGrace + immediateGrace, true, syscall.SIGKILL},
		{fastGrace + immediateGrace, false, syscall.SIGKILL},
	} {
		if s := nextSignal(c.elapsed, c.led); s != c.want {
			t.Errorf("after %v, led %v: %v, want %v", c.elapsed, c.led, s, c.want)
		}
	}
}

func TestLogIsKeptShort(t *testing.T) {
	l, err := openLog(filepath.Join(t.TempDir(), "postgres.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.file.Close()
	old := strings.Repeat("old line\n", maxLog/9+1)
	for _, text := range []string{"short\n", old} {
		if _, err := l.file.WriteString(text); err != nil {
			t.Fatal(err)
		}
		l.rotate()
	}
	if _, err := l.file.WriteString("new line\n"); err != nil {
		t.Fatal(err)
	}
	now, err1 := os.ReadFile(l.file.Name())
	before, err2 := os.ReadFile(l.file.Name() + ".1")
	if err := errors.Join(err1, err2); err != nil || string(now) != "new line\n" || len(before) != maxLog {
		t.Errorf("%v, %d bytes now, %d before", err, len(now), len(before))
	}
}

func TestCertificates(t *testing.T) {
	dir := t.TempDir()
	open := func(host string) (*certificates, *x509.Certificate, *x509.Certificate) {
		t.Helper()
		c := newCertificates(dir)
		if err := c.make(host, account{}); err != nil {
			t.Fatal(err)
		}
		ca, err1 := readCertificate(c.caFile)
		cert, err2 := readCertificate(c.certFile)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AddCert(ca)
		for _, name := range []string{host, "localhost", "127.0.0.1"} {
			if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
				t.Errorf("certificate for %s: %v", name, err)
			}
		}
		return c, ca, cert
	}
	_, ca1, cert1 := open("127.0.0.1")
	_, ca2, cert2 := open("127.0.0.1")
	c, ca3, cert3 := open("db.example.org")
	if !ca1.Equal(ca2) || !ca1.Equal(ca3) || !cert1.Equal(cert2) || cert1.Equal(cert3) {
		t.Error("what is good is made again, or what is not is kept")
	}
	for _, key := range []string{c.keyFile, filepath.Join(dir, "ca.key")} {
		if fi, err := os.Stat(key); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", key, fi.Mode(), err)
		}
	}
	if err := os.WriteFile(c.certFile, []byte("half"), 0o644); err != nil {
		t.Fatal(err)
	}
	open("db.example.org")
	if err := os.Remove(c.caFile); err != nil { // a crash between key and certificate
		t.Fatal(err)
	}
	open("db.example.org")
}

func TestErrorsSayWhatToDo(t *testing.T) {
	for err, want := range map[error]string{
		&NotInstalledError{}:                "apt-get install postgresql",
		&NotInstalledError{Version: "16.2"}: "apt-get install postgresql-16",
		&NotInstalledError{Version: "16.2", Found: []string{"15.1", "14", "13.2"}}: "has 15.1, 14 and 13.2",
		&PortTakenError{"127.0.0.1", 5432}:                                         "port 5432 of 127.0.0.1",
		&UnreachableError{"/root", "postgres"}:                                     "chmod o+x /root",
		&TablespaceError{"attic"}:                                                  `"attic"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

// Examples of RFC 4013, section 3, and where PostgreSQL takes the password as it is.
func TestNormalize(t *testing.T) {
	for in, want := range map[string]string{
		"I\u00adX": "IX", "user": "user", "USER": "USER", "\u00aa": "a", "\u2168": "IX",
		"\u0007": "\u0007", "\u0627\u0031": "\u0627\u0031", "\u0627": "\u0627", "a\u00a0b": "a b", "\u00ad": "\u00ad", "\xff": "\xff",
	} {
		if got := normalize(in); got != want {
			t.Errorf("normalize(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzQuotes(f *testing.F) {
	f.Add("a'b\\c\"d")
	f.Fuzz(func(t *testing.T, s string) {
		q := confQuote(s)
		if !strings.HasPrefix(q, "'") || !strings.HasSuffix(q, "'") {
			t.Fatalf("confQuote(%q) = %q", s, q)
		}
		// Read as PostgreSQL does: a doubled quote, or one after a backslash, is
		// not the end.
		if back := strings.NewReplacer(`\\`, `\`, "''", "'").Replace(q[1 : len(q)-1]); back != s {
			t.Fatalf("confQuote(%q) = %q, which is %q", s, q, back)
		}
	})
}
