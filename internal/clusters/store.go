package clusters

import (
	"context"

	"borealis/internal/cloud"
)

// Store keeps the rows of this package. Its methods may be called concurrently;
// what Update has committed survives a crash of the machine.
type Store interface {
	// Update runs fn in a transaction: all of its writes are kept, or, if it
	// returns an error, none. Updates behave as if they ran one after another.
	Update(ctx context.Context, fn func(Tx) error) error
	// View runs fn in a transaction that only reads.
	View(ctx context.Context, fn func(Tx) error) error
}

// Tx is the part of the database that clusters need, inside a transaction.
type Tx interface {
	Clusters() Table[Cluster]
	Instances() Table[Instance]
	Snapshots() Table[Snapshot]
	// SharedWith lists the snapshots in a Region that are shared with who: an
	// account id, or "all" for those that are public. Sorted by account and name.
	SharedWith(who string, r cloud.Region) ([]Snapshot, error)

	// Operations lists all operations, oldest first.
	Operations() ([]Operation, error)
	// Operation returns one, or cloud.ErrNotFound.
	Operation(id string) (Operation, error)
	// PutOperation writes an operation. A new one goes behind all others.
	PutOperation(Operation) error
	// DeleteOperation removes one. One that is not there is not an error.
	DeleteOperation(id string) error

	// DataKey returns the data key of id, or cloud.ErrNotFound.
	DataKey(id DataKeyID) (DataKey, error)
	// DataKeys lists them all.
	DataKeys() ([]DataKey, error)
	// AddDataKey keeps k, unless there is one of its id: that one stays.
	AddDataKey(k DataKey) error
	// DeleteDataKey removes one. One that is not there is not an error.
	DeleteDataKey(id DataKeyID) error
}

// A Table holds the rows of one kind. A row has an id that is never used again,
// and a name that is unique in its account and Region as long as it exists.
type Table[R Row] interface {
	// Get returns the row with an id, or cloud.ErrNotFound.
	Get(id string) (R, error)
	// Named returns the row with a name, or cloud.ErrNotFound.
	Named(a cloud.AccountID, r cloud.Region, name string) (R, error)
	// In lists the rows of an account in a Region by name.
	In(a cloud.AccountID, r cloud.Region) ([]R, error)
	// All lists the rows of all accounts.
	All() ([]R, error)
	// Put writes a row, new or changed. It returns cloud.ErrExists if another
	// row has its name.
	Put(R) error
	// Delete removes the row with an id. One that is not there is not an error.
	Delete(id string) error
}

// A Row is something that a Table holds.
type Row interface{ Identity() Ident }

// Ident says which row this is.
type Ident struct {
	ID      string          `json:"-"`
	Account cloud.AccountID `json:"-"`
	Region  cloud.Region    `json:"-"`
	Name    string          `json:"-"` // in lower case
}

// Identity makes a Row of what embeds an Ident.
func (i Ident) Identity() Ident { return i }

// SetIdentity is how a store gives a row its Ident back.
func (i *Ident) SetIdentity(to Ident) { *i = to }
