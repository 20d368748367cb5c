package keys_test

import (
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/keys"
)

// A sort is what sort of key a key is.
type sort struct {
	spec  types.KeySpec
	usage types.KeyUsageType
}

var (
	signer     = sort{"ECC_NIST_P256", "SIGN_VERIFY"}
	maker      = sort{"HMAC_256", "GENERATE_VERIFY_MAC"}
	agreer     = sort{"ECC_NIST_P256", "KEY_AGREEMENT"}
	concealer  = sort{"ML_KEM_768", "ENCAPSULATE_DECAPSULATE"}
	encrypting = sort{"SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"}
)

// keysFor are the sorts of key that operations need, if not symmetric
// encryption keys.
var keysFor = map[string]sort{
	"Sign": signer, "Verify": signer, "GetPublicKey": signer,
	"GenerateMac": maker, "VerifyMac": maker,
	"DeriveSharedSecret": agreer,
	"Encapsulate":        concealer, "Decapsulate": concealer,
}

// keyFor makes a key for an operation, with the default policy and these
// statements, and returns its ARN.
func (p *person) keyFor(operation string, statements ...string) *string {
	p.w.t.Helper()
	s, ok := keysFor[operation]
	if !ok {
		s = encrypting
	}
	return p.sortOf(s, statements...)
}

// sortOf makes a key of a sort.
func (p *person) sortOf(s sort, statements ...string) *string {
	p.w.t.Helper()
	in := &kms.CreateKeyInput{KeySpec: s.spec, KeyUsage: s.usage}
	if len(statements) > 0 {
		in.Policy = keyPolicy(append([]string{delegating(p.caller.Account, "kms:*")}, statements...)...)
	}
	return must(p.CreateKey(p.w.t.Context(), in))(p.w.t).KeyMetadata.Arn
}

// sortInputs adds to the inputs of operations those that a key of its sort
// permits only.
func (p *person) sortInputs(in map[string]any, key *string) {
	p.w.t.Helper()
	t := p.w.t
	ctx := t.Context()
	m := must(p.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: key}))(t).KeyMetadata
	message := []byte("to whom it may concern")
	in["GetKeyLastUsage"] = &kms.GetKeyLastUsageInput{KeyId: key}
	in["GetPublicKey"] = &kms.GetPublicKeyInput{KeyId: key}
	switch m.KeyUsage {
	case "ENCRYPT_DECRYPT":
		in["GenerateDataKeyPair"] = &kms.GenerateDataKeyPairInput{KeyId: key, KeyPairSpec: "ECC_NIST_P256"}
		in["GenerateDataKeyPairWithoutPlaintext"] = &kms.GenerateDataKeyPairWithoutPlaintextInput{KeyId: key, KeyPairSpec: "ECC_NIST_P256"}
	case "SIGN_VERIFY":
		s := &kms.SignInput{KeyId: key, Message: message, SigningAlgorithm: m.SigningAlgorithms[0]}
		signature := must(p.Sign(ctx, s))(t).Signature
		in["Sign"] = s
		in["Verify"] = &kms.VerifyInput{KeyId: key, Message: message, SigningAlgorithm: m.SigningAlgorithms[0], Signature: signature}
	case "GENERATE_VERIFY_MAC":
		g := &kms.GenerateMacInput{KeyId: key, Message: message, MacAlgorithm: m.MacAlgorithms[0]}
		mac := must(p.GenerateMac(ctx, g))(t).Mac
		in["GenerateMac"] = g
		in["VerifyMac"] = &kms.VerifyMacInput{KeyId: key, Message: message, MacAlgorithm: m.MacAlgorithms[0], Mac: mac}
	case "KEY_AGREEMENT":
		public := must(p.GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: key}))(t).PublicKey
		in["DeriveSharedSecret"] = &kms.DeriveSharedSecretInput{KeyId: key, PublicKey: public, KeyAgreementAlgorithm: "ECDH"}
	case "ENCAPSULATE_DECAPSULATE":
		e := &kms.EncapsulateInput{KeyId: key, EncapsulationAlgorithm: "ML_KEM"}
		blob := must(p.Encapsulate(ctx, e))(t).SharedSecretCiphertextBlob
		in["Encapsulate"] = e
		in["Decapsulate"] = &kms.DecapsulateInput{KeyId: key, EncapsulationAlgorithm: "ML_KEM", SharedSecretCiphertextBlob: blob}
	}
}

// operation is an operation of Ops, as p.
func operation(p *person, name string, in any) (any, error) {
	return keys.Ops[name].Run(p.w.t.Context(), p.View, in)
}
