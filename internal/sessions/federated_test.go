package sessions_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/go-jose/go-jose/v4"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

const anything = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`

func TestFederatedUser(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	ann := w.user(accountA, "ann", "sts:GetFederationToken", "sts:TagSession", "kms:*")
	in := &sts.GetFederationTokenInput{Name: new("bob"), Policy: new(anything), Tags: []types.Tag{{Key: new("team"), Value: new("red")}}}
	out := must(w.As(ann).GetFederationToken(ctx, in))(t)
	if *out.FederatedUser.Arn != "arn:aws:sts::111122223333:federated-user/bob" || *out.FederatedUser.FederatedUserId != "111122223333:bob" || out.PackedPolicySize == nil {
		t.Errorf("%+v", out.FederatedUser)
	}
	if want := w.now.Add(12 * time.Hour).Truncate(time.Second); !out.Credentials.Expiration.Equal(want) {
		t.Errorf("expires %v, want %v", out.Credentials.Expiration, want)
	}
	c := w.signer(out.Credentials)
	if c.Kind != cloud.FederatedUser || c.ARN != *out.FederatedUser.Arn || c.UserID != "111122223333:bob" || c.UserName != "" || c.Maker != ann.UserID || c.Tags["team"] != "red" {
		t.Errorf("who signs: %+v", c)
	}
	if !w.allowed(c, "kms:ListKeys") || w.allowed(c, "rds:DescribeDBClusters") {
		t.Error("the federated user may not do what both policies allow, or more")
	}
	without := w.signer(must(w.As(ann).GetFederationToken(ctx, &sts.GetFederationTokenInput{Name: new("bob")}))(t).Credentials)
	if w.allowed(without, "kms:ListKeys") {
		t.Error("without a session policy the federated user may do something")
	}
	for name, call := range map[string]func() error{
		"AssumeRole":         func() error { _, err := w.assume(c, "arn:aws:iam::111122223333:role/r", nil); return err },
		"GetSessionToken":    func() error { _, err := w.As(c).GetSessionToken(ctx, &sts.GetSessionTokenInput{}); return err },
		"GetFederationToken": func() error { _, err := w.As(c).GetFederationToken(ctx, in); return err },
		"GetAccessKeyInfo": func() error {
			_, err := w.As(c).GetAccessKeyInfo(ctx, &sts.GetAccessKeyInfoInput{AccessKeyId: out.Credentials.AccessKeyId})
			return err
		},
	} {
		if err := call(); !strings.HasPrefix(code(err), "AccessDenied: Cannot call "+name+" with ") {
			t.Errorf("%s as a federated user: %v", name, err)
		}
	}
	if who := must(w.As(c).GetCallerIdentity(ctx, nil))(t); *who.UserId != c.UserID {
		t.Errorf("GetCallerIdentity: %s", *who.UserId)
	}
	must(w.admin(accountA).DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: new("ann"), PolicyName: new("p")}))(t)
	if w.allowed(w.signer(out.Credentials), "kms:ListKeys") {
		t.Error("the federated user keeps what its maker has lost")
	}
	must(w.admin(accountA).DeleteUser(ctx, &iam.DeleteUserInput{UserName: new("ann")}))(t)
	if _, _, err := w.Credential(ctx, *out.Credentials.AccessKeyId, *out.Credentials.SessionToken); !errors.Is(err, cloud.ErrNotFound) {
		t.Errorf("the session of a federated user whose maker is gone: %v", err)
	}
}

func TestGetFederationTokenRefused(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	ann, eve := w.user(accountA, "ann", "sts:GetFederationToken"), w.user(accountA, "eve")
	role := w.role(accountA, "r", string(accountA), `{}`)
	admin := w.user(accountA, "adm", "sts:*")
	session := w.signer(must(w.assume(admin, role, nil))(t).Credentials)
	tags := []types.Tag{{Key: new("k"), Value: new("v")}}
	for _, tt := range []struct {
		name string
		who  cloud.Caller
		in   sts.GetFederationTokenInput
		want string
	}{
		{"no permission", eve, sts.GetFederationTokenInput{}, "AccessDenied: User: " + eve.ARN + " is not authorized to perform: sts:GetFederationToken on resource: arn:aws:sts::111122223333:federated-user/bob because no identity-based policy"},
		{"tags without permission", ann, sts.GetFederationTokenInput{Tags: tags}, "AccessDenied: User: " + ann.ARN + " is not authorized to perform: sts:TagSession"},
		{"as a role", session, sts.GetFederationTokenInput{}, "AccessDenied: Cannot call GetFederationToken with session credentials"},
		{"no policy", ann, sts.GetFederationTokenInput{Policy: new("{")}, "MalformedPolicyDocument: "},
		{"too long", ann, sts.GetFederationTokenInput{DurationSeconds: new(int32(129601))}, "ValidationError: "},
		{"too short", ann, sts.GetFederationTokenInput{DurationSeconds: new(int32(899))}, "ValidationError: "},
		{"a tag twice", admin, sts.GetFederationTokenInput{Tags: append(tags, types.Tag{Key: new("K"), Value: new("v")})}, "InvalidParameterValue: "},
		{"no such policy", ann, sts.GetFederationTokenInput{PolicyArns: []types.PolicyDescriptorType{{Arn: new("arn:aws:iam::aws:policy/None")}}}, "ValidationError: "},
	} {
		tt.in.Name = new("bob")
		if _, err := w.As(tt.who).GetFederationToken(ctx, &tt.in); !strings.HasPrefix(code(err), tt.want) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
	root := must(w.As(w.rootCaller(accountA)).GetFederationToken(ctx, &sts.GetFederationTokenInput{Name: new("bob"), DurationSeconds: new(int32(7200)), Policy: new(anything)}))(t)
	if want := w.now.Add(time.Hour).Truncate(time.Second); !root.Credentials.Expiration.Equal(want) {
		t.Errorf("the root user's expires %v, want %v", root.Credentials.Expiration, want)
	}
	if !w.allowed(w.signer(root.Credentials), "rds:DescribeDBClusters") {
		t.Error("a federated user of the root user may not do what the session policy allows")
	}
}

// A resource's policy may name a federated user, or who made it.
func TestFederatedUserInResourcePolicies(t *testing.T) {
	w := newWorld(t)
	ann := w.user(accountA, "ann", "sts:GetFederationToken")
	limited := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*"}}`
	c := w.signer(must(w.As(ann).GetFederationToken(t.Context(), &sts.GetFederationTokenInput{Name: new("bob"), Policy: &limited}))(t).Credentials)
	for _, tt := range []struct {
		principal, action string
		want              bool
	}{
		{"arn:aws:sts::111122223333:federated-user/bob", "kms:Encrypt", true},
		{"arn:aws:sts::111122223333:federated-user/eve", "kms:Decrypt", false},
		{ann.ARN, "kms:Decrypt", true},
		{ann.ARN, "kms:Encrypt", false}, // the session policy limits what its maker may do
		{ann.UserID, "kms:Decrypt", true},
		{"111122223333", "kms:Decrypt", false}, // ann's own policies do not allow it
	} {
		p := must(policy.Parse("p", fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":%q},"Action":"kms:*","Resource":"*"}}`, tt.principal)))(t)
		q := policy.Question{Caller: c, Identity: must(w.iam.IdentityOf(t.Context(), c))(t), Action: tt.action, Resource: "*", Owner: accountA, ResourcePolicy: p, ResourceMustAllow: true, Now: w.now}
		if got := q.Decide().Allowed; got != tt.want {
			t.Errorf("%s of a resource of %s: %v", tt.action, tt.principal, got)
		}
	}
}

// Sessions of users die with the access key that they were made with, and those
// of roles with AWS's policy that revokes older ones.
func TestSessionsAreRevoked(t *testing.T) {
	w := newWorld(t)
	ctx, root := t.Context(), w.admin(accountA)
	w.user(accountA, "ann", "sts:*")
	key := must(root.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: new("ann")}))(t).AccessKey
	_, ann, err := w.iam.Credential(ctx, *key.AccessKeyId)
	if err != nil {
		t.Fatal(err)
	}
	login := must(w.As(ann).GetSessionToken(ctx, &sts.GetSessionTokenInput{}))(t).Credentials
	bob := must(w.As(ann).GetFederationToken(ctx, &sts.GetFederationTokenInput{Name: new("bob"), Policy: new(anything)}))(t).Credentials
	role := w.role(accountA, "r", string(accountA), `{}`)
	old := must(w.assume(ann, role, nil))(t).Credentials
	set := func(status iamtypes.StatusType) {
		must(root.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: new("ann"), AccessKeyId: key.AccessKeyId, Status: status}))(t)
	}
	for _, c := range []*types.Credentials{login, bob} {
		w.signer(c)
		set(iamtypes.StatusTypeInactive)
		if _, _, err := w.Credential(ctx, *c.AccessKeyId, *c.SessionToken); !errors.Is(err, cloud.ErrNotFound) {
			t.Errorf("session of an inactive key: %v", err)
		}
		set(iamtypes.StatusTypeActive)
		w.signer(c)
	}
	must(root.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: new("ann"), AccessKeyId: key.AccessKeyId}))(t)
	if _, _, err := w.Credential(ctx, *login.AccessKeyId, *login.SessionToken); !errors.Is(err, cloud.ErrNotFound) {
		t.Errorf("session of a deleted key: %v", err)
	}

	w.now = w.now.Add(time.Minute)
	revoke := fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"DateLessThan":{"aws:TokenIssueTime":%q}}}}`, w.now.Format(time.RFC3339))
	must(root.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: new("r"), PolicyName: new("AWSRevokeOlderSessions"), PolicyDocument: &revoke}))(t)
	if w.allowed(w.signer(old), "kms:ListKeys") {
		t.Error("an older session is not revoked")
	}
	if !w.allowed(w.signer(must(w.assume(ann, role, nil))(t).Credentials), "kms:ListKeys") {
		t.Error("a new session is revoked")
	}
}

// Which principal has which condition keys, as AWS's table of them says.
func TestConditionKeysOfPrincipals(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	ann := w.user(accountA, "ann", "sts:*")
	idp, saml := newIDP(t, w), newSAML(t, w, `{}`)
	web := idp.trusted(`{}`)
	role := w.role(accountA, "r", string(accountA), `{}`)
	change := func(in *sts.AssumeRoleInput) {
		in.SourceIdentity, in.Tags = new("carl"), []types.Tag{{Key: new("team"), Value: new("red")}}
	}
	sessionOf := func(c *types.Credentials) cloud.Caller { return w.signer(c) }
	const provider = "arn:aws:iam::111122223333:oidc-provider/idp.example.com"
	who := map[string]cloud.Caller{
		"root": w.rootCaller(accountA), "user": ann,
		"user session": sessionOf(must(w.As(ann).GetSessionToken(ctx, &sts.GetSessionTokenInput{}))(t).Credentials),
		"federated":    sessionOf(must(w.As(ann).GetFederationToken(ctx, &sts.GetFederationTokenInput{Name: new("bob"), Policy: new(anything)}))(t).Credentials),
		"role":         sessionOf(must(w.assume(ann, role, change))(t).Credentials),
		"web identity": sessionOf(must(w.web(web, idp.token("k1", jose.RS256, nil)))(t).Credentials),
		"SAML":         sessionOf(must(w.saml(saml.good(nil)))(t).Credentials),
	}
	issued := w.now.UTC().Format(time.RFC3339)
	roleID := func(name string) string { id, _, _ := strings.Cut(who[name].UserID, ":"); return id }
	for _, tt := range []struct {
		key  string
		want map[string]string // what others do not have is absent
	}{
		{"aws:PrincipalType", map[string]string{"root": "Account", "user": "User", "user session": "User", "federated": "FederatedUser", "role": "AssumedRole", "web identity": "AssumedRole", "SAML": "AssumedRole"}},
		{"aws:userid", map[string]string{"root": "111122223333", "user": ann.UserID, "user session": ann.UserID, "federated": "111122223333:bob", "role": roleID("role") + ":s1", "web identity": roleID("web identity") + ":s1", "SAML": roleID("SAML") + ":ann@example.com"}},
		{"aws:username", map[string]string{"user": "ann", "user session": "ann"}},
		{"aws:PrincipalArn", map[string]string{"root": "arn:aws:iam::111122223333:root", "user": ann.ARN, "user session": ann.ARN, "federated": "arn:aws:sts::111122223333:federated-user/bob", "role": role, "web identity": web, "SAML": samlRole}},
		{"aws:TokenIssueTime", map[string]string{"user session": issued, "federated": issued, "role": issued, "web identity": issued, "SAML": issued}},
		{"aws:MultiFactorAuthPresent", map[string]string{"user session": "false", "federated": "false", "role": "false", "web identity": "false", "SAML": "false"}},
		{"aws:MultiFactorAuthAge", nil},
		{"aws:SourceIdentity", map[string]string{"role": "carl"}},
		{"aws:PrincipalTag/team", map[string]string{"role": "red"}},
		{"aws:FederatedProvider", map[string]string{"web identity": provider, "SAML": samlProvider}},
		{"idp.example.com:sub", map[string]string{"web identity": "repo:x/y"}},
		{"idp.example.com:aud", map[string]string{"web identity": "client1"}},
		{"saml:sub", map[string]string{"SAML": "ann"}},
		{"saml:iss", nil},
		{"sts:RoleSessionName", nil},
		{"sts:ExternalId", nil},
		{"sts:TransitiveTagKeys", nil},
	} {
		for name, c := range who {
			want, has := tt.want[name]
			condition := fmt.Sprintf(`{"StringEquals":{%q:%q}}`, tt.key, want)
			if !has {
				condition = fmt.Sprintf(`{"Null":{%q:"true"}}`, tt.key)
			}
			p := must(policy.Parse("p", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":`+condition+`}}`))(t)
			q := policy.Question{Caller: c, Identity: policy.Identity{Policies: []*policy.Policy{p}}, Action: "kms:ListKeys", Resource: "*", Owner: accountA, Now: w.now}
			if !q.Decide().Allowed {
				t.Errorf("%s of %s is not %q (present: %v)", tt.key, name, want, has)
			}
		}
	}
}
