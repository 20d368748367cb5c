package identity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"borealis/internal/cloud"
)

// A NewMember is an account that an organization asks for. It has no root key:
// the way in is its role.
type NewMember struct {
	ID      cloud.AccountID
	Name    string
	Email   string
	Role    string          // the role's name; it may do anything in the account
	Trusts  cloud.AccountID // whose principals may assume the role
	Request string          // what asked for it; unique
}

// administrator is the policy of a member's role.
const administrator = "arn:aws:iam::aws:policy/AdministratorAccess"

// memberTrust lets in whom an account's own policies allow it.
const memberTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"%s"},"Action":"sts:AssumeRole"}]}`

// CreateMember makes an account with its role and runs join in the same transaction:
// all of that is kept or nothing. An account that the same Request has made stays as
// it is; if there is another with that ID it is cloud.ErrExists, and join does not
// run. No API reaches it but through an organization.
func (s *Service) CreateMember(ctx context.Context, in NewMember, join func(Tx) error) error {
	now := s.Now().UTC()
	return s.update(ctx, func(tx Tx) error {
		if err := in.create(tx, now); err != nil {
			return fmt.Errorf("create account %s for an organization: %w", in.ID, err)
		}
		return join(tx)
	})
}

func (in NewMember) create(tx Tx, now time.Time) error {
	err := tx.AddAccount(Account{ID: in.ID, Name: in.Name, Email: in.Email, Request: in.Request, Created: now})
	if errors.Is(err, cloud.ErrExists) {
		if a, rerr := tx.Account(in.ID); rerr == nil && a.Request == in.Request {
			return nil
		}
	}
	if err != nil {
		return err
	}
	e := Entity{
		Account: in.ID, Kind: Role, ID: newID(rolePrefix), Name: in.Role, Path: "/", Created: now,
		MaxSession: defaultMaxSession, Trust: fmt.Sprintf(memberTrust, in.Trusts.Root()),
	}
	return errors.Join(tx.AddEntity(e), tx.AddLink(in.ID, Link{Source: e.ID, Use: Attached, Target: administrator}))
}

// CloseMember closes account id, so that from its return on nobody can act for it.
// It runs how in the same transaction, first: all of that is kept or nothing. It is
// cloud.ErrNotFound if there is no such account. No API reaches it but through an
// organization.
func (s *Service) CloseMember(ctx context.Context, id cloud.AccountID, at time.Time, how func(Tx) error) error {
	return s.update(ctx, func(tx Tx) error {
		if err := how(tx); err != nil {
			return err
		}
		a, err := tx.Account(id)
		if err != nil {
			return err
		}
		a.Closed = at
		return tx.PutAccount(a)
	})
}

// AccountByID is the account with that id, or cloud.ErrNotFound.
func (s *Service) AccountByID(ctx context.Context, id cloud.AccountID) (a Account, err error) {
	err = s.Store.View(ctx, func(tx Tx) error {
		a, err = tx.Account(id)
		return err
	})
	return a, err
}
