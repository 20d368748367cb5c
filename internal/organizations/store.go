package organizations

import (
	"context"

	"borealis/internal/cloud"
)

// Store keeps organizations. Its methods may be called concurrently; what Update
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

// Tx is the part of the database that organizations need, inside a transaction.
// What is looked for and not there is cloud.ErrNotFound; what is added and there
// already is cloud.ErrExists. Lists are ordered by id; those with a limit begin
// after the id after.
type Tx interface {
	TreeTx
	PolicyTx
	ItemTx
}

// TreeTx keeps organizations and their trees.
type TreeTx interface {
	Organization(id string) (Organization, error)
	Organizations() ([]Organization, error)
	AddOrganization(Organization) error
	// DeleteOrganization removes it and all that belongs to it.
	DeleteOrganization(id string) error

	Node(id string) (Node, error)
	// Nodes lists the nodes of a kind below parent, or all of the organization if
	// parent is "".
	Nodes(organization string, k Kind, parent, after string, limit int) ([]Node, error)
	// AllNodes are those of all organizations, in no order.
	AllNodes() ([]Node, error)
	CountNodes(organization string, k Kind) (int, error)
	// HasEmail says whether an account of any organization has the address, in
	// whatever case.
	HasEmail(address string) (bool, error)
	// AddNode is cloud.ErrExists too if its parent has a unit of that name.
	AddNode(Node) error
	// PutNode replaces the node with the same ID. It is cloud.ErrExists if its
	// parent has another unit of that name.
	PutNode(Node) error
	DeleteNode(id string) error
}

// PolicyTx keeps policies, but for AWS's own, and what all of them are attached to.
type PolicyTx interface {
	Policy(organization, id string) (Policy, error)
	PoliciesOf(organization string, t PolicyType, after string, limit int) ([]Policy, error)
	// AllPolicies are those of all organizations, in no order.
	AllPolicies() ([]Policy, error)
	CountPolicies(organization string, t PolicyType) (int, error)
	// AddPolicy is cloud.ErrExists if the organization has a policy of that type
	// and name.
	AddPolicy(Policy) error
	// PutPolicy replaces the policy with the same Organization and ID. It is
	// cloud.ErrExists if there is another of that type and name.
	PutPolicy(Policy) error
	DeletePolicy(organization, id string) error

	Attach(Attachment) error
	Detach(Attachment) error
	// DetachAll removes the attachments of an organization to target, or to all of
	// its nodes if that is "", of type t, or of all types if that is "".
	DetachAll(organization, target string, t PolicyType) error
	// AttachedTo lists what is attached to a node, by policy.
	AttachedTo(target string, t PolicyType) ([]Attachment, error)
	// TargetsOf lists what a policy is attached to, by target.
	TargetsOf(organization, policy, after string, limit int) ([]Attachment, error)
	// AllAttachments are those of all organizations, by target and policy.
	AllAttachments() ([]Attachment, error)
}

// ItemTx keeps items.
type ItemTx interface {
	Item(organization string, k ItemKind, id string) (Item, error)
	// Items lists the items of a kind of an organization, or of all if that is "".
	Items(organization string, k ItemKind, after string, limit int) ([]Item, error)
	// ItemsOf lists the items of a kind that are about an account, of all organizations.
	ItemsOf(a cloud.AccountID, k ItemKind, after string, limit int) ([]Item, error)
	AddItem(Item) error
	// PutItem replaces the item with the same Organization, Kind and ID.
	PutItem(Item) error
	DeleteItem(organization string, k ItemKind, id string) error
}
