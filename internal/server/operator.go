package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"borealis/internal/cloud"
	"borealis/internal/identity"
	"borealis/internal/inquiry"
	"borealis/internal/volume"
)

// An Operator does to a data directory what only its operator may, beside the
// API. Close ends it.
type Operator interface {
	// CreateAccount makes an account and an access key of its root user.
	CreateAccount(context.Context, NewAccount) (Account, error)
	// CreateRootKey makes another access key for the root user of an account, for
	// those who have lost theirs. If it has two already, the older one is deleted.
	CreateRootKey(ctx context.Context, account string) (Account, error)
	// SetRootPassword gives the root user of an account a password for the console.
	SetRootPassword(ctx context.Context, account, password string) error
	// Accounts lists the accounts.
	Accounts(context.Context) ([]Account, error)
	// Seal says how the secrets are sealed.
	Seal(context.Context) (Seal, error)
	// ReplaceRootKey makes another root key, seals everything under it and destroys
	// the old one.
	ReplaceRootKey(context.Context, NewRootKey) (Seal, error)
	// Explain says why a principal may or may not do something. It changes nothing.
	Explain(context.Context, inquiry.Ask) (inquiry.Answer, error)
	// VolumeStats says how much there is of snapshots.
	VolumeStats(context.Context) (VolumeStats, error)
	// CheckVolumes looks whether all that snapshots need is there and, with readData,
	// whether it is what was written. progress may be nil.
	CheckVolumes(ctx context.Context, readData bool, progress volume.Progress) (VolumeCheck, error)
	// Endpoint is the URL of the running server, "" if none runs.
	Endpoint() string
	io.Closer
}

// NewAccount is an account to make.
type NewAccount struct {
	ID   string `json:"id,omitempty"` // 12 digits; random ones if empty
	Name string `json:"name"`
	// AccessKeyID and SecretAccessKey are the root user's; new ones if empty.
	AccessKeyID     string `json:"access_key_id,omitempty"`
	SecretAccessKey string `json:"secret_access_key,omitempty"`
}

// Account is an account, with its root user's new access key if it was just made.
type Account struct {
	ID              string `json:"account_id"`
	Name            string `json:"name,omitempty"`
	AccessKeyID     string `json:"access_key_id,omitempty"`
	SecretAccessKey string `json:"secret_access_key,omitempty"`
}

// patience is how long Operate waits for a server that is starting, or for
// another operator's command to end.
const patience = 5 * time.Second

// Operate is the operator of cfg.Data: through the server that runs on it, or,
// if none does, on the directory itself.
func Operate(ctx context.Context, cfg Config) (Operator, error) {
	enough := time.After(patience)
	for {
		s, err := Open(ctx, cfg)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, ErrLocked) {
			return nil, err
		}
		r, dialErr := dialOperator(ctx, cfg.Data)
		if dialErr == nil {
			return r, nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-enough:
			return nil, fmt.Errorf("%w, which does not answer its operator: %w", err, dialErr)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// CreateAccount makes an account.
func (s *Server) CreateAccount(ctx context.Context, n NewAccount) (Account, error) {
	a, key, err := s.identity.CreateAccount(ctx, identity.NewAccount{
		ID: cloud.AccountID(n.ID), Name: n.Name, Root: identity.RootKey{AccessKeyID: n.AccessKeyID, SecretAccessKey: n.SecretAccessKey},
	})
	if err != nil {
		return Account{}, err
	}
	return Account{ID: string(a.ID), Name: a.Name, AccessKeyID: key.AccessKeyID, SecretAccessKey: key.SecretAccessKey}, nil
}

// CreateRootKey makes another access key for the root user of an account.
func (s *Server) CreateRootKey(ctx context.Context, account string) (Account, error) {
	key, err := s.identity.CreateRootKey(ctx, cloud.AccountID(account))
	if err != nil {
		return Account{}, err
	}
	return Account{ID: account, AccessKeyID: key.AccessKeyID, SecretAccessKey: key.SecretAccessKey}, nil
}

// SetRootPassword gives the root user of an account a password for the console.
func (s *Server) SetRootPassword(ctx context.Context, account, password string) error {
	return s.identity.SetRootPassword(ctx, cloud.AccountID(account), password)
}

// Accounts lists the accounts.
func (s *Server) Accounts(ctx context.Context) ([]Account, error) {
	all, err := s.identity.Accounts(ctx)
	list := []Account{}
	for _, a := range all {
		list = append(list, Account{ID: string(a.ID), Name: a.Name})
	}
	return list, err
}

// Endpoint is "": this Server does not listen.
func (s *Server) Endpoint() string { return "" }

// bootstrap makes the accounts of the bootstrap file that do not exist.
func (s *Server) bootstrap(ctx context.Context) error {
	if s.cfg.Bootstrap == "" {
		return nil
	}
	text, err := os.ReadFile(s.cfg.Bootstrap)
	if err != nil {
		return fmt.Errorf("read the bootstrap file: %w", err)
	}
	var file struct {
		Accounts []NewAccount `json:"accounts"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&file); err != nil {
		return fmt.Errorf("bootstrap file %s: %w", s.cfg.Bootstrap, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("bootstrap file %s: there is more after the JSON object", s.cfg.Bootstrap)
	}
	for i, n := range file.Accounts {
		if n.ID == "" || n.AccessKeyID == "" || n.SecretAccessKey == "" {
			return fmt.Errorf("bootstrap file %s: account %d needs id, access_key_id and secret_access_key", s.cfg.Bootstrap, i+1)
		}
	}
	for _, n := range file.Accounts {
		if _, err := s.CreateAccount(ctx, n); err != nil && !errors.Is(err, cloud.ErrExists) {
			return fmt.Errorf("bootstrap file %s: account %s: %w", s.cfg.Bootstrap, n.ID, err)
		}
	}
	return nil
}
