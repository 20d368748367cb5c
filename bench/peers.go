package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
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

	"borealis/e2e/local"
)

// A running is a server of somebody else's, running.
type running struct {
	cmd *exec.Cmd
	url string
}

func (p *running) pid() int { return p.cmd.Process.Pid }

func (p *running) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Wait() // what it ends with does not matter any more
}

// startPeer starts a server. Without a url it prints one as the last word of its
// first line.
func startPeer(ctx context.Context, args, env []string, url string) (*running, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	p := &running{cmd, url}
	if url != "" {
		return p, cmd.Start()
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("%s ended without a word: %w", args[0], err)
	}
	p.url = line[strings.LastIndexByte(strings.TrimSpace(line), ' ')+1 : len(line)-1]
	return p, nil
}

// peers starts those that are on this machine, and says which are not. The
// function stops them.
func (b *bench) peers(ctx context.Context, k local.AccessKey) ([]*target, func()) {
	var targets []*target
	var stops []func()
	for _, p := range []struct {
		name  string
		start func() (*target, func(), error)
	}{
		{bareName, func() (*target, func(), error) { return b.bareTarget(ctx, k) }},
		{"moto_server", func() (*target, func(), error) { return b.motoTarget(ctx, k) }},
		{"local-kms", func() (*target, func(), error) { return b.emulator(ctx, "local-kms", k) }},
		{"kumo", func() (*target, func(), error) { return b.emulator(ctx, "kumo", k) }},
		{"gopherstack", func() (*target, func(), error) { return b.emulator(ctx, "gopherstack", k) }},
		{"bao", func() (*target, func(), error) { return b.transit(ctx) }},
	} {
		t, stop, err := p.start()
		if err != nil {
			b.missing(p.name, err)
			continue
		}
		targets, stops = append(targets, t), append(stops, stop)
	}
	return targets, func() {
		for _, stop := range stops {
			stop()
		}
	}
}

func (b *bench) motoTarget(ctx context.Context, k local.AccessKey) (*target, func(), error) {
	args, err := motoServer(ctx)
	if err != nil {
		return nil, nil, err
	}
	return b.speaksAWS(ctx, "moto_server", k, func(port string) ([]string, []string) { return append(args, "-p", port), nil })
}

// emulator starts one that is told its port in the environment.
func (b *bench) emulator(ctx context.Context, name string, k local.AccessKey) (*target, func(), error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, nil, err
	}
	return b.speaksAWS(ctx, name, k, func(port string) ([]string, []string) {
		return []string{path}, []string{"PORT=" + port, "KUMO_PORT=" + port, "KMS_DATA_PATH=" + filepath.Join(b.dir, name)}
	})
}

func (b *bench) speaksAWS(ctx context.Context, name string, k local.AccessKey, command func(port string) (args, env []string)) (*target, func(), error) {
	port, err := freePort()
	if err != nil {
		return nil, nil, err
	}
	args, env := command(fmt.Sprint(port))
	p, err := startPeer(ctx, args, env, fmt.Sprintf("http://127.0.0.1:%d", port))
	if err != nil {
		return nil, nil, err
	}
	t := &target{name: name, pid: p.pid()}
	if err := b.prepare(ctx, t, p.url, k, k); err != nil {
		p.stop()
		return nil, nil, err
	}
	return t, p.stop, nil
}

// transit starts OpenBao with its transit engine, which does what KMS does in
// requests of its own.
func (b *bench) transit(ctx context.Context) (*target, func(), error) {
	path, err := exec.LookPath("bao")
	if err != nil {
		return nil, nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, nil, err
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	p, err := startPeer(ctx, []string{path, "server", "-dev", "-dev-root-token-id=" + baoToken, "-dev-listen-address=" + address}, nil, "http://"+address)
	if err != nil {
		return nil, nil, err
	}
	t := &target{name: "bao", pid: p.pid(), address: address}
	if t.requests, err = transitRequests(ctx, p.url); err != nil {
		p.stop()
		return nil, nil, err
	}
	return t, p.stop, nil
}

const baoToken = "bench"

func transitRequests(ctx context.Context, url string) (map[string][][]byte, error) {
	err := poll(ctx, func() (bool, error) {
		_, err := ask(ctx, url+"/v1/sys/mounts/transit", map[string]string{"type": "transit"})
		if errors.Is(err, syscall.ECONNREFUSED) {
			return false, nil
		}
		return true, err
	})
	if err != nil {
		return nil, err
	}
	if _, err := ask(ctx, url+"/v1/transit/keys/bench", map[string]any{}); err != nil {
		return nil, err
	}
	plaintext := map[string]string{"plaintext": base64.StdEncoding.EncodeToString(make([]byte, 32))}
	text, err := ask(ctx, url+"/v1/transit/encrypt/bench", plaintext)
	if err != nil {
		return nil, err
	}
	var sealed struct{ Data struct{ Ciphertext string } }
	if err := json.Unmarshal(text, &sealed); err != nil {
		return nil, err
	}
	requests := map[string][][]byte{}
	for op, r := range map[string]struct {
		path string
		in   any
	}{
		"GenerateDataKey": {"/v1/transit/datakey/plaintext/bench", map[string]any{}},
		"Encrypt":         {"/v1/transit/encrypt/bench", plaintext},
		"Decrypt":         {"/v1/transit/decrypt/bench", map[string]string{"ciphertext": sealed.Data.Ciphertext}},
	} {
		req, err := baoRequest(ctx, url+r.path, r.in)
		if err != nil {
			return nil, err
		}
		wire, err := wireBytes(req)
		if err != nil {
			return nil, err
		}
		requests[op] = [][]byte{wire}
	}
	return requests, nil
}

func baoRequest(ctx context.Context, url string, in any) (*http.Request, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err == nil {
		req.Header.Set("X-Vault-Token", baoToken)
	}
	return req, err
}

// ask asks bao, and returns its answer.
func ask(ctx context.Context, url string, in any) ([]byte, error) {
	req, err := baoRequest(ctx, url, in)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s: %s", resp.Status, text)
	}
	return text, err
}
