package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/expect"
	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// quarantine is the output of a step that lists the rows which it left out.
const quarantine = "quarantine"

// firstPlaces is how many places of quarantined rows a run's record holds. The steps' tables have more.
const firstPlaces = 5

// smallCell is the count under which a number of people, or of rows that policy left out, is not printed. What is told of expectations and of quarantined rows
// are exact counts of rows, not of people: one of them tells that a row was damaged, and of nobody whose.
const smallCell = eval.MinCell

// The trailing median is over at most trailing intervals with events, and is not judged on fewer than fewest.
const (
	trailing = 8
	fewest   = 4
)

// Errors of sources that are not as expected.
var (
	errLowVolume  = errors.New("too few usable events")
	errUnexpected = errors.New("a source is not as expected")
)

// readQuality is what ingest has found out about the interval's events, as far as it is judged.
type readQuality struct {
	counts expect.Counts
	before map[string][]string // columns of the files of the day before; nil: unknown
	steps  []string            // keys of the interval's days that have quarantined rows
	places []expect.Place
}

// note takes in the facts of a day.
func (q *readQuality) note(c *table.Commit, f event.IngestFacts, own bool) {
	if !own {
		if len(f.Quality.Columns) > 0 { // days come in order: the last one before the interval stays
			q.before = f.Quality.Columns
		}
		return
	}
	q.counts.Merge(f.Quality)
	q.places = append(q.places, f.BadRows...)
	if _, ok := c.Outputs[quarantine]; ok {
		q.steps = append(q.steps, c.Key)
	}
}

// writePlaces stages the table of a step's quarantined rows, if there are any.
func (w *work) writePlaces(ctx context.Context, key string, places []expect.Place, outputs map[string]table.Manifest) error {
	if len(places) == 0 {
		return nil
	}
	t := table.NewWriter(w.Bucket, dataPrefix(key, quarantine), expect.PlaceSchema, table.WriteOptions{SortBy: expect.PlaceOrder})
	if err := t.Append(expect.Batch(places)); err != nil {
		return err
	}
	m, err := t.Finish(ctx)
	if err == nil {
		outputs[quarantine] = m
	}
	return err
}

// Quarantined reads where the quarantined rows of a run stand, as far as its steps list them: the first expect.MaxInFile of a file, and of a step
// the first expect.MaxPlaces. Of a step that is gone nothing is said.
func Quarantined(ctx context.Context, b storage.Bucket, run *ledger.Run) ([]expect.Place, error) {
	var out []expect.Place
	for _, q := range run.Quarantine {
		for _, key := range q.Steps {
			c, _, err := (table.Store{Bucket: b}).Lookup(ctx, key)
			if errors.Is(err, storage.ErrNotFound) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("quarantined rows of %s: %w", q.Set, err)
			}
			m, ok := c.Outputs[quarantine]
			if !ok {
				continue
			}
			for batch, err := range table.Read(ctx, b, m, table.ReadOptions{}) {
				if err != nil {
					return nil, fmt.Errorf("quarantined rows of %s: %w", q.Set, err)
				}
				out = append(out, expect.FromBatch(batch)...)
			}
		}
	}
	return out, nil
}

// judgeSources compares what was read with what is expected of it. An interval without any event fails, and so does each expectation that
// fails: an upstream break or a consent feed that lost its rows looks like that, and must not become a model. What warns raises a flag.
func (w *work) judgeSources(ctx context.Context) error {
	v := w.volume()
	if v.Events == 0 {
		return w.nothing()
	}
	verdicts, err := w.judgeEvents(ctx, v)
	if err != nil {
		return err
	}
	for _, s := range []*snapshot{w.plan.items, w.plan.subjects, w.plan.cohorts} {
		if s == nil {
			continue
		}
		more, err := w.judgeSnapshot(ctx, s)
		if err != nil {
			return err
		}
		verdicts = append(verdicts, more...)
	}
	more, err := w.judgeConsent(ctx)
	if err != nil {
		return err
	}
	verdicts = append(verdicts, more...)
	w.excuse(verdicts)
	w.res.Verdicts = verdicts
	for _, x := range expect.Missed(verdicts, expect.Warned) {
		w.res.Flags = append(w.res.Flags, "quality: "+x.String())
	}
	return w.unexpected(expect.Missed(verdicts, expect.Failed))
}

// unexpected is the error of expectations that fail, if there are any.
func (w *work) unexpected(failed []expect.Verdict) error {
	if len(failed) == 0 {
		return nil
	}
	kind, what := errUnexpected, "rapport runs show "+cmp.Or(w.run.ID, "RUN")+" has the verdicts and, with --quarantine, where the rows stand"
	var says []string
	for _, x := range failed {
		if says = append(says, x.String()); x.Set == "events" && x.Expectation == "volume.least" {
			if kind, what = errLowVolume, "look at the funnel and at the source"; x.Where == "" {
				what += "; min_volume in the job sets the share"
			}
		}
	}
	return fmt.Errorf("%w in %s: %s: %s", kind, w.iv, strings.Join(says, "; "), what)
}

// judgeEvents judges the interval's events.
func (w *work) judgeEvents(ctx context.Context, v *ledger.Volume) ([]expect.Verdict, error) {
	set := w.job.expected()
	q := w.plan.found
	seen := expect.Seen{
		Counts: q.counts, What: "usable events", Past: "intervals", Now: v.Events, Median: v.Median, Over: v.Over, Until: w.iv.End, Before: q.before,
	}
	if d := set.Duplicates; d != nil && !d.Drop {
		var err error
		if seen.Repeated, seen.Compared, err = w.repeated(ctx); err != nil {
			return nil, err
		}
	}
	w.quarantined("events", q)
	return set.Judge(seen), nil
}

// expected is what the job expects of its events.
func (j *Job) expected() expect.Set {
	set := j.Events.Expect
	set.Name = "events"
	set.Volume.Least = j.Floor
	set.Volume.OnLeast, set.Volume.OnMost = cmp.Or(set.Volume.OnLeast, expect.Fail), cmp.Or(set.Volume.OnMost, expect.Warn)
	return set
}

// expects says in a line what is expected of each of the run's sources.
func (w *work) expects(p *plan) (out []string) {
	sets := []expect.Set{w.job.expected()}
	for _, s := range []*snapshot{p.items, p.subjects, p.cohorts} {
		if s != nil {
			set := s.plan.Data.Expect
			set.Name = s.set
			sets = append(sets, set)
		}
	}
	if w.job.Consent != nil {
		set := w.job.Consent.Expect
		set.Name = "consent"
		sets = append(sets, set)
	}
	for _, s := range sets {
		if text := s.String(); text != "" {
			out = append(out, text)
		}
	}
	return out
}

// repeated counts the interval's events that are equal to another in subject, item, time and kind. They stand beside one another, since that is how
// tables of events are sorted. Cost: these columns of the interval's days.
func (w *work) repeated(ctx context.Context) (repeated, compared int64, err error) {
	type key struct {
		subject, time int64
		item, kind    string
	}
	for _, d := range w.plan.committed {
		if !d.iv.Overlaps(w.iv) {
			continue
		}
		var last key
		first := true
		for b, err := range table.Read(ctx, w.Bucket, d.manifest, table.ReadOptions{Columns: eventColumns}) {
			if err != nil {
				return 0, 0, fmt.Errorf("repeated events of %s: %w", d.iv, err)
			}
			subjects, items, times, kinds := b.Col("subject").Int, b.Col("item").Str, b.Col("time").Int, b.Col("kind").Str
			for i := range b.N {
				k := key{subjects[i], times[i], items[i], kinds[i]}
				if !first && k == last {
					repeated++
				}
				last, first = k, false
			}
			compared += int64(b.N)
		}
	}
	return repeated, compared, nil
}

// quarantined notes in the result what was left out of a data set. It flags rows that came too late: no day reads them, and no expectation is of them.
func (w *work) quarantined(set string, q readQuality) {
	n := q.counts.Quarantined()
	if n == 0 {
		return
	}
	w.res.Quarantine = append(w.res.Quarantine, ledger.Quarantine{
		Set: set, Rows: n, Of: q.counts.Rows(), Reasons: q.counts.Bad, First: q.places[:min(len(q.places), firstPlaces)], Steps: q.steps,
	})
	if late := q.counts.Bad[event.ColTime][expect.Late]; late > 0 {
		w.res.Flags = append(w.res.Flags, fmt.Sprintf("quality: %s: %d of %d rows came too late and are in no day: their files came more than the lateness, %s, after them (sources.events.lateness)",
			set, late, q.counts.Rows(), features.FormatWindow(w.job.Events.Lateness)))
	}
}

// staleDays flags days whose files have changed and that are too old to be read again: what stands of them lacks what has come.
func (w *work) staleDays() {
	var stale []plannedDay
	for _, d := range w.plan.days {
		if d.stale {
			stale = append(stale, d)
		}
	}
	if len(stale) == 0 {
		return
	}
	first, last := stale[0], stale[len(stale)-1]
	days := first.label
	if len(stale) > 1 {
		days = fmt.Sprintf("%s … %s, %d of them,", first.label, last.label, len(stale))
	}
	every := w.job.Every
	w.res.Flags = append(w.res.Flags, fmt.Sprintf("quality: events: files of %s have changed beyond lookback %s and are not read again: %s --through ingest --reprocess completed",
		days, features.FormatWindow(w.job.Lookback), w.job.again(every.Containing(first.unit.Start), every.Containing(last.unit.Start))))
}

// judgeSnapshot judges a data set beside the events, as the run's snapshot has it.
func (w *work) judgeSnapshot(ctx context.Context, s *snapshot) ([]expect.Verdict, error) {
	set := s.plan.Data.Expect
	set.Name = s.set
	c, _, err := w.tables.Lookup(ctx, s.key)
	if err != nil {
		return nil, fmt.Errorf("snapshot %s: %w", s.label, err)
	}
	f, err := factsOf[event.AttributesFacts](c)
	if err != nil {
		return nil, err
	}
	var steps []string
	places := []expect.Place{}
	if m, ok := c.Outputs[quarantine]; ok {
		steps = []string{s.key}
		if places, err = w.readFirst(ctx, m); err != nil {
			return nil, err
		}
	}
	w.quarantined(s.set, readQuality{counts: f.Quality, steps: steps, places: places})
	if set.Empty() && set.Volume == (expect.Volume{}) {
		return set.Judge(expect.Seen{Counts: expect.Counts{Coarse: f.Quality.Coarse}, ByFile: true}), nil
	}
	seen := expect.Seen{
		Counts: f.Quality, Past: "snapshots", Now: c.Outputs["rows"].Rows, Until: w.now, ByFile: true, Repeated: f.Duplicates, Compared: f.Kept + f.Duplicates,
	}
	seen.Newest = s.newest
	if seen.Kept == 0 { // read before anything was expected of it: what the table tells is still true
		if err := w.countNulls(ctx, s, &seen.Counts); err != nil {
			return nil, err
		}
	}
	before, err := w.snapshotsBefore(ctx, s, c)
	if err != nil {
		return nil, err
	}
	var rows []int64
	for i, b := range before {
		rows = append(rows, b.Outputs["rows"].Rows)
		if i > 0 {
			continue
		}
		was, err := factsOf[event.AttributesFacts](b)
		if err != nil {
			return nil, err
		}
		seen.Before = was.Quality.Columns
	}
	seen.Median, seen.Over = median(rows)
	return set.Judge(seen), nil
}

// readFirst reads the first places of a table of them.
func (w *work) readFirst(ctx context.Context, m table.Manifest) ([]expect.Place, error) {
	for b, err := range table.Read(ctx, w.Bucket, m, table.ReadOptions{BatchRows: firstPlaces}) {
		if err != nil {
			return nil, fmt.Errorf("quarantined rows: %w", err)
		}
		return expect.FromBatch(b), nil
	}
	return nil, nil
}

// countNulls counts the rows and the nulls of a snapshot's table.
func (w *work) countNulls(ctx context.Context, s *snapshot, into *expect.Counts) error {
	rows, err := w.snapshotRows(ctx, s)
	if err != nil {
		return err
	}
	into.Kept = int64(rows.N)
	for i, f := range rows.Schema {
		var nulls int64
		for _, ok := range rows.Cols[i].Valid {
			if !ok {
				nulls++
			}
		}
		into.AddNulls(f.Name, nulls)
	}
	return nil
}

// snapshotsBefore returns the last snapshots of the same set and settings that were taken before c, the latest first, at most as many as a median is
// of. Cost: one listing, and a GET each.
func (w *work) snapshotsBefore(ctx context.Context, s *snapshot, c *table.Commit) ([]*table.Commit, error) {
	prefix := c.Key[:strings.LastIndexByte(c.Key, '-')+1]
	var objs []storage.Info
	for info, err := range w.Bucket.List(ctx, "done/"+prefix, storage.ListOpt{}) {
		if err != nil {
			return nil, fmt.Errorf("snapshots of %s: %w", s.set, err)
		}
		objs = append(objs, info)
	}
	// A successor that an erasure has written is younger than the snapshot was, so some more are looked at than are wanted.
	slices.SortFunc(objs, func(a, b storage.Info) int { return cmp.Or(b.Modified.Compare(a.Modified), cmp.Compare(a.Key, b.Key)) })
	var out []*table.Commit
	for _, o := range objs[:min(len(objs), 4*trailing)] {
		b, _, err := w.tables.Lookup(ctx, strings.TrimPrefix(o.Key, "done/"))
		if err != nil {
			return nil, fmt.Errorf("snapshots of %s: %w", s.set, err)
		}
		if b.Key != c.Key && b.At.Before(c.At) {
			out = append(out, b)
		}
	}
	slices.SortFunc(out, func(a, b *table.Commit) int { return b.At.Compare(a.At) })
	return out[:min(len(out), trailing)], nil
}

// judgeConsent judges the consent records, as the run's snapshot has them.
func (w *work) judgeConsent(ctx context.Context) ([]expect.Verdict, error) {
	p := w.plan
	if w.job.Consent == nil || p.consent.key == "" {
		return nil, nil
	}
	set := w.job.Consent.Expect
	if set.Name = "consent"; set.Empty() && set.Volume == (expect.Volume{}) {
		return nil, nil
	}
	f := p.consent.facts
	seen := expect.Seen{
		Counts: f.Quality, What: "records", Past: "snapshots", Now: f.Records, Until: w.now, ByFile: true, Repeated: f.Duplicates, Compared: f.Records + f.Duplicates,
	}
	seen.Newest = p.consent.newest
	var rows []int64
	var keys []string
	for info, err := range w.Bucket.List(ctx, "done/consent/", storage.ListOpt{}) {
		if err != nil {
			return nil, fmt.Errorf("consent: list snapshots: %w", err)
		}
		if key := strings.TrimPrefix(info.Key, "done/"); key < p.consent.key {
			keys = append(keys, key)
		}
	}
	slices.Reverse(keys) // they begin with their numbers
	for i, key := range keys[:min(len(keys), trailing)] {
		c, _, err := w.tables.Lookup(ctx, key)
		if err != nil {
			return nil, fmt.Errorf("consent: %w", err)
		}
		was, err := factsOf[consentFacts](c)
		if err != nil {
			return nil, err
		}
		if rows = append(rows, was.Records); i == 0 {
			seen.Before = was.Quality.Columns
		}
	}
	seen.Median, seen.Over = median(rows)
	return set.Judge(seen), nil
}

// volume counts the usable events of the interval and of those before it, once they have been ingested.
func (w *work) volume() *ledger.Volume {
	count := func(iv table.Interval) (n int64) {
		for _, d := range w.plan.committed {
			if !d.iv.Start.Before(iv.Start) && !iv.End.Before(d.iv.End) {
				n += d.manifest.Rows
			}
		}
		return n
	}
	v := &ledger.Volume{Events: count(w.iv), Floor: w.job.Floor}
	var before []int64
	every := w.job.Every
	for iv := every.At(w.iv.Start); len(before) < trailing && !iv.Start.Before(w.job.history(w.iv).Start); iv = every.At(iv.Start) {
		if n := count(iv); n > 0 {
			before = append(before, n)
		}
	}
	v.Median, v.Over = median(before)
	return v
}

// median returns the median of the counts, and of how many it is: 0 if there are too few to say what is usual.
func median(counts []int64) (m int64, over int) {
	if len(counts) < fewest {
		return 0, 0
	}
	counts = slices.Sorted(slices.Values(counts))
	return counts[len(counts)/2], len(counts)
}

// newestOf is when the newest of the files was written; zero if the bucket does not tell.
func newestOf(objs []storage.Info) (t time.Time) {
	for _, o := range objs {
		if o.Modified.After(t) {
			t = o.Modified
		}
	}
	return t
}

// lostFiles flags files of which no row lies in any day.
func (w *work) lostFiles(files *event.Files) {
	if files == nil {
		return
	}
	if lost := files.Lost(); len(lost) > 0 {
		w.res.Flags = append(w.res.Flags, fmt.Sprintf("quality: events: no row of %s has a time of any day (the first: %s): null, before 1990, or after the file was written; see sources.events.at and time_unit", count(len(lost), "file"), lost[0].Key))
	}
}
