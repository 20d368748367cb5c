package server_test

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"borealis/internal/cloud"
	"borealis/internal/server"
)

// config is of a server below dir, whose data directory may be made.
func config(dir string) server.Config {
	return server.Config{
		Data: filepath.Join(dir, "data"), RootKey: filepath.Join(dir, "keys", "root.key"), Init: true,
		Listen: "127.0.0.1:0", PostgresBin: dir, Log: slog.New(slog.DiscardHandler),
		XksProxies: map[string]string{"xks.example.com": "127.0.0.1:1"}, // nobody is there
	}
}

func open(t *testing.T, cfg server.Config) *server.Server {
	t.Helper()
	s, err := server.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func closed(t *testing.T, c interface{ Close() error }) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// tree is what there is below dir: modes, sizes and contents, of all but locks.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() == "LOCK" {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		found[path] = info.Mode().String()
		if info.Mode().IsRegular() {
			text, err := os.ReadFile(path)
			found[path] += " " + string(text)
			return err
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return found
}

// The engines' user gets through to the engines, and nobody else to anything,
// whatever the umask.
func TestModes(t *testing.T) {
	for _, umask := range []int{0, 0o077} {
		defer syscall.Umask(syscall.Umask(umask))
		dir := t.TempDir()
		cfg := config(dir)
		cfg.Data = filepath.Join(dir, "a", "b")
		closed(t, open(t, cfg))
		for name, want := range map[string]fs.FileMode{
			"a": 0o711, "a/b": 0o711, "a/b/engines": 0o711, "a/b/volumes": 0o700, "a/b/audit": 0o700, "a/b/operator": 0o700,
			"a/b/borealis.db": 0o600, "a/b/audit/decisions.jsonl": 0o600, "keys": 0o700, "keys/root.key": 0o600,
		} {
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil {
				t.Error(err)
			} else if got := info.Mode().Perm(); got != want {
				t.Errorf("umask %03o: %s has mode %04o, not %04o", umask, name, got, want)
			}
		}
	}
}

// A directory that was being initialized when the power went is initialized by
// the next try, with the root key that was made already.
func TestInitializeAgain(t *testing.T) {
	cfg := config(t.TempDir())
	closed(t, open(t, cfg))
	key, err := os.ReadFile(cfg.RootKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(cfg.Data); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"LOCK", ".tmp-123", "lost+found/x"} {
		path := filepath.Join(cfg.Data, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	closed(t, open(t, cfg))
	cfg.Init = false
	closed(t, open(t, cfg))
	if again, err := os.ReadFile(cfg.RootKey); err != nil || string(again) != string(key) {
		t.Errorf("the root key has changed (%v)", err)
	}
	if _, err := os.Stat(filepath.Join(cfg.Data, ".tmp-123")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a temporary file is left: %v", err)
	}
}

// write makes a file with its directories.
func write(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o711), os.WriteFile(path, []byte(text), mode), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
}

func initialized(t *testing.T, cfg *server.Config) {
	t.Helper()
	closed(t, open(t, *cfg))
	cfg.Init = false
}

func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*testing.T, *server.Config)
		is      error
		says    []string // DATA and KEY stand for the paths
	}{
		"nothing there": {
			func(_ *testing.T, c *server.Config) { c.Init = false },
			server.ErrNotInitialized, []string{"DATA", "--init"}},
		"empty": {
			func(t *testing.T, c *server.Config) {
				initialized(t, c)
				if err := errors.Join(os.RemoveAll(c.Data), os.Mkdir(c.Data, 0o711)); err != nil {
					t.Fatal(err)
				}
			},
			server.ErrNotInitialized, []string{"DATA", "is empty", "not mounted", "--init"}},
		"another program's": {
			func(t *testing.T, c *server.Config) { write(t, c.Data+"/notes.txt", "mine", 0o600) },
			server.ErrFormat, []string{"DATA", "notes.txt", "--data"}},
		"newer format": {
			func(t *testing.T, c *server.Config) {
				initialized(t, c)
				write(t, c.Data+"/FORMAT", "borealis data 2\n", 0o644)
			},
			server.ErrFormat, []string{"DATA", "borealis data 2", "borealis data 1", "use the version that wrote it"}},
		"a file": {
			func(t *testing.T, c *server.Config) { write(t, c.Data, "", 0o600) },
			syscall.ENOTDIR, []string{"DATA"}},
		"no directory named": {
			func(_ *testing.T, c *server.Config) { c.Data = "" },
			nil, []string{"--data"}},
		"no root key named": {
			func(_ *testing.T, c *server.Config) { c.RootKey = "" },
			server.ErrRootKey, []string{"--root-key"}},
		"root key missing": {
			func(t *testing.T, c *server.Config) {
				initialized(t, c)
				if err := os.Remove(c.RootKey); err != nil {
					t.Fatal(err)
				}
			},
			server.ErrRootKey, []string{"KEY", "--root-key"}},
		"root key missing, with --init": {
			func(t *testing.T, c *server.Config) {
				initialized(t, c)
				c.Init = true
				if err := os.Remove(c.RootKey); err != nil {
					t.Fatal(err)
				}
			},
			server.ErrRootKey, []string{"KEY", "sealed under", "bring that back"}},
		"root key of another": {
			func(t *testing.T, c *server.Config) {
				initialized(t, c)
				other := config(t.TempDir())
				initialized(t, &other)
				c.RootKey = other.RootKey
			},
			server.ErrRootKey, []string{"KEY", "sealed under"}},
		"root key open to others": {
			func(t *testing.T, c *server.Config) {
				initialized(t, c)
				if err := os.Chmod(c.RootKey, 0o640); err != nil {
					t.Fatal(err)
				}
			},
			server.ErrRootKey, []string{"KEY", "0640", "chmod 600"}},
		"root key damaged": {
			func(t *testing.T, c *server.Config) { write(t, c.RootKey, "hello", 0o600) },
			server.ErrRootKey, []string{"KEY"}},
		"root key a directory": {
			func(t *testing.T, c *server.Config) { write(t, c.RootKey+"/x", "", 0o600); os.Chmod(c.RootKey, 0o700) },
			server.ErrRootKey, []string{"KEY"}},
		"root key inside": {
			func(_ *testing.T, c *server.Config) { c.RootKey = filepath.Join(c.Data, "..keys", "root.key") },
			server.ErrRootKey, []string{"KEY", "data directory", "keep it elsewhere"}},
		"root key inside, by a link": {
			func(t *testing.T, c *server.Config) {
				initialized(t, c)
				link := filepath.Join(t.TempDir(), "link")
				if err := os.Symlink(c.Data, link); err != nil {
					t.Fatal(err)
				}
				c.RootKey = filepath.Join(link, "root.key")
			},
			server.ErrRootKey, []string{"KEY", "data directory"}},
		"bootstrap file missing": {
			func(t *testing.T, c *server.Config) { initialized(t, c); c.Bootstrap = c.Data + ".json" },
			fs.ErrNotExist, []string{"bootstrap file", "DATA.json"}},
		"attestation root missing": {
			func(t *testing.T, c *server.Config) { initialized(t, c); c.AttestationRoot = c.Data + ".pem" },
			fs.ErrNotExist, []string{"DATA.pem", "--attestation-root"}},
		"attestation root damaged": {
			func(t *testing.T, c *server.Config) {
				initialized(t, c)
				c.AttestationRoot = c.Data + ".pem"
				write(t, c.AttestationRoot, "hello", 0o600)
			},
			nil, []string{"DATA.pem", "--attestation-root", "has no certificate in PEM"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			cfg := config(dir)
			c.prepare(t, &cfg)
			before := tree(t, dir)
			s, err := server.Open(t.Context(), cfg)
			if err == nil {
				t.Fatal("opened", s.Close())
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v: is not %v", err, c.is)
			}
			for _, w := range c.says {
				w = strings.NewReplacer("DATA", cfg.Data, "KEY", cfg.RootKey).Replace(w)
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
			if d := cmp.Diff(before, tree(t, dir)); d != "" {
				t.Errorf("something has changed:\n%s", d)
			}
		})
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	cfg := config(t.TempDir())
	s := open(t, cfg)
	if _, err := server.Open(t.Context(), cfg); !errors.Is(err, server.ErrLocked) || !strings.Contains(err.Error(), cfg.Data) {
		t.Errorf("second Open: %v", err)
	}
	closed(t, s)
	closed(t, open(t, cfg))
}

const (
	someKey    = "AKIAAAAAAAAAAAAAAAAA"
	someSecret = "abcdefghijklmnopqrstuvwxyzabcdefghijklmn"
	goodFile   = `{"accounts": [{"id": "111122223333", "name": "a", "access_key_id": "` + someKey + `", "secret_access_key": "` + someSecret + `"}]}`
)

func TestBootstrap(t *testing.T) {
	cfg := config(t.TempDir())
	cfg.Bootstrap = filepath.Join(filepath.Dir(cfg.Data), "accounts.json")
	for name, text := range map[string]string{
		"empty":             "",
		"unknown member":    `{"acounts": []}`,
		"trailing":          goodFile + "{}",
		"no key":            `{"accounts": [{"id": "111122223333"}]}`,
		"no such id":        strings.Replace(goodFile, "111122223333", "1111", 1),
		"no such key":       strings.Replace(goodFile, someKey, "AKIA", 1),
		"one good, one bad": strings.Replace(goodFile, "]", `, {"id": "444455556666"}]`, 1),
	} {
		write(t, cfg.Bootstrap, text, 0o600)
		if _, err := server.Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), cfg.Bootstrap) || strings.Contains(err.Error(), someSecret) {
			t.Errorf("%s: %v", name, err)
		}
	}
	write(t, cfg.Bootstrap, goodFile, 0o600)
	for range 2 { // the second time it is there already
		s := open(t, cfg)
		list, err := s.Accounts(t.Context())
		if d := cmp.Diff([]server.Account{{ID: "111122223333", Name: "a"}}, list); d != "" || err != nil {
			t.Error(d, err)
		}
		closed(t, s)
	}
}

// serving runs a server and returns its URL and what stops it.
func serving(t *testing.T, cfg server.Config) (url string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	up, end := make(chan string, 1), make(chan error, 1)
	go func() { end <- server.Serve(ctx, cfg, func(url string) { up <- url }) }()
	select {
	case url = <-up:
	case err := <-end:
		cancel()
		t.Fatal(err)
	}
	return url, func() error { cancel(); return <-end }
}

func TestOperator(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("long/", 25))
	for _, dir := range []string{t.TempDir(), long} {
		cfg := config(dir)
		temp := t.TempDir()
		t.Setenv("TMPDIR", temp)
		// What a server that was killed may have left.
		initialized(t, &cfg)
		stale := filepath.Join(temp, "borealis-1")
		write(t, filepath.Join(stale, "socket"), "", 0o600)
		write(t, filepath.Join(cfg.Data, "operator", "address.json"), `{"socket": "`+stale+`/socket"}`, 0o600)
		write(t, filepath.Join(cfg.Data, "operator", "socket"), "", 0o600)

		url, stop := serving(t, cfg)
		cfg.RootKey = "" // the running server has it
		op, err := server.Operate(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if op.Endpoint() != url {
			t.Errorf("endpoint %q, not %q", op.Endpoint(), url)
		}
		a, err := op.CreateAccount(t.Context(), server.NewAccount{ID: "111122223333", Name: "a"})
		if err != nil || a.ID != "111122223333" || a.SecretAccessKey == "" {
			t.Errorf("CreateAccount: %s, %v", a.ID, err)
		}
		if _, err := op.CreateAccount(t.Context(), server.NewAccount{ID: "111122223333"}); err == nil || !strings.Contains(err.Error(), cloud.ErrExists.Error()) {
			t.Errorf("CreateAccount again: %v", err)
		}
		if k, err := op.CreateRootKey(t.Context(), a.ID); err != nil || k.AccessKeyID == a.AccessKeyID || len(k.SecretAccessKey) != 40 {
			t.Errorf("CreateRootKey: %s, %v", k.AccessKeyID, err)
		}
		if list, err := op.Accounts(t.Context()); err != nil || len(list) != 1 {
			t.Errorf("Accounts: %v, %v", list, err)
		}
		closed(t, op)
		if err := stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
		if left := tree(t, filepath.Join(cfg.Data, "operator")); len(left) != 1 {
			t.Errorf("left: %v", left)
		}
		if left := tree(t, temp); len(left) != 1 {
			t.Errorf("left: %v", left)
		}
	}
}

// A command that comes while the directory is in use waits for its turn.
func TestOperateWaits(t *testing.T) {
	cfg := config(t.TempDir())
	s := open(t, cfg)
	done := make(chan error)
	go func() {
		op, err := server.Operate(t.Context(), cfg)
		if err == nil {
			err = op.Close()
		}
		done <- err
	}()
	select {
	case err := <-done:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	closed(t, s)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAddressTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := config(t.TempDir())
	initialized(t, &cfg)
	cfg.Listen = l.Addr().String()
	cfg.Bootstrap = "missing" // nothing of this kind is looked at before
	before := tree(t, cfg.Data)
	err = server.Serve(t.Context(), cfg, func(string) { t.Error("ready") })
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), cfg.Listen) || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("%v", err)
	}
	if d := cmp.Diff(before, tree(t, cfg.Data)); d != "" {
		t.Errorf("something has changed:\n%s", d)
	}
}

func TestServeEverywhere(t *testing.T) {
	cfg := config(t.TempDir())
	cfg.Listen = "[::]:0"
	if c, err := net.Listen("tcp", cfg.Listen); err != nil {
		cfg.Listen = "0.0.0.0:0"
	} else {
		c.Close()
	}
	url, stop := serving(t, cfg)
	if !strings.HasPrefix(url, "http://127.0.0.1:") {
		t.Errorf("URL %s", url)
	}
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// A server that is told to stop while it starts does so without complaint.
func TestStopWhileStarting(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := server.Serve(ctx, config(t.TempDir()), func(string) {}); err != nil {
		t.Error(err)
	}
}
