package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"borealis/internal/cloud"
)

// A Usage is the last use of an access key, or the last time that a principal
// asked a service for something. It is stored, so its fields change only with a
// migration.
type Usage struct {
	Subject string    // an access key's id, an entity's, or an account's for its root user
	Service string    // as on the wire: "kms"
	Action  string    // the operation's name; "" for access keys
	Time    time.Time // in milliseconds
	Region  cloud.Region
}

// Sign-ins with a password are uses of this service and action.
const (
	signInService = "signin"
	signInAction  = "ConsoleLogin"
)

type usageKey struct{ subject, service, action string }

func (u Usage) key() usageKey { return usageKey{u.Subject, u.Service, u.Action} }

// usages are the last uses that are not in the database yet.
type usages struct {
	mu   sync.Mutex
	last map[usageKey]Usage
}

func (u *usages) note(n Usage) {
	n.Time = n.Time.UTC().Truncate(time.Millisecond)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.last == nil {
		u.last = map[usageKey]Usage{}
	}
	if before, ok := u.last[n.key()]; !ok || !n.Time.Before(before.Time) {
		u.last[n.key()] = n
	}
}

// of are the uses of a subject.
func (u *usages) of(subject string) (all []Usage) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, n := range u.last {
		if n.Subject == subject {
			all = append(all, n)
		}
	}
	return all
}

// Used notes that c has asked a service for an operation, allowed or not. It waits
// for nothing but other callers' notes: WriteUsage brings them to the database.
func (s *Service) Used(c cloud.Caller, service, operation string, at time.Time) {
	if c.Kind == "" || c.Kind.Outside() {
		return
	}
	if strings.HasPrefix(c.AccessKeyID, keyPrefix) {
		s.usages.note(Usage{c.AccessKeyID, service, "", at, c.Region})
	}
	id, _, _ := strings.Cut(c.UserID, ":") // what follows is the session's name
	if c.Kind == cloud.FederatedUser {
		id = c.Maker
	}
	s.usages.note(Usage{id, service, operation, at, c.Region})
}

// WriteUsage writes down when keys and principals were last used, and returns how
// many uses it wrote. Until then a crash makes the service forget them, and
// nothing else. It is safe to repeat and to call while they are used.
func (s *Service) WriteUsage(ctx context.Context) (int, error) {
	s.usages.mu.Lock()
	batch := make([]Usage, 0, len(s.usages.last))
	for _, u := range s.usages.last {
		batch = append(batch, u)
	}
	s.usages.mu.Unlock()
	if len(batch) == 0 {
		return 0, nil
	}
	// Nothing that is remembered depends on it: the caches stay.
	err := s.Store.Update(ctx, func(tx Tx) error {
		for _, u := range batch {
			err := exists(tx, u.Subject)
			if err == nil {
				err = tx.PutUsage(u)
			}
			if err != nil && !errors.Is(err, cloud.ErrNotFound) { // deleted meanwhile
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("write last usage of access keys and principals: %w", err)
	}
	s.usages.mu.Lock()
	defer s.usages.mu.Unlock()
	for _, u := range batch {
		if s.usages.last[u.key()] == u { // else it was used again
			delete(s.usages.last, u.key())
		}
	}
	return len(batch), nil
}

// exists is cloud.ErrNotFound if there is no such subject of uses.
func exists(tx Tx, subject string) error {
	if strings.HasPrefix(subject, keyPrefix) {
		_, err := tx.Key(subject)
		return err
	}
	_, err := callerOf(tx, subject)
	return err
}

// usagesOf are the last uses of a subject, latest first.
func (s *Service) usagesOf(tx Tx, subject string) ([]Usage, error) {
	// Memory is asked first: what it forgets is in the database before.
	noted := s.usages.of(subject)
	all, err := tx.Usages(subject)
	if err != nil {
		return nil, err
	}
	all = append(noted, all...)
	slices.SortStableFunc(all, func(a, b Usage) int { return b.Time.Compare(a.Time) })
	return all, nil
}

// keyLastUsed is the last use of an access key in IAM's words.
func (s *Service) keyLastUsed(tx Tx, id string) (*types.AccessKeyLastUsed, error) {
	all, err := s.usagesOf(tx, id)
	if err != nil || len(all) == 0 {
		return &types.AccessKeyLastUsed{Region: new("N/A"), ServiceName: new("N/A")}, err
	}
	return &types.AccessKeyLastUsed{LastUsedDate: &all[0].Time, Region: new(string(all[0].Region)), ServiceName: &all[0].Service}, nil
}

// roleLastUsed is when sessions of a role last asked for anything.
func (s *Service) roleLastUsed(tx Tx, id string) (*types.RoleLastUsed, error) {
	all, err := s.usagesOf(tx, id)
	if err != nil || len(all) == 0 {
		return &types.RoleLastUsed{}, err
	}
	return &types.RoleLastUsed{LastUsedDate: &all[0].Time, Region: new(string(all[0].Region))}, nil
}

// passwordLastUsed is when a user last signed in; nil if it has not.
func (s *Service) passwordLastUsed(tx Tx, id string) (*time.Time, error) {
	all, err := s.usagesOf(tx, id)
	i := slices.IndexFunc(all, func(u Usage) bool { return u.Service == signInService })
	if err != nil || i < 0 {
		return nil, err
	}
	return &all[i].Time, nil
}
