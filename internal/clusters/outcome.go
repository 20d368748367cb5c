package clusters

import (
	"errors"

	"borealis/internal/cloud"
)

// The functions of this file say in the rows what has become of an operation.
// Each runs in the transaction that ends it.

// changeCluster applies change to the cluster of op. One that is gone is no error.
func changeCluster(tx Tx, op *Operation, change func(*Cluster) error) error {
	c, err := tx.Clusters().Get(op.Cluster)
	if errors.Is(err, cloud.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := change(&c); err != nil {
		return err
	}
	return tx.Clusters().Put(c)
}

// changeMembers sets the status of c's instances that are in one of the states from.
func changeMembers(tx Tx, c *Cluster, to InstanceStatus, from ...InstanceStatus) error {
	members, err := instancesOf(tx, *c)
	if err != nil {
		return err
	}
	for _, i := range members {
		for _, f := range from {
			if i.Status != f {
				continue
			}
			if err := i.setStatus(to); err != nil {
				return err
			}
			if err := tx.Instances().Put(i); err != nil {
				return err
			}
			break
		}
	}
	return nil
}

// loseKey says that c and its instances cannot be reached for want of its key.
func loseKey(tx Tx, c *Cluster, reason string) error {
	if err := c.setStatus(ClusterInaccessible); err != nil {
		return err
	}
	c.Reason = reason
	return changeMembers(tx, c, InstanceInaccessible, InstanceCreating, InstanceAvailable, InstanceStarting, InstanceFailed)
}

func clusterMade(tx Tx, op *Operation) error {
	return changeCluster(tx, op, func(c *Cluster) error { return c.setStatus(ClusterAvailable) })
}

func clusterFailed(tx Tx, op *Operation) error {
	return changeCluster(tx, op, func(c *Cluster) error {
		err := c.setStatus(ClusterFailed)
		c.Reason = op.Reason
		return err
	})
}

func clusterStarted(tx Tx, op *Operation) error {
	return changeCluster(tx, op, func(c *Cluster) error {
		c.engineStarted(op)
		return errors.Join(c.setStatus(ClusterAvailable), changeMembers(tx, c, InstanceAvailable, InstanceStarting))
	})
}

func startFailed(tx Tx, op *Operation) error {
	return changeCluster(tx, op, func(c *Cluster) error {
		if op.KeyLost {
			return loseKey(tx, c, op.Reason)
		}
		err := c.setStatus(ClusterAvailable)
		c.Reason = op.Reason
		return errors.Join(err, changeMembers(tx, c, InstanceFailed, InstanceStarting))
	})
}

func clusterStopped(tx Tx, op *Operation) error {
	return changeCluster(tx, op, func(c *Cluster) error {
		return errors.Join(c.setStatus(ClusterStopped), changeMembers(tx, c, InstanceStopped, InstanceStopping))
	})
}

func passwordSet(tx Tx, op *Operation) error {
	return changeCluster(tx, op, func(c *Cluster) error {
		c.engineStarted(op)
		return settle(c, ClusterResetting)
	})
}

func passwordFailed(tx Tx, op *Operation) error {
	return changeCluster(tx, op, func(c *Cluster) error {
		if op.KeyLost {
			return loseKey(tx, c, op.Reason)
		}
		err := settle(c, ClusterResetting)
		c.Reason = op.Reason
		return err
	})
}

// settle makes c available again after from. If it is in another state
// meanwhile, it stays there.
func settle(c *Cluster, from ClusterStatus) error {
	if c.Status != from {
		return nil
	}
	return c.setStatus(ClusterAvailable)
}

func clusterDeleted(tx Tx, op *Operation) error {
	c, err := tx.Clusters().Get(op.Cluster)
	if errors.Is(err, cloud.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := tx.Clusters().Delete(c.ID); err != nil {
		return err
	}
	return sweepDataKey(tx, DataKeyID{c.Account, c.ID, c.KeyARN})
}

func deleteFailed(tx Tx, op *Operation) error {
	return changeCluster(tx, op, func(c *Cluster) error {
		err := c.setStatus(ClusterAvailable)
		c.Reason = op.Reason
		return err
	})
}

func instanceStarted(tx Tx, op *Operation) error {
	if err := changeCluster(tx, op, func(c *Cluster) error { c.engineStarted(op); return nil }); err != nil {
		return err
	}
	return changeInstance(tx, op, InstanceAvailable)
}

func instanceFailed(tx Tx, op *Operation) error {
	err := changeCluster(tx, op, func(c *Cluster) error {
		if op.KeyLost && c.Status != ClusterInaccessible {
			return loseKey(tx, c, op.Reason)
		}
		c.Reason = op.Reason
		return nil
	})
	if err != nil {
		return err
	}
	return changeInstance(tx, op, InstanceFailed)
}

// changeInstance sets the status of the instance of op that is still being
// created. One that is in another state meanwhile stays there.
func changeInstance(tx Tx, op *Operation, to InstanceStatus) error {
	i, err := tx.Instances().Get(op.Subject)
	if errors.Is(err, cloud.ErrNotFound) {
		return nil
	}
	if err != nil || i.Status != InstanceCreating {
		return err
	}
	if err := i.setStatus(to); err != nil {
		return err
	}
	return tx.Instances().Put(i)
}

func instanceDeleted(tx Tx, op *Operation) error {
	err := changeCluster(tx, op, func(c *Cluster) error { c.Endpoint = Endpoint{}; return nil })
	return errors.Join(err, tx.Instances().Delete(op.Subject))
}

func snapshotTaken(tx Tx, op *Operation) error {
	err := changeCluster(tx, op, func(c *Cluster) error {
		c.engineStarted(op)
		return settle(c, ClusterBackingUp)
	})
	return errors.Join(err, snapshotCopied(tx, op))
}

func snapshotCopied(tx Tx, op *Operation) error {
	s, err := tx.Snapshots().Get(op.Subject)
	if err != nil {
		return err // deleted meanwhile: cancelled
	}
	s.Volume = op.Volume
	if err := s.setStatus(SnapshotAvailable); err != nil {
		return err
	}
	return tx.Snapshots().Put(s)
}

func snapshotFailed(tx Tx, op *Operation) error {
	if err := changeCluster(tx, op, func(c *Cluster) error { return settle(c, ClusterBackingUp) }); err != nil {
		return err
	}
	s, err := tx.Snapshots().Get(op.Subject)
	if errors.Is(err, cloud.ErrNotFound) {
		return nil // it was cancelled
	}
	if err != nil {
		return err
	}
	s.Reason = op.Reason
	if err := s.setStatus(SnapshotFailed); err != nil {
		return err
	}
	return tx.Snapshots().Put(s)
}
