package jobs

import (
	"context"
	"iter"
	"math"

	"github.com/rapport-ml/rapport/eval/drift"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/storage/table"
)

// referenceIntervals is how many intervals before the one at hand it is compared with: for days, a week, so that every weekday is in it.
const referenceIntervals = 7

// drift compares the interval's events with those of the intervals before it, without the ones that were unlike the others, and the model's
// scores with those of the interval before. It returns nil where the training window holds no interval to compare with.
func (w *work) drift(ctx context.Context, d *dataset, s models.Scorer) (*drift.Report, error) {
	reference := table.Interval{Start: w.iv.Start, End: w.iv.Start}
	var intervals []table.Interval
	for range referenceIntervals {
		before := w.job.Every.At(reference.Start)
		if before.Start.Before(w.plan.training.Start) {
			break
		}
		reference.Start = before.Start
		intervals = append(intervals, before)
	}
	context := w.job.textColumns()
	none := true
	before := w.driftEvents(ctx, reference, context, &none)
	plan, err := drift.Learn(context, before)
	if err != nil || none {
		return nil, err
	}
	periods := make([][]*drift.Summary, len(intervals))
	for i, iv := range intervals {
		if periods[i], err = plan.Summarize(w.driftEvents(ctx, iv, context, &none)); err != nil {
			return nil, err
		}
	}
	was, _, err := drift.Reference(periods)
	if err != nil {
		return nil, err
	}
	is, err := plan.Summarize(w.driftEvents(ctx, w.iv, context, &none))
	if err != nil {
		return nil, err
	}
	if scores, ok, err := w.scoreDrift(ctx, d, s, reference); err != nil {
		return nil, err
	} else if ok {
		was, is = append(was, scores[0]), append(is, scores[1])
	}
	return drift.Compare(was, is, drift.Options{Alpha: w.job.Drift.Alpha, Seed: w.job.Model.Seed})
}

// driftEvents yields the permitted events of a window as the drift check sees them; none is set to false if there is any.
func (w *work) driftEvents(ctx context.Context, iv table.Interval, names []string, none *bool) iter.Seq2[drift.Event, error] {
	columns := append([]string{event.ColSubject, event.ColItem, event.ColTime, event.ColKind, event.ColValue}, names...)
	return func(yield func(drift.Event, error) bool) {
		values := make([]string, len(names))
		var from, to int64 // the interval that the last row was in
		for b, err := range w.events(ctx, iv, columns, nil) {
			if err != nil {
				yield(drift.Event{}, err)
				return
			}
			amount, times := &b.Cols[4], b.Cols[2].Int
			for i := range b.N {
				e := drift.Event{Subject: uint64(b.Cols[0].Int[i]), Kind: b.Cols[3].Str[i], Item: b.Cols[1].Str[i], Value: math.NaN(), Context: values}
				if t := times[i]; t < from || t >= to {
					in := w.job.Every.Containing(timeOf(t))
					from, to = table.Micros(in.Start), table.Micros(in.End)
				}
				e.Period = int(from / 1e6)
				if !amount.Null(i) {
					e.Value = amount.Float[i]
				}
				for c := range names {
					values[c] = ""
					if col := &b.Cols[5+c]; !col.Null(i) {
						values[c] = col.Str[i]
					}
				}
				*none = false
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

// scoreColumn is the column of the model's own scores: the best score of each subject who was active in the window, asked at its end.
const scoreColumn = "best_score"

// scoreDrift summarizes the candidate's best scores over the subjects active in the reference and in the interval.
func (w *work) scoreDrift(ctx context.Context, d *dataset, s models.Scorer, reference table.Interval) (out [2]*drift.Summary, ok bool, err error) {
	best := func(iv table.Interval) (subjects []uint64, scores []float64, err error) {
		from, to := table.Micros(iv.Start), table.Micros(iv.End)
		var queries []models.Query
		for row, subject := range d.Events.Subjects {
			if h := d.Events.SubjectBetween(row, from, to); h.Len() > 0 {
				q := d.Query(row, to, 1)
				if d.facts.Mask {
					q.Exclude = models.Distinct(q.History.Item)
				}
				queries, subjects = append(queries, q), append(subjects, subject)
			}
		}
		var r models.Ranking
		if err := models.Rank(ctx, s, d.Catalog.Len(), queries, &r); err != nil {
			return nil, nil, err
		}
		for i := range queries {
			v := math.NaN()
			if _, found := r.Query(i); len(found) > 0 {
				v = float64(found[0])
			}
			scores = append(scores, v)
		}
		return subjects, scores, nil
	}
	last := w.job.Every.At(reference.End) // one interval, as long as the one at hand
	subjects, scores, err := best(last)
	if err != nil || len(scores) == 0 {
		return out, false, err
	}
	spec := drift.NumericSpec(scoreColumn, scores)
	for i := range out {
		out[i] = drift.NewSummary(spec)
		if i == 1 {
			if subjects, scores, err = best(w.iv); err != nil {
				return out, false, err
			}
		}
		for k, v := range scores {
			if math.IsNaN(v) {
				out[i].AddNull(subjects[k])
			} else {
				out[i].AddNumber(subjects[k], v)
			}
		}
	}
	return out, true, nil
}
