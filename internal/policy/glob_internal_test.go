package policy

import (
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// FuzzGlob compares the matcher with regular expressions.
func FuzzGlob(f *testing.F) {
	f.Add("a*b?c", "axxbyc")
	f.Add("**a*", "bab")
	f.Add("?", "ü")
	f.Add("*?*?", "ab")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if strings.ToValidUTF8(pattern, "") != pattern || strings.ToValidUTF8(text, "") != text {
			return // documents and what the wire decodes are UTF-8
		}
		naive := strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(pattern))
		want := regexp.MustCompile(`(?s)^` + naive + `$`).MatchString(text)
		if got := toGlob(pattern).match(text); got != want {
			t.Errorf("%q on %q = %v", pattern, text, got)
		}
	})
}

// A pattern made to be slow is not: it would take 2^30 steps if every * were
// tried against every place.
func TestGlobIsNotExponential(t *testing.T) {
	if toGlob(strings.Repeat("a*", 30) + "b").match(strings.Repeat("a", 10_000)) {
		t.Error("matched")
	}
}

func TestGlobAny(t *testing.T) {
	for pattern, want := range map[string]bool{"*": true, "**": true, "": false, "?": false, "*?": false, "a*": false, "\ufffd": false} {
		if got := toGlob(pattern).any(); got != want {
			t.Errorf("%q matches everything: %v", pattern, got)
		}
	}
}

// A client chooses the text, and an account's users the pattern: neither may
// keep the server busy.
func TestGlobIsNotQuadratic(t *testing.T) {
	start := time.Now()
	for _, pattern := range []string{"*" + strings.Repeat("a", 30_000) + "b", "*" + strings.Repeat("a", 30_000) + "b*"} {
		if toGlob(pattern).match(strings.Repeat("a", 1<<20)) {
			t.Error("matched")
		}
	}
	for range 1000 { // patterns that a variable makes this long
		if toGlob("*?" + strings.Repeat("a", 8_000) + "c*").match(strings.Repeat("a", 24_000)) {
			t.Error("matched")
		}
	}
	for _, part := range []string{strings.Repeat("a?", 15_000) + "b", strings.Repeat("a?a*", 7_500) + "?b"} {
		if toGlob("*" + part + "*").match(strings.Repeat("a", 64<<10)) {
			t.Error("matched")
		}
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

// Where a part with ? is, is found without trying it everywhere, however long it is.
func TestFindAgreesWithTrying(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string, from []string, most int) string {
			return strings.Join(rapid.SliceOfN(rapid.SampledFrom(from), 0, most).Draw(t, name), "")
		}
		unit := draw("unit", []string{"a", "b", "é", "?", "\ufffd"}, 5)
		g := toGlob(strings.Repeat(unit, rapid.IntRange(1, 60).Draw(t, "times")) + "?" + draw("end", []string{"a", "b", "?"}, 2))
		match := strings.ReplaceAll(string(g), "\xfe", rapid.SampledFrom([]string{"a", "é", "\xc3", "\u20ac"}).Draw(t, "any"))
		s := draw("before", []string{"a", "b", "é", "\xe2\x82"}, 70) + match[rapid.IntRange(0, min(2, len(match))).Draw(t, "cut"):] + draw("after", []string{"a", "b"}, 3)
		want := -1
		for at := 0; at < len(s) && want < 0; {
			if n, ok := g.begins(s[at:]); ok {
				want = at + n
			}
			_, w := utf8.DecodeRuneInString(s[at:])
			at += w
		}
		if got := g.find(s); got != want {
			t.Fatalf("%q in %q ends at %d, want %d", g.text(), s, got, want)
		}
		if got := g.findRuns(s); got != want {
			t.Fatalf("run by run, %q in %q ends at %d, want %d", g.text(), s, got, want)
		}
	})
}

// The short way and the obvious one agree, whatever bytes there are.
func TestGlobAgreesWithTheReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := toGlob(strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "é", "*", "?"}), 0, 8).Draw(t, "pattern"), ""))
		s := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "é", "\xc3", "\xe2\x82", "*"}), 0, 10).Draw(t, "text"), "")
		if got, want := g.match(s), obvious(g, s); got != want {
			t.Fatalf("%q matches %q = %v", g.text(), s, got)
		}
	})
}

func obvious(g glob, s string) bool {
	switch {
	case g == "":
		return s == ""
	case g[0] == many && obvious(g[1:], s):
		return true
	case s == "":
		return false
	}
	_, w := utf8.DecodeRuneInString(s)
	switch {
	case g[0] == many:
		return obvious(g, s[w:])
	case g[0] == one:
		return obvious(g[1:], s[w:])
	}
	return g[0] == s[0] && obvious(g[1:], s[1:])
}

// The worst patterns that a policy has room for, on a text of 1 MiB.
func BenchmarkWorstPatterns(b *testing.B) {
	text := strings.Repeat("a", 1<<20)
	for name, pattern := range map[string]string{
		"stars":      strings.Repeat("*a", 3000) + "b",
		"one part":   "*" + strings.Repeat("a?", 3000) + "b*",
		"parts":      strings.Repeat("*a?a?a?", 800) + "*b?b",
		"plain":      "*" + strings.Repeat("a", 6000) + "b*",
		"one run":    "*" + strings.Repeat("a", 6000) + "?b*",
		"key policy": "*" + strings.Repeat("a?", 15000) + "b*",
	} {
		b.Run(name, func(b *testing.B) {
			g := toGlob(pattern)
			for b.Loop() {
				if g.match(text) {
					b.Fatal("matched")
				}
			}
		})
	}
}

// An ARN fits a resource as a regular expression for it says, in which a * that ends a
// field reaches past colons, and others do not.
func TestResourceAgreesWithTheReference(t *testing.T) {
	matched := 0
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string, from []string, least, most int) string {
			return strings.Join(rapid.SliceOfN(rapid.SampledFrom(from), least, most).Draw(t, name), "")
		}
		pattern := "arn:" + draw("pattern", []string{"a", "b", ":", ":", "*", "?", "*:", "*:"}, 1, 14)
		arn := "arn:" + draw("arn", []string{"a", "b", ":", ":"}, 4, 16)
		if rapid.IntRange(0, 3).Draw(t, "near") > 0 { // an ARN that may well fit
			arn = strings.NewReplacer("*", draw("many", []string{"a", "b", ":"}, 0, 4), "?", "b").Replace(pattern)
			arn += draw("end", []string{"", ":a", ":b:", ":a:a:b"}, 0, 2)
		}
		if strings.Count(arn, ":") < 5 {
			return
		}
		p, _ := compileResource(pattern, true)
		r := newRequest(&Question{Resource: arn})
		want := refResource(pattern).MatchString(arn)
		if want {
			matched++
		}
		if got := p.match(&r); got != want {
			t.Fatalf("%s on %s = %v", pattern, arn, got)
		}
	})
	if matched == 0 {
		t.Errorf("%d matches: a test of one answer only", matched)
	}
}

// refResource is the expression for a resource; one that lacks fields is completed with
// wildcards, or covers them with a *.
func refResource(pattern string) *regexp.Regexp {
	fields := strings.SplitN(pattern, ":", 6)
	inner := strings.NewReplacer(`\*`, `[^:]*`, `\?`, `[^:]`)
	full := strings.NewReplacer(`\*`, `.*`, `\?`, `.`)
	var across, within []string
	for i, f := range fields {
		quoted := regexp.QuoteMeta(f)
		switch {
		case i == len(fields)-1:
			across = append(across, full.Replace(quoted))
		case strings.HasSuffix(f, "*"):
			across = append(across, inner.Replace(strings.TrimSuffix(quoted, `\*`))+`.*`)
		default:
			across = append(across, inner.Replace(quoted))
		}
		if i < 5 {
			quoted = inner.Replace(quoted)
		}
		within = append(within, full.Replace(quoted))
	}
	expr := strings.Join(within, ":")
	if len(fields) < 6 {
		expr += ":.*"
	}
	if len(fields) > 1 && strings.Contains(strings.Join(fields[:len(fields)-1], ":")+":", "*:") {
		expr += "|" + strings.Join(across, ":")
	}
	return regexp.MustCompile(`^(?:` + expr + `)$`)
}
