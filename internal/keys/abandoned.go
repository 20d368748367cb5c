package keys

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"borealis/internal/cloud"
)

// RetireAbandoned retires the grants that an AWS service ("rds.amazonaws.com")
// may retire and does not use, on the keys of every account in every Region:
// those that it got, and could not write down before its process died. It says
// how many there were. It is for a moment when the service asks for no grants;
// no API reaches it.
func (s *Service) RetireAbandoned(ctx context.Context, service string, used map[string]bool) (int, error) {
	var regions []cloud.Region
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		regions, err = tx.RetirableRegions()
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("list Regions of grants: %w", err)
	}
	retired := 0
	var errs []error
	for _, r := range regions {
		n, err := s.retireAbandoned(ctx, cloud.ServiceCaller(service, r), used)
		retired += n
		errs = append(errs, err)
	}
	return retired, errors.Join(errs...)
}

// retireAbandoned is RetireAbandoned in the caller's Region.
func (s *Service) retireAbandoned(ctx context.Context, c cloud.Caller, used map[string]bool) (retired int, err error) {
	const page = 100
	for after, more := "", true; more; {
		var grants []Grant
		verr := s.Store.View(ctx, func(tx Tx) (err error) {
			grants, err = tx.Retirable(c.Region, c.Principal, after, page)
			return err
		})
		if verr != nil {
			return retired, errors.Join(err, fmt.Errorf("list grants of %s: %w", c.Principal, verr))
		}
		more = len(grants) == page
		for _, g := range grants {
			after = g.ID
			if used[g.ID] {
				continue
			}
			_, rerr := s.As(c).RetireGrant(ctx, &kms.RetireGrantInput{KeyId: new(g.ARN()), GrantId: &g.ID})
			if rerr != nil {
				err = errors.Join(err, fmt.Errorf("retire grant %s on %s: %w", g.ID, g.ARN(), rerr))
				continue
			}
			retired++
		}
	}
	return retired, err
}
