package story

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/rds"
)

// database makes a cluster and an instance in account A and fills it with the
// schema of pgbench.
func (s *Story) database(ctx context.Context) error {
	_, err := call[rds.CreateDBClusterOutput](ctx, s.ann, &rds.CreateDBClusterInput{
		DBClusterIdentifier: new("orders"), Engine: new("aurora-postgresql"), StorageEncrypted: new(true),
		MasterUsername: new("shopkeeper"), MasterUserPassword: &s.password, DatabaseName: new("shop"),
	})
	if err != nil {
		return err
	}
	began := time.Now()
	if s.orders, err = s.instance(ctx, s.ann, "orders"); err != nil {
		return err
	}
	s.Did(s.ann.Name, fmt.Sprintf("has cluster orders, encrypted, no key named, at %s port %d (after %s)", s.orders.host, s.orders.port, time.Since(began).Round(10*time.Millisecond)))
	_, err = s.psql(ctx, s.orders, fmt.Sprintf(`
		CREATE TABLE pgbench_branches (bid int PRIMARY KEY, bbalance int, filler char(88));
		CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84));
		INSERT INTO pgbench_branches VALUES (1, 0, '');
		INSERT INTO pgbench_accounts SELECT i, 1, (i::bigint * 7919) %% 100003, md5(i::text) FROM generate_series(1, %d) i;`, rows))
	if err != nil {
		return err
	}
	if s.checksum, err = s.sum(ctx, s.orders); err != nil {
		return err
	}
	s.Did(s.ann.Name, "loads rows; count and checksum: "+s.checksum)
	return nil
}

// instance gives a cluster its instance and waits until both are available.
func (s *Story) instance(ctx context.Context, who Person, cluster string) (database, error) {
	_, err := call[rds.CreateDBInstanceOutput](ctx, who, &rds.CreateDBInstanceInput{
		DBInstanceIdentifier: new(cluster + "-1"), DBClusterIdentifier: &cluster, DBInstanceClass: new("db.r6g.large"), Engine: new("aurora-postgresql"),
	})
	if err != nil {
		return database{}, err
	}
	err = until(ctx, func() (bool, error) {
		out, err := call[rds.DescribeDBInstancesOutput](ctx, who, &rds.DescribeDBInstancesInput{DBInstanceIdentifier: new(cluster + "-1")})
		if err != nil {
			return false, err
		}
		return available("instance "+cluster+"-1", *out.DBInstances[0].DBInstanceStatus)
	})
	if err != nil {
		return database{}, err
	}
	out, err := call[rds.DescribeDBClustersOutput](ctx, who, &rds.DescribeDBClustersInput{DBClusterIdentifier: &cluster})
	if err != nil {
		return database{}, err
	}
	return database{host: *out.DBClusters[0].Endpoint, port: *out.DBClusters[0].Port}, nil
}

// psql runs SQL with PostgreSQL's own client, over TLS and with the password.
func (s *Story) psql(ctx context.Context, d database, sql string) (string, error) {
	cmd := exec.CommandContext(ctx, "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", d.String(), "-c", sql)
	cmd.Env = append(os.Environ(), "PGPASSWORD="+s.password)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("psql: %w: %s", err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// sum is the count of rows and a checksum over all of their columns.
func (s *Story) sum(ctx context.Context, d database) (string, error) {
	return s.psql(ctx, d, `SELECT count(*) || ' ' || md5(string_agg(a::text, ',' ORDER BY aid)) FROM pgbench_accounts a`)
}

// snapshot takes one, which cannot be shared; and someone who may only look
// cannot copy it.
func (s *Story) snapshot(ctx context.Context) error {
	_, err := call[rds.CreateDBClusterSnapshotOutput](ctx, s.ann, &rds.CreateDBClusterSnapshotInput{DBClusterIdentifier: new("orders"), DBClusterSnapshotIdentifier: new("nightly")})
	if err != nil {
		return err
	}
	if err := snapshotAvailable(ctx, s.ann, "nightly"); err != nil {
		return err
	}
	s.Did(s.ann.Name, "takes cluster snapshot nightly, while the database runs")
	_, err = s.shareWith(ctx, "nightly", s.Target.ID)
	if err := s.refused(s.ann, "share snapshot nightly with account B", err, "InvalidParameterValue", "default service KMS key cannot be shared"); err != nil {
		return err
	}
	_, err = call[rds.CopyDBClusterSnapshotOutput](ctx, s.audrey, &rds.CopyDBClusterSnapshotInput{
		SourceDBClusterSnapshotIdentifier: new("nightly"), TargetDBClusterSnapshotIdentifier: new("audrey-copy")})
	return s.refused(s.audrey, "copy snapshot nightly", err, "AccessDenied", "rds:CopyDBClusterSnapshot", "no identity-based policy allows")
}

func (s *Story) shareWith(ctx context.Context, snapshot, account string) (*rds.ModifyDBClusterSnapshotAttributeOutput, error) {
	return call[rds.ModifyDBClusterSnapshotAttributeOutput](ctx, s.ann, &rds.ModifyDBClusterSnapshotAttributeInput{
		DBClusterSnapshotIdentifier: &snapshot, AttributeName: new("restore"), ValuesToAdd: []string{account}})
}

// handMade is what Ann makes with her own hands.
type handMade struct {
	key    string // ARN
	shared string // ARN of the copy under that key
}

// byHandChapter does the job by hand, forgetting something each time.
func (s *Story) byHandChapter(ctx context.Context) error {
	key, err := call[kms.CreateKeyOutput](ctx, s.ann, &kms.CreateKeyInput{Description: new("made by hand")})
	if err != nil {
		return err
	}
	s.byHand = handMade{key: *key.KeyMetadata.Arn, shared: "arn:aws:rds:" + region + ":" + s.Source.ID + ":cluster-snapshot:by-hand"}
	_, err = call[rds.CopyDBClusterSnapshotOutput](ctx, s.ann, &rds.CopyDBClusterSnapshotInput{
		SourceDBClusterSnapshotIdentifier: new("nightly"), TargetDBClusterSnapshotIdentifier: new("by-hand"), KmsKeyId: &s.byHand.key})
	if err != nil {
		return err
	}
	if err := snapshotAvailable(ctx, s.ann, "by-hand"); err != nil {
		return err
	}
	if _, err := s.shareWith(ctx, "by-hand", s.Target.ID); err != nil {
		return err
	}
	s.Did(s.ann.Name, "copies nightly under a new key, and shares the copy, but not the key")
	const notAccessible = "does not exist, is not enabled or you do not have permissions to access it."
	if err := s.refused(s.bob, "copy the shared snapshot", s.bobCopies(ctx), "KMSKeyNotAccessibleFault", s.byHand.key, notAccessible); err != nil {
		return err
	}
	err = s.copies(ctx, s.ben, s.byHand.shared, "bens-copy")
	if err := s.refused(s.ben, "copy it either", err, "AccessDenied", "rds:CopyDBClusterSnapshot", "no identity-based policy allows"); err != nil {
		return err
	}
	policy := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[
		{"Sid":"Owner","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::%s:root"},"Action":"kms:*","Resource":"*"},
		{"Sid":"Target","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::%s:root"},"Resource":"*",
		 "Action":["kms:Encrypt","kms:Decrypt","kms:ReEncrypt*","kms:GenerateDataKey*","kms:DescribeKey"]}]}`, s.Source.ID, s.Target.ID)
	if _, err := call[kms.PutKeyPolicyOutput](ctx, s.ann, &kms.PutKeyPolicyInput{KeyId: &s.byHand.key, Policy: &policy}); err != nil {
		return err
	}
	s.Did(s.ann.Name, "lets account B encrypt, decrypt and describe the key, but not kms:CreateGrant")
	if err := s.refused(s.bob, "copy the shared snapshot", s.bobCopies(ctx), "KMSKeyNotAccessibleFault", s.byHand.key, notAccessible); err != nil {
		return err
	}
	if err := s.contexts(ctx); err != nil {
		return err
	}
	return s.strangers(ctx)
}

func (s *Story) bobCopies(ctx context.Context) error {
	return s.copies(ctx, s.bob, s.byHand.shared, "bobs-copy")
}

// copies has someone copy a snapshot under the default key of their own account.
func (s *Story) copies(ctx context.Context, who Person, from, to string) error {
	_, err := call[rds.CopyDBClusterSnapshotOutput](ctx, who, &rds.CopyDBClusterSnapshotInput{
		SourceDBClusterSnapshotIdentifier: &from, TargetDBClusterSnapshotIdentifier: &to, KmsKeyId: new("alias/aws/rds")})
	return err
}

// contexts has Bob decrypt with the right and with a wrong encryption context.
func (s *Story) contexts(ctx context.Context) error {
	sealed, err := call[kms.EncryptOutput](ctx, s.ann, &kms.EncryptInput{KeyId: &s.byHand.key, Plaintext: []byte("hello"), EncryptionContext: map[string]string{"order": "1"}})
	if err != nil {
		return err
	}
	opened, err := call[kms.DecryptOutput](ctx, s.bob, &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob, EncryptionContext: map[string]string{"order": "1"}})
	if err != nil {
		return err
	}
	if string(opened.Plaintext) != "hello" {
		return fmt.Errorf("decrypting gave %d other bytes", len(opened.Plaintext))
	}
	s.Did(s.bob.Name, "decrypts what Ann encrypted, with the encryption context order=1")
	_, err = call[kms.DecryptOutput](ctx, s.bob, &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob, EncryptionContext: map[string]string{"order": "2"}})
	return s.refused(s.bob, "decrypt it with the encryption context order=2", err, "InvalidCiphertextException")
}

// strangers has Eve try everything.
func (s *Story) strangers(ctx context.Context) error {
	err := s.copies(ctx, s.eve, s.byHand.shared, "eves-copy")
	if err := s.refused(s.eve, "copy the snapshot that is shared with B", err, "DBClusterSnapshotNotFoundFault"); err != nil {
		return err
	}
	_, err = call[kms.DescribeKeyOutput](ctx, s.eve, &kms.DescribeKeyInput{KeyId: &s.byHand.key})
	if err := s.refused(s.eve, "describe the key", err, "AccessDeniedException", "kms:DescribeKey", "no resource-based policies allow access"); err != nil {
		return err
	}
	sealed, err := call[kms.EncryptOutput](ctx, s.ann, &kms.EncryptInput{KeyId: &s.byHand.key, Plaintext: []byte("hello")})
	if err != nil {
		return err
	}
	_, err = call[kms.DecryptOutput](ctx, s.eve, &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob})
	if err := s.refused(s.eve, "decrypt what was encrypted under it", err, "AccessDeniedException", "kms:Decrypt"); err != nil {
		return err
	}
	seen, err := call[rds.DescribeDBClusterSnapshotsOutput](ctx, s.eve, &rds.DescribeDBClusterSnapshotsInput{SnapshotType: new("shared")})
	if err != nil {
		return err
	}
	if n := len(seen.DBClusterSnapshots); n != 0 {
		return fmt.Errorf("the stranger sees %d shared snapshots", n)
	}
	s.Did(s.eve.Name, "sees no shared snapshot at all")
	return nil
}

// share runs borealis share, with a key of Bob's own for the result.
func (s *Story) share(ctx context.Context) error {
	key, err := call[kms.CreateKeyOutput](ctx, s.bob, &kms.CreateKeyInput{Description: new("databases of account B"), Tags: []kmstypes.Tag{{TagKey: new("team"), TagValue: new("backup")}}})
	if err != nil {
		return err
	}
	if _, err := call[kms.CreateAliasOutput](ctx, s.bob, &kms.CreateAliasInput{AliasName: new("alias/databases"), TargetKeyId: key.KeyMetadata.KeyId}); err != nil {
		return err
	}
	s.Did(s.bob.Name, "has a key of his own, alias/databases")
	args := []string{"share", "nightly", "--source-profile", s.ann.Profile, "--target-profile", s.bob.Profile, "--region", region,
		"--target-key", "alias/databases", "--restore-cluster", "orders-copy", "--tag", "cost-center=dba", "--yes"}
	if err := s.Borealis(ctx, s.Runs("borealis "+strings.Join(args, " ")), args...); err != nil {
		return err
	}
	copied, err := call[rds.DescribeDBClusterSnapshotsOutput](ctx, s.bob, &rds.DescribeDBClusterSnapshotsInput{DBClusterSnapshotIdentifier: new("nightly")})
	if err != nil {
		return err
	}
	if got := *copied.DBClusterSnapshots[0].KmsKeyId; got != *key.KeyMetadata.Arn {
		return fmt.Errorf("the target's copy is under %s, not under its own key", got)
	}
	return nil
}

// compare shows that account B's database has the same rows.
func (s *Story) compare(ctx context.Context) error {
	var err error
	if s.copied, err = s.where(ctx, s.bob, "orders-copy"); err != nil {
		return err
	}
	return s.sameRows(ctx, "orders-copy", s.copied)
}

// Connect is a command line that connects to account B's database.
func (s *Story) Connect() string {
	return fmt.Sprintf("PGPASSWORD=%s psql '%s'", s.password, s.copied)
}

func (s *Story) where(ctx context.Context, who Person, cluster string) (database, error) {
	out, err := call[rds.DescribeDBClustersOutput](ctx, who, &rds.DescribeDBClustersInput{DBClusterIdentifier: &cluster})
	if err != nil {
		return database{}, err
	}
	return database{host: *out.DBClusters[0].Endpoint, port: *out.DBClusters[0].Port}, nil
}

func (s *Story) sameRows(ctx context.Context, cluster string, d database) error {
	sum, err := s.sum(ctx, d)
	if err != nil {
		return err
	}
	if sum != s.checksum {
		return fmt.Errorf("cluster %s has %s, not %s", cluster, sum, s.checksum)
	}
	s.Did(s.bob.Name, "finds in "+cluster+": "+sum+", identical")
	return nil
}

// independence takes away what account A can take away. Bob's copy still
// restores; a copy that stayed under A's key does not.
func (s *Story) independence(ctx context.Context) error {
	shared, err := call[rds.DescribeDBClusterSnapshotsOutput](ctx, s.bob, &rds.DescribeDBClusterSnapshotsInput{SnapshotType: new("shared")})
	if err != nil {
		return err
	}
	var sharedID, sharedARN string
	for _, snap := range shared.DBClusterSnapshots {
		if arn := *snap.DBClusterSnapshotArn; arn != s.byHand.shared {
			sharedARN, sharedID, s.sharedKey = arn, arn[strings.LastIndex(arn, ":")+1:], *snap.KmsKeyId
		}
	}
	if sharedARN == "" {
		return fmt.Errorf("bob does not see the snapshot that borealis share shared")
	}
	_, err = call[rds.CopyDBClusterSnapshotOutput](ctx, s.bob, &rds.CopyDBClusterSnapshotInput{
		SourceDBClusterSnapshotIdentifier: &sharedARN, TargetDBClusterSnapshotIdentifier: new("still-under-as-key"), KmsKeyId: &s.sharedKey})
	if err != nil {
		return err
	}
	if err := snapshotAvailable(ctx, s.bob, "still-under-as-key"); err != nil {
		return err
	}
	s.Did(s.bob.Name, "makes a second copy, still under A's key")
	if _, err := call[kms.DisableKeyOutput](ctx, s.ann, &kms.DisableKeyInput{KeyId: &s.sharedKey}); err != nil {
		return err
	}
	if _, err := call[rds.DeleteDBClusterSnapshotOutput](ctx, s.ann, &rds.DeleteDBClusterSnapshotInput{DBClusterSnapshotIdentifier: &sharedID}); err != nil {
		return err
	}
	s.Did(s.ann.Name, "disables the key and deletes the shared copy")
	if err := s.restore(ctx, "nightly", "orders-again"); err != nil {
		return err
	}
	d, err := s.instance(ctx, s.bob, "orders-again")
	if err != nil {
		return err
	}
	if err := s.sameRows(ctx, "orders-again", d); err != nil {
		return err
	}
	err = s.restore(ctx, "still-under-as-key", "never")
	return s.refused(s.bob, "restore the copy that is still under A's key", err, "KMSKeyNotAccessibleFault", s.sharedKey)
}

// restore restores a cluster in account B and waits for it.
func (s *Story) restore(ctx context.Context, snapshot, cluster string) error {
	_, err := call[rds.RestoreDBClusterFromSnapshotOutput](ctx, s.bob, &rds.RestoreDBClusterFromSnapshotInput{
		DBClusterIdentifier: &cluster, SnapshotIdentifier: &snapshot, Engine: new("aurora-postgresql")})
	if err != nil {
		return err
	}
	return until(ctx, func() (bool, error) {
		out, err := call[rds.DescribeDBClustersOutput](ctx, s.bob, &rds.DescribeDBClustersInput{DBClusterIdentifier: &cluster})
		if err != nil {
			return false, err
		}
		return available("cluster "+cluster, *out.DBClusters[0].Status)
	})
}
