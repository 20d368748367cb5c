package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"borealis/e2e/local"
)

// prepare signs the requests that drive sends, so that the client has nothing
// left to do but to write and read.
func (t *target) prepare(ctx context.Context, url string, k local.AccessKey, keyID string) error {
	t.address, t.requests = strings.TrimPrefix(url, "http://"), nil
	for i := range 64 {
		req, err := kmsRequest(ctx, k, url, "GenerateDataKey", map[string]any{
			"KeyId": keyID, "KeySpec": "AES_256",
			"EncryptionContext": map[string]string{"app": "bench", "row": fmt.Sprint(i)},
		})
		if err != nil {
			return err
		}
		var wire bytes.Buffer
		if err := req.Write(&wire); err != nil {
			return err
		}
		t.requests = append(t.requests, wire.Bytes())
	}
	return nil
}

// drive sends requests for a while over as many connections as concurrency says,
// each waiting for its answer. It returns the sorted times of all answers.
func (t *target) drive(ctx context.Context, long time.Duration) ([]time.Duration, time.Duration, error) {
	began := time.Now()
	each := make([][]time.Duration, concurrency)
	g, ctx := errgroup.WithContext(ctx)
	for i := range concurrency {
		g.Go(func() (err error) {
			each[i], err = t.lane(ctx, i, began.Add(long))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, 0, err
	}
	elapsed := time.Since(began)
	all := slices.Concat(each...)
	slices.Sort(all)
	if len(all) == 0 {
		return nil, 0, errors.New("no answer in time")
	}
	return all, elapsed, nil
}

// lane is what one connection does. A server that closes it after an answer
// gets another.
func (t *target) lane(ctx context.Context, i int, end time.Time) ([]time.Duration, error) {
	var took []time.Duration
	for time.Now().Before(end) {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", t.address)
		if err != nil {
			return nil, err
		}
		r := bufio.NewReader(c)
		for open := true; open && time.Now().Before(end) && err == nil; i++ {
			began := time.Now()
			if _, err = c.Write(t.requests[i%len(t.requests)]); err == nil {
				open, err = readAnswer(r)
			}
			took = append(took, time.Since(began))
		}
		if err = errors.Join(err, c.Close()); err != nil {
			return nil, err
		}
	}
	return took, nil
}

// readAnswer reads a response, which must be a success, and says whether the
// connection stays open.
func readAnswer(r *bufio.Reader) (open bool, err error) {
	status, err := r.ReadSlice('\n')
	if err != nil {
		return false, err
	}
	if !bytes.Contains(status, []byte(" 200 ")) {
		rest, _ := r.Peek(r.Buffered())
		return false, fmt.Errorf("%s%s", status, rest)
	}
	open = bytes.HasPrefix(status, []byte("HTTP/1.1"))
	length := -1
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return false, err
		}
		name, value, ok := bytes.Cut(bytes.TrimRight(line, "\r\n"), []byte(": "))
		switch {
		case !ok && length < 0:
			return false, errors.New("an answer without Content-Length")
		case !ok:
			_, err := r.Discard(length)
			return open, err
		case equalFold(name, "Content-Length"):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return false, err
			}
		case equalFold(name, "Connection") && equalFold(value, "close"):
			open = false
		}
	}
}

func equalFold(a []byte, b string) bool { return len(a) == len(b) && strings.EqualFold(string(a), b) }
