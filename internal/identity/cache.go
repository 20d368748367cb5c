package identity

import (
	"sync"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// maxCached bounds every cache: one that is full is emptied.
const maxCached = 4096

// A cache remembers what was read from the store until something changes there.
// Values are shared: whoever gets one must not change it. It is safe for
// concurrent use.
type cache[V any] struct {
	mu         sync.RWMutex
	generation uint64 // counts the calls of forget
	values     map[string]V
}

// get returns the value of key, from load if it is not remembered. Errors are
// not remembered, nor is what load read before a forget that came while it ran.
func (c *cache[V]) get(key string, load func() (V, error)) (V, error) {
	c.mu.RLock()
	v, ok := c.values[key]
	before := c.generation
	c.mu.RUnlock()
	if ok {
		return v, nil
	}
	v, err := load()
	if err != nil {
		return v, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.generation != before {
		return v, nil
	}
	if c.values == nil || len(c.values) >= maxCached {
		c.values = map[string]V{}
	}
	c.values[key] = v
	return v, nil
}

// forget empties the cache. It is called after what was committed may be seen.
func (c *cache[V]) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation++
	c.values = nil
}

// caches are all that is remembered, so that a request whose caller is known
// costs no database read.
type caches struct {
	credentials cache[credential]      // by access key id
	callers     cache[cloud.Caller]    // by unique id
	identities  cache[policy.Identity] // by unique id
	roles       cache[TrustedRole]     // by ARN
	documents   cache[string]          // managed policies' texts, by ARN

	// parsed never goes stale: its key holds all that a parse depends on.
	parsed cache[*policy.Policy]
}

// forget empties the caches of what a change of the store may have changed.
func (c *caches) forget() {
	c.credentials.forget()
	c.callers.forget()
	c.identities.forget()
	c.roles.forget()
	c.documents.forget()
}

// parse is policy.Parse, done once for the same name and text.
func (c *caches) parse(name, text string) (*policy.Policy, error) {
	return c.parsed.get(name+"\x00"+text, func() (*policy.Policy, error) { return policy.Parse(name, text) })
}
