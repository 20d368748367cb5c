package share

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	rdstypes "github.com/aws/aws-sdk-go-v2/service/rds/types"
	"golang.org/x/sync/errgroup"
)

// A Run is what a run has made and what is still there of it, in the source account
// and in one target account.
type Run struct {
	ID string `json:"run"`
	// Snapshot is the ARN of the snapshot that the run shares. It is empty once the
	// source's copy is gone.
	Snapshot string `json:"snapshot_arn,omitempty"`
	// SharedCopy is the copy in the source account, and SharedWith the accounts
	// that may restore it.
	SharedCopy *Copy    `json:"shared_copy,omitempty"`
	SharedWith []string `json:"shared_with,omitempty"`
	Key        *RunKey  `json:"key,omitempty"`
	// TargetCopy is the target's own copy.
	TargetCopy *Copy    `json:"target_copy,omitempty"`
	Clusters   []string `json:"clusters,omitempty"` // ARNs of what was restored from it
	// State sums all that up.
	State RunState `json:"state"`
}

// A RunState says how far a run has come.
type RunState string

// The states of a run, in their order.
const (
	KeyMade   RunState = "key made"         // and nothing else
	Copying   RunState = "copying"          // in the source account
	Copied    RunState = "copied"           // but shared with nobody
	Shared    RunState = "shared"           // but not copied in this target account
	Receiving RunState = "target copying"   // in the target account
	Complete  RunState = "complete"         // the target has its copy, or what was restored from it
	CleanedUp RunState = "cleaned up"       // and the source has nothing of the run any more
	Ended     RunState = "ended in failure" // a copy is of no use
)

// A Copy is a snapshot that a run has made.
type Copy struct {
	ARN     string    `json:"arn"`
	Status  string    `json:"status"`            // RDS's word
	Percent int       `json:"percent,omitempty"` // RDS's, which may stay 0 until the end
	KeyARN  string    `json:"key_arn"`
	Created time.Time `json:"created,omitzero"`
	// AllocatedGiB is the size of the volume, of which the copy may hold less.
	AllocatedGiB int32 `json:"allocated_gib"`
}

// A RunKey is the customer managed key that a run has made.
type RunKey struct {
	ARN     string    `json:"arn"`
	Alias   string    `json:"alias,omitempty"`
	State   string    `json:"state,omitempty"` // KMS's word; empty if it may not be looked at
	Deleted time.Time `json:"deletion_date,omitzero"`
}

// Runs finds, by their tags, the runs that have left something in the two
// accounts, the newest copies first. A run that has made a key and nothing else is
// found by the key's alias, if that is the one a run chooses by itself.
func (w *Workflow) Runs(ctx context.Context) ([]Run, error) {
	runs, err := w.runs(ctx)
	return runs, w.explain(err)
}

// Find is the one of Runs with this id, or for the snapshot with this identifier or
// ARN. None, or several, is ErrUsage.
func (w *Workflow) Find(ctx context.Context, name string) (*Run, error) {
	runs, err := w.Runs(ctx)
	if err != nil {
		return nil, err
	}
	runs = slices.DeleteFunc(runs, func(r Run) bool {
		return r.ID != name && (r.Snapshot == "" || r.Snapshot != name && snapshotID(r.Snapshot) != name)
	})
	switch len(runs) {
	case 0:
		return nil, usagef("accounts %s and %s have nothing of a run %s, or for a snapshot of that name, in %s", w.Source.Account, w.Target.Account, name, w.Source.Region)
	case 1:
		return &runs[0], nil
	}
	return nil, usagef("there are %d runs for snapshot %s; name one of them, such as %s", len(runs), name, runs[0].ID)
}

func (w *Workflow) runs(ctx context.Context) ([]Run, error) {
	if err := w.checkSides(); err != nil {
		return nil, err
	}
	found := map[string]*Run{}
	of := func(id string) *Run {
		if found[id] == nil {
			found[id] = &Run{ID: id}
		}
		return found[id]
	}
	err := eachSnapshot(ctx, w.Source, func(s *rdstypes.DBClusterSnapshot) {
		// A copy that somebody has made of ours may have its tags, but not its name.
		id := runOf(s.TagList)
		if id == "" || !strings.HasPrefix(aws.ToString(s.DBClusterSnapshotIdentifier), sharedPrefix(id)) {
			return
		}
		r := of(id)
		r.SharedCopy, r.Snapshot = copyOf(s), aws.ToString(s.SourceDBClusterSnapshotArn)
		r.Key = &RunKey{ARN: aws.ToString(s.KmsKeyId)}
	})
	if err != nil {
		return nil, err
	}
	if err := eachSnapshot(ctx, w.Target, func(s *rdstypes.DBClusterSnapshot) {
		id, c := runOf(s.TagList), copyOf(s)
		if id == "" {
			return
		}
		// Here, too, somebody may have copied it, tags and all: the oldest is ours.
		if r := of(id); r.TargetCopy == nil || c.Created.Before(r.TargetCopy.Created) {
			r.TargetCopy = c
		}
	}); err != nil {
		return nil, err
	}
	if err := eachCluster(ctx, w.Target, func(c *rdstypes.DBCluster) {
		if id := runOf(c.TagList); id != "" {
			of(id).Clusters = append(of(id).Clusters, aws.ToString(c.DBClusterArn))
		}
	}); err != nil {
		return nil, err
	}
	if err := w.addAliases(ctx, of); err != nil {
		return nil, err
	}
	return w.complete(ctx, found)
}

// complete looks at each run's key and at whom its copy is shared with.
func (w *Workflow) complete(ctx context.Context, found map[string]*Run) ([]Run, error) {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(searchAtATime)
	for _, r := range found {
		g.Go(func() error {
			if err := w.lookAtKey(gctx, r); err != nil {
				return err
			}
			if r.SharedCopy == nil {
				return nil
			}
			var err error
			r.SharedWith, err = w.sharedWith(gctx, snapshotID(r.SharedCopy.ARN))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var runs []Run
	for _, r := range found {
		if r.Key == nil && r.SharedCopy == nil && r.TargetCopy == nil && len(r.Clusters) == 0 {
			continue
		}
		r.State = r.state(w.Target.Account)
		runs = append(runs, *r)
	}
	slices.SortFunc(runs, func(a, b Run) int {
		return cmp.Or(b.Made().Compare(a.Made()), strings.Compare(a.ID, b.ID))
	})
	return runs, nil
}

// Made is when the newest of a run's copies was made.
func (r *Run) Made() (t time.Time) {
	for _, c := range []*Copy{r.SharedCopy, r.TargetCopy} {
		if c != nil && c.Created.After(t) {
			t = c.Created
		}
	}
	return t
}

func (r *Run) state(target string) RunState {
	useless := func(c *Copy) bool {
		return c != nil && (c.Status == "failed" || strings.HasPrefix(c.Status, "incompatible-"))
	}
	keyGone := r.Key == nil || r.Key.State == string(kmstypes.KeyStatePendingDeletion)
	switch {
	case useless(r.TargetCopy) || useless(r.SharedCopy) && r.TargetCopy == nil:
		return Ended
	case r.TargetCopy != nil && r.TargetCopy.Status != "available":
		return Receiving
	case (r.TargetCopy != nil || len(r.Clusters) > 0) && r.SharedCopy == nil && keyGone:
		return CleanedUp
	case r.TargetCopy != nil || len(r.Clusters) > 0:
		return Complete
	case r.SharedCopy == nil:
		return KeyMade
	case r.SharedCopy.Status != "available":
		return Copying
	case slices.Contains(r.SharedWith, target):
		return Shared
	}
	return Copied
}

func copyOf(s *rdstypes.DBClusterSnapshot) *Copy {
	return &Copy{
		ARN: aws.ToString(s.DBClusterSnapshotArn), Status: aws.ToString(s.Status), Percent: int(aws.ToInt32(s.PercentProgress)),
		KeyARN: aws.ToString(s.KmsKeyId), Created: aws.ToTime(s.SnapshotCreateTime).UTC(), AllocatedGiB: aws.ToInt32(s.AllocatedStorage),
	}
}

// runOf is the id of the run that made what carries these tags, "" if none did.
func runOf(tags []rdstypes.Tag) string {
	for _, t := range tags {
		if aws.ToString(t.Key) == runTag {
			return aws.ToString(t.Value)
		}
	}
	return ""
}

// eachSnapshot calls do with the cluster snapshots of a side, manual and automated.
func eachSnapshot(ctx context.Context, s Side, do func(*rdstypes.DBClusterSnapshot)) error {
	pages := rds.NewDescribeDBClusterSnapshotsPaginator(s.RDS, &rds.DescribeDBClusterSnapshotsInput{MaxRecords: new(int32(100))})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("list the snapshots of account %s: %w", s.Account, err)
		}
		for i := range out.DBClusterSnapshots {
			do(&out.DBClusterSnapshots[i])
		}
	}
	return nil
}

// eachCluster calls do with the clusters of a side.
func eachCluster(ctx context.Context, s Side, do func(*rdstypes.DBCluster)) error {
	pages := rds.NewDescribeDBClustersPaginator(s.RDS, &rds.DescribeDBClustersInput{MaxRecords: new(int32(100))})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("list the clusters of account %s: %w", s.Account, err)
		}
		for i := range out.DBClusters {
			do(&out.DBClusters[i])
		}
	}
	return nil
}

// aliasPrefix begins the alias that a run chooses by itself; its id follows.
const aliasPrefix = "alias/borealis-share-"

// addAliases adds the aliases of the runs' keys, and the runs of which nothing but
// the key is there. Where aliases may not be listed, those are not found.
func (w *Workflow) addAliases(ctx context.Context, of func(string) *Run) error {
	pages := kms.NewListAliasesPaginator(w.Source.KMS, &kms.ListAliasesInput{Limit: new(int32(100))})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if isDenied(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("list aliases of account %s: %w", w.Source.Account, err)
		}
		for _, a := range out.Aliases {
			name := aws.ToString(a.AliasName)
			id, ours := strings.CutPrefix(name, aliasPrefix)
			if !ours || a.TargetKeyId == nil {
				continue
			}
			r, arn := of(id), w.Source.keyARN(*a.TargetKeyId)
			if r.Key == nil {
				r.Key = &RunKey{ARN: arn}
			}
			if r.Key.ARN == arn {
				r.Key.Alias = name
			}
		}
	}
	return nil
}

// lookAtKey completes the key of r. One that does not carry the run's tag is none
// of the run's, and is forgotten.
func (w *Workflow) lookAtKey(ctx context.Context, r *Run) error {
	if r.Key == nil {
		return nil
	}
	ours, err := w.isTagged(ctx, r.ID, r.Key.ARN)
	switch {
	case isDenied(err):
		return nil
	case hasCode(err, "NotFoundException") || err == nil && !ours:
		r.Key = nil
		return nil
	case err != nil:
		return err
	}
	out, err := w.Source.KMS.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &r.Key.ARN})
	switch {
	case isDenied(err):
		return nil
	case err != nil:
		return fmt.Errorf("look at key %s: %w", r.Key.ARN, err)
	}
	r.Key.State, r.Key.Deleted = string(out.KeyMetadata.KeyState), aws.ToTime(out.KeyMetadata.DeletionDate).UTC()
	return nil
}

// snapshotID is the identifier in a snapshot's ARN.
func snapshotID(arn string) string {
	_, id, _ := strings.Cut(arn, ":cluster-snapshot:")
	return id
}

// sharedWith lists the accounts that may restore a snapshot of the source account.
func (w *Workflow) sharedWith(ctx context.Context, snapshot string) ([]string, error) {
	out, err := w.Source.RDS.DescribeDBClusterSnapshotAttributes(ctx, &rds.DescribeDBClusterSnapshotAttributesInput{DBClusterSnapshotIdentifier: &snapshot})
	if err != nil {
		return nil, fmt.Errorf("look up who snapshot %s is shared with: %w", snapshot, err)
	}
	for _, a := range out.DBClusterSnapshotAttributesResult.DBClusterSnapshotAttributes {
		if aws.ToString(a.AttributeName) == "restore" {
			return a.AttributeValues, nil
		}
	}
	return nil, nil
}
