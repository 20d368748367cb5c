package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"borealis/internal/audit"
	"borealis/internal/cloud"
	"borealis/internal/inquiry"
	"borealis/internal/policy"
)

// Explain answers a question about the policies that are here. It changes
// nothing, and nothing of it is on record.
func (s *Server) Explain(ctx context.Context, a inquiry.Ask) (inquiry.Answer, error) {
	return inquiry.Put(ctx, served{s}, a, time.Now())
}

func (r *remote) Explain(ctx context.Context, a inquiry.Ask) (out inquiry.Answer, err error) {
	body, err := json.Marshal(a)
	if err != nil {
		return out, err
	}
	err = r.ask(ctx, http.MethodPost, "/explain", bytes.NewReader(body), &out)
	if err != nil && strings.HasPrefix(err.Error(), inquiry.ErrAsk.Error()) { // only its words came through the door
		err = fmt.Errorf("%w%s", inquiry.ErrAsk, strings.TrimPrefix(err.Error(), inquiry.ErrAsk.Error()))
	}
	return out, err
}

// served is a server as the source of principals and policies.
type served struct{ *Server }

// Caller implements inquiry.Source.
func (s served) Caller(ctx context.Context, arn, name string) (cloud.Caller, error) {
	id, err := s.identity.PrincipalID(ctx, arn)
	if err != nil {
		return cloud.Caller{}, err
	}
	id, session, isSession := strings.Cut(id, ":")
	if isSession {
		name = session
	}
	c, err := s.identity.Caller(ctx, id)
	if c.Kind == cloud.AssumedRole {
		c.ARN += "/" + name
		c.UserID = id + ":" + name
	}
	return c, err
}

// Complete implements inquiry.Source.
func (s served) Complete(ctx context.Context, q *policy.Question) error {
	return s.identity.Complete(ctx, q)
}

// Key implements inquiry.Source.
func (s served) Key(ctx context.Context, q *policy.Question) error {
	return s.keys.As(q.Caller).Question(ctx, q)
}

// Trust implements inquiry.Source.
func (s served) Trust(ctx context.Context, role string) (*policy.Policy, error) {
	r, err := s.identity.Role(ctx, role)
	return r.Trust, err
}

// Unknown implements inquiry.Source.
func (s served) Unknown() []string {
	return []string{"tags of resources that are not keys, and condition keys that follow from the request's parameters: only --context says them"}
}

// Asks are the questions that an event of the audit log was about, as far as it
// tells: those that were denied, or all if none was.
func Asks(e *audit.Entry) []inquiry.Ask {
	var all []inquiry.Ask
	for _, d := range e.Decisions {
		if e.Denied() && d.Decision != "denied" {
			continue
		}
		a := inquiry.Ask{
			Principal: e.Identity.ARN, Action: d.Action, Resource: d.Resource, Context: eventContext(e, d.Action),
			Recorded: inquiry.Recorded(d.Decision == "allowed", d.Reason),
			Unknown: []string{
				"the policies as they were at " + e.Time.UTC().Format(time.RFC3339) + ": they are read as they are now",
				"which of the request's parameters were condition keys, where the log does not have them; and whether it came over TLS, which is taken for granted",
			},
		}
		if a.Resource == "" {
			a.Resource = "*"
		}
		if then, ok := policy.ReadSummary(d.Explanation); ok {
			a.Then = &then
		}
		if e.Identity.Type == "AssumedRole" {
			a.Unknown = append(a.Unknown, "the session's own policies and tags: the log does not have them")
		}
		if via := e.Identity.Via; len(via) > 0 {
			service, _, _ := strings.Cut(via[len(via)-1], ".")
			a.Via = service + "." + e.Region + ".amazonaws.com"
			if len(via) > 1 {
				a.Unknown = append(a.Unknown, "the services before the last of "+strings.Join(via, ", ")+", which passed it on one to the other")
			}
		}
		all = append(all, a)
	}
	return all
}

// eventContext are the condition keys that an event tells.
func eventContext(e *audit.Entry, action string) policy.Context {
	c := policy.Context{"aws:CurrentTime": {e.Time.UTC().Format(time.RFC3339)}}
	set := func(name, value string) {
		if value != "" {
			c[name] = []string{value}
		}
	}
	set("aws:SourceIp", e.SourceIP)
	set("aws:UserAgent", e.UserAgent)
	set("aws:SourceIdentity", e.Identity.SourceIdentity)
	if _, err := cloud.ParseRegion(e.Region); err == nil {
		set("aws:RequestedRegion", e.Region)
	}
	if at := e.Identity.SessionStarted; at != nil {
		set("aws:TokenIssueTime", at.UTC().Format(time.RFC3339))
		set("aws:MultiFactorAuthPresent", fmt.Sprint(e.Identity.MFA))
	}
	if strings.HasPrefix(action, "kms:") {
		addKMSParameters(c, e.Parameters, set)
	}
	return c
}

// addKMSParameters adds the condition keys that follow from a KMS call's parameters.
func addKMSParameters(c policy.Context, raw json.RawMessage, set func(name, value string)) {
	var p struct {
		EncryptionContext                                        map[string]string
		Operations                                               []string
		GranteePrincipal, RetiringPrincipal, EncryptionAlgorithm string
		GranteeServicePrincipal, RetiringServicePrincipal        string
		SigningAlgorithm, MacAlgorithm, MessageType              string
	}
	if len(raw) == 0 || json.Unmarshal(raw, &p) != nil {
		return // a list where an object is wanted: no parameters of KMS
	}
	for k, v := range p.EncryptionContext {
		c["kms:EncryptionContext:"+k] = []string{v}
		c["kms:EncryptionContextKeys"] = append(c["kms:EncryptionContextKeys"], k)
	}
	if len(p.Operations) > 0 {
		c["kms:GrantOperations"] = p.Operations
	}
	set("kms:GranteePrincipal", p.GranteePrincipal)
	set("kms:RetiringPrincipal", p.RetiringPrincipal)
	set("kms:GranteeServicePrincipal", p.GranteeServicePrincipal)
	set("kms:RetiringServicePrincipal", p.RetiringServicePrincipal)
	set("kms:EncryptionAlgorithm", p.EncryptionAlgorithm)
	set("kms:SigningAlgorithm", p.SigningAlgorithm)
	set("kms:MacAlgorithm", p.MacAlgorithm)
	set("kms:MessageType", p.MessageType)
}
