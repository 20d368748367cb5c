package main

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"borealis/share"
)

// TestPlanText puts the plan that package share's tests keep in words.
func TestPlanText(t *testing.T) {
	text, err := os.ReadFile("../../share/testdata/plan.json")
	if err != nil {
		t.Fatal(err)
	}
	var p share.Plan
	if err := json.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	got := planText(&p)
	const file = "testdata/plan.txt"
	if os.Getenv("GOLDEN") == "write" {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s is out of date; if it may be, run with GOLDEN=write:\n%s", file, d)
	}
}

func TestResultText(t *testing.T) {
	r := share.Result{TargetSnapshot: "arn:copy", TargetKeyARN: "arn:key", Cluster: "arn:cluster", Endpoint: "db.example", Port: 5432, Engine: "aurora-postgresql", MasterUser: "me", Elapsed: share.Elapsed(90 * time.Second)}
	want := `Done in 1m30s.
  target's copy    arn:copy
  under            arn:key
  cluster          arn:cluster
  connect          psql 'host=db.example port=5432 user=me dbname=postgres sslmode=require'
`
	if d := cmp.Diff(want, resultText(&r)); d != "" {
		t.Error(d)
	}
	for engine, want := range map[string]string{
		"aurora-mysql": "mysql --ssl-mode=REQUIRED -h db.example -P 5432 -u me -p shop",
		"neptune":      "db.example port 5432, as me",
	} {
		r.Engine, r.Database = engine, "shop"
		if got := connectWords(&r); got != want {
			t.Errorf("%s: %s, want %s", engine, got, want)
		}
	}
}
