package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"borealis/e2e/local"
)

// What is measured of each server.
var (
	operations    = []string{"GenerateDataKey", "Decrypt", "Encrypt", "DescribeKey", "Sign"}
	symmetric     = []string{"GenerateDataKey", "Decrypt", "Encrypt", "DescribeKey"}
	concurrencies = []int{1, 8, 64}
)

// rounds is how often each server is loaded, in turn with the others.
const rounds = 3

// A load is what came of loading one server in one way: medians over the rounds.
type load struct {
	Server      string  `json:"server"`
	Operation   string  `json:"operation"`
	Concurrency int     `json:"concurrency"`
	Rate        float64 `json:"rate"`         // requests per second
	P50         float64 `json:"p50_ms"`       // of one request
	P99         float64 `json:"p99_ms"`       //
	CPU         float64 `json:"processor_us"` // of the server, for one request
}

// benchKMS loads borealis and its peers in turn with the same client.
func benchKMS(ctx context.Context, b *bench) (err error) {
	s, root, err := b.server(ctx, "kms")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	ours, k, err := b.ourTarget(ctx, s, root)
	if err != nil {
		return err
	}
	targets := []*target{ours}
	peers, stop := b.peers(ctx, k)
	defer stop()
	targets = append(targets, peers...)
	for _, op := range operations {
		if !b.operations.MatchString(op) {
			continue
		}
		for _, n := range concurrencies {
			if err := b.compare(ctx, targets, op, n); err != nil {
				return err
			}
		}
	}
	b.tellLimits()
	return nil
}

// A target is a server under load.
type target struct {
	name     string
	pid      int
	address  string
	requests map[string][][]byte // by operation, each as it goes over the wire
}

// compare loads all targets that know an operation, in turn.
func (b *bench) compare(ctx context.Context, targets []*target, op string, concurrency int) error {
	found := map[*target][]load{}
	for range rounds {
		for _, t := range targets {
			if t.requests[op] == nil {
				continue
			}
			l, err := t.measure(ctx, op, concurrency, b.load)
			if err != nil {
				return fmt.Errorf("load %s with %s: %w", t.name, op, err)
			}
			found[t] = append(found[t], l)
		}
	}
	for _, t := range targets {
		if found[t] != nil {
			b.Loads = append(b.Loads, middle(found[t]))
		}
	}
	return nil
}

// measure loads the target once.
func (t *target) measure(ctx context.Context, op string, concurrency int, long time.Duration) (load, error) {
	if _, err := drive(ctx, t.address, t.requests[op], concurrency, long/4); err != nil { // warm up
		return load{}, err
	}
	before, err := readProcess(t.pid)
	if err != nil {
		return load{}, err
	}
	s, err := drive(ctx, t.address, t.requests[op], concurrency, long)
	if err != nil {
		return load{}, err
	}
	after, err := readProcess(t.pid)
	n := float64(len(s.took))
	return load{
		Server: t.name, Operation: op, Concurrency: concurrency, Rate: n / s.elapsed.Seconds(),
		P50: quantile(s.took, 0.50), P99: quantile(s.took, 0.99), CPU: 1000 * milliseconds(after.cpu-before.cpu) / n,
	}, err
}

// middle is the median of each number.
func middle(all []load) load {
	of := func(f func(load) float64) float64 {
		values := make([]float64, len(all))
		for i, l := range all {
			values[i] = f(l)
		}
		return median(values)
	}
	m := all[0]
	m.Rate = of(func(l load) float64 { return l.Rate })
	m.P50, m.P99 = of(func(l load) float64 { return l.P50 }), of(func(l load) float64 { return l.P99 })
	m.CPU = of(func(l load) float64 { return l.CPU })
	return m
}

// find is what came of loading a server in one way.
func (b *bench) find(server, op string, concurrency int) (load, bool) {
	i := slices.IndexFunc(b.Loads, func(l load) bool {
		return l.Server == server && l.Operation == op && l.Concurrency == concurrency
	})
	if i < 0 {
		return load{}, false
	}
	return b.Loads[i], true
}

// tellLimits holds the loads against what is asked of them.
func (b *bench) tellLimits() {
	for _, op := range symmetric {
		for _, n := range concurrencies {
			ours, ok := b.find(ourName, op, n)
			if !ok {
				continue
			}
			name := fmt.Sprintf("%s, %d at once", op, n)
			b.atMost(name+": processor time of a request", ours.CPU, "µs", 40)
			if n == 1 {
				b.atMost(name+": p50", 1000*ours.P50, "µs", 60)
			}
			if bare, ok := b.find(bareName, op, n); ok {
				b.atLeast(name+": rate to the bare server's", ours.Rate/bare.Rate, "×", 0.7)
			}
			if moto, ok := b.find("moto_server", op, n); ok {
				b.atLeast(name+": rate to moto_server's", ours.Rate/moto.Rate, "×", 40)
			}
		}
	}
}

// userPolicy gives a user what it needs and has a little more in it to evaluate.
const userPolicy = `{"Version":"2012-10-17","Statement":[
	{"Sid":"See","Effect":"Allow","Action":["kms:DescribeKey","kms:List*"],"Resource":"*"},
	{"Sid":"Use","Effect":"Allow","Action":["kms:GenerateDataKey*","kms:Encrypt","kms:Decrypt"],"Resource":"arn:aws:kms:us-east-1:111122223333:key/*",
	 "Condition":{"StringEquals":{"kms:EncryptionContext:app":"bench"}}},
	{"Sid":"Sign","Effect":"Allow","Action":"kms:Sign","Resource":"arn:aws:kms:us-east-1:111122223333:key/*",
	 "Condition":{"StringEquals":{"kms:SigningAlgorithm":"ECDSA_SHA_256"}}},
	{"Sid":"Never","Effect":"Deny","Action":"kms:ScheduleKeyDeletion","Resource":"*"}]}`

const ourName = "borealis"

// ourTarget prepares keys and a user who may use them by an identity policy. Of
// grants that are for somebody else, the key has a few.
func (b *bench) ourTarget(ctx context.Context, s *local.Server, root local.AccessKey) (*target, local.AccessKey, error) {
	cfg, err := s.Config(ctx, root.AccessKeyID, root.SecretAccessKey, "")
	if err != nil {
		return nil, root, err
	}
	k, err := makeUser(ctx, cfg)
	if err != nil {
		return nil, k, err
	}
	t := &target{name: ourName, pid: s.PID()}
	return t, k, b.prepare(ctx, t, s.Endpoint, root, k)
}

// makeUser makes the user that loads.
func makeUser(ctx context.Context, cfg aws.Config) (local.AccessKey, error) {
	people, user := iam.NewFromConfig(cfg), new("loader")
	if _, err := people.CreateUser(ctx, &iam.CreateUserInput{UserName: user}); err != nil {
		return local.AccessKey{}, err
	}
	if _, err := people.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: user, PolicyName: new("use"), PolicyDocument: new(userPolicy)}); err != nil {
		return local.AccessKey{}, err
	}
	made, err := people.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: user})
	if err != nil {
		return local.AccessKey{}, err
	}
	return local.AccessKey{AccessKeyID: *made.AccessKey.AccessKeyId, SecretAccessKey: *made.AccessKey.SecretAccessKey}, nil
}

// bareTarget starts barekms.
func (b *bench) bareTarget(ctx context.Context, k local.AccessKey) (*target, func(), error) {
	program := filepath.Join(b.dir, "barekms")
	if _, err := command(ctx, "go", "build", "-o", program, "./bench/barekms"); err != nil {
		return nil, nil, err
	}
	p, err := startPeer(ctx, []string{program, k.AccessKeyID, k.SecretAccessKey}, nil, "")
	if err != nil {
		return nil, nil, err
	}
	t := &target{name: bareName, pid: p.pid()}
	if err := b.prepare(ctx, t, p.url, k, k); err != nil {
		p.stop()
		return nil, nil, err
	}
	return t, p.stop, nil
}

const bareName = "bare server"

// quantile takes sorted times.
func quantile(sorted []time.Duration, q float64) float64 {
	return milliseconds(sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)])
}

// kmsClient is the SDK's client for a server.
func kmsClient(ctx context.Context, url string, k local.AccessKey) (*kms.Client, error) {
	there := &local.Server{Endpoint: url}
	cfg, err := there.Config(ctx, k.AccessKeyID, k.SecretAccessKey, "")
	if err != nil {
		return nil, err
	}
	return kms.NewFromConfig(cfg), nil
}
