package als

import (
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/internal/vec"
)

// A warm start begins with the vectors of a parent, an earlier model of the same items, where a cold one draws them. It ends as soon as an epoch
// gains no more than the last epoch of the cold training that the line of parents began with: it is then as close to its end as that was, after
// fewer epochs. A parent that learned from events at or after `until` is not used, as it knows what the model will be asked, and neither
// is one of other dimensions.

// leastSettled is a gain of the objective that float32 rows make by chance.
const leastSettled = 1e-5

// WarmStarts reports whether the hyperparameters ask for a warm start.
func (t *Trainer) WarmStarts() bool { return t.Hyper.WarmStart }

// From returns the trainer that goes on from parent. A model of another algorithm changes nothing.
func (t *Trainer) From(parent models.Model) models.Trainer {
	warm := *t
	warm.Parent, _ = parent.(*Model)
	return &warm
}

var _ models.WarmStarter = (*Trainer)(nil)

// start takes the vectors of items that parent knows from it, and reports whether it knows any.
func (f *fit) start(items []string, parent *Model, until int64) (warm bool) {
	if parent == nil || parent.hyper.Dim != f.h.Dim || parent.record.Until > until {
		return false
	}
	d, row := f.h.Dim, 0
	for i, id := range items { // both ascend
		for row < len(parent.items) && parent.items[row] < id {
			row++
		}
		if row < len(parent.items) && parent.items[row] == id {
			copy(f.items[i*d:][:d], parent.factors[row*d:])
			warm = true
		}
	}
	vec.Gram(f.itemGram, f.items, len(items), d)
	f.atStart = f.p.confidence + f.regularization(f.items, nil, f.itemReg)
	return warm
}

// after sets what a training that goes on from parent ends at: what parent's last epoch gained, or, if parent was warm itself, what it ended
// at. Of a parent of one epoch nothing is known, and no training ends at 0.
func (r *record) after(parent *record) {
	r.Warm, r.Settled = true, parent.Settled
	if gain, ok := parent.lastGain(); ok && r.Settled == 0 {
		r.Settled = max(gain, leastSettled)
	}
}

// settled reports whether a warm training has gained so little in its last epoch that it ends.
func (r *record) settled() bool {
	gain, ok := r.lastGain()
	return r.Warm && ok && gain <= r.Settled
}

// lastGain is by which share of the objective the last epoch lowered it, if there was one before.
func (r *record) lastGain() (gain float64, ok bool) {
	n := len(r.Objective)
	if n < 2 || !(r.Objective[n-1] > 0) {
		return 0, false
	}
	return (r.Objective[n-2] - r.Objective[n-1]) / r.Objective[n-1], true
}
