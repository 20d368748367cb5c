// Package inquiry puts questions about policies from outside a request: who may
// do what, why, and what would have to change. It takes the policies from files
// that AWS's own commands wrote, or from a server that runs.
package inquiry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// An Ask is what a user wants to know. It marshals to JSON.
type Ask struct {
	// Principal is the ARN of a user, a role, a role's session or a root user, or a
	// service's name ("rds.amazonaws.com").
	Principal string `json:"principal"`
	Action    string `json:"action"`   // "kms:CreateGrant"
	Resource  string `json:"resource"` // an ARN, or "*"
	// Via is the service that passes the request on in the principal's name, such as
	// "rds.eu-west-1.amazonaws.com" or "rds"; "" for none.
	Via string `json:"via,omitempty"`
	// Context holds condition keys of the request, by full name.
	Context policy.Context `json:"context,omitempty"`
	// Recorded is how it was decided when it was asked for real; "" if it was not.
	Recorded string `json:"recorded,omitempty"`
	// Then is why, as the policies and the request were when it was asked for real;
	// nil if that is not known.
	Then *policy.Summary `json:"then,omitempty"`
	// Unknown is what whoever asks knows to be missing.
	Unknown []string `json:"unknown,omitempty"`
}

// Version is the version of an Answer's JSON. Members may be added without a new one.
const Version = 1

// An Answer is all there is to say to an Ask.
type Answer struct {
	Version     int                `json:"version"`
	Ask         Ask                `json:"ask"`
	Sentence    string             `json:"sentence"`
	Explanation policy.Explanation `json:"explanation,omitzero"`
	Advice      policy.Advice      `json:"advice,omitzero"`
	// Unanswered says why there is no explanation: what was asked for real cannot be
	// asked again, as its caller or key is gone.
	Unanswered string `json:"unanswered,omitempty"`
	// Differs says that it was decided otherwise when it was asked for real, by
	// another answer or for another reason.
	Differs bool `json:"differs,omitempty"`
	// Unknown is what could not be known, and might change the answer.
	Unknown []string `json:"unknown,omitempty"`
}

// ErrAsk says that an Ask cannot be put: something in it is missing or malformed.
var ErrAsk = errors.New("cannot be asked")

func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrAsk, fmt.Sprintf(format, args...))
}

// A Source knows policies and principals. What it does not have is cloud.ErrNotFound.
type Source interface {
	// Caller is the principal with an ARN, as its requests begin: without what
	// belongs to one request. For a role it is a session, with name for the session
	// if the ARN has none.
	Caller(ctx context.Context, arn, name string) (cloud.Caller, error)
	// Complete adds to q what speaks for q.Caller or limits it, and what organizations
	// say of its account and of the resource's.
	Complete(ctx context.Context, q *policy.Question) error
	// Key completes q, which is about a KMS key, with the key's side.
	Key(ctx context.Context, q *policy.Question) error
	// Trust is a role's trust policy.
	Trust(ctx context.Context, role string) (*policy.Policy, error)
	// Unknown is what this source never knows.
	Unknown() []string
}

// OnRecord answers a with what is on record alone, as err keeps it from being put.
func OnRecord(a Ask, err error) Answer {
	return Answer{
		Version: Version, Ask: a, Sentence: a.Principal + ": " + a.Action + " on " + a.Resource + ": " + a.Recorded, Unanswered: err.Error(),
	}
}

// Recorded is the Recorded of an Ask that was answered so, for a reason.
func Recorded(allowed bool, reason string) string {
	word := "denied"
	if allowed {
		word = "allowed"
	}
	if reason == "" {
		return word
	}
	return word + ": " + reason
}

// sessionName is the name of the session as which a role asks.
const sessionName = "explain"

// Put puts a to src, as at now.
func Put(ctx context.Context, src Source, a Ask, now time.Time) (Answer, error) {
	q, unknown, err := question(ctx, src, a, now)
	if err != nil {
		return Answer{}, err
	}
	e := q.Explain()
	return Answer{
		Version: Version, Ask: a, Differs: a.Recorded != "" && a.Recorded != Recorded(e.Decision.Allowed, e.Decision.String()), Sentence: e.String(), Explanation: e, Advice: q.Advise(),
		Unknown: slices.Concat(a.Unknown, unknown, src.Unknown()),
	}, nil
}

func question(ctx context.Context, src Source, a Ask, now time.Time) (q policy.Question, unknown []string, err error) {
	if err := a.check(); err != nil {
		return q, nil, err
	}
	q = policy.Question{Action: a.Action, Resource: a.Resource, Now: now, Context: policy.Context{}}
	if q.Caller, err = caller(ctx, src, a.Principal); err != nil {
		return q, nil, err
	}
	if q.Caller.Kind == cloud.AssumedRole && !strings.Contains(a.Principal, ":assumed-role/") {
		unknown = append(unknown, "the role's session: it is asked for one named "+sessionName+", just begun, without session policies, session tags or MFA")
	}
	arn, err := cloud.ParseARN(a.Resource)
	onARN := err == nil
	q.Owner = q.Caller.Account
	if onARN && arn.Account != "" {
		q.Owner = arn.Account
	}
	q.Caller.Region, q.Caller.SecureTransport = arn.Region, true
	if err := a.through(&q); err != nil {
		return q, nil, err
	}
	if err := a.set(&q); err != nil {
		return q, nil, err
	}
	if q.Caller.Kind == cloud.AssumedRole && q.Caller.TokenIssued.IsZero() {
		q.Caller.TokenIssued = q.Now
	}
	more, err := resource(ctx, src, &q, arn)
	if err != nil {
		return q, nil, err
	}
	if err := src.Complete(ctx, &q); err != nil {
		return q, nil, fmt.Errorf("policies of %s: %w", a.Principal, err)
	}
	return q, append(unknown, more...), nil
}

func (a *Ask) check() error {
	service, operation, found := strings.Cut(a.Action, ":")
	switch {
	case a.Principal == "":
		return wrong("name who asks, with an ARN")
	case !found || service == "" || operation == "" || strings.ContainsAny(a.Action, "*? "):
		return wrong("an action is a service and an operation, such as kms:CreateGrant, not %q", a.Action)
	}
	if a.Resource == "*" {
		return nil
	}
	if _, err := cloud.ParseARN(a.Resource); err != nil || strings.ContainsAny(a.Resource, "*?") {
		return wrong("a resource is an ARN, or * for an action without one, not %q", a.Resource)
	}
	return nil
}

// caller is who asks: a service by its name, or a principal that src knows.
func caller(ctx context.Context, src Source, principal string) (cloud.Caller, error) {
	if name, ok := serviceName(principal); ok && !strings.HasPrefix(principal, "arn:") {
		region := cloud.Region("us-east-1")
		if _, r, ok := strings.Cut(strings.TrimSuffix(principal, ".amazonaws.com"), "."); ok {
			region = cloud.Region(r)
		}
		c := cloud.ServiceCaller(name, region)
		return c, nil
	}
	if _, err := cloud.ParseARN(principal); err != nil {
		return cloud.Caller{}, wrong("a principal is an ARN of IAM or STS, or a service's name, not %q", principal)
	}
	c, err := src.Caller(ctx, principal, sessionName)
	if err != nil {
		return c, fmt.Errorf("principal %s: %w", principal, err)
	}
	return c, nil
}

// serviceName is the name without a Region of a service that is named
// "rds.eu-west-1.amazonaws.com", "rds.amazonaws.com" or "rds".
func serviceName(s string) (string, bool) {
	short, rest, _ := strings.Cut(s, ".")
	if short == "" || strings.ContainsAny(s, ":/ ") || rest != "" && !strings.HasSuffix(s, ".amazonaws.com") {
		return "", false
	}
	return short + ".amazonaws.com", true
}

// through makes q come through a.Via.
func (a *Ask) through(q *policy.Question) error {
	if a.Via == "" {
		return nil
	}
	name, ok := serviceName(a.Via)
	if !ok {
		return wrong("a service that passes requests on is named as in rds.eu-west-1.amazonaws.com, not %q", a.Via)
	}
	if _, region, ok := strings.Cut(strings.TrimSuffix(a.Via, ".amazonaws.com"), "."); ok {
		r, err := cloud.ParseRegion(region)
		if err != nil {
			return wrong("%s: %v", a.Via, err)
		}
		q.Caller.Region = r
	}
	q.Caller = q.Caller.Through(name)
	return nil
}

// resource completes q with what its resource's owner says.
func resource(ctx context.Context, src Source, q *policy.Question, arn cloud.ARN) (unknown []string, err error) {
	service, operation, _ := strings.Cut(q.Action, ":")
	switch {
	case strings.EqualFold(service, "kms") && strings.HasPrefix(arn.Resource, "key/"):
		q.ResourceMustAllow = true
		addKeyContext(q, operation)
		if err := src.Key(ctx, q); err != nil {
			return nil, fmt.Errorf("key %s: %w", q.Resource, err)
		}
		if q.Owner != q.Caller.Account && q.Caller.Kind != cloud.Service && !abroad[strings.ToLower(operation)] {
			q.ResourcePolicy, q.Grants = nil, nil
			unknown = append(unknown, "nothing: other accounts than the key's own can never do "+q.Action+", whatever its policy says")
		}
	case strings.EqualFold(service, "kms") && strings.HasPrefix(arn.Resource, "alias/"):
		addKeyContext(q, operation)
		unknown = append(unknown, "the key behind the alias: policies speak of keys by their own ARNs, and operations on aliases need the key as well")
	case strings.EqualFold(service, "kms"):
		addKeyContext(q, operation)
	case strings.EqualFold(service, "sts") && arn.Service == "iam" && strings.HasPrefix(arn.Resource, "role/"):
		q.ResourceMustAllow = true
		if q.ResourcePolicy, err = src.Trust(ctx, q.Resource); err != nil {
			return nil, fmt.Errorf("role %s: %w", q.Resource, err)
		}
	case arn.Service == "rds" && arn.Account != "" && arn.Account != q.Caller.Account:
		// No policy of the owner's speaks of it: it is shared by an attribute.
		q.Owner = q.Caller.Account
		q.Context["aws:ResourceAccount"] = []string{string(arn.Account)}
		unknown = append(unknown, "whether "+q.Resource+" is shared with account "+string(q.Caller.Account)+": that is no policy's to say")
	case arn.Service != "" && arn.Service != "rds" && arn.Service != "iam" && arn.Service != "cloudtrail":
		unknown = append(unknown, "the policy of "+q.Resource+" itself: only those of KMS keys and roles are looked at")
	}
	return unknown, nil
}

// addKeyContext adds the condition keys that KMS has of every request.
func addKeyContext(q *policy.Question, operation string) {
	add := func(key, value string) {
		if _, ok := q.Context.Condition(strings.ToLower(key)); !ok && value != "" {
			q.Context[key] = []string{value}
		}
	}
	add("kms:CallerAccount", string(q.Caller.Account))
	via := q.Caller.Via
	if len(via) > 0 {
		service, _, _ := strings.Cut(via[len(via)-1], ".")
		add("kms:ViaService", service+"."+string(q.Caller.Region)+".amazonaws.com")
	}
	switch strings.ToLower(operation) {
	case "creategrant", "listgrants", "revokegrant":
		add("kms:GrantIsForAWSResource", fmt.Sprint(len(via) > 0))
	}
}

// abroad are KMS's operations that a key of another account can be used for, in
// lower case (KMS developer guide, "Allowing users in other accounts to use a KMS key").
var abroad = func() map[string]bool {
	all := map[string]bool{}
	for _, name := range strings.Fields(`creategrant decapsulate decrypt derivesharedsecret describekey encapsulate encrypt
		generatedatakey generatedatakeypair generatedatakeypairwithoutplaintext generatedatakeywithoutplaintext generatemac
		getkeyrotationstatus getpublickey listgrants reencryptfrom reencryptto retiregrant revokegrant sign verify verifymac`) {
		all[name] = true
	}
	return all
}()

// Allowed is the answer, as it is now or, where it is not known, as it was.
func (a Answer) Allowed() bool {
	if a.Unanswered != "" {
		return strings.HasPrefix(a.Ask.Recorded, "allowed")
	}
	return a.Explanation.Decision.Allowed
}

// then are lines about why it was decided as it is on record.
func (a *Ask) then() string {
	if a.Then == nil {
		return ""
	}
	var b strings.Builder
	for _, line := range a.Then.Lines() {
		b.WriteString("  " + line + "\n")
	}
	return b.String()
}

// Text is the answer for a terminal: the sentence, the tree, what is not known,
// and what would have to change.
func (a Answer) Text() string {
	var b strings.Builder
	if a.Unanswered != "" {
		return a.Sentence + ".\nOn record: " + a.Ask.Recorded + ".\n" + a.Ask.then() + "It cannot be asked again: " + a.Unanswered + ".\n"
	}
	b.WriteString(a.Sentence + ".\n")
	if was := a.Ask.Recorded; was != "" {
		b.WriteString("On record: " + was + ".\n")
		b.WriteString(a.Ask.then())
		switch denied := strings.HasPrefix(was, "denied"); {
		case a.Differs && denied == a.Explanation.Decision.Allowed:
			b.WriteString("The answer differs now: what it depends on has changed since, or is not known (see below).\n")
		case a.Differs:
			b.WriteString("The reason differs now: what it depends on has changed since, or is not known (see below).\n")
		}
	}
	b.WriteString("\n" + a.Explanation.Tree())
	if len(a.Unknown) > 0 {
		b.WriteString("\nNot known:\n")
		for _, u := range a.Unknown {
			b.WriteString("  - " + u + "\n")
		}
	}
	if advice := a.Advice.String(); advice != "" {
		b.WriteString("\nWhat would allow it:\n" + advice)
	}
	return b.String()
}
