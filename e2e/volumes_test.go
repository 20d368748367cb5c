package e2e

import (
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"borealis/e2e/local"
	"borealis/e2e/story"
	"borealis/internal/server"
	"borealis/internal/volume/s3/s3test"
)

// newS3Server starts a server whose snapshots are in a bucket of store.
func newS3Server(t *testing.T, location string, more ...string) *local.Server {
	t.Helper()
	s := s3Server(t)
	start(t, s, append([]string{"--volumes", location + "&profile=snapshots"}, more...)...)
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Errorf("stop the server: %v", err)
		}
		noneLeft(t, s)
		if t.Failed() {
			log, _ := os.ReadFile(s.LogFile())
			t.Logf("the server's log:\n%s", tail(log, 8000))
		}
	})
	return s
}

// s3Server is a server that has a profile for the bucket, not started.
func s3Server(t *testing.T) *local.Server {
	t.Helper()
	s := &local.Server{Binary: binary, Dir: tempDir(t)}
	if err := s.AddProfile("snapshots", s3test.AccessKeyID, s3test.SecretAccessKey); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestStoryS3 is the main job with snapshots in S3.
func TestStoryS3(t *testing.T) {
	store := s3test.Start(t)
	s := newS3Server(t, store.Location(store.Bucket(t, "snapshots"), "borealis"))
	tell(t, s, func(_, id, secret string) (story.Driver, error) {
		cfg, err := s.Config(t.Context(), id, secret, "")
		return story.NewSDK(cfg), err
	})
	if packs := objects(t, filepath.Join(s.Data(), "volumes")); len(packs) != 0 {
		t.Errorf("snapshots are in the data directory, too: %v", packs)
	}
	if objects(t, store.File("snapshots", "borealis/volumes")) == nil {
		t.Error("no snapshots are in the bucket")
	}
	check(t, s, "--read-data")
}

// objects are the files below dir.
func objects(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			names = append(names, path)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return names
}

// check runs borealis volume check, which must find everything whole.
func check(t *testing.T, s *local.Server, more ...string) {
	t.Helper()
	if out, err := s.Run(t.Context(), nil, append([]string{"volume", "check", "--data", s.Data(), "--root-key", s.RootKey()}, more...)...); err != nil {
		t.Errorf("volume check: %v\n%s", err, out)
	}
}

func stats(t *testing.T, s *local.Server) (out server.VolumeStats) {
	t.Helper()
	text, err := s.Run(t.Context(), nil, "volume", "stats", "--output", "json", "--data", s.Data(), "--root-key", s.RootKey())
	if err == nil {
		err = json.Unmarshal([]byte(text), &out)
	}
	if err != nil {
		t.Fatalf("volume stats: %v", err)
	}
	return out
}

// TestKilledWhileWritingToS3 kills the server in the middle of a snapshot to S3,
// and again of a copy. The next server, which remembers where snapshots are,
// finishes them, and nothing is left over.
func TestKilledWhileWritingToS3(t *testing.T) {
	store := s3test.Start(t)
	bucket := store.Bucket(t, "snapshots")
	s := newS3Server(t, store.Location(bucket, "p/q"))
	packs := func() int { return len(objects(t, store.File(bucket, "p/q/packs"))) }
	ann := root(t, s, accountA)
	ann.database("shop", "secret-secret")
	sum := ann.fill("shop", "secret-secret", 300_000)

	for i, work := range []func(name string) error{
		func(name string) error { return ann.take(t.Context(), name, "shop") },
		func(name string) error { return ann.copy(t.Context(), "night-0", name, ann.newKey()) },
	} {
		name := "night-" + string(rune('0'+i))
		before := packs()
		ann.must("begin "+name, work(name))
		until(t, "the first pack of "+name, func() string {
			if packs() > before || ann.statusOf("snapshot", name) == "available" {
				return ""
			}
			return "nothing is in the bucket"
		})
		s.Kill()
		began := time.Now()
		start(t, s) // without --volumes
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("the next server took %v to start", took)
		}
		ann.available("snapshot", name)
		ann.must("restore "+name, ann.restore(t.Context(), name, "again"+name, ""))
		ann.must("instance", ann.createInstance(t.Context(), "again"+name))
		ann.available("instance", "again"+name+"-1")
		if got := ann.sum("again"+name, "secret-secret"); got != sum {
			t.Errorf("%s holds %s, want %s", name, got, sum)
		}
	}
	check(t, s, "--read-data")
	for _, v := range stats(t, s).Volumes {
		if v.Snapshot == "" || v.Logical < 1<<20 || v.Stored < 1<<20 || v.Own != v.Stored {
			t.Errorf("volume stats: %+v", v)
		}
	}
	rot(t, s, objects(t, store.File(bucket, "p/q/packs"))[0])
	for _, name := range []string{"night-0", "night-1"} {
		ann.must("delete "+name, ann.deleteSnapshot(t.Context(), name))
		ann.gone("snapshot", name)
	}
	until(t, "the bucket to be empty", func() string {
		if left := objects(t, store.File(bucket, "p/q")); len(left) != 1 || filepath.Base(left[0]) != ".borealis-lease" {
			return "there is " + strings.Join(left, ", ")
		}
		return ""
	})
}

// rot changes a byte of an object behind the server's back, and wants that found.
func rot(t *testing.T, s *local.Server, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		b[len(b)/2] ^= 1
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Run(t.Context(), nil, "volume", "check", "--read-data", "--data", s.Data(), "--root-key", s.RootKey())
	if err == nil || !strings.Contains(out, filepath.Base(path)+": its bytes are not those that were written") || !strings.Contains(out, "needed by arn:aws:rds:") {
		t.Errorf("volume check of a pack with another bit: %v\n%s", err, out)
	}
}

// Two servers cannot have one prefix, and a server that has snapshots on disk
// does not go looking for them in S3.
func TestWhoseSnapshots(t *testing.T) {
	store := s3test.Start(t)
	location := store.Location(store.Bucket(t, "snapshots"), "borealis")
	s := newS3Server(t, location)
	other := s3Server(t)
	refused := func(what string, s *local.Server, want string, args ...string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		err := s.Start(ctx, "127.0.0.1:0", args...)
		if err == nil {
			_ = s.Stop()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
	}
	mine := "&profile=snapshots"
	refused("another server", other, "belongs to another data directory", "--volumes", location+mine)
	refused("no bucket", other, "there is no such bucket", "--volumes", store.Location("nowhere", "x")+mine)
	refused("no URL", other, "s3://BUCKET/PREFIX", "--volumes", "/var/lib/snapshots")
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	refused("another prefix", s, "there is none of the snapshots", "--volumes", store.Location("snapshots", "elsewhere")+mine)
	start(t, s, "--volumes", location+mine)
}

// Metrics are at the operator's socket, and at an address if one is given.
func TestMetrics(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s := newServer(t, "--metrics", address, "--scrub-every", "200ms")
	ann := root(t, s, accountA)
	ann.database("shop", "secret-secret")
	ann.must("take", ann.take(t.Context(), "night", "shop"))
	ann.available("snapshot", "night")
	until(t, "metrics", func() string {
		resp, err := http.Get("http://" + address + "/metrics")
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			return err.Error()
		}
		for _, want := range []string{`borealis_volume_jobs_total{job="take",outcome="ok"} 1`, "borealis_volume_scrub_bytes_total ",
			`borealis_volume_store_requests_total{operation="put",outcome="ok"}`, "borealis_volume_problems 0", `borealis_volume_held_bytes{kind="logical"}`} {
			if !strings.Contains(string(text), want) {
				return "there is no " + want
			}
		}
		return ""
	})
	check(t, s)
	if st := stats(t, s); len(st.Volumes) != 1 || len(st.Keys) != 1 || st.Logical == 0 || st.ScrubbedAt.IsZero() {
		t.Errorf("volume stats: %+v", st)
	}
}
