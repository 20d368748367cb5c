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
	return cloud.NewARN("kms", p.Region, p.Account, "key/"+id).String()
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

// What kind of key every key is.
const (
	keySpec   = string(types.KeySpecSymmetricDefault)
	keyUsage  = string(types.KeyUsageTypeEncryptDecrypt)
	keyOrigin = string(types.OriginTypeAwsKms)
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
	// Materials are the key's materials, oldest first: the last one encrypts, all
	// of them decrypt.
	Materials []Material `json:"-"`
}

// A Tag is a tag of a key.
type Tag struct{ Key, Value string }

// A Material is one secret of a key. Its id is in every ciphertext made with it.
type Material struct {
	ID      string // 64 hex digits, unlike every other's
	Created time.Time
	Sealed  []byte // the 32 bytes, sealed for this key and this id only
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
	}
	id := newID()
	secret := seal.NewKey()
	defer seal.Wipe(secret)
	sealed, err := s.Sealer.Seal(secret, materialContext(k.Ref, id))
	k.Materials = []Material{{ID: id, Created: k.Created, Sealed: sealed}}
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
		KeyUsage:              types.KeyUsageType(keyUsage),
		KeyState:              types.KeyState(k.State),
		Origin:                types.OriginType(keyOrigin),
		KeyManager:            types.KeyManagerType(k.Manager),
		CustomerMasterKeySpec: types.CustomerMasterKeySpec(keySpec), //nolint:staticcheck // old clients read it
		KeySpec:               types.KeySpec(keySpec),
		EncryptionAlgorithms:  []types.EncryptionAlgorithmSpec{types.EncryptionAlgorithmSpecSymmetricDefault},
		MultiRegion:           new(false),
		CurrentKeyMaterialId:  new(k.Materials[len(k.Materials)-1].ID),
	}
	if k.State == PendingDeletion {
		m.DeletionDate = new(k.Deletion)
	}
	return m
}
