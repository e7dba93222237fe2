package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/expect"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/lists"
	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// plan is everything that a run knows before it works: policy as of now, and the key of every step.
type plan struct {
	ids     *event.Identities
	journal *event.Journal
	sup     *event.Suppressions
	consent *consent
	wishes  *wishes
	guards  *guards
	linked  linked

	trainingDecisions   *policy.Decisions
	evaluationDecisions *policy.Decisions // nil without an evaluation purpose
	mitigationDecisions *policy.Decisions // nil without a purpose of mitigation

	training table.Interval // what is learned from
	filter   string         // digest of the subject filter over it

	files                    *event.Files // nil in a runner without keys, which may not read raw data
	items, subjects, cohorts *snapshot
	days                     []plannedDay
	trust                    []trustWeek
	committed                []day // the days that have been ingested, ascending
	found                    readQuality
	notReady                 []string // what a run would wait for; in a run that is only planned

	build, drift, assemble, train, evaluate step
	before                                  *registry.Version // live at the interval's start: it has seen nothing of the interval
	live                                    *registry.Version // that the candidate is judged beside: before, or the version of the interval that it replaces
	descent                                 *descent          // of the model that is trained; nil: it is asked to go on from none
	past                                    past              // of the job's evaluations, as budgets look back on them

	compared   compared       // what the drift check compares the interval with
	driftReads table.Interval // the time that it reads
	acks       []Ack          // that hold for the interval

	drifted drifted   // facts, as the steps get done
	set     assembled //
	trained trained
	judged  judged
}

// plannedDay is one ingest step.
type plannedDay struct {
	step
	unit   table.Interval
	before []string // keys of the same day that were ingested, of other files
	stale  bool     // its files have changed, and it is too old for that to be read
}

// reopened reports whether the run reads a day again that was ingested.
func (d *plannedDay) reopened() bool { return !d.done && len(d.before) > 0 }

// snapshot is a data set beside the events, fixed by content.
type snapshot struct {
	step
	set    string // items, subjects or cohorts
	plan   event.AttributesPlan
	newest time.Time // when the newest file was written; zero if nobody has looked
}

// keyOrNone is the snapshot's key, or "" for a job without such a data set.
func (s *snapshot) keyOrNone() string {
	if s == nil {
		return ""
	}
	return s.key
}

// unit is the calendar unit of ingest: a day, or the job's interval if that is shorter.
func (j *Job) unit() table.Every {
	if iv := j.Every.Containing(time.Unix(0, 0)); iv.End.Sub(iv.Start) < 23*time.Hour {
		return j.Every
	}
	day, err := table.EveryOf("1d", j.Every.Location())
	if err != nil {
		panic(err) // a constant
	}
	return day
}

// makePlan reads policy and the listings of the sources and computes the key of every step. It reads no event and writes nothing but,
// where the files of the consent source are new, their pseudonymized snapshot.
func (w *work) makePlan(ctx context.Context) (*plan, error) {
	p := &plan{}
	if err := w.policy(ctx, p); err != nil {
		return nil, err
	}
	return p, w.planSteps(ctx, p)
}

// planSteps is the rest of makePlan, once policy has been read.
func (w *work) planSteps(ctx context.Context, p *plan) error {
	p.training = table.Interval{Start: w.iv.End.Add(-w.job.Window), End: w.iv.End}
	if err := w.planSnapshots(ctx, p); err != nil {
		return err
	}
	if err := w.planDays(ctx, p); err != nil {
		return err
	}
	w.lostFiles(p.files)
	if err := w.planTrust(ctx, p); err != nil {
		return err
	}
	return w.planLearning(ctx, p)
}

// policy opens the journal, the identity table and the consent records, and decides for each purpose as of now.
func (w *work) policy(ctx context.Context, p *plan) (err error) {
	if p.journal, err = event.OpenJournal(ctx, w.Bucket); err != nil {
		return err
	}
	w.journal, w.epoch = p.journal, p.journal.Epoch()
	if p.ids, err = w.identities(ctx); err != nil {
		return err
	}
	if !w.Keys.IsZero() {
		if p.sup, err = p.journal.Suppressions(p.ids); err != nil {
			return err
		}
		if !w.dry {
			if err := w.noteEmpty(ctx, p.ids); err != nil {
				return err
			}
		}
	}
	if err := w.relink(ctx, p); err != nil {
		return err
	}
	if p.consent, err = w.readConsent(ctx, p); err != nil {
		return err
	}
	w.res.Flags = append(w.res.Flags, p.consent.facts.flags()...)
	if p.wishes, err = w.readWishes(ctx, p); err != nil {
		return err
	}
	p.wishes.records = p.peopleOf(p.wishes.records)
	if n := p.wishes.facts.Withheld; n > 0 {
		w.res.Flags = append(w.res.Flags, fmt.Sprintf("preferences: %s rows are left out, for their value holds the person's own id, which may stand in no object: name the item or level otherwise", smallCount(int(n))))
	}
	if p.guards, err = w.readGuards(ctx, p); err != nil {
		return err
	}
	return w.decide(ctx, p, w.now)
}

// records are those of consent, and the withdrawals of the journal beside them: a slice of its own.
func (w *work) records(ctx context.Context, p *plan) ([]policy.Record, error) {
	return w.recordsOf(ctx, p, func(policy.Subject) bool { return true })
}

// recordsOf is records of some subjects: no others are held.
func (w *work) recordsOf(ctx context.Context, p *plan, of func(policy.Subject) bool) ([]policy.Record, error) {
	records, err := p.consent.choose(ctx, w.Bucket, func(r policy.Record) bool { return of(r.Subject) })
	for _, r := range p.journal.Withdrawals() {
		if of(r.Subject) {
			records = append(records, r)
		}
	}
	return records, err
}

// decide makes the decisions of all purposes as of now, from the records of p, the journal's withdrawals and its pending erasures.
func (w *work) decide(ctx context.Context, p *plan, now time.Time) error {
	p.wish(now)
	var sensitive *policy.Decisions
	purposes, to := []policy.Purpose{w.job.Training}, []**policy.Decisions{&p.trainingDecisions}
	for _, more := range []struct {
		purpose *policy.Purpose
		to      **policy.Decisions
	}{{w.job.Evaluation, &p.evaluationDecisions}, {w.job.Mitigation, &p.mitigationDecisions}, {w.job.Guards.Purpose, &sensitive}} {
		if more.purpose != nil {
			purposes, to = append(purposes, *more.purpose), append(to, more.to)
		}
	}
	decisions, err := p.consent.decide(ctx, w.Bucket, p.people(p.journal.Withdrawals()), nil, now, p.gone(), purposes...)
	if err != nil {
		return err
	}
	for i, d := range decisions {
		*to[i] = d
	}
	p.guard(sensitive)
	return nil
}

// planSnapshots keys the data sets beside the events by the fingerprint of their files. Attributes of subjects are kept only of those
// who may be used now and might before the interval's end, so their keys hold the decisions too: those alone, and not the time at which they
// were made, or no run could be repeated to the same keys.
func (w *work) planSnapshots(ctx context.Context, p *plan) error {
	add := func(set string, src *AttributeSource, purpose policy.Purpose, d *policy.Decisions) (*snapshot, error) {
		if src == nil || d == nil || len(purpose.Reads[set]) == 0 {
			return nil, nil
		}
		s := &snapshot{set: set, plan: event.AttributesPlan{
			Data: src.Data, Set: set, Key: src.Key, Columns: slices.Sorted(slices.Values(purpose.Reads[set])), Numeric: src.Numeric, Purpose: purpose, Coarse: src.Coarse,
			Identities: p.ids, Suppressions: p.sup,
		}}
		s.plan.Data.Expect = src.Data.Expect.Reading(s.plan.Columns)
		spec := struct {
			Set, Key         string
			Columns, Numeric []string
			Map              map[string]string
			Purpose          string
			Keeps            *expect.Keeps     `json:",omitempty"`
			Coarse           map[string]string `json:",omitempty"`
		}{set, src.Key, s.plan.Columns, src.Numeric, src.Data.Columns, purpose.Name, s.plan.Data.Expect.Keeps(), src.Coarse.Of(s.plan.Columns)}
		s.step = step{name: set, label: set, iv: w.iv}
		if w.Keys.IsZero() { // without raw data the last snapshot is what there is
			return s, w.lastSnapshot(ctx, s, specPrefix(set, "snapshot", table.Interval{}, logicSnapshot, spec))
		}
		var objs []storage.Info
		for info, err := range storage.Glob(ctx, src.Data.Bucket, src.Data.Path) {
			if err != nil {
				return nil, fmt.Errorf("%s: list %s: %w", set, src.Data.Path, err)
			}
			objs, s.bytes = append(objs, info), s.bytes+info.Size
		}
		if len(objs) == 0 {
			return nil, fmt.Errorf("%s: no file matches %s; check sources.%s.path", set, src.Data.Path, set)
		}
		s.files, s.newest = len(objs), newestOf(objs)
		inputs := []string{event.Fingerprint(objs)}
		if src.Key == event.ColSubject {
			s.plan.Decisions, s.plan.End = d, w.iv.End
			inputs = append(append(inputs, d.Digest(table.Interval{End: w.iv.End})), p.linked.source()...)
		}
		s.key = stepKey(set, "snapshot", table.Interval{}, logicSnapshot, spec, inputs...)
		if src.Key != event.ColSubject {
			if err := w.knownAt(ctx, s, specPrefix(set, "snapshot", table.Interval{}, logicSnapshot, spec)); err != nil {
				return nil, err
			}
		}
		var err error
		s.done, err = w.tables.Done(ctx, s.key)
		return s, err
	}
	var err error
	if p.items, err = add("items", w.job.Items, w.job.Training, p.trainingDecisions); err != nil {
		return err
	}
	if p.subjects, err = add("subjects", w.job.Subjects, w.job.Training, p.trainingDecisions); err != nil {
		return err
	}
	if w.job.Evaluation != nil {
		p.cohorts, err = add("cohorts", w.job.Cohorts, *w.job.Evaluation, p.evaluationDecisions)
	}
	return err
}

// knownAt fixes which snapshot of items an interval sees: for the last closed interval the files as they are, for an older one the
// latest snapshot that was taken before the next interval closed, else the earliest there is ("attributes as of …").
func (w *work) knownAt(ctx context.Context, s *snapshot, prefix string) error {
	limit := w.job.Every.Next(w.iv).End
	if w.now.Before(limit) {
		return nil
	}
	var best *table.Commit
	for c, err := range w.tables.List(ctx, prefix) {
		if err != nil {
			return fmt.Errorf("snapshots of %s: %w", s.set, err)
		}
		inTime := c.At.Before(limit)
		switch {
		case best == nil,
			inTime && (!best.At.Before(limit) || c.At.After(best.At)),
			!inTime && c.At.Before(best.At):
			best = c
		}
	}
	if best != nil {
		s.key, s.why = best.Key, "attributes as of "+best.At.UTC().Format(time.RFC3339)
	}
	return nil
}

// lastSnapshot takes the latest snapshot of a set.
func (w *work) lastSnapshot(ctx context.Context, s *snapshot, prefix string) error {
	var best *table.Commit
	for c, err := range w.tables.List(ctx, prefix) {
		if err != nil {
			return fmt.Errorf("snapshots of %s: %w", s.set, err)
		}
		if best == nil || c.At.After(best.At) {
			best = c
		}
	}
	if best == nil {
		return fmt.Errorf("%s: no snapshot has been taken, and without the pseudonym key none can be: run --step ingest with it first", s.set)
	}
	s.key, s.done = best.Key, true
	return nil
}

// planDays keys the ingest of each unit that the run reads. A unit without files is no step, but if it was ingested before and its files have
// gone since (a lifecycle rule), what was ingested stands. So it does for a unit older than the job's lookback whose files have changed. A unit of
// the interval itself that the source has not delivered whole ends a run with ErrNotReady.
func (w *work) planDays(ctx context.Context, p *plan) error {
	j := w.job
	known := map[string]bool{}
	for info, err := range w.Bucket.List(ctx, "done/ingest/", storage.ListOpt{}) {
		if err != nil {
			return fmt.Errorf("list what is ingested: %w", err)
		}
		known[strings.TrimPrefix(info.Key, "done/")] = true
	}
	byPrefix := map[string][]string{}
	for k := range known {
		if i := strings.LastIndexByte(k, '-'); i >= 0 {
			byPrefix[k[:i+1]] = append(byPrefix[k[:i+1]], k)
		}
	}
	if !w.Keys.IsZero() {
		var err error
		if p.files, err = j.Events.Listing(ctx); err != nil {
			return err
		}
		if p.files.Len() == 0 && len(known) == 0 {
			return fmt.Errorf("events: no file matches %s; check sources.events.path", j.Events.Path)
		}
	}
	history := j.history(w.iv)
	unit := j.unit()
	for _, u := range append(j.occurrenceUnits(w.iv, history), units(unit, history)...) {
		label := unit.Label(u)
		d := plannedDay{step: step{name: "ingest", label: label, iv: u}, unit: u}
		prefix := specPrefix("ingest", label, u, logicIngest, j.ingestSpec(j.clocks()))
		var fingerprint string
		if p.files != nil {
			objs, f := p.files.Day(u)
			fingerprint, d.files = f, len(objs)
			for _, o := range objs {
				d.bytes += o.Size
			}
		}
		if d.files > 0 {
			d.key = stepKey("ingest", label, u, logicIngest, j.ingestSpec(j.clocks()), append([]string{fingerprint}, p.linked.input(label)...)...)
			d.done = known[d.key]
		}
		if !d.done {
			lacks, err := w.undelivered(ctx, p, u)
			switch {
			case err != nil:
				return err
			case lacks != "" && !w.dry:
				return fmt.Errorf("%w: events of %s: %s", ErrNotReady, label, lacks)
			case lacks != "":
				p.notReady = append(p.notReady, label+": "+lacks)
			}
		}
		if d.files == 0 && len(byPrefix[prefix]) == 0 { // nothing can read them again
			for _, earlier := range j.earlierIngests(label, u) {
				if len(byPrefix[earlier]) > 0 {
					prefix = earlier
					break
				}
			}
		}
		changed := "files changed"
		if d.files > 0 && !d.done && len(byPrefix[prefix]) == 0 {
			for _, earlier := range j.earlierPrograms(label, u) {
				if len(byPrefix[earlier]) > 0 {
					prefix, changed = earlier, "files were read by an earlier program,"
					break
				}
			}
		}
		switch {
		case d.done:
		case d.files > 0 && len(byPrefix[prefix]) > 0 && j.Lookback > 0 && w.iv.End.Sub(u.End) > j.Lookback && p.linked.days[label] == 0:
			key, err := w.latest(ctx, byPrefix[prefix])
			if err != nil {
				return err
			}
			d.key, d.done, d.stale = key, true, changed == "files changed"
			d.why = fmt.Sprintf("%s beyond lookback %s; backfill --reprocess completed reads them again", changed, features.FormatWindow(j.Lookback))
		case d.files > 0:
			if d.before = byPrefix[prefix]; len(d.before) > 0 {
				if d.why = "its files have changed"; changed != "files changed" {
					d.why = "an earlier program ingested it, and read it otherwise"
				} else if p.linked.days[label] > 0 {
					d.why = "ids in it are linked otherwise than when it was read, or its files have changed"
				}
			}
		case len(byPrefix[prefix]) > 0:
			key, err := w.latest(ctx, byPrefix[prefix])
			if err != nil {
				return err
			}
			d.key, d.done = key, true
			if p.files != nil {
				d.why = "its files are gone; what was ingested stands"
			}
		default:
			continue
		}
		p.days = append(p.days, d)
	}
	if p.files == nil && !slices.ContainsFunc(p.days, func(d plannedDay) bool { return d.unit.Overlaps(w.iv) }) {
		return fmt.Errorf("%w: nothing of %s has been ingested, and without the pseudonym key nothing can be: run --step ingest with it first", ErrNotReady, w.label)
	}
	return nil
}

// undelivered says what the source has not delivered of a unit, "" if it is complete or none of the interval: days before it were complete when
// they were read, and what has come since is read by lookback.
func (w *work) undelivered(ctx context.Context, p *plan, u table.Interval) (string, error) {
	if p.files == nil || !u.Overlaps(w.iv) {
		return "", nil
	}
	r, err := p.files.Ready(ctx, u, w.now)
	if err != nil || r.Ready {
		return "", err
	}
	return fmt.Sprintf("%s; it is taken as complete at %s (sources.events.settle), or when a _SUCCESS stands beside its files", r.Lacks, r.Settles.UTC().Format(time.RFC3339)), nil
}

// units are the calendar units that cover iv, ascending.
func units(u table.Every, iv table.Interval) []table.Interval {
	first := u.Containing(iv.Start)
	last := u.Containing(iv.End.Add(-time.Microsecond))
	return u.Between(first.Start, last.End)
}

// latest returns the key that was committed last.
func (w *work) latest(ctx context.Context, keys []string) (string, error) {
	if len(keys) == 1 {
		return keys[0], nil
	}
	best, at := "", time.Time{}
	for _, k := range slices.Sorted(slices.Values(keys)) {
		c, _, err := w.tables.Lookup(ctx, k)
		if err != nil {
			return "", err
		}
		if best == "" || c.At.After(at) {
			best, at = k, c.At
		}
	}
	return best, nil
}

// ingestSpec is the part of a job that an ingested day depends on: what is read, and how. Whose rows are kept is decided when a day is
// written and is not in its key.
func (j *Job) ingestSpec(clocks int) any {
	e := j.Events
	var columns []string
	for _, f := range e.Schema(j.Training) {
		columns = append(columns, fmt.Sprintf("%s %s %s", f.Name, f.Type, e.Columns[f.Name]))
	}
	zone := ""
	if e.Zone != nil {
		zone = e.Zone.String()
	}
	reads := slices.Sorted(slices.Values(j.Training.Reads["events"]))
	return struct {
		Subject, Item, Time, Kind, Value, DefaultKind, Zone, Purpose string
		Unit                                                         time.Duration
		Columns, Reads                                               []string

		// Left out of the hash where a project does not use them.
		Explode    string            `json:",omitempty"`
		Kinds      map[string]string `json:",omitempty"`
		TimeFormat string            `json:",omitempty"`
		Clocks     int               `json:",omitempty"`
		Created    string            `json:",omitempty"`
		Keeps      *expect.Keeps     `json:",omitempty"`
		Coarse     map[string]string `json:",omitempty"`
	}{e.Subject, e.Item, e.Time, e.Kind, e.Value, e.DefaultKind, zone, j.Training.Name, e.TimeUnit, columns, reads, e.Explode, e.Kinds, e.TimeFormat, clocks, e.Created, e.Expect.Keeps(), e.Rules(j.Training)}
}

// earlierIngests are the prefixes of keys under which a unit was ingested before the job had rules for its rows, or by a program that did not
// quarantine any, or that read local times otherwise: the nearest to what it would be now comes first.
func (j *Job) earlierIngests(label string, u table.Interval) (out []string) {
	bare := *j
	bare.Events.Expect = expect.Set{}
	for _, logic := range []int{logicIngest, 1} {
		for _, clocks := range []int{j.clocks(), 0} {
			out = append(out, specPrefix("ingest", label, u, logic, bare.ingestSpec(clocks)))
		}
	}
	return out
}

// earlierPrograms are the prefixes of keys under which an earlier program ingested a unit of the same declaration, rules included, the nearest first.
func (j *Job) earlierPrograms(label string, u table.Interval) (out []string) {
	now := specPrefix("ingest", label, u, logicIngest, j.ingestSpec(j.clocks()))
	for logic := logicIngest; logic >= 1; logic-- {
		for _, clocks := range []int{j.clocks(), 0} {
			if p := specPrefix("ingest", label, u, logic, j.ingestSpec(clocks)); p != now {
				out = append(out, p)
			}
		}
	}
	return out
}

// clocks says how local times are read around changes of clocks. 0, of sources without a zone, was all sources' in the first release: time.Date's way.
func (j *Job) clocks() int {
	if j.Events.Zone == nil {
		return 0
	}
	return 2
}

// planLearning keys the interval-level steps.
func (w *work) planLearning(ctx context.Context, p *plan) error {
	j := w.job
	keep := j.Training.Keep["events"]

	views := w.viewsWindow()
	p.compared, p.driftReads = w.driftWindow(p)
	p.trainingDecisions.Prepare(p.training, views, p.driftReads)
	p.filter = p.trainingDecisions.Digest(p.training)
	p.build = step{name: "build", label: w.label, iv: w.iv, key: stepKey("build", w.label, w.iv, logicBuild, j.buildSpec(), slices.Concat(p.keysIn(views), []string{p.trainingDecisions.Digest(views)}, p.forgotten(j.Training.Basis))...)}

	p.assemble = step{name: "assemble", label: w.label, iv: w.iv, key: stepKey("assemble", w.label, w.iv, logicAssemble, struct {
		Window, Last, Weigh, Keep time.Duration
		Weights                   map[string]float64
		Seen                      string
		Rerank                    time.Duration `json:",omitempty"`
		Contexts                  []string      `json:",omitempty"`
		Title                     string        `json:",omitempty"`
		Impressions               []string      `json:",omitempty"`
		Calendar                  []dayWeight   `json:",omitempty"`
		Reweight                  *Reweight     `json:",omitempty"`
	}{j.Window, j.Last, j.Weigh, keep, j.Model.Weights, j.Model.Lists.Seen, j.Rerank, j.contexts(), j.Model.Lists.Title, j.Model.Impressions, j.dayWeights(p.training), j.Reweight}, slices.Concat(p.keysIn(p.training), []string{p.filter, p.items.keyOrNone(), p.subjects.keyOrNone()}, p.reweighing(j), p.forgotten(j.Training.Basis))...)}

	if err := w.planDrift(ctx, p); err != nil {
		return err
	}
	live, err := w.reg.Live(ctx)
	if err != nil {
		return err
	}
	if n, ok := registry.LiveFor(live, j.Alias, w.iv); ok {
		v, err := w.reg.Get(ctx, n)
		if err != nil {
			return err
		}
		p.before = &v
	}
	if p.live, err = w.replaced(ctx, p, live); err != nil {
		return err
	}
	if err := w.planTrain(ctx, p, struct {
		Model  string
		Spec   any
		Seed   uint64
		Kernel string
		// Of what is learned from, where that is not all before the test cut.
		Protocol eval.Protocol `json:",omitempty"`
	}{j.Model.Name, j.Model.Spec, j.Model.Seed, models.KernelClass(), j.Judging.Protocol}); err != nil {
		return err
	}
	if err := w.planEvaluate(ctx, p); err != nil {
		return err
	}
	steps := []*step{&p.build, &p.assemble, &p.train, &p.evaluate}
	g, gctx := errgroup.WithContext(ctx)
	for _, s := range steps {
		g.Go(func() (err error) { s.done, err = w.tables.Done(gctx, s.key); return err })
	}
	return g.Wait()
}

// replaced is the version that the candidate is judged beside. If the interval has been trained on before, from other data (somebody was erased, or files have
// changed) or by another spec, and that version was live, it is the one that the candidate replaces: the test window is the same, and neither has learned
// from it. Else it is the one that was live at the interval's start. Versions are told apart by what they were made from, so that a run that is repeated
// finds the same one, whatever it has published itself; one of which that is not known any more does not count. Cost: two GETs for each version of
// the interval that was live.
func (w *work) replaced(ctx context.Context, p *plan, live registry.Live) (*registry.Version, error) {
	spec, err := json.Marshal(w.job.Model.Spec)
	if err != nil {
		return nil, fmt.Errorf("what is live: %w", err)
	}
	for _, n := range registry.Replaced(live, w.job.Alias, w.iv) {
		v, err := w.reg.Get(ctx, n)
		if err != nil {
			return nil, err
		}
		if inUTC(v.Interval) != inUTC(w.iv) {
			continue
		}
		made, _, err := w.judgedOf(ctx, v)
		if err != nil {
			return nil, err
		}
		if made != nil && (made.Assembled != p.assemble.key || v.Seed != w.job.Model.Seed || v.KernelClass != models.KernelClass() || !sameJSON(spec, v.Spec)) {
			return &v, nil
		}
	}
	return p.before, nil
}

// planEvaluate keys the evaluate step, by what is trained, the version that is judged beside it and, where budgets look back, by what was found out before. Beside a version that a purge has
// removed nothing can be judged any more; what has been stands.
func (w *work) planEvaluate(ctx context.Context, p *plan) (err error) {
	if p.past, err = w.lookBack(ctx); err != nil {
		return err
	}
	p.evaluate = step{name: "evaluate", label: w.label, iv: w.iv, key: w.evaluateKey(p)}
	if p.live == nil {
		return nil
	}
	done, err := w.tables.Done(ctx, p.evaluate.key)
	if err != nil || done {
		return err
	}
	purged, err := w.modelPurged(ctx, *p.live)
	if err != nil || !purged {
		return err
	}
	w.res.Flags = append(w.res.Flags, fmt.Sprintf("a purge has removed version %d, which was live before this interval: the candidate is judged beside no live version", p.live.Number))
	p.live = nil
	p.evaluate.key = w.evaluateKey(p)
	return nil
}

func (w *work) evaluateKey(p *plan) string {
	j, liveDigest := w.job, ""
	if p.live != nil {
		liveDigest = p.live.Digest
	}
	return stepKey("evaluate", w.label, w.iv, logicEvaluate, struct {
		K         []int
		Cohorts   []string
		MinN      int
		Budgets   any
		Drift     Drift
		Baselines []string
		Rules     *lists.Rules `json:",omitempty"`
		Page      int          `json:",omitempty"`
		Less, New float64      `json:",omitempty"`
		Judging   Judging      `json:",omitzero"`
	}{j.K, j.Cohort, j.MinN, j.Budgets, j.Drift, j.baselineNames(), j.Model.Lists.Rules, j.page(), j.Model.Lists.Less, j.Model.Lists.PreferNew, j.Judging}, slices.Concat([]string{p.train.key, p.cohorts.keyOrNone(), liveDigest}, p.wishInput(), p.audienceInput(), p.past.inputs(), p.driftInputs())...)
}

// page is how many places a list has that rules fill; 0: there are no rules.
func (j *Job) page() int {
	if j.Model.Lists.Rules == nil {
		return 0
	}
	return j.Model.Lists.K
}

// buildSpec is the part of a job that a build reads.
func (j *Job) buildSpec() any {
	return struct {
		Views []features.View
		Keep  time.Duration
	}{j.Views, j.Training.Keep["events"]}
}

func (j *Job) baselineNames() []string {
	var names []string
	for _, b := range j.Baselines {
		names = append(names, b.Name)
	}
	return names
}

// dayRefs are references to the ingested days of an interval.
func (p *plan) dayRefs(iv table.Interval) []table.Ref {
	refs := []table.Ref{}
	for _, d := range p.committed {
		if d.iv.Overlaps(iv) {
			refs = append(refs, table.Ref{Key: d.key, Name: "events", Digest: d.manifest.Digest})
		}
	}
	return refs
}

// errNoKeys says that a step needs raw data and the runner has no key.
var errNoKeys = errors.New("this step reads raw data, which needs the pseudonym key")
