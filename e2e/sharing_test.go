package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	rdstypes "github.com/aws/aws-sdk-go-v2/service/rds/types"

	"borealis/e2e/local"
	"borealis/share"
)

const (
	sourceID = "111122223333"
	targetID = "444455556666"
	admin    = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`
)

// An owner is an account with the clients of its root user.
type owner struct {
	id  string
	iam *iam.Client
	kms *kms.Client
	rds *rds.Client
}

// sharing is a server with two accounts, an administrator in each (profiles prod
// and backup), and a snapshot under aws/rds.
type sharing struct {
	*local.Server
	source, target owner
	count          atomic.Int32
}

func newSharing(t *testing.T) *sharing {
	t.Helper()
	w := &sharing{Server: newServer(t)}
	w.source, w.target = w.owner(t, sourceID, "production"), w.owner(t, targetID, "backup-account")
	w.user(t, w.source, "ann", "prod", admin)
	w.user(t, w.target, "bob", "backup", admin)
	ctx := t.Context()
	_, err := w.source.rds.CreateDBCluster(ctx, &rds.CreateDBClusterInput{DBClusterIdentifier: new("orders"), Engine: new("aurora-postgresql"),
		StorageEncrypted: new(true), MasterUsername: new("shopkeeper"), MasterUserPassword: new("correct-horse"), DatabaseName: new("shop")})
	must(t, err)
	must(t, rds.NewDBClusterAvailableWaiter(w.source.rds, func(o *rds.DBClusterAvailableWaiterOptions) {
		o.MinDelay, o.MaxDelay = 50*time.Millisecond, time.Second
	}).Wait(ctx, &rds.DescribeDBClustersInput{DBClusterIdentifier: new("orders")}, time.Minute))
	_, err = w.source.rds.CreateDBClusterSnapshot(ctx, &rds.CreateDBClusterSnapshotInput{DBClusterIdentifier: new("orders"), DBClusterSnapshotIdentifier: new("nightly")})
	must(t, err)
	w.available(t, w.source, "nightly")
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *sharing) owner(t *testing.T, id, name string) owner {
	t.Helper()
	k, err := w.CreateAccount(t.Context(), id, name, name+"-root")
	must(t, err)
	cfg, err := w.Config(t.Context(), k.AccessKeyID, k.SecretAccessKey, "")
	must(t, err)
	return owner{id, iam.NewFromConfig(cfg), kms.NewFromConfig(cfg), rds.NewFromConfig(cfg)}
}

// user makes an IAM user with policies, whose access key is the profile.
func (w *sharing) user(t *testing.T, o owner, name, profile string, policies ...string) (arn string) {
	t.Helper()
	ctx := t.Context()
	u, err := o.iam.CreateUser(ctx, &iam.CreateUserInput{UserName: &name})
	must(t, err)
	for i, text := range policies {
		_, err := o.iam.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &name, PolicyName: new(fmt.Sprint("policy", i)), PolicyDocument: &text})
		must(t, err)
	}
	k, err := o.iam.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &name})
	must(t, err)
	must(t, w.AddProfile(profile, *k.AccessKey.AccessKeyId, *k.AccessKey.SecretAccessKey))
	return *u.User.Arn
}

// snapshot makes another snapshot under aws/rds, with nothing in common with
// former ones, and names it. It lasts as long as the test: an account has 100.
func (w *sharing) snapshot(t *testing.T) string {
	t.Helper()
	id := fmt.Sprint("night-", w.count.Add(1))
	_, err := w.source.rds.CopyDBClusterSnapshot(t.Context(), &rds.CopyDBClusterSnapshotInput{SourceDBClusterSnapshotIdentifier: new("nightly"), TargetDBClusterSnapshotIdentifier: &id})
	must(t, err)
	w.available(t, w.source, id)
	t.Cleanup(func() {
		_, err := w.source.rds.DeleteDBClusterSnapshot(context.Background(), &rds.DeleteDBClusterSnapshotInput{DBClusterSnapshotIdentifier: &id})
		if gone := (*rdstypes.DBClusterSnapshotNotFoundFault)(nil); err != nil && !errors.As(err, &gone) {
			t.Error(err)
		}
	})
	return id
}

func (w *sharing) available(t *testing.T, o owner, id string) {
	t.Helper()
	must(t, rds.NewDBClusterSnapshotAvailableWaiter(o.rds, func(w *rds.DBClusterSnapshotAvailableWaiterOptions) {
		w.MinDelay, w.MaxDelay = 50*time.Millisecond, time.Second
	}).Wait(t.Context(), &rds.DescribeDBClusterSnapshotsInput{DBClusterSnapshotIdentifier: &id}, time.Minute))
}

// An outcome is what a command left behind.
type outcome struct {
	status         int
	stdout, stderr string
}

// command is borealis share for a snapshot, from prod to backup unless args say
// otherwise, and without asking.
func (w *sharing) command(ctx context.Context, snapshot string, args ...string) *exec.Cmd {
	return w.borealis(ctx, append([]string{"share", snapshot, "--source-profile", "prod", "--target-profile", "backup"}, args...)...)
}

// borealis is any command.
func (w *sharing) borealis(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, w.Binary, args...)
	cmd.Env = w.Env()
	return cmd
}

// share runs borealis share --yes.
func (w *sharing) share(t *testing.T, snapshot string, args ...string) outcome {
	t.Helper()
	return finish(t, w.command(t.Context(), snapshot, append([]string{"--yes"}, args...)...))
}

// finish runs cmd to its end.
func finish(t *testing.T, cmd *exec.Cmd) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Error(err)
		return outcome{-2, stdout.String(), stderr.String()}
	} else if ok {
		return outcome{exit.ExitCode(), stdout.String(), stderr.String()}
	}
	return outcome{0, stdout.String(), stderr.String()}
}

// wants fails t unless the command ended with status and said every one of words
// on standard error.
func (o outcome) wants(t *testing.T, status int, words ...string) {
	t.Helper()
	if o.status != status {
		t.Fatalf("status %d, want %d\n%s%s", o.status, status, o.stdout, o.stderr)
	}
	for _, w := range words {
		if !strings.Contains(o.stderr, w) {
			t.Errorf("standard error does not say %q:\n%s", w, o.stderr)
		}
	}
}

// A report is what --output json prints.
type report struct {
	Schema int           `json:"schema"`
	Plan   *share.Plan   `json:"plan"`
	Result *share.Result `json:"result"`
	Error  *struct {
		Code, Message, Resource, Cause, Fix string
	} `json:"error"`
}

func (o outcome) report(t *testing.T) (r report) {
	t.Helper()
	if err := json.Unmarshal([]byte(o.stdout), &r); err != nil {
		t.Fatalf("standard output is not JSON: %v\n%s%s", err, o.stdout, o.stderr)
	}
	return r
}

// isRun reports whether RDS tags are those of a run.
func isRun(run string, tags []rdstypes.Tag) bool {
	for _, t := range tags {
		if *t.Key == "borealis:run" && *t.Value == run {
			return true
		}
	}
	return false
}

// oneSet fails t unless the run has exactly one of everything in both accounts.
func (w *sharing) oneSet(t *testing.T, run string, clusters int) {
	t.Helper()
	ctx := t.Context()
	got := map[string]int{"keys": len(w.keysOf(t, run))}
	aliases, err := w.source.kms.ListAliases(ctx, &kms.ListAliasesInput{Limit: new(int32(100))})
	must(t, err)
	for _, a := range aliases.Aliases {
		if strings.HasSuffix(*a.AliasName, "-"+run) {
			got["aliases"]++
		}
	}
	for name, o := range map[string]owner{"shared copies": w.source, "target copies": w.target} {
		list, err := o.rds.DescribeDBClusterSnapshots(ctx, &rds.DescribeDBClusterSnapshotsInput{SnapshotType: new("manual")})
		must(t, err)
		for _, s := range list.DBClusterSnapshots {
			if isRun(run, s.TagList) {
				got[name]++
			}
		}
	}
	list, err := w.target.rds.DescribeDBClusters(ctx, &rds.DescribeDBClustersInput{})
	must(t, err)
	for _, c := range list.DBClusters {
		if isRun(run, c.TagList) {
			got["clusters"] += len(c.DBClusterMembers)
		}
	}
	for name, want := range map[string]int{"keys": 1, "aliases": 1, "shared copies": 1, "target copies": 1, "clusters": clusters} {
		if got[name] != want {
			t.Errorf("%d %s of run %s, want %d", got[name], name, run, want)
		}
	}
}

// keysOf lists the enabled keys that carry the run's tag.
func (w *sharing) keysOf(t *testing.T, run string) (arns []string) {
	t.Helper()
	pages := kms.NewListKeysPaginator(w.source.kms, &kms.ListKeysInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		must(t, err)
		for _, k := range page.Keys {
			tags, err := w.source.kms.ListResourceTags(t.Context(), &kms.ListResourceTagsInput{KeyId: k.KeyId})
			must(t, err)
			m, err := w.source.kms.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: k.KeyId})
			must(t, err)
			for _, tag := range tags.Tags {
				if *tag.TagKey == "borealis:run" && *tag.TagValue == run && m.KeyMetadata.KeyState == kmstypes.KeyStateEnabled {
					arns = append(arns, aws.ToString(k.KeyArn))
				}
			}
		}
	}
	return arns
}

// run is the id of the run for a snapshot.
func (w *sharing) run(t *testing.T, snapshot string, args ...string) string {
	t.Helper()
	o := finish(t, w.command(t.Context(), snapshot, append(args, "--dry-run", "--output", "json")...))
	o.wants(t, 0)
	return o.report(t).Plan.Run
}
