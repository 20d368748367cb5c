// Package clusters is RDS for Aurora PostgreSQL: DB clusters and their
// instances, cluster snapshots, and the sharing, copying and restoring of
// snapshots between accounts. It owns names, states, limits, permissions and
// the jobs that do the long work. It knows KMS only as a client does, and
// refuses to know how engines run, how volumes lie on disk and how rows are
// kept: it says what it needs of them in Engines, Volumes and Store.
package clusters

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"borealis/internal/api"
	"borealis/internal/audit"
	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// Service is the RDS service. Nothing can be asked of it directly: every
// operation needs a caller, and As is the only way to name one. Its fields are
// set before the first use and not changed after it; it must not be copied.
type Service struct {
	Store    Store
	Policies Policies
	Audit    Audit
	// Keys is KMS as a caller sees it. It is asked in three names: the caller's,
	// through RDS, for DescribeKey and CreateGrant; and RDS's own for the rest.
	Keys    func(cloud.Caller) Keys
	Engines Engines
	Volumes Volumes
	Now     func() time.Time
	// Log gets one line for each job that failed and each key that was refused,
	// with the cause. slog.Default() if nil.
	Log *slog.Logger

	// LateShareRefusal reproduces what users reported in 2019: a snapshot under
	// the account's default key can be shared, and only the target's copy fails.
	// The zero value refuses at once, as AWS documents.
	LateShareRefusal bool
	// Workers is how many jobs run at once; 4 if zero.
	Workers int
	// KeyCheck is how often a running job makes sure that its keys are still
	// usable, and renews its lease; 3 seconds if zero.
	KeyCheck time.Duration

	once  sync.Once
	state *state
}

// A View is the service as one caller sees it.
type View struct {
	*Service
	caller cloud.Caller
}

// As is the service as c sees it.
func (s *Service) As(c cloud.Caller) *View { return &View{Service: s, caller: c} }

// Policies knows what has a say in a question beside the resource's own policy.
type Policies interface {
	// Complete adds to q what speaks for q.Caller or limits it, and what organizations
	// say of the accounts, as it is now.
	Complete(ctx context.Context, q *policy.Question) error
}

// Audit is the log of decisions.
type Audit interface {
	// Record keeps e. A decision that cannot be recorded is not acted upon.
	Record(e audit.Event) error
}

// Ops are the operations this service answers. An operation that is not here
// does not exist; one that is here is authorized, audited and tested like the rest.
var Ops = map[string]api.Op[*View]{
	"AddTagsToResource":                   api.Bind((*View).AddTagsToResource),
	"CopyDBClusterSnapshot":               api.Bind((*View).CopyDBClusterSnapshot),
	"CreateDBCluster":                     api.Bind((*View).CreateDBCluster),
	"CreateDBClusterSnapshot":             api.Bind((*View).CreateDBClusterSnapshot),
	"CreateDBInstance":                    api.Bind((*View).CreateDBInstance),
	"DeleteDBCluster":                     api.Bind((*View).DeleteDBCluster),
	"DeleteDBClusterSnapshot":             api.Bind((*View).DeleteDBClusterSnapshot),
	"DeleteDBInstance":                    api.Bind((*View).DeleteDBInstance),
	"DescribeDBClusterSnapshotAttributes": api.Bind((*View).DescribeDBClusterSnapshotAttributes),
	"DescribeDBClusterSnapshots":          api.Bind((*View).DescribeDBClusterSnapshots),
	"DescribeDBClusters":                  api.Bind((*View).DescribeDBClusters),
	"DescribeDBEngineVersions":            api.Bind((*View).DescribeDBEngineVersions),
	"DescribeDBInstances":                 api.Bind((*View).DescribeDBInstances),
	"DescribeOrderableDBInstanceOptions":  api.Bind((*View).DescribeOrderableDBInstanceOptions),
	"ListTagsForResource":                 api.Bind((*View).ListTagsForResource),
	"ModifyDBCluster":                     api.Bind((*View).ModifyDBCluster),
	"ModifyDBClusterSnapshotAttribute":    api.Bind((*View).ModifyDBClusterSnapshotAttribute),
	"RemoveTagsFromResource":              api.Bind((*View).RemoveTagsFromResource),
	"RestoreDBClusterFromSnapshot":        api.Bind((*View).RestoreDBClusterFromSnapshot),
	"StartDBCluster":                      api.Bind((*View).StartDBCluster),
	"StopDBCluster":                       api.Bind((*View).StopDBCluster),
}
