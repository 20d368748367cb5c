package store_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"borealis/internal/cloud"
	"borealis/internal/identity"
	"borealis/internal/store"
)

const account cloud.AccountID = "111122223333"

func openIdentity(t *testing.T) identity.Store {
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s := db.Identity()
	update(t, s, func(tx identity.Tx) error {
		return errors.Join(tx.AddAccount(identity.Account{ID: account, Alias: "first"}), tx.AddAccount(identity.Account{ID: "444455556666"}))
	})
	return s
}

// update runs fn in a transaction that must be kept.
func update(t *testing.T, s identity.Store, fn func(identity.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func user(id, name, path string) identity.Entity {
	return identity.Entity{Account: account, Kind: identity.User, ID: id, Name: name, Path: path, Created: time.Unix(1, 5).UTC()}
}

// wants reports what is wrong with an error that should be sentinel.
func wants(t *testing.T, what string, err, sentinel error) {
	t.Helper()
	if !errors.Is(err, sentinel) {
		t.Errorf("%s: %v, want %v", what, err, sentinel)
	}
}

func TestIdentityUpdateIsAllOrNothing(t *testing.T) {
	s := openIdentity(t)
	refused := errors.New("refused")
	err := s.Update(t.Context(), func(tx identity.Tx) error {
		if err := tx.AddEntity(user("U1", "ann", "/")); err != nil {
			return err
		}
		return refused
	})
	wants(t, "Update", err, refused)
	s.View(t.Context(), func(tx identity.Tx) error {
		_, err := tx.EntityByID("U1")
		wants(t, "EntityByID after a transaction given up", err, cloud.ErrNotFound)
		return nil
	})
}

func TestIdentityEntities(t *testing.T) {
	s := openIdentity(t)
	ann := user("U1", "Ann", "/eng/")
	ann.Tags, ann.Inline = []identity.Tag{{Key: "a", Value: "b"}}, []identity.Inline{{Name: "p", Document: "{}"}}
	update(t, s, func(tx identity.Tx) error {
		wants(t, "PutEntity of nobody", tx.PutEntity(ann), cloud.ErrNotFound)
		wants(t, "DeleteEntity of nobody", tx.DeleteEntity("U1"), cloud.ErrNotFound)
		return errors.Join(tx.AddEntity(ann), tx.AddEntity(user("U2", "bob", "/")), tx.AddEntity(user("U3", "Cat", "/eng/db/")))
	})
	update(t, s, func(tx identity.Tx) error {
		wants(t, "AddEntity in another case", tx.AddEntity(user("U4", "ANN", "/")), cloud.ErrExists)
		wants(t, "AddEntity with the same id", tx.AddEntity(user("U1", "dan", "/")), cloud.ErrExists)
		got, err := tx.Entity(account, identity.User, "aNN")
		if d := cmp.Diff(ann, got); d != "" || err != nil {
			t.Errorf("Entity: %v\n%s", err, d)
		}
		_, err = tx.Entity(account, identity.Role, "ann")
		wants(t, "Entity of another kind", err, cloud.ErrNotFound)
		_, err = tx.Entity("444455556666", identity.User, "ann")
		wants(t, "Entity of another account", err, cloud.ErrNotFound)
		for _, tt := range []struct {
			prefix, after string
			limit         int
			want          []string
		}{
			{"/", "", 10, []string{"Ann", "bob", "Cat"}}, {"/", "", 2, []string{"Ann", "bob"}}, {"/", "ANN", 10, []string{"bob", "Cat"}},
			{"/eng/", "", 10, []string{"Ann", "Cat"}}, {"/e", "b", 10, []string{"Cat"}}, {"/x", "", 10, nil},
		} {
			var names []string
			list, err := tx.Entities(account, identity.User, tt.prefix, tt.after, tt.limit)
			for _, e := range list {
				names = append(names, e.Name)
			}
			if !slices.Equal(names, tt.want) || err != nil {
				t.Errorf("Entities(%q, %q, %d) = %v, %v, want %v", tt.prefix, tt.after, tt.limit, names, err, tt.want)
			}
		}
		n, err := tx.CountEntities(account, identity.User)
		if n != 3 || err != nil {
			t.Errorf("CountEntities = %d, %v", n, err)
		}
		return nil
	})
}

func TestIdentityLinks(t *testing.T) {
	s := openIdentity(t)
	l := func(source, target string) identity.Link {
		return identity.Link{Source: source, Use: identity.Attached, Target: target}
	}
	update(t, s, func(tx identity.Tx) error {
		return errors.Join(tx.AddEntity(user("U1", "ann", "/")), tx.AddEntity(user("U2", "bob", "/")),
			tx.AddLink(account, l("U1", "q")), tx.AddLink(account, l("U1", "p")), tx.AddLink(account, l("U1", "p")), tx.AddLink(account, l("U2", "p")),
			tx.AddLink(account, identity.Link{Source: "U2", Use: identity.Boundary, Target: "p"}))
	})
	update(t, s, func(tx identity.Tx) error {
		from, err := tx.LinksFrom("U1", identity.Attached)
		if d := cmp.Diff([]identity.Link{l("U1", "p"), l("U1", "q")}, from); d != "" || err != nil {
			t.Errorf("LinksFrom: %v\n%s", err, d)
		}
		to, err := tx.LinksTo(account, "p", identity.Attached)
		if d := cmp.Diff([]identity.Link{l("U1", "p"), l("U2", "p")}, to); d != "" || err != nil {
			t.Errorf("LinksTo: %v\n%s", err, d)
		}
		if theirs, err := tx.LinksTo("444455556666", "p", identity.Attached); len(theirs) != 0 || err != nil {
			t.Errorf("LinksTo of another account: %v, %v", theirs, err)
		}
		wants(t, "DeleteLink of none", tx.DeleteLink(l("U2", "q")), cloud.ErrNotFound)
		if err := errors.Join(tx.DeleteLink(l("U1", "q")), tx.DeleteEntity("U2")); err != nil {
			t.Error(err)
		}
		to, err = tx.LinksTo(account, "p", identity.Attached)
		if d := cmp.Diff([]identity.Link{l("U1", "p")}, to); d != "" || err != nil {
			t.Errorf("LinksTo after DeleteEntity: %v\n%s", err, d)
		}
		return nil
	})
}

func TestIdentityAccountsAndKeys(t *testing.T) {
	s := openIdentity(t)
	k := identity.AccessKey{ID: "AKIA1", Account: account, Owner: string(account), Active: true, Sealed: []byte{0, 255}}
	update(t, s, func(tx identity.Tx) error {
		wants(t, "AddAccount again", tx.AddAccount(identity.Account{ID: account}), cloud.ErrExists)
		wants(t, "PutAccount with another's alias", tx.PutAccount(identity.Account{ID: "444455556666", Alias: "FIRST"}), cloud.ErrExists)
		wants(t, "PutAccount of none", tx.PutAccount(identity.Account{ID: "000000000000"}), cloud.ErrNotFound)
		wants(t, "PutKey of none", tx.PutKey(k), cloud.ErrNotFound)
		return errors.Join(tx.PutAccount(identity.Account{ID: account}), tx.PutAccount(identity.Account{ID: "444455556666", Alias: "first"}),
			tx.AddKey(k), tx.DeleteKey("AKIA2"))
	})
	update(t, s, func(tx identity.Tx) error {
		wants(t, "AddKey again", tx.AddKey(k), cloud.ErrExists)
		keys, err := tx.Keys(string(account))
		if d := cmp.Diff([]identity.AccessKey{k}, keys); d != "" || err != nil {
			t.Errorf("Keys: %v\n%s", err, d)
		}
		_, err = tx.Account("000000000000")
		wants(t, "Account of none", err, cloud.ErrNotFound)
		return nil
	})
}

func TestIdentityPolicies(t *testing.T) {
	s := openIdentity(t)
	p := identity.ManagedPolicy{Account: account, Name: "Keys", ID: "P1", Path: "/x/", Default: 1, Versions: []identity.Version{{Number: 1, Document: "{}"}}}
	update(t, s, func(tx identity.Tx) error {
		wants(t, "PutPolicy of none", tx.PutPolicy(p), cloud.ErrNotFound)
		return tx.AddPolicy(p)
	})
	update(t, s, func(tx identity.Tx) error {
		again := p
		again.ID, again.Name, again.Path = "P2", "KEYS", "/"
		wants(t, "AddPolicy in another case and path", tx.AddPolicy(again), cloud.ErrExists)
		got, err := tx.Policy(p.ARN())
		if d := cmp.Diff(p, got); d != "" || err != nil {
			t.Errorf("Policy: %v\n%s", err, d)
		}
		return errors.Join(tx.DeletePolicy(p.ARN()), tx.DeletePolicy(p.ARN()))
	})
	s.View(t.Context(), func(tx identity.Tx) error {
		_, err := tx.Policy(p.ARN())
		wants(t, "Policy after DeletePolicy", err, cloud.ErrNotFound)
		return nil
	})
}

// Reading inside a read never waits for those who do the same.
func TestReadsNest(t *testing.T) {
	s := openIdentity(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	const readers = 24
	var wg, inside sync.WaitGroup
	inside.Add(readers)
	for range readers {
		wg.Go(func() {
			outer := false
			err := s.View(ctx, func(identity.Tx) error {
				outer = true
				inside.Done()
				inside.Wait() // until all of them read
				return s.View(ctx, func(tx identity.Tx) error {
					_, err := tx.Account(account)
					return err
				})
			})
			if err != nil {
				t.Error(err)
			}
			if !outer {
				inside.Done()
			}
		})
	}
	wg.Wait()
}
