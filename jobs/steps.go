package jobs

import (
	"context"
	"fmt"

	"github.com/rapport-ml/rapport/eval"
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
	w.plan = &plan{}
	var decision eval.Decision
	var version registry.Version
	for _, stage := range []struct {
		name string
		of   Through // the first station that needs it
		do   func(context.Context) error
	}{
		{"policy", ThroughIngest, func(ctx context.Context) error { return w.policy(ctx, w.plan) }}, // who may be profiled, as of now
		{"deny", ThroughIngest, w.deny},              // who may not any more is not, however this run ends
		{"online store", ThroughIngest, w.reconcile}, // the online store follows the alias
		{"plan", ThroughIngest, func(ctx context.Context) (err error) { // every key, before any work
			if err := w.planSteps(ctx, w.plan); err != nil {
				return err
			}
			w.staleDays()
			w.res.Reopened, err = w.reopenedDays(ctx, w.plan)
			return err
		}},
		{"snapshots", ThroughIngest, w.snapshots}, // items, subjects, cohorts → tables by content
		{"ingest", ThroughIngest, w.ingest},       // raw rows → minimized, permitted, pseudonymous events, a table a day
		{"expect", ThroughIngest, w.judgeSources}, // an empty interval is a failure, not a result; so is what fails its expectations
		{"trust", ThroughIngest, w.countWeeks},    // weeks that have ended: how people's trust and the service have grown
		{"build", ThroughBuild, w.build},          // views as of the interval's end
		{"drift", ThroughDrift, w.checkDrift},     // inputs against a reference, before anything is trained of them
		{"retrain", ThroughDrift, w.retrain},      // of a job that watches another: that one, once
		{"assemble", ThroughTrain, w.assemble},    // the training set, as references
		{"groups", ThroughTrain, w.groups},        // who will be asked, and by which groups, before it is paid for
		{"train", ThroughTrain, w.train},          // artifact
		{"evaluate", ThroughTrain, func(ctx context.Context) (err error) { // quality, cohorts, drift → report and the gate's decision
			decision, err = w.evaluate(ctx)
			return err
		}},
		{"register", ThroughTrain, func(ctx context.Context) (err error) { // a version, passed or rejected
			if err := w.place.wait(ctx); err != nil {
				return err
			}
			version, err = w.register(ctx, decision)
			w.place.pass()
			return err
		}},
		{"gate", ThroughTrain, func(context.Context) error {
			if version.Verdict == registry.Rejected {
				return fmt.Errorf("%w: %s", ErrRejected, decision.Reasons[0])
			}
			return nil
		}},
		{"publish", ThroughPublish, func(ctx context.Context) error { return w.publish(ctx, version) }}, // generation N+1, alias, online store
	} {
		if stage.of > o.Through {
			break
		}
		w.enter(stage.name)
		if err := stage.do(ctx); err != nil {
			return err
		}
	}
	return nil
}
