package story

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

// A Driver performs operations as one principal: with the SDK, or with the AWS
// CLI. in is a pointer to the SDK's input struct, whose type names service and
// operation; out is a pointer to its output struct. Refusals are smithy.APIErrors.
type Driver interface {
	Call(ctx context.Context, in, out any) error
}

// SDK is a Driver that uses the AWS SDK for Go.
type SDK struct{ clients map[string]reflect.Value }

// NewSDK makes an SDK driver of a configuration.
func NewSDK(cfg aws.Config) *SDK {
	return &SDK{map[string]reflect.Value{
		"iam": reflect.ValueOf(iam.NewFromConfig(cfg)),
		"kms": reflect.ValueOf(kms.NewFromConfig(cfg)),
		"rds": reflect.ValueOf(rds.NewFromConfig(cfg)),
		"sts": reflect.ValueOf(sts.NewFromConfig(cfg)),
	}}
}

// Call calls the client's method.
func (d *SDK) Call(ctx context.Context, in, out any) error {
	service, op := operation(in)
	got := d.clients[service].MethodByName(op).Call([]reflect.Value{reflect.ValueOf(ctx), reflect.ValueOf(in)})
	if err, _ := got[1].Interface().(error); err != nil {
		return err
	}
	reflect.ValueOf(out).Elem().Set(got[0].Elem())
	return nil
}

// operation names the service and operation that an input struct belongs to.
func operation(in any) (service, op string) {
	t := reflect.TypeOf(in).Elem()
	pkg := t.PkgPath()
	return pkg[strings.LastIndex(pkg, "/")+1:], strings.TrimSuffix(t.Name(), "Input")
}

// CLI is a Driver that runs the aws command.
type CLI struct {
	Endpoint string
	Env      []string // the command's whole environment, credentials included
}

// Call runs aws with the input as JSON, and reads its JSON output.
func (d *CLI) Call(ctx context.Context, in, out any) error {
	service, op := operation(in)
	dir, err := os.MkdirTemp("", "borealis-aws-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	input := plain(reflect.ValueOf(in)).(map[string]any)
	args := []string{service, kebab(op), "--endpoint-url", d.Endpoint, "--output", "json"}
	for name, v := range input {
		// Versions 1 and 2 of the command read binary members differently, but for
		// those that come from files.
		if blob, ok := v.([]byte); ok {
			file := filepath.Join(dir, name)
			if err := os.WriteFile(file, blob, 0o600); err != nil {
				return err
			}
			delete(input, name)
			args = append(args, "--"+kebab(name), "fileb://"+file)
		}
	}
	text, err := json.Marshal(input)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "aws", append(args, "--cli-input-json", string(text))...)
	cmd.Env = d.Env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return cliError(err, stderr.String())
	}
	if stdout.Len() == 0 {
		return nil
	}
	var answer any
	if err := json.Unmarshal(stdout.Bytes(), &answer); err != nil {
		return err
	}
	text, err = json.Marshal(withTimes(answer, reflect.TypeOf(out)))
	if err != nil {
		return err
	}
	return json.Unmarshal(text, out)
}

var timeType = reflect.TypeFor[time.Time]()

// withTimes turns the numbers that the aws command prints for KMS's times into
// what encoding/json takes for a time, where t has one.
func withTimes(v any, t reflect.Type) any {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch v := v.(type) {
	case float64:
		if t == timeType {
			return time.UnixMilli(int64(v * 1000)).UTC()
		}
	case map[string]any:
		for name, member := range v {
			if f, ok := fieldNamed(t, name); ok {
				v[name] = withTimes(member, f)
			}
		}
	case []any:
		for i := range v {
			v[i] = withTimes(v[i], t.Elem())
		}
	}
	return v
}

// fieldNamed is the type of a struct's field or a map's values.
func fieldNamed(t reflect.Type, name string) (reflect.Type, bool) {
	switch t.Kind() {
	case reflect.Struct:
		f, ok := t.FieldByNameFunc(func(n string) bool { return strings.EqualFold(n, name) })
		return f.Type, ok
	case reflect.Map:
		return t.Elem(), true
	}
	return nil, false
}

var cliRefusal = regexp.MustCompile(`(?s)An error occurred \(([^)]+)\) when calling the \w+ operation(?: \([^)]*\))?:\s*(.*)`)

func cliError(err error, stderr string) error {
	if m := cliRefusal.FindStringSubmatch(stderr); m != nil {
		return &smithy.GenericAPIError{Code: m[1], Message: strings.TrimSpace(m[2])}
	}
	return fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr))
}

// plain is an input struct as JSON has it: what is not set is not there.
func plain(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return plain(v.Elem())
	case reflect.Struct:
		if t, ok := v.Interface().(time.Time); ok {
			return t.Format(time.RFC3339Nano)
		}
		m := map[string]any{}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && !v.Field(i).IsZero() {
				m[f.Name] = plain(v.Field(i))
			}
		}
		return m
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return v.Interface()
		}
		list := []any{}
		for i := range v.Len() {
			list = append(list, plain(v.Index(i)))
		}
		return list
	}
	return v.Interface()
}

// kebab is the aws command's name of an operation: CopyDBClusterSnapshot is
// copy-db-cluster-snapshot.
func kebab(op string) string {
	var b strings.Builder
	r := []rune(op)
	for i, c := range r {
		upper := unicode.IsUpper(c)
		if i > 0 && upper && (unicode.IsLower(r[i-1]) || i+1 < len(r) && unicode.IsLower(r[i+1])) {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}

// call is Driver.Call with the output returned.
func call[Out any](ctx context.Context, d Driver, in any) (*Out, error) {
	out := new(Out)
	if err := d.Call(ctx, in, out); err != nil {
		_, op := operation(in)
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	return out, nil
}

// refusal is the code and message of an answer that refuses; "" for others.
func refusal(err error) (code, message string) {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode(), api.ErrorMessage()
	}
	return "", ""
}
