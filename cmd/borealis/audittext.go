package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"borealis/internal/audit"
	"borealis/internal/policy"
)

const (
	pageWidth   = 80
	nameWidth   = 36
	eventTime   = "2006-01-02 15:04:05Z"
	eventIndent = "  "
)

// eventText is an event in a few lines of 80 columns: when, what and how it
// ended, who, what it was done to and why.
func eventText(e *audit.Entry) string {
	var b strings.Builder
	when, ended := e.Time.UTC().Format(eventTime), outcome(e)
	width := min(nameWidth, pageWidth-len(when)-len("   ")-len(ended)) // less where the outcome is a long word
	fmt.Fprintf(&b, "%s  %-*s %s\n", when, width, clean(e.Service()+":"+e.Name), ended)
	fieldLine(&b, "by", who(e))
	for _, d := range e.Resources() {
		fieldLine(&b, "on", d.Resource)
	}
	if e.ErrorMessage != "" && !e.Denied() {
		fieldLine(&b, "says", e.ErrorMessage)
	}
	for _, d := range e.Decisions {
		if reason := d.Reason; reason != "" {
			fieldLine(&b, "why", reason)
		}
		if more, ok := policy.ReadSummary(d.Explanation); ok && len(more.Statements) > 0 {
			fieldLine(&b, "", more.Lines()[0])
		}
	}
	return b.String()
}

// outcome is how a call ended, in a word.
func outcome(e *audit.Entry) string {
	switch {
	case e.Denied():
		return "denied"
	case e.ErrorCode != "":
		return clean(e.ErrorCode)
	}
	return "allowed"
}

// who is who called.
func who(e *audit.Entry) string {
	s := cmp.Or(e.Identity.ARN, string(e.Identity.Account), e.Identity.Type)
	if len(e.Identity.Via) > 0 {
		s += " via " + strings.Join(e.Identity.Via, ", ")
	}
	if e.SourceIP != "" {
		s += " from " + e.SourceIP
	}
	return s
}

// wholeEventText is everything about an event.
func wholeEventText(e *audit.Entry) string {
	var b strings.Builder
	fieldLine(&b, "event", e.ID)
	fieldLine(&b, "time", e.Time.UTC().Format(time.RFC3339Nano))
	fieldLine(&b, "call", e.Service()+":"+e.Name)
	fieldLine(&b, "ended", outcome(e))
	if !e.Denied() && e.ErrorCode == "" {
		fieldLine(&b, "kind", kindOf(e))
	}
	fieldLine(&b, "region", e.Region)
	fieldLine(&b, "request", e.RequestID)
	fieldLine(&b, "by", who(e))
	fieldLine(&b, "account", string(e.Identity.Account))
	fieldLine(&b, "user id", e.Identity.PrincipalID)
	fieldLine(&b, "role", e.Identity.Role)
	fieldLine(&b, "key id", e.Identity.AccessKeyID)
	fieldLine(&b, "agent", e.UserAgent)
	fieldLine(&b, "error", e.ErrorCode)
	fieldLine(&b, "says", e.ErrorMessage)
	for _, d := range e.Decisions {
		fieldLine(&b, d.Decision, strings.TrimSpace(d.Action+" on "+d.Resource))
		fieldLine(&b, "why", d.Reason)
		if more, ok := policy.ReadSummary(d.Explanation); ok {
			for _, line := range more.Lines() {
				fieldLine(&b, "", line)
			}
		}
	}
	if shared := e.SharedID(); shared != "" {
		fieldLine(&b, "shared", shared)
		for _, a := range e.Accounts() {
			fieldLine(&b, "", "in account "+string(a)+" as "+e.IDIn(a))
		}
	}
	object(&b, "asked", e.Parameters)
	object(&b, "answered", e.Elements)
	for _, k := range slices.Sorted(maps.Keys(e.Detail)) {
		fieldLine(&b, "detail", k+" "+e.Detail[k])
	}
	return b.String()
}

func kindOf(e *audit.Entry) string {
	if e.ReadOnly {
		return "changes nothing"
	}
	return "changes something"
}

// object puts a JSON object in lines.
func object(b *strings.Builder, name string, raw json.RawMessage) {
	var out bytes.Buffer
	if len(raw) == 0 || json.Indent(&out, raw, strings.Repeat(" ", 11), "  ") != nil {
		return
	}
	fmt.Fprintf(b, "%s%-8s %s\n", eventIndent, name, clean(out.String()))
}

// fieldLine writes text behind a name, broken to the width of a page. Words that are
// longer, such as ARNs, stay whole.
func fieldLine(b *strings.Builder, name, text string) {
	if text == "" {
		return
	}
	column := 0
	for i, word := range strings.Fields(clean(text)) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
			fmt.Fprintf(b, "%s%-8s %s", eventIndent, name, word)
			column = len(eventIndent) + 9 + n
		case column+1+n > pageWidth:
			fmt.Fprintf(b, "\n%s%-8s %s", eventIndent, "", word)
			column = len(eventIndent) + 9 + n
		default:
			b.WriteString(" " + word)
			column += 1 + n
		}
	}
	b.WriteByte('\n')
}

// clean is s without what a terminal would obey: callers choose what is in the
// log.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' {
			return utf8.RuneError
		}
		return r
	}, s)
}
