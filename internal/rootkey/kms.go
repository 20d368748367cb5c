package rootkey

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"

	"borealis/internal/seal"
)

// kmsPatience is how long an upstream KMS is waited for, with all retries.
const kmsPatience = 20 * time.Second

// regionOf is the Region of a KMS key's ARN. An alias will not do: it may stand
// for another key tomorrow.
func regionOf(arn string) (string, error) {
	f := strings.Split(arn, ":")
	if len(f) != 6 || f[2] != "kms" || f[3] == "" || !strings.HasPrefix(f[5], "key/") {
		return "", fmt.Errorf("%q is not the ARN of a KMS key (arn:aws:kms:REGION:ACCOUNT:key/ID)", arn)
	}
	return f[3], nil
}

// client is a client of the KMS, with the credentials that the SDK finds.
func (h How) client(ctx context.Context) (*kms.Client, error) {
	region, err := regionOf(h.Key)
	if err != nil {
		return nil, err
	}
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(region))
	if err != nil {
		return nil, fmt.Errorf("read the AWS configuration: %w", err)
	}
	return kms.NewFromConfig(cfg, func(o *kms.Options) {
		if h.Endpoint != "" {
			o.BaseEndpoint = &h.Endpoint
		}
	}), nil
}

// encryptionContext binds what is wrapped to the root key that it is, and is what
// a key policy and CloudTrail see.
func encryptionContext(id string) map[string]string {
	return map[string]string{"borealis:root-key": id}
}

func (h How) wrapKMS(ctx context.Context, text seal.Plaintext, id string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, kmsPatience)
	defer cancel()
	c, err := h.client(ctx)
	if err != nil {
		return nil, err
	}
	out, err := c.Encrypt(ctx, &kms.EncryptInput{KeyId: &h.Key, Plaintext: text, EncryptionContext: encryptionContext(id)})
	if err != nil {
		return nil, h.explain(err, "kms:Encrypt")
	}
	return h.encode(id, out.CiphertextBlob)
}

func (f *File) unwrapKMS(ctx context.Context) (seal.Plaintext, error) {
	ctx, cancel := context.WithTimeout(ctx, kmsPatience)
	defer cancel()
	c, err := f.client(ctx)
	if err != nil {
		return nil, err
	}
	out, err := c.Decrypt(ctx, &kms.DecryptInput{KeyId: &f.Key, CiphertextBlob: f.wrapped, EncryptionContext: encryptionContext(f.id)})
	if err != nil {
		return nil, f.explain(err, "kms:Decrypt")
	}
	return out.Plaintext, nil
}

// explain says whether the KMS refuses or is not there, and what to do.
func (h How) explain(err error, action string) error {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return fmt.Errorf("the KMS key %s refuses %s (%s: %s); its policy must let the caller, whose credentials come from the AWS configuration, do that, and the key must be enabled",
			h.Key, action, api.ErrorCode(), api.ErrorMessage())
	}
	where := h.Endpoint
	if where == "" {
		where = "AWS's address for it"
	}
	return fmt.Errorf("the KMS key %s cannot be asked at %s, try again when it answers: %w", h.Key, where, err)
}
