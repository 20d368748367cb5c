package policy

import (
	"fmt"
	"strings"
)

// around is how many lines a diff shows before and after what differs.
const around = 3

// unified is a unified diff of two texts that differ in one place. An empty
// before is a text that is not there.
func unified(name, before, after string) string {
	old, now := lines(before), lines(after)
	head := 0
	for head < min(len(old), len(now)) && old[head] == now[head] {
		head++
	}
	tail := 0
	for tail < min(len(old), len(now))-head && old[len(old)-1-tail] == now[len(now)-1-tail] {
		tail++
	}
	from, last := max(head-around, 0), min(tail, around)
	oldEnd, nowEnd := len(old)-tail, len(now)-tail
	var b strings.Builder
	was := name
	if before == "" {
		was = "/dev/null"
	}
	fmt.Fprintf(&b, "--- %s\n+++ %s\n@@ -%s +%s @@\n", was, name, span(from, oldEnd+last), span(from, nowEnd+last))
	write := func(mark string, all []string) {
		for _, l := range all {
			b.WriteString(mark + l + "\n")
		}
	}
	write(" ", old[from:head])
	write("-", old[head:oldEnd])
	write("+", now[head:nowEnd])
	write(" ", old[oldEnd:oldEnd+last])
	return b.String()
}

func lines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// span is a range of lines, from 0 and without its end, as a diff writes it.
func span(from, end int) string {
	if end == from {
		return fmt.Sprintf("%d,0", from)
	}
	return fmt.Sprintf("%d,%d", from+1, end-from)
}
