package keys_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/cloud"
)

// These are the operations that give a key a policy.
func policyGivers() map[string]func(p *person, key *string, text string, bypass bool) error {
	return map[string]func(*person, *string, string, bool) error{
		"CreateKey": func(p *person, _ *string, text string, bypass bool) error {
			_, err := p.CreateKey(p.w.t.Context(), &kms.CreateKeyInput{Policy: &text, BypassPolicyLockoutSafetyCheck: bypass})
			return err
		},
		"PutKeyPolicy": func(p *person, key *string, text string, bypass bool) error {
			_, err := p.PutKeyPolicy(p.w.t.Context(), &kms.PutKeyPolicyInput{KeyId: key, Policy: &text, BypassPolicyLockoutSafetyCheck: bypass})
			return err
		},
		"ReplicateKey": func(p *person, key *string, text string, bypass bool) error {
			_, err := p.ReplicateKey(p.w.t.Context(), &kms.ReplicateKeyInput{
				KeyId: key, ReplicaRegion: new("us-east-1"), Policy: &text, BypassPolicyLockoutSafetyCheck: bypass,
			})
			return err
		},
	}
}

// Nobody locks themselves out of a key unless they say that they mean to, whoever
// they are and whichever operation it is.
func TestLockout(t *testing.T) {
	t.Parallel()
	const lockout = "MalformedPolicyDocumentException: The new key policy will not allow you to update the key policy in the future."
	const principals = "MalformedPolicyDocumentException: Policy contains a statement with one or more invalid principals."
	const session = "arn:aws:sts::111122223333:assumed-role/app/s1"
	ann, app, other := "arn:aws:iam::111122223333:user/ann", "arn:aws:iam::111122223333:role/app", "arn:aws:iam::111122223333:role/other"
	whole := delegating(home, "kms:*")
	condition := func(statement, condition string) string {
		return strings.Replace(statement, `"Resource"`, `"Condition":{`+condition+`},"Resource"`, 1)
	}
	denying := func(who string) string { return strings.Replace(letting(who, "kms:PutKeyPolicy"), "Allow", "Deny", 1) }
	for _, c := range []struct {
		name, who        string
		identity, policy []string
		want             string
	}{
		{"a user whom the account lets in", "user/ann", []string{allow("kms:*")}, []string{whole}, ""},
		{"a user whose account decides, and does not allow it", "user/ann", []string{allow("kms:CreateKey", "kms:ReplicateKey")}, []string{whole}, lockout},
		{"a user by name, whatever the identity policies", "user/ann", []string{allow("kms:CreateKey", "kms:ReplicateKey")}, []string{letting(ann, "kms:*")}, ""},
		{"a user by name, without PutKeyPolicy", "user/ann", []string{allow("kms:*")}, []string{letting(ann, "kms:Decrypt")}, lockout},
		{"a user, and the policy names another", "user/ann", []string{allow("kms:*")}, []string{letting(other, "kms:*")}, lockout},
		{"a user who is denied it", "user/ann", []string{allow("kms:*")}, []string{whole, denying(ann)}, lockout},
		{"a user who is denied it at home", "user/ann", []string{`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"},{"Effect":"Deny","Action":"kms:PutKeyPolicy","Resource":"*"}]}`}, []string{letting(ann, "kms:*")}, lockout},
		{"a user of the right account by a condition", "user/ann", []string{allow("kms:*")}, []string{condition(letting("*", "kms:*"), `"StringEquals":{"kms:CallerAccount":"111122223333"}`)}, ""},
		{"a user of the wrong account by a condition", "user/ann", []string{allow("kms:*")}, []string{condition(letting("*", "kms:*"), `"StringEquals":{"kms:CallerAccount":"444455556666"}`)}, lockout},
		{"a user through a service alone", "user/ann", []string{allow("kms:*")}, []string{condition(whole, `"StringEquals":{"kms:ViaService":"rds.eu-west-1.amazonaws.com"}`)}, lockout},
		{"a session whose role is named", "role/app", []string{allow("kms:*")}, []string{letting(app, "kms:*")}, ""},
		{"a session that is named itself", "role/app", []string{allow("kms:*")}, []string{letting(session, "kms:*")}, ""},
		{"a session whose namesake is named", "role/app", []string{allow("kms:*")}, []string{letting(session+"2", "kms:*")}, lockout},
		{"a session of another role", "role/app", []string{allow("kms:*")}, []string{letting(other, "kms:*")}, lockout},
		{"the root user, whose account is let in", "root", nil, []string{whole}, ""},
		{"the root user, whose account is not", "root", nil, []string{letting(ann, "kms:*")}, lockout},
		{"a principal that is not there", "user/ann", []string{allow("kms:*")}, []string{whole, letting("arn:aws:iam::111122223333:role/none", "kms:Decrypt")}, principals},
		{"an account that is not there", "user/ann", []string{allow("kms:*")}, []string{whole, delegating("123456789012", "kms:Decrypt")}, principals},
	} {
		t.Run(c.name, func(t *testing.T) {
			for operation, give := range policyGivers() {
				w := newWorld(t)
				w.person(home, "user/ann")
				w.person(home, "role/app")
				w.person(home, "role/other")
				key := w.person(home, "user/owner", allow("kms:*")).family()
				p := w.person(home, c.who, c.identity...)
				if _, err := p.PutKeyPolicy(t.Context(), &kms.PutKeyPolicyInput{KeyId: key, Policy: keyPolicy(whole)}); operation == "PutKeyPolicy" && code(err) == "AccessDeniedException" {
					continue // who puts no policies puts none that locks out
				}
				p.mayNot(operation, c.want, give(p, key, *keyPolicy(c.policy...), false))
				if c.want == lockout {
					p.may(operation+" on purpose", give(p, key, *keyPolicy(c.policy...), true))
				}
				if c.want == principals {
					p.mayNot(operation+" on purpose", principals, give(p, key, *keyPolicy(c.policy...), true))
				}
			}
		})
	}
}

// What is no key policy is refused, on purpose or not, and changes nothing.
func TestPolicyForms(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	key := ann.family()
	whole := delegating(home, "kms:*")
	for _, c := range []struct{ name, text, want string }{
		{"no JSON", "not a policy", "MalformedPolicyDocumentException"},
		{"JSON cut short", `{"Version":"2012-10-17"`, "MalformedPolicyDocumentException"},
		{"a string", `"x"`, "MalformedPolicyDocumentException: Syntax errors in policy."},
		{"an unknown element", strings.Replace(*keyPolicy(whole), `"Effect"`, `"Unknown":1,"Effect"`, 1), "MalformedPolicyDocumentException: Syntax errors in policy."},
		{"an unknown version", strings.Replace(*keyPolicy(whole), "2012-10-17", "2020-01-01", 1), "MalformedPolicyDocumentException: Syntax errors in policy."},
		{"no statement", `{"Version":"2012-10-17","Statement":[]}`, "MalformedPolicyDocumentException: Syntax errors in policy."},
		{"no principal", *keyPolicy(whole, `{"Effect":"Allow","Action":"kms:*","Resource":"*"}`), "MalformedPolicyDocumentException: Missing required field Principal"},
		{"no action", *keyPolicy(whole, `{"Effect":"Allow","Principal":"*","Resource":"*"}`), "MalformedPolicyDocumentException: Policy statement must contain actions."},
		{"no resource", *keyPolicy(whole, `{"Effect":"Allow","Principal":"*","Action":"kms:*"}`), "MalformedPolicyDocumentException: Policy statement must contain resources."},
		{"a Sid twice", *keyPolicy(strings.ReplaceAll(whole+","+whole, `{"Effect"`, `{"Sid":"the same","Effect"`)), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for operation, give := range policyGivers() {
				for _, bypass := range []bool{false, true} {
					got := said(give(ann, key, c.text, bypass))
					if c.want == "" && operation == "ReplicateKey" && bypass {
						continue // the replica is there already
					}
					if got != c.want {
						t.Errorf("%s: got %q, want %q", operation, got, c.want)
					}
				}
			}
		})
	}
	_, err := ann.PutKeyPolicy(t.Context(), &kms.PutKeyPolicyInput{KeyId: key, Policy: keyPolicy(whole), PolicyName: new("default")})
	ann.may("name the policy", err)
	_, err = ann.PutKeyPolicy(t.Context(), &kms.PutKeyPolicyInput{KeyId: key, Policy: keyPolicy(whole), PolicyName: new("Default")})
	ann.mayNot("name another", "NotFoundException: No such policy exists", err)
	_, err = ann.GetKeyPolicy(t.Context(), &kms.GetKeyPolicyInput{KeyId: key, PolicyName: new("other")})
	ann.mayNot("read another", "NotFoundException: No such policy exists", err)
}

// The rules of tags are those of every operation that takes some.
func TestTagRules(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	key := ann.family()
	tags := func(names ...string) (out []types.Tag) {
		for _, n := range names {
			out = append(out, types.Tag{TagKey: new(n), TagValue: new("v")})
		}
		return out
	}
	var many []string
	for i := range 51 {
		many = append(many, strings.Repeat("x", i+1))
	}
	east := ann.with(func(c *cloud.Caller) { c.Region = "us-east-1" })
	for operation, give := range map[string]func([]types.Tag) error{
		"CreateKey": func(tags []types.Tag) error {
			_, err := ann.CreateKey(t.Context(), &kms.CreateKeyInput{Tags: tags})
			return err
		},
		"TagResource": func(tags []types.Tag) error {
			_, err := ann.TagResource(t.Context(), &kms.TagResourceInput{KeyId: key, Tags: tags})
			return err
		},
		"ReplicateKey": func(tags []types.Tag) error {
			_, err := ann.ReplicateKey(t.Context(), &kms.ReplicateKeyInput{KeyId: key, ReplicaRegion: new("us-east-1"), Tags: tags})
			return err
		},
	} {
		ann.mayNot(operation, "TagException: Duplicate tag keys", give(tags("a", "b", "a")))
		ann.mayNot(operation, "TagException: Tags beginning with aws: are reserved", give(tags("a", "aws:b")))
		ann.mayNot(operation, "TagException: Tags beginning with aws: are reserved", give(tags("AWS:b")))
		ann.mayNot(operation, "TagException: Too many tags", give(tags(many...)))
	}
	if out := must(ann.ListResourceTags(t.Context(), &kms.ListResourceTagsInput{KeyId: key}))(t); len(out.Tags) > 0 {
		t.Errorf("refused tags are there: %v", out.Tags)
	}
	east.mayNot("find a refused replica", "NotFoundException", east.describe(inRegion(key, "us-east-1")))
}
