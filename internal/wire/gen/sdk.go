package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// An sdk is what the sources of an SDK module say about the wire.
type sdk struct {
	operations []string
	results    map[string]bool      // query operations that have an output
	fields     map[place]*wireField // of structures that the module (de)serializes by hand
	required   map[place]bool
	faults     map[string]bool // error codes
	exceptions map[string]bool // Go names of error types
}

// A place is a field of a Go struct.
type place struct{ structure, field string }

// A wireField is how a field is called on the wire, and its list's elements.
type wireField struct{ name, element string }

// moduleDir finds the sources of a module that go.mod requires.
func moduleDir(module string) (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return "", fmt.Errorf("find module %s: %w", module, err)
	}
	return strings.TrimSpace(string(out)), nil
}

func readSDK(dir string) (*sdk, error) {
	s := &sdk{results: map[string]bool{}, fields: map[place]*wireField{}, required: map[place]bool{}, faults: map[string]bool{}, exceptions: map[string]bool{}}
	files, err := filepath.Glob(filepath.Join(dir, "api_op_*.go"))
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(f), "api_op_"), ".go")
		if strings.HasSuffix(name, "_test") {
			continue
		}
		s.operations = append(s.operations, name)
	}
	// A service whose module serializes by schema has neither of the first two.
	return s, errors.Join(
		s.read(dir, "serializers.go", s.names),
		s.read(dir, "deserializers.go", s.names),
		s.read(dir, "validators.go", s.validators),
		s.read(dir, "types/errors.go", s.errors))
}

func (s *sdk) read(dir, file string, parse func(lines []string)) error {
	text, err := os.ReadFile(filepath.Join(dir, file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read SDK: %w", err)
	}
	var lines []string
	sc := bufio.NewScanner(bytes.NewReader(text))
	for sc.Scan() {
		lines = append(lines, sc.Text())
	}
	parse(lines)
	return sc.Err()
}

var (
	funcLine  = regexp.MustCompile(`^func aws\w+_(?:de)?serialize(?:OpDocument|Document)(\w+)\(v (\S+),`)
	arrayLine = regexp.MustCompile(`:= value\.Array\("(\w+)"\)`)
	nameLine  = regexp.MustCompile(`(?:object\.Key\(|case strings\.EqualFold\()"(\w+)"`)
	fieldUse  = regexp.MustCompile(`\bs?v\.([A-Z]\w*)`)
	result    = regexp.MustCompile(`GetElement\("(\w+)Result"\)`)
	listCall  = regexp.MustCompile(`aws\w+_(?:de)?serializeDocument(\w+)\(&?s?v\.(\w+),`)
)

// names reads the bodies of the module's (de)serializers: which field goes by
// which name, and what the elements of lists are called.
func (s *sdk) names(lines []string) {
	elements := map[string]string{} // of a list's (de)serializer
	uses := map[place]string{}      // the (de)serializer that a field's value goes to
	var fn, typ, name string
	for _, line := range lines {
		if m := funcLine.FindStringSubmatch(line); m != nil {
			fn, typ, name = m[1], m[2], ""
			continue
		}
		if m := result.FindStringSubmatch(line); m != nil {
			s.results[m[1]] = true
		}
		if m := arrayLine.FindStringSubmatch(line); m != nil {
			elements[fn] = m[1]
		}
		if m := nameLine.FindStringSubmatch(line); m != nil {
			name = m[1]
			if strings.HasPrefix(typ, "*[]") {
				elements[fn] = name
			}
			continue
		}
		m := fieldUse.FindStringSubmatch(line)
		if m == nil || name == "" || strings.HasPrefix(strings.TrimSpace(line), "if v.") || strings.HasPrefix(strings.TrimSpace(line), "if len(v.") {
			continue
		}
		p := place{strings.TrimPrefix(strings.TrimLeft(typ, "*"), "types."), m[1]}
		if s.fields[p] == nil {
			s.fields[p] = new(wireField)
		}
		s.fields[p].name = name
		if c := listCall.FindStringSubmatch(line); c != nil {
			uses[p] = c[1]
		}
	}
	for p, fn := range uses {
		if e := elements[fn]; e != "" {
			s.fields[p].element = e
		}
	}
}

var (
	validateFunc = regexp.MustCompile(`^func validate\w+\(v \*(?:types\.)?(\w+)\) error`)
	requiredLine = regexp.MustCompile(`NewErrParamRequired\("(\w+)"\)`)
)

// validators reads which members the client refuses to leave out.
func (s *sdk) validators(lines []string) {
	var typ string
	for _, line := range lines {
		if m := validateFunc.FindStringSubmatch(line); m != nil {
			typ = m[1]
		} else if m := requiredLine.FindStringSubmatch(line); m != nil {
			s.required[place{typ, m[1]}] = true
		}
	}
}

var (
	codeLine      = regexp.MustCompile(`^\t\treturn "([\w.]+)"$`)
	exceptionLine = regexp.MustCompile(`^type (\w+) struct`)
)

// errors reads the names and codes of the module's exceptions.
func (s *sdk) errors(lines []string) {
	for _, line := range lines {
		if m := exceptionLine.FindStringSubmatch(line); m != nil {
			s.exceptions[m[1]] = true
		}
		if m := codeLine.FindStringSubmatch(line); m != nil {
			s.faults[m[1]] = true
		}
	}
}
