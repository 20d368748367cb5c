package clusters

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"borealis/internal/cloud"
)

// Keys is what this package asks of KMS, in the name of whoever it was made
// for. *keys.View has these methods.
type Keys interface {
	DescribeKey(context.Context, *kms.DescribeKeyInput) (*kms.DescribeKeyOutput, error)
	CreateGrant(context.Context, *kms.CreateGrantInput) (*kms.CreateGrantOutput, error)
	RetireGrant(context.Context, *kms.RetireGrantInput) (*kms.RetireGrantOutput, error)
	GenerateDataKey(context.Context, *kms.GenerateDataKeyInput) (*kms.GenerateDataKeyOutput, error)
	Decrypt(context.Context, *kms.DecryptInput) (*kms.DecryptOutput, error)
}

// ErrNoEngine says that no PostgreSQL is installed. Its text tells the operator
// what to install.
var ErrNoEngine = errors.New("no PostgreSQL server programs were found on this machine")

// Engines runs PostgreSQL servers, each named by the resource id of its cluster.
// Methods may be called concurrently for different engines, never for one. All
// may be repeated: asking for what is already so is not an error.
type Engines interface {
	// Versions are the installed PostgreSQL versions in full ("15.18"), newest
	// first. It returns ErrNoEngine, wrapped with what to install, if there are none.
	Versions(context.Context) ([]string, error)
	// Create makes the storage of an engine, ready to start. What an earlier
	// call left half done is made anew. When it returns nil the storage survives
	// a crash of the machine.
	Create(ctx context.Context, id, version string) error
	// Start runs the engine and returns when it accepts connections. It listens
	// on spec.Port, or where it likes if that is 0. If the engine runs already,
	// its endpoint is returned.
	Start(ctx context.Context, id string, spec EngineSpec) (Endpoint, error)
	// Stop ends the engine, cleanly, and returns when it has ended.
	Stop(ctx context.Context, id string) error
	// Remove ends the engine if it runs and deletes its storage.
	Remove(ctx context.Context, id string) error
	// Verifier makes the SCRAM-SHA-256 verifier of a password, so that the
	// password itself is kept nowhere.
	Verifier(password string) (string, error)
	// SetMaster makes m the master user of a running engine, with its database
	// if it names one; what exists already is changed to agree.
	SetMaster(ctx context.Context, id string, m Master) error
	// List names every engine that has storage, whole or not.
	List(context.Context) ([]string, error)
}

// An EngineSpec says how to start an engine.
type EngineSpec struct {
	Version string // in full, as Versions gives it
	Port    int32  // 0 for any
}

// An Endpoint is where an engine accepts connections.
type Endpoint struct {
	Host string
	Port int32
}

// A Master is the master user of an engine.
type Master struct {
	User     string
	Verifier string
	Database string // "" for none
}

// Volumes keeps the bytes of snapshots. Methods may be called concurrently. A
// volume that was begun and not finished is known to List, and beginning it
// again with the same id starts from nothing or goes on from what is there.
// Data keys are 32 bytes and are wiped when the call has returned.
type Volumes interface {
	// Take makes a volume of the engine's data as of some moment during the
	// call, while the engine runs. When it returns nil error the volume survives
	// a crash of the machine.
	Take(ctx context.Context, engine string, to VolumeSpec, p Progress) (VolumeInfo, error)
	// Copy makes a volume with the data of another. Under the same data key no
	// bytes need to move.
	Copy(ctx context.Context, from VolumeRef, to VolumeSpec, p Progress) (VolumeInfo, error)
	// Restore makes the storage of an engine, ready to start, from a volume.
	// What an earlier call left half done is made anew.
	Restore(ctx context.Context, from VolumeRef, engine string, p Progress) error
	// Delete removes a volume, whole or half made. One that is not there is not
	// an error. Only the fields that List returns need be set.
	Delete(ctx context.Context, v VolumeRef) error
	// List names every volume there is, whole or half made: the ID, and whatever
	// else Delete wants to have back.
	List(context.Context) ([]VolumeRef, error)
}

// A VolumeSpec says which volume to make and under which key.
type VolumeSpec struct {
	ID      string // chosen by this package, never used twice for different data
	Account cloud.AccountID
	Lineage string // the resource id of the cluster that the data came from first
	KeyARN  string // the KMS key; "" for data that is not encrypted under one
	DataKey PlainKey
	Wrapped []byte // DataKey under the KMS key; nil if KeyARN is ""
}

// A VolumeRef names a volume that exists and what opens it.
type VolumeRef struct {
	ID      string
	Digest  string // VolumeInfo.Digest of when it was made
	Account cloud.AccountID
	Lineage string
	KeyARN  string
	DataKey PlainKey
}

// VolumeInfo describes a volume that was made.
type VolumeInfo struct {
	Digest string // of the volume's manifest: it authenticates everything in it
	// Content is a hash of the data, in hexadecimal digits, that depends on no key
	// and on nothing of how it is stored: a copy has its source's. "" for volumes
	// made before there was one.
	Content string
	Bytes   int64 // the size of the data, as the engine has it
}

// Progress is told how many bytes of how many are done. It may be called often
// and from several goroutines.
type Progress func(done, total int64)
