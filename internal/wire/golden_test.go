package wire_test

import (
	"bytes"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"borealis/internal/wire"
)

// The SDK's modules bring a request of every operation with every member set,
// as it must look on the wire. It is decoded, and what came of it is given to
// the client, which must send the same again.
func TestGoldenRequests(t *testing.T) {
	for _, l := range loops() {
		t.Run(l.service.Name, func(t *testing.T) {
			seen := 0
			for op, body := range snapshots(t, l.service.Name, "request_snapshot", ".request.snap") {
				seen++
				inType, outType := l.types(op)
				in := reflect.New(inType.Elem()).Interface()
				if err := l.service.DecodeUnchecked(op, body, in); err != nil {
					t.Errorf("%s: %v", op, err)
					continue
				}
				l.answer = reflect.New(outType.Elem()).Interface()
				if _, err := l.call(op, in); err != nil {
					t.Errorf("%s: %v", op, err)
				}
				if d := cmp.Diff(parsed(t, l, body), parsed(t, l, l.body)); d != "" {
					t.Errorf("%s (-golden +ours):\n%s", op, d)
				}
			}
			if n := len(l.operations()); seen != n {
				t.Errorf("%d golden requests for %d operations", seen, n)
			}
		})
	}
}

// parsed is a request's body in a form that compares.
func parsed(t *testing.T, l *loop, body []byte) any {
	t.Helper()
	if l.service.Protocol == wire.JSON {
		var v any
		if err := json.Unmarshal(body, &v); err != nil {
			t.Errorf("%v in %s", err, body)
		}
		return v
	}
	v, err := url.ParseQuery(string(body))
	if err != nil {
		t.Errorf("%v in %s", err, body)
	}
	// The client derives it from an unexported field, which only it can set.
	v.Del("DestinationRegion")
	return v
}

// KMS's module brings answers too: they are decoded by the client and must come
// out of our encoder again.
func TestGoldenAnswers(t *testing.T) {
	for _, l := range loops()[:1] {
		for op, body := range snapshots(t, l.service.Name, "response_snapshot", ".response.snap") {
			inType, outType := l.types(op)
			if len(bytes.TrimSpace(body)) == 0 {
				if o, _ := l.service.Operation(op); !o.Empty {
					t.Errorf("%s has an output, and none in its golden answer", op)
				}
				continue
			}
			out := reflect.New(outType.Elem()).Interface()
			l.golden = body
			got, err := l.call(op, reflect.New(inType.Elem()).Interface())
			if err != nil {
				t.Errorf("%s: %v", op, err)
				continue
			}
			reflect.ValueOf(out).Elem().Set(reflect.ValueOf(got).Elem())
			_, text, err := l.service.Encode(op, "req-1", out)
			if err != nil {
				t.Errorf("%s: %v", op, err)
				continue
			}
			if len(text) == 0 { // an operation without output
				text = []byte("{}")
			}
			if d := cmp.Diff(parsed(t, l, body), parsed(t, l, text)); d != "" {
				t.Errorf("%s (-golden +ours):\n%s", op, d)
			}
		}
	}
}

// snapshots are the bodies of a module's snapshot files, by operation.
func snapshots(t *testing.T, service, folder, suffix string) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(moduleDir(t, service), folder, "*"+suffix))
	if err != nil || files == nil {
		t.Fatalf("no snapshots of %s: %v", service, err)
	}
	out := map[string][]byte{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		_, body, _ := bytes.Cut(text, []byte("\n\nContent-Type:"))
		if body == nil {
			body = text
		}
		_, body, _ = bytes.Cut(body, []byte("\n\n"))
		out[strings.TrimSuffix(filepath.Base(f), suffix)] = body
	}
	return out
}
