package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"borealis/share"
)

const listHelp = `List what runs of borealis share have made and what is still there of it, in the source
account and in one target account: found by the tag borealis:run, so from any machine.
Nothing is changed.

A run that is complete has done its job: the target has a copy under a key of its own.
What it has left in the source account is deleted by "borealis cleanup".`

func newList() *cobra.Command {
	var pair pairFlags
	var output string
	c := &cobra.Command{
		Use:     "list --source-profile NAME --target-profile NAME",
		Short:   "List what has been shared, and how far it is",
		Long:    listHelp,
		Example: `  borealis list --source-profile prod --target-profile backup`,
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := errors.Join(checkOutput(output), pair.check()); err != nil {
				return err
			}
			w, err := pair.workflow(c.Context(), c.InOrStdin(), c.ErrOrStderr())
			if err != nil {
				return err
			}
			runs, err := w.Runs(c.Context())
			if err != nil {
				return err
			}
			return printRuns(c.OutOrStdout(), output, runs, runTable(w, runs))
		},
	}
	c.Flags().SortFlags = false // they come in the order in which one needs them
	pair.define(c)
	defineOutput(c, &output)
	pair.defineMore(c)
	return c
}

// printRuns prints runs, for programs or as a text that says the same.
func printRuns(out io.Writer, output string, runs []share.Run, text string) error {
	if output == "json" {
		return writeJSON(out, struct {
			Schema int         `json:"schema"`
			Runs   []share.Run `json:"runs"`
		}{share.Schema, slices.Concat([]share.Run{}, runs)})
	}
	_, err := io.WriteString(out, text)
	return err
}

// runTable is a line for each run.
func runTable(w *share.Workflow, runs []share.Run) string {
	if len(runs) == 0 {
		return fmt.Sprintf("Nothing of any run in accounts %s and %s in %s.\n", w.Source.Account, w.Target.Account, w.Source.Region)
	}
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "RUN\tSTATE\tSNAPSHOT\tSHARED WITH\tTARGET'S COPY\tCLUSTERS")
	for _, r := range runs {
		own := ""
		if r.TargetCopy != nil {
			own = nameIn(r.TargetCopy.ARN)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\n", r.ID, r.State, or(nameIn(r.Snapshot), "-"), or(strings.Join(r.SharedWith, ","), "-"), or(own, "-"), len(r.Clusters))
	}
	_ = t.Flush() // to a strings.Builder
	return b.String()
}

// nameIn is the identifier at the end of an ARN of RDS.
func nameIn(arn string) string {
	if f := strings.SplitN(arn, ":", 7); len(f) == 7 {
		return f[6]
	}
	return arn
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

const statusHelp = `Say how far a run of borealis share is, as AWS says it now, from any machine: the run is
found by its tag. With --watch, say so again whenever it changes, until the run is complete
or has failed. Nothing is changed: AWS works on by itself once a copy has begun, but the
next step is begun by borealis share alone.

Exit status: 0, or 1 if a copy has failed.`

func newStatus() *cobra.Command {
	var pair pairFlags
	var output string
	var watch bool
	c := &cobra.Command{
		Use:   "status RUN|SNAPSHOT --source-profile NAME --target-profile NAME",
		Short: "Say how far a run is",
		Long:  statusHelp,
		Example: `  borealis status nightly-2026-01-05 --source-profile prod --target-profile backup
  borealis status 7f3a9b21 --source-profile prod --target-profile backup --watch`,
		Args: oneRun,
		RunE: func(c *cobra.Command, args []string) error {
			if err := errors.Join(checkOutput(output), pair.check()); err != nil {
				return err
			}
			w, err := pair.workflow(c.Context(), c.InOrStdin(), c.ErrOrStderr())
			if err != nil {
				return err
			}
			return interrupted(c.Context(), watchRun(c.Context(), w, args[0], watch, func(r *share.Run) error {
				return printRuns(c.OutOrStdout(), output, []share.Run{*r}, runText(r))
			}))
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	c.Flags().SortFlags = false // they come in the order in which one needs them
	pair.define(c)
	c.Flags().BoolVarP(&watch, "watch", "w", false, "go on until the run is complete or has failed")
	defineOutput(c, &output)
	pair.defineMore(c)
	return c
}

// oneRun is what a command that takes one takes.
func oneRun(c *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageErrorf("%s takes one run, its id or its snapshot, but got %d arguments; borealis list shows them", c.CommandPath(), len(args))
	}
	return nil
}

// watchEvery is how often a run that is watched is looked at.
const watchEvery = 10 * time.Second

// watchRun shows a run, and while it is watched whenever it has changed.
func watchRun(ctx context.Context, w *share.Workflow, name string, watch bool, show func(*share.Run) error) error {
	shown := ""
	for {
		r, err := w.Find(ctx, name)
		if err != nil {
			return err
		}
		if text := runText(r); text != shown {
			shown = text
			if err := show(r); err != nil {
				return err
			}
		}
		switch {
		case r.State == share.Ended:
			return fmt.Errorf("run %s: %w", r.ID, share.ErrFailed)
		case !watch, r.State == share.Complete, r.State == share.CleanedUp:
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(watchEvery):
		}
	}
}

// runText puts a run in words.
func runText(r *share.Run) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Run %s: %s\n", r.ID, r.State)
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(&b, "  %-15s %s\n", name, text)
		}
	}
	line("snapshot", r.Snapshot)
	if k := r.Key; k != nil {
		words := or(k.State, "may not be looked at")
		if !k.Deleted.IsZero() {
			words += ", deleted on " + k.Deleted.Format(time.DateOnly)
		}
		line("key", k.ARN+"  "+words)
	}
	line("source's copy", copyText(r.SharedCopy))
	line("shared with", strings.Join(r.SharedWith, ", "))
	line("target's copy", copyText(r.TargetCopy))
	for _, c := range r.Clusters {
		line("cluster", c)
	}
	return b.String()
}

func copyText(c *share.Copy) string {
	if c == nil {
		return ""
	}
	s := c.ARN + "  " + c.Status
	if c.Percent > 0 && c.Percent < 100 {
		s += fmt.Sprintf("  %s %d%%", bar(c.Percent), c.Percent)
	}
	return s
}
