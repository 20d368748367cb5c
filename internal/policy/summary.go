package policy

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
)

// A Summary is what an audit log keeps of the explanation of a denial: the
// sentence, and the statements that decided or came nearest to allowing it, as the
// policies and the request were then. It holds names and condition values of both,
// and rarely more than 2 KiB, never more than 32. It marshals to JSON.
type Summary struct {
	// Version is SummaryVersion. Members may be added without a new one.
	Version    int            `json:"version"`
	Sentence   string         `json:"sentence"`
	Statements []SummaryTrace `json:"statements,omitempty"`
	// More is how many further statements came as near as the last of Statements, or
	// less.
	More  int      `json:"more,omitempty"`
	Notes []string `json:"notes,omitempty"`
}

// A SummaryTrace is a StatementTrace with the policy that it belongs to.
type SummaryTrace struct {
	Policy  string `json:"policy"`
	Side    Side   `json:"side"`
	Level   string `json:"level,omitempty"`
	Index   int    `json:"index"`
	Sid     string `json:"sid,omitempty"`
	Effect  string `json:"effect"`
	Decided bool   `json:"decided,omitempty"`
	// Element is the element that the request does not fit; "" if the statement applies.
	Element string `json:"element,omitempty"`
	Why     string `json:"why"`
}

// SummaryVersion is the version of a Summary's JSON.
const SummaryVersion = 1

const (
	maxSummary     = 8   // statements
	maxSummaryText = 400 // bytes of one text in a Summary
)

// Summary is the Summary of q as JSON, d being its Decision; nil if d allows it.
func (q *Question) Summary(d Decision) []byte {
	if d.Allowed {
		return nil
	}
	s := Summary{Version: SummaryVersion, Sentence: shortened(d.String())}
	var near []nearTrace
	if q.Caller.Kind != "" { // else no policy was looked at
		r := newRequest(q)
		near = q.near(&r, d)
		s.Notes = q.shortNotes(&r, d)
	}
	slices.SortStableFunc(near, func(a, b nearTrace) int { return cmp.Compare(b.rank, a.rank) })
	s.More = max(0, len(near)-maxSummary)
	for _, n := range near[:len(near)-s.More] {
		s.Statements = append(s.Statements, n.summary(q, d))
	}
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return text
}

// A nearTrace is a statement that decided, or might have.
type nearTrace struct {
	finding
	attachment
	e    element
	at   int
	by   reach
	rank int
}

// near are the statements that have something to do with d.
func (q *Question) near(r *request, d Decision) (all []nearTrace) {
	for _, a := range q.attached() {
		for _, p := range a.policies {
			for c := p.candidates(r.action); c.next(); {
				e, at, by := p.Statements[c.at].check(r)
				n := nearTrace{finding: finding{p, c.at}, attachment: a, e: e, at: at, by: by}
				if n.rank = n.ranked(d); n.rank > 0 {
					all = append(all, n)
				}
			}
		}
	}
	return all
}

// ranked is how much the statement tells of d: 0 is nothing.
func (n *nearTrace) ranked(d Decision) int {
	s := &n.policy.Statements[n.index]
	switch {
	case d.Explicit && s.Deny && n.e == fits && n.side == d.Side && n.ref() == d.Decided:
		return 9
	case d.Explicit || s.Deny || n.e == unfitAction:
		return 0
	case n.side != d.Side && n.e == fits:
		return 1 // what another side allows
	case n.side != d.Side:
		return 0
	case n.e == unfitPrincipal:
		return 2
	}
	return 3 + int(n.e) // the further, the nearer
}

func (n *nearTrace) summary(q *Question, d Decision) SummaryTrace {
	s := &n.policy.Statements[n.index]
	r := newRequest(q)
	t := SummaryTrace{
		Policy: shortened(n.policy.Name), Side: n.side, Level: shortened(n.level), Index: n.index,
		Sid: shortened(s.Sid), Effect: "Allow", Decided: d.Explicit,
	}
	if s.Deny {
		t.Effect = "Deny"
	}
	t.Element, t.Why = s.why(&r, n.e, n.at, n.by)
	t.Why = shortened(t.Why)
	return t
}

// shortNotes are the levels of an organization that do not allow it, if that is it.
func (q *Question) shortNotes(r *request, d Decision) (all []string) {
	if d.Explicit || d.Side != ServiceControl {
		return nil
	}
	for _, l := range q.serviceControl() {
		var v verdict
		var allow finding
		if v.scanAll(r, l.Policies, ServiceControl, &allow); !allow.found() {
			all = append(all, shortened("no service control policy at "+l.Name+" allows it"))
		}
	}
	return all[:min(len(all), maxSummary)]
}

// shortened is text, or its beginning if it is long.
func shortened(text string) string {
	if len(text) > maxSummaryText {
		return strings.ToValidUTF8(text[:maxSummaryText], "") + "…"
	}
	return text
}

// Lines are the summary's statements and notes, each on a line of its own.
func (s Summary) Lines() []string {
	var all []string
	for _, t := range s.Statements {
		side := string(t.Side)
		if t.Level != "" {
			side += " at " + t.Level
		}
		why := t.Why
		if t.Element != "" {
			why = "does not apply: its " + t.Element + " " + why
		}
		all = append(all, t.Effect+" "+Ref{Policy: t.Policy, Index: t.Index, Sid: t.Sid}.String()+" ("+side+") "+why)
	}
	if s.More > 0 {
		all = append(all, "and statements that have less to do with it")
	}
	return append(all, s.Notes...)
}

// ReadSummary reads what Question.Summary wrote; ok is false for anything else.
func ReadSummary(text []byte) (s Summary, ok bool) {
	err := json.Unmarshal(text, &s)
	return s, err == nil && s.Version == SummaryVersion
}
