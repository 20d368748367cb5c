package keys

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/google/uuid"

	"borealis/internal/cloud"
	"borealis/internal/material"
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

// The states of a key. What may be done in which is in rules.go.
const (
	Enabled                State = "Enabled"
	Disabled               State = "Disabled"
	PendingDeletion        State = "PendingDeletion"
	PendingReplicaDeletion State = "PendingReplicaDeletion" // a primary that is to be deleted after its replicas
	PendingImport          State = "PendingImport"          // there is no material, or not all of it
	Unavailable            State = "Unavailable"            // the custom key store cannot be reached
	Creating               State = "Creating"               // a replica that is being made
	Updating               State = "Updating"               // the primary Region is changing
)

// A Manager says who looks after a key; it is spelled as types.KeyManagerType.
type Manager string

// The managers of keys.
const (
	Customer Manager = "CUSTOMER"
	AWS      Manager = "AWS" // nobody can change or delete the key
)

// defaultOrigin is where the material of a key comes from unless its creator
// asks for something else.
const defaultOrigin = string(types.OriginTypeAwsKms)

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

	Spec   material.Spec
	Usage  material.Usage
	Origin string // as types.OriginType
	// StoreID is the custom key store that the key lives in, "" for none, and
	// XksKeyID the external key behind it, if the store is an external one.
	StoreID  string `json:",omitempty"`
	XksKeyID string `json:",omitempty"`
	// Store is the store of StoreID. It is read with the key, and not written with it.
	Store *KeyStore `json:"-"`
	// MultiRegion is nil for a key of one Region.
	MultiRegion *MultiRegion `json:",omitempty"`
	Rotation    Rotation     `json:",omitzero"`

	// Materials are the key's materials, oldest first. All of them decrypt but one
	// that comes after the current one: it was imported and waits for rotation.
	Materials []Material `json:"-"`
	// Current is the id of the material that encrypts. It is "" as long as a key
	// whose material is imported has had none.
	Current string
	// Naming is the sealed secret from which the ids of imported materials follow;
	// nil unless Origin is EXTERNAL. A multi-Region family has the same.
	Naming []byte `json:",omitempty"`
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
	// Rotated is when a rotation, of this type, made the material the current one.
	// It is zero for the first material, and for one that waits for rotation.
	Rotated  time.Time          `json:",omitzero"`
	Rotation types.RotationType `json:",omitempty"`
	// ValidTo is when imported material expires; zero for never, and if there is no
	// secret. Description is its owner's.
	ValidTo     time.Time `json:",omitzero"`
	Description string    `json:",omitempty"`
}

// An Alias is another name of a key.
type Alias struct {
	Place
	Name    string // "alias/…"
	KeyID   string
	Created time.Time
	Updated time.Time
}

// newKey makes a key that is not stored yet and has no material yet.
func (s *Service) newKey(p Place, spec material.Spec, usage material.Usage) Key {
	return Key{
		Ref:     Ref{Place: p, ID: uuid.NewString()},
		Created: s.now(),
		State:   Enabled,
		Manager: Customer,
		Spec:    spec, Usage: usage, Origin: defaultOrigin,
	}
}

// newMaterial generates a material for k. It may take seconds, and waits while
// others are made, until ctx is done: no lock is held and no transaction open
// when it is called.
func (s *Service) newMaterial(ctx context.Context, k *Key) (Material, error) {
	secret, err := material.Generate(ctx, k.Spec)
	if err != nil {
		return Material{}, fmt.Errorf("generate material of %s: %w", k.ARN(), err)
	}
	defer seal.Wipe(secret)
	return s.sealMaterial(k, newID(), secret)
}

// sealMaterial makes a material of an encoded secret.
func (s *Service) sealMaterial(k *Key, id string, secret seal.Plaintext) (Material, error) {
	sealed, err := s.Sealer.Seal(secret, materialContext(k.Ref, id))
	if err != nil {
		return Material{}, fmt.Errorf("seal material of %s: %w", k.ARN(), err)
	}
	return Material{ID: id, Created: s.now(), Sealed: sealed}, nil
}

// openMaterial is the way back: m's secret, ready for use.
func (s *Service) openMaterial(k *Key, m Material) (*material.Key, error) {
	secret, err := s.Sealer.Open(m.Sealed, materialContext(k.Ref, m.ID))
	if err != nil {
		return nil, err
	}
	defer seal.Wipe(secret)
	return material.Load(k.Spec, secret)
}

// addMaterial makes m the material that k encrypts with.
func (k *Key) addMaterial(m Material) {
	k.Materials, k.Current = append(k.Materials[:len(k.Materials):len(k.Materials)], m), m.ID
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
		Enabled:               k.shownState() == Enabled,
		Description:           new(k.Description),
		KeyUsage:              types.KeyUsageType(k.Usage),
		KeyState:              types.KeyState(k.shownState()),
		Origin:                types.OriginType(k.Origin),
		KeyManager:            types.KeyManagerType(k.Manager),
		CustomerMasterKeySpec: types.CustomerMasterKeySpec(k.Spec), //nolint:staticcheck // old clients read it
		KeySpec:               types.KeySpec(k.Spec),
		MultiRegion:           new(k.MultiRegion != nil),
	}
	switch algorithms := k.Spec.Algorithms(k.Usage); k.Usage {
	case material.EncryptDecrypt:
		m.EncryptionAlgorithms = spelled[types.EncryptionAlgorithmSpec](algorithms)
	case material.SignVerify:
		m.SigningAlgorithms = spelled[types.SigningAlgorithmSpec](algorithms)
	case material.GenerateVerifyMAC:
		m.MacAlgorithms = spelled[types.MacAlgorithmSpec](algorithms)
	case material.KeyAgreement:
		m.KeyAgreementAlgorithms = spelled[types.KeyAgreementAlgorithmSpec](algorithms)
	case material.EncapsulateDecapsulate:
		m.EncapsulationAlgorithms = spelled[types.EncapsulationAlgorithmSpec](algorithms)
	}
	if k.symmetric() && k.Store == nil {
		m.CurrentKeyMaterialId = k.current()
	}
	k.describeImport(m)
	k.addStore(m)
	k.describeFamily(m)
	if k.State == PendingDeletion {
		m.DeletionDate = new(k.Deletion)
	}
	return m
}

// symmetric says that k makes symmetric ciphertexts, which name their material.
// Other keys' materials have ids too, that nobody is told.
func (k *Key) symmetric() bool { return k.Spec == material.SymmetricDefault }

// current is Current as answers have it: nil if there is none.
func (k *Key) current() *string {
	if k.Current == "" {
		return nil
	}
	return &k.Current
}

// spelled is a list of algorithms as a list of one of KMS's types.
func spelled[T ~string](algorithms []material.Algorithm) []T {
	var out []T
	for _, a := range algorithms {
		out = append(out, T(a))
	}
	return out
}
