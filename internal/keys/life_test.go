package keys_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"pgregory.net/rapid"
)

// A life is what a key should be, in the plainest words: the reference that
// TestLives holds the service to.
type life struct {
	imported  bool
	on        bool // enabled, or would be if it had its material
	deleting  bool
	gone      bool
	deletion  time.Time
	versions  []version
	current   int // of versions; -1 for none
	period    int // days; 0 for none
	next      time.Time
	onDemands int
}

type version struct {
	secret  byte // which one, of an imported key
	id      string
	present bool
	until   time.Time // zero for ever
}

func (v *version) usable(now time.Time) bool {
	return v.present && (v.until.IsZero() || now.Before(v.until))
}

// complete says that every version is there that was ever current.
func (l *life) complete(now time.Time) bool {
	for i := 0; i <= l.current; i++ {
		if !l.versions[i].usable(now) {
			return false
		}
	}
	return l.current >= 0
}

func (l *life) pending() bool { return l.current < len(l.versions)-1 }

// refusal is what a use of the key is answered: "" or a code.
func (l *life) refusal(now time.Time) string {
	switch {
	case l.gone || l.deleting && !now.Before(l.deletion):
		return "NotFoundException"
	case l.deleting:
		return "KMSInvalidStateException"
	case !l.complete(now):
		return "KMSInvalidStateException"
	case !l.on:
		return "DisabledException"
	}
	return ""
}

// A relic is a ciphertext, and the version that it was made with.
type relic struct {
	blob []byte
	id   string
}

// A run is one key and its reference, in a world that others share.
type run struct {
	*life
	t   *rapid.T
	w   *world
	ann *person
	key *string
	p   parcel
	all []relic
}

// Whatever happens to a key, in whatever order: every ciphertext that was ever
// made decrypts exactly when the reference says so, with the version it was made
// with.
func TestLives(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rapid.Check(t, func(rt *rapid.T) {
		ann := w.person(home, "user/ann", allow("kms:*"))
		r := &run{life: &life{on: true, current: -1, imported: rapid.Bool().Draw(rt, "imported")}, t: rt, w: w, ann: ann}
		if r.imported {
			r.key = ann.external(kms.CreateKeyInput{})
			r.p = ann.parcel(r.key)
		} else {
			r.key = ann.key()
			r.become()
		}
		acts := map[string]func(){
			"encrypt": r.encrypt, "rotate": r.rotate, "wait": r.wait, "sweep": r.sweep, "enable": r.enable, "disable": r.disable,
			"schedule": r.schedule, "cancel": r.cancel, "reopen": r.reopen, "enable rotation": r.enableRotation, "disable rotation": r.disableRotation,
			"import": r.bring, "take away": r.takeAway,
		}
		names := []string{"encrypt", "encrypt", "rotate", "rotate", "wait", "sweep", "enable", "disable", "schedule", "cancel", "cancel", "reopen"}
		if r.imported {
			names = append(names, "import", "import", "import", "import", "import", "import", "take away", "take away", "rotate", "encrypt")
		} else {
			names = append(names, "enable rotation", "disable rotation", "wait", "sweep")
		}
		for range rapid.IntRange(10, 60).Draw(rt, "steps") {
			acts[rapid.SampledFrom(names).Draw(rt, "act")]()
			r.check()
		}
	})
}

// want fails unless err has this code.
func (r *run) want(what, want string, err error) bool {
	r.t.Helper()
	if got := code(err); got != want {
		r.t.Fatalf("%s: got %q, want %q", what, said(err), want)
	}
	return want == ""
}

// become is the version that the key encrypts with now.
func (r *run) become() {
	r.versions = append(r.versions, version{id: *r.ann.metadata(r.key).CurrentKeyMaterialId, present: true})
	r.current = len(r.versions) - 1
}

func (r *run) check() {
	want := r.refusal(r.w.clock())
	if r.gone || want == "NotFoundException" {
		want = "" // told apart below
	}
	for _, m := range r.all {
		out, err := r.ann.Decrypt(r.w.t.Context(), &kms.DecryptInput{CiphertextBlob: m.blob})
		switch {
		case r.refusal(r.w.clock()) == "NotFoundException":
			if got := code(err); got != "NotFoundException" && got != "InvalidCiphertextException" {
				r.t.Fatalf("decrypt under a deleted key: %q", said(err))
			}
		case r.want("decrypt", want, err) && (*out.KeyMaterialId != m.id || string(out.Plaintext) != "secret"):
			r.t.Fatalf("decrypted with %s, made with %s", *out.KeyMaterialId, m.id)
		}
	}
}

func (r *run) encrypt() {
	blob, err := r.ann.encrypt(r.key, nil)
	if r.want("encrypt", r.refusal(r.w.clock()), err) {
		r.all = append(r.all, relic{blob, r.versions[r.current].id})
	}
}

func (r *run) rotate() {
	want := r.refusal(r.w.clock())
	switch {
	case want != "":
	case r.onDemands == 25:
		want = "LimitExceededException"
	case r.imported && !r.pending():
		want = "KMSInvalidStateException"
	}
	if !r.want("rotate", want, r.ann.rotate(r.key)) {
		return
	}
	r.onDemands++
	if r.imported {
		r.current++
		return
	}
	r.become()
}

func (r *run) wait() {
	r.w.wait(rapid.SampledFrom([]time.Duration{time.Second, time.Hour, 5 * day, 100 * day}).Draw(r.t, "how long"))
	if r.imported {
		r.p = r.ann.again().freshParcel(r)
	}
}

// freshParcel asks for a token if the one there is over and another may be had.
func (p *person) freshParcel(r *run) parcel {
	if r.w.clock().Before(*r.p.ParametersValidTo) || r.deleting || r.gone {
		return r.p
	}
	return p.parcel(r.key)
}

func (r *run) sweep() {
	if _, err := r.w.Sweep(r.w.t.Context(), r.w.clock()); err != nil {
		r.t.Fatal(err)
	}
	now := r.w.clock()
	if r.deleting && !now.Before(r.deletion) {
		r.gone = true
		return
	}
	if !r.imported && r.on && !r.deleting && r.period > 0 && !now.Before(r.next) {
		late := now.Sub(r.next)
		r.become()
		r.next = r.next.Add(time.Duration(r.period) * day)
		if late > day {
			r.next = now.UTC().Truncate(time.Millisecond).Add(time.Duration(r.period) * day)
		}
	}
}

// settled is what a change that takes an enabled or disabled key is answered.
func (r *run) settled() string {
	if want := r.refusal(r.w.clock()); want != "DisabledException" {
		return want
	}
	return ""
}

func (r *run) enable() {
	if r.want("enable", r.settled(), r.ann.enable(r.key)) {
		r.on = true
	}
}

func (r *run) disable() {
	if r.want("disable", r.settled(), r.ann.disable(r.key)) {
		r.on = false
	}
}

// there is what an operation is answered that works in every state, or, if not
// deleting, in those of a key that is not to be deleted.
func (r *run) there(deleting bool) string {
	now := r.w.clock()
	switch {
	case r.gone || r.deleting && !now.Before(r.deletion):
		return "NotFoundException"
	case r.deleting && !deleting:
		return "KMSInvalidStateException"
	}
	return ""
}

func (r *run) schedule() {
	if r.want("schedule", r.there(false), r.ann.schedule(r.key)) {
		r.deleting, r.deletion = true, r.w.clock().UTC().Truncate(time.Millisecond).Add(7*day)
	}
}

func (r *run) cancel() {
	want := r.there(true)
	if want == "" && !r.deleting {
		want = "KMSInvalidStateException"
	}
	if r.want("cancel", want, r.ann.cancel(r.key)) {
		r.deleting, r.on = false, false
		if r.imported {
			r.p = r.ann.freshParcel(r)
		}
	}
}

func (r *run) reopen() {
	r.w.reopen()
	r.ann = r.ann.again()
}

func (r *run) enableRotation() {
	days := rapid.SampledFrom([]int32{90, 365}).Draw(r.t, "days")
	want := r.there(false)
	switch {
	case want != "":
	case r.imported && !r.on && r.complete(r.w.clock()):
		want = "DisabledException"
	case r.imported:
		want = "UnsupportedOperationException"
	case !r.on:
		want = "DisabledException"
	}
	if r.want("enable rotation", want, r.ann.enableRotation(r.key, days)) && r.period != int(days) {
		r.period, r.next = int(days), r.w.clock().UTC().Truncate(time.Millisecond).Add(time.Duration(days)*day)
	}
}

func (r *run) disableRotation() {
	if !r.imported && r.refusal(r.w.clock()) == "" {
		r.want("disable rotation", "", r.ann.disableRotation(r.key))
		r.period = 0
	}
}

// bring imports one of three secrets, as new or not, for ever or not.
func (r *run) bring() {
	if !r.imported || r.deleting || r.gone {
		return
	}
	now := r.w.clock()
	secret := rapid.ByteRange(1, 3).Draw(r.t, "secret")
	var change []func(*kms.ImportKeyMaterialInput)
	asNew, end := rapid.Bool().Draw(r.t, "as new"), time.Time{}
	if asNew {
		change = append(change, anew)
	}
	if rapid.Bool().Draw(r.t, "expires") {
		end = now.Add(2 * time.Hour).UTC().Truncate(time.Second)
		change = append(change, until(end))
	}
	have := -1
	for i, v := range r.versions {
		if v.secret == secret {
			have = i
		}
	}
	fresh := asNew || len(r.versions) == 0
	want := ""
	switch {
	case fresh && have >= 0, !fresh && have < 0:
		want = "IncorrectKeyMaterialException"
	case fresh && r.pending():
		want = "KMSInvalidStateException"
	}
	id, err := r.ann.bring(r.p, secretOf(secret), change...)
	if !r.want(fmt.Sprintf("import secret %d", secret), want, err) {
		return
	}
	if have < 0 {
		r.versions = append(r.versions, version{secret: secret, id: id})
		have = len(r.versions) - 1
		if r.current < 0 {
			r.current = 0
		}
	}
	v := &r.versions[have]
	if v.id != id {
		r.t.Fatalf("secret %d has the id %s, had %s", secret, id, v.id)
	}
	v.present, v.until = true, end
	r.on = true
}

func (r *run) takeAway() {
	if !r.imported || len(r.versions) == 0 {
		return
	}
	i := rapid.IntRange(0, len(r.versions)-1).Draw(r.t, "which")
	_, err := r.ann.takeAway(r.key, r.versions[i].id)
	if !r.want("take away", r.there(true), err) {
		return
	}
	if i > r.current {
		r.versions = r.versions[:i]
		return
	}
	r.versions[i].present = false
}
