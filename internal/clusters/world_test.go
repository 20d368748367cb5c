package clusters_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"borealis/internal/audit"
	"borealis/internal/cloud"
	"borealis/internal/clusters"
	"borealis/internal/keys"
	"borealis/internal/policy"
	"borealis/internal/seal"
	"borealis/internal/store"
)

const (
	home   cloud.AccountID = "111122223333"
	abroad cloud.AccountID = "444455556666"
	far    cloud.AccountID = "999999999999"
	region cloud.Region    = "eu-west-1"
)

// A world is the RDS service over a real database and a real key service, with
// engines and volumes that are files. Its worker runs until the test ends.
type world struct {
	t      testing.TB
	dir    string
	db     *store.DB
	root   *seal.Root
	who    *directory
	log    *eventLog
	kms    *keys.Service
	rds    *clusters.Service
	store  *watchedStore
	disk   *disk
	fault  *fault
	stop   func()
	late   bool                // LateShareRefusal
	check  time.Duration       // KeyCheck
	keyARN string              // a key of home's, where a test needs one
	ghost  *clusters.Operation // what the worker's store lists and has not
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, dir: t.TempDir(), root: seal.NewRoot(), log: new(eventLog), who: &directory{people: map[string]policy.Identity{}}, fault: &fault{died: make(chan struct{})}, check: time.Millisecond}
	w.open()
	w.run()
	t.Cleanup(func() { w.stop(); w.db.Close() })
	return w
}

// open makes the services anew on what is on disk, as a new process does.
func (w *world) open() {
	w.t.Helper()
	db, err := store.Open(context.Background(), filepath.Join(w.dir, "db"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.db = db
	w.disk = newDisk(w.t, w.dir, w.fault)
	w.kms = &keys.Service{Store: db.Keys(), Policies: w.who, Principals: w.who, Audit: w.log, Sealer: w.root.Derive("keys"), Now: time.Now}
	w.store = newWatchedStore(db.Clusters(), w.fault)
	w.rds = &clusters.Service{
		Store: w.store, Policies: w.who, Audit: w.log, Engines: engines{w.disk}, Volumes: volumes{w.disk},
		Keys: func(c cloud.Caller) clusters.Keys { return faultyKeys{w.kms.As(c), w.fault} },
		Now:  time.Now, Log: slog.New(slog.NewTextHandler(w.t.Output(), nil)), KeyCheck: w.check, LateShareRefusal: w.late,
	}
	if w.ghost != nil {
		w.rds.Store = ghostStore{w.store, *w.ghost}
	}
	w.stop = func() {}
}

// run starts the worker.
func (w *world) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.rds.Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil && !w.fault.dead() && !errors.Is(err, context.Canceled) {
			w.t.Errorf("Run: %v", err)
		}
	})
}

// restart ends the process, if it has not died already, and starts another on
// what is on disk.
func (w *world) restart() {
	w.t.Helper()
	w.stop()
	w.db.Close()
	w.fault.reset()
	w.open()
	w.run()
}

// settle waits until there are no operations left.
func (w *world) settle() {
	w.t.Helper()
	w.await("all operations to end", func(tx clusters.Tx) bool {
		ops, err := tx.Operations()
		return err == nil && len(ops) == 0
	})
}

// await waits until the database satisfies is.
func (w *world) await(what string, is func(clusters.Tx) bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	for {
		changed := w.store.changed()
		var ok bool
		if err := w.store.Store.View(ctx, func(tx clusters.Tx) error { ok = is(tx); return nil }); err != nil {
			w.t.Fatalf("waiting for %s: %v", what, err)
		}
		if ok {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			w.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// A watchedStore tells who waits when something was written.
type watchedStore struct {
	clusters.Store
	fault *fault
	mu    sync.Mutex
	next  chan struct{}
}

func newWatchedStore(s clusters.Store, f *fault) *watchedStore {
	return &watchedStore{Store: s, fault: f, next: make(chan struct{})}
}

func (s *watchedStore) changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next
}

func (s *watchedStore) Update(ctx context.Context, fn func(clusters.Tx) error) error {
	err := s.fault.around(func() error { return s.Store.Update(ctx, fn) })
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.next)
	s.next = make(chan struct{})
	return err
}

func (s *watchedStore) View(ctx context.Context, fn func(clusters.Tx) error) error {
	if s.fault.dead() {
		return errDead
	}
	return s.Store.View(ctx, fn)
}

// A directory is who exists and what speaks for them.
type directory struct {
	mu     sync.Mutex
	people map[string]policy.Identity
}

func (d *directory) Complete(_ context.Context, q *policy.Question) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	q.Identity = d.people[q.Caller.Principal]
	return nil
}

func (d *directory) PrincipalID(_ context.Context, arn string) (string, error) {
	if a, err := cloud.ParseAccountID(arn); err == nil {
		return string(a), nil
	}
	if a, err := cloud.ParseARN(arn); err == nil && a.Resource == "root" {
		return string(a.Account), nil
	}
	return "AID" + arn, nil
}

func (d *directory) PrincipalARN(_ context.Context, id string) (string, error) {
	if a, err := cloud.ParseAccountID(id); err == nil {
		return a.Root().String(), nil
	}
	return strings.TrimPrefix(id, "AID"), nil
}

// An eventLog keeps what was put on record.
type eventLog struct {
	mu     sync.Mutex
	events []audit.Event
}

func (l *eventLog) Record(e audit.Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
	return nil
}

// insert changes the data of a cluster's engine.
func (w *world) insert(id *string, rows string) {
	w.t.Helper()
	c, err := w.disk.read(*id)
	if err != nil {
		w.t.Fatal(err)
	}
	c.Rows = rows
	if err := w.disk.write(*id, c); err != nil {
		w.t.Fatal(err)
	}
}

// clusterIs is a condition to await.
func clusterIs(name string, status clusters.ClusterStatus) func(clusters.Tx) bool {
	return func(tx clusters.Tx) bool {
		all, err := tx.Clusters().All()
		for _, c := range all {
			if c.Name == name && c.Status == status {
				return err == nil
			}
		}
		return false
	}
}

// clean makes sure that nothing is on disk, running or kept that no row speaks
// of, and the other way round.
func (w *world) clean() {
	w.t.Helper()
	err := w.store.Store.View(w.t.Context(), func(tx clusters.Tx) error {
		all, err := tx.Clusters().All()
		if err != nil {
			return err
		}
		snapshots, err := tx.Snapshots().All()
		if err != nil {
			return err
		}
		instances, err := tx.Instances().All()
		if err != nil {
			return err
		}
		dataKeys, err := tx.DataKeys()
		engines, volumes, kept, running := map[string]bool{}, map[string]bool{}, map[clusters.DataKeyID]bool{}, map[string]bool{}
		for _, c := range all {
			engines[c.ID] = c.Status != clusters.ClusterFailed
			kept[clusters.DataKeyID{Account: c.Account, Lineage: c.ID, KeyARN: c.KeyARN}] = true
		}
		for _, s := range snapshots {
			volumes[s.VolumeID] = s.Status == clusters.SnapshotAvailable
			kept[clusters.DataKeyID{Account: s.Account, Lineage: s.Lineage, KeyARN: s.KeyARN}] = true
		}
		for _, i := range instances {
			running[i.ClusterID] = i.Status == clusters.InstanceAvailable
		}
		w.same("engines", engines, w.disk.has("engines"))
		w.same("volumes", volumes, w.disk.has("volumes"))
		w.disk.mu.Lock()
		defer w.disk.mu.Unlock()
		var run []string
		for id := range w.disk.running {
			run = append(run, id)
		}
		w.same("running engines", running, run)
		for _, k := range dataKeys {
			if !kept[k.DataKeyID] {
				w.t.Errorf("a data key of %s is kept for nothing", k.Lineage)
			}
		}
		return err
	})
	if err != nil {
		w.t.Error(err)
	}
}

func (w *world) same(what string, want map[string]bool, got []string) {
	w.t.Helper()
	for _, id := range got {
		if !want[id] {
			w.t.Errorf("%s: %s is an orphan", what, id)
		}
		delete(want, id)
	}
	for id, is := range want {
		if is {
			w.t.Errorf("%s: %s is missing", what, id)
		}
	}
}
