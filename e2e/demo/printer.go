package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// A printer narrates in plain text.
type printer struct {
	w       io.Writer
	chapter int
}

func (p *printer) Chapter(title string) {
	p.chapter++
	fmt.Fprintf(p.w, "\n%d. %s\n", p.chapter, title)
}

func (p *printer) Did(who, what string) { fmt.Fprintf(p.w, "   ✓ %s %s\n", who, what) }

func (p *printer) Refused(who, what, code, message string) {
	fmt.Fprintf(p.w, "   ✗ %s cannot %s\n       %s", who, what, code)
	if message != "" {
		fmt.Fprintf(p.w, ": %s", message)
	}
	fmt.Fprintln(p.w)
}

// width is how long a command line may be before it is broken.
const width = 90

func (p *printer) Runs(command string) io.Writer {
	line := "   $"
	for word := range strings.FieldsSeq(command) {
		if strings.HasPrefix(word, "--") && len(line) > width {
			fmt.Fprintln(p.w, line+" \\")
			line = "      "
		}
		line += " " + word
	}
	fmt.Fprintln(p.w, line)
	return &indenter{w: p.w}
}

// An indenter passes on what is written, every line further to the right.
type indenter struct {
	w      io.Writer
	inLine bool
}

func (i *indenter) Write(b []byte) (int, error) {
	var out []byte
	for line := range bytes.Lines(b) {
		if !i.inLine && len(line) > 1 {
			out = append(out, "     "...)
		}
		out = append(out, line...)
		i.inLine = !bytes.HasSuffix(line, []byte("\n"))
	}
	if _, err := i.w.Write(out); err != nil {
		return 0, err
	}
	return len(b), nil
}
