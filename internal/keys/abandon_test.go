package keys_test

import (
	"context"
	"errors"
	"testing"

	"borealis/internal/keys"
)

// A lateStore says that a change failed that it has made, or not made.
type lateStore struct {
	keys.Store
	makes bool
}

func (s lateStore) Update(ctx context.Context, fn func(keys.Tx) error) error {
	lost := errors.New("the answer was lost")
	if !s.makes {
		return lost
	}
	return errors.Join(s.Store.Update(ctx, fn), lost)
}

// A module's key is deleted if its KMS key was not stored, and only then.
func TestKeyOfUncertainCommit(t *testing.T) {
	for name, makes := range map[string]bool{"stored": true, "not stored": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ann := w.person(home, "user/ann", allow("kms:*"))
			store := ann.create(hsmStore("hsm", "cluster-3a2b3c4d5e6"))
			ann.connect(store)
			w.Store = lateStore{w.db.Keys(), makes}
			if _, err := ann.keyIn(store, ""); err == nil {
				t.Fatal("the key was made")
			}
			if got := len(w.hsm.names) == 1; got != makes {
				t.Errorf("the module has its key: %v", got)
			}
		})
	}
}
