package keys_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/audit"
	"borealis/internal/keys"
)

// A faulty store counts what is asked of it, and fails updates on demand.
type faulty struct {
	keys.Store
	asked atomic.Int64
	// viewed and updating, if not nil, are called once: after the next view, before
	// its reader goes on, and before the next update.
	viewed, updating func()
	// fault decides the fate of the next update: whether it takes effect, and what
	// the caller is told.
	fault func() (apply bool, err error)
}

func (f *faulty) View(ctx context.Context, fn func(keys.Tx) error) error {
	f.asked.Add(1)
	err := f.Store.View(ctx, fn)
	once(&f.viewed)
	return err
}

func once(fn *func()) {
	if do := *fn; do != nil {
		*fn = nil
		do()
	}
}

func (f *faulty) Update(ctx context.Context, fn func(keys.Tx) error) error {
	f.asked.Add(1)
	once(&f.updating)
	apply, fault := true, error(nil)
	if f.fault != nil {
		apply, fault = f.fault()
	}
	if fault == nil {
		return f.Store.Update(ctx, fn)
	}
	refused := errors.New("rolled back")
	err := f.Store.Update(ctx, func(tx keys.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		if !apply {
			return refused
		}
		return nil
	})
	if err != nil && !errors.Is(err, refused) {
		return err
	}
	return fault
}

func TestCryptoNeedsNoDatabase(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	app := w.person(home, "role/app")
	store := &faulty{Store: w.Store}
	w.Store = store
	key := ann.key()
	ann.may("alias", ann.alias("alias/x", key))
	ann.grant(grantTo(key, app.caller.Principal, "GenerateDataKey Decrypt"))
	blob := must(ann.encrypt(new("alias/x"), nil))(t)
	ann.may("warm up", ann.dataKey(new("alias/x")))
	before := store.asked.Load()
	for range 10 {
		ann.may("make a data key", ann.dataKey(new("alias/x")))
		app.may("make a data key by grant", app.dataKey(key))
		app.may("decrypt", app.decrypt(blob, nil))
	}
	if n := store.asked.Load() - before; n != 0 {
		t.Errorf("%d transactions for 30 requests", n)
	}
}

// When a change is answered it holds, for every request from then on, however
// many are under way.
func TestNoStaleAnswers(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	app := w.person(home, "role/app")
	key := ann.key()
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for !stop.Load() {
				app.dataKey(key) // the answer depends on when it is
				app.describe(key)
			}
		})
	}
	for range 8 {
		ann.may("let in", ann.putPolicy(key, delegating(home, "kms:*"), letting(app.caller.Principal, "kms:*")))
		app.may("use the key", app.dataKey(key))
		ann.may("disable", ann.disable(key))
		app.mayNot("use it disabled", "DisabledException", app.dataKey(key))
		must(ann.EnableKey(t.Context(), &kms.EnableKeyInput{KeyId: key}))(t)
		app.may("use it enabled", app.dataKey(key))
		ann.may("shut out", ann.putPolicy(key, delegating(home, "kms:*")))
		app.mayNot("use it shut out", "AccessDeniedException", app.dataKey(key))
		g := ann.grant(grantTo(key, app.caller.Principal, "GenerateDataKey"))
		app.may("use the grant", app.dataKey(key))
		ann.may("revoke", ann.revoke(key, g.GrantId))
		app.mayNot("use the revoked grant", "AccessDeniedException", app.dataKey(key))
	}
	stop.Store(true)
	wg.Wait()
}

// A change that is made while a request reads the database is seen by the next.
func TestChangeDuringLoad(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	app := w.person(home, "role/app")
	one, two := ann.key(letting(app.caller.Principal, "kms:*")), ann.key(letting(app.caller.Principal, "kms:*"))
	ann.may("alias", ann.alias("alias/x", one))
	g := ann.grant(grantTo(two, app.caller.Principal, "GenerateDataKey"))
	w.reopen()
	store := &faulty{Store: w.Store}
	w.Store = store
	ann, app = ann.again(), app.again()

	store.viewed = func() { ann.may("shut out", ann.putPolicy(one, delegating(home, "kms:*"))) }
	_ = app.dataKey(one) // it began before, so either answer will do
	app.mayNot("use it then", "AccessDeniedException", app.dataKey(one))

	ann.may("leave the grant only", ann.putPolicy(two, delegating(home, "kms:*")))
	store.viewed = func() { ann.may("revoke", ann.revoke(two, g.GrantId)) }
	_ = app.dataKey(two)
	app.mayNot("use the grant then", "AccessDeniedException", app.dataKey(two))

	w.reopen()
	store.Store, w.Store = w.Store, store
	ann = ann.again()
	store.viewed = func() { ann.may("move the alias", ann.updateAlias("alias/x", two)) }
	_ = ann.describe(new("alias/x"))
	if m := must(ann.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: new("alias/x")}))(t).KeyMetadata; *m.Arn != *two {
		t.Errorf("the alias stands for %s", *m.Arn)
	}
}

// Of keys that are in memory the database is not asked again, though only one is
// ready for use, until they change.
func TestPackedKeys(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	app := w.person(home, "role/app")
	store := &faulty{Store: w.Store}
	w.Store = store
	keys := []*string{ann.key(), ann.key(letting(app.caller.Principal, "kms:*")), ann.key()}
	var blobs [][]byte
	for i, key := range keys {
		ann.may("alias", ann.alias(fmt.Sprint("alias/", i), key))
		blobs = append(blobs, must(ann.encrypt(key, nil))(t))
	}
	before := store.asked.Load()
	for range 3 {
		for i, key := range keys {
			ann.may("use", ann.dataKey(key))
			ann.may("use by alias", ann.dataKey(new(fmt.Sprint("alias/", i))))
			ann.may("decrypt", ann.decrypt(blobs[i], nil))
		}
		app.may("use by the key's policy", app.dataKey(keys[1]))
		app.mayNot("use another", "AccessDeniedException", app.dataKey(keys[2]))
	}
	if n := store.asked.Load() - before; n != 0 {
		t.Errorf("%d transactions", n)
	}

	ann.may("move an alias", ann.updateAlias("alias/0", keys[1]))
	ann.may("use another", ann.dataKey(keys[2]))
	if m := must(ann.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: new("alias/0")}))(t).KeyMetadata; *m.Arn != *keys[1] {
		t.Errorf("alias/0 stands for %s", *m.Arn)
	}
	g := ann.grant(grantTo(keys[0], app.caller.Principal, "Decrypt"))
	app.may("use the grant", app.decrypt(blobs[0], nil))
	ann.may("revoke", ann.revoke(keys[0], g.GrantId))
	ann.may("use another", ann.dataKey(keys[2]))
	app.mayNot("use the revoked grant", "AccessDeniedException", app.decrypt(blobs[0], nil))
	ann.may("delete an alias", ann.deleteAlias("alias/2"))
	ann.mayNot("use it", "NotFoundException", ann.dataKey(new("alias/2")))
}

// A change that is made between another's decision and its transaction is not
// undone by it, and what it forbids is not done.
func TestChangeBeforeTransaction(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	app := w.person(home, "role/app")
	// A change waits for the one before it: the hook acts through a service of its own.
	other := &keys.Service{Store: w.Store, Policies: w.dir, Principals: w.dir, Audit: w.log, Sealer: w.Sealer, Now: w.clock}
	meanwhile := &person{other.As(ann.caller), w, ann.caller}
	store := &faulty{Store: w.Store}
	w.Store = store
	key := ann.key(letting(app.caller.Principal, "kms:*"))
	tag := func(p *person, k string) error {
		_, err := p.TagResource(t.Context(), &kms.TagResourceInput{KeyId: key, Tags: []types.Tag{{TagKey: &k, TagValue: new("")}}})
		return err
	}

	store.updating = func() { meanwhile.may("tag", tag(meanwhile, "a")) }
	ann.may("tag too", tag(ann, "b"))
	if got := must(ann.ListResourceTags(t.Context(), &kms.ListResourceTagsInput{KeyId: key}))(t).Tags; len(got) != 2 {
		t.Errorf("tags: %v", got)
	}
	store.updating = func() { meanwhile.may("shut out", meanwhile.putPolicy(key, delegating(home, "kms:*"))) }
	app.mayNot("make a grant", "AccessDeniedException", app.tryGrant(grantTo(key, app.caller.Principal, "Decrypt")))
	store.updating = func() {
		must(meanwhile.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: key}))(t)
	}
	ann.mayNot("alias a key that is going", "KMSInvalidStateException", ann.alias("alias/x", key))
}

func TestOneAliasOfManyAtOnce(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	var made atomic.Int64
	var wg sync.WaitGroup
	for range 10 {
		key := ann.key()
		wg.Go(func() {
			err := ann.alias("alias/x", key)
			if err == nil {
				made.Add(1)
				return
			}
			ann.mayNot("create a second", "AlreadyExistsException", err)
		})
	}
	wg.Wait()
	if made.Load() != 1 {
		t.Errorf("%d made it", made.Load())
	}
}

// Changes of one key at once all happen, one after the other.
func TestConcurrentChanges(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	app := w.person(home, "role/app").caller.Principal
	key := ann.key()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			ann.may("alias", ann.alias(fmt.Sprint("alias/", i), key))
			in := grantTo(key, app, "Decrypt")
			in.Name = new("the same")
			ann.may("grant", ann.tryGrant(in))
			_, err := ann.UpdateKeyDescription(t.Context(), &kms.UpdateKeyDescriptionInput{KeyId: key, Description: new(fmt.Sprint(i))})
			ann.may("describe anew", err)
		})
	}
	wg.Wait()
	if n := len(ann.aliases(&kms.ListAliasesInput{KeyId: key})); n != 8 {
		t.Errorf("%d aliases", n)
	}
	if n := len(ann.grants(&kms.ListGrantsInput{KeyId: key})); n != 1 {
		t.Errorf("%d grants", n)
	}
}

// Refused writes change nothing; and a write whose answer was lost may have
// happened, so that what is said afterwards is what the database has.
func TestFaults(t *testing.T) {
	lost := errors.New("disk on fire")
	for name, apply := range map[string]bool{"refused": false, "done but unanswered": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ann := w.person(home, "user/ann", allow("kms:*"))
			app := w.person(home, "role/app")
			store := &faulty{Store: w.Store}
			w.Store = store
			key := ann.key()
			g := ann.grant(grantTo(key, app.caller.Principal, "GenerateDataKey"))
			ann.may("alias", ann.alias("alias/x", key))
			app.may("use the grant", app.dataKey(key))
			ann.may("use the alias", ann.describe(new("alias/x")))
			fail := func(what string, do func() error, check func() string, changed string) {
				t.Helper()
				before := check()
				store.fault = func() (bool, error) { return apply, lost }
				if err := do(); !errors.Is(err, lost) {
					t.Errorf("%s: %v", what, err)
				}
				store.fault = nil
				want := before
				if apply {
					want = changed
				}
				if got := check(); got != want {
					t.Errorf("%s: %q, want %q", what, got, want)
				}
			}
			fail("revoke", func() error { return ann.revoke(key, g.GrantId) },
				func() string { return code(app.dataKey(key)) }, "AccessDeniedException")
			fail("delete alias", func() error { return ann.deleteAlias("alias/x") },
				func() string { return code(ann.describe(new("alias/x"))) }, "NotFoundException")
			fail("disable", func() error { return ann.disable(key) },
				func() string { return code(ann.dataKey(key)) }, "DisabledException")
			fail("policy", func() error { return ann.putPolicy(key, letting(ann.caller.ARN, "kms:PutKeyPolicy")) },
				func() string { return code(ann.describe(key)) }, "AccessDeniedException")
		})
	}
}

func BenchmarkGenerateDataKey(b *testing.B) {
	w := newWorld(b)
	w.Audit = discard{}
	ann := w.person(home, "user/ann", allow("kms:*"))
	in := &kms.GenerateDataKeyInput{KeySpec: "AES_256", EncryptionContext: map[string]string{"aws:rds:dbc-id": "cluster-X"}}
	one, two := ann.key(), ann.key()
	for name, keys := range map[string][]*string{"ready": {one}, "packed": {one, two}} { // one is ready
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				in.KeyId = keys[i%len(keys)]
				if _, err := ann.GenerateDataKey(b.Context(), in); err != nil {
					b.Error(err)
				}
			}
		})
	}
}

type discard struct{}

func (discard) Record(audit.Event) error { return nil }

func FuzzDecrypt(f *testing.F) {
	w := newWorld(f)
	ann := w.person(home, "user/ann", allow("kms:*"))
	good := must(ann.encrypt(ann.key(), nil))(f)
	f.Add(good)
	f.Add(good[:58])
	f.Add([]byte{1, 2, 2, 0, 0x78})
	f.Fuzz(func(t *testing.T, blob []byte) {
		out, err := ann.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob})
		if string(blob) != string(good) && code(err) != "InvalidCiphertextException" {
			t.Errorf("Decrypt(%x) = %+v, %v", blob, out, err)
		}
	})
}
