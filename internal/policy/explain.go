package policy

import (
	"encoding/json"
	"fmt"
	"strings"
)

// An Explanation is a Decision with its reasons: every statement that was
// looked at, and where each that did not apply parted from the request. It
// holds names and condition values of the request and the policies, and so
// belongs in front of people who may see both. It marshals to JSON.
type Explanation struct {
	Caller   string   `json:"caller"`
	Action   string   `json:"action"`
	Resource string   `json:"resource"`
	Decision Decision `json:"decision"`
	Policies []Trace  `json:"policies"`
	Grants   []string `json:"grants,omitempty"`
}

// A Trace is one policy's part in a decision.
type Trace struct {
	Policy     string           `json:"policy"`
	Side       Side             `json:"side"`
	Statements []StatementTrace `json:"statements"`
}

// A StatementTrace is one statement's part in a decision.
type StatementTrace struct {
	Index   int    `json:"index"`
	Sid     string `json:"sid,omitempty"`
	Effect  string `json:"effect"`
	Applies bool   `json:"applies"`
	// Element is the element that the request does not fit: "Action",
	// "Principal", "Resource" or "Condition"; "" if the statement applies.
	Element string `json:"element,omitempty"`
	// Why says what was compared with what.
	Why string `json:"why"`

	far element // how far the request got, to tell near misses
}

// Explain decides the question and says why, in full. It takes longer than
// Decide, and agrees with it.
func (q Question) Explain() Explanation {
	r := newRequest(&q)
	e := Explanation{Caller: q.Caller.ARN, Action: q.Action, Resource: q.Resource, Decision: q.Decide()}
	for _, p := range q.Identity.Policies {
		e.Policies = append(e.Policies, p.trace(IdentityBased, &r))
	}
	if p := q.Identity.Boundary; p != nil {
		e.Policies = append(e.Policies, p.trace(Boundary, &r))
	}
	for _, p := range q.Identity.Session {
		e.Policies = append(e.Policies, p.trace(Session, &r))
	}
	if p := q.ResourcePolicy; p != nil {
		e.Policies = append(e.Policies, p.trace(ResourceBased, &r))
	}
	for _, g := range q.Grants {
		e.Grants = append(e.Grants, g.ID)
	}
	return e
}

func (p *Policy) trace(side Side, r *request) Trace {
	t := Trace{Policy: p.Name, Side: side}
	for i := range p.Statements {
		s := &p.Statements[i]
		e, at, by := s.check(r)
		st := StatementTrace{Index: i, Sid: s.Sid, Effect: "Allow", Applies: e == fits, far: e}
		if s.Deny {
			st.Effect = "Deny"
		}
		st.Element, st.Why = s.why(r, e, at, by)
		t.Statements = append(t.Statements, st)
	}
	return t
}

// why words the outcome of check.
func (s *Statement) why(r *request, e element, at int, by reach) (name, why string) {
	switch e {
	case unfitAction:
		return "Action", "is about " + s.actionText() + ", not " + r.Action
	case unfitPrincipal:
		return "Principal", "is for " + s.principalText() + ", not " + r.Caller.ARN
	case unfitResource:
		return "Resource", "is about " + s.resourceText() + ", not " + r.Resource
	case unfitCondition:
		return "Condition", s.conditions[at].why(r)
	}
	switch by {
	case reachAccount:
		return "", "applies, and leaves it to the account's own policies whom to let in"
	case reachRole:
		return "", "applies, naming the role"
	case reachDirect:
		return "", "applies, naming the caller"
	}
	return "", "applies"
}

func (s *Statement) actionText() string {
	texts := make([]string, len(s.actions))
	for i, a := range s.actions {
		texts[i] = a.text
	}
	return anyBut(s.notAction) + enumerate(texts)
}

func (s *Statement) resourceText() string {
	texts := make([]string, len(s.resources))
	for i, r := range s.resources {
		texts[i] = r.text
	}
	return anyBut(s.notResource) + enumerate(texts)
}

func (s *Statement) principalText() string {
	texts := make([]string, len(s.principals))
	for i, p := range s.principals {
		texts[i] = p.Value
	}
	return anyBut(s.notPrincipal) + enumerate(texts)
}

func anyBut(not bool) string {
	if not {
		return "anything but "
	}
	return ""
}

// enumerate is a list for reading: the first few, and how many more.
func enumerate(texts []string) string {
	const few = 4
	if len(texts) <= few {
		return strings.Join(texts, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(texts[:few], ", "), len(texts)-few)
}

// why says what the condition wants and what the request has.
func (c *condition) why(r *request) string {
	wanted := make([]string, len(c.values))
	for i, v := range c.values {
		wanted[i] = v.text
		if g, ok := v.tmpl.expand(r); ok && v.tmpl.pieces != nil {
			wanted[i] = fmt.Sprintf("%s (here %s)", v.text, g.text())
		}
	}
	got, present := r.values(&c.key)
	has := "the request has no " + c.key.name
	switch {
	case present && len(got) == 0:
		has = c.key.name + " has no values"
	case present:
		has = c.key.name + " is " + enumerate(got)
	}
	return fmt.Sprintf("wants %s %s %s, but %s", c.key.name, c.name, enumerate(wanted), has)
}

// String is the explanation as one sentence.
func (e Explanation) String() string {
	subject := fmt.Sprintf("%s: %s on %s: %s", e.Caller, e.Action, e.Resource, e.Decision)
	if near, ok := e.NearMiss(); ok {
		return subject + "; nearest to allowing it: " + near
	}
	return subject
}

// NearMiss describes the Allow statement, on the side that refused, that came
// nearest to applying: one about the action and for the caller, whose resource or
// condition does not fit. ok is false if there is none, or the request is
// allowed, or a Deny refused it.
func (e Explanation) NearMiss() (text string, ok bool) {
	if e.Decision.Allowed || e.Decision.Explicit {
		return "", false
	}
	best := unfitAction
	for _, t := range e.Policies {
		for _, s := range t.Statements {
			if t.Side != e.Decision.Side || s.Effect != "Allow" || s.far <= best {
				continue
			}
			best = s.far
			ref := Ref{Policy: t.Policy, Index: s.Index, Sid: s.Sid}
			text = fmt.Sprintf("%s, whose %s %s", ref, s.Element, s.Why)
		}
	}
	return text, text != ""
}

// Tree is the explanation as lines for a terminal, indented by two spaces a level.
func (e Explanation) Tree() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n  %s on %s\n  %s\n", e.Caller, e.Action, e.Resource, e.Decision)
	for _, t := range e.Policies {
		fmt.Fprintf(&b, "  %s: %s\n", t.Side, t.Policy)
		for _, s := range t.Statements {
			name := fmt.Sprint(s.Index)
			if s.Sid != "" {
				name = fmt.Sprintf("%d %q", s.Index, s.Sid)
			}
			why := s.Why
			if !s.Applies {
				why = "does not apply: its " + s.Element + " " + s.Why
			}
			fmt.Fprintf(&b, "    %s %s %s\n", s.Effect, name, why)
		}
	}
	for _, g := range e.Grants {
		fmt.Fprintf(&b, "  grant: %s\n", g)
	}
	return b.String()
}

// MarshalJSON adds the sentence to the decision's fields.
func (d Decision) MarshalJSON() ([]byte, error) {
	type fields Decision
	return json.Marshal(struct {
		fields
		Sentence string `json:"sentence"`
	}{fields(d), d.String()})
}
