package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os/exec"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"borealis/e2e/local"
)

const concurrency = 8

// benchKMS loads borealis and moto_server in turn with the same client.
func benchKMS(ctx context.Context, b *bench) (err error) {
	s, root, err := b.server(ctx, "kms")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	ours, err := b.ourTarget(ctx, s, root)
	if err != nil {
		return err
	}
	targets := []*target{ours}
	moto, stop, err := b.motoTarget(ctx)
	if err != nil {
		b.missing("moto_server", err)
	} else {
		defer stop()
		targets = append(targets, moto)
	}
	for range 3 {
		for _, t := range targets {
			if err := t.measure(ctx, b.load); err != nil {
				return fmt.Errorf("load %s: %w", t.name, err)
			}
		}
	}
	for _, t := range targets {
		t.tell(b)
	}
	if moto != nil {
		b.atLeast("borealis to moto_server, median of each", median(ours.rates)/median(moto.rates), "×", 20)
	}
	return nil
}

// A target is a server under load.
type target struct {
	name     string
	pid      int
	requests [][]byte // each as it goes over the wire
	address  string

	rates         []float64 // per second
	p50, p99, cpu []float64 // cpu is the server's, per request; all in milliseconds
}

// userPolicy gives a user what it needs and has a little more in it to evaluate.
const userPolicy = `{"Version":"2012-10-17","Statement":[
	{"Sid":"See","Effect":"Allow","Action":["kms:DescribeKey","kms:List*"],"Resource":"*"},
	{"Sid":"Use","Effect":"Allow","Action":["kms:GenerateDataKey*","kms:Decrypt"],"Resource":"arn:aws:kms:us-east-1:111122223333:key/*",
	 "Condition":{"StringEquals":{"kms:EncryptionContext:app":"bench"}}},
	{"Sid":"Never","Effect":"Deny","Action":"kms:ScheduleKeyDeletion","Resource":"*"}]}`

// ourTarget prepares a key and a user who may use it by an identity policy.
func (b *bench) ourTarget(ctx context.Context, s *local.Server, root local.AccessKey) (*target, error) {
	cfg, err := s.Config(ctx, root.AccessKeyID, root.SecretAccessKey, "")
	if err != nil {
		return nil, err
	}
	people, user := iam.NewFromConfig(cfg), new("loader")
	if _, err := people.CreateUser(ctx, &iam.CreateUserInput{UserName: user}); err != nil {
		return nil, err
	}
	if _, err := people.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: user, PolicyName: new("use"), PolicyDocument: new(userPolicy)}); err != nil {
		return nil, err
	}
	made, err := people.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: user})
	if err != nil {
		return nil, err
	}
	key, err := kms.NewFromConfig(cfg).CreateKey(ctx, &kms.CreateKeyInput{})
	if err != nil {
		return nil, err
	}
	k := local.AccessKey{AccessKeyID: *made.AccessKey.AccessKeyId, SecretAccessKey: *made.AccessKey.SecretAccessKey}
	t := &target{name: "borealis", pid: s.PID()}
	return t, t.prepare(ctx, s.Endpoint, k, *key.KeyMetadata.KeyId)
}

// motoTarget starts moto_server with a key. The function stops it.
func (b *bench) motoTarget(ctx context.Context) (*target, func(), error) {
	args, err := motoServer(ctx)
	if err != nil {
		return nil, nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.Command(args[0], append(args[1:], "-p", fmt.Sprint(port))...)
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	stop := func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // what it ends with does not matter any more
	}
	there := &local.Server{Endpoint: fmt.Sprintf("http://127.0.0.1:%d", port)}
	k := local.AccessKey{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "secret"}
	cfg, err := there.Config(ctx, k.AccessKeyID, k.SecretAccessKey, "")
	if err != nil {
		stop()
		return nil, nil, err
	}
	var key *kms.CreateKeyOutput
	err = poll(ctx, func() (bool, error) {
		key, err = kms.NewFromConfig(cfg).CreateKey(ctx, &kms.CreateKeyInput{})
		if errors.Is(err, syscall.ECONNREFUSED) {
			return false, nil
		}
		return err == nil, err
	})
	t := &target{name: "moto_server", pid: cmd.Process.Pid}
	if err == nil {
		err = t.prepare(ctx, there.Endpoint, k, *key.KeyMetadata.KeyId)
	}
	if err != nil {
		stop()
		return nil, nil, err
	}
	return t, stop, nil
}

// measure loads the target and notes what came of it.
func (t *target) measure(ctx context.Context, long time.Duration) error {
	if _, _, err := t.drive(ctx, long/4); err != nil { // warm up
		return err
	}
	before, err := readProcess(t.pid)
	if err != nil {
		return err
	}
	took, elapsed, err := t.drive(ctx, long)
	if err != nil {
		return err
	}
	after, err := readProcess(t.pid)
	if err != nil {
		return err
	}
	n := float64(len(took))
	t.rates = append(t.rates, n/elapsed.Seconds())
	t.p50 = append(t.p50, quantile(took, 0.50))
	t.p99 = append(t.p99, quantile(took, 0.99))
	t.cpu = append(t.cpu, milliseconds(after.cpu-before.cpu)/n)
	return nil
}

func (t *target) tell(b *bench) {
	b.say(t.name+": requests, median of 3", median(t.rates), "/s")
	b.say(t.name+": p50", median(t.p50), "ms")
	b.say(t.name+": p99", median(t.p99), "ms")
	b.say(t.name+": processor time of a request", 1000*median(t.cpu), "µs")
}

// quantile takes sorted times.
func quantile(sorted []time.Duration, q float64) float64 {
	return milliseconds(sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)])
}
