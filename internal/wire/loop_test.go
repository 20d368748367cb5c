package wire_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"borealis/internal/wire"
)

// A loop is an SDK client whose HTTP transport is the codec: what the client
// sends is decoded, and answered with what the test wants.
type loop struct {
	service *wire.Service
	client  reflect.Value

	decoded  any             // the last input as it arrived
	body     []byte          // as it was sent
	answer   any             // an output, or
	refusal  smithy.APIError // an error to answer with, or
	golden   []byte          // a body
	status   int             // of the last answer
	operator string          // the last operation's name
}

// loops are a client of every service.
func loops() []*loop {
	k, r, i, s := &loop{service: wire.KMS}, &loop{service: wire.RDS}, &loop{service: wire.IAM}, &loop{service: wire.STS}
	o := &loop{service: wire.Organizations}
	cfg := func(l *loop) aws.Config {
		return aws.Config{
			Region:      "eu-west-1",
			Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
			HTTPClient:  l,
			Retryer:     func() aws.Retryer { return aws.NopRetryer{} },
			APIOptions: []func(*middleware.Stack) error{func(s *middleware.Stack) error {
				_, _ = s.Initialize.Remove("OperationInputValidation") // what is sent is ours to choose
				return nil
			}},
		}
	}
	k.client = reflect.ValueOf(kms.NewFromConfig(cfg(k)))
	r.client = reflect.ValueOf(rds.NewFromConfig(cfg(r)))
	i.client = reflect.ValueOf(iam.NewFromConfig(cfg(i)))
	s.client = reflect.ValueOf(sts.NewFromConfig(cfg(s)))
	o.client = reflect.ValueOf(organizations.NewFromConfig(cfg(o)))
	return []*loop{k, r, i, s, o}
}

// operations are the client's methods that are operations.
func (l *loop) operations() []string {
	var names []string
	for i := range l.client.NumMethod() {
		if m := l.client.Method(i).Type(); m.NumIn() == 3 && m.NumOut() == 2 && strings.HasSuffix(m.In(1).String(), "Input") {
			names = append(names, l.client.Type().Method(i).Name)
		}
	}
	return names
}

// types are the pointers' types of an operation's input and output.
func (l *loop) types(op string) (in, out reflect.Type) {
	m := l.client.MethodByName(op).Type()
	return m.In(1), m.Out(0)
}

// call makes the client call op with in.
func (l *loop) call(op string, in any) (out any, err error) {
	got := l.client.MethodByName(op).Call([]reflect.Value{reflect.ValueOf(context.Background()), reflect.ValueOf(in)})
	err, _ = got[1].Interface().(error)
	return got[0].Interface(), err
}

// Do is the transport.
func (l *loop) Do(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	l.body = body
	l.operator = wire.Action(body)
	if l.service.Protocol == wire.JSON {
		l.operator = strings.TrimPrefix(r.Header.Get("X-Amz-Target"), l.service.Target+".")
	}
	in, _ := l.types(l.operator)
	l.decoded = reflect.New(in.Elem()).Interface()
	if err := l.service.DecodeUnchecked(l.operator, body, l.decoded); err != nil {
		return nil, fmt.Errorf("decode %q: %w", body, err)
	}
	l.status = 200
	contentType, text := "", l.golden
	switch {
	case l.refusal != nil:
		l.status, contentType, text = l.service.EncodeError("req-1", l.refusal)
	case l.golden == nil:
		if contentType, text, err = l.service.Encode(l.operator, "req-1", l.answer); err != nil {
			return nil, err
		}
	}
	return &http.Response{StatusCode: l.status, Header: http.Header{"Content-Type": {contentType}}, Body: io.NopCloser(bytes.NewReader(text)), Request: r}, nil
}

// A filler makes random values. density is how many members are present, of 10.
type filler struct {
	*rand.Rand
	density int
	runes   []rune
	depth   int // of lists; there are structures that hold lists of their own kind
}

var (
	textRunes = []rune("abcXYZ019 _-./:<>&\"'+%=;\r\n\täß€\u2028\uFFFD😀")
	jsonRunes = append(textRunes, 0, 1, '\\', 0x7f, 0xFFFE)
)

func (f filler) fill(v reflect.Value) {
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.UnixMilli(f.Int64N(4e12) - 1e12).UTC()))
		return
	case []byte:
		b := make([]byte, f.IntN(40))
		for i := range b {
			b[i] = byte(f.Uint32())
		}
		v.SetBytes(b)
		return
	}
	switch v.Kind() {
	case reflect.String:
		f.text(v)
	case reflect.Bool:
		v.SetBool(f.IntN(2) == 0)
	case reflect.Int32:
		v.SetInt(int64(int32(f.Uint32())))
	case reflect.Int64:
		v.SetInt(int64(f.Uint64()))
	case reflect.Float64:
		v.SetFloat(f.NormFloat64() * 1e6)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(v.Elem())
	case reflect.Slice:
		if f.depth++; f.depth > 5 {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), f.count(), 12))
		for i := range v.Len() {
			f.fill(v.Index(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range f.count() {
			k, e := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			f.fill(k)
			f.fill(e)
			v.SetMapIndex(k, e)
		}
	case reflect.Struct:
		f.structure(v)
	case reflect.Interface:
		f.union(v)
	}
}

// count is the length of a list: sometimes none, sometimes more than nine,
// which sort differently as text.
func (f filler) count() int {
	if f.density == 10 {
		return 1 + f.IntN(3)
	}
	return []int{0, 0, 1, 2, 3, 11}[f.IntN(6)]
}

func (f filler) structure(v reflect.Value) {
	for i := range v.NumField() {
		sf := v.Type().Field(i)
		if sf.IsExported() && !sf.Anonymous && !clientOnly(v.Type(), sf) && f.IntN(10) < f.density {
			f.fill(v.Field(i))
		}
	}
}

// clientOnly reports whether a field is never on the wire: what the client
// notes about an answer, and the Region for which it makes a presigned URL.
func clientOnly(t reflect.Type, f reflect.StructField) bool {
	return f.Name == "ResultMetadata" || f.Name == "SourceRegion" && strings.HasSuffix(t.Name(), "Input")
}

func (f filler) text(v reflect.Value) {
	if values := v.MethodByName("Values"); values.IsValid() { // an enum
		list := values.Call(nil)[0]
		v.Set(list.Index(f.IntN(list.Len())))
		return
	}
	s := make([]rune, f.IntN(20))
	for i := range s {
		s[i] = f.runes[f.IntN(len(f.runes))]
	}
	v.SetString(string(s))
}

// union sets a random member of a union, which is found among the SDK's types
// by their names: a union that the codec does not know fails here.
func (f filler) union(v reflect.Value) {
	members := unionMembers[v.Type()]
	if members == nil {
		panic("unknown union " + v.Type().String())
	}
	m := reflect.New(members[f.IntN(len(members))])
	f.fill(m.Elem().FieldByName("Value"))
	v.Set(m)
}

// exactly compares what was sent with what arrived. Absent and empty differ.
var exactly = cmp.Options{
	cmpopts.EquateApproxTime(time.Millisecond), // which the client loses now and then
	cmp.FilterPath(func(p cmp.Path) bool {
		f, ok := p.Last().(cmp.StructField)
		return ok && (f.Name() == "ResultMetadata" || f.Name()[0] >= 'a')
	}, cmp.Ignore()),
}

// moduleDir is where the sources of the SDK's module of a service are.
func moduleDir(t *testing.T, service string) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/aws/aws-sdk-go-v2/service/"+service).Output()
	if err != nil {
		t.Skipf("SKIPPED: the SDK's sources are not here: %v", err)
	}
	return strings.TrimSpace(string(out))
}
