package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// permissions are an IAM policy as these tests change it.
type permissions struct {
	Version   string
	Statement []*statement
}

type statement struct {
	Sid       string         `json:",omitempty"`
	Effect    string         `json:",omitempty"`
	Principal any            `json:",omitempty"`
	Action    stringOrList   `json:",omitempty"`
	Resource  any            `json:",omitempty"`
	Condition map[string]any `json:",omitempty"`
}

type stringOrList []string

func (s *stringOrList) UnmarshalJSON(text []byte) error {
	if text[0] == '[' {
		return json.Unmarshal(text, (*[]string)(s))
	}
	*s = stringOrList{""}
	return json.Unmarshal(text, &(*s)[0])
}

// without is the policy with an action taken away, statements that say nothing
// more left out.
func (d permissions) without(action string) string {
	kept := permissions{Version: d.Version}
	for _, s := range d.Statement {
		c := *s
		c.Action = slices.DeleteFunc(slices.Clone(s.Action), func(a string) bool { return a == action })
		if len(c.Action) > 0 {
			kept.Statement = append(kept.Statement, &c)
		}
	}
	text, err := json.Marshal(kept)
	if err != nil {
		panic(err) // strings and lists of them
	}
	return string(text)
}

// actions are those that the policy allows.
func (d permissions) actions() (all []string) {
	for _, s := range d.Statement {
		all = append(all, s.Action...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// documented is a policy of docs/permissions.md, with names put in.
func documented(t *testing.T, name string, replace ...string) permissions {
	t.Helper()
	text, err := os.ReadFile("../docs/permissions.md")
	must(t, err)
	_, rest, ok := strings.Cut(string(text), "```json "+name+"\n")
	block, _, ok2 := strings.Cut(rest, "```")
	if !ok || !ok2 {
		t.Fatalf("docs/permissions.md has no policy %s", name)
	}
	replace = append(replace, "SOURCE", sourceID, "TARGET", targetID, "REGION", "us-east-1")
	var d permissions
	must(t, json.Unmarshal([]byte(strings.NewReplacer(replace...).Replace(block)), &d))
	return d
}

// denials are refusals by KMS, each of which must be explained, and at once
// unless the cause might pass.
func denials(t *testing.T, w *sharing) {
	id := w.snapshot(t)
	run := w.run(t, id)
	const lookOnly = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"rds:*","Resource":"*"}}`
	w.user(t, w.target, "dora", "rds-only", lookOnly)
	// The default patience is five minutes: no test here takes that long.
	quick := func(t *testing.T, want int, words []string, args ...string) {
		t.Helper()
		began := time.Now()
		w.share(t, id, args...).wants(t, want, words...)
		if d := time.Since(began); d > 20*time.Second {
			t.Errorf("it took %s although the cause is permanent", d)
		}
	}
	t.Run("IAM lacks DescribeKey", func(t *testing.T) {
		quick(t, 12, []string{"KMSKeyNotAccessibleFault", "cause  kms:DescribeKey is refused to arn:aws:iam::" + targetID + ":user/dora because no identity-based policy allows", "fix    in account " + targetID}, "--target-profile", "rds-only")
	})
	key := w.keysOf(t, run)[0]
	t.Run("IAM lacks CreateGrant", func(t *testing.T) {
		w.user(t, w.target, "dirk", "no-grant", lookOnly, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:DescribeKey","Resource":"*"}}`)
		quick(t, 12, []string{"cause  arn:aws:iam::" + targetID + ":user/dirk can describe the key", "do not allow kms:CreateGrant", "trying for"}, "--target-profile", "no-grant", "--propagation", "30s")
		o := w.share(t, id, "--target-profile", "no-grant", "--propagation", "0")
		if o.wants(t, 12, "do not allow kms:CreateGrant"); strings.Contains(o.stderr, "trying for") {
			t.Errorf("it waits although it is told not to:\n%s", o.stderr)
		}
	})
	for _, action := range []string{"kms:DescribeKey", "kms:CreateGrant"} {
		t.Run("IAM denies "+action, func(t *testing.T) {
			profile := "denied-" + action[4:]
			w.user(t, w.target, profile, profile, admin, fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":%q,"Resource":%q}}`, action, key))
			quick(t, 12, []string{"cause  a policy denies it", "with an explicit deny in an identity-based policy", "fix    remove the denial of " + action}, "--target-profile", profile)
		})
	}
	t.Run("own key not allowed", func(t *testing.T) {
		own, err := w.target.kms.CreateKey(t.Context(), &kms.CreateKeyInput{})
		must(t, err)
		w.user(t, w.target, "olga", "foreign-keys-only", lookOnly, fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["kms:DescribeKey","kms:CreateGrant"],"Resource":%q}}`, key))
		quick(t, 12, []string{"KMSKeyNotAccessibleFault", "key    " + *own.KeyMetadata.Arn, "kms:DescribeKey is refused to arn:aws:iam::" + targetID + ":user/olga"},
			"--target-profile", "foreign-keys-only", "--target-key", *own.KeyMetadata.KeyId)
	})
	t.Run("key policy", func(t *testing.T) { keyPolicyDenials(t, w, key, quick) })
	w.share(t, id).wants(t, 0)
}

func keyPolicyDenials(t *testing.T, w *sharing, key string, quick func(*testing.T, int, []string, ...string)) {
	before, err := w.source.kms.GetKeyPolicy(t.Context(), &kms.GetKeyPolicyInput{KeyId: &key})
	must(t, err)
	var whole permissions
	must(t, json.Unmarshal([]byte(*before.Policy), &whole))
	put := func(t *testing.T, text string) {
		t.Helper()
		_, err := w.source.kms.PutKeyPolicy(t.Context(), &kms.PutKeyPolicyInput{KeyId: &key, Policy: &text})
		must(t, err)
	}
	defer put(t, *before.Policy)
	denying := permissions{Version: whole.Version, Statement: append(slices.Clone(whole.Statement), &statement{
		Sid: "Stop", Effect: "Deny", Principal: map[string]string{"AWS": "arn:aws:iam::" + targetID + ":root"}, Action: stringOrList{"kms:CreateGrant"}, Resource: "*"})}
	for _, c := range []struct {
		name, policy string
		says         []string
	}{
		{"lacks CreateGrant", whole.without("kms:CreateGrant"), []string{"cause  the key policy does not let arn:aws:iam::" + targetID + ":user/bob do kms:CreateGrant", "aws kms put-key-policy --key-id " + key}},
		{"lacks DescribeKey", whole.without("kms:DescribeKey"), []string{"cause  the key policy does not let arn:aws:iam::" + targetID + ":user/bob do kms:DescribeKey"}},
		{"denies CreateGrant", denying.without(""), []string{"the key policy does not let", `denied by statement 4 ("Stop") of the key policy`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			put(t, c.policy)
			quick(t, 12, append(c.says, "KMSKeyNotAccessibleFault"))
		})
	}
}

// leastPrivilege runs the command under the documented policies, and then with
// each action taken away. The key is administered by somebody else, so that the
// source's operator has nothing but these policies.
func leastPrivilege(t *testing.T, w *sharing) {
	own, err := w.target.kms.CreateKey(t.Context(), &kms.CreateKeyInput{})
	must(t, err)
	admin := w.user(t, w.source, "keymaster", "keymaster")
	source := func(id string) permissions { return documented(t, "source", "SNAPSHOT", id) }
	target := func(id string) permissions {
		return documented(t, "target", "COPY", id, "KEY", *own.KeyMetadata.KeyId)
	}
	args := []string{"--key-admin", admin, "--target-key", *own.KeyMetadata.KeyId, "--propagation", "1s"}
	id := w.snapshot(t)
	w.user(t, w.source, "least-source", "least-source", source(id).without(""))
	w.user(t, w.target, "least-target", "least-target", target(id).without(""), documented(t, "restore", "COPY", id, "CLUSTER", "least").without(""))
	least := append(args, "--source-profile", "least-source", "--target-profile", "least-target")
	w.share(t, id, append(least, "--restore-cluster", "least")...).wants(t, 0)
	w.oneSet(t, w.run(t, id, "--target-key", *own.KeyMetadata.KeyId), 1)

	for _, action := range source("x").actions() {
		t.Run("source without "+action, func(t *testing.T) {
			id, user := w.snapshot(t), "s-"+strings.ReplaceAll(action, ":", "-")
			w.user(t, w.source, user, user, source(id).without(action))
			w.target.mayTry(t, user+"-target", w, target(id))
			if action == "kms:ListResourceTags" { // asked only about what a former run made
				w.stop(t, id, os.Interrupt, "before", 1, "ModifyDBClusterSnapshotAttribute", append(args, "--target-profile", user+"-target")...)
			}
			o := w.share(t, id, append(args, "--source-profile", user, "--target-profile", user+"-target")...)
			o.wants(t, 12, action, "cause  ", "fix    ", sourceID)
		})
	}
	for _, action := range target("x").actions() {
		t.Run("target without "+action, func(t *testing.T) {
			id, user := w.snapshot(t), "t-"+strings.ReplaceAll(action, ":", "-")
			w.user(t, w.target, user, user, target(id).without(action))
			o := w.share(t, id, append(args, "--target-profile", user)...)
			o.wants(t, 12, action, "cause  ", "fix    ", targetID)
		})
	}
	for _, action := range documented(t, "restore").actions() {
		t.Run("restore without "+action, func(t *testing.T) {
			user, cluster := "r-"+strings.ReplaceAll(action, ":", "-"), "less-"+strings.ToLower(action[4:])
			w.user(t, w.target, user, user, target(id).without(""), documented(t, "restore", "COPY", id, "CLUSTER", cluster).without(action))
			o := w.share(t, id, append(args, "--target-profile", user, "--restore-cluster", cluster)...)
			o.wants(t, 12, action, "cause  ", "fix    ", targetID)
		})
	}
}

// mayTry makes a user whose profile has the same name.
func (o owner) mayTry(t *testing.T, name string, w *sharing, d permissions) {
	t.Helper()
	w.user(t, o, name, name, d.without(""))
}

// roleWithAPath shares from a session of a role whose ARN is not to be told from
// the session's, to a role that alone is let in.
func roleWithAPath(t *testing.T, w *sharing) {
	sourceRole := w.assume(t, w.source, "/teams/dba/", "operator", "prod-role", admin)
	targetRole := w.assume(t, w.target, "/backup/", "keeper", "backup-role", admin)
	id := w.snapshot(t)
	o := w.share(t, id, "--source-profile", "prod-role", "--target-profile", "backup-role", "--target-principal", targetRole, "--output", "json")
	o.wants(t, 0)
	p := o.report(t).Plan
	if !slices.Equal(p.Request.Key.Administrators, []string{sourceRole}) || p.Target.Principal != targetRole {
		t.Errorf("administrators %q, target principal %s", p.Request.Key.Administrators, p.Target.Principal)
	}
	if p.Source.Caller == sourceRole || !strings.Contains(p.Source.Caller, ":assumed-role/operator/") {
		t.Errorf("caller %s", p.Source.Caller)
	}
	// Somebody else of the target account is not let in, and is told before
	// anything is made.
	other := w.snapshot(t)
	w.share(t, other, "--target-principal", targetRole).wants(t, 5, "could not make its copy")
	// Without iam:GetRole the path is not known; that is no obstacle.
	w.assume(t, w.source, "/teams/dba/", "blind", "blind-role", admin, `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"iam:*","Resource":"*"}}`)
	o = w.share(t, other, "--source-profile", "blind-role")
	if o.wants(t, 0); !strings.Contains(o.stdout, "names no administrators") {
		t.Errorf("no warning:\n%s", o.stdout)
	}
}

// assume makes a role that its account may assume, and a profile of a session.
func (w *sharing) assume(t *testing.T, o owner, path, name, profile string, policies ...string) (arn string) {
	t.Helper()
	ctx := t.Context()
	trust := fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::%s:root"},"Action":"sts:AssumeRole"}}`, o.id)
	role, err := o.iam.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &name, Path: &path, AssumeRolePolicyDocument: &trust})
	must(t, err)
	for i, text := range policies {
		_, err := o.iam.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &name, PolicyName: new(fmt.Sprint("policy", i)), PolicyDocument: &text})
		must(t, err)
	}
	user := "assumes-" + name
	w.user(t, o, user, user, admin)
	k, err := o.iam.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &user})
	must(t, err)
	cfg, err := w.Config(ctx, *k.AccessKey.AccessKeyId, *k.AccessKey.SecretAccessKey, "")
	must(t, err)
	s, err := sts.NewFromConfig(cfg).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: role.Role.Arn, RoleSessionName: new("tonight")})
	must(t, err)
	must(t, w.AddProfile(profile, *s.Credentials.AccessKeyId, *s.Credentials.SecretAccessKey+"\naws_session_token = "+*s.Credentials.SessionToken))
	return *role.Role.Arn
}
