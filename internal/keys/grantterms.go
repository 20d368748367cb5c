package keys

import (
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// Limits of grants.
const (
	maxGrants          = 50_000 // on one key
	maxConstraintPairs = 8
	maxConstraintValue = 384 // characters
)

// usageOperations are what grants can allow on keys of each usage, beside what
// they can on all. Asymmetric keys have GetPublicKey too.
var usageOperations = map[types.KeyUsageType][]string{
	types.KeyUsageTypeEncryptDecrypt:         {"Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo"},
	types.KeyUsageTypeSignVerify:             {"Sign", "Verify"},
	types.KeyUsageTypeGenerateVerifyMac:      {"GenerateMac", "VerifyMac"},
	types.KeyUsageTypeKeyAgreement:           {"DeriveSharedSecret"},
	types.KeyUsageTypeEncapsulateDecapsulate: {"Encapsulate", "Decapsulate"},
}

// symmetricOnly are what grants can allow on symmetric encryption keys only.
var symmetricOnly = []string{
	"GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext",
}

// asymmetric says that k has a public key.
func (k *Key) asymmetric() bool {
	return k.Spec != defaultSpec && k.Usage != string(types.KeyUsageTypeGenerateVerifyMac)
}

// grantable are what grants can allow on k, in the order in which AWS says it of
// HMAC keys.
func (k *Key) grantable() []string {
	out := append([]string{"CreateGrant", "RetireGrant", "DescribeKey"}, usageOperations[types.KeyUsageType(k.Usage)]...)
	switch {
	case k.Spec == defaultSpec:
		out = append(out, symmetricOnly...)
	case k.asymmetric():
		out = append(out, "GetPublicKey")
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
		if k.asymmetric() {
			sort = "an asymmetric"
		}
		return invalid("Operations [%s] are not supported when creating a grant for %s KMS key with key usage %s. Valid operations are [%s]",
			strings.Join(wrong, ", "), sort, k.Usage, strings.Join(valid, ", "))
	}
	if k.Spec != defaultSpec && (g.Equals != nil || g.Subset != nil) {
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
