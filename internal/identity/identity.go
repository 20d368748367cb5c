// Package identity is IAM: accounts, users, groups, roles, policies and access
// keys. It knows who exists and which policies speak for them, and hands both to
// the other services; it knows nothing of keys, clusters, sessions or the wire.
package identity

import (
	"context"
	"fmt"
	"time"

	"borealis/internal/audit"
	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// Audit is where decisions are put on record.
type Audit interface {
	// Record returns nil when the event is on record. Without a record nothing is done.
	Record(audit.Event) error
}

// A Sealer keeps secrets from whoever reads the database. Its methods may be
// called concurrently.
type Sealer interface {
	// Seal encrypts and authenticates plaintext, and binds it to context.
	Seal(plaintext, context []byte) ([]byte, error)
	// Open returns what Seal was given, if context is the same.
	Open(sealed, context []byte) ([]byte, error)
}

// Organizations knows which accounts belong together, and what that means for them.
type Organizations interface {
	// Membership is what account a's organization says of it now; the zero Membership
	// if it is in none, or is no account. It is asked on every request, by many
	// goroutines at once, and does not wait for a disk. Nobody changes what it returns.
	Membership(ctx context.Context, a cloud.AccountID) (*policy.Membership, error)
}

// Service is the identity service. Its fields are required, but for those that
// say otherwise. Only its
// operator's methods (CreateAccount, Accounts, CreateRootKey), sign-in and the
// look-ups that other services make can be asked of it directly; every operation of IAM
// needs a caller, and As is the only way to name one. It is safe for concurrent
// use and must not be copied.
type Service struct {
	Store  Store
	Audit  Audit
	Sealer Sealer
	Now    func() time.Time
	// Organizations may be nil: then no account is in one.
	Organizations Organizations

	known  caches
	usages usages
}

// A View is the service as one caller sees it.
type View struct {
	*Service
	caller cloud.Caller
}

// As is the service in the name of c.
func (s *Service) As(c cloud.Caller) *View { return &View{s, c} }

// A request is one operation under way: a transaction, and what speaks for the
// caller in it.
type request struct {
	Tx
	*Service
	caller cloud.Caller
	// question is the caller's, complete but for what it is about.
	question policy.Question
	// given is why the caller needs no permission for what it asks, unless a policy
	// denies it in so many words; "" if it does.
	given string
}

// read runs fn as a request that changes nothing.
func (v *View) read(ctx context.Context, fn func(*request) error) error {
	q, err := v.question(ctx)
	if err != nil {
		return err
	}
	return v.Store.View(ctx, func(tx Tx) error {
		return fn(&request{Tx: tx, Service: v.Service, caller: v.caller, question: q})
	})
}

// change runs fn as a request whose changes are kept if it returns nil. When
// change returns, no look-up answers any more from what was true before.
func (v *View) change(ctx context.Context, fn func(*request) error) error {
	q, err := v.question(ctx)
	if err != nil {
		return err
	}
	return v.update(ctx, func(tx Tx) error {
		return fn(&request{Tx: tx, Service: v.Service, caller: v.caller, question: q})
	})
}

// question is the beginning of everything that is asked about the caller.
func (v *View) question(ctx context.Context) (policy.Question, error) {
	q := policy.Question{Caller: v.caller, Owner: v.caller.Account}
	err := v.Complete(ctx, &q)
	return q, err
}

// update is the store's Update followed by forgetting what may have changed. A
// transaction that was given up has changed nothing, so that refused requests
// do not empty the caches; one whose commit failed may have.
func (s *Service) update(ctx context.Context, fn func(Tx) error) error {
	done := false
	err := s.Store.Update(ctx, func(tx Tx) error {
		err := fn(tx)
		done = err == nil
		return err
	})
	if done {
		s.known.forget()
	}
	return err
}

// A resource is what a request wants to act upon.
type resource struct {
	arn   string
	said  string          // how AWS's messages name it; its ARN if empty
	owner cloud.AccountID // the caller's own account if empty
	// context holds the condition keys that belong to the resource and the request.
	context policy.Context
}

// authorize decides whether the caller may do action to on. Every operation
// calls it before it shows or changes anything. The decision is written down
// before it is acted upon; if the transaction is retried, twice, which is better
// than never.
func (r *request) authorize(action string, on resource) error {
	if on.owner == "" {
		on.owner = r.caller.Account
	}
	q := r.question
	q.Action, q.Resource, q.Owner, q.Context, q.Now = action, on.arn, on.owner, on.context, r.Now()
	if on.owner != r.caller.Account { // whose organization is not told
		q.OwnerOrg, q.ResourceControl = policy.Place{}, policy.Control{}
	}
	d := q.Decide()
	allowed, reason := d.Allowed, d.String()
	if !allowed && !d.Explicit && r.given != "" {
		allowed, reason = true, r.given
	}
	var explanation []byte
	if !allowed {
		explanation = q.Summary(d)
	}
	err := r.Audit.Record(audit.Event{
		Time: r.Now(), Caller: r.caller, Action: action, Resource: on.arn,
		Owner: on.owner, Allowed: allowed, Reason: reason, Explanation: explanation,
	})
	if err != nil {
		return fmt.Errorf("audit %s: %w", action, err)
	}
	if !allowed {
		return r.denied(action, on, d)
	}
	return nil
}
