// Differential puts generated cases to this module's policy engine and to another
// program, and prints where they decide differently:
//
//	go run ./internal/policy/differential -cases 50000 -seed 1 PROGRAM [ARGUMENT...]
//
// The program reads a case a line, as JSON, and answers each with a line
// {"id": 1, "verdict": "Allowed"}, or "ExplicitlyDenied" or "ImplicitlyDenied". Each
// disagreement is made as small as it can be. Those of a class that
// docs/policies.md settles are counted; any other makes the run fail.
//
// -print writes the cases and our own verdicts, and runs no program.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"os/exec"
	"slices"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		log.Fatal("differential: ", err)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("differential", flag.ContinueOnError)
	cases := flags.Int("cases", 5000, "how many cases to generate")
	seed := flags.Uint64("seed", 1, "what to generate them from")
	show := flags.Int("show", 3, "how many disagreements of each class to print")
	dump := flags.Bool("print", false, "print the cases and our verdicts")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *dump {
		return printCases(out, *seed, *cases)
	}
	if flags.NArg() == 0 {
		return fmt.Errorf("name the program to compare with")
	}
	other, err := start(ctx, flags.Args())
	if err != nil {
		return err
	}
	r := report{show: *show, classes: map[string]int{}, verdicts: map[string]int{}, out: out}
	for id := range *cases {
		if err := r.try(other, generate(*seed, id)); err != nil {
			return err
		}
	}
	if err := other.close(); err != nil {
		return err
	}
	return r.sum()
}

func printCases(out io.Writer, seed uint64, cases int) error {
	enc := json.NewEncoder(out)
	for id := range cases {
		c := generate(seed, id)
		ours, err := c.decide()
		if err != nil {
			return err
		}
		if err := enc.Encode(struct {
			testCase
			Verdict string `json:"verdict"`
		}{c, ours}); err != nil {
			return err
		}
	}
	return nil
}

// An evaluator is a running program.
type evaluator struct {
	in   io.WriteCloser
	out  *bufio.Scanner
	wait func() error
}

func start(ctx context.Context, args []string) (*evaluator, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &evaluator{in: in, out: bufio.NewScanner(out), wait: cmd.Wait}, cmd.Start()
}

// decide is the program's verdict.
func (e *evaluator) decide(c *testCase) (string, error) {
	if err := json.NewEncoder(e.in).Encode(c); err != nil {
		return "", fmt.Errorf("ask for case %d: %w", c.ID, err)
	}
	if !e.out.Scan() {
		return "", fmt.Errorf("case %d has no answer", c.ID)
	}
	var v verdict
	if err := json.Unmarshal(e.out.Bytes(), &v); err != nil {
		return "", fmt.Errorf("answer to case %d: %w", c.ID, err)
	}
	if v.ID != c.ID {
		return "", fmt.Errorf("case %d has the answer to case %d", c.ID, v.ID)
	}
	return v.Verdict, nil
}

func (e *evaluator) close() error {
	if err := e.in.Close(); err != nil {
		return err
	}
	return e.wait()
}

// A decider decides cases; an evaluator is one.
type decider interface {
	decide(*testCase) (string, error)
}

// A report counts verdicts and disagreements.
type report struct {
	show              int
	classes, verdicts map[string]int
	open              int // disagreements of no class that is settled
	out               io.Writer
}

// try puts one case to both.
func (r *report) try(other decider, c testCase) error {
	ours, theirs, err := ask(other, &c)
	if err != nil {
		return err
	}
	if r.verdicts[ours]++; ours == theirs {
		return nil
	}
	small := shrink(c, func(next *testCase) bool {
		a, b, err := ask(other, next)
		return err == nil && a == ours && b == theirs
	})
	name := settledAs(&small)
	if name == "" {
		name = "open"
		r.open++
	}
	if r.classes[name]++; r.classes[name] > r.show {
		return nil
	}
	text, err := json.Marshal(small)
	fmt.Fprintf(r.out, "%s: ours %s, theirs %s\n%s\n", name, ours, theirs, text)
	return err
}

func ask(other decider, c *testCase) (ours, theirs string, err error) {
	if ours, err = c.decide(); err != nil {
		return "", "", err
	}
	theirs, err = other.decide(c)
	return ours, theirs, err
}

// sum prints the counts. It is an error if a disagreement is open.
func (r *report) sum() error {
	for _, name := range sortedKeys(r.verdicts) {
		fmt.Fprintf(r.out, "%6d %s\n", r.verdicts[name], name)
	}
	for _, name := range sortedKeys(r.classes) {
		fmt.Fprintf(r.out, "%6d disagreements: %s\n", r.classes[name], name)
	}
	if r.open > 0 {
		return fmt.Errorf("%d disagreements are not settled", r.open)
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
