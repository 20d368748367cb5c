package share_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/aws/aws-sdk-go-v2/config"

	"borealis/share"
)

// A side comes from any configuration of the AWS SDK: a profile, an assumed
// role, the environment.
func ExampleNewSide() {
	ctx := context.Background()
	var w share.Workflow
	for profile, side := range map[string]*share.Side{"prod": &w.Source, "backup": &w.Target} {
		cfg, err := config.LoadDefaultConfig(ctx, config.WithSharedConfigProfile(profile))
		if err != nil {
			log.Fatal(err)
		}
		if *side, err = share.NewSide(ctx, cfg); err != nil {
			log.Fatal(err)
		}
	}
}

// Plan changes nothing and says what Apply would.
func ExampleWorkflow_Plan() {
	_, w := newWorld() // in memory here; NewSide makes real sides
	plan, err := w.Plan(context.Background(), share.Request{Snapshot: "nightly"})
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range plan.Steps {
		fmt.Println(s.Account, s.Change, s.Kind)
	}
	// Output:
	// 111122223333 create kms key
	// 111122223333 create kms alias
	// 111122223333 create snapshot copy
	// 111122223333 modify snapshot attribute
	// 444455556666 read shared snapshot
	// 444455556666 create snapshot copy
}

// Apply carries a plan out. After any error it may be called again.
func ExampleWorkflow_Apply() {
	ctx := context.Background()
	_, w := newWorld() // in memory here; NewSide makes real sides
	plan, err := w.Plan(ctx, share.Request{Snapshot: "nightly", CopyID: "from-prod"})
	if err != nil {
		log.Fatal(err)
	}
	w.Observe = func(e share.Event) {
		if e.State == share.Done {
			fmt.Println("done:", e.Step)
		}
	}
	result, err := w.Apply(ctx, plan)
	if denied, ok := errors.AsType[*share.DeniedError](err); ok {
		log.Fatalf("%s\nTo mend it: %s", denied.Cause, denied.Fix)
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.TargetSnapshot)
	// Output:
	// done: create-key
	// done: create-alias
	// done: copy-under-key
	// done: share-copy
	// done: find-shared
	// done: copy-to-target
	// arn:aws:rds:eu-west-1:444455556666:cluster-snapshot:from-prod
}
