package keys_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"pgregory.net/rapid"

	"borealis/internal/cloud"
	"borealis/internal/keys"
)

// places are the Regions that the families of these tests live in, sorted.
var places = []cloud.Region{"eu-west-1", "us-east-1", "us-west-2"}

// A member is what a key of a family should be, and a kin what the family should
// be, in the plainest words: the reference that TestFamilyLives holds the service
// to.
type member struct {
	on       bool
	waiting  bool // for the replicas to go
	deleting bool
	deletion time.Time
}

type kin struct {
	members   map[cloud.Region]*member
	primary   cloud.Region
	materials []string // ids, the last one encrypts
	next      time.Time
	rotating  bool
	onDemands int
}

// refusal is what a use of the key in r is answered: "" or a code.
func (f *kin) refusal(r cloud.Region, now time.Time) string {
	m := f.members[r]
	switch {
	case m == nil || m.deleting && !now.Before(m.deletion):
		return "NotFoundException"
	case m.deleting || m.waiting:
		return "KMSInvalidStateException"
	case !m.on:
		return "DisabledException"
	}
	return ""
}

// shape is what shape says of the key in r.
func (f *kin) shape(r cloud.Region) string {
	m, role, window := f.members[r], "REPLICA", ""
	state := map[bool]string{true: "Enabled true", false: "Disabled false"}[m.on]
	switch {
	case m.waiting:
		state, window = "PendingReplicaDeletion false", ", window 7"
	case m.deleting:
		state, window = "PendingDeletion false", ", deletion "+m.deletion.Format("2006-01-02")
	}
	if r == f.primary {
		role = "PRIMARY"
	}
	s := fmt.Sprintf("%s %q %s of %s", state, "", role, f.primary)
	for _, p := range places {
		if f.members[p] != nil && p != f.primary {
			s += " " + string(p)
		}
	}
	return s + window
}

// A familyRun is one family and its reference.
type familyRun struct {
	kin
	t   *rapid.T
	w   *world
	id  string
	all []relic
}

func (r *familyRun) at(p cloud.Region) *person {
	return r.w.person(home, "user/ann", allow("kms:*")).at(p)
}

func (r *familyRun) arn(p cloud.Region) *string {
	return new("arn:aws:kms:" + string(p) + ":" + string(home) + ":key/" + r.id)
}

func (r *familyRun) want(what, want string, err error) bool {
	r.t.Helper()
	if got := code(err); got != want {
		r.t.Fatalf("%s: got %q, want %q", what, said(err), want)
	}
	return want == ""
}

func (r *familyRun) now() time.Time { return r.w.clock().UTC().Truncate(time.Millisecond) }

func (r *familyRun) place(what string) cloud.Region { return rapid.SampledFrom(places).Draw(r.t, what) }

// Whatever happens to a family, in whatever order: it has one primary, all of its
// keys agree on who belongs to it and on what they share, and every ciphertext
// decrypts wherever the reference says so, with the material it was made with.
func TestFamilyLives(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(rt *rapid.T) {
		r := &familyRun{t: rt, w: w, kin: kin{primary: places[0], members: map[cloud.Region]*member{places[0]: {on: true}}}}
		m := must(r.at(r.primary).CreateKey(t.Context(), &kms.CreateKeyInput{MultiRegion: new(true)}))(t).KeyMetadata
		r.id, r.materials = *m.KeyId, []string{*m.CurrentKeyMaterialId}
		acts := map[string]func(){
			"replicate": r.replicate, "lead": r.lead, "rotate": r.rotate, "schedule rotation": r.scheduleRotation,
			"schedule": r.schedule, "cancel": r.cancel, "turn on": r.turnOn, "turn off": r.turnOff,
			"wait": r.wait, "sweep": r.sweep, "encrypt": r.encrypt, "reopen": w.reopen,
		}
		names := strings.Split("replicate,replicate,replicate,lead,lead,rotate,schedule rotation,schedule,schedule,cancel,turn on,turn on,turn off,wait,wait,sweep,encrypt,encrypt,reopen", ",")
		for range rapid.IntRange(10, 60).Draw(rt, "steps") {
			acts[rapid.SampledFrom(names).Draw(rt, "act")]()
			r.check()
			if len(r.members) == 0 {
				return
			}
		}
	})
}

func (r *familyRun) check() {
	ctx, now := r.w.t.Context(), r.now()
	rotations := make(map[string]bool)
	for _, p := range places {
		ann := r.at(p)
		m := r.members[p]
		refused := r.refusal(p, now)
		for _, b := range r.all {
			want := refused
			switch {
			case len(r.members) == 0:
				want = "InvalidCiphertextException"
			case m == nil:
				want = "AccessDeniedException"
			}
			out, err := ann.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: b.blob})
			if r.want("decrypt in "+string(p), want, err) && (*out.KeyMaterialId != b.id || string(out.Plaintext) != "secret" || *out.KeyId != *r.arn(p)) {
				r.t.Fatalf("decrypted with %s of %s, made with %s", *out.KeyMaterialId, *out.KeyId, b.id)
			}
		}
		if refused == "NotFoundException" {
			r.want("describe", refused, ann.describe(r.arn(p)))
			continue
		}
		got := ann.metadata(r.arn(p))
		if s := shape(got); s != r.shape(p) || *got.CurrentKeyMaterialId != r.materials[len(r.materials)-1] {
			r.t.Fatalf("in %s: %s, %s\nwant %s, %s", p, s, *got.CurrentKeyMaterialId, r.shape(p), r.materials[len(r.materials)-1])
		}
		if !m.deleting {
			rotations[ann.rotation(r.arn(p))] = true
		}
	}
	if len(rotations) > 1 {
		r.t.Fatalf("schedules differ: %v", rotations)
	}
}

func (r *familyRun) replicate() {
	from, to := r.place("from"), r.place("to")
	want := r.refusal(from, r.now())
	switch {
	case want != "":
	case from != r.primary:
		want = "UnsupportedOperationException"
	case from == to:
		want = "ValidationException"
	case r.members[to] != nil:
		want = "AlreadyExistsException"
	}
	if r.want("replicate", want, r.at(from).replicate(r.arn(from), to)) {
		r.members[to] = &member{on: true}
	}
}

func (r *familyRun) lead() {
	from, to := r.place("from"), r.place("to")
	want := r.refusal(from, r.now())
	switch {
	case want != "":
	case from != r.primary:
		want = "KMSInvalidStateException"
	case r.members[to] == nil:
		want = "ValidationException"
	default:
		want = r.refusal(to, r.now())
	}
	if r.want("lead", want, r.at(from).lead(r.arn(from), to)) {
		r.primary = to
	}
}

// become is the material that the family encrypts with now.
func (r *familyRun) become() {
	id := *r.at(r.primary).metadata(r.arn(r.primary)).CurrentKeyMaterialId
	if slices.Contains(r.materials, id) {
		r.t.Fatalf("rotated to %s, which has been before", id)
	}
	r.materials = append(r.materials, id)
}

// primaryOnly is what is answered to what only an enabled primary lets happen.
func (r *familyRun) primaryOnly(p cloud.Region) string {
	if want := r.refusal(p, r.now()); want != "" || p == r.primary {
		return want
	}
	return "UnsupportedOperationException"
}

func (r *familyRun) rotate() {
	p := r.place("where")
	want := r.primaryOnly(p)
	if want == "" && r.onDemands == 25 {
		want = "LimitExceededException"
	}
	if r.want("rotate", want, r.at(p).rotate(r.arn(p))) {
		r.onDemands++
		r.become()
	}
}

func (r *familyRun) scheduleRotation() {
	p := r.place("where")
	if r.want("schedule rotation", r.primaryOnly(p), r.at(p).enableRotation(r.arn(p), 90)) && !r.rotating {
		r.rotating, r.next = true, r.now().Add(90*day)
	}
}

// settled is what is answered to what a key lets happen that is not to be deleted.
func (r *familyRun) settled(p cloud.Region) string {
	if want := r.refusal(p, r.now()); want != "DisabledException" {
		return want
	}
	return ""
}

func (r *familyRun) schedule() {
	p := r.place("where")
	if !r.want("schedule", r.settled(p), r.at(p).schedule(r.arn(p))) {
		return
	}
	m := r.members[p]
	if m.waiting = p == r.primary && len(r.members) > 1; !m.waiting {
		m.deleting, m.deletion = true, r.now().Add(7*day)
	}
}

func (r *familyRun) cancel() {
	p := r.place("where")
	m, want := r.members[p], "KMSInvalidStateException"
	switch {
	case r.refusal(p, r.now()) == "NotFoundException":
		want = "NotFoundException"
	case m.deleting || m.waiting:
		want = ""
	}
	if r.want("cancel", want, r.at(p).cancel(r.arn(p))) {
		*m = member{}
	}
}

func (r *familyRun) turnOn() {
	p := r.place("where")
	if r.want("enable", r.settled(p), r.at(p).enable(r.arn(p))) {
		r.members[p].on = true
	}
}

func (r *familyRun) turnOff() {
	p := r.place("where")
	if r.want("disable", r.settled(p), r.at(p).disable(r.arn(p))) {
		r.members[p].on = false
	}
}

func (r *familyRun) wait() {
	r.w.wait(rapid.SampledFrom([]time.Duration{time.Hour, 8 * day, 100 * day}).Draw(r.t, "how long"))
}

func (r *familyRun) encrypt() {
	p := r.place("where")
	blob, err := r.at(p).encrypt(r.arn(p), nil)
	if r.want("encrypt", r.refusal(p, r.now()), err) {
		r.all = append(r.all, relic{blob, r.materials[len(r.materials)-1]})
	}
}

func (r *familyRun) sweep() {
	if _, err := r.w.Sweep(r.w.t.Context(), r.w.clock()); err != nil {
		r.t.Fatal(err)
	}
	now := r.now()
	for p, m := range r.members {
		if m.deleting && !now.Before(m.deletion) {
			delete(r.members, p)
		}
	}
	primary := r.members[r.primary]
	switch {
	case primary == nil:
	case primary.waiting && len(r.members) == 1:
		*primary = member{deleting: true, deletion: now.Add(7 * day)}
	case r.rotating && r.refusal(r.primary, now) == "" && !now.Before(r.next):
		late := now.Sub(r.next)
		r.become()
		if r.next = r.next.Add(90 * day); late > day {
			r.next = now.Add(90 * day)
		}
	}
}

// families says what the database has of a key in each Region, and whether its
// keys agree. It is one line for each.
func (w *world) families(t *testing.T, id string) string {
	t.Helper()
	var all []string
	shared := make(map[string]bool)
	err := w.db.Keys().View(t.Context(), func(tx keys.Tx) error {
		for _, p := range places {
			k, err := tx.Key(keys.Ref{Place: keys.Place{Account: home, Region: p}, ID: id})
			if errors.Is(err, cloud.ErrNotFound) {
				all = append(all, string(p)+": none")
				continue
			}
			if err != nil {
				return err
			}
			all = append(all, fmt.Sprintf("%s: %s, %d materials, %v, deletion %s", p, k.State, len(k.Materials), *k.MultiRegion, k.Deletion))
			ids := ""
			for _, m := range k.Materials {
				ids += m.ID
			}
			shared[fmt.Sprint(*k.MultiRegion, ids, k.Current, k.Rotation)] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(shared) > 1 {
		t.Errorf("the keys of a family do not agree: %v", shared)
	}
	return strings.Join(all, "\n")
}

// Wherever the store breaks while a family changes, and whether the process dies
// of it or not, the family has changed as a whole or not at all; and when the
// change is asked for again, it is as if nothing had happened.
func TestFamilyAfterEveryFault(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(w *world, key *string) error
	}{
		{"ReplicateKey", func(w *world, key *string) error {
			err := w.person(home, "user/ann", allow("kms:*")).replicate(key, "us-west-2")
			if code(err) == "AlreadyExistsException" {
				return nil // it was done, and the answer lost
			}
			return err
		}},
		{"UpdatePrimaryRegion", func(w *world, key *string) error {
			err := w.person(home, "user/ann", allow("kms:*")).lead(key, "us-east-1")
			if said(err) == "KMSInvalidStateException: "+*key+" is not a multi-Region primary key." {
				return nil
			}
			return err
		}},
		{"the last replica goes", func(w *world, key *string) error {
			_, err := w.Sweep(w.t.Context(), w.clock())
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			ann := w.person(home, "user/ann", allow("kms:*"))
			key := ann.family("us-east-1")
			id := (*key)[strings.LastIndex(*key, "/")+1:]
			blob := must(ann.encrypt(key, nil))(t)
			if c.name == "the last replica goes" {
				east := ann.at("us-east-1")
				ann.may("schedule", errors.Join(ann.schedule(key), east.schedule(inRegion(key, "us-east-1"))))
				w.wait(8 * day)
			}
			restore := w.image()
			restore()
			before := w.families(t, id)
			if err := c.do(w, key); err != nil {
				t.Fatal(err)
			}
			after := w.families(t, id)
			if before == after {
				t.Fatalf("nothing changes:\n%s", after)
			}
			for _, lost := range []bool{false, true} {
				for _, dies := range []bool{false, true} {
					for n := 1; ; n++ {
						restore()
						f := &breaking{Store: w.Store, n: n, lost: lost}
						w.Store = f
						err := c.do(w, key)
						w.Store = f.Store
						if !f.fired {
							if !lost && n < 4 {
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
						if got := w.families(t, id); got != before && got != after {
							t.Errorf("fault in step %d: half done:\n%s", n, got)
						}
						if err := c.do(w, key); err != nil {
							t.Errorf("again after a fault in step %d: %v", n, err)
						}
						if got := w.families(t, id); got != after {
							t.Errorf("fault in step %d (done all the same: %t, then a crash: %t):\n%s\nwant\n%s", n, lost, dies, got, after)
						}
						if c.name != "the last replica goes" {
							east := w.person(home, "user/ann", allow("kms:*")).at("us-east-1")
							east.may("decrypt afterwards", east.decrypt(blob, nil))
						}
					}
				}
			}
		})
	}
}

// However requests about one family come together, its keys agree, and of two that
// want the same replica one gets it.
func TestFamilyConcurrently(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	key := ann.family()
	id := (*key)[strings.LastIndex(*key, "/")+1:]
	at := map[cloud.Region]*person{}
	for _, p := range places {
		at[p] = ann.at(p)
	}
	blob := must(ann.encrypt(key, nil))(t)
	var made, rotated atomic.Int32
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for _, p := range places[1:] {
				if at[places[0]].replicate(key, p) == nil {
					made.Add(1)
				}
			}
		})
		all.Go(func() {
			for range 3 {
				for _, p := range places {
					if at[p].rotate(inRegion(key, p)) == nil {
						rotated.Add(1)
					}
					_ = at[p].lead(inRegion(key, p), places[1])
				}
			}
		})
	}
	all.Wait()
	if n := made.Load(); n > 2 {
		t.Errorf("%d replicas in two Regions", n)
	}
	lines := w.families(t, id)
	if want := fmt.Sprintf("%d materials", rotated.Load()+1); strings.Count(lines, want) != int(made.Load())+1 {
		t.Errorf("%d replicas made, %d rotations:\n%s", made.Load(), rotated.Load(), lines)
	}
	ann.may("decrypt", ann.decrypt(blob, nil))
}
