package keys

import (
	"context"
	"errors"

	"borealis/internal/cloud"
)

// A change is a transaction that notes what it changes.
type change struct {
	Tx
	cache     *cache
	keys      map[Ref]bool
	aliases   map[aliasName]bool
	grants    []grantChange
	customers map[Place]int // how many keys more the customer has
}

// A grantChange is what becomes of the grants of one key.
type grantChange struct {
	of    Ref
	apply func(*grants) // nil if they are to be read again
}

func (c *change) PutKey(k Key) error {
	c.keys[k.Ref] = true
	k.Version++
	return c.Tx.PutKey(k)
}

func (c *change) DeleteKey(r Ref) error {
	c.keys[r] = true
	aliases, err := all(func(after string, n int) ([]Alias, error) { return c.Aliases(r.Place, r.ID, after, n) }, Alias.id)
	if err != nil {
		return err
	}
	for _, a := range aliases {
		c.aliases[aliasName{a.Place, a.Name}] = true
	}
	c.grants = append(c.grants, grantChange{of: r})
	c.customers[r.Place]--
	return c.Tx.DeleteKey(r)
}

func (c *change) PutAlias(a Alias) error {
	c.aliases[aliasName{a.Place, a.Name}] = true
	c.keys[Ref{a.Place, a.KeyID}] = true // a condition key holds its aliases
	return c.Tx.PutAlias(a)
}

func (c *change) DeleteAlias(a Alias) error {
	c.aliases[aliasName{a.Place, a.Name}] = true
	c.keys[Ref{a.Place, a.KeyID}] = true
	return c.Tx.DeleteAlias(a.Place, a.Name)
}

// PutKeyStore also notes the store's keys: their state follows from the store's.
func (c *change) PutKeyStore(k KeyStore) error {
	ids, err := all(func(after string, n int) ([]string, error) { return c.StoreKeys(k.Place, k.ID, after, n) }, func(id string) string { return id })
	if err != nil {
		return err
	}
	for _, id := range ids {
		c.keys[Ref{k.Place, id}] = true
	}
	k.Version++
	return c.Tx.PutKeyStore(k)
}

func (c *change) PutGrant(g Grant) error {
	c.grants = append(c.grants, grantChange{g.Ref, func(gs *grants) { gs.add(&g) }})
	return c.Tx.PutGrant(g)
}

func (c *change) DeleteGrant(r Ref, id string) error {
	c.grants = append(c.grants, grantChange{r, func(gs *grants) { gs.remove(id) }})
	return c.Tx.DeleteGrant(r, id)
}

// write runs fn in a transaction. When write returns, no request that begins
// sees anything but what was committed.
func (s *Service) write(ctx context.Context, fn func(*change) error) error {
	s.cache.writing.Lock()
	defer s.cache.writing.Unlock()
	var c *change
	err := s.Store.Update(ctx, func(tx Tx) error {
		c = &change{Tx: tx, cache: &s.cache, keys: make(map[Ref]bool), aliases: make(map[aliasName]bool), customers: make(map[Place]int)}
		return fn(c)
	})
	if c == nil {
		return err
	}
	if err != nil {
		// If it was the commit that failed, it may have happened all the same.
		for i := range c.grants {
			c.grants[i].apply = nil
		}
	}
	s.cache.hear(c, err == nil)
	return err
}

// hear forgets what ch changed, and brings the grants of loaded keys up to date.
// If ch is not known to have been committed, what it counted is counted again.
func (c *cache) hear(ch *change, committed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recount(ch.customers, committed)
	for n := range ch.aliases {
		*epoch(c, n)++
		delete(c.aliases, n)
	}
	for r := range ch.keys {
		*epoch(c, r)++
		c.outdate(r)
	}
	for _, g := range ch.grants {
		*epoch(c, g.of)++
		gs := c.grantsOf(g.of)
		switch {
		case g.apply == nil:
			c.drop(g.of)
			delete(c.kept, g.of)
		case gs != nil:
			g.apply(gs)
		}
		c.granted(g.of)
	}
}

// all gathers the pages of a list.
func all[T any](list func(after string, n int) ([]T, error), id func(T) string) ([]T, error) {
	const page = 1000
	var out []T
	for after := ""; ; {
		some, err := list(after, page)
		if err != nil {
			return nil, err
		}
		out = append(out, some...)
		if len(some) < page {
			return out, nil
		}
		after = id(some[len(some)-1])
	}
}

// isNotFound says that err is cloud.ErrNotFound.
func isNotFound(err error) bool { return errors.Is(err, cloud.ErrNotFound) }
