package server

import (
	"fmt"
	"os"

	"borealis/internal/attestation"
)

// trustAttestations lets the key service answer enclaves, if there is a root to
// trust.
func (s *Server) trustAttestations() error {
	if s.cfg.AttestationRoot == "" {
		return nil
	}
	text, err := os.ReadFile(s.cfg.AttestationRoot)
	if err != nil {
		return fmt.Errorf("read the root of attestation documents (--attestation-root): %w", err)
	}
	v, err := attestation.NewVerifier(text)
	if err != nil {
		return fmt.Errorf("%s (--attestation-root): %w", s.cfg.AttestationRoot, err)
	}
	s.keys.Attestations = v
	return nil
}
