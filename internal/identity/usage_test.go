package identity_test

import (
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"borealis/internal/cloud"
	"borealis/internal/identity"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// use notes that c asked a service for an operation minutes after noon.
func (w *world) use(c cloud.Caller, service, operation string, minutes int) {
	c.Region = "eu-west-1"
	w.Used(c, service, operation, noon.Add(time.Duration(minutes)*time.Minute))
}

// role makes a role with an inline policy and returns who a session of it is.
func (w *world) role(name, text string) cloud.Caller {
	w.t.Helper()
	ctx, root := w.t.Context(), w.root(accountA)
	role := must(root.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: new(trustsA)}))(w.t).Role
	must(root.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &name, PolicyName: new("p"), PolicyDocument: &text}))(w.t)
	c := must(w.Caller(ctx, *role.RoleId))(w.t)
	c.ARN, c.UserID, c.AccessKeyID = c.ARN+"/s1", c.UserID+":s1", "ASIAIOSFODNN7EXAMPLE"
	return c
}

func TestLastUsed(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	ann, app := w.user(accountA, "ann", ""), w.role("app", anything)
	keyUsed := func() *types.AccessKeyLastUsed {
		return must(w.root(accountA).GetAccessKeyLastUsed(ctx, &iam.GetAccessKeyLastUsedInput{AccessKeyId: &ann.AccessKeyID}))(t).AccessKeyLastUsed
	}
	roleUsed := func() *types.RoleLastUsed {
		return must(w.root(accountA).GetRole(ctx, &iam.GetRoleInput{RoleName: new("app")}))(t).Role.RoleLastUsed
	}
	if u := keyUsed(); u.LastUsedDate != nil || *u.Region != "N/A" || *u.ServiceName != "N/A" {
		t.Errorf("a key never used: %+v", u)
	}
	if u := roleUsed(); u.LastUsedDate != nil || u.Region != nil {
		t.Errorf("a role never used: %+v", u)
	}
	w.use(ann, "kms", "Decrypt", 1)
	w.use(ann, "rds", "DescribeDBClusters", 3)
	w.use(ann, "kms", "Decrypt", 2) // comes late
	w.use(app, "sts", "GetCallerIdentity", 4)
	check := func(when string) {
		t.Helper()
		if u := keyUsed(); u.LastUsedDate == nil || !u.LastUsedDate.Equal(noon.Add(3*time.Minute)) || *u.ServiceName != "rds" || *u.Region != "eu-west-1" {
			t.Errorf("%s, the key: %+v", when, u)
		}
		if u := roleUsed(); u.LastUsedDate == nil || !u.LastUsedDate.Equal(noon.Add(4*time.Minute)) || *u.Region != "eu-west-1" {
			t.Errorf("%s, the role: %+v", when, u)
		}
	}
	check("noted")
	if n := must(w.WriteUsage(ctx))(t); n != 5 { // two services and two actions of ann, one action of app
		t.Errorf("WriteUsage wrote %d", n)
	}
	if n := must(w.WriteUsage(ctx))(t); n != 0 {
		t.Errorf("WriteUsage wrote %d again", n)
	}
	check("written")
	w.open()
	check("after reopening")
	w.use(ann, "kms", "Decrypt", 1) // earlier than what is written
	must(w.WriteUsage(ctx))(t)
	check("after an older use")

	root := w.root(accountA)
	must(root.CreateLoginProfile(ctx, &iam.CreateLoginProfileInput{UserName: new("ann"), Password: new(goodPassword)}))(t)
	if u := must(root.GetUser(ctx, &iam.GetUserInput{UserName: new("ann")}))(t).User; u.PasswordLastUsed != nil {
		t.Errorf("password used at %v", u.PasswordLastUsed)
	}
	must(w.signIn("ann", goodPassword))(t)
	u := must(root.GetUser(ctx, &iam.GetUserInput{UserName: new("ann")}))(t).User
	list := must(root.ListUsers(ctx, &iam.ListUsersInput{}))(t).Users
	if u.PasswordLastUsed == nil || time.Since(*u.PasswordLastUsed) > time.Minute || list[0].PasswordLastUsed == nil || !list[0].PasswordLastUsed.Equal(*u.PasswordLastUsed) {
		t.Errorf("password used at %v", u.PasswordLastUsed)
	}
}

// What is deleted leaves no uses behind, not even those that were not written yet.
func TestUsesEndWithTheirSubject(t *testing.T) {
	w := newWorld(t)
	ctx, root := t.Context(), w.root(accountA)
	ann := w.user(accountA, "ann", "")
	w.use(ann, "kms", "Decrypt", 1)
	must(w.WriteUsage(ctx))(t)
	w.use(ann, "kms", "Encrypt", 2)
	w.use(cloud.Caller{Kind: cloud.Service, UserID: "rds.amazonaws.com"}, "kms", "Decrypt", 2)
	must(root.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: new("ann"), AccessKeyId: &ann.AccessKeyID}))(t)
	must(root.DeleteUser(ctx, &iam.DeleteUserInput{UserName: new("ann")}))(t)
	must(w.WriteUsage(ctx))(t)
	err := w.Store.View(ctx, func(tx identity.Tx) error {
		for _, subject := range []string{ann.AccessKeyID, ann.UserID, "rds.amazonaws.com"} {
			if left := must(tx.Usages(subject))(t); len(left) > 0 {
				t.Errorf("uses of %s: %+v", subject, left)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// ReadOnlyAccess lets look at everything and change nothing.
func TestReadOnlyAccess(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	ann := w.user(accountA, "ann", "")
	must(w.root(accountA).AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: new("ann"), PolicyArn: new("arn:aws:iam::aws:policy/ReadOnlyAccess")}))(t)
	for action, want := range map[string]bool{
		"kms:DescribeKey": true, "kms:ListKeys": true, "rds:DescribeDBClusters": true, "iam:GetUser": true, "iam:SimulatePrincipalPolicy": true,
		"kms:Decrypt": false, "kms:CreateGrant": false, "rds:CopyDBClusterSnapshot": false, "iam:CreateUser": false,
	} {
		if got := w.allowed(ctx, ann, action, "*"); got != want {
			t.Errorf("%s is allowed: %t", action, got)
		}
	}
}

func TestServiceLastAccessed(t *testing.T) {
	w := newWorld(t)
	ctx, root := t.Context(), w.root(accountA)
	kmsOnly := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:*","iam:Get*"],"Resource":"*"}]}`
	ann, app := w.user(accountA, "ann", kmsOnly), w.role("app", anything)
	bob := w.user(accountA, "bob", "")
	must(root.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: new("devs")}))(t)
	for _, name := range []string{"ann", "bob"} {
		must(root.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: new("devs"), UserName: &name}))(t)
	}
	must(root.AttachGroupPolicy(ctx, &iam.AttachGroupPolicyInput{GroupName: new("devs"), PolicyArn: new("arn:aws:iam::aws:policy/AmazonRDSReadOnlyAccess")}))(t)
	w.use(ann, "kms", "Decrypt", 1)
	w.use(ann, "kms", "Encrypt", 5)
	w.use(ann, "rds", "DescribeDBClusters", 2)
	w.use(bob, "rds", "DescribeDBClusters", 7)
	w.use(app, "sts", "GetCallerIdentity", 4)

	report := func(arn string, granularity types.AccessAdvisorUsageGranularityType) (string, map[string]types.ServiceLastAccessed) {
		t.Helper()
		job := must(root.GenerateServiceLastAccessedDetails(ctx, &iam.GenerateServiceLastAccessedDetailsInput{Arn: &arn, Granularity: granularity}))(t).JobId
		all := map[string]types.ServiceLastAccessed{}
		names := walk(t, "GetServiceLastAccessedDetails", func(marker *string, items *int32) (names []string, more *string, truncated bool) {
			out := must(root.GetServiceLastAccessedDetails(ctx, &iam.GetServiceLastAccessedDetailsInput{JobId: job, Marker: marker, MaxItems: items}))(t)
			if out.JobStatus != types.JobStatusTypeCompleted {
				t.Errorf("the job is %s", out.JobStatus)
			}
			for _, s := range out.ServicesLastAccessed {
				names, all[*s.ServiceNamespace] = append(names, *s.ServiceNamespace), s
			}
			return names, out.Marker, out.IsTruncated
		})
		if !slices.IsSorted(names) {
			t.Errorf("services are not in order: %v", names)
		}
		return *job, all
	}
	_, of := report(ann.ARN, types.AccessAdvisorUsageGranularityTypeActionLevel)
	if s := of["kms"]; !s.LastAuthenticated.Equal(noon.Add(5*time.Minute)) || *s.LastAuthenticatedEntity != ann.ARN || *s.TotalAuthenticatedEntities != 1 ||
		len(s.TrackedActionsLastAccessed) != 2 || *s.TrackedActionsLastAccessed[1].ActionName != "Decrypt" {
		t.Errorf("ann and kms: %+v", s)
	}
	if s, ok := of["iam"]; !ok || s.LastAuthenticated != nil || *s.TotalAuthenticatedEntities != 0 {
		t.Errorf("ann and iam: %+v", s)
	}
	if _, ok := of["sts"]; ok || of["rds"].LastAuthenticated == nil {
		t.Errorf("ann may use %v", of)
	}
	job, of := report("arn:aws:iam::111122223333:group/devs", "")
	if s := of["rds"]; *s.LastAuthenticatedEntity != bob.ARN || *s.TotalAuthenticatedEntities != 2 || s.TrackedActionsLastAccessed != nil {
		t.Errorf("devs and rds: %+v", s)
	}
	who := walk(t, "GetServiceLastAccessedDetailsWithEntities", func(marker *string, items *int32) (names []string, more *string, truncated bool) {
		out := must(root.GetServiceLastAccessedDetailsWithEntities(ctx, &iam.GetServiceLastAccessedDetailsWithEntitiesInput{JobId: &job, ServiceNamespace: new("rds"), Marker: marker, MaxItems: items}))(t)
		for _, e := range out.EntityDetailsList {
			names = append(names, *e.EntityInfo.Name)
		}
		return names, out.Marker, out.IsTruncated
	})
	if !slices.Equal(who, []string{"ann", "bob"}) {
		t.Errorf("rds was used by %v", who)
	}
	if _, of = report("arn:aws:iam::aws:policy/AmazonRDSReadOnlyAccess", ""); *of["rds"].TotalAuthenticatedEntities != 2 {
		t.Errorf("the policy and rds: %+v", of["rds"])
	}
	if _, of = report(app.Principal, ""); len(of) != 5 || *of["sts"].LastAuthenticatedEntity != app.Principal {
		t.Errorf("app: %v", of)
	}
	w.Now = func() time.Time { return time.Now().Add(5 * time.Hour) }
	if _, err := root.GetServiceLastAccessedDetails(ctx, &iam.GetServiceLastAccessedDetailsInput{JobId: &job}); code(err) != "NoSuchEntity: Job "+job+" does not exist." {
		t.Errorf("a report hours later: %v", err)
	}
}

func TestPoliciesGrantingAccess(t *testing.T) {
	w := newWorld(t)
	ctx, root := t.Context(), w.root(accountA)
	w.user(accountA, "ann", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]}`)
	must(root.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: new("devs")}))(t)
	must(root.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: new("devs"), UserName: new("ann")}))(t)
	must(root.AttachGroupPolicy(ctx, &iam.AttachGroupPolicyInput{GroupName: new("devs"), PolicyArn: new(admin)}))(t)
	out := must(root.ListPoliciesGrantingServiceAccess(ctx, &iam.ListPoliciesGrantingServiceAccessInput{Arn: new("arn:aws:iam::111122223333:user/ann"), ServiceNamespaces: []string{"kms", "rds", "kms"}}))(t)
	all := out.PoliciesGrantingServiceAccess
	if len(all) != 2 || *all[0].ServiceNamespace != "kms" || len(all[0].Policies) != 2 || len(all[1].Policies) != 1 {
		t.Fatalf("%+v", all)
	}
	if p := all[0].Policies[0]; *p.PolicyName != "p" || p.PolicyType != types.PolicyTypeInline || *p.EntityName != "ann" || p.EntityType != types.PolicyOwnerEntityTypeUser {
		t.Errorf("inline: %+v", p)
	}
	if p := all[1].Policies[0]; *p.PolicyArn != admin || p.PolicyType != types.PolicyTypeManaged || *p.PolicyName != "AdministratorAccess" {
		t.Errorf("managed: %+v", p)
	}
	for arn, want := range map[string]string{
		"arn:aws:iam::111122223333:user/none":    "NoSuchEntity: The user with name none cannot be found.",
		"arn:aws:iam::111122223333:user/p/ann":   "NoSuchEntity: User arn:aws:iam::111122223333:user/p/ann does not exist.",
		"arn:aws:iam::111122223333:oven/ann":     "InvalidInput: ARN arn:aws:iam::111122223333:oven/ann is not valid.",
		"arn:aws:kms:eu-west-1:111122223333:k/1": "InvalidInput: ARN arn:aws:kms:eu-west-1:111122223333:k/1 is not valid.",
	} {
		if _, err := root.ListPoliciesGrantingServiceAccess(ctx, &iam.ListPoliciesGrantingServiceAccessInput{Arn: &arn, ServiceNamespaces: []string{"kms"}}); code(err) != want {
			t.Errorf("%s: %v", arn, err)
		}
	}
	foreign := "arn:aws:iam::444455556666:user/fay"
	if _, err := root.ListPoliciesGrantingServiceAccess(ctx, &iam.ListPoliciesGrantingServiceAccessInput{Arn: &foreign}); err == nil {
		t.Error("another account's user was shown")
	}
}
