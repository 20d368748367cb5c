package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"borealis/share"
)

const verifyHelp = `Prove that a copy in the target account holds, byte for byte, what a snapshot of the
source account holds, by their content roots: hashes of what they hold, which
"borealis serve" shows as the tag rds:borealis-content-root and which depend on no key.
AWS has none; there this says so, and fails. Nothing is changed.

With --sign-key, a key of the source account (HMAC or signing) vouches for the result, and
an attestation, a JSON document, goes to standard output. With --check FILE, an
attestation is checked instead, with the credentials of the source profile. It proves
something only to someone who knows that the key it names is one to believe.

To share a snapshot that is itself called "verify", give its ARN.`

// verifyFlags are the flags of share verify.
type verifyFlags struct {
	pairFlags
	signKey, check string
}

func newVerify() *cobra.Command {
	f := &verifyFlags{}
	c := &cobra.Command{
		Use:   "verify SNAPSHOT COPY --source-profile NAME --target-profile NAME",
		Short: "Prove that a copy in another account holds what the snapshot holds",
		Long:  verifyHelp,
		Example: `  borealis share verify nightly nightly --source-profile prod --target-profile backup
  borealis share verify nightly nightly --source-profile prod --target-profile backup --sign-key alias/attest >proof.json
  borealis share verify --check proof.json --source-profile prod`,
		Args: func(c *cobra.Command, args []string) error {
			if want := map[bool]int{false: 2}[f.check != ""]; len(args) != want {
				return usageErrorf("%s takes %d snapshots, got %d; see %[1]s --help", c.CommandPath(), want, len(args))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			return f.run(c.Context(), args, c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr())
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	fl := c.Flags()
	fl.SortFlags = false // they come in the order in which one needs them
	f.define(c)
	fl.StringVar(&f.signKey, "sign-key", "", "`KEY` of the source account that signs the result: id, ARN or alias")
	fl.StringVar(&f.check, "check", "", "`FILE` of an attestation to check")
	f.defineMore(c)
	return c
}

// run is the command.
func (f *verifyFlags) run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) error {
	if f.check != "" {
		source, err := f.source.side(ctx, "source", f.region, in, errOut)
		if err != nil {
			return err
		}
		return checkAttestation(ctx, source.Signer, f.check, out)
	}
	w, err := f.workflow(ctx, in, errOut)
	if err != nil {
		return err
	}
	s, err := w.Verify(ctx, args[0], args[1])
	if err != nil {
		return err
	}
	if f.signKey == "" {
		_, err := io.WriteString(out, statementText(s))
		return err
	}
	a, err := share.Attest(ctx, w.Source.Signer, f.signKey, s)
	if err != nil {
		return err
	}
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(a)
}

// checkAttestation says what the attestation in a file proves.
func checkAttestation(ctx context.Context, k share.Signer, file string, out io.Writer) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var a share.Attestation
	if err := json.Unmarshal(text, &a); err != nil {
		return usageErrorf("%s is not an attestation: %v", file, err)
	}
	s, err := a.Check(ctx, k)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%ssigned by  %s (%s)\n", statementText(s), a.KeyARN, a.Algorithm)
	return err
}

func statementText(s *share.Statement) string {
	return fmt.Sprintf("the same, byte for byte\nsource     %s\ntarget     %s\ncontent    %s\n", s.Source, s.Target, s.ContentRoot)
}
