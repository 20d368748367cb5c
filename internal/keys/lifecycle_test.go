package keys_test

import (
	"bytes"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"borealis/internal/cloud"
	"borealis/internal/keys"
	"borealis/internal/seal"
)

const day = 24 * time.Hour

func TestDeletion(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	app := w.person(home, "role/app").caller.Principal
	key, kept := ann.key(), ann.key()
	blob := must(ann.encrypt(key, nil))(t)
	ann.may("alias", ann.alias("alias/x", key))
	ann.grant(grantTo(key, app, "Decrypt"))
	schedule := func(key *string, days int32) (*kms.ScheduleKeyDeletionOutput, error) {
		return ann.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: key, PendingWindowInDays: &days})
	}

	_, err := schedule(key, 6)
	ann.mayNot("be hasty", "ValidationException: 1 validation error detected: Value '6' at 'pendingWindowInDays' failed to satisfy constraint: Member must have value greater than or equal to 7", err)
	_, err = schedule(key, 31)
	ann.mayNot("dawdle", "ValidationException", err)
	out := must(schedule(key, 7))(t)
	due := w.now.Truncate(time.Millisecond).Add(7 * day)
	if *out.KeyId != *key || !out.DeletionDate.Equal(due) || *out.PendingWindowInDays != 7 || out.KeyState != "PendingDeletion" {
		t.Errorf("%+v", out)
	}
	m := must(ann.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: key}))(t).KeyMetadata
	if m.Enabled || !m.DeletionDate.Equal(due) || m.KeyState != "PendingDeletion" {
		t.Errorf("%+v", m)
	}
	must(schedule(kept, 7))(t)
	must(ann.CancelKeyDeletion(t.Context(), &kms.CancelKeyDeletionInput{KeyId: kept}))(t)
	if m := must(ann.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: kept}))(t).KeyMetadata; m.KeyState != "Disabled" || m.DeletionDate != nil {
		t.Errorf("after CancelKeyDeletion: %+v", m)
	}

	w.wait(7*day - time.Second)
	if n, err := w.Sweep(t.Context(), w.now); n != 0 || err != nil {
		t.Errorf("Sweep too early: %d, %v", n, err)
	}
	ann.may("describe it to the last", ann.describe(key))
	w.wait(time.Second)
	_, err = ann.CancelKeyDeletion(t.Context(), &kms.CancelKeyDeletionInput{KeyId: key})
	ann.mayNot("save it when it is due", "NotFoundException: Key '"+*key+"' does not exist", err)
	if n, err := w.Sweep(t.Context(), w.now); n != 1 || err != nil {
		t.Errorf("Sweep: %d, %v", n, err)
	}
	if e := w.log.last(); e.Action != "kms:DeleteKey" || e.Resource != *key || e.Owner != home {
		t.Errorf("record: %+v", e)
	}
	if n, err := w.Sweep(t.Context(), w.now); n != 0 || err != nil {
		t.Errorf("Sweep again: %d, %v", n, err)
	}
	ann.mayNot("find it", "NotFoundException: Key '"+*key+"' does not exist", ann.describe(key))
	ann.mayNot("find its alias", "NotFoundException", ann.describe(new("alias/x")))
	ann.mayNot("decrypt", "InvalidCiphertextException", ann.decrypt(blob, nil))
	ann.may("use the alias for another", ann.alias("alias/x", kept))
	left := must(ann.ListKeys(t.Context(), &kms.ListKeysInput{}))(t).Keys
	if len(left) != 1 || *left[0].KeyArn != *kept {
		t.Errorf("keys left: %v", left)
	}
}

func TestDisableEnable(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	key := ann.key()
	blob := must(ann.encrypt(key, nil))(t)
	ann.may("disable", ann.disable(key))
	ann.mayNot("decrypt", "DisabledException: "+*key+" is disabled.", ann.decrypt(blob, nil))
	must(ann.EnableKey(t.Context(), &kms.EnableKeyInput{KeyId: key}))(t)
	ann.may("decrypt", ann.decrypt(blob, nil))
}

// What is answered is there after a crash, for who has the root key.
func TestReopen(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	app := w.person(home, "role/app")
	key := ann.key()
	blob := must(ann.encrypt(key, map[string]string{"a": "1"}))(t)
	ann.may("alias", ann.alias("alias/x", key))
	g := ann.grant(grantTo(key, app.caller.Principal, "GenerateDataKey"))
	before := must(ann.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: key}))(t).KeyMetadata

	w.reopen()
	ann, app = ann.again(), app.again()
	after := must(ann.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: new("alias/x")}))(t).KeyMetadata
	if *after.Arn != *before.Arn || !after.CreationDate.Equal(*before.CreationDate) || *after.CurrentKeyMaterialId != *before.CurrentKeyMaterialId {
		t.Errorf("before %+v\nafter %+v", before, after)
	}
	ann.may("decrypt", ann.decrypt(blob, map[string]string{"a": "1"}))
	_, err := app.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: key, KeySpec: "AES_256", GrantTokens: []string{*g.GrantToken}})
	app.may("use the grant and its token", err)

	w.root = seal.NewRoot()
	w.reopen()
	ann = ann.again()
	if err := ann.decrypt(blob, map[string]string{"a": "1"}); err == nil || !strings.HasPrefix(said(err), "not an API error") {
		t.Errorf("with another root key: %v", err)
	}
}

func TestCreateKeyOffers(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	for want, in := range map[string]*kms.CreateKeyInput{
		"": {KeySpec: "SYMMETRIC_DEFAULT", KeyUsage: "ENCRYPT_DECRYPT", Origin: "AWS_KMS", MultiRegion: new(false)},
		"ValidationException: CustomKeyStoreId is required for keys of origin AWS_CLOUDHSM.":                            {Origin: "AWS_CLOUDHSM"},
		"ValidationException: You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.": {CustomerMasterKeySpec: "HMAC_256"},
		"ValidationException: KeyUsage SIGN_VERIFY is not compatible with KeySpec SYMMETRIC_DEFAULT":                    {KeyUsage: "SIGN_VERIFY"},
	} {
		_, err := ann.CreateKey(t.Context(), in)
		ann.mayNot("create a key", want, err)
	}
}

func TestManagedKey(t *testing.T) {
	w := newWorld(t)
	root := w.person(home, "root")
	ann := w.person(home, "user/ann", allow("rds:*"))
	bob := w.person(abroad, "user/bob", allow("kms:*"))
	alias := new("alias/aws/rds")
	count := func() int { return len(must(root.ListKeys(t.Context(), &kms.ListKeysInput{}))(t).Keys) }

	ann.mayNot("make it without a say in KMS", "AccessDeniedException", ann.describe(alias))
	root.mayNot("make it by using it", "NotFoundException: Alias arn:aws:kms:eu-west-1:111122223333:alias/aws/rds is not found.", root.dataKey(alias))
	if n := count(); n != 0 {
		t.Errorf("%d keys after refusals", n)
	}
	through := ann.through("rds.amazonaws.com")
	m := must(through.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: alias}))(t).KeyMetadata
	if m.KeyManager != "AWS" || *m.Description != "Default key that protects my RDS database volumes when no other key is defined" || count() != 1 {
		t.Errorf("%d keys: %+v", count(), m)
	}
	key := m.Arn
	through.may("use it through RDS with no policy of her own", through.dataKey(key))
	ann.mayNot("use it herself", "AccessDeniedException", ann.dataKey(key))
	bob.through("rds.amazonaws.com").mayNot("use it from another account", "AccessDeniedException", bob.through("rds.amazonaws.com").dataKey(key))
	bob.through("rds.amazonaws.com").mayNot("name it by alias ARN before it exists there", "AccessDeniedException", bob.through("rds.amazonaws.com").describe(new("arn:aws:kms:eu-west-1:999999999999:alias/aws/rds")))

	root.may("look at it", root.describe(key))
	if p := *must(root.GetKeyPolicy(t.Context(), &kms.GetKeyPolicyInput{KeyId: key}))(t).Policy; !strings.Contains(p, `"auto-rds-2"`) || !strings.Contains(p, `"rds.eu-west-1.amazonaws.com"`) || !strings.Contains(p, `"kms:CallerAccount" : "111122223333"`) {
		t.Error(p)
	}
	untouchable := func(action string) string {
		return "AccessDeniedException: User: arn:aws:iam::111122223333:root is not authorized to perform: kms:" + action + " on resource: " + *key + " because no resource-based policy allows the kms:" + action + " action"
	}
	root.mayNot("disable it", untouchable("DisableKey"), root.disable(key))
	root.mayNot("change its policy", untouchable("PutKeyPolicy"), root.putPolicy(key, delegating(home, "kms:*")))
	_, err := root.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: key})
	root.mayNot("delete it", untouchable("ScheduleKeyDeletion"), err)
	root.mayNot("alias it", untouchable("CreateAlias"), root.alias("alias/mine", key))
	root.mayNot("grant on it", untouchable("CreateGrant"), root.tryGrant(grantTo(key, ann.caller.ARN, "Decrypt")))
	root.mayNot("take its alias", "NotAuthorizedException", root.deleteAlias(*alias))
	root.mayNot("move its alias", "NotAuthorizedException", root.updateAlias(*alias, root.key()))

	there := root.with(func(c *cloud.Caller) { c.Region = "us-east-1" }).through("rds.amazonaws.com")
	other := must(there.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: alias}))(t).KeyMetadata
	if *other.KeyId == *m.KeyId {
		t.Error("two Regions share a key")
	}
}

// Once a key was deleted, not even the root key and the disk bring it back.
func TestDeletedMaterialIsGoneFromDisk(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	key := ann.key()
	m := must(ann.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: key}))(t).KeyMetadata
	var sealed []byte
	err := w.Store.View(t.Context(), func(tx keys.Tx) error {
		k, err := tx.Key(keys.Ref{Place: keys.Place{Account: home, Region: region}, ID: *m.KeyId})
		sealed = k.Materials[0].Sealed
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	onDisk := func() bool {
		w.reopen() // what is in the log goes to its place
		text, err := os.ReadFile(w.path)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Contains(text, sealed[:40])
	}
	if !onDisk() {
		t.Fatal("the test does not find sealed material where it is")
	}
	ann = ann.again()
	must(ann.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: key}))(t)
	w.wait(30 * day)
	if _, err := w.Sweep(t.Context(), w.now); err != nil {
		t.Fatal(err)
	}
	if onDisk() {
		t.Error("sealed material is still on disk")
	}
}

// However many ask for it first, there is one.
func TestManagedKeyIsMadeOnce(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*")).through("rds.amazonaws.com")
	ids := make([]string, 20)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			out, err := ann.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: new("alias/aws/rds")})
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = *out.KeyMetadata.KeyId
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("two keys: %v", ids)
		}
	}
	if got := must(ann.ListKeys(t.Context(), &kms.ListKeysInput{}))(t).Keys; len(got) != 1 {
		t.Errorf("%d keys", len(got))
	}
}
