package keys

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// Limits of grants.
const (
	maxGrants          = 50_000 // on one key
	maxConstraintPairs = 8
	maxConstraintValue = 384 // characters
)

// CreateGrant lets a principal use a key. With a Name, the same request again
// answers with the same grant.
func (v *View) CreateGrant(ctx context.Context, in *kms.CreateGrantInput) (*kms.CreateGrantOutput, error) {
	if in.GranteeServicePrincipal != nil || in.RetiringServicePrincipal != nil || in.Constraints != nil && in.Constraints.SourceArn != nil {
		return nil, unsupported("This server does not offer GranteeServicePrincipal, RetiringServicePrincipal and SourceArn yet.")
	}
	g := v.newGrant(in)
	_, err := v.update(ctx, ask{
		action: "CreateGrant", key: str(in.KeyId), tokens: in.GrantTokens, context: v.grantContext(in), child: g,
	}, func(t target) (apply, error) {
		if err := v.checkGrant(ctx, t, g, in); err != nil {
			return nil, err
		}
		if in.DryRun != nil && *in.DryRun {
			return nil, dryRun()
		}
		return func(tx *change, _ *Key) error { return tx.addGrant(g) }, nil
	})
	if err != nil {
		return nil, err
	}
	token, err := v.token(g)
	if err != nil {
		return nil, err
	}
	return &kms.CreateGrantOutput{GrantId: new(g.ID), GrantToken: &token}, nil
}

// newGrant is the grant that in asks for, so far as in alone says. The rest is
// for checkGrant to fill in.
func (v *View) newGrant(in *kms.CreateGrantInput) *Grant {
	g := &Grant{Name: str(in.Name), Created: v.Now().UTC().Truncate(time.Second), Issuer: v.caller.Account}
	for _, op := range in.Operations {
		if !g.has(string(op)) {
			g.Operations = append(g.Operations, string(op))
		}
	}
	if c := in.Constraints; c != nil {
		g.Equals, g.Subset = c.EncryptionContextEquals, c.EncryptionContextSubset
	}
	return g
}

// grantContext holds the condition keys of a request for a grant.
func (v *View) grantContext(in *kms.CreateGrantInput) policy.Context {
	c := v.serviceGrant()
	for _, op := range in.Operations {
		c["kms:GrantOperations"] = append(c["kms:GrantOperations"], string(op))
	}
	c["kms:GranteePrincipal"] = []string{str(in.GranteePrincipal)}
	if in.RetiringPrincipal != nil {
		c["kms:RetiringPrincipal"] = []string{*in.RetiringPrincipal}
	}
	if in.Constraints == nil {
		return c
	}
	if e := in.Constraints.EncryptionContextEquals; e != nil {
		c["kms:GrantConstraintType"] = append(c["kms:GrantConstraintType"], "EncryptionContextEquals")
		addEncryption(c, e)
	}
	if e := in.Constraints.EncryptionContextSubset; e != nil {
		c["kms:GrantConstraintType"] = append(c["kms:GrantConstraintType"], "EncryptionContextSubset")
		addEncryption(c, e)
	}
	return c
}

// checkGrant completes g, the grant on t that in asks for, and refuses what
// cannot be.
func (v *View) checkGrant(ctx context.Context, t target, g *Grant, in *kms.CreateGrantInput) (err error) {
	g.Ref, g.ID = t.Ref, newID()
	if g.Issuer == "" { // a service speaks for no account of its own
		g.Issuer = t.Account
	}
	if in.GranteePrincipal == nil {
		return invalid("You must specify either GranteePrincipal or GranteeServicePrincipal.")
	}
	if g.Grantee, err = v.principal(ctx, "GranteePrincipal", *in.GranteePrincipal); err != nil {
		return err
	}
	if in.RetiringPrincipal != nil {
		if g.Retiring, err = v.principal(ctx, "RetiringPrincipal", *in.RetiringPrincipal); err != nil {
			return err
		}
	}
	return checkTerms(g)
}

// checkTerms checks operations and constraints.
func checkTerms(g *Grant) error {
	var wrong []string
	for _, op := range g.Operations {
		if !slices.Contains(grantOperations, op) {
			wrong = append(wrong, op)
		}
	}
	if len(wrong) > 0 {
		return invalid("Operations [%s] are not supported when creating a grant for a symmetric KMS key with key usage %s. Valid operations are [%s]",
			strings.Join(wrong, ", "), defaultUsage, strings.Join(grantOperations, ", "))
	}
	for _, pairs := range []map[string]string{g.Equals, g.Subset} {
		if len(pairs) > maxConstraintPairs {
			return invalid("A grant constraint has at most %d encryption context pairs.", maxConstraintPairs)
		}
		for k, value := range pairs {
			if len([]rune(k)) > maxConstraintValue || len([]rune(value)) > maxConstraintValue {
				return invalid("Keys and values of a grant constraint have at most %d characters.", maxConstraintValue)
			}
		}
	}
	return nil
}

// addGrant stores g, or, if there is one of the same name and the same terms,
// makes g that one.
func (c *change) addGrant(g *Grant) error {
	if g.Name != "" {
		named, err := c.Named(g.Ref, g.Name)
		if err != nil {
			return err
		}
		for _, o := range named {
			if g.same(&o) {
				*g = o
				return nil
			}
		}
	}
	n, err := c.CountGrants(g.Ref)
	if err != nil {
		return err
	}
	if n >= maxGrants {
		return limitExceeded("The key %s has %d grants already.", g.ARN(), maxGrants)
	}
	return c.PutGrant(*g)
}

// ListGrants lists the grants on a key.
func (v *View) ListGrants(ctx context.Context, in *kms.ListGrantsInput) (*kms.ListGrantsOutput, error) {
	if in.GranteeServicePrincipal != nil {
		return nil, unsupported("This server does not offer GranteeServicePrincipal yet.")
	}
	t, err := v.open(ctx, ask{action: "ListGrants", key: str(in.KeyId), context: v.serviceGrant()})
	if err != nil {
		return nil, err
	}
	p, err := newPage("grants", in.Limit, in.Marker, 50, 100)
	if err != nil {
		return nil, err
	}
	grants, err := v.filterGrants(ctx, v.cache.allGrants(t.loaded), in)
	if err != nil {
		return nil, err
	}
	id := func(g *Grant) string { return g.ID }
	out := &kms.ListGrantsOutput{Grants: []types.GrantListEntry{}}
	grants, out.NextMarker = cut(p, from(p, grants, id), id)
	out.Truncated = out.NextMarker != nil
	for _, g := range grants {
		e, err := v.entry(ctx, g)
		if err != nil {
			return nil, err
		}
		out.Grants = append(out.Grants, e)
	}
	return out, nil
}

func (v *View) filterGrants(ctx context.Context, grants []*Grant, in *kms.ListGrantsInput) ([]*Grant, error) {
	if in.GrantId != nil {
		grants = slices.DeleteFunc(grants, func(g *Grant) bool { return g.ID != *in.GrantId })
	}
	if in.GranteePrincipal == nil {
		return grants, nil
	}
	name := *in.GranteePrincipal
	who := Principal{ID: name, Service: true}
	if !strings.HasSuffix(name, ".amazonaws.com") { // anybody may look for a service's grants
		var err error
		if who, err = v.principal(ctx, "Input", name); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(grants, func(g *Grant) bool { return g.Grantee != who }), nil
}

// ListRetirableGrants lists the grants on any account's keys in the Region that
// a principal of the caller's account may retire.
func (v *View) ListRetirableGrants(ctx context.Context, in *kms.ListRetirableGrantsInput) (*kms.ListRetirableGrantsOutput, error) {
	if in.RetiringServicePrincipal != nil {
		return nil, unsupported("This server does not offer RetiringServicePrincipal yet.")
	}
	if err := v.allow(ctx, "ListRetirableGrants", "*", policy.Context{}); err != nil {
		return nil, err
	}
	p, err := newPage("retirable", in.Limit, in.Marker, 50, 100)
	if err != nil {
		return nil, err
	}
	id, err := v.retiring(ctx, str(in.RetiringPrincipal))
	if err != nil {
		return nil, err
	}
	var list []Grant
	err = v.Store.View(ctx, func(tx Tx) (err error) {
		list, err = tx.Retirable(v.caller.Region, id, p.after, p.limit+1)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := &kms.ListRetirableGrantsOutput{Grants: []types.GrantListEntry{}}
	list, out.NextMarker = cut(p, list, Grant.id)
	out.Truncated = out.NextMarker != nil
	for _, g := range list {
		e, err := v.entry(ctx, &g)
		if err != nil {
			return nil, err
		}
		out.Grants = append(out.Grants, e)
	}
	return out, nil
}

// retiring is the unique id of a principal of the caller's account.
func (v *View) retiring(ctx context.Context, s string) (string, error) {
	who, err := v.principal(ctx, "Input", s)
	if err != nil {
		if !strings.HasPrefix(s, "arn:") {
			err = notFound("Retiring principal %s could not be found", s)
		}
		return "", err
	}
	arn, err := v.Principals.PrincipalARN(ctx, who.ID)
	if err != nil {
		return "", err
	}
	if a, err := cloud.ParseARN(arn); err != nil || a.Account != v.caller.Account {
		return "", invalidARN("ARN does not refer to a valid principal: %s", s)
	}
	return who.ID, nil
}

// RevokeGrant ends a grant, as an administrator of the key.
func (v *View) RevokeGrant(ctx context.Context, in *kms.RevokeGrantInput) (*kms.RevokeGrantOutput, error) {
	id := str(in.GrantId)
	_, err := v.update(ctx, ask{action: "RevokeGrant", key: str(in.KeyId), context: v.serviceGrant()}, func(t target) (apply, error) {
		switch {
		case v.cache.grant(t.loaded, id) == nil:
			return nil, notFound("Grant ID %s not found", id)
		case in.DryRun != nil && *in.DryRun:
			return nil, dryRun()
		}
		return func(tx *change, k *Key) error { return tx.DeleteGrant(k.Ref, id) }, nil
	})
	if err != nil {
		return nil, err
	}
	return &kms.RevokeGrantOutput{}, nil
}

// RetireGrant ends a grant, as one whom the grant names, or as the account that
// issued it. The key policy has no say.
func (v *View) RetireGrant(ctx context.Context, in *kms.RetireGrantInput) (*kms.RetireGrantOutput, error) {
	t, id, err := v.findGrant(ctx, in)
	if err != nil {
		return nil, err
	}
	var g *Grant
	if t.loaded != nil {
		g = v.cache.grant(t.loaded, id)
	}
	switch {
	case g == nil && t.ref.Account == v.caller.Account:
		return nil, notFound("Grant ID %s not found", id)
	case g == nil: // as for a key that is not there
		return nil, v.authorize(ctx, target{ref: t.ref, arn: t.arn}, ask{action: "RetireGrant"})
	}
	if err := v.mayRetire(ctx, t, g); err != nil {
		return nil, err
	}
	if in.DryRun != nil && *in.DryRun {
		return nil, dryRun()
	}
	if err := v.write(ctx, func(tx *change) error { return tx.DeleteGrant(t.Ref, id) }); err != nil {
		return nil, err
	}
	return &kms.RetireGrantOutput{}, nil
}

// findGrant reads which grant is to be retired: by token, or by key and id.
func (v *View) findGrant(ctx context.Context, in *kms.RetireGrantInput) (target, string, error) {
	switch {
	case in.GrantToken != nil && in.KeyId == nil && in.GrantId == nil:
		if err := v.checkTokens(ctx, []string{*in.GrantToken}); err != nil {
			return target{}, "", err
		}
		r, id, err := v.readToken(*in.GrantToken)
		if err != nil {
			return target{}, "", err
		}
		if r.Region != v.caller.Region {
			return target{}, "", &types.InvalidGrantTokenException{}
		}
		t, err := v.findKey(ctx, target{ref: r, arn: r.ARN()})
		return t, id, err
	case in.GrantToken == nil && in.KeyId != nil && in.GrantId != nil:
		t, err := v.find(ctx, "RetireGrant", *in.KeyId)
		return t, *in.GrantId, err
	}
	return target{}, "", invalid("You must specify either a grant token, or a key ID and a grant ID.")
}

// mayRetire decides whether the caller may retire g, a grant on t.
func (v *View) mayRetire(ctx context.Context, t target, g *Grant) error {
	q := policy.Question{
		Action: "kms:RetireGrant", Resource: t.arn, Owner: t.ref.Account,
		ResourcePolicy: &policy.Policy{}, ResourceMustAllow: true, Context: policy.Context{},
	}
	for k, value := range t.context {
		q.Context[k] = value
	}
	addEncryption(q.Context, g.Equals)
	addEncryption(q.Context, g.Subset)
	ids := granteeIDs(v.caller)
	switch account := v.caller.Account; {
	case slices.Contains(ids, g.Retiring.ID), g.has("RetireGrant") && slices.Contains(ids, g.Grantee.ID):
		q.Grants = []policy.Grant{g.forPolicy()}
	case account != "" && (g.Issuer == account || g.Retiring.ID == string(account)):
		// The account that made the grant, or may retire it as a whole, decides by
		// its identity policies alone.
		q.Owner, q.ResourcePolicy, q.ResourceMustAllow = account, nil, false
	}
	d, err := v.decide(ctx, q, t, ask{action: "RetireGrant"})
	if err != nil || d.Allowed {
		return err
	}
	return accessDenied(v.refusal(d, t, ask{action: "RetireGrant"}))
}
