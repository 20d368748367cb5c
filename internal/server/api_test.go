package server

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"borealis/internal/clusters"
	"borealis/internal/identity"
	"borealis/internal/keys"
	"borealis/internal/organizations"
	"borealis/internal/sessions"
	"borealis/internal/trail"
)

//go:generate go test -run ^TestAPIDocument$ -update .

var update = flag.Bool("update", false, "write the table into docs/api.md")

const (
	apiDocument = "../../docs/api.md"
	tableBegins = "<!-- generated: go generate ./internal/server -->\n"
	tableEnds   = "<!-- end -->\n"
)

// TestAPIDocument holds the table in docs/api.md against what is served.
func TestAPIDocument(t *testing.T) {
	text, err := os.ReadFile(apiDocument)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(text), tableBegins)
	_, after, ok2 := strings.Cut(rest, tableEnds)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no place for the table", apiDocument)
	}
	want := before + tableBegins + apiTable() + tableEnds + after
	if *update {
		if err := os.WriteFile(apiDocument, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(text) {
		t.Errorf("%s is not up to date: go generate ./internal/server", apiDocument)
	}
}

// apiTable lists every operation that AWS has, by service, those served first.
func apiTable() string {
	var b strings.Builder
	for _, s := range services(new(keys.Service), keys.Ops, new(clusters.Service), new(identity.Service), new(sessions.Service), new(trail.Service), new(organizations.Service)) {
		var served, not []string
		for _, o := range s.Offers() {
			if o.Served {
				served = append(served, o.Operation)
			} else {
				not = append(not, o.Operation)
			}
		}
		fmt.Fprintf(&b, "\n### %s: %d of %d operations\n\nServed: %s.\n", title(s.Name()), len(served), len(served)+len(not), strings.Join(served, ", "))
		if len(not) > 0 {
			fmt.Fprintf(&b, "\n<details><summary>Not served</summary>\n\n%s.\n\n</details>\n", strings.Join(not, ", "))
		}
	}
	return b.String()
}

// title is a service's name as AWS writes it.
func title(name string) string {
	switch name {
	case "cloudtrail":
		return "CloudTrail"
	case "organizations":
		return "Organizations"
	}
	return strings.ToUpper(name)
}
