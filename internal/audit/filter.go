package audit

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"borealis/internal/cloud"
)

// A Filter says which events to read. The zero value of a field does not narrow
// anything; fields together narrow as all of them.
type Filter struct {
	// Account is the caller's or the owner's of what was asked for.
	Account cloud.AccountID
	// Principal is who called: an ARN, a role's ARN, a unique id, a user's name, or
	// the end of the ARN after a slash or colon.
	Principal string
	// Operation is "Decrypt" or "kms:Decrypt"; also an action that was decided about.
	Operation string
	// Resource is an ARN, or its end after a slash or colon.
	Resource string
	// Decision is "allowed" or "denied". What was allowed may have failed.
	Decision string
	// Since and Until bound the time, including them.
	Since, Until time.Time
	// EventID is the event's id, its id in any account, or its shared id.
	EventID   string
	RequestID string
	// Via is a service that passed the call on: "rds.amazonaws.com" or "rds".
	Via string
	// Texts are texts that a line has in it, wherever.
	Texts []string

	needles [][]byte // that a line which matches has in it; made once
	made    bool
	oldest  string // Since, less the slack, as lines have it
}

// slack is how far the times of neighbours may be out of order: an event has the
// time at which its call began and is written when it ends.
const slack = 2 * time.Minute

var timeMember = []byte(`"eventTime":"`)

// past says that a line, and so everything before it, is too old.
func (f *Filter) past(line []byte) bool {
	if f.Since.IsZero() {
		return false
	}
	if f.oldest == "" {
		f.oldest = f.Since.Add(-slack).UTC().Format(timeForm)
	}
	i := bytes.Index(line[:min(len(line), 256)], timeMember)
	if i < 0 {
		return false
	}
	i += len(timeMember)
	return string(line[i:min(len(line), i+len(f.oldest))]) < f.oldest // of one length, so in the order of time
}

// may takes a quick look at a line. It is right to say no.
func (f *Filter) may(line []byte) bool {
	if !f.made {
		f.made = true
		for _, s := range append([]string{string(f.Account), f.Principal, f.Resource, f.RequestID}, f.Texts...) {
			if s != "" {
				b := appendString(nil, s)
				f.needles = append(f.needles, b[1:len(b)-1])
			}
		}
		if f.Decision == "denied" {
			f.needles = append(f.needles, []byte(`"decision":"denied"`))
		}
		if f.Operation != "" {
			_, name, cut := strings.Cut(f.Operation, ":")
			if !cut {
				name = f.Operation
			}
			b := appendString(nil, name)
			f.needles = append(f.needles, b[1:])
		}
	}
	for _, n := range f.needles {
		if !bytes.Contains(line, n) {
			return false
		}
	}
	return true
}

// Match says whether e is one of those to read.
func (f *Filter) Match(e *Entry) bool {
	return (f.Account == "" || slices.Contains(e.Accounts(), f.Account)) &&
		(f.Principal == "" || f.principal(e)) &&
		(f.Operation == "" || f.operation(e)) &&
		(f.Resource == "" || slices.ContainsFunc(e.Resources(), func(d Decision) bool { return endsIn(d.Resource, f.Resource) })) &&
		(f.Decision == "" || len(e.Decisions) > 0 && e.Denied() == (f.Decision == "denied")) &&
		(f.Since.IsZero() || !e.Time.Before(f.Since)) &&
		(f.Until.IsZero() || !e.Time.After(f.Until)) &&
		(f.EventID == "" || f.event(e)) &&
		(f.RequestID == "" || e.RequestID == f.RequestID) &&
		(f.Via == "" || slices.ContainsFunc(e.Identity.Via, func(v string) bool {
			return v == f.Via || v == f.Via+".amazonaws.com"
		}))
}

func (f *Filter) principal(e *Entry) bool {
	i := &e.Identity
	return endsIn(i.ARN, f.Principal) || endsIn(i.Role, f.Principal) || i.PrincipalID == f.Principal || i.UserName == f.Principal
}

func (f *Filter) operation(e *Entry) bool {
	return f.Operation == e.Name || f.Operation == e.Service()+":"+e.Name ||
		slices.ContainsFunc(e.Decisions, func(d Decision) bool { return d.Action == f.Operation })
}

func (f *Filter) event(e *Entry) bool {
	if e.ID == f.EventID {
		return true
	}
	accounts := e.Accounts()
	return len(accounts) > 1 && e.SharedID() == f.EventID ||
		slices.ContainsFunc(accounts, func(a cloud.AccountID) bool { return e.IDIn(a) == f.EventID })
}

// endsIn says whether arn is s, or ends in s after a slash or a colon.
func endsIn(arn, s string) bool {
	rest, ok := strings.CutSuffix(arn, s)
	return ok && (rest == "" || strings.HasSuffix(rest, "/") || strings.HasSuffix(rest, ":"))
}
