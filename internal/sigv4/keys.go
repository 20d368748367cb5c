package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"sync"
)

// A signingKey is a secret narrowed down to one day, Region and service.
type signingKey [sha256.Size]byte

// derive narrows secret down to the scope of s.
func derive(secret string, s *signature) signingKey {
	var k signingKey
	h := hmac.New(sha256.New, []byte("AWS4"+secret))
	h.Write([]byte(s.date))
	h.Sum(k[:0])
	for _, part := range []string{s.region, s.service, terminator} {
		k = k.mac(part)
	}
	return k
}

func (k *signingKey) mac(text string) signingKey {
	var out signingKey
	h := hmac.New(sha256.New, k[:])
	h.Write([]byte(text))
	h.Sum(out[:0])
	return out
}

// maxKeys bounds each of the two generations of a keyCache.
const maxKeys = 1024

// A keyCache remembers signing keys by secret and scope. When the young
// generation is full it becomes the old one, and the old one is forgotten: a
// key in use is copied back before that happens twice. The zero value is empty.
type keyCache struct {
	mu         sync.Mutex
	young, old map[cacheKey]signingKey
}

type cacheKey struct{ secret, date, region, service string }

func (c *keyCache) get(secret string, s *signature) (signingKey, bool) {
	id := cacheKey{secret, s.date, s.region, s.service}
	c.mu.Lock()
	defer c.mu.Unlock()
	if k, ok := c.young[id]; ok {
		return k, true
	}
	k, ok := c.old[id]
	if ok {
		c.add(id, k)
	}
	return k, ok
}

func (c *keyCache) put(secret string, s *signature, k signingKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(cacheKey{secret, s.date, s.region, s.service}, k)
}

func (c *keyCache) add(id cacheKey, k signingKey) {
	if c.young == nil || len(c.young) >= maxKeys {
		c.young, c.old = make(map[cacheKey]signingKey), c.young
	}
	c.young[id] = k
}
