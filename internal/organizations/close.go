package organizations

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/organizations/types"

	"borealis/internal/cloud"
)

const (
	// graceTime is how long a closed account stays in the tree.
	graceTime = 90 * 24 * time.Hour
	// closingTime is the time in which so many accounts can be closed: a fifth of
	// the members, but at least closingLeast and at most closingMost.
	closingTime  = 30 * 24 * time.Hour
	closingLeast = 250
	closingMost  = 1000
)

// CloseAccount closes an account: from its answer on nobody can act for it. It stays
// in the tree for graceTime.
func (v *View) CloseAccount(ctx context.Context, in *organizations.CloseAccountInput) (*organizations.CloseAccountOutput, error) {
	at := v.Now().UTC()
	kept := func(fn func(Tx) error) error {
		return v.Accounts.CloseMember(ctx, cloud.AccountID(*in.AccountId), at, fn)
	}
	return &organizations.CloseAccountOutput{}, v.attempt(ctx, kept, func(r *request) error {
		n, err := r.target("organizations:CloseAccount", management, Account, *in.AccountId, noAccount())
		if err != nil {
			return err
		}
		if err := r.closable(n, at); err != nil {
			return err
		}
		n.Closed = at
		return r.PutNode(n)
	})
}

// closable refuses what keeps an account from being closed.
func (r *request) closable(n Node, at time.Time) error {
	switch {
	case cloud.AccountID(n.ID) == r.org.Management:
		return constraint(types.ConstraintViolationExceptionReasonCannotCloseManagementAccount, "You can't close the management account of an organization.")
	case !r.org.AllFeatures:
		return constraint(types.ConstraintViolationExceptionReasonOrganizationNotInAllFeaturesMode, "You can close accounts only when all features are enabled in your organization.")
	case !n.Closed.IsZero():
		return &types.AccountAlreadyClosedException{Message: new("You attempted to close an account that is already closed.")}
	}
	members, lately := -1, 0 // the management account is none
	err := r.each(Account, func(n Node) error {
		members++
		if at.Sub(n.Closed) < closingTime {
			lately++
		}
		return nil
	})
	if err == nil && lately >= min(max(members/5, closingLeast), closingMost) {
		err = constraint(types.ConstraintViolationExceptionReasonCloseAccountQuotaExceeded, "You have exceeded close account quota for the past 30 days.")
	}
	return err
}

// depart takes the accounts out of their trees that were closed longer than
// graceTime ago. They stay closed.
func (s *Service) depart(ctx context.Context) error {
	gone := func(n Node) bool { return !n.Closed.IsZero() && s.Now().Sub(n.Closed) >= graceTime }
	var all []Node
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		all, err = tx.AllNodes()
		return err
	})
	for _, n := range all {
		if !gone(n) {
			continue
		}
		err = errors.Join(err, s.update(ctx, func(tx Tx) error {
			n, err := tx.Node(n.ID)
			if err != nil || !gone(n) {
				return err
			}
			return errors.Join(withdraw(tx, cloud.AccountID(n.ID)), remove(tx, n))
		}))
	}
	return err
}

// withdraw deletes the tasks of an account to administer for services.
func withdraw(tx Tx, id cloud.AccountID) error {
	tasks, err := tx.ItemsOf(id, DelegationItem, "", maxAccounts)
	for _, i := range tasks {
		err = errors.Join(err, tx.DeleteItem(i.Organization, DelegationItem, i.ID))
	}
	return err
}
