package server_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/organizations/types"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"borealis/internal/server"
)

// Every service says of a denial that a service control policy is behind it.
func TestServicesNameServiceControlPolicies(t *testing.T) {
	dir := t.TempDir()
	s := open(t, server.Config{Data: filepath.Join(dir, "data"), RootKey: filepath.Join(dir, "root.key"), Init: true})
	t.Cleanup(func() { closed(t, s) })
	ctx := t.Context()
	check := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	a, err := s.CreateAccount(ctx, server.NewAccount{ID: "111122223333", Name: "a"})
	check("CreateAccount", err)
	b, err := s.CreateAccount(ctx, server.NewAccount{ID: "444455556666", Name: "b"})
	check("CreateAccount", err)
	url := serve(t, s)
	member := client(url, b.AccessKeyID, b.SecretAccessKey, "")
	ours, theirs := organizations.NewFromConfig(client(url, a.AccessKeyID, a.SecretAccessKey, "")), organizations.NewFromConfig(member)
	_, err = ours.CreateOrganization(ctx, &organizations.CreateOrganizationInput{})
	check("CreateOrganization", err)
	h, err := ours.InviteAccountToOrganization(ctx, &organizations.InviteAccountToOrganizationInput{Target: &types.HandshakeParty{Type: types.HandshakePartyTypeAccount, Id: &b.ID}})
	check("InviteAccountToOrganization", err)
	_, err = theirs.AcceptHandshake(ctx, &organizations.AcceptHandshakeInput{HandshakeId: h.Handshake.Id})
	check("AcceptHandshake", err)
	calls := map[string]func() error{
		"kms:ListKeys":  func() error { _, err := kms.NewFromConfig(member).ListKeys(ctx, nil); return err },
		"iam:ListUsers": func() error { _, err := iam.NewFromConfig(member).ListUsers(ctx, nil); return err },
		"sts:GetFederationToken": func() error {
			_, err := sts.NewFromConfig(member).GetFederationToken(ctx, &sts.GetFederationTokenInput{Name: new("fred")})
			return err
		},
		"rds:DescribeDBClusters":  func() error { _, err := rds.NewFromConfig(member).DescribeDBClusters(ctx, nil); return err },
		"cloudtrail:LookupEvents": func() error { _, err := cloudtrail.NewFromConfig(member).LookupEvents(ctx, nil); return err },
		"organizations:ListParents": func() error {
			_, err := theirs.ListParents(ctx, &organizations.ListParentsInput{ChildId: &b.ID})
			return err
		},
	}
	denials := map[string]string{
		`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`:            "with an explicit deny in a service control policy",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ec2:Nothing","Resource":"*"}]}`: "because no service control policy allows the ",
	}
	full := new("p-FullAWSAccess")
	for content, words := range denials {
		p, err := ours.CreatePolicy(ctx, &organizations.CreatePolicyInput{Type: types.PolicyTypeServiceControlPolicy, Name: &words, Description: new(""), Content: &content})
		check("CreatePolicy", err)
		at := &organizations.AttachPolicyInput{PolicyId: p.Policy.PolicySummary.Id, TargetId: &b.ID}
		_, err = ours.AttachPolicy(ctx, at)
		check("AttachPolicy", err)
		_, err = ours.DetachPolicy(ctx, &organizations.DetachPolicyInput{PolicyId: full, TargetId: &b.ID})
		check("DetachPolicy", err)
		for action, call := range calls {
			e, denied := errors.AsType[smithy.APIError](call())
			if !denied || !strings.HasPrefix(e.ErrorCode(), "AccessDenied") || !strings.Contains(e.ErrorMessage(), "is not authorized to perform: "+action) || !strings.Contains(e.ErrorMessage(), words) {
				t.Errorf("%s: %v, want %s", action, e, words)
			}
		}
		_, err = ours.AttachPolicy(ctx, &organizations.AttachPolicyInput{PolicyId: full, TargetId: &b.ID})
		check("AttachPolicy", err)
		_, err = ours.DetachPolicy(ctx, &organizations.DetachPolicyInput{PolicyId: at.PolicyId, TargetId: &b.ID})
		check("DetachPolicy", err)
	}
}
