package rootkey

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
	"filippo.io/age/armor"

	"borealis/internal/seal"
)

// isAge reports whether text is an age file. Ours are armored, and the age
// program opens them too: what they hold is the text of a plain file.
func isAge(text []byte) bool { return bytes.HasPrefix(text, []byte(armor.Header)) }

func wrapAge(ctx context.Context, text seal.Plaintext, s Secrets) ([]byte, error) {
	passphrase, err := s.passphrase(ctx, true)
	if err != nil {
		return nil, err
	}
	to, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	lines := armor.NewWriter(&out)
	w, err := age.Encrypt(lines, to)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(text)
	if err := errors.Join(err, w.Close(), lines.Close()); err != nil {
		return nil, fmt.Errorf("wrap the root key under the passphrase: %w", err)
	}
	return out.Bytes(), nil
}

func unwrapAge(ctx context.Context, text []byte, s Secrets) (seal.Plaintext, error) {
	passphrase, err := s.passphrase(ctx, false)
	if err != nil {
		return nil, err
	}
	identity, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, err
	}
	r, err := age.Decrypt(armor.NewReader(bytes.NewReader(text)), identity)
	if _, wrong := errors.AsType[*age.NoIdentityMatchError](err); wrong {
		return nil, errors.New("the passphrase is not the one it is wrapped under")
	}
	if err != nil {
		return nil, fmt.Errorf("damaged: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxFile))
	if err != nil {
		return nil, fmt.Errorf("damaged: %w", err)
	}
	return plain, nil
}
