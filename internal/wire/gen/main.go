// Gen writes the tables of package wire (*_gen.go) from two sources of facts:
// the API models in two folders, of which one is part of the repository, which
// know constraints, required members, list element names and errors; and the sources of the SDK modules that go.mod
// pins, which are newer than the models and know the names of what these lack.
// Where both know a name they must agree, else gen fails. It writes tables
// only, never code that does something.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
)

// services are the names of the services, which are also the names of the
// model files and of the SDK's packages.
var services = []string{"kms", "rds", "iam", "sts"}

// ownServices have a model of ours, with what is served of them alone.
var ownServices = []string{"cloudtrail", "organizations"}

func main() {
	log.SetFlags(0)
	log.SetPrefix("gen: ")
	models := flag.String("models", "../../../shared/models", "folder of the API models (kms.json, ...); the environment's BOREALIS_MODELS comes first; empty for our own models alone")
	own := flag.String("own", "models", "folder of our own models")
	out := flag.String("out", ".", "folder to write the tables to")
	flag.Parse()
	if env := os.Getenv("BOREALIS_MODELS"); env != "" {
		*models = env
	}
	if *models != "" {
		generateAll(services, *models, *out)
	}
	generateAll(ownServices, *own, *out)
}

func generateAll(names []string, models, out string) {
	for _, name := range names {
		if err := generate(name, models, out); err != nil {
			log.Fatal(err)
		}
	}
}

// generate writes the table of one service.
func generate(name, models, out string) error {
	m, err := readModel(filepath.Join(models, name+".json"))
	if err != nil {
		return err
	}
	dir, err := moduleDir("github.com/aws/aws-sdk-go-v2/service/" + name)
	if err != nil {
		return err
	}
	s, err := readSDK(dir)
	if err != nil {
		return err
	}
	t, err := merge(m, s)
	if err != nil {
		return fmt.Errorf("merge model and SDK of %s: %w", name, err)
	}
	text, err := t.print(name)
	if err != nil {
		return fmt.Errorf("print table of %s: %w", name, err)
	}
	return os.WriteFile(filepath.Join(out, name+"_gen.go"), text, 0o644)
}
