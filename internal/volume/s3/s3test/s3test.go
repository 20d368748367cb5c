// Package s3test runs a real S3 server, and a proxy in front of it that fails on
// command. It is for tests only.
package s3test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// What signs requests to a Server: whoever has no other key is its root user.
const (
	AccessKeyID     = "borealistest"
	SecretAccessKey = "borealis-test-secret"
	Region          = "us-east-1"
)

// A Server is an S3 server on a loopback port, gone with its test.
type Server struct {
	URL  string
	root string
}

// Start starts versitygw on an empty directory. The test is skipped without it.
func Start(t testing.TB) *Server {
	t.Helper()
	program := find(t)
	s := &Server{root: t.TempDir()}
	address := freeAddress(t)
	cmd := exec.Command(program, "--access", AccessKeyID, "--secret", SecretAccessKey, "--region", Region,
		"--port", address, "--quiet", "--keep-alive", "posix", s.root)
	if err := cmd.Start(); err != nil {
		t.Fatalf("start versitygw: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended by itself
		_ = cmd.Wait()
	})
	s.URL = "http://" + address
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); ; <-tick.C {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
			return s
		}
		if time.Now().After(end) {
			t.Fatalf("versitygw does not answer: %v", err)
		}
	}
}

// find is the path of versitygw, where scripts/programs puts it or on PATH.
func find(t testing.TB) string {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	path := filepath.Join(filepath.Dir(file), "../../../../.tools/programs/bin/versitygw")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	path, err := exec.LookPath("versitygw")
	if err != nil {
		t.Skip("SKIPPED: versitygw is not installed (make programs), so no S3 server is tried")
	}
	return path
}

// freeAddress is a loopback address that nothing listened on a moment ago: the
// server cannot be asked which one the kernel gave it.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Bucket makes a bucket and returns its name.
func (s *Server) Bucket(t testing.TB, name string) string {
	t.Helper()
	// A directory is a bucket. The server's own request would be no less ours.
	if err := os.Mkdir(filepath.Join(s.root, name), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	return name
}

// Location is the URL of a prefix, as borealis serve --volumes takes it.
func (s *Server) Location(bucket, prefix string) string {
	return fmt.Sprintf("s3://%s/%s?endpoint=%s&region=%s", bucket, prefix, s.URL, Region)
}

// File is where the server keeps an object.
func (s *Server) File(bucket, key string) string {
	return filepath.Join(s.root, bucket, filepath.FromSlash(key))
}

// Env are the settings of a process that uses the server.
func Env() []string {
	return []string{"AWS_ACCESS_KEY_ID=" + AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + SecretAccessKey}
}

// Setenv makes them those of the test's process.
func Setenv(t *testing.T) {
	t.Helper()
	none := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": AccessKeyID, "AWS_SECRET_ACCESS_KEY": SecretAccessKey, "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_S3": "",
		"AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none, "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
}
