package clusters

import (
	"github.com/aws/aws-sdk-go-v2/service/rds/types"
)

// shape is c as AWS shows it.
func (c Cluster) shape(members []Instance) *types.DBCluster {
	out := &types.DBCluster{
		AllocatedStorage: new(int32(1)), AvailabilityZones: c.Zones, BackupRetentionPeriod: &c.BackupRetention,
		ClusterCreateTime: &c.Created, CopyTagsToSnapshot: &c.CopyTags, CrossAccountClone: new(false),
		DBClusterArn: new(c.arn().String()), DBClusterIdentifier: &c.Name, DBClusterParameterGroup: new(parameterGroup(c.Version)),
		DBSubnetGroup: new("default"), DbClusterResourceId: &c.ID, DeletionProtection: &c.DeletionProtection,
		Engine: new(engineName), EngineMode: new("provisioned"), EngineVersion: &c.Version, HttpEndpointEnabled: new(false),
		IAMDatabaseAuthenticationEnabled: &c.IAMAuth, MasterUsername: &c.Master, MultiAZ: new(false), NetworkType: new("IPV4"),
		PreferredBackupWindow: &c.BackupWindow, PreferredMaintenanceWindow: &c.MaintenanceWindow,
		Status: new(string(c.Status)), StorageEncrypted: new(c.KeyARN != ""), StorageEncryptionType: encryption(c.KeyARN),
		TagList: shapeTags(c.Tags), VpcSecurityGroups: []types.VpcSecurityGroupMembership{},
		AssociatedRoles: []types.DBClusterRole{}, DBClusterMembers: []types.DBClusterMember{}, ReadReplicaIdentifiers: []string{},
		KmsKeyId: orNil(c.KeyARN), DatabaseName: orNil(c.Database), StorageType: orNil(c.StorageType),
	}
	if c.Endpoint.Host != "" {
		out.Endpoint, out.ReaderEndpoint = &c.Endpoint.Host, &c.Endpoint.Host
	}
	if c.Port != 0 {
		out.Port = &c.Port
	}
	if c.Reason != "" {
		out.StatusInfos = []types.DBClusterStatusInfo{{Message: &c.Reason, Normal: new(false), Status: new(string(c.Status)), StatusType: new("operation")}}
	}
	if c.Serverless != nil {
		out.ServerlessV2ScalingConfiguration = &types.ServerlessV2ScalingConfigurationInfo{MinCapacity: &c.Serverless.Min, MaxCapacity: &c.Serverless.Max}
	}
	for _, id := range c.SecurityGroups {
		out.VpcSecurityGroups = append(out.VpcSecurityGroups, types.VpcSecurityGroupMembership{VpcSecurityGroupId: &id, Status: new("active")})
	}
	for _, i := range members {
		out.DBClusterMembers = append(out.DBClusterMembers, types.DBClusterMember{
			DBClusterParameterGroupStatus: new("in-sync"), DBInstanceIdentifier: &i.Name, IsClusterWriter: new(true), PromotionTier: &i.Tier,
		})
	}
	return out
}

// shape is i, an instance of c, as AWS shows it.
func (i Instance) shape(c Cluster) *types.DBInstance {
	out := &types.DBInstance{
		AllocatedStorage: new(int32(1)), AutoMinorVersionUpgrade: &i.AutoMinor, AvailabilityZone: &i.Zone,
		BackupRetentionPeriod: &c.BackupRetention, CopyTagsToSnapshot: new(false), DBClusterIdentifier: &c.Name,
		DBInstanceArn: new(i.arn().String()), DBInstanceClass: &i.Class, DBInstanceIdentifier: &i.Name,
		DBInstanceStatus: new(string(i.Status)), DbInstancePort: new(int32(0)), DbiResourceId: &i.ID, DeletionProtection: new(false),
		Engine: new(engineName), EngineVersion: &c.Version, IAMDatabaseAuthenticationEnabled: &c.IAMAuth,
		InstanceCreateTime: &i.Created, KmsKeyId: orNil(c.KeyARN), LicenseModel: new(license), MasterUsername: &c.Master,
		MultiAZ: new(false), NetworkType: new("IPV4"), PreferredBackupWindow: &c.BackupWindow,
		PreferredMaintenanceWindow: &c.MaintenanceWindow, PromotionTier: &i.Tier, PubliclyAccessible: &i.Public,
		StorageEncrypted: new(c.KeyARN != ""), StorageEncryptionType: encryption(c.KeyARN), StorageType: orNil(c.StorageType),
		TagList: shapeTags(i.Tags), DBName: orNil(c.Database),
		DBParameterGroups: []types.DBParameterGroupStatus{{DBParameterGroupName: new(parameterGroup(c.Version)), ParameterApplyStatus: new("in-sync")}},
		DBSubnetGroup:     &types.DBSubnetGroup{DBSubnetGroupName: new("default"), SubnetGroupStatus: new("Complete")},
	}
	for _, id := range c.SecurityGroups {
		out.VpcSecurityGroups = append(out.VpcSecurityGroups, types.VpcSecurityGroupMembership{VpcSecurityGroupId: &id, Status: new("active")})
	}
	if i.Status != InstanceCreating && c.Endpoint.Host != "" {
		out.Endpoint = &types.Endpoint{Address: &c.Endpoint.Host, Port: &c.Endpoint.Port}
	}
	return out
}

// shapeOf is s as AWS shows it to the caller. To another account it goes by its
// ARN, and its tags are the owner's own business.
func (v *View) shapeOf(s Snapshot) *types.DBClusterSnapshot {
	out := &types.DBClusterSnapshot{
		AllocatedStorage: new(int32(1 + max(0, s.Volume.Bytes-1)>>30)), AvailabilityZones: s.Zones, BackupRetentionPeriod: &s.Retention,
		ClusterCreateTime: &s.ClusterMade, DBClusterIdentifier: &s.Cluster, DBClusterSnapshotArn: new(s.arn().String()),
		DBClusterSnapshotIdentifier: &s.Name, DbClusterResourceId: &s.Lineage, Engine: new(engineName),
		EngineMode: new("provisioned"), EngineVersion: &s.Version, IAMDatabaseAuthenticationEnabled: &s.IAMAuth,
		KmsKeyId: orNil(s.KeyARN), LicenseModel: new(license), MasterUsername: &s.Master, PercentProgress: new(v.percent(s)),
		Port: &s.Port, PreferredBackupWindow: orNil(s.Window), SnapshotCreateTime: &s.Created, SnapshotType: new(v.kindOf(s)),
		SourceDBClusterSnapshotArn: orNil(s.SourceID), Status: new(string(s.Status)), StorageEncrypted: new(s.KeyARN != ""),
		StorageEncryptionType: encryption(s.KeyARN), StorageType: orNil(s.StorageType), TagList: shapeTags(s.shownTags()),
	}
	if s.Account != v.caller.Account {
		out.DBClusterSnapshotIdentifier, out.TagList = out.DBClusterSnapshotArn, shapeTags(nil)
	}
	return out
}

// percent is how much of the bytes of s is done.
func (s *Service) percent(of Snapshot) int32 {
	if of.Status == SnapshotAvailable {
		return 100
	}
	return s.live().percent(of.ID)
}

func encryption(keyARN string) types.StorageEncryptionType {
	if keyARN == "" {
		return types.StorageEncryptionTypeUnencrypted
	}
	return types.StorageEncryptionTypeCmk
}

// orNil is a pointer to s, or nil for what is not there.
func orNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
