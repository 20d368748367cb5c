package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"
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
	pair        pairFlags
	request     requestFlags
	apply       applyFlags
	yes, dryRun bool
}

func newShare() *cobra.Command {
	f := &shareFlags{}
	c := &cobra.Command{
		Use:     "share SNAPSHOT --source-profile NAME --target-profile NAME",
		Short:   "Share an encrypted snapshot with another account, the whole way",
		Long:    shareHelp,
		Example: shareExample,
		Args:    oneSnapshot,
		RunE: func(c *cobra.Command, args []string) error {
			f.request.Snapshot = args[0]
			return f.run(c.Context(), c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr())
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	fl := c.Flags()
	fl.SortFlags = false // they come in the order in which one needs them
	f.pair.define(c)
	fl.BoolVar(&f.dryRun, "dry-run", false, "print the plan and change nothing")
	fl.BoolVarP(&f.yes, "yes", "y", false, "carry the plan out without asking")
	f.request.define(c)
	f.apply.define(c)
	f.pair.defineMore(c)
	c.AddCommand(newVerify())
	return c
}

// oneSnapshot is what a command that takes one takes.
func oneSnapshot(c *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageErrorf("%s takes one snapshot, its identifier or ARN, but got %d arguments; see %[1]s --help", c.CommandPath(), len(args))
	}
	return nil
}

// must is for errors that only a mistake in this package makes.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// run is the command.
func (f *shareFlags) run(ctx context.Context, in io.Reader, out, errOut io.Writer) error {
	if err := f.check(in); err != nil {
		return err
	}
	return f.apply.reported(ctx, out, func(report *shareReport) error {
		w, err := f.pair.workflow(ctx, in, errOut)
		if err != nil {
			return err
		}
		if report.Plan, err = w.Plan(ctx, f.request.Request); err != nil {
			return err
		}
		if err := f.apply.print(out, planText(report.Plan)); err != nil || f.dryRun {
			return err
		}
		if !f.yes && report.Plan.Changes() {
			if err := approve(ctx, in, errOut); err != nil {
				return err
			}
		}
		return f.apply.carryOut(ctx, w, report, out, errOut)
	})
}

// check looks at what the flags say before anything is asked of AWS.
func (f *shareFlags) check(in io.Reader) error {
	switch {
	case f.yes && f.dryRun:
		return usageErrorf("--yes and --dry-run contradict each other")
	case !f.yes && !f.dryRun && f.apply.output == "json":
		return usageErrorf("--output json needs --yes, or --dry-run: nobody could read the plan to approve it")
	case !f.yes && !f.dryRun && !isTerminal(in):
		return usageErrorf("there is no terminal to approve the plan at: use --yes, or --dry-run to see it")
	}
	return errors.Join(f.apply.check(), f.pair.check(), f.request.check())
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
