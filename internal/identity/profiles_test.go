package identity_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

func TestInstanceProfileLives(t *testing.T) {
	w := newWorld(t)
	ctx, root := t.Context(), w.root(accountA)
	w.role("app", anything)
	w.role("other", anything)
	made := must(root.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: new("App"), Path: new("/p/"), Tags: tags("a", "1")}))(t).InstanceProfile
	if *made.Arn != "arn:aws:iam::111122223333:instance-profile/p/App" || !strings.HasPrefix(*made.InstanceProfileId, "AIPA") || len(made.Roles) != 0 || len(made.Tags) != 1 {
		t.Errorf("CreateInstanceProfile: %+v", made)
	}
	add := func(role string) string {
		_, err := root.AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: new("App"), RoleName: &role})
		return code(err)
	}
	remove := func(role string) string {
		_, err := root.RemoveRoleFromInstanceProfile(ctx, &iam.RemoveRoleFromInstanceProfileInput{InstanceProfileName: new("App"), RoleName: &role})
		return code(err)
	}
	for _, step := range []struct{ what, got, want string }{
		{"an unknown role", add("none"), "NoSuchEntity: The role with name none cannot be found."},
		{"a role", add("app"), ""},
		{"a second role", add("other"), "LimitExceeded: Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1"},
		{"removing another", remove("other"), "NoSuchEntity: Role other in Instance Profile App cannot be found."},
		{"removing an unknown one", remove("none"), "NoSuchEntity: The role with name none cannot be found."},
	} {
		if step.got != step.want {
			t.Errorf("%s: %q, want %q", step.what, step.got, step.want)
		}
	}
	w.open() // all of it survives
	root = w.root(accountA)
	got := must(root.GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{InstanceProfileName: new("app")}))(t).InstanceProfile
	if *got.InstanceProfileId != *made.InstanceProfileId || len(got.Roles) != 1 || *got.Roles[0].RoleName != "app" || *got.Tags[0].Key != "a" {
		t.Errorf("GetInstanceProfile: %+v", got)
	}
	if list := must(root.ListInstanceProfilesForRole(ctx, &iam.ListInstanceProfilesForRoleInput{RoleName: new("app")}))(t).InstanceProfiles; len(list) != 1 || *list[0].InstanceProfileName != "App" {
		t.Errorf("ListInstanceProfilesForRole: %+v", list)
	}
	details := must(root.GetAccountAuthorizationDetails(ctx, &iam.GetAccountAuthorizationDetailsInput{Filter: []types.EntityType{types.EntityTypeRole}}))(t).RoleDetailList
	if len(details[0].InstanceProfileList) != 1 || len(details[1].InstanceProfileList) != 0 {
		t.Errorf("GetAccountAuthorizationDetails: %+v", details)
	}
	must(root.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: new("app"), PolicyName: new("p")}))(t)
	conflict := "DeleteConflict: Cannot delete entity, must remove roles from instance profile first."
	if _, err := root.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: new("app")}); code(err) != conflict {
		t.Errorf("DeleteRole: %v", err)
	}
	if _, err := root.DeleteInstanceProfile(ctx, &iam.DeleteInstanceProfileInput{InstanceProfileName: new("App")}); code(err) != conflict {
		t.Errorf("DeleteInstanceProfile: %v", err)
	}
	if err := remove("app"); err != "" {
		t.Errorf("RemoveRoleFromInstanceProfile: %s", err)
	}
	must(root.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: new("app")}))(t)
	must(root.DeleteInstanceProfile(ctx, &iam.DeleteInstanceProfileInput{InstanceProfileName: new("App")}))(t)
	if _, err := root.GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{InstanceProfileName: new("App")}); code(err) != "NoSuchEntity: Instance Profile App cannot be found." {
		t.Errorf("GetInstanceProfile of a deleted one: %v", err)
	}
}

// Who may change an instance profile may not put any role into it.
func TestInstanceProfileNeedsPassRole(t *testing.T) {
	w := newWorld(t)
	ctx, root := t.Context(), w.root(accountA)
	w.role("app", anything)
	must(root.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: new("p")}))(t)
	ann := w.user(accountA, "ann", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:*InstanceProfile*","Resource":"*"}]}`)
	in := &iam.AddRoleToInstanceProfileInput{InstanceProfileName: new("p"), RoleName: new("app")}
	if _, err := w.As(ann).AddRoleToInstanceProfile(ctx, in); !strings.Contains(code(err), "is not authorized to perform: iam:PassRole on resource: role app") {
		t.Errorf("without iam:PassRole: %v", err)
	}
	pass := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:PassRole","Resource":"*","Condition":{"StringEquals":{"iam:PassedToService":"ec2.amazonaws.com"}}}]}`
	must(root.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: new("ann"), PolicyName: new("pass"), PolicyDocument: &pass}))(t)
	must(w.As(ann).AddRoleToInstanceProfile(ctx, in))(t)
}

func TestInstanceProfilePages(t *testing.T) {
	w := newWorld(t)
	ctx, root := t.Context(), w.root(accountA)
	for i := range 5 {
		must(root.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: new(fmt.Sprint("Np"[i%2:i%2+1], i)), Path: new([]string{"/even/", "/odd/"}[i%2])}))(t)
	}
	if _, err := root.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: new("n0")}); code(err) != "EntityAlreadyExists: Instance Profile n0 already exists." {
		t.Errorf("CreateInstanceProfile again: %v", err)
	}
	for prefix, want := range map[string][]string{"/": {"N0", "N2", "N4", "p1", "p3"}, "/odd/": {"p1", "p3"}, "/none/": nil} {
		got := walk(t, "ListInstanceProfiles", func(marker *string, items *int32) (names []string, more *string, truncated bool) {
			out := must(root.ListInstanceProfiles(ctx, &iam.ListInstanceProfilesInput{PathPrefix: &prefix, Marker: marker, MaxItems: items}))(t)
			for _, p := range out.InstanceProfiles {
				names = append(names, *p.InstanceProfileName)
			}
			return names, out.Marker, out.IsTruncated
		})
		if !slices.Equal(got, want) {
			t.Errorf("under %s: %v, want %v", prefix, got, want)
		}
	}
	must(root.TagInstanceProfile(ctx, &iam.TagInstanceProfileInput{InstanceProfileName: new("n0"), Tags: tags("a", "1", "b", "2")}))(t)
	must(root.UntagInstanceProfile(ctx, &iam.UntagInstanceProfileInput{InstanceProfileName: new("n0"), TagKeys: []string{"b"}}))(t)
	if d := cmpDiff(tags("a", "1"), must(root.ListInstanceProfileTags(ctx, &iam.ListInstanceProfileTagsInput{InstanceProfileName: new("n0")}))(t).Tags); d != "" {
		t.Errorf("ListInstanceProfileTags (-want +got):\n%s", d)
	}
}

func TestServiceLinkedRoleLives(t *testing.T) {
	w := newWorld(t)
	ctx, root := t.Context(), w.root(accountA)
	create := func(service string, suffix *string) (*types.Role, string) {
		out, err := root.CreateServiceLinkedRole(ctx, &iam.CreateServiceLinkedRoleInput{AWSServiceName: &service, CustomSuffix: suffix})
		if err != nil {
			return nil, code(err)
		}
		return out.Role, ""
	}
	made, _ := create("rds.amazonaws.com", nil)
	if *made.Arn != "arn:aws:iam::111122223333:role/aws-service-role/rds.amazonaws.com/AWSServiceRoleForRDS" || !strings.Contains(decoded(t, made.AssumeRolePolicyDocument), `"Service":["rds.amazonaws.com"]`) {
		t.Errorf("CreateServiceLinkedRole: %+v", made)
	}
	for _, tt := range []struct {
		service string
		suffix  *string
		want    string
	}{
		{"rds.amazonaws.com", nil, "InvalidInput: Service role name AWSServiceRoleForRDS has been taken in this account, please try a different suffix."},
		{"rds.amazonaws.com", new("x"), "InvalidInput: Custom suffix is not allowed for rds.amazonaws.com"},
		{"autoscaling.amazonaws.com", new("x"), ""},
		{"oven.amazonaws.com", nil, "InvalidInput: oven.amazonaws.com is not a service that roles can be linked to here."},
	} {
		if _, got := create(tt.service, tt.suffix); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.service, got, tt.want)
		}
	}
	name := new("AWSServiceRoleForRDS")
	want := "UnmodifiableEntity: Cannot perform the operation on the protected role 'AWSServiceRoleForRDS' - this role is only modifiable by AWS"
	for what, err := range map[string]error{
		"AttachRolePolicy":              second(root.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: name, PolicyArn: new(admin)})),
		"DetachRolePolicy":              second(root.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: name, PolicyArn: new(admin)})),
		"PutRolePolicy":                 second(root.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: name, PolicyName: new("p"), PolicyDocument: new(anything)})),
		"DeleteRolePolicy":              second(root.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: name, PolicyName: new("p")})),
		"UpdateAssumeRolePolicy":        second(root.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: name, PolicyDocument: new(trustsA)})),
		"PutRolePermissionsBoundary":    second(root.PutRolePermissionsBoundary(ctx, &iam.PutRolePermissionsBoundaryInput{RoleName: name, PermissionsBoundary: new(admin)})),
		"DeleteRolePermissionsBoundary": second(root.DeleteRolePermissionsBoundary(ctx, &iam.DeleteRolePermissionsBoundaryInput{RoleName: name})),
		"DeleteRole":                    second(root.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: name})),
	} {
		if code(err) != want {
			t.Errorf("%s: %v", what, err)
		}
	}
	must(root.UpdateRoleDescription(ctx, &iam.UpdateRoleDescriptionInput{RoleName: name, Description: new("ours")}))(t)
	w.role("app", anything)
	if _, err := root.DeleteServiceLinkedRole(ctx, &iam.DeleteServiceLinkedRoleInput{RoleName: new("app")}); !strings.HasPrefix(code(err), "NoSuchEntity") {
		t.Errorf("DeleteServiceLinkedRole of an ordinary role: %v", err)
	}
	task := must(root.DeleteServiceLinkedRole(ctx, &iam.DeleteServiceLinkedRoleInput{RoleName: name}))(t).DeletionTaskId
	if !strings.HasPrefix(*task, "task/aws-service-role/rds.amazonaws.com/AWSServiceRoleForRDS/") {
		t.Errorf("DeleteServiceLinkedRole: %s", *task)
	}
	status := must(root.GetServiceLinkedRoleDeletionStatus(ctx, &iam.GetServiceLinkedRoleDeletionStatusInput{DeletionTaskId: task}))(t)
	if status.Status != types.DeletionTaskStatusTypeSucceeded {
		t.Errorf("GetServiceLinkedRoleDeletionStatus: %s", status.Status)
	}
	if _, err := w.root(accountB).GetServiceLinkedRoleDeletionStatus(ctx, &iam.GetServiceLinkedRoleDeletionStatusInput{DeletionTaskId: task}); !strings.HasPrefix(code(err), "NoSuchEntity") {
		t.Errorf("GetServiceLinkedRoleDeletionStatus from another account: %v", err)
	}
	if _, err := root.GetRole(ctx, &iam.GetRoleInput{RoleName: name}); !strings.HasPrefix(code(err), "NoSuchEntity") {
		t.Errorf("GetRole of a deleted one: %v", err)
	}
}

// second is the error of a call.
func second[T any](_ T, err error) error { return err }
