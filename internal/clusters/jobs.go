package clusters

import (
	"context"
	"errors"
	"fmt"

	"borealis/internal/cloud"
)

// jobs are how each kind of operation is carried out.
var jobs = map[Kind]job{
	CreateCluster:  {work: (*Service).createCluster, undo: (*Service).removeEngine, succeed: clusterMade, fail: clusterFailed},
	RestoreCluster: {work: (*Service).restoreCluster, undo: (*Service).removeEngine, succeed: clusterMade, fail: clusterFailed, bulk: true},
	StartCluster:   {work: (*Service).startCluster, succeed: clusterStarted, fail: startFailed, volatile: true},
	StopCluster:    {work: (*Service).stopEngine, succeed: clusterStopped, fail: nothing, insist: true},
	SetPassword:    {work: (*Service).startCluster, succeed: passwordSet, fail: passwordFailed},
	DeleteCluster:  {work: (*Service).deleteCluster, succeed: clusterDeleted, fail: deleteFailed, insist: true},
	StartInstance:  {work: (*Service).startInstance, succeed: instanceStarted, fail: instanceFailed, volatile: true},
	DeleteInstance: {work: (*Service).stopEngine, succeed: instanceDeleted, fail: nothing, insist: true},
	TakeSnapshot:   {work: (*Service).takeSnapshot, undo: (*Service).removeVolume, succeed: snapshotTaken, fail: snapshotFailed, bulk: true},
	CopySnapshot:   {work: (*Service).copySnapshot, undo: (*Service).removeVolume, succeed: snapshotCopied, fail: snapshotFailed, bulk: true},
	DeleteVolume:   {work: (*Service).removeVolume, succeed: nothing, fail: nothing, insist: true},
}

func nothing(Tx, *Operation) error { return nil }

// cluster loads the cluster that op is about.
func (s *Service) cluster(ctx context.Context, op *Operation) (c Cluster, err error) {
	err = s.Store.View(ctx, func(tx Tx) error {
		c, err = tx.Clusters().Get(op.Cluster)
		return err
	})
	return c, err
}

// snapshot loads the snapshot that op is about, or says that op was cancelled.
func (s *Service) snapshot(ctx context.Context, id string) (out Snapshot, err error) {
	err = s.Store.View(ctx, func(tx Tx) error {
		out, err = tx.Snapshots().Get(id)
		return err
	})
	if errors.Is(err, cloud.ErrNotFound) {
		err = fmt.Errorf("%w: %w", errCancelled, err)
	}
	return out, err
}

func (s *Service) createCluster(ctx context.Context, op *Operation) error {
	c, err := s.cluster(ctx, op)
	if err != nil {
		return err
	}
	if err := s.proveKey(ctx, op.To); err != nil {
		return err
	}
	if err := s.Engines.Create(ctx, c.ID, c.Version); err != nil {
		return fmt.Errorf("create engine: %w", err)
	}
	return nil
}

// proveKey makes the data key of a cluster, by which its KMS key is tried
// whenever its engine starts.
func (s *Service) proveKey(ctx context.Context, to *Target) error {
	if to.Key.KeyARN == "" {
		return nil
	}
	plain, _, err := s.openDataKey(ctx, to.Key, to.Grant, true)
	clear(plain)
	return err
}

func (s *Service) restoreCluster(ctx context.Context, op *Operation) error {
	from, err := s.openSource(ctx, op.From)
	if err != nil {
		return err
	}
	defer clear(from.DataKey)
	if err := s.proveKey(ctx, op.To); err != nil {
		return err
	}
	if err := s.Volumes.Restore(ctx, from, op.Cluster, s.progress(op)); err != nil {
		return fmt.Errorf("restore volume %s: %w", from.ID, err)
	}
	return nil
}

// openSource opens the volume that an operation reads.
func (s *Service) openSource(ctx context.Context, from *Source) (VolumeRef, error) {
	plain, _, err := s.openDataKey(ctx, from.Key, from.Grant, false)
	return VolumeRef{
		ID: from.VolumeID, Digest: from.Digest, Account: from.Key.Account, Lineage: from.Key.Lineage,
		KeyARN: from.Key.KeyARN, DataKey: plain,
	}, err
}

// openTarget opens the data key of the volume that an operation makes.
func (s *Service) openTarget(ctx context.Context, to *Target) (VolumeSpec, error) {
	plain, wrapped, err := s.openDataKey(ctx, to.Key, to.Grant, true)
	return VolumeSpec{
		ID: to.VolumeID, Account: to.Key.Account, Lineage: to.Key.Lineage,
		KeyARN: to.Key.KeyARN, DataKey: plain, Wrapped: wrapped,
	}, err
}

func (s *Service) progress(op *Operation) Progress {
	subject := op.Subject
	return func(done, total int64) { s.report(subject, done, total) }
}

func (s *Service) removeEngine(ctx context.Context, op *Operation) error {
	if err := s.Engines.Remove(ctx, op.Cluster); err != nil {
		return fmt.Errorf("remove engine %s: %w", op.Cluster, err)
	}
	return nil
}

func (s *Service) removeVolume(ctx context.Context, op *Operation) error {
	k := op.To.Key
	err := s.Volumes.Delete(ctx, VolumeRef{ID: op.To.VolumeID, Account: k.Account, Lineage: k.Lineage, KeyARN: k.KeyARN})
	if err != nil {
		return fmt.Errorf("delete volume %s: %w", op.To.VolumeID, err)
	}
	return nil
}

// startEngine runs the engine of c, if its key can be used, and hands it a
// master user that it has not been told of. It notes in op what it did.
func (s *Service) startEngine(ctx context.Context, c Cluster, op *Operation) (err error) {
	if c.KeyARN != "" {
		if err := s.checkDataKey(ctx, DataKeyID{c.Account, c.ID, c.KeyARN}, c.Grant); err != nil {
			return err
		}
	}
	op.Engine, err = s.Engines.Start(ctx, c.ID, EngineSpec{Version: c.Version, Port: c.Port})
	if err != nil {
		return fmt.Errorf("start engine: %w", err)
	}
	if c.Verifier == "" {
		return nil
	}
	if err := s.Engines.SetMaster(ctx, c.ID, Master{User: c.Master, Verifier: c.Verifier, Database: c.Database}); err != nil {
		return fmt.Errorf("set master user: %w", err)
	}
	op.Verifier = c.Verifier
	return nil
}

// engineStarted notes in c where its engine is, and that it knows its master.
func (c *Cluster) engineStarted(op *Operation) {
	if op.Engine.Host != "" {
		c.Endpoint, c.Port = op.Engine, op.Engine.Port
	}
	if c.Verifier == op.Verifier {
		c.Verifier = ""
	}
}

func (s *Service) startCluster(ctx context.Context, op *Operation) error {
	c, err := s.cluster(ctx, op)
	if err != nil {
		return err
	}
	if op.Kind == StartCluster && !s.hasInstances(ctx, c) {
		op.Engine = c.Endpoint
		return nil
	}
	return s.startEngine(ctx, c, op)
}

// hasInstances reports whether the engine of c is to run at all.
func (s *Service) hasInstances(ctx context.Context, c Cluster) bool {
	var members []Instance
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		members, err = instancesOf(tx, c)
		return err
	})
	return err != nil || len(members) > 0
}

func (s *Service) startInstance(ctx context.Context, op *Operation) error {
	c, err := s.cluster(ctx, op)
	if err != nil {
		return err
	}
	switch c.Status {
	case ClusterAvailable, ClusterBackingUp, ClusterResetting:
		return s.startEngine(ctx, c, op)
	}
	return fmt.Errorf("the DB cluster is in %s state", c.Status)
}

func (s *Service) stopEngine(ctx context.Context, op *Operation) error {
	if err := s.Engines.Stop(ctx, op.Cluster); err != nil {
		return fmt.Errorf("stop engine: %w", err)
	}
	return nil
}

// deleteCluster removes a cluster's engine, if the last snapshot that was asked
// for is there.
func (s *Service) deleteCluster(ctx context.Context, op *Operation) error {
	if op.Final != "" {
		last, err := s.snapshot(ctx, op.Final)
		if err != nil && !errors.Is(err, errCancelled) {
			return err
		}
		if last.Status != SnapshotAvailable {
			op.Grants = nil // the cluster lives on, and so does its grant
			return fmt.Errorf("%w: %s", errFinal, last.Reason)
		}
	}
	return s.removeEngine(ctx, op)
}

// takeSnapshot makes a volume of a cluster's data. An engine that is not meant
// to run is started for as long as that takes.
func (s *Service) takeSnapshot(ctx context.Context, op *Operation) (err error) {
	if _, err := s.snapshot(ctx, op.Subject); err != nil {
		return err
	}
	c, err := s.cluster(ctx, op)
	if err != nil {
		return err
	}
	to, err := s.openTarget(ctx, op.To)
	if err != nil {
		return err
	}
	defer clear(to.DataKey)
	if !s.runs(ctx, c) {
		defer func() {
			op.Engine = Endpoint{}
			err = errors.Join(err, s.stopEngine(context.WithoutCancel(ctx), op))
		}()
	}
	if err := s.startEngine(ctx, c, op); err != nil {
		return err
	}
	op.Volume, err = s.Volumes.Take(ctx, c.ID, to, s.progress(op))
	if err != nil {
		return fmt.Errorf("take volume %s: %w", to.ID, err)
	}
	return nil
}

// runs reports whether the engine of c is meant to run: it has an instance that
// has been started.
func (s *Service) runs(ctx context.Context, c Cluster) (runs bool) {
	err := s.Store.View(ctx, func(tx Tx) error {
		members, err := instancesOf(tx, c)
		for _, i := range members {
			runs = runs || i.Status == InstanceAvailable || i.Status == InstanceDeleting
		}
		return err
	})
	return runs || err != nil
}

func (s *Service) copySnapshot(ctx context.Context, op *Operation) error {
	if _, err := s.snapshot(ctx, op.Subject); err != nil {
		return err
	}
	from, err := s.openSource(ctx, op.From)
	if err != nil {
		return err
	}
	defer clear(from.DataKey)
	to, err := s.openTarget(ctx, op.To)
	if err != nil {
		return err
	}
	defer clear(to.DataKey)
	op.Volume, err = s.Volumes.Copy(ctx, from, to, s.progress(op))
	if err != nil {
		return fmt.Errorf("copy volume %s to %s: %w", from.ID, to.ID, err)
	}
	return nil
}
