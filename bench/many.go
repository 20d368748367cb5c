package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"golang.org/x/sync/errgroup"

	"borealis/e2e/local"
)

// few is how many keys the server has that one with many is held against.
const few = 100

// A region is a server with a number of keys in a Region.
type region struct {
	*target
	server *local.Server
	n      int
}

// benchKeys compares a server that has many keys in a Region with one that has
// few: with requests for one key, for all keys in turn, and for lists of them.
func benchKeys(ctx context.Context, b *bench) error {
	var all []*region
	defer func() {
		for _, r := range all {
			_ = r.server.Stop() // the directory is removed anyway
		}
	}()
	for _, n := range []int{few, b.keys} {
		r, err := b.fillRegion(ctx, n)
		if err != nil {
			return err
		}
		all = append(all, r)
		if err := rest(ctx, r.pid); err != nil {
			return err
		}
	}
	of := map[string][2]load{}
	for _, way := range []struct {
		op          string
		concurrency int
	}{{"GenerateDataKey", 64}, {"ListKeys", 1}, {"all keys", 64}} {
		found := [2][]load{}
		for range rounds {
			for i, r := range all {
				l, err := r.measure(ctx, way.op, way.concurrency, max(b.load, time.Second))
				if err != nil {
					return fmt.Errorf("load a server of %d keys with %s: %w", r.n, way.op, err)
				}
				found[i] = append(found[i], l)
			}
		}
		of[way.op] = [2]load{middle(found[0]), middle(found[1])}
	}
	for _, r := range all {
		m, err := memoryOf(r.pid)
		if err != nil {
			return err
		}
		b.say(fmt.Sprintf("resident with %d keys, all used", r.n), float64(m.rss)/mib, "MiB")
	}
	one, spread, list := of["GenerateDataKey"], of["all keys"], of["ListKeys"]
	name := fmt.Sprintf("%d keys to %d", b.keys, few)
	b.atMost(name+": processor time of GenerateDataKey with one key", one[1].CPU/one[0].CPU, "×", 1.1)
	b.atLeast(name+": rate of GenerateDataKey with one key", one[1].Rate/one[0].Rate, "×", 0.9)
	b.say(name+": processor time of GenerateDataKey with all keys in turn", spread[1].CPU/spread[0].CPU, "×")
	b.say(name+": p50 of a page of ListKeys", 1000*list[1].P50, "µs")
	b.atMost(name+": p50 of a page of ListKeys", list[1].P50/list[0].P50, "×", 1.25)
	return nil
}

// fillRegion makes a server with n keys, all through the API, and loads each
// into the server's memory once.
func (b *bench) fillRegion(ctx context.Context, n int) (*region, error) {
	s, root, err := b.server(ctx, fmt.Sprintf("keys%d", n))
	if err != nil {
		return nil, err
	}
	r := &region{target: &target{name: ourName, pid: s.PID()}, server: s, n: n}
	if err := b.prepareRegion(ctx, r, root); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return r, nil
}

func (b *bench) prepareRegion(ctx context.Context, r *region, root local.AccessKey) error {
	began := time.Now()
	ids, err := manyKeys(ctx, r.server, root, r.n)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.progress, "%d keys took %.0f s\n", r.n, time.Since(began).Seconds())
	url := r.server.Endpoint
	r.address, r.requests = strings.TrimPrefix(url, "http://"), map[string][][]byte{}
	add := func(op, name string, in any) error {
		wire, err := signedBytes(ctx, root, url, op, in)
		r.requests[name] = append(r.requests[name], wire)
		return err
	}
	for i, id := range ids {
		in := map[string]any{"KeyId": id, "KeySpec": "AES_256", "EncryptionContext": row(i)}
		if err := add("GenerateDataKey", "all keys", in); err != nil {
			return err
		}
	}
	r.requests["GenerateDataKey"] = r.requests["all keys"][:1]
	if err := add("ListKeys", "ListKeys", map[string]any{"Limit": 100}); err != nil {
		return err
	}
	for _, one := range r.requests["all keys"] { // none is to be loaded while being measured
		if _, err := drive(ctx, r.address, [][]byte{one}, 1, 0); err != nil {
			return err
		}
	}
	return nil
}

// manyKeys makes n keys and returns their ids.
func manyKeys(ctx context.Context, s *local.Server, root local.AccessKey, n int) ([]string, error) {
	c, err := kmsClient(ctx, s.Endpoint, root)
	if err != nil {
		return nil, err
	}
	ids := make([]string, n)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for i := range n {
		g.Go(func() error {
			out, err := c.CreateKey(ctx, &kms.CreateKeyInput{})
			if err == nil {
				ids[i] = *out.KeyMetadata.KeyId
			}
			return err
		})
	}
	return ids, g.Wait()
}

// benchSoak loads one server for long and sees whether it grows, and what it
// writes.
func benchSoak(ctx context.Context, b *bench) (err error) {
	s, root, err := b.server(ctx, "soak")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	t, k, err := b.ourTarget(ctx, s, root)
	if err != nil {
		return err
	}
	requests, warm := 0, b.soak/4
	run := func(long time.Duration) error {
		for end := time.Now().Add(long); time.Now().Before(end); { // signatures grow old
			if err := b.prepare(ctx, t, s.Endpoint, root, k); err != nil {
				return err
			}
			sent, err := drive(ctx, t.address, t.requests["GenerateDataKey"], 64, min(5*time.Minute, time.Until(end)))
			if err != nil {
				return err
			}
			requests += len(sent.took)
		}
		return nil
	}
	if err := run(warm); err != nil {
		return err
	}
	before, err := memoryOf(s.PID())
	if err != nil {
		return err
	}
	database := filepath.Join(s.Data(), "borealis.db")
	wal, err := size(database + "-wal")
	if err != nil {
		return err
	}
	requests = 0
	if err := run(b.soak - warm); err != nil {
		return err
	}
	after, err := memoryOf(s.PID())
	if err != nil {
		return err
	}
	grown, err := size(database + "-wal")
	b.say("requests in "+(b.soak-warm).String(), float64(requests), "")
	b.say("resident at the end", float64(after.rss)/mib, "MiB")
	b.atMost("resident at the end, to after the first quarter", float64(after.rss)/float64(before.rss), "×", 1.1)
	b.atMost("written to the database for a request", float64(max(0, grown-wal))/float64(requests), "B", 1)
	return err
}

func size(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
