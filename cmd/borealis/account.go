package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"borealis/internal/seal"
	"borealis/internal/server"
)

const accountHelp = `Make and list the accounts of a server. These are the operator's commands: they act on
the data directory, through the running server if there is one, and need the rights of
the user who runs it. There is no API for them.`

func newAccount() *cobra.Command {
	c := &cobra.Command{Use: "account", Short: "Make and list accounts of a borealis server", Long: accountHelp}
	c.AddCommand(newAccountCreate(), newAccountCreateKey(), newAccountSetPassword(), newAccountList())
	return group(c)
}

// accountFlags say which server, and how to answer.
type accountFlags struct {
	cfg        server.Config
	passphrase string // file of the root key's
	output     string
}

const passphraseFlag = "--passphrase-file"

func (f *accountFlags) define(c *cobra.Command) {
	fl := c.Flags()
	fl.SortFlags = false // they come in the order in which one needs them
	fl.StringVar(&f.cfg.Data, "data", defaultData(), "`DIR` of the server's data")
	fl.StringVar(&f.cfg.RootKey, "root-key", defaultRootKey(), "`FILE` of the root key; needed only where no server runs")
	fl.StringVar(&f.passphrase, strings.TrimPrefix(passphraseFlag, "--"), "", "`FILE` of the root key's passphrase, if it has one; likewise")
	fl.StringVarP(&f.output, "output", "o", "text", "`FORMAT` of the output: text or json")
}

func newAccountCreate() *cobra.Command {
	var f accountFlags
	var id, name, profile, region string
	c := &cobra.Command{
		Use:   "create --name NAME",
		Short: "Make an account, with an access key of its root user",
		Long: `Make an account. The access key of its root user is shown once and kept sealed.
With --profile the key also becomes a profile in the AWS shared configuration files
(~/.aws, or where AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE say).`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if name == "" {
				return usageErrorf("--name is missing")
			}
			if err := f.check(); err != nil { // before there is a secret to show
				return err
			}
			files := awsFiles()
			if profile != "" {
				if err := files.free(profile); err != nil {
					return err
				}
			}
			op, err := f.operate(c)
			if err != nil {
				return err
			}
			defer op.Close()
			a, err := op.CreateAccount(c.Context(), server.NewAccount{ID: id, Name: name})
			if err != nil {
				return err
			}
			if profile != "" {
				if err := files.add(profile, region, op.Endpoint(), a); err != nil {
					return fmt.Errorf("account %s was made, with access key %s, but not its profile: %w", a.ID, a.AccessKeyID, err)
				}
			}
			if profile != "" && op.Endpoint() == "" {
				fmt.Fprintf(c.ErrOrStderr(), "No server runs now, so profile %s has no address: it would go to AWS. Give it the server's in %s: endpoint_url = http://%s\n", profile, files.config, server.DefaultListen)
			}
			return f.print(c.OutOrStdout(), a, accountText(a, profile))
		},
	}
	c.Flags().StringVar(&name, "name", "", "`NAME` of the account (required)")
	c.Flags().StringVar(&id, "id", "", "12-digit `ID` of the account (default: a random one)")
	c.Flags().StringVar(&profile, "profile", "", "also write an AWS profile of this `NAME`")
	c.Flags().StringVar(&region, "region", "us-east-1", "`REGION` of that profile")
	f.define(c)
	return c
}

func newAccountCreateKey() *cobra.Command {
	var f accountFlags
	var id string
	c := &cobra.Command{
		Use:   "create-key --id ID",
		Short: "Make another access key of an account's root user",
		Long: `Make another access key of an account's root user, for who has lost theirs. It is shown
once. A root user has two keys at most: if there are two already, the older one is
deleted.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if id == "" {
				return usageErrorf("--id is missing")
			}
			if err := f.check(); err != nil { // before there is a secret to show
				return err
			}
			op, err := f.operate(c)
			if err != nil {
				return err
			}
			defer op.Close()
			a, err := op.CreateRootKey(c.Context(), id)
			if err != nil {
				return err
			}
			return f.print(c.OutOrStdout(), a, accountText(a, ""))
		},
	}
	c.Flags().StringVar(&id, "id", "", "12-digit `ID` of the account (required)")
	f.define(c)
	return c
}

func newAccountSetPassword() *cobra.Command {
	var f accountFlags
	var id string
	c := &cobra.Command{
		Use:   "set-password --id ID",
		Short: "Set the password of an account's root user",
		Long: `Set the password with which an account's root user signs in to the console, in place of
any other. It is asked for at the terminal, or read from standard input up to the end of
the first line. It has at least eight characters of three kinds: capitals, small letters,
numbers, symbols.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if id == "" {
				return usageErrorf("--id is missing")
			}
			if err := f.check(); err != nil {
				return err
			}
			password, err := newPassword(c.InOrStdin(), c.ErrOrStderr())
			if err != nil {
				return err
			}
			defer seal.Wipe(password)
			op, err := f.operate(c)
			if err != nil {
				return err
			}
			defer op.Close()
			if err := op.SetRootPassword(c.Context(), id, string(password)); err != nil {
				return err
			}
			return f.print(c.OutOrStdout(), map[string]string{"id": id}, "The root user of account "+id+" has a new password.\n")
		},
	}
	c.Flags().StringVar(&id, "id", "", "12-digit `ID` of the account (required)")
	f.define(c)
	return c
}

// newPassword asks for a new password at the terminal, twice, or takes the first line
// of in.
func newPassword(in io.Reader, out io.Writer) (seal.Plaintext, error) {
	if isTerminal(in) {
		return askTwice(in, out, "New password", "passwords")
	}
	line, err := bufio.NewReader(io.LimitReader(in, maxPassphrase)).ReadBytes('\n')
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("read the password: %w", err)
	}
	p := bytes.TrimRight(line, "\r\n")
	if len(p) == 0 {
		return nil, errors.New("there is no password in the standard input")
	}
	return p, nil
}

func newAccountList() *cobra.Command {
	var f accountFlags
	c := &cobra.Command{
		Use:   "list",
		Short: "List the accounts",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return f.show(c, func(op server.Operator) (any, string, error) {
				list, err := op.Accounts(c.Context())
				var text strings.Builder
				for _, a := range list {
					fmt.Fprintf(&text, "%s  %s\n", a.ID, a.Name)
				}
				return list, text.String(), err
			})
		},
	}
	f.define(c)
	return c
}

// operate is the operator of the server, or of its data directory.
func (f *accountFlags) operate(c *cobra.Command) (server.Operator, error) {
	f.cfg.Passphrase = passphrase(c, f.passphrase, passphraseFlag)
	return server.Operate(c.Context(), f.cfg)
}

// show prints what look finds, which is printed in one form or the other.
func (f *accountFlags) show(c *cobra.Command, look func(server.Operator) (found any, text string, err error)) error {
	if err := f.check(); err != nil {
		return err
	}
	op, err := f.operate(c)
	if err != nil {
		return err
	}
	defer op.Close()
	found, text, err := look(op)
	if err != nil {
		return err
	}
	return f.print(c.OutOrStdout(), found, text)
}

func (f *accountFlags) check() error {
	if f.output != "text" && f.output != "json" {
		return usageErrorf("--output is text or json, not %q", f.output)
	}
	return nil
}

func (f *accountFlags) print(w io.Writer, v any, text string) error {
	if f.output == "json" {
		return json.NewEncoder(w).Encode(v)
	}
	_, err := io.WriteString(w, text)
	return err
}

func accountText(a server.Account, profile string) string {
	var b strings.Builder
	b.WriteString("account            " + a.ID)
	if a.Name != "" {
		b.WriteString(" (" + a.Name + ")")
	}
	b.WriteByte('\n')
	fmt.Fprintf(&b, "access key id      %s\n", a.AccessKeyID)
	fmt.Fprintf(&b, "secret access key  %s\n", a.SecretAccessKey)
	b.WriteString("The secret is not shown again.\n")
	if profile != "" {
		fmt.Fprintf(&b, "AWS profile        %s\n", profile)
	}
	return b.String()
}

// sharedFiles are the AWS shared configuration files.
type sharedFiles struct{ config, credentials string }

func awsFiles() sharedFiles {
	home, _ := os.UserHomeDir()
	at := func(env, name string) string {
		if path := os.Getenv(env); path != "" {
			return path
		}
		return filepath.Join(home, ".aws", name)
	}
	return sharedFiles{config: at("AWS_CONFIG_FILE", "config"), credentials: at("AWS_SHARED_CREDENTIALS_FILE", "credentials")}
}

// free refuses a profile that exists already: it may be of a real account.
func (f sharedFiles) free(profile string) error {
	for path, header := range map[string]string{f.config: "[profile " + profile + "]", f.credentials: "[" + profile + "]"} {
		text, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for line := range strings.Lines(string(text)) {
			if strings.TrimSpace(line) == header {
				return usageErrorf("profile %s exists already in %s; choose another name", profile, path)
			}
		}
	}
	return nil
}

func (f sharedFiles) add(profile, region, endpoint string, a server.Account) error {
	config := fmt.Sprintf("\n[profile %s]\nregion = %s\n", profile, region)
	if endpoint != "" {
		config += "endpoint_url = " + endpoint + "\n"
	}
	return errors.Join(
		appendFile(f.config, config),
		appendFile(f.credentials, fmt.Sprintf("\n[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\n", profile, a.AccessKeyID, a.SecretAccessKey)))
}

func appendFile(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
