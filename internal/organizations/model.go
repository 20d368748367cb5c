package organizations

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/organizations/types"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// An Organization is a tree of accounts. What is stored of this file changes
// only with a migration.
type Organization struct {
	ID         string // "o-…"
	Management cloud.AccountID
	// AllFeatures says that it has policies, and not only a bill in common.
	AllFeatures bool
	Created     time.Time
}

func (o Organization) arn(resource string) string {
	return cloud.NewARN("organizations", "", o.Management, resource).String()
}

// A Kind is what sort of node something is, in the words of the wire.
type Kind string

// The kinds of node.
const (
	Root    Kind = "ROOT"
	Unit    Kind = "ORGANIZATIONAL_UNIT"
	Account Kind = "ACCOUNT"
)

// A Node is a place in an organization's tree: its root, a unit, an account.
type Node struct {
	ID           string // "r-…", "ou-…", or an account's
	Organization string
	Kind         Kind
	Parent       string // "" for a root
	Name         string // of units unique by Parent
	Tags         []Tag  // ordered by key
	// Enabled are the policy types that are in force below a root.
	Enabled []PolicyType `json:",omitempty"`

	// Of accounts.
	Email   string    `json:",omitempty"` // "" if none is known
	Joined  time.Time `json:",omitzero"`
	Invited bool      `json:",omitempty"`
	Closed  time.Time `json:",omitzero"` // when it was closed; zero while it is open
}

// A Tag is a key and a value that users put on things.
type Tag struct{ Key, Value string }

// kindOf is the kind of node that an id names.
func kindOf(id string) Kind {
	switch {
	case strings.HasPrefix(id, "r-"):
		return Root
	case strings.HasPrefix(id, "ou-"):
		return Unit
	}
	return Account
}

// arnOf is the ARN of the node of o called id, which need not exist.
func (o Organization) arnOf(id string) string {
	word := map[Kind]string{Root: "root", Unit: "ou", Account: "account"}[kindOf(id)]
	return o.arn(word + "/" + o.ID + "/" + id)
}

// A PolicyType is a sort of policy, in the words of the wire.
type PolicyType string

// The types of policy that are served.
const (
	ServiceControl  PolicyType = PolicyType(types.PolicyTypeServiceControlPolicy)
	ResourceControl PolicyType = PolicyType(types.PolicyTypeResourceControlPolicy)
)

// A rule is what a type of policy has in common.
type rule struct {
	kind policy.Kind
	full Policy // AWS's own, which allows everything
	size int    // characters of a policy
	each int    // policies at one node
	all  int    // policies of an organization
	kept bool   // AWS's own cannot be detached
}

// rules are the types of policy with their quotas.
var rules = map[PolicyType]rule{
	ServiceControl: {kind: policy.ServiceControlKind, size: 10240, each: 10, all: 10000, full: Policy{
		ID: "p-FullAWSAccess", Type: ServiceControl, Name: "FullAWSAccess", Description: "Allows access to every operation",
		Content: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`,
	}},
	ResourceControl: {kind: policy.ResourceControlKind, size: 5120, each: 5, all: 1000, kept: true, full: Policy{
		ID: "p-RCPFullAWSAccess", Type: ResourceControl, Name: "RCPFullAWSAccess", Description: "Allows access to every resource",
		Content: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}`,
	}},
}

// builtin is the policy of AWS's own called id.
func builtin(id string) (Policy, bool) {
	for _, r := range rules {
		if r.full.ID == id {
			return r.full, true
		}
	}
	return Policy{}, false
}

// A Policy is a document to attach to nodes.
type Policy struct {
	ID           string // "p-…"
	Organization string // "" for AWS's own
	Type         PolicyType
	Name         string // unique by Organization and Type
	Description  string
	Content      string
	Tags         []Tag // ordered by key
}

// arn is p's name everywhere, in the organization o.
func (p Policy) arn(o Organization) string {
	if p.Organization == "" {
		return cloud.NewARN("organizations", "", "aws", "policy/"+strings.ToLower(string(p.Type))+"/"+p.ID).String()
	}
	return o.arn("policy/" + o.ID + "/" + strings.ToLower(string(p.Type)) + "/" + p.ID)
}

// An Attachment puts a policy at a node of an organization.
type Attachment struct {
	Organization string
	Target       string // the node
	Policy       string
	Type         PolicyType // the policy's
}

// An ItemKind is what sort of item something is.
type ItemKind string

// The kinds of item.
const (
	RequestItem    ItemKind = "request"    // to make an account: a creation
	PendingItem    ItemKind = "pending"    // beside a request that is not finished: when it was made
	HandshakeItem  ItemKind = "handshake"  // an invitation
	ServiceItem    ItemKind = "service"    // a service that has access: a grant
	DelegationItem ItemKind = "delegation" // an account that administers for a service: a grant
)

// An Item is what belongs to an organization beside its tree and policies.
type Item struct {
	Organization string
	Kind         ItemKind
	ID           string          // unique by Organization and Kind
	Account      cloud.AccountID // whom it is about; "" for nobody
	Body         json.RawMessage
}

// A creation is a request to make an account, and what became of it.
type creation struct {
	Name      string
	Email     string
	Role      string // in the new account, for the management account
	Tags      []Tag
	State     types.CreateAccountState
	Requested time.Time
	Completed time.Time                        `json:",omitzero"`
	Account   cloud.AccountID                  `json:",omitempty"` // beside Succeeded, or if an older version has allotted one
	Failure   types.CreateAccountFailureReason `json:",omitempty"`
}

// A handshake is an invitation to an account.
type handshake struct {
	State     types.HandshakeState // but for EXPIRED, which follows from Expires
	Requested time.Time
	Expires   time.Time
	Ended     time.Time `json:",omitzero"` // when State became final
	Notes     string
	Tags      []Tag
	Email     string // the invitation's target, if that was said; else ""
}

// A grant is a service's access to an organization, or an account's task to
// administer for a service.
type grant struct {
	Service string
	Since   time.Time
}
