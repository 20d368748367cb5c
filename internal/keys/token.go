package keys

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/material"
	"borealis/internal/seal"
)

// A wrapping is what an import token holds: the private key under whose public
// key material is wrapped, and how.
type wrapping struct {
	Algorithm material.Algorithm
	Spec      material.Spec
	Until     time.Time // the token's end
	Key       []byte    // in its encoding
}

// importContext binds an import token to the key that it is for.
func importContext(r Ref) []byte {
	return seal.Context("kms import token v1", string(r.Account), string(r.Region), r.ID)
}

// sealToken makes the import token of w for the key r, and the public key. Nothing
// is stored: the token is good, as often as anybody likes, until w.Until.
func (s *Service) sealToken(r Ref, w wrapping) (token, public []byte, err error) {
	k, err := material.Load(w.Spec, w.Key)
	if err != nil {
		return nil, nil, fmt.Errorf("read wrapping key: %w", err)
	}
	defer k.Wipe()
	if public, err = k.Public(); err != nil {
		return nil, nil, fmt.Errorf("public half of wrapping key: %w", err)
	}
	text, err := json.Marshal(w)
	if err != nil {
		return nil, nil, fmt.Errorf("write import token: %w", err)
	}
	defer seal.Wipe(text)
	if token, err = s.tokens().Seal(text, importContext(r)); err != nil {
		return nil, nil, fmt.Errorf("seal import token: %w", err)
	}
	return token, public, nil
}

// openToken reads an import token. One that was damaged, is not for the key r, or
// whose time is over, is InvalidImportTokenException or, the last,
// ExpiredImportTokenException.
func (s *Service) openToken(r Ref, token []byte) (*wrapping, error) {
	text, err := s.tokens().Open(token, importContext(r))
	if err != nil {
		return nil, &types.InvalidImportTokenException{}
	}
	defer seal.Wipe(text)
	w := new(wrapping)
	if err := json.Unmarshal(text, w); err != nil {
		return nil, &types.InvalidImportTokenException{}
	}
	if !s.Now().Before(w.Until) {
		seal.Wipe(w.Key)
		return nil, &types.ExpiredImportTokenException{}
	}
	return w, nil
}
