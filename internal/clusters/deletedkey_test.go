package clusters_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
)

// expire deletes a key as the clock does when its waiting period is over: its
// material and its grants are gone.
func (p *person) expire(key string) {
	p.w.t.Helper()
	_, err := p.kms().ScheduleKeyDeletion(p.w.t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: &key, PendingWindowInDays: new(int32(7))})
	p.may("schedule the deletion", err)
	if _, err := p.w.kms.Sweep(p.w.t.Context(), time.Now().AddDate(0, 0, 8)); err != nil {
		p.w.t.Fatal(err)
	}
	_, err = p.kms().DescribeKey(p.w.t.Context(), &kms.DescribeKeyInput{KeyId: &key})
	p.mayNot("describe what is deleted", "NotFoundException", err)
}

// A key that is deleted in the middle of a copy, to it or from it, ends the copy,
// whether the watch over the keys sees it, the end of the copy or, after a crash,
// its second beginning. Nothing is left of the copy, and the source stays whole.
func TestKeyDeletedDuringCopy(t *testing.T) {
	for name, c := range map[string]struct {
		source bool // it is the source's key that is deleted
		watch  time.Duration
		crash  bool
	}{
		"the copy's, watched":           {false, time.Millisecond, false},
		"the copy's, seen at the end":   {false, time.Hour, false},
		"the copy's, after a crash":     {false, time.Hour, true},
		"the source's, watched":         {true, time.Millisecond, false},
		"the source's, after a crash":   {true, time.Hour, true},
		"the source's, seen at the end": {true, time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.check = c.watch
			w.restart()
			ann := w.person(home, "ann", everything)
			from, to := ann.key(""), ann.key("")
			ann.cluster("shop")
			ann.snapshot("nightly", "shop")
			ann.may("copy once", ann.copy("nightly", "first", from))
			w.settle()
			held := w.disk.holds("Copy")
			ann.may("begin to copy", ann.copy("first", "second", to))
			<-held.here
			lost := to
			if c.source {
				lost = from
			}
			ann.expire(lost)
			switch {
			case c.crash:
				w.restart()
			case c.watch == time.Hour:
				held.answer <- nil
			}
			w.settle()
			ann.describeSnapshot("second").is(t, "failed")
			w.reasonOf("second", lost)
			w.clean()
			close(held.answer) // it holds no copy from here on
			ann.may("delete what failed", ann.deleteSnapshot("second"))
			ann.may("copy the first one again", ann.copy("nightly", "third", ann.key("")))
			w.settle()
			ann.describeSnapshot("third").is(t, "available")
			w.clean()
		})
	}
}
