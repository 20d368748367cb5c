package keys

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"sync"

	"borealis/internal/cloud"
	"borealis/internal/material"
	"borealis/internal/policy"
)

const (
	// maxLoaded is how many keys are kept in memory packed, and how many that cannot
	// be packed: more than the keys that AWS lets an account have in a Region. One that
	// is not in memory has to be read from the database.
	maxLoaded = 128 << 10
	// maxReady is how many of those that are packed are ready for use as well, unless
	// the Service says otherwise.
	maxReady = 2048
	// maxLookedUp is how many aliases are kept of which no packed key knows.
	maxLookedUp = 16 << 10
	// maxPolicies is how many policies are kept for other keys that have the same.
	maxPolicies = 1024
)

// A loaded key is a key in memory, ready for use: its policy is parsed and its
// material opened. That is some twenty pieces of memory, a few KiB in all, which is
// why most keys are kept packed. It is immutable, but for its grants. A change of the key
// makes a new one, so that a request works on one state of it.
type loaded struct {
	Key
	policy  *policy.Policy
	secrets []*material.Key // of Materials, opened; nil where there is none
	backing *backing        // nil for a key that is in no custom key store
	aliases []string        // their names, "alias/…"
	// grants change in place, under cache.mu, and outlive changes of the rest: a key
	// may have many thousands, and RDS makes one for each cluster.
	grants *grants
}

// A cache is what the service remembers of the database. Nothing in it is older
// than the last change that was answered:
//
//   - write holds writing from before its transaction until the cache has
//     heard of it, so changes arrive here in the order of their commits;
//   - what was read is kept only if nothing it may depend on was committed
//     since before it was read: epochs tell.
type cache struct {
	writing sync.Mutex

	mu        sync.RWMutex
	keys      map[Ref]*loaded           // that are not packed
	ready     map[Ref]*loaded           // some of those that are
	shelf     shelf                     // the packed ones
	kept      map[Ref]*grants           // of keys that changed, and are to be read again
	customers map[Place]int             // how many keys of its own an account has, where that was asked
	aliases   map[aliasName]string      // ids of keys
	materials map[materialName]Ref      // of the keys in keys and ready
	policies  map[string]*policy.Policy // by text: most keys have one of a few
	// epochs count changes, each of many keys and aliases in one count: a clash
	// costs another read of the database, and nothing else.
	epochs [256]uint64
}

// A materialName finds the key of a material: in a Region there is one.
type materialName struct {
	cloud.Region
	id string
}

type aliasName struct {
	Place
	name string
}

var seed = maphash.MakeSeed()

// hashOf is a number for an id, which few others have, and which nobody can guess.
func hashOf[ID comparable](id ID) uint64 { return maphash.Comparable(seed, id) }

// epoch is the count of changes to id, a Ref or an aliasName. Hold mu.
func epoch[ID comparable](c *cache, id ID) *uint64 {
	return &c.epochs[hashOf(id)%uint64(len(c.epochs))]
}

// loaded returns a key that is ready for use, or nil. Hold mu.
func (c *cache) loaded(r Ref) *loaded {
	if l := c.ready[r]; l != nil {
		return l
	}
	return c.keys[r]
}

// load returns a key by its name, from memory or from the database.
func (s *Service) load(ctx context.Context, r Ref) (*loaded, error) {
	c := &s.cache
	c.mu.RLock()
	l, kept, since := c.loaded(r), c.kept[r], *epoch(c, r)
	var p packed
	if l == nil {
		p = c.shelf.keys[hashOf(r)]
	}
	c.mu.RUnlock()
	if l != nil {
		return l, nil
	}
	// A root key that was replaced does not open what was packed before: the
	// database has it under the new one.
	if l := p.unpack(); l != nil && l.Ref == r && s.prepare(l, nil) == nil {
		return s.keep(l, p, since), nil
	}
	l = &loaded{grants: kept}
	var aliases []Alias
	var grants []Grant
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		if l.Key, err = tx.Key(r); err != nil {
			return err
		}
		if aliases, err = all(func(after string, n int) ([]Alias, error) { return tx.Aliases(r.Place, r.ID, after, n) }, Alias.id); err != nil {
			return err
		}
		if kept == nil {
			grants, err = all(func(after string, n int) ([]Grant, error) { return tx.Grants(r, after, n) }, Grant.id)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("load key %s: %w", r.ARN(), err)
	}
	for _, a := range aliases {
		l.aliases = append(l.aliases, a.Name)
	}
	if err := s.prepare(l, grants); err != nil {
		return nil, fmt.Errorf("load key %s: %w", r.ARN(), err)
	}
	return s.keep(l, l.pack(), since), nil
}

// prepare works out what l needs beside its row and its aliases.
func (s *Service) prepare(l *loaded, grants []Grant) (err error) {
	p, err := s.cache.parse(l.Policy)
	if err != nil {
		return err
	}
	l.Policy, l.policy = p.Text, p.Named("key policy of "+l.ARN())
	l.secrets = make([]*material.Key, len(l.Materials))
	for i, m := range l.Materials {
		if m.Sealed == nil {
			continue
		}
		if l.secrets[i], err = s.openMaterial(&l.Key, m); err != nil {
			return fmt.Errorf("open key material %s: %w", m.ID, err)
		}
	}
	if l.Key.Store != nil {
		if l.backing, err = s.openStore(*l.Key.Store); err != nil {
			return err
		}
	}
	if l.grants == nil {
		l.grants = newGrants(grants)
	}
	return nil
}

// secretOf is the material of this id, nil if there is none, or none any more.
func (l *loaded) secretOf(id string) *material.Key {
	for i := range l.Materials {
		if l.Materials[i].ID == id {
			return l.secrets[i]
		}
	}
	return nil
}

// parse is policy.Parse, done once for keys that have the same policy.
func (c *cache) parse(text string) (*policy.Policy, error) {
	c.mu.RLock()
	p := c.policies[text]
	c.mu.RUnlock()
	if p != nil {
		return p, nil
	}
	text = strings.Clone(text) // it may be a part of a packed key
	p, err := policy.Parse("key policy", text)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.policies == nil || len(c.policies) >= maxPolicies {
		c.policies = make(map[string]*policy.Policy)
	}
	c.policies[text] = p
	return p, nil
}

// keep remembers l, which was read when its epoch was since, unless it may have
// changed meanwhile. p is l packed, "" if it cannot be.
func (s *Service) keep(l *loaded, p packed, since uint64) *loaded {
	c := &s.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	if *epoch(c, l.Ref) != since {
		return l // right when it was read, which was after the request began
	}
	if other := c.loaded(l.Ref); other != nil {
		return other
	}
	if c.keys == nil {
		c.keys, c.ready, c.materials = make(map[Ref]*loaded), make(map[Ref]*loaded), make(map[materialName]Ref)
	}
	if p != "" {
		c.shelf.put(l, p)
		c.makeRoom(c.ready, cmp.Or(s.Ready, maxReady))
		c.ready[l.Ref] = l
	} else {
		c.makeRoom(c.keys, maxLoaded)
		c.keys[l.Ref] = l
	}
	delete(c.kept, l.Ref)
	for _, m := range l.Materials {
		c.materials[materialName{l.Region, m.ID}] = l.Ref
	}
	return l
}

// makeRoom makes room for one more in keys, which is c.keys or c.ready, where there
// are to be most of them. Hold mu.
func (c *cache) makeRoom(keys map[Ref]*loaded, most int) {
	for r := range keys { // any other will do
		if len(keys) < most {
			return
		}
		c.unload(r)
	}
}

// unload forgets a key but for what is packed. Hold mu.
func (c *cache) unload(r Ref) {
	if l := c.loaded(r); l != nil {
		for _, m := range l.Materials {
			delete(c.materials, materialName{r.Region, m.ID})
		}
		delete(c.keys, r)
		delete(c.ready, r)
	}
}

// drop forgets a key. Hold mu.
func (c *cache) drop(r Ref) {
	c.unload(r)
	c.shelf.drop(hashOf(r))
}

// forget makes the next request read r from the database.
func (c *cache) forget(r Ref) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(r)
	delete(c.kept, r)
}

// maxKept is how many keys' grants are kept while the keys are to be read again.
const maxKept = 1024

// outdate drops a key whose grants are as they were. Hold mu.
func (c *cache) outdate(r Ref) {
	l := c.loaded(r)
	c.drop(r)
	if l == nil || len(l.grants.all) == 0 {
		return
	}
	if c.kept == nil || len(c.kept) >= maxKept {
		c.kept = make(map[Ref]*grants)
	}
	c.kept[r] = l.grants
}

// grantsOf are the grants on a key, or nil if they are not in memory. Hold mu.
func (c *cache) grantsOf(r Ref) *grants {
	if l := c.loaded(r); l != nil {
		return l.grants
	}
	return c.kept[r]
}

// granted takes a key off the shelf that has grants now, or may have. Hold mu.
func (c *cache) granted(r Ref) {
	c.shelf.drop(hashOf(r))
	if l := c.ready[r]; l != nil {
		delete(c.ready, r)
		c.keys[r] = l
	}
}

// lookUpAlias returns the id of the key that an alias stands for.
func (s *Service) lookUpAlias(ctx context.Context, p Place, name string) (string, error) {
	c, n := &s.cache, aliasName{p, name}
	c.mu.RLock()
	id, since := c.aliases[n], *epoch(c, n)
	r, shelved := c.shelf.find(hashOf(n))
	c.mu.RUnlock()
	if id != "" {
		return id, nil
	}
	if shelved {
		if l, err := s.load(ctx, r); err == nil && l.Place == p && slices.Contains(l.aliases, name) {
			return l.ID, nil
		}
	}
	var a Alias
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		a, err = tx.Alias(p, name)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("load alias %s: %w", p.alias(name), err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if *epoch(c, n) == since {
		if c.aliases == nil || len(c.aliases) >= maxLookedUp {
			c.aliases = make(map[aliasName]string)
		}
		c.aliases[n] = a.KeyID
	}
	return a.KeyID, nil
}

// lookUpMaterial names the key that a material belongs to, in Region near if
// there is one.
func (s *Service) lookUpMaterial(ctx context.Context, near cloud.Region, id string) (Ref, error) {
	c, n := &s.cache, materialName{near, id}
	c.mu.RLock()
	r, ok := c.materials[n]
	shelved := false
	if !ok {
		r, shelved = c.shelf.find(hashOf(n))
	}
	c.mu.RUnlock()
	if ok {
		return r, nil
	}
	if shelved {
		if l, err := s.load(ctx, r); err == nil && l.Region == near && l.version(id) >= 0 {
			return l.Ref, nil
		}
	}
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		r, err = tx.KeyOfMaterial(near, id)
		return err
	})
	if err != nil {
		return Ref{}, fmt.Errorf("load key of material %s: %w", id, err)
	}
	return r, nil
}

// grant returns the grant on l that has this id, or nil.
func (c *cache) grant(l *loaded, id string) *Grant {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return l.grants.get(id)
}

// grantsTo calls fn for every grant on l whose grantee has one of ids. fn does
// not wait for anything.
func (c *cache) grantsTo(l *loaded, ids []string, fn func(*Grant)) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, id := range ids {
		for _, g := range l.grants.byGrantee[id] {
			fn(g)
		}
	}
}

// someGrants lists the first n grants on l that f lets through, by id.
func (c *cache) someGrants(l *loaded, f grantFilter, n int) []*Grant {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return l.grants.some(f, n)
}
