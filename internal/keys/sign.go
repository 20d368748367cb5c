package keys

import (
	"cmp"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/material"
	"borealis/internal/policy"
)

// A signing is a request to sign, or to verify.
type signing struct {
	operation string // which is also the action
	key       *string
	algorithm material.Algorithm
	kind      material.MessageType
	tokens    []string
}

// openSigning is open for a signing, and checks what can be checked before
// anything is computed.
func (v *View) openSigning(ctx context.Context, s signing) (target, error) {
	t, err := v.open(ctx, ask{action: s.operation, key: str(s.key), tokens: s.tokens, context: policy.Context{
		"kms:SigningAlgorithm": []string{string(s.algorithm)},
		"kms:MessageType":      []string{string(s.kind)},
	}})
	if err != nil {
		return t, err
	}
	return t, t.checkUse(s.operation, material.SignVerify, s.algorithm)
}

// refuse says in AWS's words why t could not do s.
func (s signing) refuse(t target, err error) error {
	switch {
	case errors.Is(err, material.ErrMessageType) && !slices.Contains(t.Spec.MessageTypes(), s.kind):
		return invalid("Message type %s is incompatible with key spec %s.", s.kind, t.Spec)
	case errors.Is(err, material.ErrMessageType):
		return invalid("Message type %s is incompatible with algorithm %s.", s.kind, s.algorithm)
	case errors.Is(err, material.ErrDigest) && s.kind == material.ExternalMu:
		return invalid("External Mu is invalid length for algorithm %s.", s.algorithm)
	case errors.Is(err, material.ErrDigest):
		return invalid("Digest is invalid length for algorithm %s.", s.algorithm)
	case errors.Is(err, material.ErrSignature):
		return &types.KMSInvalidSignatureException{}
	}
	return fmt.Errorf("%s with %s: %w", s.operation, t.arn, err)
}

// Sign signs a message, its digest, or, with ML-DSA, its representative.
func (v *View) Sign(ctx context.Context, in *kms.SignInput) (*kms.SignOutput, error) {
	s := signing{"Sign", in.KeyId, material.Algorithm(in.SigningAlgorithm), messageType(in.MessageType), in.GrantTokens}
	t, err := v.openSigning(ctx, s)
	if err != nil {
		return nil, err
	}
	signature, err := t.secret().Sign(s.algorithm, s.kind, in.Message)
	if err != nil {
		return nil, s.refuse(t, err)
	}
	if isSet(in.DryRun) {
		return nil, dryRun()
	}
	v.used(t, types.KeyLastUsageTrackingOperationSign)
	return &kms.SignOutput{KeyId: new(t.arn), Signature: signature, SigningAlgorithm: in.SigningAlgorithm}, nil
}

// Verify checks what Sign made. A signature that is not the message's is an
// error, whoever made it.
func (v *View) Verify(ctx context.Context, in *kms.VerifyInput) (*kms.VerifyOutput, error) {
	s := signing{"Verify", in.KeyId, material.Algorithm(in.SigningAlgorithm), messageType(in.MessageType), in.GrantTokens}
	t, err := v.openSigning(ctx, s)
	if err != nil {
		return nil, err
	}
	if err := t.secret().Verify(s.algorithm, s.kind, in.Message, in.Signature); err != nil {
		return nil, s.refuse(t, err)
	}
	if isSet(in.DryRun) {
		return nil, dryRun()
	}
	v.used(t, types.KeyLastUsageTrackingOperationVerify)
	return &kms.VerifyOutput{KeyId: new(t.arn), SignatureValid: true, SigningAlgorithm: in.SigningAlgorithm}, nil
}

func messageType(t types.MessageType) material.MessageType {
	return cmp.Or(material.MessageType(t), material.Raw)
}

// GenerateMac makes the message authentication code of a message.
func (v *View) GenerateMac(ctx context.Context, in *kms.GenerateMacInput) (*kms.GenerateMacOutput, error) {
	t, mac, err := v.mac(ctx, "GenerateMac", in.KeyId, in.MacAlgorithm, in.Message, in.GrantTokens)
	if err != nil {
		return nil, err
	}
	if isSet(in.DryRun) {
		return nil, dryRun()
	}
	v.used(t, types.KeyLastUsageTrackingOperationGenerateMac)
	return &kms.GenerateMacOutput{KeyId: new(t.arn), Mac: mac, MacAlgorithm: in.MacAlgorithm}, nil
}

// VerifyMac checks what GenerateMac made. A code that is not the message's is an
// error.
func (v *View) VerifyMac(ctx context.Context, in *kms.VerifyMacInput) (*kms.VerifyMacOutput, error) {
	t, mac, err := v.mac(ctx, "VerifyMac", in.KeyId, in.MacAlgorithm, in.Message, in.GrantTokens)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(mac, in.Mac) != 1 {
		return nil, &types.KMSInvalidMacException{}
	}
	if isSet(in.DryRun) {
		return nil, dryRun()
	}
	v.used(t, types.KeyLastUsageTrackingOperationVerifyMac)
	return &kms.VerifyMacOutput{KeyId: new(t.arn), MacValid: true, MacAlgorithm: in.MacAlgorithm}, nil
}

// mac opens a key for an operation and computes the code of message with it.
func (v *View) mac(ctx context.Context, operation string, key *string, a types.MacAlgorithmSpec, message []byte, tokens []string) (target, []byte, error) {
	t, err := v.open(ctx, ask{action: operation, key: str(key), tokens: tokens, context: policy.Context{
		"kms:MacAlgorithm": []string{string(a)},
	}})
	if err != nil {
		return t, nil, err
	}
	if err := t.checkUse(operation, material.GenerateVerifyMAC, material.Algorithm(a)); err != nil {
		return t, nil, err
	}
	mac, err := t.secret().MAC(material.Algorithm(a), message)
	if err != nil {
		return t, nil, fmt.Errorf("%s with %s: %w", operation, t.arn, err)
	}
	return t, mac, nil
}

// GetPublicKey answers with the public half of a pair.
func (v *View) GetPublicKey(ctx context.Context, in *kms.GetPublicKeyInput) (*kms.GetPublicKeyOutput, error) {
	t, err := v.open(ctx, ask{action: "GetPublicKey", key: str(in.KeyId), tokens: in.GrantTokens})
	if err != nil {
		return nil, err
	}
	if !t.Spec.Asymmetric() {
		return nil, &types.UnsupportedOperationException{}
	}
	public, err := t.secret().Public()
	if err != nil {
		return nil, fmt.Errorf("public key of %s: %w", t.arn, err)
	}
	m := t.metadata()
	return &kms.GetPublicKeyOutput{
		KeyId: new(t.arn), PublicKey: public, KeySpec: m.KeySpec, KeyUsage: m.KeyUsage,
		CustomerMasterKeySpec:   m.CustomerMasterKeySpec, //nolint:staticcheck // old clients read it
		EncryptionAlgorithms:    m.EncryptionAlgorithms,
		SigningAlgorithms:       m.SigningAlgorithms,
		KeyAgreementAlgorithms:  m.KeyAgreementAlgorithms,
		EncapsulationAlgorithms: m.EncapsulationAlgorithms,
	}, nil
}
