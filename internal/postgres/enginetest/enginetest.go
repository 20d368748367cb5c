// Package enginetest helps tests to run real PostgreSQL engines. It fails a
// test, and never skips it, when the machine has no PostgreSQL.
package enginetest

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"borealis/internal/postgres"
)

// Dir is an empty directory that goes with t, and whose parents an unprivileged
// engine user can traverse: those of t.TempDir are root's alone.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "engine")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// templates are made once for all tests of a program: initdb takes longer than
// the rest of a test.
var templates struct {
	sync.Once
	dir string
	err error
}

// New is engines in a directory of their own, closed at the end of t. Templates
// are ready. They do not wait for the disk.
func New(t testing.TB) *postgres.Engines {
	t.Helper()
	return In(t, postgres.Config{Dir: Dir(t), Unsafe: true})
}

// In is New with a configuration.
func In(t testing.TB, cfg postgres.Config) *postgres.Engines {
	t.Helper()
	Templates(t, cfg.Dir)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	e, err := postgres.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := e.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	if len(e.Versions()) == 0 {
		t.Fatal(&postgres.NotInstalledError{})
	}
	return e
}

// Templates puts the templates of all installed versions into dir, which is to
// be an engines' directory.
func Templates(t testing.TB, dir string) {
	t.Helper()
	templates.Do(func() { templates.dir, templates.err = prepare() })
	if templates.err != nil {
		t.Fatal(templates.err)
	}
	// Engines only read templates, and find a link as good as a directory.
	if err := os.Symlink(filepath.Join(templates.dir, "templates"), filepath.Join(dir, "templates")); err != nil {
		t.Fatal(err)
	}
}

func prepare() (string, error) {
	dir, err := os.MkdirTemp("", "templates")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		return "", err
	}
	e, err := postgres.New(postgres.Config{Dir: dir, Unsafe: true})
	if err != nil {
		return dir, err
	}
	return dir, errors.Join(e.Prepare(context.Background()), e.Close(context.Background()))
}

// Version is the version that tests create engines of: the variable
// POSTGRES_VERSION of the environment, or else the newest that is installed.
func Version(t testing.TB, e *postgres.Engines) postgres.Version {
	t.Helper()
	want := os.Getenv("POSTGRES_VERSION")
	var found []string
	for _, v := range e.Versions() {
		found = append(found, v.Full)
		if want == "" || want == v.Full || want == strconv.Itoa(v.Major) {
			return v
		}
	}
	t.Fatal(&postgres.NotInstalledError{Version: want, Found: found})
	return postgres.Version{}
}

// Main runs the tests of a program and removes what this package made.
func Main(m interface{ Run() int }) int {
	code := m.Run()
	if templates.dir != "" {
		os.RemoveAll(templates.dir)
	}
	return code
}
