// Vault seals or opens standard input, as its argument says, under the key of KMS
// that VAULT_AWSKMS_SEAL_KEY_ID names, as HashiCorp Vault's and OpenBao's auto-unseal
// does: with HashiCorp's go-kms-wrapping, which speaks through the first AWS SDK.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"

	wrapping "github.com/hashicorp/go-kms-wrapping/v2"
	"github.com/hashicorp/go-kms-wrapping/wrappers/awskms/v2"
)

func main() {
	log.SetFlags(0)
	if err := run(context.Background(), os.Args[1:]); err != nil {
		log.Fatal("vault: ", err)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("want seal or open, got %d arguments", len(args))
	}
	w := awskms.NewWrapper()
	if _, err := w.SetConfig(ctx); err != nil {
		return err
	}
	in, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	if args[0] == "open" {
		var blob wrapping.BlobInfo
		if err := json.Unmarshal(in, &blob); err != nil {
			return err
		}
		out, err := w.Decrypt(ctx, &blob)
		if err != nil {
			return err
		}
		_, err = os.Stdout.Write(out)
		return err
	}
	blob, err := w.Encrypt(ctx, in)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(blob)
}
