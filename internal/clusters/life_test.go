package clusters_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/rds"

	"borealis/internal/clusters"
)

// A key that is put out of use during a copy, in whatever way, ends it, and the
// copy says so. Nothing of what was copied is left.
func TestKeyLostDuringCopy(t *testing.T) {
	for how, lose := range map[string]func(ann *person, key string){
		"disabled": func(ann *person, key string) { ann.disable(key) },
		"pending deletion": func(ann *person, key string) {
			_, err := ann.kms().ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: &key})
			ann.may("delete the key", err)
		},
		"grant revoked": func(ann *person, key string) {
			out, err := ann.kms().ListGrants(t.Context(), &kms.ListGrantsInput{KeyId: &key})
			ann.may("list grants", err)
			for _, g := range out.Grants {
				_, err := ann.kms().RevokeGrant(t.Context(), &kms.RevokeGrantInput{KeyId: &key, GrantId: g.GrantId})
				ann.may("revoke the grant", err)
			}
		},
		"denied by the key policy": func(ann *person, key string) {
			ann.may("deny", ann.putPolicy(key, `{"Version":"2012-10-17","Statement":[
				{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"},
				{"Effect":"Deny","Principal":"*","Action":"kms:Decrypt","Resource":"*"}]}`))
		},
	} {
		t.Run(how, func(t *testing.T) { keyLostDuringCopy(t, lose) })
	}
}

func keyLostDuringCopy(t *testing.T, lose func(ann *person, key string)) {
	w := newWorld(t)
	ann := w.person(home, "ann", everything)
	key := ann.key("")
	ann.cluster("shop")
	ann.snapshot("nightly", "shop")
	held := w.disk.holds("Copy") // for ever: what ends the copy is the watch over the keys
	ann.may("begin to copy", ann.copy("nightly", "mine", key))
	<-held.here
	if p := *ann.describeSnapshot("mine").PercentProgress; p != 75 {
		t.Errorf("three of four bytes done are %d%%", p)
	}
	lose(ann, key)
	w.settle()
	mine := ann.describeSnapshot("mine")
	mine.is(t, "failed")
	if got := rootOf(mine.TagList); got != "" {
		t.Errorf("what failed has content root %q", got)
	}
	w.reasonOf("mine", "a KMS key cannot be used: "+key)
	if n := ann.grants(key); n != 0 {
		t.Errorf("%d grants left", n)
	}
	w.clean()
	ann.mayNot("copy what failed", "InvalidDBClusterSnapshotStateFault", ann.copy("mine", "other", key))
	ann.may("delete what failed", ann.deleteSnapshot("mine"))
	w.settle()
	w.clean()
}

// A grant outlives the statement of the key policy that it was got by, and the copy
// that runs under it goes on.
func TestKeyPolicyNarrowedDuringCopy(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "ann", everything)
	bob := w.person(abroad, "bob", everything)
	key := ann.key(sharedKeyPolicy(home, abroad, "kms:DescribeKey", "kms:CreateGrant"))
	ann.cluster("shop", func(in *rds.CreateDBClusterInput) { in.KmsKeyId = &key })
	ann.snapshot("nightly", "shop")
	ann.may("share", ann.share("nightly", string(abroad)))
	held := w.disk.holds("Copy")
	bob.may("begin to copy", bob.copy(ann.arn("nightly"), "mine", bob.key("")))
	<-held.here
	ann.may("take bob out of the policy", ann.putPolicy(key, sharedKeyPolicy(home, far, "kms:DescribeKey")))
	held.answer <- nil
	w.settle()
	bob.describeSnapshot("mine").is(t, "available")
	w.clean()
}

// A key lost in the last moment still fails the copy: it is checked at the end.
func TestKeyLostAtTheEndOfACopy(t *testing.T) {
	w := newWorld(t)
	w.check = time.Hour
	w.restart()
	ann := w.person(home, "ann", everything)
	key := ann.key("")
	ann.cluster("shop")
	ann.snapshot("nightly", "shop")
	held := w.disk.holds("Copy")
	ann.may("begin to copy", ann.copy("nightly", "mine", key))
	<-held.here
	if p := *ann.describeSnapshot("mine").PercentProgress; p != 75 {
		t.Errorf("three of four bytes done are %d%%", p)
	}
	ann.disable(key)
	held.answer <- nil
	w.settle()
	ann.describeSnapshot("mine").is(t, "failed")
	w.clean()
}

// Deleting a snapshot that is being copied cancels the copy; deleting the source
// does not.
func TestDeleteDuringCopy(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "ann", everything)
	key := ann.key("")
	ann.cluster("shop")
	ann.snapshot("nightly", "shop")
	held := w.disk.holds("Copy")
	ann.may("begin to copy", ann.copy("nightly", "cancelled", key))
	ann.may("queue another copy", ann.copy("nightly", "kept", key))
	<-held.here
	if p := *ann.describeSnapshot("cancelled").PercentProgress; p != 75 {
		t.Errorf("three of four bytes done are %d%%", p)
	}
	if p := *ann.describeSnapshot("kept").PercentProgress; p != 0 {
		t.Errorf("a queued copy shows %d%%", p)
	}
	ann.may("cancel the copy", ann.deleteSnapshot("cancelled"))
	ann.may("delete the source", ann.deleteSnapshot("nightly"))
	<-held.here // the other copy's turn
	held.answer <- nil
	w.settle()
	_, err := ann.rds().DescribeDBClusterSnapshots(t.Context(), &rds.DescribeDBClusterSnapshotsInput{DBClusterSnapshotIdentifier: new("cancelled")})
	ann.mayNot("find the cancelled copy", "DBClusterSnapshotNotFoundFault: DBClusterSnapshot not found: cancelled", err)
	ann.describeSnapshot("kept").is(t, "available")
	if n := ann.grants(key); n != 0 {
		t.Errorf("%d grants left", n)
	}
	w.clean()
}

// A snapshot in the making says so, and so does its cluster.
func TestBackingUp(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "ann", everything)
	ann.cluster("shop")
	held := w.disk.holds("Take")
	ann.may("begin a snapshot", ann.take("nightly", "shop"))
	ann.describeCluster("shop").is(t, "backing-up")
	ann.describeSnapshot("nightly").is(t, "creating")
	ann.mayNot("take another one meanwhile", "InvalidDBClusterStateFault", ann.take("other", "shop"))
	ann.mayNot("delete what is being made", "InvalidDBClusterSnapshotStateFault", ann.deleteSnapshot("nightly"))
	ann.mayNot("share what is being made", "InvalidDBClusterSnapshotStateFault", ann.share("nightly", string(abroad)))
	ann.mayNot("restore what is being made", "InvalidDBClusterSnapshotStateFault", ann.restore("nightly", "other", ""))
	held.answer <- errors.New("the disk is full")
	w.settle()
	ann.describeCluster("shop").is(t, "available")
	ann.describeSnapshot("nightly").is(t, "failed")
	w.reasonOf("nightly", "the disk is full")
	w.clean()
}

// What cannot be made says why, leaves nothing behind, and can be deleted.
func TestFailures(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "ann", everything)
	w.keyARN = ann.key("")
	ann.cluster("shop")
	ann.snapshot("nightly", "shop")
	broken := errors.New("initdb says no")
	for _, c := range []string{"Create", "Restore", "Start"} {
		w.disk.breaks(c, broken)
	}
	ann.may("promise a cluster", ann.create("new"))
	ann.may("promise a restore", ann.restore("nightly", "restored", w.keyARN))
	w.settle()
	for _, name := range []string{"new", "restored"} {
		c := ann.describeCluster(name)
		c.is(t, "failed")
		if !strings.Contains(c.reason(), "initdb says no") {
			t.Errorf("%s: reason %q", name, c.reason())
		}
		ann.mayNot("create an instance in what failed", "InvalidDBClusterStateFault", ann.instance("new-1", name))
	}
	w.disk.breaks("Create", nil)
	ann.may("promise a cluster", ann.create("idle"))
	ann.may("promise an instance", ann.instance("idle-1", "idle"))
	w.settle()
	if s := ann.instanceStatus("idle-1"); s != "failed" {
		t.Errorf("instance that cannot start is %s", s)
	}
	ann.describeCluster("idle").is(t, "available")
	w.disk.breaks("Start", nil)
	ann.may("delete the instance", ann.deleteInstance("idle-1"))
	for _, name := range []string{"new", "restored", "idle"} {
		ann.may("delete what failed", func() error { w.settle(); return ann.deleteCluster(name) }())
	}
	w.settle()
	if n := ann.grants(w.keyARN); n != 0 {
		t.Errorf("%d grants left", n)
	}
	w.clean()
}

// A cluster is deleted only when its last snapshot is there.
func TestFinalSnapshot(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "ann", everything)
	w.keyARN = ann.key("")
	ann.may("create a cluster", ann.create("shop")) // and never an instance: its engine has not run yet
	w.settle()
	w.disk.breaks("Take", errors.New("the disk is full"))
	ann.may("promise deletion", ann.deleteClusterLast("shop"))
	ann.describeCluster("shop").is(t, "deleting")
	w.settle()
	c := ann.describeCluster("shop")
	c.is(t, "available")
	if !strings.Contains(c.reason(), "the disk is full") {
		t.Errorf("reason: %q", c.reason())
	}
	if n := ann.grants(w.keyARN); n != 1 {
		t.Errorf("%d grants, want the cluster's", n)
	}
	w.disk.breaks("Take", nil)
	ann.mayNot("use the name of the failed snapshot", "DBClusterSnapshotAlreadyExistsFault", ann.deleteClusterLast("shop"))
	ann.may("delete the failed snapshot", ann.deleteSnapshot("shop"))
	ann.may("delete the cluster", ann.deleteClusterLast("shop"))
	w.settle()
	ann.describeSnapshot("shop").is(t, "available")
	ann.may("restore the last snapshot", ann.restore("shop", "again", ""))
	w.settle()
	got, err := w.disk.read(*ann.describeCluster("again").DbClusterResourceId)
	if err != nil || got.User != "master" {
		t.Errorf("restored: %+v, %v; want the master user in it", got, err)
	}
	w.clean()
}

// The life of a cluster: stopped, started, a new password, and its protection.
func TestClusterLife(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "ann", everything)
	ann.cluster("shop", func(in *rds.CreateDBClusterInput) { in.DeletionProtection = new(true) })
	c := ann.describeCluster("shop")
	first := *c.Port
	ann.mayNot("start what runs", "InvalidDBClusterStateFault: DbCluster shop is in available state but expected it to be one of stopped, inaccessible-encryption-credentials-recoverable.", ann.startCluster("shop"))
	ann.may("stop", ann.stopCluster("shop"))
	w.settle()
	ann.describeCluster("shop").is(t, "stopped")
	ann.mayNot("take a snapshot of what is stopped", "InvalidDBClusterStateFault", ann.take("x", "shop"))
	w.restart()
	w.settle()
	w.clean()
	ann.may("start", ann.startCluster("shop"))
	w.settle()
	if c := ann.describeCluster("shop"); *c.Status != "available" || *c.Port != first || *c.Endpoint != *c.ReaderEndpoint {
		t.Errorf("started again: %s on port %d, before on %d", *c.Status, *c.Port, first)
	}

	ann.may("set a password", ann.setPassword("shop"))
	w.settle()
	if got, err := w.disk.read(*c.DbClusterResourceId); err != nil || got.Verifier != "scram of battery-staple" {
		t.Errorf("engine knows %q, %v", got.Verifier, err)
	}
	ann.mayNot("delete with an instance in it", "InvalidParameterCombination: Cannot delete protected Cluster, please disable deletion protection and try again.", ann.deleteCluster("shop"))
	_, err := ann.rds().ModifyDBCluster(t.Context(), &rds.ModifyDBClusterInput{DBClusterIdentifier: new("shop"), DeletionProtection: new(false), BackupRetentionPeriod: new(int32(7))})
	ann.may("end the protection", err)
	if c := ann.describeCluster("shop"); *c.DeletionProtection || *c.BackupRetentionPeriod != 7 {
		t.Errorf("modified: protection %v, retention %d", *c.DeletionProtection, *c.BackupRetentionPeriod)
	}
	ann.mayNot("delete with an instance in it", "InvalidDBClusterStateFault: Cluster cannot be deleted, it still contains DB instances in non-deleting state.", ann.deleteCluster("shop"))
	ann.may("delete the instance", ann.deleteInstance("shop-1"))
	ann.may("delete the cluster while the instance goes", ann.deleteCluster("shop"))
	w.settle()
	_, err = ann.rds().DescribeDBClusters(t.Context(), &rds.DescribeDBClustersInput{DBClusterIdentifier: new("shop")})
	ann.mayNot("find it", "DBClusterNotFoundFault: DBCluster shop not found.", err)
	w.clean()
}

// No password, in whatever form, is kept in the clear; nor is a data key of an
// encrypted cluster.
func TestNothingSecretIsKept(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "ann", everything)
	held := w.disk.holds("SetMaster")
	in := newCluster("shop")
	_, err := ann.rds().CreateDBCluster(t.Context(), in)
	ann.may("create", err)
	ann.may("create an instance", ann.instance("shop-1", "shop"))
	held.answer <- nil
	w.settle()
	err = w.store.Store.View(t.Context(), func(tx clusters.Tx) error {
		all, err := tx.Clusters().All()
		for _, c := range all {
			if c.Verifier != "" {
				t.Errorf("verifier still kept: %q", c.Verifier)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if s := fmt.Sprintf("%v %+v %#v %s %x", clusters.PlainKey("k"), clusters.VolumeSpec{DataKey: clusters.PlainKey("k")}, clusters.PlainKey("k"), clusters.PlainKey("k"), clusters.PlainKey("k")); strings.Count(s, "REDACTED") != 5 {
		t.Errorf("a data key printed: %s", s)
	}
}

// A default key made on first use is the account's own in each Region; one that
// waits for deletion stops its cluster at the next start.
func TestKeyScheduledForDeletion(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "ann", everything)
	w.keyARN = ann.key("")
	ann.may("create", ann.createWithInstance("shop"))
	w.settle()
	_, err := ann.kms().ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: &w.keyARN})
	ann.may("schedule deletion", err)
	ann.mayNot("take a snapshot", "KMSKeyNotAccessibleFault: Specified KMS key ["+w.keyARN+"] does not exist, is not enabled or you do not have permissions to access it.", ann.take("x", "shop"))
	ann.may("stop", ann.stopCluster("shop"))
	w.settle()
	ann.may("promise a start", ann.startCluster("shop"))
	w.settle()
	ann.describeCluster("shop").is(t, "inaccessible-encryption-credentials-recoverable")
	w.clean()
	ann.may("delete the instance", ann.deleteInstance("shop"))
	ann.may("delete the cluster", ann.deleteCluster("shop"))
	w.settle()
	w.clean()
}

func (w *world) reasonOf(snapshot, want string) {
	w.t.Helper()
	err := w.store.Store.View(w.t.Context(), func(tx clusters.Tx) error {
		s, err := tx.Snapshots().Named(home, region, snapshot)
		if !strings.Contains(s.Reason, want) {
			w.t.Errorf("reason of %s: %q, want %q in it", snapshot, s.Reason, want)
		}
		return err
	})
	if err != nil {
		w.t.Error(err)
	}
}
