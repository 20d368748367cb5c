package share

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Recheck plans p's request once more, and fails with ErrChanged unless p says
// what carrying it out would still do: for a plan that was made some time ago. Steps
// that were to be done and are done by now, by a run that was interrupted, are no
// difference. It changes nothing.
func (w *Workflow) Recheck(ctx context.Context, p *Plan) error {
	r := &run{Workflow: w, plan: p}
	if err := r.stillTrue(ctx); err != nil {
		return w.explain(err)
	}
	if r.copied {
		return nil // what is left is in the target account, and Apply looks at that
	}
	now, err := w.Plan(ctx, p.Request)
	if errors.Is(err, ErrUsage) || errors.Is(err, ErrNotOurs) {
		return errors.Join(err, ErrChanged)
	}
	if err != nil {
		return err
	}
	return p.differs(now)
}

// differs says in which way now, of the same request, is not what p says.
func (p *Plan) differs(now *Plan) error {
	changed := func(format string, args ...any) error {
		return fmt.Errorf(format+"; make a new plan: %w", append(args, ErrChanged)...)
	}
	switch {
	case now.Run != p.Run:
		return changed("the plan is of run %s, what it asks for would be run %s", p.Run, now.Run)
	case now.KeyPolicy != p.KeyPolicy:
		return changed("the policy of the new key would be another than the plan has")
	}
	for i, s := range now.Steps {
		if i >= len(p.Steps) || s.ID != p.Steps[i].ID || s.Account != p.Steps[i].Account {
			return changed("there is a step %s now that the plan does not have", s.ID)
		}
		was := p.Steps[i]
		if was.Change == Exists && s.Change != Exists {
			return changed("%s %s was there when the plan was made, and is gone", was.Kind, was.ARN)
		}
		// A key that was to be made has an ARN when it is there.
		if made := s.ID == CreateKey && was.Change == Creates; !made && s.ARN != was.ARN || !slices.Equal(s.Detail, was.Detail) {
			return changed("%s %s %q would be %s %q", was.Kind, was.ARN, was.Detail, s.ARN, s.Detail)
		}
	}
	if len(now.Steps) < len(p.Steps) {
		return changed("step %s has become unnecessary", p.Steps[len(now.Steps)].ID)
	}
	for _, warning := range now.Warnings {
		if !slices.Contains(p.Warnings, warning) {
			return changed("this is new: %s", warning)
		}
	}
	return nil
}
