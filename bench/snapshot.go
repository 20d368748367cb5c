package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"borealis/internal/postgres"
)

// benchSnapshot does with a database what one does with snapshots, and then
// with its files what cp and pg_basebackup do.
func benchSnapshot(ctx context.Context, b *bench) (err error) {
	pgbench, err := exec.LookPath("pgbench")
	if err != nil {
		b.missing("pgbench", err)
		return nil
	}
	s, root, err := b.server(ctx, "snapshot")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	cfg, err := s.Config(ctx, root.AccessKeyID, root.SecretAccessKey, "")
	if err != nil {
		return err
	}
	db := newDatabases(cfg)
	at, err := db.create(ctx, "big", "")
	if err != nil {
		return err
	}
	load := pgbenchOf(pgbench, at, db.password)
	if err := load(ctx, "-i", "-q", "-s", fmt.Sprint(b.scale)); err != nil {
		return err
	}
	key, err := kms.NewFromConfig(cfg).CreateKey(ctx, &kms.CreateKeyInput{})
	if err != nil {
		return err
	}
	engine, err := onlyEngine(s.Data())
	if err != nil {
		return err
	}
	size, err := sizeOf(engine)
	if err != nil {
		return err
	}
	b.say("size of the data directory, without its log", size, "MiB")
	copied, err := b.snapshotWork(ctx, db, load, *key.KeyMetadata.Arn, size)
	if err != nil {
		return err
	}
	peak, err := peakOf(s.PID())
	if err != nil {
		return err
	}
	b.say("borealis itself, most that was resident", float64(peak)/mib, "MiB")
	if err := db.stop(ctx, "big"); err != nil {
		return err
	}
	return b.fileWork(ctx, engine, copied)
}

// snapshotWork takes, copies and restores snapshots, and returns how long the
// first one took.
func (b *bench) snapshotWork(ctx context.Context, db *databases, load func(context.Context, ...string) error, key string, size float64) (time.Duration, error) {
	first, err := db.snapshot(ctx, "big", "one")
	if err != nil {
		return 0, err
	}
	if err := load(ctx, "-n", "-t", "500"); err != nil {
		return 0, err
	}
	second, err := db.snapshot(ctx, "big", "two")
	if err != nil {
		return 0, err
	}
	same, err := db.copySnapshot(ctx, "two", "same", "")
	if err != nil {
		return 0, err
	}
	other, err := db.copySnapshot(ctx, "two", "other", key)
	if err != nil {
		return 0, err
	}
	restored, err := db.restore(ctx, "other", "back")
	if err != nil {
		return 0, err
	}
	b.rate("snapshot", first, size)
	b.rate("second snapshot, after 500 transactions", second, size)
	b.say("copy under the same key", milliseconds(same), "ms")
	b.rate("copy under another key", other, size)
	b.rate("restore", restored, size)
	return first, nil
}

// rate notes a time, and what it means in bytes.
func (b *bench) rate(name string, took time.Duration, size float64) {
	b.say(name, milliseconds(took), "ms")
	b.say(name, size/took.Seconds(), "MiB/s")
}

// fileWork copies an engine's tables, whose files lie still, with cp, and, after
// all else has been copied too, backs up a server on that copy with
// pg_basebackup. Both sync what they write.
func (b *bench) fileWork(ctx context.Context, engine string, snapshot time.Duration) error {
	p, err := newPeer(b.dir)
	if err != nil {
		return err
	}
	data := filepath.Join(p.dir, "copied")
	if err := p.user.mkdir(data); err != nil {
		return err
	}
	began := time.Now()
	if _, err := command(ctx, "cp", "-a", filepath.Join(engine, "base"), data); err != nil {
		return err
	}
	if _, err := command(ctx, "sync", "-f", data); err != nil {
		return err
	}
	cp := time.Since(began)
	b.say("cp -a and sync of the same tables", milliseconds(cp), "ms")
	b.say("snapshot to cp -a and sync", float64(snapshot)/float64(cp), "×")
	if _, err := command(ctx, "cp", "-a", "-n", engine+"/.", data); err != nil {
		return err
	}
	backup, err := p.baseBackup(ctx, data)
	if err != nil {
		return err
	}
	b.say("pg_basebackup of the same files", milliseconds(backup), "ms")
	b.say("snapshot to pg_basebackup", float64(snapshot)/float64(backup), "×")
	return nil
}

// baseBackup times pg_basebackup of a server on data, started for that.
func (p *peer) baseBackup(ctx context.Context, data string) (took time.Duration, err error) {
	for name, text := range map[string]string{"postgresql.conf": "", "pg_hba.conf": "local all all trust\nlocal replication all trust\n", "pg_ident.conf": ""} {
		file := filepath.Join(data, name)
		if err := errors.Join(os.WriteFile(file, []byte(text), 0o600), os.Chown(file, p.user.uid, p.user.gid)); err != nil {
			return 0, err
		}
	}
	if err := p.start(ctx, data); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, p.stop(ctx, data)) }()
	to := filepath.Join(p.dir, "backup")
	if err := p.user.mkdir(to); err != nil {
		return 0, err
	}
	began := time.Now()
	_, err = p.run(ctx, "pg_basebackup", "-h", data, "-U", postgres.Superuser, "-D", to, "--checkpoint=fast", "--wal-method=stream")
	return time.Since(began), err
}

// pgbenchOf runs pgbench on a database.
func pgbenchOf(program string, at endpoint, password string) func(context.Context, ...string) error {
	return func(ctx context.Context, args ...string) error {
		cmd := exec.CommandContext(ctx, program, append(args, "-h", at.host, "-p", fmt.Sprint(at.port), "-U", "master", "app")...)
		cmd.Env = append(os.Environ(), "PGPASSWORD="+password, "PGSSLMODE=require")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("pgbench: %w: %s", err, out)
		}
		return nil
	}
}

// onlyEngine is the data directory of the one engine that there is.
func onlyEngine(data string) (string, error) {
	dirs, err := filepath.Glob(filepath.Join(data, "engines", "engines", "*", "data"))
	if err == nil && len(dirs) != 1 {
		err = fmt.Errorf("%d engines in %s, want one", len(dirs), data)
	}
	if err != nil {
		return "", err
	}
	return dirs[0], nil
}

// sizeOf is how much a data directory holds, in MiB, without the write-ahead log,
// of which snapshots and base backups take only the end.
func sizeOf(dir string) (float64, error) {
	var n int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == "pg_wal" {
			return fs.SkipDir
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) { // the server has just removed it
			return nil
		}
		if err == nil {
			n += info.Size()
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return float64(n) / mib, err
}
