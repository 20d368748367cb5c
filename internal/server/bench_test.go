package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// usePolicy gives a user what it needs and has a little more in it to evaluate.
const usePolicy = `{"Version":"2012-10-17","Statement":[
	{"Sid":"See","Effect":"Allow","Action":["kms:DescribeKey","kms:List*"],"Resource":"*"},
	{"Sid":"Use","Effect":"Allow","Action":["kms:GenerateDataKey*","kms:Encrypt","kms:Decrypt"],"Resource":"arn:aws:kms:us-east-1:111122223333:key/*",
	 "Condition":{"StringEquals":{"kms:EncryptionContext:app":"bench"}}},
	{"Sid":"Never","Effect":"Deny","Action":"kms:ScheduleKeyDeletion","Resource":"*"}]}`

// BenchmarkRequest is the whole way of a request through a server, from its
// headers to its answer, without the connection.
func BenchmarkRequest(b *testing.B) {
	s, root := benchServer(b)
	const user = "UserName=loader&Version=2010-05-08"
	s.ask(b, root, "iam", "", "Action=CreateUser&"+user)
	s.ask(b, root, "iam", "", "Action=PutUserPolicy&PolicyName=use&PolicyDocument="+url.QueryEscape(usePolicy)+"&"+user)
	key := accessKey(b, s.ask(b, root, "iam", "", "Action=CreateAccessKey&"+user))
	var made struct {
		KeyMetadata struct {
			ID string `json:"KeyId"`
		}
	}
	decode(b, s.ask(b, root, "kms", "CreateKey", "{}"), &made)
	id := made.KeyMetadata.ID
	in := map[string]any{"KeyId": id, "KeySpec": "AES_256", "EncryptionContext": map[string]string{"app": "bench", "row": "7"}}
	var dataKey struct{ CiphertextBlob []byte }
	decode(b, s.ask(b, key, "kms", "GenerateDataKey", marshal(b, in)), &dataKey)
	for _, c := range []struct {
		op string
		in map[string]any
	}{
		{"GenerateDataKey", in},
		{"Encrypt", map[string]any{"KeyId": id, "Plaintext": make([]byte, 32), "EncryptionContext": in["EncryptionContext"]}},
		{"Decrypt", map[string]any{"CiphertextBlob": dataKey.CiphertextBlob, "EncryptionContext": in["EncryptionContext"]}},
		{"DescribeKey", map[string]any{"KeyId": id}},
	} {
		b.Run(c.op, func(b *testing.B) {
			r, body := s.request(b, key, "kms", c.op, marshal(b, c.in))
			w := discard{h: http.Header{}}
			b.ReportAllocs()
			before := processorTime(b)
			for b.Loop() {
				clear(w.h)
				body.Seek(0, io.SeekStart)
				s.gateway.ServeHTTP(&w, r)
				if w.status != http.StatusOK {
					b.Fatal(w.status)
				}
			}
			b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

// processorTime is what this process has used, which tells more than a clock on
// a machine that does something else too.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// A benched is a server with an account, asked without a connection.
type benched struct{ *Server }

func benchServer(b *testing.B) (benched, Account) {
	dir := b.TempDir()
	s, err := Open(b.Context(), Config{
		Data: filepath.Join(dir, "data"), RootKey: filepath.Join(dir, "root.key"), Init: true, PostgresBin: dir,
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	root, err := s.CreateAccount(b.Context(), NewAccount{ID: "111122223333", Name: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	return benched{s}, root
}

// request is a signed request as net/http hands it to a handler.
func (s benched) request(b *testing.B, k Account, service, op, text string) (*http.Request, *bytes.Reader) {
	body := bytes.NewReader([]byte(text))
	r, err := http.NewRequestWithContext(context.WithoutCancel(b.Context()), http.MethodPost, "http://127.0.0.1/", body)
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("User-Agent", "bench")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if op != "" {
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		r.Header.Set("X-Amz-Target", "TrentService."+op)
	}
	sum := sha256.Sum256([]byte(text))
	cred := aws.Credentials{AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey}
	if err := v4.NewSigner().SignHTTP(b.Context(), cred, r, hex.EncodeToString(sum[:]), service, "us-east-1", time.Now()); err != nil {
		b.Fatal(err)
	}
	r.RemoteAddr, r.RequestURI = "127.0.0.1:40000", "/"
	return r, body
}

// ask is the answer to one request, which must be a success.
func (s benched) ask(b *testing.B, k Account, service, op, text string) []byte {
	r, _ := s.request(b, k, service, op, text)
	w := discard{h: http.Header{}}
	s.gateway.ServeHTTP(&w, r)
	if w.status != http.StatusOK {
		b.Fatalf("%s%s: %d %s", op, text, w.status, w.body)
	}
	return w.body
}

// A discard remembers the last answer.
type discard struct {
	h      http.Header
	status int
	body   []byte
}

func (d *discard) Header() http.Header  { return d.h }
func (d *discard) WriteHeader(code int) { d.status = code }
func (d *discard) Write(p []byte) (int, error) {
	d.body = append(d.body[:0], p...)
	return len(p), nil
}

// accessKey reads the key in an answer of CreateAccessKey.
func accessKey(b *testing.B, text []byte) Account {
	var a struct {
		Key struct {
			ID     string `xml:"AccessKeyId"`
			Secret string `xml:"SecretAccessKey"`
		} `xml:"CreateAccessKeyResult>AccessKey"`
	}
	if err := xml.Unmarshal(text, &a); err != nil {
		b.Fatalf("%s: %v", text, err)
	}
	return Account{AccessKeyID: a.Key.ID, SecretAccessKey: a.Key.Secret}
}

func marshal(b *testing.B, v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		b.Fatal(err)
	}
	return string(text)
}

func decode(b *testing.B, text []byte, into any) {
	if err := json.Unmarshal(text, into); err != nil {
		b.Fatalf("%s: %v", text, err)
	}
}
