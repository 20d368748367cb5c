package identity_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"borealis/internal/cloud"
	"borealis/internal/identity"
)

func TestPrincipals(t *testing.T) {
	w := newWorld(t)
	ctx, v := t.Context(), w.root(accountA)
	ann := must(v.CreateUser(ctx, &iam.CreateUserInput{UserName: new("Ann"), Path: new("/x/")}))(t).User
	role := must(v.CreateRole(ctx, &iam.CreateRoleInput{RoleName: new("r"), AssumeRolePolicyDocument: new(trustsA)}))(t).Role
	for _, tt := range []struct{ arn, id, back string }{
		{*ann.Arn, *ann.UserId, *ann.Arn},
		{*role.Arn, *role.RoleId, *role.Arn},
		{"arn:aws:iam::111122223333:root", "111122223333", "arn:aws:iam::111122223333:root"},
		{"111122223333", "111122223333", "arn:aws:iam::111122223333:root"},
		{"arn:aws:sts::111122223333:assumed-role/r/s1", *role.RoleId + ":s1", "arn:aws:sts::111122223333:assumed-role/r/s1"},
	} {
		id, err := w.PrincipalID(ctx, tt.arn)
		if id != tt.id || err != nil {
			t.Errorf("PrincipalID(%s) = %s, %v, want %s", tt.arn, id, err, tt.id)
		}
		if arn, err := w.PrincipalARN(ctx, id); arn != tt.back || err != nil {
			t.Errorf("PrincipalARN(%s) = %s, %v, want %s", id, arn, err, tt.back)
		}
	}
	for _, arn := range []string{
		"", "*", "000000000000", "arn:aws:iam::000000000000:root", "arn:aws:iam::111122223333:user/Ann", "arn:aws:iam::111122223333:user/x/ann",
		"arn:aws:iam::111122223333:user/x/none", "arn:aws:iam::111122223333:role/x/Ann", "arn:aws:iam::444455556666:user/x/Ann",
		"arn:aws:iam::111122223333:group/g", "arn:aws:sts::111122223333:assumed-role/none/s1", "arn:aws:sts::111122223333:assumed-role/r",
		"arn:aws:iam:eu-west-1:111122223333:user/x/Ann", "arn:aws-cn:iam::111122223333:user/x/Ann", "arn:aws:iam:::root", "arn:aws:kms::111122223333:root",
	} {
		if id, err := w.PrincipalID(ctx, arn); !errors.Is(err, cloud.ErrNotFound) {
			t.Errorf("PrincipalID(%q) = %s, %v, want ErrNotFound", arn, id, err)
		}
	}
	must(v.DeleteUser(ctx, &iam.DeleteUserInput{UserName: new("Ann")}))(t)
	if _, err := w.PrincipalARN(ctx, *ann.UserId); !errors.Is(err, cloud.ErrNotFound) {
		t.Errorf("PrincipalARN of the dead: %v", err)
	}
}

func TestIdentityOfOthers(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	for _, c := range []cloud.Caller{{}, cloud.ServiceCaller("rds.amazonaws.com", "eu-west-1"), {Kind: cloud.User, Account: accountA, UserID: "AIDAAAAAAAAAAAAAAAAAA"}} {
		who, err := w.IdentityOf(ctx, c)
		if err != nil || who.Policies != nil || who.Boundary != nil || who.Session != nil {
			t.Errorf("IdentityOf(%q) = %+v, %v, want none", c.ARN, who, err)
		}
	}
	root := must(w.Caller(ctx, string(accountA)))(t)
	if d := w.decide(ctx, root, "kms:ListKeys", "*"); !d.Allowed || d.Decided.Policy != "account root" {
		t.Errorf("as root: %v", d)
	}
	root.SessionPolicies = []string{strings.Replace(anything, `"*"`, `"kms:*"`, 1)}
	if w.allowed(ctx, root, "rds:DescribeDBClusters", "*") || !w.allowed(ctx, root, "kms:ListKeys", "*") {
		t.Error("a session policy does not count")
	}
	if _, err := w.PolicyDocument(ctx, accountB, "arn:aws:iam::111122223333:policy/p"); !errors.Is(err, cloud.ErrNotFound) {
		t.Errorf("another account's policy: %v", err)
	}
}

func TestSecretsAreSealed(t *testing.T) {
	w := newWorld(t)
	key := w.keys[accountA]
	if s := fmt.Sprintf("%v %+v %#v %s %x %q", key, key, key, key, key, key); strings.Contains(s, key.SecretAccessKey) || strings.Contains(s, fmt.Sprintf("%x", key.SecretAccessKey)) {
		t.Error("printing a root key shows its secret")
	}
	w.sealer = newGCM() // as if somebody had the database, and not the root key
	w.open()
	if secret, _, err := w.Credential(t.Context(), key.AccessKeyID); err == nil || secret != "" {
		t.Errorf("without the root key: %v", err)
	}
}

// A countingStore counts the transactions that read.
type countingStore struct {
	identity.Store
	views atomic.Int64
}

func (s *countingStore) View(ctx context.Context, fn func(identity.Tx) error) error {
	s.views.Add(1)
	return s.Store.View(ctx, fn)
}

func TestKnownCallersCostNoRead(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	ann := w.user(accountA, "ann", anything)
	counting := &countingStore{Store: w.Store}
	w.Store = counting
	for range 3 {
		if _, _, err := w.Credential(ctx, ann.AccessKeyID); err != nil {
			t.Fatal(err)
		}
		w.allowed(ctx, ann, "kms:ListKeys", "*")
	}
	if n := counting.views.Load(); n > 2 {
		t.Errorf("three requests made %d reads", n)
	}
	before := counting.views.Load()
	if _, err := w.As(w.user(accountB, "eve", "")).CreateUser(ctx, &iam.CreateUserInput{UserName: new("x")}); !errors.Is(err, cloud.ErrDenied) {
		t.Fatal(err)
	}
	w.allowed(ctx, ann, "kms:ListKeys", "*")
	after := counting.views.Load()
	eve := must(w.Caller(ctx, ann.UserID))(t)
	for range 10 {
		w.As(eve.In("eu-west-1")).CreateUser(ctx, &iam.CreateUserInput{UserName: new("ann")}) // refused: there is one
	}
	w.allowed(ctx, ann, "kms:ListKeys", "*")
	if n := counting.views.Load(); after == before || n > after+1 {
		t.Errorf("requests that changed nothing made %d reads", n-after)
	}
}

// Whoever asks after a change has returned sees the change, whatever was read
// and remembered meanwhile.
func TestChangesAreSeenAtOnce(t *testing.T) {
	w := newWorld(t)
	ctx, v := t.Context(), w.root(accountA)
	ann := w.user(accountA, "ann", "")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				w.IdentityOf(ctx, ann)
				w.Credential(ctx, ann.AccessKeyID)
				w.Caller(ctx, ann.UserID)
			}
		})
	}
	for i := range 60 {
		active := i%2 == 0
		var err error
		if active {
			_, err = v.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: new("ann"), PolicyName: new("p"), PolicyDocument: new(anything)})
		} else {
			_, err = v.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: new("ann"), PolicyName: new("p")})
		}
		if err != nil {
			t.Fatal(err)
		}
		if w.allowed(ctx, ann, "kms:ListKeys", "*") != active {
			t.Fatalf("change %d is not seen", i)
		}
		status := types.StatusTypeInactive
		if active {
			status = types.StatusTypeActive
		}
		must(v.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: new("ann"), AccessKeyId: &ann.AccessKeyID, Status: status}))(t)
		if _, _, err := w.Credential(ctx, ann.AccessKeyID); (err == nil) != active {
			t.Fatalf("change %d of the key is not seen: %v", i, err)
		}
	}
	close(stop)
	wg.Wait()
}
