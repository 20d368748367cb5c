package identity_test

import (
	"encoding/csv"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

func TestCredentialReport(t *testing.T) {
	w := newWorld(t)
	now := noon
	w.Now = func() time.Time { return now }
	ctx, root := t.Context(), w.root(accountA)
	if _, err := root.GetCredentialReport(ctx, nil); code(err) != "ReportNotPresent: " {
		t.Errorf("GetCredentialReport of none: %v", err)
	}
	ann := w.user(accountA, "ann", "")
	must(root.CreateUser(ctx, &iam.CreateUserInput{UserName: new("bare")}))(t)
	must(root.CreateLoginProfile(ctx, &iam.CreateLoginProfileInput{UserName: new("ann"), Password: new(goodPassword)}))(t)
	must(root.UpdateAccountPasswordPolicy(ctx, &iam.UpdateAccountPasswordPolicyInput{MaxPasswordAge: new(int32(90))}))(t)
	must(w.signIn("ann", goodPassword))(t)
	if err := w.enable(w.device("phone"), "ann", now); err != nil {
		t.Fatal(err)
	}
	w.use(ann, "kms", "Decrypt", 1)
	if out := must(root.GenerateCredentialReport(ctx, nil))(t); out.State != types.ReportStateTypeStarted {
		t.Errorf("GenerateCredentialReport: %s", out.State)
	}
	must(root.CreateUser(ctx, &iam.CreateUserInput{UserName: new("late")}))(t)
	if out := must(root.GenerateCredentialReport(ctx, nil))(t); out.State != types.ReportStateTypeComplete {
		t.Errorf("GenerateCredentialReport again: %s", out.State)
	}
	out := must(root.GetCredentialReport(ctx, nil))(t)
	rows := must(csv.NewReader(strings.NewReader(string(out.Content))).ReadAll())(t)
	if len(rows) != 4 || len(rows[0]) != 22 || out.ReportFormat != types.ReportFormatTypeTextCsv || !out.GeneratedTime.Equal(now) {
		t.Fatalf("%d rows: %v", len(rows), rows)
	}
	const stamp = "2026-03-01T12:00:00+00:00"
	none := []string{"false", "N/A", "N/A", "N/A", "N/A"}
	certificates := []string{"false", "N/A", "false", "N/A"}
	want := slices.Concat([]string{"ann", ann.ARN, stamp, "true", stamp, stamp, "2026-05-30T12:00:00+00:00", "true",
		"true", stamp, "2026-03-01T12:01:00+00:00", "eu-west-1", "kms"}, none, certificates)
	if d := cmpDiff(want, rows[2]); d != "" {
		t.Errorf("ann (-want +got):\n%s", d)
	}
	want = slices.Concat([]string{"bare", "arn:aws:iam::111122223333:user/bare", stamp, "false", "N/A", "N/A", "N/A", "false"}, none, none, certificates)
	if d := cmpDiff(want, rows[3]); d != "" {
		t.Errorf("bare (-want +got):\n%s", d)
	}
	if r := rows[1]; r[0] != "<root_account>" || r[3] != "not_supported" || r[8] != "true" {
		t.Errorf("the root user: %v", r)
	}
	now = now.Add(4 * time.Hour)
	if _, err := root.GetCredentialReport(ctx, nil); code(err) != "ReportExpired: " {
		t.Errorf("GetCredentialReport hours later: %v", err)
	}
	must(root.GenerateCredentialReport(ctx, nil))(t)
	if out := must(root.GetCredentialReport(ctx, nil))(t); !strings.Contains(string(out.Content), "late") {
		t.Error("the next report is the one before")
	}
}

func TestAuthorizationDetails(t *testing.T) {
	w := newWorld(t)
	ctx, root := t.Context(), w.root(accountA)
	w.user(accountA, "ann", anything)
	must(root.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: new("devs")}))(t)
	must(root.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: new("devs"), UserName: new("ann")}))(t)
	must(root.AttachGroupPolicy(ctx, &iam.AttachGroupPolicyInput{GroupName: new("devs"), PolicyArn: new(admin)}))(t)
	must(root.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: new("own"), PolicyDocument: new(anything)}))(t)
	must(root.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: new("arn:aws:iam::111122223333:policy/own"), PolicyDocument: new(anything)}))(t)
	must(root.CreateRole(ctx, &iam.CreateRoleInput{RoleName: new("app"), AssumeRolePolicyDocument: new(trustsA), PermissionsBoundary: new(admin), Tags: tags("a", "1")}))(t)

	list := func(filter ...types.EntityType) []string {
		return walk(t, "GetAccountAuthorizationDetails", func(marker *string, items *int32) (names []string, more *string, truncated bool) {
			out := must(root.GetAccountAuthorizationDetails(ctx, &iam.GetAccountAuthorizationDetailsInput{Filter: filter, Marker: marker, MaxItems: items}))(t)
			for _, g := range out.GroupDetailList {
				names = append(names, "group "+*g.GroupName)
			}
			for _, p := range out.Policies {
				names = append(names, "policy "+*p.PolicyName)
			}
			for _, r := range out.RoleDetailList {
				names = append(names, "role "+*r.RoleName)
			}
			for _, u := range out.UserDetailList {
				names = append(names, "user "+*u.UserName)
			}
			return names, out.Marker, out.IsTruncated
		})
	}
	for _, tt := range []struct {
		filter []types.EntityType
		want   []string
	}{
		{nil, []string{"group devs", "policy AdministratorAccess", "policy own", "role app", "user ann"}},
		{[]types.EntityType{types.EntityTypeUser, types.EntityTypeGroup}, []string{"group devs", "user ann"}},
		{[]types.EntityType{types.EntityTypeLocalManagedPolicy}, []string{"policy own"}},
		{[]types.EntityType{types.EntityTypeAWSManagedPolicy}, []string{"policy AdministratorAccess"}},
		{[]types.EntityType{types.EntityTypeRole}, []string{"role app"}},
	} {
		if got := list(tt.filter...); !slices.Equal(got, tt.want) {
			t.Errorf("%v: %v, want %v", tt.filter, got, tt.want)
		}
	}
	out := must(root.GetAccountAuthorizationDetails(ctx, &iam.GetAccountAuthorizationDetailsInput{}))(t)
	if u := out.UserDetailList[0]; decoded(t, u.UserPolicyList[0].PolicyDocument) != anything || !slices.Equal(u.GroupList, []string{"devs"}) {
		t.Errorf("the user: %+v", u)
	}
	if r := out.RoleDetailList[0]; *r.PermissionsBoundary.PermissionsBoundaryArn != admin || *r.Tags[0].Key != "a" || !strings.HasPrefix(*r.AssumeRolePolicyDocument, "%7B") {
		t.Errorf("the role: %+v", r)
	}
	if p := out.Policies[1]; len(p.PolicyVersionList) != 2 || *p.PolicyVersionList[0].VersionId != "v2" || p.PolicyVersionList[0].IsDefaultVersion || decoded(t, p.PolicyVersionList[1].Document) != anything {
		t.Errorf("the policy: %+v", p)
	}
	if g := out.GroupDetailList[0]; *g.AttachedManagedPolicies[0].PolicyArn != admin || len(g.GroupPolicyList) != 0 {
		t.Errorf("the group: %+v", g)
	}
}
