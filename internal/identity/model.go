package identity

import (
	"slices"
	"strings"
	"time"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// An Account owns everything else. Its root user may do anything in it.
type Account struct {
	ID      cloud.AccountID
	Name    string
	Alias   string // "" if it has none; no two accounts share one
	Created time.Time

	// Of those that were made for an organization: an address for people, and what
	// asked for it.
	Email   string `json:",omitempty"`
	Request string `json:",omitempty"`
	// AnyRegion says that tokens of the global endpoint are to be good in every Region.
	AnyRegion bool `json:",omitempty"`
	// Closed is when the account was closed; zero while it is open. What is in it
	// stays, but nobody acts for it.
	Closed time.Time `json:",omitzero"`
}

// A Kind is what sort of entity something is, as ARNs and messages say it.
type Kind string

// The kinds of entity that have policies.
const (
	User  Kind = "user"
	Role  Kind = "role"
	Group Kind = "group"
)

// An Entity is a user, role or group as this package keeps it. It is stored, so
// its fields change only with a migration.
type Entity struct {
	Account cloud.AccountID
	Kind    Kind
	ID      string // AIDA…, AROA…, AGPA…: never used again, even for the same name
	Name    string // unique by Account and Kind, whatever its case
	Path    string // "/" or "/…/"
	Created time.Time
	Tags    []Tag
	Inline  []Inline // ordered by name

	// Trust is a role's trust policy, with the unique ids of the users and roles
	// that it names in place of their ARNs: whoever takes a dead user's name does
	// not inherit its trust.
	Trust       string
	Description string
	MaxSession  int // seconds that a role's sessions may last
	// Service is the service that a service-linked role is linked to: "rds.amazonaws.com".
	Service string `json:",omitempty"`
}

// A Tag is a key and a value that users put on things.
type Tag struct{ Key, Value string }

// An Inline is a policy that lives and dies with its entity.
type Inline struct{ Name, Document string }

// ARN is what names the entity.
func (e Entity) ARN() string {
	return entityARN(e.Account, e.Kind, e.Path, e.Name)
}

func entityARN(a cloud.AccountID, k Kind, path, name string) string {
	return cloud.NewARN("iam", "", a, string(k)+path+name).String()
}

// inline finds the inline policy called name, whose names tell case apart.
func (e Entity) inline(name string) (int, bool) {
	return slices.BinarySearchFunc(e.Inline, name, func(p Inline, name string) int { return strings.Compare(p.Name, name) })
}

// An AccessKey is a long-term key of a user or of an account's root user.
type AccessKey struct {
	ID      string
	Account cloud.AccountID
	Owner   string // the user's unique id, or the account's id for the root user
	Active  bool
	Created time.Time
	Sealed  []byte // the secret, sealed under the server's root key
}

// A ManagedPolicy is a policy with a name of its own, to attach to entities.
type ManagedPolicy struct {
	Account     cloud.AccountID // "aws" for those that AWS manages
	Name        string          // unique by Account, whatever its case
	ID          string
	Path        string
	Description string
	Created     time.Time
	Updated     time.Time
	Tags        []Tag
	Versions    []Version // oldest first, at most maxVersions
	Default     int       // Number of the version in force
	Last        int       // the highest Number ever given
}

// A Version is one text of a managed policy.
type Version struct {
	Number   int
	Document string
	Created  time.Time
}

// ARN is what names the policy.
func (p ManagedPolicy) ARN() string {
	return cloud.NewARN("iam", "", p.Account, "policy"+p.Path+p.Name).String()
}

// version finds version number n.
func (p ManagedPolicy) version(n int) (Version, bool) {
	i := slices.IndexFunc(p.Versions, func(v Version) bool { return v.Number == n })
	if i < 0 {
		return Version{}, false
	}
	return p.Versions[i], true
}

// document is the text in force.
func (p ManagedPolicy) document() string {
	v, _ := p.version(p.Default)
	return v.Document
}

// A Use says what a Link means.
type Use string

// The uses of links.
const (
	Attached Use = "attached" // the target policy speaks for the source entity
	Boundary Use = "boundary" // the target policy bounds the source user or role
	Member   Use = "member"   // the source user belongs to the target group
)

// A Link goes from an entity's unique id to a managed policy's ARN or a group's
// unique id.
type Link struct {
	Source string
	Use    Use
	Target string
}

// A TrustedRole is what it takes to decide who may assume a role, and as whom.
type TrustedRole struct {
	ARN        string
	ID         string
	Name       string
	Account    cloud.AccountID
	Trust      *policy.Policy
	MaxSession time.Duration
	Tags       map[string]string
}
