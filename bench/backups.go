package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// A backupPeer is a program that backs up directories, encrypted. Each of its
// functions is given the directory of its own, which first makes.
type backupPeer struct {
	name        string
	first, next func(ctx context.Context, repository, data string) error
	restore     func(ctx context.Context, repository, to string) error
}

// backupPeers are those on this machine.
func backupPeers(b *bench, u *osUser) []backupPeer {
	var found []backupPeer
	for _, p := range []backupPeer{pgBackRest(u), restic(), borg()} {
		if _, err := exec.LookPath(p.name); err != nil {
			b.missing(p.name, err)
			continue
		}
		found = append(found, p)
	}
	for _, name := range []string{"wal-g", "kopia"} {
		b.missing(name, errors.New("this benchmark does not drive it"))
	}
	return found
}

// with runs a program with more in its environment.
func with(ctx context.Context, env []string, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, args[0], err, out)
	}
	return nil
}

// pgBackRest compresses with Zstandard's first level on two processors, and its
// second backup is one of blocks.
func pgBackRest(u *osUser) backupPeer {
	run := func(ctx context.Context, repository, data string, args ...string) error {
		env := []string{"PGBACKREST_REPO1_CIPHER_PASS=bench", "PGBACKREST_REPO1_CIPHER_TYPE=aes-256-cbc", "PGBACKREST_STANZA=bench",
			"PGBACKREST_REPO1_PATH=" + repository, "PGBACKREST_PG1_PATH=" + data, "PGBACKREST_LOG_PATH=" + repository, "PGBACKREST_LOCK_PATH=" + repository,
			"PGBACKREST_PROCESS_MAX=2", "PGBACKREST_REPO1_BUNDLE=y", "PGBACKREST_REPO1_BLOCK=y", "PGBACKREST_BETA=y", "PGBACKREST_LOG_LEVEL_CONSOLE=warn", "PGBACKREST_LOG_LEVEL_FILE=off"}
		return with(ctx, env, "/", "pgbackrest", args...)
	}
	backup := func(ctx context.Context, repository, data, kind string) error {
		return run(ctx, repository, data, "backup", "--no-online", "--compress-type=zst", "--compress-level=1", "--type="+kind)
	}
	return backupPeer{
		name: "pgbackrest",
		first: func(ctx context.Context, repository, data string) error {
			if err := os.Mkdir(repository, 0o700); err != nil {
				return err
			}
			if err := run(ctx, repository, data, "stanza-create", "--no-online"); err != nil {
				return err
			}
			return backup(ctx, repository, data, "full")
		},
		next: func(ctx context.Context, repository, data string) error { return backup(ctx, repository, data, "incr") },
		restore: func(ctx context.Context, repository, to string) error {
			if err := u.mkdir(to); err != nil {
				return err
			}
			return errors.Join(run(ctx, repository, to, "restore"), syncDir(ctx, to))
		},
	}
}

func restic() backupPeer {
	env := func(repository string) []string {
		return []string{"RESTIC_PASSWORD=bench", "RESTIC_REPOSITORY=" + repository, "RESTIC_CACHE_DIR=" + repository + ".cache"}
	}
	backup := func(ctx context.Context, repository, data string) error {
		return with(ctx, env(repository), data, "restic", "backup", "-q", ".", "--exclude", "pg_wal")
	}
	return backupPeer{
		name: "restic",
		first: func(ctx context.Context, repository, data string) error {
			if err := with(ctx, env(repository), data, "restic", "init", "-q"); err != nil {
				return err
			}
			return backup(ctx, repository, data)
		},
		next: backup,
		restore: func(ctx context.Context, repository, to string) error {
			return errors.Join(with(ctx, env(repository), "/", "restic", "restore", "-q", "latest", "--target", to), syncDir(ctx, to))
		},
	}
}

func borg() backupPeer {
	env := func(repository string) []string {
		return []string{"BORG_PASSPHRASE=bench", "BORG_BASE_DIR=" + repository + ".base", "BORG_REPO=" + repository}
	}
	create := func(name string) func(context.Context, string, string) error {
		return func(ctx context.Context, repository, data string) error {
			return with(ctx, env(repository), data, "borg", "create", "--compression", "zstd,1", "--exclude", "*/pg_wal", "--exclude", "pg_wal", "::"+name, ".")
		}
	}
	return backupPeer{
		name: "borg",
		first: func(ctx context.Context, repository, data string) error {
			if err := with(ctx, env(repository), data, "borg", "init", "-e", "repokey-blake2"); err != nil {
				return err
			}
			return create("one")(ctx, repository, data)
		},
		next: create("two"),
		restore: func(ctx context.Context, repository, to string) error {
			if err := os.Mkdir(to, 0o700); err != nil {
				return err
			}
			return errors.Join(with(ctx, env(repository), to, "borg", "extract", "::two"), syncDir(ctx, filepath.Clean(to)))
		},
	}
}

func syncDir(ctx context.Context, dir string) error {
	_, err := command(ctx, "sync", "-f", dir)
	return err
}
