package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"borealis/e2e/local"
)

// kmsRequest is a signed request to KMS. It is made with the SDK's signer but
// not with its client, which would be the slowest part of what is measured.
func kmsRequest(ctx context.Context, k local.AccessKey, url, op string, in any) (*http.Request, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "TrentService."+op)
	sum := sha256.Sum256(body)
	cred := aws.Credentials{AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey}
	return req, v4.NewSigner().SignHTTP(ctx, cred, req, hex.EncodeToString(sum[:]), "kms", local.Region, time.Now())
}
