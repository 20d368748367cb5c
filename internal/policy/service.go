package policy

import "strings"

// SpeaksOf says whether the policy allows anything of a service ("kms"), whatever
// else of it is denied and on whatever conditions.
func (p *Policy) SpeaksOf(service string) bool {
	for i := range p.Statements {
		if s := &p.Statements[i]; !s.Deny && s.speaksOf(service) {
			return true
		}
	}
	return false
}

// speaksOf says whether there may be an action of the service among the
// statement's: for NotAction, unless it leaves out all of them.
func (s *Statement) speaksOf(service string) bool {
	for i := range s.actions {
		of, operation, _ := strings.Cut(s.actions[i].text, ":")
		if of != "*" && !strings.EqualFold(of, service) {
			continue
		}
		if !s.notAction || of == "*" || operation == "*" {
			return !s.notAction
		}
	}
	return s.notAction
}
