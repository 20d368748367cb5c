package clusters_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/rds"

	"borealis/internal/clusters"
)

// A process killed at any of the calls that leave it, before the call takes
// effect or after it with the answer lost, has its work finished by the next
// one: everything ends available or gone, and nothing is orphaned.
func TestKilledAnywhere(t *testing.T) {
	for _, c := range []struct {
		name string
		// ready makes what do needs; name is new each time.
		ready, do func(p *person, name string) error
		// ends says whether things are as they should be once do has been promised.
		ends func(tx clusters.Tx, name string) bool
	}{
		{"create cluster", nil, (*person).create, cluster(clusters.ClusterAvailable)},
		{"create instance", (*person).create, func(p *person, name string) error { return p.instance(name, name) }, instance(clusters.InstanceAvailable)},
		{"take snapshot", nil, func(p *person, name string) error { return p.take(name, "shop") }, snapshot(clusters.SnapshotAvailable)},
		{"copy", nil, func(p *person, name string) error { return p.copy("nightly", name, p.w.keyARN) }, snapshot(clusters.SnapshotAvailable)},
		{"restore", nil, func(p *person, name string) error { return p.restore("nightly", name, p.w.keyARN) }, cluster(clusters.ClusterAvailable)},
		{"stop", (*person).createWithInstance, (*person).stopCluster, instance(clusters.InstanceStopped)},
		{"start", (*person).createStopped, (*person).startCluster, instance(clusters.InstanceAvailable)},
		{"set password", (*person).createWithInstance, (*person).setPassword, cluster(clusters.ClusterAvailable)},
		{"delete instance", (*person).createWithInstance, (*person).deleteInstance, instance("")},
		{"delete cluster", (*person).create, (*person).deleteCluster, cluster("")},
		{"delete cluster, last snapshot", (*person).create, (*person).deleteClusterLast, snapshot(clusters.SnapshotAvailable)},
		{"delete snapshot", func(p *person, name string) error { return p.take(name, "shop") }, (*person).deleteSnapshot, snapshot("")},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.check = time.Hour
			ann := w.person(home, "ann", everything)
			w.keyARN = ann.key("")
			ann.cluster("shop")
			ann.snapshot("nightly", "shop")
			for n := 1; ; n++ {
				survived := w.killAt(c.name, ann, n, false, c.ready, c.do, c.ends)
				w.killAt(c.name, ann, n, true, c.ready, c.do, c.ends)
				if survived {
					if n < 3 {
						t.Errorf("only %d calls to die at", n)
					}
					return
				}
			}
		})
	}
}

// killAt kills the process at call n of do, and reports whether it never came
// to that call.
func (w *world) killAt(what string, p *person, n int, after bool, ready, do func(*person, string) error, ends func(clusters.Tx, string) bool) (survived bool) {
	w.t.Helper()
	name := fmt.Sprintf("x%d-%v", n, after)
	w.restart()
	w.await("the engines to be back", func(clusters.Tx) bool { return w.disk.count() > 0 })
	if ready != nil {
		p.may("prepare to "+what, ready(p, name))
		w.settle()
	}
	before := p.grants(w.keyARN) - w.living()
	w.fault.arm(int64(n), after)
	promised := do(p, name)
	if promised != nil && !errors.Is(promised, errDead) {
		w.t.Fatalf("%s: %v", what, promised)
	}
	w.untilDeadOrSettled(w.t.Context())
	survived = !w.fault.dead()
	w.restart()
	w.settle()
	w.await("the engines to be back", func(tx clusters.Tx) bool { return w.allBack(tx) })
	err := w.store.Store.View(w.t.Context(), func(tx clusters.Tx) error {
		if promised == nil && !ends(tx, name) {
			w.t.Errorf("%s, killed at call %d (after: %v): did not end as promised", what, n, after)
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.clean()
	if got, want := p.grants(w.keyARN), w.living()+before; got > want && promised == nil {
		w.t.Errorf("%s, killed at call %d (after: %v): %d grants, want %d", what, n, after, got, want)
	}
	w.tidy(p, name)
	return survived
}

// untilDeadOrSettled waits for the process to die or to have no work left.
func (w *world) untilDeadOrSettled(ctx context.Context) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		changed := w.store.changed()
		var left int
		err := w.store.View(ctx, func(tx clusters.Tx) error {
			ops, err := tx.Operations()
			left = len(ops)
			return err
		})
		if err != nil || left == 0 {
			return
		}
		select {
		case <-changed:
		case <-w.fault.death():
			return
		case <-ctx.Done():
			w.t.Fatal("waited in vain for the process to end its work, or die")
		}
	}
}

// allBack reports whether every engine that is to run does.
func (w *world) allBack(tx clusters.Tx) bool {
	instances, err := tx.Instances().All()
	w.disk.mu.Lock()
	defer w.disk.mu.Unlock()
	for _, i := range instances {
		if _, runs := w.disk.running[i.ClusterID]; !runs && i.Status == clusters.InstanceAvailable {
			return false
		}
	}
	return err == nil
}

// living counts the clusters that hold a grant on the world's key.
func (w *world) living() (n int) {
	err := w.store.Store.View(w.t.Context(), func(tx clusters.Tx) error {
		all, err := tx.Clusters().All()
		for _, c := range all {
			if c.KeyARN == w.keyARN {
				n++
			}
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// tidy removes what a round has left, so that no quota is reached.
func (w *world) tidy(p *person, name string) {
	w.t.Helper()
	for _, remove := range []func(*person, string) error{(*person).deleteInstance, (*person).deleteCluster, (*person).deleteSnapshot} {
		_ = remove(p, name) // there may be none
		w.settle()
	}
	w.clean()
}

func (d *disk) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.running)
}

func (f *fault) arm(at int64, after bool) {
	f.calls.Store(0)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at, f.after = at, after
}

// The conditions of TestKilledAnywhere: what is called name has a status, or is
// not there if that is "".

func cluster(want clusters.ClusterStatus) func(clusters.Tx, string) bool {
	return func(tx clusters.Tx, name string) bool {
		c, _ := tx.Clusters().Named(home, region, name)
		return c.Status == want
	}
}

func instance(want clusters.InstanceStatus) func(clusters.Tx, string) bool {
	return func(tx clusters.Tx, name string) bool {
		i, _ := tx.Instances().Named(home, region, name)
		return i.Status == want
	}
}

func snapshot(want clusters.SnapshotStatus) func(clusters.Tx, string) bool {
	return func(tx clusters.Tx, name string) bool {
		s, _ := tx.Snapshots().Named(home, region, name)
		return s.Status == want
	}
}

func (p *person) create(name string) error {
	in := newCluster(name)
	in.KmsKeyId = &p.w.keyARN
	_, err := p.rds().CreateDBCluster(p.w.t.Context(), in)
	return err
}

func (p *person) createWithInstance(name string) error {
	if err := p.create(name); err != nil {
		return err
	}
	return p.instance(name, name)
}

func (p *person) createStopped(name string) error {
	if err := p.createWithInstance(name); err != nil {
		return err
	}
	p.w.settle()
	return p.stopCluster(name)
}

func (p *person) stopCluster(name string) error {
	_, err := p.rds().StopDBCluster(p.w.t.Context(), &rds.StopDBClusterInput{DBClusterIdentifier: &name})
	return err
}

func (p *person) startCluster(name string) error {
	_, err := p.rds().StartDBCluster(p.w.t.Context(), &rds.StartDBClusterInput{DBClusterIdentifier: &name})
	return err
}

func (p *person) setPassword(name string) error {
	_, err := p.rds().ModifyDBCluster(p.w.t.Context(), &rds.ModifyDBClusterInput{DBClusterIdentifier: &name, MasterUserPassword: new("battery-staple")})
	return err
}

func (p *person) deleteInstance(name string) error {
	_, err := p.rds().DeleteDBInstance(p.w.t.Context(), &rds.DeleteDBInstanceInput{DBInstanceIdentifier: &name})
	return err
}

func (p *person) deleteCluster(name string) error {
	_, err := p.rds().DeleteDBCluster(p.w.t.Context(), &rds.DeleteDBClusterInput{DBClusterIdentifier: &name, SkipFinalSnapshot: new(true)})
	return err
}

func (p *person) deleteClusterLast(name string) error {
	_, err := p.rds().DeleteDBCluster(p.w.t.Context(), &rds.DeleteDBClusterInput{DBClusterIdentifier: &name, FinalDBSnapshotIdentifier: &name})
	return err
}

// An operation that takes its process with it every time is given up; one that
// is interrupted by orderly restarts is not.
func TestPoison(t *testing.T) {
	w := newWorld(t)
	w.check = time.Hour
	ann := w.person(home, "ann", everything)
	ann.cluster("shop")
	ann.snapshot("nightly", "shop")
	w.restart()
	held := w.disk.holds("Copy")
	ann.may("begin to copy", ann.copy("nightly", "mine", ""))
	for range 7 {
		<-held.here
		w.stop()
		w.db.Close()
		w.open()
		held = w.disk.holds("Copy")
		w.run()
	}
	<-held.here
	ann.describeSnapshot("mine").is(t, "copying")
	for range 5 {
		w.stop()
		w.db.Close()
		w.fault.reset()
		w.open()
		w.disk.breaks("Copy", errDead)
		w.run()
		w.untilDeadOrSettled(t.Context())
		if !w.fault.dead() {
			t.Fatal("the copy was given up too early")
		}
	}
	w.restart()
	w.settle()
	ann.describeSnapshot("mine").is(t, "failed")
	w.reasonOf("mine", "given up after 5 attempts")
	w.clean()
}

// An operation that ends between the worker's two looks at it holds up nothing.
func TestOperationEndsBetweenTwoLooks(t *testing.T) {
	w := newWorld(t)
	w.ghost = &clusters.Operation{ID: "op-ghost", Kind: clusters.CopySnapshot, Lane: "ghost"}
	w.restart()
	ann := w.person(home, "ann", everything)
	ann.cluster("shop")
	ann.snapshot("nightly", "shop")
	ann.describeSnapshot("nightly").is(t, "available")
}

// A ghostStore lists an operation that is not there any more.
type ghostStore struct {
	clusters.Store
	ghost clusters.Operation
}

func (s ghostStore) View(ctx context.Context, fn func(clusters.Tx) error) error {
	return s.Store.View(ctx, func(tx clusters.Tx) error { return fn(ghostTx{tx, s.ghost}) })
}

type ghostTx struct {
	clusters.Tx
	ghost clusters.Operation
}

func (t ghostTx) Operations() ([]clusters.Operation, error) {
	ops, err := t.Tx.Operations()
	return append([]clusters.Operation{t.ghost}, ops...), err
}
