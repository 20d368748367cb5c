package keys

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/material"
	"borealis/internal/policy"
	"borealis/internal/seal"
)

// A keyPair is a request for a data key pair.
type keyPair struct {
	operation  string // which is also the action
	key        *string
	spec       types.DataKeyPairSpec
	encryption map[string]string
	tokens     []string
	dryRun     *bool
	to         *recipient
}

// A madePair is a data key pair.
type madePair struct {
	public  []byte         // SubjectPublicKeyInfo in DER
	private seal.Plaintext // PKCS #8 in DER
	sealed  []byte         // private, encrypted
}

// GenerateDataKeyPair makes a key pair, and answers with it and with the private
// key encrypted.
func (v *View) GenerateDataKeyPair(ctx context.Context, in *kms.GenerateDataKeyPairInput) (*kms.GenerateDataKeyPairOutput, error) {
	to, err := v.recipient(in.Recipient)
	if err != nil {
		return nil, err
	}
	t, made, err := v.keyPair(ctx, keyPair{"GenerateDataKeyPair", in.KeyId, in.KeyPairSpec, in.EncryptionContext, in.GrantTokens, in.DryRun, to})
	if err != nil {
		return nil, err
	}
	out := &kms.GenerateDataKeyPairOutput{
		KeyId: new(t.arn), KeyMaterialId: t.current(), KeyPairSpec: in.KeyPairSpec,
		PublicKey: made.public, PrivateKeyCiphertextBlob: made.sealed,
	}
	out.PrivateKeyPlaintext, out.CiphertextForRecipient, err = to.answer(made.private)
	return out, err
}

// GenerateDataKeyPairWithoutPlaintext makes a key pair, and answers with the
// public key and with the private key encrypted.
func (v *View) GenerateDataKeyPairWithoutPlaintext(ctx context.Context, in *kms.GenerateDataKeyPairWithoutPlaintextInput) (*kms.GenerateDataKeyPairWithoutPlaintextOutput, error) {
	t, made, err := v.keyPair(ctx, keyPair{"GenerateDataKeyPairWithoutPlaintext", in.KeyId, in.KeyPairSpec, in.EncryptionContext, in.GrantTokens, in.DryRun, nil})
	if err != nil {
		return nil, err
	}
	seal.Wipe(made.private)
	return &kms.GenerateDataKeyPairWithoutPlaintextOutput{
		KeyId: new(t.arn), KeyMaterialId: t.current(), KeyPairSpec: in.KeyPairSpec,
		PublicKey: made.public, PrivateKeyCiphertextBlob: made.sealed,
	}, nil
}

func (v *View) keyPair(ctx context.Context, p keyPair) (target, madePair, error) {
	t, err := v.open(ctx, ask{action: p.operation, key: str(p.key), encryption: p.encryption, tokens: p.tokens, context: p.to.add(policy.Context{
		"kms:DataKeyPairSpec": []string{string(p.spec)},
	})})
	if err != nil {
		return t, madePair{}, err
	}
	if err := t.checkDataKey(p.operation, "data key pair"); err != nil {
		return t, madePair{}, err
	}
	if t.StoreID != "" {
		return t, madePair{}, unsupported("%s origin is %s which is not valid for this operation.", t.arn, t.Origin)
	}
	if !slices.Contains(p.spec.Values(), p.spec) {
		return t, madePair{}, invalid("1 validation error detected: Value '%s' at 'keyPairSpec' failed to satisfy constraint: Member must satisfy enum value set: %v", p.spec, p.spec.Values())
	}
	if isSet(p.dryRun) {
		return t, madePair{}, dryRun()
	}
	made, err := v.makePair(ctx, t, p)
	if err != nil {
		return t, madePair{}, err
	}
	v.used(t, types.KeyLastUsageTrackingOperation(p.operation))
	return t, made, nil
}

// makePair makes the pair that p asks for, and seals its private key under t.
func (v *View) makePair(ctx context.Context, t target, p keyPair) (madePair, error) {
	private, err := material.Generate(ctx, material.Spec(p.spec))
	if err != nil {
		return madePair{}, fmt.Errorf("make data key pair: %w", err)
	}
	pair, err := material.Load(material.Spec(p.spec), private)
	if err != nil {
		return madePair{}, fmt.Errorf("make data key pair: %w", err)
	}
	defer pair.Wipe()
	public, err := pair.Public()
	if err != nil {
		return madePair{}, fmt.Errorf("make data key pair: %w", err)
	}
	sealed, err := v.seal(ctx, t, forDataKey, private, p.encryption)
	return madePair{public, private, sealed}, err
}
