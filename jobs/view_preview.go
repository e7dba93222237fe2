package jobs

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/aggregate"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/jobs/cost"
	"github.com/rapport-ml/rapport/storage/table"
)

// ViewPreview is a view as it would be, made of a sample of its entities and committed nowhere.
type ViewPreview struct {
	View     string           `json:"view"`
	Job      string           `json:"job"`
	Purpose  string           `json:"purpose"`
	Interval table.Interval   `json:"interval"`
	Sample   float64          `json:"sample"` // the share of entities that it was asked for
	Entities int64            `json:"entities"`
	Rows     []ViewRow        `json:"rows"` // a few
	Columns  []ColumnProfile  `json:"columns"`
	Refused  map[string]int64 `json:"refused,omitempty"` // as features.Stats has it
	Days     int              `json:"days"`              // ingested days that its longest window reaches into
	Missing  MissingDays      `json:"missing"`           // and those that a run would ingest first
	Whole    WholeBuild       `json:"whole"`
}

// ViewRow is one row. Subjects are named by their number.
type ViewRow struct {
	Entity []string `json:"entity"`
	Values []any    `json:"values"` // by column, as in Columns: nil, int64, float64 or string
}

// MissingDays are days of a view's longest window whose files are there and have not been ingested.
type MissingDays struct {
	Days  int   `json:"days"`
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
}

// WholeBuild is what a build of the whole view from all its events would cost, scaled up from the sample; the view's table is not written in it.
type WholeBuild struct {
	Rows     int64   `json:"rows"`     // of the days, as they are committed
	Entities int64   `json:"entities"` // about
	Bytes    int64   `json:"bytes"`    // to read, about
	Seconds  float64 `json:"seconds"`  // about, on this machine, as busy as it was
	Memory   int64   `json:"memory"`   // of the state, about; beyond the budget a build spills
}

// Limits of a preview.
const (
	previewRows = 5
	rowGroup    = 131_072 // rows of committed tables that are read together
)

// PreviewView computes a view over a sample of its entities from the days that are ingested, as of iv's end, under the job's purpose. The sample is
// the same every time: subjects by their number, which is random, others by the hash of their name; a larger one holds a smaller one. It
// writes nothing. The engine's memory is bounded by the sample, and the preview's by some 4 KiB a column.
func (r *Runner) PreviewView(ctx context.Context, job *Job, view features.View, iv table.Interval, sample float64) (*ViewPreview, error) {
	w, missing, err := r.lookingBack(ctx, job, []features.View{view}, iv, 0)
	if err != nil {
		return nil, err
	}
	out := &ViewPreview{View: view.Name, Job: job.Name, Purpose: job.Training.Name, Interval: iv, Sample: sample, Rows: []ViewRow{}, Days: len(w.plan.committed), Missing: missing}
	if len(w.plan.committed) == 0 {
		return nil, fmt.Errorf("%w of %s: no day that view %s reaches into has been ingested; rapport run %s --step ingest", ErrNoData, w.label, view.Name, job.Name)
	}
	window := table.Interval{Start: iv.End.Add(-features.RetentionNeeded(w.job.Views)), End: iv.End}
	s := &sampling{keys: view.Keys(), below: threshold(sample), wall: w.Wall}
	from := w.reading()
	for _, dy := range from.days {
		out.Whole.Rows += dy.manifest.Rows
	}
	from.days = s.shards(from.days)

	keys := len(s.keys)
	profile := newProfile(view.Schema(w.job.eventSchema()), keys)
	var few []hashedRow
	reading := w.meter.Begin()
	stats, err := r.Engine.Build(ctx, features.Plan{
		Views: w.job.Views, Interval: iv, Schema: w.job.eventSchema(), Budget: r.Memory, Spill: r.Spill,
		Events: func(_ context.Context, win table.Interval) ([]features.Split, error) {
			return from.splitsOf(clip(win, window), s.of), nil
		},
		Out: func(_ features.View, b *table.Batch) error {
			profile.add(b)
			few = leastRows(few, b, keys)
			return nil
		},
	})
	took := reading.End()
	if err != nil {
		return nil, fmt.Errorf("preview of view %s: %w", view.Name, err)
	}
	out.Refused, out.Entities = stats.Refused, stats.RowsOut[view.Name]
	out.Columns = profile.columns(slices.Contains(view.Keys(), features.KeySubject))
	for _, x := range few {
		out.Rows = append(out.Rows, x.row)
	}
	s.scale(&out.Whole, took, stats, out.Entities)
	return out, nil
}

// lookingBack is a work over what is there: policy as of now, and the ingested days of iv and of what the views reach back to, or further.
func (r *Runner) lookingBack(ctx context.Context, job *Job, views []features.View, iv table.Interval, further time.Duration) (*work, MissingDays, error) {
	var missing MissingDays
	if err := r.closed(iv); err != nil {
		return nil, missing, err
	}
	only, err := job.only(views)
	if err != nil {
		return nil, missing, err
	}
	only.Window = max(only.Window, further)
	w := r.newWork(only, iv, r.Now())
	w.dry = true
	counted := *r
	counted.Bucket = w.meter.Bucket(r.Bucket)
	w.Runner, w.tables = &counted, table.Store{Bucket: counted.Bucket}
	w.plan = &plan{}
	if err := w.policy(ctx, w.plan); err != nil {
		return nil, missing, err
	}
	if err := w.planDays(ctx, w.plan); err != nil {
		return nil, missing, err
	}
	var done []plannedDay
	for _, d := range w.plan.days {
		if d.done {
			done = append(done, d)
			continue
		}
		missing.Days, missing.Files, missing.Bytes = missing.Days+1, missing.Files+d.files, missing.Bytes+d.bytes
	}
	days := make([]day, len(done))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for i, d := range done {
		g.Go(func() error {
			c, _, err := w.tables.Lookup(gctx, d.key)
			if err == nil {
				days[i] = day{iv: d.unit, key: d.key, manifest: c.Outputs["events"]}
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, missing, fmt.Errorf("read what was ingested: %w", err)
	}
	w.plan.committed = days
	return w, missing, nil
}

// threshold is the hash below which the entities of a sample lie.
func threshold(sample float64) uint64 {
	if sample >= 1 {
		return math.MaxUint64
	}
	return uint64(sample*(1<<32)) << 32
}

// sampling leaves in splits the events of a sample of entities, and measures what that costs.
type sampling struct {
	keys  []string
	below uint64 // math.MaxUint64: all
	wall  func() time.Time

	groups  atomic.Int64 // rows of the row groups that were read
	looked  atomic.Int64 // rows that were looked at
	kept    atomic.Int64
	reading atomic.Int64 // nanoseconds
	using   atomic.Int64
}

// bySubject reports whether the sample is one of subjects: then it lies in the first rows of the first parts of every day.
func (s *sampling) bySubject() bool { return slices.Contains(s.keys, features.KeySubject) }

// shards leaves the parts that can hold the sample.
func (s *sampling) shards(days []day) []day {
	if !s.bySubject() {
		return days
	}
	out := slices.Clone(days)
	for i, dy := range out {
		last := table.ShardOf(s.below, dy.manifest.Shards)
		out[i].manifest.Parts = slices.DeleteFunc(slices.Clone(dy.manifest.Parts), func(p table.Part) bool { return p.Shard > last })
	}
	return out
}

// of samples one split.
func (s *sampling) of(x features.Split) features.Split {
	read := x.Read
	x.Read = func(ctx context.Context, columns []string) iter.Seq2[*table.Batch, error] {
		return func(yield func(*table.Batch, error) bool) {
			var looked int64
			verdicts := map[*string][]bool{}
			from := s.wall()
			spent := func(to *atomic.Int64) {
				now := s.wall()
				to.Add(int64(now.Sub(from)))
				from = now
			}
			for b, err := range read(ctx, columns) {
				spent(&s.reading)
				if err != nil {
					yield(nil, err)
					return
				}
				looked += int64(b.N)
				more := s.sift(b, verdicts)
				s.kept.Add(int64(b.N))
				ok := b.N == 0 || yield(b, nil)
				spent(&s.using)
				if !ok || !more {
					break
				}
			}
			s.looked.Add(looked)
			s.groups.Add(min((looked+rowGroup-1)/rowGroup*rowGroup, max(x.Rows, looked)))
		}
	}
	return x
}

// sift leaves the rows of sampled entities in b; false says that no later row of the split is of one.
func (s *sampling) sift(b *table.Batch, verdicts map[*string][]bool) bool {
	if s.below == math.MaxUint64 {
		return true
	}
	if s.bySubject() {
		subjects := b.Col(features.KeySubject).Int
		n := 0 // a part's rows stand by subject
		for n < b.N && uint64(subjects[n]) < s.below {
			n++
		}
		more := n == b.N
		truncate(b, n)
		return more
	}
	cols := make([]*table.Column, len(s.keys))
	for i, k := range s.keys {
		cols[i] = b.Col(k)
	}
	kept, from := 0, 0
	for i := range b.N {
		if s.sampled(cols, i, verdicts) {
			continue
		}
		move(b, kept, from, i)
		kept += i - from
		from = i + 1
	}
	move(b, kept, from, b.N)
	truncate(b, kept+b.N-from)
	return true
}

func (s *sampling) sampled(cols []*table.Column, i int, verdicts map[*string][]bool) bool {
	if c := cols[0]; len(cols) == 1 && c.Code != nil && len(c.Dict) > 0 {
		v, ok := verdicts[&c.Dict[0]]
		if !ok {
			v = make([]bool, len(c.Dict))
			for k, text := range c.Dict {
				v[k] = aggregate.HashString(text) < s.below
			}
			verdicts[&c.Dict[0]] = v
		}
		return v[c.Code[i]]
	}
	var h uint64
	for _, c := range cols {
		if c.Null(i) {
			return false
		}
		h = h*31 + aggregate.HashString(c.Text(i))
	}
	if len(cols) > 1 {
		h = aggregate.HashBits(h)
	}
	return h < s.below
}

// scale says what the whole would cost by what the sample did: reading grows with the rows that were looked at, the rest with those that were kept.
func (s *sampling) scale(w *WholeBuild, took cost.Cost, stats features.Stats, entities int64) {
	looked, kept, groups := float64(s.looked.Load()), float64(s.kept.Load()), float64(s.groups.Load())
	if looked == 0 || kept == 0 {
		return
	}
	rows := float64(w.Rows)
	share := rows / kept
	if s.below == math.MaxUint64 {
		share = 1
	}
	w.Bytes = int64(float64(took.BytesRead) * max(1, rows/groups))
	reading, using := float64(s.reading.Load()), float64(s.using.Load())
	if all := reading + using; all > 0 {
		w.Seconds = took.Seconds * (reading*max(1, rows/looked) + using*share) / all
	}
	w.Entities = int64(float64(entities) * share)
	w.Memory = int64(float64(stats.Peak) * share)
}

// hashedRow is a row under the hash of its entity.
type hashedRow struct {
	hash uint64
	row  ViewRow
}

// leastRows keeps the few rows whose entities have the least hashes: the same ones in whatever order rows come.
func leastRows(few []hashedRow, b *table.Batch, keys int) []hashedRow {
	for i := range b.N {
		entity := make([]string, keys)
		for k := range keys {
			entity[k] = entityText(&b.Cols[k], i)
		}
		hash := aggregate.HashString(strings.Join(entity, "\x00"))
		if len(few) == previewRows && hash >= few[previewRows-1].hash {
			continue
		}
		x := hashedRow{hash: hash, row: ViewRow{Entity: entity}}
		for c := keys; c < len(b.Cols); c++ {
			x.row.Values = append(x.row.Values, value(&b.Cols[c], b.Schema[c].Type, i))
		}
		few = append(few, x)
		slices.SortFunc(few, func(a, b hashedRow) int { return cmp.Compare(a.hash, b.hash) })
		few = few[:min(len(few), previewRows)]
	}
	return few
}

func entityText(c *table.Column, i int) string {
	if c.Int != nil {
		return policy.Subject(uint64(c.Int[i])).String()
	}
	return c.Text(i)
}
