package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/e2e/local"
)

// distinct is how many requests of one kind are prepared.
const distinct = 64

// prepare signs the requests that drive sends, so that the client has nothing
// left to do but to write and read. owner makes the keys and user uses them. An
// operation that the server does not know is left out.
func (b *bench) prepare(ctx context.Context, t *target, url string, owner, user local.AccessKey) error {
	t.address, t.requests = strings.TrimPrefix(url, "http://"), map[string][][]byte{}
	c, err := kmsClient(ctx, url, owner)
	if err != nil {
		return err
	}
	keyID, signer := bareName, bareName // it has one key and asks for no name
	if t.name != bareName {
		if keyID, err = createKey(ctx, c, &kms.CreateKeyInput{}); err != nil {
			return err
		}
		signer, err = createKey(ctx, c, &kms.CreateKeyInput{KeySpec: types.KeySpecEccNistP256, KeyUsage: types.KeyUsageTypeSignVerify})
		if err != nil {
			b.missing(t.name+"'s Sign", err)
		}
	}
	inputs := map[string]func(i int) (any, error){
		"GenerateDataKey": func(i int) (any, error) {
			return map[string]any{"KeyId": keyID, "KeySpec": "AES_256", "EncryptionContext": row(i)}, nil
		},
		"Encrypt": func(i int) (any, error) {
			return map[string]any{"KeyId": keyID, "Plaintext": make([]byte, 32), "EncryptionContext": row(i)}, nil
		},
		"Decrypt": func(i int) (any, error) {
			out, err := c.Encrypt(ctx, &kms.EncryptInput{KeyId: &keyID, Plaintext: make([]byte, 32), EncryptionContext: row(i)})
			if err != nil {
				return nil, err
			}
			return map[string]any{"CiphertextBlob": out.CiphertextBlob, "EncryptionContext": row(i)}, nil
		},
		"DescribeKey": func(int) (any, error) { return map[string]any{"KeyId": keyID}, nil },
	}
	if signer != "" {
		inputs["Sign"] = func(i int) (any, error) {
			return map[string]any{"KeyId": signer, "Message": bytes.Repeat([]byte{byte(i)}, 32), "MessageType": "DIGEST", "SigningAlgorithm": "ECDSA_SHA_256"}, nil
		}
	}
	for op, input := range inputs {
		for i := range distinct {
			in, err := input(i)
			if err != nil {
				return fmt.Errorf("prepare %s of %s: %w", op, t.name, err)
			}
			wire, err := signedBytes(ctx, user, url, op, in)
			if err != nil {
				return err
			}
			t.requests[op] = append(t.requests[op], wire)
		}
		if _, err := drive(ctx, t.address, t.requests[op][:1], 1, 0); err != nil {
			b.missing(t.name+"'s "+op, err)
			delete(t.requests, op)
		}
	}
	return nil
}

// row is the encryption context of a request.
func row(i int) map[string]string {
	return map[string]string{"app": "bench", "row": fmt.Sprint(i)}
}

// createKey makes a key as soon as the server is there, and returns its id.
func createKey(ctx context.Context, c *kms.Client, in *kms.CreateKeyInput) (string, error) {
	id := ""
	err := poll(ctx, func() (bool, error) {
		out, err := c.CreateKey(ctx, in)
		if errors.Is(err, syscall.ECONNREFUSED) {
			return false, nil
		}
		if err == nil {
			id = *out.KeyMetadata.KeyId
		}
		return true, err
	})
	return id, err
}

// signedBytes is a signed request as it goes over the wire.
func signedBytes(ctx context.Context, k local.AccessKey, url, op string, in any) ([]byte, error) {
	req, err := kmsRequest(ctx, k, url, op, in)
	if err != nil {
		return nil, err
	}
	return wireBytes(req)
}

func wireBytes(req *http.Request) ([]byte, error) {
	var wire bytes.Buffer
	err := req.Write(&wire)
	return wire.Bytes(), err
}
