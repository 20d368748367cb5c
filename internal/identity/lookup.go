package identity

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// A credential is a long-term key as the gateway needs it.
type credential struct {
	secret string
	caller cloud.Caller
}

// String keeps the secret out of messages.
func (c credential) String() string { return "credential of " + c.caller.ARN }

// Credential returns the secret of a long-term access key and who signs with it.
// It is cloud.ErrNotFound if there is no such key, it is inactive, or its account
// is closed. It reads the
// database only for keys that were not asked for since the last change.
func (s *Service) Credential(ctx context.Context, accessKeyID string) (string, cloud.Caller, error) {
	c, err := s.known.credentials.get(accessKeyID, func() (credential, error) { return s.loadCredential(ctx, accessKeyID) })
	return c.secret, c.caller, err
}

func (s *Service) loadCredential(ctx context.Context, id string) (credential, error) {
	var c credential
	err := s.Store.View(ctx, func(tx Tx) error {
		k, err := tx.Key(id)
		if err != nil {
			return err
		}
		if !k.Active {
			return fmt.Errorf("access key %s is inactive: %w", id, cloud.ErrNotFound)
		}
		if c.caller, err = actor(tx, k.Owner); err != nil {
			return err
		}
		c.caller.AccessKeyID = id
		secret, err := s.Sealer.Open(k.Sealed, keyContext(k))
		if err != nil {
			return fmt.Errorf("open secret of access key %s: %w", id, err)
		}
		c.secret = string(secret)
		return nil
	})
	return c, err
}

// Caller is the user, role or account with a unique id as it is now: what every
// request in its name has in common. For a role it lacks the session's name, in
// ARN and UserID. It is cloud.ErrNotFound when there is none any more, or its
// account is closed.
func (s *Service) Caller(ctx context.Context, id string) (cloud.Caller, error) {
	return s.known.callers.get(id, func() (cloud.Caller, error) {
		var c cloud.Caller
		err := s.Store.View(ctx, func(tx Tx) (err error) {
			c, err = actor(tx, id)
			return err
		})
		return c, err
	})
}

// actor is callerOf for one that is about to act.
func actor(tx Tx, id string) (cloud.Caller, error) {
	c, err := callerOf(tx, id)
	if err == nil {
		err = open(tx, c.Account)
	}
	if err != nil {
		return cloud.Caller{}, err
	}
	return c, nil
}

// open is cloud.ErrNotFound if account id is closed.
func open(tx Tx, id cloud.AccountID) error {
	a, err := tx.Account(id)
	if err == nil && !a.Closed.IsZero() {
		err = fmt.Errorf("account %s is closed: %w", id, cloud.ErrNotFound)
	}
	return err
}

func callerOf(tx Tx, id string) (cloud.Caller, error) {
	if a, err := cloud.ParseAccountID(id); err == nil {
		if _, err := tx.Account(a); err != nil {
			return cloud.Caller{}, err
		}
		root := a.Root().String()
		return cloud.Caller{Kind: cloud.Root, Account: a, ARN: root, Principal: root, UserID: id}, nil
	}
	e, err := tx.EntityByID(id)
	if err != nil {
		return cloud.Caller{}, err
	}
	c := cloud.Caller{Account: e.Account, ARN: e.ARN(), Principal: e.ARN(), UserID: id, Tags: tagMap(e.Tags)}
	switch e.Kind {
	case User:
		c.Kind, c.UserName = cloud.User, e.Name
	case Role:
		c.Kind = cloud.AssumedRole
		c.ARN = cloud.NewARN("sts", "", e.Account, "assumed-role/"+e.Name).String()
	default:
		return cloud.Caller{}, fmt.Errorf("%s %s makes no requests: %w", e.Kind, id, cloud.ErrNotFound)
	}
	return c, nil
}

// allowAll is what speaks for a root user.
var allowAll = sync.OnceValues(func() (*policy.Policy, error) {
	return policy.Parse("account root", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)
})

// IdentityOf returns the policies that speak for caller c, or limit it, as they
// are now. A caller that no longer exists has none and so may do nothing; nor
// have services any. Policies are parsed once, and read once between changes.
func (s *Service) IdentityOf(ctx context.Context, c cloud.Caller) (policy.Identity, error) {
	identity, err := s.lasting(ctx, c)
	if err != nil || c.SessionPolicies == nil {
		return identity, err
	}
	identity.Session = make([]*policy.Policy, 0, len(c.SessionPolicies))
	for _, text := range c.SessionPolicies {
		p, err := s.known.parse("session policy", text)
		if err != nil {
			return policy.Identity{}, fmt.Errorf("identity of %s: %w", c.ARN, err)
		}
		identity.Session = append(identity.Session, p)
	}
	return identity, nil
}

// Complete adds to q all that has a say in it beside the resource's own policy:
// the policies that speak for q.Caller or limit it, and what organizations say of
// its account, of the resource's, and of the one for whose sake a service calls.
func (s *Service) Complete(ctx context.Context, q *policy.Question) (err error) {
	if q.Identity, err = s.IdentityOf(ctx, q.Caller); err != nil || s.Organizations == nil {
		return err
	}
	caller, err := s.Organizations.Membership(ctx, q.Caller.Account)
	if err != nil {
		return err
	}
	owner := caller
	if a := q.ResourceAccount(); a != q.Caller.Account {
		if owner, err = s.Organizations.Membership(ctx, a); err != nil {
			return err
		}
	}
	q.Within(caller, owner)
	if q.Caller.SourceARN == "" {
		return nil
	}
	return s.completeSource(ctx, q)
}

// completeSource adds where the account of q.Caller.SourceARN is.
func (s *Service) completeSource(ctx context.Context, q *policy.Question) error {
	if arn, err := cloud.ParseARN(q.Caller.SourceARN); err == nil { // else it belongs to no account
		source, err := s.Organizations.Membership(ctx, arn.Account)
		if err != nil {
			return err
		}
		q.SourceOrg = source.Place
	}
	return nil
}

// lasting is what speaks for c whatever the session.
func (s *Service) lasting(ctx context.Context, c cloud.Caller) (policy.Identity, error) {
	if c.Kind == cloud.FederatedUser {
		maker, err := s.Caller(ctx, c.Maker)
		if errors.Is(err, cloud.ErrNotFound) {
			return policy.Identity{}, nil
		}
		if err != nil {
			return policy.Identity{}, fmt.Errorf("identity of %s: %w", c.ARN, err)
		}
		return s.lasting(ctx, maker)
	}
	switch c.Kind {
	case cloud.Root:
		p, err := allowAll()
		return policy.Identity{Policies: []*policy.Policy{p}}, err
	case cloud.User, cloud.AssumedRole:
		id, _, _ := strings.Cut(c.UserID, ":") // what follows is the session's name
		identity, err := s.known.identities.get(id, func() (policy.Identity, error) { return s.loadIdentity(ctx, id) })
		if errors.Is(err, cloud.ErrNotFound) {
			return policy.Identity{}, nil
		}
		return identity, err
	}
	return policy.Identity{}, nil
}

func (s *Service) loadIdentity(ctx context.Context, id string) (policy.Identity, error) {
	var identity policy.Identity
	err := s.Store.View(ctx, func(tx Tx) error {
		e, err := tx.EntityByID(id)
		if err != nil {
			return err
		}
		if identity.Policies, err = s.policiesOf(tx, e); err != nil {
			return err
		}
		bounds, err := tx.LinksFrom(id, Boundary)
		if err != nil || len(bounds) == 0 {
			return err
		}
		identity.Boundary, err = s.managed(tx, bounds[0].Target)
		return err
	})
	if err != nil {
		return policy.Identity{}, fmt.Errorf("identity %s: %w", id, err)
	}
	return identity, nil
}

// inlineName is what decisions call an inline policy of e.
func inlineName(e Entity, in Inline) string {
	return fmt.Sprintf("inline policy %s of %s/%s", in.Name, e.Kind, e.Name)
}

// managed is the managed policy arn, parsed.
func (s *Service) managed(tx Tx, arn string) (*policy.Policy, error) {
	p, err := findPolicy(tx, arn)
	if err != nil {
		return nil, err
	}
	return s.known.parse(arn, p.document())
}

// PolicyDocument is the text of managed policy arn that is in force, as account
// a may use it: the policy is a's own or AWS's. Else it is cloud.ErrNotFound.
func (s *Service) PolicyDocument(ctx context.Context, a cloud.AccountID, arn string) (string, error) {
	named, err := cloud.ParseARN(arn)
	if err != nil || named.Account != a && named.Account != awsManaged {
		return "", fmt.Errorf("policy %s: %w", arn, cloud.ErrNotFound)
	}
	return s.known.documents.get(arn, func() (string, error) {
		var text string
		err := s.Store.View(ctx, func(tx Tx) error {
			p, err := findPolicy(tx, arn)
			text = p.document()
			return err
		})
		return text, err
	})
}

// Role returns what STS needs to know of the role named by arn, or
// cloud.ErrNotFound, also if its account is closed.
func (s *Service) Role(ctx context.Context, arn string) (TrustedRole, error) {
	return s.known.roles.get(arn, func() (TrustedRole, error) {
		var role TrustedRole
		err := s.Store.View(ctx, func(tx Tx) error {
			e, err := entityByARN(tx, arn)
			if err != nil {
				return err
			}
			if e.Kind != Role {
				return fmt.Errorf("role %s: %w", arn, cloud.ErrNotFound)
			}
			if err := open(tx, e.Account); err != nil {
				return err
			}
			role, err = s.trusted(e)
			return err
		})
		return role, err
	})
}

func (s *Service) trusted(e Entity) (TrustedRole, error) {
	// With ids in place of ARNs, it lets in those that it was written for.
	p, err := s.known.parse("trust policy of "+e.ARN(), e.Trust)
	if err != nil {
		return TrustedRole{}, err
	}
	return TrustedRole{
		ARN: e.ARN(), ID: e.ID, Name: e.Name, Account: e.Account, Trust: p,
		MaxSession: time.Duration(e.MaxSession) * time.Second, Tags: tagMap(e.Tags),
	}, nil
}

// PrincipalID returns the unique id of the principal that a policy names as arn:
// a user, a role, a role session (the role's id, a colon and the session's name)
// or an account (its root user's ARN or bare id stand for it). What does not
// exist is cloud.ErrNotFound. The id outlives the principal and is never given
// to another, so that a policy which keeps it lets no namesake in.
func (s *Service) PrincipalID(ctx context.Context, arn string) (string, error) {
	var id string
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		id, err = principalID(tx, arn)
		return err
	})
	return id, err
}

// PrincipalARN is the way back from an id that PrincipalID returned: the ARN as
// it is now, or cloud.ErrNotFound when the principal is gone.
func (s *Service) PrincipalARN(ctx context.Context, id string) (string, error) {
	base, session, _ := strings.Cut(id, ":")
	c, err := s.Caller(ctx, base)
	if errors.Is(err, cloud.ErrNotFound) { // or its account is closed
		err = s.Store.View(ctx, func(tx Tx) (err error) {
			c, err = callerOf(tx, base)
			return err
		})
	}
	return principalARN(c, session), err
}
