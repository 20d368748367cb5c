package policy

import (
	"strings"

	"borealis/internal/cloud"
)

// An action is a pattern of a service and an operation, in lower case.
type action struct {
	text  string // as written
	glob  glob
	plain bool // no wildcards
}

// match compares with the name of an action in lower case.
func (a *action) match(name string) bool {
	if a.plain {
		return string(a.glob) == name
	}
	return a.glob.match(name)
}

// A resource is a pattern of an ARN, or of everything.
type resource struct {
	text    string // as written
	any     bool
	never   bool       // it has a variable before its fifth colon
	fields  []template // at most six, as written
	crosses bool       // a field before its last ends in *
}

func (p *resource) match(r *request) bool {
	switch {
	case p.any:
		return true
	case p.never || !r.isARN:
		return false
	case p.fits(r):
		return true
	}
	return p.crosses && p.fitsAcross(r)
}

// fits compares field by field. Fields that the pattern lacks may be anything.
func (p *resource) fits(r *request) bool {
	for i := range p.fields {
		if !p.fields[i].match(r, r.arn[i]) {
			return false
		}
	}
	return true
}

// fitsAcross reports whether the ARN fits if a * that ends a field reaches past
// colons. A field before the last is matched with every part between colons where it
// may stand, so that all of them take len(p.fields) passes over the ARN; the last one
// is tried wherever it may begin, up to the first place where what comes before its
// first * fits: what follows that has most left to match.
func (p *resource) fitsAcross(r *request) bool {
	last := len(p.fields) - 1
	if strings.Count(r.Resource, ":") <= last {
		return false // no colon to reach past
	}
	tail, ok := p.fields[last].expand(r, len(r.Resource))
	if !ok {
		return false
	}
	parts := strings.Split(r.Resource, ":")
	at := make([]bool, len(parts)+1)
	at[0] = true
	for i := range last {
		at = p.fields[i].glob.across(parts, at)
	}
	head, _, more := strings.Cut(string(tail), "\xff")
	rest := r.Resource
	for i, part := range parts {
		if at[i] {
			n, ok := glob(head).begins(rest)
			if ok && (more || n == len(rest)) {
				return tail.match(rest)
			}
		}
		rest = rest[min(len(part)+1, len(rest)):]
	}
	return false
}

// across are the places among parts after which g can end that begins at one of at;
// if it ends in *, all later places too.
func (g glob) across(parts []string, at []bool) []bool {
	next := make([]bool, len(at))
	open := g != "" && g[len(g)-1] == many
	for i, part := range parts {
		next[i+1] = at[i] && g.match(part) || open && next[i]
	}
	return next
}

// An element is the part of a statement that a request does not fit.
type element uint8

const (
	fits element = iota
	unfitPrincipal
	unfitAction
	unfitResource
	unfitCondition
)

// check finds the first element that r does not fit, cheapest first. i is the
// place of the condition if that is it; reach is how the statement names the
// caller, if it names principals at all.
func (s *Statement) check(r *request) (e element, i int, by reach) {
	if s.matchesAction(r.action) == s.notAction {
		return unfitAction, 0, reachNone
	}
	by, ok := s.matchesPrincipal(r)
	if !ok {
		return unfitPrincipal, 0, reachNone
	}
	if s.resources != nil && s.matchesResource(r) == s.notResource {
		return unfitResource, 0, by
	}
	for i := range s.conditions {
		if !s.conditions[i].holds(r) {
			return unfitCondition, i, by
		}
	}
	return fits, 0, by
}

func (s *Statement) matchesAction(name string) bool {
	for i := range s.actions {
		if s.actions[i].match(name) {
			return true
		}
	}
	return false
}

func (s *Statement) matchesResource(r *request) bool {
	for i := range s.resources {
		if s.resources[i].match(r) {
			return true
		}
	}
	return false
}

// matchesPrincipal says whether the statement is about the caller, and how
// closely it names it.
func (s *Statement) matchesPrincipal(r *request) (reach, bool) {
	if s.principals == nil {
		return reachNone, true // an identity policy is about whom it is attached to
	}
	if s.notPrincipal && s.Deny {
		// AWS denies whoever has a permissions boundary, whatever the names are.
		return reachDirect, r.Identity.Boundary != nil || !s.exempts(&r.Caller)
	}
	by := reachNone
	for i := range s.principals {
		by = max(by, s.principals[i].matches(&r.Caller))
	}
	if s.notPrincipal {
		return reachDirect, by == reachNone
	}
	return by, by != reachNone
}

// exempts says whether the NotPrincipal of a Deny leaves c out. AWS may check
// the account first, then the role, then the session, and each that is not
// named is denied; so naming one of them is not enough.
func (s *Statement) exempts(c *cloud.Caller) bool {
	var byAccount, byIdentity, bySession bool
	for i := range s.principals {
		p := &s.principals[i]
		by := p.matches(c)
		switch {
		case by == reachNone:
		case p.form == everyone || p.form == service:
			return true
		case p.form == wholeAccount:
			byAccount = true
		case by == reachDirect && c.Kind == cloud.AssumedRole:
			bySession = true
		default:
			byIdentity = true
		}
	}
	switch c.Kind {
	case cloud.Root:
		return byAccount
	case cloud.User:
		return byAccount && byIdentity
	}
	return byAccount && byIdentity && bySession
}
