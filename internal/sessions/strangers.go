package sessions

import (
	"context"
	"net/netip"
	"runtime"
	"sync"

	"github.com/aws/smithy-go"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"borealis/internal/audit"
	"borealis/internal/cloud"
)

// What those may ask for who have not signed.
const (
	perAddress   = 50 // requests a second from one address
	burst        = 100
	maxAddresses = 4096 // that are told apart
)

// maxAtOnce is how many requests that nobody has signed are looked into at the same
// time: they take half of the machine at most.
var maxAtOnce = max(1, int64(runtime.GOMAXPROCS(0))/2)

// strangers limits requests that nobody has signed, so that they cost those who
// sign little. The zero value is ready.
type strangers struct {
	mu   sync.Mutex
	from map[string]*rate.Limiter
	work *semaphore.Weighted
}

// A turn is when a request that nobody has signed is looked into. Nobody waits for
// an identity provider in it.
type turn struct{ of *semaphore.Weighted }

// admit waits until a request that nobody has signed may be looked into; the turn's
// end ends that. It refuses those of an address that sends too many.
func (v *View) admit(ctx context.Context) (*turn, error) {
	work, ok := v.strangers.take(v)
	if !ok {
		return nil, &smithy.GenericAPIError{Code: "Throttling", Message: "Rate exceeded", Fault: smithy.FaultClient}
	}
	if err := work.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	return &turn{work}, nil
}

func (t *turn) end() {
	if t.of != nil {
		t.of.Release(1)
	}
}

// outside runs fn, which waits for others, while somebody else has the turn.
func (t *turn) outside(ctx context.Context, fn func() error) error {
	work := t.of
	t.of = nil
	work.Release(1)
	if err := fn(); err != nil {
		return err
	}
	if err := work.Acquire(ctx, 1); err != nil {
		return err
	}
	t.of = work
	return nil
}

func (s *strangers) take(v *View) (*semaphore.Weighted, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.work == nil {
		s.work, s.from = semaphore.NewWeighted(maxAtOnce), map[string]*rate.Limiter{}
	}
	from := network(v.caller.SourceIP)
	l := s.from[from]
	if l == nil {
		if len(s.from) >= maxAddresses {
			clear(s.from)
		}
		l = rate.NewLimiter(perAddress, burst)
		s.from[from] = l
	}
	return s.work, l.AllowN(v.Now(), 1)
}

// network is what one sender has of addresses: one of IPv4, 2^64 of IPv6.
func network(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil || a.Unmap().Is4() {
		return address
	}
	p, err := a.WithZone("").Prefix(64)
	if err != nil {
		return address
	}
	return p.String()
}

// named puts c on record as who makes its call.
func named(c cloud.Caller) {
	if call, ok := c.Call.(*audit.Call); ok {
		c.Call, c.ARN = nil, "" // it has none that AWS would know
		call.Caller = c
	}
}
