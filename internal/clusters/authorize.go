package clusters

import (
	"context"
	"fmt"
	"slices"

	"borealis/internal/audit"
	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// An object is what an action is done to: a resource, or what a request would
// make, as policies see it.
type object struct {
	arn  cloud.ARN
	tags []Tag // of the resource as it is
}

// A request is what policies may ask about a request beside its objects.
type request struct {
	action string // "rds:CopyDBClusterSnapshot"
	tags   []Tag  // that it would put on a resource
	keys   []string
	facts  policy.Context // further condition keys
}

// authorize decides whether the caller may do what r says to every one of the
// objects. Every operation starts here. Each decision is written down before it
// is acted upon. RDS resources have no policies: what an account shares with
// another is shown by visible, and here only the caller's own side speaks.
func (v *View) authorize(ctx context.Context, r request, on ...object) error {
	for _, o := range on {
		if err := v.decide(ctx, r, o); err != nil {
			return err
		}
	}
	return nil
}

func (v *View) decide(ctx context.Context, r request, o object) error {
	resource, owner := "*", v.caller.Account
	if !o.arn.IsZero() {
		resource, owner = o.arn.String(), o.arn.Account
	}
	q := policy.Question{
		Caller: v.caller, Action: r.action, Resource: resource, Owner: v.caller.Account, Context: r.context(o), Now: v.Now(),
	}
	if err := v.Policies.Complete(ctx, &q); err != nil {
		return fmt.Errorf("look up the policies of %s: %w", v.caller.ARN, err)
	}
	d := q.Decide()
	err := v.Audit.Record(audit.Event{
		Time: v.Now(), Caller: v.caller, Action: r.action, Resource: resource,
		Owner: owner, Allowed: d.Allowed, Reason: d.String(), Explanation: q.Summary(d),
	})
	if err != nil {
		return fmt.Errorf("audit %s: %w", r.action, err)
	}
	if !d.Allowed {
		return denied(v.caller.ARN, r.action, resource, d.Because())
	}
	return nil
}

// context holds the condition keys of RDS for r done to o.
func (r request) context(o object) policy.Context {
	c := policy.Context{}
	for k, values := range r.facts {
		c[k] = values
	}
	if !o.arn.IsZero() {
		c["aws:ResourceAccount"] = []string{string(o.arn.Account)}
	}
	kind, _, _ := cutResource(o.arn)
	for _, t := range o.tags {
		c["aws:ResourceTag/"+t.Key] = []string{t.Value}
		if kind != "" {
			c["rds:"+kind+"-tag/"+t.Key] = []string{t.Value}
		}
	}
	keys := slices.Clone(r.keys)
	for _, t := range r.tags {
		c["aws:RequestTag/"+t.Key] = []string{t.Value}
		c["rds:req-tag/"+t.Key] = []string{t.Value}
		keys = append(keys, t.Key)
	}
	if len(keys) > 0 {
		c["aws:TagKeys"] = keys
	}
	return c
}

// authorizeNew is authorize for an action that makes made: whoever puts tags on
// it needs rds:AddTagsToResource as well.
func (v *View) authorizeNew(ctx context.Context, r request, made cloud.ARN, on ...object) error {
	if err := v.authorize(ctx, r, append(slices.Clip(on), object{arn: made})...); err != nil {
		return err
	}
	return v.authorizeTags(ctx, r.tags, made)
}

// authorizeTags decides whether the caller may put tags on what it makes.
func (v *View) authorizeTags(ctx context.Context, tags []Tag, made cloud.ARN) error {
	if len(tags) == 0 {
		return nil
	}
	return v.authorize(ctx, request{action: "rds:AddTagsToResource", tags: tags}, object{arn: made})
}
