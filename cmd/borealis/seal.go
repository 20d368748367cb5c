package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"borealis/internal/rootkey"
	"borealis/internal/seal"
	"borealis/internal/server"
)

const sealHelp = `The root key seals every secret of a server: key material of KMS, secrets of access keys.
It is in a file (--root-key), as it is or wrapped: under a passphrase, by a key of an
upstream KMS, or by a key on a PKCS#11 token. These are the operator's commands: they act
on the data directory, through the running server if there is one.`

func newSeal() *cobra.Command {
	c := &cobra.Command{Use: "seal", Short: "Show and replace the root key of a borealis server", Long: sealHelp}
	c.AddCommand(newSealStatus(), newSealRotate())
	return group(c)
}

func newSealStatus() *cobra.Command {
	var f accountFlags
	c := &cobra.Command{
		Use:   "status",
		Short: "Show how the root key is kept, and what is sealed under it",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return f.show(c, func(op server.Operator) (any, string, error) {
				s, err := op.Seal(c.Context())
				return s, sealText(s), err
			})
		},
	}
	f.define(c)
	return c
}

const rotateHelp = `Make a new root key, seal every secret under it, and destroy the old one, also while the
server answers requests. If it is interrupted, the next start of the server, or the same
command, goes on with it.

The new root key is kept like the old one, in the same file, or as --to says:

  none          as it is
  passphrase    under a passphrase: see --new-passphrase-file
  arn:aws:kms:REGION:ACCOUNT:key/ID
                by a key of an upstream KMS, of AWS or of another borealis server (then
                with --endpoint); credentials are found like those of the AWS CLI by the
                process that needs them, which is the server if one runs
  "pkcs11:token=LABEL;object=LABEL?module-path=FILE&pin-source=FILE"
                by an AES key on a PKCS#11 token

Copies of the data directory from before open with the old root key only. It is
overwritten here; with its copies elsewhere gone too, nobody can read those any more. Copy
the new root key to a safe place.

Sessions and grant tokens stay good. If the old root key may have become known, use
--end-sessions: who had it and the data could make sessions of their own.`

func newSealRotate() *cobra.Command {
	var f accountFlags
	var n server.NewRootKey
	var passphraseFile string
	var yes bool
	c := &cobra.Command{
		Use:   "rotate",
		Short: "Replace the root key, and seal everything under the new one",
		Long:  rotateHelp,
		Example: `  borealis seal rotate --yes
  borealis seal rotate --to passphrase --new-passphrase-file /run/secrets/borealis`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := errors.Join(f.check(), checkRotate(n, passphraseFile, yes, c.InOrStdin())); err != nil {
				return err
			}
			if err := newPassphrase(c, &n, passphraseFile); err != nil {
				return err
			}
			op, err := f.operate(c)
			if err != nil {
				return err
			}
			defer op.Close()
			if !yes {
				if err := approveRotation(c, op); err != nil {
					return err
				}
			}
			s, err := op.ReplaceRootKey(c.Context(), n)
			if err != nil {
				return err
			}
			return f.print(c.OutOrStdout(), s, "The root key is replaced. Copy the file to a safe place, and destroy copies of the old one.\n"+sealText(s))
		},
	}
	fl := c.Flags()
	fl.StringVar(&n.Wrap, "to", "", "keep the new root key in this `WAY` (see above; default: like the old one)")
	fl.StringVar(&n.Endpoint, "endpoint", "", "`URL` of the upstream KMS (default: AWS's)")
	fl.StringVar(&passphraseFile, "new-passphrase-file", "", "`FILE` of the new root key's passphrase")
	fl.BoolVar(&n.EndSessions, "end-sessions", false, "also end all sessions, and make grant tokens void")
	fl.BoolVar(&yes, "yes", false, "do not ask")
	f.define(c)
	return c
}

// checkRotate looks at what the flags say before anything is opened.
func checkRotate(n server.NewRootKey, passphraseFile string, yes bool, in io.Reader) error {
	how, err := rootkey.ParseHow(n.Wrap, n.Endpoint)
	switch {
	case err != nil:
		return usageErrorf("--to: %v", err)
	case passphraseFile != "" && n.Wrap != "" && how.Provider != rootkey.Passphrase:
		return usageErrorf("--new-passphrase-file is for --to passphrase")
	case !yes && !isTerminal(in):
		return usageErrorf("there is no terminal to ask at: use --yes")
	}
	return nil
}

// newPassphrase puts the new root key's passphrase into n, if it is to have one
// of its own.
func newPassphrase(c *cobra.Command, n *server.NewRootKey, file string) error {
	if file == "" && n.Wrap != string(rootkey.Passphrase) {
		return nil
	}
	p, err := passphrase(c, file, "--new-passphrase-file")(c.Context(), true)
	if err != nil {
		return err
	}
	defer seal.Wipe(p)
	n.Passphrase = string(p)
	return nil
}

func approveRotation(c *cobra.Command, op server.Operator) error {
	s, err := op.Seal(c.Context())
	if err != nil {
		return err
	}
	fmt.Fprintf(c.ErrOrStderr(), "%sCopies of the data directory from before will open with this root key only, which is destroyed.\nReplace it? Only \"yes\" will do: ", sealText(s))
	answer, err := readLine(c.Context(), c.InOrStdin())
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if answer != "yes" {
		return errDeclined
	}
	return nil
}

func sealText(s server.Seal) string {
	var b strings.Builder
	fmt.Fprintf(&b, "root key   %s\nfile       %s, %s\n", s.RootKey, s.File, s.How)
	if s.How.Endpoint != "" {
		fmt.Fprintf(&b, "endpoint   %s\n", s.How.Endpoint)
	}
	if !s.Since.IsZero() {
		fmt.Fprintf(&b, "since      %s\n", s.Since.Format(time.RFC3339))
	}
	if s.Next != "" {
		fmt.Fprintf(&b, "next       %s is replacing it\n", s.Next)
	}
	for _, n := range s.Sealed {
		under := n.RootKey
		if under == "" {
			under = "the root key, as versions before named none"
		}
		fmt.Fprintf(&b, "sealed     %d secrets under %s\n", n.Secrets, under)
	}
	return b.String()
}

// passphraseEnv names the file of the root key's passphrase where no flag does.
const passphraseEnv = "BOREALIS_ROOT_PASSPHRASE_FILE"

// maxPassphrase bounds the size of a file of a passphrase, in bytes.
const maxPassphrase = 4096

// passphrase returns what finds the root key's passphrase: in file, which flag
// names, in the one that the environment names, or at the terminal. It is never
// an argument: those can be seen by all users of the machine.
func passphrase(c *cobra.Command, file, flag string) func(context.Context, bool) (seal.Plaintext, error) {
	return func(_ context.Context, isNew bool) (seal.Plaintext, error) {
		if file == "" && flag == passphraseFlag {
			file = os.Getenv(passphraseEnv)
		}
		if file != "" {
			return readPassphrase(file)
		}
		in := c.InOrStdin()
		if !isTerminal(in) {
			return nil, fmt.Errorf("the root key has a passphrase, and there is no terminal to ask for it at: name its file with %s (or %s)", flag, passphraseEnv)
		}
		return askPassphrase(in, c.ErrOrStderr(), isNew)
	}
}

func readPassphrase(path string) (seal.Plaintext, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the passphrase of the root key: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxPassphrase))
	if err != nil {
		return nil, fmt.Errorf("read the passphrase of the root key: %w", err)
	}
	if len(text) == maxPassphrase {
		return nil, fmt.Errorf("the passphrase in %s is too long", path)
	}
	p := bytes.TrimRight(text, "\r\n")
	if len(p) == 0 {
		return nil, fmt.Errorf("the passphrase in %s is empty", path)
	}
	return p, nil
}

// askPassphrase asks at a terminal, twice for a new one.
func askPassphrase(in io.Reader, out io.Writer, isNew bool) (seal.Plaintext, error) {
	if isNew {
		return askTwice(in, out, "New passphrase of the root key", "passphrases")
	}
	return askSecret(in, out, "Passphrase of the root key: ")
}

// askTwice asks at a terminal for a new secret, and for the same again.
func askTwice(in io.Reader, out io.Writer, question, kind string) (seal.Plaintext, error) {
	p, err := askSecret(in, out, question+": ")
	if err != nil {
		return nil, err
	}
	again, err := askSecret(in, out, "The same again: ")
	if err != nil {
		return nil, err
	}
	defer seal.Wipe(again)
	if !bytes.Equal(p, again) {
		return nil, errors.New("the two " + kind + " differ")
	}
	return p, nil
}

// askSecret asks at a terminal and does not show the answer.
func askSecret(in io.Reader, out io.Writer, question string) (seal.Plaintext, error) {
	fmt.Fprint(out, question)
	p, err := term.ReadPassword(int(in.(*os.File).Fd())) // which isTerminal has made sure of
	fmt.Fprintln(out)
	if err != nil {
		return nil, fmt.Errorf("read the secret: %w", err)
	}
	return p, nil
}
