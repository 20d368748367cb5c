package policy

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// A Finding is something in a valid policy that does not do what whoever wrote
// it may think. It marshals to JSON.
type Finding struct {
	Policy    string `json:"policy"`
	Statement int    `json:"statement"` // its place, from 0
	Sid       string `json:"sid,omitempty"`
	Type      string `json:"type,omitempty"` // of those of Validate
	Code      string `json:"code"`
	Message   string `json:"message"`
}

// The codes of findings.
const (
	// UnknownAction: no action of the service has this name.
	UnknownAction = "UnknownAction"
	// AbsentConditionKey: a request for the action never has the condition key, so
	// that the statement never applies to it.
	AbsentConditionKey = "AbsentConditionKey"
	// IdlePrincipal: no request comes from such a principal.
	IdlePrincipal = "IdlePrincipal"
	// IdleCondition: another statement allows the same without the condition.
	IdleCondition = "IdleCondition"
)

// String is the finding as one sentence.
func (f Finding) String() string {
	where := f.Policy
	if f.Statement >= 0 {
		where = Ref{Policy: f.Policy, Index: f.Statement, Sid: f.Sid}.String()
	}
	if f.Type != "" {
		return where + ": " + f.Type + " " + f.Code + ": " + f.Message
	}
	return where + " " + f.Message
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

// Findings looks for what is valid and yet amiss. It knows the actions and
// condition keys of KMS, RDS, IAM, STS, CloudTrail and Organizations.
func (p *Policy) Findings() []Finding {
	var all []Finding
	for i := range p.Statements {
		s := &p.Statements[i]
		add := func(code, format string, args ...any) {
			all = append(all, Finding{Policy: p.Name, Statement: i, Sid: s.Sid, Code: code, Message: fmt.Sprintf(format, args...)})
		}
		for j := range s.actions {
			s.judge(&s.actions[j], add)
		}
		s.judgePrincipals(add)
		if !s.Deny && p.opened(i) {
			add(IdleCondition, "limits kms:CreateGrant to grants for AWS services, which has no effect: another statement allows it without that condition")
		}
	}
	return all
}

// judge looks at one action of the statement.
func (s *Statement) judge(a *action, add func(code, format string, args ...any)) {
	service := serviceOf(string(a.glob))
	known := reference()[service]
	if known == nil {
		return // a service that is not known, or a pattern for several
	}
	var fit []referenceAction
	for _, r := range known {
		if a.match(r.low) {
			fit = append(fit, r)
		}
	}
	if len(fit) == 0 {
		add(UnknownAction, "names %s, and there is no such action", a.text)
		return
	}
	if s.notAction || service == "sts" {
		return // STS decides about AssumeRole and TagSession with the keys of both
	}
	for i := range s.conditions {
		c := &s.conditions[i]
		if c.toleratesAbsence() || slices.ContainsFunc(fit, func(r referenceAction) bool { return r.has(c.key.low) }) {
			continue
		}
		add(AbsentConditionKey, "never applies to %s: its requests have no %s, which the condition %s wants", a.text, c.key.name, c.name)
	}
}

// toleratesAbsence says that the condition can hold for a request without its key.
func (c *condition) toleratesAbsence() bool {
	return c.ifExists || c.quantifier == forAll || c.operator.compare == null || c.quantifier == single && c.operator.negated
}

// judgePrincipals looks for principals that no request comes from.
func (s *Statement) judgePrincipals(add func(code, format string, args ...any)) {
	if s.Deny || s.notPrincipal || !s.onlyAbout("kms") {
		return
	}
	for _, p := range s.principals {
		switch p.Type {
		case Federated, CanonicalUser:
			add(IdlePrincipal, "lets in %s, and KMS has no callers of type %s", p.Value, p.Type)
		case AWSService:
			if short, _, _ := strings.Cut(p.Value, "."); short == "rds" {
				add(IdlePrincipal, "lets in %s, which uses keys in the name of those who call it and under grants, and needs no statement", p.Value)
			}
		case AWS:
		}
	}
}

// onlyAbout says that all of the statement's actions are a service's.
func (s *Statement) onlyAbout(service string) bool {
	return !s.notAction && !slices.ContainsFunc(s.actions, func(a action) bool { return serviceOf(string(a.glob)) != service })
}

const (
	createGrant   = "kms:creategrant"
	forAWSService = "kms:grantisforawsresource"
)

// opened says that statement i limits CreateGrant to grants for AWS services,
// and another one allows it to the same principals without a condition.
func (p *Policy) opened(i int) bool {
	s := &p.Statements[i]
	limits := slices.ContainsFunc(s.conditions, func(c condition) bool { return c.key.low == forAWSService })
	if !limits || s.notAction || !s.matchesAction(createGrant) || s.notPrincipal {
		return false
	}
	return slices.ContainsFunc(p.Statements, func(o Statement) bool {
		return !o.Deny && len(o.conditions) == 0 && !o.notAction && !o.notPrincipal && !o.notResource && o.matchesAction(createGrant) &&
			o.coversPrincipals(s) && o.coversResources(s)
	})
}

func (s *Statement) coversPrincipals(o *Statement) bool {
	return !slices.ContainsFunc(o.principals, func(p Principal) bool {
		return !slices.ContainsFunc(s.principals, func(q Principal) bool { return q.form == everyone || q.Type == p.Type && q.Value == p.Value })
	})
}

func (s *Statement) coversResources(o *Statement) bool {
	return !o.notResource && !slices.ContainsFunc(o.resources, func(r resource) bool {
		return !slices.ContainsFunc(s.resources, func(q resource) bool { return q.any || q.text == r.text })
	})
}
