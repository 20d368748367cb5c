package main

import (
	"fmt"
	"strings"
	"time"

	"borealis/share"
)

// symbols mark the changes of a plan.
var symbols = map[share.Change]string{
	share.Creates: "+", share.Modifies: "~", share.Reads: "?", share.Exists: "=", share.Deletes: "-",
}

// planText puts a plan in words.
func planText(p *share.Plan) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Run %s  %s -> %s  %s\n", p.Run, p.Source.Account, p.Target.Account, p.Source.Region)
	fmt.Fprintf(&b, "  source as %s\n  target as %s\n\n", p.Source.Caller, p.Target.Caller)
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
	if count[share.Creates]+count[share.Modifies] == 0 {
		b.WriteString("\nPlan: nothing to change; everything is there already.\n")
		return b.String()
	}
	if p.Steps[0].ID == share.CreateKey && p.Steps[0].Change == share.Creates {
		fmt.Fprintf(&b, "\nPolicy of the new key:\n%s", indent(p.KeyPolicy))
	}
	b.WriteString("\n")
	for _, w := range p.Warnings {
		fmt.Fprintf(&b, "! %s\n", w)
	}
	fmt.Fprintf(&b, "Plan: %d to create, %d to change, %d done already, 0 to destroy.\n", count[share.Creates], count[share.Modifies], count[share.Exists])
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
func resultText(r *share.Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Done in %s.\n", time.Duration(r.Elapsed).Round(100*time.Millisecond))
	for _, line := range []struct{ name, arn string }{
		{"key", r.KeyARN}, {"shared snapshot", r.SharedSnapshot}, {"target's copy", r.TargetSnapshot}, {"under", r.TargetKeyARN}, {"cluster", r.Cluster},
	} {
		if line.arn != "" {
			fmt.Fprintf(&b, "  %-16s %s\n", line.name, line.arn)
		}
	}
	if r.Cluster != "" {
		fmt.Fprintf(&b, "  %-16s %s\n", "connect", connectWords(r))
	}
	return b.String()
}

// connectWords is how to connect to the restored database with its own client.
func connectWords(r *share.Result) string {
	database := r.Database
	switch r.Engine {
	case "aurora-postgresql":
		if database == "" {
			database = "postgres"
		}
		return fmt.Sprintf("psql 'host=%s port=%d user=%s dbname=%s sslmode=require'", r.Endpoint, r.Port, r.MasterUser, database)
	case "aurora-mysql":
		return strings.TrimSpace(fmt.Sprintf("mysql --ssl-mode=REQUIRED -h %s -P %d -u %s -p %s", r.Endpoint, r.Port, r.MasterUser, database))
	}
	return fmt.Sprintf("%s port %d, as %s", r.Endpoint, r.Port, r.MasterUser)
}
