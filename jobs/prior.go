package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// priorsKept is how many intervals back a build looks for one to go on from. What is older has been superseded so often that it is not kept.
const priorsKept = 16

// rests is what a build rests on. One that does so still, over its own window, is a build that a later one may go on from.
type rests struct {
	Views  string         `json:"views"` // hash of what was asked for, and of how states are written
	Window table.Interval `json:"window"`
	Days   []restDay      `json:"days"`
	Policy string         `json:"policy"` // digest of whose events of the window count
	// Own is the same digest for the interval alone, of which the tiles are.
	Own string `json:"policy_of_interval"`
}

// restDay is one day of events.
type restDay struct {
	Key    string `json:"key"`
	Digest string `json:"digest"` // the first digits; a successor has others
	Rows   int64  `json:"rows"`
	Bytes  int64  `json:"bytes"`
}

// label is the day, as ingest has it.
func (d restDay) label() string {
	_, rest, _ := strings.Cut(d.Key, "/")
	label, _, _ := strings.Cut(rest, "/")
	return label
}

func restDayOf(d day) restDay {
	r := restDay{Key: d.key, Digest: string(d.manifest.Digest[:min(24, len(d.manifest.Digest))]), Rows: d.manifest.Rows}
	for _, p := range d.manifest.Parts {
		r.Bytes += p.Size
	}
	return r
}

// same reports whether two readings of one day hold the same events: by their digests, since where events may come late a day is read again as often as
// there are new files that might hold some. What is not read yet has no digest, and is told by its key.
func (d restDay) same(e restDay) bool {
	if d.Digest == "" || e.Digest == "" {
		return d.Key == e.Key
	}
	return d.Digest == e.Digest && d.Rows == e.Rows
}

// stateSpec is what builds must have in common for one to go on from the other.
func (j *Job) stateSpec() string {
	return hash([]any{logicBuild, logicState, j.Views, j.eventSchema(), j.Training.Keep["events"]})[:16]
}

// rests is what a build of this run rests on, once the days are ingested.
func (w *work) rests() rests {
	r := rests{Views: w.job.stateSpec(), Window: w.viewsWindow()}
	for _, d := range w.plan.committed {
		if d.iv.Overlaps(r.Window) {
			r.Days = append(r.Days, restDayOf(d))
		}
	}
	r.Policy, r.Own = w.plan.trainingDecisions.Digest(r.Window), w.plan.trainingDecisions.Digest(w.iv)
	return r
}

// mayGoOn says why no build of the job goes on from another, or "": then states need not be kept either.
func (w *work) mayGoOn() string {
	if w.dear != "" {
		return w.dear
	}
	longest := features.RetentionNeeded(w.job.Views)
	next := w.job.Every.Next(w.iv)
	if half := longest / 2; min(w.iv.End.Sub(w.iv.Start), next.End.Sub(next.Start)) > half {
		return fmt.Sprintf("an interval is more than half of the longest window (%s), so that there would be no less to read", features.FormatWindow(longest))
	}
	if keep, ok := w.job.Training.Keep["events"]; ok && keep < longest {
		return fmt.Sprintf("keep.events (%s) is shorter than the longest window, so that events leave it by their retention", features.FormatWindow(keep))
	}
	if w.plan.journal.UnderWay() {
		return "an erasure is under way"
	}
	return ""
}

// errPriorLost says that what an earlier build kept can't be read any more.
var errPriorLost = errors.New("what an earlier build kept is gone")

// A state that is larger than this for each event of the longest window costs more, read and written again every night, than reading all events and keeping none
// (features/local: 32 ns a byte, 535 ns an event of six views). Small ones are kept: whatever they cost is little.
const (
	dearState  = 16       // bytes an event
	cheapState = 32 << 20 // bytes
)

// dear says why states like those that a build kept are of no use, or "". As there are none after a build that heard so, they are kept and looked at again when the
// last that there were is superseded (priorsKept).
func dear(c *table.Commit, r rests) string {
	var bytes, events int64
	for output, m := range c.Outputs {
		if strings.HasPrefix(output, statePrefix) {
			bytes += sizeOf(m)
		}
	}
	for _, d := range r.Days {
		events += d.Rows
	}
	if bytes <= cheapState || bytes/dearState <= events {
		return ""
	}
	return fmt.Sprintf("what a build keeps (%.0f MB in %s) takes longer to read and to write than all events of the longest window (%d)", float64(bytes)/1e6, c.Key, events)
}

// prior is an earlier build to go on from.
type prior struct {
	w      *work
	key    string
	end    time.Time
	commit *table.Commit
	events reading            // the run's days, and those that have left the longest window since
	days   map[string]restDay // of these, by label

	mu    sync.Mutex
	tiles map[table.Interval]*table.Commit // nil: there is none
}

// findPrior returns the newest earlier build to go on from, or why there is none.
func (w *work) findPrior(ctx context.Context) (*prior, string, error) {
	now := map[string]restDay{}
	for _, d := range w.plan.committed {
		r := restDayOf(d)
		now[r.label()] = r
	}
	c, facts, why, err := w.priorCommit(ctx, now)
	if c == nil || err != nil {
		return nil, why, err
	}
	p := &prior{w: w, key: c.Key, end: c.Interval.End, commit: c, events: w.reading(), days: now, tiles: map[table.Interval]*table.Commit{}}
	// Days that the run itself does not plan any more: their events leave the windows now.
	var left []day
	for _, d := range facts.Rests.Days {
		if _, ok := now[d.label()]; ok {
			continue
		}
		old, _, err := w.tables.Lookup(ctx, d.Key)
		if errors.Is(err, storage.ErrNotFound) {
			return nil, "day " + d.label() + ", whose events leave the longest window now, is gone", nil
		}
		if err != nil {
			return nil, "", err
		}
		was := day{iv: *old.Interval, key: d.Key, manifest: old.Outputs["events"]}
		if !restDayOf(was).same(d) {
			return nil, "day " + d.label() + ", whose events leave the longest window now, has changed since", nil
		}
		left, now[d.label()] = append(left, was), d
	}
	p.events.days = slices.Concat(left, p.events.days)
	slices.SortFunc(p.events.days, func(a, b day) int { return a.iv.Start.Compare(b.iv.Start) })
	// Events that leave by their age are read once more to be taken out of the state, where they stand: as old as it kept them then.
	p.events.oldest = min(p.events.oldest, p.events.decisions.Purpose().Oldest("events", p.end, w.now))
	return p, "", nil
}

// priorCommit finds the newest commit of an earlier build which rests on days as they are now, and on nobody of whom something else is said now.
// Why says what is wrong with the newest there is. A day in now without a digest is one that is not ingested yet, and is another.
func (w *work) priorCommit(ctx context.Context, now map[string]restDay) (found *table.Commit, facts buildFacts, why string, err error) {
	if why := w.mayGoOn(); why != "" {
		return nil, buildFacts{}, why, nil
	}
	spec := w.job.stateSpec()
	iv := w.iv
	for range priorsKept {
		iv = w.job.Every.At(iv.Start)
		var builds []*table.Commit
		for c, err := range w.tables.List(ctx, w.buildPrefix(iv)) {
			if err != nil {
				return nil, buildFacts{}, "", fmt.Errorf("look for an earlier build: %w", err)
			}
			builds = append(builds, c)
		}
		slices.SortFunc(builds, func(a, b *table.Commit) int { return cmp.Or(b.At.Compare(a.At), strings.Compare(a.Key, b.Key)) })
		for _, c := range builds {
			facts, err := factsOf[buildFacts](c)
			if err != nil {
				return nil, buildFacts{}, "", err
			}
			if facts.Rests.Views == spec {
				if w.dear = dear(c, facts.Rests); w.dear != "" {
					return nil, buildFacts{}, w.dear, nil
				}
			}
			no := w.refuses(c, facts.Rests, spec, now)
			if no == "" {
				return c, facts, "", nil
			}
			if why == "" {
				why = fmt.Sprintf("that of %s does not do: %s", w.job.Every.Label(iv), no)
			}
		}
	}
	if why == "" {
		if why, err = w.otherwise(ctx); err != nil {
			return nil, buildFacts{}, "", err
		}
	}
	return nil, buildFacts{}, why, nil
}

// otherwise says, where no earlier build was made by the job's definitions, by which others the newest of them was.
func (w *work) otherwise(ctx context.Context) (string, error) {
	iv := w.iv
	for range priorsKept {
		iv = w.job.Every.At(iv.Start)
		var newest *table.Commit
		for c, err := range w.tables.List(ctx, "build/"+w.job.Every.Label(iv)+"/") {
			if err != nil {
				return "", fmt.Errorf("look for an earlier build: %w", err)
			}
			ours := slices.ContainsFunc(w.job.Views, func(v features.View) bool { return c.Outputs[v.Name].Digest != "" })
			if ours && c.Interval != nil && c.Interval.Start.Equal(iv.Start) && c.Interval.End.Equal(iv.End) && (newest == nil || c.At.After(newest.At)) {
				newest = c
			}
		}
		if newest == nil {
			continue
		}
		var others []string
		for _, v := range w.job.Views {
			m, ok := newest.Outputs[v.Name]
			if !ok {
				others = append(others, v.Name)
				continue
			}
			b, err := built(newest, m)
			if err == nil {
				err = w.provenance(ctx, v, b)
			}
			if err != nil {
				return "", err
			}
			if b.Current != nil && !*b.Current {
				others = append(others, v.Name)
			}
		}
		was := fmt.Sprintf("that of %s was built by other definitions", w.job.Every.Label(iv))
		if len(others) > 0 {
			return was + " (" + strings.Join(others, ", ") + "): where one view changes, all that are built together read all events", nil
		}
		return was + ": views, keep.events or the program have changed since, and then all views read all events", nil
	}
	return fmt.Sprintf("none of the %d intervals before has been built", priorsKept), nil
}

// buildPrefix is where the job's builds of an interval stand, of whatever inputs.
func (w *work) buildPrefix(iv table.Interval) string {
	return specPrefix("build", w.job.Every.Label(iv), iv, logicBuild, w.job.buildSpec())
}

// refuses says why a build can't be gone on from, or "".
func (w *work) refuses(c *table.Commit, r rests, spec string, now map[string]restDay) string {
	if c.Interval == nil || r.Views != spec {
		return "what it kept to go on from cannot be read by this program"
	}
	for _, key := range features.Keys(w.job.Views) {
		if _, ok := c.Outputs[stateOutput(key)]; !ok {
			return "what it kept has been removed, by an erasure or by gc"
		}
	}
	if changed := w.changed(r, now); len(changed) > 0 {
		return fmt.Sprintf("of the days that it was made of, %s changed since: %s", plural(len(changed), "has", "have"), strings.Join(changed[:min(len(changed), 5)], ", ")+more(len(changed)-5))
	}
	if w.plan.trainingDecisions.Digest(r.Window) != r.Policy {
		return "whose data may be used has changed"
	}
	return ""
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", many)
}

func more(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(" and %d more", n)
}

// changed lists the days, by label, of which a build rests on other events than there are now. A day before the run's history is as it was.
func (w *work) changed(r rests, now map[string]restDay) []string {
	was := map[string]restDay{}
	history := w.job.history(w.iv)
	var out []string
	for _, d := range r.Days {
		was[d.label()] = d
		iv, err := w.job.unit().Parse(d.label())
		if err == nil && !history.Start.Before(iv.End) {
			continue
		}
		if n, ok := now[d.label()]; !ok || !n.same(d) {
			out = append(out, d.label())
		}
	}
	for label := range now {
		iv, err := w.job.unit().Parse(label)
		if _, ok := was[label]; !ok && (err != nil || iv.Overlaps(r.Window)) {
			out = append(out, label)
		}
	}
	slices.Sort(out)
	return out
}

// prior is what the build kept, as an engine takes it.
func (p *prior) prior(ctx context.Context) *features.Prior {
	out := &features.Prior{End: p.end, State: map[string][]features.Split{}}
	window := p.w.viewsWindow()
	for _, d := range p.w.plan.committed {
		if d.iv.Overlaps(window) {
			out.Events += d.manifest.Rows
		}
	}
	for _, key := range features.Keys(p.w.job.Views) {
		out.State[key] = p.kept(p.commit, stateOutput(key))
	}
	out.Tile = func(key string, iv table.Interval) ([]features.Split, bool) {
		c := p.tile(ctx, iv)
		if c == nil {
			return nil, false
		}
		if _, ok := c.Outputs[tileOutput(key)]; !ok {
			return nil, false
		}
		return p.kept(c, tileOutput(key)), true
	}
	return out
}

// kept reads what a build kept, a split a part.
func (p *prior) kept(c *table.Commit, output string) []features.Split {
	m := c.Outputs[output]
	var out []features.Split
	for _, part := range m.Parts {
		only := m
		only.Parts, only.Rows = []table.Part{part}, part.Rows
		out = append(out, features.Split{Rows: part.Rows, Bytes: part.Size, Read: func(ctx context.Context, columns []string) iter.Seq2[*table.Batch, error] {
			return func(yield func(*table.Batch, error) bool) {
				for b, err := range table.Read(ctx, p.w.Bucket, only, table.ReadOptions{Columns: columns}) {
					if err != nil {
						err = fmt.Errorf("%w: %s of %s: %w", errPriorLost, output, c.Key, err)
					}
					if !yield(b, err) || err != nil {
						return
					}
				}
			}
		}})
	}
	return out
}

// tile returns the newest build of exactly an interval whose tile is still that of its events, or nil. Each interval is looked for once; what can't be read is
// taken for none, for the events stand beside it.
func (p *prior) tile(ctx context.Context, iv table.Interval) *table.Commit {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c, ok := p.tiles[iv]; ok {
		return c
	}
	p.tiles[iv] = nil
	every := p.w.job.Every
	if every.Containing(iv.Start) != iv {
		return nil
	}
	for c, err := range p.w.tables.List(ctx, p.w.buildPrefix(iv)) {
		if err != nil {
			return nil
		}
		facts, err := factsOf[buildFacts](c)
		if err == nil && p.standing(facts.Rests, iv) && (p.tiles[iv] == nil || c.At.After(p.tiles[iv].At)) {
			p.tiles[iv] = c
		}
	}
	return p.tiles[iv]
}

// standing reports whether a build of iv rests, for iv itself, on the same events as there are now.
func (p *prior) standing(r rests, iv table.Interval) bool {
	was := map[string]restDay{}
	for _, d := range r.Days {
		was[d.label()] = d
	}
	for _, u := range units(p.w.job.unit(), iv) {
		label := p.w.job.unit().Label(u)
		a, inA := was[label]
		b, inB := p.days[label]
		if inA != inB || inA && !a.same(b) {
			return false
		}
	}
	return r.Views == p.w.job.stateSpec() && r.Own == p.w.plan.trainingDecisions.Digest(iv)
}
