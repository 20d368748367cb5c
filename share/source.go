package share

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	rdstypes "github.com/aws/aws-sdk-go-v2/service/rds/types"
)

// ourKey finds the key that a former run made, by its alias and tag; nil if
// there is none. An alias that leads to another key is ErrNotOurs.
func (w *Workflow) ourKey(ctx context.Context, p *Plan) (*kmstypes.KeyMetadata, error) {
	alias := p.Request.Key.Alias
	out, err := w.Source.KMS.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &alias})
	if hasCode(err, "NotFoundException") {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", alias, err)
	}
	tags, err := w.Source.KMS.ListResourceTags(ctx, &kms.ListResourceTagsInput{KeyId: out.KeyMetadata.KeyId})
	if err != nil {
		return nil, fmt.Errorf("read the tags of %s: %w", alias, err)
	}
	if !slices.ContainsFunc(tags.Tags, func(t kmstypes.Tag) bool {
		return aws.ToString(t.TagKey) == runTag && aws.ToString(t.TagValue) == p.Run
	}) {
		return nil, fmt.Errorf("%s leads to key %s, which this run did not make; choose another alias: %w", alias, aws.ToString(out.KeyMetadata.KeyId), ErrNotOurs)
	}
	if out.KeyMetadata.KeyState != kmstypes.KeyStateEnabled {
		return nil, fmt.Errorf("key %s of a former run is %s; enable it, or delete its alias %s, and run again: %w", aws.ToString(out.KeyMetadata.Arn), out.KeyMetadata.KeyState, alias, ErrUsage)
	}
	return out.KeyMetadata, nil
}

// ourSnapshot finds the copy that a former run made on side s; nil if there is
// none. A snapshot of that name without the run's tag is ErrNotOurs.
func (w *Workflow) ourSnapshot(ctx context.Context, s Side, p *Plan, id string) (*rdstypes.DBClusterSnapshot, error) {
	snap, err := describeSnapshot(ctx, s, id)
	if err != nil {
		return nil, fmt.Errorf("look up snapshot %s in account %s: %w", id, s.Account, err)
	}
	if snap == nil {
		return nil, nil
	}
	if !slices.ContainsFunc(snap.TagList, func(t rdstypes.Tag) bool {
		return aws.ToString(t.Key) == runTag && aws.ToString(t.Value) == p.Run
	}) {
		return nil, fmt.Errorf("account %s has a snapshot %s that this run did not make; choose another name: %w", s.Account, id, ErrNotOurs)
	}
	return snap, nil
}

func (r *run) createKey(ctx context.Context) error {
	key, err := r.ourKey(ctx, r.plan)
	if err != nil {
		return err
	}
	if key != nil {
		r.keyIs(aws.ToString(key.Arn), Found)
		return nil
	}
	out, err := r.Source.KMS.CreateKey(ctx, &kms.CreateKeyInput{
		Description: &r.plan.Request.Key.Description,
		KeySpec:     kmstypes.KeySpecSymmetricDefault,
		KeyUsage:    kmstypes.KeyUsageTypeEncryptDecrypt,
		Policy:      &r.plan.KeyPolicy,
		Tags:        r.plan.kmsTags(),
	})
	if err != nil {
		return fmt.Errorf("create the key: %w", err)
	}
	r.keyIs(aws.ToString(out.KeyMetadata.Arn), Done)
	return nil
}

func (r *run) keyIs(arn string, s State) {
	r.result.KeyARN, r.step.ARN = arn, arn
	r.say(s, 0, "")
}

func (r *run) createAlias(ctx context.Context) error {
	alias := r.plan.Request.Key.Alias
	_, err := r.Source.KMS.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: &alias, TargetKeyId: &r.result.KeyARN})
	switch {
	case hasCode(err, "AlreadyExistsException"): // createKey went by this alias, or lost a race to a run beside this one
		if key, lookErr := r.ourKey(ctx, r.plan); lookErr != nil {
			return lookErr
		} else if key == nil || aws.ToString(key.Arn) != r.result.KeyARN {
			return fmt.Errorf("alias %s was taken meanwhile; run again: %w", alias, ErrChanged)
		}
		r.say(Found, 0, "")
		return nil
	case err != nil:
		return fmt.Errorf("create alias %s: %w", alias, err)
	}
	r.say(Done, 0, "")
	return nil
}

func (r *run) copyUnderKey(ctx context.Context) error {
	id := r.plan.sharedID()
	r.result.SharedSnapshot = r.step.ARN
	return r.copySnapshot(ctx, r.Source, &rds.CopyDBClusterSnapshotInput{
		SourceDBClusterSnapshotIdentifier: &r.plan.Snapshot.ARN,
		TargetDBClusterSnapshotIdentifier: &id,
		KmsKeyId:                          &r.result.KeyARN,
		Tags:                              r.plan.rdsTags(),
	}, r.diagnoseOwnKey)
}

// copySnapshot starts a copy on side s, unless a former run did, and waits until
// it is available.
func (r *run) copySnapshot(ctx context.Context, s Side, in *rds.CopyDBClusterSnapshotInput, why diagnosis) error {
	id := *in.TargetDBClusterSnapshotIdentifier
	snap, err := r.ourSnapshot(ctx, s, r.plan, id)
	if err != nil {
		return err
	}
	state := Found
	if snap == nil {
		state = Done
		if err := r.insist(ctx, why, func() error {
			_, err := s.RDS.CopyDBClusterSnapshot(ctx, in)
			return err
		}); err != nil {
			return err
		}
	}
	if err := r.awaitSnapshot(ctx, s, id); err != nil {
		return err
	}
	r.say(state, 100, "")
	return nil
}

func (r *run) shareCopy(ctx context.Context) error {
	id := r.plan.sharedID()
	_, err := r.Source.RDS.ModifyDBClusterSnapshotAttribute(ctx, &rds.ModifyDBClusterSnapshotAttributeInput{
		DBClusterSnapshotIdentifier: &id, AttributeName: new("restore"), ValuesToAdd: []string{r.Target.Account},
	})
	if err != nil {
		return fmt.Errorf("share snapshot %s: %w", id, err)
	}
	out, err := r.Source.RDS.DescribeDBClusterSnapshotAttributes(ctx, &rds.DescribeDBClusterSnapshotAttributesInput{DBClusterSnapshotIdentifier: &id})
	if err != nil {
		return fmt.Errorf("check who snapshot %s is shared with: %w", id, err)
	}
	for _, a := range out.DBClusterSnapshotAttributesResult.DBClusterSnapshotAttributes {
		if aws.ToString(a.AttributeName) == "restore" && slices.Contains(a.AttributeValues, r.Target.Account) {
			r.say(Done, 0, "")
			return nil
		}
	}
	return fmt.Errorf("snapshot %s does not list account %s although sharing succeeded: %w", id, r.Target.Account, ErrChanged)
}
