package postgres

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"borealis/internal/durable"
)

// templateFormat is part of a template's name. It changes when what makes
// templates does, so that templates of another program's making are not used.
const templateFormat = "1"

// Superuser is the role that this program administers engines as, and the
// database that it connects to. Customers can use neither, as on AWS.
const Superuser = "rdsadmin"

// templateName is the name of version v's template.
func templateName(v Version) string { return v.Full + "-" + templateFormat }

// Prepare makes what lets Create be quick, for every installed version: a
// template, which takes an initdb, and a copy of it; and the certificates. Call it in the background
// after New; Create does not depend on it. It also removes what it made for
// versions that are not installed any more. A NotInstalledError says that there
// is no version at all.
func (e *Engines) Prepare(ctx context.Context) error {
	have := e.Versions()
	if len(have) == 0 {
		return e.NotInstalled("")
	}
	err := errors.Join(e.tls.make(e.host, e.user), e.prune(have))
	for _, v := range have {
		err = errors.Join(err, e.makeSpare(ctx, v))
	}
	return err
}

// template is the directory of version v's template: data, to copy for a new
// engine, and locale.json, which tells of it. It makes it
// if it is absent: in a directory of another name, renamed when all of it is on
// disk, so that a template is whole or absent.
func (e *Engines) template(ctx context.Context, v Version) (string, error) {
	unlock, err := e.templates.lock(ctx, v.Full)
	if err != nil {
		return "", fmt.Errorf("wait for template of PostgreSQL %s: %w", v.Full, err)
	}
	defer unlock()
	dir := e.path("templates", templateName(v))
	if exists(dir) {
		return dir, nil
	}
	if err := e.makeTemplate(ctx, dir, v); err != nil {
		return "", fmt.Errorf("make template of PostgreSQL %s: %w", v.Full, err)
	}
	return dir, nil
}

func (e *Engines) makeTemplate(ctx context.Context, dir string, v Version) error {
	tmp, err := os.MkdirTemp(e.path("templates"), ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp) // after the rename there is nothing to remove
	l := defaultLocale(ctx)
	text, err := json.Marshal(l)
	if err == nil {
		err = os.WriteFile(filepath.Join(tmp, "locale.json"), text, 0o644)
	}
	if err == nil {
		err = os.Chmod(tmp, 0o711)
	}
	if err == nil {
		err = e.initdb(ctx, filepath.Join(tmp, "data"), v, l)
	}
	if err == nil {
		err = e.sync(tmp)
	}
	if err == nil {
		err = os.Rename(tmp, dir)
	}
	if err == nil {
		err = durable.SyncDir(e.path("templates"))
	}
	return err
}

// templateLocale reads the locale of a template.
func templateLocale(template string) (Locale, error) {
	var l Locale
	text, err := os.ReadFile(filepath.Join(template, "locale.json"))
	if err == nil {
		err = json.Unmarshal(text, &l)
	}
	return l, err
}

//go:embed roles.sql
var rolesSQL string

// initdb makes a data directory in dir, with our roles and our database.
func (e *Engines) initdb(ctx context.Context, dir string, v Version, l Locale) error {
	if err := e.user.mkdir(dir); err != nil {
		return err
	}
	err := e.tool(ctx, "", v.program("initdb"), "--pgdata", dir, "--username", Superuser,
		"--encoding", l.Encoding, "--lc-collate", l.Collate, "--lc-ctype", l.Ctype, "--locale", "C", "--data-checksums", "--auth", "reject", "--no-sync")
	if err != nil {
		return err
	}
	sql := "CREATE DATABASE " + Superuser + ";\n\nREVOKE ALL ON DATABASE " + Superuser + " FROM PUBLIC;\n\n" + rolesSQL + "\n\n"
	// fsync is off because all of it is synced before it is used.
	err = e.tool(ctx, sql, v.program("postgres"), "--single", "-j", "-D", dir,
		"-c", "exit_on_error=on", "-c", "fsync=off", "-c", "log_checkpoints=off", "postgres")
	if err != nil {
		return err
	}
	for _, name := range foreignConf {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// tool runs a program of PostgreSQL as the engine user, with stdin as its
// input. Its error carries the program's last words.
func (e *Engines) tool(ctx context.Context, stdin, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = e.dir
	cmd.Env = environment()
	cmd.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	unlock := lockThread()
	defer unlock()
	cmd.SysProcAttr = childOf(e.user)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // with its children
	err := cmd.Run()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return fmt.Errorf("run %s: %w: %s", program, e.user.explain(err, e.dir), tail(out.Bytes(), 2000))
}

// environment is what PostgreSQL's programs get to see of ours: nothing that
// could change what they do, and no secret.
func environment() []string {
	return []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
}

// tail is the last part of a text, at most n bytes of whole lines if it can be.
func tail(text []byte, n int) string {
	text = bytes.TrimSpace(text)
	if len(text) > n {
		text = text[len(text)-n:]
		if _, rest, ok := bytes.Cut(text, []byte("\n")); ok {
			text = rest
		}
	}
	return string(text)
}
