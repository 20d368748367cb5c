package e2e

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
)

// The SDK's waiters know when things are there, and when they are gone.
func TestWaiters(t *testing.T) {
	s := newServer(t)
	ann, ctx := root(t, s, accountA), t.Context()
	c := ann.rds()
	cluster := &rds.DescribeDBClustersInput{DBClusterIdentifier: new("orders")}
	instance := &rds.DescribeDBInstancesInput{DBInstanceIdentifier: new("orders-1")}
	snapshot := &rds.DescribeDBClusterSnapshotsInput{DBClusterSnapshotIdentifier: new("nightly")}
	ann.must("create cluster", ann.createCluster(ctx, "orders", firstPassword))
	ann.must("DBClusterAvailable", rds.NewDBClusterAvailableWaiter(c, func(o *rds.DBClusterAvailableWaiterOptions) { o.MinDelay = quick }).Wait(ctx, cluster, patience))
	ann.must("create instance", ann.createInstance(ctx, "orders"))
	ann.must("DBInstanceAvailable", rds.NewDBInstanceAvailableWaiter(c, func(o *rds.DBInstanceAvailableWaiterOptions) { o.MinDelay = quick }).Wait(ctx, instance, patience))
	ann.must("take", ann.take(ctx, "nightly", "orders"))
	ann.must("DBClusterSnapshotAvailable", rds.NewDBClusterSnapshotAvailableWaiter(c, func(o *rds.DBClusterSnapshotAvailableWaiterOptions) { o.MinDelay = quick }).Wait(ctx, snapshot, patience))
	ann.must("delete snapshot", ann.deleteSnapshot(ctx, "nightly"))
	ann.must("DBClusterSnapshotDeleted", rds.NewDBClusterSnapshotDeletedWaiter(c, func(o *rds.DBClusterSnapshotDeletedWaiterOptions) { o.MinDelay = quick }).Wait(ctx, snapshot, patience))
	ann.must("delete instance", ann.deleteInstance(ctx, "orders"))
	ann.must("DBInstanceDeleted", rds.NewDBInstanceDeletedWaiter(c, func(o *rds.DBInstanceDeletedWaiterOptions) { o.MinDelay = quick }).Wait(ctx, instance, patience))
	ann.must("delete cluster", ann.deleteCluster(ctx, "orders", ""))
	ann.must("DBClusterDeleted", rds.NewDBClusterDeletedWaiter(c, func(o *rds.DBClusterDeletedWaiterOptions) { o.MinDelay = quick }).Wait(ctx, cluster, patience))
}

// quick is how soon a waiter looks again.
const quick = 50 * time.Millisecond

// many is more than a page of anything.
const many = 45

// The SDK's paginators see everything once.
func TestPaginators(t *testing.T) {
	s := newServer(t)
	ann, ctx := root(t, s, accountA), t.Context()
	_, err := ann.rds().CreateDBCluster(ctx, &rds.CreateDBClusterInput{DBClusterIdentifier: new("plain"), Engine: new(postgresql),
		MasterUsername: new("keeper"), MasterUserPassword: new(firstPassword)})
	ann.must("create cluster", err)
	ann.available("cluster", "plain")
	ann.must("take", ann.take(ctx, "s", "plain"))
	ann.available("snapshot", "s")
	ann.must("restore", ann.restore(ctx, "s", "again", ""))
	ann.available("cluster", "again")
	key := ann.newKey()
	ann.many(func(n int) error { return ann.copy(ctx, "s", fmt.Sprintf("s-%03d", n), "") })
	ann.many(func(n int) error {
		_, err := ann.iam().CreateUser(ctx, &iam.CreateUserInput{UserName: new(fmt.Sprintf("u-%03d", n))})
		return err
	})
	ann.many(func(n int) error {
		_, err := ann.kms().CreateAlias(ctx, &kms.CreateAliasInput{AliasName: new(fmt.Sprintf("alias/a-%03d", n)), TargetKeyId: &key})
		return err
	})
	ann.many(func(int) error { _, err := ann.kms().CreateKey(ctx, &kms.CreateKeyInput{}); return err })
	ann.many(func(int) error {
		_, err := ann.kms().CreateGrant(ctx, &kms.CreateGrantInput{KeyId: &key, GranteePrincipal: new("arn:aws:iam::" + accountA + ":root"), Operations: []kmstypes.GrantOperation{"Decrypt"}})
		return err
	})

	snapshots := rds.NewDescribeDBClusterSnapshotsPaginator(ann.rds(), &rds.DescribeDBClusterSnapshotsInput{MaxRecords: new(int32(20))})
	ann.pages("snapshots", many+1, 3, snapshots.HasMorePages, func() (names []string, err error) {
		out, err := snapshots.NextPage(ctx)
		for i := 0; err == nil && i < len(out.DBClusterSnapshots); i++ {
			names = append(names, *out.DBClusterSnapshots[i].DBClusterSnapshotIdentifier)
		}
		return names, err
	})
	users := iam.NewListUsersPaginator(ann.iam(), &iam.ListUsersInput{MaxItems: new(int32(20))})
	ann.pages("users", many, 3, users.HasMorePages, func() (names []string, err error) {
		out, err := users.NextPage(ctx)
		for i := 0; err == nil && i < len(out.Users); i++ {
			names = append(names, *out.Users[i].UserName)
		}
		return names, err
	})
	aliases := kms.NewListAliasesPaginator(ann.kms(), &kms.ListAliasesInput{KeyId: &key, Limit: new(int32(20))})
	ann.pages("aliases", many, 3, aliases.HasMorePages, func() (names []string, err error) {
		out, err := aliases.NextPage(ctx)
		for i := 0; err == nil && i < len(out.Aliases); i++ {
			names = append(names, *out.Aliases[i].AliasName)
		}
		return names, err
	})
	keys := kms.NewListKeysPaginator(ann.kms(), &kms.ListKeysInput{Limit: new(int32(20))})
	ann.pages("keys", many+1, 3, keys.HasMorePages, func() (names []string, err error) {
		out, err := keys.NextPage(ctx)
		for i := 0; err == nil && i < len(out.Keys); i++ {
			names = append(names, *out.Keys[i].KeyId)
		}
		return names, err
	})
	grants := kms.NewListGrantsPaginator(ann.kms(), &kms.ListGrantsInput{KeyId: &key, Limit: new(int32(20))})
	ann.pages("grants", many, 3, grants.HasMorePages, func() (names []string, err error) {
		out, err := grants.NextPage(ctx)
		for i := 0; err == nil && i < len(out.Grants); i++ {
			names = append(names, *out.Grants[i].GrantId)
		}
		return names, err
	})
	ann.settled()
}

// many calls do for each n at once.
func (p *person) many(do func(n int) error) {
	p.t.Helper()
	var wg sync.WaitGroup
	errs := make(chan error, many)
	for n := range many {
		wg.Go(func() { errs <- do(n) })
	}
	wg.Wait()
	for range many {
		p.must("make many", <-errs)
	}
}

// pages wants a paginator to give all names once, on at least so many pages.
func (p *person) pages(what string, all, least int, more func() bool, next func() ([]string, error)) {
	p.t.Helper()
	seen, n := map[string]bool{}, 0
	for ; more(); n++ {
		names, err := next()
		p.must(what, err)
		for _, name := range names {
			if seen[name] {
				p.t.Errorf("%s: %s comes twice", what, name)
			}
			seen[name] = true
		}
	}
	if len(seen) != all || n < least {
		p.t.Errorf("%s: %d on %d pages, not %d on %d", what, len(seen), n, all, least)
	}
}

// session is p with the credentials of a session.
func (p *person) session(c *types.Credentials) *person {
	s := *p
	s.key.AccessKeyID, s.key.SecretAccessKey, s.token = *c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken
	return &s
}

// Bob in account B lets Ann of account A assume a role, if she knows the
// external id; with a session policy the role can do less, never more.
func TestSessions(t *testing.T) {
	s := newServer(t, "--postgres-bin", t.TempDir())
	rootA, bob, ctx := root(t, s, accountA), root(t, s, accountB), t.Context()
	role := "arn:aws:iam::" + accountB + ":role/visitor"
	ann := rootA.user("ann", `{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"`+role+`"}`, allow("sts:GetSessionToken"))
	_, err := bob.iam().CreateRole(ctx, &iam.CreateRoleInput{RoleName: new("visitor"), AssumeRolePolicyDocument: new(document(
		`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + accountA + `:user/ann"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"42"}}}`))})
	bob.must("create role", err)
	_, err = bob.iam().PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: new("visitor"), PolicyName: new("p"), PolicyDocument: new(document(allow("kms:*", "rds:Describe*")))})
	bob.must("permit role", err)
	assume := func(p *person, external, narrow string) (*sts.AssumeRoleOutput, error) {
		in := &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: new("visit")}
		if external != "" {
			in.ExternalId = &external
		}
		if narrow != "" {
			in.Policy = &narrow
		}
		return p.sts().AssumeRole(ctx, in)
	}
	_, err = assume(ann, "", "")
	refused(t, "assume without the external id", err, "AccessDenied", "sts:AssumeRole")
	_, err = assume(ann, "41", "")
	refused(t, "assume with another", err, "AccessDenied")
	_, err = assume(rootA.user("ben", allow("sts:*")), "42", "")
	refused(t, "assume as another", err, "AccessDenied")

	out, err := assume(ann, "42", "")
	ann.must("assume", err)
	visitor := bob.session(out.Credentials)
	who, err := visitor.sts().GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil || *who.Account != accountB || *who.Arn != "arn:aws:sts::"+accountB+":assumed-role/visitor/visit" {
		t.Errorf("the session is %v, %v", who, err)
	}
	key := visitor.newKey()
	visitor.statuses()
	refused(t, "more than the role may", visitor.deleteSnapshot(ctx, "x"), "AccessDenied", "rds:DeleteDBClusterSnapshot", "assumed-role/visitor/visit")

	out, err = assume(ann, "42", document(allow("kms:DescribeKey", "rds:DeleteDBClusterSnapshot")))
	ann.must("assume with a session policy", err)
	narrow := bob.session(out.Credentials)
	_, err = narrow.kms().DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &key})
	narrow.must("describe key", err)
	_, err = narrow.kms().DisableKey(ctx, &kms.DisableKeyInput{KeyId: &key})
	refused(t, "what the session policy leaves out", err, "AccessDeniedException", "session policy")
	refused(t, "what only the session policy has", narrow.deleteSnapshot(ctx, "x"), "AccessDenied")
	stolen := *narrow
	stolen.token = visitor.token
	_, err = stolen.kms().DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &key})
	if codeOf(err) == "" {
		t.Error("a key works with another session's token")
	}

	token, err := ann.sts().GetSessionToken(ctx, &sts.GetSessionTokenInput{})
	ann.must("GetSessionToken", err)
	who, err = ann.session(token.Credentials).sts().GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil || *who.Arn != "arn:aws:iam::"+accountA+":user/ann" {
		t.Errorf("the session is %v, %v", who, err)
	}
	visitor.presigned("arn:aws:sts::" + accountB + ":assumed-role/visitor/visit")
	// A session is good after a restart of the server, and for no longer than what
	// it stands on.
	bob.must("stop", s.Stop())
	start(t, s, "--postgres-bin", t.TempDir())
	_, err = visitor.sts().GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	visitor.must("GetCallerIdentity after a restart", err)
	_, err = bob.iam().DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: new("visitor"), PolicyName: new("p")})
	bob.must("delete the role's policy", err)
	_, err = visitor.kms().ListKeys(ctx, &kms.ListKeysInput{})
	refused(t, "list keys without the role's policy", err, "AccessDeniedException", "kms:ListKeys")
}

// presigned wants a URL that asks who p is to work in the hands of anybody.
func (p *person) presigned(arn string) {
	p.t.Helper()
	r, err := sts.NewPresignClient(p.sts()).PresignGetCallerIdentity(p.t.Context(), &sts.GetCallerIdentityInput{})
	p.must("presign", err)
	get := func(url string) (int, string) {
		req, err := http.NewRequestWithContext(p.t.Context(), r.Method, url, nil)
		p.must("make a request", err)
		resp, err := http.DefaultClient.Do(req)
		p.must("get", err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		p.must("read", err)
		return resp.StatusCode, string(text)
	}
	var answer struct {
		ARN string `xml:"GetCallerIdentityResult>Arn"`
	}
	status, text := get(r.URL)
	if err := xml.Unmarshal([]byte(text), &answer); err != nil || status != 200 || answer.ARN != arn {
		p.t.Errorf("presigned: %d %s, %v", status, text, err)
	}
	if status, text := get(strings.Replace(r.URL, "GetCallerIdentity", "GetSessionToken", 1)); status != 403 || !strings.Contains(text, "SignatureDoesNotMatch") {
		p.t.Errorf("changed: %d %s", status, text)
	}
}
