package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// Purged is what a purge came to.
type Purged struct {
	DryRun   bool     `json:"dry_run"`
	Nothing  bool     `json:"nothing_to_do"`
	Purge    Purge    `json:"purge"`            // what goes, or went; its number is 0 where nothing was written
	Resumed  []int    `json:"resumed"`          // purges that had been interrupted, and are done now
	Receipts []string `json:"receipts"`         // of erasures that had been interrupted, or whose last rows a legal hold had kept until now
	Waiting  int      `json:"erasures_waiting"` // erasures of which legal holds keep rows yet
	Begun    int      `json:"erasures_begun"`   // erasures that were interrupted, or are under way, and are not finished by this
	Ended    []Hold   `json:"holds_ended"`      // since the last purge
}

const purgeLease = "leases/purge"

// Purge is retention: it removes what is older than every purpose that reads it allows, class by class (policy.Classes), by event time, or by the interval that
// something was made for. Each table gets a successor under its old key, so that no step has to be done again. What is live, pinned or kept for a rollback stays, and so
// does what a legal hold holds. Where there is something to remove it is written down first, in policy/purges/, and then done: interrupted, it is taken up again by the next
// Purge. With dry it only says what would go. Cost: a GET for each step that is done and each version; of days that straddle the cut one column, and the
// shards that are written anew.
//
// It also removes what a legal hold had kept of erasures and holds no more, and finishes erasures that were interrupted.
func (r *Runner) Purge(ctx context.Context, js []*Job, by string, dry bool) (*Purged, error) {
	w := &work{Runner: r, now: r.Now(), tables: table.Store{Bucket: r.Bucket}}
	if dry {
		return w.purge(ctx, js, by, true)
	}
	lease, err := r.acquire(ctx, purgeLease)
	if err != nil {
		return nil, fmt.Errorf("purge: %w", err)
	}
	ctx, stop := lease.Keep(ctx)
	defer stop()
	defer r.release(ctx, lease)
	w.lease = lease
	out, err := w.purge(ctx, js, by, false)
	if err != nil && ctx.Err() != nil { // interrupted, which is no fault
		return nil, err
	}
	return out, errors.Join(err, r.markPurged(ctx, by, err))
}

func (w *work) purge(ctx context.Context, js []*Job, by string, dry bool) (*Purged, error) {
	r, out := w.Runner, &Purged{DryRun: dry, Resumed: []int{}, Receipts: []string{}}
	entries, err := r.Purges(ctx)
	if err != nil {
		return nil, err
	}
	if out.Ended, err = r.holdsEnded(ctx); err != nil {
		return nil, err
	}
	if err := w.forgetHeld(ctx, js, out); err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.Finished != nil || dry {
			continue
		}
		p := w.purging(js, e.Clock)
		p.write, p.resumed, p.by = true, true, purgedBy(e.Number)
		if err := p.all(ctx); err != nil {
			return nil, fmt.Errorf("purge %d, which had been interrupted: %w", e.Number, err)
		}
		if err := w.finishPurge(ctx, e.Number, by, true); err != nil {
			return nil, err
		}
		out.Resumed = append(out.Resumed, e.Number)
	}
	p := w.purging(js, w.now)
	if err := p.all(ctx); err != nil {
		return nil, fmt.Errorf("purge: what is to go: %w", err)
	}
	if err := p.resting(ctx); err != nil {
		return nil, fmt.Errorf("purge: what rests on it: %w", err)
	}
	out.Purge = p.entry()
	out.Nothing = len(out.Purge.Goes) == 0 && len(out.Resumed)+len(out.Receipts)+out.Begun == 0
	for _, h := range out.Ended {
		out.Purge.Ended = append(out.Purge.Ended, h.Number)
	}
	if dry {
		return out, nil
	}
	if len(out.Purge.Goes) > 0 {
		if out.Purge, err = w.journalPurge(ctx, out.Purge, by); err != nil {
			return nil, err
		}
		p := w.purging(js, w.now)
		p.write, p.by = true, purgedBy(out.Purge.Number)
		if err := p.all(ctx); err != nil {
			return nil, fmt.Errorf("purge %d: %w; the next one goes on with it", out.Purge.Number, err)
		}
		if err := w.finishPurge(ctx, out.Purge.Number, by, false); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// purgedBy names a purge as the writer of successors.
func purgedBy(number int) string { return fmt.Sprintf("purge %d", number) }

// forgetHeld carries out what is left of erasures whose holds have ended, and of those that were interrupted.
func (w *work) forgetHeld(ctx context.Context, js []*Job, out *Purged) error {
	journal, err := event.OpenJournal(ctx, w.Bucket)
	if err != nil {
		return err
	}
	holds, err := w.inForce(ctx)
	if err != nil {
		return err
	}
	ready := 0
	_, entries := journal.Pending()
	for _, e := range entries {
		switch {
		case e.Held == nil:
			out.Begun++
		case waits(e, holds):
			out.Waiting++
		default:
			ready++
		}
	}
	if ready+out.Begun == 0 || out.DryRun {
		return nil
	}
	if w.Keys.IsZero() && ready == 0 { // who has the secret finishes it, and status says so
		return nil
	}
	if w.Keys.IsZero() {
		return fmt.Errorf("purge: the legal holds of %d erasures have ended; to finish these, and to sign their receipts: %w", ready, event.ErrNoKey)
	}
	erased, err := w.EraseOn(ctx, js, nil, Terms{})
	switch {
	case errors.Is(err, storage.ErrHeld) && ready == 0: // who began it is at it
		return nil
	case errors.Is(err, ErrUnknownSubjects): // somebody has finished it by now
		out.Begun = 0
		return nil
	case err != nil:
		return fmt.Errorf("purge: what is left of erasures: %w", err)
	}
	out.Receipts, out.Begun = erased.Receipts, 0
	return nil
}

// purging goes through everything that has a retention class, and says what goes, or removes it.
type purging struct {
	*work
	jobs    []*Job
	clock   time.Time
	by      string
	write   bool // remove it
	resumed bool // files may have been left behind

	holds    []Hold
	versions map[string][]registry.Version
	safe     map[string]map[int]string // model → version → why it stays
	days     map[string]purgedDay      // by key
	dropped  map[string]map[int]bool   // model → versions whose artifact goes
	unlinked map[string]bool           // reports that go
	goes     map[goesTo]*PurgeGoes
	excepted map[exceptedOf]*PurgeExcepted
	longer   map[longerBy]int
	rests    []PurgeRests
}

func (w *work) purging(js []*Job, clock time.Time) *purging {
	return &purging{
		work: w, jobs: js, clock: clock, days: map[string]purgedDay{}, dropped: map[string]map[int]bool{}, unlinked: map[string]bool{},
		goes: map[goesTo]*PurgeGoes{}, excepted: map[exceptedOf]*PurgeExcepted{}, longer: map[longerBy]int{},
	}
}

// Keys of what a purge adds up.
type (
	goesTo     struct{ class, store string }
	exceptedOf struct {
		hold  int
		store string
	}
	longerBy struct{ store, job, purpose string }
)

// purgedDay is an ingested day, as the purge leaves it.
type purgedDay struct {
	iv     table.Interval
	digest string // the first digits
	older  bool   // some of it is before the cut
	rows   int64  // that go
}

// changed reports whether a build that rests on a day rests on rows that retention has taken.
func (p *purging) changed(d restDay) bool {
	now, ok := p.days[d.Key]
	return ok && now.older && (now.rows > 0 || d.Digest != "" && d.Digest != now.digest)
}

// all goes through everything, days first: what else there is may rest on them.
func (p *purging) all(ctx context.Context) (err error) {
	if len(p.jobs) == 0 {
		return errors.New("the project has no job, and so nothing says how long anything is kept")
	}
	if p.holds, err = p.inForce(ctx); err != nil {
		return err
	}
	if err := p.readModels(ctx); err != nil {
		return err
	}
	for _, stage := range []struct {
		prefix string
		do     func(context.Context, *table.Commit) error
	}{{"ingest/", p.day}, {"build/", p.built}} {
		for c, err := range p.tables.List(ctx, stage.prefix) {
			if err != nil {
				return err
			}
			p.Progressed("purge", c.Step, 0, 0, "tables")
			if c.Interval == nil {
				continue
			}
			if err := stage.do(ctx, c); err != nil {
				return fmt.Errorf("%s: %w", c.Key, err)
			}
		}
	}
	for _, step := range []string{"subjects", "cohorts"} {
		if err := p.attributes(ctx, step); err != nil {
			return err
		}
	}
	if err := p.artifacts(ctx); err != nil {
		return err
	}
	return p.reports(ctx)
}

// A limit is how long a purpose of a job lets something be kept.
type limit struct {
	job, purpose string
	keep         time.Duration // 0: for ever
	before       int64         // µs: what is older goes
}

// keepers are the purposes for which the job reads what a step makes.
func (j *Job) keepers(step string) (out []policy.Purpose) {
	add := func(p *policy.Purpose) {
		if p != nil && !slices.ContainsFunc(out, func(q policy.Purpose) bool { return q.Name == p.Name }) {
			out = append(out, *p)
		}
	}
	switch step {
	case "cohorts":
		add(j.Evaluation)
		add(j.Mitigation)
	case "evaluate", "refuse":
		add(&j.Training)
		add(j.Evaluation)
	case "ingest":
		add(&j.Training)
		if j.Trust != nil {
			add(j.Evaluation)
		}
	default:
		add(&j.Training)
	}
	return out
}

// cut is the longest that a purpose of the job lets what a step makes be kept: event time ≥ min(end of the last closed interval, clock) − keep.
func (j *Job) cut(step string, clock time.Time) (longest limit) {
	longest.before = math.MaxInt64
	for _, p := range j.keepers(step) {
		class := classOf(step)
		if c := (limit{j.Name, p.Name, p.Keep[class], p.Oldest(class, j.Every.At(clock).End, clock)}); c.before < longest.before {
			longest = c
		}
	}
	return longest
}

// cutOf is the longest that any of the jobs lets something be kept, of what nobody reads any more any job of the project, and those that would let it go sooner.
func (p *purging) cutOf(step string, readers []*Job) (longest, shortest limit) {
	if len(readers) == 0 {
		readers = p.jobs
	}
	longest.before, shortest.before = math.MaxInt64, math.MinInt64
	for _, j := range readers {
		c := j.cut(step, p.clock)
		if c.before == math.MaxInt64 { // it reads nothing of the kind
			continue
		}
		if c.before < longest.before {
			longest = c
		}
		if c.before > shortest.before {
			shortest = c
		}
	}
	if longest.before == math.MaxInt64 { // nobody does: it is kept
		longest.before, shortest.before = math.MinInt64, math.MinInt64
	}
	return longest, shortest
}

// keptLonger notes what would go if it were for one of its readers alone.
func (p *purging) keptLonger(at int64, store string, longest, shortest limit) {
	if at < shortest.before && at >= longest.before {
		p.longer[longerBy{store, longest.job, longest.purpose}]++
	}
}

func (p *purging) went(class, store string, iv table.Interval, rows int64, parts []table.Part) {
	var bytes int64
	for _, x := range parts {
		bytes += x.Size
	}
	p.wentFiles(class, store, iv, rows, len(parts), bytes)
}

func (p *purging) wentFiles(class, store string, iv table.Interval, rows int64, files int, bytes int64) {
	g := p.goes[goesTo{class, store}]
	if g == nil {
		g = &PurgeGoes{Class: class, Store: store, From: iv.Start.UTC(), To: iv.End.UTC()}
		p.goes[goesTo{class, store}] = g
	}
	g.Tables, g.Rows, g.Files, g.Bytes = g.Tables+1, g.Rows+rows, g.Files+files, g.Bytes+bytes
	if iv.Start.Before(g.From) {
		g.From = iv.Start.UTC()
	}
	if iv.End.After(g.To) {
		g.To = iv.End.UTC()
	}
}

func (p *purging) spared(h Hold, store string, rows int64) {
	x := p.excepted[exceptedOf{h.Number, store}]
	if x == nil {
		x = &PurgeExcepted{Hold: h.Number, Class: h.Class, Store: store, Reason: h.Reason, Until: h.Ended()}
		p.excepted[exceptedOf{h.Number, store}] = x
	}
	x.Tables, x.Rows = x.Tables+1, x.Rows+rows
}

// day removes the rows of an ingested day that are older than its cut.
func (p *purging) day(ctx context.Context, c *table.Commit) error {
	longest, shortest := p.cutOf(c.Step, readersOf(p.jobs, c))
	iv, store := *c.Interval, storeOf(c.Step, "events")
	older := table.Micros(iv.Start) < longest.before
	d := purgedDay{iv: iv, older: older, digest: digits(c.Outputs["events"].Digest)}
	p.keptLonger(table.Micros(iv.End)-1, store, longest, shortest)
	if older {
		says := "of before " + time.UnixMicro(longest.before).UTC().Format(time.RFC3339)
		stands, err := p.shrink(ctx, c, func(name string, m table.Manifest, held []Hold) (goes event.Rows, whole bool) {
			if table.Micros(iv.End) <= longest.before && len(held) == 0 {
				return goes, true
			}
			if name != "events" { // where raw rows stand that were none
				return goes, false
			}
			for i := range held {
				n, _, err := event.Count(ctx, p.Bucket, m, event.AtTimes(event.ColTime, says, func(t int64) bool {
					h := holdOf(held, t)
					return t < longest.before && h != nil && h.Number == held[i].Number
				}))
				if err == nil && n > 0 { // what can't be read here can't be rewritten either, which tells
					p.spared(held[i], store, n)
				}
			}
			return event.AtTimes(event.ColTime, says, func(t int64) bool { return t < longest.before && holdOf(held, t) == nil }), false
		}, &d.rows)
		if err != nil {
			return err
		}
		d.digest = digits(stands.Outputs["events"].Digest)
	}
	p.days[c.Key] = d
	return nil
}

func digits(d table.Digest) string { return string(d[:min(24, len(d))]) }

// shrink writes, or only counts, the successor of a commit without the rows of its tables that which names: all of a table, or some. rows, which may be nil, is how
// many of the tables that hold people's rows go.
func (p *purging) shrink(ctx context.Context, c *table.Commit, which func(name string, m table.Manifest, held []Hold) (event.Rows, bool), rows *int64) (*table.Commit, error) {
	make := func(c *table.Commit) (*table.Commit, bool, error) {
		if !slices.ContainsFunc(outputNames(c), func(name string) bool { return c.Outputs[name].Rows > 0 }) {
			return c, false, nil
		}
		if p.write { // a hold that was added meanwhile holds
			var err error
			if p.holds, err = p.inForce(ctx); err != nil {
				return nil, false, err
			}
		}
		held := heldBy(p.holds, p.jobs, c)
		next, changed := *c, false
		next.Outputs, next.Supersedes = map[string]table.Manifest{}, slices.Clone(c.Supersedes)
		for _, name := range outputNames(c) {
			m := c.Outputs[name]
			next.Outputs[name] = m
			if m.Rows == 0 {
				continue
			}
			goes, whole := which(name, m, held)
			n, parts, left := m.Rows, m.Parts, event.Emptied(m)
			var err error
			switch {
			case whole:
			case goes.Are == nil:
				continue
			case p.write:
				left, n, err = event.RewriteWithout(ctx, p.Bucket, m, dataPrefix(c.Key, name), subjectColumn(m.Schema), goes)
			default:
				n, parts, err = event.Count(ctx, p.Bucket, m, goes)
			}
			if err != nil {
				return nil, false, err
			}
			if n == 0 {
				continue
			}
			if !p.write {
				p.went(classOf(c.Step), storeOf(c.Step, name), *c.Interval, n, parts)
			}
			if rows != nil {
				*rows += n
			}
			changed = true
			next.Supersedes = append(next.Supersedes, m.Digest)
			if next.Outputs[name] = left; keptForBuilds(name) {
				delete(next.Outputs, name)
			}
		}
		return &next, changed, nil
	}
	if !p.write {
		_, _, err := make(c)
		return c, err
	}
	if !p.resumed && !slices.ContainsFunc(outputNames(c), func(name string) bool { return c.Outputs[name].Rows > 0 }) { // it went before
		return c, nil
	}
	if err := p.afterErasures(ctx); err != nil {
		return nil, err
	}
	stands := c
	err := p.alone(ctx, func(ctx context.Context) (err error) {
		now, _, err := p.tables.Lookup(ctx, c.Key) // as whoever was alone before has left it
		if err != nil {
			return err
		}
		changed := false
		if stands, changed, err = p.succeed(ctx, now, p.by, make); err != nil || !changed && !p.resumed {
			return err
		}
		if _, _, err := p.sweep(ctx, *stands); err != nil {
			return err
		}
		_, _, err = p.dropVersions(ctx, "data/"+c.Key+"/")
		return err
	})
	return stands, err
}

func outputNames(c *table.Commit) []string {
	names := make([]string, 0, len(c.Outputs))
	for name := range c.Outputs {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// built removes the tables of a build that is older than its cut. Of a younger one it removes what later builds would go on from, where that rests on rows that
// retention takes: nothing may carry them further.
func (p *purging) built(ctx context.Context, c *table.Commit) error {
	readers := readersOf(p.jobs, c)
	longest, shortest := p.cutOf(c.Step, readers)
	end, store := table.Micros(c.Interval.End), storeOf(c.Step, "")
	p.keptLonger(end-1, store, longest, shortest)
	aged := end <= longest.before
	if aged {
		if why := p.safeInterval(*c.Interval, readers); why != "" {
			p.rest(PurgeRests{What: fmt.Sprintf("views of %s, past their retention", c.Interval.End.UTC().Format(time.DateOnly)), Count: 1, Becomes: staysKept, Why: why})
			aged = false
		}
	}
	state, tile := false, false
	if facts, err := factsOf[buildFacts](c); err == nil {
		for _, d := range facts.Rests.Days {
			if !p.changed(d) {
				continue
			}
			state = true
			tile = tile || p.days[d.Key].iv.Overlaps(*c.Interval)
		}
	}
	if !aged && !state {
		return nil
	}
	_, err := p.shrink(ctx, c, func(name string, m table.Manifest, held []Hold) (event.Rows, bool) {
		switch {
		case strings.HasPrefix(name, statePrefix) && state, strings.HasPrefix(name, tilePrefix) && tile:
			return event.Rows{}, true // also where it is held: no build may go on from it
		case !aged:
			return event.Rows{}, false
		case len(held) > 0:
			p.spared(held[0], storeOf(c.Step, name), m.Rows)
			return event.Rows{}, false
		}
		return event.Rows{}, true
	}, nil)
	return err
}

// attributes removes the snapshots of people's attributes that are older than their cut, but for the newest of each kind, which runs read.
func (p *purging) attributes(ctx context.Context, step string) error {
	var all []*table.Commit
	newest := map[string]*table.Commit{}
	for c, err := range p.tables.List(ctx, step+"/") {
		if err != nil {
			return err
		}
		if c.Interval == nil {
			continue
		}
		all = append(all, c)
		spec := c.Key[:strings.LastIndexByte(c.Key, '-')+1]
		if n := newest[spec]; n == nil || cmp.Or(c.Interval.End.Compare(n.Interval.End), c.At.Compare(n.At)) > 0 {
			newest[spec] = c
		}
	}
	for _, c := range all {
		longest, shortest := p.cutOf(step, readersOf(p.jobs, c))
		end := table.Micros(c.Interval.End)
		p.keptLonger(end-1, storeOf(step, ""), longest, shortest)
		if end > longest.before || newest[c.Key[:strings.LastIndexByte(c.Key, '-')+1]] == c {
			continue
		}
		if _, err := p.shrink(ctx, c, func(name string, m table.Manifest, held []Hold) (event.Rows, bool) {
			if len(held) > 0 {
				p.spared(held[0], storeOf(step, name), m.Rows)
			}
			return event.Rows{}, len(held) == 0
		}, nil); err != nil {
			return fmt.Errorf("%s: %w", c.Key, err)
		}
	}
	return nil
}

// removeUnder deletes the objects under a prefix, with their old versions.
func (p *purging) removeUnder(ctx context.Context, objects []storage.Info, prefix string) error {
	for _, o := range objects {
		if err := p.lease.Check(ctx); err != nil {
			return err
		}
		if err := p.Bucket.Delete(ctx, o.Key); err != nil {
			return err
		}
	}
	_, _, err := p.dropVersions(ctx, prefix)
	return err
}

// keepOf is a retention in words.
func keepOf(keep time.Duration) string {
	if keep <= 0 {
		return ""
	}
	return features.FormatWindow(keep)
}
