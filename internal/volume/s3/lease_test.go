package s3_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"borealis/internal/cloud"
	"borealis/internal/volume/s3"
	"borealis/internal/volume/s3/s3test"
)

// try opens a store and tries to take its lease.
func try(t *testing.T, o s3.Options) (*s3.Store, error) {
	t.Helper()
	s, err := s3.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s, s.Acquire(t.Context())
}

func TestOfTwoServersOneWins(t *testing.T) {
	s3test.Setenv(t)
	server := s3test.Start(t)
	bucket := server.Bucket(t, "snapshots")
	for round := range 10 {
		o := quick(t, server.Location(bucket, prefix()))
		o.Lease = time.Second
		var wins atomic.Int64
		var wg sync.WaitGroup
		for i := range 4 {
			own := o
			own.Place = fmt.Sprint("place ", i)
			wg.Go(func() {
				s, err := s3.Open(t.Context(), own)
				if err == nil {
					err = s.Acquire(t.Context())
				}
				switch {
				case err == nil:
					wins.Add(1)
					t.Cleanup(func() { _ = s.Close(context.Background()) })
				case !errors.Is(err, s3.ErrInUse):
					t.Errorf("round %d: %v, want ErrInUse", round, err)
				}
			})
		}
		wg.Wait()
		if n := wins.Load(); n != 1 {
			t.Errorf("round %d: %d servers have the store", round, n)
		}
	}
}

func TestWhoMayTakeAStore(t *testing.T) {
	s3test.Setenv(t)
	server := s3test.Start(t)
	bucket := server.Bucket(t, "snapshots")
	o := quick(t, server.Location(bucket, prefix()))
	o.Lease, o.Place = 2*time.Second, "machine a"
	first := acquire(t, o)
	if err := first.Put(t.Context(), "x", []byte("1")); err != nil {
		t.Fatal(err)
	}

	bob := o
	bob.Owner = "bob"
	if _, err := try(t, bob); !errors.Is(err, s3.ErrOwned) {
		t.Errorf("another data directory: %v, want ErrOwned", err)
	}
	elsewhere := o
	elsewhere.Place = "machine b"
	if _, err := try(t, elsewhere); !errors.Is(err, s3.ErrInUse) {
		t.Errorf("the same data directory elsewhere: %v, want ErrInUse", err)
	}
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := first.Put(t.Context(), "x", []byte("2")); !errors.Is(err, s3.ErrLease) {
		t.Errorf("Put after Close: %v, want ErrLease", err)
	}
	if _, err := try(t, bob); !errors.Is(err, s3.ErrOwned) {
		t.Errorf("another data directory, after Close: %v, want ErrOwned", err)
	}
	began := time.Now()
	acquire(t, elsewhere)
	if took := time.Since(began); took > time.Second {
		t.Errorf("a lease that was given back took %v to get", took)
	}
}

func TestNoStoreBesideOtherObjects(t *testing.T) {
	s3test.Setenv(t)
	server := s3test.Start(t)
	bucket := server.Bucket(t, "snapshots")
	acquire(t, quick(t, server.Location(bucket, "a/b")))
	o := quick(t, server.Location(bucket, "a"))
	o.Owner = "bob"
	if _, err := try(t, o); !errors.Is(err, s3.ErrOwned) || !strings.Contains(err.Error(), "a/b") {
		t.Errorf("a prefix that has objects: %v, want ErrOwned and their name", err)
	}
}

// Who was killed is succeeded: at once where it is known to be dead, else when its
// lease has ended.
func TestSuccession(t *testing.T) {
	s3test.Setenv(t)
	server := s3test.Start(t)
	bucket := server.Bucket(t, "snapshots")
	for _, c := range []struct {
		name  string
		place string
		atMin time.Duration
		atMax time.Duration
	}{{"same place", "machine a", 0, 400 * time.Millisecond}, {"elsewhere", "machine b", time.Second, 3 * time.Second}} {
		t.Run(c.name, func(t *testing.T) {
			proxy := s3test.NewProxy(t, server)
			p := prefix()
			o := quick(t, proxy.Location(bucket, p))
			o.Lease, o.Place, o.Attempts = time.Second, "machine a", 1
			acquire(t, o)
			proxy.Decide(func(*http.Request) s3test.Fault { return s3test.Reset }) // as if it were dead
			next := quick(t, server.Location(bucket, p))
			next.Lease, next.Place = time.Second, c.place
			began := time.Now()
			acquire(t, next)
			if took := time.Since(began); took < c.atMin || took > c.atMax {
				t.Errorf("it took %v, want %v to %v", took, c.atMin, c.atMax)
			}
		})
	}
}

// A server that was cut off from S3 while another took its place writes nothing
// any more, and says so.
func TestFencing(t *testing.T) {
	s3test.Setenv(t)
	server := s3test.Start(t)
	proxy := s3test.NewProxy(t, server)
	bucket, p := server.Bucket(t, "snapshots"), prefix()
	o := quick(t, proxy.Location(bucket, p))
	o.Lease, o.Place, o.Attempts = time.Second, "machine a", 2
	old := acquire(t, o)

	var off atomic.Bool
	off.Store(true)
	proxy.Decide(func(r *http.Request) s3test.Fault {
		if off.Load() && r.Method == http.MethodPut && strings.Contains(r.URL.Path, ".borealis-lease") {
			return s3test.Reset // the lease only: what it writes would get through
		}
		return s3test.None
	})
	next := quick(t, server.Location(bucket, p))
	next.Lease, next.Place = time.Second, "machine b"
	successor := acquire(t, next)
	if err := successor.Put(t.Context(), "x", []byte("new")); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{old.Put(t.Context(), "x", []byte("old")), old.Delete(t.Context(), "x")} {
		if !errors.Is(err, s3.ErrLease) {
			t.Errorf("a write of the server that was succeeded: %v, want ErrLease", err)
		}
	}
	off.Store(false)
	select {
	case <-old.Lost():
	case <-time.After(5 * time.Second):
		t.Error("the server that was succeeded does not notice")
	}
	if got, err := old.Get(t.Context(), "x"); err != nil || string(got) != "new" {
		t.Errorf("Get: %q, %v", got, err)
	}
}

// A write under way when the lease ends is given up.
func TestWriteUnderWayWhenTheLeaseEnds(t *testing.T) {
	s3test.Setenv(t)
	server := s3test.Start(t)
	proxy := s3test.NewProxy(t, server)
	o := quick(t, proxy.Location(server.Bucket(t, "snapshots"), prefix()))
	o.Lease, o.Stall = time.Second, time.Minute
	b := acquire(t, o)
	proxy.Decide(func(r *http.Request) s3test.Fault {
		if r.Method == http.MethodPut {
			return s3test.Hang
		}
		return s3test.None
	})
	began := time.Now()
	if err := b.Put(t.Context(), "x", []byte("1")); !errors.Is(err, s3.ErrLease) {
		t.Errorf("Put: %v, want ErrLease", err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v to give up", took)
	}
	proxy.Decide(nil)
}

// When S3 was away for longer than the lease lasts and nobody has taken it, all
// goes on.
func TestLeaseSurvivesAnOutage(t *testing.T) {
	s3test.Setenv(t)
	server := s3test.Start(t)
	proxy := s3test.NewProxy(t, server)
	o := quick(t, proxy.Location(server.Bucket(t, "snapshots"), prefix()))
	o.Lease, o.Attempts = 600*time.Millisecond, 1
	b := acquire(t, o)
	proxy.Decide(func(*http.Request) s3test.Fault { return s3test.LoseAnswer }) // it is renewed, even, unheard
	time.Sleep(time.Second)
	if err := b.Put(t.Context(), "x", []byte("1")); !errors.Is(err, s3.ErrLease) {
		t.Errorf("Put: %v, want ErrLease", err)
	}
	proxy.Decide(nil)
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := b.Put(t.Context(), "x", []byte("1"))
		if err == nil {
			return
		}
		if !errors.Is(err, s3.ErrLease) || time.Now().After(end) {
			t.Fatalf("Put after the outage: %v", err)
		}
	}
}

// Each request of Acquire meets each fault: the lease is had all the same.
func TestFaultsWhileAcquiring(t *testing.T) {
	s3test.Setenv(t)
	server := s3test.Start(t)
	bucket := server.Bucket(t, "snapshots")
	for name, fault := range s3test.Faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy := s3test.NewProxy(t, server)
			for n := int64(1); ; n++ {
				var requests atomic.Int64
				proxy.Decide(func(*http.Request) s3test.Fault {
					if requests.Add(1) != n {
						return s3test.None
					}
					return fault
				})
				b := acquire(t, quick(t, proxy.Location(bucket, prefix())))
				if err := b.Put(t.Context(), "x", nil); err != nil {
					t.Errorf("request %d: %v", n, err)
				}
				if requests.Load() < n {
					return
				}
			}
		})
	}
}

// A server that does not heed conditions is refused: it could not keep two
// processes apart.
func TestServerWithoutConditions(t *testing.T) {
	s3test.Setenv(t)
	server := s3test.Start(t)
	proxy := s3test.NewProxy(t, server)
	proxy.Decide(func(r *http.Request) s3test.Fault {
		if r.Header.Get("If-None-Match") != "" {
			return s3test.Pretend
		}
		return s3test.None
	})
	_, err := try(t, quick(t, proxy.Location(server.Bucket(t, "snapshots"), prefix())))
	if err == nil || !strings.Contains(err.Error(), "If-None-Match") {
		t.Errorf("Acquire: %v, want a refusal that names If-None-Match", err)
	}
}

// What operators are told.
func TestRefusals(t *testing.T) {
	s3test.Setenv(t)
	server := s3test.Start(t)
	bucket := server.Bucket(t, "snapshots")
	for _, c := range []struct {
		name, location, secret string
		says                   string
	}{
		{"no bucket", server.Location("nowhere", "x"), "", "there is no such bucket"},
		{"wrong secret", server.Location(bucket, "x"), "wrong", "secret access key"},
		{"wrong region", strings.Replace(server.Location(bucket, "x"), s3test.Region, "eu-west-1", 1), "", "region="},
		{"no server", "s3://snapshots/x?endpoint=http://127.0.0.1:1", "", "http://127.0.0.1:1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.secret != "" {
				t.Setenv("AWS_SECRET_ACCESS_KEY", c.secret)
			}
			o := quick(t, c.location)
			o.Attempts = 2
			if _, err := try(t, o); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("Acquire: %v, want %q in it", err, c.says)
			}
		})
	}
	b := acquire(t, quick(t, server.Location(bucket, prefix())))
	if _, err := b.Get(t.Context(), "x"); !errors.Is(err, cloud.ErrNotFound) {
		t.Errorf("Get: %v, want ErrNotFound", err)
	}
}

func TestReadingNeedsNoLease(t *testing.T) {
	s3test.Setenv(t)
	server := s3test.Start(t)
	o := quick(t, server.Location(server.Bucket(t, "snapshots"), prefix()))
	if err := acquire(t, o).Put(t.Context(), "x", []byte("1")); err != nil {
		t.Fatal(err)
	}
	s, err := s3.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(t.Context(), "x"); err != nil || string(got) != "1" {
		t.Errorf("Get: %q, %v", got, err)
	}
	if err := s.Put(t.Context(), "x", nil); !errors.Is(err, s3.ErrLease) {
		t.Errorf("Put: %v, want ErrLease", err)
	}
}
