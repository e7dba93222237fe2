package jobs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage/table"
)

// Examples are moments of entities for which views are wanted: training rows, as somebody outside wrote them. Schema has "time" (Time), the keys of
// the views as text, and what is handed through. "subject" holds raw ids, which go no further than JoinViews.
type Examples struct {
	Schema table.Schema
	// Read yields the rows. It is called more than once, and yields the same rows each time.
	Read func(ctx context.Context) iter.Seq2[*table.Batch, error]
}

// Joined are the facts of a join.
type Joined struct {
	Views    []string         `json:"views"`
	Job      string           `json:"job"`
	Purpose  string           `json:"purpose"`
	Interval table.Interval   `json:"interval"` // no event at or after its end is seen
	Read     int64            `json:"examples"`
	Rows     int64            `json:"rows"`     // that were written
	LeftOut  map[string]int64 `json:"left_out"` // examples, by reason
	Days     int              `json:"days"`     // ingested days that the examples reach back to
	Missing  MissingDays      `json:"missing"`  // and those that have files and are not ingested
	Stats    features.Stats   `json:"stats"`
}

// ErrExamples says that examples can't be joined as they are.
var ErrExamples = errors.New("the examples can't be joined")

// Why an example is left out. Who is unknown and whose data may not be used are not told apart.
const (
	leftNotPermitted = "subject unknown, or not permitted"
	leftOld          = "older than keep.events" // whoever it is of
	leftTimeless     = "without a time"
	leftLater        = "after the interval's end"
)

// Joined is the schema of the rows that a join of these examples makes: the subject as its number, and each view's columns, null where the entity had no event.
func (x Examples) Joined(job *Job, views []features.View) table.Schema {
	out := x.numbered()
	for _, v := range views {
		for _, f := range v.Schema(job.eventSchema())[len(v.Keys()):] {
			out = append(out, table.Field{Name: features.JoinColumn(v.Name, f.Name), Type: f.Type})
		}
	}
	return out
}

// numbered is the schema of examples whose subjects are numbers.
func (x Examples) numbered() table.Schema {
	out := slices.Clone(x.Schema)
	if i := out.Index(event.ColSubject); i >= 0 {
		out[i].Type = table.Int64
	}
	return out
}

// JoinViews computes the views as of each example's moment: what would have been known then, of the days that are ingested, under the job's purpose and
// what it may use now. An example of a subject counts as an event of its moment does: where that may not be used, it is left out. out receives rows of
// Examples.Joined, in any order. It writes nothing. The examples are read twice.
func (r *Runner) JoinViews(ctx context.Context, job *Job, views []features.View, iv table.Interval, x Examples, out func(*table.Batch) error) (*Joined, error) {
	res := &Joined{Job: job.Name, Purpose: job.Training.Name, Interval: iv, LeftOut: map[string]int64{}}
	for _, v := range views {
		res.Views = append(res.Views, v.Name)
	}
	first, err := x.earliest(ctx)
	if err != nil {
		return nil, err
	}
	// A hop sees a view at most so much earlier.
	reach := features.RetentionNeeded(views)
	for _, v := range views {
		reach = max(reach, features.RetentionNeeded([]features.View{v})+v.Hop)
	}
	back := iv.End.Sub(time.UnixMicro(first).UTC())
	if first > table.Micros(iv.End) {
		back = 0
	}
	if back > maxHistory {
		return nil, fmt.Errorf("%w: the earliest example is of %s: is its time in the unit that the source has (sources.events.time_unit)?", ErrExamples, time.UnixMicro(first).UTC().Format(time.RFC3339))
	}
	w, missing, err := r.lookingBack(ctx, job, views, iv, back+reach)
	if err != nil {
		return nil, err
	}
	res.Days, res.Missing = len(w.plan.committed), missing
	from := w.reading()
	s := newExamples(x, w, res)
	split := features.Split{Read: func(ctx context.Context, columns []string) iter.Seq2[*table.Batch, error] {
		return s.read(ctx, columns)
	}}
	res.Stats, err = r.Engine.Join(ctx, features.JoinPlan{
		Views: views, Schema: w.job.eventSchema(), Anchor: iv.End,
		Events: func(_ context.Context, win table.Interval) ([]features.Split, error) {
			return from.splits(clip(win, table.Interval{Start: win.Start, End: iv.End})), nil
		},
		Examples: []features.Split{split}, ExampleSchema: x.numbered(),
		Out: func(b *table.Batch) error {
			res.Rows += int64(b.N)
			return out(b)
		},
	})
	return res, err
}

// maxHistory bounds how far back examples may lie.
const maxHistory = 100 * 366 * 24 * time.Hour

// earliest returns the least time of the examples, µs; the greatest possible if none has one.
func (x Examples) earliest(ctx context.Context) (int64, error) {
	at := x.Schema.Index(event.ColTime)
	if at < 0 || x.Schema[at].Type != table.Time {
		return 0, fmt.Errorf("%w: they have no column %q that holds times", ErrExamples, event.ColTime)
	}
	first := int64(math.MaxInt64)
	for b, err := range x.Read(ctx) {
		if err != nil {
			return 0, err
		}
		for i := range b.N {
			if !b.Cols[at].Null(i) {
				first = min(first, b.Cols[at].Int[i])
			}
		}
	}
	return first, nil
}

// permittedExamples are the examples that may be used, with numbers in place of ids.
type permittedExamples struct {
	Examples
	ids           *event.Identities
	rules         *policy.Rules
	end, oldest   int64 // µs
	subject, time int
	res           *Joined
	schema        table.Schema
}

func newExamples(x Examples, w *work, res *Joined) *permittedExamples {
	r := w.reading()
	return &permittedExamples{
		Examples: x, ids: w.plan.ids, rules: r.decisions.Rules(r.oldest), end: table.Micros(w.iv.End), oldest: r.oldest, subject: x.Schema.Index(event.ColSubject),
		time: x.Schema.Index(event.ColTime), res: res, schema: x.numbered(),
	}
}

// read yields the columns that are asked for; nil: all.
func (s *permittedExamples) read(ctx context.Context, columns []string) iter.Seq2[*table.Batch, error] {
	return func(yield func(*table.Batch, error) bool) {
		s.res.Read, s.res.LeftOut = 0, map[string]int64{}
		var pick []int
		schema := s.schema
		if columns != nil {
			schema = nil
			for _, c := range columns {
				i := s.schema.Index(c)
				if i < 0 {
					yield(nil, fmt.Errorf("%w: they have no column %q", ErrExamples, c))
					return
				}
				pick, schema = append(pick, i), append(schema, s.schema[i])
			}
		}
		for b, err := range s.Read(ctx) {
			if err != nil {
				yield(nil, err)
				return
			}
			own := &table.Batch{Schema: s.schema, N: b.N, Cols: slices.Clone(b.Cols)}
			s.sift(own)
			if pick != nil {
				cols := make([]table.Column, len(pick))
				for k, i := range pick {
					cols[k] = own.Cols[i]
				}
				own = &table.Batch{Schema: schema, N: own.N, Cols: cols}
			}
			if own.N > 0 && !yield(own, nil) {
				return
			}
		}
	}
}

// sift puts numbers in place of ids, and takes out the examples that may not be used. An example without a subject keeps its place: views of other keys
// may know it.
func (s *permittedExamples) sift(b *table.Batch) {
	var numbers table.Column
	var ids *table.Column
	if s.subject >= 0 {
		ids = &b.Cols[s.subject]
		numbers = table.Column{Int: make([]int64, b.N), Valid: make([]bool, b.N)}
	}
	keep := make([]bool, b.N)
	for i := range b.N {
		s.res.Read++
		why := ""
		t := &b.Cols[s.time]
		switch {
		case t.Null(i):
			why = leftTimeless
		case t.Int[i] > s.end:
			why = leftLater
		case t.Int[i] < s.oldest && ids != nil && !ids.Null(i):
			why = leftOld
		case ids != nil && !ids.Null(i):
			n, ok := s.number(ids.Text(i))
			if ok && s.rules.Of(n).Judge(t.Int[i]) != policy.Kept {
				ok = false
			}
			if numbers.Int[i], numbers.Valid[i] = int64(n), true; !ok {
				why = leftNotPermitted
			}
		}
		if keep[i] = why == ""; why != "" {
			s.res.LeftOut[why]++
		}
	}
	if ids != nil {
		b.Cols[s.subject] = numbers
	}
	for c := range b.Cols { // what was read is not ours to change
		b.Cols[c] = kept(b.Cols[c], keep)
	}
	n := 0
	for _, k := range keep {
		if k {
			n++
		}
	}
	b.N = n
}

func (s *permittedExamples) number(id string) (policy.Subject, bool) {
	canonical, err := event.Canonical(id)
	if err != nil {
		return 0, false
	}
	return s.ids.Find(canonical)
}

// kept copies the rows of a column that are kept.
func kept(c table.Column, keep []bool) table.Column {
	return table.Column{Int: those(c.Int, keep), Float: those(c.Float, keep), Str: those(c.Str, keep), Code: those(c.Code, keep), Dict: c.Dict, Valid: those(c.Valid, keep)}
}

func those[T any](s []T, keep []bool) []T {
	if s == nil {
		return nil
	}
	out := make([]T, 0, len(s))
	for i, x := range s {
		if keep[i] {
			out = append(out, x)
		}
	}
	return out
}
