package policy

import "borealis/internal/cloud"

// Decide answers the question. It is a pure function: equal questions have
// equal answers.
func (q Question) Decide() Decision {
	if q.Caller.Kind == "" {
		return Decision{Action: q.Action, Side: IdentityBased}
	}
	r := newRequest(&q)
	var v verdict
	v.gather(&r)
	d := v.decide(&q)
	d.Action = q.Action
	d.CrossAccount = q.crossAccount()
	return d
}

// A finding is a statement that matched; the zero finding is none.
type finding struct {
	policy *Policy
	index  int
}

func (f finding) found() bool { return f.policy != nil }

func (f finding) ref() Ref {
	if f.policy == nil {
		return Ref{}
	}
	return Ref{Policy: f.policy.Name, Index: f.index, Sid: f.policy.Statements[f.index].Sid}
}

// A verdict is what the statements say, side by side, before the rules of
// evaluation put them together. It does not hold the request, which can so stay
// on the stack.
type verdict struct {
	// deny is the first Deny that matched, on the side denied.
	deny   finding
	denied Side
	// What allows it, on each side.
	identity, boundary, session, resource finding
	// closed says that a level of the caller's organization does not allow it.
	closed bool
	by     reach // how resource names the caller
}

// gather looks through all policies. Only an explicit deny ends it early: it
// outweighs everything.
func (v *verdict) gather(r *request) {
	if v.organizations(r) {
		return
	}
	id := &r.Identity
	if v.scanAll(r, id.Policies, IdentityBased, &v.identity) {
		return
	}
	if id.Boundary != nil && v.scan(r, id.Boundary, Boundary, &v.boundary) {
		return
	}
	if v.scanAll(r, id.Session, Session, &v.session) {
		return
	}
	if r.ResourcePolicy != nil {
		v.scan(r, r.ResourcePolicy, ResourceBased, &v.resource)
	}
}

// scan looks for what p says. It reports whether that is an explicit deny.
func (v *verdict) scan(r *request, p *Policy, side Side, allow *finding) bool {
	for c := p.candidates(r.action); c.next(); {
		s := &p.Statements[c.at]
		if !s.Deny && allow.found() && side != ResourceBased {
			continue // one Allow is enough; only a Deny could change anything
		}
		e, _, by := s.check(r)
		switch {
		case e != fits:
		case s.Deny:
			v.deny, v.denied = finding{p, c.at}, side
			return true
		case side != ResourceBased:
			*allow = finding{p, c.at}
		case by > v.by:
			*allow, v.by = finding{p, c.at}, by
		}
	}
	return false
}

// crossAccount says that caller and resource belong to different accounts.
// Whoever is in no account is in none of these cases.
func (q *Question) crossAccount() bool {
	return !q.Caller.Kind.Outside() && q.Caller.Account != q.Owner
}

func (v *verdict) decide(q *Question) Decision {
	switch {
	case v.deny.found():
		return Decision{Explicit: true, Side: v.denied, Decided: v.deny.ref()}
	case q.Caller.Kind.Outside():
		return v.outside(q)
	case v.closed:
		return Decision{Side: ServiceControl}
	case q.crossAccount():
		return v.foreign(q)
	}
	return v.own(q)
}

// outside decides for an AWS service acting for itself, and for those whom an
// identity provider vouches for: they have no identity policies, so the
// resource's side is all there is.
func (v *verdict) outside(q *Question) Decision {
	if v.resource.found() {
		return allowed(ResourceBased, v.resource.ref(), Ref{})
	}
	if g := q.Grants; len(g) > 0 {
		return allowed(ResourceBased, g[0].ref(), Ref{})
	}
	return Decision{Side: ResourceBased}
}

// own decides within the owner's account. Whichever way in is open suffices.
func (v *verdict) own(q *Question) Decision {
	limit := v.limit(q)
	if v.by == reachDirect || v.by == reachRole && limit == "" {
		return allowed(ResourceBased, v.resource.ref(), Ref{})
	}
	for _, g := range q.Grants {
		if g.exempt(&q.Caller) || limit == "" {
			return allowed(ResourceBased, g.ref(), Ref{})
		}
	}
	letIn := !q.ResourceMustAllow || v.by != reachNone
	switch {
	case v.identity.found() && letIn && limit == "":
		d := allowed(IdentityBased, v.identity.ref(), Ref{})
		if q.ResourceMustAllow {
			d.Beside = v.resource.ref()
		}
		return d
	case !letIn && len(q.Grants) == 0:
		return Decision{Side: ResourceBased}
	case limit != "" && (v.identity.found() || v.by == reachRole || len(q.Grants) > 0):
		return Decision{Side: limit}
	}
	return Decision{Side: IdentityBased}
}

// foreign decides for a caller of another account: the owner's side and the
// caller's own must both allow it.
func (v *verdict) foreign(q *Question) Decision {
	limit := v.limit(q)
	for _, g := range q.Grants {
		// Whoever issued it in the caller's account has spoken for that account.
		if g.Issuer == q.Caller.Account && (g.exempt(&q.Caller) || limit == "") {
			return allowed(ResourceBased, g.ref(), Ref{})
		}
	}
	beside := v.resource.ref()
	if !v.resource.found() {
		if len(q.Grants) == 0 {
			return Decision{Side: ResourceBased}
		}
		beside = q.Grants[0].ref()
	}
	switch {
	case limit != "" && !v.resource.found() && !q.exempted():
		return Decision{Side: limit}
	case !v.identity.found() && !q.spokenFor():
		return Decision{Side: IdentityBased}
	case limit != "":
		return Decision{Side: limit}
	}
	return allowed(IdentityBased, v.identity.ref(), beside)
}

// spokenFor says that a grant of the caller's own account stands in for an
// identity policy.
func (q *Question) spokenFor() bool {
	for _, g := range q.Grants {
		if g.Issuer == q.Caller.Account {
			return true
		}
	}
	return false
}

// exempted says that a grant was made to the caller itself.
func (q *Question) exempted() bool {
	for _, g := range q.Grants {
		if g.exempt(&q.Caller) {
			return true
		}
	}
	return false
}

// limit is the side that limits the caller and does not allow the request; ""
// if there is none.
func (v *verdict) limit(q *Question) Side {
	switch {
	case q.Identity.Boundary != nil && !v.boundary.found():
		return Boundary
	case q.Identity.Session != nil && !v.session.found():
		return Session
	}
	return ""
}

func allowed(side Side, decided, beside Ref) Decision {
	return Decision{Allowed: true, Side: side, Decided: decided, Beside: beside}
}

func (g Grant) ref() Ref { return Ref{Policy: "grant " + g.ID} }

// exempt says that what a boundary or session policy leaves out does not limit
// the grant: it was made to the caller itself and not to its role.
func (g Grant) exempt(c *cloud.Caller) bool {
	return g.ToSession || c.Kind != cloud.AssumedRole && c.Kind != cloud.FederatedUser
}
