package clusters

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/rds"
)

// ModifyDBCluster changes a cluster's settings at once; a new master password
// is handed to the engine by a job, or kept until the engine next starts.
func (v *View) ModifyDBCluster(ctx context.Context, in *rds.ModifyDBClusterInput) (*rds.ModifyDBClusterOutput, error) {
	out := &rds.ModifyDBClusterOutput{}
	err := v.promise(ctx, nil, func(tx Tx) error {
		c, err := v.loadCluster(ctx, tx, request{action: "rds:ModifyDBCluster"}, value(in.DBClusterIdentifier))
		if err != nil {
			return err
		}
		members, err := instancesOf(tx, c)
		if err != nil {
			return err
		}
		if err := v.modify(tx, &c, in, len(members) > 0); err != nil {
			return err
		}
		out.DBCluster = c.shape(members)
		return tx.Clusters().Put(c)
	})
	return out, err
}

func (v *View) modify(tx Tx, c *Cluster, in *rds.ModifyDBClusterInput, running bool) error {
	if err := offered(map[string]bool{
		"NewDBClusterIdentifier": given(in.NewDBClusterIdentifier), "EngineVersion": given(in.EngineVersion) && *in.EngineVersion != c.Version,
		"Port": in.Port != nil && *in.Port != c.Port, "ManageMasterUserPassword": value(in.ManageMasterUserPassword),
		"RotateMasterUserPassword": value(in.RotateMasterUserPassword), "DBClusterInstanceClass": given(in.DBClusterInstanceClass),
		"Domain": given(in.Domain), "EnableHttpEndpoint": value(in.EnableHttpEndpoint), "OptionGroupName": given(in.OptionGroupName),
		"EngineMode": given(in.EngineMode) && *in.EngineMode != "provisioned", "EnableLimitlessDatabase": value(in.EnableLimitlessDatabase),
		"ScalingConfiguration": in.ScalingConfiguration != nil,
	}); err != nil {
		return err
	}
	if c.Status != ClusterAvailable {
		return clusterState("DbCluster %s is in %s state but expected it to be one of available.", c.Name, c.Status)
	}
	if err := (settings{
		BackupRetention: in.BackupRetentionPeriod, BackupWindow: in.PreferredBackupWindow,
		MaintenanceWindow: in.PreferredMaintenanceWindow, DeletionProtection: in.DeletionProtection,
		CopyTags: in.CopyTagsToSnapshot, IAMAuth: in.EnableIAMDatabaseAuthentication, StorageType: in.StorageType,
		ParameterGroup: in.DBClusterParameterGroupName, SecurityGroups: in.VpcSecurityGroupIds,
		Serverless: in.ServerlessV2ScalingConfiguration,
	}).apply(c); err != nil {
		return err
	}
	if in.MasterUserPassword == nil {
		return nil
	}
	return v.newPassword(tx, c, in.MasterUserPassword, running)
}

// newPassword keeps the verifier of a new master password until the engine has
// it. If the engine runs, an operation sees to that now.
func (v *View) newPassword(tx Tx, c *Cluster, password *string, running bool) (err error) {
	if err := checkPassword(password); err != nil {
		return err
	}
	if c.Verifier, err = v.Engines.Verifier(*password); err != nil {
		return fmt.Errorf("make verifier of the master password: %w", err)
	}
	if !running {
		return nil
	}
	if err := c.setStatus(ClusterResetting); err != nil {
		return err
	}
	op := v.operation(SetPassword, c.ID, c.ID)
	op.Cluster = c.ID
	return tx.PutOperation(op)
}

// StopDBCluster ends the engine of a cluster; its storage stays.
func (v *View) StopDBCluster(ctx context.Context, in *rds.StopDBClusterInput) (*rds.StopDBClusterOutput, error) {
	out := &rds.StopDBClusterOutput{}
	err := v.promise(ctx, nil, func(tx Tx) error {
		c, err := v.loadCluster(ctx, tx, request{action: "rds:StopDBCluster"}, value(in.DBClusterIdentifier))
		if err != nil {
			return err
		}
		if c.Status != ClusterAvailable {
			return clusterState("DbCluster %s is in %s state but expected it to be one of available.", c.Name, c.Status)
		}
		members, err := v.turn(tx, &c, ClusterStopping, InstanceStopping, StopCluster)
		out.DBCluster = c.shape(members)
		return err
	})
	return out, err
}

// StartDBCluster runs the engine of a cluster that was stopped, or whose key
// could not be used.
func (v *View) StartDBCluster(ctx context.Context, in *rds.StartDBClusterInput) (*rds.StartDBClusterOutput, error) {
	out := &rds.StartDBClusterOutput{}
	err := v.promise(ctx, nil, func(tx Tx) error {
		c, err := v.loadCluster(ctx, tx, request{action: "rds:StartDBCluster"}, value(in.DBClusterIdentifier))
		if err != nil {
			return err
		}
		if c.Status != ClusterStopped && c.Status != ClusterInaccessible {
			return clusterState("DbCluster %s is in %s state but expected it to be one of stopped, inaccessible-encryption-credentials-recoverable.", c.Name, c.Status)
		}
		members, err := v.turn(tx, &c, ClusterStarting, InstanceStarting, StartCluster)
		out.DBCluster = c.shape(members)
		return err
	})
	return out, err
}

// turn begins to start or stop a cluster and its instances.
func (v *View) turn(tx Tx, c *Cluster, to ClusterStatus, each InstanceStatus, k Kind) ([]Instance, error) {
	members, err := instancesOf(tx, *c)
	if err != nil {
		return nil, err
	}
	if err := c.setStatus(to); err != nil {
		return nil, err
	}
	for i := range members {
		if err := members[i].setStatus(each); err != nil {
			return nil, clusterState("DB instance %s is in %s state.", members[i].Name, members[i].Status)
		}
		if err := tx.Instances().Put(members[i]); err != nil {
			return nil, err
		}
	}
	op := v.operation(k, c.ID, c.ID)
	op.Cluster = c.ID
	return members, errors.Join(tx.Clusters().Put(*c), tx.PutOperation(op))
}

// DeleteDBCluster ends a cluster that has no instances, after a last snapshot
// unless that is declined.
func (v *View) DeleteDBCluster(ctx context.Context, in *rds.DeleteDBClusterInput) (*rds.DeleteDBClusterOutput, error) {
	final, err := finalName(in)
	if err != nil {
		return nil, err
	}
	var also []object
	if final != "" {
		also = []object{{arn: v.lookAt(snapshotType, final)}}
	}
	var c Cluster
	err = v.Store.View(ctx, func(tx Tx) error {
		c, err = v.loadCluster(ctx, tx, request{action: "rds:DeleteDBCluster"}, value(in.DBClusterIdentifier), also...)
		if err != nil {
			return err
		}
		return v.mayDelete(tx, c, final)
	})
	if err != nil {
		return nil, err
	}
	var grants []Grant
	if final != "" && c.KeyARN != "" {
		_, g, err := v.obtain(ctx, c.Region, givenKey, c.KeyARN, c.ID)
		if err != nil {
			return nil, err
		}
		grants = []Grant{g}
	}
	out := &rds.DeleteDBClusterOutput{}
	err = v.promise(ctx, grants, func(tx Tx) error {
		if c, err = tx.Clusters().Get(c.ID); err != nil {
			return noCluster(c.Name)
		}
		if err := v.mayDelete(tx, c, final); err != nil {
			return err
		}
		if err := v.beginDelete(tx, &c, final, grants); err != nil {
			return err
		}
		out.DBCluster = c.shape(nil)
		return nil
	})
	return out, err
}

// finalName checks what DeleteDBCluster says of a last snapshot, and returns its
// name; "" if there is to be none.
func finalName(in *rds.DeleteDBClusterInput) (string, error) {
	switch final := value(in.FinalDBSnapshotIdentifier); {
	case value(in.SkipFinalSnapshot) && final != "":
		return "", invalidCombination("FinalDBSnapshotIdentifier can not be specified when deleting a cluster and SkipFinalSnapshot is specified.")
	case value(in.SkipFinalSnapshot):
		return "", nil
	case final == "":
		return "", invalidCombination("FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.")
	default:
		return parseName("FinalDBSnapshotIdentifier", final, maxFinalName)
	}
}

// mayDelete says what stands in the way of deleting c.
func (v *View) mayDelete(tx Tx, c Cluster, final string) error {
	if c.DeletionProtection {
		return invalidCombination("Cannot delete protected Cluster, please disable deletion protection and try again.")
	}
	members, err := instancesOf(tx, c)
	if err != nil {
		return err
	}
	for _, i := range members {
		if i.Status != InstanceDeleting {
			return clusterState("Cluster cannot be deleted, it still contains DB instances in non-deleting state.")
		}
	}
	switch c.Status {
	case ClusterAvailable, ClusterStopped:
	case ClusterFailed, ClusterInaccessible:
		if final != "" {
			return clusterState("DbCluster %s is in %s state; a final snapshot cannot be taken.", c.Name, c.Status)
		}
	default:
		return clusterState("DbCluster %s is in %s state but expected it to be one of available, stopped.", c.Name, c.Status)
	}
	if final == "" {
		return nil
	}
	return v.roomForSnapshot(tx, final)
}

func (v *View) beginDelete(tx Tx, c *Cluster, final string, grants []Grant) error {
	op := v.operation(DeleteCluster, c.ID, c.ID)
	op.Cluster = c.ID
	if c.Grant.ID != "" {
		op.Grants = []Grant{c.Grant}
	}
	if final != "" {
		s := v.snapshotOf(*c, final)
		if c.CopyTags {
			s.Tags = c.Tags
		}
		if err := v.beginSnapshot(tx, &s, *c, grants); err != nil {
			return err
		}
		op.Final = s.ID
	}
	if err := c.setStatus(ClusterDeleting); err != nil {
		return err
	}
	return errors.Join(tx.Clusters().Put(*c), tx.PutOperation(op))
}
