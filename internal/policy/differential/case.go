package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// A testCase is a request and all that is said about it. As JSON it is one line, and
// all that the other evaluator gets to see.
type testCase struct {
	ID        int              `json:"id"`
	Kind      string           `json:"kind"`      // User, AssumedRole, Root or Service
	Principal string           `json:"principal"` // an ARN, of a session for AssumedRole; a service's name for Service
	Account   string           `json:"account"`   // the caller's; "" for a service
	Action    string           `json:"action"`
	Resource  string           `json:"resource"`
	Owner     string           `json:"owner"`     // the account of the resource
	MustAllow bool             `json:"mustAllow"` // the resource's policy has to let in callers of its account too
	Context   map[string]texts `json:"context"`   // all condition keys, also those that follow from the rest

	Identity        []document   `json:"identity,omitempty"`
	Boundary        *document    `json:"boundary,omitempty"`
	Session         *document    `json:"session,omitempty"`
	ResourcePolicy  *document    `json:"resourcePolicy,omitempty"`
	ServiceControl  [][]document `json:"serviceControl,omitempty"`
	ResourceControl [][]document `json:"resourceControl,omitempty"`
}

// texts marshals as a list even where it is empty: a key without values is not an
// absent key.
type texts []string

func (t texts) MarshalJSON() ([]byte, error) {
	if t == nil {
		return []byte("[]"), nil
	}
	return json.Marshal([]string(t))
}

// values are one or several strings; one is written without brackets.
type values []string

func (v values) MarshalJSON() ([]byte, error) { return json.Marshal(policy.Values(v)) }

func (v *values) UnmarshalJSON(text []byte) error {
	if text[0] == '[' {
		return json.Unmarshal(text, (*[]string)(v))
	}
	*v = values{""}
	return json.Unmarshal(text, &(*v)[0])
}

type document struct {
	Version   string
	Statement []statement
}

type statement struct {
	Effect       string
	Principal    principals `json:",omitempty"`
	NotPrincipal principals `json:",omitempty"`
	Action       values     `json:",omitempty"`
	NotAction    values     `json:",omitempty"`
	Resource     values     `json:",omitempty"`
	NotResource  values     `json:",omitempty"`
	Condition    conditions `json:",omitempty"`
}

// principals are of type AWS, but those that end in ".amazonaws.com". One "*" alone
// is written in its short form.
type principals []string

func (p principals) MarshalJSON() ([]byte, error) {
	if len(p) == 1 && p[0] == "*" {
		return []byte(`"*"`), nil
	}
	out := map[string]values{}
	for _, name := range p {
		kind := "AWS"
		if strings.HasSuffix(name, ".amazonaws.com") {
			kind = "Service"
		}
		out[kind] = append(out[kind], name)
	}
	return json.Marshal(out)
}

func (p *principals) UnmarshalJSON(text []byte) error {
	if text[0] == '"' {
		*p = principals{"*"}
		return nil
	}
	var kinds map[string]values
	err := json.Unmarshal(text, &kinds)
	*p = append(principals(kinds["AWS"]), kinds["Service"]...)
	return err
}

type conditions map[string]map[string]values

// The verdicts, as a line of the other evaluator names them. What else it says is an
// error of its own.
const (
	allowed  = "Allowed"
	explicit = "ExplicitlyDenied"
	implicit = "ImplicitlyDenied"
)

type verdict struct {
	ID      int    `json:"id"`
	Verdict string `json:"verdict"`
}

// decide is our own verdict.
func (c *testCase) decide() (string, error) {
	q, err := c.question()
	if err != nil {
		return "", err
	}
	switch d := q.Decide(); {
	case d.Allowed:
		return allowed, nil
	case d.Explicit:
		return explicit, nil
	}
	return implicit, nil
}

func (c *testCase) question() (policy.Question, error) {
	q := policy.Question{
		Caller: c.caller(), Action: c.Action, Resource: c.Resource, Owner: cloud.AccountID(c.Owner),
		ResourceMustAllow: c.MustAllow, Now: now, Context: policy.Context{},
	}
	q.CallerOrg.Organization = c.value("aws:PrincipalOrgID")
	q.OwnerOrg.Organization = c.value("aws:ResourceOrgID")
	for name, values := range c.Context {
		q.Context[name] = append([]string{}, values...)
	}
	p := parser{}
	resource := policy.ResourceKind
	if c.Action == "sts:AssumeRole" {
		resource = policy.TrustKind
	}
	for i := range c.Identity {
		q.Identity.Policies = append(q.Identity.Policies, p.parse(policy.InlineKind, "identity", &c.Identity[i]))
	}
	q.Identity.Boundary = p.parse(policy.InlineKind, "boundary", c.Boundary)
	if c.Session != nil {
		q.Identity.Session = []*policy.Policy{p.parse(policy.InlineKind, "session", c.Session)}
	}
	q.ResourcePolicy = p.parse(resource, "resource", c.ResourcePolicy)
	q.ServiceControl.Levels = p.levels(policy.InlineKind, c.ServiceControl)
	q.ResourceControl.Levels = p.levels(policy.ResourceKind, c.ResourceControl)
	if c.MustAllow && c.ResourcePolicy == nil {
		return q, errors.New("keys and roles have policies")
	}
	if c.Kind == "Root" && len(c.Identity) == 0 {
		return q, errors.New("root users may do everything")
	}
	return q, p.err
}

// value is the only value of a condition key, "" if it has none.
func (c *testCase) value(name string) string {
	if v := c.Context[name]; len(v) == 1 {
		return v[0]
	}
	return ""
}

func (c *testCase) caller() cloud.Caller {
	out := cloud.Caller{
		Kind: cloud.PrincipalKind(c.Kind), Account: cloud.AccountID(c.Account), ARN: c.Principal, Principal: c.value("aws:PrincipalArn"),
		UserID: c.value("aws:userid"), UserName: c.value("aws:username"), Region: "eu-west-1",
		SourceIP: c.value("aws:SourceIp"), SecureTransport: c.value("aws:SecureTransport") == "true",
		MFA: c.value("aws:MultiFactorAuthPresent") == "true",
	}
	if out.Kind == cloud.Service {
		out.ARN, out.Service = "", c.Principal
	}
	if t, err := time.Parse(time.RFC3339, c.value("aws:TokenIssueTime")); err == nil {
		out.TokenIssued = t
	}
	for name, values := range c.Context {
		if tag, ok := strings.CutPrefix(name, "aws:PrincipalTag/"); ok && len(values) == 1 {
			out.Tags = map[string]string{tag: values[0]}
		}
	}
	return out
}

// A parser reads documents until one cannot be read.
type parser struct{ err error }

func (p *parser) parse(kind policy.Kind, name string, d *document) *policy.Policy {
	if d == nil || p.err != nil {
		return nil
	}
	text, err := json.Marshal(d)
	if err != nil {
		p.err = err
		return nil
	}
	out, err := kind.Parse(name, string(text))
	if err != nil {
		p.err = fmt.Errorf("%s policy %s: %w", name, text, err)
		return nil
	}
	return out
}

func (p *parser) levels(kind policy.Kind, all [][]document) (out []policy.Level) {
	for i, docs := range all {
		l := policy.Level{Name: fmt.Sprint("level ", i)}
		for j := range docs {
			l.Policies = append(l.Policies, p.parse(kind, "control", &docs[j]))
		}
		out = append(out, l)
	}
	return out
}
