package e2e

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"borealis/e2e/local"
)

// programs is where scripts/programs puts programs that others wrote.
const programs = "../.tools/programs"

// program is the path of one of them, or of one on PATH. The test is skipped
// without it.
func program(t *testing.T, name string) string {
	t.Helper()
	path := ok(filepath.Abs(filepath.Join(programs, "bin", name)))(t)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("SKIPPED: %s is not installed (make programs), so it is not tried with KMS", name)
	}
	return path
}

// as is a shell of p's, for programs that learn from their environment where
// AWS is: those of today, and those that have the first SDK for Go (Vault's).
func (p *person) as(t *testing.T, more ...string) shell {
	env := append(p.s.Env(), "AWS_ACCESS_KEY_ID="+p.key.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+p.key.SecretAccessKey,
		"AWS_REGION="+p.region, "AWS_DEFAULT_REGION="+p.region, "AWS_ENDPOINT_URL="+p.s.Endpoint, "AWS_KMS_ENDPOINT="+p.s.Endpoint)
	return shell{t, t.TempDir(), append(env, more...)}
}

// try runs a program with input.
func (s shell) try(input []byte, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(s.t.Context(), name, args...)
	cmd.Dir, cmd.Env, cmd.Stdin = s.dir, s.env, bytes.NewReader(input)
	return cmd.Output()
}

// does runs a program that must succeed, and returns what it says.
func (s shell) does(input []byte, name string, args ...string) []byte {
	s.t.Helper()
	out, err := s.try(input, name, args...)
	if err != nil {
		s.t.Fatalf("%s %s: %s", filepath.Base(name), strings.Join(args, " "), complaint(err))
	}
	return out
}

// fails runs a program that must fail and say some words.
func (s shell) fails(words string, input []byte, name string, args ...string) {
	s.t.Helper()
	out, err := s.try(input, name, args...)
	if err == nil || !strings.Contains(complaint(err)+string(out), words) {
		s.t.Errorf("%s %s: %s; want %q", filepath.Base(name), strings.Join(args, " "), complaint(err), words)
	}
}

// complaint is what a program that failed said on its standard error.
func complaint(err error) string {
	if exit, is := errors.AsType[*exec.ExitError](err); is {
		return err.Error() + ": " + string(exit.Stderr)
	}
	if err == nil {
		return "it succeeded"
	}
	return err.Error()
}

// Programs that others wrote for AWS seal with keys of account A; account B may
// open, account C may not, and nobody when the key is disabled.
func TestPrograms(t *testing.T) {
	s := newServer(t, "--postgres-bin", t.TempDir())
	ann, bob, eve := root(t, s, accountA), root(t, s, accountB), root(t, s, accountC)
	c := &cast{t: t, ann: ann, bob: bob, eve: eve, secret: bytes.Repeat([]byte("to whom it may concern\n"), 5000)}
	t.Run("Tink", c.tink)
	t.Run("AWS Encryption SDK for JavaScript", c.esdk)
	t.Run("Vault's seal", c.vault)
	t.Run("SOPS", c.sops)
	t.Run("cosign", c.cosign)
	t.Run("boto3", c.boto3)
	t.Run("boto3 and the AWS CLI with IAM", c.people)
}

// A cast is who tries a program.
type cast struct {
	t             *testing.T
	ann, bob, eve *person
	secret        []byte
}

// key is one that account B may decrypt with, in the encryption context that
// conditions name.
func (c *cast) key(condition string) string {
	return c.ann.newKey(`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + accountB + `:root"},"Action":["kms:Decrypt","kms:DescribeKey"],"Resource":"*"` + condition + `}`)
}

// closed disables a key.
func (c *cast) closed(key string) {
	_, err := c.ann.kms().DisableKey(c.t.Context(), &kms.DisableKeyInput{KeyId: &key})
	c.ann.must("disable", err)
}

// same wants what was opened to be what was sealed.
func (c *cast) same(t *testing.T, opened []byte) {
	t.Helper()
	if !bytes.Equal(opened, c.secret) {
		t.Errorf("opened %d bytes: %.40q", len(opened), opened)
	}
}

func (c *cast) tink(t *testing.T) {
	tink, key := program(t, "tink"), c.key("")
	uri := "aws-kms://" + key
	sealed := c.ann.as(t).does(c.secret, tink, "seal", uri, "orders")
	c.same(t, c.ann.as(t).does(sealed, tink, "open", uri, "orders"))
	c.same(t, c.bob.as(t).does(sealed, tink, "open", uri, "orders"))
	c.eve.as(t).fails("AccessDenied", sealed, tink, "open", uri, "orders")
	c.ann.as(t).fails("message authentication failed", sealed, tink, "open", uri, "bills")
	c.bob.as(t).fails("AccessDenied", c.secret, tink, "seal", uri, "orders")
	c.closed(key)
	c.ann.as(t).fails("DisabledException", sealed, tink, "open", uri, "orders")
}

func (c *cast) esdk(t *testing.T) {
	modules := ok(filepath.Abs(filepath.Join(programs, "esdk", "node_modules")))(t)
	if _, err := os.Stat(modules); err != nil {
		t.Skip("SKIPPED: the AWS Encryption SDK for JavaScript is not installed (make programs), so it is not tried with KMS")
	}
	node, script := program(t, "node"), ok(filepath.Abs("programs/esdk.cjs"))(t)
	first := c.key(`,"Condition":{"StringEquals":{"kms:EncryptionContext:purpose":"orders"}}`)
	second, other := c.ann.newKey(), c.ann.newKey()
	seal := func(context string) []byte {
		return c.ann.as(t, "NODE_PATH="+modules).does(c.secret, node, script, "seal", first, context, second)
	}
	open := func(p *person, key string, sealed []byte) ([]byte, error) {
		return p.as(t, "NODE_PATH="+modules).try(sealed, node, script, "open", key, `{"purpose":"orders"}`)
	}
	sealed := seal(`{"purpose":"orders","stage":"test"}`)
	c.same(t, ok(open(c.ann, first, sealed))(t))
	c.same(t, ok(open(c.ann, second, sealed))(t))
	c.same(t, ok(open(c.bob, first, sealed))(t))
	for what, err := range map[string]error{
		"a key that was not sealed for":         failure(open(c.ann, other, sealed)),
		"a stranger":                            failure(open(c.eve, first, sealed)),
		"a key of A alone":                      failure(open(c.bob, second, sealed)),
		"a context that B may not decrypt in":   failure(open(c.bob, first, seal(`{"purpose":"bills"}`))),
		"a message that somebody has changed":   failure(open(c.ann, first, append(bytes.Clone(sealed[:len(sealed)-1]), sealed[len(sealed)-1]^1))),
		"a context that the reader did not ask": failure(open(c.ann, first, seal(`{"stage":"test"}`))),
	} {
		if err == nil {
			t.Errorf("%s: it opened", what)
		}
	}
	c.closed(first)
	if _, err := open(c.ann, first, sealed); err == nil {
		t.Error("it opened under a disabled key")
	}
	c.same(t, ok(open(c.ann, second, sealed))(t))
}

// failure is the error of a call.
func failure[T any](_ T, err error) error { return err }

func (c *cast) vault(t *testing.T) {
	vault, key := program(t, "vault"), c.key("")
	with := "VAULT_AWSKMS_SEAL_KEY_ID=" + key
	sealed := c.ann.as(t, with).does(c.secret, vault, "seal")
	c.same(t, c.ann.as(t, with).does(sealed, vault, "open"))
	c.same(t, c.bob.as(t, with).does(sealed, vault, "open"))
	c.eve.as(t, with).fails("AccessDeniedException", sealed, vault, "open")
	c.closed(key)
	c.ann.as(t, with).fails("DisabledException", sealed, vault, "open")
}

func (c *cast) sops(t *testing.T) {
	sops, key, second := program(t, "sops"), c.key(`,"Condition":{"StringEquals":{"kms:EncryptionContext:app":"shop"}}`), c.ann.newKey()
	home := "HOME=" + t.TempDir() // it looks for keys of other sorts there
	ann := c.ann.as(t, home)
	ann.write("plain.yaml", []byte("user: keeper\npassword: hunter2\n"))
	sealed := ann.does(nil, sops, "encrypt", "--kms", key, "--encryption-context", "app:shop", "plain.yaml")
	if bytes.Contains(sealed, []byte("hunter2")) || !bytes.Contains(sealed, []byte("AQICAH")) {
		t.Errorf("sealed to\n%s", sealed)
	}
	open := []string{"decrypt", "--extract", `["password"]`, "sealed.yaml"}
	for _, p := range []*person{c.ann, c.bob} {
		sh := p.as(t, home)
		sh.write("sealed.yaml", sealed)
		if got := string(sh.does(nil, sops, open...)); got != "hunter2" {
			t.Errorf("%s reads %q", p.account, got)
		}
	}
	eve := c.eve.as(t, home)
	eve.write("sealed.yaml", sealed)
	eve.fails("AccessDeniedException", nil, sops, open...)
	ann.write("sealed.yaml", bytes.Replace(sealed, []byte("app: shop"), []byte("app: till"), 1))
	ann.fails("InvalidCiphertextException", nil, sops, open...)

	ann.write("sealed.yaml", sealed)
	ann.does(nil, sops, "rotate", "--in-place", "--add-kms", second, "--encryption-context", "app:shop", "sealed.yaml")
	c.closed(key)
	if got := string(ann.does(nil, sops, open...)); got != "hunter2" {
		t.Errorf("after a rotation ann reads %q", got)
	}
	ann.write("sealed.yaml", sealed)
	ann.fails("DisabledException", nil, sops, open...)
}

func (c *cast) cosign(t *testing.T) {
	cosign := program(t, "cosign")
	ann, bob := c.ann.as(t, "COSIGN_PASSWORD="), c.bob.as(t)
	const key = "awskms:///alias/signer"
	ann.write("release", c.secret)
	ann.does(nil, cosign, "generate-key-pair", "--kms", key)
	signature := bytes.TrimSpace(ann.does(nil, cosign, "sign-blob", "--yes", "--tlog-upload=false", "--key", key, "release"))
	ann.write("signature", signature)
	verify := func(key string) []string {
		return []string{"verify-blob", "--insecure-ignore-tlog=true", "--private-infrastructure", "--key", key, "--signature", "signature", "release"}
	}
	ann.does(nil, cosign, verify(key)...)
	bob.write("release", c.secret)
	bob.write("signature", signature)
	bob.write("cosign.pub", ann.read("cosign.pub"))
	bob.does(nil, cosign, verify("cosign.pub")...)
	bob.write("release", c.secret[1:])
	bob.fails("invalid signature", nil, cosign, verify("cosign.pub")...)
	bob.fails("NotFoundException", nil, cosign, verify(key)...)
}

func (c *cast) boto3(t *testing.T) {
	python := program(t, "python3")
	if err := exec.CommandContext(t.Context(), python, "-c", "import boto3").Run(); err != nil {
		t.Skip("SKIPPED: boto3 is not installed, so it is not tried with KMS")
	}
	script := ok(filepath.Abs("programs/boto.py"))(t)
	if said := strings.TrimSpace(string(c.ann.as(t).does(nil, python, script, local.Region, accountA))); said != "well" {
		t.Error(said)
	}
}

// people manages users, roles and policies, with the AWS CLI too where it is installed.
func (c *cast) people(t *testing.T) {
	python := program(t, "python3")
	if err := exec.CommandContext(t.Context(), python, "-c", "import boto3").Run(); err != nil {
		t.Skip("SKIPPED: boto3 is not installed, so it is not tried with IAM")
	}
	aws, err := exec.LookPath("aws")
	if err != nil {
		aws = ""
	}
	script := ok(filepath.Abs("programs/boto_iam.py"))(t)
	if said := strings.TrimSpace(string(c.ann.as(t).does(nil, python, script, accountA, aws))); said != "well" {
		t.Error(said)
	}
}
