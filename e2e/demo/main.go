// Command demo tells the story of package story on a server that it starts, and
// leaves the server running for you to go on with. Run it with `make demo`.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"borealis/e2e/local"
	"borealis/e2e/story"
)

func main() {
	borealis := flag.String("borealis", "bin/borealis", "the borealis program")
	dir := flag.String("dir", filepath.Join(os.TempDir(), "borealis-demo"), "directory for everything the demo makes; its content is replaced")
	stop := flag.Bool("stop", false, "stop the server of an earlier demo and remove its directory")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	var err error
	if *stop {
		err = clean(*dir, os.Stdout)
	} else {
		err = run(ctx, *borealis, *dir, os.Stdout)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "\ndemo: %v\n", err)
		os.Exit(1)
	}
}

// run tells the story and ends with a summary.
func run(ctx context.Context, borealis, dir string, out io.Writer) error {
	began := time.Now()
	if err := clean(dir, out); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o711); err != nil { // PostgreSQL's user must reach its files in it
		return err
	}
	binary, err := filepath.Abs(borealis)
	if err != nil {
		return err
	}
	s := &local.Server{Binary: binary, Dir: dir}
	if err := s.Start(ctx, address()); err != nil {
		return err
	}
	if err := os.WriteFile(pidFile(dir), []byte(strconv.Itoa(s.PID())), 0o600); err != nil {
		return err
	}
	connect, err := tell(ctx, s, &printer{w: out})
	if err != nil {
		return errors.Join(err, fmt.Errorf("the server's log is %s; remove it all with: make demo-stop", s.LogFile()))
	}
	fmt.Fprintf(out, summary, time.Since(began).Round(100*time.Millisecond), s.Endpoint, dir, connect)
	return nil
}

const summary = `
%s, start to end. Everything above was real: PostgreSQL servers, encrypted snapshots,
policies decided on every request.

  The server goes on at   %[2]s
  Its files are in        %[3]s

Look into account B's database:
  %[4]s

Point the AWS CLI at the server, with the profiles prod, backup and stranger:
  export AWS_ENDPOINT_URL=%[2]s
  export AWS_CONFIG_FILE=%[3]s/aws/config AWS_SHARED_CREDENTIALS_FILE=%[3]s/aws/credentials
  aws --profile prod   --endpoint-url $AWS_ENDPOINT_URL rds describe-db-cluster-snapshots
  aws --profile backup --endpoint-url $AWS_ENDPOINT_URL rds describe-db-clusters
(Version 1 of the AWS CLI, and 2 before 2.13, may go to AWS without --endpoint-url.)

Stop it and remove everything:
  make demo-stop
`

// address prefers the default port, and takes another if that is in use.
func address() string {
	l, err := net.Listen("tcp", "127.0.0.1:4566")
	if err != nil {
		return "127.0.0.1:0"
	}
	l.Close()
	return "127.0.0.1:4566"
}

// tell makes the three accounts, tells the story, and returns what connects to
// the database at its end.
func tell(ctx context.Context, s *local.Server, p *printer) (connect string, err error) {
	t := &story.Story{
		Narrator: p,
		Borealis: func(ctx context.Context, show io.Writer, args ...string) error {
			_, err := s.Run(ctx, show, args...)
			return err
		},
		As: func(profile, id, secret string) (story.Driver, error) {
			if err := s.AddProfile(profile, id, secret); err != nil {
				return nil, err
			}
			cfg, err := s.Config(ctx, id, secret, "")
			return story.NewSDK(cfg), err
		},
	}
	for _, a := range []struct {
		into              *story.Account
		id, name, profile string
	}{
		{&t.Source, "111122223333", "production", "prod-root"},
		{&t.Target, "444455556666", "backup", "backup-root"},
		{&t.Stranger, "777788889999", "stranger", "stranger-root"},
	} {
		k, err := s.CreateAccount(ctx, a.id, a.name, a.profile)
		if err != nil {
			return "", err
		}
		cfg, err := s.Config(ctx, k.AccessKeyID, k.SecretAccessKey, "")
		if err != nil {
			return "", err
		}
		*a.into = story.Account{ID: k.AccountID, Root: story.NewSDK(cfg)}
	}
	err = t.Tell(ctx)
	return t.Connect(), err
}

func pidFile(dir string) string { return filepath.Join(dir, "serve.pid") }

// clean stops the server of an earlier demo, if it still runs, and removes dir.
func clean(dir string, out io.Writer) error {
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if !strings.Contains(filepath.Base(dir), "borealis") {
		return fmt.Errorf("%s will not be replaced: its name does not contain borealis", dir)
	}
	text, err := os.ReadFile(pidFile(dir))
	if err == nil {
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && isServer(pid, dir) {
			fmt.Fprintf(out, "Stopping the demo's server, process %d.\n", pid)
			if err := terminate(pid, dir); err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(out, "Removing %s.\n", dir)
	return os.RemoveAll(dir)
}

// isServer makes sure that a process id written down long ago still belongs to
// the server of dir, and has not ended: what has, but has not been waited for by
// its parent, has no command line.
func isServer(pid int, dir string) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && strings.Contains(string(line), filepath.Join(dir, "data"))
}

// terminate ends the server of dir and waits until it has stopped its databases.
func terminate(pid int, dir string) error {
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return err
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-tick.C {
		if !isServer(pid, dir) {
			return nil
		}
	}
	return fmt.Errorf("process %d does not end; its log is in %s", pid, dir)
}
