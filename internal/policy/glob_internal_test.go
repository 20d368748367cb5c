package policy

import (
	"regexp"
	"strings"
	"testing"
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
