package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// An account is the operating system's user that engines run as.
type account struct {
	name     string
	uid, gid int
	// other says that it is not the user that this process runs as: this
	// process is root, and processes and files have to be given away.
	other bool
}

// engineUser decides whom engines run as: this process's own user, or, for
// root, the user called name, or else the first usual one that exists.
func engineUser(name string) (account, error) {
	if os.Getuid() != 0 {
		u, err := user.Current()
		if err != nil {
			return account{}, fmt.Errorf("find own user: %w", err)
		}
		if name != "" && name != u.Username {
			return account{}, fmt.Errorf("run engines as %q: only root can run them as another user", name)
		}
		return account{name: u.Username, uid: os.Getuid(), gid: os.Getgid()}, nil
	}
	names := []string{name}
	if name == "" {
		names = []string{"postgres", "nobody"}
	}
	for _, n := range names {
		u, err := user.Lookup(n)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err := errors.Join(err1, err2); err != nil {
			return account{}, fmt.Errorf("look up user %q: %w", n, err)
		}
		if uid == 0 {
			return account{}, fmt.Errorf("run engines as %q: PostgreSQL refuses to run as root", n)
		}
		return account{name: n, uid: uid, gid: gid, other: true}, nil
	}
	return account{}, fmt.Errorf("run engines: this process is root and none of the users %s exists: name another, unprivileged one", list(names))
}

// credential makes a process run as the account.
func (a account) credential() *syscall.Credential {
	if !a.other {
		return nil
	}
	return &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
}

// own gives path, which is not followed if it is a link, to the account.
func (a account) own(path string) error {
	if !a.other {
		return nil
	}
	return os.Lchown(path, a.uid, a.gid)
}

// ownAll gives root and everything under it to the account, and keeps others
// out of it: directories become 0700, files 0600.
func (a account) ownAll(root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			err = os.Chmod(path, 0o700)
		case d.Type().IsRegular():
			err = os.Chmod(path, 0o600)
		}
		return errors.Join(err, a.own(path))
	})
}

// mkdir makes path, if it is absent, as a private directory of the account.
func (a account) mkdir(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return a.own(path)
}

// barrier is the first directory on the way to path that the account cannot
// pass, or "" if mode bits do not say which.
func (a account) barrier(path string) string {
	found := ""
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if fi, err := os.Stat(dir); err == nil && !a.passes(fi) {
			found = dir
		}
		if dir == filepath.Dir(dir) {
			return found
		}
	}
}

func (a account) passes(fi fs.FileInfo) bool {
	st, ok := fi.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return true
	case int(st.Uid) == a.uid:
		return fi.Mode()&0o100 != 0
	case int(st.Gid) == a.gid:
		return fi.Mode()&0o010 != 0
	}
	return fi.Mode()&0o001 != 0
}

// explain turns the refusal of a process that could not be started in dir into
// an UnreachableError, if a directory on the way is the reason.
func (a account) explain(err error, dir string) error {
	if a.other && errors.Is(err, fs.ErrPermission) {
		if at := a.barrier(dir); at != "" {
			return &UnreachableError{Path: at, User: a.name}
		}
	}
	return err
}
