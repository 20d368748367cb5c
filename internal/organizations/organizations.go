// Package organizations is AWS Organizations: trees of accounts, and the policies
// that limit those accounts. It knows who is in which organization and says what
// that means for a decision (Membership); it decides only about its own
// operations, and knows nothing of what accounts hold.
package organizations

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

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

// Audit is where decisions are put on record.
type Audit interface {
	// Record returns nil when the event is on record. Without a record nothing is done.
	Record(audit.Event) error
}

// Accounts are all accounts there are, in an organization or not.
type Accounts interface {
	// Member is what is known of an account; cloud.ErrNotFound if there is none.
	Member(context.Context, cloud.AccountID) (Member, error)
	// MakeMember makes an account with a role in it and runs join in the same
	// transaction: all of that is kept or nothing. An account that the same Request
	// has made stays as it is; if there is another with that ID it is
	// cloud.ErrExists, and join does not run.
	MakeMember(ctx context.Context, n NewMember, join func(Tx) error) error
	// CloseMember closes an account, so that from its return on nobody can act for it.
	// It runs how in the same transaction, first: all of that is kept or nothing.
	CloseMember(ctx context.Context, id cloud.AccountID, at time.Time, how func(Tx) error) error
}

// A Member is what there is to know of an account.
type Member struct {
	Name   string
	Email  string // "" if none is known
	Closed bool
}

// A NewMember is an account to be made.
type NewMember struct {
	Member
	ID      cloud.AccountID
	Role    string          // may do anything in the account
	Trusts  cloud.AccountID // whose principals may assume Role
	Request string          // what asked for it
}

// Service is the organizations service. All its exported fields are required. It
// is safe for concurrent use and must not be copied.
type Service struct {
	Store    Store
	Policies Policies
	Accounts Accounts
	Audit    Audit
	Now      func() time.Time
	Log      *slog.Logger

	memory  memory
	waiting signal
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
	// org is the caller's organization; the zero one if it is in none.
	org Organization
}

// read runs fn as a request that changes nothing.
func (v *View) read(ctx context.Context, fn func(*request) error) error {
	r, err := v.request(ctx)
	if err != nil {
		return err
	}
	return apiError(v.Store.View(ctx, func(tx Tx) error { return r.in(tx, fn) }))
}

// change runs fn as a request whose changes are kept if it returns nil. When
// change returns, Membership answers no more from what was true before.
func (v *View) change(ctx context.Context, fn func(*request) error) error {
	return v.attempt(ctx, func(fn func(Tx) error) error { return v.Store.Update(ctx, fn) }, fn)
}

// attempt is change with a transaction that something else begins and commits.
func (v *View) attempt(ctx context.Context, transaction func(func(Tx) error) error, fn func(*request) error) error {
	r, err := v.request(ctx)
	if err != nil {
		return err
	}
	return apiError(v.within(transaction, func(tx Tx) error { return r.in(tx, fn) }))
}

// update is the store's Update. As soon as what it changes can be seen, Membership
// says so.
func (s *Service) update(ctx context.Context, fn func(Tx) error) error {
	return s.within(func(fn func(Tx) error) error { return s.Store.Update(ctx, fn) }, fn)
}

// within is update with a transaction that something else begins and commits.
func (s *Service) within(transaction func(func(Tx) error) error, fn func(Tx) error) error {
	held := false
	defer func() {
		if held { // also if the commit failed: who knows
			s.memory.release()
		}
	}()
	return transaction(func(tx Tx) error {
		err := fn(tx)
		if err == nil && !held {
			held = true
			s.memory.hold()
		}
		return err
	})
}

func (v *View) request(ctx context.Context) (*request, error) {
	// Where the resource is another account's, too, no policy of that account
	// speaks of it.
	q := policy.Question{Caller: v.caller, Owner: v.caller.Account}
	if err := v.Policies.Complete(ctx, &q); err != nil {
		return nil, fmt.Errorf("policies of %s: %w", v.caller.ARN, err)
	}
	return &request{Service: v.Service, caller: v.caller, question: q}, nil
}

// in runs fn in a transaction.
func (r *request) in(tx Tx, fn func(*request) error) error {
	r.Tx, r.org = tx, Organization{}
	n, err := tx.Node(string(r.caller.Account))
	if err == nil {
		r.org, err = tx.Organization(n.Organization)
	}
	if err != nil && !errors.Is(err, cloud.ErrNotFound) {
		return err
	}
	return fn(r)
}

// A standing is who an operation is for, beside those whom policies allow it.
type standing uint8

const (
	anybody standing = iota
	member           // any account of an organization
	// delegate is the management account, or one that administers for a service.
	delegate
	management
)

// A resource is what a request wants to act upon.
type resource struct {
	arn     string
	context policy.Context // the condition keys that belong to the resource and the request
}

// authorize decides whether the caller may do action to all of on, to "*" if there
// is none, and whether its account is of the standing that it takes. Every
// operation calls it before it shows or changes anything. The decisions are
// written down before they are acted upon; if the transaction is retried, twice,
// which is better than never.
func (r *request) authorize(action string, who standing, on ...resource) error {
	stands, err := r.stands(who)
	if err != nil {
		return err
	}
	if len(on) == 0 {
		on = []resource{{arn: "*"}}
	}
	for _, x := range on {
		if err := r.decide(action, stands, x); err != nil {
			return err
		}
	}
	switch {
	case who != anybody && r.org.ID == "":
		return notInUse()
	case !stands:
		return deniedByStanding()
	}
	return nil
}

func (r *request) decide(action string, stands bool, on resource) error {
	q := r.question
	q.Action, q.Resource, q.Context, q.Now = action, on.arn, on.context, r.Now()
	d := q.Decide()
	allowed, reason := d.Allowed, d.String()
	if allowed && !stands {
		allowed, reason = false, "denied because account "+string(r.caller.Account)+" may not ask this of its organization"
	}
	err := r.Audit.Record(audit.Event{
		Time: q.Now, Caller: r.caller, Action: action, Resource: on.arn, Owner: q.Owner, Allowed: allowed, Reason: reason,
		Explanation: q.Summary(d),
	})
	switch {
	case err != nil:
		return fmt.Errorf("audit %s: %w", action, err)
	case !d.Allowed:
		return denied(r.caller, action, on.arn, d)
	}
	return nil
}

// stands says whether the caller's account is of that standing.
func (r *request) stands(who standing) (bool, error) {
	if who == anybody || r.org.ID != "" && (who == member || r.org.Management == r.caller.Account) {
		return true, nil
	}
	if r.org.ID == "" || who == management {
		return false, nil
	}
	tasks, err := r.ItemsOf(r.caller.Account, DelegationItem, "", 1)
	return len(tasks) > 0, err
}

// find is the caller's organization's node called id, as a resource; the zero Node
// if there is none.
func (r *request) find(id string) (Node, resource, error) {
	n, err := r.Node(id)
	if errors.Is(err, cloud.ErrNotFound) || err == nil && n.Organization != r.org.ID {
		n, err = Node{}, nil
	}
	return n, resource{arn: r.org.arnOf(id), context: tagged(nil, n.Tags)}, err
}

// target is find for an operation on one node of kind k; missing is the error if
// there is none.
func (r *request) target(action string, who standing, k Kind, id string, missing error) (Node, error) {
	n, on, err := r.find(id)
	if err != nil {
		return n, err
	}
	if err := r.authorize(action, who, on); err != nil {
		return n, err
	}
	if n.Kind != k {
		return n, missing
	}
	return n, nil
}
