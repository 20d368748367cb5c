package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/rds"

	"borealis/share"
)

// TestShare is borealis share on a server of its own, with everything that can
// get in its way.
func TestShare(t *testing.T) {
	w := newSharing(t)
	for _, c := range []struct {
		name string
		test func(*testing.T, *sharing)
	}{
		{"DryRunChangesNothing", dryRunChangesNothing},
		{"Verify", verified},
		{"SavedPlan", savedPlan},
		{"TwiceIsOnce", twiceIsOnce},
		{"Revoked", revoked},
		{"RevokedUnderALivingCluster", revokedUnderALivingCluster},
		{"CleanedUp", cleanedUp},
		{"InterruptedCleanup", interruptedCleanup},
		{"JSON", jsonOutput},
		{"Interrupted", interruptedAnywhere},
		{"RestoreInterrupted", restoreInterrupted},
		{"StrayKeyIsFound", strayKeyIsFound},
		{"TwoAtATime", twoAtATime},
		{"NamesTaken", namesTaken},
		{"WrongRequests", wrongRequests},
		{"UnderACustomerKey", underACustomerKey},
		{"Terminal", atATerminal},
		{"Denials", denials},
		{"KeyLostOnTheWay", keyLostOnTheWay},
		{"LeastPrivilege", leastPrivilege},
		{"ResearchedPolicies", researched},
		{"RoleWithAPath", roleWithAPath},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, w) })
	}
}

// What the target has is proved to be what the source had, and a key of the
// source's vouches for it.
func verified(t *testing.T, w *sharing) {
	id := w.snapshot(t)
	w.share(t, id).wants(t, 0)
	profiles := []string{"--source-profile", "prod", "--target-profile", "backup"}
	verify := func(args ...string) (string, error) {
		return w.Run(t.Context(), nil, slices.Concat([]string{"share", "verify"}, args, profiles)...)
	}
	out, err := verify(id, id)
	must(t, err)
	if !strings.Contains(out, "the same, byte for byte") {
		t.Errorf("verify says\n%s", out)
	}
	if _, err := verify(id, "no-such-copy"); err == nil || !strings.Contains(err.Error(), "has no cluster snapshot no-such-copy") {
		t.Errorf("verify of a copy that is not there: %v", err)
	}
	for _, spec := range []kmstypes.KeySpec{kmstypes.KeySpecHmac256, kmstypes.KeySpecEccNistP256} {
		usage := kmstypes.KeyUsageTypeSignVerify
		if spec == kmstypes.KeySpecHmac256 {
			usage = kmstypes.KeyUsageTypeGenerateVerifyMac
		}
		k, err := w.source.kms.CreateKey(t.Context(), &kms.CreateKeyInput{KeySpec: spec, KeyUsage: usage})
		must(t, err)
		out, err := verify(id, id, "--sign-key", *k.KeyMetadata.KeyId)
		must(t, err)
		check := func(text string) (string, error) {
			file := t.TempDir() + "/proof.json"
			must(t, os.WriteFile(file, []byte(text), 0o600))
			return verify("--check", file)
		}
		said, err := check(out)
		must(t, err)
		if !strings.Contains(said, *k.KeyMetadata.Arn) || !strings.Contains(said, id) {
			t.Errorf("--check says\n%s", said)
		}
		var a share.Attestation
		must(t, json.Unmarshal([]byte(out), &a))
		a.Statement = bytes.Replace(a.Statement, []byte(":cluster-snapshot:"+id), []byte(":cluster-snapshot:forged"), 1)
		forged, err := json.Marshal(a)
		must(t, err)
		if said, err := check(string(forged)); err == nil || !strings.Contains(err.Error(), "is not the same") {
			t.Errorf("--check of a forgery: %v\n%s", err, said)
		}
	}
}

func dryRunChangesNothing(t *testing.T, w *sharing) {
	id, p := w.snapshot(t), newProxy(t, w.Server)
	o := finish(t, w.command(t.Context(), id, append(p.flags(), "--dry-run", "--restore-cluster", "orders-copy")...))
	o.wants(t, 0)
	for _, a := range p.asked() {
		if !strings.HasPrefix(a, "Describe") && !strings.HasPrefix(a, "List") && !strings.HasPrefix(a, "Get") {
			t.Errorf("a dry run asks for %s", a)
		}
	}
	if len(p.asked()) < 5 {
		t.Errorf("a dry run asks for %q only: is the proxy in its way?", p.asked())
	}
	for _, want := range []string{"+ kms key", "+ snapshot copy", "~ snapshot attribute", "+ db instance", "Plan: 6 to create, 1 to change, 0 done already, 0 to destroy."} {
		if !strings.Contains(o.stdout, want) {
			t.Errorf("the plan does not say %q:\n%s", want, o.stdout)
		}
	}
	// aws/rds of the target would be made by looking at its alias.
	aliases, err := w.target.kms.ListAliases(t.Context(), &kms.ListAliasesInput{})
	must(t, err)
	for _, a := range aliases.Aliases {
		if *a.AliasName == "alias/aws/rds" && a.TargetKeyId != nil {
			t.Error("the target has a key aws/rds after a dry run")
		}
	}
}

// A plan that is saved is carried out by somebody else, or not at all.
func savedPlan(t *testing.T, w *sharing) {
	id, file := w.snapshot(t), t.TempDir()+"/nightly.plan"
	plan := []string{"plan", id, "--source-profile", "prod", "--target-profile", "backup", "--restore-cluster", "planned"}
	finish(t, w.borealis(t.Context(), append(plan, "--out", file, "--detailed-exitcode")...)).wants(t, 2, "borealis apply "+file)
	text, err := os.ReadFile(file)
	must(t, err)
	forged := t.TempDir() + "/forged.plan"
	must(t, os.WriteFile(forged, bytes.ReplaceAll(text, []byte("kms:CreateGrant"), []byte("kms:*")), 0o600))
	finish(t, w.borealis(t.Context(), "apply", forged)).wants(t, 1, "policy of the new key would be another")
	finish(t, w.borealis(t.Context(), "apply", file, "--target-profile", "production-root")).wants(t, 1, "the plan is for accounts")
	o := finish(t, w.borealis(t.Context(), "apply", file, "--output", "json"))
	o.wants(t, 0)
	if r := o.report(t); r.Result == nil || r.Result.Cluster != "arn:aws:rds:us-east-1:"+targetID+":cluster:planned" {
		t.Errorf("report %s", o.stdout)
	}
	w.oneSet(t, w.run(t, id), 1)
	finish(t, w.borealis(t.Context(), append(plan, "--detailed-exitcode")...)).wants(t, 0)
	finish(t, w.borealis(t.Context(), "apply", file)).wants(t, 0, "= copy-to-target", "= restore-instance")
}

func twiceIsOnce(t *testing.T, w *sharing) {
	id := w.snapshot(t)
	first := w.share(t, id)
	first.wants(t, 0)
	second := w.share(t, id)
	second.wants(t, 0, "= copy-to-target")
	if !strings.Contains(second.stdout, "nothing to change") {
		t.Errorf("the second plan:\n%s", second.stdout)
	}
	// Nor does it take the key and the shared copy: they may be gone by now.
	run := w.run(t, id)
	w.oneSet(t, run, 0)
	_, err := w.source.rds.DeleteDBClusterSnapshot(t.Context(), &rds.DeleteDBClusterSnapshotInput{DBClusterSnapshotIdentifier: new("share-" + run + "-" + id)})
	must(t, err)
	w.share(t, id).wants(t, 0)
	if keys := w.keysOf(t, run); len(keys) != 1 {
		t.Errorf("keys %q after a run that had nothing to do", keys)
	}
}

func jsonOutput(t *testing.T, w *sharing) {
	id := w.snapshot(t)
	o := w.share(t, id, "--output", "json")
	o.wants(t, 0)
	r := o.report(t)
	if r.Schema != 1 || r.Plan == nil || r.Plan.Schema != 1 || r.Result == nil || r.Result.Schema != 1 || r.Error != nil {
		t.Fatalf("report %s", o.stdout)
	}
	if r.Result.TargetSnapshot != "arn:aws:rds:us-east-1:"+targetID+":cluster-snapshot:"+id || !strings.Contains(r.Result.TargetKeyARN, ":"+targetID+":key/") {
		t.Errorf("result %+v", r.Result)
	}
	var done []share.StepID
	d := json.NewDecoder(strings.NewReader(o.stderr))
	for {
		var e share.Event
		if err := d.Decode(&e); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v in %s", err, o.stderr)
		}
		if e.Schema != 1 || e.Run != r.Plan.Run || e.Time.IsZero() {
			t.Errorf("event %+v", e)
		}
		if e.State == share.Done {
			done = append(done, e.Step)
		}
	}
	if want := []share.StepID{share.CreateKey, share.CreateAlias, share.CopyUnderKey, share.ShareCopy, share.FindShared, share.CopyToTarget}; !slices.Equal(done, want) {
		t.Errorf("steps done: %q", done)
	}
	o = w.share(t, "no-such-snapshot", "--output", "json")
	o.wants(t, 5)
	if r := o.report(t); r.Error == nil || !strings.Contains(r.Error.Message, "no-such-snapshot") {
		t.Errorf("report %s", o.stdout)
	}
}

// stop runs borealis share and sends it sig at the nth request for action, before
// or after the server has carried it out.
func (w *sharing) stop(t *testing.T, id string, sig os.Signal, when string, n int, action string, args ...string) outcome {
	t.Helper()
	p := newProxy(t, w.Server)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := w.command(ctx, id, slices.Concat(p.flags(), []string{"--yes"}, args)...)
	started := make(chan struct{})
	hook := nth(n, action, func() {
		<-started
		_ = cmd.Process.Signal(sig)
	})
	if when == "before" {
		p.hook(hook, nil)
	} else {
		p.hook(nil, hook)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	must(t, cmd.Start())
	close(started)
	_ = cmd.Wait()
	p.Close() // what was under way arrives before the next command looks
	if !slices.Contains(p.asked(), action) {
		t.Fatalf("%s was never asked for:\n%s", action, stderr.String())
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// interruptedAnywhere stops the command at every change that it makes, politely
// and not, and expects the next one to finish the job.
func interruptedAnywhere(t *testing.T, w *sharing) {
	for _, at := range []struct {
		n      int
		action string
	}{{1, "CreateKey"}, {1, "CreateAlias"}, {1, "CopyDBClusterSnapshot"}, {1, "ModifyDBClusterSnapshotAttribute"}, {2, "CopyDBClusterSnapshot"}} {
		for _, how := range []struct {
			sig    os.Signal
			when   string
			status int
		}{{os.Interrupt, "before", 130}, {os.Interrupt, "after", 130}, {syscall.SIGKILL, "before", -1}, {syscall.SIGKILL, "after", -1}} {
			t.Run(strings.Join([]string{at.action, how.when, how.sig.String()}, " "), func(t *testing.T) {
				id := w.snapshot(t)
				o := w.stop(t, id, how.sig, how.when, at.n, at.action)
				if how.sig == os.Interrupt {
					o.wants(t, how.status, "The same command continues from here")
				} else if o.status != how.status {
					t.Fatalf("status %d\n%s", o.status, o.stderr)
				}
				w.share(t, id).wants(t, 0)
				w.oneSet(t, w.run(t, id), 0)
			})
		}
	}
}

func restoreInterrupted(t *testing.T, w *sharing) {
	id := w.snapshot(t)
	args := []string{"--restore-cluster", "Again"}
	w.stop(t, id, os.Interrupt, "after", 1, "RestoreDBClusterFromSnapshot", args...).wants(t, 130)
	w.stop(t, id, syscall.SIGKILL, "after", 1, "CreateDBInstance", args...)
	o := w.share(t, id, args...)
	o.wants(t, 0, "= restore-cluster", "= restore-instance")
	if !strings.Contains(o.stdout, "dbname=shop sslmode=require") {
		t.Errorf("it does not say how to connect:\n%s", o.stdout)
	}
	w.oneSet(t, w.run(t, id), 1)
}

// strayKeyIsFound is about a run that died between making the key and its alias,
// once with permission to search and once without.
func strayKeyIsFound(t *testing.T, w *sharing) {
	id := w.snapshot(t)
	if o := w.stop(t, id, syscall.SIGKILL, "after", 1, "CreateKey"); o.status != -1 {
		t.Fatalf("status %d\n%s", o.status, o.stderr)
	}
	stray := w.keysOf(t, w.run(t, id))
	o := finish(t, w.command(t.Context(), id, "--dry-run"))
	if o.wants(t, 0); len(stray) != 1 || !strings.Contains(o.stdout, "= kms key            "+stray[0]) || !strings.Contains(o.stdout, "+ kms alias") {
		t.Errorf("stray key %q, plan:\n%s", stray, o.stdout)
	}
	w.user(t, w.source, "sue", "no-search", admin, `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":["kms:ListKeys"],"Resource":"*"}}`)
	o = finish(t, w.command(t.Context(), id, "--dry-run", "--source-profile", "no-search"))
	if o.wants(t, 0); !strings.Contains(o.stdout, "kms:ListKeys") {
		t.Errorf("the plan does not say that it could not search:\n%s", o.stdout)
	}
	o = w.share(t, id)
	o.wants(t, 0, "= create-key", stray[0])
}

// twoAtATime runs two commands for one snapshot that make their keys at the same
// moment.
func twoAtATime(t *testing.T, w *sharing) {
	id, p := w.snapshot(t), newProxy(t, w.Server)
	var both sync.WaitGroup
	both.Add(2)
	p.hook(func(action string) {
		if action == "CreateKey" {
			both.Done()
			both.Wait()
		}
	}, nil)
	var outcomes [2]outcome
	var g sync.WaitGroup
	for i := range outcomes {
		g.Go(func() { outcomes[i] = w.share(t, id, append(p.flags(), "--restore-cluster", "both")...) })
	}
	g.Wait()
	for _, o := range outcomes {
		o.wants(t, 0)
	}
	w.oneSet(t, w.run(t, id), 1)
}

func namesTaken(t *testing.T, w *sharing) {
	id := w.snapshot(t)
	taken := w.snapshot(t)
	w.share(t, taken, "--copy-id", "occupied").wants(t, 0)
	w.share(t, id, "--copy-id", "Occupied").wants(t, 1, "a snapshot occupied that this run did not make", "--copy-id")
	w.share(t, id, "--key-alias", "alias/borealis-share-"+w.run(t, taken)).wants(t, 1, "which this run did not make")
	if keys := w.keysOf(t, w.run(t, id)); len(keys) != 0 {
		t.Errorf("keys %q were made although a name is taken", keys)
	}
	_, err := w.target.rds.CreateDBCluster(t.Context(), &rds.CreateDBClusterInput{DBClusterIdentifier: new("busy"), Engine: new("aurora-postgresql"), MasterUsername: new("me"), MasterUserPassword: new("correct-horse")})
	must(t, err)
	w.share(t, id, "--restore-cluster", "busy").wants(t, 1, "a cluster busy that this run did not make")
	// A copy of a former run that was asked for something else is not passed off.
	key, err := w.target.kms.CreateKey(t.Context(), &kms.CreateKeyInput{})
	must(t, err)
	w.share(t, taken, "--copy-id", "occupied", "--target-key", *key.KeyMetadata.KeyId).wants(t, 5, "made by a former run, is under")
}

func wrongRequests(t *testing.T, w *sharing) {
	id := w.snapshot(t)
	foreign := "arn:aws:kms:us-east-1:" + sourceID + ":key/1234abcd-12ab-34cd-56ef-1234567890ab"
	disabled, err := w.target.kms.CreateKey(t.Context(), &kms.CreateKeyInput{})
	must(t, err)
	_, err = w.target.kms.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: disabled.KeyMetadata.KeyId})
	must(t, err)
	for name, c := range map[string]struct {
		snapshot string
		args     []string
		says     string
	}{
		"same account":         {id, []string{"--target-profile", "production-root"}, "the same account"},
		"no such snapshot":     {"nothing", nil, "has no cluster snapshot nothing"},
		"another's snapshot":   {"arn:aws:rds:us-east-1:" + targetID + ":cluster-snapshot:x", nil, "not the ARN of a cluster snapshot of the source account"},
		"another Region":       {"arn:aws:rds:eu-west-1:" + sourceID + ":cluster-snapshot:x", nil, "in its own Region"},
		"no such key":          {id, []string{"--target-key", "alias/nothing"}, "has no key alias/nothing"},
		"the source's key":     {id, []string{"--target-key", foreign}, "belongs to account " + sourceID},
		"disabled key":         {id, []string{"--target-key", *disabled.KeyMetadata.KeyId}, "is Disabled"},
		"bad alias":            {id, []string{"--key-alias", "alias/aws/mine"}, "alias/aws/"},
		"bad copy name":        {id, []string{"--copy-id", "1st"}, "cannot name the target's copy"},
		"our own tag":          {id, []string{"--tag", "borealis:run=1"}, "not yours to set"},
		"stranger let in":      {id, []string{"--target-principal", "arn:aws:iam::777788889999:root"}, "not the ARN of a principal of the target account"},
		"everybody let in":     {id, []string{"--target-principal", "*"}, "not the ARN of a principal of the target account"},
		"somebody else in":     {id, []string{"--target-principal", "arn:aws:iam::" + targetID + ":user/somebody"}, "could not make its copy"},
		"admin does not exist": {id, []string{"--key-admin", "not-an-arn"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w.share(t, c.snapshot, c.args...).wants(t, 5, c.says)
		})
	}
	w.share(t, id, "--key-admin", "arn:aws:iam::"+sourceID+":user/nobody").wants(t, 12, "a user or role that does not exist (--key-admin")
}

// underACustomerKey shares a snapshot that is under a key of the source's own.
func underACustomerKey(t *testing.T, w *sharing) {
	key, err := w.source.kms.CreateKey(t.Context(), &kms.CreateKeyInput{})
	must(t, err)
	_, err = w.source.rds.CopyDBClusterSnapshot(t.Context(), &rds.CopyDBClusterSnapshotInput{SourceDBClusterSnapshotIdentifier: new("nightly"),
		TargetDBClusterSnapshotIdentifier: new("customer"), KmsKeyId: key.KeyMetadata.KeyId})
	must(t, err)
	w.available(t, w.source, "customer")
	o := w.share(t, "customer")
	if o.wants(t, 0); !strings.Contains(o.stdout, "! the snapshot is under a customer managed key already") {
		t.Errorf("no warning:\n%s", o.stdout)
	}
	_, err = w.source.kms.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: key.KeyMetadata.KeyId})
	must(t, err)
	_, err = w.target.rds.DeleteDBClusterSnapshot(t.Context(), &rds.DeleteDBClusterSnapshotInput{DBClusterSnapshotIdentifier: new("customer")})
	must(t, err)
	w.share(t, "customer").wants(t, 5, "is PendingDeletion")
}

// keyLostOnTheWay disables the new key under the target's hands.
func keyLostOnTheWay(t *testing.T, w *sharing) {
	id, p := w.snapshot(t), newProxy(t, w.Server)
	run := w.run(t, id)
	p.hook(nth(2, "CopyDBClusterSnapshot", func() {
		_, err := w.source.kms.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: w.keyOf(t, run).Arn})
		if err != nil {
			t.Error(err)
		}
	}), nil)
	w.share(t, id, p.flags()...).wants(t, 12, "KMSKeyNotAccessibleFault", "cause  the key is Disabled", "aws kms enable-key")
	w.share(t, id).wants(t, 5, "of a former run is Disabled")
	_, err := w.source.kms.EnableKey(t.Context(), &kms.EnableKeyInput{KeyId: w.keyOf(t, run).Arn})
	must(t, err)
	w.share(t, id).wants(t, 0)
}

// keyOf is the key that the run's alias leads to, in whatever state.
func (w *sharing) keyOf(t *testing.T, run string) *kmstypes.KeyMetadata {
	k, err := w.source.kms.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: new("alias/borealis-share-" + run)})
	if err != nil {
		t.Error(err)
		return &kmstypes.KeyMetadata{}
	}
	return k.KeyMetadata
}
