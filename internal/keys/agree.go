package keys

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/material"
	"borealis/internal/policy"
	"borealis/internal/seal"
)

// DeriveSharedSecret answers with the secret that a key and another pair share.
func (v *View) DeriveSharedSecret(ctx context.Context, in *kms.DeriveSharedSecretInput) (*kms.DeriveSharedSecretOutput, error) {
	to, err := v.recipient(in.Recipient)
	if err != nil {
		return nil, err
	}
	a := material.Algorithm(in.KeyAgreementAlgorithm)
	t, err := v.open(ctx, ask{action: "DeriveSharedSecret", key: str(in.KeyId), tokens: in.GrantTokens, context: to.add(policy.Context{
		"kms:KeyAgreementAlgorithm": []string{string(a)},
	})})
	if err != nil {
		return nil, err
	}
	if err := t.checkUse("DeriveSharedSecret", material.KeyAgreement, a); err != nil {
		return nil, err
	}
	secret, err := t.secret().Agree(in.PublicKey)
	switch {
	case errors.Is(err, material.ErrPublicKey):
		return nil, invalid("")
	case err != nil:
		return nil, fmt.Errorf("derive shared secret with %s: %w", t.arn, err)
	}
	if isSet(in.DryRun) {
		seal.Wipe(secret)
		return nil, dryRun()
	}
	v.used(t, types.KeyLastUsageTrackingOperationDeriveSharedSecret)
	out := &kms.DeriveSharedSecretOutput{KeyId: new(t.arn), KeyAgreementAlgorithm: in.KeyAgreementAlgorithm, KeyOrigin: types.OriginType(t.Origin)}
	out.SharedSecret, out.CiphertextForRecipient, err = to.answer(secret)
	return out, err
}

// Encapsulate answers with a new secret, in the clear and so that only the key
// gets it out again.
func (v *View) Encapsulate(ctx context.Context, in *kms.EncapsulateInput) (*kms.EncapsulateOutput, error) {
	t, err := v.openEncapsulation(ctx, "Encapsulate", in.KeyId, in.EncapsulationAlgorithm, in.GrantTokens)
	if err != nil {
		return nil, err
	}
	if isSet(in.DryRun) {
		return nil, dryRun()
	}
	ciphertext, secret, err := t.secret().Encapsulate()
	if err != nil {
		return nil, fmt.Errorf("encapsulate with %s: %w", t.arn, err)
	}
	v.used(t, types.KeyLastUsageTrackingOperationEncapsulate)
	return &kms.EncapsulateOutput{
		KeyId: new(t.arn), SharedSecret: secret, SharedSecretCiphertextBlob: ciphertext, EncapsulationAlgorithm: in.EncapsulationAlgorithm,
	}, nil
}

// Decapsulate gets the secret of Encapsulate. As FIPS 203 has it, a ciphertext
// of the right length that was changed gives another secret, and no error.
func (v *View) Decapsulate(ctx context.Context, in *kms.DecapsulateInput) (*kms.DecapsulateOutput, error) {
	t, err := v.openEncapsulation(ctx, "Decapsulate", in.KeyId, in.EncapsulationAlgorithm, in.GrantTokens)
	if err != nil {
		return nil, err
	}
	secret, err := t.secret().Decapsulate(in.SharedSecretCiphertextBlob)
	switch {
	case errors.Is(err, material.ErrCiphertext):
		return nil, badCiphertext()
	case err != nil:
		return nil, fmt.Errorf("decapsulate with %s: %w", t.arn, err)
	}
	if isSet(in.DryRun) {
		seal.Wipe(secret)
		return nil, dryRun()
	}
	v.used(t, types.KeyLastUsageTrackingOperationDecapsulate)
	return &kms.DecapsulateOutput{KeyId: new(t.arn), SharedSecret: secret, EncapsulationAlgorithm: in.EncapsulationAlgorithm}, nil
}

// openEncapsulation is open for a key encapsulation, or for its opposite.
func (v *View) openEncapsulation(ctx context.Context, operation string, key *string, a types.EncapsulationAlgorithmSpec, tokens []string) (target, error) {
	t, err := v.open(ctx, ask{action: operation, key: str(key), tokens: tokens, context: policy.Context{
		"kms:EncapsulationAlgorithm": []string{string(a)},
	}})
	if err != nil {
		return t, err
	}
	return t, t.checkUse(operation, material.EncapsulateDecapsulate, material.Algorithm(a))
}
