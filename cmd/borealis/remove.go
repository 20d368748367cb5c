package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"borealis/share"
)

const revokeHelp = `Take away the target account's access to what a run shares with it: the share, the
statements of the run's key that let that account in (and no other's), and its grants on
the key. Nothing is deleted. What the target has copied under a key of its own stays the
target's; a database that the target runs under the source's key keeps it, and is named.

Without --approve it prints what it would do, and does nothing.`

func newRevoke() *cobra.Command {
	f := &removeFlags{}
	c := &cobra.Command{
		Use:   "revoke RUN|SNAPSHOT --source-profile NAME --target-profile NAME",
		Short: "Take back the target's access to what a run shares",
		Long:  revokeHelp,
		Example: `  borealis revoke nightly-2026-01-05 --source-profile prod --target-profile backup
  borealis revoke nightly-2026-01-05 --source-profile prod --target-profile backup --approve`,
		Args: oneRun,
		RunE: func(c *cobra.Command, args []string) error {
			return f.run(c.Context(), c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr(), func(ctx context.Context, w *share.Workflow) ([]*share.Removal, error) {
				p, err := w.PlanRevoke(ctx, args[0])
				return []*share.Removal{p}, err
			})
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f.define(c, nil)
	return c
}

const cleanupHelp = `Delete what runs have left in the source account once the target has its own copy: the
share, the source's copy, the key's alias, and the key (which KMS deletes after some days,
and until then can give back). Without a RUN, of all runs that are complete.

The snapshot itself and everything in the target account stay. So does a key that another
cluster or cluster snapshot is under, in either account, and a copy that somebody has shared
with further accounts. Nothing that lacks the run's tag is touched. What else a key was used
for, it cannot see: until KMS deletes the key, aws kms cancel-key-deletion gives it back.

Without --approve it prints what it would do, and does nothing.`

func newCleanup() *cobra.Command {
	f := &removeFlags{}
	var days int
	var abandon bool
	var older time.Duration
	c := &cobra.Command{
		Use:   "cleanup [RUN|SNAPSHOT ...] --source-profile NAME --target-profile NAME",
		Short: "Delete what complete runs have left in the source account",
		Long:  cleanupHelp,
		Example: `  borealis cleanup --source-profile prod --target-profile backup
  borealis cleanup --older-than 720h --source-profile prod --target-profile backup --approve`,
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case abandon && len(args) == 0:
				return usageErrorf("--abandon needs the run that is to be given up")
			case older < 0 || older > 0 && len(args) > 0:
				return usageErrorf("--older-than is a duration such as 720h, for all runs, not for one that is named")
			}
			return f.run(c.Context(), c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr(), func(ctx context.Context, w *share.Workflow) ([]*share.Removal, error) {
				return planCleanups(ctx, w, args, older, days, abandon)
			})
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f.define(c, func() {
		c.Flags().DurationVar(&older, "older-than", 0, "only runs whose copies are all older than this `DURATION`, such as 720h")
		c.Flags().IntVar(&days, "pending-days", share.DefaultPendingDays, "`DAYS` that KMS waits before it deletes a key: 7 to 30")
		c.Flags().BoolVar(&abandon, "abandon", false, "also where the target has no copy of its own: the run is given up")
	})
	return c
}

// planCleanups plans the cleaning up after the runs that are named, or after all that
// are complete.
func planCleanups(ctx context.Context, w *share.Workflow, names []string, older time.Duration, days int, abandon bool) ([]*share.Removal, error) {
	if len(names) == 0 {
		runs, err := w.Runs(ctx)
		if err != nil {
			return nil, err
		}
		for _, r := range runs {
			done := r.State == share.Complete || r.State == share.CleanedUp // what is left then is an alias
			if done && time.Since(r.Made()) >= older {
				names = append(names, r.ID)
			}
		}
	}
	var plans []*share.Removal
	for _, name := range names {
		p, err := w.PlanCleanup(ctx, name, days, abandon)
		if err != nil {
			return nil, err
		}
		plans = append(plans, p)
	}
	return plans, nil
}

// removeFlags are the flags of the commands that take back.
type removeFlags struct {
	pair    pairFlags
	approve bool
	output  string
}

// define adds the flags to a command, and between them its own.
func (f *removeFlags) define(c *cobra.Command, own func()) {
	c.Flags().SortFlags = false // they come in the order in which one needs them
	f.pair.define(c)
	c.Flags().BoolVar(&f.approve, "approve", false, "do it, instead of printing what would be done")
	if own != nil {
		own()
	}
	defineOutput(c, &f.output)
	f.pair.defineMore(c)
}

// A removeReport is what --output json prints.
type removeReport struct {
	Schema   int              `json:"schema"`
	Removals []*share.Removal `json:"removals"`
	Done     bool             `json:"done"` // and not only planned
	Error    *shareFailure    `json:"error,omitempty"`
}

// run plans, prints, and does it if that is approved.
func (f *removeFlags) run(ctx context.Context, in io.Reader, out, errOut io.Writer, plan func(context.Context, *share.Workflow) ([]*share.Removal, error)) error {
	if err := errors.Join(checkOutput(f.output), f.pair.check()); err != nil {
		return err
	}
	report := removeReport{Schema: share.Schema, Removals: []*share.Removal{}}
	err := interrupted(ctx, f.remove(ctx, &report, in, out, errOut, plan))
	if f.output == "json" {
		report.Error = failure(err)
		return errors.Join(err, writeJSON(out, report))
	}
	return err
}

func (f *removeFlags) remove(ctx context.Context, report *removeReport, in io.Reader, out, errOut io.Writer, plan func(context.Context, *share.Workflow) ([]*share.Removal, error)) error {
	w, err := f.pair.workflow(ctx, in, errOut)
	if err != nil {
		return err
	}
	plans, err := plan(ctx, w)
	if err != nil {
		return err
	}
	report.Removals = append(report.Removals, plans...)
	if f.output == "text" {
		if _, err := io.WriteString(out, removalText(plans, f.approve)); err != nil {
			return err
		}
	}
	if !f.approve {
		return nil
	}
	progress := newProgress(errOut, f.output == "json")
	defer progress.end()
	w.Observe = progress.event
	for _, p := range plans {
		if err := w.Remove(ctx, p); err != nil {
			return err
		}
	}
	report.Done = true
	return nil
}

// removalText puts in words what is to be done.
func removalText(plans []*share.Removal, approved bool) string {
	var b strings.Builder
	steps := 0
	for _, p := range plans {
		if len(p.Steps)+len(p.Kept) == 0 {
			continue
		}
		fmt.Fprintf(&b, "Run %s, in the source account %s:\n", p.Run, p.Source.Account)
		for _, s := range p.Steps {
			fmt.Fprintf(&b, "  %s %-18s %s\n", symbols[s.Change], s.Kind, s.ARN)
			for _, d := range s.Detail {
				fmt.Fprintf(&b, "  %21s%s\n", "", d)
			}
		}
		for _, k := range p.Kept {
			fmt.Fprintf(&b, "! %s\n", k)
		}
		steps += len(p.Steps)
	}
	switch {
	case steps == 0:
		b.WriteString("Nothing to take back.\n")
	case !approved:
		fmt.Fprintf(&b, "\nNo changes were made: %d to be made with --approve.\n", steps)
	default:
		b.WriteString("\n")
	}
	return b.String()
}
