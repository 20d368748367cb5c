package organizations

import "context"

// Finish is one round of Run.
func (s *Service) Finish(ctx context.Context) error { return s.finish(ctx) }

// Depart is the other half of it.
func (s *Service) Depart(ctx context.Context) error { return s.depart(ctx) }
