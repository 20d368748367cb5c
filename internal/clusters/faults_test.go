package clusters_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"

	"borealis/internal/clusters"
)

// What bad input gets: AWS's error, and nothing changed.
func TestFaults(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "ann", everything)
	ann.cluster("shop")
	ann.snapshot("nightly", "shop")
	ann.cluster("plain", func(in *rds.CreateDBClusterInput) { in.StorageEncrypted = nil })
	ann.snapshot("open", "plain")
	dflt := *ann.describeCluster("shop").KmsKeyId
	const invalid = "is not a valid identifier. Identifiers must begin with a letter; must contain only ASCII letters, digits, and hyphens; and must not end with a hyphen or contain two consecutive hyphens."
	create := func(change func(*rds.CreateDBClusterInput)) any {
		in := newCluster("another")
		change(in)
		return in
	}
	restore := func(change func(*rds.RestoreDBClusterFromSnapshotInput)) any {
		in := &rds.RestoreDBClusterFromSnapshotInput{SnapshotIdentifier: new("nightly"), DBClusterIdentifier: new("another"), Engine: new("aurora-postgresql")}
		change(in)
		return in
	}
	instance := func(change func(*rds.CreateDBInstanceInput)) any {
		in := &rds.CreateDBInstanceInput{DBInstanceIdentifier: new("another"), DBClusterIdentifier: new("shop"), Engine: new("aurora-postgresql"), DBInstanceClass: new("db.r6g.large")}
		change(in)
		return in
	}
	modify := func(add, remove []string) any {
		return &rds.ModifyDBClusterSnapshotAttributeInput{DBClusterSnapshotIdentifier: new("open"), AttributeName: new("restore"), ValuesToAdd: add, ValuesToRemove: remove}
	}
	var crowd []string
	for i := range 21 {
		crowd = append(crowd, fmt.Sprintf("%012d", i))
	}
	for _, c := range []struct {
		op   string
		in   any
		want string
	}{
		{"CreateDBCluster", create(func(in *rds.CreateDBClusterInput) { in.DBClusterIdentifier = new("SHOP") }), "DBClusterAlreadyExistsFault: DB Cluster already exists"},
		{"CreateDBCluster", create(func(in *rds.CreateDBClusterInput) { in.DBClusterIdentifier = nil }), "InvalidParameterValue: The parameter DBClusterIdentifier must be provided and must not be blank."},
		{"CreateDBCluster", create(func(in *rds.CreateDBClusterInput) { in.DBClusterIdentifier = new("a--b") }), "InvalidParameterValue: The parameter DBClusterIdentifier " + invalid},
		{"CreateDBCluster", create(func(in *rds.CreateDBClusterInput) { in.DBClusterIdentifier = new(strings.Repeat("a", 64)) }), "InvalidParameterValue: The parameter DBClusterIdentifier is not a valid identifier because it is longer than 63 characters."},
		{"CreateDBCluster", create(func(in *rds.CreateDBClusterInput) { in.Engine = new("aurora-mysql") }), "InvalidParameterValue: Invalid DB engine: aurora-mysql"},
		{"CreateDBCluster", create(func(in *rds.CreateDBClusterInput) { in.EngineVersion = new("11.9") }), "InvalidParameterCombination: Cannot find version 11.9 for aurora-postgresql"},
		{"CreateDBCluster", create(func(in *rds.CreateDBClusterInput) { in.EngineVersion = new("1") }), "InvalidParameterCombination: Cannot find version 1 for aurora-postgresql"},
		{"CreateDBCluster", create(func(in *rds.CreateDBClusterInput) { in.MasterUsername = nil }), "InvalidParameterValue: The parameter MasterUsername must be provided and must not be blank."},
		{"CreateDBCluster", create(func(in *rds.CreateDBClusterInput) { in.MasterUsername = new("rdsadmin") }), "InvalidParameterValue: MasterUsername rdsadmin cannot be used as it is a reserved word used by the engine"},
		{"CreateDBCluster", create(func(in *rds.CreateDBClusterInput) { in.MasterUserPassword = new("short") }), "InvalidParameterValue: The parameter MasterUserPassword is not a valid password because it is shorter than 8 characters."},
		{"CreateDBCluster", create(func(in *rds.CreateDBClusterInput) { in.MasterUserPassword = new("with/slash") }), "InvalidParameterValue: The parameter MasterUserPassword is not a valid password. Only printable ASCII characters"},
		{"CreateDBCluster", create(func(in *rds.CreateDBClusterInput) { in.DatabaseName = new("1st") }), "InvalidParameterValue: DatabaseName must begin with a letter"},
		{"CreateDBCluster", create(func(in *rds.CreateDBClusterInput) { in.Port = new(int32(80)) }), "InvalidParameterValue: Invalid database port: 80."},
		{"CreateDBCluster", create(func(in *rds.CreateDBClusterInput) { in.BackupRetentionPeriod = new(int32(0)) }), "InvalidParameterValue: Invalid backup retention period: 0."},
		{"CreateDBCluster", create(func(in *rds.CreateDBClusterInput) { in.DBSubnetGroupName = new("mine") }), "DBSubnetGroupNotFoundFault: DB subnet group 'mine' does not exist."},
		{"CreateDBCluster", create(func(in *rds.CreateDBClusterInput) { in.DBClusterParameterGroupName = new("mine") }), "DBClusterParameterGroupNotFound: DBClusterParameterGroup not found: mine"},
		{"CreateDBCluster", create(func(in *rds.CreateDBClusterInput) { in.KmsKeyId = new("alias/none") }), "KMSKeyNotAccessibleFault: Specified KMS key [alias/none] does not exist, is not enabled or you do not have permissions to access it."},
		{"CreateDBCluster", create(func(in *rds.CreateDBClusterInput) { in.KmsKeyId, in.StorageEncrypted = &dflt, nil }), "InvalidParameterCombination"},
		{"CreateDBCluster", create(func(in *rds.CreateDBClusterInput) { in.ManageMasterUserPassword = new(true) }), "InvalidParameterCombination: The parameter ManageMasterUserPassword is not offered by this server."},
		{"CreateDBCluster", create(func(in *rds.CreateDBClusterInput) { in.Tags = []types.Tag{{Key: new("aws:x")}} }), "InvalidParameterValue: Tag keys cannot start with the reserved prefix"},

		{"CreateDBInstance", instance(func(in *rds.CreateDBInstanceInput) {}), "InstanceQuotaExceeded: This server runs one DB instance in a DB cluster"},
		{"CreateDBInstance", instance(func(in *rds.CreateDBInstanceInput) { in.DBInstanceIdentifier = new("shop-1") }), "DBInstanceAlreadyExists: DB instance already exists"},
		{"CreateDBInstance", instance(func(in *rds.CreateDBInstanceInput) { in.DBClusterIdentifier = new("none") }), "DBClusterNotFoundFault"},
		{"CreateDBInstance", instance(func(in *rds.CreateDBInstanceInput) { in.DBClusterIdentifier = nil }), "InvalidParameterValue: The parameter DBClusterIdentifier must"},
		{"CreateDBInstance", instance(func(in *rds.CreateDBInstanceInput) { in.DBInstanceClass = new("db.huge") }), "InvalidParameterValue: Invalid DB Instance class: db.huge"},
		{"CreateDBInstance", instance(func(in *rds.CreateDBInstanceInput) { in.DBInstanceClass = new("db.serverless") }), "InvalidDBClusterStateFault: Set the Serverless v2 scaling configuration on the parent DB cluster"},
		{"CreateDBInstance", instance(func(in *rds.CreateDBInstanceInput) { in.MasterUsername = new("x") }), "InvalidParameterCombination: The requested DB Instance will be a member of a DB Cluster. Set master user name for the DB Cluster."},
		{"DeleteDBInstance", &rds.DeleteDBInstanceInput{DBInstanceIdentifier: new("none")}, "DBInstanceNotFound: DBInstance none not found."},
		{"DescribeDBInstances", &rds.DescribeDBInstancesInput{DBInstanceIdentifier: new("none")}, "DBInstanceNotFound: DBInstance none not found."},
		{"DescribeDBClusters", &rds.DescribeDBClustersInput{DBClusterIdentifier: new("none")}, "DBClusterNotFoundFault: DBCluster none not found."},
		{"DescribeDBClusters", &rds.DescribeDBClustersInput{MaxRecords: new(int32(5))}, "InvalidParameterValue: Invalid value 5 for MaxRecords. Must be between 20 and 100"},
		{"DescribeDBClusters", &rds.DescribeDBClustersInput{Marker: new("%")}, "InvalidParameterValue: Invalid marker"},
		{"DescribeDBClusters", &rds.DescribeDBClustersInput{Filters: []types.Filter{{Name: new("x"), Values: []string{"y"}}}}, "InvalidParameterValue: Unrecognized filter name: x"},
		{"ModifyDBCluster", &rds.ModifyDBClusterInput{DBClusterIdentifier: new("shop"), NewDBClusterIdentifier: new("store")}, "InvalidParameterCombination: The parameter NewDBClusterIdentifier is not offered by this server."},
		{"DeleteDBCluster", &rds.DeleteDBClusterInput{DBClusterIdentifier: new("shop")}, "InvalidParameterCombination: FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified."},
		{"DeleteDBCluster", &rds.DeleteDBClusterInput{DBClusterIdentifier: new("shop"), SkipFinalSnapshot: new(true), FinalDBSnapshotIdentifier: new("x")}, "InvalidParameterCombination"},

		{"CreateDBClusterSnapshot", &rds.CreateDBClusterSnapshotInput{DBClusterIdentifier: new("none"), DBClusterSnapshotIdentifier: new("x")}, "DBClusterNotFoundFault: DBCluster none not found."},
		{"CreateDBClusterSnapshot", &rds.CreateDBClusterSnapshotInput{DBClusterIdentifier: new("shop"), DBClusterSnapshotIdentifier: new("Nightly")}, "DBClusterSnapshotAlreadyExistsFault: Cannot create the snapshot because a snapshot with the identifier nightly already exists."},
		{"CreateDBClusterSnapshot", &rds.CreateDBClusterSnapshotInput{DBClusterIdentifier: new("shop"), DBClusterSnapshotIdentifier: new("rds:x")}, "InvalidParameterValue: The parameter DBClusterSnapshotIdentifier " + invalid},
		{"CopyDBClusterSnapshot", &rds.CopyDBClusterSnapshotInput{SourceDBClusterSnapshotIdentifier: new("none"), TargetDBClusterSnapshotIdentifier: new("x")}, "DBClusterSnapshotNotFoundFault: DBClusterSnapshot not found: none"},
		{"CopyDBClusterSnapshot", &rds.CopyDBClusterSnapshotInput{SourceDBClusterSnapshotIdentifier: new("nightly"), TargetDBClusterSnapshotIdentifier: new("open")}, "DBClusterSnapshotAlreadyExistsFault"},
		{"CopyDBClusterSnapshot", &rds.CopyDBClusterSnapshotInput{SourceDBClusterSnapshotIdentifier: new("open"), TargetDBClusterSnapshotIdentifier: new("x"), KmsKeyId: &dflt}, "InvalidParameterCombination: KmsKeyId cannot be specified"},
		{"CopyDBClusterSnapshot", &rds.CopyDBClusterSnapshotInput{SourceDBClusterSnapshotIdentifier: new("nightly"), TargetDBClusterSnapshotIdentifier: new("x"), KmsKeyId: new("alias/none")}, "KMSKeyNotAccessibleFault: Specified KMS key [alias/none] does not exist"},
		{"ModifyDBClusterSnapshotAttribute", &rds.ModifyDBClusterSnapshotAttributeInput{DBClusterSnapshotIdentifier: new("nightly"), AttributeName: new("restore"), ValuesToAdd: []string{"all"}}, "InvalidParameterValue: Snapshots encrypted with the default service KMS key cannot be shared."},
		{"ModifyDBClusterSnapshotAttribute", &rds.ModifyDBClusterSnapshotAttributeInput{DBClusterSnapshotIdentifier: new("rds:x"), AttributeName: new("restore")}, "InvalidParameterValue: The parameter DBClusterSnapshotIdentifier " + invalid},
		{"ModifyDBClusterSnapshotAttribute", &rds.ModifyDBClusterSnapshotAttributeInput{DBClusterSnapshotIdentifier: new("none"), AttributeName: new("restore")}, "DBClusterSnapshotNotFoundFault"},
		{"ModifyDBClusterSnapshotAttribute", &rds.ModifyDBClusterSnapshotAttributeInput{DBClusterSnapshotIdentifier: new("open"), AttributeName: new("x")}, "InvalidParameterValue: Invalid snapshot attribute: x"},
		{"ModifyDBClusterSnapshotAttribute", modify(crowd, nil), "SharedSnapshotQuotaExceeded"},
		{"ModifyDBClusterSnapshotAttribute", modify([]string{"12"}, nil), "InvalidParameterValue: Invalid account number: 12"},
		{"ModifyDBClusterSnapshotAttribute", modify([]string{string(far)}, []string{string(far)}), "InvalidParameterCombination: A value may not appear in both the add list and remove list. [999999999999]"},
		{"DeleteDBClusterSnapshot", &rds.DeleteDBClusterSnapshotInput{DBClusterSnapshotIdentifier: new("none")}, "DBClusterSnapshotNotFoundFault: DBClusterSnapshot not found: none"},
		{"RestoreDBClusterFromSnapshot", restore(func(in *rds.RestoreDBClusterFromSnapshotInput) { in.SnapshotIdentifier = new("none") }), "DBClusterSnapshotNotFoundFault: DBClusterSnapshot not found: none"},
		{"RestoreDBClusterFromSnapshot", restore(func(in *rds.RestoreDBClusterFromSnapshotInput) { in.DBClusterIdentifier = new("shop") }), "DBClusterAlreadyExistsFault"},
		{"RestoreDBClusterFromSnapshot", restore(func(in *rds.RestoreDBClusterFromSnapshotInput) { in.EngineVersion = new("16") }), "InvalidParameterCombination: Cannot restore a snapshot of engine version 15.18 as version 16.6"},
		{"RestoreDBClusterFromSnapshot", restore(func(in *rds.RestoreDBClusterFromSnapshotInput) { in.KmsKeyId = new("none") }), "KMSKeyNotAccessibleFault: Specified KMS key [none]"},
		{"ListTagsForResource", &rds.ListTagsForResourceInput{ResourceName: new("shop")}, "InvalidParameterValue: Invalid resource name: shop"},
		{"ListTagsForResource", &rds.ListTagsForResourceInput{ResourceName: new("arn:aws:rds:eu-west-1:111122223333:db:none")}, "DBInstanceNotFound"},
	} {
		_, err := clusters.Ops[c.op].Run(t.Context(), ann.rds(), c.in)
		ann.mayNot(c.op, c.want, err)
	}
	w.settle()
	w.clean()
	if n := len(w.disk.has("engines")) + len(w.disk.has("volumes")); n != 4 {
		t.Errorf("%d engines and volumes, want the 4 there were", n)
	}
	ann.may("share with 20 accounts and everyone", func() error {
		_, err := clusters.Ops["ModifyDBClusterSnapshotAttribute"].Run(t.Context(), ann.rds(), modify(append(crowd[:20:20], "all"), nil))
		return err
	}())
}

func TestNoPostgreSQL(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "ann", everything)
	w.disk.breaks("Versions", fmt.Errorf("%w: install the package postgresql", clusters.ErrNoEngine))
	ann.mayNot("create a cluster", "InsufficientDBClusterCapacityFault: no PostgreSQL server programs were found on this machine: install the package postgresql", ann.create("shop"))
	out, err := ann.rds().DescribeDBEngineVersions(t.Context(), &rds.DescribeDBEngineVersionsInput{})
	if err != nil || len(out.DBEngineVersions) != 0 {
		t.Errorf("versions: %v, %v", out, err)
	}
}

// Every page of a listing, whatever comes and goes meanwhile, shows each thing once.
func TestPages(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "ann", everything)
	seen := map[string]int{}
	pages := 0
	p := rds.DescribeOrderableDBInstanceOptionsInput{Engine: new("aurora-postgresql"), EngineVersion: new("15"), MaxRecords: new(int32(20))}
	for {
		out, err := ann.rds().DescribeOrderableDBInstanceOptions(t.Context(), &p)
		if err != nil {
			t.Fatal(err)
		}
		pages++
		for _, o := range out.OrderableDBInstanceOptions {
			seen[*o.EngineVersion+" "+*o.DBInstanceClass]++
		}
		if p.Marker = out.Marker; p.Marker == nil {
			break
		}
	}
	for what, n := range seen {
		if n != 1 {
			t.Errorf("%s shown %d times", what, n)
		}
	}
	if want := len(seen); pages != (want+19)/20 || want < 100 {
		t.Errorf("%d things on %d pages", want, pages)
	}
	versions, err := ann.rds().DescribeDBEngineVersions(t.Context(), &rds.DescribeDBEngineVersionsInput{Engine: new("aurora-postgresql"), EngineVersion: new("15")})
	if err != nil || len(versions.DBEngineVersions) != 2 || *versions.DBEngineVersions[1].EngineVersion != "15.18" {
		t.Errorf("versions of 15, oldest first: %+v, %v", versions, err)
	}
}

// The snapshot quota is 100, copies count, and cross-Region copies name a key.
func TestCopiesAcrossRegions(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "ann", everything)
	bob := w.person(abroad, "bob", everything)
	key := ann.key(sharedKeyPolicy(home, abroad, "kms:DescribeKey", "kms:CreateGrant"))
	ann.cluster("shop", func(in *rds.CreateDBClusterInput) { in.KmsKeyId = &key })
	ann.snapshot("nightly", "shop")
	there := ann.in("us-east-1")
	there.mayNot("copy without a key", "InvalidParameterValue: Must specify new KMS key for cross region encrypted snapshot copy.", there.copy(ann.arn("nightly"), "far", ""))
	there.mayNot("copy under a key of the other Region", "KMSKeyNotAccessibleFault: Specified KMS key ["+key+"]", there.copy(ann.arn("nightly"), "far", key))
	there.may("copy", there.copy(ann.arn("nightly"), "far", "alias/aws/rds"))
	w.settle()
	there.describeSnapshot("far").is(t, "available")
	ann.may("share", ann.share("nightly", string(abroad)))
	abroadThere := bob.in("us-east-1")
	abroadThere.mayNot("copy across both at once", "InvalidParameterCombination", abroadThere.copy(ann.arn("nightly"), "mine", "alias/aws/rds"))
	there.may("restore there", there.restore("far", "shop", ""))
	w.settle()
	there.describeCluster("shop").is(t, "available")
	w.clean()
}
