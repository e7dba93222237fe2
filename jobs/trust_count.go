package jobs

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage/table"
)

// lookBack is how many weeks before one tell who is new in it.
const lookBack = 4

// maxTrustLevels is how many levels a cohort may have to be counted by week.
const maxTrustLevels = 50

// weekCounter counts weeks, in their order.
type weekCounter struct {
	*work
	seen map[string][]uint64 // label → the week's subjects, ascending; each week is read once a run
}

// did is what one subject did in a week.
type did struct{ events, conversions, complaints, explanations int }

// count counts one week. It returns the rows that it read.
func (c *weekCounter) count(ctx context.Context, t trustWeek) (eval.TrustWeek, int64, error) {
	out := eval.TrustWeek{Week: t.label, Interval: t.iv, Counted: c.Wall().UTC(), Days: t.days, Of: t.of}
	x := &tallies{week: t.iv, last: t.iv.End.Add(-time.Microsecond), gone: map[policy.Subject]bool{}}
	pending, _ := c.plan.journal.Pending()
	for _, e := range pending {
		x.gone[e.Subject] = true
	}
	if err := c.divide(ctx, x); err != nil {
		return out, 0, err
	}
	rows, err := c.events(ctx, t, x)
	if err != nil {
		return out, 0, err
	}
	if err := c.basis(ctx, x); err != nil {
		return out, 0, err
	}
	c.optOuts(x)
	if err := c.rows(ctx, x); err != nil {
		return out, 0, err
	}
	c.erasures(x)
	x.add(eval.TrustTally{Metric: eval.TrustHeld, Value: float64(c.plan.daysWithFiles(c.job, table.Interval{Start: c.job.history(c.iv).Start, End: t.iv.End}))})
	out.Groups, out.Notes = x.told(), x.notes
	earlier, err := c.earlierCounts(ctx, t)
	for _, e := range earlier {
		out.Groups = eval.KeepTold(out.Groups, e.Groups)
	}
	out.Groups = eval.FoldSmall(out.Groups)
	return out, rows, err
}

// earlierCounts are what the job has counted of a week before files of it, or settings, changed; the first one last, which has told before all others.
func (c *weekCounter) earlierCounts(ctx context.Context, t trustWeek) (out []eval.TrustWeek, err error) {
	for commit, err := range c.tables.List(ctx, "trust/"+t.label+"/") {
		if err != nil {
			return nil, fmt.Errorf("earlier counts of %s: %w", t.label, err)
		}
		f, err := factsOf[trustFacts](commit)
		if err != nil {
			return nil, err
		}
		if f.Job == c.job.Name {
			out = append(out, f.Week)
		}
	}
	slices.SortFunc(out, func(a, b eval.TrustWeek) int { return b.Counted.Compare(a.Counted) })
	return out, nil
}

// tallies are what is counted of a week, of everybody and by cohort.
type tallies struct {
	week    table.Interval
	last    time.Time // the last moment of it
	gone    map[policy.Subject]bool
	active  map[uint64]did // nil: the week's events could not be counted
	whole   []eval.TrustTally
	cohorts []cohortTallies
	notes   []string
}

// cohortTallies is one cohort: the level of each of whom one is known, and what was counted of each level; the last one is eval.Missing.
type cohortTallies struct {
	name   string
	levels []string
	of     map[uint64]int
	counts [][]eval.TrustTally // by level
}

// add counts a figure that is told of everybody alone.
func (x *tallies) add(t eval.TrustTally) { x.whole = append(x.whole, t) }

// byPerson counts a figure person by person, so that it can be told by cohort as well. each calls its argument with who stands behind it, whether as one of
// those whom the figure counts or as one of the others.
func (x *tallies) byPerson(t eval.TrustTally, each func(count func(s uint64, n, of int, value float64))) {
	sums := make([][]eval.TrustTally, len(x.cohorts))
	for i := range x.cohorts {
		sums[i] = make([]eval.TrustTally, len(x.cohorts[i].levels))
		for l := range sums[i] {
			sums[i][l] = t
		}
	}
	each(func(s uint64, n, of int, value float64) {
		t.N, t.Of, t.Value = t.N+n, t.Of+of, t.Value+value
		for i := range x.cohorts {
			l, ok := x.cohorts[i].of[s]
			if !ok {
				l = len(x.cohorts[i].levels) - 1
			}
			own := &sums[i][l]
			own.N, own.Of, own.Value = own.N+n, own.Of+of, own.Value+value
		}
	})
	x.whole = append(x.whole, t)
	for i := range x.cohorts {
		for l := range sums[i] {
			x.cohorts[i].counts[l] = append(x.cohorts[i].counts[l], sums[i][l])
		}
	}
}

func (x *tallies) told() []eval.TrustGroup {
	var cohorts []eval.TrustCohort
	for _, c := range x.cohorts {
		cohorts = append(cohorts, eval.TrustCohort{Name: c.name, Levels: c.levels, Tallies: c.counts})
	}
	return eval.TellTrust(x.whole, cohorts)
}

// divide reads who belongs to which level of the declared cohorts: those of the table, of the people who do not object to that. Intersections, and what is made of
// each run's own events, are left to the report.
func (c *weekCounter) divide(ctx context.Context, x *tallies) error {
	rows, err := c.cohortRows(ctx)
	if err != nil {
		return err
	}
	for _, name := range c.job.Cohort {
		if !rows.has(name) {
			continue
		}
		if n := rows.facts.Ambiguous[name]; n > 0 {
			x.notes = append(x.notes, fmt.Sprintf("cohort %s is not counted: a file of sources.cohorts has two rows that differ in it for %s", name, people(n)))
			continue
		}
		col := rows.rows.Col(name)
		level := map[uint64]string{}
		for s, r := range rows.at {
			if l := ""; !col.Null(r) {
				if l = cell(col, r); l != "" && l != eval.Missing {
					level[s] = l
				}
			}
		}
		levels := slices.Compact(slices.Sorted(maps.Values(level)))
		if len(levels) > maxTrustLevels {
			x.notes = append(x.notes, fmt.Sprintf("cohort %s is not counted: it has %d levels, and %d are the most; group them in sources.cohorts", name, len(levels), maxTrustLevels))
			continue
		}
		own := cohortTallies{name: name, levels: append(levels, eval.Missing), of: make(map[uint64]int, len(level))}
		for s, l := range level {
			own.of[s], _ = slices.BinarySearch(levels, l)
		}
		own.counts = make([][]eval.TrustTally, len(own.levels))
		x.cohorts = append(x.cohorts, own)
	}
	return nil
}

// countable is what of events may be counted: under the evaluation purpose, which is asked what people object to, those of people who have withdrawn from
// training too, and of no item that counts for nobody. Without that purpose it is what a model may learn from.
func (c *weekCounter) countable() reading {
	r := c.reading()
	if d := c.plan.evaluationDecisions; d != nil {
		r.decisions, r.oldest = d.Guarded(c.plan.trainingDecisions.Sensitive()), d.Purpose().Oldest("events", c.iv.End, c.now)
	}
	return r
}

// events counts who was there, who is new, and what they did.
func (c *weekCounter) events(ctx context.Context, t trustWeek, x *tallies) (int64, error) {
	names := []string{eval.GrowthActive, eval.GrowthNew, eval.GrowthEvents}
	kinds := c.job.Trust.kinds()
	for _, m := range []string{eval.GrowthConversions, eval.TrustComplaints, eval.TrustExplanations} {
		if len(kinds[m]) > 0 {
			names = append(names, m)
		}
	}
	if t.days < c.job.Trust.Days {
		for _, m := range names {
			x.add(eval.TrustTally{Metric: m, Gap: true})
		}
		x.notes = append(x.notes, fmt.Sprintf("%d of %d days have files, and trust.days wants %d: its events are not counted", t.days, t.of, c.job.Trust.Days))
		return 0, nil
	}
	if oldest := c.countable().oldest; table.Micros(t.iv.Start) < oldest {
		for _, m := range names {
			x.add(eval.TrustTally{Metric: m, Gap: true})
		}
		x.notes = append(x.notes, "events of its first days may not be kept any more (keep.events): its events are not counted")
		return 0, nil
	}
	rows, err := c.scan(ctx, t, x)
	if err != nil {
		return rows, err
	}
	c.seen[t.label] = slices.Sorted(maps.Keys(x.active))
	before, err := c.subjectsBefore(ctx, t)
	if err != nil {
		return rows, err
	}
	for _, m := range names {
		tally := eval.TrustTally{Metric: m}
		if m == eval.GrowthNew && before == nil {
			tally.Gap = true
			x.add(tally)
			continue
		}
		x.byPerson(tally, func(count func(uint64, int, int, float64)) {
			for s, d := range x.active {
				switch m {
				case eval.GrowthActive:
					count(s, 1, 0, 0)
				case eval.GrowthNew:
					count(s, one(!before[s]), 1, 0)
				case eval.GrowthEvents:
					count(s, 1, 0, float64(d.events))
				case eval.GrowthConversions:
					count(s, one(d.conversions > 0), 1, float64(d.conversions))
				case eval.TrustComplaints:
					count(s, one(d.complaints > 0), 1, 0)
				case eval.TrustExplanations:
					count(s, one(d.explanations > 0), 1, 0)
				}
			}
		})
	}
	return rows, nil
}

func one(is bool) int {
	if is {
		return 1
	}
	return 0
}

// scan reads the events of the week: subjects, and kinds if any is asked for.
func (c *weekCounter) scan(ctx context.Context, t trustWeek, x *tallies) (rows int64, err error) {
	x.active = map[uint64]did{}
	named := map[string][]string{} // kind → metrics
	for m, kinds := range c.job.Trust.kinds() {
		for _, k := range kinds {
			named[k] = append(named[k], m)
		}
	}
	columns, found := []string{}, map[string]bool{}
	if len(named) > 0 {
		columns = append(columns, event.ColKind)
	}
	for b, err := range c.countable().permitted(ctx, t.iv, columns, nil) {
		if err != nil {
			return rows, err
		}
		rows += int64(b.N)
		subjects, kinds := b.Col(event.ColSubject).Int, b.Col(event.ColKind)
		for i := 0; i < b.N; {
			s := uint64(subjects[i])
			d := x.active[s]
			for ; i < b.N && uint64(subjects[i]) == s; i++ {
				d.events++
				if len(named) == 0 || kinds.Null(i) {
					continue
				}
				for _, m := range named[kinds.Str[i]] {
					found[kinds.Str[i]] = true
					switch m {
					case eval.GrowthConversions:
						d.conversions++
					case eval.TrustComplaints:
						d.complaints++
					case eval.TrustExplanations:
						d.explanations++
					}
				}
			}
			x.active[s] = d
		}
	}
	var none []string
	for _, k := range slices.Sorted(maps.Keys(named)) {
		if !found[k] {
			none = append(none, k)
		}
	}
	if len(none) > 0 {
		x.notes = append(x.notes, "no event that may be counted is of kind "+strings.Join(none, ", ")+", which the job's trust names")
	}
	return rows, nil
}

// subjectsBefore are the people with events in the weeks before one, or nil if one of these is not held, or has too few days.
func (c *weekCounter) subjectsBefore(ctx context.Context, t trustWeek) (map[uint64]bool, error) {
	held, weeks := c.job.history(c.iv), c.job.weeks()
	iv := t.iv
	out := map[uint64]bool{}
	for range lookBack {
		iv = weeks.At(iv.Start)
		if iv.Start.Before(held.Start) || table.Micros(iv.Start) < c.countable().oldest || c.plan.daysWithFiles(c.job, iv) < c.job.Trust.Days {
			return nil, nil
		}
		label := c.job.isoWeek(iv)
		if _, ok := c.seen[label]; !ok {
			var all []uint64
			for b, err := range c.countable().permitted(ctx, iv, []string{}, nil) {
				if err != nil {
					return nil, err
				}
				for _, s := range b.Col(event.ColSubject).Int {
					all = append(all, uint64(s))
				}
				if len(all) > 1<<20 {
					slices.Sort(all)
					all = slices.Compact(all)
				}
			}
			slices.Sort(all)
			c.seen[label] = slices.Compact(all)
		}
		for _, s := range c.seen[label] {
			out[s] = true
		}
	}
	return out, nil
}

// basis counts, for each purpose, who had a basis at the week's last moment, and whose began or ended in it.
func (c *weekCounter) basis(ctx context.Context, x *tallies) error {
	if c.job.Consent == nil {
		x.notes = append(x.notes, "no sources.consent is declared: whose consent or objection changed cannot be told")
		return nil
	}
	purposes := []policy.Purpose{c.job.Training}
	for _, p := range []*policy.Purpose{c.job.Evaluation, c.job.Guards.Purpose} {
		if p != nil && !slices.ContainsFunc(purposes, func(o policy.Purpose) bool { return o.Name == p.Name }) {
			purposes = append(purposes, *p)
		}
	}
	if c.job.Evaluation == nil {
		x.notes = append(x.notes, "the job has no purpose.evaluate: people who have withdrawn since are not counted among the active")
	}
	records, err := c.records(ctx, c.plan)
	if err != nil {
		return err
	}
	records = slices.DeleteFunc(records, func(r policy.Record) bool { return x.gone[r.Subject] })
	slices.SortFunc(records, func(a, b policy.Record) int { return cmp.Or(cmp.Compare(a.Purpose, b.Purpose), a.Compare(b)) })
	for _, p := range purposes {
		x.purpose(p, records)
	}
	return nil
}

// purpose counts one purpose. records are by purpose and subject. The rate is of the people on record, and not of the active: a day that is read after a withdrawal
// has no row of that person, so that of the active nearly all are permitted, and all of them where the whole week was read late.
func (x *tallies) purpose(p policy.Purpose, records []policy.Record) {
	changes := map[policy.Subject]policy.Churn{}
	from, _ := slices.BinarySearchFunc(records, p.Name, func(r policy.Record, name string) int { return cmp.Compare(r.Purpose, name) })
	for from < len(records) && records[from].Purpose == p.Name {
		to := from + 1
		for to < len(records) && records[to].Purpose == p.Name && records[to].Subject == records[from].Subject {
			to++
		}
		if ch := policy.Changes(p.Basis, records[from:to], x.week.Start, x.week.End); ch.Any() {
			changes[records[from].Subject] = ch
		}
		from = to
	}
	metrics := []string{eval.TrustWithdrawn}
	if p.Basis == policy.Consent {
		admitted, refused := policy.Decide(p, x.last, records, nil).Admitted()
		x.add(eval.TrustTally{Metric: eval.TrustConsent, Purpose: p.Name, N: admitted, Of: admitted + refused})
		metrics = []string{eval.TrustGiven, eval.TrustRenewed, eval.TrustWithdrawn, eval.TrustExpired, eval.TrustRefused}
	}
	for _, m := range metrics {
		x.byPerson(eval.TrustTally{Metric: m, Purpose: p.Name}, func(count func(uint64, int, int, float64)) {
			for s, ch := range changes {
				if happened := map[string]bool{
					eval.TrustGiven: ch.Given, eval.TrustRenewed: ch.Renewed, eval.TrustWithdrawn: ch.Withdrawn, eval.TrustExpired: ch.Expired, eval.TrustRefused: ch.Refused,
				}[m]; happened {
					count(uint64(s), 1, 0, 0)
				}
			}
		})
	}
}

// optOuts counts who wants no profile, and who has asked for that in the week. A job that asks nobody has neither.
func (c *weekCounter) optOuts(x *tallies) {
	if !c.plan.wishes.asked {
		return
	}
	records := slices.DeleteFunc(slices.Clone(c.plan.wishes.records), func(r policy.Wish) bool { return x.gone[r.Subject] })
	if x.active != nil {
		wanted := policy.Wanted(x.last, records)
		x.byPerson(eval.TrustTally{Metric: eval.TrustUnprofiled}, func(count func(uint64, int, int, float64)) {
			for s := range x.active {
				count(s, one(wanted[policy.Subject(s)].Unprofiled()), 1, 0)
			}
		})
	}
	before, asked := policy.Wanted(x.week.Start.Add(-time.Microsecond), records), map[policy.Subject]bool{}
	for _, r := range records {
		if r.At.Before(x.week.Start) || !r.At.Before(x.week.End) || before[r.Subject].Unprofiled() {
			continue
		}
		if alone := policy.Wanted(r.At, []policy.Wish{r}); alone[r.Subject].Unprofiled() {
			asked[r.Subject] = true
		}
	}
	x.byPerson(eval.TrustTally{Metric: eval.TrustOptOuts}, func(count func(uint64, int, int, float64)) {
		for s := range asked {
			count(uint64(s), 1, 0, 0)
		}
	})
}

// rows counts what ingest has told of the week's days: rows that could be used, and columns that are read.
func (c *weekCounter) rows(ctx context.Context, x *tallies) error {
	funnels, columns := map[string]policy.Funnel{}, map[string]bool{}
	for _, key := range c.plan.keysIn(x.week) {
		commit, _, err := c.tables.Lookup(ctx, key)
		if err != nil {
			return err
		}
		f, err := factsOf[event.IngestFacts](commit)
		if err != nil {
			return err
		}
		funnels[key] = f.Funnel
		for name := range f.Quality.Columns {
			columns[name] = true
		}
	}
	if c.job.Training.Basis == policy.Consent || c.job.Consent != nil {
		r := c.consentRates(c.plan, funnels, []table.Interval{x.week})[0]
		x.add(eval.TrustTally{Metric: eval.TrustPermitted, N: int(r.N), Of: int(r.Of), Gap: r.Of == 0})
	}
	read, err := c.job.Events.Reads(c.job.Training)
	if err != nil {
		return err
	}
	share := eval.TrustTally{Metric: eval.TrustColumns, Gap: len(columns) == 0}
	if !share.Gap {
		share.Value = min(1, float64(len(read))/float64(len(columns)))
	}
	x.add(share)
	return nil
}

// oneErasure is that of one person: from when it was asked for first until it was finished (zero: it is not).
type oneErasure struct{ asked, finished time.Time }

// erasuresOf are the erasures of single people by the entries of the journal, in their order. An entry is one request of some people; one that comes while an earlier one of a person is not
// finished is another attempt at it, since that was interrupted or waits for a legal hold.
func erasuresOf(entries []event.Entry) (out []*oneErasure) {
	last := map[event.Mark]*oneErasure{}
	for _, e := range entries {
		if e.Kind != event.KindErase {
			continue
		}
		for _, m := range e.Marks {
			one := last[m]
			if one == nil || !one.finished.IsZero() && one.finished.Before(e.At) {
				one = &oneErasure{asked: e.At}
				out, last[m] = append(out, one), one
			}
			if e.Finished != nil && (one.finished.IsZero() || e.Finished.Before(one.finished)) {
				one.finished = *e.Finished
			}
		}
	}
	return out
}

// erasures counts who asked to be forgotten, and how that went.
func (c *weekCounter) erasures(x *tallies) {
	asked, done, overdue := 0, 0, 0
	for _, e := range erasuresOf(c.plan.journal.Entries()) {
		if !e.asked.Before(x.week.Start) && e.asked.Before(x.week.End) {
			asked++
		}
		finished := !e.finished.IsZero() && e.finished.Before(x.week.End)
		if finished && !e.finished.Before(x.week.Start) {
			done++
		}
		if !finished && !e.asked.Add(rebuildWithin).After(x.last) {
			overdue++
		}
	}
	for _, t := range []eval.TrustTally{{Metric: eval.TrustErasures, N: asked}, {Metric: eval.TrustErased, N: done}, {Metric: eval.TrustOverdue, N: overdue}} {
		x.add(t)
	}
}
