package e2e

import (
	"os/exec"
	"strings"
	"testing"
)

// arrows says which packages of ours a package may import. It is the picture in
// ARCHITECTURE.md, and this test breaks when the two part ways. "*" is anything.
var arrows = map[string]string{
	"internal/cloud":               "",
	"internal/durable":             "",
	"internal/durable/durabletest": "durable",
	"internal/seal":                "",
	"internal/rootkey":             "durable seal",
	"internal/api":                 "",
	"internal/policy":              "cloud",
	"internal/policy/gen":          "",
	"internal/policy/differential": "cloud policy",
	"internal/inquiry":             "cloud policy",
	"internal/sigv4":               "cloud",
	"internal/audit":               "cloud",
	"internal/wire":                "",
	"internal/wire/gen":            "",
	"internal/material":            "seal",
	"internal/keys":                "cloud api policy audit seal material attestation",
	"internal/identity":            "cloud api policy audit",
	"internal/federation":          "",
	"internal/sessions":            "cloud api policy audit federation",
	"internal/clusters":            "cloud api policy audit",
	"internal/trail":               "cloud api policy audit",
	"internal/organizations":       "cloud api policy audit",
	"internal/volume":              "cloud durable",
	"internal/volume/disk":         "cloud volume durable",
	"internal/volume/s3":           "cloud volume",
	"internal/volume/s3/s3test":    "",
	"internal/volume/cache":        "volume",
	"internal/volume/scrub":        "cloud durable volume",
	"internal/volume/volumetest":   "cloud volume",
	"internal/postgres":            "cloud durable",
	"internal/postgres/enginetest": "postgres",
	"internal/xks":                 "",
	"internal/hsm":                 "",
	"internal/xks/xkstest":         "cloud sigv4",
	"e2e/local":                    "*",
	"internal/store":               "cloud identity keys clusters organizations",
	"internal/gateway":             "cloud api sigv4 wire audit",
	"internal/server":              "*",
	"share":                        "cloud policy",
	"cmd/borealis":                 "*",
	"e2e":                          "*",
	"e2e/demo":                     "*",
	"e2e/story":                    "*",
	"bench":                        "*",
	"bench/bare":                   "",
	"bench/barekms":                "cloud sigv4",

	"internal/attestation":                 "seal",
	"internal/attestation/attestationtest": "",
}

func TestArrows(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "borealis/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		pkg := strings.TrimPrefix(f[0], "borealis/")
		may, known := arrows[pkg]
		if !known {
			t.Errorf("%s is not in arrows: decide what it may import", pkg)
		}
		for _, imp := range f[1:] {
			ours, is := strings.CutPrefix(imp, "borealis/")
			short := strings.TrimPrefix(ours, "internal/")
			if is && may != "*" && !strings.Contains(" "+may+" ", " "+short+" ") {
				t.Errorf("%s must not import %s", pkg, ours)
			}
		}
	}
}
