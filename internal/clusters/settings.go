package clusters

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/rds/types"

	"borealis/internal/cloud"
)

const (
	engineName  = "aurora-postgresql"
	license     = "postgresql-license"
	defaultPort = 5432
)

// settings are the parameters that say how a cluster is to be: those that
// creating, restoring and modifying have in common. A nil is a default, or to
// be left as it is.
type settings struct {
	BackupRetention    *int32
	BackupWindow       *string
	MaintenanceWindow  *string
	DeletionProtection *bool
	CopyTags           *bool
	IAMAuth            *bool
	StorageType        *string
	SubnetGroup        *string
	ParameterGroup     *string
	SecurityGroups     []string
	Zones              []string
	Serverless         *types.ServerlessV2ScalingConfiguration
}

// apply checks s and sets it in c.
func (s settings) apply(c *Cluster) error {
	if err := s.check(c); err != nil {
		return err
	}
	set(&c.BackupRetention, s.BackupRetention)
	set(&c.BackupWindow, s.BackupWindow)
	set(&c.MaintenanceWindow, s.MaintenanceWindow)
	set(&c.DeletionProtection, s.DeletionProtection)
	set(&c.CopyTags, s.CopyTags)
	set(&c.IAMAuth, s.IAMAuth)
	set(&c.StorageType, s.StorageType)
	if s.SecurityGroups != nil {
		c.SecurityGroups = slices.Clone(s.SecurityGroups)
	}
	if len(s.Zones) > 0 {
		c.Zones = slices.Clone(s.Zones)
	}
	if s.Serverless != nil {
		c.Serverless = &Capacity{Min: value(s.Serverless.MinCapacity), Max: value(s.Serverless.MaxCapacity)}
	}
	return nil
}

var (
	dailyWindow  = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$`)
	weeklyWindow = regexp.MustCompile(`^(?i)(mon|tue|wed|thu|fri|sat|sun):([01][0-9]|2[0-3]):[0-5][0-9]-(mon|tue|wed|thu|fri|sat|sun):([01][0-9]|2[0-3]):[0-5][0-9]$`)
)

func (s settings) check(c *Cluster) error {
	switch {
	case s.BackupRetention != nil && (*s.BackupRetention < 1 || *s.BackupRetention > 35):
		return invalidValue("Invalid backup retention period: %d. Must be between 1 and 35.", *s.BackupRetention)
	case s.BackupWindow != nil && !dailyWindow.MatchString(*s.BackupWindow):
		return invalidValue("Invalid backup window format: %s. Should be specified as a range hh24:mi-hh24:mi (24H Clock UTC).", *s.BackupWindow)
	case s.MaintenanceWindow != nil && !weeklyWindow.MatchString(*s.MaintenanceWindow):
		return invalidValue("Invalid maintenance window format: %s. Should be specified as a range ddd:hh24:mi-ddd:hh24:mi (24H Clock UTC).", *s.MaintenanceWindow)
	case s.StorageType != nil && *s.StorageType != "aurora" && *s.StorageType != "aurora-iopt1" && *s.StorageType != "":
		return invalidValue("Invalid storage type for DB engine %s: %s", engineName, *s.StorageType)
	case s.SubnetGroup != nil && *s.SubnetGroup != "default":
		return &types.DBSubnetGroupNotFoundFault{Message: new("DB subnet group '" + *s.SubnetGroup + "' does not exist.")}
	case s.ParameterGroup != nil && *s.ParameterGroup != parameterGroup(c.Version):
		return &types.DBClusterParameterGroupNotFoundFault{Message: new("DBClusterParameterGroup not found: " + *s.ParameterGroup)}
	}
	return nil
}

// newCluster is what a cluster is unless asked for otherwise.
func newCluster(i Ident) Cluster {
	return Cluster{
		Ident: i, BackupRetention: 1, BackupWindow: "03:00-03:30", MaintenanceWindow: "sun:05:00-sun:05:30",
		StorageType: "aurora", SecurityGroups: []string{"default"},
		Zones: []string{string(i.Region) + "a", string(i.Region) + "b", string(i.Region) + "c"},
	}
}

// set puts what p points to at dst, unless p is nil.
func set[T any](dst *T, p *T) {
	if p != nil {
		*dst = *p
	}
}

// value is what p points to, or the zero value.
func value[T any](p *T) (v T) {
	set(&v, p)
	return v
}

// given reports whether a string parameter says anything.
func given(p *string) bool { return p != nil && *p != "" }

// offered refuses the first parameter that is set of those that are not offered
// here. Parameters that change nothing in what is made are taken and ignored.
func offered(set map[string]bool) error {
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name, is := range set {
			if is && !yield(name) {
				return
			}
		}
	}) {
		return notOffered(name)
	}
	return nil
}

// version chooses the installed engine version that a request means: the exact
// one, the newest of a major version, or the newest of all.
func (s *Service) version(ctx context.Context, want string) (string, error) {
	all, err := s.Engines.Versions(ctx)
	if errors.Is(err, ErrNoEngine) {
		return "", refusal{&types.InsufficientDBClusterCapacityFault{Message: new(err.Error())}, err}
	}
	if err != nil {
		return "", fmt.Errorf("list engine versions: %w", err)
	}
	for _, v := range all {
		if fits(v, want) {
			return v, nil
		}
	}
	return "", invalidCombination("Cannot find version %s for %s", want, engineName)
}

func checkEngine(engine *string) error {
	if !given(engine) {
		return missing("Engine")
	}
	if *engine != engineName {
		return invalidValue("Invalid DB engine: %s. This server offers %s.", *engine, engineName)
	}
	return nil
}

func major(version string) string {
	m, _, _ := strings.Cut(version, ".")
	return m
}

// parameterGroup is the only cluster parameter group that a cluster can have.
func parameterGroup(version string) string { return "default." + family(version) }

func family(version string) string { return engineName + major(version) }

// groups are the default groups that a request for a cluster uses.
func (v *View) groups(kind, version string) []object {
	return []object{
		{arn: cloud.NewARN("rds", v.caller.Region, v.caller.Account, kind+":"+parameterGroup(version))},
		{arn: cloud.NewARN("rds", v.caller.Region, v.caller.Account, "subgrp:default")},
	}
}

func checkPort(p *int32) error {
	if p != nil && (*p < 1150 || *p > 65535) {
		return invalidValue("Invalid database port: %d. Must be between 1150 and 65535.", *p)
	}
	return nil
}

var (
	userName     = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,62}$`)
	databaseName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)
)

// reservedUsers are names that PostgreSQL or RDS keeps to itself.
var reservedUsers = []string{"admin", "all", "any", "current_user", "public", "rdsadmin", "rds_superuser", "rdsrepladmin", "rds_replication", "session_user", "table", "user"}

func checkMaster(name, password *string) error {
	switch {
	case !given(name):
		return missing("MasterUsername")
	case !userName.MatchString(*name):
		return invalidValue("The parameter MasterUsername is not a valid identifier. Identifiers must begin with a letter; must contain only ASCII letters, digits, and underscores; and must not be longer than 63 characters.")
	case slices.Contains(reservedUsers, strings.ToLower(*name)) || strings.HasPrefix(strings.ToLower(*name), "pg_"):
		return invalidValue("MasterUsername %s cannot be used as it is a reserved word used by the engine", *name)
	}
	return checkPassword(password)
}

func checkPassword(p *string) error {
	switch {
	case !given(p):
		return missing("MasterUserPassword")
	case len(*p) < 8:
		return invalidValue("The parameter MasterUserPassword is not a valid password because it is shorter than 8 characters.")
	case len(*p) > 128:
		return invalidValue("The parameter MasterUserPassword is not a valid password because it is longer than 128 characters.")
	case strings.ContainsFunc(*p, func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune(`/@"`, c) }):
		return invalidValue("The parameter MasterUserPassword is not a valid password. Only printable ASCII characters besides '/', '@', '\"', ' ' may be used.")
	}
	return nil
}

func checkDatabase(name *string) error {
	if given(name) && (!databaseName.MatchString(*name) || *name == "rdsadmin") {
		return invalidValue("DatabaseName must begin with a letter and contain only alphanumeric characters.")
	}
	return nil
}
