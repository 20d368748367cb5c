package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"borealis/internal/postgres"
)

// benchVolume measures the volume engine alone, each operation in a process of
// its own, on a data directory that lies still, beside programs that do the like.
func benchVolume(ctx context.Context, b *bench) error {
	p, err := newPeer(b.dir)
	if errors.As(err, new(*postgres.NotInstalledError)) {
		b.missing("PostgreSQL", err)
		return nil
	}
	if err != nil {
		return err
	}
	v := &volumeBench{bench: b, peer: p, data: filepath.Join(p.dir, "data"), times: map[string][]float64{}}
	if err := v.fill(ctx); err != nil {
		return err
	}
	peers := backupPeers(b, p.user)
	for range b.volumeRuns {
		if err := v.round(ctx, peers); err != nil {
			return err
		}
	}
	v.tell(peers)
	return nil
}

// A volumeBench is the data, and what each piece of work took in each round.
type volumeBench struct {
	*bench
	peer *peer
	data string
	size float64 // MiB
	// times holds seconds, stored MiB, processor seconds and peak MiB by name.
	times map[string][]float64
	names []string
}

func (v *volumeBench) note(name string, value float64) {
	if v.times[name] == nil {
		v.names = append(v.names, name)
	}
	v.times[name] = append(v.times[name], value)
}

// fill makes the data: a pgbench database, and rows that do not compress, a
// quarter as much.
func (v *volumeBench) fill(ctx context.Context) error {
	if err := v.peer.user.mkdir(v.data); err != nil {
		return err
	}
	if _, err := v.peer.run(ctx, "initdb", "-D", v.data, "--auth", "trust", "-U", "postgres", "--no-sync"); err != nil {
		return err
	}
	noise := fmt.Sprintf(`CREATE EXTENSION pgcrypto; CREATE TABLE noise AS SELECT i, gen_random_bytes(1000) AS b FROM generate_series(1, %d) AS i`, 4500*v.volumeScale)
	return v.running(ctx, func() error {
		if _, err := v.peer.run(ctx, "pgbench", "-h", v.data, "-U", "postgres", "-i", "-q", "-s", fmt.Sprint(v.volumeScale), "postgres"); err != nil {
			return err
		}
		_, err := v.peer.run(ctx, "psql", "-h", v.data, "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-c", noise)
		return err
	})
}

// running does work while a server runs on the data, which is stopped then; the
// files have rested when it returns.
func (v *volumeBench) running(ctx context.Context, work func() error) error {
	if err := v.peer.start(ctx, v.data); err != nil {
		return err
	}
	if err := errors.Join(work(), v.peer.stop(ctx, v.data)); err != nil {
		return err
	}
	if _, err := command(ctx, "sync", "-f", v.data); err != nil {
		return err
	}
	select {
	case <-time.After(3 * time.Second): // longer than the engine wants files to have rested
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	size, err := sizeOf(v.data)
	v.size = size
	return err
}

// change rewrites 2 per cent of the pages of pgbench's table of accounts.
func (v *volumeBench) change(ctx context.Context) error {
	return v.running(ctx, func() error {
		_, err := v.peer.run(ctx, "pgbench", "-h", v.data, "-U", "postgres", "-n", "-t", fmt.Sprint(33*v.volumeScale), "postgres")
		return err
	})
}

// round does everything once, in new directories.
func (v *volumeBench) round(ctx context.Context, peers []backupPeer) error {
	dir, err := os.MkdirTemp(v.dir, "round-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := v.copyFiles(ctx, filepath.Join(dir, "cp")); err != nil {
		return err
	}
	store := filepath.Join(dir, "volumes")
	if err := os.Mkdir(store, 0o700); err != nil {
		return err
	}
	first, err := v.engine(ctx, "full", store, v.data, "one", "")
	if err != nil {
		return err
	}
	for _, p := range peers {
		if err := v.timed(p.name+" full", func() error { return p.first(ctx, filepath.Join(dir, p.name), v.data) }); err != nil {
			return err
		}
		if err := v.stored(p, dir, "full", 0); err != nil {
			return err
		}
	}
	if err := v.change(ctx); err != nil {
		return err
	}
	second, err := v.engine(ctx, "second", store, v.data, "two", "")
	if err != nil {
		return err
	}
	for _, p := range peers {
		was, err := sizeOf(filepath.Join(dir, p.name))
		if err != nil {
			return err
		}
		if err := v.timed(p.name+" second", func() error { return p.next(ctx, filepath.Join(dir, p.name), v.data) }); err != nil {
			return err
		}
		if err := v.stored(p, dir, "second", was); err != nil {
			return err
		}
	}
	if _, err := v.engine(ctx, "copy under another key", store, "", "copy", first.Digest); err != nil {
		return err
	}
	v.bare(dir, int(first.Stored))
	if _, err := v.engine(ctx, "restore", store, filepath.Join(dir, "restored"), "two", second.Digest); err != nil {
		return err
	}
	for _, p := range peers {
		if err := v.timed(p.name+" restore", func() error { return p.restore(ctx, filepath.Join(dir, p.name), filepath.Join(dir, "back-"+p.name)) }); err != nil {
			return err
		}
		if err := os.RemoveAll(filepath.Join(dir, "back-"+p.name)); err != nil {
			return err
		}
	}
	_, err = v.engine(ctx, "check", store, "", "two", second.Digest)
	return err
}

func (v *volumeBench) timed(name string, work func() error) error {
	began := time.Now()
	err := work()
	v.note(name+", s", time.Since(began).Seconds())
	return err
}

func (v *volumeBench) stored(p backupPeer, dir, what string, was float64) error {
	now, err := sizeOf(filepath.Join(dir, p.name))
	v.note(p.name+" "+what+", stored MiB", now-was)
	return err
}

// copyFiles is cp -a and sync, of what a volume holds.
func (v *volumeBench) copyFiles(ctx context.Context, to string) error {
	defer os.RemoveAll(to)
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	return v.timed("cp -a and sync", func() error {
		if _, err := command(ctx, "cp", "-a", filepath.Join(v.data, "base"), to); err != nil {
			return err
		}
		_, err := command(ctx, "sync", "-f", to)
		return err
	})
}

// bare decrypts and encrypts n bytes with AES-256-GCM on all processors, and
// then writes and syncs as many: the least that a copy under another key can take.
func (v *volumeBench) bare(dir string, n int) {
	const part = 128 << 10
	began := time.Now()
	var wg sync.WaitGroup
	for i := range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			a, b := gcm(byte(i)), gcm(byte(i)+100)
			plain, nonce := make([]byte, part), make([]byte, 12)
			sealed, out := a.Seal(nil, nonce, plain, nil), make([]byte, 0, part+16)
			for range n / part / runtime.GOMAXPROCS(0) {
				plain, _ = a.Open(plain[:0], nonce, sealed, nil) // sealed above
				out = b.Seal(out[:0], nonce, plain, nil)
			}
		})
	}
	wg.Wait()
	loop := time.Since(began)
	data := make([]byte, 8<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(data) // never fails
	began = time.Now()
	f, err := os.Create(filepath.Join(dir, "bare"))
	for left := n; left > 0 && err == nil; left -= len(data) {
		_, err = f.Write(data[:min(left, len(data))])
	}
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err != nil {
		v.missing("the bare write", err)
		return
	}
	v.note("bare AES-256-GCM loop and write, s", (loop + time.Since(began)).Seconds())
}

func gcm(key byte) cipher.AEAD {
	block, err := aes.NewCipher(append(make([]byte, 31), key))
	if err != nil {
		panic(err) // the key has 32 bytes
	}
	a, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // the block is AES's
	}
	return a
}

// tell notes the medians, and what is asked of them.
func (v *volumeBench) tell(peers []backupPeer) {
	v.say("data, without the write-ahead log", v.size, "MiB")
	for _, name := range v.names {
		v.say(name, median(v.times[name]), "")
	}
	ratio := func(name, other string, limit float64) {
		if v.times[name] != nil && v.times[other] != nil {
			v.atMost(name+" to "+other, median(v.times[name])/median(v.times[other]), "×", limit)
		}
	}
	ratio("full, s", "pgbackrest full, s", 0.75)
	ratio("full, stored MiB", "pgbackrest full, stored MiB", 1.05)
	ratio("full, s", "restic full, s", 1./3)
	ratio("second, s", "restic second, s", 0.2)
	ratio("copy under another key, s", "bare AES-256-GCM loop and write, s", 2)
	ratio("restore, s", "cp -a and sync, s", 1.1)
	for _, p := range peers {
		ratio("restore, s", p.name+" restore, s", 1)
	}
	for _, what := range []string{"full", "second", "copy under another key", "restore"} {
		v.atMost(what+", peak MiB", median(v.times[what+", peak MiB"]), "MiB", 150)
	}
}
