package audit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"borealis/internal/audit"
	"borealis/internal/cloud"
)

// numbered is the n-th event of a test.
func numbered(n int) audit.Event {
	e := event
	e.ID, e.Caller.RequestID = fmt.Sprintf("00000000-0000-4000-8000-%012d", n), strconv.Itoa(n)
	e.Time = event.Time.Add(time.Duration(n) * time.Second)
	return e
}

func reader(t *testing.T, path string) *audit.Reader {
	t.Helper()
	r, err := audit.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// numbers are the request ids of all that r reads from here on.
func numbers(t *testing.T, r *audit.Reader, f *audit.Filter) []string {
	t.Helper()
	var out []string
	for {
		e, _, err := r.Next(f)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e.RequestID)
	}
}

// fill records events 0 to n-1 in files of some hundred bytes to some thousand.
func fill(t *testing.T, n int, size int64) (path string, l *audit.Log) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "audit.jsonl")
	l = open(t, path, audit.Rotate(size, 1000))
	for i := range n {
		if err := errors.Join(l.Record(numbered(i)), l.Written()); err != nil {
			t.Fatal(err)
		}
	}
	return path, l
}

func backwards(from, to int) []string {
	var out []string
	for n := from; n >= to; n-- {
		out = append(out, strconv.Itoa(n))
	}
	return out
}

func TestReadsNewestFirst(t *testing.T) {
	for _, size := range []int64{1, 3000, 1 << 20} {
		path, l := fill(t, 100, size)
		if d := cmp.Diff(backwards(99, 0), numbers(t, reader(t, path), nil)); d != "" {
			t.Errorf("files of %d bytes: %s", size, d)
		}
		r, err := l.Read()
		if err != nil {
			t.Fatal(err)
		}
		// What comes afterwards is not read, nor is what is rotated away lost.
		if err := errors.Join(l.Record(numbered(100)), l.Written(), os.Remove(path)); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(backwards(99, 0), numbers(t, r, nil)); d != "" {
			t.Errorf("files of %d bytes, while they go: %s", size, d)
		}
		r.Close()
	}
	if got := numbers(t, reader(t, filepath.Join(t.TempDir(), "none")), nil); got != nil {
		t.Errorf("no log reads as %v", got)
	}
}

func TestLinesLongerThanAChunk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := open(t, path)
	for n := range 4 {
		e := numbered(n)
		e.EncryptionContext = map[string]string{"k": strings.Repeat("x", n*300_000)}
		if err := l.Record(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(backwards(3, 0), numbers(t, reader(t, path), nil)); d != "" {
		t.Error(d)
	}
}

// A page may begin wherever the one before ended, also after rotations.
func TestPositions(t *testing.T) {
	path, l := fill(t, 30, 3000)
	whole := reader(t, path)
	var places []audit.Position
	for {
		_, at, err := whole.Next(nil)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		places = append(places, at)
	}
	for n := 30; n < 40; n++ {
		if err := errors.Join(l.Record(numbered(n)), l.Written()); err != nil {
			t.Fatal(err)
		}
	}
	for i, at := range places {
		r := reader(t, path)
		if err := r.Before(at); err != nil {
			t.Fatalf("before %+v: %v", at, err)
		}
		if d := cmp.Diff(backwards(28-i, 0), numbers(t, r, nil)); d != "" {
			t.Errorf("before %+v: %s", at, d)
		}
	}
	if err := reader(t, path).Before(audit.Position{File: "00", Offset: 3}); !errors.Is(err, audit.ErrGone) {
		t.Errorf("before a place in no file: %v", err)
	}
	for _, offset := range []int64{-1, 7, 1 << 60} { // places where no event is
		r := reader(t, path)
		if err := r.Before(audit.Position{File: places[0].File, Offset: offset}); err != nil {
			t.Error(err)
		}
		numbers(t, r, nil)
	}
}

func TestBudget(t *testing.T) {
	path, _ := fill(t, 20, 1<<20)
	var got []string
	pauses := 0
	r := reader(t, path)
	r.Budget = 2000
	for {
		e, at, err := r.Next(&audit.Filter{RequestID: "3"})
		if errors.Is(err, audit.ErrPaused) {
			pauses++
			r = reader(t, path)
			r.Budget = 2000
			if err := r.Before(at); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.RequestID)
	}
	if pauses < 3 || len(got) != 1 || got[0] != "3" {
		t.Errorf("%d pauses, found %v", pauses, got)
	}
}

func TestDamageIsSkippedAndCounted(t *testing.T) {
	one := func(n int) string {
		path := filepath.Join(t.TempDir(), "one")
		l := open(t, path)
		if err := errors.Join(l.Record(numbered(n)), l.Close()); err != nil {
			t.Fatal(err)
		}
		return lines(t, path)[0]
	}
	a, b := one(1), one(2)
	tests := map[string]struct {
		text    string
		want    []string
		damaged int
	}{
		"a torn last line":       {a + "\n" + b[:len(b)/2], []string{"1"}, 1},
		"a torn line within":     {a[:len(a)/2] + "\n" + b + "\n", []string{"2"}, 1},
		"a flipped byte":         {a + "\n" + strings.Replace(b, `"eventName"`, `"eventName`, 1) + "\n", []string{"1"}, 1},
		"zeros":                  {a + "\n" + strings.Repeat("\x00", 5000) + "\n" + b + "\n", []string{"2", "1"}, 1},
		"a line without end":     {a + "\n" + strings.Repeat("x", 5<<20), []string{"1"}, 1},
		"a long line within":     {a + "\n" + strings.Repeat("x", 5<<20) + "\n" + b + "\n", []string{"2", "1"}, 1},
		"a long line first":      {strings.Repeat("x", 5<<20) + "\n" + b + "\n", []string{"2"}, 1},
		"empty lines":            {"\n\n" + a + "\n\n\n" + b + "\n\n", []string{"2", "1"}, 0},
		"another version":        {a + "\n" + strings.Replace(b, `{"version":1`, `{"version":2`, 1) + "\n", []string{"1"}, 1},
		"an object of something": {`{"version":1}` + "\n" + a + "\n", []string{"1"}, 1},
		"nothing":                {"", nil, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "audit.jsonl")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			r := reader(t, path)
			if d := cmp.Diff(tt.want, numbers(t, r, nil)); d != "" || r.Damaged != tt.damaged {
				t.Errorf("%d damaged; %s", r.Damaged, d)
			}
			forward := &audit.Follower{}
			if f, err := followFromStart(path); err != nil {
				t.Fatal(err)
			} else {
				forward = f
			}
			defer forward.Close()
			var got []string
			for {
				e, err := forward.Next(nil)
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, e.RequestID)
			}
			slices.Reverse(got)
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("followed: %s", d)
			}
		})
	}
}

// followFromStart follows a log from its beginning, as one who was there before.
func followFromStart(path string) (*audit.Follower, error) {
	away := path + "-away"
	if err := os.Rename(path, away); err != nil {
		return nil, err
	}
	r, err := audit.OpenReader(path)
	if err != nil {
		return nil, err
	}
	f, err := r.Follow()
	return f, errors.Join(err, r.Close(), os.Rename(away, path))
}

// Under load and rotation, a follower sees every event once and in order, and
// readers see no gap.
func TestFollowerUnderLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := open(t, path, audit.Rotate(20_000, 10_000))
	if err := errors.Join(l.Record(numbered(0)), l.Written()); err != nil {
		t.Fatal(err)
	}
	r := reader(t, path)
	f, err := r.Follow()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const events = 2000
	wrote := make(chan error, 1)
	go func() {
		var err error
		for n := 1; n <= events && err == nil; n++ {
			err = l.Record(numbered(n))
			if n%7 == 0 {
				err = errors.Join(err, l.Written())
			}
		}
		wrote <- errors.Join(err, l.Written())
	}()
	next, done := 1, false
	for next <= events {
		e, err := f.Next(nil)
		if errors.Is(err, io.EOF) {
			if done {
				t.Fatalf("the follower ends at %d", next)
			}
			select {
			case err := <-wrote:
				if err != nil {
					t.Fatal(err)
				}
				done = true
			case <-time.After(time.Millisecond):
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if e.RequestID != strconv.Itoa(next) {
			t.Fatalf("after %d the follower sees %s", next-1, e.RequestID)
		}
		if next%500 == 0 {
			back := reader(t, path)
			seen := numbers(t, back, nil)
			newest, _ := strconv.Atoi(seen[0])
			if d := cmp.Diff(backwards(newest, 0), seen); d != "" || back.Damaged > 1 {
				t.Fatalf("a reader sees a gap: %d damaged, %s", back.Damaged, d)
			}
			back.Close()
		}
		next++
	}
	if got := numbers(t, r, nil); len(got) != 1 || f.Lost != 0 || f.Damaged != 0 {
		t.Errorf("the reader of the time before sees %v; the follower lost %d and found %d damaged", got, f.Lost, f.Damaged)
	}
}

func TestFollowerSaysWhatItLost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := open(t, path, audit.Rotate(1, 2))
	step := func(n int) {
		if err := errors.Join(l.Record(numbered(n)), l.Written()); err != nil {
			t.Fatal(err)
		}
	}
	step(0)
	f, err := reader(t, path).Follow()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for n := 1; n < 10; n++ {
		step(n)
	}
	var got []string
	for {
		e, err := f.Next(nil)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.RequestID)
	}
	if d := cmp.Diff([]string{"7", "8", "9"}, got); d != "" || f.Lost != 1 {
		t.Errorf("lost %d times; %s", f.Lost, d)
	}
}

func TestFilters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := open(t, path)
	ann := cloud.Caller{Kind: cloud.User, Account: "111122223333", ARN: "arn:aws:iam::111122223333:user/team/ann", UserID: "AIDAANN", UserName: "ann", RequestID: "ann"}
	key := "arn:aws:kms:eu-west-1:111122223333:key/k"
	call := func(c cloud.Caller, op string, actions ...string) {
		k := &audit.Call{Service: "kms", Operation: op, Caller: c, Time: event.Time.Add(time.Hour)}
		c.Call = k
		var err error
		for _, a := range actions {
			err = errors.Join(err, l.Record(audit.Event{Caller: c, Action: a, Resource: key, Owner: "111122223333", Allowed: true, Reason: "allowed by x"}))
		}
		if err = errors.Join(err, l.Finish(k, audit.Outcome{})); err != nil {
			t.Fatal(err)
		}
	}
	bob := event
	bob.Caller.RequestID = "bob"
	if err := l.Record(bob); err != nil {
		t.Fatal(err)
	}
	call(ann, "ReEncrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo")
	eve := ann
	eve.ARN, eve.UserName, eve.UserID, eve.RequestID = `arn:aws:iam::111122223333:user/"eve"`, "eve", "AIDAEVE", "eve"
	call(eve, "ListKeys")
	r, err := l.Read()
	if err != nil {
		t.Fatal(err)
	}
	first, _, err := r.Next(&audit.Filter{RequestID: "bob"})
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	tests := map[string]struct {
		f    audit.Filter
		want string
	}{
		"nothing":              {audit.Filter{}, "eve ann bob"},
		"an account":           {audit.Filter{Account: "111122223333"}, "eve ann bob"},
		"the caller's account": {audit.Filter{Account: "444455556666"}, "bob"},
		"an ARN":               {audit.Filter{Principal: ann.ARN}, "ann"},
		"a user's name":        {audit.Filter{Principal: "ann"}, "ann"},
		"the end of a name":    {audit.Filter{Principal: "nn"}, ""},
		"the end of an ARN":    {audit.Filter{Principal: "user/team/ann"}, "ann"},
		"a role":               {audit.Filter{Principal: "role/dev"}, "bob"},
		"a name with quotes":   {audit.Filter{Principal: `"eve"`}, "eve"},
		"an operation":         {audit.Filter{Operation: "ReEncrypt"}, "ann"},
		"a service's":          {audit.Filter{Operation: "kms:ReEncrypt"}, "ann"},
		"an action":            {audit.Filter{Operation: "kms:ReEncryptTo"}, "ann"},
		"another service's":    {audit.Filter{Operation: "rds:ReEncrypt"}, ""},
		"a resource":           {audit.Filter{Resource: key}, "ann bob"},
		"a resource's end":     {audit.Filter{Resource: "key/k"}, "ann bob"},
		"denied":               {audit.Filter{Decision: "denied"}, "bob"},
		"allowed":              {audit.Filter{Decision: "allowed"}, "ann"},
		"via":                  {audit.Filter{Via: "rds"}, "bob"},
		"via in full":          {audit.Filter{Via: "backup.amazonaws.com"}, "bob"},
		"since":                {audit.Filter{Since: event.Time.Add(time.Minute)}, "eve ann"},
		"until":                {audit.Filter{Until: event.Time.Add(time.Minute)}, "bob"},
		"long since":           {audit.Filter{Since: event.Time.Add(24 * time.Hour)}, ""},
		"a request":            {audit.Filter{RequestID: "bob"}, "bob"},
		"an event":             {audit.Filter{EventID: first.ID}, "bob"},
		"the caller's event":   {audit.Filter{EventID: first.IDIn("444455556666")}, "bob"},
		"the shared event":     {audit.Filter{EventID: first.SharedID()}, "bob"},
		"two together":         {audit.Filter{Account: "444455556666", Operation: "ReEncrypt"}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := strings.Join(numbers(t, reader(t, path), &tt.f), " "); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestIDsInAccounts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := open(t, path)
	k := &audit.Call{Service: "kms", Operation: "ReEncrypt", Caller: event.Caller, Time: event.Time}
	for i, owner := range []cloud.AccountID{"111122223333", "777788889999"} {
		e := numbered(i)
		e.Owner, e.Resource, e.Caller.Call = owner, "arn:aws:kms:eu-west-1:"+string(owner)+":key/k", k
		if err := l.Record(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(l.Finish(k, audit.Outcome{}), l.Close()); err != nil {
		t.Fatal(err)
	}
	e, _, err := reader(t, path).Next(nil)
	if err != nil {
		t.Fatal(err)
	}
	ids := []string{e.IDIn("111122223333"), e.IDIn("777788889999"), e.IDIn("444455556666"), e.SharedID()}
	if ids[0] != numbered(0).ID || ids[1] != numbered(1).ID {
		t.Errorf("owners have events %v, want those that were recorded", ids[:2])
	}
	if slices.Sort(ids); len(slices.Compact(ids)) != 4 {
		t.Errorf("ids are not of one event each: %v", ids)
	}
}

// Nothing of an input goes on record but what is named, whatever it holds.
func TestOnlyNamedParametersAreOnRecord(t *testing.T) {
	const secret = "c2VjcmV0LXBsYWludGV4dA"
	l := open(t, filepath.Join(t.TempDir(), "audit.jsonl"))
	inputs := []any{
		&kms.EncryptInput{KeyId: new("k"), Plaintext: []byte(secret), GrantTokens: []string{secret}},
		&kms.DecryptInput{CiphertextBlob: []byte(secret)},
		&kms.SignInput{Message: []byte(secret)},
		&kms.VerifyInput{Message: []byte(secret), Signature: []byte(secret)},
		&kms.VerifyMacInput{Mac: []byte(secret), Message: []byte(secret)},
		&kms.ImportKeyMaterialInput{EncryptedKeyMaterial: []byte(secret), ImportToken: []byte(secret)},
		&kms.CreateCustomKeyStoreInput{KeyStorePassword: new(secret)},
		&kms.UpdateCustomKeyStoreInput{KeyStorePassword: new(secret)},
		&kms.ConnectCustomKeyStoreInput{},
	}
	for _, in := range inputs {
		if err := l.Finish(&audit.Call{Service: "kms", Operation: "Create", Time: event.Time, Input: in}, audit.Outcome{Output: in}); err != nil {
			t.Fatal(err)
		}
	}
	r, err := l.Read()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for range inputs {
		e, _, err := r.Next(nil)
		if err != nil {
			t.Fatal(err)
		}
		if text, _ := json.Marshal(e); bytes.Contains(text, []byte(secret)) {
			t.Errorf("%s", text)
		}
	}
}

// What is written is JSON, and reads as what was recorded, whatever callers send.
func TestLinesReadBack(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "audit.jsonl"))
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(0, 40, 160)
		e := numbered(1)
		e.Reason, e.Caller.ARN, e.Resource = text.Draw(t, "reason"), text.Draw(t, "arn"), text.Draw(t, "resource")
		e.EncryptionContext = rapid.MapOf(text, text).Draw(t, "context")
		if err := l.Record(e); err != nil {
			t.Fatal(err)
		}
		r, err := l.Read()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		got, _, err := r.Next(nil)
		if err != nil {
			t.Fatal(err)
		}
		d := got.Decisions[0]
		if d.Reason != e.Reason || got.Identity.ARN != e.Caller.ARN || d.Resource != e.Resource {
			t.Fatalf("%+v", got)
		}
		var p struct{ EncryptionContext map[string]string }
		if len(e.EncryptionContext) > 0 {
			if err := json.Unmarshal(got.Parameters, &p); err != nil || !cmp.Equal(p.EncryptionContext, e.EncryptionContext) {
				t.Fatalf("%s, %v", got.Parameters, err)
			}
		}
	})
}

// FuzzReader reads what anything may have left in the log's place.
func FuzzReader(f *testing.F) {
	path := filepath.Join(f.TempDir(), "seed")
	l, err := audit.Open(path)
	if err != nil {
		f.Fatal(err)
	}
	if err := errors.Join(l.Record(event), l.Record(numbered(2)), l.Close()); err != nil {
		f.Fatal(err)
	}
	seed, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed, int64(0))
	f.Add(seed[:len(seed)-9], int64(300))
	f.Add([]byte("\n\n{\"version\":1,\"eventID\":\"x\",\"eventName\":\"y\",\"eventTime\":\"2026-01-05T04:10:00Z\",\"decisions\":[{}]}\nx"), int64(-4))
	f.Fuzz(func(t *testing.T, text []byte, offset int64) {
		path := filepath.Join(t.TempDir(), "audit.jsonl")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		r := reader(t, path)
		found := numbers(t, r, nil)
		if most := bytes.Count(text, []byte("\n")) + 1; len(found)+r.Damaged > most {
			t.Fatalf("%d events and %d damaged in %d lines", len(found), r.Damaged, most)
		}
		again := reader(t, path)
		for {
			e, at, err := again.Next(&audit.Filter{Account: "111122223333", Since: event.Time})
			if err != nil {
				break
			}
			e.Accounts()
			e.SharedID()
			e.Resources()
			if err := reader(t, path).Before(audit.Position{File: at.File, Offset: offset}); err != nil && at.File != "" {
				t.Fatal(err)
			}
		}
		w, err := followFromStart(path)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		for {
			if _, err := w.Next(nil); err != nil {
				break
			}
		}
	})
}

// A look-up that finds nothing reads everything.
func BenchmarkLookUp(b *testing.B) {
	path := filepath.Join(b.TempDir(), "audit.jsonl")
	l, err := audit.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	for n := range 50_000 {
		if err := l.Record(numbered(n)); err != nil {
			b.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(info.Size())
	for b.Loop() {
		r, err := audit.OpenReader(path)
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := r.Next(&audit.Filter{Account: "444455556666", Texts: []string{"nobody"}}); !errors.Is(err, io.EOF) {
			b.Fatal(err)
		}
		r.Close()
	}
}

// Why something was denied is read back as it was recorded; what is too long to
// keep is left out.
func TestExplanationsReadBack(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "audit.jsonl"))
	short := []byte(`{"version":1,"sentence":"denied"}`)
	for _, c := range []struct{ given, want []byte }{{short, short}, {[]byte(`"` + strings.Repeat("x", 64<<10) + `"`), nil}} {
		e := numbered(1)
		e.Allowed, e.Explanation = false, c.given
		if err := l.Record(e); err != nil {
			t.Fatal(err)
		}
		r, err := l.Read()
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := r.Next(nil)
		if err != nil || !bytes.Equal(got.Decisions[0].Explanation, c.want) {
			t.Errorf("%.100s, %v", got.Decisions[0].Explanation, err)
		}
		r.Close()
	}
}
