package keys

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/policy"
	"borealis/internal/seal"
)

// maxPlaintext is how many bytes a key encrypts at once.
const maxPlaintext = 4096

const symmetric = types.EncryptionAlgorithmSpecSymmetricDefault

// seal encrypts plaintext under the current material of t.
func (t target) seal(use byte, plaintext []byte, context map[string]string) ([]byte, error) {
	out, err := encrypt(use, t.Current, t.secrets[t.Current], plaintext, context)
	if err != nil {
		return nil, fmt.Errorf("encrypt under %s: %w", t.arn, err)
	}
	return out, nil
}

// checkAlgorithm refuses an algorithm that the key does not have.
func checkAlgorithm(a types.EncryptionAlgorithmSpec) error {
	if a == "" || a == symmetric {
		return nil
	}
	return &types.InvalidKeyUsageException{Message: new(fmt.Sprintf("Algorithm %s is incompatible with key spec %s.", a, defaultSpec))}
}

// noEnclave refuses a Recipient: answers for Nitro enclaves are not offered, and
// leaving it out would put the plaintext where it was not wanted.
func noEnclave(r *types.RecipientInfo) error {
	if r == nil {
		return nil
	}
	return unsupported("This server does not offer Recipient yet.")
}

func isSet(b *bool) bool { return b != nil && *b }

// Encrypt encrypts up to 4096 bytes.
func (v *View) Encrypt(ctx context.Context, in *kms.EncryptInput) (*kms.EncryptOutput, error) {
	t, err := v.open(ctx, ask{action: "Encrypt", key: str(in.KeyId), encryption: in.EncryptionContext, tokens: in.GrantTokens})
	if err != nil {
		return nil, err
	}
	if err := checkAlgorithm(in.EncryptionAlgorithm); err != nil {
		return nil, err
	}
	if n := len(in.Plaintext); n < 1 || n > maxPlaintext {
		bound, limit := "less", maxPlaintext
		if n < 1 {
			bound, limit = "greater", 1
		}
		return nil, invalid("1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length %s than or equal to %d", bound, limit)
	}
	if isSet(in.DryRun) {
		return nil, dryRun()
	}
	sealed, err := t.seal(forEncrypt, in.Plaintext, in.EncryptionContext)
	if err != nil {
		return nil, err
	}
	return &kms.EncryptOutput{CiphertextBlob: sealed, KeyId: new(t.arn), EncryptionAlgorithm: symmetric}, nil
}

// A source is a ciphertext to open, as Decrypt and ReEncrypt are given it.
type source struct {
	action     string
	blob       []byte
	key        *string // which key it must be; nil for the one that the ciphertext names
	encryption map[string]string
	algorithm  types.EncryptionAlgorithmSpec
	tokens     []string
	context    policy.Context
	// authorizeOnly: a dry run that looks at permissions and at no ciphertext.
	authorizeOnly bool
}

func (s source) ask() ask {
	return ask{
		action: s.action, key: str(s.key), encryption: s.encryption, tokens: s.tokens,
		context: s.context, byCiphertext: s.key == nil,
	}
}

// find is the key that s is to be opened with.
func (v *View) findSource(ctx context.Context, s source) (target, error) {
	if s.key != nil {
		return v.find(ctx, s.action, *s.key)
	}
	b, ok := parseBlob(s.blob)
	if !ok {
		return target{}, badCiphertext()
	}
	r, err := v.lookUpMaterial(ctx, v.caller.Region, b.material)
	switch {
	case isNotFound(err):
		return target{}, badCiphertext()
	case err != nil:
		return target{}, err
	case r.Region != v.caller.Region:
		// Not in this Region, whoever's it is; and a refusal does not say whose.
		return target{ref: Ref{Place{Region: v.caller.Region}, r.ID}, arn: r.ARN()}, nil
	}
	return v.findKey(ctx, target{ref: r, arn: r.ARN()})
}

// unseal opens s with t, which the caller may use.
func (v *View) unseal(ctx context.Context, t target, s source) (seal.Plaintext, string, error) {
	if err := checkAlgorithm(s.algorithm); err != nil {
		return nil, "", err
	}
	b, ok := parseBlob(s.blob)
	if !ok {
		return nil, "", badCiphertext()
	}
	secret, ok := t.secrets[b.material]
	if !ok {
		_, err := v.lookUpMaterial(ctx, v.caller.Region, b.material)
		switch {
		case isNotFound(err):
			return nil, "", badCiphertext()
		case err != nil:
			return nil, "", err
		}
		return nil, "", &types.IncorrectKeyException{Message: new("The key ID in the request does not identify a CMK that can perform this operation.")}
	}
	plaintext, ok := b.decrypt(secret, s.encryption)
	if !ok {
		return nil, "", badCiphertext()
	}
	return plaintext, b.material, nil
}

// Decrypt opens what Encrypt, ReEncrypt or GenerateDataKey made.
func (v *View) Decrypt(ctx context.Context, in *kms.DecryptInput) (*kms.DecryptOutput, error) {
	if err := noEnclave(in.Recipient); err != nil {
		return nil, err
	}
	s := source{
		action: "Decrypt", blob: in.CiphertextBlob, key: in.KeyId, encryption: in.EncryptionContext,
		algorithm: in.EncryptionAlgorithm, tokens: in.GrantTokens,
		authorizeOnly: isSet(in.DryRun) && slices.Contains(in.DryRunModifiers, types.DryRunModifierTypeIgnoreCiphertext),
	}
	t, err := v.findSource(ctx, s)
	if err != nil {
		return nil, err
	}
	if err := v.authorize(ctx, t, s.ask()); err != nil {
		return nil, err
	}
	if err := usable(&t.Key, s.action); err != nil {
		return nil, err
	}
	if s.authorizeOnly {
		return nil, dryRun()
	}
	plaintext, material, err := v.unseal(ctx, t, s)
	if err != nil {
		return nil, err
	}
	if isSet(in.DryRun) {
		return nil, dryRun()
	}
	return &kms.DecryptOutput{Plaintext: plaintext, KeyId: new(t.arn), KeyMaterialId: &material, EncryptionAlgorithm: symmetric}, nil
}

// ReEncrypt decrypts under one key and encrypts under another, without showing
// the plaintext to anybody. It needs kms:ReEncryptFrom on the one key and
// kms:ReEncryptTo on the other.
func (v *View) ReEncrypt(ctx context.Context, in *kms.ReEncryptInput) (*kms.ReEncryptOutput, error) {
	s := source{
		action: "ReEncryptFrom", blob: in.CiphertextBlob, key: in.SourceKeyId, encryption: in.SourceEncryptionContext,
		algorithm: in.SourceEncryptionAlgorithm, tokens: in.GrantTokens,
		authorizeOnly: isSet(in.DryRun) && slices.Contains(in.DryRunModifiers, types.DryRunModifierTypeIgnoreCiphertext),
	}
	from, to, err := v.openBoth(ctx, s, in)
	if err != nil {
		return nil, err
	}
	if s.authorizeOnly {
		return nil, dryRun()
	}
	plaintext, material, err := v.unseal(ctx, from, s)
	if err != nil {
		return nil, err
	}
	defer seal.Wipe(plaintext)
	if err := checkAlgorithm(in.DestinationEncryptionAlgorithm); err != nil {
		return nil, err
	}
	if isSet(in.DryRun) {
		return nil, dryRun()
	}
	sealed, err := to.seal(forEncrypt, plaintext, in.DestinationEncryptionContext)
	if err != nil {
		return nil, err
	}
	return &kms.ReEncryptOutput{
		CiphertextBlob: sealed, SourceKeyId: new(from.arn), KeyId: new(to.arn),
		SourceKeyMaterialId: &material, DestinationKeyMaterialId: new(to.Current),
		SourceEncryptionAlgorithm: symmetric, DestinationEncryptionAlgorithm: symmetric,
	}, nil
}

// openBoth is open for the two keys of ReEncrypt.
func (v *View) openBoth(ctx context.Context, s source, in *kms.ReEncryptInput) (from, to target, err error) {
	if from, err = v.findSource(ctx, s); err != nil {
		return from, to, err
	}
	if to, err = v.find(ctx, "ReEncryptTo", str(in.DestinationKeyId)); err != nil {
		return from, to, err
	}
	s.context = policy.Context{"kms:ReEncryptOnSameKey": []string{strconv.FormatBool(from.ref == to.ref)}}
	if err = v.authorize(ctx, from, s.ask()); err != nil {
		return from, to, err
	}
	a := ask{action: "ReEncryptTo", encryption: in.DestinationEncryptionContext, tokens: in.GrantTokens, context: s.context}
	if err = v.authorize(ctx, to, a); err != nil {
		return from, to, err
	}
	if err = usable(&from.Key, s.action); err != nil {
		return from, to, err
	}
	return from, to, usable(&to.Key, a.action)
}

// GenerateDataKey makes a random key and answers with it, in the clear and
// encrypted. It reads and writes no database once the key is in memory.
func (v *View) GenerateDataKey(ctx context.Context, in *kms.GenerateDataKeyInput) (*kms.GenerateDataKeyOutput, error) {
	if err := noEnclave(in.Recipient); err != nil {
		return nil, err
	}
	d := dataKey{"GenerateDataKey", in.KeyId, in.KeySpec, in.NumberOfBytes, in.EncryptionContext, in.GrantTokens, in.DryRun}
	t, plaintext, sealed, err := v.dataKey(ctx, d)
	if err != nil {
		return nil, err
	}
	return &kms.GenerateDataKeyOutput{CiphertextBlob: sealed, Plaintext: plaintext, KeyId: new(t.arn), KeyMaterialId: new(t.Current)}, nil
}

// GenerateDataKeyWithoutPlaintext makes a random key and answers with it
// encrypted.
func (v *View) GenerateDataKeyWithoutPlaintext(ctx context.Context, in *kms.GenerateDataKeyWithoutPlaintextInput) (*kms.GenerateDataKeyWithoutPlaintextOutput, error) {
	d := dataKey{"GenerateDataKeyWithoutPlaintext", in.KeyId, in.KeySpec, in.NumberOfBytes, in.EncryptionContext, in.GrantTokens, in.DryRun}
	t, plaintext, sealed, err := v.dataKey(ctx, d)
	if err != nil {
		return nil, err
	}
	seal.Wipe(plaintext)
	return &kms.GenerateDataKeyWithoutPlaintextOutput{CiphertextBlob: sealed, KeyId: new(t.arn), KeyMaterialId: new(t.Current)}, nil
}

// A dataKey is a request for a data key.
type dataKey struct {
	action     string
	key        *string
	spec       types.DataKeySpec
	bytes      *int32
	encryption map[string]string
	tokens     []string
	dryRun     *bool
}

func (v *View) dataKey(ctx context.Context, d dataKey) (target, seal.Plaintext, []byte, error) {
	t, err := v.open(ctx, ask{action: d.action, key: str(d.key), encryption: d.encryption, tokens: d.tokens})
	if err != nil {
		return t, nil, nil, err
	}
	n, err := d.size()
	if err != nil {
		return t, nil, nil, err
	}
	if isSet(d.dryRun) {
		return t, nil, nil, dryRun()
	}
	plaintext := make(seal.Plaintext, n)
	rand.Read(plaintext)
	sealed, err := t.seal(forDataKey, plaintext, d.encryption)
	return t, plaintext, sealed, err
}

// size is how many bytes the data key is to have.
func (d dataKey) size() (int, error) {
	switch {
	case (d.spec == "") == (d.bytes == nil):
		return 0, invalid("Please specify either number of bytes or key spec.")
	case d.spec == types.DataKeySpecAes128:
		return 16, nil
	case d.spec == types.DataKeySpecAes256:
		return 32, nil
	case d.spec != "":
		return 0, invalid("1 validation error detected: Value '%s' at 'keySpec' failed to satisfy constraint: Member must satisfy enum value set: [AES_256, AES_128]", d.spec)
	}
	return checkBytes(*d.bytes)
}

func checkBytes(n int32) (int, error) {
	const form = "1 validation error detected: Value '%d' at 'numberOfBytes' failed to satisfy constraint: Member must have value %s than or equal to %d"
	switch {
	case n < 1:
		return 0, invalid(form, n, "greater", 1)
	case n > 1024:
		return 0, invalid(form, n, "less", 1024)
	}
	return int(n), nil
}

// GenerateRandom answers with random bytes.
func (v *View) GenerateRandom(ctx context.Context, in *kms.GenerateRandomInput) (*kms.GenerateRandomOutput, error) {
	if err := noEnclave(in.Recipient); err != nil {
		return nil, err
	}
	if err := v.allow(ctx, "GenerateRandom", "*", policy.Context{}); err != nil {
		return nil, err
	}
	switch {
	case in.CustomKeyStoreId != nil:
		return nil, unsupported("This server does not offer custom key stores yet.")
	case in.NumberOfBytes == nil:
		return nil, invalid("NumberOfBytes is required.")
	}
	n, err := checkBytes(*in.NumberOfBytes)
	if err != nil {
		return nil, err
	}
	out := make([]byte, n)
	rand.Read(out)
	return &kms.GenerateRandomOutput{Plaintext: out}, nil
}
