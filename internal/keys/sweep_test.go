package keys_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"borealis/internal/cloud"
	"borealis/internal/keys"
)

var errFault = errors.New("the disk is on fire")

// A breaking store fails at its nth step. The steps are the calls of transactions
// that Sweep makes, and the commits of those that write. If lost, they are the
// commits alone, and the one that fails has happened all the same.
type breaking struct {
	keys.Store
	n     int
	lost  bool
	fired bool
}

// step counts, and says whether this step is the one that fails.
func (f *breaking) step(commit bool) bool {
	if f.lost && !commit {
		return false
	}
	f.n--
	f.fired = f.fired || f.n == 0
	return f.n == 0
}

func (f *breaking) Update(ctx context.Context, fn func(keys.Tx) error) error {
	broke := false
	err := f.Store.Update(ctx, func(tx keys.Tx) error {
		if err := fn(&breakingTx{tx, f}); err != nil {
			return err
		}
		if broke = f.step(true); broke && !f.lost {
			return errFault
		}
		return nil
	})
	if err == nil && broke {
		return errFault
	}
	return err
}

func (f *breaking) View(ctx context.Context, fn func(keys.Tx) error) error {
	return f.Store.View(ctx, func(tx keys.Tx) error { return fn(&breakingTx{tx, f}) })
}

type breakingTx struct {
	keys.Tx
	f *breaking
}

func (t *breakingTx) Key(r keys.Ref) (keys.Key, error) {
	if t.f.step(false) {
		return keys.Key{}, errFault
	}
	return t.Tx.Key(r)
}

func (t *breakingTx) Due(now time.Time, after keys.Ref, n int) ([]keys.Ref, error) {
	if t.f.step(false) {
		return nil, errFault
	}
	return t.Tx.Due(now, after, n)
}

func (t *breakingTx) PutKey(k keys.Key) error {
	if t.f.step(false) {
		return errFault
	}
	return t.Tx.PutKey(k)
}

func (t *breakingTx) DeleteKey(r keys.Ref) error {
	if t.f.step(false) {
		return errFault
	}
	return t.Tx.DeleteKey(r)
}

// A sweepable world has one key of each sort that Sweep has to do with, and what
// was encrypted under them.
type sweepable struct {
	*world
	keys  map[string]*string
	blobs map[string][]byte
}

func newSweepable(t *testing.T) *sweepable {
	w := &sweepable{newWorld(t), make(map[string]*string), make(map[string][]byte)}
	ann := w.person(home, "user/ann", allow("kms:*"))
	add := func(name string, key *string) {
		w.keys[name] = key
		w.blobs[name] = must(ann.encrypt(key, nil))(t)
	}
	bring := func() *string {
		key := ann.external(kms.CreateKeyInput{})
		must(ann.bring(ann.parcel(key), secretOf(1), until(w.clock().Add(day))))(t)
		return key
	}
	rotating := func() *string {
		key := ann.key()
		ann.may("enable rotation", ann.enableRotation(key, 90))
		return key
	}
	add("untouched", ann.key())
	add("expires", bring())
	add("rotates", rotating())
	add("all at once", bring())
	add("deleted and rotates", rotating())
	family := ann.family("us-east-1")
	ann.may("enable rotation", ann.enableRotation(family, 90))
	add("family", family)
	ann.may("schedule", errors.Join(ann.schedule(w.keys["all at once"]), ann.schedule(w.keys["deleted and rotates"])))
	w.wait(100 * day)
	return w
}

// outcome says what has become of the keys.
func (w *sweepable) outcome(t *testing.T) string {
	t.Helper()
	ann := w.person(home, "user/ann", allow("kms:*"))
	var all []string
	for _, name := range []string{"untouched", "expires", "rotates", "all at once", "deleted and rotates", "family"} {
		line := name + ": "
		if err := ann.describe(w.keys[name]); err != nil {
			line += code(err)
		} else {
			history := strings.ReplaceAll(ann.history(w.keys[name]), "\n", " | ")
			line += fmt.Sprintf("%s, %s, %s", ann.metadata(w.keys[name]).KeyState, history, ann.rotation(w.keys[name]))
		}
		all = append(all, line+", old ciphertext: "+code(ann.decrypt(w.blobs[name], nil)))
	}
	east := ann.with(func(c *cloud.Caller) { c.Region = "us-east-1" })
	there := new(strings.Replace(*w.keys["family"], string(region), "us-east-1", 1))
	return strings.Join(append(all, "replica: "+strings.ReplaceAll(east.history(there), "\n", " | ")+", old ciphertext: "+code(east.decrypt(w.blobs["family"], nil))), "\n")
}

// Wherever the store breaks, and whether the process dies of it or not, the next
// sweep ends where one that nothing befell would have.
func TestSweepAfterEveryFault(t *testing.T) {
	t.Parallel()
	w := newSweepable(t)
	restore := w.image()
	restore()
	if n := w.sweep(); n != 5 {
		t.Errorf("swept %d keys, want 5", n)
	}
	want := w.outcome(t)
	const rotated = "NON_CURRENT | CURRENT AUTOMATIC 2027-03-03 10:00:00"
	if expect := "untouched: Enabled, CURRENT, none, old ciphertext: \n" +
		"expires: PendingImport, CURRENT PENDING_IMPORT, none, old ciphertext: KMSInvalidStateException\n" +
		"rotates: Enabled, " + rotated + ", 90 days, next 2027-06-01 10:00:00, old ciphertext: \n" +
		"all at once: NotFoundException, old ciphertext: InvalidCiphertextException\n" +
		"deleted and rotates: NotFoundException, old ciphertext: InvalidCiphertextException\n" +
		"family: Enabled, " + rotated + ", 90 days, next 2027-06-01 10:00:00, old ciphertext: \n" +
		"replica: " + rotated + ", old ciphertext: "; want != expect {
		t.Fatalf("without faults:\n%s\nwant\n%s", want, expect)
	}
	for _, lost := range []bool{false, true} {
		for _, dies := range []bool{false, true} {
			for n := 1; ; n++ {
				restore()
				f := &breaking{Store: w.Store, n: n, lost: lost}
				w.Store = f
				_, err := w.Sweep(t.Context(), w.clock())
				if !f.fired {
					if n <= 5 { // a commit for each key at least
						t.Errorf("only %d steps: the test does not see them", n-1)
					}
					break
				}
				if !errors.Is(err, errFault) {
					t.Errorf("step %d: %v, want the fault", n, err)
				}
				if dies {
					w.reopen()
				}
				if _, err := w.Sweep(t.Context(), w.clock()); err != nil {
					t.Errorf("sweep after a fault in step %d: %v", n, err)
				}
				if got := w.outcome(t); got != want {
					t.Errorf("fault in step %d (done all the same: %t, then a crash: %t):\n%s\nwant\n%s", n, lost, dies, got, want)
				}
			}
		}
	}
}

// A key that cannot be seen to does not hold up the others, and is as unusable as
// if it had been.
func TestSweepGoesOn(t *testing.T) {
	w := newSweepable(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	stuck := w.keys["all at once"]
	id := (*stuck)[strings.LastIndex(*stuck, "/")+1:]
	w.Store = &stubborn{w.Store, id}
	n, err := w.Sweep(t.Context(), w.clock())
	if n != 4 || !errors.Is(err, errFault) || !strings.Contains(err.Error(), *stuck) {
		t.Errorf("swept %d, %v; want 4 and the key that failed", n, err)
	}
	ann.mayNot("find the key that was not deleted", "NotFoundException", ann.describe(stuck))
	if got := w.outcome(t); strings.Count(got, "AUTOMATIC") != 3 || !strings.Contains(got, "expires: PendingImport, CURRENT PENDING_IMPORT") {
		t.Errorf("the others:\n%s", got)
	}
	w.reopen()
	if n := w.sweep(); n != 1 {
		t.Errorf("afterwards %d, want the one", n)
	}
}

// A stubborn store does not let one key be changed.
type stubborn struct {
	keys.Store
	id string
}

func (s *stubborn) Update(ctx context.Context, fn func(keys.Tx) error) error {
	return s.Store.Update(ctx, func(tx keys.Tx) error { return fn(&stubbornTx{tx, s.id}) })
}

type stubbornTx struct {
	keys.Tx
	id string
}

func (t *stubbornTx) PutKey(k keys.Key) error {
	if k.ID == t.id {
		return errFault
	}
	return t.Tx.PutKey(k)
}

func (t *stubbornTx) DeleteKey(r keys.Ref) error {
	if r.ID == t.id {
		return errFault
	}
	return t.Tx.DeleteKey(r)
}

// Nothing is done that cannot go on record.
func TestSweepNeedsRecords(t *testing.T) {
	w := newSweepable(t)
	before := w.outcome(t)
	w.log.fail = errors.New("disk full")
	if n, err := w.Sweep(t.Context(), w.clock()); n != 0 || !errors.Is(err, w.log.fail) {
		t.Errorf("swept %d, %v", n, err)
	}
	w.log.fail = nil
	if got := w.outcome(t); got != before {
		t.Errorf("after:\n%s\nbefore:\n%s", got, before)
	}
}

// More keys than a page are due, and every one is seen to.
func TestSweepPages(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	const many = 205
	err := w.Store.Update(t.Context(), func(tx keys.Tx) error {
		for i := range many {
			k := keys.Key{
				Ref:     keys.Ref{Place: keys.Place{Account: home, Region: region}, ID: fmt.Sprintf("12345678-1234-1234-1234-%012d", i)},
				Version: 1, State: keys.PendingDeletion, Deletion: w.now, Policy: `{"Version":"2012-10-17","Statement":[]}`,
			}
			if err := tx.PutKey(k); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w.log.fail = errors.New("disk full")
	if n, err := w.Sweep(t.Context(), w.clock()); n != 0 || strings.Count(said(err), "disk full") != many {
		t.Errorf("swept %d keys where every one fails: %v", n, err)
	}
	w.log.fail = nil
	if n := w.sweep(); n != many {
		t.Errorf("swept %d keys, want %d", n, many)
	}
	if left := must(ann.ListKeys(t.Context(), &kms.ListKeysInput{}))(t).Keys; len(left) != 0 {
		t.Errorf("%d keys left", len(left))
	}
}
