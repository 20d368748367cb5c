package share

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	rdstypes "github.com/aws/aws-sdk-go-v2/service/rds/types"
)

// findShared waits until the target sees the copy among the snapshots shared
// with it.
func (r *run) findShared(ctx context.Context) error {
	arn := r.result.SharedSnapshot
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Minute, fmt.Errorf("account %s does not see %s among the snapshots shared with it: %w", r.Target.Account, arn, ErrChanged))
	defer cancel()
	return poll(ctx, func() (bool, error) {
		pages := rds.NewDescribeDBClusterSnapshotsPaginator(r.Target.RDS, &rds.DescribeDBClusterSnapshotsInput{SnapshotType: new("shared")})
		for pages.HasMorePages() {
			out, err := pages.NextPage(ctx)
			if err != nil {
				return false, fmt.Errorf("list the snapshots shared with account %s: %w", r.Target.Account, err)
			}
			for _, s := range out.DBClusterSnapshots {
				if aws.ToString(s.DBClusterSnapshotArn) == arn {
					r.say(Done, 0, "")
					return true, nil
				}
			}
		}
		r.say(Waiting, 0, "not yet among the shared snapshots")
		return false, nil
	})
}

func (r *run) copyToTarget(ctx context.Context) error {
	id := r.plan.Request.CopyID
	r.result.TargetSnapshot = r.step.ARN
	err := r.copySnapshot(ctx, r.Target, &rds.CopyDBClusterSnapshotInput{
		SourceDBClusterSnapshotIdentifier: &r.result.SharedSnapshot, // another account's: only its ARN will do
		TargetDBClusterSnapshotIdentifier: &id,
		KmsKeyId:                          &r.plan.Request.TargetKey,
		Tags:                              r.plan.rdsTags(),
	}, r.diagnoseTargetCopy)
	if err != nil {
		return err
	}
	snap, err := describeSnapshot(ctx, r.Target, id)
	if err != nil || snap == nil {
		return fmt.Errorf("look at snapshot %s: %w", id, err)
	}
	if r.result.TargetKeyARN = aws.ToString(snap.KmsKeyId); r.result.TargetKeyARN == r.result.KeyARN {
		return fmt.Errorf("the target's copy %s is still under the source's key: %w", id, ErrChanged)
	}
	return nil
}

func (r *run) restoreCluster(ctx context.Context) error {
	want := r.plan.Request.Restore
	cluster, err := r.cluster(ctx, want.Cluster)
	if err != nil {
		return err
	}
	state := Found
	if cluster == nil {
		state = Done
		_, err := r.Target.RDS.RestoreDBClusterFromSnapshot(ctx, &rds.RestoreDBClusterFromSnapshotInput{
			DBClusterIdentifier: &want.Cluster,
			SnapshotIdentifier:  &r.result.TargetSnapshot,
			Engine:              &r.plan.Snapshot.Engine,
			EngineVersion:       &r.plan.Snapshot.EngineVersion,
			KmsKeyId:            &r.result.TargetKeyARN,
			Tags:                r.plan.rdsTags(),
		})
		if err != nil {
			return fmt.Errorf("restore cluster %s: %w", want.Cluster, err)
		}
	}
	return poll(ctx, func() (bool, error) {
		c, err := r.cluster(ctx, want.Cluster)
		if err != nil {
			return false, err
		}
		if c == nil {
			return false, fmt.Errorf("cluster %s is gone: %w", want.Cluster, ErrChanged)
		}
		switch st := aws.ToString(c.Status); st {
		case "available":
			r.result.Cluster, r.result.Endpoint = aws.ToString(c.DBClusterArn), aws.ToString(c.Endpoint)
			r.result.Port, r.result.MasterUser = aws.ToInt32(c.Port), aws.ToString(c.MasterUsername)
			r.say(state, 100, "")
			return true, nil
		case "failed", "migration-failed", "cloning-failed", "deleting", "inaccessible-encryption-credentials", "inaccessible-encryption-credentials-recoverable":
			return false, fmt.Errorf("cluster %s is %s: %w", want.Cluster, st, ErrFailed)
		}
		r.say(Progress, 0, aws.ToString(c.Status))
		return false, nil
	})
}

// cluster finds a cluster of the target that this run made; nil if there is none
// of that name.
func (r *run) cluster(ctx context.Context, id string) (*rdstypes.DBCluster, error) {
	out, err := r.Target.RDS.DescribeDBClusters(ctx, &rds.DescribeDBClustersInput{DBClusterIdentifier: &id})
	if hasCode(err, "DBClusterNotFoundFault") || err == nil && len(out.DBClusters) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up cluster %s: %w", id, err)
	}
	c := &out.DBClusters[0]
	for _, t := range c.TagList {
		if aws.ToString(t.Key) == runTag && aws.ToString(t.Value) == r.plan.Run {
			return c, nil
		}
	}
	return nil, fmt.Errorf("account %s has a cluster %s that this run did not make; choose another name: %w", r.Target.Account, id, ErrNotOurs)
}

func (r *run) restoreInstance(ctx context.Context) error {
	want, state := r.plan.Request.Restore, Done
	_, err := r.Target.RDS.CreateDBInstance(ctx, &rds.CreateDBInstanceInput{
		DBInstanceIdentifier: &want.Instance,
		DBClusterIdentifier:  &want.Cluster,
		DBInstanceClass:      &want.Class,
		Engine:               &r.plan.Snapshot.Engine,
		Tags:                 r.plan.rdsTags(),
	})
	if hasCode(err, "DBInstanceAlreadyExists") {
		state = Found
	} else if err != nil {
		return fmt.Errorf("create instance %s: %w", want.Instance, err)
	}
	return poll(ctx, func() (bool, error) {
		out, err := r.Target.RDS.DescribeDBInstances(ctx, &rds.DescribeDBInstancesInput{DBInstanceIdentifier: &want.Instance})
		if err != nil {
			return false, fmt.Errorf("look at instance %s: %w", want.Instance, err)
		}
		i := out.DBInstances[0]
		if aws.ToString(i.DBClusterIdentifier) != want.Cluster {
			return false, fmt.Errorf("account %s has an instance %s of another cluster; choose another name: %w", r.Target.Account, want.Instance, ErrNotOurs)
		}
		switch st := aws.ToString(i.DBInstanceStatus); st {
		case "available":
			if i.Endpoint != nil {
				r.result.Endpoint, r.result.Port = aws.ToString(i.Endpoint.Address), aws.ToInt32(i.Endpoint.Port)
			}
			r.say(state, 100, "")
			return true, nil
		case "failed", "incompatible-restore", "incompatible-parameters", "incompatible-network", "inaccessible-encryption-credentials", "inaccessible-encryption-credentials-recoverable":
			return false, fmt.Errorf("instance %s is %s: %w", want.Instance, st, ErrFailed)
		}
		r.say(Progress, 0, aws.ToString(i.DBInstanceStatus))
		return false, nil
	})
}
