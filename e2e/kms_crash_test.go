package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"borealis/e2e/local"
)

const otherRegion = "eu-west-1"

// TestKMSKilled kills the server with signal 9 while keys are made, rotated,
// imported, replicated, granted and disabled by several at once, and the root key
// is replaced again and again. What was answered is there afterwards, every key
// is whole, and what was encrypted decrypts.
func TestKMSKilled(t *testing.T) {
	s := newServer(t, "--postgres-bin", t.TempDir())
	b := &bank{t: t, s: s, ann: root(t, s, accountA), kept: map[string]*deposit{}}
	for n := range 4 {
		b.busy(n, 50*time.Millisecond+time.Duration(mathrand.Int64N(int64(700*time.Millisecond))))
		start(t, s, "--postgres-bin", t.TempDir())
		b.audit()
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Logf("%d keys, %d ciphertexts, %d root keys", len(b.kept), b.blobs(), b.roots)
}

// A bank is a server's keys, and what it has promised about them.
type bank struct {
	t     *testing.T
	s     *local.Server
	ann   *person
	mu    sync.Mutex
	kept  map[string]*deposit // by key ARN
	roots int
}

// A deposit is what was answered about one key.
type deposit struct {
	blobs    [][]byte
	alias    string
	grant    string
	rotated  int
	copied   bool
	disabled bool
	imported bool
}

func (b *bank) blobs() (n int) {
	for _, d := range b.kept {
		n += len(d.blobs)
	}
	return n
}

// keep puts what was answered about a key on record.
func (b *bank) keep(key string, change func(*deposit)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.kept[key] == nil {
		b.kept[key] = new(deposit)
	}
	change(b.kept[key])
}

// busy lets everybody work for a while, and kills the server.
func (b *bank) busy(round int, d time.Duration) {
	ctx, cancel := context.WithCancel(b.t.Context())
	defer cancel()
	var wg sync.WaitGroup
	work := func(job func(ctx context.Context, name string) error) {
		name := fmt.Sprintf("%d-%d", round, mathrand.Uint32())
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				err := job(ctx, fmt.Sprint(name, "-", n))
				if _, refusal := errors.AsType[smithy.APIError](err); refusal {
					b.t.Errorf("refused: %v", err)
				}
				if err != nil {
					return // the server is dead
				}
			}
		})
	}
	work(b.family)
	work(b.family)
	work(b.bring)
	wg.Go(func() {
		for ctx.Err() == nil {
			if _, err := b.s.Run(ctx, nil, "seal", "rotate", "--yes", "--data", b.s.Data()); err != nil {
				return
			}
			b.mu.Lock()
			b.roots++
			b.mu.Unlock()
		}
	})
	pause(ctx, d)
	b.s.Kill()
	cancel()
	wg.Wait()
}

// family makes a key, and does to it whatever can be done at once.
func (b *bank) family(ctx context.Context, name string) error {
	c := b.ann.kms()
	made, err := c.CreateKey(ctx, &kms.CreateKeyInput{MultiRegion: new(true), Tags: []types.Tag{{TagKey: new("made-by"), TagValue: &name}}})
	if err != nil {
		return err
	}
	key := made.KeyMetadata.Arn
	keep := func(change func(*deposit)) { b.keep(*key, change) }
	keep(func(*deposit) {})
	alias := "alias/" + name
	if _, err := c.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: &alias, TargetKeyId: key}); err != nil {
		return err
	}
	keep(func(d *deposit) { d.alias = alias })
	for range 3 {
		if err := b.encrypt(ctx, key); err != nil {
			return err
		}
		if _, err := c.RotateKeyOnDemand(ctx, &kms.RotateKeyOnDemandInput{KeyId: key}); err != nil {
			return err
		}
		keep(func(d *deposit) { d.rotated++ })
	}
	if _, err := c.ReplicateKey(ctx, &kms.ReplicateKeyInput{KeyId: key, ReplicaRegion: new(otherRegion)}); err != nil {
		return err
	}
	keep(func(d *deposit) { d.copied = true })
	grant, err := c.CreateGrant(ctx, &kms.CreateGrantInput{KeyId: key, GranteePrincipal: new(accountA), Operations: []types.GrantOperation{"Decrypt"}})
	if err != nil {
		return err
	}
	keep(func(d *deposit) { d.grant = *grant.GrantId })
	if err := b.encrypt(ctx, key); err != nil {
		return err
	}
	if _, err := c.DisableKey(ctx, &kms.DisableKeyInput{KeyId: key}); err != nil {
		return err
	}
	keep(func(d *deposit) { d.disabled = true })
	return nil
}

func (b *bank) encrypt(ctx context.Context, key *string) error {
	out, err := b.ann.kms().Encrypt(ctx, &kms.EncryptInput{KeyId: key, Plaintext: []byte("secret")})
	if err == nil {
		b.keep(*key, func(d *deposit) { d.blobs = append(d.blobs, out.CiphertextBlob) })
	}
	return err
}

// bring makes a key and imports its material.
func (b *bank) bring(ctx context.Context, _ string) error {
	c := b.ann.kms()
	made, err := c.CreateKey(ctx, &kms.CreateKeyInput{Origin: types.OriginTypeExternal})
	if err != nil {
		return err
	}
	key := made.KeyMetadata.Arn
	params, err := c.GetParametersForImport(ctx, &kms.GetParametersForImportInput{KeyId: key, WrappingAlgorithm: "RSAES_OAEP_SHA_256", WrappingKeySpec: "RSA_2048"})
	if err != nil {
		return err
	}
	public, err := x509.ParsePKIXPublicKey(params.PublicKey)
	if err != nil {
		return err
	}
	material := make([]byte, 32)
	rand.Read(material)
	wrapped, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, public.(*rsa.PublicKey), material, nil)
	if err != nil {
		return err
	}
	if _, err := c.ImportKeyMaterial(ctx, &kms.ImportKeyMaterialInput{
		KeyId: key, ImportToken: params.ImportToken, EncryptedKeyMaterial: wrapped, ExpirationModel: "KEY_MATERIAL_DOES_NOT_EXPIRE",
	}); err != nil {
		return err
	}
	b.keep(*key, func(d *deposit) { d.imported = true })
	return b.encrypt(ctx, key)
}

// audit wants everything that was answered, and nothing half done.
func (b *bank) audit() {
	b.t.Helper()
	if said := query(b.t, b.s, "SELECT integrity_check FROM pragma_integrity_check UNION ALL SELECT 'orphan in ' || \"table\" FROM pragma_foreign_key_check"); said != "ok" {
		b.t.Errorf("the database: %s", said)
	}
	for _, name := range names(b.t, b.s.Dir) {
		if base := filepath.Base(name); strings.HasPrefix(base, ".tmp-") || strings.HasPrefix(base, ".new-") {
			b.t.Errorf("left behind: %s", name)
		}
	}
	aliases := b.aliases()
	for key, d := range b.kept {
		b.promised(key, d, aliases)
	}
	here, there := b.whole(local.Region), b.whole(otherRegion)
	for id, m := range here {
		if m.MultiRegionConfiguration == nil {
			continue
		}
		if n, copied := len(m.MultiRegionConfiguration.ReplicaKeys), there[id] != nil; (n == 1) != copied {
			b.t.Errorf("%s has %d replicas, the other Region has it: %t", id, n, copied)
		}
		delete(there, id)
	}
	for id := range there {
		b.t.Errorf("%s is a replica of nothing", id)
	}
}

// promised wants what was answered about a key.
func (b *bank) promised(key string, d *deposit, aliases map[string]string) {
	b.t.Helper()
	c, ctx := b.ann.kms(), b.t.Context()
	m := ok(c.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &key}))(b.t).KeyMetadata
	if d.disabled {
		if m.KeyState != types.KeyStateDisabled {
			b.t.Errorf("%s is %s, was disabled", key, m.KeyState)
		}
	}
	if m.KeyState == types.KeyStateDisabled { // also if nobody was told so any more
		ok(c.EnableKey(ctx, &kms.EnableKeyInput{KeyId: &key}))(b.t)
		d.disabled = false
	}
	if d.alias != "" && aliases[d.alias] != *m.KeyId {
		b.t.Errorf("%s is of %q, not of %s", d.alias, aliases[d.alias], *m.KeyId)
	}
	for _, blob := range d.blobs {
		if out, err := c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: blob}); err != nil || !bytes.Equal(out.Plaintext, []byte("secret")) {
			b.t.Errorf("%s: decrypt: %v", key, err)
		}
	}
	if done := len(ok(c.ListKeyRotations(ctx, &kms.ListKeyRotationsInput{KeyId: &key}))(b.t).Rotations); done < d.rotated || done > d.rotated+1 {
		b.t.Errorf("%s has rotated %d times, answered %d", key, done, d.rotated)
	}
	if d.grant != "" && len(ok(c.ListGrants(ctx, &kms.ListGrantsInput{KeyId: &key, GrantId: &d.grant}))(b.t).Grants) != 1 {
		b.t.Errorf("%s has no grant %s", key, d.grant)
	}
	if d.imported && m.KeyState == types.KeyStatePendingImport {
		b.t.Errorf("%s has lost its material", key)
	}
	if d.copied {
		copied := strings.Replace(key, local.Region, otherRegion, 1)
		for _, blob := range d.blobs {
			ok(b.ann.in(otherRegion).kms().Decrypt(ctx, &kms.DecryptInput{KeyId: &copied, CiphertextBlob: blob}))(b.t)
		}
	}
}

func (b *bank) aliases() map[string]string {
	all := map[string]string{}
	p := kms.NewListAliasesPaginator(b.ann.kms(), &kms.ListAliasesInput{})
	for p.HasMorePages() {
		for _, a := range ok(p.NextPage(b.t.Context()))(b.t).Aliases {
			all[*a.AliasName] = *a.TargetKeyId
		}
	}
	return all
}

// whole wants every key of a Region to be usable, and returns them by their ids.
func (b *bank) whole(region string) map[string]*types.KeyMetadata {
	b.t.Helper()
	c, ctx, all := b.ann.in(region).kms(), b.t.Context(), map[string]*types.KeyMetadata{}
	p := kms.NewListKeysPaginator(c, &kms.ListKeysInput{})
	for p.HasMorePages() {
		for _, k := range ok(p.NextPage(ctx))(b.t).Keys {
			m := ok(c.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: k.KeyArn}))(b.t).KeyMetadata
			all[*k.KeyId] = m
			ok(c.GetKeyPolicy(ctx, &kms.GetKeyPolicyInput{KeyId: k.KeyArn}))(b.t)
			tags := ok(c.ListResourceTags(ctx, &kms.ListResourceTagsInput{KeyId: k.KeyArn}))(b.t).Tags
			if want := m.MultiRegionConfiguration != nil && region == local.Region; (len(tags) == 1) != want {
				b.t.Errorf("%s has the tags %v", *k.KeyArn, tags)
			}
			if m.Origin == types.OriginTypeExternal && m.KeyState == types.KeyStatePendingImport {
				continue
			}
			if slices.Contains([]types.KeyState{types.KeyStateEnabled, types.KeyStateCreating}, m.KeyState) {
				sealed := ok(c.Encrypt(ctx, &kms.EncryptInput{KeyId: k.KeyArn, Plaintext: []byte("x")}))(b.t)
				ok(c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob}))(b.t)
				continue
			}
			b.t.Errorf("%s is %s", *k.KeyArn, m.KeyState)
		}
	}
	return all
}
