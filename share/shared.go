package share

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds"
)

func (r *run) shareCopy(ctx context.Context) error {
	arn := r.result.SharedSnapshot
	is, err := r.isShared(ctx, r.plan)
	if err != nil {
		return err
	}
	if is {
		r.finished(Found, arn)
		return nil
	}
	_, err = r.Source.RDS.ModifyDBClusterSnapshotAttribute(ctx, &rds.ModifyDBClusterSnapshotAttributeInput{
		DBClusterSnapshotIdentifier: new(r.plan.sharedID()), AttributeName: new("restore"), ValuesToAdd: []string{r.Target.Account},
	})
	if err != nil {
		return fmt.Errorf("share snapshot %s: %w", r.plan.sharedID(), err)
	}
	r.finished(Done, arn)
	return nil
}

// visibleWithin is how long a share may take to show in the target account.
const visibleWithin = 5 * time.Minute

// findShared waits until the target sees the copy among the snapshots shared
// with it. It lists them all, the one request for this that AWS documents.
func (r *run) findShared(ctx context.Context) error {
	arn := r.result.SharedSnapshot
	ctx, cancel := context.WithTimeoutCause(ctx, visibleWithin, fmt.Errorf("account %s does not see %s among the snapshots shared with it: %w", r.Target.Account, arn, ErrChanged))
	defer cancel()
	return r.poll(ctx, func() (bool, error) {
		pages := rds.NewDescribeDBClusterSnapshotsPaginator(r.Target.RDS, &rds.DescribeDBClusterSnapshotsInput{SnapshotType: new("shared"), MaxRecords: new(int32(100))})
		for pages.HasMorePages() {
			out, err := pages.NextPage(ctx)
			if err != nil {
				return false, fmt.Errorf("list the snapshots shared with account %s: %w", r.Target.Account, err)
			}
			for _, s := range out.DBClusterSnapshots {
				if aws.ToString(s.DBClusterSnapshotArn) == arn {
					r.finished(Done, arn)
					return true, nil
				}
			}
		}
		r.say(Waiting, "not yet among the shared snapshots")
		return false, nil
	})
}
