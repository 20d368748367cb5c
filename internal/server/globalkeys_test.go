package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"borealis/internal/server"
)

// A conditioned is a condition, as policies write it.
type conditioned struct{ operator, key, value string }

// policyIf is a policy that allows everything if a condition holds.
func policyIf(t *testing.T, c conditioned) *string {
	t.Helper()
	text, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": map[string]any{
		"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": map[string]any{c.operator: map[string]string{c.key: c.value}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return new(string(text))
}

// Every service has the global condition keys that AWS has of every request, and
// none that a request like it does not have.
func TestGlobalConditionKeys(t *testing.T) {
	dir := t.TempDir()
	s := open(t, server.Config{Data: filepath.Join(dir, "data"), RootKey: filepath.Join(dir, "root.key"), Init: true})
	t.Cleanup(func() { closed(t, s) })
	ctx := t.Context()
	const account = "111122223333"
	a, err := s.CreateAccount(ctx, server.NewAccount{ID: account, Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	url := serve(t, s)
	root := client(url, a.AccessKeyID, a.SecretAccessKey, "")
	check := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	people := iam.NewFromConfig(root)
	ann, err := people.CreateUser(ctx, &iam.CreateUserInput{UserName: new("ann"), Tags: []iamtypes.Tag{{Key: new("team"), Value: new("red")}}})
	check("CreateUser", err)
	key, err := people.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: new("ann")})
	check("CreateAccessKey", err)
	reader, err := people.CreateRole(ctx, &iam.CreateRoleInput{
		RoleName: new("reader"), Path: new("/a/"), Tags: []iamtypes.Tag{{Key: new("team"), Value: new("blue")}},
		AssumeRolePolicyDocument: new(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + account + `"},"Action":"sts:*"}}`),
	})
	check("CreateRole", err)
	made, err := kms.NewFromConfig(root).CreateKey(ctx, &kms.CreateKeyInput{})
	check("CreateKey", err)
	org, err := organizations.NewFromConfig(root).CreateOrganization(ctx, &organizations.CreateOrganizationInput{})
	check("CreateOrganization", err)

	user := client(url, *key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey, "")
	always := conditioned{"StringEquals", "aws:PrincipalAccount", account}
	_, err = people.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: new("ann"), PolicyName: new("p"), PolicyDocument: policyIf(t, always)})
	check("PutUserPolicy", err)
	out, err := sts.NewFromConfig(user).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: reader.Role.Arn, RoleSessionName: new("me"), SourceIdentity: new("dora")})
	check("AssumeRole", err)
	session := client(url, *out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken)

	calls := map[string]func(context.Context, aws.Config) error{
		"kms": func(ctx context.Context, c aws.Config) error {
			_, err := kms.NewFromConfig(c).DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: made.KeyMetadata.Arn})
			return err
		},
		"iam": func(ctx context.Context, c aws.Config) error {
			_, err := iam.NewFromConfig(c).GetUser(ctx, &iam.GetUserInput{UserName: new("ann")})
			return err
		},
		"sts": func(ctx context.Context, c aws.Config) error {
			_, err := sts.NewFromConfig(c).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: reader.Role.Arn, RoleSessionName: new("you")})
			return err
		},
		"rds": func(ctx context.Context, c aws.Config) error {
			_, err := rds.NewFromConfig(c).DescribeDBClusters(ctx, &rds.DescribeDBClustersInput{})
			return err
		},
		"organizations": func(ctx context.Context, c aws.Config) error {
			_, err := organizations.NewFromConfig(c).ListRoots(ctx, &organizations.ListRootsInput{})
			return err
		},
		"cloudtrail": func(ctx context.Context, c aws.Config) error {
			_, err := cloudtrail.NewFromConfig(c).LookupEvents(ctx, &cloudtrail.LookupEventsInput{MaxResults: new(int32(1))})
			return err
		},
	}
	place := *org.Organization.Id + "/r-*/"
	hour := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }
	both := []conditioned{
		always, {"StringEquals", "aws:PrincipalOrgID", *org.Organization.Id}, {"ForAnyValue:StringLike", "aws:PrincipalOrgPaths", place},
		{"StringEquals", "aws:ResourceAccount", account}, {"StringEquals", "aws:ResourceOrgID", *org.Organization.Id},
		{"ForAnyValue:StringLike", "aws:ResourceOrgPaths", place}, {"Bool", "aws:PrincipalIsAWSService", "false"},
		{"IpAddress", "aws:SourceIp", "127.0.0.0/8"}, {"Bool", "aws:SecureTransport", "false"}, {"StringLike", "aws:UserAgent", "*aws-sdk-go*"},
		{"DateGreaterThan", "aws:CurrentTime", hour(-time.Hour)}, {"NumericGreaterThan", "aws:EpochTime", "1700000000"},
		{"StringLike", "aws:RequestedRegion", "*-*-1"}, {"Bool", "aws:ViaAWSService", "false"},
	}
	for _, absent := range []string{
		"aws:CalledVia", "aws:CalledViaFirst", "aws:CalledViaLast", "aws:PrincipalServiceName", "aws:PrincipalServiceNamesList", "aws:SourceArn",
		"aws:SourceAccount", "aws:SourceOrgID", "aws:SourceOrgPaths", "aws:SourceVpc", "aws:SourceVpce", "aws:VpcSourceIp", "aws:FederatedProvider",
		"aws:Ec2InstanceSourceVpc", "aws:ChatbotSourceArn", "aws:MultiFactorAuthAge", "aws:RequestTag/team", "aws:TagKeys", "aws:referer",
	} {
		both = append(both, conditioned{"Null", absent, "true"})
	}
	arn := "arn:aws:iam::" + account + ":"
	for name, who := range map[string]struct {
		client aws.Config
		allow  func(*string) error
		has    []conditioned
	}{
		"a user": {user, func(document *string) error {
			_, err := people.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: new("ann"), PolicyName: new("p"), PolicyDocument: document})
			return err
		}, []conditioned{
			{"ArnEquals", "aws:PrincipalArn", arn + "user/ann"}, {"StringEquals", "aws:PrincipalType", "User"}, {"StringEquals", "aws:userid", *ann.User.UserId},
			{"StringEquals", "aws:username", "ann"}, {"StringEquals", "aws:PrincipalTag/team", "red"}, {"Null", "aws:TokenIssueTime", "true"},
			{"Null", "aws:MultiFactorAuthPresent", "true"}, {"Null", "aws:SourceIdentity", "true"},
		}},
		"a role's session": {session, func(document *string) error {
			_, err := people.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: new("reader"), PolicyName: new("p"), PolicyDocument: document})
			return err
		}, []conditioned{
			{"ArnEquals", "aws:PrincipalArn", arn + "role/a/reader"}, {"StringEquals", "aws:PrincipalType", "AssumedRole"},
			{"StringEquals", "aws:userid", *reader.Role.RoleId + ":me"}, {"Null", "aws:username", "true"}, {"StringEquals", "aws:PrincipalTag/team", "blue"},
			{"DateLessThan", "aws:TokenIssueTime", hour(time.Hour)}, {"Bool", "aws:MultiFactorAuthPresent", "false"}, {"StringEquals", "aws:SourceIdentity", "dora"},
		}},
	} {
		for _, c := range append(who.has, both...) {
			for _, holds := range []bool{true, false} {
				if !holds { // nothing is both of what it is and of this
					c = map[bool]conditioned{true: {"Null", c.key, "false"}, false: {"Null", c.key, "true"}}[c.operator == "Null" && c.value == "true"]
				}
				check("put policy", who.allow(policyIf(t, c)))
				for service, call := range calls {
					err := call(ctx, who.client)
					refused, isAPI := errors.AsType[smithy.APIError](err)
					denied := isAPI && (refused.ErrorCode() == "AccessDenied" || refused.ErrorCode() == "AccessDeniedException")
					if err != nil && !denied || denied == holds {
						t.Errorf("%s, %s, if %v: %v", name, service, c, err)
					}
				}
			}
		}
	}
}
