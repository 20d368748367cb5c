package sessions_test

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/google/go-cmp/cmp"

	"borealis/internal/cloud"
	"borealis/internal/sessions"
)

func TestAssumeRoleAcrossAccounts(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.user(accountA, "ann", "sts:AssumeRole"), w.user(accountA, "bob")
	role := w.role(accountB, "reader", string(accountA), `{}`)

	out := must(w.assume(ann, role, nil))(t)
	if *out.AssumedRoleUser.Arn != "arn:aws:sts::444455556666:assumed-role/reader/s1" || !strings.HasPrefix(*out.AssumedRoleUser.AssumedRoleId, "AROA") {
		t.Errorf("AssumedRoleUser: %s %s", *out.AssumedRoleUser.Arn, *out.AssumedRoleUser.AssumedRoleId)
	}
	if out.PackedPolicySize != nil {
		t.Errorf("PackedPolicySize without policies: %d", *out.PackedPolicySize)
	}
	if want := w.now.Add(time.Hour).Truncate(time.Second); !out.Credentials.Expiration.Equal(want) {
		t.Errorf("Expiration: %v, want %v", out.Credentials.Expiration, want)
	}
	if a, err := cloud.AccountOfKey(*out.Credentials.AccessKeyId); a != accountB || err != nil || !strings.HasPrefix(*out.Credentials.AccessKeyId, "ASIA") {
		t.Errorf("access key id %s: %s, %v", *out.Credentials.AccessKeyId, a, err)
	}
	got := w.signer(out.Credentials)
	want := cloud.Caller{
		Kind: cloud.AssumedRole, Account: accountB, ARN: *out.AssumedRoleUser.Arn, Principal: role,
		UserID: *out.AssumedRoleUser.AssumedRoleId, AccessKeyID: *out.Credentials.AccessKeyId,
		TokenIssued: w.now.Truncate(time.Second),
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("who signs (-want +got):\n%s", d)
	}
	if !w.allowed(got, "kms:ListKeys") || w.allowed(got, "rds:DescribeDBClusters") {
		t.Error("the session may not do what its role may, or more")
	}
	who := must(w.As(got).GetCallerIdentity(t.Context(), nil))(t)
	if *who.Arn != got.ARN || *who.UserId != got.UserID || *who.Account != string(accountB) {
		t.Errorf("GetCallerIdentity: %s %s %s", *who.Arn, *who.UserId, *who.Account)
	}

	_, err := w.assume(bob, role, nil)
	if code(err) != "AccessDenied: User: arn:aws:iam::111122223333:user/bob is not authorized to perform: sts:AssumeRole on resource: "+role || !errors.Is(err, cloud.ErrDenied) {
		t.Errorf("without a policy of one's own: %v", err)
	}
	if e := w.journal.events[len(w.journal.events)-1]; e.Allowed || e.Action != "sts:AssumeRole" || e.Resource != role || e.Owner != accountB {
		t.Errorf("on record: %+v", e)
	}
}

func TestAssumeRoleDenied(t *testing.T) {
	w := newWorld(t)
	ann, carl := w.user(accountA, "ann", "sts:AssumeRole"), w.user(accountB, "carl", "sts:AssumeRole")
	dave := w.user(accountB, "dave")
	trustsAccount := w.role(accountB, "account", string(accountB), `{}`)
	trustsDave := w.role(accountB, "direct", dave.ARN, `{}`)
	withID := w.role(accountB, "external", string(accountA), `{"StringEquals":{"sts:ExternalId":"e1","sts:RoleSessionName":"s1"}}`)
	none := "arn:aws:iam::444455556666:role/none"
	says := func(c cloud.Caller, role, tail string) string {
		return "AccessDenied: User: " + c.ARN + " is not authorized to perform: sts:AssumeRole on resource: " + role + tail
	}
	noTrust := " because no role trust policy allows the sts:AssumeRole action"
	for _, tt := range []struct {
		name string
		who  cloud.Caller
		role string
		id   *string
		want string
	}{
		{"own account, trusted as a whole", carl, trustsAccount, nil, ""},
		{"own account, no policy", dave, trustsAccount, nil, says(dave, trustsAccount, " because no identity-based policy allows the sts:AssumeRole action")},
		{"own account, trusted by name", dave, trustsDave, nil, ""},
		{"own account, not trusted", carl, trustsDave, nil, says(carl, trustsDave, noTrust)},
		{"own account, no such role", carl, none, nil, says(carl, none, noTrust)},
		{"foreign, not trusted", ann, trustsAccount, nil, says(ann, trustsAccount, "")},
		{"foreign, no such role", ann, none, nil, says(ann, none, "")},
		{"external id", ann, withID, new("e1"), ""},
		{"wrong external id", ann, withID, new("e2"), says(ann, withID, "")},
		{"no external id", ann, withID, nil, says(ann, withID, "")},
		{"root", w.rootCaller(accountB), trustsAccount, nil, "AccessDenied: Roles may not be assumed by root accounts."},
		{"no role at all", ann, "arn:aws:iam::444455556666:user/dave", nil, "ValidationError: arn:aws:iam::444455556666:user/dave is invalid"},
	} {
		_, err := w.assume(tt.who, tt.role, func(in *sts.AssumeRoleInput) { in.ExternalId = tt.id })
		if got := code(err); got != tt.want {
			t.Errorf("%s:\n got %q\nwant %q", tt.name, got, tt.want)
		}
	}
}

// Whoever takes a dead user's name is not trusted in its stead.
func TestTrustDiesWithTheTrusted(t *testing.T) {
	w := newWorld(t)
	ann := w.user(accountA, "ann", "sts:AssumeRole")
	role := w.role(accountB, "reader", ann.ARN, `{}`)
	must(w.assume(ann, role, nil))(t)
	root := w.admin(accountA)
	must(root.DeleteUserPolicy(t.Context(), &iam.DeleteUserPolicyInput{UserName: new("ann"), PolicyName: new("p")}))(t)
	must(root.DeleteUser(t.Context(), &iam.DeleteUserInput{UserName: new("ann")}))(t)
	namesake := w.user(accountA, "ann", "sts:AssumeRole")
	if _, err := w.assume(namesake, role, nil); !errors.Is(err, cloud.ErrDenied) {
		t.Errorf("as a namesake: %v", err)
	}
}

func TestTokensAreChecked(t *testing.T) {
	w := newWorld(t)
	ann := w.user(accountA, "ann", "sts:AssumeRole")
	role := w.role(accountA, "reader", string(accountA), `{}`)
	one, two := must(w.assume(ann, role, nil))(t).Credentials, must(w.assume(ann, role, nil))(t).Credentials
	raw, err := base64.StdEncoding.DecodeString(*one.SessionToken)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(name, id, token string) {
		t.Helper()
		if _, _, err := w.Credential(t.Context(), id, token); !errors.Is(err, cloud.ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", name, err)
		}
	}
	refused("no token", *one.AccessKeyId, "")
	refused("another key's token", *one.AccessKeyId, *two.SessionToken)
	refused("not base64", *one.AccessKeyId, "!")
	for i := range raw {
		bad := slices.Clone(raw)
		bad[i] ^= 1
		refused("a flipped bit", *one.AccessKeyId, base64.StdEncoding.EncodeToString(bad))
		refused("a shortened token", *one.AccessKeyId, base64.StdEncoding.EncodeToString(raw[:i]))
	}
	other := newWorld(t)
	if _, _, err := other.Credential(t.Context(), *one.AccessKeyId, *one.SessionToken); !errors.Is(err, cloud.ErrNotFound) {
		t.Errorf("another server's token: %v", err)
	}

	w.now = one.Expiration.Add(-time.Nanosecond)
	w.signer(one)
	w.now = *one.Expiration
	if _, _, err := w.Credential(t.Context(), *one.AccessKeyId, *one.SessionToken); !errors.Is(err, sessions.ErrExpired) {
		t.Errorf("after the end: %v, want ErrExpired", err)
	}
}

func TestSessionEndsWithItsRole(t *testing.T) {
	w := newWorld(t)
	ann := w.user(accountA, "ann", "sts:AssumeRole")
	role := w.role(accountA, "reader", string(accountA), `{}`)
	c := must(w.assume(ann, role, nil))(t).Credentials
	session := w.signer(c)
	root := w.admin(accountA)
	must(root.DeleteRolePolicy(t.Context(), &iam.DeleteRolePolicyInput{RoleName: new("reader"), PolicyName: new("p")}))(t)
	if w.allowed(w.signer(c), "kms:ListKeys") {
		t.Error("the session keeps what its role has lost")
	}
	must(root.DeleteRole(t.Context(), &iam.DeleteRoleInput{RoleName: new("reader")}))(t)
	w.role(accountA, "reader", string(accountA), `{}`)
	if _, _, err := w.Credential(t.Context(), *c.AccessKeyId, *c.SessionToken); !errors.Is(err, cloud.ErrNotFound) {
		t.Errorf("session of a deleted role: %v", err)
	}
	if w.allowed(session, "kms:ListKeys") {
		t.Error("a session of a deleted role acts for its namesake")
	}
}

func TestDurations(t *testing.T) {
	w := newWorld(t)
	ann := w.user(accountA, "ann", "sts:AssumeRole")
	role := w.role(accountA, "reader", string(accountA), `{}`)
	session := w.signer(must(w.assume(ann, role, nil))(t).Credentials)
	login := w.signer(must(w.As(ann).GetSessionToken(t.Context(), &sts.GetSessionTokenInput{}))(t).Credentials)
	tooLong := "ValidationError: The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
	chained := "ValidationError: The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
	for _, tt := range []struct {
		name    string
		who     cloud.Caller
		seconds int32
		want    string
	}{
		{"the longest", ann, 7200, ""},
		{"the shortest", ann, 900, ""},
		{"too long", ann, 7201, tooLong},
		{"too short", ann, 899, "ValidationError: 1 validation error detected: Value '899' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to 900"},
		{"chained", session, 3600, ""},
		{"chained, too long", session, 3601, chained},
		{"from a user's session, which is no chaining", login, 3601, ""},
	} {
		out, err := w.assume(tt.who, role, func(in *sts.AssumeRoleInput) { in.DurationSeconds = &tt.seconds })
		if got := code(err); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
		if want := w.now.Add(time.Duration(tt.seconds) * time.Second).Truncate(time.Second); err == nil && !out.Credentials.Expiration.Equal(want) {
			t.Errorf("%s: expires %v, want %v", tt.name, out.Credentials.Expiration, want)
		}
	}
}

func TestSessionPolicies(t *testing.T) {
	w := newWorld(t)
	ctx, root := t.Context(), w.admin(accountA)
	ann := w.user(accountA, "ann", "sts:AssumeRole")
	role := w.role(accountA, "reader", string(accountA), `{}`)
	list := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["kms:ListKeys","rds:*"],"Resource":"*"}}`

	out := must(w.assume(ann, role, func(in *sts.AssumeRoleInput) { in.Policy = &list }))(t)
	if out.PackedPolicySize == nil || *out.PackedPolicySize < 1 || *out.PackedPolicySize > 100 {
		t.Errorf("PackedPolicySize: %v", out.PackedPolicySize)
	}
	c := w.signer(out.Credentials)
	if !w.allowed(c, "kms:ListKeys") || w.allowed(c, "kms:Decrypt") || w.allowed(c, "rds:DescribeDBClusters") {
		t.Error("an inline session policy does not cut the role's policies down")
	}

	made := must(root.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: new("list"), PolicyDocument: &list}))(t).Policy
	byARN := must(w.assume(ann, role, func(in *sts.AssumeRoleInput) { in.PolicyArns = []types.PolicyDescriptorType{{Arn: made.Arn}} }))(t).Credentials
	if c := w.signer(byARN); !w.allowed(c, "kms:ListKeys") || w.allowed(c, "kms:Decrypt") {
		t.Error("a managed session policy does not cut the role's policies down")
	}
	must(root.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: made.Arn}))(t)
	if c := w.signer(byARN); w.allowed(c, "kms:ListKeys") || w.allowed(c, "kms:Decrypt") {
		t.Error("a session outgrows its policy when that is deleted")
	}

	for _, tt := range []struct {
		name   string
		change func(*sts.AssumeRoleInput)
		want   string
	}{
		{"no policy", func(in *sts.AssumeRoleInput) { in.Policy = new("{") }, "MalformedPolicyDocument: "},
		{"with a principal", func(in *sts.AssumeRoleInput) {
			in.Policy = new(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}`)
		}, "MalformedPolicyDocument: Policy document should not specify a principal."},
		{"long", func(in *sts.AssumeRoleInput) { in.Policy = new(list + strings.Repeat(" ", 2048)) }, "PackedPolicyTooLarge: Packed policy consumes 1"},
		{"dead ARN", func(in *sts.AssumeRoleInput) { in.PolicyArns = []types.PolicyDescriptorType{{Arn: made.Arn}} }, "ValidationError: Policy " + *made.Arn + " does not exist"},
		{"a foreign account's", func(in *sts.AssumeRoleInput) {
			in.PolicyArns = []types.PolicyDescriptorType{{Arn: new("arn:aws:iam::444455556666:policy/x")}}
		}, "ValidationError: Policy arn:aws:iam::444455556666:policy/x does not exist"},
	} {
		if _, err := w.assume(ann, role, tt.change); !strings.HasPrefix(code(err), tt.want) {
			t.Errorf("%s: got %q, want %q…", tt.name, code(err), tt.want)
		}
	}
}

func TestSessionTags(t *testing.T) {
	w := newWorld(t)
	ann := w.user(accountA, "ann", "sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity")
	bob := w.user(accountA, "bob", "sts:AssumeRole")
	role := w.role(accountA, "reader", string(accountA), `{}`)
	must(w.admin(accountA).TagRole(t.Context(), tagRole("reader", "Team", "ops", "cost", "7")))(t)
	tags := func(in *sts.AssumeRoleInput) {
		in.Tags = []types.Tag{{Key: new("team"), Value: new("db")}, {Key: new("once"), Value: new("1")}}
		in.TransitiveTagKeys = []string{"team"}
		in.SourceIdentity = new("ann@example.com")
	}
	c := w.signer(must(w.assume(ann, role, tags))(t).Credentials)
	if d := cmp.Diff(map[string]string{"team": "db", "once": "1", "cost": "7"}, c.Tags); d != "" {
		t.Errorf("tags (-want +got):\n%s", d)
	}
	if _, err := w.assume(bob, role, tags); !strings.Contains(code(err), "is not authorized to perform: sts:TagSession on resource: ") {
		t.Errorf("without sts:TagSession: %v", err)
	}

	must(w.admin(accountA).PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: new("reader"), PolicyName: new("p"),
		PolicyDocument: new(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:*","Resource":"*"}}`)}))(t)
	next := must(w.assume(c, role, nil))(t)
	if *next.SourceIdentity != "ann@example.com" {
		t.Errorf("SourceIdentity of the second session: %s", *next.SourceIdentity)
	}
	if d := cmp.Diff(map[string]string{"team": "db", "cost": "7"}, w.signer(next.Credentials).Tags); d != "" {
		t.Errorf("tags of the second session (-want +got):\n%s", d)
	}
	if _, err := w.assume(c, role, func(in *sts.AssumeRoleInput) { in.SourceIdentity = new("eve") }); !errors.Is(err, cloud.ErrDenied) {
		t.Errorf("another source identity: %v", err)
	}
	if _, err := w.assume(c, role, func(in *sts.AssumeRoleInput) {
		in.Tags = []types.Tag{{Key: new("TEAM"), Value: new("x")}}
	}); !strings.HasPrefix(code(err), "InvalidParameterValue: ") {
		t.Errorf("a transitive tag anew: %v", err)
	}
}

func TestGetSessionToken(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	ann, root := w.user(accountA, "ann"), w.rootCaller(accountA)
	c := must(w.As(ann).GetSessionToken(ctx, &sts.GetSessionTokenInput{}))(t).Credentials
	if want := w.now.Add(12 * time.Hour).Truncate(time.Second); !c.Expiration.Equal(want) {
		t.Errorf("Expiration: %v, want %v", c.Expiration, want)
	}
	session := w.signer(c)
	if session.ARN != ann.ARN || session.UserID != ann.UserID || session.UserName != "ann" || session.TokenIssued.IsZero() {
		t.Errorf("who signs: %+v", session)
	}
	asRoot := must(w.As(root).GetSessionToken(ctx, &sts.GetSessionTokenInput{DurationSeconds: new(int32(7200))}))(t).Credentials
	if want := w.now.Add(time.Hour).Truncate(time.Second); !asRoot.Expiration.Equal(want) || w.signer(asRoot).Kind != cloud.Root {
		t.Errorf("as root: %v, %+v", asRoot.Expiration, w.signer(asRoot))
	}
	if _, err := w.As(session).GetSessionToken(ctx, &sts.GetSessionTokenInput{}); code(err) != "AccessDenied: Cannot call GetSessionToken with session credentials" {
		t.Errorf("with session credentials: %v", err)
	}
	if _, err := w.As(ann).GetSessionToken(ctx, &sts.GetSessionTokenInput{DurationSeconds: new(int32(129601))}); !strings.HasPrefix(code(err), "ValidationError: ") {
		t.Errorf("too long: %v", err)
	}
	if _, err := w.As(ann).GetSessionToken(ctx, &sts.GetSessionTokenInput{TokenCode: new("123456")}); !strings.HasPrefix(code(err), "AccessDenied: MultiFactorAuthentication failed") {
		t.Errorf("with a code: %v", err)
	}
	must(w.admin(accountA).DeleteUser(ctx, &iam.DeleteUserInput{UserName: new("ann")}))(t)
	if _, _, err := w.Credential(ctx, *c.AccessKeyId, *c.SessionToken); !errors.Is(err, cloud.ErrNotFound) {
		t.Errorf("session of a deleted user: %v", err)
	}
}

func TestGetAccessKeyInfo(t *testing.T) {
	w := newWorld(t)
	ann := w.user(accountA, "ann", "sts:GetAccessKeyInfo")
	key := must(w.iam.CreateRootKey(t.Context(), accountB))(t).AccessKeyID
	out := must(w.As(ann).GetAccessKeyInfo(t.Context(), &sts.GetAccessKeyInfoInput{AccessKeyId: &key}))(t)
	if *out.Account != string(accountB) {
		t.Errorf("account %s", *out.Account)
	}
	for _, id := range []string{"AKIAIOSFODNN7EXAMPLE", "nonsense-nonsense"} {
		if _, err := w.As(ann).GetAccessKeyInfo(t.Context(), &sts.GetAccessKeyInfoInput{AccessKeyId: &id}); !strings.HasPrefix(code(err), "ValidationError: ") {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// A stranger may do nothing. New operations join this test by being in Ops.
func TestEveryOpIsAuthorized(t *testing.T) {
	w := newWorld(t)
	stranger := w.user(accountB, "eve")
	role, key := w.role(accountA, "reader", string(accountA), `{}`), must(w.iam.CreateRootKey(t.Context(), accountA))(t).AccessKeyID
	inputs := map[string]any{
		"AssumeRole":       &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: new("s1")},
		"GetAccessKeyInfo": &sts.GetAccessKeyInfoInput{AccessKeyId: &key},

		"DecodeAuthorizationMessage": &sts.DecodeAuthorizationMessageInput{EncodedMessage: new("none")},

		"GetFederationToken":        &sts.GetFederationTokenInput{Name: new("bob")},
		"AssumeRoleWithWebIdentity": &sts.AssumeRoleWithWebIdentityInput{RoleArn: &role, RoleSessionName: new("s1"), WebIdentityToken: new("none")},
		"AssumeRoleWithSAML":        &sts.AssumeRoleWithSAMLInput{RoleArn: &role, PrincipalArn: new("arn:aws:iam::111122223333:saml-provider/none"), SAMLAssertion: new("none")},
	}
	proven := map[string]string{"AssumeRoleWithWebIdentity": "InvalidIdentityToken", "AssumeRoleWithSAML": "InvalidIdentityToken"}
	needsNone := []string{"GetCallerIdentity", "GetSessionToken"}
	for name, op := range sessions.Ops {
		in, ok := inputs[name]
		if !ok {
			in = op.New()
		}
		for _, c := range []cloud.Caller{stranger, {}, cloud.ServiceCaller("rds.amazonaws.com", "eu-west-1")} {
			before := len(w.journal.events)
			_, err := op.Run(t.Context(), w.As(c), in)
			if want := proven[name]; want != "" {
				if !strings.HasPrefix(code(err), want+": ") || len(w.journal.events) == before {
					t.Errorf("%s as %q: %v, want %s on record", name, c.ARN, err, want)
				}
				continue
			}
			if mayAnybody := slices.Contains(needsNone, name) && c.Kind == cloud.User; errors.Is(err, cloud.ErrDenied) == mayAnybody {
				t.Errorf("%s as %q: %v", name, c.ARN, err)
			}
			if c.Kind == cloud.User && len(w.journal.events) == before {
				t.Errorf("%s as %q is not on record", name, c.ARN)
			}
		}
	}
}

func tagRole(name string, pairs ...string) *iam.TagRoleInput {
	in := &iam.TagRoleInput{RoleName: &name}
	for p := range slices.Chunk(pairs, 2) {
		in.Tags = append(in.Tags, iamTag(p[0], p[1]))
	}
	return in
}
