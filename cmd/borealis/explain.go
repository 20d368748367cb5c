package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"borealis/internal/audit"
	"borealis/internal/inquiry"
	"borealis/internal/policy"
	"borealis/internal/server"
)

const explainHelp = `Say whether a principal may do something, which statement of which policy decides,
where every other statement parts from the request, and what is the smallest change,
on each side, that would allow it. Each change is tried before it is shown.

The policies are those of a server, through the one that runs on --data if there is one;
nothing is changed there, nor put on record. EVENT-ID says why an event of its audit log
(borealis audit) was denied, as the policies were then, asks again what it was about, and
says if the answer differs now and what the log cannot tell.

With --policy-dir DIR they are read from files that AWS's own commands write, so that
policies of real accounts can be asked about, without any access to AWS:

  DIR/*.json                     aws iam get-account-authorization-details, of each account
  DIR/keys/KEY.json              aws kms get-key-policy --key-id KEY; KEY is the key's id, or its
                                 ARN with _ for each : and /
  DIR/scp/ACCOUNT/LEVEL/*.json   aws organizations describe-policy, of the service control
                                 policies attached to each level above an account, and to it;
                                 none for the organization's management account
  DIR/rcp/ACCOUNT/LEVEL/*.json   the same of resource control policies

Instead of an answer of AWS's a file of the last three may be the policy alone.

With --output json the answer is an object that begins with the version of its form:
{"version":1,...}; one for each decision, if an event was about several. Members may be
added without a new version.

Exit status: 0 it is allowed · 12 it is denied · 5 wrong usage · 1 any other failure.`

func newExplain() *cobra.Command {
	var e explainCommand
	c := &cobra.Command{
		Use:   "explain --principal ARN --action ACTION --resource ARN | explain EVENT-ID",
		Short: "Say why something is allowed or denied, and what would change that",
		Long:  explainHelp,
		Example: `  borealis explain 0f1e2d3c-4b5a-4697-8877-665544332211
  borealis explain --principal arn:aws:iam::111122223333:user/ann --action rds:CreateDBCluster
  borealis explain --policy-dir policies --principal arn:aws:iam::444455556666:role/copier \
    --action kms:CreateGrant --via rds.eu-west-1.amazonaws.com \
    --resource arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageErrorf("explain takes one event's id at most, got %q", args)
			}
			return nil
		},
		RunE: e.run,
	}
	e.define(c)
	fl := c.Flags()
	fl.StringVar(&e.ask.Principal, "principal", "", "who: the `ARN` of a user, role, role's session or root user, or a service's name")
	fl.StringVar(&e.ask.Action, "action", "", "what: `SERVICE:OPERATION`, as policies name it")
	fl.StringVar(&e.ask.Resource, "resource", "*", "to what: an `ARN`")
	fl.StringVar(&e.ask.Via, "via", "", "`SERVICE` that passes the request on in the principal's name, such as rds.eu-west-1.amazonaws.com")
	fl.StringArrayVar(&e.context, "context", nil, "`KEY=VALUE` of a condition key of the request; again for more keys, or more values of one")
	fl.StringVar(&e.dir, "policy-dir", "", "`DIR` of policies")
	return c
}

// An explainCommand is what to explain, from what, and how.
type explainCommand struct {
	accountFlags
	ask     inquiry.Ask
	context []string
	dir     string
}

// check reads the flags. An event is a question by itself.
func (e *explainCommand) check(c *cobra.Command, event bool) error {
	if err := e.accountFlags.check(); err != nil {
		return err
	}
	for _, name := range []string{"principal", "action", "resource", "via", "context", "policy-dir"} {
		if event && c.Flags().Changed(name) {
			return usageErrorf("an event has its own question: --%s does not go with it", name)
		}
	}
	if e.dir != "" && c.Flags().Changed("data") {
		return usageErrorf("--policy-dir and --data are two sources of policies; use one of them")
	}
	if !event && e.ask.Principal == "" {
		return usageErrorf("--principal is missing")
	}
	if !event && e.ask.Action == "" {
		return usageErrorf("--action is missing")
	}
	e.ask.Context = policy.Context{}
	for _, s := range e.context {
		key, value, ok := strings.Cut(s, "=")
		if !ok || key == "" {
			return usageErrorf("--context is KEY=VALUE, not %q", s)
		}
		e.ask.Context[key] = append(e.ask.Context[key], value)
	}
	return nil
}

func (e *explainCommand) run(c *cobra.Command, args []string) error {
	if err := e.check(c, len(args) == 1); err != nil {
		return err
	}
	asks := []inquiry.Ask{e.ask}
	if len(args) == 1 {
		var err error
		if asks, err = e.event(c.Context(), args[0]); err != nil {
			return err
		}
	}
	put, done, err := e.source(c)
	if err != nil {
		return askError(err)
	}
	defer done()
	var denied error
	for i, ask := range asks {
		a, err := put(c.Context(), ask)
		if err != nil && ask.Recorded != "" && c.Context().Err() == nil {
			a, err = inquiry.OnRecord(ask, err), nil
		}
		if err != nil {
			return askError(err)
		}
		if i > 0 && e.output == "text" {
			fmt.Fprintln(c.OutOrStdout())
		}
		if err := e.print(c.OutOrStdout(), a); err != nil {
			return err
		}
		if !a.Allowed() && denied == nil {
			denied = fmt.Errorf("%w: %s may not do %s", errDenied, ask.Principal, ask.Action)
		}
	}
	return denied
}

// source is what answers questions; done ends it.
func (e *explainCommand) source(c *cobra.Command) (put func(context.Context, inquiry.Ask) (inquiry.Answer, error), done func(), err error) {
	if e.dir == "" {
		op, err := e.operate(c)
		if err != nil {
			return nil, nil, err
		}
		return op.Explain, func() { op.Close() }, nil
	}
	if info, err := os.Stat(e.dir); err != nil || !info.IsDir() {
		return nil, nil, usageErrorf("--policy-dir: there is no directory %s", e.dir)
	}
	files, err := inquiry.OpenFiles(os.DirFS(e.dir))
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", e.dir, err)
	}
	put = func(ctx context.Context, a inquiry.Ask) (inquiry.Answer, error) {
		return inquiry.Put(ctx, files, a, time.Now())
	}
	return put, func() {}, nil
}

// event is what an event of the audit log was about.
func (e *explainCommand) event(ctx context.Context, id string) ([]inquiry.Ask, error) {
	r, err := server.ReadAudit(ctx, e.cfg.Data)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	entry, _, err := r.Next(&audit.Filter{EventID: id})
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("there is no event %s in the audit log, or no more", id)
	}
	if err != nil {
		return nil, err
	}
	asks := server.Asks(entry)
	if len(asks) == 0 {
		return nil, fmt.Errorf("event %s has no decision of a policy; borealis audit show %[1]s has all of it", id)
	}
	return asks, nil
}

// askError is err, marked as wrong usage if the question was wrong.
func askError(err error) error {
	if errors.Is(err, inquiry.ErrAsk) {
		return usageErrorf("%v", err)
	}
	return err
}

// errDenied is the answer of a question that is answered no.
var errDenied = errors.New("denied")

func (e *explainCommand) print(w io.Writer, a inquiry.Answer) error {
	if e.output == "json" {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(a)
	}
	_, err := io.WriteString(w, clean(a.Text()))
	return err
}
