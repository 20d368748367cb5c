package clusters_test

import (
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/smithy-go"

	"borealis/internal/cloud"
	"borealis/internal/clusters"
	"borealis/internal/keys"
	"borealis/internal/policy"
)

// A person is a caller who acts, and whose failures fail the test.
type person struct {
	w      *world
	caller cloud.Caller
}

// person makes a user with these policies and no others.
func (w *world) person(a cloud.AccountID, name string, policies ...string) *person {
	w.t.Helper()
	arn := cloud.NewARN("iam", "", a, "user/"+name).String()
	var id policy.Identity
	for i, text := range policies {
		p, err := policy.Parse(fmt.Sprintf("policy %d of %s", i, name), text)
		if err != nil {
			w.t.Fatal(err)
		}
		id.Policies = append(id.Policies, p)
	}
	w.who.mu.Lock()
	w.who.people[arn] = id
	w.who.mu.Unlock()
	return &person{w, cloud.Caller{Kind: cloud.User, Account: a, ARN: arn, Principal: arn, UserID: "AID" + name, UserName: name, Region: region}}
}

func (p *person) rds() *clusters.View { return p.w.rds.As(p.caller) }
func (p *person) kms() *keys.View     { return p.w.kms.As(p.caller) }

// in is p with requests aimed at another Region.
func (p *person) in(r cloud.Region) *person { return &person{p.w, p.caller.In(r)} }

// allowOn is a policy that allows one action on resources.
func allowOn(action string, resources ...string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"` + action + `","Resource":["` + strings.Join(resources, `","`) + `"]}]}`
}

const everything = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`

func (p *person) may(what string, err error) {
	p.w.t.Helper()
	if err != nil {
		p.w.t.Fatalf("%s cannot %s: %v", p.caller.UserName, what, err)
	}
}

// mayNot wants an error of this code whose message contains what follows it.
func (p *person) mayNot(what, want string, err error) {
	p.w.t.Helper()
	if got := said(err); !strings.HasPrefix(got, want) {
		p.w.t.Errorf("%s: %s:\n got %s\nwant %s", p.caller.UserName, what, got, want)
	}
}

// said is an error as a client sees it: "Code: message".
func said(err error) string {
	e, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return fmt.Sprint("not an API error: ", err)
	}
	return e.ErrorCode() + ": " + e.ErrorMessage()
}

// key makes a customer managed key with a policy (the default one if "") and
// returns its ARN.
func (p *person) key(policy string) string {
	p.w.t.Helper()
	in := &kms.CreateKeyInput{}
	if policy != "" {
		in.Policy = &policy
	}
	out, err := p.kms().CreateKey(p.w.t.Context(), in)
	p.may("create a key", err)
	return *out.KeyMetadata.Arn
}

// sharedKeyPolicy lets the owner do all, and another account use the key
// through AWS services with these actions.
func sharedKeyPolicy(owner, other cloud.AccountID, actions ...string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::%s:root"},"Action":"kms:*","Resource":"*"},
		{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::%s:root"},"Action":["%s"],"Resource":"*"}]}`,
		owner, other, strings.Join(actions, `","`))
}

// newCluster is a request for an encrypted cluster.
func newCluster(name string) *rds.CreateDBClusterInput {
	return &rds.CreateDBClusterInput{
		DBClusterIdentifier: &name, Engine: new("aurora-postgresql"), EngineVersion: new("15"), StorageEncrypted: new(true),
		MasterUsername: new("master"), MasterUserPassword: new("correct-horse"), DatabaseName: new("app"),
	}
}

// cluster makes a cluster with an instance, and waits for both.
func (p *person) cluster(name string, change ...func(*rds.CreateDBClusterInput)) {
	p.w.t.Helper()
	in := newCluster(name)
	for _, c := range change {
		c(in)
	}
	_, err := p.rds().CreateDBCluster(p.w.t.Context(), in)
	p.may("create cluster "+name, err)
	p.may("create an instance", p.instance(name+"-1", name))
	p.w.settle()
}

func (p *person) instance(name, cluster string) error {
	_, err := p.rds().CreateDBInstance(p.w.t.Context(), &rds.CreateDBInstanceInput{
		DBInstanceIdentifier: &name, DBClusterIdentifier: &cluster, Engine: new("aurora-postgresql"), DBInstanceClass: new("db.r6g.large"),
	})
	return err
}

// snapshot takes a snapshot and waits for it.
func (p *person) snapshot(name, cluster string) {
	p.w.t.Helper()
	p.may("take a snapshot", p.take(name, cluster))
	p.w.settle()
}

func (p *person) take(name, cluster string) error {
	_, err := p.rds().CreateDBClusterSnapshot(p.w.t.Context(), &rds.CreateDBClusterSnapshotInput{DBClusterSnapshotIdentifier: &name, DBClusterIdentifier: &cluster})
	return err
}

func (p *person) copy(from, to, key string) error {
	in := &rds.CopyDBClusterSnapshotInput{SourceDBClusterSnapshotIdentifier: &from, TargetDBClusterSnapshotIdentifier: &to}
	if key != "" {
		in.KmsKeyId = &key
	}
	_, err := p.rds().CopyDBClusterSnapshot(p.w.t.Context(), in)
	return err
}

func (p *person) share(name string, with ...string) error {
	_, err := p.rds().ModifyDBClusterSnapshotAttribute(p.w.t.Context(), &rds.ModifyDBClusterSnapshotAttributeInput{
		DBClusterSnapshotIdentifier: &name, AttributeName: new("restore"), ValuesToAdd: with,
	})
	return err
}

func (p *person) restore(from, to, key string) error {
	in := &rds.RestoreDBClusterFromSnapshotInput{SnapshotIdentifier: &from, DBClusterIdentifier: &to, Engine: new("aurora-postgresql")}
	if key != "" {
		in.KmsKeyId = &key
	}
	_, err := p.rds().RestoreDBClusterFromSnapshot(p.w.t.Context(), in)
	return err
}

func (p *person) deleteSnapshot(name string) error {
	_, err := p.rds().DeleteDBClusterSnapshot(p.w.t.Context(), &rds.DeleteDBClusterSnapshotInput{DBClusterSnapshotIdentifier: &name})
	return err
}

func (p *person) disable(key string) {
	p.w.t.Helper()
	_, err := p.kms().DisableKey(p.w.t.Context(), &kms.DisableKeyInput{KeyId: &key})
	p.may("disable the key", err)
}

func (p *person) enable(key string) {
	p.w.t.Helper()
	_, err := p.kms().EnableKey(p.w.t.Context(), &kms.EnableKeyInput{KeyId: &key})
	p.may("enable the key", err)
}

// grants counts the grants on a key of p's.
func (p *person) grants(key string) int {
	p.w.t.Helper()
	out, err := p.kms().ListGrants(p.w.t.Context(), &kms.ListGrantsInput{KeyId: &key})
	p.may("list grants", err)
	for _, g := range out.Grants {
		if g.Constraints == nil || g.Constraints.EncryptionContextSubset["aws:rds:dbc-id"] == "" {
			p.w.t.Errorf("grant %s is not bound to a cluster: %+v", *g.GrantId, g.Constraints)
		}
	}
	return len(out.Grants)
}

func (p *person) describeCluster(name string) *describedCluster {
	p.w.t.Helper()
	out, err := p.rds().DescribeDBClusters(p.w.t.Context(), &rds.DescribeDBClustersInput{DBClusterIdentifier: &name})
	p.may("describe cluster "+name, err)
	return &describedCluster{&out.DBClusters[0]}
}

func (p *person) describeSnapshot(name string) *describedSnapshot {
	p.w.t.Helper()
	out, err := p.rds().DescribeDBClusterSnapshots(p.w.t.Context(), &rds.DescribeDBClusterSnapshotsInput{DBClusterSnapshotIdentifier: &name})
	p.may("describe snapshot "+name, err)
	return &describedSnapshot{&out.DBClusterSnapshots[0]}
}

func (p *person) instanceStatus(name string) string {
	p.w.t.Helper()
	out, err := p.rds().DescribeDBInstances(p.w.t.Context(), &rds.DescribeDBInstancesInput{DBInstanceIdentifier: &name})
	p.may("describe instance "+name, err)
	return *out.DBInstances[0].DBInstanceStatus
}

// arn is the ARN of a snapshot of p's.
func (p *person) arn(snapshot string) string {
	return cloud.NewARN("rds", p.caller.Region, p.caller.Account, "cluster-snapshot:"+snapshot).String()
}

func (p *person) putPolicy(key, policy string) error {
	_, err := p.kms().PutKeyPolicy(p.w.t.Context(), &kms.PutKeyPolicyInput{KeyId: &key, Policy: &policy})
	return err
}
