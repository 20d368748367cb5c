package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"borealis/internal/cloud"
)

// Errors about whose a store is.
var (
	// ErrOwned says that the store is another data directory's.
	ErrOwned = errors.New("the store belongs to another data directory")
	// ErrInUse says that another process writes to the store.
	ErrInUse = errors.New("the store is in use by another server")
	// ErrLease says that this process must not write: it has no lease.
	ErrLease = errors.New("the lease of the store is not held")
)

// leaseKey is where the lease is, below the prefix. No object of a Backend can
// have that name.
const leaseKey = ".borealis-lease"

// maxLease is more bytes than a lease has.
const maxLease = 4096

// A record is the lease as it is stored. S3 replaces it only for who names the
// version that is there (If-Match), or makes it only where there is none
// (If-None-Match), so of several that want it one gets it.
type record struct {
	Format int    `json:"format"` // 1
	Owner  string `json:"owner"`
	// Holder is the process that may write, "" for none.
	Holder  string        `json:"holder,omitempty"`
	Place   string        `json:"place,omitempty"`
	Host    string        `json:"host,omitempty"` // for people
	Process int           `json:"process,omitempty"`
	Lasts   time.Duration `json:"lasts,omitempty"` // nanoseconds without a renewal
	Serial  int64         `json:"serial"`          // of every writing, so that each is another version
}

// A lease keeps processes apart without any clock that they would share. The
// holder writes for Lasts, less a margin, from when it began its last renewal.
// Another takes the lease over only after it has watched the record for all of
// Lasts without a change, which is later. Requests of the holder that are under
// way when its time ends are given up; what S3 may yet do of one of them is what
// it may do of every request without an answer, and the volumes are built for it.
type lease struct {
	s      *Store
	holder string

	mu    sync.Mutex
	etag  *string // of the record that this process wrote or saw last
	last  record
	began time.Time       // of the first write since the last one that was answered
	valid context.Context // while it may write
	end   context.CancelFunc
	timer *time.Timer

	lost    chan struct{} // closed when another has taken the lease
	stop    context.CancelFunc
	stopped chan struct{}
}

// Acquire makes the store this process's: it makes sure that the bucket can be
// used, takes the lease, and clears away what processes before have left half
// done. A store that has no owner is taken if there is nothing in it, and is
// then its Owner's for ever. Errors are ErrOwned, ErrInUse and S3's.
func (s *Store) Acquire(ctx context.Context) error {
	if err := s.Reach(ctx); err != nil {
		return err
	}
	l := &lease{s: s, holder: rand.Text(), lost: make(chan struct{}), stopped: make(chan struct{})}
	l.valid, l.end = context.WithCancel(context.Background())
	l.end()
	if err := l.take(ctx); err != nil {
		return fmt.Errorf("use %s: %w", s.opts.Name(), err)
	}
	keep, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	s.lease = l
	go l.keep(keep)
	if err := s.abortAll(ctx); err != nil {
		s.opts.Log.WarnContext(ctx, "uploads that a server has left unfinished may still take room", "store", s.opts.Name(), "err", err)
	}
	return nil
}

// Lost is closed when another process has taken the lease: nothing that this one
// says of the store is true any more. It is nil before Acquire.
func (s *Store) Lost() <-chan struct{} {
	if s.lease == nil {
		return nil
	}
	return s.lease.lost
}

// Close gives the lease back, so that the next process need not wait.
func (s *Store) Close(ctx context.Context) error {
	if s.lease == nil {
		return nil
	}
	l := s.lease
	l.stop()
	<-l.stopped
	l.end()
	if l.isLost() {
		return nil
	}
	next := l.last
	next.Holder = ""
	next.Serial++
	if err := l.write(ctx, next); err != nil {
		return fmt.Errorf("give back the lease of %s: %w", s.opts.Name(), err)
	}
	return nil
}

// guard is a context for a request that changes something: it ends when the
// lease does.
func (s *Store) guard(ctx context.Context) (context.Context, func(), error) {
	if s.lease == nil {
		return nil, nil, fmt.Errorf("write to %s: %w", s.opts.Name(), ErrLease)
	}
	s.lease.mu.Lock()
	valid := s.lease.valid
	s.lease.mu.Unlock()
	if valid.Err() != nil {
		return nil, nil, fmt.Errorf("write to %s: %w: it could not be renewed in time", s.opts.Name(), ErrLease)
	}
	own, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(valid, func() { cancel(fmt.Errorf("write to %s: %w any more", s.opts.Name(), ErrLease)) })
	return own, func() { stop(); cancel(nil) }, nil
}

// take takes the lease, or says who has it.
func (l *lease) take(ctx context.Context) error {
	var since time.Time // that the record has not changed
	var seen *string
	for {
		cur, etag, err := l.read(ctx)
		if cur.Holder != l.holder {
			l.began = time.Time{} // no write of this process has had an effect
		}
		switch {
		case errors.Is(err, cloud.ErrNotFound) && l.s.opts.Existing:
			return fmt.Errorf("%w: there is none of the snapshots of this one; was another place named, or were they deleted?", ErrOwned)
		case errors.Is(err, cloud.ErrNotFound):
			err = l.found(ctx)
		case err != nil:
			return err
		case cur.Owner != l.s.opts.Owner:
			return fmt.Errorf("%w, which a server on %s used last; name another prefix", ErrOwned, cur.Host)
		case cur.Holder == l.holder: // a write whose answer was lost
			l.wrote(cur, etag)
			return nil
		case seen != nil && *seen != *etag:
			return fmt.Errorf("%w: process %d on %s", ErrInUse, cur.Process, cur.Host)
		case cur.Holder == "" || cur.Place != "" && cur.Place == l.s.opts.Place || seen != nil && time.Since(since) > cur.Lasts:
			l.etag, l.last = etag, cur
			err = l.write(ctx, l.mine(cur.Serial))
		default:
			if seen == nil {
				seen, since = etag, time.Now()
				l.s.opts.Log.InfoContext(ctx, "waiting whether the server that used the store is still there",
					"store", l.s.opts.Name(), "host", cur.Host, "process", cur.Process, "at_most", cur.Lasts)
			}
			if err := wait(ctx, min(cur.Lasts/10, time.Second)); err != nil {
				return err
			}
			continue
		}
		if err == nil {
			return nil
		}
		if !isTaken(err) {
			return err
		}
		if err := wait(ctx, l.s.opts.Lease/100); err != nil { // another was faster; look who
			return err
		}
	}
}

// found makes the lease of a store that nobody has used, and makes sure that S3
// can be trusted with it.
func (l *lease) found(ctx context.Context) error {
	list, err := l.s.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &l.s.opts.Bucket, Prefix: &l.s.prefix, MaxKeys: aws.Int32(2)})
	if err != nil {
		return l.s.explain(ctx, "list", "", err)
	}
	for _, o := range list.Contents {
		if key := aws.ToString(o.Key); key != l.s.prefix && key != l.s.prefix+leaseKey {
			return fmt.Errorf("%w: there is %s already; name a prefix under which there is nothing", ErrOwned, key)
		}
	}
	l.etag, l.last = nil, record{}
	if err := l.write(ctx, l.mine(0)); err != nil {
		return err
	}
	return l.trust(ctx)
}

// errTrust says that S3 is not up to it.
var errTrust = errors.New("the server ignores conditions of writes (If-None-Match), so two servers could spoil each other's snapshots; use one that heeds them")

// trust tries a write that has to fail.
func (l *lease) trust(ctx context.Context) error {
	switch _, err := l.put(ctx, l.last, nil); {
	case err == nil:
		return errTrust
	case !isTaken(err):
		return err
	}
	return nil
}

// mine is the record that makes the lease this process's.
func (l *lease) mine(serial int64) record {
	host, err := os.Hostname()
	if err != nil {
		host = "an unknown host"
	}
	return record{Format: 1, Owner: l.s.opts.Owner, Holder: l.holder, Place: l.s.opts.Place,
		Host: host, Process: os.Getpid(), Lasts: l.s.opts.Lease, Serial: serial + 1}
}

// isTaken reports whether a condition of a write did not hold.
func isTaken(err error) bool {
	code := codeOf(err)
	return code == "PreconditionFailed" || code == "ConditionalRequestConflict"
}

// read reads the record.
func (l *lease) read(ctx context.Context) (r record, etag *string, err error) {
	out, err := l.s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &l.s.opts.Bucket, Key: new(l.s.prefix + leaseKey)})
	if err != nil {
		return r, nil, l.s.explain(ctx, "read", leaseKey, err)
	}
	defer out.Body.Close()
	text, err := io.ReadAll(io.LimitReader(out.Body, maxLease))
	if err != nil {
		return r, nil, l.s.explain(ctx, "read", leaseKey, err)
	}
	if err := json.Unmarshal(text, &r); err != nil || r.Format != 1 || r.Owner == "" || r.Lasts <= 0 || out.ETag == nil {
		return r, nil, fmt.Errorf("%s/%s is no lease that this program can read", l.s.opts.Name(), leaseKey)
	}
	return r, out.ETag, nil
}

// write replaces the record that this process knows, or makes the first.
func (l *lease) write(ctx context.Context, next record) error {
	if l.began.IsZero() {
		l.began = time.Now()
	}
	etag, err := l.put(ctx, next, l.etag)
	if err != nil {
		return err
	}
	l.wrote(next, etag)
	return nil
}

// wrote notes that a record of this process's is the one that S3 has. Others may
// have seen it since the first write began whose answer did not come.
func (l *lease) wrote(r record, etag *string) {
	l.etag, l.last = etag, r
	if r.Holder != "" {
		l.extend(l.began)
	}
	l.began = time.Time{}
}

// put stores a record in place of the version etag, nil for none.
func (l *lease) put(ctx context.Context, r record, etag *string) (*string, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	in := &s3.PutObjectInput{Bucket: &l.s.opts.Bucket, Key: new(l.s.prefix + leaseKey), Body: bytes.NewReader(text), IfMatch: etag}
	if etag == nil {
		in.IfNoneMatch = new("*")
	}
	out, err := l.s.client.PutObject(ctx, in)
	if err != nil {
		return nil, l.s.explain(ctx, "write", leaseKey, err)
	}
	return out.ETag, nil
}

// extend lets this process write for as long as the lease lasts from then on,
// less a margin for clocks that do not run equally fast.
func (l *lease) extend(from time.Time) {
	left := time.Until(from.Add(l.last.Lasts - l.last.Lasts/10))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer != nil && l.timer.Stop() {
		l.timer.Reset(left)
		return
	}
	valid, end := context.WithCancel(context.Background())
	l.valid, l.end = valid, end
	l.timer = time.AfterFunc(left, end)
}

// keep renews the lease until ctx ends or another has it.
func (l *lease) keep(ctx context.Context) {
	defer close(l.stopped)
	log := l.s.opts.Log.With("store", l.s.opts.Name())
	for failed := false; ; {
		pause := l.last.Lasts / 4
		if failed {
			pause /= 10
		}
		if wait(ctx, pause) != nil {
			return
		}
		err := l.renew(ctx)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, ErrInUse) || errors.Is(err, ErrOwned) {
			log.ErrorContext(ctx, "another server has taken the store", "err", err)
			l.end()
			close(l.lost)
			return
		}
		l.tell(ctx, log, failed, err)
		failed = err != nil
	}
}

// tell logs that renewing begins or ceases to fail.
func (l *lease) tell(ctx context.Context, log *slog.Logger, failed bool, err error) {
	switch {
	case err != nil && !failed:
		log.WarnContext(ctx, "the lease cannot be renewed; writing stops when it ends, and goes on when S3 answers again", "err", err)
	case err == nil && failed:
		log.InfoContext(ctx, "the lease is renewed")
	}
}

// renew writes the record once more, however long ago the last time was: if S3
// still has it, nobody has taken the lease.
func (l *lease) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.last.Lasts/2)
	defer cancel()
	err := l.write(ctx, l.mine(l.last.Serial))
	if err == nil || !isTaken(err) {
		return err
	}
	cur, etag, err := l.read(ctx)
	switch {
	case errors.Is(err, cloud.ErrNotFound):
		return fmt.Errorf("%w: somebody has deleted %s", ErrOwned, leaseKey)
	case err != nil:
		return err
	case cur.Holder != l.holder:
		return fmt.Errorf("%w: process %d on %s", ErrInUse, cur.Process, cur.Host)
	}
	l.wrote(cur, etag) // and the answer was lost
	return nil
}

func (l *lease) isLost() bool {
	select {
	case <-l.lost:
		return true
	default:
		return false
	}
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
