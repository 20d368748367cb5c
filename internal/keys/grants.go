package keys

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// CreateGrant lets a principal use a key. With a Name, the same request again
// answers with the same grant.
func (v *View) CreateGrant(ctx context.Context, in *kms.CreateGrantInput) (*kms.CreateGrantOutput, error) {
	g := v.newGrant(in)
	asked, err := v.grantContext(ctx, in)
	if err != nil {
		return nil, err
	}
	_, err = v.update(ctx, ask{
		action: "CreateGrant", key: str(in.KeyId), tokens: in.GrantTokens, context: asked, child: g,
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
		g.Equals, g.Subset, g.SourceARN = c.EncryptionContextEquals, c.EncryptionContextSubset, str(c.SourceArn)
	}
	return g
}

// grantContext holds the condition keys of a request for a grant.
func (v *View) grantContext(ctx context.Context, in *kms.CreateGrantInput) (policy.Context, error) {
	c := v.serviceGrant()
	for _, op := range in.Operations {
		c["kms:GrantOperations"] = append(c["kms:GrantOperations"], string(op))
	}
	for key, name := range map[string]*string{"kms:GranteePrincipal": in.GranteePrincipal, "kms:RetiringPrincipal": in.RetiringPrincipal} {
		if name == nil {
			continue
		}
		arn, err := v.fullName(ctx, *name)
		if err != nil {
			return nil, err
		}
		c[key] = []string{arn}
	}
	for key, name := range map[string]*string{
		"kms:GranteeServicePrincipal": in.GranteeServicePrincipal, "kms:RetiringServicePrincipal": in.RetiringServicePrincipal,
	} {
		if name != nil {
			c[key] = []string{*name}
		}
	}
	if in.Constraints != nil {
		if in.Constraints.SourceArn != nil {
			c["kms:GrantConstraintSourceArn"] = []string{*in.Constraints.SourceArn}
		}
		addConstraints(c, in.Constraints.EncryptionContextEquals, in.Constraints.EncryptionContextSubset)
	}
	return c, nil
}

// fullName is what policies call the principal of this name: its ARN, also if it
// was named by its unique id or its account's. Else whoever must not make a
// grant to it could, by another name.
func (v *View) fullName(ctx context.Context, name string) (string, error) {
	if a, err := cloud.ParseAccountID(name); err == nil {
		return a.Root().String(), nil
	}
	if !isUnique(name) {
		return name, nil
	}
	arn, err := v.Principals.PrincipalARN(ctx, name)
	if isNotFound(err) {
		return name, nil
	}
	return arn, err
}

// addConstraints adds the condition keys of a grant's constraints.
func addConstraints(c policy.Context, equals, subset map[string]string) {
	if equals != nil {
		c["kms:GrantConstraintType"] = append(c["kms:GrantConstraintType"], "EncryptionContextEquals")
		addEncryption(c, equals)
	}
	if subset != nil {
		c["kms:GrantConstraintType"] = append(c["kms:GrantConstraintType"], "EncryptionContextSubset")
		addEncryption(c, subset)
	}
}

// checkGrant completes g, the grant on t that in asks for, and refuses what
// cannot be.
func (v *View) checkGrant(ctx context.Context, t target, g *Grant, in *kms.CreateGrantInput) (err error) {
	g.Ref, g.ID = t.Ref, newID()
	if g.Issuer == "" { // a service speaks for no account of its own
		g.Issuer = t.Account
	}
	if err := checkParties(in); err != nil {
		return err
	}
	if g.Grantee, err = v.party(ctx, "GranteePrincipal", in.GranteePrincipal, in.GranteeServicePrincipal); err != nil {
		return err
	}
	if g.Retiring, err = v.party(ctx, "RetiringPrincipal", in.RetiringPrincipal, in.RetiringServicePrincipal); err != nil {
		return err
	}
	return checkTerms(&t.Key, g)
}

// checkParties refuses a request for a grant that names too many principals, or
// too few.
func checkParties(in *kms.CreateGrantInput) error {
	service := in.GranteeServicePrincipal != nil
	switch {
	case service == (in.GranteePrincipal != nil):
		return invalid("You must specify either GranteePrincipal or GranteeServicePrincipal, but not both.")
	case in.RetiringPrincipal != nil && in.RetiringServicePrincipal != nil:
		return invalid("You can specify either RetiringPrincipal or RetiringServicePrincipal, but not both.")
	case service && (in.Constraints == nil || in.Constraints.SourceArn == nil):
		return invalid("You must specify a SourceArn grant constraint when you specify a GranteeServicePrincipal.")
	case service && in.RetiringPrincipal == nil && in.RetiringServicePrincipal == nil:
		return invalid("You must specify either a RetiringPrincipal or a RetiringServicePrincipal when you specify a GranteeServicePrincipal.")
	}
	return nil
}

// party is who is to use or to retire a grant; zero if the request names nobody.
func (v *View) party(ctx context.Context, field string, name, service *string) (Principal, error) {
	switch {
	case service != nil && !isService(*service):
		return Principal{}, invalid("%s is not a valid service principal.", *service)
	case service != nil:
		return Principal{ID: *service, Service: true, AsService: true}, nil
	case name != nil:
		return v.principal(ctx, field, *name)
	}
	return Principal{}, nil
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
	n, err := c.grantsOn(g.Ref)
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
	t, err := v.open(ctx, ask{action: "ListGrants", key: str(in.KeyId), context: v.serviceGrant()})
	if err != nil {
		return nil, err
	}
	p, err := newPage("grants "+t.ID, in.Limit, in.Marker, 50, 100)
	if err != nil {
		return nil, err
	}
	grantee, err := v.granteeFilter(ctx, in)
	if err != nil {
		return nil, err
	}
	grants := v.cache.someGrants(t.loaded, grantFilter{id: str(in.GrantId), grantee: grantee, after: p.after}, p.limit+1)
	out := &kms.ListGrantsOutput{Grants: []types.GrantListEntry{}}
	grants, out.NextMarker = cut(p, grants, func(g *Grant) string { return g.ID })
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

// granteeFilter is the id of the grantee whose grants alone are asked for, or "".
func (v *View) granteeFilter(ctx context.Context, in *kms.ListGrantsInput) (string, error) {
	switch name := str(in.GranteePrincipal); {
	case in.GranteePrincipal != nil && in.GranteeServicePrincipal != nil:
		return "", invalid("You can specify either GranteePrincipal or GranteeServicePrincipal, but not both.")
	case in.GranteeServicePrincipal != nil:
		return *in.GranteeServicePrincipal, v.onlyServices("GranteeServicePrincipal")
	case name == "" || isService(name): // anybody may look for a service's grants
		return name, nil
	default:
		who, err := v.sought(ctx, name)
		return who.ID, err
	}
}

// sought is the principal by which a list is filtered.
func (v *View) sought(ctx context.Context, name string) (Principal, error) {
	who, err := v.lookUpPrincipal(ctx, name)
	switch {
	case isNotFound(err) && isUnique(name):
		return who, invalidARN("Input does not refer to a valid principal")
	case isNotFound(err):
		return who, invalidARN("ARN does not refer to a valid principal: %s", name)
	}
	return who, err
}

// onlyServices refuses a filter that services alone may use.
func (v *View) onlyServices(filter string) error {
	if v.caller.Kind == cloud.Service {
		return nil
	}
	return invalid("%s can be used by callers in a service principal only.", filter)
}

// ListRetirableGrants lists the grants on any account's keys in the Region that
// a principal of the caller's account may retire.
func (v *View) ListRetirableGrants(ctx context.Context, in *kms.ListRetirableGrantsInput) (*kms.ListRetirableGrantsOutput, error) {
	if err := v.mayListRetirable(ctx, str(in.RetiringServicePrincipal)); err != nil {
		return nil, err
	}
	id, err := v.retiring(ctx, in)
	if err != nil {
		return nil, err
	}
	p, err := newPage("retirable by "+id, in.Limit, in.Marker, 50, 100)
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

// mayListRetirable decides about ListRetirableGrants. A service, which has no
// identity policies, may list what it may retire.
func (v *View) mayListRetirable(ctx context.Context, service string) error {
	if v.caller.Kind != cloud.Service || !slices.Contains(granteeIDs(v.caller), service) {
		return v.allow(ctx, "ListRetirableGrants", "*", policy.Context{})
	}
	own, err := everything()
	if err != nil {
		return err
	}
	q := policy.Question{Action: "kms:ListRetirableGrants", Resource: "*", ResourcePolicy: own, Context: policy.Context{}}
	_, err = v.decide(ctx, &q, &target{}, ask{action: "ListRetirableGrants"})
	return err
}

// retiring is the unique id of the principal of the caller's account that is
// asked about.
func (v *View) retiring(ctx context.Context, in *kms.ListRetirableGrantsInput) (string, error) {
	switch {
	case (in.RetiringPrincipal == nil) == (in.RetiringServicePrincipal == nil):
		return "", invalid("You must specify either RetiringPrincipal or RetiringServicePrincipal, but not both.")
	case in.RetiringServicePrincipal != nil:
		return *in.RetiringServicePrincipal, v.onlyServices("RetiringServicePrincipal")
	}
	name := *in.RetiringPrincipal
	who, err := v.lookUpPrincipal(ctx, name)
	switch {
	case isNotFound(err) && isUnique(name):
		return "", notFound("Retiring principal %s could not be found", name)
	case isNotFound(err):
		return "", invalidARN("ARN does not refer to a valid principal: %s", name)
	case err != nil:
		return "", err
	}
	arn, err := v.Principals.PrincipalARN(ctx, who.ID)
	if err != nil && !isNotFound(err) {
		return "", err
	}
	if a, err := cloud.ParseARN(arn); err != nil || a.Account != v.caller.Account {
		return "", invalidARN("ARN does not refer to a valid principal: %s", name)
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
		return nil, v.authorize(ctx, &target{ref: t.ref, arn: t.arn}, ask{action: "RetireGrant"})
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
	maps.Copy(q.Context, t.loaded.conditions())
	addConstraints(q.Context, g.Equals, g.Subset)
	ids := granteeIDs(v.caller)
	switch account := v.caller.Account; {
	case slices.Contains(ids, g.Retiring.ID):
		q.Grants = []policy.Grant{{ID: g.ID, Issuer: g.Issuer, ToSession: g.Retiring.session()}}
	case g.has("RetireGrant") && slices.Contains(ids, g.Grantee.ID):
		q.Grants = []policy.Grant{g.forPolicy()}
	case account != "" && (g.Issuer == account || g.Retiring.ID == string(account)):
		// The account that made the grant, or may retire it as a whole, decides by
		// its identity policies alone.
		q.Owner, q.ResourcePolicy, q.ResourceMustAllow = account, nil, false
		q.Context["aws:ResourceAccount"] = []string{string(t.ref.Account)}
	}
	d, err := v.decide(ctx, &q, &t, ask{action: "RetireGrant"})
	if err != nil || d.Allowed {
		return err
	}
	return accessDenied(v.refusal(d, &t, ask{action: "RetireGrant"}))
}
