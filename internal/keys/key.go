package keys

import (
	"crypto/rand"
	"encoding/hex"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/google/uuid"

	"borealis/internal/cloud"
	"borealis/internal/seal"
)

// A Place is where keys and aliases live: one account's part of one Region.
type Place struct {
	Account cloud.AccountID
	Region  cloud.Region
}

// key is the ARN of the key with this id.
func (p Place) key(id string) string {
	return "arn:" + cloud.Partition + ":kms:" + string(p.Region) + ":" + string(p.Account) + ":key/" + id
}

// alias is the ARN of the alias with this name, which starts with "alias/".
func (p Place) alias(name string) string {
	return cloud.NewARN("kms", p.Region, p.Account, name).String()
}

// A Ref names one key.
type Ref struct {
	Place
	ID string
}

// ARN is the key's ARN.
func (r Ref) ARN() string { return r.key(r.ID) }

// A State is a key's place in its life; it is spelled as types.KeyState.
type State string

// The states of a key. The changes between them are in lifecycle.go.
const (
	Enabled         State = "Enabled"
	Disabled        State = "Disabled"
	PendingDeletion State = "PendingDeletion"
)

// A Manager says who looks after a key; it is spelled as types.KeyManagerType.
type Manager string

// The managers of keys.
const (
	Customer Manager = "CUSTOMER"
	AWS      Manager = "AWS" // nobody can change or delete the key
)

// What a key is unless its creator asks for something else.
const (
	defaultSpec   = string(types.KeySpecSymmetricDefault)
	defaultUsage  = string(types.KeyUsageTypeEncryptDecrypt)
	defaultOrigin = string(types.OriginTypeAwsKms)
)

// A Key is a KMS key as this package keeps it. It is stored, so its fields
// change only with a migration.
type Key struct {
	Ref         `json:"-"`
	Version     int64 `json:"-"` // counts the changes, from 1
	Created     time.Time
	State       State
	Deletion    time.Time // when the key is to be deleted, in PendingDeletion; else zero
	Window      int32     // days from ScheduleKeyDeletion to Deletion
	Manager     Manager
	Description string
	Policy      string // the key policy's text, with unique ids for principals (see keepPolicy)
	Tags        []Tag  // in the order in which they were added

	Spec   string // as types.KeySpec
	Usage  string // as types.KeyUsageType
	Origin string // as types.OriginType
	// StoreID is the custom key store that the key lives in, "" for none, and
	// XksKeyID the external key behind it, if the store is an external one.
	StoreID  string `json:",omitempty"`
	XksKeyID string `json:",omitempty"`
	// MultiRegion is nil for a key of one Region.
	MultiRegion *MultiRegion `json:",omitempty"`
	Rotation    Rotation     `json:",omitzero"`

	// Materials are the key's materials, oldest first. All of them decrypt.
	Materials []Material `json:"-"`
	// Current is the id of the material that encrypts. It is "" as long as a key
	// whose material is imported has had none.
	Current string
}

// MultiRegion says what a multi-Region key belongs to: the keys of one account
// that have the same id in several Regions.
type MultiRegion struct {
	Primary  cloud.Region   // where the primary key is
	Replicas []cloud.Region // where the others are, sorted
}

// Rotation is a key's schedule of automatic rotation.
type Rotation struct {
	Period int32     // days; 0 for no automatic rotation
	Next   time.Time // when it is due; zero if Period is 0
}

// Due is when the service has something to do with k by itself, or zero.
func (k *Key) Due() time.Time { return k.Deletion }

// A Tag is a tag of a key.
type Tag struct{ Key, Value string }

// A Material is one secret of a key. Its id is in every symmetric ciphertext made
// with it. It is stored, so its fields change only with a migration.
type Material struct {
	ID      string    `json:"-"` // 64 hex digits, the same in a multi-Region family and unlike every other's
	Created time.Time `json:"-"`
	// Sealed is the secret, encoded as package material does, sealed for this key
	// and this id only. It is nil when there is none (any more).
	Sealed []byte `json:"-"`
}

// An Alias is another name of a key.
type Alias struct {
	Place
	Name    string // "alias/…"
	KeyID   string
	Created time.Time
	Updated time.Time
}

// newKey makes a key with new material, not stored yet.
func (s *Service) newKey(p Place) (Key, error) {
	k := Key{
		Ref:     Ref{Place: p, ID: uuid.NewString()},
		Created: s.now(),
		State:   Enabled,
		Manager: Customer,
		Spec:    defaultSpec, Usage: defaultUsage, Origin: defaultOrigin,
	}
	id := newID()
	secret := seal.NewKey()
	defer seal.Wipe(secret)
	sealed, err := s.Sealer.Seal(secret, materialContext(k.Ref, id))
	k.Materials, k.Current = []Material{{ID: id, Created: k.Created, Sealed: sealed}}, id
	return k, err
}

// materialContext says what a sealed material is and where it belongs.
func materialContext(r Ref, materialID string) []byte {
	return seal.Context("kms key material v1", string(r.Account), string(r.Region), r.ID, materialID)
}

// newID makes the id of a material or a grant.
func newID() string {
	var b [32]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// now is the time as KMS keeps it, in milliseconds.
func (s *Service) now() time.Time { return s.Now().UTC().Truncate(time.Millisecond) }

// metadata says k in KMS's words.
func (k *Key) metadata() *types.KeyMetadata {
	m := &types.KeyMetadata{
		AWSAccountId:          new(string(k.Account)),
		KeyId:                 new(k.ID),
		Arn:                   new(k.ARN()),
		CreationDate:          new(k.Created),
		Enabled:               k.State == Enabled,
		Description:           new(k.Description),
		KeyUsage:              types.KeyUsageType(k.Usage),
		KeyState:              types.KeyState(k.State),
		Origin:                types.OriginType(k.Origin),
		KeyManager:            types.KeyManagerType(k.Manager),
		CustomerMasterKeySpec: types.CustomerMasterKeySpec(k.Spec), //nolint:staticcheck // old clients read it
		KeySpec:               types.KeySpec(k.Spec),
		EncryptionAlgorithms:  []types.EncryptionAlgorithmSpec{types.EncryptionAlgorithmSpecSymmetricDefault},
		MultiRegion:           new(k.MultiRegion != nil),
		CurrentKeyMaterialId:  new(k.Current),
	}
	if k.State == PendingDeletion {
		m.DeletionDate = new(k.Deletion)
	}
	return m
}
