package policy

import (
	"slices"
	"strings"
)

func (v *validation) actions(s *rawStatement) {
	switch {
	case s.action == nil:
		v.look(s.source.in)
		v.fail("MISSING_ACTION", "Add an Action or NotAction element to the policy statement.")
	case len(s.actions) == 0 && s.action.kind == '[' && len(s.action.items) == 0:
		v.look(s.action.in)
		v.suggest("EMPTY_ARRAY_ACTION", "This statement includes no actions and does not affect the policy. Specify actions.")
	}
	redundant := v.redundant(s.actions, lowered)
	for i, a := range s.actions {
		v.look(a.in)
		v.literal(a.text)
		v.actionExists(a.text)
		if redundant[i] {
			v.suggest("REDUNDANT_ACTION", "The 1 action(s) are redundant because they provide similar permissions. Update the policy to remove the redundant action such as: %s.", a.text)
		}
	}
}

func (v *validation) actionExists(a string) {
	service, _, _ := strings.Cut(lowered(a), ":")
	if service != "*" && strings.ContainsAny(service, "*?") {
		v.suggest("WILDCARD_IN_SERVICE_NAME", "Avoid using wildcards (*, ?) in the service name because it might grant unintended access to other AWS services with similar names.")
	}
	known := reference()[service]
	if known == nil || len(v.fitting(known, a)) > 0 || v.work < 0 {
		return
	}
	if v.work -= 1000 * len(known); v.work < 0 {
		return
	}
	if near := nearest(known, lowered(a)); near != "" {
		v.fail("INVALID_ACTION", "The action %s does not exist. Did you mean %s?", a, near)
		return
	}
	v.fail("INVALID_ACTION", "The action %s does not exist.", a)
}

// fitting are the known actions that a pattern matches.
func (v *validation) fitting(known []referenceAction, pattern string) (fit []referenceAction) {
	if v.work < 0 {
		return nil
	}
	g := toGlob(lowered(pattern))
	for i := range known {
		if v.matches(g, known[i].low) {
			fit = append(fit, known[i])
		}
	}
	return fit
}

// redundant says which of the texts repeat an earlier one, or fit a pattern that is not
// the same text.
func (v *validation) redundant(nodes []*node, fold func(string) string) []bool {
	out, seen := make([]bool, len(nodes)), map[string]bool{}
	var patterns []string
	texts := make([]string, len(nodes))
	for i, n := range nodes {
		texts[i] = fold(n.text)
		if out[i] = seen[texts[i]]; !out[i] && strings.ContainsAny(texts[i], "*?") {
			patterns = append(patterns, texts[i])
		}
		seen[texts[i]] = true
	}
	for _, p := range patterns {
		g := toGlob(p)
		for i, text := range texts {
			if v.work < 0 {
				return out
			}
			out[i] = out[i] || text != p && v.covers(g, text)
		}
	}
	return out
}

// covers says that what fits text, which may be a pattern, fits the pattern g too. A ? of g
// stands for no * of text.
func (v *validation) covers(g glob, text string) bool {
	if strings.IndexByte(string(g), one) >= 0 && strings.IndexByte(text, '*') >= 0 {
		v.work -= 16 + len(g)
		return toGlob(text) == g
	}
	return v.matches(g, text)
}

// passing finds statements that let roles be passed on, or service-linked roles be made,
// for more than is named.
func (v *validation) passing(s *rawStatement) {
	if s.effect != "Allow" || v.typ != InlineKind {
		return
	}
	if s.action == nil || s.resource == nil {
		return
	}
	v.look(s.action.in, s.resource.in)
	if code, text := v.tooMuch(s, "iam:PassRole", "iam:PassedToService"); code != "" {
		end := "specify resource ARNs or add the iam:PassedToService condition key to your statement."
		if s.notResource {
			end = "specify resource ARNs instead."
		}
		v.security("PASS_ROLE_WITH_"+code, "Using %s can be overly permissive because it allows iam:PassRole permissions on multiple resources. We recommend that you %s", text, end)
	}
	if code, text := v.tooMuch(s, "iam:CreateServiceLinkedRole", "iam:AWSServiceName"); code != "" {
		v.warn("CREATE_SLR_WITH_"+code, "Using %s can allow creation of unintended service-linked roles. We recommend that you specify resource ARNs instead.", text)
	}
}

// tooMuch says how the statement covers action on resources that it does not name; ""
// if it does not, or limits it by key.
func (v *validation) tooMuch(s *rawStatement, action, key string) (code, text string) {
	star := slices.ContainsFunc(s.resources, func(r *node) bool { return strings.Trim(r.text, "*") == "" && r.text != "" })
	limited := slices.ContainsFunc(s.conditions, func(c rawCondition) bool { return EqualFold(c.key, key) })
	if limited || !s.notResource && !star {
		return "", ""
	}
	exact := slices.ContainsFunc(s.actions, func(a *node) bool { return EqualFold(a.text, action) })
	covered := slices.ContainsFunc(s.actions, func(a *node) bool { return v.matches(toGlob(lowered(a.text)), lowered(action)) })
	if covered == s.notAction {
		return "", ""
	}
	switch {
	case s.notAction && s.notResource:
		return "NOT_ACTION_AND_NOT_RESOURCE", "NotAction with NotResource"
	case s.notAction:
		return "STAR_IN_RESOURCE_AND_NOT_ACTION", "a resource with wildcards (*) and NotAction"
	case exact && s.notResource:
		return "NOT_RESOURCE", "the " + action + " action with NotResource"
	case s.notResource:
		return "STAR_IN_ACTION_AND_NOT_RESOURCE", "an action with a wildcard (*) and NotResource"
	case exact:
		return "STAR_IN_RESOURCE", "the " + action + " action with wildcards (*) in the resource"
	}
	return "STAR_IN_ACTION_AND_RESOURCE", "wildcards (*) in the action and the resource"
}
