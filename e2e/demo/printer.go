package main

import (
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

func (p *printer) Ran(command, output string) {
	fmt.Fprintf(p.w, "   $ %s\n", command)
	for line := range strings.Lines(output) {
		fmt.Fprintf(p.w, "     %s", line)
	}
}
