package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"borealis/internal/server"
)

const volumeHelp = `Look after the bytes of snapshots, in the data directory or in S3. These are the
operator's commands: they act on the data directory, through the running server if there
is one, and need no key of KMS.`

func newVolume() *cobra.Command {
	c := &cobra.Command{Use: "volume", Short: "Check and measure the snapshots of a borealis server", Long: volumeHelp}
	c.AddCommand(newVolumeCheck(), newVolumeStats())
	return group(c)
}

// errDamaged says that snapshots are not whole.
var errDamaged = errors.New("snapshots are damaged")

func newVolumeCheck() *cobra.Command {
	var f accountFlags
	var readData bool
	c := &cobra.Command{
		Use:   "check",
		Short: "Check that all snapshots are whole",
		Long: `Check that every snapshot is there with all that it needs. With --read-data also read
every byte and compare it with the checksum that was noted when it was written.

That needs no key, and finds what disks lose and change. Bytes that someone has forged are
found when a snapshot is copied or restored: all of it is authenticated then.

The exit status is 1 if anything is damaged.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			op, err := f.operate(c)
			if err != nil {
				return err
			}
			defer op.Close()
			draw, end := readProgress(c.ErrOrStderr())
			check, err := op.CheckVolumes(c.Context(), readData, draw)
			end()
			if err != nil {
				return err
			}
			if err := f.print(c.OutOrStdout(), check, checkText(check, readData)); err != nil {
				return err
			}
			if len(check.Problems) > 0 {
				return errDamaged
			}
			return nil
		},
	}
	c.Flags().BoolVar(&readData, "read-data", false, "also read everything")
	f.define(c)
	return c
}

func newVolumeStats() *cobra.Command {
	var f accountFlags
	c := &cobra.Command{
		Use:   "stats",
		Short: "Show how much room snapshots take, and what they share",
		Long: `Show how much room snapshots take: of each the size of its data (LOGICAL), what is
stored of it, compressed and shared with others (STORED), and what deleting it would free
(OWN); then the same for each KMS key, under which each byte is counted once.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return f.show(c, func(op server.Operator) (any, string, error) {
				s, err := op.VolumeStats(c.Context())
				return s, statsText(s), err
			})
		},
	}
	f.define(c)
	return c
}

// readProgress draws how far a reading is, if w is a terminal; end removes it.
func readProgress(w io.Writer) (draw func(done, total int64), end func()) {
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) || os.Getenv("TERM") == "dumb" {
		return nil, func() {}
	}
	began, drawn := time.Now(), time.Time{}
	draw = func(done, total int64) {
		if total == 0 || time.Since(drawn) < 100*time.Millisecond {
			return
		}
		drawn = time.Now()
		percent := int(done * 100 / total)
		speed := float64(done) / max(drawn.Sub(began).Seconds(), 0.001)
		fmt.Fprintf(w, "\r\x1b[K%s %3d%%  %s of %s  %s/s", bar(percent), percent, size(done), size(total), size(int64(speed)))
	}
	return draw, func() { fmt.Fprint(w, "\r\x1b[K") }
}

// size is a number of bytes as one reads it.
func size(bytes int64) string {
	if bytes < 1024 {
		return fmt.Sprintf("%d B", bytes)
	}
	n, unit := float64(bytes)/1024, 0
	for n >= 1023.95 && unit < 4 {
		n, unit = n/1024, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", n, "KMGTP"[unit])
}

func checkText(c server.VolumeCheck, readData bool) string {
	var b strings.Builder
	for _, p := range c.Problems {
		fmt.Fprintf(&b, "%s: %s\n", p.Object, p.Message)
		for _, arn := range p.Snapshots {
			fmt.Fprintf(&b, "  needed by %s\n", arn)
		}
	}
	how := "all that they need is there"
	if readData {
		how = fmt.Sprintf("all of it was read (%s)", size(c.Bytes))
	}
	if len(c.Problems) > 0 {
		how = fmt.Sprintf("%d objects are damaged", len(c.Problems))
	}
	fmt.Fprintf(&b, "%d snapshots in %s: %s\n", c.Volumes, c.Place, how)
	return b.String()
}

func statsText(s server.VolumeStats) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "LOGICAL\tSTORED\tOWN\tSNAPSHOT")
	for _, v := range s.Volumes {
		name := v.Snapshot
		if name == "" {
			name = "(volume " + v.Volume + ", of no snapshot)"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", size(v.Logical), size(v.Stored), size(v.Own), name)
	}
	fmt.Fprintln(w, "\nLOGICAL\tSTORED\tRATIO\tSNAPSHOTS\tKEY")
	for _, k := range s.Keys {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\n", size(k.Logical), size(k.Stored), ratio(k.Logical, k.Stored), k.Snapshots, k.Key)
	}
	fmt.Fprintf(w, "%s\t%s\t%s\t%d\tall, in %s\n", size(s.Logical), size(s.Stored), ratio(s.Logical, s.Stored), len(s.Volumes), s.Place)
	_ = w.Flush() // into memory
	if s.Garbage > 0 {
		fmt.Fprintf(&b, "%s of that belong to no snapshot: work under way, or what the next start removes.\n", size(s.Garbage))
	}
	if s.Problems > 0 {
		fmt.Fprintf(&b, "%d objects are damaged: see borealis volume check.\n", s.Problems)
	}
	if !s.ScrubbedAt.IsZero() {
		fmt.Fprintf(&b, "Last scrubbed %s.\n", s.ScrubbedAt.Format(time.RFC3339))
	}
	return b.String()
}

// ratio is how many times smaller snapshots are as stored.
func ratio(logical, stored int64) string {
	if stored == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", float64(logical)/float64(stored))
}
