package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/jackc/pgx/v5"

	"borealis/e2e/local"
)

// Accounts of the tests.
const (
	accountA = "111122223333"
	accountB = "444455556666"
	accountC = "777788889999"
)

const postgresql = "aurora-postgresql"

// A person signs requests to a server, wherever that listens now.
type person struct {
	t       *testing.T
	s       *local.Server
	account string
	key     local.AccessKey
	token   string
	region  string
}

// root makes an account and is its root user.
func root(t *testing.T, s *local.Server, id string) *person {
	t.Helper()
	k, err := s.CreateAccount(t.Context(), id, "account-"+id, "root-"+id)
	if err != nil {
		t.Fatal(err)
	}
	return &person{t: t, s: s, account: id, key: k, region: local.Region}
}

// user makes an IAM user of p's account with an inline policy of statements.
func (p *person) user(name string, statements ...string) *person {
	p.t.Helper()
	_, err := p.iam().CreateUser(p.t.Context(), &iam.CreateUserInput{UserName: &name})
	p.must("create user "+name, err)
	if len(statements) > 0 {
		_, err = p.iam().PutUserPolicy(p.t.Context(), &iam.PutUserPolicyInput{UserName: &name, PolicyName: new("p"), PolicyDocument: new(document(statements...))})
		p.must("permit "+name, err)
	}
	k, err := p.iam().CreateAccessKey(p.t.Context(), &iam.CreateAccessKeyInput{UserName: &name})
	p.must("create access key of "+name, err)
	u := *p
	u.token = ""
	u.key.AccessKeyID, u.key.SecretAccessKey = *k.AccessKey.AccessKeyId, *k.AccessKey.SecretAccessKey
	return &u
}

// in is p with requests to another Region.
func (p *person) in(region string) *person {
	q := *p
	q.region = region
	return &q
}

// document is a policy.
func document(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

// allow is a statement that allows actions on everything.
func allow(actions ...string) string {
	return fmt.Sprintf(`{"Effect":"Allow","Action":["%s"],"Resource":"*"}`, strings.Join(actions, `","`))
}

func (p *person) config() aws.Config {
	p.t.Helper()
	cfg, err := p.s.Config(p.t.Context(), p.key.AccessKeyID, p.key.SecretAccessKey, p.token)
	if err != nil {
		p.t.Fatal(err)
	}
	cfg.Region = p.region
	return cfg
}

func (p *person) iam() *iam.Client { return iam.NewFromConfig(p.config()) }
func (p *person) kms() *kms.Client { return kms.NewFromConfig(p.config()) }
func (p *person) rds() *rds.Client { return rds.NewFromConfig(p.config()) }
func (p *person) sts() *sts.Client { return sts.NewFromConfig(p.config()) }

// must ends the test unless err is nil.
func (p *person) must(what string, err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
}

// refused wants err to be an API error with code, and its message to have words.
func refused(t *testing.T, what string, err error, code string, words ...string) {
	t.Helper()
	if codeOf(err) != code {
		t.Errorf("%s: want %s, got %v", what, code, err)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: %v does not say %q", what, err, w)
		}
	}
}

// codeOf is the code of an API error, "" of nil, and the text of other errors.
func codeOf(err error) string {
	if err == nil {
		return ""
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return err.Error()
}

// newKey makes a KMS key that p's account may use, and gives its ARN.
func (p *person) newKey(statements ...string) string {
	p.t.Helper()
	in := &kms.CreateKeyInput{}
	if len(statements) > 0 {
		own := fmt.Sprintf(`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::%s:root"},"Action":"kms:*","Resource":"*"}`, p.account)
		in.Policy = new(document(append(statements, own)...))
	}
	out, err := p.kms().CreateKey(p.t.Context(), in)
	p.must("create key", err)
	return *out.KeyMetadata.Arn
}

// The operations of RDS that most tests need.

func (p *person) createCluster(ctx context.Context, name, password string) error {
	_, err := p.rds().CreateDBCluster(ctx, &rds.CreateDBClusterInput{
		DBClusterIdentifier: &name, Engine: new(postgresql), StorageEncrypted: new(true),
		MasterUsername: new("keeper"), MasterUserPassword: &password, DatabaseName: new("shop"),
	})
	return err
}

func (p *person) createInstance(ctx context.Context, cluster string) error {
	_, err := p.rds().CreateDBInstance(ctx, &rds.CreateDBInstanceInput{
		DBInstanceIdentifier: new(cluster + "-1"), DBClusterIdentifier: &cluster, DBInstanceClass: new("db.r6g.large"), Engine: new(postgresql)})
	return err
}

func (p *person) take(ctx context.Context, snapshot, cluster string) error {
	_, err := p.rds().CreateDBClusterSnapshot(ctx, &rds.CreateDBClusterSnapshotInput{DBClusterSnapshotIdentifier: &snapshot, DBClusterIdentifier: &cluster})
	return err
}

func (p *person) copy(ctx context.Context, from, to, key string) error {
	in := &rds.CopyDBClusterSnapshotInput{SourceDBClusterSnapshotIdentifier: &from, TargetDBClusterSnapshotIdentifier: &to}
	if key != "" {
		in.KmsKeyId = &key
	}
	_, err := p.rds().CopyDBClusterSnapshot(ctx, in)
	return err
}

func (p *person) share(ctx context.Context, snapshot, account string) error {
	_, err := p.rds().ModifyDBClusterSnapshotAttribute(ctx, &rds.ModifyDBClusterSnapshotAttributeInput{
		DBClusterSnapshotIdentifier: &snapshot, AttributeName: new("restore"), ValuesToAdd: []string{account}})
	return err
}

func (p *person) restore(ctx context.Context, snapshot, cluster, key string) error {
	in := &rds.RestoreDBClusterFromSnapshotInput{SnapshotIdentifier: &snapshot, DBClusterIdentifier: &cluster, Engine: new(postgresql)}
	if key != "" {
		in.KmsKeyId = &key
	}
	_, err := p.rds().RestoreDBClusterFromSnapshot(ctx, in)
	return err
}

func (p *person) setPassword(ctx context.Context, cluster, password string) error {
	_, err := p.rds().ModifyDBCluster(ctx, &rds.ModifyDBClusterInput{DBClusterIdentifier: &cluster, MasterUserPassword: &password, ApplyImmediately: new(true)})
	return err
}

func (p *person) deleteInstance(ctx context.Context, cluster string) error {
	_, err := p.rds().DeleteDBInstance(ctx, &rds.DeleteDBInstanceInput{DBInstanceIdentifier: new(cluster + "-1")})
	return err
}

// deleteCluster deletes a cluster, with a last snapshot unless final is "".
func (p *person) deleteCluster(ctx context.Context, name, final string) error {
	in := &rds.DeleteDBClusterInput{DBClusterIdentifier: &name, SkipFinalSnapshot: new(final == "")}
	if final != "" {
		in.FinalDBSnapshotIdentifier = &final
	}
	_, err := p.rds().DeleteDBCluster(ctx, in)
	return err
}

func (p *person) deleteSnapshot(ctx context.Context, name string) error {
	_, err := p.rds().DeleteDBClusterSnapshot(ctx, &rds.DeleteDBClusterSnapshotInput{DBClusterSnapshotIdentifier: &name})
	return err
}

// statusOf is the status of a cluster, instance or snapshot: "" if there is none.
func (p *person) statusOf(kind, name string) string {
	p.t.Helper()
	s, ok := p.statuses()[kind+" "+name]
	if !ok {
		return ""
	}
	return s
}

// statuses are those of all clusters, instances and own snapshots, by kind and name.
func (p *person) statuses() map[string]string {
	p.t.Helper()
	ctx, all := p.t.Context(), map[string]string{}
	c, err := p.rds().DescribeDBClusters(ctx, &rds.DescribeDBClustersInput{})
	p.must("DescribeDBClusters", err)
	for _, x := range c.DBClusters {
		all["cluster "+*x.DBClusterIdentifier] = *x.Status
	}
	i, err := p.rds().DescribeDBInstances(ctx, &rds.DescribeDBInstancesInput{})
	p.must("DescribeDBInstances", err)
	for _, x := range i.DBInstances {
		all["instance "+*x.DBInstanceIdentifier] = *x.DBInstanceStatus
	}
	s, err := p.rds().DescribeDBClusterSnapshots(ctx, &rds.DescribeDBClusterSnapshotsInput{})
	p.must("DescribeDBClusterSnapshots", err)
	for _, x := range s.DBClusterSnapshots {
		all["snapshot "+*x.DBClusterSnapshotIdentifier] = *x.Status
	}
	return all
}

// patience is how long anything may take on a machine with better things to do.
const patience = time.Minute

// until waits for done, which says what is in the way otherwise.
func until(t *testing.T, what string, done func() string) {
	t.Helper()
	end := time.Now().Add(patience)
	for wait := 10 * time.Millisecond; ; wait = min(wait*3/2, 200*time.Millisecond) {
		inTheWay := done()
		if inTheWay == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("waiting for %s: %s", what, inTheWay)
		}
		pause(t.Context(), wait)
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// final are the states that things stay in.
var final = []string{"available", "failed", "stopped", "inaccessible-encryption-credentials-recoverable"}

// settled waits until nothing of p's is on the way anywhere.
func (p *person) settled() map[string]string {
	p.t.Helper()
	var all map[string]string
	until(p.t, "things to settle", func() string {
		all = p.statuses()
		for name, status := range all {
			if !slices.Contains(final, status) {
				return name + " is " + status
			}
		}
		return ""
	})
	return all
}

// available waits until a cluster, instance or snapshot has settled, and wants
// it available.
func (p *person) available(kind, name string) {
	p.t.Helper()
	until(p.t, kind+" "+name, func() string {
		switch s := p.statusOf(kind, name); s {
		case "available":
			return ""
		case "failed", "":
			p.t.Fatalf("%s %s is %q", kind, name, s)
			return ""
		default:
			return "it is " + s
		}
	})
}

// gone waits until there is no such thing.
func (p *person) gone(kind, name string) {
	p.t.Helper()
	until(p.t, kind+" "+name+" to go", func() string { return p.statusOf(kind, name) })
}

// database makes a cluster with an instance and waits for them.
func (p *person) database(name, password string) {
	p.t.Helper()
	p.must("create cluster", p.createCluster(p.t.Context(), name, password))
	p.must("create instance", p.createInstance(p.t.Context(), name))
	p.available("instance", name+"-1")
	p.available("cluster", name)
}

// url is how to connect to a cluster.
func (p *person) url(cluster, password string, options string) string {
	p.t.Helper()
	out, err := p.rds().DescribeDBClusters(p.t.Context(), &rds.DescribeDBClustersInput{DBClusterIdentifier: &cluster})
	p.must("describe "+cluster, err)
	c := out.DBClusters[0]
	if c.Endpoint == nil || c.Port == nil {
		return ""
	}
	return fmt.Sprintf("postgres://keeper:%s@%s:%d/shop?%s", url.PathEscape(password), *c.Endpoint, *c.Port, options)
}

// sql runs a query that gives one text on a cluster.
func (p *person) sql(cluster, password, query string) (text string, err error) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 20*time.Second)
	defer cancel()
	c, err := pgx.Connect(ctx, p.url(cluster, password, "sslmode=require"))
	if err != nil {
		return "", err
	}
	defer c.Close(ctx)
	if !strings.HasPrefix(query, "SELECT") {
		_, err := c.Exec(ctx, query)
		return "", err
	}
	err = c.QueryRow(ctx, query).Scan(&text)
	return text, err
}

// fill makes a table with rows, and returns its checksum.
func (p *person) fill(cluster, password string, rows int) string {
	p.t.Helper()
	_, err := p.sql(cluster, password, fmt.Sprintf("CREATE TABLE items AS SELECT i, md5(i::text) AS a, md5((i*7)::text) AS b FROM generate_series(1, %d) i", rows))
	p.must("fill "+cluster, err)
	return p.sum(cluster, password)
}

// sum is a checksum of the table that fill made.
func (p *person) sum(cluster, password string) string {
	p.t.Helper()
	text, err := p.sql(cluster, password, "SELECT count(*) || ' ' || md5(string_agg(x::text, ',' ORDER BY i)) FROM items x")
	p.must("read "+cluster, err)
	return text
}
