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
	ErrSignIn = errors.New("the account, the user name, the password or the code is wrong")
	// ErrCodeNeeded says that the password is right, and that the user has MFA
	// devices, one of whose codes is wanted too.
	ErrCodeNeeded = errors.New("a code of an MFA device is needed")
	// ErrPasswordExpired says that only an administrator can help.
	ErrPasswordExpired = errors.New("the password has expired")
)

// A SignIn is what somebody says who wants to use the console as a user.
type SignIn struct {
	Account  string // id or alias
	User     string // "" for the account's root user
	Password string
	Code     string       // of any of the user's MFA devices; "" without
	From     cloud.Caller // what the request tells of its sender; it names nobody
}

// signInRegion is where passwords are used.
const signInRegion cloud.Region = "us-east-1"

// SignedIn is who has signed in.
type SignedIn struct {
	Caller     cloud.Caller
	MustChange bool // the password, before anything else
}

// SignIn checks a user's password, or a root user's, and, if the user has MFA devices, a code of one;
// Caller.MFA says that it did. Its error is ErrSignIn if the account, the user or
// the password is wrong, which takes as long to find out as that nothing is, or if
// the code is; or ErrCodeNeeded; or ErrPasswordExpired. Every
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
		e := rootEntity(a.ID)
		if in.User != "" {
			if e, err = tx.Entity(a.ID, User, in.User); err != nil {
				return err
			}
		}
		if c, err = actor(tx, e.ID); err != nil {
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
		l.Reset = l.Reset || expired
		c.MFA, err = s.secondFactor(ctx, c, in.Code)
	}
	if err != nil && !errors.Is(err, ErrSignIn) && !errors.Is(err, ErrCodeNeeded) && !errors.Is(err, ErrPasswordExpired) {
		return SignedIn{}, fmt.Errorf("sign in: %w", err)
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

// secondFactor says whether the user c, whose password is right, has shown a code
// of an MFA device. The error says that it must, or that the code is wrong.
func (s *Service) secondFactor(ctx context.Context, c cloud.Caller, code string) (bool, error) {
	has := false
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		has, err = hasDevice(tx, c.UserID)
		return err
	})
	if err != nil || !has {
		return false, err
	}
	if code == "" {
		return false, ErrCodeNeeded
	}
	good, err := s.SecondFactor(ctx, c.UserID, "", code)
	if err == nil && !good {
		err = ErrSignIn
	}
	return good, err
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
	who.MFA = c.MFA
	e := audit.Event{Time: s.Now(), Caller: who, Action: "signin:ConsoleLogin", Resource: c.ARN, Owner: c.Account, Allowed: failed == nil, Reason: "signed in with a password"}
	if failed != nil {
		e.Reason = "denied: " + failed.Error()
	}
	if err := s.Audit.Record(e); err != nil {
		return fmt.Errorf("audit sign-in: %w", err)
	}
	return nil
}
