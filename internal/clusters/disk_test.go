package clusters_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"

	"borealis/internal/clusters"
)

// errDead is what everything answers after the process has been killed.
var errDead = errors.New("the process is dead")

// A fault kills the process at one of the calls that leave it: before the call
// takes effect, or after, with the answer lost. Nothing has an effect any more
// from then on.
type fault struct {
	calls atomic.Int64
	mu    sync.Mutex
	died  chan struct{} // closed when the process has been killed
	at    int64         // the call to die at, from 1; 0 for never
	after bool
}

// death is closed when the process is killed.
func (f *fault) death() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.died
}

func (f *fault) dead() bool {
	select {
	case <-f.death():
		return true
	default:
		return false
	}
}

func (f *fault) kill() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.died:
	default:
		close(f.died)
	}
	return errDead
}

func (f *fault) reset() {
	f.arm(0, false)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.died = make(chan struct{})
}

func (f *fault) around(effect func() error) error {
	if f.dead() {
		return errDead
	}
	n := f.calls.Add(1)
	f.mu.Lock()
	at, after := f.at, f.after
	f.mu.Unlock()
	if n == at && !after {
		return f.kill()
	}
	err := effect()
	if n == at {
		return f.kill()
	}
	return err
}

// A disk holds engines and volumes: directories of files. What runs is known
// only to the process.
type disk struct {
	t     testing.TB
	dir   string
	fault *fault

	mu      sync.Mutex
	running map[string]clusters.Endpoint
	broken  map[string]error // what a kind of call answers
	pause   map[string]hold  // what calls of a kind wait for
}

func newDisk(t testing.TB, dir string, f *fault) *disk {
	for _, d := range []string{"engines", "volumes"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return &disk{t: t, dir: dir, fault: f, running: map[string]clusters.Endpoint{}, broken: map[string]error{}, pause: map[string]hold{}}
}

func (d *disk) breaks(call string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.broken[call] = err
}

// A hold stops calls: each says that it is here, and then waits for what to
// answer, nil for going on.
type hold struct {
	here   chan struct{}
	answer chan error
}

// holds makes calls of a kind wait.
func (d *disk) holds(call string) hold {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pause[call] = hold{make(chan struct{}, 1), make(chan error)}
	return d.pause[call]
}

func (d *disk) do(ctx context.Context, call string, effect func() error) error {
	d.mu.Lock()
	broken := d.broken[call]
	pause, held := d.pause[call]
	d.mu.Unlock()
	if errors.Is(broken, errDead) {
		return d.fault.kill()
	}
	if broken != nil {
		return broken
	}
	if held {
		select {
		case pause.here <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case err := <-pause.answer:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return d.fault.around(effect)
}

func (d *disk) path(kind, id string) string { return filepath.Join(d.dir, kind, id) }

func (d *disk) list(kind string) (ids []string, err error) {
	found, err := os.ReadDir(filepath.Join(d.dir, kind))
	for _, f := range found {
		ids = append(ids, f.Name())
	}
	return ids, err
}

// has is list for tests.
func (d *disk) has(kind string) []string {
	d.t.Helper()
	ids, err := d.list(kind)
	if err != nil {
		d.t.Fatal(err)
	}
	return ids
}

// A content is what an engine's storage holds.
type content struct {
	Version, Rows, User, Verifier, Database string
}

func (d *disk) read(id string) (c content, err error) {
	text, err := os.ReadFile(filepath.Join(d.path("engines", id), "data"))
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(text, &c)
}

func (d *disk) write(id string, c content) error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	// An interrupted call leaves the directory without the data.
	return errors.Join(os.MkdirAll(d.path("engines", id), 0o755), os.WriteFile(filepath.Join(d.path("engines", id), "data"), text, 0o644))
}

type engines struct{ *disk }

func (e engines) Versions(context.Context) ([]string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return []string{"17.2", "16.6", "15.18", "15.4"}, e.broken["Versions"]
}

func (e engines) Create(ctx context.Context, id, version string) error {
	return e.do(ctx, "Create", func() error { return e.write(id, content{Version: version}) })
}

func (e engines) Start(ctx context.Context, id string, spec clusters.EngineSpec) (at clusters.Endpoint, err error) {
	err = e.do(ctx, "Start", func() error {
		if _, err := e.read(id); err != nil {
			return err
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		if spec.Port == 0 {
			spec.Port = int32(20000 + len(e.running))
		}
		if _, runs := e.running[id]; !runs {
			e.running[id] = clusters.Endpoint{Host: "127.0.0.1", Port: spec.Port}
		}
		at = e.running[id]
		return nil
	})
	return at, err
}

func (e engines) Stop(ctx context.Context, id string) error {
	return e.do(ctx, "Stop", func() error {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.running, id)
		return nil
	})
}

func (e engines) Remove(ctx context.Context, id string) error {
	return e.do(ctx, "Remove", func() error {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.running, id)
		return os.RemoveAll(e.path("engines", id))
	})
}

func (e engines) Verifier(password string) (string, error) { return "scram of " + password, nil }

func (e engines) SetMaster(ctx context.Context, id string, m clusters.Master) error {
	return e.do(ctx, "SetMaster", func() error {
		e.mu.Lock()
		_, runs := e.running[id]
		e.mu.Unlock()
		if !runs {
			return fmt.Errorf("engine %s does not run", id)
		}
		c, err := e.read(id)
		if err != nil {
			return err
		}
		c.User, c.Verifier, c.Database = m.User, m.Verifier, m.Database
		return e.write(id, c)
	})
}

func (e engines) List(context.Context) ([]string, error) { return e.list("engines") }

type volumes struct{ *disk }

// put keeps plain, sealed under a data key: whoever has another cannot read it.
func (v volumes) put(to clusters.VolumeSpec, plain []byte) (clusters.VolumeInfo, error) {
	a, err := aead(to.DataKey)
	if err != nil {
		return clusters.VolumeInfo{}, err
	}
	sealed := a.Seal(nil, make([]byte, a.NonceSize()), plain, []byte(to.Lineage))
	return clusters.VolumeInfo{Digest: "of " + to.ID, Content: fmt.Sprintf("%x", sha256.Sum256(plain)), Bytes: int64(len(plain))}, os.WriteFile(v.path("volumes", to.ID), sealed, 0o644)
}

func (v volumes) get(from clusters.VolumeRef) ([]byte, error) {
	sealed, err := os.ReadFile(v.path("volumes", from.ID))
	if err != nil {
		return nil, err
	}
	if from.Digest != "of "+from.ID {
		return nil, fmt.Errorf("volume %s: digest %q", from.ID, from.Digest)
	}
	a, err := aead(from.DataKey)
	if err != nil {
		return nil, err
	}
	return a.Open(nil, make([]byte, a.NonceSize()), sealed, []byte(from.Lineage))
}

func aead(key clusters.PlainKey) (cipher.AEAD, error) {
	if len(key) != 32 || bytes.Equal(key, make([]byte, 32)) {
		return nil, errors.New("not a data key")
	}
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(b)
}

func (v volumes) Take(ctx context.Context, engine string, to clusters.VolumeSpec, p clusters.Progress) (info clusters.VolumeInfo, err error) {
	p(1, 4)
	err = v.do(ctx, "Take", func() error {
		v.mu.Lock()
		_, runs := v.running[engine]
		v.mu.Unlock()
		if !runs {
			return fmt.Errorf("engine %s does not run", engine)
		}
		c, err := v.read(engine)
		if err != nil {
			return err
		}
		text, err := json.Marshal(c)
		if err != nil {
			return err
		}
		info, err = v.put(to, text)
		return err
	})
	return info, err
}

func (v volumes) Copy(ctx context.Context, from clusters.VolumeRef, to clusters.VolumeSpec, p clusters.Progress) (info clusters.VolumeInfo, err error) {
	p(3, 4)
	err = v.do(ctx, "Copy", func() error {
		plain, err := v.get(from)
		if err != nil {
			return err
		}
		info, err = v.put(to, plain)
		return err
	})
	return info, err
}

func (v volumes) Restore(ctx context.Context, from clusters.VolumeRef, engine string, p clusters.Progress) error {
	p(2, 4)
	return v.do(ctx, "Restore", func() error {
		plain, err := v.get(from)
		if err != nil {
			return err
		}
		var c content
		if err := json.Unmarshal(plain, &c); err != nil {
			return err
		}
		return v.write(engine, c)
	})
}

func (v volumes) Delete(ctx context.Context, ref clusters.VolumeRef) error {
	return v.do(ctx, "Delete", func() error {
		if err := os.Remove(v.path("volumes", ref.ID)); !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	})
}

func (v volumes) List(context.Context) ([]clusters.VolumeRef, error) {
	ids, err := v.list("volumes")
	var refs []clusters.VolumeRef
	for _, id := range ids {
		refs = append(refs, clusters.VolumeRef{ID: id})
	}
	return refs, err
}

// faultyKeys is KMS as seen by a process that may die.
type faultyKeys struct {
	clusters.Keys
	fault *fault
}

func (k faultyKeys) RetireGrant(ctx context.Context, in *kms.RetireGrantInput) (out *kms.RetireGrantOutput, err error) {
	err = k.fault.around(func() error { out, err = k.Keys.RetireGrant(ctx, in); return err })
	return out, err
}

func (k faultyKeys) GenerateDataKey(ctx context.Context, in *kms.GenerateDataKeyInput) (out *kms.GenerateDataKeyOutput, err error) {
	err = k.fault.around(func() error { out, err = k.Keys.GenerateDataKey(ctx, in); return err })
	return out, err
}

func (k faultyKeys) Decrypt(ctx context.Context, in *kms.DecryptInput) (*kms.DecryptOutput, error) {
	if k.fault.dead() {
		return nil, errDead
	}
	return k.Keys.Decrypt(ctx, in)
}

type describedCluster struct{ *types.DBCluster }

func (c describedCluster) is(t testing.TB, status string) {
	t.Helper()
	if *c.Status != status {
		t.Errorf("cluster %s is %s (%s), want %s", *c.DBClusterIdentifier, *c.Status, c.reason(), status)
	}
}

func (c describedCluster) reason() string {
	var all []string
	for _, i := range c.StatusInfos {
		all = append(all, *i.Message)
	}
	return strings.Join(all, "; ")
}

type describedSnapshot struct{ *types.DBClusterSnapshot }

func (s describedSnapshot) is(t testing.TB, status string) {
	t.Helper()
	if *s.Status != status {
		t.Errorf("snapshot %s is %s, want %s", *s.DBClusterSnapshotIdentifier, *s.Status, status)
	}
}
