package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"borealis/internal/volume"
	"borealis/internal/volume/disk"
)

// A volumeAnswer is what one operation came to, in a process of its own.
type volumeAnswer struct {
	Digest  string
	Stored  int64 // bytes
	Seconds float64
}

// engine runs one operation of the volume engine in a process of its own.
func (v *volumeBench) engine(ctx context.Context, op, store, dir, id, digest string) (a volumeAnswer, err error) {
	self, err := os.Executable()
	if err != nil {
		return a, err
	}
	cmd := exec.CommandContext(ctx, self, volumeWork, op, store, dir, id, digest)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, v.progress
	if err := cmd.Run(); err != nil {
		return a, fmt.Errorf("%s: %w", op, err)
	}
	if err := json.Unmarshal(out.Bytes(), &a); err != nil {
		return a, err
	}
	v.note(op+", s", a.Seconds)
	if a.Stored > 0 {
		v.note(op+", stored MiB", float64(a.Stored)/mib)
	}
	v.note(op+", processor s", (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds())
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		v.note(op+", peak MiB", float64(u.Maxrss)/1024)
	}
	return a, nil
}

// volumeWork is the first argument of a process that does one operation.
const volumeWork = "volume-work"

// doVolumeWork is that process. args are the operation, the backend's directory,
// the directory of files, the volume and its digest.
func doVolumeWork(ctx context.Context, args []string, out io.Writer) error {
	if len(args) != 5 {
		return errors.New("volume-work is for this program's own use")
	}
	d, err := disk.Open(args[1])
	if err != nil {
		return err
	}
	w := worker{volume.New(d), args[2], args[3]}
	began := time.Now()
	info, err := w.do(ctx, args[0], args[4])
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(volumeAnswer{info.Digest.String(), info.Stored, time.Since(began).Seconds()})
}

type worker struct {
	*volume.Engine
	dir, id string
}

func (w worker) do(ctx context.Context, op, digest string) (volume.Info, error) {
	if digest == "" {
		return w.write(ctx)
	}
	d, err := volume.ParseDigest(digest)
	if err != nil {
		return volume.Info{}, err
	}
	ref := benchVault("source", w.id).Ref(d)
	switch op {
	case "restore":
		return volume.Info{}, w.Restore(ctx, ref, w.dir, volume.RestoreOptions{})
	case "check":
		return volume.Info{}, w.Check(ctx, ref, volume.CheckOptions{})
	}
	return w.Copy(ctx, benchVault("source", "one").Ref(d), benchVault("target", w.id), volume.CopyOptions{})
}

func (w worker) write(ctx context.Context) (volume.Info, error) {
	out, err := w.Create(ctx, benchVault("source", w.id), volume.CreateOptions{})
	if err != nil {
		return volume.Info{}, err
	}
	defer out.Abort()
	files, err := filesOf(w.dir)
	if err != nil {
		return volume.Info{}, err
	}
	if err := out.Add(ctx, files); err != nil {
		return volume.Info{}, err
	}
	return out.Commit(ctx)
}

// benchVault is volume id in a vault of its own for each name.
func benchVault(name, id string) volume.Spec {
	key := sha256.Sum256([]byte(name))
	return volume.Spec{ID: id, Identity: volume.Identity{Account: "111122223333", Lineage: "cluster-BENCH", KeyARN: name}, DataKey: key[:], Wrapped: []byte("not wrapped")}
}

// filesOf lists a data directory without its write-ahead log.
func filesOf(dir string) (files []volume.File, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || strings.HasPrefix(name, "pg_wal/") || !st.IsDir() && !st.Mode().IsRegular() {
			return err
		}
		f := volume.File{Name: filepath.ToSlash(name), Mode: st.Mode() & (fs.ModeDir | fs.ModePerm)}
		if !st.IsDir() {
			f.Path, f.Size = path, st.Size()
		}
		files = append(files, f)
		return nil
	})
	return files, err
}
