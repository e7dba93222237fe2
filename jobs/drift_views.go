package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/eval/drift"
	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

// viewRows is about how many events a view is computed of for the drift check: of more, a sample of its entities, the same in both windows.
const viewRows = 1 << 20

// viewScan is what a view's columns hold as of the interval's end and as of the reference.
type viewScan struct {
	view    features.View
	group   string
	facts   drift.ViewFacts
	was, is []*drift.Summary
	before  table.Interval
	below   uint64          // of the sample
	rows    [2]*drift.Batch // of both windows
}

// viewsReference is the interval whose end views are compared as of: a week before, on the same weekday; of longer intervals, the one before.
// Windows that slide overlap, and what two days have in common is what the bootstrap over entities takes into account.
func (w *work) viewsReference() table.Interval {
	every := w.job.Every
	iv := every.At(w.iv.Start)
	for hoursOf(w.iv) < 7*24 && !w.job.sameWeekday(iv, w.iv) {
		iv = every.At(iv.Start)
	}
	return iv
}

// scanViews computes the views of a sample of entities as of the interval's end and as of a reference a week before, and counts their columns. Both
// are computed of the same events under the decisions of now: what an earlier build made was made under those of then, and may be gone.
//
// A view is left out as long as the events that were kept do not fill its longest window in both: a window that grows is no drift.
func (w *work) scanViews(ctx context.Context) (out []*viewScan, err error) {
	if w.job.Drift.NoViews {
		return nil, nil
	}
	before := w.viewsReference()
	for _, v := range w.job.Views {
		s := &viewScan{view: v, group: "view " + v.Name, before: before, facts: drift.ViewFacts{View: v.Name, Interval: w.job.Every.Label(before)}}
		out = append(out, s)
		window := features.RetentionNeeded([]features.View{v})
		if why := w.uncovered(before.End.Add(-window)); why != "" {
			s.facts.Interval, s.facts.Says = "", why
			continue
		}
		if err := w.scanView(ctx, s); err != nil {
			return nil, fmt.Errorf("drift of view %s: %w", v.Name, err)
		}
	}
	return out, nil
}

// uncovered says why events do not reach back to a time, or "".
func (w *work) uncovered(from time.Time) string {
	if oldest := w.job.Training.Oldest("events", w.iv.End, w.now); table.Micros(from) < oldest {
		return "not compared: its longest window and a week reach further back than events may be kept (keep.events)"
	}
	first := slices.IndexFunc(w.plan.committed, func(d day) bool { return d.manifest.Rows > 0 })
	if first < 0 || w.plan.committed[first].iv.Start.After(from) {
		return "not compared: its longest window and a week reach further back than the events that a run reads (train.window), or than there are any"
	}
	return ""
}

// scanView counts the columns of one view as of both moments.
func (w *work) scanView(ctx context.Context, s *viewScan) error {
	var rows int64
	window := features.RetentionNeeded([]features.View{s.view})
	for _, dy := range w.plan.committed {
		if dy.meets(table.Interval{Start: w.iv.End.Add(-window), End: w.iv.End}) {
			rows += dy.manifest.Rows
		}
	}
	s.below = threshold(min(1, viewRows/math.Max(1, float64(rows))))
	for side, iv := range []table.Interval{s.before, w.iv} {
		var err error
		if s.rows[side], err = w.viewRows(ctx, s, iv); err != nil {
			return err
		}
	}
	fields, _ := s.fields(w)
	learner := drift.NewLearner(fields, 0)
	learner.Add(s.rows[drift.InReference])
	specs := learner.Specs()
	for i := range specs {
		specs[i].Unit = s.unit()
	}
	was, is := drift.NewScan(specs), drift.NewScan(specs)
	was.Add(s.rows[drift.InReference])
	is.Add(s.rows[drift.InCurrent])
	s.was, s.is = was.Summaries(), is.Summaries()
	return nil
}

// unit is what rows are clustered by, in words: "" for subjects.
func (s *viewScan) unit() string {
	switch keys := s.view.Keys(); {
	case slices.Contains(keys, features.KeySubject):
		return ""
	case len(keys) == 1 && keys[0] == features.KeyItem:
		return "items"
	case len(keys) == 1: // whatever its plural is
		return "values of " + keys[0]
	}
	return "rows of the view"
}

// fields are the columns of a view that are compared, and where they stand in its schema. Of the most frequent values the first is compared, and of a
// sequence none: its last item is followed as a column of events. Nor is text of a view without subjects: its levels would be named where enough items, or
// other keys, have them, and one person can stand behind all of these.
func (s *viewScan) fields(w *work) (fields []drift.Field, at []int) {
	schema := s.view.Schema(w.job.eventSchema())
	first := len(s.view.KeySchema(w.job.eventSchema()))
	for i, f := range schema {
		if i < first || f.Type == table.Time || s.opOf(i-first) == features.Sequence || f.Type == table.String && s.unit() != "" {
			continue
		}
		fields, at = append(fields, drift.Field{Name: s.view.Name + "." + f.Name, Group: s.group, Text: f.Type == table.String}), append(at, i)
	}
	return fields, at
}

// opOf is the operator of the i-th column after the key's.
func (s *viewScan) opOf(i int) features.Op { return s.view.Features[i/len(s.view.Windows)].Op }

// viewRows computes the view of the sample as of an interval's end, with the columns that are compared.
func (w *work) viewRows(ctx context.Context, s *viewScan, iv table.Interval) (*drift.Batch, error) {
	from := w.reading()
	sample := &sampling{keys: s.view.Keys(), below: s.below, wall: w.Wall}
	from.days = sample.shards(from.days)
	schema := s.view.Schema(w.job.eventSchema())
	all := &table.Batch{Schema: schema, Cols: make([]table.Column, len(schema))}
	_, err := w.Engine.Build(ctx, features.Plan{
		Views: []features.View{s.view}, Interval: iv, Schema: w.job.eventSchema(), Budget: w.Memory, Spill: w.Spill,
		Events: func(_ context.Context, win table.Interval) ([]features.Split, error) {
			return from.splitsOf(win, sample.of), nil
		},
		Out: func(_ features.View, rows *table.Batch) error {
			appendRows(all, rows)
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	unit := max(schema.Index(features.KeySubject), 0)
	out := &drift.Batch{Unit: unitsOf(all, unit)}
	first := len(s.view.KeySchema(w.job.eventSchema()))
	_, at := s.fields(w)
	for _, i := range at {
		c := &all.Cols[i]
		if s.opOf(i-first) == features.Top {
			if c, err = foremost(c, all.N); err != nil {
				return nil, err
			}
		}
		out.Cols = append(out.Cols, c)
	}
	return out, nil
}

// foremost takes the first of each row's values, which stand as a JSON array.
func foremost(c *table.Column, rows int) (*table.Column, error) {
	out := &table.Column{Str: make([]string, rows), Valid: make([]bool, rows)}
	for i := range rows {
		if c.Null(i) {
			continue
		}
		var values []any
		d := json.NewDecoder(strings.NewReader(c.Text(i)))
		d.UseNumber()
		if err := d.Decode(&values); err != nil {
			return nil, fmt.Errorf("the most frequent values of row %d are no JSON array: %w", i, err)
		}
		if len(values) > 0 {
			out.Str[i], out.Valid[i] = fmt.Sprint(values[0]), true
		}
	}
	return out, nil
}

// unitsOf are the numbers of the subjects of a view's rows, or stand for what it is keyed by.
func unitsOf(rows *table.Batch, at int) []int64 {
	c := &rows.Cols[at]
	if c.Int != nil || rows.N == 0 {
		return c.Int
	}
	out := make([]int64, rows.N)
	for i := range out {
		if !c.Null(i) {
			out[i] = drift.UnitOf(c.Text(i))
		}
	}
	return out
}

// viewPanel looks a second time at called columns of a view.
func (w *work) viewPanel(s *viewScan, specs []drift.Spec) *drift.Panel {
	fields, _ := s.fields(w)
	panel := drift.NewPanel(specs)
	for side, rows := range s.rows {
		panel.Count(drift.Side(side), rows.Unit)
	}
	for side, rows := range s.rows {
		called := &drift.Batch{Unit: rows.Unit}
		for _, spec := range specs {
			called.Cols = append(called.Cols, rows.Cols[slices.IndexFunc(fields, func(f drift.Field) bool { return f.Name == spec.Name })])
		}
		panel.Add(drift.Side(side), called, nil)
	}
	return panel
}
