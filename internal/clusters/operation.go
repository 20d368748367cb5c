package clusters

import (
	"time"

	"borealis/internal/cloud"
)

// An Operation is a long job: a row that is written in the transaction that
// promises the work, and removed in the one that ends it. It holds all that the
// work needs, so that it can be finished by another process than began it.
type Operation struct {
	ID   string
	Kind Kind

	// Subject is the id of the row that the work is about. If that row is gone,
	// the operation was cancelled.
	Subject string
	Cluster string // the id of the cluster whose engine takes part; "" if none does
	// Lane orders operations: those of one lane run one after another.
	Lane string
	// Reads is the id of a volume that must not go away while this waits or runs.
	Reads string

	Region cloud.Region
	From   *Source // the data to copy or restore
	To     *Target // the data to make
	// Final is the id of the snapshot without which a cluster is not deleted.
	Final string
	// Grants are retired when the operation ends.
	Grants []Grant

	Phase  Phase
	Volume VolumeInfo // of the volume made, from phase Succeeded on
	Reason string     // why it failed
	// KeyLost says that it failed because a KMS key could not be used.
	KeyLost  bool
	Engine   Endpoint // of the engine started, from phase Succeeded on
	Verifier string   // of the password that the engine was told, likewise
	Attempts int
	Lease    Lease
	Done     int64 // bytes, when the lease was last renewed
	Total    int64
}

// A Lease says which process works on an operation, and until when that holds
// if it is not renewed.
type Lease struct {
	Owner string
	Until time.Time
}

// A Source is a volume to read, and the way to its key.
type Source struct {
	VolumeID string
	Digest   string
	Region   cloud.Region
	Key      DataKeyID
	Grant    Grant
}

// A Target is a volume or a cluster's storage to make, and the way to its key.
// VolumeID is "" for a cluster.
type Target struct {
	VolumeID string
	Key      DataKeyID
	Grant    Grant
}

// A Phase says how far an operation has come. Each is safe to repeat.
type Phase string

// The phases of an operation.
const (
	Working   Phase = ""          // doing what it is there for
	Succeeded Phase = "succeeded" // done; grants to be retired, then the subject says so
	Failing   Phase = "failing"   // not done; what was half made is to be removed
)

// A Kind is what an operation does.
type Kind string

// The kinds of operation.
const (
	CreateCluster  Kind = "create cluster"
	RestoreCluster Kind = "restore cluster"
	StartCluster   Kind = "start cluster"
	StopCluster    Kind = "stop cluster"
	SetPassword    Kind = "set password"
	DeleteCluster  Kind = "delete cluster"
	StartInstance  Kind = "start instance"
	DeleteInstance Kind = "delete instance"
	TakeSnapshot   Kind = "take snapshot"
	CopySnapshot   Kind = "copy snapshot"
	DeleteVolume   Kind = "delete volume"
)
