package jobs

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/eval/drift"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/storage/table"
)

// The columns of what a model makes of its inputs.
const (
	scoreColumn   = "best_score"   // the best score of each subject who was active in the window, asked at its end
	qualityColumn = "live_quality" // the headline metric of the live version, on these events against those that it was judged on

	scoresGroup  = "scores"
	qualityGroup = "quality"
)

// outputDrift compares what the candidate and the live version make of the interval with what they made before, and returns the report of the inputs
// with these columns after its own; nil if nothing was compared. Its columns are adjusted for one another: they come after the decision to train.
func (w *work) outputDrift(ctx context.Context, d *dataset, s models.Scorer, q *eval.Quality) (*drift.Report, error) {
	var was, is []*drift.Summary
	scores, ok, err := w.scoreDrift(ctx, d, s)
	if err != nil {
		return nil, err
	}
	if ok {
		was, is = append(was, scores[0]), append(is, scores[1])
	}
	var measured []drift.Measured
	if m, ok, err := w.liveQuality(ctx, q); err != nil {
		return nil, err
	} else if ok {
		measured = append(measured, m)
	}
	out, err := drift.Compare(was, is, drift.Options{Alpha: w.job.Drift.Alpha, Seed: w.job.Model.Seed, Columns: w.job.Drift.Columns}, measured...)
	if err != nil {
		return nil, err
	}
	inputs := w.plan.drifted.Report
	if inputs == nil {
		if len(out.Columns) == 0 {
			return nil, nil
		}
		return out, nil
	}
	both := *inputs
	both.Columns = append(append([]drift.Column{}, inputs.Columns...), out.Columns...)
	return &both, nil
}

// scoreDrift summarizes the candidate's best scores over the subjects active in the interval before and in this one.
func (w *work) scoreDrift(ctx context.Context, d *dataset, s models.Scorer) (out [2]*drift.Summary, ok bool, err error) {
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
	before := w.job.Every.At(w.iv.Start) // one interval, as long as the one at hand
	if before.Start.Before(w.plan.training.Start) {
		return out, false, nil
	}
	subjects, scores, err := best(before)
	if err != nil || len(scores) == 0 {
		return out, false, err
	}
	spec := drift.NumericSpec(scoreColumn, scores)
	spec.Group = scoresGroup
	for i := range out {
		out[i] = drift.NewSummary(spec)
		if i == 1 {
			if subjects, scores, err = best(w.iv); err != nil {
				return out, false, err
			}
		}
		for k, v := range scores {
			out[i].AddNumber(subjects[k], v)
		}
	}
	return out, true, nil
}

// liveQuality compares the headline metric of the live version on this interval with what its own report says of it. ok is false if there is no live
// version, or its report is gone or says nothing of the metric; nor for a version of the interval itself, which was judged on no other.
func (w *work) liveQuality(ctx context.Context, q *eval.Quality) (m drift.Measured, ok bool, err error) {
	now := q.Contender(eval.Live)
	if now == nil || !w.plan.live.Interval.End.Before(w.iv.End) {
		return m, false, nil
	}
	record, err := w.liveReport(ctx)
	if err != nil || record == nil || record.Quality == nil {
		return m, false, err
	}
	was := record.Quality.Contender(eval.Candidate)
	if was == nil {
		return m, false, nil
	}
	before, is := was.Estimate(q.Headline, eval.All), now.Estimate(q.Headline, eval.All)
	if before == nil || is == nil || before.Value == nil || is.Value == nil {
		return m, false, nil
	}
	m = drift.Figure(qualityColumn, qualityGroup, estimated(before), estimated(is))
	m.Says = fmt.Sprintf("The %s of the live version, v%d, has moved: on this interval it is %.4f, and when it was judged it was %.4f.", q.Headline, w.plan.live.Number, *is.Value, *before.Value)
	return m, true, nil
}

// estimated is an estimate of an evaluation.
func estimated(e *eval.Estimate) drift.Estimate {
	out := drift.Estimate{Value: *e.Value, N: e.N}
	if e.StandardError != nil {
		out.Error = *e.StandardError
	}
	return out
}

// outputVerdicts are the verdicts on the columns that outputDrift has added.
func (w *work) outputVerdicts(r *drift.Report, d eval.Decision) []DriftVerdict {
	if r == nil {
		return nil
	}
	first := 0
	if inputs := w.plan.drifted.Report; inputs != nil {
		first = len(inputs.Columns)
	}
	var rules []eval.Rule
	for _, rule := range d.Rules {
		if rule.Kind == "drift" {
			rules = append(rules, rule)
		}
	}
	return driftVerdicts(r.Columns[first:], rules[first:])
}

// driftJudged adds to the result what the evaluation says of drift, beside what the check of the inputs has said already.
func (w *work) driftJudged(f judged) {
	w.res.Drift.Columns = append(w.res.Drift.Columns, f.Outputs...)
	for _, says := range f.Drifted {
		if !slices.Contains(w.res.Flags, says) {
			w.res.Flags = append(w.res.Flags, says)
		}
	}
}
