package share

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// A Result is what a run made, or found made. The key and
// the shared copy are empty if the target has its copy and they are gone.
type Result struct {
	Schema         int     `json:"schema"`
	Run            string  `json:"run"`
	KeyARN         string  `json:"key_arn,omitempty"`
	SharedSnapshot string  `json:"shared_snapshot_arn,omitempty"`
	TargetSnapshot string  `json:"target_snapshot_arn,omitempty"`
	TargetKeyARN   string  `json:"target_key_arn,omitempty"`
	Cluster        string  `json:"cluster_arn,omitempty"`
	Endpoint       string  `json:"endpoint,omitempty"` // of the cluster's writer
	Port           int32   `json:"port,omitempty"`
	Engine         string  `json:"engine,omitempty"`
	Database       string  `json:"database,omitempty"` // "" if the cluster was made without one
	MasterUser     string  `json:"master_user,omitempty"`
	Elapsed        Elapsed `json:"elapsed_s"`
}

// A run is one Apply.
type run struct {
	*Workflow
	plan    *Plan
	result  Result
	step    Step
	began   time.Time // of the step
	copied  bool      // the target has its copy: the source account is left as it is
	madeKey bool      // by this run, a moment ago
	keyMade time.Time // when the key was made, by this run or a former one
}

// Apply carries out p. It may be repeated, also with a newly made plan of the
// same request and also after an error: what is done already is found and not
// done again. Cancelling ctx stops the waiting and leaves AWS working; nothing
// that holds data is deleted. It fails with ErrChanged if the world is not the
// plan's any more. The Result tells how far it came also where Apply fails.
func (w *Workflow) Apply(ctx context.Context, p *Plan) (*Result, error) {
	began := time.Now()
	r := &run{Workflow: w, plan: p, result: Result{Schema: Schema, Run: p.Run}}
	err := r.stillTrue(ctx)
	if err == nil {
		err = r.steps(ctx)
	}
	r.result.Elapsed = Elapsed(time.Since(began))
	return &r.result, w.explain(err)
}

// stillTrue checks what the plan rests upon, and whether the target has its copy.
func (r *run) stillTrue(ctx context.Context) error {
	p := r.plan
	if p.Schema != Schema {
		return usagef("the plan has schema %d, this program knows %d", p.Schema, Schema)
	}
	if r.Source.Account != p.Source.Account || r.Target.Account != p.Target.Account || r.Source.Region != p.Source.Region || r.Target.Region != p.Target.Region {
		return fmt.Errorf("the plan is for accounts %s and %s in %s, the credentials are for %s and %s in %s: %w",
			p.Source.Account, p.Target.Account, p.Source.Region, r.Source.Account, r.Target.Account, r.Source.Region, ErrChanged)
	}
	copied, err := r.ourSnapshot(ctx, r.Target, p, p.Request.CopyID)
	if err != nil {
		return err
	}
	if r.copied = copied != nil; r.copied {
		return r.recall(ctx) // the snapshot itself may be gone by now
	}
	now, err := r.findSource(ctx, p.Snapshot.ARN)
	if errors.Is(err, ErrUsage) {
		return errors.Join(err, ErrChanged)
	}
	if err != nil {
		return err
	}
	if !now.Created.Equal(p.Snapshot.Created) || now.KeyARN != p.Snapshot.KeyARN {
		return fmt.Errorf("snapshot %s is another one than was planned for: %w", p.Snapshot.ID, ErrChanged)
	}
	return nil
}

// recall fills in, for the result only, what a former run made in the source
// account, if it is still there.
func (r *run) recall(ctx context.Context) error {
	mid, err := r.ourSnapshot(ctx, r.Source, r.plan, r.plan.sharedID())
	if err == nil && mid != nil {
		r.result.SharedSnapshot, r.result.KeyARN = aws.ToString(mid.DBClusterSnapshotArn), aws.ToString(mid.KmsKeyId)
	}
	return context.Cause(ctx)
}

func (r *run) steps(ctx context.Context) error {
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
	for _, s := range r.plan.Steps {
		if do[s.ID] == nil {
			return usagef("the plan has a step %q that this program does not know", s.ID)
		}
	}
	for _, s := range r.plan.Steps {
		if r.copied && s.beforeCopy() {
			continue
		}
		// A key without its alias is found again only by a search, so that a run
		// is not stopped between the two.
		if err := context.Cause(ctx); err != nil && s.ID != CreateAlias {
			return fmt.Errorf("stopped before %s: %w", s.ID, err)
		}
		r.step, r.began = s, time.Now()
		r.say(Started, "")
		if err := do[s.ID](ctx); err != nil {
			err = r.explain(err)
			r.say(Failed, err.Error())
			return fmt.Errorf("%s: %w", s.ID, err)
		}
	}
	return nil
}

// beforeCopy reports whether the step is only there so that the target can copy.
func (s Step) beforeCopy() bool {
	switch s.ID {
	case CreateKey, CreateAlias, CopyUnderKey, ShareCopy, FindShared:
		return true
	}
	return false
}

// finished tells that the step is done: arn is what there is now.
func (r *run) finished(s State, arn string) {
	r.step.ARN = arn
	r.say(s, "")
}
