package policy

import (
	"fmt"
	"slices"
	"strings"
)

// withoutEffect looks for what other statements of the document make idle: what is allowed
// and denied too, and conditions of what is allowed without them. CreateGrant is what
// policies of keys try to limit.
func (v *validation) withoutEffect(all []*rawStatement) {
	for _, s := range all {
		if s.effect != "Allow" || !s.plain() || len(s.actions) == 0 {
			continue
		}
		v.at, v.sid = s.at, s.sid
		for _, o := range all {
			if o == s || !o.plain() || !v.over(o, s) {
				continue
			}
			if o.effect == "Deny" {
				v.denied(s, o)
			} else if o.effect == "Allow" && len(o.conditions) == 0 && len(s.conditions) > 0 {
				v.unlimited(s, o)
			}
		}
	}
}

// denied finds actions of s that o denies.
func (v *validation) denied(s, o *rawStatement) {
	names, places := v.within(s, o)
	if names != nil {
		v.look(places...)
		v.warn(AllowWithoutEffect, "The following actions are not allowed: %s. %s denies them.", strings.Join(names, ", "), o.called())
	}
}

// unlimited finds conditions of s that o makes idle, as it allows the same without any.
func (v *validation) unlimited(s, o *rawStatement) {
	names, places := v.within(s, o)
	grants := slices.ContainsFunc(s.conditions, func(c rawCondition) bool { return EqualFold(c.key, "kms:GrantIsForAWSResource") })
	if names == nil && grants && v.has(s, createGrant) && v.has(o, createGrant) {
		names = []string{"kms:CreateGrant"}
	}
	if names != nil {
		v.look(append(places, s.member("Condition").value.in)...)
		v.warn(ConditionWithoutEffect, "The condition does not limit the following actions: %s. %s allows them without it.", strings.Join(names, ", "), o.called())
	}
}

const createGrant = "kms:creategrant"

// called is how the statement is called at the beginning of a sentence.
func (s *rawStatement) called() string {
	if s.sid != "" {
		return fmt.Sprintf("Statement %d (%q)", s.at, s.sid)
	}
	return fmt.Sprintf("Statement %d", s.at)
}

// plain says that the statement names what it is about, and not all the rest.
func (s *rawStatement) plain() bool {
	return s.action != nil && !s.notAction && !s.notResource && !s.notPrincipal
}

// within are the actions of s, and where, that o is about too.
func (v *validation) within(s, o *rawStatement) (names []string, places []extent) {
	for _, p := range o.actions {
		g := toGlob(lowered(p.text))
		for _, a := range s.actions {
			if v.work < 0 {
				return names, places
			}
			if v.covers(g, lowered(a.text)) && !slices.Contains(places, a.in) {
				names, places = append(names, a.text), append(places, a.in)
			}
		}
	}
	return names, places
}

// has says that the statement is about the action, which is in lower case.
func (v *validation) has(s *rawStatement, action string) bool {
	return slices.ContainsFunc(s.actions, func(a *node) bool { return v.matches(toGlob(lowered(a.text)), action) })
}

// over says that o applies to all principals and resources that s applies to, and has no
// condition that s does not have.
func (v *validation) over(o, s *rawStatement) bool {
	v.work -= 16 * (1 + len(o.conditions)*len(s.conditions) + len(o.resources)*len(s.resources))
	if v.work < 0 {
		return false
	}
	for _, c := range o.conditions {
		if !slices.ContainsFunc(s.conditions, func(d rawCondition) bool {
			return c.name == d.name && EqualFold(c.key, d.key) && c.value.canonical() == d.value.canonical()
		}) {
			return false
		}
	}
	for _, r := range s.resources {
		if !slices.ContainsFunc(o.resources, func(p *node) bool { return coversResource(p.text, r.text) }) {
			return false
		}
	}
	return v.overPrincipals(o, s)
}

// coversResource says that pattern p, of the forms of which that is easily said, fits all that r
// does: a * at its end reaches past colons.
func coversResource(p, r string) bool {
	head, star := strings.CutSuffix(p, "*")
	return p == r || star && !strings.ContainsAny(head, "*?$") && strings.HasPrefix(r, head)
}

func (v *validation) overPrincipals(o, s *rawStatement) bool {
	if s.principal == nil || o.principal == nil {
		return s.principal == o.principal
	}
	these, everyone := principalNames(o.principal)
	those, _ := principalNames(s.principal)
	v.work -= 16 * (len(these) + len(those))
	if everyone {
		return true
	}
	named := map[string]bool{}
	for _, n := range these {
		named[n] = true
	}
	return those != nil && v.work >= 0 && !slices.ContainsFunc(those, func(n string) bool { return !named[n] })
}

// principalNames are the principals of an element with their types, and whether everyone
// is among them.
func principalNames(n *node) (all []string, everyone bool) {
	everyone = n.kind == 's' && n.text == "*"
	for i := range n.members {
		names, _ := n.members[i].value.list()
		for _, name := range names {
			all = append(all, n.members[i].name+":"+name)
			everyone = everyone || name == "*" && n.members[i].name == string(AWS)
		}
	}
	return all, everyone
}

// viaService finds values of kms:ViaService that no request has: those are of the form
// service.region.amazonaws.com.
func (v *validation) viaService(c *rawCondition, text string) {
	if !EqualFold(c.key, "kms:ViaService") || strings.ContainsAny(text, "*?$") {
		return
	}
	if f := strings.Split(text, "."); len(f) < 4 || !strings.Contains(f[1], "-") {
		v.warn(ValueWithoutEffect, "No request has the value %s for the condition key %s. Use the form service.region.amazonaws.com, such as rds.eu-west-1.amazonaws.com.", text, c.key)
	}
}
