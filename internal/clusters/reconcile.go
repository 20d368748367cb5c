package clusters

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Reconcile removes the engines and volumes that no row speaks of: what a
// process that died left behind. Rows are written before the work begins and
// read here after the listing, so nothing that is being made is ever removed.
// Run does it first of all.
func (s *Service) Reconcile(ctx context.Context) error {
	engines, enginesErr := s.Engines.List(ctx)
	volumes, volumesErr := s.Volumes.List(ctx)
	waste := errors.Join(enginesErr, volumesErr)
	known, err := s.known(ctx)
	if err != nil {
		return err
	}
	for _, id := range engines {
		if !known[id] {
			s.log().InfoContext(ctx, "removing an engine of no cluster", "engine", id)
			if err := s.Engines.Remove(ctx, id); err != nil {
				waste = errors.Join(waste, fmt.Errorf("remove engine %s: %w", id, err))
			}
		}
	}
	for _, v := range volumes {
		if !known[v.ID] {
			s.log().InfoContext(ctx, "removing a volume of no snapshot", "volume", v.ID)
			if err := s.Volumes.Delete(ctx, v); err != nil {
				waste = errors.Join(waste, fmt.Errorf("delete volume %s: %w", v.ID, err))
			}
		}
	}
	if waste != nil && ctx.Err() == nil {
		// Waste that stays is no reason not to serve; the next start tries again.
		s.log().ErrorContext(ctx, "sweep incomplete", "err", waste)
	}
	return ctx.Err()
}

// known is the ids of all engines and volumes that rows speak of.
func (s *Service) known(ctx context.Context) (map[string]bool, error) {
	ids := map[string]bool{}
	err := s.Store.View(ctx, func(tx Tx) error {
		clusters, err := tx.Clusters().All()
		if err != nil {
			return err
		}
		snapshots, err := tx.Snapshots().All()
		if err != nil {
			return err
		}
		ops, err := tx.Operations()
		for _, c := range clusters {
			ids[c.ID] = true
		}
		for _, snap := range snapshots {
			ids[snap.VolumeID] = true
		}
		for _, op := range ops {
			ids[op.Cluster], ids[op.Reads] = true, true
			if op.To != nil {
				ids[op.To.VolumeID] = true
			}
		}
		return err
	})
	return ids, err
}

// toBringBack lists the clusters whose engines ran when the process before this
// one ended, or failed to.
func toBringBack(tx Tx) ([]Cluster, error) {
	all, err := tx.Clusters().All()
	if err != nil {
		return nil, err
	}
	instances, err := tx.Instances().All()
	if err != nil {
		return nil, err
	}
	return keepIf(all, func(c Cluster) bool {
		switch c.Status {
		case ClusterAvailable, ClusterBackingUp, ClusterResetting:
			return slices.ContainsFunc(instances, func(i Instance) bool {
				return i.ClusterID == c.ID && (i.Status == InstanceAvailable || i.Status == InstanceFailed)
			})
		}
		return false
	}), nil
}

// bringBack starts the engine of c after a restart of the process. If its key
// cannot be used the cluster becomes inaccessible, until StartDBCluster.
func (s *Service) bringBack(ctx context.Context, c Cluster) {
	op := Operation{Cluster: c.ID}
	started := s.startEngine(ctx, c, &op)
	if ctx.Err() != nil {
		return
	}
	if started != nil {
		s.log().ErrorContext(ctx, "engine not brought back", "cluster", c.arn().String(), "err", started)
	}
	err := s.Store.Update(ctx, func(tx Tx) error {
		return changeCluster(tx, &op, func(c *Cluster) error {
			switch {
			case started == nil:
				c.engineStarted(&op)
				c.Reason = ""
				return changeMembers(tx, c, InstanceAvailable, InstanceFailed)
			case errors.Is(started, errKeyLost):
				return loseKey(tx, c, started.Error())
			}
			c.Reason = started.Error()
			return changeMembers(tx, c, InstanceFailed, InstanceAvailable)
		})
	})
	if err != nil && ctx.Err() == nil {
		s.log().ErrorContext(ctx, "state of engine not noted", "cluster", c.arn().String(), "err", err)
	}
}
