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
)

// A sent is how long requests took, sorted, and all of them together.
type sent struct {
	took    []time.Duration
	elapsed time.Duration
}

// drive sends requests for a while over as many connections as concurrency says,
// each waiting for its answer.
func drive(ctx context.Context, address string, requests [][]byte, concurrency int, long time.Duration) (sent, error) {
	began := time.Now()
	each := make([][]time.Duration, concurrency)
	g, ctx := errgroup.WithContext(ctx)
	for i := range concurrency {
		g.Go(func() (err error) {
			l := lane{address: address, requests: requests, next: i, step: 1, end: began.Add(long)}
			if len(requests) > 1000 { // each lane has its own, as far as they go
				l.step = concurrency
			}
			each[i], err = l.run(ctx)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return sent{}, err
	}
	s := sent{slices.Concat(each...), time.Since(began)}
	slices.Sort(s.took)
	if len(s.took) == 0 {
		return s, errors.New("no answer in time")
	}
	return s, nil
}

// A lane is one connection: requests go one after the other.
type lane struct {
	address    string
	requests   [][]byte
	next, step int
	end        time.Time
}

// run sends requests until the end. A server that closes the connection after an
// answer gets another.
func (l *lane) run(ctx context.Context) ([]time.Duration, error) {
	var took []time.Duration
	now := time.Now()
	for len(took) == 0 || now.Before(l.end) { // one, at least
		c, err := new(net.Dialer).DialContext(ctx, "tcp", l.address)
		if err != nil {
			return nil, err
		}
		r := bufio.NewReader(c)
		for open := true; open && (len(took) == 0 || now.Before(l.end)) && err == nil && ctx.Err() == nil; l.next += l.step {
			began := now
			if _, err = c.Write(l.requests[l.next%len(l.requests)]); err == nil {
				open, err = readAnswer(r)
			}
			now = time.Now()
			took = append(took, now.Sub(began))
		}
		if err = errors.Join(err, c.Close(), context.Cause(ctx)); err != nil {
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
