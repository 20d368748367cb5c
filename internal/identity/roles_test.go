package identity_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"borealis/internal/cloud"
)

func TestRoleLives(t *testing.T) {
	w := newWorld(t)
	ctx, v := t.Context(), w.root(accountB)
	doc := "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [ {\"Effect\":\"Allow\", \"Principal\": {\"AWS\": [\"111122223333\", \"*\"], \"Service\": \"rds.amazonaws.com\"}, \"Action\":\"sts:AssumeRole\"} ]\n}"
	made := must(v.CreateRole(ctx, &iam.CreateRoleInput{RoleName: new("Reader"), Path: new("/x/y/"), AssumeRolePolicyDocument: &doc, Description: new("reads"), MaxSessionDuration: new(int32(7200)), Tags: tags("a", "1")}))(t).Role
	if *made.Arn != "arn:aws:iam::444455556666:role/x/y/Reader" || !strings.HasPrefix(*made.RoleId, "AROA") || *made.MaxSessionDuration != 7200 {
		t.Errorf("CreateRole: %s %s", *made.Arn, *made.RoleId)
	}
	w.open()
	v = w.root(accountB)
	got := must(v.GetRole(ctx, &iam.GetRoleInput{RoleName: new("reader")}))(t).Role
	if d := cmpDiff(made, got); d != "" {
		t.Errorf("GetRole (-made +got):\n%s", d)
	}
	// An account is shown by its root user's ARN; all else stays as it was written.
	if want := strings.Replace(doc, "111122223333", "arn:aws:iam::111122223333:root", 1); decoded(t, got.AssumeRolePolicyDocument) != want {
		t.Errorf("trust policy: %s", decoded(t, got.AssumeRolePolicyDocument))
	}
	must(v.UpdateRole(ctx, &iam.UpdateRoleInput{RoleName: new("Reader"), Description: new("reads more")}))(t)
	must(v.TagRole(ctx, &iam.TagRoleInput{RoleName: new("Reader"), Tags: tags("A", "2", "b", "3")}))(t)
	must(v.UntagRole(ctx, &iam.UntagRoleInput{RoleName: new("Reader"), TagKeys: []string{"B"}}))(t)
	role, err := w.Role(ctx, *made.Arn)
	if err != nil || role.MaxSession != time.Hour || role.ID != *made.RoleId || role.Name != "Reader" || cmpDiff(map[string]string{"A": "2"}, role.Tags) != "" {
		t.Errorf("Role: %+v, %v", role, err)
	}
	if got := must(v.GetRole(ctx, &iam.GetRoleInput{RoleName: new("Reader")}))(t).Role; *got.Description != "reads more" || *got.MaxSessionDuration != 3600 {
		t.Errorf("GetRole after UpdateRole: %s, %d", *got.Description, *got.MaxSessionDuration)
	}
	for _, arn := range []string{"arn:aws:iam::444455556666:role/Reader", "arn:aws:iam::444455556666:role/x/y/reader", "arn:aws:iam::111122223333:role/x/y/Reader", "arn:aws:iam::444455556666:user/x/y/Reader", "Reader", ""} {
		if _, err := w.Role(ctx, arn); !errors.Is(err, cloud.ErrNotFound) {
			t.Errorf("Role(%q): %v, want ErrNotFound", arn, err)
		}
	}
	must(v.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: new("Reader")}))(t)
	if _, err := w.Role(ctx, *made.Arn); !errors.Is(err, cloud.ErrNotFound) {
		t.Errorf("Role after DeleteRole: %v", err)
	}
}

// A trust policy follows whom it names: to a new name, and into the grave.
func TestTrustFollowsPrincipals(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	ann := w.user(accountA, "ann", "")
	a, b := w.root(accountA), w.root(accountB)
	must(b.CreateRole(ctx, &iam.CreateRoleInput{RoleName: new("r"), AssumeRolePolicyDocument: trusts(ann.ARN)}))(t)
	shown := func() string {
		return decoded(t, must(b.GetRole(ctx, &iam.GetRoleInput{RoleName: new("r")}))(t).Role.AssumeRolePolicyDocument)
	}
	if shown() != *trusts(ann.ARN) {
		t.Errorf("as written: %s", shown())
	}
	must(a.UpdateUser(ctx, &iam.UpdateUserInput{UserName: new("ann"), NewUserName: new("anna")}))(t)
	renamed := strings.Replace(*trusts(ann.ARN), "user/ann", "user/anna", 1)
	if shown() != renamed {
		t.Errorf("after a rename: %s", shown())
	}
	must(b.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: new("r"), PolicyDocument: new(shown())}))(t)
	must(a.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: new("anna"), AccessKeyId: &ann.AccessKeyID}))(t)
	must(a.DeleteUser(ctx, &iam.DeleteUserInput{UserName: new("anna")}))(t)
	w.user(accountA, "anna", "")
	if want := *trusts(ann.UserID); shown() != want {
		t.Errorf("after her death: %s, want %s", shown(), want)
	}
	must(b.CreateRole(ctx, &iam.CreateRoleInput{RoleName: new("s"), AssumeRolePolicyDocument: trusts("arn:aws:sts::444455556666:assumed-role/r/s1")}))(t)
	if got := decoded(t, must(b.GetRole(ctx, &iam.GetRoleInput{RoleName: new("s")}))(t).Role.AssumeRolePolicyDocument); got != *trusts("arn:aws:sts::444455556666:assumed-role/r/s1") {
		t.Errorf("a session that is trusted: %s", got)
	}
}
