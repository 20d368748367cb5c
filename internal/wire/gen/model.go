package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
)

// A model is what this program reads of a service's API model.
type model struct {
	Metadata struct {
		APIVersion   string `json:"apiVersion"`
		Protocol     string `json:"protocol"`
		TargetPrefix string `json:"targetPrefix"`
		XMLNamespace string `json:"xmlNamespace"`
	} `json:"metadata"`
	Operations map[string]struct {
		Input  *ref `json:"input"`
		Output *ref `json:"output"`
	} `json:"operations"`
	Shapes map[string]*modelShape `json:"shapes"`
}

// A ref names a shape, and what it is called where it is used.
type ref struct {
	Shape        string `json:"shape"`
	LocationName string `json:"locationName"`
}

// A modelShape is a shape of any type.
type modelShape struct {
	Type      string   `json:"type"`
	Required  []string `json:"required"`
	Members   members  `json:"members"`
	Member    *ref     `json:"member"`
	Key       *ref     `json:"key"`
	Value     *ref     `json:"value"`
	Min       int64    `json:"min"`
	Max       int64    `json:"max"`
	Pattern   string   `json:"pattern"`
	Enum      []string `json:"enum"`
	Sensitive bool     `json:"sensitive"`
	Flattened bool     `json:"flattened"`
	Exception bool     `json:"exception"`
	Fault     bool     `json:"fault"`
	Error     struct {
		Code   string `json:"code"`
		Status int    `json:"httpStatusCode"`
	} `json:"error"`
}

// members are a structure's members in the order of the model, which is the
// order in which the services report what is wrong.
type members []struct {
	Name string
	ref
}

// UnmarshalJSON keeps the order, which a map would lose.
func (m *members) UnmarshalJSON(text []byte) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	if _, err := dec.Token(); err != nil {
		return err
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return err
		}
		var r ref
		if err := dec.Decode(&r); err != nil {
			return err
		}
		*m = append(*m, struct {
			Name string
			ref
		}{name.(string), r})
	}
	return nil
}

func readModel(file string) (*model, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read model: %w", err)
	}
	m := new(model)
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("read model %s: %w", file, err)
	}
	for name, s := range m.Shapes {
		if s.Flattened {
			return nil, fmt.Errorf("read model %s: shape %s is flattened, which package wire cannot write", file, name)
		}
	}
	return m, nil
}
