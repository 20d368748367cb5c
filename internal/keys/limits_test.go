package keys_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/cloud"
	"borealis/internal/keys"
)

// A counted store counts what takes the longer the more keys or grants there are.
type counted struct {
	keys.Store
	countKeys, countGrants, listGrants int
}

func (c *counted) Update(ctx context.Context, fn func(keys.Tx) error) error {
	return c.Store.Update(ctx, func(tx keys.Tx) error { return fn(countedTx{tx, c}) })
}

func (c *counted) View(ctx context.Context, fn func(keys.Tx) error) error {
	return c.Store.View(ctx, func(tx keys.Tx) error { return fn(countedTx{tx, c}) })
}

type countedTx struct {
	keys.Tx
	of *counted
}

func (t countedTx) CountKeys(p keys.Place) (int, error) {
	t.of.countKeys++
	return t.Tx.CountKeys(p)
}

func (t countedTx) CountGrants(r keys.Ref) (int, error) {
	t.of.countGrants++
	return t.Tx.CountGrants(r)
}

func (t countedTx) Grants(r keys.Ref, after string, n int) ([]keys.Grant, error) {
	t.of.listGrants++
	return t.Tx.Grants(r, after, n)
}

// fill changes the database behind the service's back, and starts it again with a
// counted store.
func (w *world) fill(query string, args ...any) *counted {
	w.t.Helper()
	w.db.Close()
	db, err := sql.Open("sqlite", w.path)
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(w.t.Context(), query, args...); err != nil {
		w.t.Fatal(err)
	}
	w.db = nil
	w.reopen()
	c := &counted{Store: w.Store}
	w.Store = c
	return c
}

// numbers is the beginning of a query over the numbers from 1 to $1.
const numbers = `WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < $1) `

func TestKeysHaveALimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	shared := ann.family("us-east-1")
	key := ann.key()
	must(ann.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: new("alias/aws/rds")}))(t) // AWS's does not count
	store := w.fill(`INSERT INTO kms_keys (account, region, id, version, body) `+numbers+
		`SELECT account, region, printf('00000000-0000-4000-8000-%012d', n), version, body FROM kms_keys, numbers WHERE id = $2`,
		100_000-2-1, strings.Split(*key, "/")[1])
	ann = ann.again()
	create := func(p *person) error {
		_, err := p.CreateKey(t.Context(), &kms.CreateKeyInput{})
		return err
	}
	const full = "LimitExceededException: The account 111122223333 has 100000 keys in eu-west-1 already."
	ann.may("make the last key", create(ann))
	ann.mayNot("make another", full, create(ann))
	must(ann.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: new("alias/aws/ebs")}))(t)
	abroad := ann.with(func(c *cloud.Caller) { c.Region = "us-east-1" })
	abroad.may("make one in another Region", create(abroad))
	elsewhere := must(abroad.CreateKey(t.Context(), &kms.CreateKeyInput{MultiRegion: new(true)}))(t).KeyMetadata.Arn
	_, err := abroad.ReplicateKey(t.Context(), &kms.ReplicateKeyInput{KeyId: elsewhere, ReplicaRegion: new(string(region))})
	abroad.mayNot("make a replica", full, err)

	must(ann.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: key, PendingWindowInDays: new(int32(7))}))(t)
	ann.mayNot("make one while the old one waits", full, create(ann))
	w.wait(8 * 24 * time.Hour)
	if _, err := w.Sweep(t.Context(), w.clock()); err != nil {
		t.Fatal(err)
	}
	ann.may("make one in place of the deleted one", create(ann))
	ann.mayNot("make another", full, create(ann))
	if store.countKeys > 2 { // once in each Region
		t.Errorf("keys were counted %d times", store.countKeys)
	}
	ann.may("describe a key of the family", ann.describe(shared))
}

// The grants on a key are read once, whatever becomes of the key and however many
// are added.
func TestGrantsHaveALimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	app := w.person(home, "role/app")
	key, other := ann.key(), ann.key()
	first := ann.grant(grantTo(key, app.caller.Principal, "GenerateDataKey"))
	store := w.fill(`INSERT INTO kms_grants (account, region, key_id, id, name, retiring, body) `+numbers+
		`SELECT account, region, key_id, printf('%064x', n), name, retiring, body FROM kms_grants, numbers`, 50_000-2)
	ann, app = ann.again(), app.again()
	const full = "LimitExceededException"
	create := func() error { return ann.tryGrant(grantTo(key, app.caller.Principal, "Decrypt")) }

	ann.may("make the last grant", create())
	ann.mayNot("make another", full, create())
	ann.may("revoke one", ann.revoke(key, first.GrantId))
	read := store.listGrants
	for i := range 3 {
		ann.may("disable the key", ann.disable(key))
		app.mayNot("use it", "DisabledException", app.dataKey(key))
		must(ann.EnableKey(t.Context(), &kms.EnableKeyInput{KeyId: key}))(t)
		app.may("use the grants", app.dataKey(key))
		ann.may("name the key", ann.alias(fmt.Sprintf("alias/%d", i), key))
		ann.may("describe it", ann.describe(key))
	}
	ann.may("make one in place of the revoked one", create())
	ann.mayNot("make another", full, create())
	ann.may("make one on another key", ann.tryGrant(grantTo(other, app.caller.Principal, "Decrypt")))
	if n := store.listGrants - read - 1; n != 0 { // the other key's
		t.Errorf("grants were read %d times more", n)
	}
	if store.countGrants != 0 {
		t.Errorf("grants were counted %d times", store.countGrants)
	}
	var got int
	in := &kms.ListGrantsInput{KeyId: key, Limit: new(int32(100))}
	for more := true; more; more = in.Marker != nil {
		out := must(ann.ListGrants(t.Context(), in))(t)
		got, in.Marker = got+len(out.Grants), out.NextMarker
	}
	if got != 50_000 {
		t.Errorf("%d grants are listed", got)
	}
}

// A change that fails leaves the grants in memory as those in the database.
func TestGrantsAfterFaults(t *testing.T) {
	for _, landed := range []bool{true, false} {
		t.Run(fmt.Sprintf("landed %t", landed), func(t *testing.T) {
			w := newWorld(t)
			ann := w.person(home, "user/ann", allow("kms:*"))
			app := w.person(home, "role/app")
			key := ann.key()
			ann.grant(grantTo(key, app.caller.Principal, "GenerateDataKey"))
			store := &faulty{Store: w.Store}
			w.Store = store
			ann.may("disable, which keeps the grants alone in memory", ann.disable(key))
			must(ann.EnableKey(t.Context(), &kms.EnableKeyInput{KeyId: key}))(t)
			store.fault = func() (bool, error) { return landed, context.DeadlineExceeded }
			if err := ann.tryGrant(grantTo(key, app.caller.Principal, "Decrypt")); err == nil {
				t.Error("the fault is not told")
			}
			store.fault = nil
			want := 1
			if landed {
				want = 2
			}
			if n := len(ann.grants(&kms.ListGrantsInput{KeyId: key})); n != want {
				t.Errorf("%d grants are listed, want %d", n, want)
			}
			app.may("use the grant it had", app.dataKey(key))
		})
	}
}

// Limits of what one request brings.
func TestLimitsOfOneKey(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	key := ann.key()
	text := *keyPolicy(delegating(home, "kms:*"))
	put := func(n int, filler string) error {
		rest := n - len(text)
		long := strings.Repeat(filler, rest/len(filler)) + strings.Repeat(" ", rest%len(filler))
		padded := strings.Replace(text, `{"Effect"`, `{"Sid":"`+long[:len(long)-len(`"Sid":"",`)]+`","Effect"`, 1)
		_, err := ann.PutKeyPolicy(t.Context(), &kms.PutKeyPolicyInput{KeyId: key, Policy: &padded})
		return err
	}
	const long = "LimitExceededException: The key policy is longer than 32768 bytes."
	ann.may("put 32 KiB", put(32<<10, "x"))
	ann.mayNot("put a byte more", long, put(32<<10+1, "x"))
	spaces := text + strings.Repeat(" ", 32<<10-len(text))
	_, err := ann.PutKeyPolicy(t.Context(), &kms.PutKeyPolicyInput{KeyId: key, Policy: &spaces})
	ann.may("put 32 KiB with spaces", err)
	_, err = ann.PutKeyPolicy(t.Context(), &kms.PutKeyPolicyInput{KeyId: key, Policy: new(spaces + " ")})
	ann.mayNot("put another space", long, err)
	_, err = ann.CreateKey(t.Context(), &kms.CreateKeyInput{Policy: new(spaces + " ")})
	ann.mayNot("make a key with so much", long, err)

	var tags []types.Tag
	for i := range 51 {
		tags = append(tags, types.Tag{TagKey: new(fmt.Sprint(i)), TagValue: new("")})
	}
	_, err = ann.CreateKey(t.Context(), &kms.CreateKeyInput{Tags: tags})
	ann.mayNot("make a key with 51 tags", "TagException: Too many tags", err)
	tagged := must(ann.CreateKey(t.Context(), &kms.CreateKeyInput{Tags: tags[:50]}))(t).KeyMetadata.Arn
	_, err = ann.TagResource(t.Context(), &kms.TagResourceInput{KeyId: tagged, Tags: tags[:50]})
	ann.may("write its 50 tags again", err)
	_, err = ann.TagResource(t.Context(), &kms.TagResourceInput{KeyId: tagged, Tags: tags[50:]})
	ann.mayNot("add one", "TagException: Too many tags", err)
}

// Requests for a key with 50,000 grants.
func BenchmarkManyGrants(b *testing.B) {
	w := newWorld(b)
	ann := w.person(home, "user/ann", allow("kms:*"))
	app := w.person(home, "role/app")
	key := ann.key()
	ann.grant(grantTo(key, app.caller.Principal, "GenerateDataKey"))
	w.fill(`INSERT INTO kms_grants (account, region, key_id, id, name, retiring, body) `+numbers+
		`SELECT account, region, key_id, printf('%064x', n), name, retiring, body FROM kms_grants, numbers`, 49_000)
	ann = ann.again()
	b.Run("CreateGrant and RevokeGrant", func(b *testing.B) {
		for b.Loop() {
			g := must(ann.CreateGrant(b.Context(), grantTo(key, app.caller.Principal, "Decrypt")))(b)
			if err := ann.revoke(key, g.GrantId); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("DescribeKey", func(b *testing.B) {
		for b.Loop() {
			ann.may("describe", ann.describe(key))
		}
	})
	b.Run("UpdateKeyDescription, then DescribeKey", func(b *testing.B) {
		for b.Loop() {
			must(ann.UpdateKeyDescription(b.Context(), &kms.UpdateKeyDescriptionInput{KeyId: key, Description: new("d")}))(b)
			ann.may("describe", ann.describe(key))
		}
	})
}
