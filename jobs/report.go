package jobs

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/eval/drift"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/storage/table"
)

const microsADay = int64(24 * time.Hour / time.Microsecond)

func timeOf(micros int64) time.Time { return time.UnixMicro(micros).UTC() }

// describe puts together what the report says. Its run is named by the evaluate step's key, which is the same whoever carries it out, so
// that equal evaluations give equal reports.
func (w *work) describe(ctx context.Context, d *dataset, q *eval.Quality, dr *drift.Report, decision eval.Decision, s models.Scorer) (*eval.Report, error) {
	p := w.plan
	share := d.facts.RepeatShare
	r := &eval.Report{
		Run:      eval.RunFacts{ID: w.reportID(), Job: w.job.Name, Interval: w.iv, Clock: w.now, Pinned: w.Pinned, Revision: w.Revision},
		Decision: decision,
		Model:    eval.ModelFacts{Name: w.job.Model.Name, Digest: p.trained.Digest},
		Quality:  q,
		Drift:    dr,
		Funnel:   funnelRows(w.res.Funnel),
		Data: eval.DataFacts{
			Window: table.Interval{Start: p.training.Start, End: timeOf(d.Cuts.Test)}, Test: table.Interval{Start: timeOf(d.Cuts.Test), End: p.training.End},
			Rows: d.facts.Rows, RepeatShare: &share, Masking: d.facts.masking(w.job.Model.Lists.Seen),
		},
	}
	if c, ok := w.model.(models.Composite); ok {
		parts, err := c.BindParts(ctx, d.Catalog, d.SubjectColumns())
		if err != nil {
			return nil, err
		}
		for _, part := range parts {
			r.Model.Parts = append(r.Model.Parts, eval.PartWeight{Name: part.Name, Weight: part.Weight})
		}
	}
	for _, x := range p.committed {
		r.Lineage = append(r.Lineage, eval.LineageStep{Step: "ingest " + w.job.unit().Label(x.iv), Key: x.key, Digest: string(x.manifest.Digest)})
	}
	for _, sn := range []*snapshot{p.items, p.subjects, p.cohorts} {
		if sn != nil {
			r.Lineage = append(r.Lineage, eval.LineageStep{Step: sn.set, Key: sn.key})
		}
	}
	r.Lineage = append(r.Lineage,
		eval.LineageStep{Step: "assemble", Key: p.assemble.key, Digest: string(d.facts.Digest)},
		eval.LineageStep{Step: "train", Key: p.train.key, Digest: p.trained.Digest},
		eval.LineageStep{Step: "evaluate", Key: p.evaluate.key})
	return r, w.personas(ctx, d, s, r)
}

// funnelRows splits the printed funnel, in which small counts are suppressed already, into rows.
func funnelRows(printed string) []eval.FunnelRow {
	var out []eval.FunnelRow
	for _, cell := range strings.FieldsFunc(printed, func(r rune) bool { return r == '→' || r == '·' }) {
		if reason, rows, ok := strings.Cut(strings.TrimSpace(cell), " "); ok {
			out = append(out, eval.FunnelRow{Reason: reason, Rows: rows})
		}
	}
	return out
}

// personas explains the first item of a few invented subjects: each has taken one of the most popular items of the list not based on
// profiling, a few times. No one's history stands in a report.
func (w *work) personas(ctx context.Context, d *dataset, s models.Scorer, r *eval.Report) error {
	ex, ok := s.(models.Explainer)
	if !ok || len(w.job.Baselines) == 0 {
		return nil
	}
	base, err := w.baseline(ctx, d, w.job.Baselines[0], d.Cuts.Test)
	if err != nil {
		return err
	}
	nobody := models.Query{At: d.Cuts.Test, K: 3, Subject: make([]string, len(d.SubjectColumns()))}
	var top models.Ranking
	if err := models.Rank(ctx, base, d.Catalog.Len(), []models.Query{nobody}, &top); err != nil {
		return err
	}
	popular, _ := top.Query(0)
	for n, item := range popular {
		times := n + 1
		q := nobody
		q.K = 1
		for i := times; i > 0; i-- {
			q.History.Item = append(q.History.Item, item)
			q.History.Time = append(q.History.Time, d.Cuts.Test-int64(7*i)*microsADay)
			q.History.Kind = append(q.History.Kind, 0)
			q.History.Weight = append(q.History.Weight, 1)
		}
		if d.facts.Mask {
			q.Exclude = []int32{item}
		}
		var best models.Ranking
		if err := models.Rank(ctx, s, d.Catalog.Len(), []models.Query{q}, &best); err != nil {
			return err
		}
		items, _ := best.Query(0)
		if len(items) == 0 {
			continue
		}
		why, err := ex.Explain(ctx, &q, items)
		if err != nil {
			return err
		}
		often := "once"
		if times > 1 {
			often = fmt.Sprintf("%d times, a week apart", times)
		}
		r.Explanations = append(r.Explanations, eval.ExplanationSample{
			Persona: "took " + d.Catalog.IDs[item] + " " + often, Item: d.Catalog.IDs[items[0]], Explanation: why.Explanation(0),
		})
	}
	return nil
}

// cell prints a value of a cohort column.
func cell(c *table.Column, i int) string {
	switch {
	case c.Str != nil:
		return c.Str[i]
	case c.Float != nil:
		return strconv.FormatFloat(c.Float[i], 'g', -1, 64)
	}
	return strconv.FormatInt(c.Int[i], 10)
}
