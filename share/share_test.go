package share_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	rdstypes "github.com/aws/aws-sdk-go-v2/service/rds/types"
	"github.com/google/go-cmp/cmp"

	"borealis/share"
)

// apply plans and applies, and returns the events.
func apply(t *testing.T, w *share.Workflow, req share.Request) (*share.Result, []share.Event, error) {
	t.Helper()
	p, err := w.Plan(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	var events []share.Event
	w.Observe = func(e share.Event) { events = append(events, e) }
	r, err := w.Apply(t.Context(), p)
	return r, events, err
}

var nightly = share.Request{Snapshot: "nightly"}

func TestApplyMakesOneOfEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world, w := newWorld()
		r, events, err := apply(t, w, nightly)
		if err != nil {
			t.Fatal(err)
		}
		if want := "arn:aws:rds:eu-west-1:444455556666:cluster-snapshot:nightly"; r.TargetSnapshot != want {
			t.Errorf("target snapshot %s, want %s", r.TargetSnapshot, want)
		}
		var progress []string
		for _, e := range events {
			if e.State == share.Progress {
				progress = append(progress, fmt.Sprint(e.Step, " ", e.Status, " ", e.Percent))
			}
		}
		want := []string{"copy-under-key copying 33", "copy-under-key copying 66", "copy-to-target copying 33", "copy-to-target copying 66"}
		if d := cmp.Diff(want, progress); d != "" {
			t.Error(d)
		}
		for _, change := range []string{"source CreateKey", "source CreateAlias", "source CopyDBClusterSnapshot", "source ModifyDBClusterSnapshotAttribute", "target CopyDBClusterSnapshot"} {
			if n := world.count(change); n != 1 {
				t.Errorf("%s %d times", change, n)
			}
		}
		if n := len(world.asked); n > 32 {
			t.Errorf("%d requests for one small snapshot", n)
		}
	})
}

// A copy takes hours, and the network does not last that long.
func TestPollingLivesThroughFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world, w := newWorld()
		began := time.Now()
		world.Copying = func(_ string, looks int) string {
			if time.Since(began) < time.Hour {
				return "copying"
			}
			return "available"
		}
		world.Fault = func(ask string) error {
			if ask == "source DescribeDBClusterSnapshots" && world.count(ask)%3 == 0 && world.count("source CopyDBClusterSnapshot") == 1 {
				return &net.OpError{Op: "dial", Err: errors.New("connection refused")}
			}
			return nil
		}
		if _, _, err := apply(t, w, nightly); err != nil {
			t.Fatal(err)
		}
		if n := world.count("source DescribeDBClusterSnapshots"); n < 180 || n > 400 {
			t.Errorf("%d looks at a copy that takes an hour", n)
		}
	})
}

func TestPollingGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world, w := newWorld()
		world.Fault = func(ask string) error {
			if ask == "source DescribeDBClusterSnapshots" && world.count("source CopyDBClusterSnapshot") == 1 {
				return &net.OpError{Op: "dial", Err: errors.New("connection refused")}
			}
			return nil
		}
		if _, _, err := apply(t, w, nightly); err == nil || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("error %v", err)
		}
	})
}

func TestCopyEndsBadly(t *testing.T) {
	for name, c := range map[string]struct {
		status string
		want   error
		says   string
	}{
		"failed":   {"failed", share.ErrFailed, "aws rds delete-db-cluster-snapshot"},
		"deleting": {"deleting", share.ErrChanged, "is being deleted"},
		"gone":     {"", share.ErrChanged, "is gone"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				world, w := newWorld()
				world.Copying = func(id string, looks int) string {
					switch {
					case looks < 3:
						return "copying"
					case id == "nightly":
						return c.status
					}
					return "available"
				}
				_, _, err := apply(t, w, nightly)
				if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), targetID) {
					t.Fatalf("error %v, want %v", err, c.want)
				}
				if c.status != "failed" {
					return
				}
				if _, err := w.Plan(t.Context(), nightly); !errors.Is(err, share.ErrFailed) {
					t.Errorf("the next plan: %v", err)
				}
			})
		})
	}
}

func TestFailedCopyNamesTheKeyThatWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world, w := newWorld()
		world.Copying = func(string, int) string {
			for _, k := range world.keys {
				if k.meta.KeyManager == kmstypes.KeyManagerTypeCustomer {
					k.meta.KeyState = kmstypes.KeyStatePendingDeletion
				}
			}
			return "failed"
		}
		_, _, err := apply(t, w, nightly)
		d, ok := errors.AsType[*share.DeniedError](err)
		if !ok || !errors.Is(err, share.ErrFailed) || !strings.Contains(d.Cause, "PendingDeletion") || !strings.Contains(d.Fix, "cancel-key-deletion") {
			t.Errorf("error %v", err)
		}
	})
}

// A refusal that says nothing is waited out until the key is as old as AWS takes
// to spread a policy, and no longer.
func TestPropagation(t *testing.T) {
	refusal := func(key string) error {
		return refuse("KMSKeyNotAccessibleFault", "The source snapshot KMS key [%s] does not exist, is not enabled or you do not have permissions to access it.", key)
	}
	elsewhere := refuse("AccessDeniedException", "User: x is not authorized to perform: kms:DescribeKey on this resource because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access")
	for name, c := range map[string]struct {
		propagation time.Duration
		describe    error // what the target hears when it asks for the key
		passes      time.Duration
		least, most time.Duration
		fails       bool
	}{
		"passes":                   {0, elsewhere, 2 * time.Minute, 2 * time.Minute, 3 * time.Minute, false},
		"does not pass":            {0, elsewhere, time.Hour, 4 * time.Minute, 5*time.Minute + time.Second, true},
		"the policy is in force":   {0, nil, time.Hour, 20 * time.Second, time.Minute, true},
		"no patience":              {-1, elsewhere, time.Hour, 0, 5 * time.Second, true},
		"IAM":                      {0, refuse("AccessDeniedException", "User: x is not authorized to perform: kms:DescribeKey on this resource because no identity-based policy allows the kms:DescribeKey action"), time.Hour, 0, 5 * time.Second, true},
		"a service control policy": {0, refuse("AccessDeniedException", "User: x is not authorized to perform: kms:DescribeKey on this resource with an explicit deny in a service control policy"), time.Hour, 0, 5 * time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				world, w := newWorld()
				w.Propagation = c.propagation
				began := time.Now()
				world.Fault = func(ask string) error {
					early := time.Since(began) < c.passes
					switch {
					case ask == "target CopyDBClusterSnapshot" && early:
						return refusal("arn:aws:kms:eu-west-1:" + sourceID + ":key/key-2")
					case ask == "target DescribeKey" && early:
						return c.describe
					}
					return nil
				}
				_, _, err := apply(t, w, nightly)
				if took := time.Since(began); took < c.least || took > c.most {
					t.Errorf("it took %s, want %s to %s", took, c.least, c.most)
				}
				d, denied := errors.AsType[*share.DeniedError](err)
				if denied != c.fails || denied && d.Cause == "" {
					t.Errorf("error %v", err)
				}
			})
		})
	}
}

// A run on the next day has nothing to wait for.
func TestOldKeysAreNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world, w := newWorld()
		world.Fault = func(ask string) error {
			if ask == "target CopyDBClusterSnapshot" {
				return refuse("KMSKeyNotAccessibleFault", "The source snapshot KMS key [arn:aws:kms:eu-west-1:%s:key/key-2] does not exist", sourceID)
			}
			return nil
		}
		_, _, _ = apply(t, w, nightly)
		time.Sleep(24 * time.Hour)
		began := time.Now()
		if _, _, err := apply(t, w, nightly); err == nil {
			t.Error("no error")
		}
		if d := time.Since(began); d > time.Second {
			t.Errorf("waited %s for a key of yesterday", d)
		}
	})
}

func TestLostAnswers(t *testing.T) {
	lost := lostAnswerError{&net.OpError{Op: "read", Err: errors.New("connection reset by peer")}}
	for _, ask := range []string{"source CreateKey", "source CopyDBClusterSnapshot", "target CopyDBClusterSnapshot"} {
		t.Run(ask, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				world, w := newWorld()
				world.Fault = func(a string) error {
					if a == ask && world.count(ask) == 1 {
						return lost
					}
					return nil
				}
				if _, _, err := apply(t, w, nightly); err == nil {
					t.Fatal("no error")
				}
				if _, _, err := apply(t, w, nightly); err != nil {
					t.Fatal(err)
				}
				if n := len(world.keys); n != 3 { // two of AWS's
					t.Errorf("%d keys", n)
				}
				if n := len(world.snapshots); n != 3 {
					t.Errorf("%d snapshots", n)
				}
			})
		})
	}
}

// Keys that have nothing to do with the run are not taken for its own, however
// similar they are.
func TestSearchTakesNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world, w := newWorld()
		p, err := w.Plan(t.Context(), nightly)
		if err != nil {
			t.Fatal(err)
		}
		tags := []kmstypes.Tag{{TagKey: new("borealis:run"), TagValue: &p.Run}}
		world.newKey([]kmstypes.Tag{{TagKey: new("borealis:run"), TagValue: new("another")}}, "")
		world.newKey(tags, "").meta.KeyState = kmstypes.KeyStatePendingDeletion
		world.newKey(tags, "").meta.CreationDate = new(time.Now().Add(-48 * time.Hour)) // older than the snapshot
		named := world.newKey(tags, "")
		world.aliases["arn:aws:kms:"+region+":"+sourceID+":alias/somebody-cares"] = *named.meta.Arn
		late := world.newKey(tags, "")
		late.meta.CreationDate = new(time.Now().Add(time.Second))
		first := world.newKey(tags, "")
		if p, err = w.Plan(t.Context(), nightly); err != nil {
			t.Fatal(err)
		}
		if s := p.Steps[0]; s.Change != share.Exists || s.ARN != *first.meta.Arn {
			t.Errorf("step %+v, want key %s", s, *first.meta.Arn)
		}
		if s := p.Steps[1]; s.Change != share.Creates {
			t.Errorf("step %+v", s)
		}
	})
}

func TestNamesOfSnapshots(t *testing.T) {
	long := strings.Repeat("a", 60) + "-" + strings.Repeat("b", 10)
	for id, want := range map[string]string{
		"nightly":                        "nightly",
		"rds:orders-2026-01-05-03-12":    "orders-2026-01-05-03-12",
		"awsbackup:job-0a1b2c3d":         "awsbackup-job-0a1b2c3d",
		long:                             long[:63],
		strings.Repeat("c", 63):          strings.Repeat("c", 63),
		"rds:" + strings.Repeat("d", 80): strings.Repeat("d", 63),
	} {
		synctest.Test(t, func(t *testing.T) {
			world, w := newWorld()
			world.put(snapshot(id))
			p, err := w.Plan(t.Context(), share.Request{Snapshot: id})
			if err != nil {
				t.Fatal(err)
			}
			if p.Request.CopyID != want {
				t.Errorf("copy of %s is %s, want %s", id, p.Request.CopyID, want)
			}
			for _, s := range p.Steps {
				_, name, ok := strings.Cut(s.ARN, ":cluster-snapshot:")
				if ok && (len(name) > 63 || strings.HasSuffix(name, "-") || strings.ContainsAny(name, ":")) {
					t.Errorf("%s would be called %s", s.ID, name)
				}
			}
			if _, _, err := apply(t, w, share.Request{Snapshot: id}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestPlanRefuses(t *testing.T) {
	for name, change := range map[string]func(*world, *share.Workflow, *share.Request){
		"nothing named": func(_ *world, _ *share.Workflow, r *share.Request) { r.Snapshot = "" },
		"not encrypted": func(w *world, _ *share.Workflow, _ *share.Request) { w.source().StorageEncrypted = new(false) },
		"not available": func(w *world, _ *share.Workflow, _ *share.Request) { w.source().Status = new("creating") },
		"same account":  func(_ *world, w *share.Workflow, _ *share.Request) { w.Target = w.Source },
		"other Region":  func(_ *world, w *share.Workflow, _ *share.Request) { w.Target.Region = "us-east-1" },
		"key disabled": func(w *world, _ *share.Workflow, _ *share.Request) {
			w.defaultKey().meta.KeyState = kmstypes.KeyStateDisabled
		},
		"cluster not named": func(_ *world, _ *share.Workflow, r *share.Request) { r.Restore = &share.Restore{Class: "db.r6g.large"} },
		"tag of AWS's":      func(_ *world, _ *share.Workflow, r *share.Request) { r.Key.Tags = map[string]string{"AWS:x": "y"} },
	} {
		t.Run(name, func(t *testing.T) {
			world, w := newWorld()
			req := nightly
			change(world, w, &req)
			if _, err := w.Plan(t.Context(), req); !errors.Is(err, share.ErrUsage) {
				t.Errorf("error %v, want ErrUsage", err)
			}
		})
	}
}

func (w *world) source() *rdstypes.DBClusterSnapshot {
	return w.snapshots["arn:aws:rds:"+region+":"+sourceID+":cluster-snapshot:nightly"]
}

func (w *world) defaultKey() *key { return w.keys["arn:aws:kms:"+region+":"+sourceID+":key/default"] }

func TestApplyChecksThePlan(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*world, *share.Plan)
		want   error
	}{
		"schema":        {func(_ *world, p *share.Plan) { p.Schema = 2 }, share.ErrUsage},
		"step":          {func(_ *world, p *share.Plan) { p.Steps[0].ID = "dance" }, share.ErrUsage},
		"accounts":      {func(_ *world, p *share.Plan) { p.Target.Account = "777788889999" }, share.ErrChanged},
		"snapshot new":  {func(w *world, _ *share.Plan) { w.source().SnapshotCreateTime = new(time.Now()) }, share.ErrChanged},
		"snapshot gone": {func(w *world, _ *share.Plan) { delete(w.snapshots, *w.source().DBClusterSnapshotArn) }, share.ErrChanged},
	} {
		t.Run(name, func(t *testing.T) {
			world, w := newWorld()
			p, err := w.Plan(t.Context(), nightly)
			if err != nil {
				t.Fatal(err)
			}
			c.change(world, p)
			if _, err := w.Apply(t.Context(), p); !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if slices.Contains(world.asked, "source CreateKey") {
				t.Error("a key was made")
			}
		})
	}
}

// A plan kept as JSON is the same plan, and its form does not change unawares.
func TestPlanAsJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, w := newWorld()
		p, err := w.Plan(t.Context(), share.Request{Snapshot: "nightly", Key: share.KeyRequest{Tags: map[string]string{"team": "dba"}}})
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.MarshalIndent(p, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "testdata/plan.json", string(text)+"\n")
		var again share.Plan
		if err := json.Unmarshal(text, &again); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(*p, again); d != "" {
			t.Error(d)
		}
		if _, err := w.Apply(t.Context(), &again); err != nil {
			t.Error(err)
		}
	})
}

func TestEventAsJSON(t *testing.T) {
	e := share.Event{Schema: 1, Run: "7f3a", Step: share.CopyUnderKey, State: share.Progress, Account: sourceID, Percent: 68, Status: "copying", Elapsed: share.Elapsed(90250 * time.Millisecond)}
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"schema":1,"time":"0001-01-01T00:00:00Z","run":"7f3a","step":"copy-under-key","state":"progress","account":"111122223333","percent":68,"status":"copying","elapsed_s":90.25}`
	if string(text) != want {
		t.Errorf("event\n%s, want\n%s", text, want)
	}
	var again share.Event
	if err := json.Unmarshal(text, &again); err != nil || again != e {
		t.Errorf("event %+v, error %v", again, err)
	}
}

// golden compares text with a file, which GOLDEN=write writes.
func golden(t *testing.T, file, text string) {
	t.Helper()
	if os.Getenv("GOLDEN") == "write" {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), text); d != "" {
		t.Errorf("%s is out of date; if it may be, run with GOLDEN=write:\n%s", file, d)
	}
}

// The SDK's own retries make a second key where the answer to the first request
// was lost.
func TestKeysAreNotAskedForTwice(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".CreateKey"):
			asked.Add(1)
			panic(http.ErrAbortHandler)
		default:
			fmt.Fprintf(w, `<GetCallerIdentityResponse><GetCallerIdentityResult><Account>%s</Account><Arn>arn:aws:iam::%[1]s:user/ann</Arn></GetCallerIdentityResult></GetCallerIdentityResponse>`, sourceID)
		}
	}))
	defer server.Close()
	side, err := share.NewSide(t.Context(), aws.Config{Region: region, BaseEndpoint: &server.URL, Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "AKIAEXAMPLE", SecretAccessKey: "secret"}, nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	_, w := newWorld()
	w.Source.KMS = &realCreateKey{fakeKMS: w.Source.KMS.(*fakeKMS), real: side.KMS}
	if _, _, err := apply(t, w, nightly); err == nil {
		t.Error("no error")
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("asked for a key %d times", n)
	}
}

// realCreateKey is fakeKMS with the SDK's way to make keys.
type realCreateKey struct {
	*fakeKMS
	real share.KMS
}

func (k *realCreateKey) CreateKey(ctx context.Context, in *kms.CreateKeyInput, opts ...func(*kms.Options)) (*kms.CreateKeyOutput, error) {
	return k.real.CreateKey(ctx, in, opts...)
}
