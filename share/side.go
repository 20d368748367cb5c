package share

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/iam"
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
	// DeleteDBClusterSnapshot is only asked by Remove, for the source's copy.
	DeleteDBClusterSnapshot(context.Context, *rds.DeleteDBClusterSnapshotInput, ...func(*rds.Options)) (*rds.DeleteDBClusterSnapshotOutput, error)
}

// KMS is what the workflow asks of KMS; *kms.Client has it.
type KMS interface {
	DescribeKey(context.Context, *kms.DescribeKeyInput, ...func(*kms.Options)) (*kms.DescribeKeyOutput, error)
	ListKeys(context.Context, *kms.ListKeysInput, ...func(*kms.Options)) (*kms.ListKeysOutput, error)
	ListAliases(context.Context, *kms.ListAliasesInput, ...func(*kms.Options)) (*kms.ListAliasesOutput, error)
	ListResourceTags(context.Context, *kms.ListResourceTagsInput, ...func(*kms.Options)) (*kms.ListResourceTagsOutput, error)
	GetKeyPolicy(context.Context, *kms.GetKeyPolicyInput, ...func(*kms.Options)) (*kms.GetKeyPolicyOutput, error)
	CreateKey(context.Context, *kms.CreateKeyInput, ...func(*kms.Options)) (*kms.CreateKeyOutput, error)
	CreateAlias(context.Context, *kms.CreateAliasInput, ...func(*kms.Options)) (*kms.CreateAliasOutput, error)
	// CreateGrant is only ever asked with DryRun, which makes nothing.
	CreateGrant(context.Context, *kms.CreateGrantInput, ...func(*kms.Options)) (*kms.CreateGrantOutput, error)
	// ScheduleKeyDeletion is asked for a key made a moment ago, where a run beside
	// this one has made the same, and by Remove, as are those that follow.
	ScheduleKeyDeletion(context.Context, *kms.ScheduleKeyDeletionInput, ...func(*kms.Options)) (*kms.ScheduleKeyDeletionOutput, error)
	DeleteAlias(context.Context, *kms.DeleteAliasInput, ...func(*kms.Options)) (*kms.DeleteAliasOutput, error)
	PutKeyPolicy(context.Context, *kms.PutKeyPolicyInput, ...func(*kms.Options)) (*kms.PutKeyPolicyOutput, error)
	ListGrants(context.Context, *kms.ListGrantsInput, ...func(*kms.Options)) (*kms.ListGrantsOutput, error)
	RevokeGrant(context.Context, *kms.RevokeGrantInput, ...func(*kms.Options)) (*kms.RevokeGrantOutput, error)
}

// A Side is one of the two accounts: who we are there, and the clients to act
// with. A Side is immutable and may be used concurrently.
type Side struct {
	Party
	RDS RDS
	KMS KMS
	// Signer is KMS for attestations. Nothing else needs it.
	Signer Signer
}

// A Party names an account, a Region and the principal that acts there.
type Party struct {
	Account string `json:"account"` // 12 digits
	Region  string `json:"region"`  // such as "eu-west-1"
	Caller  string `json:"caller"`  // the ARN that STS gives; of a role's session it ends in the session's name
	// Principal is what policies call the caller: the ARN of the user, or of the
	// role behind a session. It is empty where it cannot be known: the path of a
	// role is not in its sessions' ARNs, and iam:GetRole was not allowed.
	Principal string `json:"principal,omitempty"`
}

// NewSide makes a Side of an SDK configuration, asking STS whose credentials
// they are and, if they are a role's, IAM for the role's ARN. The
// configuration's Region must be set.
func NewSide(ctx context.Context, cfg aws.Config) (Side, error) {
	if cfg.Region == "" {
		return Side{}, usagef("no Region")
	}
	if cfg.HTTPClient == nil {
		cfg.HTTPClient = awshttp.NewBuildableClient()
	}
	cfg.HTTPClient = plainBodies{cfg.HTTPClient}
	id, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return Side{}, fmt.Errorf("ask STS who the credentials belong to: %w", err)
	}
	p := Party{Account: aws.ToString(id.Account), Region: cfg.Region, Caller: aws.ToString(id.Arn)}
	if p.Principal, err = principalOf(ctx, p.Caller, iam.NewFromConfig(cfg)); err != nil {
		return Side{}, err
	}
	k := kms.NewFromConfig(cfg)
	return Side{Party: p, RDS: rds.NewFromConfig(cfg), KMS: k, Signer: k}, nil
}

// plainBodies is an HTTP client that hides the WriteTo method of request bodies.
// The SDK's answers io.EOF once the body is closed, which net/http takes for a
// failure to write the request, and so cuts the connection off while a long
// answer is read from it. It takes a server that answers very fast.
type plainBodies struct{ aws.HTTPClient }

func (c plainBodies) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body = struct {
			io.Reader
			io.Closer
		}{r.Body, r.Body}
	}
	return c.HTTPClient.Do(r)
}

// roles is what is asked of IAM; *iam.Client has it.
type roles interface {
	GetRole(context.Context, *iam.GetRoleInput, ...func(*iam.Options)) (*iam.GetRoleOutput, error)
}

// principalOf is the ARN by which policies know a caller, "" if it cannot be
// known.
func principalOf(ctx context.Context, caller string, from roles) (string, error) {
	role := roleName(caller)
	if role == "" {
		return caller, nil
	}
	out, err := from.GetRole(ctx, &iam.GetRoleInput{RoleName: &role})
	arn := ""
	if err == nil { // an operator without iam:GetRole is an ordinary one
		arn = aws.ToString(out.Role.Arn)
	}
	return arn, context.Cause(ctx)
}

// roleName is the name of the role that caller is a session of, "" for others.
func roleName(caller string) string {
	f := strings.SplitN(caller, ":", 6)
	if len(f) != 6 || f[2] != "sts" {
		return ""
	}
	if role := strings.Split(f[5], "/"); len(role) == 3 && role[0] == "assumed-role" {
		return role[1]
	}
	return ""
}

// root is the principal that stands for the whole account in a policy.
func (p Party) root() string { return "arn:" + p.partition() + ":iam::" + p.Account + ":root" }

// partition is "aws", or that of the Regions in China or for governments.
func (p Party) partition() string {
	if f := strings.SplitN(p.Caller, ":", 3); len(f) == 3 && f[0] == "arn" {
		return f[1]
	}
	return "aws"
}

func (p Party) arn(service, resource string) string {
	return "arn:" + p.partition() + ":" + service + ":" + p.Region + ":" + p.Account + ":" + resource
}

func (p Party) snapshotARN(id string) string { return p.arn("rds", "cluster-snapshot:"+id) }
func (p Party) aliasARN(alias string) string { return p.arn("kms", alias) }

// keyARN is the ARN of a key of the account, or of an alias, given by name.
func (p Party) keyARN(name string) string {
	switch {
	case strings.HasPrefix(name, "arn:"):
		return name
	case strings.HasPrefix(name, "alias/"):
		return p.aliasARN(name)
	}
	return p.arn("kms", "key/"+name)
}
