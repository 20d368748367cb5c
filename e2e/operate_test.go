package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"borealis/e2e/local"
)

// state is what there is below dir, of all but locks.
func state(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() == "LOCK" || d.Name() == "serve.log" {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		found[path] = info.Mode().String()
		if info.Mode().IsRegular() {
			text, err := os.ReadFile(path)
			found[path] += fmt.Sprintf(" %x", sha256.Sum256(text))
			return err
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return found
}

// serve runs borealis serve to its end, which is to come by itself, and returns
// its exit status and what it said.
func serve(t *testing.T, s *local.Server, args ...string) (status int, said string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, append([]string{"serve", "--data", s.Data(), "--root-key", s.RootKey(), "--listen", "127.0.0.1:0", "--postgres-bin", s.Dir}, args...)...)
	cmd.Env = s.Env()
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), string(out)
	}
	t.Fatalf("borealis serve: %v: %s", err, out)
	return 0, ""
}

// used makes a data directory that has been used, and is not in use any more.
func used(t *testing.T) *local.Server {
	t.Helper()
	s := &local.Server{Binary: binary, Dir: tempDir(t)}
	start(t, s, "--postgres-bin", s.Dir)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	return s
}

// Every refusal is one sentence that names what is at fault and what to do, and
// leaves everything as it was.
func TestRefusesToStart(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(*testing.T, *local.Server) (args []string)
		says    []string // DATA and KEY stand for the paths
	}{
		{"not initialized", func(t *testing.T, s *local.Server) []string {
			s.Dir = tempDir(t)
			return nil
		}, []string{"DATA", "does not exist", "--init"}},
		{"locked", func(t *testing.T, s *local.Server) []string {
			start(t, s, "--postgres-bin", s.Dir)
			t.Cleanup(func() {
				if err := s.Stop(); err != nil {
					t.Error(err)
				}
			})
			return nil
		}, []string{"DATA", "in use by another process"}},
		{"not writable", notWritable, []string{"DATA", "is not writable"}},
		{"a file", func(t *testing.T, s *local.Server) []string {
			file := filepath.Join(t.TempDir(), "file")
			put(t, file, "")
			return []string{"--data", file}
		}, []string{"file", "not a directory"}},
		{"newer format", func(t *testing.T, s *local.Server) []string {
			put(t, s.Data()+"/FORMAT", "borealis data 99\n")
			return nil
		}, []string{"DATA", "borealis data 99", "use the version that wrote it"}},
		{"newer schema", func(t *testing.T, s *local.Server) []string {
			db, err := sql.Open("sqlite", filepath.Join(s.Data(), "borealis.db"))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, err := db.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)"); err != nil {
				t.Fatal(err)
			}
			return nil
		}, []string{"DATA", "newer version of borealis", "9999"}},
		{"root key missing", func(t *testing.T, s *local.Server) []string {
			return []string{"--root-key", filepath.Join(s.Dir, "nowhere")}
		}, []string{"nowhere", "--root-key"}},
		{"root key of another", func(t *testing.T, s *local.Server) []string {
			return []string{"--root-key", used(t).RootKey()}
		}, []string{"root key", "sealed under", "--root-key"}},
		{"root key open to others", func(t *testing.T, s *local.Server) []string {
			if err := os.Chmod(s.RootKey(), 0o644); err != nil {
				t.Fatal(err)
			}
			return nil
		}, []string{"KEY", "chmod 600"}},
		{"root key inside", func(t *testing.T, s *local.Server) []string {
			return []string{"--root-key", s.Data() + "/root.key"}
		}, []string{"DATA/root.key", "keep it elsewhere"}},
		{"another program's", func(t *testing.T, s *local.Server) []string {
			dir := t.TempDir()
			put(t, dir+"/index.html", "")
			return []string{"--data", dir, "--init"}
		}, []string{"index.html", "--data"}},
		{"port taken", func(t *testing.T, s *local.Server) []string {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			return []string{"--listen", l.Addr().String()}
		}, []string{"is taken by another program", "--listen"}},
		{"bootstrap file", func(t *testing.T, s *local.Server) []string {
			put(t, s.Dir+"/accounts.json", `{"accounts": [{"id": "12"}]}`)
			return []string{"--bootstrap", s.Dir + "/accounts.json"}
		}, []string{"accounts.json", "account 1", "access_key_id"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := used(t)
			args := c.prepare(t, s)
			before := state(t, s.Dir)
			status, said := serve(t, s, args...)
			if status != 1 || strings.Count(said, "\n") != 1 || !strings.HasPrefix(said, "borealis: ") {
				t.Errorf("exit status %d, and not one sentence: %s", status, said)
			}
			for _, w := range c.says {
				w = strings.NewReplacer("DATA", s.Data(), "KEY", s.RootKey()).Replace(w)
				if !strings.Contains(said, w) {
					t.Errorf("%q does not say %q", said, w)
				}
			}
			if d := cmp.Diff(before, state(t, s.Dir)); d != "" {
				t.Errorf("something has changed:\n%s", d)
			}
		})
	}
}

// put writes a file.
func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// notWritable makes the data directory one that can be read and not written:
// by its mode, or, for root, by mounting it so.
func notWritable(t *testing.T, s *local.Server) []string {
	if os.Getuid() != 0 {
		for _, path := range []string{s.Data() + "/LOCK", s.Data()} {
			if err := os.Chmod(path, 0o500); err != nil {
				t.Fatal(err)
			}
		}
		t.Cleanup(func() { os.Chmod(s.Data(), 0o700) })
		return nil
	}
	if err := syscall.Mount(s.Data(), s.Data(), "", syscall.MS_BIND, ""); err != nil {
		t.Skipf("SKIPPED: root may not mount here: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(s.Data(), 0) })
	if err := syscall.Mount("", s.Data(), "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Skipf("SKIPPED: root may not mount here: %v", err)
	}
	return nil
}

// Without PostgreSQL the server serves, and says what to install to whoever
// wants a cluster. When it is installed, no restart is needed.
func TestNoPostgreSQL(t *testing.T) {
	dir := t.TempDir()
	s := newServer(t, "--postgres-bin", dir)
	ann := root(t, s, accountA)
	if _, err := ann.kms().CreateKey(t.Context(), nil); err != nil {
		t.Error(err)
	}
	err := ann.createCluster(t.Context(), "orders", firstPassword)
	if err == nil || !strings.Contains(err.Error(), "there is no PostgreSQL server in "+dir+": install one (apt-get install postgresql") {
		t.Errorf("create cluster: %v", err)
	}
	if all := ann.settled(); len(all) != 0 {
		t.Errorf("there is %v", all)
	}
	real, err := exec.Command("pg_config", "--bindir").Output()
	if err != nil {
		t.Skipf("SKIPPED: pg_config: %v", err)
	}
	for _, program := range []string{"postgres", "initdb"} {
		// A script, for PostgreSQL finds its other files by where it is.
		script := fmt.Sprintf("#!/bin/sh\nexec %s/%s \"$@\"\n", bytes.TrimSpace(real), program)
		if err := errors.Join(os.WriteFile(filepath.Join(dir, program), []byte(script), 0o755), os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	ann.must("create cluster after the installation", ann.createCluster(t.Context(), "orders", firstPassword))
	ann.available("cluster", "orders")
}

// What is true of a cluster is true of it after the server was stopped and
// started, and after it was killed; nothing of it is open to the wrong people.
func TestEnginesAfterRestart(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077)) // which the server inherits, and PostgreSQL's user must not suffer from
	s := newServer(t)
	ann := root(t, s, accountA)
	ann.database("orders", firstPassword)
	sum := ann.fill("orders", firstPassword, 5000)
	ann.must("set password", ann.setPassword(t.Context(), "orders", secondPassword))
	ann.available("cluster", "orders")
	at := ann.url("orders", "", "")
	for _, end := range []func(){func() { ann.must("stop", s.Stop()) }, s.Kill, func() { killPostgres(t, s) }} {
		end()
		if !s.Running() {
			noneLeft(t, s)
			start(t, s)
		}
		ann.available("instance", "orders-1")
		until(t, "the database to answer", func() string {
			if _, err := ann.sql("orders", secondPassword, "SELECT 'x'"); err != nil {
				return err.Error()
			}
			return ""
		})
		if again := ann.url("orders", "", ""); again != at {
			t.Errorf("it is at %s, not at %s", again, at)
		}
		if again := ann.sum("orders", secondPassword); again != sum {
			t.Errorf("it has %s, not %s", again, sum)
		}
		ann.guarded("orders", secondPassword)
	}
}

// killPostgres kills the PostgreSQL server of the only cluster.
func killPostgres(t *testing.T, s *local.Server) {
	t.Helper()
	for _, p := range processes(s.Data()) {
		if dataDirectory.MatchString(p) {
			pid, _, _ := strings.Cut(p, " ")
			n, err := strconv.Atoi(pid)
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(n, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatal("no PostgreSQL server runs")
}

// otherCA is the CA certificate of another server's databases.
func otherCA(t *testing.T) string {
	t.Helper()
	s := &local.Server{Binary: binary, Dir: tempDir(t)}
	start(t, s)
	until(t, "a CA", func() string {
		if _, err := os.Stat(s.CAFile()); err != nil {
			return err.Error()
		}
		return ""
	})
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	return s.CAFile()
}

// guarded wants a cluster to be open to its user, with the password, over TLS
// that its CA vouches for, and to nobody else.
func (p *person) guarded(cluster, password string) {
	p.t.Helper()
	ctx := p.t.Context()
	ca := "sslmode=verify-ca&sslrootcert=" + p.s.CAFile()
	connect := func(what, url string, want string) {
		p.t.Helper()
		c, err := pgx.Connect(ctx, url)
		if err == nil {
			defer c.Close(ctx)
		}
		switch {
		case err == nil && want != "":
			p.t.Errorf("%s: it connects", what)
		case err != nil && (want == "" || !strings.Contains(err.Error(), want)):
			p.t.Errorf("%s: %v", what, err)
		}
	}
	as := func(user, database string) string {
		u := strings.Replace(p.url(cluster, password, "sslmode=require"), "keeper", user, 1)
		return strings.Replace(u, "/shop?", "/"+database+"?", 1)
	}
	connect("verify-ca", p.url(cluster, password, ca), "")
	connect("verify-full", p.url(cluster, password, strings.Replace(ca, "verify-ca", "verify-full", 1)), "")
	connect("another's CA", p.url(cluster, password, "sslmode=verify-ca&sslrootcert="+otherCA(p.t)), "certificate")
	connect("the old password", p.url(cluster, firstPassword, ca), "password authentication failed")
	connect("no password", p.url(cluster, "", ca), "password")
	connect("rdsadmin", as("rdsadmin", "postgres"), "pg_hba.conf rejects")
	connect("rdsadmin's database", as("keeper", "rdsadmin"), "pg_hba.conf rejects")
	connect("the operating system's user", as("postgres", "shop"), "password authentication failed")
	c, err := pgx.Connect(ctx, p.url(cluster, password, ca))
	p.must("connect", err)
	defer c.Close(ctx)
	for query, want := range map[string]string{
		"SHOW password_encryption": "scram-sha-256",
		"SELECT rolsuper::text FROM pg_roles WHERE rolname = current_user":                                                "false",
		"SELECT count(*)::text FROM pg_hba_file_rules WHERE auth_method NOT IN ('scram-sha-256', 'reject', 'peer')":       "",
		"SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND version IN ('TLSv1.2', 'TLSv1.3') AND bits > 0": "TLSv1.3",
	} {
		var got string
		if err := c.QueryRow(ctx, query).Scan(&got); want != "" && (err != nil || got != want) {
			p.t.Errorf("%s: %q, %v; want %q", query, got, err, want)
		}
	}
}

// Told to stop in the middle of a copy, the server does so at once, and the next
// one ends the copy.
func TestStopInTheMiddleOfACopy(t *testing.T) {
	s := newServer(t)
	ann := root(t, s, accountA)
	ann.database("orders", firstPassword)
	sum := ann.fill("orders", firstPassword, 200_000)
	ann.must("take", ann.take(t.Context(), "nightly", "orders"))
	ann.available("snapshot", "nightly")
	key := ann.newKey()
	ann.must("copy", ann.copy(t.Context(), "nightly", "copy", key))
	ann.must("copy", ann.copy(t.Context(), "nightly", "another", key))
	began := time.Now()
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	if d := time.Since(began); d > 10*time.Second {
		t.Errorf("it took %s to stop", d)
	}
	noneLeft(t, s)
	if query(t, s, "SELECT count(*) FROM operations") == "0" {
		t.Error("the copies had ended already")
	}
	start(t, s)
	ann.available("snapshot", "copy")
	ann.available("snapshot", "another")
	ann.must("restore", ann.restore(t.Context(), "another", "again", ""))
	ann.must("instance", ann.createInstance(t.Context(), "again"))
	ann.available("instance", "again-1")
	if again := ann.sum("again", firstPassword); again != sum {
		t.Errorf("it has %s, not %s", again, sum)
	}
}

var accountLine = regexp.MustCompile(`(?m)^access key id      (AKIA[A-Z0-9]{16})$`)

// The operator's commands do the same with a running server as without one.
func TestAccounts(t *testing.T) {
	s := used(t)
	ctx := t.Context()
	flags := []string{"--data", s.Data(), "--root-key", s.RootKey()}
	account := func(words ...string) (string, error) {
		return s.Run(ctx, nil, append([]string{"account"}, append(words, flags...)...)...)
	}
	for _, running := range []bool{false, true} {
		id := accountA
		if running {
			id = accountB
			start(t, s, "--postgres-bin", s.Dir)
			defer s.Stop()
			flags = flags[:2] // a running server has the root key
		}
		out, err := account("create", "--name", "one", "--id", id, "--profile", "p"+id)
		if err != nil || !accountLine.MatchString(out) || !strings.Contains(out, id) {
			t.Errorf("create: %v: %s", err, out)
		}
		key, err := account("create-key", "--id", id)
		if err != nil || !accountLine.MatchString(key) || accountLine.FindString(key) == accountLine.FindString(out) {
			t.Errorf("create-key: %v: %s", err, key)
		}
		for what, c := range map[string]struct {
			args []string
			says string
		}{
			"a key for nobody": {[]string{"create-key", "--id", "999999999999"}, "not found"},
			"a key, no id":     {[]string{"create-key"}, "--id is missing"},
			"the same id":      {[]string{"create", "--name", "two", "--id", id}, "already exists"},
			"the same profile": {[]string{"create", "--name", "two", "--profile", "p" + id}, "exists already in"},
			"no name":          {[]string{"create"}, "--name is missing"},
			"no such id":       {[]string{"create", "--name", "two", "--id", "12"}, "12"},
		} {
			if _, err := account(c.args...); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v", what, err)
			}
		}
		list, err := account("list")
		if err != nil || !strings.Contains(list, id+"  one\n") || strings.Contains(list, "two") {
			t.Errorf("list: %v: %s", err, list)
		}
	}
	for _, path := range []string{s.Dir + "/aws/credentials", s.Dir + "/aws/config"} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
}

// Commands that come while a server starts wait for it.
func TestAccountsWhileStarting(t *testing.T) {
	s := used(t)
	var wg sync.WaitGroup
	errs := make(chan error, 4)
	for n := range cap(errs) {
		wg.Go(func() {
			_, err := s.Run(t.Context(), nil, "account", "create", "--name", fmt.Sprint("n", n), "--data", s.Data(), "--root-key", s.RootKey())
			errs <- err
		})
	}
	wg.Wait()
	start(t, s, "--postgres-bin", s.Dir)
	defer s.Stop()
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	list, err := s.Run(t.Context(), nil, "account", "list", "--data", s.Data())
	if err != nil || strings.Count(list, "\n") != cap(errs) {
		t.Errorf("%v: %s", err, list)
	}
}

// A bootstrap file makes accounts once, with keys that are known beforehand.
func TestBootstrapFile(t *testing.T) {
	s := &local.Server{Binary: binary, Dir: tempDir(t)}
	file := s.Dir + "/accounts.json"
	put(t, file, `{"accounts": [
		{"id": "`+accountA+`", "name": "a", "access_key_id": "AKIAAAAAAAAAAAAAAAAA", "secret_access_key": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
		{"id": "`+accountB+`", "access_key_id": "AKIABBBBBBBBBBBBBBBB", "secret_access_key": "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"}]}`)
	for range 2 {
		start(t, s, "--postgres-bin", s.Dir, "--bootstrap", file)
		for id, key := range map[string]string{accountA: "A", accountB: "B"} {
			p := &person{t: t, s: s, account: id, region: local.Region, key: local.AccessKey{
				AccessKeyID: "AKIA" + strings.Repeat(key, 16), SecretAccessKey: strings.Repeat(strings.ToLower(key), 40)}}
			who, err := p.sts().GetCallerIdentity(t.Context(), nil)
			if err != nil || *who.Account != id {
				t.Errorf("%s: %v, %v", id, who, err)
			}
		}
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	}
}
