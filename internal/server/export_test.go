package server

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// OpenFaulty is Open with a hook after each step of a replacement of the root key.
func OpenFaulty(ctx context.Context, cfg Config, fault func(step string) error) (*Server, error) {
	s, err := lock(ctx, cfg)
	if err != nil {
		return nil, err
	}
	s.fault = fault
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Handler answers requests, without a listener.
func (s *Server) Handler() http.Handler { return s.gateway }

// SweepAt is what the server does every minute.
func (s *Server) SweepAt(ctx context.Context, now time.Time) { s.sweepOnce(ctx, now) }

// ForgetRoots forgets the root keys that were replaced, which a new process would
// not know either.
func (s *Server) ForgetRoots() { s.roots.Drop(s.roots.Older()...) }

// DialIssuer is how OpenID Connect providers are reached.
var DialIssuer = dialIssuer
