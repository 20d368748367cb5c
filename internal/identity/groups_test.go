package identity_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
)

func TestGroupsSpeakForMembers(t *testing.T) {
	w := newWorld(t)
	ctx, v := t.Context(), w.root(accountA)
	ann, bob := w.user(accountA, "ann", ""), w.user(accountA, "bob", "")
	group := must(v.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: new("ops")}))(t).Group
	if *group.Arn != "arn:aws:iam::111122223333:group/ops" {
		t.Errorf("CreateGroup: %s", *group.Arn)
	}
	must(v.PutGroupPolicy(ctx, &iam.PutGroupPolicyInput{GroupName: new("ops"), PolicyName: new("p"), PolicyDocument: new(anything)}))(t)
	for _, name := range []string{"bob", "ann", "ann"} {
		must(v.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: new("ops"), UserName: &name}))(t)
	}
	if d := w.decide(ctx, ann, "kms:ListKeys", "*"); !d.Allowed || d.Decided.Policy != "inline policy p of group/ops" {
		t.Errorf("as a member: %v", d)
	}
	members := must(v.GetGroup(ctx, &iam.GetGroupInput{GroupName: new("OPS")}))(t).Users
	if len(members) != 2 || *members[0].UserName != "ann" || *members[1].UserName != "bob" {
		t.Errorf("GetGroup: %+v", members)
	}
	if groups := must(v.ListGroupsForUser(ctx, &iam.ListGroupsForUserInput{UserName: new("ann")}))(t).Groups; len(groups) != 1 || *groups[0].GroupName != "ops" {
		t.Errorf("ListGroupsForUser: %+v", groups)
	}
	must(v.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{GroupName: new("ops"), UserName: new("ann")}))(t)
	if w.allowed(ctx, ann, "kms:ListKeys", "*") || !w.allowed(ctx, bob, "kms:ListKeys", "*") {
		t.Error("RemoveUserFromGroup has removed nobody, or everybody")
	}
	must(v.DeleteGroupPolicy(ctx, &iam.DeleteGroupPolicyInput{GroupName: new("ops"), PolicyName: new("p")}))(t)
	must(v.AttachGroupPolicy(ctx, &iam.AttachGroupPolicyInput{GroupName: new("ops"), PolicyArn: new(admin)}))(t)
	if !w.allowed(ctx, bob, "kms:ListKeys", "*") {
		t.Error("a policy attached to a group does not count")
	}
	must(v.DetachGroupPolicy(ctx, &iam.DetachGroupPolicyInput{GroupName: new("ops"), PolicyArn: new(admin)}))(t)
	must(v.UpdateGroup(ctx, &iam.UpdateGroupInput{GroupName: new("ops"), NewGroupName: new("dev")}))(t)
	must(v.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{GroupName: new("dev"), UserName: new("bob")}))(t)
	must(v.DeleteGroup(ctx, &iam.DeleteGroupInput{GroupName: new("dev")}))(t)
}
