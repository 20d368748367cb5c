package share

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// An Event tells how a run is getting on.
type Event struct {
	Time    time.Time     `json:"time"`
	Run     string        `json:"run"`
	Step    StepID        `json:"step"`
	State   State         `json:"state"`
	Account string        `json:"account"`
	ARN     string        `json:"arn,omitempty"`
	Percent int           `json:"percent,omitempty"` // as AWS reports it
	Elapsed time.Duration `json:"elapsed_ns"`        // since the step began
	Message string        `json:"message,omitempty"`
}

// A State is the state of a step in an Event.
type State string

// The states that a step goes through.
const (
	Started  State = "started"
	Progress State = "progress"
	Waiting  State = "waiting" // for a policy to spread, or for a busy resource
	Done     State = "done"
	Found    State = "found" // done by a former run
	Failed   State = "failed"
)

// A Result is what a run made.
type Result struct {
	Run            string        `json:"run"`
	KeyARN         string        `json:"key_arn"`
	SharedSnapshot string        `json:"shared_snapshot_arn"`
	TargetSnapshot string        `json:"target_snapshot_arn"`
	TargetKeyARN   string        `json:"target_key_arn"`
	Cluster        string        `json:"cluster_arn,omitempty"`
	Endpoint       string        `json:"endpoint,omitempty"`
	Port           int32         `json:"port,omitempty"`
	MasterUser     string        `json:"master_user,omitempty"`
	Elapsed        time.Duration `json:"elapsed_ns"`
}

// A run is one Apply.
type run struct {
	*Workflow
	plan   *Plan
	result Result
	step   Step
	began  time.Time // of the step
}

// Apply carries out p. It may be repeated, also with a newly made plan of the
// same request and also after an error: what is done already is found and not
// done again. Cancelling ctx stops the waiting and leaves AWS working; nothing is
// deleted. It fails with ErrChanged if the world is not the plan's any more.
func (w *Workflow) Apply(ctx context.Context, p *Plan) (*Result, error) {
	began := time.Now()
	if err := w.stillTrue(ctx, p); err != nil {
		return nil, err
	}
	r := &run{Workflow: w, plan: p, result: Result{Run: p.Run}}
	do := map[StepID]func(context.Context) error{
		CreateKey:       r.createKey,
		CreateAlias:     r.createAlias,
		CopyUnderKey:    r.copyUnderKey,
		ShareCopy:       r.shareCopy,
		FindShared:      r.findShared,
		CopyToTarget:    r.copyToTarget,
		RestoreCluster:  r.restoreCluster,
		RestoreInstance: r.restoreInstance,
	}
	for _, s := range p.Steps {
		r.step, r.began = s, time.Now()
		r.say(Started, 0, "")
		if err := do[s.ID](ctx); err != nil {
			r.say(Failed, 0, err.Error())
			return &r.result, fmt.Errorf("%s: %w", s.ID, err)
		}
	}
	r.result.Elapsed = time.Since(began)
	return &r.result, nil
}

// stillTrue checks what the plan rests upon.
func (w *Workflow) stillTrue(ctx context.Context, p *Plan) error {
	if w.Source.Account != p.Source.Account || w.Target.Account != p.Target.Account || w.Source.Region != p.Source.Region {
		return fmt.Errorf("the plan is for accounts %s and %s in %s, the credentials are for %s and %s in %s: %w",
			p.Source.Account, p.Target.Account, p.Source.Region, w.Source.Account, w.Target.Account, w.Source.Region, ErrChanged)
	}
	if p.Schema != 1 {
		return fmt.Errorf("the plan has schema %d, this program knows 1: %w", p.Schema, ErrUsage)
	}
	now, err := w.findSource(ctx, p.Snapshot.ARN)
	if err != nil {
		return err
	}
	if !now.Created.Equal(p.Snapshot.Created) || now.KeyARN != p.Snapshot.KeyARN {
		return fmt.Errorf("snapshot %s is another one than was planned for: %w", p.Snapshot.ID, ErrChanged)
	}
	return nil
}

// say tells the observer about the step at hand.
func (r *run) say(s State, percent int32, msg string) {
	if r.Observe == nil {
		return
	}
	r.Observe(Event{
		Time: time.Now().UTC(), Run: r.plan.Run, Step: r.step.ID, State: s, Account: r.step.Account, ARN: r.step.ARN,
		Percent: int(percent), Elapsed: time.Since(r.began), Message: msg,
	})
}

// poll calls look until it says that it is done. It asks often at first and
// every 15 seconds in the long run.
func poll(ctx context.Context, look func() (done bool, err error)) error {
	const most = 15 * time.Second
	for wait := 100 * time.Millisecond; ; wait = min(wait*5/4, most) {
		if done, err := look(); done || err != nil {
			return err
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

// pause waits for d, or for ctx to end.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// awaitSnapshot waits for a snapshot of side s to become available, telling how
// far it is.
func (r *run) awaitSnapshot(ctx context.Context, s Side, id string) error {
	return poll(ctx, func() (bool, error) {
		snap, err := describeSnapshot(ctx, s, id)
		if err != nil {
			return false, fmt.Errorf("look at snapshot %s: %w", id, err)
		}
		if snap == nil {
			return false, fmt.Errorf("snapshot %s is gone: %w", id, ErrChanged)
		}
		switch st := aws.ToString(snap.Status); st {
		case "available":
			return true, nil
		case "failed", "incompatible-restore", "incompatible-parameters", "deleting", "deleted":
			return false, fmt.Errorf("snapshot %s is %s; delete it and run again: %w", id, st, ErrFailed)
		}
		r.say(Progress, aws.ToInt32(snap.PercentProgress), "")
		return false, nil
	})
}
