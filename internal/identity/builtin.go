package identity

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"borealis/internal/cloud"
)

// awsManaged stands for an account in the ARNs of the policies that AWS manages.
const awsManaged cloud.AccountID = "aws"

// builtinFiles hold AWS managed policies as AWS publishes them.
//
//go:embed builtin/*.json
var builtinFiles embed.FS

// builtins are the AWS managed policies there are here, ordered by name.
var builtins = sync.OnceValue(func() []ManagedPolicy {
	files, err := builtinFiles.ReadDir("builtin")
	if err != nil {
		panic(err) // they are part of the program
	}
	var all []ManagedPolicy
	for _, f := range files {
		p, err := readBuiltin(f.Name())
		if err != nil {
			panic(fmt.Errorf("read built-in policy %s: %w", f.Name(), err))
		}
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b ManagedPolicy) int { return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) })
	return all
})

func readBuiltin(file string) (ManagedPolicy, error) {
	text, err := builtinFiles.ReadFile("builtin/" + file)
	if err != nil {
		return ManagedPolicy{}, err
	}
	var b struct {
		PolicyID    string
		Path        string
		Description string
		VersionID   string
		Created     time.Time
		Updated     time.Time
		Document    json.RawMessage
	}
	if err := json.Unmarshal(text, &b); err != nil {
		return ManagedPolicy{}, err
	}
	var document bytes.Buffer
	if err := json.Indent(&document, b.Document, "", "    "); err != nil {
		return ManagedPolicy{}, err
	}
	n, err := strconv.Atoi(strings.TrimPrefix(b.VersionID, "v"))
	return ManagedPolicy{
		Account: awsManaged, Name: strings.TrimSuffix(file, ".json"), ID: b.PolicyID, Path: b.Path, Description: b.Description,
		Created: b.Created, Updated: b.Updated, Default: n, Last: n,
		Versions: []Version{{Number: n, Document: document.String(), Created: b.Updated}},
	}, err
}

// builtin finds the AWS managed policy named by arn.
func builtin(arn string) (ManagedPolicy, bool) {
	i := slices.IndexFunc(builtins(), func(p ManagedPolicy) bool { return p.ARN() == arn })
	if i < 0 {
		return ManagedPolicy{}, false
	}
	return builtins()[i], true
}
