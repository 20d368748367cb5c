package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// Equal seeds make equal cases, which survive being written as JSON, and of which
// every verdict is common.
func TestGenerate(t *testing.T) {
	verdicts := map[string]int{}
	for id := range 500 {
		c := generate(1, id)
		text, err := json.Marshal(&c)
		if err != nil {
			t.Fatal(err)
		}
		same := generate(1, id)
		if again, err := json.Marshal(&same); err != nil || !bytes.Equal(text, again) {
			t.Fatalf("case %d is two cases:\n%s\n%s", id, text, again)
		}
		ours, err := c.decide()
		if err != nil {
			t.Fatalf("case %d: %v\n%s", id, err, text)
		}
		verdicts[ours]++
		var read testCase
		if err := json.Unmarshal(text, &read); err != nil {
			t.Fatal(err)
		}
		if v, err := read.decide(); v != ours || err != nil {
			t.Errorf("case %d: %s, once read from JSON %s, %v\n%s", id, ours, v, err, text)
		}
	}
	for _, v := range []string{allowed, explicit, implicit} {
		if verdicts[v] < 25 {
			t.Errorf("%d times %s among 500 cases", verdicts[v], v)
		}
	}
}

// A wrong decider denies whatever a policy with this text is about.
type wrong string

func (w wrong) decide(c *testCase) (string, error) {
	text, err := json.Marshal(c)
	if err == nil && bytes.Contains(text, []byte(w)) {
		return implicit, nil
	}
	return c.decide()
}

// What disagrees is made small, counted, and an error if it is not settled.
func TestReport(t *testing.T) {
	var out strings.Builder
	r := report{show: 1000, classes: map[string]int{}, verdicts: map[string]int{}, out: &out}
	for id := range 500 {
		if err := r.try(wrong(`"BinaryEquals"`), generate(1, id)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.sum(); err == nil || r.open == 0 {
		t.Fatalf("nothing open: %v\n%s", err, out.String())
	}
	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(line, "{") && (!strings.Contains(line, "BinaryEquals") || strings.Count(line, `"Condition"`) > 2) {
			t.Errorf("not small: %s", line)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, args := range [][]string{{}, {"-cases", "x"}, {"/nowhere/program"}, {"-cases", "1", "true"}} {
		if err := run(t.Context(), args, &strings.Builder{}); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
