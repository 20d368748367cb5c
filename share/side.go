package share

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// RDS is what the workflow asks of RDS; *rds.Client has it.
type RDS interface {
	DescribeDBClusterSnapshots(context.Context, *rds.DescribeDBClusterSnapshotsInput, ...func(*rds.Options)) (*rds.DescribeDBClusterSnapshotsOutput, error)
	CopyDBClusterSnapshot(context.Context, *rds.CopyDBClusterSnapshotInput, ...func(*rds.Options)) (*rds.CopyDBClusterSnapshotOutput, error)
	DescribeDBClusterSnapshotAttributes(context.Context, *rds.DescribeDBClusterSnapshotAttributesInput, ...func(*rds.Options)) (*rds.DescribeDBClusterSnapshotAttributesOutput, error)
	ModifyDBClusterSnapshotAttribute(context.Context, *rds.ModifyDBClusterSnapshotAttributeInput, ...func(*rds.Options)) (*rds.ModifyDBClusterSnapshotAttributeOutput, error)
	RestoreDBClusterFromSnapshot(context.Context, *rds.RestoreDBClusterFromSnapshotInput, ...func(*rds.Options)) (*rds.RestoreDBClusterFromSnapshotOutput, error)
	DescribeDBClusters(context.Context, *rds.DescribeDBClustersInput, ...func(*rds.Options)) (*rds.DescribeDBClustersOutput, error)
	CreateDBInstance(context.Context, *rds.CreateDBInstanceInput, ...func(*rds.Options)) (*rds.CreateDBInstanceOutput, error)
	DescribeDBInstances(context.Context, *rds.DescribeDBInstancesInput, ...func(*rds.Options)) (*rds.DescribeDBInstancesOutput, error)
}

// KMS is what the workflow asks of KMS; *kms.Client has it.
type KMS interface {
	DescribeKey(context.Context, *kms.DescribeKeyInput, ...func(*kms.Options)) (*kms.DescribeKeyOutput, error)
	CreateKey(context.Context, *kms.CreateKeyInput, ...func(*kms.Options)) (*kms.CreateKeyOutput, error)
	CreateAlias(context.Context, *kms.CreateAliasInput, ...func(*kms.Options)) (*kms.CreateAliasOutput, error)
	GetKeyPolicy(context.Context, *kms.GetKeyPolicyInput, ...func(*kms.Options)) (*kms.GetKeyPolicyOutput, error)
	ListResourceTags(context.Context, *kms.ListResourceTagsInput, ...func(*kms.Options)) (*kms.ListResourceTagsOutput, error)
}

// A Side is one of the two accounts: who we are there, and the clients to act
// with. A Side is immutable and may be used concurrently.
type Side struct {
	Party
	RDS RDS
	KMS KMS
}

// A Party names an account, a Region and the principal that acts there.
type Party struct {
	Account   string `json:"account"`   // 12 digits
	Region    string `json:"region"`    // such as "eu-west-1"
	Principal string `json:"principal"` // the ARN that STS gives
}

// NewSide makes a Side of an SDK configuration, asking STS whose credentials
// they are. The configuration's Region must be set.
func NewSide(ctx context.Context, cfg aws.Config) (Side, error) {
	if cfg.Region == "" {
		return Side{}, fmt.Errorf("no Region: %w", ErrUsage)
	}
	id, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return Side{}, fmt.Errorf("ask STS who the credentials belong to: %w", err)
	}
	return Side{
		Party: Party{Account: aws.ToString(id.Account), Region: cfg.Region, Principal: aws.ToString(id.Arn)},
		RDS:   rds.NewFromConfig(cfg),
		KMS:   kms.NewFromConfig(cfg),
	}, nil
}

// root is the principal that stands for the whole account in a policy.
func (p Party) root() string { return "arn:aws:iam::" + p.Account + ":root" }

func (p Party) arn(service, resource string) string {
	return "arn:aws:" + service + ":" + p.Region + ":" + p.Account + ":" + resource
}

func (p Party) snapshotARN(id string) string { return p.arn("rds", "cluster-snapshot:"+id) }
func (p Party) aliasARN(alias string) string { return p.arn("kms", alias) }
