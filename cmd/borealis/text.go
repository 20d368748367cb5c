package main

import (
	"fmt"
	"strings"
	"time"

	"borealis/share"
)

// symbols mark the changes of a plan.
var symbols = map[share.Change]string{
	share.Creates: "+", share.Modifies: "~", share.Reads: "?", share.Exists: "=",
}

// planText puts a plan in words.
func planText(v any) string {
	p := v.(*share.Plan)
	var b strings.Builder
	fmt.Fprintf(&b, "Run %s  %s -> %s  %s\n", p.Run, p.Source.Account, p.Target.Account, p.Source.Region)
	fmt.Fprintf(&b, "  source as %s\n  target as %s\n\n", p.Source.Principal, p.Target.Principal)
	fmt.Fprintf(&b, "Snapshot %s\n  %s %s, %d GiB, taken %s\n  under %s\n\n", p.Snapshot.ARN, p.Snapshot.Engine, p.Snapshot.EngineVersion,
		p.Snapshot.AllocatedGiB, p.Snapshot.Created.Format(time.RFC3339), keyWords(p.Snapshot))
	count := map[share.Change]int{}
	account := ""
	for _, s := range p.Steps {
		count[s.Change]++
		if s.Account != account {
			account = s.Account
			side := "source"
			if account == p.Target.Account {
				side = "target"
			}
			fmt.Fprintf(&b, "In the %s account %s:\n", side, account)
		}
		fmt.Fprintf(&b, "  %s %-18s %s\n", symbols[s.Change], s.Kind, s.ARN)
		for _, d := range s.Detail {
			fmt.Fprintf(&b, "  %21s%s\n", "", d)
		}
	}
	fmt.Fprintf(&b, "\nPolicy of the new key:\n%s", indent(p.KeyPolicy))
	for _, w := range p.Warnings {
		fmt.Fprintf(&b, "! %s\n", w)
	}
	fmt.Fprintf(&b, "\nPlan: %d to create, %d to change, %d done already, 0 to destroy.\n", count[share.Creates], count[share.Modifies], count[share.Exists])
	return b.String()
}

func keyWords(s share.Snapshot) string {
	if s.KeyManager == "AWS" {
		return s.KeyARN + ", the account's default key, which no other account can use"
	}
	return s.KeyARN
}

func indent(s string) string {
	return "  " + strings.ReplaceAll(strings.TrimSuffix(s, "\n"), "\n", "\n  ") + "\n"
}

// resultText puts the result of a run in words.
func resultText(v any) string {
	r := v.(*share.Result)
	var b strings.Builder
	fmt.Fprintf(&b, "Done in %s.\n", r.Elapsed.Round(100*time.Millisecond))
	fmt.Fprintf(&b, "  key              %s\n", r.KeyARN)
	fmt.Fprintf(&b, "  shared snapshot  %s\n", r.SharedSnapshot)
	fmt.Fprintf(&b, "  target's copy    %s\n", r.TargetSnapshot)
	fmt.Fprintf(&b, "  under            %s\n", r.TargetKeyARN)
	if r.Cluster != "" {
		fmt.Fprintf(&b, "  cluster          %s\n", r.Cluster)
		fmt.Fprintf(&b, "  connect          psql 'host=%s port=%d user=%s dbname=postgres sslmode=require'\n", r.Endpoint, r.Port, r.MasterUser)
	}
	return b.String()
}
