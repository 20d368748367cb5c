package policy

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
)

// An Explanation is a Decision with its reasons: every statement that was
// looked at, and where each that did not apply parted from the request. It
// holds names and condition values of the request and the policies, and so
// belongs in front of people who may see both. It marshals to JSON.
type Explanation struct {
	// Version is ExplanationVersion. Members may be added without a new one.
	Version  int      `json:"version"`
	Caller   string   `json:"caller"`
	Action   string   `json:"action"`
	Resource string   `json:"resource"`
	Decision Decision `json:"decision"`
	Policies []Trace  `json:"policies"`
	Grants   []string `json:"grants,omitempty"`
	// Notes say what was left out, and why.
	Notes []string `json:"notes,omitempty"`
	// Hints are what in these policies does not work or has no effect, by Validate,
	// whether it matters here or not.
	Hints []Finding `json:"hints,omitempty"`
}

// ExplanationVersion is the version of an Explanation's JSON.
const ExplanationVersion = 1

// A Trace is one policy's part in a decision.
type Trace struct {
	Policy string `json:"policy"`
	Side   Side   `json:"side"`
	// Level is where in the organization the policy is attached; "" for others.
	Level      string           `json:"level,omitempty"`
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
	// Condition is the condition that does not hold, if that is it.
	Condition *ConditionTrace `json:"condition,omitempty"`
	// Decided says that this statement decided, or is what the other side allowed
	// it with.
	Decided bool `json:"decided,omitempty"`

	far element // how far the request got, to tell near misses
}

// A ConditionTrace is a condition beside what the request has.
type ConditionTrace struct {
	Operator string   `json:"operator"`
	Key      string   `json:"key"`
	Wanted   []string `json:"wanted"`
	// Present says that the request has the key; Has are its values.
	Present bool     `json:"present"`
	Has     []string `json:"has,omitempty"`
}

// Explain decides the question and says why, in full. It takes longer than
// Decide, and agrees with it.
func (q Question) Explain() Explanation {
	r := newRequest(&q)
	e := Explanation{Version: ExplanationVersion, Caller: q.Caller.ARN, Action: q.Action, Resource: q.Resource, Decision: q.Decide()}
	for _, g := range q.attached() {
		for _, p := range g.policies {
			e.Policies = append(e.Policies, p.trace(g.side, g.level, &r))
			e.Hints = append(e.Hints, p.hints(q.kindOn(g.side))...)
		}
	}
	e.mark()
	for _, g := range q.Grants {
		e.Grants = append(e.Grants, g.ID)
	}
	e.Notes = q.notes()
	return e
}

// kindOn is the kind of a side's policies.
func (q *Question) kindOn(side Side) Kind {
	switch side {
	case ResourceBased:
		if serviceOf(q.Action) == "sts" {
			return TrustKind
		}
		return ResourceKind
	case ServiceControl:
		return ServiceControlKind
	case ResourceControl:
		return ResourceControlKind
	case IdentityBased, Session, Boundary:
	}
	return InlineKind
}

// hints are what Validate finds that the policy does not do. Where it is in the text is
// not said: who reads them may not see that.
func (p *Policy) hints(k Kind) []Finding {
	var all []Finding
	for _, f := range k.Validate(p.Name, p.Text) {
		if f.Type == FindingError || f.Ours() {
			f.Locations = nil
			all = append(all, f)
		}
	}
	return all
}

// An attachment is the policies of one side, or of one level of an organization.
type attachment struct {
	side     Side
	level    string
	policies []*Policy
}

// attached are the policies that have a say, in the order of evaluation.
func (q *Question) attached() []attachment {
	var all []attachment
	for _, l := range q.resourceControl() {
		all = append(all, attachment{ResourceControl, l.Name, l.Policies})
	}
	for _, l := range q.serviceControl() {
		all = append(all, attachment{ServiceControl, l.Name, l.Policies})
	}
	all = append(all, attachment{side: IdentityBased, policies: q.Identity.Policies})
	if p := q.Identity.Boundary; p != nil {
		all = append(all, attachment{side: Boundary, policies: []*Policy{p}})
	}
	all = append(all, attachment{side: Session, policies: q.Identity.Session})
	if p := q.ResourcePolicy; p != nil {
		all = append(all, attachment{side: ResourceBased, policies: []*Policy{p}})
	}
	return all
}

// notes say which of an organization's policies have no say, and what is missing.
func (q *Question) notes() []string {
	var all []string
	if len(q.ServiceControl.Levels) > 0 && q.serviceControl() == nil {
		all = append(all, "service control policies have no say: they bind neither the account that manages the organization, nor service-linked roles, nor services")
	}
	if len(q.ResourceControl.Levels) > 0 && q.resourceControl() == nil {
		all = append(all, "resource control policies have no say: they guard neither the account that manages the organization, nor AWS managed keys, nor against service-linked roles and kms:RetireGrant, nor resources of "+serviceOf(q.Action)+" unless it is one of the services that obey them")
	}
	for _, l := range q.serviceControl() {
		if len(l.Policies) == 0 {
			all = append(all, l.Name+" has no service control policy, and so allows nothing")
		}
	}
	if q.Fixed {
		all = append(all, "nobody can change the resource's policy: AWS manages it")
	}
	return all
}

func (p *Policy) trace(side Side, level string, r *request) Trace {
	t := Trace{Policy: p.Name, Side: side, Level: level}
	for i := range p.Statements {
		s := &p.Statements[i]
		e, at, by := s.check(r)
		st := StatementTrace{Index: i, Sid: s.Sid, Effect: "Allow", Applies: e == fits, far: e}
		if s.Deny {
			st.Effect = "Deny"
		}
		st.Element, st.Why = s.why(r, e, at, by)
		if e == unfitCondition {
			st.Condition = s.conditions[at].trace(r)
		}
		t.Statements = append(t.Statements, st)
	}
	return t
}

func (c *condition) trace(r *request) *ConditionTrace {
	t := &ConditionTrace{Operator: c.name, Key: c.key.name, Wanted: c.wanted(r)}
	got, present := r.values(&c.key)
	t.Has, t.Present = slices.Clone(got), present
	return t
}

// mark marks the statements that the decision names.
func (e *Explanation) mark() {
	find := func(side Side, ref Ref) {
		for i := range e.Policies {
			t := &e.Policies[i]
			if t.Side == side && t.Policy == ref.Policy && ref.Index < len(t.Statements) && t.Statements[ref.Index].Applies {
				t.Statements[ref.Index].Decided = true
				return
			}
		}
	}
	find(e.Decision.Side, e.Decision.Decided)
	find(ResourceBased, e.Decision.Beside)
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
	wanted := c.wanted(r)
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

// wanted are the condition's values, as written and with the variables' values.
func (c *condition) wanted(r *request) []string {
	wanted := make([]string, len(c.values))
	for i, v := range c.values {
		wanted[i] = v.text
		if g, ok := v.tmpl.expand(r, math.MaxInt); ok && v.tmpl.pieces != nil {
			wanted[i] = fmt.Sprintf("%s (here %s)", v.text, g.text())
		}
	}
	return wanted
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

// Tree is the explanation as lines for a terminal, indented by two spaces a
// level. The statements that decided are marked with an arrow.
func (e Explanation) Tree() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n  %s on %s\n  %s\n", e.Caller, e.Action, e.Resource, e.Decision)
	for _, t := range e.Policies {
		side := string(t.Side)
		if t.Level != "" {
			side += " at " + t.Level
		}
		fmt.Fprintf(&b, "  %s: %s\n", side, t.Policy)
		for _, s := range t.Statements {
			s.write(&b)
		}
	}
	for _, g := range e.Grants {
		fmt.Fprintf(&b, "  grant: %s\n", g)
	}
	for _, n := range e.Notes {
		fmt.Fprintf(&b, "  note: %s\n", n)
	}
	for _, f := range e.Hints {
		fmt.Fprintf(&b, "  hint: %s\n", f)
	}
	return b.String()
}

func (s *StatementTrace) write(b *strings.Builder) {
	name, arrow, why := fmt.Sprint(s.Index), "  ", s.Why
	if s.Sid != "" {
		name = fmt.Sprintf("%d %q", s.Index, s.Sid)
	}
	if s.Decided {
		arrow = "→ "
	}
	if !s.Applies {
		why = "does not apply: its " + s.Element + " " + s.Why
	}
	fmt.Fprintf(b, "  %s%s %s %s\n", arrow, s.Effect, name, why)
}

// MarshalJSON adds the sentence to the decision's fields.
func (d Decision) MarshalJSON() ([]byte, error) {
	type fields Decision
	return json.Marshal(struct {
		fields
		Sentence string `json:"sentence"`
	}{fields(d), d.String()})
}
