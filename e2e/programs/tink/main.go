// Tink seals or opens standard input, as its first argument says, under a key of
// KMS that its second names (aws-kms://arn), bound to the associated data of its
// third. All the cryptography is Google's Tink's: an envelope whose key is wrapped
// by Tink's client of KMS.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/tink-crypto/tink-go-awskms/v3/integration/awskms"
	"github.com/tink-crypto/tink-go/v2/aead"
)

func main() {
	log.SetFlags(0)
	if err := run(context.Background(), os.Args[1:]); err != nil {
		log.Fatal("tink: ", err)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("want seal or open, a key and associated data, got %d arguments", len(args))
	}
	client, err := awskms.NewClientWithOptions(ctx, args[1])
	if err != nil {
		return err
	}
	remote, err := client.GetAEAD(args[1])
	if err != nil {
		return err
	}
	in, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	envelope := aead.NewKMSEnvelopeAEAD2(aead.AES256GCMKeyTemplate(), remote)
	do := envelope.Encrypt
	if args[0] == "open" {
		do = envelope.Decrypt
	}
	out, err := do(in, []byte(args[2]))
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(out)
	return err
}
