package policy

import "strings"

// An actionIndex finds the statements of a policy that can be about an action,
// by the action's service. Both lists are in the statements' order.
type actionIndex struct {
	services map[string][]int // those whose patterns all name a service, under each
	rest     []int            // those with a pattern or NotAction for any service
}

func (p *Policy) index() {
	p.actions.services = map[string][]int{}
	for i := range p.Statements {
		names, ok := p.Statements[i].services()
		if !ok {
			p.actions.rest = append(p.actions.rest, i)
			continue
		}
		for name := range names {
			p.actions.services[name] = append(p.actions.services[name], i)
		}
	}
}

// services are the services that the statement's actions name; ok is false if
// they may be any.
func (s *Statement) services() (names map[string]bool, ok bool) {
	names = map[string]bool{}
	for _, a := range s.actions {
		service, _, found := strings.Cut(string(a.glob), ":")
		if !found || s.notAction || strings.IndexByte(service, 0xff) >= 0 || strings.IndexByte(service, 0xfe) >= 0 {
			return nil, false
		}
		names[service] = true
	}
	return names, true
}

// candidates are the statements that can be about an action, whose name is in
// lower case, in order.
func (p *Policy) candidates(action string) candidates {
	service, _, _ := strings.Cut(action, ":")
	return candidates{named: p.actions.services[service], rest: p.actions.rest}
}

// A candidates walks two ordered lists as one.
type candidates struct {
	named, rest []int
	at          int
}

func (c *candidates) next() bool {
	switch {
	case len(c.named) == 0 && len(c.rest) == 0:
		return false
	case len(c.rest) == 0 || len(c.named) > 0 && c.named[0] < c.rest[0]:
		c.at, c.named = c.named[0], c.named[1:]
	default:
		c.at, c.rest = c.rest[0], c.rest[1:]
	}
	return true
}
