package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"borealis/internal/durable"
	"borealis/share"
)

const planHelp = `Print what "borealis share" would change, in which account, and change nothing. With --out,
the plan is saved for "borealis apply", which does exactly that or nothing: so that one
person can look at it, and another, or a pipeline, can carry it out later.

A saved plan is JSON and holds no secrets: the plan, and the names of the profiles, roles
and endpoints it was made with.

Exit status: 0 if the plan was made; with --detailed-exitcode, 0 if there is nothing to
change and 2 if there is.`

// planFlags are the flags of plan.
type planFlags struct {
	pair        pairFlags
	request     requestFlags
	file        string
	output      string
	changesExit bool
}

func newPlan() *cobra.Command {
	f := &planFlags{}
	c := &cobra.Command{
		Use:   "plan SNAPSHOT --source-profile NAME --target-profile NAME",
		Short: "Print, and save, what sharing a snapshot would change",
		Long:  planHelp,
		Example: `  borealis plan nightly-2026-01-05 --source-profile prod --target-profile backup --out nightly.plan
  borealis apply nightly.plan`,
		Args: oneSnapshot,
		RunE: func(c *cobra.Command, args []string) error {
			f.request.Snapshot = args[0]
			if err := errors.Join(checkOutput(f.output), f.pair.check(), f.request.check()); err != nil {
				return err
			}
			return f.run(c.Context(), c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr())
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	fl := c.Flags()
	fl.SortFlags = false // they come in the order in which one needs them
	f.pair.define(c)
	fl.StringVar(&f.file, "out", "", "save the plan in this `FILE`, for borealis apply")
	fl.BoolVar(&f.changesExit, "detailed-exitcode", false, "exit with 2 if the plan changes anything")
	f.request.define(c)
	defineOutput(c, &f.output)
	f.pair.defineMore(c)
	return c
}

// errChanges says that a plan has changes; it is no failure.
var errChanges = errors.New("the plan has changes")

// run is the command.
func (f *planFlags) run(ctx context.Context, in io.Reader, out, errOut io.Writer) error {
	apply := applyFlags{output: f.output}
	var plan *share.Plan
	err := apply.reported(ctx, out, func(report *shareReport) error {
		w, err := f.pair.workflow(ctx, in, errOut)
		if err != nil {
			return err
		}
		if report.Plan, err = w.Plan(ctx, f.request.Request); err != nil {
			return err
		}
		plan = report.Plan
		return apply.print(out, planText(plan))
	})
	if err != nil {
		return err
	}
	if f.file != "" {
		if err := writePlan(f.file, savedPlan{Schema: share.Schema, Plan: plan, Source: f.pair.source, Target: f.pair.target}); err != nil {
			return fmt.Errorf("save the plan: %w", err)
		}
		fmt.Fprintf(errOut, "Saved; carry it out with: borealis apply %s\n", f.file)
	}
	if f.changesExit && plan.Changes() {
		return errChanges
	}
	return nil
}

// A savedPlan is a plan in a file, and how the two accounts were reached.
type savedPlan struct {
	Schema int         `json:"schema"`
	Plan   *share.Plan `json:"plan"`
	Source sideFlags   `json:"source"`
	Target sideFlags   `json:"target"`
}

// pair is how the accounts were reached, unless flags say another way.
func (s *savedPlan) pair(flags pairFlags) pairFlags {
	p := pairFlags{source: s.Source, target: s.Target, region: s.Plan.Source.Region}
	if flags.source != (sideFlags{}) {
		p.source = flags.source
	}
	if flags.target != (sideFlags{}) {
		p.target = flags.target
	}
	if flags.region != "" {
		p.region = flags.region
	}
	return p
}

// writePlan makes or replaces the file as a whole.
func writePlan(path string, s savedPlan) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(path, append(text, '\n'), 0o600)
}

// mostPlan is how long the file of a plan may be, in bytes: a key policy of 32 KiB
// is the longest thing in it.
const mostPlan = 1 << 20

func readPlan(path string) (*savedPlan, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, usageErrorf("%v", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, mostPlan))
	if err != nil {
		return nil, usageErrorf("%v", err)
	}
	var s savedPlan
	if err := json.Unmarshal(text, &s); err != nil || s.Plan == nil {
		return nil, usageErrorf("%s is not a plan that borealis plan --out has saved (%v)", path, err)
	}
	if s.Schema != share.Schema {
		return nil, usageErrorf("%s has schema %d, this program knows %d", path, s.Schema, share.Schema)
	}
	return &s, nil
}
