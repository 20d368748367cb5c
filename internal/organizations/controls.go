package organizations

import (
	"context"
	"fmt"
	"sync"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// A census is what organizations say of all accounts that are in one. It is
// never changed.
type census struct {
	members map[cloud.AccountID]*policy.Membership
	parsed  map[string]*policy.Policy // by ARN and content
}

// A memory holds the census until something changes. It is safe for concurrent use.
type memory struct {
	mu         sync.RWMutex
	generation uint64 // counts the calls of hold
	changing   int    // changes that may be committed at any moment
	known      *census
	last       *census // for what it has parsed
	taking     sync.Mutex
}

// hold is called before a change is committed. Nothing is remembered until release
// is called, after what was committed may be seen.
func (m *memory) hold() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.generation++
	m.changing++
	m.known = nil
}

func (m *memory) release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changing--
}

func (m *memory) recall() (*census, uint64) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.known, m.generation
}

// keep remembers c, unless there was a change since generation.
func (m *memory) keep(c *census, generation uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = c
	if m.generation == generation && m.changing == 0 {
		m.known = c
	}
}

// none is of accounts that are in no organization.
var none policy.Membership

// Membership is what its organization says of account a, as of all changes that
// were answered before: never nil, and not to be changed. It reads the database
// only after a change. While the policies cannot be read it is an error, and
// nothing may be allowed.
func (s *Service) Membership(ctx context.Context, a cloud.AccountID) (*policy.Membership, error) {
	c, _ := s.memory.recall()
	if c == nil {
		var err error
		if c, err = s.census(ctx); err != nil {
			return nil, fmt.Errorf("organization of %s: %w", a, err)
		}
	}
	if m := c.members[a]; m != nil {
		return m, nil
	}
	return &none, nil
}

// census counts all accounts, one counting at a time.
func (s *Service) census(ctx context.Context) (*census, error) {
	s.memory.taking.Lock()
	defer s.memory.taking.Unlock()
	known, generation := s.memory.recall()
	if known != nil {
		return known, nil
	}
	t := taker{before: s.memory.last, census: &census{members: map[cloud.AccountID]*policy.Membership{}, parsed: map[string]*policy.Policy{}}}
	if err := s.Store.View(ctx, t.read); err != nil {
		return nil, err
	}
	for _, o := range t.organizations {
		if err := t.count(o); err != nil {
			return nil, err
		}
	}
	s.memory.keep(t.census, generation)
	return t.census, nil
}

// A taker takes a census.
type taker struct {
	*census
	before *census

	organizations []Organization
	children      map[string][]Node       // by parent; roots by their organization
	attached      map[string][]Attachment // by target
	policies      map[string]Policy       // by organization and id
}

// read reads all there is.
func (t *taker) read(tx Tx) (err error) {
	if t.organizations, err = tx.Organizations(); err != nil || len(t.organizations) == 0 {
		return err
	}
	nodes, err := tx.AllNodes()
	if err != nil {
		return err
	}
	policies, err := tx.AllPolicies()
	if err != nil {
		return err
	}
	attached, err := tx.AllAttachments()
	t.children, t.attached, t.policies = map[string][]Node{}, map[string][]Attachment{}, map[string]Policy{}
	for _, n := range nodes {
		parent := n.Parent
		if n.Kind == Root {
			parent = n.Organization
		}
		t.children[parent] = append(t.children[parent], n)
	}
	for _, p := range policies {
		t.policies[p.Organization+" "+p.ID] = p
	}
	for _, a := range attached {
		t.attached[a.Target] = append(t.attached[a.Target], a)
	}
	return err
}

// count adds the accounts of o.
func (t *taker) count(o Organization) error {
	for _, root := range t.children[o.ID] {
		m := policy.Membership{Place: policy.Place{Organization: o.ID, Path: o.ID + "/"}}
		if err := t.descend(o, root.Enabled, root, m); err != nil {
			return err
		}
	}
	return nil
}

// descend adds the accounts at and below n; m is what the nodes above it say.
func (t *taker) descend(o Organization, enabled []PolicyType, n Node, m policy.Membership) error {
	for _, e := range enabled {
		control := &m.ServiceControl
		if e == ResourceControl {
			control = &m.ResourceControl
		}
		l, err := t.level(o, n, e)
		if err != nil {
			return err
		}
		// Never over what another branch has appended.
		control.Levels = append(control.Levels[:len(control.Levels):len(control.Levels)], l)
	}
	if n.Kind == Account {
		id := cloud.AccountID(n.ID)
		m.ServiceControl.Management, m.ResourceControl.Management = id == o.Management, id == o.Management
		t.members[id] = &m
		return nil
	}
	m.Path += n.ID + "/"
	for _, c := range t.children[n.ID] {
		if err := t.descend(o, enabled, c, m); err != nil {
			return err
		}
	}
	return nil
}

// levelNames are what explanations call the kinds of node.
var levelNames = map[Kind]string{Root: "root ", Unit: "unit ", Account: "account "}

// level is the policies of type e that are attached to n.
func (t *taker) level(o Organization, n Node, e PolicyType) (policy.Level, error) {
	l := policy.Level{Name: levelNames[n.Kind] + n.ID}
	for _, a := range t.attached[n.ID] {
		if a.Type != e {
			continue
		}
		p, ok := builtin(a.Policy)
		if !ok {
			p = t.policies[o.ID+" "+a.Policy]
		}
		parsed, err := t.parse(p.arn(o), p.Content)
		if err != nil {
			return l, err
		}
		l.Policies = append(l.Policies, parsed)
	}
	return l, nil
}

// parse is policy.Parse, done once for the same text from one census to the next.
func (t *taker) parse(name, text string) (*policy.Policy, error) {
	key := name + "\x00" + text
	p := t.parsed[key]
	if p == nil && t.before != nil {
		p = t.before.parsed[key]
	}
	if p == nil {
		var err error
		if p, err = policy.Parse(name, text); err != nil {
			return nil, fmt.Errorf("policy %s: %w", name, err)
		}
	}
	t.parsed[key] = p
	return p, nil
}
