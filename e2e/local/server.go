// Package local runs the real borealis program on this machine, as an operator
// would: it starts `borealis serve`, makes accounts with the borealis command,
// and gives tests and the demo AWS profiles of their own.
package local

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// Region is the Region that profiles have.
const Region = "us-east-1"

// A Server is a borealis serve, with everything it needs below one directory.
type Server struct {
	Binary string // the borealis program
	Dir    string // absolute; others must be able to traverse it, for PostgreSQL runs as another user

	Endpoint string // http://127.0.0.1:port, once started
	cmd      *exec.Cmd
	exited   chan error
}

// Data is the server's data directory.
func (s *Server) Data() string { return filepath.Join(s.Dir, "data") }

// RootKey is the file of the server's root key.
func (s *Server) RootKey() string { return filepath.Join(s.Dir, "root.key") }

// CAFile is the certificate that vouches for the server's databases.
func (s *Server) CAFile() string { return filepath.Join(s.Data(), "engines", "tls", "ca.crt") }

// LogFile is what the server writes its log to.
func (s *Server) LogFile() string { return filepath.Join(s.Dir, "serve.log") }

// Env is the environment of commands that use the server: this process's own,
// with the AWS files of Dir and nothing else of AWS's.
func (s *Server) Env() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "AWS_") {
			env = append(env, v)
		}
	}
	return append(env, "AWS_CONFIG_FILE="+s.configFile(), "AWS_SHARED_CREDENTIALS_FILE="+s.credentialsFile(),
		"AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=")
}

func (s *Server) configFile() string      { return filepath.Join(s.Dir, "aws", "config") }
func (s *Server) credentialsFile() string { return filepath.Join(s.Dir, "aws", "credentials") }

func (s *Server) serveArgs(listen string, more []string) []string {
	return append([]string{"serve", "--init", "--data", s.Data(), "--root-key", s.RootKey(), "--listen", listen}, more...)
}

// Start starts the server on listen ("127.0.0.1:0" for a port that the kernel
// gives) and returns when it answers.
func (s *Server) Start(ctx context.Context, listen string, more ...string) (err error) {
	defer func() {
		if err != nil {
			s.cmd = nil
		}
	}()
	s.cmd = exec.Command(s.Binary, s.serveArgs(listen, more)...)
	s.cmd.Env = s.Env()
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C at the demo is not one at the server
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(s.LogFile(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	s.cmd.Stderr = log // the file itself: the server may outlive this process
	if err := s.cmd.Start(); err != nil {
		return err
	}
	first := make(chan string, 1)
	s.exited = make(chan error, 1)
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n')
		first <- line
		_, _ = io.Copy(io.Discard, out)
		s.exited <- s.cmd.Wait()
	}()
	select {
	case line := <-first:
		f := strings.Fields(line)
		if len(f) == 0 {
			err := <-s.exited
			said, _ := os.ReadFile(s.LogFile())
			return fmt.Errorf("borealis serve: %w: %s", err, said)
		}
		s.Endpoint = f[len(f)-1]
		return nil
	case <-ctx.Done():
		_ = s.cmd.Process.Kill() // it may have ended by itself
		<-s.exited               //nolint:errcheck // it was killed
		return context.Cause(ctx)
	}
}

// Stop tells the server to end, and waits for it.
func (s *Server) Stop() error { return s.end(syscall.SIGTERM) }

// Kill kills the server as a power cut would, and waits until it is gone.
func (s *Server) Kill() { _ = s.end(syscall.SIGKILL) }

func (s *Server) end(sig os.Signal) error {
	if s.cmd == nil {
		return nil
	}
	if err := s.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	defer func() { s.cmd = nil }()
	select {
	case err := <-s.exited:
		return err
	case <-time.After(time.Minute):
		_ = s.cmd.Process.Kill() // it may have ended by itself
		<-s.exited               //nolint:errcheck // it was killed
		return errors.New("borealis serve did not end within a minute and was killed")
	}
}

// Running reports whether the server was started and neither stopped nor killed.
func (s *Server) Running() bool { return s.cmd != nil }

// PID is the server's process id.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Run runs the borealis command and returns its standard output. If show is not
// nil, all that the command prints goes there instead, as it comes.
func (s *Server) Run(ctx context.Context, show io.Writer, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.Binary, args...)
	cmd.Env = s.Env()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if show != nil {
		cmd.Stdout, cmd.Stderr = show, show // one pipe, so that the order stays
	}
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("borealis %s: %w %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// An AccessKey is what signs requests.
type AccessKey struct {
	AccountID       string `json:"account_id"`
	AccessKeyID     string `json:"access_key_id"`
	SecretAccessKey string `json:"secret_access_key"`
}

// CreateAccount makes an account with the borealis command and returns its root
// user's key; the key is also an AWS profile.
func (s *Server) CreateAccount(ctx context.Context, id, name, profile string) (AccessKey, error) {
	out, err := s.Run(ctx, nil, "account", "create", "--data", s.Data(), "--id", id, "--name", name, "--profile", profile, "--region", Region, "--output", "json")
	if err != nil {
		return AccessKey{}, err
	}
	var k AccessKey
	return k, json.Unmarshal([]byte(out), &k)
}

// AddProfile makes an AWS profile of a key, in Dir's own AWS files.
func (s *Server) AddProfile(profile, accessKeyID, secret string) error {
	if err := os.MkdirAll(filepath.Dir(s.configFile()), 0o700); err != nil {
		return err
	}
	return errors.Join(
		appendTo(s.configFile(), fmt.Sprintf("[profile %s]\nregion = %s\nendpoint_url = %s\n", profile, Region, s.Endpoint)),
		appendTo(s.credentialsFile(), fmt.Sprintf("[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\n", profile, accessKeyID, secret)))
}

func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// httpClient is shared, so that those who poll do not leave a connection for
// each call.
var httpClient = awshttp.NewBuildableClient()

// Config is an SDK configuration for a key. Its clients try each call once, so
// that what a test sees is what the server said.
func (s *Server) Config(ctx context.Context, accessKeyID, secret, token string) (aws.Config, error) {
	cfg, err := config.LoadDefaultConfig(ctx,
		config.WithRegion(Region), config.WithBaseEndpoint(s.Endpoint), config.WithRetryMaxAttempts(1),
		config.WithSharedConfigFiles([]string{}), config.WithSharedCredentialsFiles([]string{}),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(accessKeyID, secret, token)))
	cfg.HTTPClient = plainBodies{httpClient}
	return cfg, err
}

// plainBodies is an HTTP client that hides the WriteTo method of request bodies:
// the SDK's makes net/http cut off long answers that come very fast (package
// share tells how).
type plainBodies struct{ aws.HTTPClient }

func (c plainBodies) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body = struct {
			io.Reader
			io.Closer
		}{r.Body, r.Body}
	}
	return c.HTTPClient.Do(r)
}
