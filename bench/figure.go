package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// A bench is one run: its settings, and the figures so far.
type bench struct {
	binary string
	dir    string // everything that is made is in here
	starts int
	load   time.Duration
	scale  int
	keys   int
	// pgbench's scale of the data for volumes, and how often all is done.
	volumeScale, volumeRuns int
	soak                    time.Duration
	operations              *regexp.Regexp // to load servers with
	progress                io.Writer
	current                 string

	Machine string   `json:"machine"`
	Figures []figure `json:"figures"`
	Loads   []load   `json:"loads,omitempty"`
	Missing []string `json:"missing,omitempty"` // peers that are not on this machine
}

// A figure is one number that came out.
type figure struct {
	Benchmark string  `json:"benchmark"`
	Name      string  `json:"name"`
	Value     float64 `json:"value"`
	Unit      string  `json:"unit"`
	// Limit is what Value is held against: at most that, or at least if AtLeast.
	Limit   *float64 `json:"limit,omitempty"`
	AtLeast bool     `json:"at_least,omitempty"`
}

func (f figure) met() bool {
	if f.AtLeast {
		return f.Value >= *f.Limit
	}
	return f.Value <= *f.Limit
}

// say notes a figure that nothing is asked of.
func (b *bench) say(name string, value float64, unit string) {
	b.Figures = append(b.Figures, figure{Benchmark: b.current, Name: name, Value: value, Unit: unit})
}

// atMost notes a figure that may not be larger than limit.
func (b *bench) atMost(name string, value float64, unit string, limit float64) {
	b.Figures = append(b.Figures, figure{b.current, name, value, unit, &limit, false})
}

// atLeast notes a figure that may not be smaller than limit.
func (b *bench) atLeast(name string, value float64, unit string, limit float64) {
	b.Figures = append(b.Figures, figure{b.current, name, value, unit, &limit, true})
}

// missing says, loudly, that a peer cannot be measured.
func (b *bench) missing(peer string, err error) {
	text := fmt.Sprintf("%s: NOT MEASURED: %s is missing: %v", b.current, peer, err)
	b.Missing = append(b.Missing, text)
	fmt.Fprintln(b.progress, "\n*** "+text+"\n")
}

// print writes the figures as a table.
func (b *bench) print(out io.Writer) error {
	fmt.Fprintf(out, "%s\n\n", b.Machine)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "benchmark\tfigure\tvalue\tlimit\t")
	for _, f := range b.Figures {
		limit, verdict := "", ""
		if f.Limit != nil {
			relation := "≤"
			if f.AtLeast {
				relation = "≥"
			}
			limit, verdict = fmt.Sprintf("%s %s %s", relation, number(*f.Limit), f.Unit), "met"
			if !f.met() {
				verdict = "MISSED"
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s %s\t%s\t%s\n", f.Benchmark, f.Name, number(f.Value), f.Unit, limit, verdict)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	b.printLoads(out)
	for _, m := range b.Missing {
		fmt.Fprintln(out, "\n"+m)
	}
	return nil
}

// printLoads writes the loads as a table in Markdown.
func (b *bench) printLoads(out io.Writer) {
	if len(b.Loads) == 0 {
		return
	}
	fmt.Fprintln(out, "\n| operation | at once | server | requests/s | p50 | p99 | processor time of a request |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|")
	for _, l := range b.Loads {
		fmt.Fprintf(out, "| %s | %d | %s | %.0f | %s ms | %s ms | %s µs |\n",
			l.Operation, l.Concurrency, l.Server, l.Rate, number(l.P50), number(l.P99), number(l.CPU))
	}
}

// number is v with three digits that mean something.
func number(v float64) string {
	if v == 0 || math.Abs(v) >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.*f", max(0, 2-int(math.Floor(math.Log10(math.Abs(v))))), v)
}

// median is the middle of values, which is not empty.
func median[T int | float64 | time.Duration](values []T) T {
	s := slices.Sorted(slices.Values(values))
	return s[len(s)/2]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// describeMachine is one line about where this runs.
func describeMachine() string {
	model, load := "unknown processor", "?"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, ok := strings.Cut(string(text), "model name\t: "); ok {
			model, _, _ = strings.Cut(rest, "\n")
		}
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		load, _, _ = strings.Cut(string(text), " ")
	}
	return fmt.Sprintf("%s/%s, %d × %s, %s, load %s at the beginning", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), model, runtime.Version(), load)
}
