package jobs

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// PreviewBuild is what the views of a run would be built from. Rows and bytes are of the days of events that are ingested, all columns; those of days that are
// yet to be read are not known.
type PreviewBuild struct {
	From  string     `json:"from,omitempty"` // the key of the build that it would go on from
	AsOf  *time.Time `json:"from_as_of,omitempty"`
	Anew  string     `json:"read_all,omitempty"` // why it would go on from none
	Days  int        `json:"days"`               // whose events it reads
	Rows  int64      `json:"rows"`
	Bytes int64      `json:"bytes"`
	State int64      `json:"state_bytes,omitempty"` // of what earlier builds kept and it reads: states and tiles
	Tiles int        `json:"tiles,omitempty"`       // spans that are taken from the sums that earlier builds kept, and not from events
}

// previewBuild says what the build step would read. Cost: that of looking for an earlier build, and where there is none a small read for each day that is ingested.
func (w *work) previewBuild(ctx context.Context, p *plan) (*PreviewBuild, error) {
	now := map[string]restDay{}
	for _, d := range p.days {
		now[d.label] = restDay{Key: d.key}
	}
	c, facts, why, err := w.priorCommit(ctx, now)
	if err != nil {
		return nil, err
	}
	if c == nil {
		return w.previewAnew(ctx, p, why)
	}
	out := &PreviewBuild{From: c.Key, AsOf: &c.Interval.End}
	for _, key := range features.Keys(w.job.Views) {
		out.State += sizeOf(c.Outputs[stateOutput(key)])
	}
	read := map[string]bool{}
	add := func(d restDay) {
		if !read[d.label()] {
			read[d.label()] = true
			out.Days, out.Rows, out.Bytes = out.Days+1, out.Rows+d.Rows, out.Bytes+d.Bytes
		}
	}
	for _, d := range p.days {
		if d.unit.Start.Before(w.iv.End) && c.Interval.End.Before(d.unit.End) {
			add(restDay{Key: d.key})
		}
	}
	before := &prior{w: w, days: now, tiles: map[table.Interval]*table.Commit{}}
	for _, d := range facts.Rests.Days {
		if _, ok := now[d.label()]; !ok {
			now[d.label()] = d
		}
	}
	spans := []table.Interval{{Start: c.Interval.End, End: w.iv.End}}
	seen := map[time.Duration]bool{}
	for _, v := range w.job.Views {
		if features.RetentionNeeded([]features.View{v}) <= w.iv.End.Sub(c.Interval.End) {
			continue // nothing of its state counts any more
		}
		for _, length := range v.Windows {
			if seen[length] {
				continue
			}
			seen[length] = true
			gone := table.Interval{Start: c.Interval.End.Add(-length), End: w.iv.End.Add(-length)}
			if tile := before.tile(ctx, gone); tile != nil {
				out.Tiles++
				for _, key := range features.Keys(w.job.Views) {
					if slices.ContainsFunc(w.job.Views, func(v features.View) bool { return v.Key == key && slices.Contains(v.Windows, length) }) {
						out.State += sizeOf(tile.Outputs[tileOutput(key)])
					}
				}
				continue
			}
			spans = append(spans, gone)
			for _, d := range facts.Rests.Days {
				if iv, err := w.job.unit().Parse(d.label()); err == nil && iv.Overlaps(gone) {
					add(d)
				}
			}
		}
	}
	if all := w.viewsWindow(); together(spans) > all.End.Sub(all.Start)/2 {
		return w.previewAnew(ctx, p, "what would have to be read to go on from that of "+c.Interval.End.UTC().Format(time.RFC3339)+" is more than half of the longest window")
	}
	return out, nil
}

// previewAnew is a build that reads all events.
func (w *work) previewAnew(ctx context.Context, p *plan, why string) (*PreviewBuild, error) {
	out, all := &PreviewBuild{Anew: why}, w.viewsWindow()
	for _, d := range p.days {
		if !d.unit.Overlaps(all) {
			continue
		}
		out.Days++
		if !d.done {
			continue
		}
		c, _, err := w.tables.Lookup(ctx, d.key)
		if err != nil {
			return nil, err
		}
		size := restDayOf(day{key: d.key, manifest: c.Outputs["events"]})
		out.Rows, out.Bytes = out.Rows+size.Rows, out.Bytes+size.Bytes
	}
	return out, nil
}

// sizeOf is the size of a table's files.
func sizeOf(m table.Manifest) (n int64) {
	for _, p := range m.Parts {
		n += p.Size
	}
	return n
}

// together is how much time some spans cover.
func together(spans []table.Interval) (all time.Duration) {
	slices.SortFunc(spans, func(a, b table.Interval) int { return a.Start.Compare(b.Start) })
	var end time.Time
	for _, s := range spans {
		if s.Start.Before(end) {
			s.Start = end
		}
		if s.Start.Before(s.End) {
			all, end = all+s.End.Sub(s.Start), s.End
		}
	}
	return all
}

// again is the command that makes the views of the intervals from one to another again.
func (j *Job) again(from, to table.Interval) string {
	moment := func(t time.Time) string {
		if l := t.In(j.Every.Location()); l.Format(time.TimeOnly) == "00:00:00" {
			return l.Format(time.DateOnly)
		}
		return t.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("rapport backfill %s --from %s --to %s", j.Name, moment(from.Start), moment(to.End))
}

// Reopened is a day that was ingested, and whose files have changed since: a late file, or one that was written anew. It is read again.
type Reopened struct {
	Day         string `json:"day"`
	Files       int    `json:"files"`
	FilesBefore int    `json:"files_before"`
	Bytes       int64  `json:"bytes"`
	BytesBefore int64  `json:"bytes_before"`
	RowsBefore  int64  `json:"rows_before"` // that were judged then; how many there are now is known when the files have been read
	// Builds are the intervals whose views were made of the day as it was and may be due again, but for the run's own: they are if its rows are others than
	// before. Again is the command that makes them.
	Builds int    `json:"builds_due_again,omitempty"`
	From   string `json:"builds_from,omitempty"`
	To     string `json:"builds_to,omitempty"`
	Again  string `json:"backfill,omitempty"`
}

// reopenedDays lists the days of a plan that are to be read again. Cost: two small reads each, and a listing if there are any.
func (w *work) reopenedDays(ctx context.Context, p *plan) ([]Reopened, error) {
	var out []Reopened
	var builds []table.Interval
	var due []table.Interval // of each, the intervals whose views may be due again, from the first's start to the last's end
	for _, d := range p.days {
		if !d.reopened() {
			continue
		}
		if len(out) == 0 {
			var err error
			if builds, err = w.builtIntervals(ctx); err != nil {
				return nil, err
			}
		}
		key, err := w.latest(ctx, d.before)
		if err != nil {
			return nil, err
		}
		c, _, err := w.tables.Lookup(ctx, key)
		if err != nil {
			return nil, err
		}
		was, err := factsOf[event.IngestFacts](c)
		if err != nil {
			return nil, err
		}
		r := Reopened{Day: d.label, Files: d.files, FilesBefore: was.Files, Bytes: d.bytes, BytesBefore: was.Bytes, RowsBefore: was.Rows}
		var span table.Interval
		for _, iv := range builds {
			if iv != w.iv && d.unit.Start.Before(iv.End) && iv.End.Add(-features.RetentionNeeded(w.job.Views)).Before(d.unit.End) {
				label := w.job.Every.Label(iv)
				if r.Builds++; r.From == "" {
					r.From, span.Start = label, iv.Start
				}
				r.To, span.End = label, iv.End
			}
		}
		out, due = append(out, r), append(due, span)
	}
	w.backfills(out, due)
	return out, nil
}

// backfills sets the command that makes the views due of each day again: days whose spans overlap have one in common, so that nobody is told to run an interval twice.
// Both are in the order of the days, so that spans begin and end in it.
func (w *work) backfills(days []Reopened, due []table.Interval) {
	for i := 0; i < len(days); {
		all, n := due[i], i+1
		for ; n < len(days) && due[n].Start.Before(all.End); n++ {
			if due[n].End.After(all.End) {
				all.End = due[n].End
			}
		}
		for ; i < n; i++ {
			if days[i].Builds > 0 {
				days[i].Again = w.job.again(all, all)
			}
		}
	}
}

// builtIntervals are the intervals whose views the job has built, ascending.
func (w *work) builtIntervals(ctx context.Context) ([]table.Interval, error) {
	seen := map[string]bool{}
	var out []table.Interval
	for info, err := range w.Bucket.List(ctx, "done/build/", storage.ListOpt{}) {
		if err != nil {
			return nil, fmt.Errorf("list builds: %w", err)
		}
		key := strings.TrimPrefix(info.Key, "done/")
		label, _, _ := strings.Cut(strings.TrimPrefix(key, "build/"), "/")
		iv, err := w.job.Every.Parse(label)
		if err == nil && !seen[label] && strings.HasPrefix(key, w.buildPrefix(iv)) {
			seen[label] = true
			out = append(out, iv)
		}
	}
	slices.SortFunc(out, func(a, b table.Interval) int { return a.Start.Compare(b.Start) })
	return out, nil
}
