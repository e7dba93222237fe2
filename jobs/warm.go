package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// descent is where a model comes from whose trainer is asked to go on from earlier ones: the version before it, if it went on from one, and the
// cold training that the line of versions began with. What the line learned from stays in its last member, so it ends where an erasure, a
// withdrawal or rebuildWithin asks for a model that has not seen it.
type descent struct {
	Version int       `json:"version,omitempty"` // of the parent; 0: the training was cold
	Parent  string    `json:"parent,omitempty"`  // digest of its artifact
	Began   time.Time `json:"began"`             // the end of the interval of the line's first member
	Epoch   int       `json:"epoch"`             // erasures before the line's last training
}

// warm returns the job's trainer if it is asked to go on from an earlier model, else nil.
func (j *Job) warm() models.WarmStarter {
	if t, ok := j.Model.Trainer.(models.WarmStarter); ok && t.WarmStarts() {
		return t
	}
	return nil
}

// planTrain keys the training of spec. A warm one goes on from the version that was live at the interval's start, whenever it is planned, so
// that a run that is repeated and a backfill come to the same key; where that version may not be gone on from, it is cold. What has
// been made from a parent stands, also when a later erasure has ended the line.
func (w *work) planTrain(ctx context.Context, p *plan, spec any) error {
	key := func(inputs ...string) string {
		return stepKey("train", w.label, w.iv, logicTrain, spec, append([]string{p.assemble.key}, inputs...)...)
	}
	p.train = step{name: "train", label: w.label, iv: w.iv, key: key()}
	if w.job.warm() == nil {
		return nil
	}
	p.descent = &descent{Began: w.iv.End, Epoch: p.journal.Epoch()}
	if p.before == nil {
		p.train.why = "cold: nothing was live before"
		return nil
	}
	v, parent := *p.before, key(p.before.Digest)
	done, err := w.tables.Done(ctx, parent)
	if err != nil {
		return err
	}
	of, why, err := w.descentOf(ctx, p, v)
	if err != nil {
		return err
	}
	if !done && why != "" {
		p.train.why = fmt.Sprintf("cold: %s", why)
		return nil
	}
	p.train.key, p.train.why = parent, fmt.Sprintf("goes on from version %d", v.Number)
	p.descent.Version, p.descent.Parent = v.Number, v.Digest
	if of != nil {
		p.descent.Began = of.Began
	}
	return nil
}

// descentOf returns the line of a version, nil if it has none, and why nothing may go on from the version, "" if it may.
func (w *work) descentOf(ctx context.Context, p *plan, v registry.Version) (of *descent, why string, err error) {
	set, of, err := w.madeFrom(ctx, v)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil, fmt.Sprintf("what version %d was made from is not recorded any more", v.Number), nil
	case err != nil:
		return nil, "", fmt.Errorf("version %d, from which training would go on: %w", v.Number, err)
	case of == nil:
		return nil, fmt.Sprintf("version %d was trained without warm_start", v.Number), nil
	case of.Epoch != p.journal.Epoch():
		return of, fmt.Sprintf("people were erased since version %d was trained", v.Number), nil
	case set.Filter != p.trainingDecisions.Digest(set.Window):
		return of, fmt.Sprintf("whose data may be used has changed since version %d was trained", v.Number), nil
	case w.iv.End.Sub(of.Began) > rebuildWithin:
		return of, fmt.Sprintf("version %d goes back to a training of %s, more than %d days ago", v.Number, w.job.Every.Label(table.Interval{Start: of.Began.Add(-w.iv.End.Sub(w.iv.Start)), End: of.Began}), rebuildWithin/(24*time.Hour)), nil
	}
	if gone, err := w.modelPurged(ctx, v); err != nil {
		return nil, "", fmt.Errorf("version %d, from which training would go on: %w", v.Number, err)
	} else if gone {
		return of, fmt.Sprintf("a purge has removed version %d", v.Number), nil
	}
	return of, "", nil
}

// modelPurged reports whether a purge has removed a version: with its artifact goes the proof of its training. An artifact that was lost otherwise is to be restored; a collection of garbage
// takes no version's. Cost: the commits of training for the version's interval; of all, where it is not among these.
func (w *work) modelPurged(ctx context.Context, v registry.Version) (bool, error) {
	for _, prefix := range []string{"train/" + w.job.Every.Label(v.Interval) + "/", "train/"} {
		for c, err := range w.tables.List(ctx, prefix) {
			if err != nil {
				return false, err
			}
			if f, err := factsOf[trained](c); err != nil || f.Digest == v.Digest {
				return false, err
			}
		}
	}
	return true, nil
}

// madeFrom returns the facts of the training set that a version was made from, and its line.
func (w *work) madeFrom(ctx context.Context, v registry.Version) (assembled, *descent, error) {
	_, j, err := w.evaluationOf(ctx, v)
	if err != nil {
		return assembled{}, nil, err
	}
	c, _, err := w.tables.Lookup(ctx, j.Assembled)
	if err != nil {
		return assembled{}, nil, fmt.Errorf("its training set: %w", err)
	}
	set, err := factsOf[assembled](c)
	return set, j.Line, err
}

// trainer returns the job's trainer, set to go on from the parent that l names, if it names one.
func (w *work) trainer(ctx context.Context, l *descent) (models.Trainer, error) {
	if l == nil || l.Parent == "" {
		return w.job.Model.Trainer, nil
	}
	warm := w.job.warm()
	if warm == nil {
		return nil, fmt.Errorf("it went on from version %d, and models.%s has no warm_start now", l.Version, w.job.Model.Name)
	}
	parent, err := w.openModel(ctx, l.Parent)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, fmt.Errorf("training goes on from version %d, whose artifact is gone; restore it, or train without warm_start: %w", l.Version, err)
	}
	if err != nil {
		return nil, fmt.Errorf("training goes on from version %d: %w", l.Version, err)
	}
	return warm.From(parent), nil
}
