package identity

import (
	"context"

	"borealis/internal/cloud"
)

// Store keeps identities. Its methods may be called concurrently; what Update
// has committed survives a crash of the process and of the machine, and is seen
// by every View that begins afterwards.
type Store interface {
	// Update runs fn in a transaction: all of its writes are kept, or, if it
	// returns an error, none. Transactions are serializable. fn may run more than
	// once.
	Update(ctx context.Context, fn func(Tx) error) error
	// View runs fn in a transaction that only reads, on one consistent state.
	View(ctx context.Context, fn func(Tx) error) error
}

// Tx is the part of the database that identities need, inside a transaction.
// What is looked for and not there is cloud.ErrNotFound; what is added and
// there already is cloud.ErrExists. Names and aliases are compared without case.
type Tx interface {
	AccountTx
	EntityTx
	KeyTx
	PolicyTx
	LinkTx
	ItemTx
	UsageTx
}

// AccountTx keeps accounts.
type AccountTx interface {
	Account(id cloud.AccountID) (Account, error)
	// AllAccounts are ordered by id.
	AllAccounts() ([]Account, error)
	// AccountByAlias finds the account that has an alias.
	AccountByAlias(alias string) (Account, error)
	AddAccount(Account) error
	// PutAccount replaces the account with the same ID. It is cloud.ErrExists if
	// another account has the same Alias.
	PutAccount(Account) error
}

// EntityTx keeps users, roles and groups.
type EntityTx interface {
	Entity(a cloud.AccountID, k Kind, name string) (Entity, error)
	EntityByID(id string) (Entity, error)
	// Entities lists the entities of a kind whose path begins with prefix and
	// whose name comes after the name after, ordered by name in lower case, at
	// most limit of them.
	Entities(a cloud.AccountID, k Kind, prefix, after string, limit int) ([]Entity, error)
	CountEntities(a cloud.AccountID, k Kind) (int, error)
	AddEntity(Entity) error
	// PutEntity replaces the entity with the same ID.
	PutEntity(Entity) error
	// DeleteEntity removes the entity, the links from and to it, and its usages.
	DeleteEntity(id string) error
}

// KeyTx keeps access keys.
type KeyTx interface {
	Key(id string) (AccessKey, error)
	// Keys lists the keys of owner, ordered by id.
	Keys(owner string) ([]AccessKey, error)
	AddKey(AccessKey) error
	// PutKey replaces the key with the same ID.
	PutKey(AccessKey) error
	// DeleteKey removes the key and its usages. Deleting what is not there is not an error.
	DeleteKey(id string) error
}

// PolicyTx keeps the managed policies that accounts made themselves.
type PolicyTx interface {
	Policy(arn string) (ManagedPolicy, error)
	// Policies lists those of an account, ordered by name in lower case.
	Policies(a cloud.AccountID) ([]ManagedPolicy, error)
	AddPolicy(ManagedPolicy) error
	// PutPolicy replaces the policy with the same ID.
	PutPolicy(ManagedPolicy) error
	// DeletePolicy removes the policy. Deleting what is not there is not an error.
	DeletePolicy(arn string) error
}

// LinkTx keeps links.
type LinkTx interface {
	// AddLink adds a link of an entity of account a. Adding one that is there
	// already is not an error.
	AddLink(a cloud.AccountID, l Link) error
	DeleteLink(Link) error
	// LinksFrom lists the links of a source, ordered by target.
	LinksFrom(source string, u Use) ([]Link, error)
	// LinksTo lists the links of entities of account a to a target, ordered by source.
	LinksTo(a cloud.AccountID, target string, u Use) ([]Link, error)
}

// ItemTx keeps what belongs to an account beside all that.
type ItemTx interface {
	Item(a cloud.AccountID, k ItemKind, id string) (Item, error)
	// Items lists the items of a kind, ordered by id.
	Items(a cloud.AccountID, k ItemKind) ([]Item, error)
	// ItemsOf lists the items of a kind that belong to owner, ordered by id.
	ItemsOf(owner string, k ItemKind) ([]Item, error)
	AddItem(Item) error
	// PutItem replaces the item with the same Account, Kind and ID.
	PutItem(Item) error
	// DeleteItem removes the item. Deleting what is not there is not an error.
	DeleteItem(a cloud.AccountID, k ItemKind, id string) error
}

// UsageTx keeps the last uses of access keys and principals.
type UsageTx interface {
	// PutUsage replaces the usage with the same Subject, Service and Action, if
	// that is not later. What it is of need not exist.
	PutUsage(Usage) error
	// Usages lists the usages of a subject, ordered by service and action.
	Usages(subject string) ([]Usage, error)
}
