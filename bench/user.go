package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// An osUser is the user that PostgreSQL's programs run as.
type osUser struct {
	uid, gid int
	other    bool // than this process's
}

// engineUser is the user that borealis runs engines as, by default.
func engineUser() (*osUser, error) {
	if os.Geteuid() != 0 {
		return &osUser{uid: os.Getuid(), gid: os.Getgid()}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if errors.As(err, new(user.UnknownUserError)) {
			continue
		}
		if err != nil {
			return nil, err
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		return &osUser{uid, gid, true}, errors.Join(err1, err2)
	}
	return nil, errors.New("neither a user postgres nor nobody")
}

// mkdir makes a directory that is the user's.
func (u *osUser) mkdir(dir string) error {
	return errors.Join(os.MkdirAll(dir, 0o700), os.Chown(dir, u.uid, u.gid))
}

// command runs a program as the user. What it leaves running may keep its
// output open: that is not waited for.
func (u *osUser) command(ctx context.Context, dir, program string, args ...string) (string, error) {
	out, err := os.CreateTemp("", "borealis-bench-output-")
	if err != nil {
		return "", err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	if u.other {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(u.uid), Gid: uint32(u.gid)}}
	}
	err = cmd.Run()
	text, readErr := os.ReadFile(out.Name())
	if err := errors.Join(err, readErr); err != nil {
		return "", fmt.Errorf("%s: %w: %s", program, err, bytes.TrimSpace(text))
	}
	return string(text), nil
}
