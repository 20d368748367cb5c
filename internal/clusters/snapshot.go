package clusters

import (
	"context"
	"errors"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/rds"

	"borealis/internal/cloud"
)

// CreateDBClusterSnapshot promises a snapshot of a cluster, under its key.
func (v *View) CreateDBClusterSnapshot(ctx context.Context, in *rds.CreateDBClusterSnapshotInput) (*rds.CreateDBClusterSnapshotOutput, error) {
	name, err := parseName("DBClusterSnapshotIdentifier", value(in.DBClusterSnapshotIdentifier), maxName)
	if err != nil {
		return nil, err
	}
	tags, err := parseTags(in.Tags)
	if err != nil {
		return nil, err
	}
	c, err := v.authorizeTake(ctx, value(in.DBClusterIdentifier), name, tags)
	if err != nil {
		return nil, err
	}
	var grants []Grant
	if c.KeyARN != "" {
		_, g, err := v.obtain(ctx, c.Region, givenKey, c.KeyARN, c.ID)
		if err != nil {
			return nil, err
		}
		grants = []Grant{g}
	}
	var s Snapshot
	err = v.promise(ctx, grants, func(tx Tx) error {
		if c, err = tx.Clusters().Get(c.ID); err != nil {
			return noCluster(value(in.DBClusterIdentifier))
		}
		if err := v.mayTake(tx, c, name); err != nil {
			return err
		}
		s = v.snapshotOf(c, name)
		if s.Tags = tags; len(tags) == 0 && c.CopyTags {
			s.Tags = c.Tags
		}
		if err := c.setStatus(ClusterBackingUp); err != nil {
			return err
		}
		return errors.Join(v.beginSnapshot(tx, &s, c, grants), tx.Clusters().Put(c))
	})
	if err != nil {
		return nil, err
	}
	return &rds.CreateDBClusterSnapshotOutput{DBClusterSnapshot: v.shapeOf(s)}, nil
}

// authorizeTake decides whether the caller may take a snapshot called name of
// the cluster that id names, and returns the cluster.
func (v *View) authorizeTake(ctx context.Context, id, name string, tags []Tag) (c Cluster, err error) {
	err = v.Store.View(ctx, func(tx Tx) error {
		made := v.lookAt(snapshotType, name)
		r := request{action: "rds:CreateDBClusterSnapshot", tags: tags}
		c, err = v.loadCluster(ctx, tx, r, id, object{arn: made})
		if err != nil {
			return err
		}
		if err := v.authorizeTags(ctx, tags, made); err != nil {
			return err
		}
		return v.mayTake(tx, c, name)
	})
	return c, err
}

// mayTake says what stands in the way of taking a snapshot of c.
func (v *View) mayTake(tx Tx, c Cluster, name string) error {
	if c.Status != ClusterAvailable {
		return clusterState("DBCluster %s is in %s state but expected it to be one of available.", c.Name, c.Status)
	}
	return v.roomForSnapshot(tx, name)
}

// roomForSnapshot makes sure that a name is free and the quota not reached.
func (v *View) roomForSnapshot(tx Tx, name string) error {
	all, err := tx.Snapshots().In(v.caller.Account, v.caller.Region)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(all, func(s Snapshot) bool { return s.Name == name }) {
		return snapshotExists(name)
	}
	if len(all) >= maxSnapshots {
		return snapshotQuota()
	}
	return nil
}

// snapshotOf is a snapshot of c that is yet to be taken.
func (v *View) snapshotOf(c Cluster, name string) Snapshot {
	return Snapshot{
		Ident: v.ident("snapshot-", name), Created: v.Now(), VolumeID: newID("vol-"),
		Cluster: c.Name, Lineage: c.ID, Version: c.Version, Master: c.Master, Port: c.Port, Database: c.Database,
		ClusterMade: c.Created, Zones: c.Zones, StorageType: c.StorageType, IAMAuth: c.IAMAuth,
		Retention: c.BackupRetention, Window: c.BackupWindow, KeyARN: c.KeyARN, DefaultKey: c.DefaultKey,
	}
}

// beginSnapshot writes s and the operation that takes it. grants are what RDS
// got for it.
func (v *View) beginSnapshot(tx Tx, s *Snapshot, c Cluster, grants []Grant) error {
	if err := s.setStatus(SnapshotCreating); err != nil {
		return err
	}
	op := v.operation(TakeSnapshot, s.ID, c.ID)
	op.Cluster, op.Grants = c.ID, grants
	op.To = &Target{VolumeID: s.VolumeID, Key: s.dataKey(), Grant: first(grants)}
	return errors.Join(tx.Snapshots().Put(*s), tx.PutOperation(op))
}

// dataKey says which data key the volume of s is under.
func (s Snapshot) dataKey() DataKeyID { return DataKeyID{s.Account, s.Lineage, s.KeyARN} }

func first(g []Grant) Grant {
	if len(g) == 0 {
		return Grant{}
	}
	return g[0]
}

// visible reports whether the caller may know of s: its own, and what other
// accounts share with it or with everyone.
func (v *View) visible(s Snapshot) bool {
	return s.Account == v.caller.Account || slices.Contains(s.Shared, string(v.caller.Account)) || slices.Contains(s.Shared, public)
}

// findSnapshot returns the snapshot that id names, if the caller may see it, and
// how policies see it: the tags of another account's snapshot are not shown.
func (v *View) findSnapshot(tx Tx, id string) (s Snapshot, o object, found bool, err error) {
	o.arn = v.lookAt(snapshotType, id)
	s, err = find(tx.Snapshots(), o.arn)
	if errors.Is(err, cloud.ErrNotFound) {
		return s, o, false, nil
	}
	if s.Account == v.caller.Account {
		o.tags = s.Tags
	}
	return s, o, v.visible(s), err
}

// loadOwn authorizes action on the snapshot that id names and returns it, if it
// is the caller's own.
func (v *View) loadOwn(ctx context.Context, tx Tx, action, id string) (Snapshot, error) {
	if id == "" {
		return Snapshot{}, missing("DBClusterSnapshotIdentifier")
	}
	s, o, _, err := v.findSnapshot(tx, id)
	if err != nil {
		return s, err
	}
	if err := v.authorize(ctx, request{action: action}, o); err != nil {
		return s, err
	}
	if s.ID == "" || !v.owns(s.Ident) {
		return s, noSnapshot(id)
	}
	return s, nil
}

// DeleteDBClusterSnapshot makes a snapshot be gone at once; a job removes its
// volume. One that is still being copied is thereby cancelled.
func (v *View) DeleteDBClusterSnapshot(ctx context.Context, in *rds.DeleteDBClusterSnapshotInput) (*rds.DeleteDBClusterSnapshotOutput, error) {
	var s Snapshot
	err := v.promise(ctx, nil, func(tx Tx) (err error) {
		s, err = v.loadOwn(ctx, tx, "rds:DeleteDBClusterSnapshot", value(in.DBClusterSnapshotIdentifier))
		if err != nil {
			return err
		}
		switch s.Status {
		case SnapshotAvailable, SnapshotFailed:
			op := v.operation(DeleteVolume, s.ID, s.VolumeID)
			op.To = &Target{VolumeID: s.VolumeID, Key: s.dataKey()}
			err = tx.PutOperation(op)
		case SnapshotCopying: // the operation that copies cleans up
		default:
			err = snapshotState("The cluster snapshot %s is in %s state but expected it to be one of available, failed.", s.Name, s.Status)
		}
		return errors.Join(err, tx.Snapshots().Delete(s.ID))
	})
	if err != nil {
		return nil, err
	}
	v.cancel(s.ID)
	out := v.shapeOf(s)
	out.Status = new("deleted")
	return &rds.DeleteDBClusterSnapshotOutput{DBClusterSnapshot: out}, nil
}
