package keys

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"

	"github.com/aws/smithy-go"

	"borealis/internal/audit"
	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// An ask is what a request wants of one key.
type ask struct {
	action     string            // "Decrypt"
	key        string            // the KeyId parameter
	context    policy.Context    // condition keys of this request; may be nil
	encryption map[string]string // the encryption context of a cryptographic operation
	tokens     []string          // grant tokens
	// child is the grant to be made, for CreateGrant: a grant that delegates
	// CreateGrant allows no child that is wider than itself.
	child *Grant
	// byCiphertext says that the request did not name the key: the ciphertext did.
	byCiphertext bool
}

// open finds the key that a names, decides whether the caller may do a.action
// to it, and refuses if the key's state does not permit it. Operations on a key
// start here.
func (v *View) open(ctx context.Context, a ask) (target, error) {
	for {
		t, err := v.find(ctx, a.action, a.key)
		if err != nil {
			return target{}, err
		}
		if err := v.authorize(ctx, &t, a); err != nil {
			return target{}, err
		}
		if t.unborn {
			if err := v.bear(ctx, t); err != nil {
				return target{}, err
			}
			continue // and find what this request or another one has made
		}
		return t, usable(&t.Key, a.action)
	}
}

// authorize decides whether the caller may do a.action to t, and puts the
// decision on record before anybody acts upon it; t then knows which record.
func (v *View) authorize(ctx context.Context, t *target, a ask) error {
	if err := checkContextSize(a.encryption); err != nil {
		return err
	}
	if err := v.checkTokens(ctx, a.tokens); err != nil {
		return err
	}
	if err := v.addTrailing(ctx, *t, &a); err != nil {
		return err
	}
	q := policy.Question{
		Action: "kms:" + a.action, Resource: t.arn, Owner: t.ref.Account,
		ResourcePolicy: nobody, ResourceMustAllow: true, More: v.conditions(*t, a),
	}
	// A key that is not there answers as one whose policy lets nobody in.
	if t.loaded != nil {
		if rules[a.action].foreign || t.ref.Account == v.caller.Account {
			q.ResourcePolicy, q.Fixed = t.policy, t.Manager != Customer
			q.Grants = v.grantsFor(*t, a)
		}
	}
	d, err := v.decide(ctx, &q, t, a)
	if err != nil || d.Allowed {
		return err
	}
	if t.loaded != nil && t.ref.Account != v.caller.Account {
		if d, err = v.unseen(q, d, t, a); err != nil {
			return err
		}
	}
	return accessDenied(v.refusal(d, t, a))
}

// nobody is a policy that lets nobody in.
var nobody = &policy.Policy{}

// everything allows everything: with it in place of the caller's policies, a
// decision is that of the key's own side.
var everything = sync.OnceValues(func() (*policy.Policy, error) {
	return policy.Parse("everything", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)
})

// unseen is what to say of d, the refusal of q about another account's key. If
// it is the key that does not let the caller in, that is what would be said if
// there were no key: else callers could ask, by way of the conditions in their
// own policies, what tags and aliases it has, and whether it is there.
func (v *View) unseen(q policy.Question, d policy.Decision, t *target, a ask) (policy.Decision, error) {
	all, err := everything()
	if err != nil {
		return d, err
	}
	own := q.Identity
	q.Identity = policy.Identity{Policies: []*policy.Policy{all}}
	if q.Decide().Allowed {
		return d, nil
	}
	q.Identity, q.ResourcePolicy, q.Fixed, q.Grants, q.More = own, nobody, false, nil, v.conditions(target{ref: t.ref, alias: t.alias}, a)
	if t.alias != "" {
		q.Resource = t.ref.alias(t.alias)
	}
	return q.Decide(), nil
}

// allow decides about an action that is not on a key: on an alias, or on "*".
// Identity policies alone speak about those.
func (v *View) allow(ctx context.Context, action, resource string, c policy.Context) error {
	q := policy.Question{Action: "kms:" + action, Resource: resource, Owner: v.caller.Account, Context: policy.Context{}}
	maps.Copy(q.Context, c)
	d, err := v.decide(ctx, &q, &target{}, ask{action: action})
	if err != nil || d.Allowed {
		return err
	}
	return accessDenied(v.user(d) + "on resource: " + resource + " " + d.Because())
}

// decide completes q, which is a's about t and the caller's, answers it and
// records the answer, and with it that t's state keeps anything from coming of it.
// Nothing else in this package decides, but for the check that a key policy locks
// nobody out.
func (v *View) decide(ctx context.Context, q *policy.Question, t *target, a ask) (policy.Decision, error) {
	if q.More == nil {
		v.addCaller(q.Context)
	}
	q.Caller, q.Now = v.caller, v.Now()
	if err := v.Policies.Complete(ctx, q); err != nil {
		return policy.Decision{}, fmt.Errorf("policies of %s: %w", v.caller.ARN, err)
	}
	d := q.Decide()
	t.asked = a.action
	if t.at = q.Now; rules[a.action].needs == onlyEnabled { // GetKeyLastUsage names the record
		t.event = audit.NewID()
	}
	e := audit.Event{
		ID: t.event, Time: q.Now, Caller: v.caller, Action: q.Action, Resource: q.Resource,
		Owner: q.Owner, Allowed: d.Allowed, Reason: d.String(), Explanation: q.Summary(d),
		EncryptionContext: a.encryption,
	}
	if t.ref.Account != "" {
		e.Owner = t.ref.Account // whoever's policies decided
	}
	if d.Allowed && t.loaded != nil {
		if refused, ok := errors.AsType[smithy.APIError](usable(&t.Key, a.action)); ok {
			e.ErrorCode, e.ErrorMessage = refused.ErrorCode(), refused.ErrorMessage()
		}
	}
	if err := v.Audit.Record(e); err != nil {
		return policy.Decision{}, fmt.Errorf("record decision about %s: %w", q.Action, err)
	}
	return d, nil
}

func (v *View) user(d policy.Decision) string {
	return "User: " + v.caller.ARN + " is not authorized to perform: " + d.Action + " "
}

// elsewhere is all that a caller learns of another account's key that does not
// let it in: also whether there is such a key stays unsaid.
const elsewhere = "because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access"

// refusal is AWS's sentence for a refused request about a key.
func (v *View) refusal(d policy.Decision, t *target, a ask) string {
	on := "on this resource "
	switch {
	case t.ref.Account == v.caller.Account:
		return v.user(d) + "on resource: " + t.arn + " " + d.Because()
	case a.byCiphertext:
		on = "on the resource associated with this ciphertext "
	}
	if d.Side == policy.ResourceBased {
		return v.user(d) + on + elsewhere
	}
	return v.user(d) + on + d.Because()
}

// granteeIDs are the unique ids by which grants may name c.
func granteeIDs(c cloud.Caller) []string {
	switch c.Kind {
	case cloud.Service:
		short, _, _ := strings.Cut(c.Principal, ".")
		return []string{c.Principal, short + ".amazonaws.com"}
	case cloud.AssumedRole:
		return []string{c.UserID, roleOf(c.UserID)}
	case cloud.User, cloud.Root:
		return []string{c.UserID}
	}
	return nil
}
