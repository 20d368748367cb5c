package keys

import (
	"context"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"golang.org/x/time/rate"

	"borealis/internal/api"
	"borealis/internal/cloud"
)

// Request rates of AWS, per second in one account and Region (Developer Guide,
// "Request quotas", September 2026).
var (
	// operationRates are of operations that have a quota of their own.
	operationRates = map[string]float64{
		"CancelKeyDeletion": 5, "ConnectCustomKeyStore": 5, "CreateAlias": 5, "CreateCustomKeyStore": 5, "CreateGrant": 50,
		"CreateKey": 5, "DeleteAlias": 15, "DeleteCustomKeyStore": 5, "DeleteImportedKeyMaterial": 15,
		"DescribeCustomKeyStores": 5, "DescribeKey": 2000, "DisableKey": 5, "DisableKeyRotation": 5,
		"DisconnectCustomKeyStore": 5, "EnableKey": 5, "EnableKeyRotation": 15, "GetKeyLastUsage": 5, "GetKeyPolicy": 1000,
		"GetKeyRotationStatus": 1000, "GetParametersForImport": 1, "GetPublicKey": 2000, "ImportKeyMaterial": 15,
		"ListAliases": 500, "ListGrants": 100, "ListKeyPolicies": 100, "ListKeyRotations": 100, "ListKeys": 500,
		"ListResourceTags": 2000, "ListRetirableGrants": 100, "PutKeyPolicy": 15, "ReplicateKey": 5, "RetireGrant": 50,
		"RevokeGrant": 50, "RotateKeyOnDemand": 5, "ScheduleKeyDeletion": 15, "TagResource": 10, "UntagResource": 5,
		"UpdateAlias": 5, "UpdateCustomKeyStore": 5, "UpdateKeyDescription": 5, "UpdatePrimaryRegion": 5,
	}
	// sharedRates are of cryptographic operations, which share a quota by the sort
	// of key. That of ML-KEM is not documented, and taken to be like ML-DSA's.
	sharedRates = map[string]float64{"RSA": 1000, "ECC": 1000, "ML-DSA": 1000, "ML-KEM": 1000}
	// pairRates are of data key pairs, by the first letters of their spec.
	pairRates = map[string]float64{"RSA_2048": 20, "RSA_3072": 4, "RSA_4096": 1, "ECC": 100, "SM2": 25}
	// symmetricRates are of cryptographic operations with symmetric keys in the
	// Regions where that is not usualRate.
	symmetricRates = map[cloud.Region]float64{
		"us-east-1": 100_000, "us-west-2": 100_000, "eu-west-1": 100_000,
		"us-east-2": 20_000, "ap-southeast-1": 20_000, "ap-southeast-2": 20_000, "ap-northeast-1": 20_000,
		"eu-central-1": 20_000, "eu-west-2": 20_000,
	}
)

const usualRate = 10_000

// maxLimiters is how many quotas are counted at once. Each takes some hundred
// bytes.
const maxLimiters = 20_000

// Quotas limit how often accounts make requests, as AWS does. They are safe for
// concurrent use.
type Quotas struct {
	factor float64
	now    func() time.Time

	mu       sync.Mutex
	limiters map[quota]*rate.Limiter
}

// A quota is what is counted: requests of a group.
type quota struct {
	Place
	group string
}

// NewQuotas makes quotas that are factor times AWS's.
func NewQuotas(factor float64, now func() time.Time) *Quotas {
	return &Quotas{factor: factor, now: now, limiters: make(map[quota]*rate.Limiter)}
}

// Limit is ops, refused with ThrottlingException while their quota is used up.
// What a service asks in an account's name counts for the account, also on other
// accounts' keys.
func (q *Quotas) Limit(ops map[string]api.Op[*View]) map[string]api.Op[*View] {
	out := make(map[string]api.Op[*View], len(ops))
	for name, op := range ops {
		run := op.Run
		op.Run = func(ctx context.Context, v *View, in any) (any, error) {
			if !q.allow(v.home(), name, in) {
				return nil, fail("ThrottlingException", "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.")
			}
			return run(ctx, v, in)
		}
		out[name] = op
	}
	return out
}

// allow counts a request.
func (q *Quotas) allow(p Place, operation string, in any) bool {
	group, each := requestGroup(p.Region, operation, in)
	now := q.now()
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.limiters[quota{p, group}]
	if l == nil {
		if len(q.limiters) >= maxLimiters {
			q.forget(now)
		}
		each *= q.factor
		l = rate.NewLimiter(rate.Limit(each), int(max(1, math.Ceil(each))))
		q.limiters[quota{p, group}] = l
	}
	return l.AllowN(now, 1)
}

// forget makes room: first what has not been used for so long that it counts
// from its beginning, then anything, until half of the room is free. So it is
// seldom called.
func (q *Quotas) forget(now time.Time) {
	for k, l := range q.limiters {
		if l.TokensAt(now) >= float64(l.Burst()) {
			delete(q.limiters, k)
		}
	}
	for k := range q.limiters {
		if len(q.limiters) <= maxLimiters/2 {
			return
		}
		delete(q.limiters, k)
	}
}

// requestGroup is what a request is counted with, and how many of the group may
// be made each second.
func requestGroup(r cloud.Region, operation string, in any) (group string, each float64) {
	if each, ok := operationRates[operation]; ok {
		return operation, each
	}
	if spec := pairSpec(in); spec != "" {
		for prefix, each := range pairRates {
			if strings.HasPrefix(spec, prefix) {
				return "GenerateDataKeyPair " + spec, each
			}
		}
	}
	if group = algorithmGroup(algorithmIn(in)); group != "" {
		return group, sharedRates[group]
	}
	if each, ok := symmetricRates[r]; ok {
		return "symmetric", each
	}
	return "symmetric", usualRate
}

// pairSpec is the sort of data key pair that is asked for, or "".
func pairSpec(in any) string {
	switch in := in.(type) {
	case *kms.GenerateDataKeyPairInput:
		return string(in.KeyPairSpec)
	case *kms.GenerateDataKeyPairWithoutPlaintextInput:
		return string(in.KeyPairSpec)
	}
	return ""
}

// algorithmIn is the algorithm that a request names, or "".
func algorithmIn(in any) string {
	switch in := in.(type) {
	case *kms.EncryptInput:
		return string(in.EncryptionAlgorithm)
	case *kms.DecryptInput:
		return string(in.EncryptionAlgorithm)
	case *kms.ReEncryptInput:
		return string(in.SourceEncryptionAlgorithm)
	case *kms.SignInput:
		return string(in.SigningAlgorithm)
	case *kms.VerifyInput:
		return string(in.SigningAlgorithm)
	case *kms.DeriveSharedSecretInput:
		return string(in.KeyAgreementAlgorithm)
	case *kms.EncapsulateInput:
		return string(in.EncapsulationAlgorithm)
	case *kms.DecapsulateInput:
		return string(in.EncapsulationAlgorithm)
	}
	return ""
}

// algorithmGroup is the sort of key that an algorithm is for, by its first
// letters; "" for symmetric ones.
func algorithmGroup(a string) string {
	for prefix, group := range map[string]string{
		"RSA": "RSA", "ECD": "ECC", "ED25519": "ECC", "SM2": "ECC", "ML_DSA": "ML-DSA", "ML_KEM": "ML-KEM",
	} {
		if strings.HasPrefix(a, prefix) {
			return group
		}
	}
	return ""
}
