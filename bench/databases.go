package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"
)

// databases does with RDS what the benchmarks need, and waits until it is done.
type databases struct {
	rds      *rds.Client
	password string
}

func newDatabases(cfg aws.Config) *databases {
	return &databases{rds: rds.NewFromConfig(cfg), password: rand.Text()}
}

// An endpoint is where a database is.
type endpoint struct {
	host string
	port int32
}

// create makes a cluster with an instance, encrypted under the account's default
// key, and returns when the instance is available. No engine version means the
// default.
func (d *databases) create(ctx context.Context, name, version string) (endpoint, error) {
	in := &rds.CreateDBClusterInput{
		DBClusterIdentifier: &name, Engine: new("aurora-postgresql"), StorageEncrypted: new(true),
		MasterUsername: new("master"), MasterUserPassword: &d.password, DatabaseName: new("app"),
	}
	if version != "" {
		in.EngineVersion = &version
	}
	if _, err := d.rds.CreateDBCluster(ctx, in); err != nil {
		return endpoint{}, err
	}
	return d.instance(ctx, name)
}

// instance makes the instance of a cluster and returns when it is available.
func (d *databases) instance(ctx context.Context, cluster string) (endpoint, error) {
	_, err := d.rds.CreateDBInstance(ctx, &rds.CreateDBInstanceInput{
		DBInstanceIdentifier: new(cluster + "-1"), DBClusterIdentifier: &cluster,
		Engine: new("aurora-postgresql"), DBInstanceClass: new("db.r6g.large"),
	})
	if err != nil {
		return endpoint{}, err
	}
	var at endpoint
	return at, poll(ctx, func() (bool, error) {
		out, err := d.rds.DescribeDBInstances(ctx, &rds.DescribeDBInstancesInput{DBInstanceIdentifier: new(cluster + "-1")})
		if err != nil {
			return false, err
		}
		i := out.DBInstances[0]
		if *i.DBInstanceStatus == "available" {
			at = endpoint{*i.Endpoint.Address, *i.Endpoint.Port}
		}
		return done(*i.DBInstanceStatus)
	})
}

// snapshot takes a snapshot and says how long that took.
func (d *databases) snapshot(ctx context.Context, cluster, name string) (time.Duration, error) {
	began := time.Now()
	_, err := d.rds.CreateDBClusterSnapshot(ctx, &rds.CreateDBClusterSnapshotInput{DBClusterIdentifier: &cluster, DBClusterSnapshotIdentifier: &name})
	if err == nil {
		err = d.waitForSnapshot(ctx, name)
	}
	return time.Since(began), err
}

// copySnapshot copies a snapshot, under key or, if it is "", under the same.
func (d *databases) copySnapshot(ctx context.Context, from, to, key string) (time.Duration, error) {
	began := time.Now()
	in := &rds.CopyDBClusterSnapshotInput{SourceDBClusterSnapshotIdentifier: &from, TargetDBClusterSnapshotIdentifier: &to}
	if key != "" {
		in.KmsKeyId = &key
	}
	_, err := d.rds.CopyDBClusterSnapshot(ctx, in)
	if err == nil {
		err = d.waitForSnapshot(ctx, to)
	}
	return time.Since(began), err
}

func (d *databases) waitForSnapshot(ctx context.Context, name string) error {
	return poll(ctx, func() (bool, error) {
		out, err := d.rds.DescribeDBClusterSnapshots(ctx, &rds.DescribeDBClusterSnapshotsInput{DBClusterSnapshotIdentifier: &name})
		if err != nil {
			return false, err
		}
		return done(*out.DBClusterSnapshots[0].Status)
	})
}

// restore makes a cluster of a snapshot, without an instance.
func (d *databases) restore(ctx context.Context, snapshot, cluster string) (time.Duration, error) {
	began := time.Now()
	_, err := d.rds.RestoreDBClusterFromSnapshot(ctx, &rds.RestoreDBClusterFromSnapshotInput{
		DBClusterIdentifier: &cluster, SnapshotIdentifier: &snapshot, Engine: new("aurora-postgresql"),
	})
	if err == nil {
		err = d.waitForCluster(ctx, cluster, "available")
	}
	return time.Since(began), err
}

func (d *databases) waitForCluster(ctx context.Context, name, status string) error {
	return poll(ctx, func() (bool, error) {
		out, err := d.rds.DescribeDBClusters(ctx, &rds.DescribeDBClustersInput{DBClusterIdentifier: &name})
		if err != nil {
			return false, err
		}
		if s := *out.DBClusters[0].Status; s != status {
			_, err := done(s)
			return false, err
		}
		return true, nil
	})
}

// stop stops a cluster, so that its files lie still.
func (d *databases) stop(ctx context.Context, cluster string) error {
	if _, err := d.rds.StopDBCluster(ctx, &rds.StopDBClusterInput{DBClusterIdentifier: &cluster}); err != nil {
		return err
	}
	return d.waitForCluster(ctx, cluster, "stopped")
}

// delete removes a cluster and its instance.
func (d *databases) delete(ctx context.Context, cluster string) error {
	if _, err := d.rds.DeleteDBInstance(ctx, &rds.DeleteDBInstanceInput{DBInstanceIdentifier: new(cluster + "-1"), SkipFinalSnapshot: new(true)}); err != nil {
		return err
	}
	if _, err := d.rds.DeleteDBCluster(ctx, &rds.DeleteDBClusterInput{DBClusterIdentifier: &cluster, SkipFinalSnapshot: new(true)}); err != nil {
		return err
	}
	return poll(ctx, func() (bool, error) {
		_, err := d.rds.DescribeDBClusters(ctx, &rds.DescribeDBClustersInput{DBClusterIdentifier: &cluster})
		if errors.As(err, new(*types.DBClusterNotFoundFault)) {
			return true, nil
		}
		return false, err
	})
}

// done tells the end of a wait by a status.
func done(status string) (bool, error) {
	if status == "failed" {
		return false, errors.New("it ended as failed")
	}
	return status == "available", nil
}

// poll calls look every few milliseconds until it says that it is done.
func poll(ctx context.Context, look func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Minute, fmt.Errorf("it takes longer than two minutes"))
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if over, err := look(); over || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
