package share

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	rdstypes "github.com/aws/aws-sdk-go-v2/service/rds/types"
)

// ourSnapshot finds the copy that a former run made on side s; nil if there is
// none. A snapshot of that name without the run's tag is ErrNotOurs, one that is
// of no use ErrFailed.
func (w *Workflow) ourSnapshot(ctx context.Context, s Side, p *Plan, id string) (*rdstypes.DBClusterSnapshot, error) {
	snap, err := describeSnapshot(ctx, s, id)
	switch {
	case err != nil:
		return nil, fmt.Errorf("look up snapshot %s in account %s: %w", id, s.Account, err)
	case snap == nil:
		return nil, nil
	case !madeBy(p.Run, snap.TagList):
		return nil, fmt.Errorf("account %s has a snapshot %s that this run did not make; choose another name (--copy-id): %w", s.Account, id, ErrNotOurs)
	}
	return snap, checkStatus(snap, s)
}

// checkStatus refuses a snapshot that will never be available.
func checkStatus(snap *rdstypes.DBClusterSnapshot, s Side) error {
	id := aws.ToString(snap.DBClusterSnapshotIdentifier)
	switch st := aws.ToString(snap.Status); st {
	case "failed", "incompatible-restore", "incompatible-parameters":
		return fmt.Errorf("snapshot %s in account %s is %s; delete it (aws rds delete-db-cluster-snapshot --db-cluster-snapshot-identifier %s) and run again: %w", id, s.Account, st, id, ErrFailed)
	case "deleting", "deleted":
		return fmt.Errorf("snapshot %s in account %s is being deleted; run again when it is gone: %w", id, s.Account, ErrChanged)
	}
	return nil
}

// copySnapshot starts a copy on side s, unless a former run did, and waits until
// it is available.
func (r *run) copySnapshot(ctx context.Context, s Side, in *rds.CopyDBClusterSnapshotInput, why diagnosis) (*rdstypes.DBClusterSnapshot, State, error) {
	id, state := *in.TargetDBClusterSnapshotIdentifier, Found
	snap, err := r.ourSnapshot(ctx, s, r.plan, id)
	if err != nil {
		return nil, state, err
	}
	if snap == nil {
		err := r.outlast(ctx, why, func() error {
			_, err := s.RDS.CopyDBClusterSnapshot(ctx, in)
			return err
		})
		switch {
		case err == nil:
			state = Done
		case !hasCode(err, "DBClusterSnapshotAlreadyExistsFault"): // else a run beside this one, or this one and its answer was lost
			return nil, state, err
		}
	}
	snap, err = r.awaitSnapshot(ctx, s, id)
	return snap, state, err
}

// awaitSnapshot waits for a copy on side s to become available, telling how far
// it is.
func (r *run) awaitSnapshot(ctx context.Context, s Side, id string) (snap *rdstypes.DBClusterSnapshot, err error) {
	seen, polls := false, 0
	err = r.poll(ctx, func() (bool, error) {
		snap, err = r.ourSnapshot(ctx, s, r.plan, id)
		if err != nil {
			return false, err
		}
		if snap == nil {
			if polls++; seen || polls == unseen {
				return false, fmt.Errorf("snapshot %s in account %s is gone, deleted by somebody; run again: %w", id, s.Account, ErrChanged)
			}
			return false, nil
		}
		if seen = true; aws.ToString(snap.Status) == "available" {
			return true, nil
		}
		r.progress(snap.Status, snap.PercentProgress)
		return false, nil
	})
	return snap, err
}

func (r *run) copyUnderKey(ctx context.Context) error {
	snap, state, err := r.copySnapshot(ctx, r.Source, &rds.CopyDBClusterSnapshotInput{
		SourceDBClusterSnapshotIdentifier: &r.plan.Snapshot.ARN,
		TargetDBClusterSnapshotIdentifier: new(r.plan.sharedID()),
		KmsKeyId:                          &r.result.KeyARN,
		Tags:                              r.plan.rdsTags(),
	}, r.diagnoseSource)
	if err != nil {
		return r.orKeyLost(ctx, err)
	}
	if key := aws.ToString(snap.KmsKeyId); key != r.result.KeyARN {
		return fmt.Errorf("the copy %s of a former run is under key %s, not under %s; delete it and run again: %w", r.step.ARN, key, r.result.KeyARN, ErrChanged)
	}
	r.result.SharedSnapshot = aws.ToString(snap.DBClusterSnapshotArn)
	r.finished(state, r.result.SharedSnapshot)
	return nil
}

func (r *run) copyToTarget(ctx context.Context) error {
	snap, state, err := r.copySnapshot(ctx, r.Target, &rds.CopyDBClusterSnapshotInput{
		SourceDBClusterSnapshotIdentifier: &r.result.SharedSnapshot, // another account's: only its ARN will do
		TargetDBClusterSnapshotIdentifier: &r.plan.Request.CopyID,
		KmsKeyId:                          &r.plan.Request.TargetKey,
		Tags:                              r.plan.rdsTags(),
	}, r.diagnoseTarget)
	if err != nil {
		return r.orKeyLost(ctx, err)
	}
	if err := r.checkTargetCopy(ctx, r.plan, snap); err != nil {
		return err
	}
	r.result.TargetSnapshot, r.result.TargetKeyARN = aws.ToString(snap.DBClusterSnapshotArn), aws.ToString(snap.KmsKeyId)
	r.finished(state, r.result.TargetSnapshot)
	return nil
}

// checkTargetCopy makes sure that the target's copy is under a key of the
// target's own, and under the one that was asked for: it may be a former run's,
// that was asked for something else.
func (w *Workflow) checkTargetCopy(ctx context.Context, p *Plan, copied *rdstypes.DBClusterSnapshot) error {
	id, key := p.Request.CopyID, aws.ToString(copied.KmsKeyId)
	if !strings.Contains(key, ":"+w.Target.Account+":") {
		return fmt.Errorf("the target's copy %s is under %s, which is not a key of account %s: %w", id, key, w.Target.Account, ErrChanged)
	}
	same, err := w.isTargetKey(ctx, p.Request.TargetKey, key)
	if err != nil {
		return err
	}
	if !same {
		return usagef("the target's copy %s, made by a former run, is under %s and not under %s; delete it, or name that key, or choose another name for the new copy (--copy-id)", id, key, p.Request.TargetKey)
	}
	return nil
}

// isTargetKey reports whether name, in the target account, means the key with
// this ARN. Where the target may not describe its keys, it is taken to.
func (w *Workflow) isTargetKey(ctx context.Context, name, arn string) (bool, error) {
	isDefault := strings.Contains(name, defaultKey)
	if isDefault {
		name = arn // the alias is not looked up: that would make the key
	}
	out, err := w.Target.KMS.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &name})
	switch {
	case isDenied(err):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("describe the target's key %s: %w", name, err)
	case isDefault:
		return out.KeyMetadata.KeyManager == kmstypes.KeyManagerTypeAws, nil
	}
	return aws.ToString(out.KeyMetadata.Arn) == arn, nil
}
