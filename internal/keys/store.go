package keys

import (
	"context"
	"time"

	"borealis/internal/cloud"
)

// Store keeps keys, aliases and grants. Its methods may be called concurrently;
// what Update has committed survives a crash.
type Store interface {
	// Update runs fn in a transaction: all of its writes are kept, or, if it
	// returns an error, none. fn may run more than once.
	Update(ctx context.Context, fn func(Tx) error) error
	// View runs fn in a transaction that sees one state of the database and
	// changes nothing.
	View(ctx context.Context, fn func(Tx) error) error
}

// Tx is the part of the database that keys need, inside a transaction. What is
// looked for by name and is not there is cloud.ErrNotFound. Lists are sorted by
// id or name, start after the one given ("" for the first), and have at most n
// elements.
type Tx interface {
	// Key is a key, with the custom key store that it is in.
	Key(Ref) (Key, error)
	// KeyOfMaterial names the key that the material belongs to: the one in Region
	// near if there is one, for the keys of a multi-Region family share materials.
	KeyOfMaterial(near cloud.Region, id string) (Ref, error)
	// Keys lists the keys of a place, by id.
	Keys(p Place, after string, n int) ([]string, error)
	// CountKeys counts the keys of a place that the customer made: all but AWS
	// managed keys.
	CountKeys(Place) (int, error)
	// Due lists keys whose Due is set and not after now, by account, Region and id.
	Due(now time.Time, after Ref, n int) ([]Ref, error)
	// PutKey adds or replaces a key with its materials. Their order never changes;
	// only the last may go.
	PutKey(Key) error
	// DeleteKey removes a key with its materials, aliases and grants.
	DeleteKey(Ref) error

	// Usage is the last use of a key that was put down.
	Usage(Ref) (Usage, error)
	// PutUsage puts down the last use of a key. It does nothing if there is no such
	// key any more.
	PutUsage(Usage) error

	KeyStore(p Place, id string) (KeyStore, error)
	// KeyStores lists the custom key stores of a place, by id.
	KeyStores(p Place, after string, n int) ([]KeyStore, error)
	// ConnectingStores lists the custom key stores of all places that are Connecting.
	ConnectingStores() ([]KeyStore, error)
	// StoreOfCluster is the custom key store, wherever it is, of a cluster.
	StoreOfCluster(cluster string) (KeyStore, error)
	// StoreKeys lists the keys in a custom key store, by id.
	StoreKeys(p Place, store, after string, n int) ([]string, error)
	// KeyOfExternal is the id of the key in a custom key store that has this external
	// key behind it.
	KeyOfExternal(p Place, store, external string) (string, error)
	PutKeyStore(KeyStore) error
	DeleteKeyStore(p Place, id string) error

	Alias(p Place, name string) (Alias, error)
	// Aliases lists the aliases of a place, or, if keyID is not "", of one key of it.
	Aliases(p Place, keyID, after string, n int) ([]Alias, error)
	PutAlias(Alias) error
	DeleteAlias(p Place, name string) error

	// Grants lists the grants on a key.
	Grants(r Ref, after string, n int) ([]Grant, error)
	// Named lists the grants on a key that have this name, which is not "".
	Named(r Ref, name string) ([]Grant, error)
	// Retirable lists the grants on keys of every account in one Region whose
	// retiring principal has this unique id.
	Retirable(r cloud.Region, retiring, after string, n int) ([]Grant, error)
	// RetirableRegions lists the Regions with keys that have retirable grants.
	RetirableRegions() ([]cloud.Region, error)
	// CountGrants counts the grants on a key.
	CountGrants(Ref) (int, error)
	PutGrant(Grant) error
	DeleteGrant(r Ref, id string) error
}
