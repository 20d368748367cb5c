package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"borealis/share"
)

const shareHelp = `Share an encrypted cluster snapshot of the source account with the target account.

It first reads both accounts and prints the plan: every change, in which account.
On approval it carries the plan out. Interrupted or failed, the same command goes on
from where it was: what it makes carries the tag borealis:run.

Progress goes to standard error, the plan and the result to standard output.`

const shareExample = `  # Share, and stop when the target account has its own copy
  borealis share nightly-2026-01-05 --source-profile prod --target-profile backup

  # ... under a key of the target's own, and launch a database from it
  borealis share nightly-2026-01-05 --source-profile prod --target-profile backup \
      --target-key alias/databases --restore-cluster orders-copy

  # The same against borealis serve
  AWS_ENDPOINT_URL=http://127.0.0.1:4566 borealis share ...`

// shareFlags are the flags of share.
type shareFlags struct {
	source, target sideFlags
	region         string
	req            share.Request
	restore        share.Restore
	tags           []string
	yes, dryRun    bool
	output         string
	propagation    time.Duration
}

// sideFlags say how to reach one of the two accounts.
type sideFlags struct{ profile, endpoint string }

func newShare() *cobra.Command {
	f := &shareFlags{}
	c := &cobra.Command{
		Use:     "share SNAPSHOT --source-profile NAME --target-profile NAME",
		Short:   "Share an encrypted snapshot with another account, the whole way",
		Long:    shareHelp,
		Example: shareExample,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageErrorf("share takes one snapshot (an identifier or ARN), got %d arguments", len(args))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			f.req.Snapshot = args[0]
			return f.run(c.Context(), c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f.define(c)
	return c
}

func (f *shareFlags) define(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&f.source.profile, "source-profile", "", "AWS profile of the account that owns the snapshot (default: the environment's credentials)")
	fl.StringVar(&f.target.profile, "target-profile", "", "AWS profile of the account to share it with (required)")
	fl.StringVar(&f.source.endpoint, "source-endpoint-url", "", "endpoint of the source account's services (default: the SDK's)")
	fl.StringVar(&f.target.endpoint, "target-endpoint-url", "", "endpoint of the target account's services (default: the SDK's)")
	fl.StringVar(&f.region, "region", "", "Region of both sides (default: each profile's)")
	fl.StringVar(&f.req.TargetKey, "target-key", "", "key of the target account for its copy: id, ARN or alias (default alias/aws/rds)")
	fl.StringVar(&f.req.TargetPrincipal, "target-principal", "", "ARN that the new key's policy lets in (default: the target account)")
	fl.StringVar(&f.req.CopyID, "copy-id", "", "identifier of the target's copy (default: the snapshot's)")
	fl.StringVar(&f.req.Key.Alias, "key-alias", "", "alias of the new key (default alias/borealis-share-<run>)")
	fl.StringVar(&f.req.Key.Description, "key-description", "", "description of the new key")
	fl.StringArrayVar(&f.req.Key.Administrators, "key-admin", nil, "ARN of a user or role that administers the new key, repeatable (default: yourself)")
	fl.BoolVar(&f.req.Key.AdministratorsMayDelete, "key-admins-may-delete", false, "let key administrators schedule the key's deletion")
	fl.StringArrayVar(&f.tags, "tag", nil, "NAME=VALUE, a tag for the key and the copies, repeatable")
	fl.StringVar(&f.restore.Cluster, "restore-cluster", "", "restore a cluster of this identifier from the target's copy")
	fl.StringVar(&f.restore.Instance, "restore-instance", "", "identifier of its instance (default <cluster>-1)")
	fl.StringVar(&f.restore.Class, "restore-class", "", "class of its instance (default db.r6g.large)")
	fl.BoolVarP(&f.yes, "yes", "y", false, "do not ask for approval of the plan")
	fl.BoolVar(&f.dryRun, "dry-run", false, "print the plan and change nothing")
	fl.StringVarP(&f.output, "output", "o", "text", "text, or json: plan and result as JSON, progress as JSON lines")
	fl.DurationVar(&f.propagation, "propagation", 5*time.Minute, "how long to take a refusal by KMS for a policy that has not spread yet")
}

// run is the command: sides, plan, approval, apply.
func (f *shareFlags) run(ctx context.Context, in io.Reader, out, errOut io.Writer) error {
	if err := f.check(in); err != nil {
		return err
	}
	source, err := f.side(ctx, "source", f.source)
	if err != nil {
		return err
	}
	target, err := f.side(ctx, "target", f.target)
	if err != nil {
		return err
	}
	w := &share.Workflow{Source: source, Target: target, Propagation: f.propagation}
	plan, err := w.Plan(ctx, f.req)
	if err != nil {
		return err
	}
	if err := f.print(out, plan, planText); err != nil || f.dryRun {
		return err
	}
	if !f.yes {
		if err := approve(in, errOut); err != nil {
			return err
		}
	}
	progress := newProgress(errOut, f.output == "json")
	w.Observe = progress.event
	result, err := w.Apply(ctx, plan)
	progress.end()
	if err != nil {
		return err
	}
	return f.print(out, result, resultText)
}

// check looks at what the flags say before anything is asked of AWS.
func (f *shareFlags) check(in io.Reader) error {
	if f.output != "text" && f.output != "json" {
		return usageErrorf("--output is text or json, not %q", f.output)
	}
	if f.target.profile == "" && f.target.endpoint == f.source.endpoint {
		return usageErrorf("--target-profile is missing: the account to share with")
	}
	for _, t := range f.tags {
		k, v, ok := strings.Cut(t, "=")
		if !ok || k == "" {
			return usageErrorf("--tag is NAME=VALUE, not %q", t)
		}
		if f.req.Key.Tags == nil {
			f.req.Key.Tags = map[string]string{}
		}
		f.req.Key.Tags[k] = v
	}
	if f.restore != (share.Restore{}) {
		if f.restore.Cluster == "" {
			return usageErrorf("--restore-instance and --restore-class need --restore-cluster")
		}
		f.req.Restore = &f.restore
	}
	if !f.yes && !f.dryRun && !isTerminal(in) {
		return usageErrorf("there is no terminal to approve the plan at: use --yes, or --dry-run to see it")
	}
	return nil
}

// side makes one of the two sides from its profile.
func (f *shareFlags) side(ctx context.Context, name string, s sideFlags) (share.Side, error) {
	opts := []func(*config.LoadOptions) error{
		config.WithRetryer(func() aws.Retryer { return retry.NewAdaptiveMode() }),
	}
	if s.profile != "" {
		opts = append(opts, config.WithSharedConfigProfile(s.profile))
	}
	if f.region != "" {
		opts = append(opts, config.WithRegion(f.region))
	}
	if s.endpoint != "" {
		opts = append(opts, config.WithBaseEndpoint(s.endpoint))
	}
	cfg, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return share.Side{}, fmt.Errorf("%s account: %w", name, errors.Join(err, errCredentials))
	}
	if cfg.Region == "" {
		return share.Side{}, usageErrorf("%s account: no Region: use --region, or set one in the profile", name)
	}
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		return share.Side{}, fmt.Errorf("%s account: %w", name, errors.Join(err, errCredentials))
	}
	side, err := share.NewSide(ctx, cfg)
	if err != nil {
		return share.Side{}, fmt.Errorf("%s account: %w", name, err)
	}
	return side, nil
}

// print writes v as JSON or in words.
func (f *shareFlags) print(out io.Writer, v any, words func(any) string) error {
	if f.output == "json" {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	_, err := io.WriteString(out, words(v))
	return err
}

func isTerminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// approve asks for a "yes" at the terminal.
func approve(in io.Reader, out io.Writer) error {
	fmt.Fprint(out, "\nCarry out this plan? Only \"yes\" will do: ")
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	if strings.TrimSpace(line) != "yes" {
		return usageErrorf("not approved; nothing was changed")
	}
	return nil
}
