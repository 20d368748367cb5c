package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"sync"
)

// A signingKey is a secret narrowed down to one day, Region and service. It is
// kept as the MACs that it keys, ready to be reset: a new one would allocate two
// hashes, and hash the key again.
type signingKey struct{ macs sync.Pool }

// A mac computes one MAC at a time, in memory that is used again.
type mac struct {
	hash.Hash
	text, sum []byte
}

// derive narrows secret down to the scope of s.
func derive(secret string, s *signature) *signingKey {
	key := []byte("AWS4" + secret)
	for _, part := range []string{s.date, s.region, s.service, terminator} {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(part))
		key = h.Sum(nil)
	}
	k := new(signingKey)
	k.macs.New = func() any { return &mac{Hash: hmac.New(sha256.New, key)} }
	return k
}

// maxKeys bounds each of the two generations of a keyCache.
const maxKeys = 1024

// A keyCache remembers signing keys by secret and scope. When the young
// generation is full it becomes the old one, and the old one is forgotten: a
// key in use is copied back before that happens twice. The zero value is empty.
type keyCache struct {
	mu         sync.Mutex
	young, old map[cacheKey]*signingKey
}

type cacheKey struct{ secret, date, region, service string }

// get is the key of that secret and scope, or nil.
func (c *keyCache) get(secret string, s *signature) *signingKey {
	id := cacheKey{secret, s.date, s.region, s.service}
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.young[id]; k != nil {
		return k
	}
	k := c.old[id]
	if k != nil {
		c.add(id, k)
	}
	return k
}

func (c *keyCache) put(secret string, s *signature, k *signingKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(cacheKey{secret, s.date, s.region, s.service}, k)
}

func (c *keyCache) add(id cacheKey, k *signingKey) {
	if c.young == nil || len(c.young) >= maxKeys {
		c.young, c.old = make(map[cacheKey]*signingKey), c.young
	}
	c.young[id] = k
}
