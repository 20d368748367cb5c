package keys_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/cloud"
)

// A refusal is a request that one side or the other refuses, and AWS's sentence.
type refusal struct {
	name string
	who  string // "home" or "abroad"
	// What speaks for the caller, and limits it, beside the key policy's statements.
	identity, session, boundary string
	key                         []string
	request                     func(p *person, key *string, blob []byte) error
	action                      string // as the message has it
	tail                        string // after the action; KEY stands for the key's ARN
}

// The tails that AWS's messages have.
const (
	onKey        = "on resource: KEY "
	onThis       = "on this resource "
	onCiphertext = "on the resource associated with this ciphertext "
	noIdentity   = "because no identity-based policy allows the kms:ACTION action"
	noResource   = "because no resource-based policy allows the kms:ACTION action"
	noSession    = "because no session policy allows the kms:ACTION action"
	noBoundary   = "because no permissions boundary allows the kms:ACTION action"
	notThere     = "because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access"
	explicit     = "with an explicit deny in "
)

func describing(p *person, key *string, _ []byte) error { return p.describe(key) }

func decrypting(p *person, _ *string, blob []byte) error { return p.decrypt(blob, nil) }

func decryptingWith(p *person, key *string, blob []byte) error {
	_, err := p.Decrypt(p.w.t.Context(), &kms.DecryptInput{CiphertextBlob: blob, KeyId: key})
	return err
}

// reEncryptingTo re-encrypts under another key of p's own.
func reEncryptingFrom(p *person, _ *string, blob []byte) error {
	own := p.w.person(p.caller.Account, "user/owner", allow("kms:*")).key(letting(p.caller.Principal, "kms:ReEncryptTo"))
	_, err := p.ReEncrypt(p.w.t.Context(), &kms.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: own})
	return err
}

// reEncryptingTo re-encrypts under key what is under another of p's own.
func reEncryptingTo(p *person, key *string, _ []byte) error {
	owner := p.w.person(p.caller.Account, "user/owner", allow("kms:*"))
	own := owner.key(letting(p.caller.Principal, "kms:ReEncryptFrom"))
	blob := must(owner.encrypt(own, nil))(p.w.t)
	_, err := p.ReEncrypt(p.w.t.Context(), &kms.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: key})
	return err
}

// missing is a key that is not there, beside key.
func missing(p *person, key *string, _ []byte) error {
	return p.describe(new((*key)[:len(*key)-36] + "00000000-0000-4000-8000-000000000000"))
}

func missingAlias(p *person, key *string, _ []byte) error {
	return p.describe(new((*key)[:strings.Index(*key, ":key/")] + ":alias/none"))
}

// TestRefusalTexts holds AWS's sentences, as recorded or documented, by who is
// refused, by which side and on what.
func TestRefusalTexts(t *testing.T) {
	t.Parallel()
	all, none := allow("kms:*"), deny("kms:*")
	letsIn, letsInAbroad := letting("arn:aws:iam::111122223333:role/app", "kms:*"), delegating(abroad, "kms:*")
	denies := strings.Replace(letting("*", "kms:*"), "Allow", "Deny", 1)
	deniesHim := func(a cloud.AccountID) string {
		return strings.Replace(letting("arn:aws:iam::"+string(a)+":role/app", "kms:*"), "Allow", "Deny", 1)
	}
	for _, c := range []refusal{
		{name: "own key, no policy", who: "home", request: describing, action: "DescribeKey", tail: onKey + noIdentity},
		{name: "own key, another action allowed", who: "home", identity: allow("kms:Encrypt"), request: describing, action: "DescribeKey", tail: onKey + noIdentity},
		{name: "own key, denied by identity policy", who: "home", identity: none, request: describing, action: "DescribeKey", tail: onKey + explicit + "an identity-based policy"},
		{name: "own key, denied by identity policy though let in by name", who: "home", identity: none, key: []string{letsIn}, request: describing, action: "DescribeKey", tail: onKey + explicit + "an identity-based policy"},
		{name: "own key, session policy leaves it out", who: "home", identity: all, session: allow("s3:*"), request: describing, action: "DescribeKey", tail: onKey + noSession},
		{name: "own key, session policy denies it", who: "home", identity: all, session: none, request: describing, action: "DescribeKey", tail: onKey + explicit + "a session policy"},
		{name: "own key, let in as role, session policy leaves it out", who: "home", session: allow("s3:*"), key: []string{letsIn}, request: describing, action: "DescribeKey", tail: onKey + noSession},
		{name: "own key, boundary leaves it out", who: "home", identity: all, boundary: allow("s3:*"), request: describing, action: "DescribeKey", tail: onKey + noBoundary},
		{name: "own key, boundary denies it", who: "home", identity: all, boundary: none, request: describing, action: "DescribeKey", tail: onKey + explicit + "a permissions boundary"},
		{name: "own key, key policy denies it", who: "home", identity: all, key: []string{denies}, request: describing, action: "DescribeKey", tail: onKey + explicit + "a resource-based policy"},
		{name: "own key, ciphertext names it", who: "home", request: decrypting, action: "Decrypt", tail: onKey + noIdentity},
		{name: "own key, named with a ciphertext", who: "home", request: decryptingWith, action: "Decrypt", tail: onKey + noIdentity},
		{name: "own key, re-encrypt from", who: "home", request: reEncryptingFrom, action: "ReEncryptFrom", tail: onKey + noIdentity},
		{name: "own key, re-encrypt to", who: "home", request: reEncryptingTo, action: "ReEncryptTo", tail: onKey + noIdentity},

		{name: "let in from abroad, no policy", who: "abroad", key: []string{letsInAbroad}, request: describing, action: "DescribeKey", tail: onThis + noIdentity},
		{name: "let in from abroad, denied by identity policy", who: "abroad", identity: all, session: "", boundary: none, key: []string{letsInAbroad}, request: describing, action: "DescribeKey", tail: onThis + explicit + "a permissions boundary"},
		{name: "let in from abroad, denied by own policy", who: "abroad", identity: none, key: []string{letsInAbroad}, request: describing, action: "DescribeKey", tail: onThis + explicit + "an identity-based policy"},
		{name: "let in from abroad, session policy leaves it out", who: "abroad", identity: all, session: allow("s3:*"), key: []string{letsInAbroad}, request: describing, action: "DescribeKey", tail: onThis + noSession},
		{name: "let in from abroad, session policy denies it", who: "abroad", identity: all, session: none, key: []string{letsInAbroad}, request: describing, action: "DescribeKey", tail: onThis + explicit + "a session policy"},
		{name: "let in from abroad, boundary leaves it out", who: "abroad", identity: all, boundary: allow("s3:*"), key: []string{letsInAbroad}, request: describing, action: "DescribeKey", tail: onThis + noBoundary},
		{name: "let in from abroad, denied by key policy", who: "abroad", identity: all, key: []string{letsInAbroad, deniesHim(abroad)}, request: describing, action: "DescribeKey", tail: onThis + notThere},
		{name: "let in from abroad, ciphertext names it", who: "abroad", key: []string{letsInAbroad}, request: decrypting, action: "Decrypt", tail: onCiphertext + noIdentity},
		{name: "let in from abroad, session policy leaves the ciphertext out", who: "abroad", identity: all, session: allow("s3:*"), key: []string{letsInAbroad}, request: decrypting, action: "Decrypt", tail: onCiphertext + noSession},
		{name: "let in from abroad, named with a ciphertext", who: "abroad", key: []string{letsInAbroad}, request: decryptingWith, action: "Decrypt", tail: onThis + noIdentity},
		{name: "let in from abroad, re-encrypt from", who: "abroad", key: []string{letsInAbroad}, request: reEncryptingFrom, action: "ReEncryptFrom", tail: onCiphertext + noIdentity},
		{name: "let in from abroad, re-encrypt to", who: "abroad", key: []string{letsInAbroad}, request: reEncryptingTo, action: "ReEncryptTo", tail: onThis + noIdentity},

		{name: "not let in from abroad", who: "abroad", identity: all, request: describing, action: "DescribeKey", tail: onThis + notThere},
		{name: "not let in from abroad, no policy", who: "abroad", request: describing, action: "DescribeKey", tail: onThis + notThere},
		{name: "not let in from abroad, ciphertext names it", who: "abroad", identity: all, request: decrypting, action: "Decrypt", tail: onCiphertext + notThere},
		{name: "not let in from abroad, named with a ciphertext", who: "abroad", identity: all, request: decryptingWith, action: "Decrypt", tail: onThis + notThere},
		{name: "not let in from abroad, re-encrypt from", who: "abroad", identity: all, request: reEncryptingFrom, action: "ReEncryptFrom", tail: onCiphertext + notThere},
		{name: "not let in from abroad, re-encrypt to", who: "abroad", identity: all, request: reEncryptingTo, action: "ReEncryptTo", tail: onThis + notThere},
		{name: "no such key abroad", who: "abroad", identity: all, key: []string{letsInAbroad}, request: missing, action: "DescribeKey", tail: onThis + notThere},
		{name: "no such alias abroad", who: "abroad", identity: all, key: []string{letsInAbroad}, request: missingAlias, action: "DescribeKey", tail: onThis + notThere},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			ann := w.person(home, "user/ann", allow("kms:*"))
			account := home
			if c.who == "abroad" {
				account = abroad
			}
			app := w.person(account, "role/app")
			key := ann.key()
			blob := must(ann.encrypt(key, nil))(t)
			_, err := ann.PutKeyPolicy(t.Context(), &kms.PutKeyPolicyInput{
				KeyId: key, Policy: keyPolicy(append(c.key, delegating(home, "kms:*"))...), BypassPolicyLockoutSafetyCheck: true,
			})
			ann.may("put the policy", err)
			if c.identity != "" {
				w.setPolicies(app.caller.Principal, c.identity)
			}
			if c.boundary != "" {
				w.dir.people[app.caller.Principal].identity.Boundary = w.parse(c.boundary)
			}
			if c.session != "" {
				app = app.with(func(who *cloud.Caller) { who.SessionPolicies = []string{c.session} })
			}
			tail := strings.ReplaceAll(strings.ReplaceAll(c.tail, "KEY", *key), "ACTION", c.action)
			want := "AccessDeniedException: User: " + app.caller.ARN + " is not authorized to perform: kms:" + c.action + " " + tail
			if got := said(c.request(app, key, blob)); got != want {
				t.Errorf("\n got %s\nwant %s", got, want)
			}
		})
	}
}

// A key policy that leaves the account out refuses those in it, too.
func TestRefusalsWithoutDelegation(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	eve := w.person(home, "user/eve", allow("kms:*"))
	key := ann.key()
	ann.may("keep the key to herself", ann.putPolicy(key, letting(ann.caller.ARN, "kms:*")))
	refused := func(tail string) string {
		return "AccessDeniedException: User: " + eve.caller.ARN + " is not authorized to perform: kms:DescribeKey on resource: " + *key + " " + tail
	}
	eve.mayNot("describe", refused("because no resource-based policy allows the kms:DescribeKey action"), eve.describe(key))
	w.setPolicies(eve.caller.ARN, deny("kms:*"))
	eve.mayNot("describe", refused("with an explicit deny in an identity-based policy"), eve.describe(key))
}

// What is not about one key: each action needs its own permission, on what it is
// about.
func TestWhatBesideKeysMustBeAllowed(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	eve := w.person(home, "user/eve")
	one, two := ann.key(), ann.key()
	ann.may("make an alias", ann.alias("alias/there", one))
	on := func(resource string, actions ...string) string {
		return strings.Replace(allow(actions...), `"Resource":"*"`, `"Resource":"`+resource+`"`, 1)
	}
	const alias = "arn:aws:kms:eu-west-1:111122223333:alias/*"
	tags := []types.Tag{{TagKey: new("team"), TagValue: new("red")}}
	create := func(tags []types.Tag) func() error {
		return func() error {
			_, err := eve.CreateKey(t.Context(), &kms.CreateKeyInput{Tags: tags})
			return err
		}
	}
	createAlias := func() error { return eve.alias("alias/new", one) }
	update := func() error {
		_, err := eve.UpdateAlias(t.Context(), &kms.UpdateAliasInput{AliasName: new("alias/there"), TargetKeyId: two})
		return err
	}
	remove := func() error {
		_, err := eve.DeleteAlias(t.Context(), &kms.DeleteAliasInput{AliasName: new("alias/there")})
		return err
	}
	for _, c := range []struct {
		name     string
		policies []string
		request  func() error
		want     string // what is refused: an action and a resource; "" if nothing is
	}{
		{"create a key", nil, create(nil), "CreateKey on resource: *"},
		{"create a key, allowed on keys only", []string{on("arn:aws:kms:*:*:key/*", "kms:CreateKey")}, create(nil), "CreateKey on resource: *"},
		{"create a key", []string{allow("kms:CreateKey")}, create(nil), ""},
		{"create a key with tags", []string{allow("kms:CreateKey")}, create(tags), "TagResource on resource: arn:aws:kms:eu-west-1:111122223333:key/"},
		{"create a key with tags", []string{allow("kms:CreateKey", "kms:TagResource")}, create(tags), ""},
		{"create an alias, allowed on the key only", []string{on(*one, "kms:CreateAlias")}, createAlias, "CreateAlias on resource: arn:aws:kms:eu-west-1:111122223333:alias/new"},
		{"create an alias, allowed on the alias only", []string{on(alias, "kms:CreateAlias")}, createAlias, "CreateAlias on resource: " + *one},
		{"create an alias", []string{on(*one, "kms:CreateAlias"), on(alias, "kms:CreateAlias")}, createAlias, ""},
		{"move an alias, allowed on the old key only", []string{on(alias, "kms:UpdateAlias"), on(*one, "kms:UpdateAlias")}, update, "UpdateAlias on resource: " + *two},
		{"move an alias, allowed on the new key only", []string{on(alias, "kms:UpdateAlias"), on(*two, "kms:UpdateAlias")}, update, "UpdateAlias on resource: " + *one},
		{"move an alias, allowed on the keys only", []string{on(*two, "kms:UpdateAlias"), on(*one, "kms:UpdateAlias")}, update, "UpdateAlias on resource: arn:aws:kms:eu-west-1:111122223333:alias/there"},
		{"move an alias", []string{allow("kms:UpdateAlias")}, update, ""},
		{"delete an alias, allowed on the alias only", []string{on(alias, "kms:DeleteAlias")}, remove, "DeleteAlias on resource: " + *two},
		{"delete an alias, allowed on the key only", []string{on(*two, "kms:DeleteAlias")}, remove, "DeleteAlias on resource: arn:aws:kms:eu-west-1:111122223333:alias/there"},
		{"delete an alias", []string{allow("kms:DeleteAlias")}, remove, ""},
	} {
		w.setPolicies(eve.caller.ARN, c.policies...)
		got := said(c.request())
		want := ""
		if c.want != "" {
			want = "AccessDeniedException: User: arn:aws:iam::111122223333:user/eve is not authorized to perform: kms:" + c.want
		}
		if (want == "") != (got == "") || !strings.HasPrefix(got, want) {
			t.Errorf("%s with %q:\n got %s\nwant %s", c.name, c.policies, got, want)
		}
	}
}
