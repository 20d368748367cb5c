package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"borealis/internal/inquiry"
	"borealis/internal/policy"
)

const explainHelp = `Say whether a principal may do something, which statement of which policy decides,
where every other statement parts from the request, and what is the smallest change,
on each side, that would allow it. Each change is tried before it is shown.

The policies are read from files that AWS's own commands write (--policy-dir DIR), so that
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
{"version":1,...}. Members may be added without a new version.

Exit status: 0 it is allowed · 12 it is denied · 5 wrong usage · 1 any other failure.`

func newExplain() *cobra.Command {
	var e explainCommand
	c := &cobra.Command{
		Use:   "explain --principal ARN --action ACTION --resource ARN",
		Short: "Say why something is allowed or denied, and what would change that",
		Long:  explainHelp,
		Example: `  borealis explain --policy-dir policies --principal arn:aws:iam::444455556666:role/copier \
    --action kms:CreateGrant --via rds.eu-west-1.amazonaws.com \
    --resource arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab`,
		Args: noArgs,
		RunE: e.run,
	}
	fl := c.Flags()
	fl.StringVar(&e.ask.Principal, "principal", "", "who: the `ARN` of a user, role, role's session or root user, or a service's name")
	fl.StringVar(&e.ask.Action, "action", "", "what: `SERVICE:OPERATION`, as policies name it")
	fl.StringVar(&e.ask.Resource, "resource", "*", "to what: an `ARN`")
	fl.StringVar(&e.ask.Via, "via", "", "`SERVICE` that passes the request on in the principal's name, such as rds.eu-west-1.amazonaws.com")
	fl.StringArrayVar(&e.context, "context", nil, "`KEY=VALUE` of a condition key of the request; again for more keys, or more values of one")
	fl.StringVar(&e.dir, "policy-dir", "", "`DIR` of policies")
	fl.StringVarP(&e.output, "output", "o", "text", "`FORMAT` of the output: text or json")
	return c
}

// An explainCommand is what to explain, from what, and how.
type explainCommand struct {
	ask         inquiry.Ask
	context     []string
	dir, output string
}

func (e *explainCommand) check() error {
	if e.output != "text" && e.output != "json" {
		return usageErrorf("--output is text or json, not %q", e.output)
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

func (e *explainCommand) run(c *cobra.Command, _ []string) error {
	if err := e.check(); err != nil {
		return err
	}
	for _, f := range []struct{ name, value string }{{"--principal", e.ask.Principal}, {"--action", e.ask.Action}, {"--policy-dir", e.dir}} {
		if f.value == "" {
			return usageErrorf("%s is missing", f.name)
		}
	}
	if info, err := os.Stat(e.dir); err != nil || !info.IsDir() {
		return usageErrorf("--policy-dir: there is no directory %s", e.dir)
	}
	files, err := inquiry.OpenFiles(os.DirFS(e.dir))
	if err != nil {
		return askError(fmt.Errorf("%s: %w", e.dir, err))
	}
	a, err := inquiry.Put(c.Context(), files, e.ask, time.Now())
	if err != nil {
		return askError(err)
	}
	return e.answer(c.OutOrStdout(), a)
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

func (e *explainCommand) answer(w io.Writer, a inquiry.Answer) error {
	if err := e.print(w, a); err != nil {
		return err
	}
	if !a.Explanation.Decision.Allowed {
		return fmt.Errorf("%w: %s may not do %s", errDenied, a.Ask.Principal, a.Ask.Action)
	}
	return nil
}

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
