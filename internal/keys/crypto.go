package keys

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/material"
	"borealis/internal/policy"
	"borealis/internal/seal"
)

// maxPlaintext is how many bytes a symmetric key encrypts at once.
const maxPlaintext = 4096

const symmetric = material.AlgorithmSymmetric

// seal encrypts plaintext under the current material of t, a symmetric
// encryption key. Every symmetric ciphertext is made here.
func (v *View) seal(ctx context.Context, t target, use byte, plaintext []byte, encryption map[string]string) ([]byte, error) {
	if t.backing != nil {
		return v.sealInStore(ctx, t, use, plaintext, encryption)
	}
	out, err := encrypt(use, t.Current, t.secretOf(t.Current).Secret(), plaintext, encryption)
	if err != nil {
		return nil, fmt.Errorf("encrypt under %s: %w", t.arn, err)
	}
	return out, nil
}

// unseal opens what seal made with t, and says which material it was. Every
// symmetric ciphertext is opened here. If t is no symmetric encryption key,
// nothing opens.
func (v *View) unseal(ctx context.Context, t target, sealed []byte, encryption map[string]string) (seal.Plaintext, string, error) {
	b, ok := parseBlob(sealed)
	if !ok {
		return nil, "", badCiphertext()
	}
	if t.backing != nil && t.Current == b.material {
		plaintext, err := v.unsealInStore(ctx, t, b, encryption)
		return plaintext, b.material, err
	}
	secret := t.secretOf(b.material)
	if secret == nil || !t.symmetric() {
		_, err := v.lookUpMaterial(ctx, v.caller.Region, b.material)
		switch {
		case isNotFound(err):
			return nil, "", badCiphertext()
		case err != nil:
			return nil, "", err
		}
		return nil, "", incorrectKey()
	}
	if b.from != fromKMS {
		return nil, "", badCiphertext()
	}
	plaintext, ok := b.decrypt(secret.Secret(), encryption)
	if !ok {
		return nil, "", badCiphertext()
	}
	return plaintext, b.material, nil
}

// secret is the material of a key that has one only: all but symmetric keys.
func (t target) secret() *material.Key { return t.secretOf(t.Current) }

// checkUse refuses an operation that is not what t is for, and an algorithm that
// t does not have.
func (t target) checkUse(operation string, usage material.Usage, a material.Algorithm) error {
	if err := t.checkUsage(operation, usage); err != nil {
		return err
	}
	if a == symmetric && t.symmetric() || slices.Contains(t.Spec.Algorithms(usage), a) {
		return nil
	}
	return &types.InvalidKeyUsageException{Message: new(fmt.Sprintf("Algorithm %s is incompatible with key spec %s.", a, t.Spec))}
}

func (t target) checkUsage(operation string, usage material.Usage) error {
	if t.Usage == usage {
		return nil
	}
	return &types.InvalidKeyUsageException{Message: new(fmt.Sprintf("%s key usage is %s which is not valid for %s.", t.arn, t.Usage, operation))}
}

// algorithmOf is the algorithm of a request that encrypts or decrypts.
func algorithmOf(a types.EncryptionAlgorithmSpec) material.Algorithm {
	return cmp.Or(material.Algorithm(a), symmetric)
}

// algorithmContext holds the condition key of an algorithm other than the usual.
func algorithmContext(a material.Algorithm) policy.Context {
	if a == symmetric {
		return nil
	}
	return policy.Context{"kms:EncryptionAlgorithm": []string{string(a)}}
}

// checkContext refuses an encryption context where there is nothing to bind it to.
func checkContext(a material.Algorithm, encryption map[string]string) error {
	if a == symmetric || len(encryption) == 0 {
		return nil
	}
	return invalid("EncryptionContext is not supported when encrypting/decrypting with asymmetric CMKs.")
}

// checkPlaintext refuses what t does not encrypt at once.
func (t target) checkPlaintext(a material.Algorithm, plaintext []byte) error {
	most := maxPlaintext
	if a != symmetric {
		most = t.Spec.MaxPlaintext(a)
	}
	const form = "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length %s than or equal to %d"
	switch n := len(plaintext); {
	case n < 1:
		return invalid(form, "greater", 1)
	case n > maxPlaintext:
		return invalid(form, "less", maxPlaintext)
	case n > most:
		return invalid("Algorithm %s and key spec %s cannot encrypt data larger than %d bytes.", a, t.Spec, most)
	}
	return nil
}

// encrypt encrypts under t, which has been found to do so with a.
func (v *View) encrypt(ctx context.Context, t target, a material.Algorithm, plaintext []byte, encryption map[string]string) ([]byte, error) {
	if a == symmetric {
		return v.seal(ctx, t, forEncrypt, plaintext, encryption)
	}
	out, err := t.secret().Encrypt(a, plaintext)
	if err != nil {
		return nil, fmt.Errorf("encrypt under %s: %w", t.arn, err)
	}
	return out, nil
}

func isSet(b *bool) bool { return b != nil && *b }

// Encrypt encrypts up to 4096 bytes with a symmetric key, and as much as its
// algorithm takes with the public key of a pair.
func (v *View) Encrypt(ctx context.Context, in *kms.EncryptInput) (*kms.EncryptOutput, error) {
	a := algorithmOf(in.EncryptionAlgorithm)
	t, err := v.open(ctx, ask{
		action: "Encrypt", key: str(in.KeyId), encryption: in.EncryptionContext, tokens: in.GrantTokens, context: algorithmContext(a),
	})
	if err != nil {
		return nil, err
	}
	if err := t.checkUse("Encrypt", material.EncryptDecrypt, a); err != nil {
		return nil, err
	}
	if err := checkContext(a, in.EncryptionContext); err != nil {
		return nil, err
	}
	if err := t.checkPlaintext(a, in.Plaintext); err != nil {
		return nil, err
	}
	if isSet(in.DryRun) {
		return nil, dryRun()
	}
	sealed, err := v.encrypt(ctx, t, a, in.Plaintext, in.EncryptionContext)
	if err != nil {
		return nil, err
	}
	v.used(t, types.KeyLastUsageTrackingOperationEncrypt)
	return &kms.EncryptOutput{CiphertextBlob: sealed, KeyId: new(t.arn), EncryptionAlgorithm: types.EncryptionAlgorithmSpec(a)}, nil
}

// A source is a ciphertext to open, as Decrypt and ReEncrypt are given it.
type source struct {
	operation  string
	action     string
	blob       []byte
	key        *string // which key it must be; nil for the one that the ciphertext names
	encryption map[string]string
	algorithm  material.Algorithm
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

// check refuses to open s with t, which the caller may use, where that is clear
// without a look at the ciphertext. A pair that is asked to decrypt with the
// symmetric algorithm, which is the default, is not refused: to AWS it is the
// ciphertext that is wrong.
func (s source) check(t target) error {
	if t.elsewhere {
		return incorrectKey()
	}
	if s.algorithm == symmetric && !t.symmetric() {
		return t.checkUsage(s.operation, material.EncryptDecrypt)
	}
	if err := t.checkUse(s.operation, material.EncryptDecrypt, s.algorithm); err != nil {
		return err
	}
	return checkContext(s.algorithm, s.encryption)
}

// decrypt opens s with t. It also answers the id of the material, if the
// ciphertext is a symmetric one.
func (v *View) decrypt(ctx context.Context, t target, s source) (seal.Plaintext, *string, error) {
	if s.algorithm == symmetric {
		plaintext, id, err := v.unseal(ctx, t, s.blob, s.encryption)
		return plaintext, &id, err
	}
	plaintext, err := t.secret().Decrypt(s.algorithm, s.blob)
	if err != nil {
		return nil, nil, badCiphertext()
	}
	return plaintext, nil, nil
}

// find is the key that s is to be opened with.
func (v *View) findSource(ctx context.Context, s source) (target, error) {
	if s.key != nil {
		return v.findNamed(ctx, s)
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

// findNamed is the key that s names. A multi-Region key of another Region stands
// for its relative here, if there is one: it is the wrong key, not an unknown one.
func (v *View) findNamed(ctx context.Context, s source) (target, error) {
	if r, ok := v.relative(*s.key); ok {
		t, err := v.findKey(ctx, target{ref: r, arn: r.ARN(), elsewhere: true})
		if _, missing := errors.AsType[*types.NotFoundException](err); !missing {
			return t, err
		}
	}
	return v.find(ctx, s.action, *s.key)
}

// Decrypt opens what Encrypt, ReEncrypt, GenerateDataKey or GenerateDataKeyPair
// made.
func (v *View) Decrypt(ctx context.Context, in *kms.DecryptInput) (*kms.DecryptOutput, error) {
	to, err := v.recipient(in.Recipient)
	if err != nil {
		return nil, err
	}
	a := algorithmOf(in.EncryptionAlgorithm)
	s := source{
		operation: "Decrypt", action: "Decrypt", blob: in.CiphertextBlob, key: in.KeyId, encryption: in.EncryptionContext,
		algorithm: a, tokens: in.GrantTokens, context: to.add(algorithmContext(a)),
		authorizeOnly: isSet(in.DryRun) && slices.Contains(in.DryRunModifiers, types.DryRunModifierTypeIgnoreCiphertext),
	}
	if s.key == nil && a != symmetric {
		return nil, invalid("KeyId must not be null")
	}
	t, err := v.findSource(ctx, s)
	if err != nil {
		return nil, err
	}
	if err := v.authorize(ctx, &t, s.ask()); err != nil {
		return nil, err
	}
	if err := usable(&t.Key, s.action); err != nil {
		return nil, err
	}
	if err := s.check(t); err != nil {
		return nil, err
	}
	if s.authorizeOnly {
		return nil, dryRun()
	}
	plaintext, id, err := v.decrypt(ctx, t, s)
	if err != nil {
		return nil, err
	}
	if isSet(in.DryRun) {
		seal.Wipe(plaintext)
		return nil, dryRun()
	}
	v.used(t, types.KeyLastUsageTrackingOperationDecrypt)
	out := &kms.DecryptOutput{KeyId: new(t.arn), KeyMaterialId: id, EncryptionAlgorithm: types.EncryptionAlgorithmSpec(a)}
	out.Plaintext, out.CiphertextForRecipient, err = to.answer(plaintext)
	return out, err
}

// ReEncrypt decrypts under one key and encrypts under another, without showing
// the plaintext to anybody. It needs kms:ReEncryptFrom on the one key and
// kms:ReEncryptTo on the other.
func (v *View) ReEncrypt(ctx context.Context, in *kms.ReEncryptInput) (*kms.ReEncryptOutput, error) {
	a := algorithmOf(in.DestinationEncryptionAlgorithm)
	s := source{
		operation: "ReEncrypt", action: "ReEncryptFrom", blob: in.CiphertextBlob, key: in.SourceKeyId, encryption: in.SourceEncryptionContext,
		algorithm: algorithmOf(in.SourceEncryptionAlgorithm), tokens: in.GrantTokens,
		authorizeOnly: isSet(in.DryRun) && slices.Contains(in.DryRunModifiers, types.DryRunModifierTypeIgnoreCiphertext),
	}
	if s.key == nil && s.algorithm != symmetric {
		return nil, invalid("SourceKeyId must not be null")
	}
	from, to, err := v.openBoth(ctx, s, in)
	if err != nil {
		return nil, err
	}
	if err := s.check(from); err != nil {
		return nil, err
	}
	if err := to.checkUse("ReEncrypt", material.EncryptDecrypt, a); err != nil {
		return nil, err
	}
	if err := checkContext(a, in.DestinationEncryptionContext); err != nil {
		return nil, err
	}
	if s.authorizeOnly {
		return nil, dryRun()
	}
	plaintext, id, err := v.decrypt(ctx, from, s)
	if err != nil {
		return nil, err
	}
	defer seal.Wipe(plaintext)
	if err := to.checkPlaintext(a, plaintext); err != nil {
		return nil, err
	}
	if isSet(in.DryRun) {
		return nil, dryRun()
	}
	sealed, err := v.encrypt(ctx, to, a, plaintext, in.DestinationEncryptionContext)
	if err != nil {
		return nil, err
	}
	v.used(from, types.KeyLastUsageTrackingOperationReEncrypt)
	v.used(to, types.KeyLastUsageTrackingOperationReEncrypt)
	out := &kms.ReEncryptOutput{
		CiphertextBlob: sealed, SourceKeyId: new(from.arn), KeyId: new(to.arn), SourceKeyMaterialId: id,
		SourceEncryptionAlgorithm:      types.EncryptionAlgorithmSpec(s.algorithm),
		DestinationEncryptionAlgorithm: types.EncryptionAlgorithmSpec(a),
	}
	if to.symmetric() {
		out.DestinationKeyMaterialId = to.current()
	}
	return out, nil
}

// openBoth is open for the two keys of ReEncrypt.
func (v *View) openBoth(ctx context.Context, s source, in *kms.ReEncryptInput) (from, to target, err error) {
	if from, err = v.findSource(ctx, s); err != nil {
		return from, to, err
	}
	if to, err = v.find(ctx, "ReEncryptTo", str(in.DestinationKeyId)); err != nil {
		return from, to, err
	}
	same := policy.Context{"kms:ReEncryptOnSameKey": []string{strconv.FormatBool(from.ref == to.ref)}}
	s.context = maps.Clone(same)
	maps.Copy(s.context, algorithmContext(s.algorithm))
	if err = v.authorize(ctx, &from, s.ask()); err != nil {
		return from, to, err
	}
	a := ask{action: "ReEncryptTo", encryption: in.DestinationEncryptionContext, tokens: in.GrantTokens, context: same}
	maps.Copy(a.context, algorithmContext(algorithmOf(in.DestinationEncryptionAlgorithm)))
	if err = v.authorize(ctx, &to, a); err != nil {
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
	to, err := v.recipient(in.Recipient)
	if err != nil {
		return nil, err
	}
	d := dataKey{"GenerateDataKey", in.KeyId, in.KeySpec, in.NumberOfBytes, in.EncryptionContext, in.GrantTokens, in.DryRun, to.add(nil)}
	t, plaintext, sealed, err := v.dataKey(ctx, d)
	if err != nil {
		return nil, err
	}
	out := &kms.GenerateDataKeyOutput{CiphertextBlob: sealed, KeyId: new(t.arn), KeyMaterialId: t.current()}
	out.Plaintext, out.CiphertextForRecipient, err = to.answer(plaintext)
	return out, err
}

// GenerateDataKeyWithoutPlaintext makes a random key and answers with it
// encrypted.
func (v *View) GenerateDataKeyWithoutPlaintext(ctx context.Context, in *kms.GenerateDataKeyWithoutPlaintextInput) (*kms.GenerateDataKeyWithoutPlaintextOutput, error) {
	d := dataKey{"GenerateDataKeyWithoutPlaintext", in.KeyId, in.KeySpec, in.NumberOfBytes, in.EncryptionContext, in.GrantTokens, in.DryRun, nil}
	t, plaintext, sealed, err := v.dataKey(ctx, d)
	if err != nil {
		return nil, err
	}
	seal.Wipe(plaintext)
	return &kms.GenerateDataKeyWithoutPlaintextOutput{CiphertextBlob: sealed, KeyId: new(t.arn), KeyMaterialId: t.current()}, nil
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
	context    policy.Context
}

func (v *View) dataKey(ctx context.Context, d dataKey) (target, seal.Plaintext, []byte, error) {
	t, err := v.open(ctx, ask{action: d.action, key: str(d.key), encryption: d.encryption, tokens: d.tokens, context: d.context})
	if err != nil {
		return t, nil, nil, err
	}
	if err := t.checkDataKey(d.action, "data key"); err != nil {
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
	sealed, err := v.seal(ctx, t, forDataKey, plaintext, d.encryption)
	if err != nil {
		return t, nil, nil, err
	}
	v.used(t, types.KeyLastUsageTrackingOperation(d.action))
	return t, plaintext, sealed, nil
}

// checkDataKey refuses to make data keys, or key pairs, under anything but a
// symmetric encryption key.
func (t target) checkDataKey(operation, what string) error {
	if err := t.checkUsage(operation, material.EncryptDecrypt); err != nil {
		return err
	}
	if !t.symmetric() {
		return &types.InvalidKeyUsageException{Message: new("You cannot generate a " + what + " with an asymmetric CMK")}
	}
	return nil
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
	to, err := v.recipient(in.Recipient)
	if err != nil {
		return nil, err
	}
	if err := v.allow(ctx, "GenerateRandom", "*", to.add(policy.Context{})); err != nil {
		return nil, err
	}
	if in.NumberOfBytes == nil {
		return nil, invalid("NumberOfBytes is required.")
	}
	n, err := checkBytes(*in.NumberOfBytes)
	if err != nil {
		return nil, err
	}
	random, err := v.random(ctx, in.CustomKeyStoreId, n)
	if err != nil {
		return nil, err
	}
	out := &kms.GenerateRandomOutput{}
	out.Plaintext, out.CiphertextForRecipient, err = to.answer(random)
	return out, err
}
