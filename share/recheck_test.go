package share_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/share"
)

// A plan that was saved is carried out only while it is true. What a run that was
// interrupted has done meanwhile makes it no less true.
func TestRecheck(t *testing.T) {
	for name, c := range map[string]struct {
		planAfter bool // the plan is made when a run has been, all but the target's copy
		meanwhile func(*world, *share.Workflow, *share.Plan)
		says      string // "" for a plan that stays true
	}{
		"nothing happens": {},
		"another snapshot of that name": {
			meanwhile: func(w *world, _ *share.Workflow, _ *share.Plan) {
				s := snapshot("nightly")
				s.SnapshotCreateTime = new(s.SnapshotCreateTime.AddDate(0, 0, 1))
				w.put(s)
			},
			says: "another one than was planned for",
		},
		"the snapshot is gone": {
			meanwhile: func(w *world, _ *share.Workflow, _ *share.Plan) { clear(w.snapshots) },
			says:      "has no cluster snapshot",
		},
		"interrupted": {
			meanwhile: func(w *world, f *share.Workflow, p *share.Plan) { interrupt(w, f, p) },
		},
		"the key of the interrupted run is disabled": {
			planAfter: true,
			meanwhile: func(w *world, _ *share.Workflow, _ *share.Plan) {
				for _, k := range w.keys {
					if k.meta.KeyManager == kmstypes.KeyManagerTypeCustomer {
						k.meta.KeyState = kmstypes.KeyStateDisabled
					}
				}
			},
			says: "is Disabled",
		},
		"the copy of the interrupted run is gone": {
			planAfter: true,
			meanwhile: func(w *world, _ *share.Workflow, _ *share.Plan) {
				for arn := range w.snapshots {
					if strings.Contains(arn, ":share-") {
						delete(w.snapshots, arn)
					}
				}
			},
			says: "was there when the plan was made, and is gone",
		},
		"somebody has changed the policy in the file": {
			meanwhile: func(_ *world, _ *share.Workflow, p *share.Plan) {
				p.KeyPolicy = strings.ReplaceAll(p.KeyPolicy, targetID, "777788889999")
			},
			says: "the policy of the new key would be another",
		},
		"somebody has changed what is asked for in the file": {
			meanwhile: func(_ *world, _ *share.Workflow, p *share.Plan) { p.Request.CopyID = "elsewhere" },
			says:      "would be",
		},
		"somebody has taken a step out of the file": {
			meanwhile: func(_ *world, _ *share.Workflow, p *share.Plan) { p.Steps = p.Steps[1:] },
			says:      "there is a step create-key now",
		},
		"somebody has added a step to the file": {
			meanwhile: func(_ *world, _ *share.Workflow, p *share.Plan) {
				p.Steps = append(p.Steps, share.Step{ID: share.RestoreCluster})
			},
			says: "step restore-cluster has become unnecessary",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				world, w := newWorld()
				p, err := w.Plan(t.Context(), nightly)
				if err != nil {
					t.Fatal(err)
				}
				if c.planAfter {
					interrupt(world, w, p)
					if p, err = w.Plan(t.Context(), nightly); err != nil {
						t.Fatal(err)
					}
				}
				if c.meanwhile != nil {
					c.meanwhile(world, w, p)
				}
				changes := world.count("source CreateKey") + world.count("source CopyDBClusterSnapshot")
				err = w.Recheck(t.Context(), p)
				if c.says == "" && err != nil || c.says != "" && (!errors.Is(err, share.ErrChanged) || !strings.Contains(err.Error(), c.says)) {
					t.Errorf("error %v, want %q", err, c.says)
				}
				if now := world.count("source CreateKey") + world.count("source CopyDBClusterSnapshot"); now != changes {
					t.Error("it has changed something")
				}
			})
		})
	}
}

// interrupt carries p out as far as the target's copy, which is refused.
func interrupt(world *world, w *share.Workflow, p *share.Plan) {
	world.Fault = func(ask string) error {
		if ask == "target CopyDBClusterSnapshot" {
			return errors.New("the plug is pulled")
		}
		return nil
	}
	if _, err := w.Apply(context.Background(), p); err == nil {
		panic("the target's copy was not refused")
	}
	world.Fault = nil
}
