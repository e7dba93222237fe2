package again

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/rapport-ml/rapport/models"
)

// Hyper are the hyperparameters. The zero value of MinSubjects means models.MinSubjects.
type Hyper struct {
	HalfLife    time.Duration `json:"half_life"`    // ns; H, an event's weight halves with this age; 0: never
	Depletion   float64       `json:"depletion"`    // D in [0, 1): how much a choice just made lowers the score
	MinSubjects int           `json:"min_subjects"` // items of fewer distinct subjects share the pooled rates
}

// Defaults returns the hyperparameters that a project starts with.
func Defaults() Hyper {
	return Hyper{HalfLife: 365 * 24 * time.Hour, Depletion: 0.3, MinSubjects: models.MinSubjects}
}

// Validate reports every value out of range.
func (h Hyper) Validate() error {
	var errs []error
	if h.HalfLife < 0 {
		errs = append(errs, fmt.Errorf("half_life is %v, want a positive duration, or 0 for no decay", h.HalfLife))
	}
	if !(h.Depletion >= 0 && h.Depletion < 1) {
		errs = append(errs, fmt.Errorf("depletion is %v, want at least 0 and less than 1", h.Depletion))
	}
	if h.MinSubjects < 0 {
		errs = append(errs, fmt.Errorf("min_subjects is %d, want 1 or more, or 0 for %d", h.MinSubjects, models.MinSubjects))
	}
	return errors.Join(errs...)
}

// Trainer learns how often, and how soon, people return to each item.
type Trainer struct {
	Hyper Hyper
}

// Name returns "again".
func (t *Trainer) Name() string { return "again" }

// The smallest gap counted, and the gap assumed where nobody has returned to anything, in µs.
const (
	minGap     = float64(time.Hour / time.Microsecond)
	unknownGap = 30 * 24 * minGap
)

// tally is what Train counts of one item.
type tally struct {
	subjects int     // who chose it
	returned int     // of these, who chose it again
	gaps     int     // returns
	logGap   float64 // Σ ln gap, gap in µs
	owner    int     // 1 + the row of the subject seen last
	last     int64   // that subject's last time
	repeated bool    // whether that subject has returned
}

// Train counts returns in the events of d in [Cuts.Base, until). One pass, O(events + items); seed is not used.
func (t *Trainer) Train(ctx context.Context, d *models.Dataset, until int64, seed uint64) (models.Model, error) {
	h := t.Hyper
	if err := h.Validate(); err != nil {
		return nil, fmt.Errorf("train again: %w", err)
	}
	if h.MinSubjects == 0 {
		h.MinSubjects = models.MinSubjects
	}
	items := make([]tally, d.Catalog.Len())
	for s := range d.Events.Subjects {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("train again: %w", err)
		}
		hist := d.Events.SubjectBetween(s, d.Cuts.Base, until)
		for i, item := range hist.Item {
			items[item].see(s, hist.Time[i])
		}
	}
	return newModel(h, d.Catalog.IDs, items), nil
}

// see counts an event of the subject in row s. A subject's events come together, in the order of time.
func (y *tally) see(s int, at int64) {
	switch {
	case y.owner != s+1:
		y.owner, y.repeated = s+1, false
		y.subjects++
	case at > y.last:
		y.gaps++
		y.logGap += math.Log(max(float64(at-y.last), minGap))
		if !y.repeated {
			y.repeated = true
			y.returned++
		}
	}
	y.last = at
}

// newModel keeps the rates of items that enough subjects chose, shrunk towards the pooled rate as if MinSubjects more subjects had been
// seen with it.
func newModel(h Hyper, ids []string, items []tally) *Model {
	var all tally
	for i := range items {
		all.subjects += items[i].subjects
		all.returned += items[i].returned
		all.gaps += items[i].gaps
		all.logGap += items[i].logGap
	}
	m := &Model{hyper: h, pooled: pooled{Rate: 1, LogGap: math.Log(unknownGap)}}
	if all.returned > 0 {
		m.pooled.Rate = float64(all.returned) / float64(all.subjects)
	}
	if all.gaps > 0 {
		m.pooled.LogGap = all.logGap / float64(all.gaps)
	}
	k := float64(h.MinSubjects)
	for i := range items {
		y := &items[i]
		if y.subjects < h.MinSubjects {
			continue
		}
		logGap := m.pooled.LogGap
		if y.returned >= h.MinSubjects {
			logGap = (k*logGap + y.logGap) / (k + float64(y.gaps))
		}
		m.items = append(m.items, ids[i])
		m.rate = append(m.rate, float32((k*m.pooled.Rate+float64(y.returned))/(k+float64(y.subjects))))
		m.logGap = append(m.logGap, float32(logGap))
	}
	return m
}
