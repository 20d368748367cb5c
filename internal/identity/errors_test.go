package identity_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"borealis/internal/identity"
)

// Every mistake has AWS's code and AWS's words.
func TestMistakes(t *testing.T) {
	w := newWorld(t)
	ctx, v := t.Context(), w.root(accountA)
	arnOf := func(name string) *string { return new("arn:aws:iam::111122223333:policy/" + name) }
	policyNamed := func(name string) {
		must(v.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: &name, PolicyDocument: new(anything)}))(t)
	}
	for _, name := range []string{"keyed", "inlined", "attached", "grouped", "plain"} {
		must(v.CreateUser(ctx, &iam.CreateUserInput{UserName: &name}))(t)
	}
	must(v.CreateRole(ctx, &iam.CreateRoleInput{RoleName: new("taken"), AssumeRolePolicyDocument: new(trustsA)}))(t)
	must(v.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: new("full")}))(t)
	for _, name := range []string{"used", "bounds", "many", "free"} {
		policyNamed(name)
	}
	for range 2 {
		must(v.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: new("keyed")}))(t)
	}
	must(v.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: new("inlined"), PolicyName: new("p"), PolicyDocument: new(anything)}))(t)
	must(v.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: new("attached"), PolicyArn: arnOf("used")}))(t)
	must(v.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: new("attached"), PermissionsBoundary: arnOf("bounds")}))(t)
	must(v.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: new("full"), UserName: new("grouped")}))(t)
	for range 4 {
		must(v.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: arnOf("many"), PolicyDocument: new(anything)}))(t)
	}
	must(w.root(accountB).CreateAccountAlias(ctx, &iam.CreateAccountAliasInput{AccountAlias: new("theirs")}))(t)
	noPolicy, awsPolicy := "arn:aws:iam::111122223333:policy/none", "arn:aws:iam::aws:policy/none"

	for _, tt := range []struct {
		op   string
		in   any
		want string // up to the end, or to "…"
	}{
		{"CreateUser", &iam.CreateUserInput{UserName: new("PLAIN")}, "EntityAlreadyExists: User with name PLAIN already exists."},
		{"CreateUser", &iam.CreateUserInput{UserName: new("x"), PermissionsBoundary: &noPolicy}, "NoSuchEntity: Scope ARN: " + noPolicy + " does not exist or is not attachable."},
		{"CreateUser", &iam.CreateUserInput{UserName: new("x"), Tags: tags("a", "1", "A", "2")}, "InvalidInput: Duplicate tag keys found. Please note that Tag keys are case insensitive."},
		{"CreateUser", &iam.CreateUserInput{UserName: new("x"), Tags: tags("aws:a", "1")}, "InvalidInput: …"},
		{"TagUser", &iam.TagUserInput{UserName: new("plain"), Tags: fiftyOne()}, "LimitExceeded: The number of tags has reached the maximum limit."},
		{"UpdateUser", &iam.UpdateUserInput{UserName: new("plain"), NewUserName: new("Keyed")}, "EntityAlreadyExists: User with name Keyed already exists."},
		{"GetUser", &iam.GetUserInput{UserName: new("none")}, "NoSuchEntity: The user with name none cannot be found."},
		{"DeleteUser", &iam.DeleteUserInput{UserName: new("keyed")}, "DeleteConflict: Cannot delete entity, must delete access keys first."},
		{"DeleteUser", &iam.DeleteUserInput{UserName: new("inlined")}, "DeleteConflict: Cannot delete entity, must delete policies first."},
		{"DeleteUser", &iam.DeleteUserInput{UserName: new("attached")}, "DeleteConflict: Cannot delete entity, must detach all policies first."},
		{"DeleteUser", &iam.DeleteUserInput{UserName: new("grouped")}, "DeleteConflict: Cannot delete entity, must remove users from group first."},
		{"ListUsers", &iam.ListUsersInput{MaxItems: new(int32(1001))}, "ValidationError: 1 validation error detected: Value '1001' at 'maxItems' failed to satisfy constraint: Member must have value …"},
		{"ListUsers", &iam.ListUsersInput{Marker: new("?")}, "ValidationError: Invalid Marker."},

		{"CreateAccessKey", &iam.CreateAccessKeyInput{UserName: new("keyed")}, "LimitExceeded: Cannot exceed quota for AccessKeysPerUser: 2"},
		{"DeleteAccessKey", &iam.DeleteAccessKeyInput{UserName: new("plain"), AccessKeyId: new("AKIAIOSFODNN7EXAMPLE")}, "NoSuchEntity: The Access Key with id AKIAIOSFODNN7EXAMPLE cannot be found."},
		{"UpdateAccessKey", &iam.UpdateAccessKeyInput{UserName: new("plain"), AccessKeyId: new(w.keys[accountA].AccessKeyID)}, "NoSuchEntity: The Access Key with id " + w.keys[accountA].AccessKeyID + " cannot be found."},
		{"GetAccessKeyLastUsed", &iam.GetAccessKeyLastUsedInput{AccessKeyId: new(w.keys[accountB].AccessKeyID)}, "NoSuchEntity: The Access Key with id " + w.keys[accountB].AccessKeyID + " cannot be found."},

		{"CreateRole", &iam.CreateRoleInput{RoleName: new("Taken"), AssumeRolePolicyDocument: new(trustsA)}, "EntityAlreadyExists: Role with name Taken already exists."},
		{"CreateRole", &iam.CreateRoleInput{RoleName: new("x"), AssumeRolePolicyDocument: new(anything)}, "MalformedPolicyDocument: Missing required field Principal"},
		{"CreateRole", &iam.CreateRoleInput{RoleName: new("x"), AssumeRolePolicyDocument: new("{")}, "MalformedPolicyDocument: …"},
		{"CreateRole", &iam.CreateRoleInput{RoleName: new("x"), AssumeRolePolicyDocument: trusts("arn:aws:iam::111122223333:user/none")}, `MalformedPolicyDocument: Invalid principal in policy: "AWS":"arn:aws:iam::111122223333:user/none"`},
		{"CreateRole", &iam.CreateRoleInput{RoleName: new("x"), AssumeRolePolicyDocument: trusts("000000000000")}, `MalformedPolicyDocument: Invalid principal in policy: "AWS":"000000000000"`},
		{"CreateRole", &iam.CreateRoleInput{RoleName: new("x"), AssumeRolePolicyDocument: trusts("AIDAAAAAAAAAAAAAAAAAA")}, `MalformedPolicyDocument: Invalid principal in policy: "AWS":"AIDAAAAAAAAAAAAAAAAAA"`},
		{"CreateRole", &iam.CreateRoleInput{RoleName: new("x"), AssumeRolePolicyDocument: new(strings.Replace(trustsA, "sts:AssumeRole", strings.Repeat("sts:A", 500), 1))}, "LimitExceeded: Cannot exceed quota for ACLSizePerRole: 2048"},
		{"UpdateAssumeRolePolicy", &iam.UpdateAssumeRolePolicyInput{RoleName: new("taken"), PolicyDocument: new(strings.Replace(trustsA, "sts:AssumeRole", "kms:Decrypt", 1))}, "MalformedPolicyDocument: AssumeRole policy may only specify STS AssumeRole actions.…"},
		{"GetRole", &iam.GetRoleInput{RoleName: new("none")}, "NoSuchEntity: The role with name none cannot be found."},

		{"PutUserPolicy", &iam.PutUserPolicyInput{UserName: new("plain"), PolicyName: new("p"), PolicyDocument: new(trustsA)}, "MalformedPolicyDocument: Policy document should not specify a principal."},
		{"PutUserPolicy", &iam.PutUserPolicyInput{UserName: new("plain"), PolicyName: new("p"), PolicyDocument: long(2049)}, "LimitExceeded: Maximum policy size of 2048 bytes exceeded for user plain"},
		{"PutUserPolicy", &iam.PutUserPolicyInput{UserName: new("inlined"), PolicyName: new("q"), PolicyDocument: long(2048)}, "LimitExceeded: Maximum policy size of 2048 bytes exceeded for user inlined"},
		{"PutRolePolicy", &iam.PutRolePolicyInput{RoleName: new("taken"), PolicyName: new("p"), PolicyDocument: long(10241)}, "LimitExceeded: Maximum policy size of 10240 bytes exceeded for role taken"},
		{"GetUserPolicy", &iam.GetUserPolicyInput{UserName: new("plain"), PolicyName: new("p")}, "NoSuchEntity: The user policy with name p cannot be found."},
		{"DeleteRolePolicy", &iam.DeleteRolePolicyInput{RoleName: new("taken"), PolicyName: new("p")}, "NoSuchEntity: The role policy with name p cannot be found."},

		{"CreatePolicy", &iam.CreatePolicyInput{PolicyName: new("FREE"), PolicyDocument: new(anything)}, "EntityAlreadyExists: A policy called FREE already exists. Duplicate names are not allowed."},
		{"CreatePolicy", &iam.CreatePolicyInput{PolicyName: new("x"), PolicyDocument: long(6145)}, "LimitExceeded: Cannot exceed quota for PolicySize: 6144"},
		{"GetPolicy", &iam.GetPolicyInput{PolicyArn: &noPolicy}, "NoSuchEntity: Policy " + noPolicy + " was not found."},
		{"GetPolicy", &iam.GetPolicyInput{PolicyArn: &awsPolicy}, "NoSuchEntity: Policy " + awsPolicy + " was not found."},
		{"GetPolicy", &iam.GetPolicyInput{PolicyArn: new("arn:aws:iam::111122223333:user/plain")}, "InvalidInput: ARN arn:aws:iam::111122223333:user/plain is not valid."},
		{"DeletePolicy", &iam.DeletePolicyInput{PolicyArn: arnOf("used")}, "DeleteConflict: Cannot delete a policy attached to entities."},
		{"DeletePolicy", &iam.DeletePolicyInput{PolicyArn: arnOf("bounds")}, "DeleteConflict: Cannot delete a policy attached to entities."},
		{"DeletePolicy", &iam.DeletePolicyInput{PolicyArn: arnOf("many")}, "DeleteConflict: This policy has more than one version. …"},
		{"DeletePolicy", &iam.DeletePolicyInput{PolicyArn: new(admin)}, "AccessDenied: User: arn:aws:iam::111122223333:root is not authorized to perform: iam:DeletePolicy on resource: policy " + admin + " …"},
		{"CreatePolicyVersion", &iam.CreatePolicyVersionInput{PolicyArn: new(admin), PolicyDocument: new(anything)}, "AccessDenied: …"},
		{"CreatePolicyVersion", &iam.CreatePolicyVersionInput{PolicyArn: arnOf("many"), PolicyDocument: new(anything)}, "LimitExceeded: A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version."},
		{"GetPolicyVersion", &iam.GetPolicyVersionInput{PolicyArn: arnOf("free"), VersionId: new("v2")}, "NoSuchEntity: Policy " + *arnOf("free") + " version v2 does not exist or is not attachable."},
		{"GetPolicyVersion", &iam.GetPolicyVersionInput{PolicyArn: arnOf("free"), VersionId: new("v01")}, "NoSuchEntity: …"},
		{"DeletePolicyVersion", &iam.DeletePolicyVersionInput{PolicyArn: arnOf("free"), VersionId: new("v1")}, "DeleteConflict: Cannot delete the default version of a policy."},
		{"AttachUserPolicy", &iam.AttachUserPolicyInput{UserName: new("plain"), PolicyArn: &noPolicy}, "NoSuchEntity: Policy " + noPolicy + " does not exist or is not attachable."},
		{"AttachUserPolicy", &iam.AttachUserPolicyInput{UserName: new("plain"), PolicyArn: new("arn:aws:iam::444455556666:policy/none")}, "NoSuchEntity: …"},
		{"DetachUserPolicy", &iam.DetachUserPolicyInput{UserName: new("plain"), PolicyArn: arnOf("used")}, "NoSuchEntity: Policy " + *arnOf("used") + " was not found."},

		{"CreateGroup", &iam.CreateGroupInput{GroupName: new("Full")}, "EntityAlreadyExists: Group with name Full already exists."},
		{"DeleteGroup", &iam.DeleteGroupInput{GroupName: new("full")}, "DeleteConflict: Cannot delete entity, must remove users from group first."},
		{"AddUserToGroup", &iam.AddUserToGroupInput{GroupName: new("none"), UserName: new("plain")}, "NoSuchEntity: The group with name none cannot be found."},
		{"AddUserToGroup", &iam.AddUserToGroupInput{GroupName: new("full"), UserName: new("none")}, "NoSuchEntity: The user with name none cannot be found."},
		{"RemoveUserFromGroup", &iam.RemoveUserFromGroupInput{GroupName: new("full"), UserName: new("plain")}, "NoSuchEntity: …"},
		{"CreateAccountAlias", &iam.CreateAccountAliasInput{AccountAlias: new("theirs")}, "EntityAlreadyExists: The account alias theirs already exists."},
		{"DeleteAccountAlias", &iam.DeleteAccountAliasInput{AccountAlias: new("theirs")}, "NoSuchEntity: The account alias theirs cannot be found."},
	} {
		before := must(v.GetAccountSummary(ctx, nil))(t).SummaryMap
		_, err := identity.Ops[tt.op].Run(ctx, v, tt.in)
		want, open := strings.CutSuffix(tt.want, "…")
		if got := code(err); got != tt.want && !(open && strings.HasPrefix(got, want)) {
			t.Errorf("%s:\n got %q\nwant %q", tt.op, got, tt.want)
		}
		if d := cmpDiff(before, must(v.GetAccountSummary(ctx, nil))(t).SummaryMap); d != "" {
			t.Errorf("%s failed and changed:\n%s", tt.op, d)
		}
	}
}

// Limits on what one entity may have count what it has, not what is asked twice.
func TestAttachmentLimit(t *testing.T) {
	w := newWorld(t)
	ctx, v := t.Context(), w.root(accountA)
	must(v.CreateUser(ctx, &iam.CreateUserInput{UserName: new("ann")}))(t)
	attach := func(i int) error {
		name := fmt.Sprint("p", i)
		v.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: &name, PolicyDocument: new(anything)})
		_, err := v.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: new("ann"), PolicyArn: new("arn:aws:iam::111122223333:policy/" + name)})
		return err
	}
	for i := range 10 {
		if err := attach(i); err != nil {
			t.Fatal(err)
		}
	}
	if err := attach(3); err != nil {
		t.Errorf("attach again: %v", err)
	}
	if err := attach(10); code(err) != "LimitExceeded: Cannot exceed quota for PoliciesPerUser: 10" {
		t.Errorf("attach an eleventh: %v", err)
	}
}

func tags(pairs ...string) []types.Tag {
	var list []types.Tag
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, types.Tag{Key: &pairs[i], Value: &pairs[i+1]})
	}
	return list
}

func fiftyOne() []types.Tag {
	var list []types.Tag
	for i := range 51 {
		list = append(list, tags(fmt.Sprint("k", i), "v")...)
	}
	return list
}

// trusts is a trust policy for one principal of type AWS.
func trusts(principal string) *string {
	return new(strings.Replace(trustsA, string(accountA), principal, 1))
}

// long is an identity policy of n characters, not counting white space.
func long(n int) *string {
	const head, tail = `{ "Version":"2012-10-17", "Statement":{"Effect":"Allow","Action":"a:`, `","Resource":"*"}}`
	return new(head + strings.Repeat("b", n-len(head)+2-len(tail)) + tail)
}
