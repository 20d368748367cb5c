package identity

import (
	"context"
	"errors"
	"fmt"

	"borealis/internal/audit"
	"borealis/internal/cloud"
)

// Errors of SignIn.
var (
	// ErrSignIn does not say what of it was wrong.
	ErrSignIn = errors.New("the account, the user name or the password is wrong")
	// ErrPasswordExpired says that only an administrator can help.
	ErrPasswordExpired = errors.New("the password has expired")
)

// A SignIn is what somebody says who wants to use the console as a user.
type SignIn struct {
	Account  string // id or alias
	User     string
	Password string
	From     cloud.Caller // what the request tells of its sender; it names nobody
}

// signInRegion is where passwords are used.
const signInRegion cloud.Region = "us-east-1"

// SignedIn is who has signed in.
type SignedIn struct {
	Caller     cloud.Caller
	MustChange bool // the password, before anything else
}

// SignIn checks a user's password. Its error is ErrSignIn if anything is wrong,
// which takes as long to find out as that nothing is, or ErrPasswordExpired. Every
// attempt is on record. How often one may try is for the caller to limit.
func (s *Service) SignIn(ctx context.Context, in SignIn) (SignedIn, error) {
	var c cloud.Caller
	var l login
	var p *passwordPolicy
	err := s.Store.View(ctx, func(tx Tx) error {
		a, err := accountNamed(tx, in.Account)
		if err != nil {
			return err
		}
		e, err := tx.Entity(a.ID, User, in.User)
		if err != nil {
			return err
		}
		if c, err = callerOf(tx, e.ID); err != nil {
			return err
		}
		l, _, p, err = readLogin(tx, e)
		return err
	})
	if err != nil && !errors.Is(err, cloud.ErrNotFound) {
		return SignedIn{}, fmt.Errorf("sign in: %w", err)
	}
	now := s.Now()
	switch expired := l.expired(p, now); {
	case !matches(l.Hash, in.Password):
		err = ErrSignIn
	case expired && p.HardExpiry != nil && *p.HardExpiry:
		err = ErrPasswordExpired
	default:
		err, l.Reset = nil, l.Reset || expired
	}
	if rerr := s.recordSignIn(c, in, err); rerr != nil {
		return SignedIn{}, rerr
	}
	if err != nil {
		return SignedIn{}, err
	}
	s.usages.note(Usage{c.UserID, signInService, signInAction, now, signInRegion})
	return SignedIn{Caller: c, MustChange: l.Reset}, nil
}

// accountNamed is the account with an id or alias.
func accountNamed(tx Tx, name string) (Account, error) {
	if id, err := cloud.ParseAccountID(name); err == nil {
		return tx.Account(id)
	}
	return tx.AccountByAlias(name)
}

// recordSignIn puts an attempt on record: that of the user c, or of nobody known.
func (s *Service) recordSignIn(c cloud.Caller, in SignIn, failed error) error {
	who := in.From
	who.Kind, who.Account, who.ARN, who.Principal, who.UserID, who.UserName = c.Kind, c.Account, c.ARN, c.Principal, c.UserID, c.UserName
	e := audit.Event{Time: s.Now(), Caller: who, Action: "signin:ConsoleLogin", Resource: c.ARN, Owner: c.Account, Allowed: failed == nil, Reason: "signed in with a password"}
	if failed != nil {
		e.Reason = "denied: " + failed.Error()
	}
	if err := s.Audit.Record(e); err != nil {
		return fmt.Errorf("audit sign-in: %w", err)
	}
	return nil
}
