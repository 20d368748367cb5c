package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/jackc/pgx/v5"

	"borealis/e2e/local"
)

// TestAttack tries what must not work, on a server that is in use.
func TestAttack(t *testing.T) {
	s := newServer(t)
	a := &attack{t: t, ann: root(t, s, accountA), bob: root(t, s, accountB), eve: root(t, s, accountC)}
	a.ann.database("orders", firstPassword)
	a.sum = a.ann.fill("orders", firstPassword, 20_000)
	a.key = a.ann.newKey(`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + accountB + `:root"},"Action":"kms:*","Resource":"*"}`)
	a.ann.must("take", a.ann.take(t.Context(), "nightly", "orders"))
	a.ann.available("snapshot", "nightly")
	a.ann.must("copy", a.ann.copy(t.Context(), "nightly", "shared", a.key))
	a.ann.available("snapshot", "shared")
	a.ann.must("share", a.ann.share(t.Context(), "shared", accountB))
	for _, try := range []struct {
		name string
		do   func()
	}{
		{"strangers and wrong places", a.strangers},
		{"every permission is needed", a.permissions},
		{"a key is lost in the middle of a copy", a.lostKey},
		{"a source goes away in the middle of a copy", a.lostSource},
		{"the same name at once", a.races},
		{"garbage", a.garbage},
		{"slow connections", a.slow},
	} {
		began := time.Now()
		try.do()
		t.Logf("%s: %s", try.name, time.Since(began).Round(10*time.Millisecond))
	}
	if sum := a.ann.sum("orders", firstPassword); sum != a.sum {
		t.Errorf("orders has %s, not %s", sum, a.sum)
	}
}

type attack struct {
	t             *testing.T
	ann, bob, eve *person
	sum           string
	key           string // A's; B may use it
}

func snapshotARN(region, account, name string) string {
	return "arn:aws:rds:" + region + ":" + account + ":cluster-snapshot:" + name
}

func (a *attack) strangers() {
	t, ctx := a.t, a.t.Context()
	shared, nightly := snapshotARN(local.Region, accountA, "shared"), snapshotARN(local.Region, accountA, "nightly")
	const none = "DBClusterSnapshotNotFoundFault"
	refused(t, "copy what is shared with another", a.eve.copy(ctx, shared, "x", "alias/aws/rds"), none)
	refused(t, "restore what is shared with another", a.eve.restore(ctx, shared, "x", "alias/aws/rds"), none)
	refused(t, "copy what is not shared", a.bob.copy(ctx, nightly, "x", "alias/aws/rds"), none)
	refused(t, "copy by name from another account", a.bob.copy(ctx, "shared", "x", "alias/aws/rds"), none)
	refused(t, "copy without a key", a.bob.copy(ctx, shared, "x", ""), "InvalidParameterValue")
	refused(t, "copy across Regions and accounts", a.bob.in("eu-west-1").copy(ctx, shared, "x", "alias/aws/rds"), "InvalidParameterCombination")
	refused(t, "restore in another Region", a.bob.in("eu-west-1").restore(ctx, shared, "x", "alias/aws/rds"), none)
	refused(t, "copy under another Region's key", a.bob.copy(ctx, shared, "x", "arn:aws:kms:eu-west-1:"+accountB+":alias/aws/rds"), "KMSKeyNotAccessibleFault")
	refused(t, "delete another's snapshot", a.bob.deleteSnapshot(ctx, shared), none)
	refused(t, "share another's snapshot", a.bob.share(ctx, shared, accountC), none)
	refused(t, "snapshot another's cluster", a.bob.take(ctx, "x", "arn:aws:rds:"+local.Region+":"+accountA+":cluster:orders"), "DBClusterNotFoundFault")
	_, err := a.bob.rds().DeleteDBCluster(ctx, &rds.DeleteDBClusterInput{DBClusterIdentifier: new("orders"), SkipFinalSnapshot: new(true)})
	refused(t, "delete another's cluster", err, "DBClusterNotFoundFault")
	_, err = a.eve.kms().DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &a.key})
	refused(t, "describe another's key", err, "AccessDeniedException", "kms:DescribeKey")
	_, err = a.bob.in("eu-west-1").kms().DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &a.key})
	refused(t, "describe a key of another Region", err, "NotFoundException")
	forged := *a.ann
	forged.key.SecretAccessKey = a.bob.key.SecretAccessKey
	refused(t, "sign with another's secret", forged.take(ctx, "x", "orders"), "SignatureDoesNotMatch")
	forged.key.AccessKeyID = "AKIAAAAAAAAAAAAAAAAA"
	refused(t, "sign with no one's key", forged.take(ctx, "x", "orders"), "InvalidClientTokenId")
	for _, p := range []*person{a.bob, a.eve} {
		if all := p.statuses(); len(all) != 0 {
			t.Errorf("account %s has %v", p.account, all)
		}
	}
}

// permissions denies a user that may do all else one action after another.
func (a *attack) permissions() {
	ctx, name := a.t.Context(), "limited"
	user := a.ann.user(name, allow("*"))
	shared := "shared"
	for action, do := range map[string]func() error{
		"rds:CreateDBCluster":                  func() error { return user.createCluster(ctx, "y", firstPassword) },
		"rds:CreateDBInstance":                 func() error { return user.createInstance(ctx, "orders") },
		"rds:CreateDBClusterSnapshot":          func() error { return user.take(ctx, "y", "orders") },
		"rds:CopyDBClusterSnapshot":            func() error { return user.copy(ctx, shared, "y", "") },
		"rds:ModifyDBClusterSnapshotAttribute": func() error { return user.share(ctx, shared, accountC) },
		"rds:RestoreDBClusterFromSnapshot":     func() error { return user.restore(ctx, shared, "y", "") },
		"rds:ModifyDBCluster":                  func() error { return user.setPassword(ctx, "orders", secondPassword) },
		"rds:DeleteDBInstance":                 func() error { return user.deleteInstance(ctx, "orders") },
		"rds:DeleteDBCluster":                  func() error { return user.deleteCluster(ctx, "orders", "") },
		"rds:DeleteDBClusterSnapshot":          func() error { return user.deleteSnapshot(ctx, shared) },
		"rds:DescribeDBClusters": func() error {
			_, err := user.rds().DescribeDBClusters(ctx, &rds.DescribeDBClustersInput{})
			return err
		},
		"kms:CreateKey": func() error { _, err := user.kms().CreateKey(ctx, &kms.CreateKeyInput{}); return err },
		"kms:PutKeyPolicy": func() error {
			_, err := user.kms().PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: &a.key, Policy: new("{}"), BypassPolicyLockoutSafetyCheck: true})
			return err
		},
		"kms:ScheduleKeyDeletion": func() error {
			_, err := user.kms().ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: &a.key})
			return err
		},
		"iam:CreateUser": func() error {
			_, err := user.iam().CreateUser(ctx, &iam.CreateUserInput{UserName: new("y")})
			return err
		},
	} {
		_, err := a.ann.iam().PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &name, PolicyName: new("deny"),
			PolicyDocument: new(document(`{"Effect":"Deny","Action":"` + action + `","Resource":"*"}`))})
		a.ann.must("deny "+action, err)
		code := "AccessDenied"
		if strings.HasPrefix(action, "kms:") {
			code = "AccessDeniedException"
		}
		refused(a.t, action, do(), code, action, "explicit deny")
	}
	// The key's permissions are the caller's too, and RDS says only that.
	for _, action := range []string{"kms:CreateGrant", "kms:DescribeKey"} {
		_, err := a.ann.iam().PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &name, PolicyName: new("deny"),
			PolicyDocument: new(document(`{"Effect":"Deny","Action":"` + action + `","Resource":"*"}`))})
		a.ann.must("deny "+action, err)
		refused(a.t, "copy without "+action, user.copy(ctx, shared, "y", ""), "KMSKeyNotAccessibleFault", a.key)
	}
}

// lostKey disables a key, or schedules its deletion, while copies of one
// snapshot, which are made one after another, wait or run.
func (a *attack) lostKey() {
	ctx := a.t.Context()
	for what, lose := range map[string]func(key string) error{
		"disabled": func(key string) error {
			_, err := a.ann.kms().DisableKey(ctx, &kms.DisableKeyInput{KeyId: &key})
			return err
		},
		"to be deleted": func(key string) error {
			_, err := a.ann.kms().ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: &key, PendingWindowInDays: new(int32(7))})
			return err
		},
	} {
		// The key is lost as soon as the first copy is accepted: most are under way then,
		// and the last are refused.
		key, failed := a.ann.newKey(), 0
		var wg sync.WaitGroup
		var names [16]string
		var errs [len(names)]error
		first := make(chan struct{}, len(names))
		for n := range names {
			names[n] = fmt.Sprintf("lost-%s-%d", strings.ReplaceAll(what, " ", "-"), n)
			wg.Go(func() {
				errs[n] = a.ann.copy(ctx, "nightly", names[n], key)
				first <- struct{}{}
			})
		}
		<-first
		a.ann.must(what, lose(key))
		wg.Wait()
		all := a.ann.settled()
		for n, name := range names {
			if errs[n] != nil {
				refused(a.t, "copy under a lost key", errs[n], "KMSKeyNotAccessibleFault", key)
				continue
			}
			switch status := all["snapshot "+name]; status {
			case "failed":
				failed++
				if body := query(a.t, a.ann.s, "SELECT body FROM snapshots WHERE name = '"+name+"'"); !strings.Contains(body, key) || !strings.Contains(body, "KMS") {
					a.t.Errorf("%s has no reason: %s", name, body)
				}
				refused(a.t, "restore what has failed", a.ann.restore(ctx, name, "z", ""), "InvalidDBClusterSnapshotStateFault")
			case "available":
				refused(a.t, "restore under a lost key", a.ann.restore(ctx, name, "z", ""), "KMSKeyNotAccessibleFault", key)
			default:
				a.t.Errorf("%s is %s", name, status)
			}
			a.ann.must("delete", a.ann.deleteSnapshot(ctx, name))
		}
		if failed == 0 {
			a.t.Errorf("key %s: all copies had ended already", what)
		}
	}
	a.tidy()
}

// lostSource takes away what copies are made from: they were promised, and are
// made.
func (a *attack) lostSource() {
	ctx := a.t.Context()
	shared := snapshotARN(local.Region, accountA, "shared")
	for n := range 4 {
		a.bob.must("copy", a.bob.copy(ctx, shared, fmt.Sprint("mine-", n), "alias/aws/rds"))
	}
	_, err := a.ann.rds().ModifyDBClusterSnapshotAttribute(ctx, &rds.ModifyDBClusterSnapshotAttributeInput{
		DBClusterSnapshotIdentifier: new("shared"), AttributeName: new("restore"), ValuesToRemove: []string{accountB}})
	a.ann.must("stop sharing", err)
	refused(a.t, "copy what is shared no more", a.bob.copy(ctx, shared, "late", "alias/aws/rds"), "DBClusterSnapshotNotFoundFault")
	a.ann.must("delete the source", a.ann.deleteSnapshot(ctx, "shared"))
	for n := range 4 {
		a.bob.available("snapshot", fmt.Sprint("mine-", n))
	}
	a.bob.must("restore", a.bob.restore(ctx, "mine-3", "rescued", ""))
	a.bob.must("instance", a.bob.createInstance(ctx, "rescued"))
	a.bob.available("instance", "rescued-1")
	if sum := a.bob.sum("rescued", firstPassword); sum != a.sum {
		a.t.Errorf("rescued has %s, not %s", sum, a.sum)
	}
	a.tidy()
}

// tidy wants no volume, engine or grant that belongs to nothing.
func (a *attack) tidy() {
	a.t.Helper()
	(&killer{t: a.t, s: a.ann.s}).clean("after an attack")
}

// races creates the same thing from many sides at once: one succeeds.
func (a *attack) races() {
	ctx := a.t.Context()
	key := a.ann.newKey()
	for what, c := range map[string]struct {
		exists string
		do     func() error
	}{
		"cluster":  {"DBClusterAlreadyExistsFault", func() error { return a.ann.createCluster(ctx, "twin", firstPassword) }},
		"snapshot": {"DBClusterSnapshotAlreadyExistsFault", func() error { return a.ann.copy(ctx, "nightly", "twin", "") }},
		"alias": {"AlreadyExistsException", func() error {
			_, err := a.ann.kms().CreateAlias(ctx, &kms.CreateAliasInput{AliasName: new("alias/twin"), TargetKeyId: &key})
			return err
		}},
		"user": {"EntityAlreadyExists", func() error {
			_, err := a.ann.iam().CreateUser(ctx, &iam.CreateUserInput{UserName: new("twin")})
			return err
		}},
		"role": {"EntityAlreadyExists", func() error {
			_, err := a.ann.iam().CreateRole(ctx, &iam.CreateRoleInput{RoleName: new("twin"), AssumeRolePolicyDocument: new(document(
				`{"Effect":"Allow","Principal":{"AWS":"` + accountA + `"},"Action":"sts:AssumeRole"}`))})
			return err
		}},
	} {
		codes := map[string]int{}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				code := codeOf(c.do())
				mu.Lock()
				defer mu.Unlock()
				codes[code]++
			})
		}
		wg.Wait()
		if codes[""] != 1 || codes[c.exists] != 15 {
			a.t.Errorf("%s: %v", what, codes)
		}
	}
	a.ann.settled()
	a.tidy()
}

// garbage sends what is none of the protocol to every door of the server.
func (a *attack) garbage() {
	s := a.ann.s
	api := strings.TrimPrefix(s.Endpoint, "http://")
	url := a.ann.url("orders", firstPassword, "sslmode=require")
	c, err := pgx.ParseConfig(url)
	a.ann.must("parse", err)
	engine := net.JoinHostPort(c.Host, fmt.Sprint(c.Port))
	noise := bytes.Repeat([]byte("\x00\xff\x16\x03\x01\r\n{<\x7f"), 5000)
	for _, door := range [][2]string{{"tcp", api}, {"unix", filepath.Join(s.Data(), "operator", "socket")}, {"tcp", engine}} {
		for _, n := range []int{0, 1, 8, 100, len(noise)} {
			conn, err := net.Dial(door[0], door[1])
			if err != nil {
				a.t.Errorf("%s: %v", door, err)
				continue
			}
			conn.SetDeadline(time.Now().Add(5 * time.Second))
			conn.Write(noise[:n]) // it may well be refused half-way
			conn.Close()
		}
	}
	for what, body := range map[string][]byte{
		"deep JSON":        []byte(`{"KeyId":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`),
		"deep members":     []byte(strings.Repeat(`{"EncryptionContext":`, 50_000) + strings.Repeat("}", 50_000)),
		"a huge body":      bytes.Repeat([]byte(" "), 32<<20),
		"a string for map": []byte(`{"KeyId":"x","EncryptionContext":"y"}`),
		"no JSON":          noise,
	} {
		status, said := a.post(body)
		if status < 400 || status >= 500 {
			a.t.Errorf("%s: %d %.200s", what, status, said)
		}
	}
	if _, err := a.ann.sql("orders", firstPassword, "SELECT 'x'"); err != nil {
		a.t.Error(err)
	}
	if _, err := s.Run(a.t.Context(), nil, "account", "list", "--data", s.Data()); err != nil {
		a.t.Error(err)
	}
	a.ann.statuses()
}

// post sends a body to KMS's Encrypt, signed.
func (a *attack) post(body []byte) (status int, said string) {
	a.t.Helper()
	return a.ann.post("Encrypt", body)
}

// post sends a body to an operation of KMS, signed.
func (p *person) post(operation string, body []byte) (status int, said string) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.s.Endpoint, bytes.NewReader(body))
	p.must("make a request", err)
	r.Header.Set("X-Amz-Target", "TrentService."+operation)
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	sum := sha256.Sum256(body)
	cred := aws.Credentials{AccessKeyID: p.key.AccessKeyID, SecretAccessKey: p.key.SecretAccessKey}
	p.must("sign", v4.NewSigner().SignHTTP(p.t.Context(), cred, r, hex.EncodeToString(sum[:]), "kms", local.Region, time.Now()))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return http.StatusRequestEntityTooLarge, err.Error() // it hung up on a body too large
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text)
}

// slow opens connections that never come to the point; nobody else waits.
func (a *attack) slow() {
	for n := range 100 {
		c, err := net.Dial("tcp", strings.TrimPrefix(a.ann.s.Endpoint, "http://"))
		a.ann.must("dial", err)
		defer c.Close()
		half := []string{"", "POST / HT", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nAc"}[n%3]
		_, err = io.WriteString(c, half)
		a.ann.must("write", err)
	}
	ctx, cancel := context.WithTimeout(a.t.Context(), 10*time.Second)
	defer cancel()
	if _, err := a.ann.rds().DescribeDBClusters(ctx, &rds.DescribeDBClustersInput{}); err != nil {
		a.t.Error(err)
	}
	began := time.Now()
	if err := a.ann.s.Stop(); err != nil {
		a.t.Error(err)
	}
	if d := time.Since(began); d > 15*time.Second {
		a.t.Errorf("it took %s to stop", d)
	}
	start(a.t, a.ann.s)
	a.ann.available("instance", "orders-1")
}
