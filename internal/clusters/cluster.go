package clusters

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"

	"borealis/internal/policy"
)

// CreateDBCluster promises a cluster. Its storage is made by a job; its engine
// runs once it has an instance.
func (v *View) CreateDBCluster(ctx context.Context, in *rds.CreateDBClusterInput) (*rds.CreateDBClusterOutput, error) {
	name, err := parseName("DBClusterIdentifier", value(in.DBClusterIdentifier), maxName)
	if err != nil {
		return nil, err
	}
	c := newCluster(v.ident("cluster-", name))
	c.Tags, err = parseTags(in.Tags)
	if err != nil {
		return nil, err
	}
	if c.Version, err = v.authorizeCreate(ctx, in, c); err != nil {
		return nil, err
	}
	if err := v.fillCluster(&c, in); err != nil {
		return nil, err
	}
	if err := v.Store.View(ctx, func(tx Tx) error { return v.roomForCluster(tx, c) }); err != nil {
		return nil, err
	}
	if value(in.StorageEncrypted) {
		id := value(in.KmsKeyId)
		if id == "" {
			id = defaultKey
		}
		k, g, err := v.obtain(ctx, c.Region, givenKey, id, c.ID)
		if err != nil {
			return nil, err
		}
		c.KeyARN, c.DefaultKey, c.Grant = k.arn, k.isDefault, g
	}
	op := v.operation(CreateCluster, c.ID, c.ID)
	op.Cluster, op.To = c.ID, &Target{Key: DataKeyID{c.Account, c.ID, c.KeyARN}, Grant: c.Grant}
	made := c
	if err := v.promise(ctx, []Grant{c.Grant}, func(tx Tx) error {
		made = c
		return v.putNew(tx, &made, op)
	}); err != nil {
		return nil, err
	}
	return &rds.CreateDBClusterOutput{DBCluster: made.shape(nil)}, nil
}

// authorizeCreate decides whether the caller may create c, and says which engine
// version it gets: policies may name the parameter group that follows from it.
func (v *View) authorizeCreate(ctx context.Context, in *rds.CreateDBClusterInput, c Cluster) (string, error) {
	if err := checkEngine(in.Engine); err != nil {
		return "", err
	}
	version, verr := v.version(ctx, value(in.EngineVersion))
	known := version
	if verr != nil {
		known = value(in.EngineVersion)
	}
	r := request{action: "rds:CreateDBCluster", tags: c.Tags, facts: policy.Context{
		"rds:DatabaseEngine":   {engineName},
		"rds:StorageEncrypted": {fmt.Sprint(value(in.StorageEncrypted))},
	}}
	if given(in.DatabaseName) {
		r.facts["rds:DatabaseName"] = []string{*in.DatabaseName}
	}
	if err := v.authorizeNew(ctx, r, c.arn(), v.groups("cluster-pg", known)...); err != nil {
		return "", err
	}
	return version, verr
}

// fillCluster checks the parameters and sets them in c.
func (v *View) fillCluster(c *Cluster, in *rds.CreateDBClusterInput) error {
	err := errors.Join(
		offered(map[string]bool{
			"CharacterSetName": given(in.CharacterSetName), "DBClusterInstanceClass": given(in.DBClusterInstanceClass),
			"DBSystemId": given(in.DBSystemId), "Domain": given(in.Domain),
			"EnableHttpEndpoint": value(in.EnableHttpEndpoint), "EnableLimitlessDatabase": value(in.EnableLimitlessDatabase),
			"EngineMode":               given(in.EngineMode) && *in.EngineMode != "provisioned",
			"GlobalClusterIdentifier":  given(in.GlobalClusterIdentifier),
			"ManageMasterUserPassword": value(in.ManageMasterUserPassword), "OptionGroupName": given(in.OptionGroupName),
			"ReplicationSourceIdentifier": given(in.ReplicationSourceIdentifier), "ScalingConfiguration": in.ScalingConfiguration != nil,
			"TagSpecifications": len(in.TagSpecifications) > 0, "WithExpressConfiguration": value(in.WithExpressConfiguration),
		}),
		checkMaster(in.MasterUsername, in.MasterUserPassword),
		checkDatabase(in.DatabaseName),
		checkPort(in.Port),
	)
	if err != nil {
		return err
	}
	if given(in.KmsKeyId) && !value(in.StorageEncrypted) {
		return invalidCombination("KmsKeyId can only be given together with StorageEncrypted.")
	}
	c.Created, c.Master, c.Database, c.Port = v.Now(), *in.MasterUsername, value(in.DatabaseName), value(in.Port)
	c.Verifier, err = v.Engines.Verifier(*in.MasterUserPassword)
	if err != nil {
		return fmt.Errorf("make verifier of the master password: %w", err)
	}
	return settings{
		BackupRetention: in.BackupRetentionPeriod, BackupWindow: in.PreferredBackupWindow,
		MaintenanceWindow: in.PreferredMaintenanceWindow, DeletionProtection: in.DeletionProtection,
		CopyTags: in.CopyTagsToSnapshot, IAMAuth: in.EnableIAMDatabaseAuthentication, StorageType: in.StorageType,
		SubnetGroup: in.DBSubnetGroupName, ParameterGroup: in.DBClusterParameterGroupName,
		SecurityGroups: in.VpcSecurityGroupIds, Zones: in.AvailabilityZones, Serverless: in.ServerlessV2ScalingConfiguration,
	}.apply(c)
}

// roomForCluster makes sure that c's name is free and the quota not reached.
func (v *View) roomForCluster(tx Tx, c Cluster) error {
	all, err := tx.Clusters().In(c.Account, c.Region)
	if err != nil {
		return err
	}
	for _, other := range all {
		if other.Name == c.Name {
			return clusterExists()
		}
	}
	if len(all) >= maxClusters {
		return &types.DBClusterQuotaExceededFault{Message: new(fmt.Sprintf("The request cannot be processed because it would exceed the maximum number of %d DB clusters.", maxClusters))}
	}
	return nil
}

// putNew writes a new cluster and the operation that makes it.
func (v *View) putNew(tx Tx, c *Cluster, op Operation) error {
	if err := v.roomForCluster(tx, *c); err != nil {
		return err
	}
	if err := c.setStatus(ClusterCreating); err != nil {
		return err
	}
	return errors.Join(tx.Clusters().Put(*c), tx.PutOperation(op))
}

// promise writes an intent and its operation in one transaction and lets the
// worker know. If that cannot be, it gives the grants back.
func (v *View) promise(ctx context.Context, grants []Grant, fn func(Tx) error) error {
	if err := v.Store.Update(ctx, fn); err != nil {
		return v.release(ctx, err, grants...)
	}
	v.wake()
	return nil
}

// ident names a new resource of the caller's.
func (v *View) ident(prefix, name string) Ident {
	return Ident{ID: newID(prefix), Account: v.caller.Account, Region: v.caller.Region, Name: name}
}

// operation makes an operation about the row subject, in a lane.
func (v *View) operation(k Kind, subject, lane string) Operation {
	return Operation{ID: newID("op-"), Kind: k, Subject: subject, Lane: lane, Region: v.caller.Region}
}

// loadCluster authorizes r on the cluster that id names and on whatever else it
// touches, and returns the cluster.
func (v *View) loadCluster(ctx context.Context, tx Tx, r request, id string, also ...object) (Cluster, error) {
	if id == "" {
		return Cluster{}, missing("DBClusterIdentifier")
	}
	arn := v.lookAt(clusterType, id)
	c, found, err := findOwn(v, tx.Clusters(), arn)
	if err != nil {
		return c, err
	}
	if err := v.authorize(ctx, r, append([]object{{arn, c.Tags}}, also...)...); err != nil {
		return c, err
	}
	if !found {
		return c, noCluster(id)
	}
	return c, nil
}

// owns reports whether a resource is the caller's, where it is asked for.
func (v *View) owns(i Ident) bool {
	return i.Account == v.caller.Account && i.Region == v.caller.Region
}

// instancesOf lists the instances of a cluster by name.
func instancesOf(tx Tx, c Cluster) ([]Instance, error) {
	all, err := tx.Instances().In(c.Account, c.Region)
	var of []Instance
	for _, i := range all {
		if i.ClusterID == c.ID {
			of = append(of, i)
		}
	}
	return of, err
}

// DescribeDBClusters lists the caller's clusters.
func (v *View) DescribeDBClusters(ctx context.Context, in *rds.DescribeDBClustersInput) (*rds.DescribeDBClustersOutput, error) {
	keep, err := filters(in.Filters, "db-cluster-id", "db-cluster-resource-id", "engine", "engine-mode")
	if err != nil {
		return nil, err
	}
	out := &rds.DescribeDBClustersOutput{DBClusters: []types.DBCluster{}}
	err = v.Store.View(ctx, func(tx Tx) error {
		all, members, err := v.listClusters(ctx, tx, value(in.DBClusterIdentifier))
		if err != nil {
			return err
		}
		all = keepIf(all, func(c Cluster) bool {
			return keep.has("db-cluster-id", c.Name, c.arn().String()) && keep.has("db-cluster-resource-id", c.ID) &&
				keep.has("engine", engineName) && keep.has("engine-mode", "provisioned")
		})
		all, out.Marker, err = page(all, in.Marker, in.MaxRecords)
		for _, c := range all {
			shape := c.shape(members[c.ID])
			if c.Status == ClusterAvailable && v.live().returns(c.ID) {
				shape.Status = new(string(ClusterStarting))
			}
			if c.Status == ClusterCreating {
				shape.PercentProgress = new(strconv.Itoa(int(v.live().percent(c.ID))))
			}
			out.DBClusters = append(out.DBClusters, *shape)
		}
		return err
	})
	return out, err
}

// listClusters returns the cluster that id names, or all of the caller's if id
// is "", with their instances by cluster id.
func (v *View) listClusters(ctx context.Context, tx Tx, id string) ([]Cluster, map[string][]Instance, error) {
	var all []Cluster
	if id != "" {
		c, err := v.loadCluster(ctx, tx, request{action: "rds:DescribeDBClusters"}, id)
		if err != nil {
			return nil, nil, err
		}
		all = []Cluster{c}
	} else {
		if err := v.authorize(ctx, request{action: "rds:DescribeDBClusters"}, object{arn: v.lookAt(clusterType, "*")}); err != nil {
			return nil, nil, err
		}
		var err error
		if all, err = tx.Clusters().In(v.caller.Account, v.caller.Region); err != nil {
			return nil, nil, err
		}
	}
	instances, err := tx.Instances().In(v.caller.Account, v.caller.Region)
	members := map[string][]Instance{}
	for _, i := range instances {
		members[i.ClusterID] = append(members[i.ClusterID], i)
	}
	return all, members, err
}
