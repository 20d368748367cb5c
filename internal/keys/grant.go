package keys

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/cloud"
	"borealis/internal/policy"
	"borealis/internal/seal"
)

// A Grant lets a principal use a key, beside the key policy. It is stored, so
// its fields change only with a migration.
type Grant struct {
	Ref        `json:"-"` // the key
	ID         string     `json:"-"` // 64 hex digits
	Name       string
	Created    time.Time
	Grantee    Principal
	Retiring   Principal // zero if there is none
	Issuer     cloud.AccountID
	Operations []string // as types.GrantOperation spells them
	// Equals and Subset, if not nil, constrain the encryption context of
	// operations that have one.
	Equals, Subset map[string]string
	// SourceARN, if not "", is the resource for whose sake requests must be made.
	SourceARN string `json:",omitempty"`
}

// A Principal is who may use or retire a grant. It is the unique id that counts:
// whoever takes a dead principal's name does not take its grants.
type Principal struct {
	ID      string // AIDA…, AROA…, AROA…:session, an account's id, or a service's name
	Service bool
	// AsService says that it was named as a service principal, and is listed so:
	// GranteeServicePrincipal, RetiringServicePrincipal.
	AsService bool `json:",omitempty"`
}

func (g Grant) id() string { return g.ID }

// has says that g is for an operation.
func (g *Grant) has(operation string) bool { return slices.Contains(g.Operations, operation) }

// allows says that g allows the caller c what a asks, if c is g's grantee.
func (g *Grant) allows(a ask, c *cloud.Caller) bool {
	switch {
	case !g.has(a.action), g.SourceARN != "" && g.SourceARN != c.SourceARN:
		return false
	case a.child != nil:
		return g.covers(a.child)
	case rules[a.action].context:
		return (g.Equals == nil || maps.Equal(g.Equals, a.encryption)) && contains(a.encryption, g.Subset)
	}
	return true
}

// covers says that child is no wider than g: by g alone, for two parents cannot
// be combined.
func (g *Grant) covers(child *Grant) bool {
	for _, op := range child.Operations {
		if !g.has(op) {
			return false
		}
	}
	switch {
	case g.SourceARN != "" && child.SourceARN != g.SourceARN:
		return false
	case g.Equals != nil && (child.Equals == nil || !maps.Equal(g.Equals, child.Equals)):
		return false
	}
	return contains(child.Equals, g.Subset) || contains(child.Subset, g.Subset)
}

// contains says that every pair of part is in whole.
func contains(whole, part map[string]string) bool {
	for k, v := range part {
		if w, ok := whole[k]; !ok || w != v {
			return false
		}
	}
	return true
}

// same says that a request for g and the one that made o ask for the same.
func (g *Grant) same(o *Grant) bool {
	return g.Name == o.Name && g.Grantee == o.Grantee && g.Retiring == o.Retiring && g.Issuer == o.Issuer && g.SourceARN == o.SourceARN &&
		maps.Equal(g.Equals, o.Equals) && (g.Equals == nil) == (o.Equals == nil) &&
		maps.Equal(g.Subset, o.Subset) && (g.Subset == nil) == (o.Subset == nil) &&
		slices.Equal(slices.Sorted(slices.Values(g.Operations)), slices.Sorted(slices.Values(o.Operations)))
}

// roleOf is the id of the role that a session, AROA…:name, is a session of.
func roleOf(userID string) string {
	role, _, _ := strings.Cut(userID, ":")
	return role
}

// forPolicy is g as the evaluator sees it.
func (g *Grant) forPolicy() policy.Grant {
	return policy.Grant{ID: g.ID, Issuer: g.Issuer, ToSession: g.Grantee.session()}
}

// session says that p is one session of a role.
func (p Principal) session() bool { return !p.Service && strings.Contains(p.ID, ":") }

// grantsFor are the grants on t that allow a to the caller.
func (v *View) grantsFor(t target, a ask) []policy.Grant {
	if !rules[a.action].grant {
		return nil
	}
	var out []policy.Grant
	v.cache.grantsTo(t.loaded, granteeIDs(v.caller), func(g *Grant) {
		if g.allows(a, &v.caller) {
			out = append(out, g.forPolicy())
		}
	})
	// A grant to another account as a whole leaves it to that account's identity
	// policies who may use it, whoever issued it.
	if t.ref.Account != v.caller.Account && v.caller.Kind != cloud.Root && !v.caller.Kind.Outside() {
		v.cache.grantsTo(t.loaded, []string{string(v.caller.Account)}, func(g *Grant) {
			if g.allows(a, &v.caller) {
				out = append(out, policy.Grant{ID: g.ID})
			}
		})
	}
	return out
}

// tokenContext is what grant tokens are sealed for.
var tokenContext = seal.Context("kms grant token v1")

// tokens seals what callers keep.
func (s *Service) tokens() Sealer {
	if s.Tokens != nil {
		return s.Tokens
	}
	return s.Sealer
}

// token makes a token that names g. Tokens are not kept: each is a sealed name
// and holds as long as the grant does.
func (s *Service) token(g *Grant) (string, error) {
	name, err := json.Marshal([]string{string(g.Account), string(g.Region), g.Ref.ID, g.ID})
	if err != nil {
		return "", fmt.Errorf("make grant token: %w", err)
	}
	sealed, err := s.tokens().Seal(name, tokenContext)
	if err != nil {
		return "", fmt.Errorf("make grant token: %w", err)
	}
	return base64.StdEncoding.EncodeToString(sealed), nil
}

// readToken names the grant that a token is of: the key and the grant's id.
func (s *Service) readToken(token string) (Ref, string, error) {
	sealed, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		return Ref{}, "", &types.InvalidGrantTokenException{}
	}
	name, err := s.tokens().Open(sealed, tokenContext)
	if err != nil {
		return Ref{}, "", &types.InvalidGrantTokenException{}
	}
	var f [4]string
	if err := json.Unmarshal(name, &f); err != nil {
		return Ref{}, "", fmt.Errorf("read grant token: %w", err)
	}
	return Ref{Place{cloud.AccountID(f[0]), cloud.Region(f[1])}, f[2]}, f[3], nil
}

// checkTokens refuses tokens of grants that are not there. That is all tokens
// are needed for: here every grant holds from the moment it is answered.
func (v *View) checkTokens(ctx context.Context, tokens []string) error {
	for _, token := range tokens {
		r, id, err := v.readToken(token)
		if err != nil {
			return err
		}
		l, err := v.load(ctx, r)
		if err != nil && !isNotFound(err) {
			return err
		}
		if l == nil || v.cache.grant(l, id) == nil {
			return &types.InvalidGrantTokenException{}
		}
	}
	return nil
}

// principal reads the name of a principal in a request's parameter field.
func (v *View) principal(ctx context.Context, field, s string) (Principal, error) {
	p, err := v.lookUpPrincipal(ctx, s)
	switch {
	case !isNotFound(err):
		return p, err
	case isUnique(s):
		return p, invalidARN("%s does not refer to a valid principal.", field)
	}
	return p, invalidARN("ARN does not refer to a valid principal: %s", s)
}

// isUnique says that s is a unique id, if it is the name of a principal at all.
func isUnique(s string) bool {
	_, err := cloud.ParseAccountID(s)
	return err != nil && !strings.HasPrefix(s, "arn:") && !isService(s)
}

// isService says that s is a service principal, if it is a principal at all.
func isService(s string) bool { return strings.HasSuffix(s, ".amazonaws.com") }

// lookUpPrincipal reads a principal's name; cloud.ErrNotFound says that there is
// none of that name, or that it is a service that the caller does not speak for.
func (v *View) lookUpPrincipal(ctx context.Context, s string) (Principal, error) {
	switch {
	case strings.Contains(s, ":assumed-role/") && strings.Count(s, "/") != 2:
		return Principal{}, invalidARN("ARN is not valid: %s", s)
	case isService(s) && !v.speaksFor(s):
		return Principal{}, cloud.ErrNotFound
	case isService(s):
		return Principal{ID: s, Service: true}, nil
	case isUnique(s):
		_, err := v.Principals.PrincipalARN(ctx, s)
		return Principal{ID: s}, err
	}
	id, err := v.Principals.PrincipalID(ctx, s)
	return Principal{ID: id}, err
}

// speaksFor says that the request comes from or through the service whose
// principal this is: services make grants to themselves only, and nobody else
// makes grants to services.
func (v *View) speaksFor(service string) bool {
	by := v.caller.Service
	if n := len(v.caller.Via); n > 0 {
		by = v.caller.Via[n-1]
	}
	short, _, _ := strings.Cut(by, ".")
	return short != "" && (service == short+".amazonaws.com" || service == short+"."+string(v.caller.Region)+".amazonaws.com")
}

// shown is how lists name p: by its ARN, or by its id once it is no more.
func (s *Service) shown(ctx context.Context, p Principal) (*string, error) {
	if p.ID == "" {
		return nil, nil
	}
	if p.Service {
		return new(p.ID), nil
	}
	arn, err := s.Principals.PrincipalARN(ctx, p.ID)
	if isNotFound(err) {
		return new(p.ID), nil
	}
	return new(arn), err
}

// entry says g in KMS's words.
func (s *Service) entry(ctx context.Context, g *Grant) (types.GrantListEntry, error) {
	e := types.GrantListEntry{
		KeyId: new(g.ARN()), GrantId: new(g.ID), Name: new(g.Name), CreationDate: new(g.Created),
		IssuingAccount: new(g.Issuer.Root().String()),
	}
	for _, op := range g.Operations {
		e.Operations = append(e.Operations, types.GrantOperation(op))
	}
	if g.Equals != nil || g.Subset != nil || g.SourceARN != "" {
		e.Constraints = &types.GrantConstraints{EncryptionContextEquals: g.Equals, EncryptionContextSubset: g.Subset}
		if g.SourceARN != "" {
			e.Constraints.SourceArn = new(g.SourceARN)
		}
	}
	grantee, err := s.shown(ctx, g.Grantee)
	if err != nil {
		return e, err
	}
	retiring, err := s.shown(ctx, g.Retiring)
	if err != nil {
		return e, err
	}
	e.GranteePrincipal, e.GranteeServicePrincipal = g.Grantee.split(grantee)
	e.RetiringPrincipal, e.RetiringServicePrincipal = g.Retiring.split(retiring)
	return e, nil
}

// split says under which of two names of a list p is shown.
func (p Principal) split(shown *string) (principal, service *string) {
	if p.AsService {
		return nil, shown
	}
	return shown, nil
}
