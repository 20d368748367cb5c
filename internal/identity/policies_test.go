package identity_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"borealis/internal/policy"
)

func TestManagedPolicyLives(t *testing.T) {
	w := newWorld(t)
	ctx, v := t.Context(), w.root(accountA)
	ann := w.user(accountA, "ann", "")
	text := func(action string) *string {
		return new(`{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "` + action + `", "Resource": "*"}]}`)
	}
	made := must(v.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: new("keys"), Path: new("/ops/"), Description: new("Über keys"), PolicyDocument: text("kms:ListKeys"), Tags: tags("a", "1")}))(t).Policy
	if *made.Arn != "arn:aws:iam::111122223333:policy/ops/keys" || !strings.HasPrefix(*made.PolicyId, "ANPA") || len(*made.PolicyId) != 21 || *made.DefaultVersionId != "v1" {
		t.Errorf("CreatePolicy: %s %s %s", *made.Arn, *made.PolicyId, *made.DefaultVersionId)
	}
	must(v.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: new("ann"), PolicyArn: made.Arn}))(t)
	got := must(v.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: made.Arn}))(t).Policy
	if *got.AttachmentCount != 1 || *got.Description != "Über keys" || *got.Tags[0].Value != "1" {
		t.Errorf("GetPolicy: %+v", got)
	}
	if !w.allowed(ctx, ann, "kms:ListKeys", "*") {
		t.Error("an attached policy does not count")
	}
	must(v.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: made.Arn, PolicyDocument: text("kms:ListAliases")}))(t)
	if !w.allowed(ctx, ann, "kms:ListKeys", "*") {
		t.Error("a version that is not the default counts")
	}
	must(v.SetDefaultPolicyVersion(ctx, &iam.SetDefaultPolicyVersionInput{PolicyArn: made.Arn, VersionId: new("v2")}))(t)
	if d := w.decide(ctx, ann, "kms:ListAliases", "*"); !d.Allowed || d.Decided.Policy != *made.Arn || w.allowed(ctx, ann, "kms:ListKeys", "*") {
		t.Errorf("after SetDefaultPolicyVersion: %v", d)
	}
	must(v.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: made.Arn, VersionId: new("v1")}))(t)
	third := must(v.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: made.Arn, PolicyDocument: text("kms:*"), SetAsDefault: true}))(t).PolicyVersion
	if *third.VersionId != "v3" || !third.IsDefaultVersion {
		t.Errorf("a version's number was used twice: %s", *third.VersionId)
	}
	var ids []string
	for _, version := range must(v.ListPolicyVersions(ctx, &iam.ListPolicyVersionsInput{PolicyArn: made.Arn}))(t).Versions {
		ids = append(ids, *version.VersionId)
	}
	if !slices.Equal(ids, []string{"v3", "v2"}) {
		t.Errorf("ListPolicyVersions: %v", ids)
	}
	version := must(v.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: made.Arn, VersionId: new("v2")}))(t).PolicyVersion
	if strings.ContainsAny(*version.Document, "+ {\"*") || decoded(t, version.Document) != *text("kms:ListAliases") {
		t.Errorf("GetPolicyVersion: %s", *version.Document)
	}
	users := must(v.ListEntitiesForPolicy(ctx, &iam.ListEntitiesForPolicyInput{PolicyArn: made.Arn}))(t)
	if len(users.PolicyUsers) != 1 || *users.PolicyUsers[0].UserName != "ann" || len(users.PolicyRoles)+len(users.PolicyGroups) != 0 {
		t.Errorf("ListEntitiesForPolicy: %+v", users)
	}
	must(v.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: new("ann"), PolicyArn: made.Arn}))(t)
	if w.allowed(ctx, ann, "kms:ListKeys", "*") {
		t.Error("a detached policy counts")
	}
	must(v.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: made.Arn, VersionId: new("v2")}))(t)
	must(v.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: made.Arn}))(t)
	if _, err := v.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: made.Arn}); !strings.HasPrefix(code(err), "NoSuchEntity: ") {
		t.Errorf("GetPolicy after DeletePolicy: %v", err)
	}
}

func TestBuiltInPolicies(t *testing.T) {
	w := newWorld(t)
	ctx, v := t.Context(), w.root(accountA)
	all := must(v.ListPolicies(ctx, &iam.ListPoliciesInput{Scope: types.PolicyScopeTypeAws}))(t).Policies
	var names []string
	for _, p := range all {
		names = append(names, *p.PolicyName)
		version := must(v.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: p.Arn, VersionId: p.DefaultVersionId}))(t).PolicyVersion
		if _, err := policy.ManagedKind.Parse(*p.PolicyName, decoded(t, version.Document)); err != nil {
			t.Errorf("%s: %v", *p.Arn, err)
		}
		if *p.PolicyId == "" || p.CreateDate.IsZero() {
			t.Errorf("%s lacks facts: %+v", *p.Arn, p)
		}
	}
	for _, name := range []string{"AdministratorAccess", "AmazonRDSFullAccess", "AWSKeyManagementServicePowerUser"} {
		if !slices.Contains(names, name) {
			t.Errorf("there is no %s", name)
		}
	}
	ann := w.user(accountA, "ann", "")
	must(v.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: new("ann"), PolicyArn: new(admin)}))(t)
	if _, err := w.As(ann).CreateUser(ctx, &iam.CreateUserInput{UserName: new("bob")}); err != nil {
		t.Errorf("as an administrator: %v", err)
	}
	if n := must(w.root(accountB).GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: new(admin)}))(t).Policy.AttachmentCount; *n != 0 {
		t.Errorf("another account counts %d of our attachments", *n)
	}
	attached := must(v.ListAttachedUserPolicies(ctx, &iam.ListAttachedUserPoliciesInput{UserName: new("ann")}))(t).AttachedPolicies
	if len(attached) != 1 || *attached[0].PolicyName != "AdministratorAccess" || *attached[0].PolicyArn != admin {
		t.Errorf("ListAttachedUserPolicies: %+v", attached)
	}
}

func TestListPoliciesFilters(t *testing.T) {
	w := newWorld(t)
	ctx, v := t.Context(), w.root(accountA)
	for _, p := range []struct{ name, path string }{{"one", "/a/"}, {"two", "/a/"}, {"zoo", "/b/"}} {
		must(v.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: &p.name, Path: &p.path, PolicyDocument: new(anything)}))(t)
	}
	must(v.CreateUser(ctx, &iam.CreateUserInput{UserName: new("ann"), PermissionsBoundary: new("arn:aws:iam::111122223333:policy/b/zoo")}))(t)
	must(v.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: new("ann"), PolicyArn: new("arn:aws:iam::111122223333:policy/a/two")}))(t)
	names := func(in *iam.ListPoliciesInput) (list []string) {
		for _, p := range must(v.ListPolicies(ctx, in))(t).Policies {
			list = append(list, *p.PolicyName)
		}
		return list
	}
	local := types.PolicyScopeTypeLocal
	for _, tt := range []struct {
		in   iam.ListPoliciesInput
		want string
	}{
		{iam.ListPoliciesInput{Scope: local}, "one two zoo"},
		{iam.ListPoliciesInput{Scope: local, PathPrefix: new("/a/")}, "one two"},
		{iam.ListPoliciesInput{OnlyAttached: true}, "two zoo"},
		{iam.ListPoliciesInput{PolicyUsageFilter: types.PolicyUsageTypePermissionsPolicy}, "two"},
		{iam.ListPoliciesInput{PolicyUsageFilter: types.PolicyUsageTypePermissionsBoundary}, "zoo"},
		{iam.ListPoliciesInput{MaxItems: new(int32(2)), Scope: local}, "one two"},
	} {
		if got := strings.Join(names(&tt.in), " "); got != tt.want {
			t.Errorf("ListPolicies %+v: %s, want %s", tt.in, got, tt.want)
		}
	}
}

func TestBoundary(t *testing.T) {
	w := newWorld(t)
	ctx, v := t.Context(), w.root(accountA)
	ann := w.user(accountA, "ann", anything)
	must(v.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: new("keys"), PolicyDocument: new(strings.Replace(anything, `"*"`, `"kms:*"`, 1))}))(t)
	arn := "arn:aws:iam::111122223333:policy/keys"
	must(v.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: new("ann"), PermissionsBoundary: new(admin)}))(t)
	must(v.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: new("ann"), PermissionsBoundary: &arn}))(t)
	if got := must(v.GetUser(ctx, &iam.GetUserInput{UserName: new("ann")}))(t).User.PermissionsBoundary; *got.PermissionsBoundaryArn != arn {
		t.Errorf("GetUser: boundary %s", *got.PermissionsBoundaryArn)
	}
	if d := w.decide(ctx, ann, "rds:DescribeDBClusters", "*"); d.Allowed || d.Side != policy.Boundary || !w.allowed(ctx, ann, "kms:ListKeys", "*") {
		t.Errorf("with a boundary: %v", d)
	}
	if n := must(v.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: &arn}))(t).Policy; *n.PermissionsBoundaryUsageCount != 1 || *n.AttachmentCount != 0 {
		t.Errorf("GetPolicy: %d uses as a boundary", *n.PermissionsBoundaryUsageCount)
	}
	must(v.DeleteUserPermissionsBoundary(ctx, &iam.DeleteUserPermissionsBoundaryInput{UserName: new("ann")}))(t)
	if !w.allowed(ctx, ann, "rds:DescribeDBClusters", "*") {
		t.Error("a boundary stays when it is deleted")
	}
}

// An administrator whose users must have a boundary cannot make one without.
func TestBoundaryIsAConditionKey(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	helper := w.user(accountA, "helper", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iam:CreateUser","iam:PutUserPolicy"],"Resource":"*","Condition":{"StringEquals":{"iam:PermissionsBoundary":"`+admin+`"}}}]}`)
	if _, err := w.As(helper).CreateUser(ctx, &iam.CreateUserInput{UserName: new("x")}); !strings.HasPrefix(code(err), "AccessDenied: ") {
		t.Errorf("CreateUser without a boundary: %v", err)
	}
	must(w.As(helper).CreateUser(ctx, &iam.CreateUserInput{UserName: new("x"), PermissionsBoundary: new(admin)}))(t)
	must(w.As(helper).PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: new("x"), PolicyName: new("p"), PolicyDocument: new(anything)}))(t)
	if _, err := w.As(helper).PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: new("helper"), PolicyName: new("p"), PolicyDocument: new(anything)}); !strings.HasPrefix(code(err), "AccessDenied: ") {
		t.Errorf("PutUserPolicy on a user without a boundary: %v", err)
	}
}

func TestInlinePolicies(t *testing.T) {
	w := newWorld(t)
	ctx, v := t.Context(), w.root(accountA)
	must(v.CreateRole(ctx, &iam.CreateRoleInput{RoleName: new("r"), AssumeRolePolicyDocument: new(trustsA)}))(t)
	for _, name := range []string{"b", "a", "B", "a"} {
		must(v.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: new("r"), PolicyName: &name, PolicyDocument: new(anything)}))(t)
	}
	if got := must(v.ListRolePolicies(ctx, &iam.ListRolePoliciesInput{RoleName: new("r")}))(t).PolicyNames; !slices.Equal(got, []string{"B", "a", "b"}) {
		t.Errorf("ListRolePolicies: %v", got)
	}
	got := must(v.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: new("R"), PolicyName: new("a")}))(t)
	if decoded(t, got.PolicyDocument) != anything || *got.RoleName != "r" || *got.PolicyName != "a" {
		t.Errorf("GetRolePolicy: %+v", got)
	}
	must(v.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: new("r"), PolicyName: new("b")}))(t)
	if got := must(v.ListRolePolicies(ctx, &iam.ListRolePoliciesInput{RoleName: new("r")}))(t).PolicyNames; !slices.Equal(got, []string{"B", "a"}) {
		t.Errorf("ListRolePolicies after DeleteRolePolicy: %v", got)
	}
}
