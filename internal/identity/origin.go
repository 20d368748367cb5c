package identity

import (
	"borealis/internal/policy"
)

// An origin is a policy on a principal's side, and where it comes from.
type origin struct {
	policy *policy.Policy
	of     Entity // to which it is attached: the principal itself, or a group of it
	inline string // its name, if it is an inline policy
	arn    string // its ARN, if it is a managed one
}

// id is what the policy simulator calls the policy.
func (o origin) id() string {
	if o.inline != "" {
		return string(o.of.Kind) + "_" + o.of.Name + "_" + o.inline
	}
	return policyName(o.arn)
}

// originsOf collects the policies of e: inline, attached, and its groups'.
func (s *Service) originsOf(tx Tx, e Entity) ([]origin, error) {
	var all []origin
	for _, in := range e.Inline {
		p, err := s.known.parse(inlineName(e, in), in.Document)
		if err != nil {
			return nil, err
		}
		all = append(all, origin{policy: p, of: e, inline: in.Name})
	}
	attached, err := tx.LinksFrom(e.ID, Attached)
	if err != nil {
		return nil, err
	}
	for _, l := range attached {
		p, err := s.managed(tx, l.Target)
		if err != nil {
			return nil, err
		}
		all = append(all, origin{policy: p, of: e, arn: l.Target})
	}
	groups, err := tx.LinksFrom(e.ID, Member)
	if err != nil {
		return nil, err
	}
	for _, l := range groups {
		g, err := tx.EntityByID(l.Target)
		if err != nil {
			return nil, err
		}
		more, err := s.originsOf(tx, g)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

// policiesOf are the policies of e and of its groups.
func (s *Service) policiesOf(tx Tx, e Entity) ([]*policy.Policy, error) {
	all, err := s.originsOf(tx, e)
	return parsed(all), err
}

// parsed are the policies alone.
func parsed(all []origin) []*policy.Policy {
	var out []*policy.Policy
	for _, o := range all {
		out = append(out, o.policy)
	}
	return out
}
