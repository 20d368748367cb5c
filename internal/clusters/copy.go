package clusters

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"
)

// CopyDBClusterSnapshot promises a copy of one of the caller's snapshots, or of
// one that another account shares with the caller. Both keys are checked now,
// in the caller's name; the bytes are moved by a job under the grants got here.
func (v *View) CopyDBClusterSnapshot(ctx context.Context, in *rds.CopyDBClusterSnapshotInput) (*rds.CopyDBClusterSnapshotOutput, error) {
	source := value(in.SourceDBClusterSnapshotIdentifier)
	if source == "" {
		return nil, missing("SourceDBClusterSnapshotIdentifier")
	}
	name, err := parseName("TargetDBClusterSnapshotIdentifier", value(in.TargetDBClusterSnapshotIdentifier), maxName)
	if err != nil {
		return nil, err
	}
	tags, err := parseTags(in.Tags)
	if err != nil {
		return nil, err
	}
	from, err := v.authorizeCopy(ctx, source, name, tags, in)
	if err != nil {
		return nil, err
	}
	s := v.copyOf(from, name)
	if s.Tags = tags; len(tags) == 0 && value(in.CopyTags) && from.Account == s.Account {
		s.Tags = from.Tags
	}
	op, err := v.copyOperation(ctx, &s, from, in.KmsKeyId)
	if err != nil {
		return nil, err
	}
	err = v.promise(ctx, op.Grants, func(tx Tx) error {
		now, err := tx.Snapshots().Get(from.ID)
		if err != nil || !v.visible(now) {
			return noSnapshot(source)
		}
		if err := v.mayCopy(tx, now, name, in); err != nil {
			return err
		}
		made := s
		if err := made.setStatus(SnapshotCopying); err != nil {
			return err
		}
		return errors.Join(tx.Snapshots().Put(made), tx.PutOperation(op))
	})
	if err != nil {
		return nil, err
	}
	s.Status = SnapshotCopying
	return &rds.CopyDBClusterSnapshotOutput{DBClusterSnapshot: v.shapeOf(s)}, nil
}

// authorizeCopy decides whether the caller may copy the snapshot that source
// names, and returns it.
func (v *View) authorizeCopy(ctx context.Context, source, name string, tags []Tag, in *rds.CopyDBClusterSnapshotInput) (from Snapshot, err error) {
	err = v.Store.View(ctx, func(tx Tx) error {
		s, o, found, err := v.findSnapshot(tx, source)
		if err != nil {
			return err
		}
		r := request{action: "rds:CopyDBClusterSnapshot", tags: tags}
		if err := v.authorizeNew(ctx, r, v.lookAt(snapshotType, name), o); err != nil {
			return err
		}
		if !found {
			return noSnapshot(source)
		}
		from = s
		return v.mayCopy(tx, s, name, in)
	})
	return from, err
}

// copyOf is a copy of from that is yet to be made.
func (v *View) copyOf(from Snapshot, name string) Snapshot {
	s := from
	s.Ident, s.VolumeID = v.ident("snapshot-", name), newID("vol-")
	s.Status, s.Reason, s.Shared, s.Tags, s.Volume = "", "", nil, nil, VolumeInfo{}
	s.SourceID = from.arn().String()
	return s
}

// mayCopy says what stands in the way of copying from, keys apart.
func (v *View) mayCopy(tx Tx, from Snapshot, name string, in *rds.CopyDBClusterSnapshotInput) error {
	foreign, abroad := from.Account != v.caller.Account, from.Region != v.caller.Region
	switch {
	case from.Status != SnapshotAvailable:
		return snapshotState("The source cluster snapshot %s is in %s state but expected it to be one of available.", from.Name, from.Status)
	case foreign && abroad:
		return invalidCombination("A cluster snapshot cannot be copied across Regions and accounts in one step.")
	case from.KeyARN == "" && given(in.KmsKeyId):
		return invalidCombination("KmsKeyId cannot be specified for a copy of a cluster snapshot that is not encrypted.")
	case from.KeyARN != "" && foreign && !given(in.KmsKeyId):
		return invalidValue("You must specify a value for KmsKeyId to copy an encrypted cluster snapshot that is shared from another account.")
	case from.KeyARN != "" && abroad && !given(in.KmsKeyId):
		return invalidValue("Must specify new KMS key for cross region encrypted snapshot copy.")
	}
	if abroad {
		if err := v.roomAbroad(tx); err != nil {
			return err
		}
	}
	return v.roomForSnapshot(tx, name)
}

// roomAbroad limits the copies from other Regions in progress.
func (v *View) roomAbroad(tx Tx) error {
	all, err := tx.Operations()
	if err != nil {
		return err
	}
	running := keepIf(all, func(op Operation) bool {
		return op.Kind == CopySnapshot && op.Region == v.caller.Region && op.From.Region != op.Region && op.To.Key.Account == v.caller.Account
	})
	if len(running) >= maxCrossRegion {
		return &types.SnapshotQuotaExceededFault{Message: new("Cannot copy more than 5 snapshots across regions")}
	}
	return nil
}

// copyOperation gets the grants that a copy needs, in the caller's name, sets
// the key of s, and makes the operation.
func (v *View) copyOperation(ctx context.Context, s *Snapshot, from Snapshot, keyID *string) (Operation, error) {
	// Copies of one snapshot run one after another, as on AWS.
	op := v.operation(CopySnapshot, s.ID, "copies of "+from.ID)
	op.Reads = from.VolumeID
	op.From = &Source{VolumeID: from.VolumeID, Digest: from.Volume.Digest, Region: from.Region, Key: from.dataKey()}
	op.To = &Target{VolumeID: s.VolumeID}
	if from.KeyARN != "" {
		if err := v.copyGrants(ctx, &op, s, from, keyID); err != nil {
			return op, err
		}
	}
	op.To.Key = s.dataKey()
	return op, nil
}

func (v *View) copyGrants(ctx context.Context, op *Operation, s *Snapshot, from Snapshot, keyID *string) error {
	g, err := v.obtainSource(ctx, from)
	if err != nil {
		return err
	}
	op.From.Grant, op.To.Grant, op.Grants = g, g, []Grant{g}
	if !given(keyID) {
		return nil // the same key, and the same data: the same grant
	}
	k, g, err := v.obtain(ctx, s.Region, givenKey, *keyID, s.Lineage)
	if err != nil {
		return v.release(ctx, err, op.Grants...)
	}
	s.KeyARN, s.DefaultKey = k.arn, k.isDefault
	op.To.Grant, op.Grants = g, append(op.Grants, g)
	return nil
}

// obtainSource gets a grant on the key of a snapshot that is to be read. A
// default key opens only to its own account: KMS refuses all others, and should
// it ever not, this does.
func (v *View) obtainSource(ctx context.Context, from Snapshot) (Grant, error) {
	k, err := v.describeKey(ctx, from.Region, sourceKey, from.KeyARN)
	if err != nil {
		return Grant{}, err
	}
	if k.isDefault && from.Account != v.caller.Account {
		return Grant{}, v.keyError(ctx, sourceKey, from.KeyARN, "use", errForeignDefault)
	}
	return v.grant(ctx, from.Region, sourceKey, k, from.KeyARN, from.Lineage)
}
