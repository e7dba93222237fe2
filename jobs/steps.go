package jobs

import (
	"context"
	"fmt"

	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage/table"
)

// step is one keyed piece of work.
type step struct {
	name  string
	label string // the interval or day, or what is snapshotted
	key   string
	iv    table.Interval
	done  bool   // when it was planned
	why   string // what a plan says of it
	files int
	bytes int64
}

// through is a whole run: the product's table of contents.
func (w *work) through(ctx context.Context, o Options) error {
	if err := w.reconcile(ctx); err != nil { // the online store follows the alias
		return err
	}
	w.plan = &plan{}
	if err := w.policy(ctx, w.plan); err != nil { // who may be profiled, as of now
		return err
	}
	if err := w.deny(ctx); err != nil { // who may not any more is not, however this run ends
		return err
	}
	if err := w.planSteps(ctx, w.plan); err != nil { // every key, before any work
		return err
	}
	if err := w.snapshots(ctx); err != nil { // items, subjects, cohorts → tables by content
		return err
	}
	if err := w.ingest(ctx); err != nil { // raw rows → minimized, permitted, pseudonymous events, a table a day
		return err
	}
	if err := w.checkVolume(); err != nil { // an empty interval is a failure, not a result
		return err
	}
	if o.Through == ThroughIngest {
		return nil
	}
	if err := w.build(ctx); err != nil { // views as of the interval's end
		return err
	}
	if o.Through == ThroughBuild {
		return nil
	}
	if err := w.assemble(ctx); err != nil { // the training set, as references
		return err
	}
	if err := w.train(ctx); err != nil { // artifact
		return err
	}
	decision, err := w.evaluate(ctx) // quality, cohorts, drift → report and the gate's decision
	if err != nil {
		return err
	}
	version, err := w.register(ctx, decision) // a version, passed or rejected
	if err != nil {
		return err
	}
	if version.Verdict == registry.Rejected {
		return fmt.Errorf("%w: %s", ErrRejected, decision.Reasons[0])
	}
	if o.Through == ThroughTrain {
		return nil
	}
	return w.publish(ctx, version) // generation N+1, alias, online store
}
