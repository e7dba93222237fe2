package jobs

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/rapport-ml/rapport/eval/drift"
	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage/table"
)

// evaluationColumn is the share of the active subjects who may be looked at in cohorts.
const evaluationColumn = "consent:"

// driftFields are the columns of events that are compared: all that the training purpose reads. Times are none: each night's are later than those before.
func (j *Job) driftFields() (out []drift.Field) {
	for _, f := range j.eventSchema() {
		if f.Name != event.ColSubject && f.Type != table.Time {
			out = append(out, drift.Field{Name: f.Name, Group: drift.EventsGroup, Text: f.Type == table.String})
		}
	}
	return out
}

// scanned is what a scan of events counts: of each interval of the reference, and of the one at hand.
type scanned struct {
	specs   []drift.Spec
	periods [][]*drift.Summary
	current []*drift.Summary
	rows    int64
}

// scanEvents counts the events of the reference and of the interval. It is nil if the reference holds none.
func (w *work) scanEvents(ctx context.Context, c compared) (*scanned, error) {
	fields := w.job.driftFields()
	var rows int64
	for _, iv := range c.in {
		for _, dy := range w.plan.committed {
			if dy.meets(iv) {
				rows += dy.manifest.Rows
			}
		}
	}
	learner := drift.NewEventsLearner(fields, rows)
	none := true
	for _, iv := range c.in {
		for b, err := range w.driftBatches(ctx, iv, fields) {
			if err != nil {
				return nil, err
			}
			learner.Add(&b.Batch)
			none = false
		}
		learner.EndPeriod()
	}
	if none {
		return nil, nil
	}
	out := &scanned{specs: learner.Specs()}
	mix := drift.NewMix(previousIntervals)
	items := slices.IndexFunc(fields, func(f drift.Field) bool { return f.Name == event.ColItem })
	for _, iv := range c.all {
		counted := iv == w.iv || slices.Contains(c.in, iv)
		read := fields
		if !counted { // only who was there, and what
			read = fields[items : items+1]
		}
		item := slices.IndexFunc(read, func(f drift.Field) bool { return f.Name == event.ColItem })
		scan := drift.NewEventsScan(out.specs)
		for b, err := range w.driftBatches(ctx, iv, read) {
			if err != nil {
				return nil, err
			}
			if out.rows += int64(len(b.Unit)); counted {
				scan.Add(&b.Batch)
			}
			mix.Add(b.Unit, b.Cols[item])
		}
		came := mix.EndPeriod()
		if !counted {
			continue
		}
		if came == nil { // too little lies before it
			for _, spec := range drift.MixSpecs() {
				came = append(came, drift.NewSummary(spec))
			}
		}
		sums := append(scan.Summaries(), came...)
		if w.plan.evaluationDecisions != nil {
			sums = append(sums, w.evaluable(scan.Counts()))
		}
		if iv == w.iv {
			out.current = sums
		} else {
			out.periods = append(out.periods, sums)
		}
	}
	return out, nil
}

// evaluable counts the subjects of an interval who may be looked at in cohorts, as of now, and those who may not.
func (w *work) evaluable(counts map[int64]int64) *drift.Summary {
	d := w.plan.evaluationDecisions
	s := drift.NewSummary(drift.Spec{Name: evaluationColumn + d.Purpose().Name, Group: drift.ConsentGroup, Levels: []string{"may be used", "may not"}})
	for u := range counts {
		level := "may be used"
		if d.Of(policy.Subject(uint64(u))).Denied() {
			level = "may not"
		}
		s.AddLevel(uint64(u), level)
	}
	return s
}

// driftBatch is a run of events as the drift check reads them.
type driftBatch struct {
	drift.Batch
	times []int64
}

// driftBatches yields the permitted events of an interval with the columns of these fields.
func (w *work) driftBatches(ctx context.Context, iv table.Interval, fields []drift.Field) iter.Seq2[*driftBatch, error] {
	columns := []string{event.ColSubject, event.ColTime}
	for _, f := range fields {
		columns = append(columns, f.Name)
	}
	return func(yield func(*driftBatch, error) bool) {
		from := w.reading()
		out := &driftBatch{}
		for _, dy := range from.days {
			if !dy.meets(iv) {
				continue
			}
			for b, err := range from.read(ctx, dy, iv, table.ReadOptions{Columns: columns, Dictionaries: true}, true, nil) {
				if err != nil {
					yield(nil, err)
					return
				}
				out.Unit, out.times, out.Cols = b.Cols[0].Int, b.Cols[1].Int, out.Cols[:0]
				for i := range fields {
					out.Cols = append(out.Cols, &b.Cols[2+i])
				}
				if !yield(out, nil) {
					return
				}
			}
		}
	}
}

// explainDrift says of each column that was called what its drift is put down to. It reads the called columns again, and nothing if there are none.
func (w *work) explainDrift(ctx context.Context, r *drift.Report, c compared, views []*viewScan) error {
	if len(r.Drifted()) == 0 {
		return nil
	}
	x := drift.Circumstances{Retention: c.cut, WholeDays: hoursOf(w.iv) >= 23}
	for i := range r.Columns {
		if col := &r.Columns[i]; col.Verdict == drift.Drifted && col.Name == evaluationColumn+w.job.Training.Name {
			x.Consent = col
		}
	}
	events, err := w.eventsPanel(ctx, r.Specs(drift.EventsGroup), c)
	if err != nil {
		return err
	}
	for i := range r.Columns {
		col := &r.Columns[i]
		if col.Verdict != drift.Drifted {
			continue
		}
		panel := events
		var of *viewScan
		for _, v := range views {
			if v.group == col.Group {
				panel, of = w.viewPanel(v, r.Specs(v.group)), v
			}
		}
		cause := panel.Explain(col, x)
		if from := upstreamOf(r, of, col.Name); from != nil && cause.Kind != drift.UpstreamBreak {
			cause = drift.Cause{Kind: drift.UpstreamBreak, Says: fmt.Sprintf("It is computed of %s. %s", from.Name, from.Cause.Says), Returning: cause.Returning}
		}
		col.Cause = &cause
	}
	return nil
}

// upstreamOf is the column of events that a column of a view is computed of, if that one is put down to its source; nil if it is not. The columns of events come
// first in a report.
func upstreamOf(r *drift.Report, v *viewScan, name string) *drift.Column {
	if v == nil {
		return nil
	}
	for i := range r.Columns {
		c := &r.Columns[i]
		if c.Group != drift.EventsGroup || c.Cause == nil || c.Cause.Kind != drift.UpstreamBreak {
			continue
		}
		for _, f := range v.view.Features {
			for _, window := range v.view.Windows {
				if f.Column == c.Name && name == v.view.Name+"."+features.ColumnName(f.Name, window) {
					return c
				}
			}
		}
	}
	return nil
}

func hoursOf(iv table.Interval) float64 { return iv.End.Sub(iv.Start).Hours() }

// eventsPanel looks a second time at called columns of events.
func (w *work) eventsPanel(ctx context.Context, specs []drift.Spec, c compared) (*drift.Panel, error) {
	perSubject := slices.IndexFunc(specs, func(s drift.Spec) bool { return s.Name == drift.PerSubjectColumn })
	var fields []drift.Field
	for _, f := range w.job.driftFields() {
		if slices.ContainsFunc(specs, func(s drift.Spec) bool { return s.Name == f.Name }) {
			fields = append(fields, f)
		}
	}
	// The panel's columns are the fields, and then the events per subject, if they were called.
	ordered := make([]drift.Spec, 0, len(specs))
	for _, f := range fields {
		ordered = append(ordered, specs[slices.IndexFunc(specs, func(s drift.Spec) bool { return s.Name == f.Name })])
	}
	panel := drift.NewPanel(ordered)
	people := panel
	if perSubject >= 0 {
		people = drift.NewPanel(specs[perSubject : perSubject+1])
	}
	if len(ordered) == 0 && perSubject < 0 {
		return panel, nil
	}
	sides := []struct {
		side drift.Side
		in   []table.Interval
	}{{drift.InReference, c.in}, {drift.InCurrent, []table.Interval{w.iv}}}
	var counts [2][]map[int64]int64
	for _, s := range sides {
		for _, iv := range s.in {
			n := map[int64]int64{}
			for b, err := range w.driftBatches(ctx, iv, nil) {
				if err != nil {
					return nil, err
				}
				panel.Count(s.side, b.Unit)
				for _, u := range b.Unit {
					n[u]++
				}
			}
			if perSubject >= 0 {
				counts[s.side] = append(counts[s.side], n)
				people.Count(s.side, keysOf(n))
			}
		}
	}
	loc := w.job.Every.Location()
	var hours []int
	for _, s := range sides {
		for _, iv := range s.in {
			for b, err := range w.driftBatches(ctx, iv, fields) {
				if err != nil {
					return nil, err
				}
				hours = hours[:0]
				for _, t := range b.times {
					hours = append(hours, timeOf(t).In(loc).Hour())
				}
				panel.Add(s.side, &b.Batch, hours)
			}
		}
		for _, n := range counts[s.side] {
			units := keysOf(n)
			events := &table.Column{}
			for _, u := range units {
				events.Int = append(events.Int, n[u])
			}
			people.Add(s.side, &drift.Batch{Unit: units, Cols: []*table.Column{events}}, nil)
		}
	}
	if perSubject >= 0 {
		panel.Join(people)
	}
	return panel, nil
}

func keysOf(counts map[int64]int64) []int64 {
	out := make([]int64, 0, len(counts))
	for u := range counts {
		out = append(out, u)
	}
	slices.Sort(out)
	return out
}
