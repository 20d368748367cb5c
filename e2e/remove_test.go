package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/rds"
)

// both runs a command about the two accounts.
func (w *sharing) both(t *testing.T, args ...string) outcome {
	t.Helper()
	return finish(t, w.borealis(t.Context(), append(args, "--source-profile", "prod", "--target-profile", "backup")...))
}

// says fails t unless a command ended well and said all of words, and none of those
// that begin with "not: ".
func (o outcome) says(t *testing.T, words ...string) {
	t.Helper()
	o.wants(t, 0)
	for _, word := range words {
		word, not := strings.CutPrefix(word, "not: ")
		if strings.Contains(o.stdout, word) == not {
			t.Errorf("says %q: %v\n%s", word, !not, o.stdout)
		}
	}
}

// keyPolicy is the policy of the key of a run.
func (w *sharing) keyPolicy(t *testing.T, key string) string {
	t.Helper()
	p, err := w.source.kms.GetKeyPolicy(t.Context(), &kms.GetKeyPolicyInput{KeyId: &key, PolicyName: new("default")})
	must(t, err)
	return *p.Policy
}

// revoked takes back what was shared: what is ours and nothing else, only when that
// is approved, and once.
func revoked(t *testing.T, w *sharing) {
	id := w.snapshot(t)
	w.share(t, id).wants(t, 0)
	run := w.run(t, id)
	key := *w.keyOf(t, run).Arn
	w.both(t, "list").says(t, run+"  complete", id, targetID)
	w.both(t, "status", id).says(t, "Run "+run+": complete", key+"  Enabled", "cluster-snapshot:"+id+"  available")
	// Somebody lets another account in, between our statements and without a Sid.
	const theirs = `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + targetID + `:root"},"Action":"kms:Decrypt","Resource":"*"}`
	var policy map[string]any
	must(t, json.Unmarshal([]byte(w.keyPolicy(t, key)), &policy))
	statements := policy["Statement"].([]any)
	delete(statements[len(statements)-2].(map[string]any), "Sid")
	policy["Statement"] = slices.Insert(statements, len(statements)-1, any(json.RawMessage(theirs)))
	text, err := json.Marshal(policy)
	must(t, err)
	_, err = w.source.kms.PutKeyPolicy(t.Context(), &kms.PutKeyPolicyInput{KeyId: &key, PolicyName: new("default"), Policy: new(string(text))})
	must(t, err)
	// A grant for the target goes, one for the source stays.
	for _, account := range []string{targetID, sourceID} {
		_, err := w.source.kms.CreateGrant(t.Context(), &kms.CreateGrantInput{KeyId: &key, GranteePrincipal: new("arn:aws:iam::" + account + ":root"),
			Operations: []kmstypes.GrantOperation{kmstypes.GrantOperationDecrypt}})
		must(t, err)
	}
	plan := []string{"- kms grant", "arn:aws:iam::" + targetID + ":root", "~ snapshot attribute", "restore -= " + targetID, "~ kms key policy", "2 statements", "No changes were made"}
	w.both(t, "revoke", run).says(t, plan...)
	w.both(t, "revoke", id).says(t, plan...)
	w.both(t, "revoke", id, "--approve").says(t, "not: No changes were made")
	if now := w.keyPolicy(t, key); strings.Contains(now, "kms:CreateGrant") || strings.Contains(now, `"kms:DescribeKey"`) || !strings.Contains(now, `"kms:Decrypt"`) {
		t.Errorf("the key's policy is now %s", now)
	}
	grants, err := w.source.kms.ListGrants(t.Context(), &kms.ListGrantsInput{KeyId: &key})
	must(t, err)
	if len(grants.Grants) != 1 || *grants.Grants[0].GranteePrincipal != "arn:aws:iam::"+sourceID+":root" {
		t.Errorf("grants after revoking: %+v", grants.Grants)
	}
	w.both(t, "revoke", run, "--approve").says(t, "Nothing to take back")
	w.both(t, "status", run).says(t, "not: shared with", "complete")
	w.both(t, "revoke", "no-such-run").wants(t, 5, "have nothing of a run no-such-run")
}

// revokedUnderALivingCluster leaves the grants that a database of the target lives by.
func revokedUnderALivingCluster(t *testing.T, w *sharing) {
	id := w.snapshot(t)
	w.share(t, id).wants(t, 0)
	run := w.run(t, id)
	_, err := w.target.rds.RestoreDBClusterFromSnapshot(t.Context(), &rds.RestoreDBClusterFromSnapshotInput{DBClusterIdentifier: new("tenant"),
		SnapshotIdentifier: new("arn:aws:rds:us-east-1:" + sourceID + ":cluster-snapshot:share-" + run + "-" + id), Engine: new("aurora-postgresql"), KmsKeyId: w.keyOf(t, run).Arn})
	must(t, err)
	w.both(t, "revoke", run, "--approve").says(t, "grants on", "cluster:tenant under it", "not: kms grant")
	w.both(t, "cleanup", run).says(t, "- snapshot copy", "stays: account "+targetID+" has arn:aws:rds:us-east-1:"+targetID+":cluster:tenant under it", "not: - kms key ")
}

// cleanedUp deletes what a run has left in the source account, when the target needs
// none of it.
func cleanedUp(t *testing.T, w *sharing) {
	id := w.snapshot(t)
	if o := w.stop(t, id, syscall.SIGKILL, "after", 1, "ModifyDBClusterSnapshotAttribute"); o.status != -1 {
		t.Fatal(o.stderr)
	}
	run := w.run(t, id)
	w.both(t, "list").says(t, run+"  shared")
	w.both(t, "cleanup", run).wants(t, 5, "is not done (shared)", "--abandon")
	w.both(t, "cleanup", run, "--abandon").says(t, "- snapshot copy", "- kms alias", "- kms key ", "No changes were made")
	w.share(t, id).wants(t, 0)
	key := *w.keyOf(t, run).Arn
	w.sparesOthers(t, run, id)
	w.both(t, "cleanup", "--older-than", "24h").says(t, "Nothing to take back")
	w.both(t, "cleanup", run, "--pending-days", "6").wants(t, 5, "7 to 30 days")
	w.both(t, "cleanup", run, "--pending-days", "7", "--approve").says(t, "- kms key ", "after 7 days")
	m, err := w.source.kms.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: &key})
	must(t, err)
	if m.KeyMetadata.KeyState != kmstypes.KeyStatePendingDeletion {
		t.Errorf("the key is %s", m.KeyMetadata.KeyState)
	}
	left, err := w.source.rds.DescribeDBClusterSnapshots(t.Context(), &rds.DescribeDBClusterSnapshotsInput{SnapshotType: new("manual")})
	must(t, err)
	for _, s := range left.DBClusterSnapshots {
		if isRun(run, s.TagList) && *s.Status != "deleting" {
			t.Errorf("snapshot %s is left, %s", *s.DBClusterSnapshotIdentifier, *s.Status)
		}
	}
	w.both(t, "list").says(t, run+"  cleaned up")
	w.both(t, "cleanup", run, "--approve").says(t, "Nothing to take back")
	if o := w.share(t, id); !strings.Contains(o.stdout, "nothing to change") {
		t.Errorf("sharing again: %s%s", o.stdout, o.stderr)
	}
	// The run can begin anew.
	_, err = w.target.rds.DeleteDBClusterSnapshot(t.Context(), &rds.DeleteDBClusterSnapshotInput{DBClusterSnapshotIdentifier: &id})
	must(t, err)
	w.share(t, id).wants(t, 0)
	if keys := w.keysOf(t, run); len(keys) != 1 || slices.Contains(keys, key) {
		t.Errorf("keys %q after sharing anew", keys)
	}
}

// sparesOthers makes use of what a run has made: a copy of the shared copy, which has
// its tags, and a share with a third account. Neither is cleaned up.
func (w *sharing) sparesOthers(t *testing.T, run, id string) {
	t.Helper()
	shared, mine := "share-"+run+"-"+id, "mine-"+id
	_, err := w.source.rds.CopyDBClusterSnapshot(t.Context(), &rds.CopyDBClusterSnapshotInput{SourceDBClusterSnapshotIdentifier: &shared, TargetDBClusterSnapshotIdentifier: &mine, CopyTags: new(true)})
	must(t, err)
	w.available(t, w.source, mine)
	w.both(t, "cleanup", run).says(t, "- snapshot copy", "cluster-snapshot:"+shared, "has arn:aws:rds:us-east-1:"+sourceID+":cluster-snapshot:"+mine+" under it", "not: - kms key ")
	_, err = w.source.rds.DeleteDBClusterSnapshot(t.Context(), &rds.DeleteDBClusterSnapshotInput{DBClusterSnapshotIdentifier: &mine})
	must(t, err)
	third := func(add, remove []string) {
		_, err := w.source.rds.ModifyDBClusterSnapshotAttribute(t.Context(), &rds.ModifyDBClusterSnapshotAttributeInput{
			DBClusterSnapshotIdentifier: &shared, AttributeName: new("restore"), ValuesToAdd: add, ValuesToRemove: remove})
		must(t, err)
	}
	third([]string{"777788889999"}, nil)
	w.both(t, "cleanup", run).says(t, "shared it with 777788889999", "not: - snapshot copy", "not: - kms")
	third(nil, []string{"777788889999"})
}

// interruptedCleanup is finished by the next one.
func interruptedCleanup(t *testing.T, w *sharing) {
	for _, action := range []string{"ModifyDBClusterSnapshotAttribute", "DeleteDBClusterSnapshot", "DeleteAlias", "ScheduleKeyDeletion"} {
		for _, when := range []string{"before", "after"} {
			t.Run(action+" "+when, func(t *testing.T) {
				id := w.snapshot(t)
				w.share(t, id).wants(t, 0)
				run, p := w.run(t, id), newProxy(t, w.Server)
				cmd := w.borealis(t.Context(), append([]string{"cleanup", run, "--approve", "--source-profile", "prod", "--target-profile", "backup"}, p.flags()...)...)
				started := make(chan struct{})
				kill := nth(1, action, func() {
					<-started
					_ = cmd.Process.Signal(os.Kill)
				})
				if when == "before" {
					p.hook(kill, nil)
				} else {
					p.hook(nil, kill)
				}
				var stderr bytes.Buffer
				cmd.Stderr = &stderr
				must(t, cmd.Start())
				close(started)
				_ = cmd.Wait()
				if code := cmd.ProcessState.ExitCode(); code != -1 {
					t.Fatalf("status %d\n%s", code, stderr.String())
				}
				p.Close()
				w.both(t, "cleanup", run, "--approve").wants(t, 0)
				w.both(t, "list").says(t, run+"  cleaned up")
				if keys := w.keysOf(t, run); len(keys) != 0 {
					t.Errorf("keys %q are left", keys)
				}
			})
		}
	}
}
