package organizations

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/organizations/types"

	"borealis/internal/cloud"
)

const (
	// maxAccounts is how many accounts an organization has at most.
	maxAccounts = 10000
	// defaultRole is what the role in a new account is called unless told otherwise.
	defaultRole = "OrganizationAccountAccessRole"
	// patience is how long the worker waits after a failure.
	patience = 10 * time.Second
	// batch is how many requests the worker reads at once.
	batch = 100
)

// A signal wakes the worker. The zero signal is ready for use.
type signal struct {
	once sync.Once
	c    chan struct{}
}

func (s *signal) wait() chan struct{} {
	s.once.Do(func() { s.c = make(chan struct{}, 1) })
	return s.c
}

func (s *signal) give() {
	select {
	case s.wait() <- struct{}{}:
	default: // it is awake
	}
}

// body is the content of an item.
func body[T any](i Item) (v T, err error) {
	if err := json.Unmarshal(i.Body, &v); err != nil {
		return v, fmt.Errorf("read %s %s: %w", i.Kind, i.ID, err)
	}
	return v, nil
}

// item is i with content v.
func item[T any](i Item, v T) (Item, error) {
	var err error
	i.Body, err = json.Marshal(v)
	return i, err
}

func addItem[T any](tx Tx, i Item, v T) error {
	i, err := item(i, v)
	if err != nil {
		return err
	}
	return tx.AddItem(i)
}

func putItem[T any](tx Tx, i Item, v T) error {
	i, err := item(i, v)
	if err != nil {
		return err
	}
	return tx.PutItem(i)
}

// status is c in the words of the wire.
func (c creation) status(id string) *types.CreateAccountStatus {
	out := &types.CreateAccountStatus{Id: &id, AccountName: &c.Name, State: c.State, RequestedTimestamp: &c.Requested, FailureReason: c.Failure}
	if c.State != types.CreateAccountStateInProgress {
		out.CompletedTimestamp = &c.Completed
	}
	if c.State == types.CreateAccountStateSucceeded {
		out.AccountId = new(string(c.Account))
	}
	return out
}

// CreateAccount has an account made, in the organization and with a role that the
// management account's principals may assume. It answers before that is done.
func (v *View) CreateAccount(ctx context.Context, in *organizations.CreateAccountInput) (*organizations.CreateAccountOutput, error) {
	out := &organizations.CreateAccountOutput{}
	err := v.change(ctx, func(r *request) error {
		tags, bad := newTags(in.Tags)
		if err := r.authorizeNew("organizations:CreateAccount", management, tags, resource{arn: "*", context: asked(nil, tags)}); err != nil || bad != nil {
			return cmp.Or(err, bad)
		}
		count, err := r.CountNodes(r.org.ID, Account)
		if err != nil {
			return err
		}
		coming, err := r.underWay(r.org.ID)
		if err != nil {
			return err
		}
		if count+len(coming) >= maxAccounts {
			return constraint(types.ConstraintViolationExceptionReasonAccountNumberLimitExceeded, "You have exceeded the allowed number of AWS accounts.")
		}
		c := creation{Name: *in.AccountName, Email: *in.Email, Role: defaultRole, Tags: tags, State: types.CreateAccountStateInProgress, Requested: r.Now().UTC()}
		if in.RoleName != nil {
			c.Role = *in.RoleName
		}
		i := Item{Organization: r.org.ID, Kind: RequestItem, ID: "car-" + random(32)}
		out.CreateAccountStatus = c.status(i.ID)
		if err := addItem(r, i.pending(), c.Requested); err != nil {
			return err
		}
		return addItem(r, i, c)
	})
	if err == nil {
		v.waiting.give()
	}
	return out, err
}

// underWay are the requests of an organization that are not finished.
func (r *request) underWay(organization string) ([]Item, error) {
	return r.Items(organization, PendingItem, "", maxAccounts)
}

// pending stands beside request i while it is not finished.
func (i Item) pending() Item {
	i.Kind, i.Body = PendingItem, nil
	return i
}

// DescribeCreateAccountStatus says how far the making of an account is.
func (v *View) DescribeCreateAccountStatus(ctx context.Context, in *organizations.DescribeCreateAccountStatusInput) (*organizations.DescribeCreateAccountStatusOutput, error) {
	out := &organizations.DescribeCreateAccountStatusOutput{}
	return out, v.read(ctx, func(r *request) error {
		if err := r.authorize("organizations:DescribeCreateAccountStatus", delegate); err != nil {
			return err
		}
		i, err := r.Item(r.org.ID, RequestItem, *in.CreateAccountRequestId)
		if err != nil {
			return or(err, cloud.ErrNotFound, &types.CreateAccountStatusNotFoundException{Message: new("You specified a create account request that doesn't exist.")})
		}
		c, err := body[creation](i)
		out.CreateAccountStatus = c.status(i.ID)
		return err
	})
}

// ListCreateAccountStatus lists the requests to make accounts that are in one of
// some states, or all.
func (v *View) ListCreateAccountStatus(ctx context.Context, in *organizations.ListCreateAccountStatusInput) (*organizations.ListCreateAccountStatusOutput, error) {
	out := &organizations.ListCreateAccountStatusOutput{CreateAccountStatuses: []types.CreateAccountStatus{}}
	return out, v.read(ctx, func(r *request) error {
		p, bad := newPage("requests", in.NextToken, in.MaxResults)
		if err := r.authorize("organizations:ListCreateAccountStatus", delegate); err != nil || bad != nil {
			return cmp.Or(err, bad)
		}
		all, err := r.Items(r.org.ID, RequestItem, p.after, p.limit+1)
		if err != nil {
			return err
		}
		all, out.NextToken = cut(p, all, itemID)
		for _, i := range all { // a page may be short, or empty
			c, err := body[creation](i)
			if err != nil {
				return err
			}
			if len(in.States) == 0 || slices.Contains(in.States, c.State) {
				out.CreateAccountStatuses = append(out.CreateAccountStatuses, *c.status(i.ID))
			}
		}
		return nil
	})
}

func itemID(i Item) string { return i.ID }

// Run makes the accounts that were asked for, those of before the last crash
// first, and takes those out of the tree that were closed long ago, until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		again := time.Hour
		if err := errors.Join(s.finish(ctx), s.depart(ctx)); err != nil && ctx.Err() == nil {
			s.Log.ErrorContext(ctx, "accounts are not all made, or taken away; it is tried again", "err", err)
			again = patience
		}
		select {
		case <-ctx.Done():
		case <-s.waiting.wait():
		case <-time.After(again):
		}
	}
	return nil
}

// finish makes all accounts that are not made yet, one after the other in the
// order of their requests. One that fails does not keep the others from being
// made, but for those with its address: of two the first has it.
func (s *Service) finish(ctx context.Context) error {
	all, err := s.unfinished(ctx)
	waiting := map[string]bool{} // addresses
	for _, p := range all {
		merr := ctx.Err()
		if merr == nil {
			merr = s.make(ctx, p.item, waiting)
		}
		if merr != nil {
			err = errors.Join(err, fmt.Errorf("request %s: %w", p.item.ID, merr))
		}
	}
	return err
}

// A pending is a request that is not finished.
type pending struct {
	item  Item
	since time.Time
}

// unfinished are the pending requests of all organizations, the oldest first. With
// an error it is those that could be read.
func (s *Service) unfinished(ctx context.Context) (all []pending, unread error) {
	for after, more := "", true; more; {
		var some []Item
		err := s.Store.View(ctx, func(tx Tx) (err error) {
			some, err = tx.Items("", PendingItem, after, batch)
			return err
		})
		if err != nil {
			return all, errors.Join(unread, err)
		}
		for _, i := range some {
			after = i.ID
			at, err := body[time.Time](i)
			unread = errors.Join(unread, err)
			all = append(all, pending{i, at})
		}
		more = len(some) == batch
	}
	slices.SortFunc(all, func(a, b pending) int { return a.since.Compare(b.since) })
	return all, unread
}

// make makes the account that is asked for beside i, unless another request for
// its address is waiting; if it fails, this one is.
func (s *Service) make(ctx context.Context, i Item, waiting map[string]bool) error {
	var c creation
	var o Organization
	taken := false
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		if i, err = tx.Item(i.Organization, RequestItem, i.ID); err != nil {
			return err
		}
		if c, err = body[creation](i); err != nil {
			return err
		}
		if taken, err = tx.HasEmail(c.Email); err != nil {
			return err
		}
		o, err = tx.Organization(i.Organization)
		return err
	})
	address := strings.ToLower(c.Email)
	switch {
	case err != nil:
		return err
	case waiting[address]:
		return nil
	case taken:
		c.Failure = types.CreateAccountFailureReasonEmailAlreadyExists
		err = s.update(ctx, func(tx Tx) error { return s.conclude(tx, i, c) })
	default:
		err = s.account(ctx, o, i, c)
	}
	if err != nil {
		waiting[address] = true
	}
	return err
}

// errElsewhere says that an account is in an organization already.
var errElsewhere = errors.New("the account is in an organization already")

// account makes c's account under a number that is not taken. It is a member of o
// from its first moment on: what makes it ends the request, too.
func (s *Service) account(ctx context.Context, o Organization, i Item, c creation) error {
	for {
		if c.Account == "" { // else an older version has allotted one
			c.Account = accountID()
		}
		n := NewMember{Member: Member{Name: c.Name, Email: c.Email}, ID: c.Account, Role: c.Role, Trusts: o.Management, Request: i.ID}
		err := s.within(
			func(fn func(Tx) error) error { return s.Accounts.MakeMember(ctx, n, fn) },
			func(tx Tx) error { return s.conclude(tx, i, c) })
		switch {
		case errors.Is(err, errElsewhere):
			// An older version made the account without joining it, and it has joined
			// another organization since.
			c.Failure = types.CreateAccountFailureReasonInternalFailure
			return s.update(ctx, func(tx Tx) error { return s.conclude(tx, i, c) })
		case !errors.Is(err, cloud.ErrExists):
			return err
		}
		c.Account = ""
	}
}

// conclude ends a request: with an account below the root, or with a failure.
func (s *Service) conclude(tx Tx, i Item, c creation) error {
	c.State, c.Completed = types.CreateAccountStateSucceeded, s.Now().UTC()
	if c.Failure != "" {
		c.State = types.CreateAccountStateFailed
	}
	err := errors.Join(putItem(tx, i, c), tx.DeleteItem(i.Organization, PendingItem, i.ID))
	if err != nil || c.Failure != "" {
		return err
	}
	root, err := rootOf(tx, i.Organization)
	if err != nil {
		return err
	}
	n := Node{ID: string(c.Account), Organization: i.Organization, Name: c.Name, Email: c.Email, Tags: c.Tags, Joined: c.Completed}
	return or(join(tx, root, n), cloud.ErrExists, errElsewhere)
}
