package server_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"borealis/internal/server"
)

// Whoever takes the name of a user or role that is gone has nothing of what was
// theirs: policies and grants hold on to unique ids, and show those of the dead.
func TestNamesakes(t *testing.T) {
	dir := t.TempDir()
	s := open(t, server.Config{Data: filepath.Join(dir, "data"), RootKey: filepath.Join(dir, "root.key"), Init: true})
	t.Cleanup(func() { closed(t, s) })
	ctx := t.Context()
	const home, abroad = "111122223333", "444455556666"
	url := serve(t, s)
	root := map[string]aws.Config{}
	for _, id := range []string{home, abroad} {
		a, err := s.CreateAccount(ctx, server.NewAccount{ID: id, Name: id})
		if err != nil {
			t.Fatal(err)
		}
		root[id] = client(url, a.AccessKeyID, a.SecretAccessKey, "")
	}
	check := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	refused := func(what string, err error) {
		t.Helper()
		if e, ok := errors.AsType[smithy.APIError](err); !ok || !strings.HasPrefix(e.ErrorCode(), "AccessDenied") && e.ErrorCode() != "InvalidClientTokenId" && e.ErrorCode() != "UnrecognizedClientException" {
			t.Errorf("%s: %v, want a refusal", what, err)
		}
	}
	people, owner := iam.NewFromConfig(root[abroad]), kms.NewFromConfig(root[home])
	const all = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`
	bob := "arn:aws:iam::" + abroad + ":user/bob"
	copier := "arn:aws:iam::" + abroad + ":role/copier"

	// born makes bob and copier, with a session of copier.
	born := func() (user, session aws.Config, ids []string) {
		u, err := people.CreateUser(ctx, &iam.CreateUserInput{UserName: new("bob")})
		check("CreateUser", err)
		_, err = people.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: new("bob"), PolicyName: new("p"), PolicyDocument: new(all)})
		check("PutUserPolicy", err)
		k, err := people.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: new("bob")})
		check("CreateAccessKey", err)
		r, err := people.CreateRole(ctx, &iam.CreateRoleInput{RoleName: new("copier"), AssumeRolePolicyDocument: new(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + bob + `"},"Action":"sts:AssumeRole"}}`)})
		check("CreateRole", err)
		_, err = people.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: new("copier"), PolicyName: new("p"), PolicyDocument: new(all)})
		check("PutRolePolicy", err)
		user = client(url, *k.AccessKey.AccessKeyId, *k.AccessKey.SecretAccessKey, "")
		out, err := sts.NewFromConfig(user).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: &copier, RoleSessionName: new("session")})
		check("AssumeRole", err)
		session = client(url, *out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken)
		return user, session, []string{*u.User.UserId, *r.Role.RoleId}
	}
	die := func() {
		ks, err := people.ListAccessKeys(ctx, &iam.ListAccessKeysInput{UserName: new("bob")})
		check("ListAccessKeys", err)
		for _, k := range ks.AccessKeyMetadata {
			_, err := people.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: new("bob"), AccessKeyId: k.AccessKeyId})
			check("DeleteAccessKey", err)
		}
		_, err = people.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: new("bob"), PolicyName: new("p")})
		check("DeleteUserPolicy", err)
		_, err = people.DeleteUser(ctx, &iam.DeleteUserInput{UserName: new("bob")})
		check("DeleteUser", err)
		_, err = people.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: new("copier"), PolicyName: new("p")})
		check("DeleteRolePolicy", err)
		_, err = people.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: new("copier")})
		check("DeleteRole", err)
	}

	user, session, ids := born()
	named, err := owner.CreateKey(ctx, &kms.CreateKeyInput{Policy: new(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":"` + home + `"},"Action":"kms:*","Resource":"*"},
		{"Effect":"Allow","Principal":{"AWS":["` + bob + `","` + copier + `"]},"Action":"kms:Encrypt","Resource":"*"}]}`)})
	check("CreateKey", err)
	granted, err := owner.CreateKey(ctx, &kms.CreateKeyInput{})
	check("CreateKey", err)
	for _, who := range []string{bob, copier} {
		_, err := owner.CreateGrant(ctx, &kms.CreateGrantInput{KeyId: granted.KeyMetadata.KeyId, GranteePrincipal: &who, Operations: []kmstypes.GrantOperation{kmstypes.GrantOperationEncrypt}})
		check("CreateGrant", err)
	}
	trusting, err := iam.NewFromConfig(root[home]).CreateRole(ctx, &iam.CreateRoleInput{
		RoleName: new("visited"), AssumeRolePolicyDocument: new(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":["` + bob + `","` + copier + `"]},"Action":"sts:AssumeRole"}}`),
	})
	check("CreateRole", err)

	// try does all that bob and copier were let do, in somebody's name.
	try := func(who string, c aws.Config, verdict func(string, error)) {
		t.Helper()
		_, err := kms.NewFromConfig(c).Encrypt(ctx, &kms.EncryptInput{KeyId: named.KeyMetadata.Arn, Plaintext: []byte("x")})
		verdict(who+" by the key policy", err)
		_, err = kms.NewFromConfig(c).Encrypt(ctx, &kms.EncryptInput{KeyId: granted.KeyMetadata.Arn, Plaintext: []byte("x")})
		verdict(who+" by a grant", err)
		_, err = sts.NewFromConfig(c).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: trusting.Role.Arn, RoleSessionName: new("visit")})
		verdict(who+" by a trust policy", err)
	}
	try("bob", user, check)
	try("copier", session, check)
	die()
	try("bob, who is gone", user, refused)
	try("copier, which is gone", session, refused)

	shown, err := owner.GetKeyPolicy(ctx, &kms.GetKeyPolicyInput{KeyId: named.KeyMetadata.KeyId})
	check("GetKeyPolicy", err)
	trust, err := iam.NewFromConfig(root[home]).GetRole(ctx, &iam.GetRoleInput{RoleName: new("visited")})
	check("GetRole", err)
	for _, id := range ids {
		if !strings.Contains(*shown.Policy, id) || !strings.Contains(*trust.Role.AssumeRolePolicyDocument, id) {
			t.Errorf("%s is not in %s, or not in %s", id, *shown.Policy, *trust.Role.AssumeRolePolicyDocument)
		}
	}
	if strings.Contains(*shown.Policy, bob) || strings.Contains(*shown.Policy, copier) {
		t.Errorf("the dead are named in %s", *shown.Policy)
	}

	second, secondSession, _ := born()
	try("another bob", second, refused)
	try("another copier", secondSession, refused)
	try("the first bob, after the second", user, refused)
	try("the first copier, after the second", session, refused)

	// A policy that is written again, with the names, lets in those who have them now.
	_, err = iam.NewFromConfig(root[home]).UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{
		RoleName: new("visited"), PolicyDocument: new(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + bob + `"},"Action":"sts:AssumeRole"}}`),
	})
	check("UpdateAssumeRolePolicy", err)
	_, err = sts.NewFromConfig(second).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: trusting.Role.Arn, RoleSessionName: new("visit")})
	check("assume the role anew", err)
}
