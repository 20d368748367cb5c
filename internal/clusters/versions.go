package clusters

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"

	"borealis/internal/cloud"
)

const serverlessClass = "db.serverless"

// classes are the instance classes that a request may name. All mean the same
// here: an engine that takes what the machine has.
var classes = func() []string {
	all := []string{serverlessClass, "db.t3.medium", "db.t3.large", "db.t4g.medium", "db.t4g.large"}
	for _, family := range []string{"r5", "r6g", "r6i", "r7g", "r7i", "r8g"} {
		for _, size := range []string{"large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge"} {
			all = append(all, "db."+family+"."+size)
		}
	}
	return all
}()

func knownClass(c string) bool { return slices.Contains(classes, c) }

// An offer is something that is not a resource and that listings show.
type offer[T any] struct {
	name string
	what T
}

func (o offer[T]) arn() cloud.ARN { return cloud.NewARN("rds", "", "", o.name) }

// DescribeDBEngineVersions lists the engine versions that are installed, oldest
// first.
func (v *View) DescribeDBEngineVersions(ctx context.Context, in *rds.DescribeDBEngineVersionsInput) (*rds.DescribeDBEngineVersionsOutput, error) {
	keep, err := filters(in.Filters, "db-parameter-group-family", "engine", "engine-mode", "engine-version", "status")
	if err != nil {
		return nil, err
	}
	installed, err := v.installed(ctx, "rds:DescribeDBEngineVersions")
	if err != nil {
		return nil, err
	}
	if value(in.DefaultOnly) && len(installed) > 0 {
		installed = installed[:1]
	}
	var all []offer[types.DBEngineVersion]
	for _, version := range installed {
		if (given(in.Engine) && *in.Engine != engineName) || !fits(version, value(in.EngineVersion)) ||
			(given(in.DBParameterGroupFamily) && *in.DBParameterGroupFamily != family(version)) ||
			!keep.has("engine", engineName) || !keep.has("engine-version", version) || !keep.has("status", "available") ||
			!keep.has("db-parameter-group-family", family(version)) || !keep.has("engine-mode", "provisioned") {
			continue
		}
		all = append(all, offer[types.DBEngineVersion]{ordered(version), types.DBEngineVersion{
			Engine: new(engineName), EngineVersion: &version, MajorEngineVersion: new(major(version)),
			DBEngineDescription: new("Aurora PostgreSQL"), DBEngineVersionDescription: new("PostgreSQL " + version),
			DBParameterGroupFamily: new(family(version)), Status: new("available"), SupportedEngineModes: []string{"provisioned"},
			SupportsGlobalDatabases: new(false), SupportsParallelQuery: new(false), SupportsReadReplica: new(false),
			SupportsBabelfish: new(false), SupportsLogExportsToCloudwatchLogs: new(false), SupportsLimitlessDatabase: new(false),
		}})
	}
	out := &rds.DescribeDBEngineVersionsOutput{DBEngineVersions: []types.DBEngineVersion{}}
	all, out.Marker, err = page(all, in.Marker, in.MaxRecords)
	for _, o := range all {
		out.DBEngineVersions = append(out.DBEngineVersions, o.what)
	}
	return out, err
}

// DescribeOrderableDBInstanceOptions lists the instance classes for each
// installed engine version.
func (v *View) DescribeOrderableDBInstanceOptions(ctx context.Context, in *rds.DescribeOrderableDBInstanceOptionsInput) (*rds.DescribeOrderableDBInstanceOptionsOutput, error) {
	if !given(in.Engine) {
		return nil, missing("Engine")
	}
	installed, err := v.installed(ctx, "rds:DescribeOrderableDBInstanceOptions")
	if err != nil {
		return nil, err
	}
	var all []offer[types.OrderableDBInstanceOption]
	for _, version := range installed {
		for _, class := range classes {
			if *in.Engine != engineName || !fits(version, value(in.EngineVersion)) || (given(in.LicenseModel) && *in.LicenseModel != license) ||
				(given(in.DBInstanceClass) && *in.DBInstanceClass != class) || (in.Vpc != nil && !*in.Vpc) {
				continue
			}
			all = append(all, offer[types.OrderableDBInstanceOption]{ordered(version) + "/" + class, v.option(version, class)})
		}
	}
	out := &rds.DescribeOrderableDBInstanceOptionsOutput{OrderableDBInstanceOptions: []types.OrderableDBInstanceOption{}}
	all, out.Marker, err = page(all, in.Marker, in.MaxRecords)
	for _, o := range all {
		out.OrderableDBInstanceOptions = append(out.OrderableDBInstanceOptions, o.what)
	}
	return out, err
}

func (v *View) option(version, class string) types.OrderableDBInstanceOption {
	o := types.OrderableDBInstanceOption{
		Engine: new(engineName), EngineVersion: &version, DBInstanceClass: &class, LicenseModel: new(license), Vpc: new(true),
		StorageType: new("aurora"), SupportsClusters: new(true), SupportsStorageEncryption: new(true), MultiAZCapable: new(false),
		ReadReplicaCapable: new(false), SupportedEngineModes: []string{"provisioned"}, SupportedNetworkTypes: []string{"IPV4"},
		SupportsIAMDatabaseAuthentication: new(false), SupportsGlobalDatabases: new(false), OutpostCapable: new(false),
	}
	for _, zone := range newCluster(Ident{Region: v.caller.Region}).Zones {
		o.AvailabilityZones = append(o.AvailabilityZones, types.AvailabilityZone{Name: &zone})
	}
	return o
}

// installed authorizes action and lists the engine versions, newest first. A
// machine without any has none to show.
func (v *View) installed(ctx context.Context, action string) ([]string, error) {
	if err := v.authorize(ctx, request{action: action}, object{}); err != nil {
		return nil, err
	}
	all, err := v.Engines.Versions(ctx)
	if errors.Is(err, ErrNoEngine) {
		return nil, nil
	}
	return all, err
}

// fits reports whether version is the one wanted, or of the major version wanted.
func fits(version, want string) bool {
	return want == "" || version == want || strings.HasPrefix(version, want+".")
}

var numbers = regexp.MustCompile(`[0-9]+`)

// ordered is version so that an older one sorts first.
func ordered(version string) string {
	return numbers.ReplaceAllStringFunc(version, func(n string) string {
		i, _ := strconv.Atoi(n)
		return strconv.Itoa(100000 + i)
	})
}
