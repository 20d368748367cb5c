package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/aws/smithy-go"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"borealis/share"
)

const shareHelp = `Share an encrypted Aurora cluster snapshot of one AWS account, the source, with another,
the target, so that the target ends up with a copy that depends on the source for nothing.

It works from your own AWS profiles, one for each account:

  1. It reads both accounts, changing nothing, and prints the plan: every change, in
     which account, and the policy of the key to be made.
  2. It asks whether to carry the plan out. Only "yes" will do.
  3. In the source account it makes a customer managed key, which the target may use
     to copy this snapshot and for nothing else, copies the snapshot under the key, and
     shares the copy.
  4. In the target account it copies the shared snapshot under a key of the target's
     own and, with --restore-cluster, launches a database from that copy.

Nothing that holds data is deleted, and the snapshot itself is not touched. Interrupted
(Ctrl-C) or failed, the same command goes on from where it was: everything it makes
carries the tag borealis:run, so it finds its own things and takes nobody else's.

The plan and the result go to standard output, progress to standard error. With
--output json, standard output is one object with the fields schema, plan, result and,
where it failed, error; progress is one JSON object a line.

What it needs to be allowed in each account is in docs/permissions.md.`

const shareExample = `  # See what would be done
  borealis share nightly-2026-01-05 --source-profile prod --target-profile backup --dry-run

  # Do it
  borealis share nightly-2026-01-05 --source-profile prod --target-profile backup

  # ... under a key of the target's own choice, and launch a database from the copy
  borealis share nightly-2026-01-05 --source-profile prod --target-profile backup \
      --target-key alias/databases --restore-cluster orders-copy

  # ... on borealis serve instead of AWS
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

func newShare() *cobra.Command {
	f := &shareFlags{}
	c := &cobra.Command{
		Use:     "share SNAPSHOT --source-profile NAME --target-profile NAME",
		Short:   "Share an encrypted snapshot with another account, the whole way",
		Long:    shareHelp,
		Example: shareExample,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageErrorf("share takes one snapshot, its identifier or ARN, but got %d arguments; see %s --help", len(args), c.CommandPath())
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			f.req.Snapshot = args[0]
			return f.run(c.Context(), c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr())
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f.define(c)
	c.AddCommand(newVerify())
	return c
}

func (f *shareFlags) define(c *cobra.Command) {
	fl := c.Flags()
	fl.SortFlags = false // they come in the order in which one needs them
	fl.StringVar(&f.source.profile, "source-profile", "", "AWS profile `NAME` for the account that owns the snapshot (default: the environment's credentials)")
	fl.StringVar(&f.target.profile, "target-profile", "", "AWS profile `NAME` for the account to share it with (default: the environment's credentials)")
	fl.StringVar(&f.region, "region", "", "`REGION` of both sides (default: each profile's)")
	fl.BoolVar(&f.dryRun, "dry-run", false, "print the plan and change nothing")
	fl.BoolVarP(&f.yes, "yes", "y", false, "carry the plan out without asking")
	fl.StringVar(&f.req.TargetKey, "target-key", "", "`KEY` of the target account for its copy: id, ARN or alias (default alias/aws/rds)")
	fl.StringVar(&f.req.CopyID, "copy-id", "", "`ID` for the target's copy (default: the snapshot's)")
	fl.StringVar(&f.restore.Cluster, "restore-cluster", "", "restore a cluster of this `ID` from the target's copy")
	fl.StringVar(&f.restore.Instance, "restore-instance", "", "`ID` for the cluster's instance (default <cluster>-1)")
	fl.StringVar(&f.restore.Class, "restore-class", "", "`CLASS` of the cluster's instance (default db.r6g.large)")
	fl.StringVar(&f.req.TargetPrincipal, "target-principal", "", "`ARN` of the target's user or role that the new key's policy lets in (default: the whole account)")
	fl.StringVar(&f.req.Key.Alias, "key-alias", "", "`ALIAS` of the new key (default alias/borealis-share-<run>)")
	fl.StringVar(&f.req.Key.Description, "key-description", "", "`TEXT` that describes the new key")
	fl.StringArrayVar(&f.req.Key.Administrators, "key-admin", nil, "`ARN` of a user or role that administers the new key, repeatable (default: yourself)")
	fl.BoolVar(&f.req.Key.AdministratorsMayDelete, "key-admins-may-delete", false, "let key administrators schedule the key's deletion")
	fl.StringArrayVar(&f.tags, "tag", nil, "`NAME=VALUE`, a tag for all that is made, repeatable")
	fl.StringVarP(&f.output, "output", "o", "text", "`FORMAT` of the output: text or json")
	fl.DurationVar(&f.propagation, "propagation", 5*time.Minute, "wait out refusals by KMS until the new key is this old: AWS spreads its policy that slowly")
	fl.StringVar(&f.source.endpoint, "source-endpoint-url", "", "`URL` of the source account's services (default: the profile's, or AWS's)")
	fl.StringVar(&f.target.endpoint, "target-endpoint-url", "", "`URL` of the target account's services (default: the profile's, or AWS's)")
	for _, flag := range []string{"source-profile", "target-profile"} {
		must(c.RegisterFlagCompletionFunc(flag, completeProfiles))
	}
	must(c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp)))
}

// must is for errors that only a mistake in this package makes.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// A shareReport is what --output json prints.
type shareReport struct {
	Schema int           `json:"schema"`
	Plan   *share.Plan   `json:"plan,omitempty"`
	Result *share.Result `json:"result,omitempty"`
	Error  *shareFailure `json:"error,omitempty"`
}

// A shareFailure is an error for programs.
type shareFailure struct {
	Code     string `json:"code,omitempty"` // AWS's error code
	Message  string `json:"message"`
	Resource string `json:"resource,omitempty"`
	Cause    string `json:"cause,omitempty"`
	Fix      string `json:"fix,omitempty"`
}

// run is the command.
func (f *shareFlags) run(ctx context.Context, in io.Reader, out, errOut io.Writer) error {
	if err := f.check(in); err != nil {
		return err
	}
	// A second Ctrl-C ends the process at once.
	defer context.AfterFunc(ctx, func() { signal.Reset(os.Interrupt) })()
	report := shareReport{Schema: share.Schema}
	err := interrupted(ctx, f.share(ctx, &report, in, out, errOut))
	if f.output == "json" {
		report.Error = failure(err)
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return errors.Join(err, e.Encode(report))
	}
	return err
}

// share does it all: sides, plan, approval, apply.
func (f *shareFlags) share(ctx context.Context, report *shareReport, in io.Reader, out, errOut io.Writer) error {
	source, err := f.source.side(ctx, "source", f.region, in, errOut)
	if err != nil {
		return err
	}
	target, err := f.target.side(ctx, "target", f.region, in, errOut)
	if err != nil {
		return err
	}
	w := &share.Workflow{Source: source, Target: target, Propagation: f.propagation}
	if f.propagation == 0 {
		w.Propagation = -1 // said to be none, as opposed to not said
	}
	if report.Plan, err = w.Plan(ctx, f.req); err != nil {
		return err
	}
	if err := f.print(out, planText(report.Plan)); err != nil || f.dryRun {
		return err
	}
	if !f.yes && report.Plan.Changes() {
		if err := approve(ctx, in, errOut); err != nil {
			return err
		}
	}
	progress := newProgress(errOut, f.output == "json")
	w.Observe = progress.event
	report.Result, err = w.Apply(ctx, report.Plan)
	progress.end()
	if err != nil {
		return err
	}
	return f.print(out, resultText(report.Result))
}

// print writes text, unless a program reads the output.
func (f *shareFlags) print(out io.Writer, text string) error {
	if f.output == "json" {
		return nil
	}
	_, err := io.WriteString(out, text)
	return err
}

// check looks at what the flags say before anything is asked of AWS.
func (f *shareFlags) check(in io.Reader) error {
	switch {
	case f.output != "text" && f.output != "json":
		return usageErrorf("--output is text or json, not %q", f.output)
	case f.source == f.target:
		return usageErrorf("name the two accounts with --source-profile and --target-profile")
	case f.yes && f.dryRun:
		return usageErrorf("--yes and --dry-run contradict each other")
	case !f.yes && !f.dryRun && f.output == "json":
		return usageErrorf("--output json needs --yes, or --dry-run: nobody could read the plan to approve it")
	case !f.yes && !f.dryRun && !isTerminal(in):
		return usageErrorf("there is no terminal to approve the plan at: use --yes, or --dry-run to see it")
	case f.propagation < 0:
		return usageErrorf("--propagation is a duration, such as 5m, or 0 for not waiting at all")
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
	return nil
}

// interrupted says err for people who pressed Ctrl-C.
func interrupted(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("interrupted; what AWS has begun goes on, and nothing is lost. The same command continues from here (%w)", err)
}

// failure puts err in the words of shareFailure.
func failure(err error) *shareFailure {
	if err == nil {
		return nil
	}
	f := &shareFailure{Message: err.Error()}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		f.Code = api.ErrorCode()
	}
	if d, ok := errors.AsType[*share.DeniedError](err); ok {
		f.Message, f.Resource, f.Cause, f.Fix = d.Err.Error(), d.Resource, d.Cause, d.Fix
	}
	return f
}

func isTerminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// errDeclined says that somebody looked at the plan and did not say yes.
var errDeclined = errors.New("not approved; nothing was changed")

// approve asks for a "yes" at the terminal.
func approve(ctx context.Context, in io.Reader, out io.Writer) error {
	fmt.Fprint(out, "\nCarry out this plan? Only \"yes\" will do: ")
	answer, err := readLine(ctx, in)
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if answer != "yes" {
		return errDeclined
	}
	return nil
}
