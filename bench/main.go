// Command bench measures the real borealis program against its peers on this
// machine: a bare Go server, initdb with pg_ctl, moto_server, cp and
// pg_basebackup. All that one benchmark compares is measured in one run, because
// only then a ratio means something. It holds results against limits and says
// which were missed, but it is no test: times depend on the machine.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"borealis/e2e/local"
)

// A benchmark measures one thing and tells its figures to b.
type benchmark struct {
	name, about string
	run         func(ctx context.Context, b *bench) error
}

var benchmarks = []benchmark{
	{"start", "serve from exec to the first answered request", benchStart},
	{"cluster", "CreateDBCluster and CreateDBInstance until available, and memory of idle engines", benchCluster},
	{"kms", "five operations at concurrency 1, 8 and 64", benchKMS},
	{"keys", "a Region with many keys", benchKeys},
	{"soak", "memory under load", benchSoak},
	{"snapshot", "snapshot, copy and restore of a pgbench database", benchSnapshot},
	{"volume", "the volume engine alone, beside programs for backups", benchVolume},
	{"share", "borealis share from end to end", benchShare},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run is the program.
func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) > 0 && args[0] == volumeWork {
		return doVolumeWork(ctx, args[1:], out)
	}
	fl := flag.NewFlagSet("bench", flag.ContinueOnError)
	b := &bench{progress: os.Stderr}
	fl.StringVar(&b.binary, "borealis", "bin/borealis", "the borealis program")
	fl.IntVar(&b.starts, "starts", 11, "how often to start each server")
	fl.DurationVar(&b.load, "load", time.Second/2, "how long to load each server with each operation, three times")
	fl.IntVar(&b.scale, "scale", 13, "pgbench scale of the database to snapshot; 13 is about 200 MB")
	fl.IntVar(&b.volumeScale, "volume-scale", 100, "pgbench scale of the data for volumes; 100 is about 2 GB")
	fl.IntVar(&b.volumeRuns, "volume-runs", 5, "how often to do everything with them")
	fl.IntVar(&b.keys, "keys", 100_000, "how many keys are many")
	fl.DurationVar(&b.soak, "soak", 20*time.Second, "how long to load a server to see whether it grows")
	ops := fl.String("operations", ".", "regular expression of the KMS operations to load servers with")
	pattern := fl.String("run", ".", "regular expression of the benchmarks to run")
	asJSON := fl.Bool("json", false, "print JSON in place of a table")
	if err := fl.Parse(args); err != nil {
		return err
	}
	wanted, err := regexp.Compile(*pattern)
	if err != nil {
		return err
	}
	if b.operations, err = regexp.Compile(*ops); err != nil {
		return err
	}
	if b.binary, err = filepath.Abs(b.binary); err != nil {
		return err
	}
	if b.dir, err = workDir(); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	b.Machine = describeMachine()
	var failed error
	for _, m := range benchmarks {
		if !wanted.MatchString(m.name) {
			continue
		}
		fmt.Fprintf(b.progress, "%s: %s\n", m.name, m.about)
		b.current = m.name
		began := time.Now()
		if err := m.run(ctx, b); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", m.name, err)) // the others may still tell something
		}
		fmt.Fprintf(b.progress, "%s took %.0f s\n", m.name, time.Since(began).Seconds())
	}
	if *asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return errors.Join(failed, e.Encode(b))
	}
	return errors.Join(failed, b.print(out))
}

// workDir makes a directory that PostgreSQL's user can traverse.
func workDir() (string, error) {
	dir, err := os.MkdirTemp("", "borealis-bench-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o711)
}

// server starts a borealis serve in a directory of its own, with an account.
// Its caller stops it.
func (b *bench) server(ctx context.Context, name string) (*local.Server, local.AccessKey, error) {
	s := &local.Server{Binary: b.binary, Dir: filepath.Join(b.dir, name)}
	if err := os.Mkdir(s.Dir, 0o711); err != nil {
		return nil, local.AccessKey{}, err
	}
	if err := s.Start(ctx, "127.0.0.1:0"); err != nil {
		return nil, local.AccessKey{}, err
	}
	k, err := s.CreateAccount(ctx, "111122223333", "source", "source")
	if err != nil {
		return nil, k, errors.Join(err, s.Stop())
	}
	return s, k, nil
}

// command runs a program and returns what it says.
func command(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return string(out), nil
}
