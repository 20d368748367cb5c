package clusters_test

import (
	"testing"
	"time"
)

// A cluster whose engine the next process has yet to bring back is starting:
// available means that it answers.
func TestStartingUntilItIsBack(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "ann", everything)
	ann.may("create", ann.createWithInstance("shop"))
	ann.may("create", ann.create("storage")) // without an instance: nothing is brought back
	w.settle()
	w.stop()
	w.db.Close()
	w.open()
	held := w.disk.holds("Start")
	w.run()
	<-held.here
	ann.describeCluster("shop").is(t, "starting")
	ann.describeCluster("storage").is(t, "available")
	if s := ann.instanceStatus("shop"); s != "starting" {
		t.Errorf("the instance is %s", s)
	}
	held.answer <- nil
	for end := time.Now().Add(time.Minute); ann.instanceStatus("shop") != "available" && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if s := ann.instanceStatus("shop"); s != "available" {
		t.Errorf("the instance is %s", s)
	}
	ann.describeCluster("shop").is(t, "available")
}
