package policy

import (
	"encoding/json"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"borealis/internal/cloud"
)

// An Advice is what would have to change for a refused question to be allowed.
// It marshals to JSON.
type Advice struct {
	// Ways are the smallest sets of changes, the fewest changes first. Each was
	// tried: with its changes the question is allowed, and with none left out.
	Ways []Way `json:"ways"`
	// Hopeless says why no change that the two accounts could make would help; ""
	// if there are Ways.
	Hopeless string `json:"hopeless,omitempty"`
}

// A Way is changes that are needed together, in this order.
type Way []Change

// A Change is one policy's. It lets the caller do what was asked, and as little
// else as a policy can say.
type Change struct {
	Side   Side   `json:"side"`
	Level  string `json:"level,omitempty"` // as in Trace
	Policy string `json:"policy"`          // its name, or what the new policy is
	New    bool   `json:"new,omitempty"`   // there is no such policy yet
	// Statement is the one to add, or how the statement at Replaces is to read.
	Statement json.RawMessage `json:"statement,omitempty"`
	Replaces  *int            `json:"replaces,omitempty"`
	// Detach says that the policy, which is AWS's own, must be taken from the caller.
	Detach bool `json:"detach,omitempty"`
	// Diff is the policy's text before and after, indented by two spaces, as a
	// unified diff.
	Diff string `json:"diff,omitempty"`
}

// Advise finds the smallest changes that would make the question allowed. Of a
// question that is allowed it has none.
func (q Question) Advise() Advice {
	a := Advice{Ways: []Way{}}
	if q.Decide().Allowed {
		return a
	}
	if q.Caller.Kind == "" {
		a.Hopeless = "the caller is nobody"
		return a
	}
	needed, why := q.liftDenials()
	if why != "" {
		a.Hopeless = why
		return a
	}
	if q.Decide().Allowed {
		a.Ways = append(a.Ways, needed)
		return a
	}
	edits := q.edits()
	var done []uint // sets of edits that suffice, as bits
	for n := 1; n <= len(edits); n++ {
		for set := uint(1); set < 1<<len(edits); set++ {
			if bits.OnesCount(set) != n || slices.ContainsFunc(done, func(d uint) bool { return set&d == d }) {
				continue
			}
			if w, ok := q.try(edits, set); ok {
				done = append(done, set)
				a.Ways = append(a.Ways, slices.Concat(needed, w))
			}
		}
	}
	if len(a.Ways) == 0 {
		a.Hopeless = q.hopeless()
	}
	return a
}

// try applies a set of edits to a copy of q.
func (q Question) try(edits []edit, set uint) (w Way, ok bool) {
	for i, e := range edits {
		if set&(1<<i) != 0 {
			w = append(w, e(&q)...)
		}
	}
	return w, q.Decide().Allowed
}

// hopeless says why nothing of edits helps.
func (q *Question) hopeless() string {
	v := q.verdict()
	switch {
	case q.Fixed && !v.resource.found():
		return "the key is AWS managed: nobody can change its policy, which lets callers in only through its service, and in its own account"
	case q.crossAccount() && q.ResourcePolicy == nil:
		return q.Resource + " has no policy of its own that could let another account in"
	}
	return "no change of one statement for each policy would allow it"
}

func (q *Question) verdict() verdict {
	r := newRequest(q)
	var v verdict
	v.gather(&r)
	return v
}

// liftDenials changes q so that no Deny applies. why says if that cannot be.
func (q *Question) liftDenials() (w Way, why string) {
	const most = 100 // statements that deny; each round lifts one
	for range most {
		v := q.verdict()
		switch {
		case !v.deny.found():
			return w, ""
		case v.denied == ServiceControl, v.denied == ResourceControl:
			return nil, fmt.Sprintf("%s denies it, a %s: nothing that the accounts themselves change can allow it; who manages the organization can", v.deny.ref(), v.denied)
		case v.denied == ResourceBased && q.Fixed:
			return nil, fmt.Sprintf("%s denies it, which nobody can change: AWS manages it", v.deny.ref())
		}
		c, after, err := q.except(v.deny, v.denied)
		if err != nil {
			return nil, fmt.Sprintf("%s denies it, and cannot leave the caller out: %v", v.deny.ref(), err)
		}
		q.replace(v.deny.policy, after)
		w = append(w, c)
	}
	return nil, fmt.Sprintf("more than %d statements deny it", most)
}

// except makes the Deny leave the caller out; after is nil if the policy is to go.
func (q *Question) except(deny finding, side Side) (c Change, after *Policy, err error) {
	c = Change{Side: side, Policy: deny.policy.Name}
	if ofAWS(deny.policy) {
		c.Detach = true
		return c, nil, nil
	}
	d, err := ParseDocument(deny.policy.Text)
	if err != nil {
		return c, nil, err
	}
	operator, key, value := "ArnNotEquals", "aws:PrincipalArn", q.Caller.Principal
	if q.Caller.Kind == cloud.Service {
		operator, key, value = "StringNotEquals", "aws:PrincipalServiceName", q.Caller.Service
	}
	before := d.String()
	if c.Statement, err = d.except(deny.index, operator, key, value); err != nil {
		return c, nil, err
	}
	c.Replaces, c.Diff = &deny.index, unified(c.Policy, before, d.String())
	if after, err = Parse(deny.policy.Name, d.String()); err != nil {
		return c, nil, err
	}
	r := newRequest(q)
	if e, _, _ := after.Statements[deny.index].check(&r); e == fits {
		return c, nil, fmt.Errorf("it has a condition on %s already", key)
	}
	return c, after, nil
}

// replace puts after, nil for none, where before is.
func (q *Question) replace(before, after *Policy) {
	swap := func(all []*Policy) []*Policy {
		out := []*Policy{}
		for _, p := range all {
			switch {
			case p != before:
				out = append(out, p)
			case after != nil:
				out = append(out, after)
			}
		}
		return out
	}
	q.Identity.Policies = swap(q.Identity.Policies)
	if q.Identity.Session != nil {
		q.Identity.Session = swap(q.Identity.Session)
	}
	if q.Identity.Boundary == before {
		q.Identity.Boundary = after
	}
	if q.ResourcePolicy == before {
		q.ResourcePolicy = after
	}
}

// ofAWS says that a policy is AWS's own: accounts cannot change it.
func ofAWS(p *Policy) bool { return strings.HasPrefix(p.Name, "arn:aws:iam::aws:policy/") }

// An edit changes what one side says, in a copy of the question.
type edit func(*Question) Way

// edits are what can be changed on each side that does not allow it.
func (q *Question) edits() []edit {
	v := q.verdict()
	var all []edit
	if !v.identity.found() && (q.Caller.Kind == cloud.User || q.Caller.Kind == cloud.AssumedRole) && !q.serviceLinked() {
		all = append(all, (*Question).editIdentity)
	}
	if v.by < reachDirect && q.ResourcePolicy != nil && !q.Fixed {
		all = append(all, (*Question).editResource)
	}
	if q.Identity.Boundary != nil && !v.boundary.found() {
		all = append(all, (*Question).editBoundary)
	}
	if q.Identity.Session != nil && !v.session.found() {
		all = append(all, (*Question).editSession)
	}
	if v.closed {
		all = append(all, (*Question).editControl)
	}
	return all
}

func (q *Question) editIdentity() Way {
	who := q.Caller.Principal
	if a, err := cloud.ParseARN(who); err == nil {
		who = a.Resource
	}
	for i, p := range q.Identity.Policies {
		if strings.HasPrefix(p.Name, "inline policy ") && strings.HasSuffix(p.Name, " of "+who) {
			c, after := q.add(IdentityBased, p, q.entry(false))
			q.Identity.Policies = slices.Clone(q.Identity.Policies)
			q.Identity.Policies[i] = after
			return Way{c}
		}
	}
	c, p := q.add(IdentityBased, &Policy{Name: "new inline policy of " + who}, q.entry(false))
	q.Identity.Policies = append(slices.Clip(q.Identity.Policies), p)
	return Way{c}
}

func (q *Question) editResource() Way {
	c, after := q.add(ResourceBased, q.ResourcePolicy, q.entry(true))
	q.ResourcePolicy = after
	return Way{c}
}

func (q *Question) editBoundary() Way {
	c, after := q.add(Boundary, q.Identity.Boundary, q.entry(false))
	q.Identity.Boundary = after
	return Way{c}
}

func (q *Question) editSession() Way {
	was := &Policy{Name: "new session policy"}
	if len(q.Identity.Session) > 0 {
		was = q.Identity.Session[0]
	}
	c, after := q.add(Session, was, q.entry(false))
	q.Identity.Session = []*Policy{after}
	return Way{c}
}

// editControl opens every level that does not allow it.
func (q *Question) editControl() (w Way) {
	r := newRequest(q)
	levels := slices.Clone(q.ServiceControl.Levels)
	for i, l := range levels {
		var v verdict
		var allow finding
		if v.scanAll(&r, l.Policies, ServiceControl, &allow); allow.found() {
			continue
		}
		was := &Policy{Name: "new service control policy"}
		if len(l.Policies) > 0 {
			was = l.Policies[0]
		}
		c, after := q.add(ServiceControl, was, q.entry(false))
		c.Level = l.Name
		levels[i].Policies = append(slices.Clip(l.Policies), after)
		w = append(w, c)
	}
	q.ServiceControl.Levels = levels
	return w
}

// add adds e to p, or to a new policy in its place if it is empty or AWS's own.
// Where p cannot take it, it stays as it is: the way is then found not to be one.
func (q *Question) add(side Side, p *Policy, e Entry) (Change, *Policy) {
	d, before := new(Document), ""
	c := Change{Side: side, Policy: p.Name, New: p.Text == "" || ofAWS(p)}
	if p.Text != "" {
		var err error
		if d, err = ParseDocument(p.Text); err != nil {
			return c, p
		}
		before = d.String()
	}
	if ofAWS(p) {
		c.Policy = "new copy of " + p.Name
	}
	e.Sid = d.freeSid(e.Sid)
	if err := d.Append(e); err != nil {
		return c, p
	}
	c.Statement = d.statements[len(d.statements)-1]
	c.Diff = unified(c.Policy, before, d.String())
	after, err := Parse(c.Policy, d.String())
	if err != nil {
		return c, p
	}
	return c, after
}

// entry is a statement that allows q and, as far as a policy can say it, nothing
// else; principal says whether it names the caller.
func (q *Question) entry(principal bool) Entry {
	_, operation, _ := strings.Cut(q.Action, ":")
	e := Entry{Sid: "Allow" + operation, Effect: "Allow", Action: Values{q.Action}, Resource: Values{q.Resource}, Condition: q.narrow()}
	if !principal {
		return e
	}
	e.Principal = map[PrincipalType]Values{AWS: {q.Caller.Principal}}
	if q.Caller.Kind == cloud.Service {
		e.Principal = map[PrincipalType]Values{AWSService: {q.Caller.Service}}
	}
	switch serviceOf(q.Action) {
	case "sts":
		e.Resource = nil // in a trust policy it is the role
	case "kms":
		e.Resource = Values{"*"} // in a key policy it is the key
	}
	return e
}

// narrow are conditions that tie a statement to how the request came: through a
// service, or with an external id.
func (q *Question) narrow() map[string]map[string]Values {
	block := map[string]map[string]Values{}
	r := newRequest(q)
	for _, c := range []struct{ operator, key, only string }{
		{"StringEquals", "kms:ViaService", ""},
		{"Bool", "kms:GrantIsForAWSResource", "true"},
		{"StringEquals", "sts:ExternalId", ""},
	} {
		k := newKey(c.key)
		got, ok := r.values(&k)
		if !ok || len(got) != 1 || c.only != "" && got[0] != c.only {
			continue
		}
		if block[c.operator] == nil {
			block[c.operator] = map[string]Values{}
		}
		block[c.operator][c.key] = Values{got[0]}
	}
	if len(block) == 0 {
		return nil
	}
	return block
}

// String is the advice as lines for a terminal.
func (a Advice) String() string {
	var b strings.Builder
	if a.Hopeless != "" {
		fmt.Fprintf(&b, "No change helps: %s.\n", a.Hopeless)
	}
	for i, w := range a.Ways {
		if len(a.Ways) > 1 {
			fmt.Fprintf(&b, "Way %d of %d:\n", i+1, len(a.Ways))
		}
		for _, c := range w {
			b.WriteString(c.String())
		}
	}
	return b.String()
}

// String says what to change, and then the diff.
func (c Change) String() string {
	where := c.Policy
	if c.Level != "" {
		where += " at " + c.Level
	}
	switch {
	case c.Detach:
		return fmt.Sprintf("%s: detach %s, which denies it and which only AWS can change\n", c.Side, where)
	case c.Replaces != nil:
		where = fmt.Sprintf("leave the caller out of statement %d of %s", *c.Replaces, where)
	case c.New:
		where = "make a " + where
	default:
		where = "add a statement to " + where
	}
	return fmt.Sprintf("%s: %s\n%s", c.Side, where, c.Diff)
}
