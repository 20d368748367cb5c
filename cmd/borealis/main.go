// Command borealis shares encrypted Aurora snapshots between AWS accounts, and
// serves a self-hosted cloud with the same APIs. This package is the command
// tree: flags, prompts and output. What the commands do is in package share and
// in internal/server.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/aws/smithy-go"
	"github.com/spf13/cobra"

	"borealis/share"
)

// version is set by the linker.
var version = "unknown"

// Exit statuses, as `borealis help` says them.
const (
	exitFailed      = 1
	exitChanges     = 2
	exitCredentials = 4
	exitUsage       = 5
	exitDenied      = 12
	exitInterrupted = 130
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	status := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// run is the program; it returns the exit status. Cancelling ctx stops it.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errChanges):
		return exitChanges
	}
	fmt.Fprintf(stderr, "borealis: %v\n", err)
	return exitStatus(ctx, err)
}

func exitStatus(ctx context.Context, err error) int {
	if ctx.Err() != nil {
		return exitInterrupted
	}
	if errors.Is(err, share.ErrChanged) {
		return exitFailed
	}
	if errors.Is(err, errUsage) || errors.Is(err, share.ErrUsage) {
		return exitUsage
	}
	if errors.Is(err, errCredentials) {
		return exitCredentials
	}
	if errors.Is(err, errDenied) {
		return exitDenied
	}
	if _, ok := errors.AsType[*share.DeniedError](err); ok {
		return exitDenied
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		switch api.ErrorCode() {
		case "AccessDenied", "AccessDeniedException", "KMSKeyNotAccessibleFault":
			return exitDenied
		case "InvalidClientTokenId", "UnrecognizedClientException", "ExpiredToken", "ExpiredTokenException", "SignatureDoesNotMatch":
			return exitCredentials
		}
	}
	return exitFailed
}

var (
	errUsage       = errors.New("wrong usage")
	errCredentials = errors.New("no usable credentials")
)

// usageErrorf is a mistake in how the command was called.
func usageErrorf(format string, args ...any) error {
	return usageError{fmt.Sprintf(format, args...)}
}

type usageError struct{ msg string }

func (e usageError) Error() string   { return e.msg }
func (e usageError) Is(t error) bool { return t == errUsage }

const rootHelp = `Borealis shares encrypted Amazon Aurora snapshots with other AWS accounts.

The difficulty: a snapshot encrypted under an account's default key (aws/rds) cannot be
shared, and the way round it takes two accounts, a key with just the right policy, and
two copies.

  borealis share   does all of that with one command, from your two AWS profiles.
                   It shows every change before it makes it. borealis plan and
                   borealis apply are its two halves, for a plan that others look at.
  borealis serve   is a self-hosted cloud with the same APIs (IAM, STS, KMS, and RDS
                   for Aurora PostgreSQL) and real databases, to rehearse and test on.

Start with:
  borealis share SNAPSHOT --source-profile A --target-profile B --dry-run

Exit status: 0 done · 1 failed · 2 the plan has changes (plan --detailed-exitcode) ·
4 credentials missing or expired · 5 wrong usage · 12 access denied · 130 interrupted.
After 1, 4, 12 and 130 the same command goes on from where it was.`

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "borealis",
		Short:         "Share encrypted Aurora snapshots between AWS accounts",
		Long:          rootHelp,
		Version:       versionText(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.Flags().Bool("version", false, "print the version") // cobra's own has -v, too
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageErrorf("%v; see %s --help", err, c.CommandPath())
	})
	root.CompletionOptions.DisableDefaultCmd = true
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	root.AddCommand(newShare(), newPlan(), newApply(), newList(), newStatus(), newRevoke(), newCleanup(), newServe(), newAccount(), newAudit(), newExplain(), newSeal(), newVolume(), newCompletion(), newVersion())
	return group(root)
}

// versionText says which program this is, and what it was built with.
func versionText() string {
	return fmt.Sprintf("borealis %s (%s %s/%s)", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), versionText())
			return err
		},
	}
}

func noArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageErrorf("%s takes no arguments, got %q", c.CommandPath(), args)
	}
	return nil
}
