package clusters_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/google/go-cmp/cmp"
)

// The job that all of this is for: a snapshot under the default key of one
// account becomes a cluster under another account's own key.
func TestTheWholeJob(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "ann", everything)
	bob := w.person(abroad, "bob", everything)
	eve := w.person(far, "eve", everything)

	ann.cluster("shop")
	c := ann.describeCluster("shop")
	c.is(t, "available")
	w.insert(c.DbClusterResourceId, "100000 rows")
	ann.snapshot("nightly", "shop")
	ann.describeSnapshot("nightly").is(t, "available")
	ann.mayNot("share a snapshot under the default key", "InvalidParameterValue: Snapshots encrypted with the default service KMS key cannot be shared.", ann.share("nightly", string(abroad)))

	key := ann.key("")
	ann.may("copy under her own key", ann.copy("nightly", "handover", key))
	w.settle()
	bob.mayNot("copy before sharing", "DBClusterSnapshotNotFoundFault: DBClusterSnapshot not found: "+ann.arn("handover"), bob.copy(ann.arn("handover"), "mine", "alias/aws/rds"))
	ann.may("share", ann.share("handover", string(abroad)))
	refused := "KMSKeyNotAccessibleFault: The source snapshot KMS key [" + key + "] does not exist, is not enabled or you do not have permissions to access it."
	bob.mayNot("copy without the key", refused, bob.copy(ann.arn("handover"), "mine", "alias/aws/rds"))
	ann.may("let bob describe the key", ann.putPolicy(key, sharedKeyPolicy(home, abroad, "kms:DescribeKey", "kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*")))
	bob.mayNot("copy without CreateGrant", refused, bob.copy(ann.arn("handover"), "mine", "alias/aws/rds"))
	ann.may("let bob use the key", ann.putPolicy(key, sharedKeyPolicy(home, abroad, "kms:DescribeKey", "kms:CreateGrant")))
	bob.mayNot("copy by name", "DBClusterSnapshotNotFoundFault: DBClusterSnapshot not found: handover", bob.copy("handover", "mine", "alias/aws/rds"))
	bob.mayNot("copy without naming a key", "InvalidParameterValue: You must specify a value for KmsKeyId", bob.copy(ann.arn("handover"), "mine", ""))
	eve.mayNot("copy at all", "DBClusterSnapshotNotFoundFault", eve.copy(ann.arn("handover"), "mine", "alias/aws/rds"))

	own := bob.key("")
	bob.may("copy", bob.copy(ann.arn("handover"), "mine", own))
	w.settle()
	mine := bob.describeSnapshot("mine")
	mine.is(t, "available")
	if *mine.KmsKeyId != own || *mine.SourceDBClusterSnapshotArn != ann.arn("handover") || *mine.DbClusterResourceId != *c.DbClusterResourceId {
		t.Errorf("copy: key %s, source %s, lineage %s", *mine.KmsKeyId, *mine.SourceDBClusterSnapshotArn, *mine.DbClusterResourceId)
	}
	if a, b := ann.grants(key), bob.grants(own); a+b != 0 {
		t.Errorf("grants left after the copies: %d and %d", a, b)
	}

	// Afterwards bob depends on ann for nothing.
	ann.may("delete the shared copy", ann.deleteSnapshot("handover"))
	ann.disable(key)
	w.settle()
	bob.may("restore", bob.restore("mine", "shop", own))
	bob.may("create an instance", bob.instance("shop-1", "shop"))
	w.settle()
	restored := bob.describeCluster("shop")
	restored.is(t, "available")
	got, err := w.disk.read(*restored.DbClusterResourceId)
	if want := (content{Version: "15.18", Rows: "100000 rows", User: "master", Verifier: "scram of correct-horse", Database: "app"}); err != nil || got != want {
		t.Errorf("restored: %+v, %v; want %+v", got, err, want)
	}
	if *restored.Endpoint != "127.0.0.1" || *restored.Port == 0 || *restored.MasterUsername != "master" {
		t.Errorf("restored cluster at %s:%d as %s", *restored.Endpoint, *restored.Port, *restored.MasterUsername)
	}
	if n := bob.grants(own); n != 1 {
		t.Errorf("%d grants on the key of a living cluster, want 1", n)
	}
	w.clean()
}

// A copy under the source's key, and a cluster restored straight from a shared
// snapshot without naming a key, live and die with that key.
func TestWhatStaysOnTheSourceKeyDiesWithIt(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "ann", everything)
	bob := w.person(abroad, "bob", everything)
	key := ann.key(sharedKeyPolicy(home, abroad, "kms:DescribeKey", "kms:CreateGrant"))
	ann.cluster("shop", func(in *rds.CreateDBClusterInput) { in.KmsKeyId = &key })
	ann.snapshot("nightly", "shop")
	ann.may("share", ann.share("nightly", string(abroad)))

	bob.may("copy under ann's key", bob.copy(ann.arn("nightly"), "same", key))
	bob.may("restore straight from the share", bob.restore(ann.arn("nightly"), "direct", ""))
	bob.may("create an instance", bob.instance("direct-1", "direct"))
	w.settle()
	direct := bob.describeCluster("direct")
	direct.is(t, "available")
	if *direct.KmsKeyId != key {
		t.Errorf("key of the cluster: %s, want ann's", *direct.KmsKeyId)
	}

	ann.disable(key)
	refused := "KMSKeyNotAccessibleFault: The source snapshot KMS key [" + key + "]"
	bob.mayNot("restore from the copy under ann's key", refused, bob.restore("same", "again", "alias/aws/rds"))
	w.restart()
	w.settle()
	w.await("the cluster to be inaccessible", clusterIs("direct", "inaccessible-encryption-credentials-recoverable"))
	if s := bob.instanceStatus("direct-1"); s != "inaccessible-encryption-credentials-recoverable" {
		t.Errorf("instance is %s", s)
	}
	ann.enable(key)
	_, err := bob.rds().StartDBCluster(t.Context(), &rds.StartDBClusterInput{DBClusterIdentifier: new("direct")})
	bob.may("start the cluster again", err)
	w.settle()
	bob.describeCluster("direct").is(t, "available")
	if s := bob.instanceStatus("direct-1"); s != "available" {
		t.Errorf("instance is %s after the key came back", s)
	}
	w.clean()
}

// With LateShareRefusal sharing a default-key snapshot succeeds and helps nobody.
func TestLateShareRefusal(t *testing.T) {
	w := newWorld(t)
	w.late = true
	w.restart()
	ann := w.person(home, "ann", everything)
	bob := w.person(abroad, "bob", everything)
	ann.cluster("shop")
	ann.snapshot("nightly", "shop")
	ann.may("share a snapshot under the default key", ann.share("nightly", string(abroad)))
	key := *ann.describeSnapshot("nightly").KmsKeyId
	bob.mayNot("copy it", "KMSKeyNotAccessibleFault: The source snapshot KMS key ["+key+"] does not exist, is not enabled or you do not have permissions to access it.",
		bob.copy(ann.arn("nightly"), "mine", "alias/aws/rds"))
}

// Who is shown what.
func TestListings(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "ann", everything)
	bob := w.person(abroad, "bob", everything)
	ann.cluster("shop", func(in *rds.CreateDBClusterInput) { in.StorageEncrypted = nil })
	for _, s := range []string{"private", "shared", "public"} {
		ann.snapshot(s, "shop")
	}
	ann.may("share", ann.share("shared", string(abroad)))
	ann.may("publish", ann.share("public", "all"))
	bob.may("copy", bob.copy(ann.arn("public"), "own", ""))
	w.settle()

	for _, c := range []struct {
		name string
		who  *person
		in   rds.DescribeDBClusterSnapshotsInput
		want []string
	}{
		{"own", ann, rds.DescribeDBClusterSnapshotsInput{}, []string{"private", "public", "shared"}},
		{"own and shared", bob, rds.DescribeDBClusterSnapshotsInput{IncludeShared: new(true)}, []string{ann.arn("shared"), "own"}},
		{"own, shared and public", bob, rds.DescribeDBClusterSnapshotsInput{IncludeShared: new(true), IncludePublic: new(true)}, []string{ann.arn("public"), ann.arn("shared"), "own"}},
		{"shared", bob, rds.DescribeDBClusterSnapshotsInput{SnapshotType: new("shared"), IncludePublic: new(true)}, []string{ann.arn("shared")}},
		{"public", bob, rds.DescribeDBClusterSnapshotsInput{SnapshotType: new("public")}, []string{ann.arn("public")}},
		{"own public", ann, rds.DescribeDBClusterSnapshotsInput{SnapshotType: new("public")}, []string{"public"}},
		{"manual", bob, rds.DescribeDBClusterSnapshotsInput{SnapshotType: new("manual"), IncludeShared: new(true)}, []string{"own"}},
		{"automated", ann, rds.DescribeDBClusterSnapshotsInput{SnapshotType: new("automated")}, nil},
		{"of a cluster", ann, rds.DescribeDBClusterSnapshotsInput{DBClusterIdentifier: new("SHOP")}, []string{"private", "public", "shared"}},
		{"of no cluster", ann, rds.DescribeDBClusterSnapshotsInput{DBClusterIdentifier: new("none")}, nil},
		{"by ARN", bob, rds.DescribeDBClusterSnapshotsInput{DBClusterSnapshotIdentifier: new(ann.arn("shared"))}, []string{ann.arn("shared")}},
	} {
		out, err := c.who.rds().DescribeDBClusterSnapshots(t.Context(), &c.in)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var got []string
		for _, s := range out.DBClusterSnapshots {
			got = append(got, *s.DBClusterSnapshotIdentifier)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
	bob.mayNot("see a private one", "DBClusterSnapshotNotFoundFault: DBClusterSnapshot not found: "+ann.arn("private"), func() error {
		_, err := bob.rds().DescribeDBClusterSnapshots(t.Context(), &rds.DescribeDBClusterSnapshotsInput{DBClusterSnapshotIdentifier: new(ann.arn("private"))})
		return err
	}())
	bob.mayNot("share on what is not his", "DBClusterSnapshotNotFoundFault", bob.share(ann.arn("shared"), string(far)))
	bob.mayNot("delete what is not his", "DBClusterSnapshotNotFoundFault", bob.deleteSnapshot(ann.arn("shared")))
}
