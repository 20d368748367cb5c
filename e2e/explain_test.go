package e2e

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/e2e/local"
	"borealis/internal/inquiry"
	"borealis/internal/policy"
)

// explain runs borealis explain on the server's data, and returns its exit status.
func explain(t *testing.T, s *local.Server, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, errs strings.Builder
	c := exec.CommandContext(t.Context(), s.Binary, append([]string{"explain", "--data", s.Data()}, args...)...)
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil && c.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), c.ProcessState.ExitCode()
}

// A denial is explained from the audit log, what the explanation advises is done
// with the official client, and then the same call succeeds.
func TestExplainADenialAndLiftIt(t *testing.T) {
	s := newServer(t)
	ann, bobRoot := root(t, s, accountA), root(t, s, accountB)
	bob := bobRoot.user("bob", allow("rds:*"))
	ctx := t.Context()
	key := ann.newKey()
	_, err := bob.kms().Encrypt(ctx, &kms.EncryptInput{KeyId: &key, Plaintext: []byte("x"), EncryptionContext: map[string]string{"tenant": "42"}})
	refused(t, "encrypt", err, "AccessDeniedException")

	line, err := s.Run(ctx, nil, "audit", "--data", s.Data(), "--decision", "denied", "--operation", "Encrypt", "--limit", "1", "--output", "json")
	bob.must("read the audit log", err)
	var entry struct {
		EventID   string
		Decisions []struct{ Explanation policy.Summary }
	}
	bob.must("read the event", json.Unmarshal([]byte(line), &entry))
	if e := entry.Decisions[0].Explanation; e.Version != 1 || len(e.Statements) != 1 || e.Statements[0].Element != "Principal" {
		t.Errorf("the event carries %+v", e)
	}

	before, err := s.Run(ctx, nil, "audit", "--data", s.Data(), "--output", "json", "--limit", "0")
	bob.must("read the audit log", err)
	text, stderr, status := explain(t, s, entry.EventID)
	for _, want := range []string{
		"On record: denied: denied because no resource-based policy allows the kms:Encrypt action",
		"\n  Allow statement 0 (\"Enable IAM User Permissions\") of key policy of " + key + " (resource-based policy) does not apply: its Principal is for",
		`does not apply: its Principal is for arn:aws:iam::` + accountA + `:root, not arn:aws:iam::` + accountB + `:user/bob`,
		"identity-based policy: add a statement to inline policy", "resource-based policy: add a statement to key policy of " + key,
		"Not known:", "the policies as they were",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("does not say %q:\n%s", want, text)
		}
	}
	if status != 12 || !strings.Contains(stderr, "may not do kms:Encrypt") {
		t.Errorf("status %d, %s", status, stderr)
	}
	if after, err := s.Run(ctx, nil, "audit", "--data", s.Data(), "--output", "json", "--limit", "0"); err != nil || after != before {
		t.Errorf("explaining left traces in the log (%v):\n%s", err, strings.TrimPrefix(after, before))
	}

	out, _, _ := explain(t, s, entry.EventID, "--output", "json")
	var a inquiry.Answer
	bob.must("read the answer", json.Unmarshal([]byte(out), &a))
	if got := a.Ask.Context["kms:EncryptionContext:tenant"]; len(got) != 1 || got[0] != "42" || len(a.Advice.Ways) != 1 || len(a.Advice.Ways[0]) != 2 {
		t.Fatalf("%s", out)
	}
	for _, c := range a.Advice.Ways[0] {
		if c.Side == "identity-based policy" {
			_, err := bobRoot.iam().PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: new("bob"), PolicyName: new("advised"), PolicyDocument: new(document(string(c.Statement)))})
			bob.must("do as advised", err)
			continue
		}
		old, err := ann.kms().GetKeyPolicy(ctx, &kms.GetKeyPolicyInput{KeyId: &key})
		ann.must("get key policy", err)
		var doc struct {
			Version   string
			Statement []json.RawMessage
		}
		ann.must("read key policy", json.Unmarshal([]byte(*old.Policy), &doc))
		doc.Statement = append(doc.Statement, c.Statement)
		next, err := json.Marshal(doc)
		ann.must("write key policy", err)
		_, err = ann.kms().PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: &key, Policy: new(string(next))})
		ann.must("do as advised", err)
	}
	_, err = bob.kms().Encrypt(ctx, &kms.EncryptInput{KeyId: &key, Plaintext: []byte("x"), EncryptionContext: map[string]string{"tenant": "42"}})
	bob.must("encrypt after the advice", err)
	text, _, status = explain(t, s, entry.EventID)
	if status != 0 || !strings.Contains(text, "The answer differs") || !strings.Contains(text, "does not apply: its Principal is for") {
		t.Errorf("status %d\n%s", status, text)
	}

	// Who is gone cannot be asked for again; what was is still on record.
	for _, name := range []string{"p", "advised"} {
		_, err := bobRoot.iam().DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: new("bob"), PolicyName: &name})
		bob.must("delete policy "+name, err)
	}
	keys, err := bobRoot.iam().ListAccessKeys(ctx, &iam.ListAccessKeysInput{UserName: new("bob")})
	bob.must("list access keys", err)
	for _, k := range keys.AccessKeyMetadata {
		_, err := bobRoot.iam().DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: new("bob"), AccessKeyId: k.AccessKeyId})
		bob.must("delete access key", err)
	}
	_, err = bobRoot.iam().DeleteUser(ctx, &iam.DeleteUserInput{UserName: new("bob")})
	bob.must("delete bob", err)
	text, _, status = explain(t, s, entry.EventID)
	if status != 12 || !strings.Contains(text, "does not apply: its Principal is for") || !strings.Contains(text, "It cannot be asked again") {
		t.Errorf("status %d\n%s", status, text)
	}
}

func TestExplainAServersPolicies(t *testing.T) {
	s := newServer(t)
	ann, bobRoot := root(t, s, accountA), root(t, s, accountB)
	bob := bobRoot.user("bob", allow("kms:*"))
	ctx := t.Context()
	key := ann.newKey()
	bobARN := "arn:aws:iam::" + accountB + ":user/bob"
	_, err := ann.kms().CreateGrant(ctx, &kms.CreateGrantInput{KeyId: &key, GranteePrincipal: &bobARN, Operations: []kmstypes.GrantOperation{kmstypes.GrantOperationDecrypt}})
	ann.must("create grant", err)
	_, err = bob.kms().DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &key})
	refused(t, "describe", err, "AccessDeniedException")
	for _, c := range []struct {
		name   string
		args   []string
		status int
		want   string
	}{
		{"a grant", []string{"--principal", bobARN, "--action", "kms:Decrypt", "--resource", key}, 0, "let in by grant "},
		{"not in the grant", []string{"--principal", bobARN, "--action", "kms:DescribeKey", "--resource", key}, 12, "because no resource-based policy allows the kms:DescribeKey action"},
		{"never from abroad", []string{"--principal", bobARN, "--action", "kms:PutKeyPolicy", "--resource", key}, 12, "other accounts than the key's own can never do"},
		{"a root user", []string{"--principal", "arn:aws:iam::" + accountA + ":root", "--action", "kms:DisableKey", "--resource", key}, 0, "allowed by"},
		{"a condition that the key has", []string{"--principal", bobARN, "--action", "kms:ListKeys"}, 0, "allowed by statement 0"},
		{"nobody there", []string{"--principal", bobARN + "by", "--action", "kms:ListKeys"}, 1, ""},
		{"no such key", []string{"--principal", bobARN, "--action", "kms:Decrypt", "--resource", key + "0"}, 1, ""},
		{"no such event", []string{"0f1e2d3c-4b5a-4697-8877-665544332211"}, 1, ""},
		{"a pattern", []string{"--principal", bobARN, "--action", "kms:*"}, 5, ""},
		{"an event and a question", []string{"0f1e2d3c-4b5a-4697-8877-665544332211", "--action", "kms:Decrypt"}, 5, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			text, stderr, status := explain(t, s, c.args...)
			if status != c.status || !strings.Contains(text, c.want) || (status != 0) != (stderr != "") {
				t.Errorf("status %d, want %d and %q\n%s%s", status, c.status, c.want, text, stderr)
			}
		})
	}
}
