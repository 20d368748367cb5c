package clusters

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/rds"
)

// RestoreDBClusterFromSnapshot promises a cluster with the data of a snapshot:
// one of the caller's, or one shared with the caller, named by ARN. Without a
// KmsKeyId the cluster lives on the snapshot's key, whoever owns that.
func (v *View) RestoreDBClusterFromSnapshot(ctx context.Context, in *rds.RestoreDBClusterFromSnapshotInput) (*rds.RestoreDBClusterFromSnapshotOutput, error) {
	name, err := parseName("DBClusterIdentifier", value(in.DBClusterIdentifier), maxName)
	if err != nil {
		return nil, err
	}
	source := value(in.SnapshotIdentifier)
	if source == "" {
		return nil, missing("SnapshotIdentifier")
	}
	c := newCluster(v.ident("cluster-", name))
	if c.Tags, err = parseTags(in.Tags); err != nil {
		return nil, err
	}
	var from Snapshot
	err = v.Store.View(ctx, func(tx Tx) error {
		from, err = v.authorizeRestore(ctx, tx, source, in, c)
		if err != nil {
			return err
		}
		return v.roomForCluster(tx, c)
	})
	if err != nil {
		return nil, err
	}
	if err := v.fillRestored(ctx, &c, from, in); err != nil {
		return nil, err
	}
	op, err := v.restoreOperation(ctx, &c, from, in.KmsKeyId)
	if err != nil {
		return nil, err
	}
	made := c
	err = v.promise(ctx, append(op.Grants, c.Grant), func(tx Tx) error {
		now, err := tx.Snapshots().Get(from.ID)
		if err != nil || !v.visible(now) {
			return noSnapshot(source)
		}
		made = c
		return v.putNew(tx, &made, op)
	})
	if err != nil {
		return nil, err
	}
	return &rds.RestoreDBClusterFromSnapshotOutput{DBCluster: made.shape(nil)}, nil
}

// authorizeRestore decides whether the caller may restore the snapshot that
// source names as c, and returns it.
func (v *View) authorizeRestore(ctx context.Context, tx Tx, source string, in *rds.RestoreDBClusterFromSnapshotInput, c Cluster) (Snapshot, error) {
	s, o, found, err := v.findSnapshot(tx, source)
	if err != nil {
		return s, err
	}
	version := s.Version
	if !found {
		version = value(in.EngineVersion) // what is not to be seen is not to be guessed from a message
	}
	r := request{action: "rds:RestoreDBClusterFromSnapshot", tags: c.Tags}
	if err := v.authorizeNew(ctx, r, c.arn(), append(v.groups("cluster-pg", version), o)...); err != nil {
		return s, err
	}
	if !found || s.Region != v.caller.Region {
		return s, noSnapshot(source)
	}
	if s.Status != SnapshotAvailable {
		return s, snapshotState("The cluster snapshot %s is in %s state but expected it to be one of available.", s.Name, s.Status)
	}
	return s, nil
}

// fillRestored sets in c what the snapshot and the parameters say. The master
// user and its password are in the data.
func (v *View) fillRestored(ctx context.Context, c *Cluster, from Snapshot, in *rds.RestoreDBClusterFromSnapshotInput) error {
	if err := errors.Join(
		checkEngine(in.Engine),
		checkPort(in.Port),
		offered(map[string]bool{
			"DBClusterInstanceClass": given(in.DBClusterInstanceClass), "Domain": given(in.Domain),
			"EngineMode": given(in.EngineMode) && *in.EngineMode != "provisioned", "OptionGroupName": given(in.OptionGroupName),
			"ScalingConfiguration": in.ScalingConfiguration != nil, "TagSpecifications": len(in.TagSpecifications) > 0,
		}),
	); err != nil {
		return err
	}
	want := value(in.EngineVersion)
	if want == "" {
		want = major(from.Version)
	}
	version, err := v.version(ctx, want)
	if err != nil {
		return err
	}
	if major(version) != major(from.Version) {
		return invalidCombination("Cannot restore a snapshot of engine version %s as version %s: the major version must be the same.", from.Version, version)
	}
	c.Created, c.Version, c.Master, c.Database, c.Port = v.Now(), version, from.Master, from.Database, value(in.Port)
	c.StorageType, c.IAMAuth = from.StorageType, from.IAMAuth
	return settings{
		BackupRetention: in.BackupRetentionPeriod, BackupWindow: in.PreferredBackupWindow,
		DeletionProtection: in.DeletionProtection, CopyTags: in.CopyTagsToSnapshot,
		IAMAuth: in.EnableIAMDatabaseAuthentication, StorageType: in.StorageType, SubnetGroup: in.DBSubnetGroupName,
		ParameterGroup: in.DBClusterParameterGroupName, SecurityGroups: in.VpcSecurityGroupIds,
		Zones: in.AvailabilityZones, Serverless: in.ServerlessV2ScalingConfiguration,
	}.apply(c)
}

// restoreOperation gets the grants that a restore needs, in the caller's name:
// one on the snapshot's key, for as long as the restore takes, and one on the
// cluster's, for as long as that lives.
func (v *View) restoreOperation(ctx context.Context, c *Cluster, from Snapshot, keyID *string) (Operation, error) {
	op := v.operation(RestoreCluster, c.ID, c.ID)
	op.Cluster, op.Reads = c.ID, from.VolumeID
	op.From = &Source{VolumeID: from.VolumeID, Digest: from.Volume.Digest, Region: from.Region, Key: from.dataKey()}
	subject, id := sourceKey, from.KeyARN
	if given(keyID) {
		subject, id = givenKey, *keyID
	}
	if from.KeyARN != "" {
		g, err := v.obtainSource(ctx, from)
		if err != nil {
			return op, err
		}
		op.From.Grant, op.Grants = g, []Grant{g}
	}
	if id != "" {
		k, g, err := v.obtain(ctx, c.Region, subject, id, c.ID)
		if err != nil {
			return op, v.release(ctx, err, op.Grants...)
		}
		c.KeyARN, c.DefaultKey, c.Grant = k.arn, k.isDefault, g
	}
	op.To = &Target{Key: DataKeyID{c.Account, c.ID, c.KeyARN}, Grant: c.Grant}
	return op, nil
}
