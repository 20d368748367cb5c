package share

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

const (
	firstPoll = 100 * time.Millisecond
	mostPoll  = 20 * time.Second
	// patience is how many times in a row a poll may fail for reasons that may
	// pass. It is minutes, with the SDK's own retries: a copy may take hours, and a
	// network that comes back is no reason to start over.
	patience = 12
	// unseen is how many polls what was made just now may stay out of sight.
	unseen = 10
)

// poll calls look until it says that it is done. It asks often at first and
// every 20 seconds in the long run, and lives through short failures.
func (r *run) poll(ctx context.Context, look func() (done bool, err error)) error {
	failures := 0
	for wait := firstPoll; ; wait = min(wait*5/4, mostPoll) {
		done, err := look()
		switch {
		case err == nil && done:
			return nil
		case err == nil:
			failures = 0
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !mayPass(err) || failures == patience:
			return err
		default:
			failures++
			r.say(Waiting, "AWS cannot be asked at the moment: "+err.Error())
		}
		// Runs that were started together do not ask together for ever.
		if err := pause(ctx, wait-rand.N(wait/8)); err != nil {
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

// shield is a context for a change that has to be seen through once it is begun.
func shield(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
}

// progress tells of a resource that is not ready yet.
func (r *run) progress(status *string, percent *int32) {
	r.tell(Event{State: Progress, Status: aws.ToString(status), Percent: int(aws.ToInt32(percent))})
}
