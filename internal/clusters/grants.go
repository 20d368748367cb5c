package clusters

import "context"

// GrantsInUse are the ids of the grants that clusters live on or operations
// work under. RDS has no use for any other grant that it may retire: it was got
// for work that was never promised, because the process ended in between.
func (s *Service) GrantsInUse(ctx context.Context) (map[string]bool, error) {
	used := map[string]bool{}
	err := s.Store.View(ctx, func(tx Tx) error {
		all, err := tx.Clusters().All()
		if err != nil {
			return err
		}
		for _, c := range all {
			used[c.Grant.ID] = true
		}
		ops, err := tx.Operations()
		for _, op := range ops {
			for _, g := range op.Grants {
				used[g.ID] = true
			}
			if op.From != nil {
				used[op.From.Grant.ID] = true
			}
			if op.To != nil {
				used[op.To.Grant.ID] = true
			}
		}
		return err
	})
	return used, err
}
