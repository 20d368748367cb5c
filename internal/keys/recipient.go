package keys

import (
	"encoding/hex"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/attestation"
	"borealis/internal/policy"
	"borealis/internal/seal"
)

// Attestations verifies attestation documents.
type Attestations interface {
	// Verify reads a document and makes sure that who may vouch for it does so, and
	// did not long before now. The error is a sentence about the document.
	Verify(document []byte, now time.Time) (*attestation.Document, error)
}

// A recipient is an enclave for whose eyes only an answer is. A nil recipient is
// whoever asks.
type recipient struct{ document *attestation.Document }

// recipient reads and verifies the Recipient of a request; nil if there is none.
func (v *View) recipient(in *types.RecipientInfo) (*recipient, error) {
	switch {
	case in == nil:
		return nil, nil
	case v.Attestations == nil:
		return nil, unsupported("This server was given no root certificate of attestation documents (serve --attestation-root), so it trusts none, and does not offer Recipient.")
	case in.KeyEncryptionAlgorithm != types.KeyEncryptionMechanismRsaesOaepSha256:
		return nil, invalid("1 validation error detected: Value '%s' at 'recipient.keyEncryptionAlgorithm' failed to satisfy constraint: Member must satisfy enum value set: [RSAES_OAEP_SHA_256]", in.KeyEncryptionAlgorithm)
	}
	d, err := v.Attestations.Verify(in.AttestationDocument, v.Now())
	if err != nil {
		return nil, invalid("The attestation document is not valid: %v.", err)
	}
	return &recipient{d}, nil
}

// add is c with the condition keys of what r runs.
func (r *recipient) add(c policy.Context) policy.Context {
	if r == nil {
		return c
	}
	out := maps.Clone(c)
	if out == nil {
		out = policy.Context{}
	}
	prefix := "kms:RecipientAttestation:PCR"
	if r.document.TPM {
		prefix = "kms:RecipientAttestation:NitroTPMPCR"
	} else if image, ok := r.document.Registers[0]; ok {
		out["kms:RecipientAttestation:ImageSha384"] = []string{hex.EncodeToString(image)}
	}
	for i, value := range r.document.Registers {
		out[prefix+strconv.Itoa(i)] = []string{hex.EncodeToString(value)}
	}
	return out
}

// answer is plaintext as r is answered it: in the clear to whoever asks, else
// encrypted for the enclave, and then it is wiped.
func (r *recipient) answer(plaintext seal.Plaintext) (clear, encrypted []byte, err error) {
	if r == nil {
		return plaintext, nil, nil
	}
	defer seal.Wipe(plaintext)
	encrypted, err = r.document.Envelope(plaintext)
	if err != nil {
		return nil, nil, fmt.Errorf("answer an enclave: %w", err)
	}
	return nil, encrypted, nil
}
