package clusters

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"

	"borealis/internal/cloud"
)

// The kinds of snapshot that a listing may ask for.
const (
	manualKind    = "manual"
	automatedKind = "automated" // there are none yet
	backupKind    = "awsbackup" // there never are any
	sharedKind    = "shared"
	publicKind    = "public"
)

// DescribeDBClusterSnapshots lists the caller's own snapshots, and those that
// other accounts share with the caller or with everyone, as asked for.
func (v *View) DescribeDBClusterSnapshots(ctx context.Context, in *rds.DescribeDBClusterSnapshotsInput) (*rds.DescribeDBClusterSnapshotsOutput, error) {
	keep, err := filters(in.Filters, "db-cluster-id", "db-cluster-snapshot-id", "snapshot-type", "engine")
	if err != nil {
		return nil, err
	}
	if given(in.DBClusterIdentifier) && given(in.DBClusterSnapshotIdentifier) {
		return nil, invalidCombination("DBClusterIdentifier and DBClusterSnapshotIdentifier cannot be specified together.")
	}
	if given(in.DBClusterIdentifier) {
		keep["of"] = []string{*in.DBClusterIdentifier}
	}
	if given(in.DbClusterResourceId) {
		keep["lineage"] = []string{*in.DbClusterResourceId}
	}
	out := &rds.DescribeDBClusterSnapshotsOutput{DBClusterSnapshots: []types.DBClusterSnapshot{}}
	err = v.Store.View(ctx, func(tx Tx) error {
		all, err := v.listSnapshots(ctx, tx, in)
		if err != nil {
			return err
		}
		all = keepIf(all, func(s Snapshot) bool {
			cluster := cloud.NewARN("rds", s.Region, s.Account, clusterType+":"+s.Cluster).String()
			return keep.has("of", s.Cluster, cluster) && keep.has("lineage", s.Lineage) &&
				keep.has("db-cluster-id", s.Cluster, cluster) && keep.has("db-cluster-snapshot-id", s.Name, s.arn().String()) &&
				keep.has("snapshot-type", v.kindOf(s)) && keep.has("engine", engineName)
		})
		all, out.Marker, err = page(all, in.Marker, in.MaxRecords)
		for _, s := range all {
			out.DBClusterSnapshots = append(out.DBClusterSnapshots, *v.shapeOf(s))
		}
		return err
	})
	return out, err
}

// listSnapshots authorizes a listing and collects what it is about.
func (v *View) listSnapshots(ctx context.Context, tx Tx, in *rds.DescribeDBClusterSnapshotsInput) ([]Snapshot, error) {
	id := value(in.DBClusterSnapshotIdentifier)
	s, o, found, err := v.findSnapshot(tx, id)
	if err != nil {
		return nil, err
	}
	if id == "" {
		o = object{arn: v.lookAt(snapshotType, "*")}
	}
	if err := v.authorize(ctx, request{action: "rds:DescribeDBClusterSnapshots"}, o); err != nil {
		return nil, err
	}
	kind := value(in.SnapshotType)
	if !slices.Contains([]string{"", manualKind, automatedKind, backupKind, sharedKind, publicKind}, kind) {
		return nil, invalidValue("Invalid snapshot type: %s", kind)
	}
	switch {
	case id != "" && (!found || s.Region != v.caller.Region || !v.isOfKind(s, kind)):
		return nil, noSnapshot(id)
	case id != "":
		return []Snapshot{s}, nil
	}
	return v.collect(tx, kind, value(in.IncludeShared), value(in.IncludePublic))
}

// collect lists the snapshots of a kind; "" is the caller's own, with others as
// asked for.
func (v *View) collect(tx Tx, kind string, withShared, withPublic bool) ([]Snapshot, error) {
	plain := kind == ""
	var all []Snapshot
	add := func(is bool, list func() ([]Snapshot, error)) error {
		if !is {
			return nil
		}
		more, err := list()
		for _, s := range more {
			if !slices.ContainsFunc(all, func(have Snapshot) bool { return have.ID == s.ID }) && (plain || v.isOfKind(s, kind)) {
				all = append(all, s)
			}
		}
		return err
	}
	if err := add(plain || kind == manualKind, func() ([]Snapshot, error) {
		return tx.Snapshots().In(v.caller.Account, v.caller.Region)
	}); err != nil {
		return nil, err
	}
	if err := add(plain && withShared || kind == sharedKind, func() ([]Snapshot, error) {
		return tx.SharedWith(string(v.caller.Account), v.caller.Region)
	}); err != nil {
		return nil, err
	}
	err := add(plain && withPublic || kind == publicKind, func() ([]Snapshot, error) {
		return tx.SharedWith(public, v.caller.Region)
	})
	return all, err
}

// kindOf is the SnapshotType of s as the caller sees it.
func (v *View) kindOf(s Snapshot) string {
	switch {
	case s.Account == v.caller.Account:
		return manualKind
	case slices.Contains(s.Shared, string(v.caller.Account)):
		return sharedKind
	}
	return publicKind
}

// isOfKind reports whether a listing of kind shows s. An own snapshot that is
// public is both manual and public.
func (v *View) isOfKind(s Snapshot, kind string) bool {
	return kind == "" || v.kindOf(s) == kind || kind == publicKind && slices.Contains(s.Shared, public)
}
