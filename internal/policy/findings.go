package policy

import (
	_ "embed"
	"slices"
	"strings"
	"sync"
)

// A Finding is something in a document that is wrong, or that does not do what
// whoever wrote it may think. It marshals to JSON.
type Finding struct {
	Policy    string `json:"policy"`
	Statement int    `json:"statement"` // its place, from 0
	Sid       string `json:"sid,omitempty"`
	Type      string `json:"type"`
	Code      string `json:"code"`
	Message   string `json:"message"`
	// Locations are the places in the document that it is about.
	Locations []Location `json:"locations,omitempty"`

	in []extent
}

// The codes that are ours. Findings of these are of type FindingWarning.
const (
	// PrincipalWithoutEffect: no request comes from such a principal.
	PrincipalWithoutEffect = "PRINCIPAL_WITHOUT_EFFECT"
	// ConditionWithoutEffect: another statement allows the same without the condition.
	ConditionWithoutEffect = "CONDITION_WITHOUT_EFFECT"
	// AllowWithoutEffect: another statement denies all that is allowed.
	AllowWithoutEffect = "ALLOW_WITHOUT_EFFECT"
	// ValueWithoutEffect: no request has the condition key with such a value.
	ValueWithoutEffect = "VALUE_WITHOUT_EFFECT"
)

// String is the finding as one sentence.
func (f Finding) String() string {
	where := f.Policy
	if f.Statement >= 0 {
		where = Ref{Policy: f.Policy, Index: f.Statement, Sid: f.Sid}.String()
	}
	return where + ": " + f.Type + " " + f.Code + ": " + f.Message
}

// Ours says that the finding's code is none of AWS's.
func (f Finding) Ours() bool {
	switch f.Code {
	case PrincipalWithoutEffect, ConditionWithoutEffect, AllowWithoutEffect, ValueWithoutEffect:
		return true
	}
	return false
}

// Link is where AWS says more about findings of the code; for codes of ours, about all.
func (f Finding) Link() string {
	const page = "https://docs.aws.amazon.com/IAM/latest/UserGuide/access-analyzer-reference-policy-checks.html"
	kind := map[string]string{FindingError: "error", FindingSecurityWarning: "security-warning", FindingWarning: "general-warning", FindingSuggestion: "suggestion"}[f.Type]
	if f.Ours() {
		return page
	}
	return page + "#access-analyzer-reference-policy-checks-" + kind + "-" + strings.ReplaceAll(lowered(f.Code), "_", "-")
}

//go:embed reference.txt
var referenceText string

// A referenceAction is an action of AWS's service authorization reference.
type referenceAction struct {
	name string   // as AWS writes it
	low  string   // in lower case
	keys []string // its condition keys in lower case, without what a request fills in
	on   []string // the types of its resources; none for "*"
}

// reference are the actions of each service that is known, by its name.
var reference = sync.OnceValue(func() map[string][]referenceAction {
	all := map[string][]referenceAction{}
	for line := range strings.Lines(referenceText) {
		f := strings.Fields(line)
		a := referenceAction{name: f[0], low: lowered(f[0])}
		if f[1] != "*" {
			a.on = strings.Split(f[1], ",")
		}
		for _, key := range f[2:] {
			key, _, _ = strings.Cut(lowered(key), "${")
			a.keys = append(a.keys, key)
		}
		all[serviceOf(f[0])] = append(all[serviceOf(f[0])], a)
	}
	return all
})

// has says whether requests for the action can have a condition key, which is in
// lower case. Keys of other services, and the global ones, are not judged.
func (a *referenceAction) has(key string) bool {
	if serviceOf(key) != serviceOf(a.low) {
		return true
	}
	return slices.ContainsFunc(a.keys, func(k string) bool {
		open := strings.HasSuffix(k, ":") || strings.HasSuffix(k, "/")
		return k == key || open && strings.HasPrefix(key, k)
	})
}

// ResourceTypes are the types of resources that an action can be about, as AWS's
// reference calls them; none if it is about no resource, or not known.
func ResourceTypes(action string) []string {
	low := lowered(action)
	for _, a := range reference()[serviceOf(low)] {
		if a.low == low {
			return slices.Clone(a.on)
		}
	}
	return nil
}

// nearest is the one of the known actions that low, in lower case, may be misspelt for:
// the first that takes two changes of a letter at most; "" if none does.
func nearest(known []referenceAction, low string) string {
	name, least := "", 3
	for _, a := range known {
		if d := distance(a.low, low, least); d < least {
			name, least = a.name, d
		}
	}
	return name
}

// distance is how many letters have to be changed, added or left out to make b of a, or
// most if it is no less.
func distance(a, b string, most int) int {
	if len(a)-len(b) >= most || len(b)-len(a) >= most {
		return most
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			changed := diagonal
			if a[i] != b[j] {
				changed++
			}
			diagonal = row[j+1]
			row[j+1] = min(changed, row[j]+1, row[j+1]+1)
		}
	}
	return min(row[len(b)], most)
}
