package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// benchStart starts servers, each in turn so that all see the same noise.
func benchStart(ctx context.Context, b *bench) error {
	ask, err := b.fill(ctx, "full", 1000)
	if err != nil {
		return fmt.Errorf("fill a server: %w", err)
	}
	bare := filepath.Join(b.dir, "bare")
	if _, err := command(ctx, "go", "build", "-o", bare, "./bench/bare"); err != nil {
		return err
	}
	health := func(url string) (*http.Request, error) {
		return http.NewRequest(http.MethodGet, url+"/_borealis/health", nil)
	}
	n := 0
	servers := []*startup{
		{name: "bare Go server", ask: health, command: func() []string { return []string{bare} }},
		{name: "borealis serve, empty directory, --init", ask: health, command: func() []string {
			n++
			return serveIn(b, filepath.Join(b.dir, fmt.Sprintf("empty%d", n)), true)
		}},
		{name: "borealis serve, initialized directory", ask: health, command: func() []string { return serveIn(b, filepath.Join(b.dir, "empty1"), false) }},
		{name: "borealis serve, 1,000 keys and snapshots", ask: ask, command: func() []string { return serveIn(b, filepath.Join(b.dir, "full"), false) }},
	}
	if moto, err := motoServer(ctx); err != nil {
		b.missing("moto_server", err)
	} else {
		servers = append(servers, &startup{name: "moto_server", ask: health, atPort: true, runs: 3, command: func() []string { return moto }})
	}
	for i := range b.starts {
		for _, s := range servers {
			if s.runs > 0 && i >= s.runs {
				continue
			}
			if err := s.measure(ctx); err != nil {
				return fmt.Errorf("start %s: %w", s.name, err)
			}
		}
	}
	tellStarts(b, servers)
	return nil
}

// tellStarts holds the figures against the limits.
func tellStarts(b *bench, servers []*startup) {
	limits := map[int]float64{1: 60, 3: 200}
	for i, s := range servers {
		name := s.name + ": exec to first answer, median"
		if limit, ok := limits[i]; ok {
			b.atMost(name, milliseconds(median(s.took)), "ms", limit)
		} else {
			b.say(name, milliseconds(median(s.took)), "ms")
		}
		b.say(s.name+": the fastest", milliseconds(slices.Min(s.took)), "ms")
		b.say(s.name+": processor time until then, median", milliseconds(median(s.cpu)), "ms")
		if i == 1 {
			b.atMost(s.name+": resident then, median", median(s.resident), "MiB", 30)
		} else {
			b.say(s.name+": resident then, median", median(s.resident), "MiB")
		}
	}
	b.say("borealis serve, empty directory, to bare Go server", float64(median(servers[1].took))/float64(median(servers[0].took)), "×")
}

// serveIn is the command that serves dir.
func serveIn(b *bench, dir string, init bool) []string {
	args := []string{b.binary, "serve", "--data", filepath.Join(dir, "data"), "--root-key", filepath.Join(dir, "root.key"), "--listen", "127.0.0.1:0"}
	if init {
		args = append(args, "--init")
	}
	return args
}

// A startup is a way to start a server, and how that went.
type startup struct {
	name    string
	command func() []string
	ask     func(url string) (*http.Request, error) // the first request
	atPort  bool                                    // it is told a port by "-p", and does not print its URL
	runs    int                                     // how often at most, if not 0

	took, cpu []time.Duration
	resident  []float64 // MiB
}

// measure starts the server, waits for its first answer, and stops it.
func (s *startup) measure(ctx context.Context) (err error) {
	args, url := s.command(), ""
	if s.atPort {
		port, err := freePort()
		if err != nil {
			return err
		}
		url = fmt.Sprintf("http://127.0.0.1:%d", port)
		args = append(args[:len(args):len(args)], "-p", fmt.Sprint(port))
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait() // what it ends with does not matter any more
	}()
	if !s.atPort {
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			return fmt.Errorf("it ended without a word: %w", err)
		}
		url = strings.TrimSpace(line[strings.LastIndex(strings.TrimSpace(line), " ")+1:])
	}
	if err := s.first(ctx, url); err != nil {
		return err
	}
	s.took = append(s.took, time.Since(began))
	m, err := memoryOf(cmd.Process.Pid)
	if err != nil {
		return err
	}
	p, err := readProcess(cmd.Process.Pid)
	s.resident, s.cpu = append(s.resident, float64(m.rss)/mib), append(s.cpu, p.cpu)
	return err
}

// first asks until somebody answers.
func (s *startup) first(ctx context.Context, url string) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		err := s.answer(ctx, client, url)
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// answer asks once.
func (s *startup) answer(ctx context.Context, client *http.Client, url string) error {
	req, err := s.ask(url)
	if err != nil {
		return err
	}
	resp, err := client.Do(req.WithContext(ctx))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && !s.atPort && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return err
}

// freePort is a port that nobody listens on just now, from the kernel.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// motoServer is the command of moto_server, without a version manager's wrapper
// if there is one.
func motoServer(ctx context.Context) ([]string, error) {
	path, err := exec.LookPath("moto_server")
	if err != nil {
		return nil, err
	}
	if strings.Contains(path, "/shims/") {
		if real, err := exec.CommandContext(ctx, "pyenv", "which", "moto_server").Output(); err == nil {
			path = strings.TrimSpace(string(real))
		}
	}
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	return []string{path, "-H", "127.0.0.1"}, nil
}
