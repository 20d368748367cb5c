package clusters

import (
	"fmt"
	"slices"
	"time"

	"borealis/internal/cloud"
)

// The structs of this file are stored: their fields change only in ways that
// old rows survive. The wire's types are made of them at the edge.

// A Cluster is a DB cluster: the storage of one PostgreSQL engine and what is to
// be true of it. Its ID is its DbClusterResourceId and names the engine too.
type Cluster struct {
	Ident   `json:"-"`
	Status  ClusterStatus
	Reason  string // why Status is what it is, if it is not what one hopes
	Created time.Time
	Tags    []Tag

	Version  string // of the engine, in full
	Master   string // the master user's name
	Verifier string // of a password that the engine has not been told yet
	Database string // made when the engine starts for the first time
	Port     int32  // what the engine listens on; 0 until it first starts, unless asked for
	Endpoint Endpoint

	KeyARN     string // the KMS key; "" if not encrypted
	DefaultKey bool   // it is the account's aws/rds
	Grant      Grant  // for the life of the cluster

	BackupRetention    int32
	BackupWindow       string
	MaintenanceWindow  string
	DeletionProtection bool
	CopyTags           bool // to snapshots
	IAMAuth            bool
	StorageType        string
	SecurityGroups     []string
	Zones              []string
	Serverless         *Capacity
}

// Capacity is the Serverless v2 range of a cluster, in ACUs. It is kept and
// shown; an engine here takes what it needs.
type Capacity struct{ Min, Max float64 }

// An Instance is a DB instance: the wish that its cluster's engine runs.
type Instance struct {
	Ident     `json:"-"`
	ClusterID string
	Status    InstanceStatus
	Created   time.Time
	Tags      []Tag
	Class     string
	Tier      int32
	Zone      string
	Public    bool
	AutoMinor bool
}

// A Snapshot is a cluster snapshot.
type Snapshot struct {
	Ident    `json:"-"`
	Status   SnapshotStatus
	Reason   string // why it failed
	Created  time.Time
	Tags     []Tag
	Shared   []string // account ids, and "all" if public
	SourceID string   // the ARN of the snapshot that this is a copy of

	// What it is a snapshot of.
	Cluster     string // the name of the cluster
	Lineage     string // the resource id of the cluster; copies keep it
	Version     string
	Master      string
	Port        int32
	Database    string
	ClusterMade time.Time
	Zones       []string
	StorageType string
	IAMAuth     bool
	Retention   int32
	Window      string

	KeyARN     string // the KMS key; "" if not encrypted
	DefaultKey bool   // the key is the account's aws/rds, which can open no other account's door

	VolumeID string
	Volume   VolumeInfo // once available
}

// A Tag is a key and a value.
type Tag struct{ Key, Value string }

// A Grant is a KMS grant that RDS holds: its way to a key.
type Grant struct {
	KeyARN string
	ID     string
	Token  string
}

// A DataKeyID says which data key: each account has one for each lineage of
// data and KMS key.
type DataKeyID struct {
	Account cloud.AccountID
	Lineage string
	KeyARN  string // "" for data that is not encrypted under a KMS key
}

// A DataKey is a data key as it is kept: wrapped by KMS, or in the clear for
// data that is not encrypted under a KMS key.
type DataKey struct {
	DataKeyID
	Wrapped []byte
}

// A PlainKey is a data key that opens data. It lives while a job runs, and
// printing one, by mistake or in a struct that holds one, says REDACTED.
type PlainKey []byte

// Format keeps the key back.
func (PlainKey) Format(f fmt.State, _ rune) { fmt.Fprint(f, "REDACTED") }

// A ClusterStatus is AWS's word for what a cluster is doing.
type ClusterStatus string

// The statuses of a cluster.
const (
	ClusterCreating     ClusterStatus = "creating"
	ClusterAvailable    ClusterStatus = "available"
	ClusterBackingUp    ClusterStatus = "backing-up"
	ClusterResetting    ClusterStatus = "resetting-master-credentials"
	ClusterStopping     ClusterStatus = "stopping"
	ClusterStopped      ClusterStatus = "stopped"
	ClusterStarting     ClusterStatus = "starting"
	ClusterInaccessible ClusterStatus = "inaccessible-encryption-credentials-recoverable"
	ClusterFailed       ClusterStatus = "failed"
	ClusterDeleting     ClusterStatus = "deleting"
)

// clusterLife is the whole life of a cluster. A change that is not here is a
// bug, and setStatus refuses it.
var clusterLife = map[ClusterStatus][]ClusterStatus{
	"":                  {ClusterCreating},
	ClusterCreating:     {ClusterAvailable, ClusterFailed},
	ClusterAvailable:    {ClusterBackingUp, ClusterResetting, ClusterStopping, ClusterInaccessible, ClusterFailed, ClusterDeleting},
	ClusterBackingUp:    {ClusterAvailable, ClusterInaccessible, ClusterFailed},
	ClusterResetting:    {ClusterAvailable, ClusterInaccessible, ClusterFailed},
	ClusterStopping:     {ClusterStopped},
	ClusterStopped:      {ClusterStarting, ClusterDeleting},
	ClusterStarting:     {ClusterAvailable, ClusterInaccessible, ClusterFailed},
	ClusterInaccessible: {ClusterStarting, ClusterDeleting},
	ClusterFailed:       {ClusterAvailable, ClusterInaccessible, ClusterDeleting},
	ClusterDeleting:     {ClusterAvailable},
}

func (c *Cluster) setStatus(to ClusterStatus) error {
	if !slices.Contains(clusterLife[c.Status], to) {
		return fmt.Errorf("cluster %s: cannot go from %q to %q", c.ID, c.Status, to)
	}
	c.Status, c.Reason = to, ""
	return nil
}

// An InstanceStatus is AWS's word for what an instance is doing.
type InstanceStatus string

// The statuses of an instance.
const (
	InstanceCreating     InstanceStatus = "creating"
	InstanceAvailable    InstanceStatus = "available"
	InstanceStopping     InstanceStatus = "stopping"
	InstanceStopped      InstanceStatus = "stopped"
	InstanceStarting     InstanceStatus = "starting"
	InstanceInaccessible InstanceStatus = "inaccessible-encryption-credentials-recoverable"
	InstanceFailed       InstanceStatus = "failed"
	InstanceDeleting     InstanceStatus = "deleting"
)

// instanceLife is the whole life of an instance.
var instanceLife = map[InstanceStatus][]InstanceStatus{
	"":                   {InstanceCreating},
	InstanceCreating:     {InstanceAvailable, InstanceInaccessible, InstanceFailed, InstanceDeleting},
	InstanceAvailable:    {InstanceStopping, InstanceInaccessible, InstanceFailed, InstanceDeleting},
	InstanceStopping:     {InstanceStopped},
	InstanceStopped:      {InstanceStarting, InstanceDeleting},
	InstanceStarting:     {InstanceAvailable, InstanceInaccessible, InstanceFailed},
	InstanceInaccessible: {InstanceStarting, InstanceDeleting},
	InstanceFailed:       {InstanceAvailable, InstanceInaccessible, InstanceDeleting},
	InstanceDeleting:     {},
}

func (i *Instance) setStatus(to InstanceStatus) error {
	if !slices.Contains(instanceLife[i.Status], to) {
		return fmt.Errorf("instance %s: cannot go from %q to %q", i.ID, i.Status, to)
	}
	i.Status = to
	return nil
}

// A SnapshotStatus is AWS's word for what a snapshot is doing.
type SnapshotStatus string

// The statuses of a snapshot. There is no deleting: a snapshot that is deleted
// is gone at once, and a job removes its volume.
const (
	SnapshotCreating  SnapshotStatus = "creating"
	SnapshotCopying   SnapshotStatus = "copying"
	SnapshotAvailable SnapshotStatus = "available"
	SnapshotFailed    SnapshotStatus = "failed"
)

// snapshotLife is the whole life of a snapshot.
var snapshotLife = map[SnapshotStatus][]SnapshotStatus{
	"":               {SnapshotCreating, SnapshotCopying},
	SnapshotCreating: {SnapshotAvailable, SnapshotFailed},
	SnapshotCopying:  {SnapshotAvailable, SnapshotFailed},
}

func (s *Snapshot) setStatus(to SnapshotStatus) error {
	if !slices.Contains(snapshotLife[s.Status], to) {
		return fmt.Errorf("snapshot %s: cannot go from %q to %q", s.ID, s.Status, to)
	}
	s.Status = to
	return nil
}
