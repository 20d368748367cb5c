package clusters

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"

	"borealis/internal/policy"
)

// CreateDBInstance gives a cluster its instance: a job starts the engine and
// makes the master user. A cluster has one instance here, its writer: a second
// one would have to be a reader of the same storage, and there is none.
func (v *View) CreateDBInstance(ctx context.Context, in *rds.CreateDBInstanceInput) (*rds.CreateDBInstanceOutput, error) {
	name, err := parseName("DBInstanceIdentifier", value(in.DBInstanceIdentifier), maxName)
	if err != nil {
		return nil, err
	}
	tags, err := parseTags(in.Tags)
	if err != nil {
		return nil, err
	}
	i := Instance{
		Ident: v.ident("db-", name), Created: v.Now(), Tags: tags, Class: value(in.DBInstanceClass), Tier: 1,
		Zone: string(v.caller.Region) + "a", Public: value(in.PubliclyAccessible), AutoMinor: in.AutoMinorVersionUpgrade == nil || *in.AutoMinorVersionUpgrade,
	}
	set(&i.Tier, in.PromotionTier)
	set(&i.Zone, in.AvailabilityZone)
	out := &rds.CreateDBInstanceOutput{}
	err = v.promise(ctx, nil, func(tx Tx) error {
		c, err := v.hostOf(ctx, tx, in, i)
		if err != nil {
			return err
		}
		i.ClusterID, i.Status = c.ID, ""
		if err := i.setStatus(InstanceCreating); err != nil {
			return err
		}
		out.DBInstance = i.shape(c)
		op := v.operation(StartInstance, i.ID, c.ID)
		op.Cluster = c.ID
		return errors.Join(tx.Instances().Put(i), tx.PutOperation(op))
	})
	return out, err
}

// hostOf authorizes the making of i and returns its cluster, if that can take it.
func (v *View) hostOf(ctx context.Context, tx Tx, in *rds.CreateDBInstanceInput, i Instance) (Cluster, error) {
	id := value(in.DBClusterIdentifier)
	arn := v.lookAt(clusterType, id)
	c, found, err := findOwn(v, tx.Clusters(), arn)
	if err != nil {
		return c, err
	}
	r := request{action: "rds:CreateDBInstance", tags: i.Tags, facts: policy.Context{
		"rds:DatabaseEngine": {value(in.Engine)}, "rds:DatabaseClass": {i.Class},
	}}
	on := v.groups("pg", c.Version)
	if id != "" {
		on = append(on, object{arn, c.Tags})
	}
	if err := v.authorizeNew(ctx, r, i.arn(), on...); err != nil {
		return c, err
	}
	if err := checkMember(in); err != nil {
		return c, err
	}
	if !found {
		return c, noCluster(id)
	}
	return c, v.roomForInstance(tx, c, i)
}

// checkMember refuses what cannot be said of an instance that is a member of a
// cluster.
func checkMember(in *rds.CreateDBInstanceInput) error {
	if err := checkEngine(in.Engine); err != nil {
		return err
	}
	switch {
	case !given(in.DBClusterIdentifier):
		return missing("DBClusterIdentifier")
	case !given(in.DBInstanceClass):
		return missing("DBInstanceClass")
	case !knownClass(*in.DBInstanceClass):
		return invalidValue("Invalid DB Instance class: %s", *in.DBInstanceClass)
	}
	for _, p := range []struct {
		set  bool
		name string
	}{
		{given(in.MasterUsername), "master user name"}, {given(in.MasterUserPassword), "master user password"},
		{given(in.DBName), "database name"}, {in.Port != nil, "database endpoint port number"},
		{in.BackupRetentionPeriod != nil, "backup retention period"}, {given(in.PreferredBackupWindow), "backup window"},
	} {
		if p.set {
			return invalidCombination("The requested DB Instance will be a member of a DB Cluster. Set %s for the DB Cluster.", p.name)
		}
	}
	return offered(map[string]bool{"TagSpecifications": len(in.TagSpecifications) > 0, "Domain": given(in.Domain)})
}

// roomForInstance makes sure that c can take i.
func (v *View) roomForInstance(tx Tx, c Cluster, i Instance) error {
	all, err := tx.Instances().In(i.Account, i.Region)
	if err != nil {
		return err
	}
	for _, other := range all {
		if other.Name == i.Name {
			return instanceExists()
		}
	}
	switch c.Status {
	case ClusterCreating, ClusterAvailable, ClusterBackingUp:
	default:
		return clusterState("The requested operation can't be performed while the cluster is in this state.")
	}
	if i.Class == serverlessClass && c.Serverless == nil {
		return clusterState("Set the Serverless v2 scaling configuration on the parent DB cluster before creating a Serverless v2 DB instance.")
	}
	for _, other := range all {
		if other.ClusterID == c.ID && other.Status != InstanceDeleting {
			return &types.InstanceQuotaExceededFault{Message: new(fmt.Sprintf("This server runs one DB instance in a DB cluster, its writer, and offers no readers. DB cluster %s has the DB instance %s already.", c.Name, other.Name))}
		}
	}
	if len(all) >= maxInstances {
		return &types.InstanceQuotaExceededFault{Message: new("Instance Quota Exceeded")}
	}
	return nil
}

// DescribeDBInstances lists the caller's instances.
func (v *View) DescribeDBInstances(ctx context.Context, in *rds.DescribeDBInstancesInput) (*rds.DescribeDBInstancesOutput, error) {
	keep, err := filters(in.Filters, "db-cluster-id", "db-instance-id", "dbi-resource-id", "engine")
	if err != nil {
		return nil, err
	}
	out := &rds.DescribeDBInstancesOutput{DBInstances: []types.DBInstance{}}
	err = v.Store.View(ctx, func(tx Tx) error {
		all, err := v.listInstances(ctx, tx, value(in.DBInstanceIdentifier))
		if err != nil {
			return err
		}
		of := map[string]Cluster{}
		for _, i := range all {
			if of[i.ID], err = tx.Clusters().Get(i.ClusterID); err != nil {
				return err
			}
		}
		all = keepIf(all, func(i Instance) bool {
			c := of[i.ID]
			return keep.has("db-cluster-id", c.Name, c.arn().String()) && keep.has("db-instance-id", i.Name, i.arn().String()) &&
				keep.has("dbi-resource-id", i.ID) && keep.has("engine", engineName)
		})
		all, out.Marker, err = page(all, in.Marker, in.MaxRecords)
		for _, i := range all {
			shape := i.shape(of[i.ID])
			if i.Status == InstanceAvailable && v.live().returns(i.ClusterID) {
				shape.DBInstanceStatus = new(string(InstanceStarting))
			}
			out.DBInstances = append(out.DBInstances, *shape)
		}
		return err
	})
	return out, err
}

func (v *View) listInstances(ctx context.Context, tx Tx, id string) ([]Instance, error) {
	if id != "" {
		i, err := v.loadInstance(ctx, tx, "rds:DescribeDBInstances", id)
		return []Instance{i}, err
	}
	if err := v.authorize(ctx, request{action: "rds:DescribeDBInstances"}, object{arn: v.lookAt(instanceType, "*")}); err != nil {
		return nil, err
	}
	return tx.Instances().In(v.caller.Account, v.caller.Region)
}

// loadInstance authorizes action on the instance that id names, and returns it.
func (v *View) loadInstance(ctx context.Context, tx Tx, action, id string) (Instance, error) {
	if id == "" {
		return Instance{}, missing("DBInstanceIdentifier")
	}
	arn := v.lookAt(instanceType, id)
	i, found, err := findOwn(v, tx.Instances(), arn)
	if err != nil {
		return i, err
	}
	if err := v.authorize(ctx, request{action: action}, object{arn, i.Tags}); err != nil {
		return i, err
	}
	if !found {
		return i, noInstance(id)
	}
	return i, nil
}

// DeleteDBInstance ends a cluster's engine. The data stays with the cluster, so
// there is no final snapshot to ask for.
func (v *View) DeleteDBInstance(ctx context.Context, in *rds.DeleteDBInstanceInput) (*rds.DeleteDBInstanceOutput, error) {
	out := &rds.DeleteDBInstanceOutput{}
	err := v.promise(ctx, nil, func(tx Tx) error {
		i, err := v.loadInstance(ctx, tx, "rds:DeleteDBInstance", value(in.DBInstanceIdentifier))
		if err != nil {
			return err
		}
		if i.Status == InstanceDeleting {
			return &types.InvalidDBInstanceStateFault{Message: new("Instance " + i.Name + " is already being deleted.")}
		}
		if given(in.FinalDBSnapshotIdentifier) {
			return invalidCombination("FinalDBSnapshotIdentifier can not be specified when deleting a cluster instance")
		}
		c, err := tx.Clusters().Get(i.ClusterID)
		if err != nil {
			return err
		}
		if err := i.setStatus(InstanceDeleting); err != nil {
			return &types.InvalidDBInstanceStateFault{Message: new(fmt.Sprintf("Instance %s is currently %s - try again later.", i.Name, i.Status))}
		}
		out.DBInstance = i.shape(c)
		op := v.operation(DeleteInstance, i.ID, c.ID)
		op.Cluster = c.ID
		return errors.Join(tx.Instances().Put(i), tx.PutOperation(op))
	})
	return out, err
}
