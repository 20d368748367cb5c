package share

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	rdstypes "github.com/aws/aws-sdk-go-v2/service/rds/types"
)

// lost are the statuses that a cluster or an instance does not become available
// from by waiting.
var lost = map[string]bool{
	"failed": true, "deleting": true, "migration-failed": true, "cloning-failed": true,
	"incompatible-restore": true, "incompatible-parameters": true, "incompatible-network": true, "incompatible-option-group": true,
	"inaccessible-encryption-credentials": true, "inaccessible-encryption-credentials-recoverable": true, "insufficient-capacity": true,
}

// ourCluster finds the cluster that this run restored; nil if there is none of
// that name. One that another made is ErrNotOurs.
func (w *Workflow) ourCluster(ctx context.Context, p *Plan) (*rdstypes.DBCluster, error) {
	id := p.Request.Restore.Cluster
	out, err := w.Target.RDS.DescribeDBClusters(ctx, &rds.DescribeDBClustersInput{DBClusterIdentifier: &id})
	switch {
	case hasCode(err, "DBClusterNotFoundFault") || err == nil && len(out.DBClusters) == 0:
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("look up cluster %s in account %s: %w", id, w.Target.Account, err)
	}
	c := &out.DBClusters[0]
	if !madeBy(p.Run, c.TagList) {
		return nil, fmt.Errorf("account %s has a cluster %s that this run did not make; choose another name: %w", w.Target.Account, id, ErrNotOurs)
	}
	return c, nil
}

// ourInstance finds the instance that this run made, as ourCluster the cluster.
func (w *Workflow) ourInstance(ctx context.Context, p *Plan) (*rdstypes.DBInstance, error) {
	want := p.Request.Restore
	out, err := w.Target.RDS.DescribeDBInstances(ctx, &rds.DescribeDBInstancesInput{DBInstanceIdentifier: &want.Instance})
	switch {
	case hasCode(err, "DBInstanceNotFound") || err == nil && len(out.DBInstances) == 0:
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("look up instance %s in account %s: %w", want.Instance, w.Target.Account, err)
	}
	i := &out.DBInstances[0]
	if !madeBy(p.Run, i.TagList) || aws.ToString(i.DBClusterIdentifier) != want.Cluster {
		return nil, fmt.Errorf("account %s has an instance %s that this run did not make for cluster %s; choose another name: %w", w.Target.Account, want.Instance, want.Cluster, ErrNotOurs)
	}
	return i, nil
}

func (r *run) restoreCluster(ctx context.Context) error {
	state, id := Found, r.plan.Request.Restore.Cluster
	c, err := r.ourCluster(ctx, r.plan)
	if err != nil {
		return err
	}
	if c == nil {
		_, err := r.Target.RDS.RestoreDBClusterFromSnapshot(ctx, &rds.RestoreDBClusterFromSnapshotInput{
			DBClusterIdentifier: &id,
			SnapshotIdentifier:  &r.result.TargetSnapshot,
			Engine:              &r.plan.Snapshot.Engine,
			EngineVersion:       &r.plan.Snapshot.EngineVersion,
			KmsKeyId:            &r.result.TargetKeyARN,
			Tags:                r.plan.rdsTags(),
		})
		switch {
		case err == nil:
			state = Done
		case !hasCode(err, "DBClusterAlreadyExistsFault"): // else a run beside this one, or this one and its answer was lost
			return r.orRefusedTargetKey(ctx, fmt.Errorf("restore cluster %s: %w", id, err))
		}
	}
	return r.await(ctx, "cluster "+id, func() (string, error) {
		c, err := r.ourCluster(ctx, r.plan)
		if err != nil || c == nil {
			return "", err
		}
		r.result.Cluster, r.result.Engine = aws.ToString(c.DBClusterArn), aws.ToString(c.Engine)
		r.result.Endpoint, r.result.Port = aws.ToString(c.Endpoint), aws.ToInt32(c.Port)
		r.result.MasterUser, r.result.Database = aws.ToString(c.MasterUsername), aws.ToString(c.DatabaseName)
		return aws.ToString(c.Status), nil
	}, func() { r.finished(state, r.result.Cluster) })
}

func (r *run) restoreInstance(ctx context.Context) error {
	want, state := r.plan.Request.Restore, Found
	i, err := r.ourInstance(ctx, r.plan)
	if err != nil {
		return err
	}
	if i == nil {
		_, err := r.Target.RDS.CreateDBInstance(ctx, &rds.CreateDBInstanceInput{
			DBInstanceIdentifier: &want.Instance,
			DBClusterIdentifier:  &want.Cluster,
			DBInstanceClass:      &want.Class,
			Engine:               &r.plan.Snapshot.Engine,
			Tags:                 r.plan.rdsTags(),
		})
		switch {
		case err == nil:
			state = Done
		case !hasCode(err, "DBInstanceAlreadyExists"):
			return fmt.Errorf("create instance %s: %w", want.Instance, err)
		}
	}
	arn := r.step.ARN
	err = r.await(ctx, "instance "+want.Instance, func() (string, error) {
		i, err := r.ourInstance(ctx, r.plan)
		if err != nil || i == nil {
			return "", err
		}
		arn = aws.ToString(i.DBInstanceArn)
		return aws.ToString(i.DBInstanceStatus), nil
	}, func() { r.finished(state, arn) })
	if err != nil {
		return err
	}
	return r.locate(ctx)
}

// locate reads where the cluster can be reached, now that it has an instance.
func (r *run) locate(ctx context.Context) error {
	c, err := r.ourCluster(ctx, r.plan)
	if err == nil && c != nil {
		r.result.Endpoint, r.result.Port = aws.ToString(c.Endpoint), aws.ToInt32(c.Port)
	}
	return err
}

// await waits for what to become available. look returns its status, "" if it is
// not there.
func (r *run) await(ctx context.Context, what string, look func() (status string, err error), done func()) error {
	seen, polls := false, 0
	return r.poll(ctx, func() (bool, error) {
		status, err := look()
		switch {
		case err != nil:
			return false, err
		case status == "available":
			done()
			return true, nil
		case lost[status]:
			return false, fmt.Errorf("%s in account %s is %s: %w", what, r.Target.Account, status, ErrFailed)
		case status == "":
			if polls++; seen || polls == unseen {
				return false, fmt.Errorf("%s in account %s is gone, deleted by somebody; run again: %w", what, r.Target.Account, ErrChanged)
			}
			return false, nil
		}
		seen = true
		r.progress(&status, nil)
		return false, nil
	})
}
