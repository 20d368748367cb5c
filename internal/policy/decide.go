package policy

import "borealis/internal/cloud"

// Decide answers the question. It is a pure function: equal questions have
// equal answers.
func (q Question) Decide() Decision {
	if q.Caller.Kind == "" {
		return Decision{Action: q.Action, Side: IdentityBased}
	}
	r := newRequest(&q)
	v := verdict{r: &r}
	v.gather()
	d := v.decide()
	d.Action = q.Action
	d.CrossAccount = v.crossAccount()
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
// evaluation put them together.
type verdict struct {
	r *request
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
func (v *verdict) gather() {
	if v.organizations() {
		return
	}
	id := &v.r.Identity
	if v.scanAll(id.Policies, IdentityBased, &v.identity) {
		return
	}
	if id.Boundary != nil && v.scan(id.Boundary, Boundary, &v.boundary) {
		return
	}
	if v.scanAll(id.Session, Session, &v.session) {
		return
	}
	if v.r.ResourcePolicy != nil {
		v.scan(v.r.ResourcePolicy, ResourceBased, &v.resource)
	}
}

// scan looks for what p says. It reports whether that is an explicit deny.
func (v *verdict) scan(p *Policy, side Side, allow *finding) bool {
	for c := p.candidates(v.r.action); c.next(); {
		s := &p.Statements[c.at]
		if !s.Deny && allow.found() && side != ResourceBased {
			continue // one Allow is enough; only a Deny could change anything
		}
		e, _, by := s.check(v.r)
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
// A service belongs to none.
func (v *verdict) crossAccount() bool {
	return v.r.Caller.Kind != cloud.Service && v.r.Caller.Account != v.r.Owner
}

func (v *verdict) decide() Decision {
	switch {
	case v.deny.found():
		return Decision{Explicit: true, Side: v.denied, Decided: v.deny.ref()}
	case v.r.Caller.Kind == cloud.Service:
		return v.service()
	case v.closed:
		return Decision{Side: ServiceControl}
	case v.crossAccount():
		return v.foreign()
	}
	return v.own()
}

// service decides for an AWS service acting for itself: it has no identity
// policies, so the resource's side is all there is.
func (v *verdict) service() Decision {
	if v.resource.found() {
		return allowed(ResourceBased, v.resource.ref(), Ref{})
	}
	if g := v.r.Grants; len(g) > 0 {
		return allowed(ResourceBased, g[0].ref(), Ref{})
	}
	return Decision{Side: ResourceBased}
}

// own decides within the owner's account. Whichever way in is open suffices.
func (v *verdict) own() Decision {
	limit := v.limit()
	if v.by == reachDirect || v.by == reachRole && limit == "" {
		return allowed(ResourceBased, v.resource.ref(), Ref{})
	}
	for _, g := range v.r.Grants {
		if g.exempt(&v.r.Caller) || limit == "" {
			return allowed(ResourceBased, g.ref(), Ref{})
		}
	}
	letIn := !v.r.ResourceMustAllow || v.by != reachNone
	switch {
	case v.identity.found() && letIn && limit == "":
		d := allowed(IdentityBased, v.identity.ref(), Ref{})
		if v.r.ResourceMustAllow {
			d.Beside = v.resource.ref()
		}
		return d
	case !letIn && len(v.r.Grants) == 0:
		return Decision{Side: ResourceBased}
	case limit != "" && (v.identity.found() || v.by == reachRole || len(v.r.Grants) > 0):
		return Decision{Side: limit}
	}
	return Decision{Side: IdentityBased}
}

// foreign decides for a caller of another account: the owner's side and the
// caller's own must both allow it.
func (v *verdict) foreign() Decision {
	limit := v.limit()
	for _, g := range v.r.Grants {
		// Whoever issued it in the caller's account has spoken for that account.
		if g.Issuer == v.r.Caller.Account && (g.exempt(&v.r.Caller) || limit == "") {
			return allowed(ResourceBased, g.ref(), Ref{})
		}
	}
	beside := v.resource.ref()
	if !v.resource.found() {
		if len(v.r.Grants) == 0 {
			return Decision{Side: ResourceBased}
		}
		beside = v.r.Grants[0].ref()
	}
	switch {
	case limit != "" && !v.resource.found() && !v.exempted():
		return Decision{Side: limit}
	case !v.identity.found() && !v.spokenFor():
		return Decision{Side: IdentityBased}
	case limit != "":
		return Decision{Side: limit}
	}
	return allowed(IdentityBased, v.identity.ref(), beside)
}

// spokenFor says that a grant of the caller's own account stands in for an
// identity policy.
func (v *verdict) spokenFor() bool {
	for _, g := range v.r.Grants {
		if g.Issuer == v.r.Caller.Account {
			return true
		}
	}
	return false
}

// exempted says that a grant was made to the caller itself.
func (v *verdict) exempted() bool {
	for _, g := range v.r.Grants {
		if g.exempt(&v.r.Caller) {
			return true
		}
	}
	return false
}

// limit is the side that limits the caller and does not allow the request; ""
// if there is none.
func (v *verdict) limit() Side {
	switch {
	case v.r.Identity.Boundary != nil && !v.boundary.found():
		return Boundary
	case v.r.Identity.Session != nil && !v.session.found():
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
func (g Grant) exempt(c *cloud.Caller) bool { return g.ToSession || c.Kind != cloud.AssumedRole }
