package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"borealis/internal/audit"
	"borealis/internal/cloud"
	"borealis/internal/server"
)

const auditHelp = `Read a server's audit log: who called what, and which statement of which policy decided.

A call is one event, with all the decisions about it. What is denied says why; what is
allowed may still have failed, and then says with which error. The newest events are
shown, oldest of them first; the flags together narrow them as all of them. The log is
read from the data directory, whether a server runs on it or not, and needs the rights of
the user who runs it.

With --output json each event is a line, a JSON object that begins with the version of
its form: {"version":1,...}. Members may be added without a new version.`

func newAudit() *cobra.Command {
	var a auditCommand
	c := &cobra.Command{
		Use:   "audit",
		Short: "Read a borealis server's audit log",
		Long:  auditHelp,
		Example: `  borealis audit --decision denied --since 1h
  borealis audit --account 111122223333 --operation kms:Decrypt --output json
  borealis audit --resource key/1234abcd-12ab-34cd-56ef-1234567890ab --follow
  borealis audit show 0f1e2d3c-4b5a-4697-8877-665544332211`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if c.Flags().Changed("operation") && c.Flags().Changed("action") {
				return usageErrorf("--operation and --action are one flag by two names; use one of them")
			}
			return a.run(c)
		},
	}
	fl := c.Flags()
	fl.SortFlags = false // they come in the order in which one needs them
	fl.StringVar(&a.account, "account", "", "`ID` of the account that called, or that owns what was asked for")
	fl.StringVar(&a.filter.Principal, "principal", "", "who called: an `ARN`, its end after a slash, or a user's name")
	fl.StringVar(&a.filter.Operation, "operation", "", "`NAME` of an operation, such as Decrypt or kms:Decrypt")
	fl.StringVar(&a.filter.Operation, "action", "", "the same as --operation; also `NAME` of an action of policies, such as kms:ReEncryptTo")
	fl.StringVar(&a.filter.Resource, "resource", "", "what was asked for: an `ARN`, or its end after a colon or slash")
	fl.StringVar(&a.filter.Decision, "decision", "", "`WHICH`: allowed or denied")
	fl.StringVar(&a.since, "since", "", "`WHEN` to begin: a duration before now (90m, 36h) or a time (2026-01-05T04:10:00Z)")
	fl.StringVar(&a.until, "until", "", "`WHEN` to end, likewise")
	fl.StringVar(&a.filter.EventID, "event-id", "", "`ID` of an event, in any account")
	fl.StringVar(&a.filter.RequestID, "request-id", "", "`ID` of a request, as its answer has it")
	fl.StringVar(&a.filter.Via, "via", "", "`SERVICE` that passed the call on in the caller's name, such as rds")
	fl.IntVar(&a.limit, "limit", 50, "`NUMBER` of events to show; 0 for all")
	fl.BoolVarP(&a.follow, "follow", "f", false, "go on with what is written from now on, until interrupted")
	a.define(c)
	c.AddCommand(newAuditShow())
	return c
}

func newAuditShow() *cobra.Command {
	var a auditCommand
	c := &cobra.Command{
		Use:   "show EVENT-ID",
		Short: "Show everything about one event",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageErrorf("name one event by its id; borealis audit shows the ids with --output json")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			a.filter.EventID, a.limit, a.whole = args[0], 1, true
			return a.run(c)
		},
	}
	a.define(c)
	return c
}

// An auditCommand is what of a log to show, and how.
type auditCommand struct {
	data, output          string
	account, since, until string
	filter                audit.Filter
	limit                 int
	follow                bool
	whole                 bool // everything of an event
}

func (a *auditCommand) define(c *cobra.Command) {
	c.Flags().StringVar(&a.data, "data", defaultData(), "`DIR` of the server's data")
	c.Flags().StringVarP(&a.output, "output", "o", "text", "`FORMAT` of the output: text or json")
}

// check reads the flags.
func (a *auditCommand) check(now time.Time) (err error) {
	if a.output != "text" && a.output != "json" {
		return usageErrorf("--output is text or json, not %q", a.output)
	}
	if d := a.filter.Decision; d != "" && d != "allowed" && d != "denied" {
		return usageErrorf("--decision is allowed or denied, not %q", d)
	}
	if a.account != "" {
		if a.filter.Account, err = cloud.ParseAccountID(a.account); err != nil {
			return usageErrorf("--account: %v", err)
		}
	}
	if a.limit < 0 {
		return usageErrorf("--limit is 0 or more")
	}
	if a.filter.Since, err = moment("--since", a.since, now); err != nil {
		return err
	}
	if a.filter.Until, err = moment("--until", a.until, now); err != nil {
		return err
	}
	if !a.filter.Until.IsZero() && a.filter.Until.Before(a.filter.Since) {
		return usageErrorf("--until is before --since")
	}
	return nil
}

// moment is a time that a flag names: the zero time if it names none.
func moment(flag, s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, usageErrorf("%s is a duration such as 90m, or a time such as 2026-01-05T04:10:00Z, not %q", flag, s)
	}
	return t, nil
}

func (a *auditCommand) run(c *cobra.Command) error {
	if err := a.check(time.Now()); err != nil {
		return err
	}
	r, err := server.ReadAudit(c.Context(), a.data)
	if err != nil {
		return err
	}
	defer r.Close()
	f, err := r.Follow()
	if err != nil {
		return err
	}
	defer f.Close()
	found, err := a.newest(c.Context(), r)
	if err != nil {
		return err
	}
	if a.whole && len(found) == 0 {
		return fmt.Errorf("there is no event %s in the audit log, or no more", a.filter.EventID)
	}
	for _, e := range found {
		if err := a.print(c.OutOrStdout(), e); err != nil {
			return err
		}
	}
	if a.follow {
		err = a.goOn(c.Context(), c.OutOrStdout(), f)
	}
	if n := r.Damaged + f.Damaged; n > 0 {
		fmt.Fprintf(c.ErrOrStderr(), "%d damaged lines of the log were left out; a crash of the server leaves one.\n", n)
	}
	if f.Lost > 0 {
		fmt.Fprintf(c.ErrOrStderr(), "Events were left out that the server had rotated away before they could be shown.\n")
	}
	return err
}

// newest are the newest events up to the limit, oldest first.
func (a *auditCommand) newest(ctx context.Context, r *audit.Reader) ([]*audit.Entry, error) {
	var found []*audit.Entry
	for a.limit == 0 || len(found) < a.limit {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		e, _, err := r.Next(&a.filter)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		found = append(found, e)
	}
	slices.Reverse(found)
	return found, nil
}

// followEvery is how often a log that is followed is looked at.
const followEvery = 200 * time.Millisecond

// goOn prints what is written from now on until ctx ends, or the log's end has
// passed --until.
func (a *auditCommand) goOn(ctx context.Context, w io.Writer, f *audit.Follower) error {
	for {
		e, err := f.Next(&a.filter)
		switch {
		case errors.Is(err, io.EOF):
			if !a.filter.Until.IsZero() && time.Now().After(a.filter.Until.Add(time.Second)) {
				return nil
			}
			select {
			case <-ctx.Done():
				return nil // as one who follows is told to end
			case <-time.After(followEvery):
			}
		case err != nil:
			return err
		default:
			if err := a.print(w, e); err != nil {
				return err
			}
		}
	}
}

func (a *auditCommand) print(w io.Writer, e *audit.Entry) error {
	if a.output == "json" {
		return json.NewEncoder(w).Encode(e)
	}
	text := eventText(e)
	if a.whole {
		text = wholeEventText(e)
	}
	_, err := io.WriteString(w, text)
	return err
}
