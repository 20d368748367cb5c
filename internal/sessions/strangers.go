package sessions

import (
	"context"
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
	maxAtOnce    = 16   // requests that are looked into at the same time
)

// strangers limits requests that nobody has signed, so that they cost those who
// sign little. The zero value is ready.
type strangers struct {
	mu      sync.Mutex
	from    map[string]*rate.Limiter
	working *semaphore.Weighted
}

// admit waits until a request that nobody has signed may be looked into; done ends
// that. It refuses those of an address that sends too many.
func (v *View) admit(ctx context.Context) (done func(), err error) {
	s := &v.strangers
	working, ok := s.take(v)
	if !ok {
		return nil, &smithy.GenericAPIError{Code: "Throttling", Message: "Rate exceeded", Fault: smithy.FaultClient}
	}
	if err := working.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	return func() { working.Release(1) }, nil
}

func (s *strangers) take(v *View) (*semaphore.Weighted, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.working == nil {
		s.working, s.from = semaphore.NewWeighted(maxAtOnce), map[string]*rate.Limiter{}
	}
	l := s.from[v.caller.SourceIP]
	if l == nil {
		if len(s.from) >= maxAddresses {
			clear(s.from)
		}
		l = rate.NewLimiter(perAddress, burst)
		s.from[v.caller.SourceIP] = l
	}
	return s.working, l.AllowN(v.Now(), 1)
}

// named puts c on record as who makes its call.
func named(c cloud.Caller) {
	if call, ok := c.Call.(*audit.Call); ok {
		c.Call, c.ARN = nil, "" // it has none that AWS would know
		call.Caller = c
	}
}
