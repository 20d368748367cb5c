package clusters

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"

	"borealis/internal/cloud"
)

const (
	restoreAttribute = "restore" // the only attribute: who may copy and restore
	public           = "all"     // as an account id: everyone
)

// ModifyDBClusterSnapshotAttribute shares a snapshot with accounts, and ends
// sharing. It asks nothing of KMS: whether they can open it is for the key's
// policy to say.
func (v *View) ModifyDBClusterSnapshotAttribute(ctx context.Context, in *rds.ModifyDBClusterSnapshotAttributeInput) (*rds.ModifyDBClusterSnapshotAttributeOutput, error) {
	id := value(in.DBClusterSnapshotIdentifier)
	var s Snapshot
	err := v.Store.Update(ctx, func(tx Tx) (err error) {
		s, err = v.loadOwn(ctx, tx, "rds:ModifyDBClusterSnapshotAttribute", id)
		if nameErr := checkShareID(id); nameErr != nil {
			return nameErr
		}
		if err != nil {
			return err
		}
		if err := checkShares(in); err != nil {
			return err
		}
		if err := v.reshare(&s, in.ValuesToAdd, in.ValuesToRemove); err != nil {
			return err
		}
		return tx.Snapshots().Put(s)
	})
	if err != nil {
		return nil, err
	}
	return &rds.ModifyDBClusterSnapshotAttributeOutput{DBClusterSnapshotAttributesResult: s.attributes()}, nil
}

// checkShareID refuses names that no manual snapshot can have.
func checkShareID(id string) error {
	if strings.HasPrefix(id, "arn:") {
		return nil
	}
	_, err := parseName("DBClusterSnapshotIdentifier", id, maxFinalName)
	return err
}

// checkShares checks what can be checked without knowing the snapshot.
func checkShares(in *rds.ModifyDBClusterSnapshotAttributeInput) error {
	if name := value(in.AttributeName); name != restoreAttribute {
		return invalidValue("Invalid snapshot attribute: %s", name)
	}
	for _, who := range in.ValuesToAdd {
		if slices.Contains(in.ValuesToRemove, who) {
			return invalidCombination("A value may not appear in both the add list and remove list. [%s]", who)
		}
	}
	for _, who := range slices.Concat(in.ValuesToAdd, in.ValuesToRemove) {
		if _, err := cloud.ParseAccountID(who); err != nil && who != public {
			return invalidValue("Invalid account number: %s", who)
		}
	}
	return nil
}

// reshare sets whom s is shared with, if it may be.
func (v *View) reshare(s *Snapshot, add, remove []string) error {
	switch {
	case s.Status != SnapshotAvailable:
		return snapshotState("The cluster snapshot %s is in %s state but expected it to be one of available.", s.Name, s.Status)
	case s.DefaultKey && len(add) > 0 && !v.LateShareRefusal:
		return invalidValue("Snapshots encrypted with the default service KMS key cannot be shared.")
	case s.KeyARN != "" && slices.Contains(add, public):
		return invalidValue("Encrypted snapshots cannot be shared publicly.")
	}
	shared := slices.DeleteFunc(slices.Concat(s.Shared, add), func(who string) bool { return slices.Contains(remove, who) })
	slices.Sort(shared)
	shared = slices.Compact(shared)
	if accounts := keepIf(shared, func(who string) bool { return who != public }); len(accounts) > maxShares {
		return &types.SharedSnapshotQuotaExceededFault{Message: new(fmt.Sprintf("A snapshot cannot be shared with more than %d accounts.", maxShares))}
	}
	s.Shared = shared
	return nil
}

// DescribeDBClusterSnapshotAttributes tells the owner whom a snapshot is shared with.
func (v *View) DescribeDBClusterSnapshotAttributes(ctx context.Context, in *rds.DescribeDBClusterSnapshotAttributesInput) (*rds.DescribeDBClusterSnapshotAttributesOutput, error) {
	var s Snapshot
	err := v.Store.View(ctx, func(tx Tx) (err error) {
		s, err = v.loadOwn(ctx, tx, "rds:DescribeDBClusterSnapshotAttributes", value(in.DBClusterSnapshotIdentifier))
		return err
	})
	if err != nil {
		return nil, err
	}
	return &rds.DescribeDBClusterSnapshotAttributesOutput{DBClusterSnapshotAttributesResult: s.attributes()}, nil
}

func (s Snapshot) attributes() *types.DBClusterSnapshotAttributesResult {
	return &types.DBClusterSnapshotAttributesResult{
		DBClusterSnapshotIdentifier: &s.Name,
		DBClusterSnapshotAttributes: []types.DBClusterSnapshotAttribute{{
			AttributeName: new(restoreAttribute), AttributeValues: append([]string{}, s.Shared...),
		}},
	}
}
