// Package trail is CloudTrail: the events of an account and Region, looked up in
// the audit log. It writes nothing but the decisions about its own callers, and
// shows nobody another account's side of an event.
package trail

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/aws/smithy-go"

	"borealis/internal/api"
	"borealis/internal/audit"
	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// Policies knows what has a say in a question beside the resource's own policy.
type Policies interface {
	// Complete adds to q what speaks for q.Caller or limits it, and what organizations
	// say of the accounts, as it is now.
	Complete(ctx context.Context, q *policy.Question) error
}

// Log is the audit log.
type Log interface {
	// Record returns nil when the event is on record. Without a record nothing is told.
	Record(audit.Event) error
	// Read opens the log for reading, with all that is on record.
	Read() (*audit.Reader, error)
}

// Service is the event history. All its fields are required. It is safe for
// concurrent use.
type Service struct {
	Policies Policies
	Log      Log
	Now      func() time.Time

	reading chan struct{} // holds one value for each request that reads

	mu    sync.Mutex
	turns map[cloud.AccountID]chan struct{} // holds a value while the account reads
}

// maxReading is how many requests read the log at once; others wait. An account
// has one of them at most, so that none keeps the others waiting.
const maxReading = 2

// New makes a Service.
func New(p Policies, l Log, now func() time.Time) *Service {
	return &Service{
		Policies: p, Log: l, Now: now,
		reading: make(chan struct{}, maxReading), turns: make(map[cloud.AccountID]chan struct{}),
	}
}

// turn waits until account a may read the log, or ctx is done, and says what to
// call after reading.
func (s *Service) turn(ctx context.Context, a cloud.AccountID) (done func(), err error) {
	s.mu.Lock()
	own := s.turns[a]
	if own == nil {
		own = make(chan struct{}, 1)
		s.turns[a] = own
	}
	s.mu.Unlock()
	select {
	case own <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	select {
	case s.reading <- struct{}{}:
		return func() { <-s.reading; <-own }, nil
	case <-ctx.Done():
		<-own
		return nil, context.Cause(ctx)
	}
}

// A View is the service as one caller sees it.
type View struct {
	*Service
	caller cloud.Caller
}

// As is the service in the name of c.
func (s *Service) As(c cloud.Caller) *View { return &View{s, c} }

// Ops are the operations this service answers. An operation that is not here
// does not exist; one that is here is authorized, audited and tested like the
// rest.
var Ops = map[string]api.Op[*View]{
	"LookupEvents": api.Bind((*View).LookupEvents),
}

// authorize decides whether the caller may do action, and puts the decision on
// record before anything is told.
func (v *View) authorize(ctx context.Context, action string) error {
	q := policy.Question{Caller: v.caller, Action: action, Resource: "*", Owner: v.caller.Account, Now: v.Now()}
	if err := v.Policies.Complete(ctx, &q); err != nil {
		return fmt.Errorf("policies of %s: %w", v.caller.ARN, err)
	}
	d := q.Decide()
	err := v.Log.Record(audit.Event{
		Time: q.Now, Caller: v.caller, Action: action, Resource: "*", Owner: q.Owner, Allowed: d.Allowed, Reason: d.String(), Explanation: q.Summary(d),
	})
	if err != nil {
		return fmt.Errorf("audit %s: %w", action, err)
	}
	if !d.Allowed {
		return &denied{smithy.GenericAPIError{
			Code:    "AccessDeniedException",
			Message: "User: " + v.caller.ARN + " is not authorized to perform: " + action + " " + d.Because(),
		}}
	}
	return nil
}

// denied is a refusal. It is cloud.ErrDenied too.
type denied struct{ smithy.GenericAPIError }

func (*denied) Unwrap() error { return cloud.ErrDenied }
