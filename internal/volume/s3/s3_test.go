package s3_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"borealis/internal/volume"
	"borealis/internal/volume/s3"
	"borealis/internal/volume/s3/s3test"
	"borealis/internal/volume/volumetest"
)

// quick are options with which a test does not wait.
func quick(t *testing.T, location string) s3.Options {
	t.Helper()
	l, err := s3.ParseLocation(location)
	if err != nil {
		t.Fatal(err)
	}
	return s3.Options{Location: l, Owner: "ann", MaxBackoff: 20 * time.Millisecond, Stall: 2 * time.Second,
		PartSize: 5 << 20, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
}

// acquire opens a store and takes its lease, until t ends.
func acquire(t *testing.T, o s3.Options) *s3.Store {
	t.Helper()
	s, err := s3.Open(t.Context(), o)
	if err == nil {
		err = s.Acquire(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = s.Close(ctx) // its server may be gone
	})
	return s
}

var prefixes atomic.Int64

// prefix is one that no other test uses.
func prefix() string { return fmt.Sprintf("p%d/x", prefixes.Add(1)) }

func TestBackend(t *testing.T) {
	s3test.Setenv(t)
	server := s3test.Start(t)
	bucket := server.Bucket(t, "snapshots")
	volumetest.TestBackend(t, func(t *testing.T) volume.Backend {
		return acquire(t, quick(t, server.Location(bucket, prefix())))
	})
}

// A store may be the whole bucket.
func TestBackendWithoutPrefix(t *testing.T) {
	s3test.Setenv(t)
	server := s3test.Start(t)
	n := 0
	volumetest.TestBackend(t, func(t *testing.T) volume.Backend {
		n++
		return acquire(t, quick(t, server.Location(server.Bucket(t, fmt.Sprintf("bucket-%d", n)), "")))
	})
}

// random returns n bytes, the same for the same seed.
func random(seed, n int) []byte {
	p := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed)}).Read(p)
	return p
}

// Each request of each method meets each fault, once: nobody notices.
func TestFaultsAreOvercome(t *testing.T) {
	s3test.Setenv(t)
	server := s3test.Start(t)
	bucket := server.Bucket(t, "snapshots")
	for name, fault := range s3test.Faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy := s3test.NewProxy(t, server)
			b := acquire(t, quick(t, proxy.Location(bucket, prefix())))
			for n := int64(1); ; n++ {
				var requests atomic.Int64
				proxy.Decide(func(r *http.Request) s3test.Fault {
					if strings.Contains(r.URL.Path, ".borealis-lease") || requests.Add(1) != n {
						return s3test.None
					}
					return fault
				})
				useAll(t, b, int(n))
				if requests.Load() < n {
					if n < 10 {
						t.Errorf("only %d requests", n-1)
					}
					return
				}
			}
		})
	}
}

// useAll uses every method once, with an object in parts among others.
func useAll(t *testing.T, b *s3.Store, seed int) {
	t.Helper()
	ctx, small, large := t.Context(), random(seed, 70_000), random(seed+1, 11<<20)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(b.Put(ctx, "a/small", small))
	must(b.Put(ctx, "a/large", large))
	got, err := b.Get(ctx, "a/large")
	must(err)
	part := make([]byte, 1<<20)
	must(b.GetRange(ctx, "a/large", 3<<20, part))
	if !bytes.Equal(got, large) || !bytes.Equal(part, large[3<<20:4<<20]) {
		t.Fatal("an object came back changed")
	}
	list, err := b.List(ctx, "a/")
	must(err)
	if len(list) != 2 {
		t.Fatalf("List: %v", list)
	}
	must(b.Delete(ctx, "a/small"))
	must(b.Delete(ctx, "a/large"))
	if list, err := b.List(ctx, ""); err != nil || len(list) != 0 {
		t.Fatalf("List of nothing: %v, %v", list, err)
	}
}

// A server that answers nothing is given up after a time, and asked again.
func TestStalledConnections(t *testing.T) {
	s3test.Setenv(t)
	server := s3test.Start(t)
	proxy := s3test.NewProxy(t, server)
	o := quick(t, proxy.Location(server.Bucket(t, "snapshots"), prefix()))
	o.Stall = 200 * time.Millisecond
	b := acquire(t, o)
	var hung atomic.Int64
	proxy.Decide(func(*http.Request) s3test.Fault {
		if hung.Add(1) <= 2 {
			return s3test.Hang
		}
		return s3test.None
	})
	useAll(t, b, 1)
}

// A server that is down fails the call in the end, and says where it should be.
func TestServerDown(t *testing.T) {
	s3test.Setenv(t)
	server := s3test.Start(t)
	proxy := s3test.NewProxy(t, server)
	o := quick(t, proxy.Location(server.Bucket(t, "snapshots"), prefix()))
	o.Attempts = 3
	b := acquire(t, o)
	proxy.Decide(func(*http.Request) s3test.Fault { return s3test.Reset })
	_, err := b.Get(t.Context(), "x")
	if err == nil || !strings.Contains(err.Error(), proxy.URL) {
		t.Errorf("Get: %v, want an error that names %s", err, proxy.URL)
	}
	proxy.Decide(nil)
	useAll(t, b, 1)
}

// An upload in parts that fails leaves nothing that S3 would keep for ever, at the
// latest when the store is next used.
func TestAbandonedUploadsAreRemoved(t *testing.T) {
	s3test.Setenv(t)
	server := s3test.Start(t)
	proxy := s3test.NewProxy(t, server)
	bucket, prefix := server.Bucket(t, "snapshots"), prefix()
	o := quick(t, proxy.Location(bucket, prefix))
	o.Attempts, o.Place = 2, "here"
	b := acquire(t, o)
	client := rawClient(t, server.URL)

	proxy.Decide(func(r *http.Request) s3test.Fault {
		if r.Method == http.MethodPut && r.URL.Query().Get("partNumber") == "2" {
			return s3test.Refuse
		}
		return s3test.None
	})
	if err := b.Put(t.Context(), "a/large", random(1, 11<<20)); err == nil {
		t.Error("Put succeeds without its second part")
	}
	if n := uploads(t, client, bucket); n != 0 {
		t.Errorf("%d uploads are left of a Put that failed", n)
	}

	proxy.Decide(func(r *http.Request) s3test.Fault {
		if r.Method == http.MethodDelete || r.URL.Query().Get("partNumber") == "2" {
			return s3test.Refuse
		}
		return s3test.None
	})
	if err := b.Put(t.Context(), "a/large", random(1, 11<<20)); err == nil {
		t.Error("Put succeeds without its second part")
	}
	if n := uploads(t, client, bucket); n != 1 {
		t.Fatalf("%d uploads are left where none could be aborted, want 1", n)
	}
	proxy.Decide(nil)
	acquire(t, o)
	if n := uploads(t, client, bucket); n != 0 {
		t.Errorf("%d uploads are left after the next start", n)
	}
	if _, err := b.Get(t.Context(), "a/large"); err == nil {
		t.Error("half an object is there")
	}
}

// More objects than S3 lists at a time.
func TestListPages(t *testing.T) {
	s3test.Setenv(t)
	server := s3test.Start(t)
	b := acquire(t, quick(t, server.Location(server.Bucket(t, "snapshots"), prefix())))
	const n = 1100
	jobs := make(chan int, n)
	errs := make(chan error, 16)
	for i := range n {
		jobs <- i
	}
	close(jobs)
	for range 16 {
		go func() {
			for i := range jobs {
				if err := b.Put(t.Context(), fmt.Sprintf("packs/v/%04d", i), nil); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range 16 {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	list, err := b.List(t.Context(), "packs/v/")
	if err != nil || len(list) != n || list[n-1].Name != "packs/v/1099" {
		t.Errorf("List: %d objects, %v", len(list), err)
	}
}

func TestNamesStayInside(t *testing.T) {
	s3test.Setenv(t)
	server := s3test.Start(t)
	b := acquire(t, quick(t, server.Location(server.Bucket(t, "snapshots"), prefix())))
	for _, name := range []string{"", ".", "..", "../x", "a/../../x", "/x", "a//b", "a/", ".borealis-lease", "a/.b", "a\\b", "a\x00b"} {
		if err := b.Put(t.Context(), name, nil); err == nil {
			t.Errorf("Put %q was accepted", name)
		}
		if _, err := b.Get(t.Context(), name); err == nil {
			t.Errorf("Get %q was accepted", name)
		}
		if err := b.Delete(t.Context(), name); err == nil {
			t.Errorf("Delete %q was accepted", name)
		}
	}
}
