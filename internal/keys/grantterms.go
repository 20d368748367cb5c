package keys

import (
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/material"
)

// Limits of grants.
const (
	maxGrants          = 50_000 // on one key
	maxConstraintPairs = 8
	maxConstraintValue = 384 // characters
)

// usageOperations are what grants can allow on keys of each usage, beside what
// they can on all. Asymmetric keys have GetPublicKey too.
var usageOperations = map[material.Usage][]string{
	material.EncryptDecrypt:         {"Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo"},
	material.SignVerify:             {"Sign", "Verify"},
	material.GenerateVerifyMAC:      {"GenerateMac", "VerifyMac"},
	material.KeyAgreement:           {"DeriveSharedSecret"},
	material.EncapsulateDecapsulate: {"Encapsulate", "Decapsulate"},
}

// symmetricOnly are what grants can allow on symmetric encryption keys only.
var symmetricOnly = []string{
	"GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext",
}

// grantable are what grants can allow on k, in the order of types.GrantOperation,
// which is AWS's.
func (k *Key) grantable() []string {
	allowed := append([]string{"CreateGrant", "RetireGrant", "DescribeKey"}, usageOperations[k.Usage]...)
	switch {
	case k.symmetric():
		allowed = append(allowed, symmetricOnly...)
	case k.Spec.Asymmetric():
		allowed = append(allowed, "GetPublicKey")
	}
	var out []string
	for _, op := range types.GrantOperation("").Values() {
		if slices.Contains(allowed, string(op)) {
			out = append(out, string(op))
		}
	}
	return out
}

// checkTerms checks the operations and constraints of g, a grant on k.
func checkTerms(k *Key, g *Grant) error {
	var wrong []string
	valid := k.grantable()
	for _, op := range g.Operations {
		if !slices.Contains(valid, op) {
			wrong = append(wrong, op)
		}
	}
	if len(wrong) > 0 {
		sort := "a symmetric"
		if k.Spec.Asymmetric() {
			sort = "an asymmetric"
		}
		return invalid("Operations [%s] are not supported when creating a grant for %s KMS key with key usage %s. Valid operations are [%s]",
			strings.Join(wrong, ", "), sort, k.Usage, strings.Join(valid, ", "))
	}
	if !k.symmetric() && (g.Equals != nil || g.Subset != nil) {
		return invalid("EncryptionContext is supported only when creating a grant for a symmetric encryption KMS key.")
	}
	for _, pairs := range []map[string]string{g.Equals, g.Subset} {
		if len(pairs) > maxConstraintPairs {
			return invalid("A grant constraint has at most %d encryption context pairs.", maxConstraintPairs)
		}
		for k, value := range pairs {
			if len([]rune(k)) > maxConstraintValue || len([]rune(value)) > maxConstraintValue {
				return invalid("Keys and values of a grant constraint have at most %d characters.", maxConstraintValue)
			}
		}
	}
	return nil
}
