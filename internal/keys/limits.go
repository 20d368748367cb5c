package keys

// maxKeys is how many keys a customer has in a Region. AWS managed keys do not
// count.
const maxKeys = 100_000

// addKey is PutKey for a key that is new and not AWS's.
func (c *change) addKey(k Key) error {
	n, err := c.keysIn(k.Place)
	if err != nil {
		return err
	}
	if n >= maxKeys {
		return limitExceeded("The account %s has %d keys in %s already.", k.Account, maxKeys, k.Region)
	}
	c.customers[k.Place]++
	return c.PutKey(k)
}

// keysIn is how many keys the customer has in a place. They are counted the first
// time only: changes come one after the other, and each says what it adds.
func (c *change) keysIn(p Place) (int, error) {
	c.cache.mu.RLock()
	n, ok := c.cache.customers[p]
	c.cache.mu.RUnlock()
	if ok {
		return n + c.customers[p], nil
	}
	n, err := c.CountKeys(p)
	if err != nil {
		return 0, err
	}
	c.cache.mu.Lock()
	defer c.cache.mu.Unlock()
	if c.cache.customers == nil || len(c.cache.customers) >= maxKept {
		c.cache.customers = make(map[Place]int)
	}
	c.cache.customers[p] = n - c.customers[p]
	return n, nil
}

// recount brings the numbers of keys up to date with what a change has added, or
// makes the next one count if it may have added nothing. Hold mu.
func (c *cache) recount(added map[Place]int, committed bool) {
	for p, n := range added {
		if _, ok := c.customers[p]; ok && committed {
			c.customers[p] += n
		} else {
			delete(c.customers, p)
		}
	}
}

// grantsOn is how many grants there are on a key. They are counted in memory,
// where every change of them is known, if the key is there.
func (c *change) grantsOn(r Ref) (int, error) {
	c.cache.mu.RLock()
	gs := c.cache.grantsOf(r)
	n := 0
	if gs != nil {
		n = len(gs.all)
	}
	c.cache.mu.RUnlock()
	if gs != nil {
		return n, nil
	}
	return c.CountGrants(r)
}
