// Package keys is KMS: keys of every sort and what they encrypt, sign and agree
// on, aliases, key policies, grants, imported material, rotation, custom key
// stores, multi-Region keys, deletion. It decides every request by key policy,
// identity policies and grants, and key material never leaves it. It knows nothing
// of the wire, of SQL, or of how identities are kept; a caller's policies and the
// ids of principals come to it through interfaces, and so do the proxies and
// modules behind custom key stores.
//
// A request finds its key (resolve.go), is decided about (authorize.go, with what
// conditions.go says of it), and is held to the key's state (rules.go); then the
// operation goes on with the key in memory (cache.go) or changes it (change.go)
// in the database (store.go). What happens to keys without a request is in
// sweep.go.
package keys

import (
	"context"
	"sync"
	"time"

	"borealis/internal/api"
	"borealis/internal/audit"
	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// Policies knows what has a say in a question beside the resource's own policy.
type Policies interface {
	// Complete adds to q what speaks for q.Caller or limits it, and what organizations
	// say of the accounts, as it is now. It is asked on every request, by
	// many goroutines at once, and does not wait for a disk. For services nothing
	// speaks.
	Complete(ctx context.Context, q *policy.Question) error
}

// Principals knows which principals exist, in every account.
type Principals interface {
	// PrincipalID returns the unique id of an existing principal, named by the
	// ARN of a user, role, role session or account root, or by an account's id:
	// AIDA…, AROA…, AROA…:session, or the account's id. The id outlives the
	// principal and is never given to another. Otherwise the error is
	// cloud.ErrNotFound.
	PrincipalID(ctx context.Context, arn string) (string, error)
	// PrincipalARN is the way back: the ARN of the principal that has this unique
	// id, as it is now, or cloud.ErrNotFound if there is none any more.
	PrincipalARN(ctx context.Context, id string) (string, error)
}

// Audit is where decisions are put on record.
type Audit interface {
	// Record returns nil when the event is on record. Without a record nothing is done.
	Record(audit.Event) error
}

// A Sealer keeps key material from whoever reads the database. Its methods may
// be called concurrently.
type Sealer interface {
	// Seal encrypts and authenticates plaintext, and binds it to context.
	Seal(plaintext, context []byte) ([]byte, error)
	// Open returns what Seal was given, if context is the same.
	Open(sealed, context []byte) ([]byte, error)
}

// Service is the key service. Its fields are required, but for those that say
// otherwise. Only its operator's Sweep can be asked of it directly; every
// operation of KMS needs a caller, and As is the only way to name one. It is safe
// for concurrent use and must not be copied.
//
// It is the only writer of its tables: what it has read it keeps in memory, and
// what it has answered holds for every request that begins after the answer.
type Service struct {
	Store      Store
	Policies   Policies
	Principals Principals
	Audit      Audit
	Sealer     Sealer
	// Tokens seals what callers keep, such as grant tokens, so that it opens longer
	// than what Sealer seals, which is sealed again when the root key changes.
	// Sealer does it if it is nil.
	Tokens Sealer
	// Attestations may be nil: then there are no answers for enclaves.
	Attestations Attestations
	// Proxies and HSMs are what custom key stores are made of. Both may be nil; then
	// there are no stores of that type to be had.
	Proxies Proxies
	HSMs    HSMs
	Now     func() time.Time
	// Ready is how many keys are kept in memory ready for use, of those that can be
	// packed; 2,048 if it is zero.
	Ready int

	cache  cache
	usages usages
	waking sync.Once
	wake   chan struct{}
}

// A View is the service as one caller sees it.
type View struct {
	*Service
	caller cloud.Caller
}

// As is the service in the name of c.
func (s *Service) As(c cloud.Caller) *View { return &View{s, c} }

// Ops are the operations this service answers. An operation that is not here
// does not exist; one that is here is authorized, audited and tested like the
// rest.
var Ops = map[string]api.Op[*View]{
	"CancelKeyDeletion":                   api.Bind((*View).CancelKeyDeletion),
	"ConnectCustomKeyStore":               api.Bind((*View).ConnectCustomKeyStore),
	"CreateAlias":                         api.Bind((*View).CreateAlias),
	"CreateCustomKeyStore":                api.Bind((*View).CreateCustomKeyStore),
	"CreateGrant":                         api.Bind((*View).CreateGrant),
	"CreateKey":                           api.Bind((*View).CreateKey),
	"Decapsulate":                         api.Bind((*View).Decapsulate),
	"Decrypt":                             api.Bind((*View).Decrypt),
	"DeleteAlias":                         api.Bind((*View).DeleteAlias),
	"DeleteCustomKeyStore":                api.Bind((*View).DeleteCustomKeyStore),
	"DeleteImportedKeyMaterial":           api.Bind((*View).DeleteImportedKeyMaterial),
	"DeriveSharedSecret":                  api.Bind((*View).DeriveSharedSecret),
	"DescribeCustomKeyStores":             api.Bind((*View).DescribeCustomKeyStores),
	"DescribeKey":                         api.Bind((*View).DescribeKey),
	"DisableKey":                          api.Bind((*View).DisableKey),
	"DisableKeyRotation":                  api.Bind((*View).DisableKeyRotation),
	"DisconnectCustomKeyStore":            api.Bind((*View).DisconnectCustomKeyStore),
	"EnableKey":                           api.Bind((*View).EnableKey),
	"EnableKeyRotation":                   api.Bind((*View).EnableKeyRotation),
	"Encapsulate":                         api.Bind((*View).Encapsulate),
	"Encrypt":                             api.Bind((*View).Encrypt),
	"GenerateDataKey":                     api.Bind((*View).GenerateDataKey),
	"GenerateDataKeyPair":                 api.Bind((*View).GenerateDataKeyPair),
	"GenerateDataKeyPairWithoutPlaintext": api.Bind((*View).GenerateDataKeyPairWithoutPlaintext),
	"GenerateDataKeyWithoutPlaintext":     api.Bind((*View).GenerateDataKeyWithoutPlaintext),
	"GenerateMac":                         api.Bind((*View).GenerateMac),
	"GenerateRandom":                      api.Bind((*View).GenerateRandom),
	"GetKeyLastUsage":                     api.Bind((*View).GetKeyLastUsage),
	"GetKeyPolicy":                        api.Bind((*View).GetKeyPolicy),
	"GetKeyRotationStatus":                api.Bind((*View).GetKeyRotationStatus),
	"GetParametersForImport":              api.Bind((*View).GetParametersForImport),
	"GetPublicKey":                        api.Bind((*View).GetPublicKey),
	"ImportKeyMaterial":                   api.Bind((*View).ImportKeyMaterial),
	"ListAliases":                         api.Bind((*View).ListAliases),
	"ListGrants":                          api.Bind((*View).ListGrants),
	"ListKeyPolicies":                     api.Bind((*View).ListKeyPolicies),
	"ListKeyRotations":                    api.Bind((*View).ListKeyRotations),
	"ListKeys":                            api.Bind((*View).ListKeys),
	"ListResourceTags":                    api.Bind((*View).ListResourceTags),
	"ListRetirableGrants":                 api.Bind((*View).ListRetirableGrants),
	"PutKeyPolicy":                        api.Bind((*View).PutKeyPolicy),
	"ReEncrypt":                           api.Bind((*View).ReEncrypt),
	"ReplicateKey":                        api.Bind((*View).ReplicateKey),
	"RetireGrant":                         api.Bind((*View).RetireGrant),
	"RevokeGrant":                         api.Bind((*View).RevokeGrant),
	"RotateKeyOnDemand":                   api.Bind((*View).RotateKeyOnDemand),
	"ScheduleKeyDeletion":                 api.Bind((*View).ScheduleKeyDeletion),
	"Sign":                                api.Bind((*View).Sign),
	"TagResource":                         api.Bind((*View).TagResource),
	"UntagResource":                       api.Bind((*View).UntagResource),
	"UpdateAlias":                         api.Bind((*View).UpdateAlias),
	"UpdateCustomKeyStore":                api.Bind((*View).UpdateCustomKeyStore),
	"UpdateKeyDescription":                api.Bind((*View).UpdateKeyDescription),
	"UpdatePrimaryRegion":                 api.Bind((*View).UpdatePrimaryRegion),
	"Verify":                              api.Bind((*View).Verify),
	"VerifyMac":                           api.Bind((*View).VerifyMac),
}
