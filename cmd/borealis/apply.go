package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/aws/smithy-go"
	"github.com/spf13/cobra"

	"borealis/share"
)

const applyHelp = `Carry out a plan that "borealis plan --out FILE" has saved. It was looked at when it was
made, so nothing is asked; but both accounts are read again first, and a plan that is no
longer true (another snapshot of that name, a key or a copy that is gone, a warning that
was not there) is refused before anything is changed.

The profiles, roles and endpoints are those that the plan was made with, unless flags say
others; the accounts must be the plan's. Interrupted, the same command goes on.`

func newApply() *cobra.Command {
	var f applyFlags
	var pair pairFlags
	c := &cobra.Command{
		Use:   "apply FILE",
		Short: "Carry out a saved plan",
		Long:  applyHelp,
		Example: `  borealis plan nightly-2026-01-05 --source-profile prod --target-profile backup --out nightly.plan
  borealis apply nightly.plan`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageErrorf("%s takes one file, made by borealis plan --out, but got %d arguments", c.CommandPath(), len(args))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			return f.saved(c.Context(), args[0], pair, c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().SortFlags = false // they come in the order in which one needs them
	pair.define(c)
	f.define(c)
	pair.defineMore(c)
	return c
}

// applyFlags say how to carry a plan out and what to print of it.
type applyFlags struct {
	output      string
	propagation time.Duration
}

// define adds the flags to a command.
func (f *applyFlags) define(c *cobra.Command) {
	fl := c.Flags()
	defineOutput(c, &f.output)
	fl.DurationVar(&f.propagation, "propagation", 5*time.Minute, "wait out refusals by KMS until the new key is this old: AWS spreads its policy that slowly")
}

// defineOutput adds --output to a command.
func defineOutput(c *cobra.Command, output *string) {
	c.Flags().StringVarP(output, "output", "o", "text", "`FORMAT` of the output: text or json")
	must(c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp)))
}

func checkOutput(output string) error {
	if output != "text" && output != "json" {
		return usageErrorf("--output is text or json, not %q", output)
	}
	return nil
}

// check looks at what the flags say before anything is asked of AWS.
func (f *applyFlags) check() error {
	if f.propagation < 0 {
		return usageErrorf("--propagation is a duration, such as 5m, or 0 for not waiting at all")
	}
	return checkOutput(f.output)
}

// saved carries out the plan in a file.
func (f *applyFlags) saved(ctx context.Context, path string, flags pairFlags, in io.Reader, out, errOut io.Writer) error {
	return f.reported(ctx, out, func(report *shareReport) error {
		s, err := readPlan(path)
		if err != nil {
			return err
		}
		pair := s.pair(flags)
		if err := pair.check(); err != nil {
			return err
		}
		w, err := pair.workflow(ctx, in, errOut)
		if err != nil {
			return err
		}
		report.Plan = s.Plan
		if err := w.Recheck(ctx, s.Plan); err != nil {
			return err
		}
		return f.carryOut(ctx, w, report, out, errOut)
	})
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

// reported does what makes a report, and prints that for programs.
func (f *applyFlags) reported(ctx context.Context, out io.Writer, do func(*shareReport) error) error {
	// A second Ctrl-C ends the process at once.
	defer context.AfterFunc(ctx, func() { signal.Reset(os.Interrupt) })()
	report := shareReport{Schema: share.Schema}
	err := interrupted(ctx, do(&report))
	if f.output == "json" {
		report.Error = failure(err)
		return errors.Join(err, writeJSON(out, report))
	}
	return err
}

// writeJSON writes v, indented.
func writeJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// carryOut carries out the plan of the report, and completes that.
func (f *applyFlags) carryOut(ctx context.Context, w *share.Workflow, report *shareReport, out, errOut io.Writer) error {
	w.Propagation = f.propagation
	if f.propagation == 0 {
		w.Propagation = -1 // said to be none, as opposed to not said
	}
	progress := newProgress(errOut, f.output == "json")
	w.Observe = progress.event
	var err error
	report.Result, err = w.Apply(ctx, report.Plan)
	progress.end()
	if err != nil {
		return err
	}
	return f.print(out, resultText(report.Result))
}

// print writes text, unless a program reads the output.
func (f *applyFlags) print(out io.Writer, text string) error {
	if f.output == "json" {
		return nil
	}
	_, err := io.WriteString(out, text)
	return err
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
