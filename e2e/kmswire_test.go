package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/attestation/attestationtest"
)

// A pagesOf is one of the SDK's.
type pagesOf[Out any] interface {
	HasMorePages() bool
	NextPage(context.Context, ...func(*kms.Options)) (Out, error)
}

// countPages is how many elements a paginator finds, which have one on each page.
func countPages[Out any](t *testing.T, p pagesOf[Out], on func(Out) int) (n int) {
	t.Helper()
	for p.HasMorePages() {
		switch found := on(ok(p.NextPage(t.Context()))(t)); found {
		case 1:
			n++
		default:
			t.Errorf("a page with %d elements", found)
			return n
		}
	}
	return n
}

// The SDK's paginators walk every list of KMS, one element at a time.
func TestKMSPaginators(t *testing.T) {
	ann := root(t, newServer(t, newEKM(t).flags(t, 5*time.Second)...), accountA)
	c, ctx, one := ann.kms(), t.Context(), new(int32(1))
	me := "arn:aws:iam::" + accountA + ":root"
	key := new(ann.newKey())
	ann.newKey()
	for i := range 3 {
		ok(c.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: new(fmt.Sprint("alias/", i)), TargetKeyId: key}))(t)
		ok(c.CreateGrant(ctx, &kms.CreateGrantInput{KeyId: key, GranteePrincipal: &me, RetiringPrincipal: &me, Operations: []types.GrantOperation{"Decrypt"}}))(t)
		ok(c.RotateKeyOnDemand(ctx, &kms.RotateKeyOnDemandInput{KeyId: key}))(t)
		ok(c.TagResource(ctx, &kms.TagResourceInput{KeyId: key, Tags: []types.Tag{{TagKey: new(fmt.Sprint(i)), TagValue: new("v")}}}))(t)
	}
	ok(c.CreateCustomKeyStore(ctx, xksStore("store")))(t)
	for list, found := range map[string][2]int{
		"ListKeys":                {2, countPages(t, kms.NewListKeysPaginator(c, &kms.ListKeysInput{Limit: one}), func(o *kms.ListKeysOutput) int { return len(o.Keys) })},
		"ListAliases":             {3, countPages(t, kms.NewListAliasesPaginator(c, &kms.ListAliasesInput{Limit: one, KeyId: key}), func(o *kms.ListAliasesOutput) int { return len(o.Aliases) })},
		"ListGrants":              {3, countPages(t, kms.NewListGrantsPaginator(c, &kms.ListGrantsInput{Limit: one, KeyId: key}), func(o *kms.ListGrantsOutput) int { return len(o.Grants) })},
		"ListRetirableGrants":     {3, countPages(t, kms.NewListRetirableGrantsPaginator(c, &kms.ListRetirableGrantsInput{Limit: one, RetiringPrincipal: &me}), func(o *kms.ListRetirableGrantsOutput) int { return len(o.Grants) })},
		"ListKeyPolicies":         {1, countPages(t, kms.NewListKeyPoliciesPaginator(c, &kms.ListKeyPoliciesInput{Limit: one, KeyId: key}), func(o *kms.ListKeyPoliciesOutput) int { return len(o.PolicyNames) })},
		"ListResourceTags":        {3, countPages(t, kms.NewListResourceTagsPaginator(c, &kms.ListResourceTagsInput{Limit: one, KeyId: key}), func(o *kms.ListResourceTagsOutput) int { return len(o.Tags) })},
		"ListKeyRotations":        {3, countPages(t, kms.NewListKeyRotationsPaginator(c, &kms.ListKeyRotationsInput{Limit: one, KeyId: key}), func(o *kms.ListKeyRotationsOutput) int { return len(o.Rotations) })},
		"DescribeCustomKeyStores": {1, countPages(t, kms.NewDescribeCustomKeyStoresPaginator(c, &kms.DescribeCustomKeyStoresInput{Limit: one}), func(o *kms.DescribeCustomKeyStoresOutput) int { return len(o.CustomKeyStores) })},
	} {
		if found[0] != found[1] {
			t.Errorf("%s: %d elements, want %d", list, found[1], found[0])
		}
	}
	_, err := c.ListKeys(ctx, &kms.ListKeysInput{Marker: new("nothing")})
	refused(t, "no marker", err, "InvalidMarkerException")
	_, err = c.ListKeys(ctx, &kms.ListKeysInput{Limit: new(int32(1001))})
	refused(t, "a page too large", err, "ValidationException", "1 validation error detected: Value '1001' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 1000")
}

// A client that asks too fast is told so as AWS tells it, and one that tries again,
// as the SDK does by itself, gets its answer.
func TestThrottling(t *testing.T) {
	ann := root(t, newServer(t, "--kms-request-rate", "1"), accountA)
	key := new(ann.newKey())
	describe := func(c *kms.Client) error {
		_, err := c.UpdateKeyDescription(t.Context(), &kms.UpdateKeyDescriptionInput{KeyId: key, Description: new("d")})
		return err
	}
	var err error
	for range 50 { // of five in a second
		if err = describe(ann.once()); err != nil {
			break
		}
	}
	refused(t, "one too many", err, "ThrottlingException", "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.")
	patient := ann.config()
	patient.RetryMaxAttempts = retry.DefaultMaxAttempts
	ann.must("describe with patience", describe(kms.NewFromConfig(patient)))
}

// What an enclave asks for is answered for it alone, if the server trusts whoever
// vouches for it.
func TestRecipient(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("SKIPPED: the program openssl is not installed, so answers for enclaves are not opened with it")
	}
	authority, dir := attestationtest.New(t, time.Now()), t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, data []byte) {
		if err := os.WriteFile(path(name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("root.pem", authority.Root())
	private := ok(rsa.GenerateKey(rand.Reader, 2048))(t)
	write("key.pem", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)}))
	ann := root(t, newServer(t, "--attestation-root", path("root.pem")), accountA)
	c, ctx := ann.kms(), t.Context()
	to := func(a *attestationtest.Authority) *types.RecipientInfo {
		return &types.RecipientInfo{AttestationDocument: a.Document(&private.PublicKey, time.Now(), nil), KeyEncryptionAlgorithm: "RSAES_OAEP_SHA_256"}
	}
	key := ok(c.CreateKey(ctx, &kms.CreateKeyInput{}))(t).KeyMetadata.Arn
	sealed := ok(c.Encrypt(ctx, &kms.EncryptInput{KeyId: key, Plaintext: []byte("secret")}))(t).CiphertextBlob
	out := ok(c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: sealed, Recipient: to(authority)}))(t)
	if out.Plaintext != nil {
		t.Errorf("the answer has the plaintext %q", out.Plaintext)
	}
	write("envelope", out.CiphertextForRecipient)
	opened := ok(exec.CommandContext(ctx, openssl, "cms", "-decrypt", "-binary", "-inform", "DER", "-in", path("envelope"), "-inkey", path("key.pem")).Output())(t)
	if !bytes.Equal(opened, []byte("secret")) {
		t.Errorf("the enclave reads %q", opened)
	}
	_, err = c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: sealed, Recipient: to(attestationtest.New(t, time.Now()))})
	refused(t, "an authority that is not trusted", err, "ValidationException")
}

// Grants to services, over the wire.
func TestServiceGrants(t *testing.T) {
	ann := root(t, newServer(t), accountA)
	c, ctx := ann.kms(), t.Context()
	key := new(ann.newKey())
	const service, source = "rds.us-east-1.amazonaws.com", "arn:aws:rds:us-east-1:" + accountA + ":cluster:orders"
	in := &kms.CreateGrantInput{
		KeyId: key, GranteeServicePrincipal: new(service), RetiringServicePrincipal: new(service), Operations: []types.GrantOperation{"Decrypt"},
	}
	_, err := c.CreateGrant(ctx, in)
	refused(t, "without the resource", err, "ValidationException")
	in.Constraints = &types.GrantConstraints{SourceArn: new(source)}
	made := ok(c.CreateGrant(ctx, in))(t)
	list := ok(c.ListGrants(ctx, &kms.ListGrantsInput{KeyId: key, GrantId: made.GrantId}))(t).Grants
	if len(list) != 1 || list[0].GranteeServicePrincipal == nil || *list[0].GranteeServicePrincipal != service ||
		list[0].RetiringServicePrincipal == nil || list[0].Constraints == nil || *list[0].Constraints.SourceArn != source || list[0].GranteePrincipal != nil {
		t.Errorf("listed %+v", list)
	}
	_, err = c.ListRetirableGrants(ctx, &kms.ListRetirableGrantsInput{RetiringServicePrincipal: new(service)})
	refused(t, "what a service may ask alone", err, "ValidationException")
	_, err = c.RetireGrant(ctx, &kms.RetireGrantInput{KeyId: key, GrantId: made.GrantId})
	ann.must("retire it as the account that made it", err)
	if left := ok(c.ListGrants(ctx, &kms.ListGrantsInput{KeyId: key}))(t).Grants; len(left) > 0 {
		t.Errorf("left: %+v", left)
	}
}
