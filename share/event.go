package share

import (
	"strconv"
	"time"
)

// An Event tells how a run is getting on.
type Event struct {
	Schema  int       `json:"schema"`
	Time    time.Time `json:"time"`
	Run     string    `json:"run"`
	Step    StepID    `json:"step"`
	State   State     `json:"state"`
	Account string    `json:"account"`
	ARN     string    `json:"arn,omitempty"`
	// Percent is AWS's PercentProgress, which may stay 0 until the end.
	Percent int `json:"percent,omitempty"`
	// Status is AWS's word for how the resource is, such as "copying".
	Status  string  `json:"status,omitempty"`
	Elapsed Elapsed `json:"elapsed_s"` // since the step began
	Message string  `json:"message,omitempty"`
}

// Elapsed is a duration that JSON has in seconds.
type Elapsed time.Duration

// MarshalJSON writes seconds, to the millisecond.
func (e Elapsed) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, time.Duration(e).Round(time.Millisecond).Seconds(), 'f', -1, 64), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (e *Elapsed) UnmarshalJSON(text []byte) error {
	s, err := strconv.ParseFloat(string(text), 64)
	*e = Elapsed(s * float64(time.Second))
	return err
}

// A State is the state of a step in an Event.
type State string

// The states that a step goes through. A step ends Done, Found or Failed, unless
// the run is stopped.
const (
	Started  State = "started"
	Progress State = "progress"
	Waiting  State = "waiting" // for what Message says, such as a policy to spread
	Done     State = "done"
	Found    State = "found" // done by a former run, or by one beside this one
	Failed   State = "failed"
)

// say tells the observer about the step at hand.
func (r *run) say(s State, msg string) { r.tell(Event{State: s, Message: msg}) }

// tell completes e and passes it to the observer.
func (r *run) tell(e Event) { r.Workflow.tell(r.plan.Run, r.step, r.began, e) }

// tell completes e, of a step of a run that began at a time, and passes it to the
// observer.
func (w *Workflow) tell(run string, s Step, began time.Time, e Event) {
	if w.Observe == nil {
		return
	}
	e.Schema, e.Run, e.Step, e.Account, e.ARN = Schema, run, s.ID, s.Account, s.ARN
	e.Time, e.Elapsed = time.Now().UTC(), Elapsed(time.Since(began))
	w.Observe(e)
}
