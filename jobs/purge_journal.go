package jobs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/jobs/schedule"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

const (
	purgePrefix = "policy/purges/"
	// purgedMark is when a purge was last brought to its end, whether it found anything or not.
	purgedMark = "policy/purged.json"

	maxPurgeFault = 500 // bytes of an error that are kept
)

// Purge is an entry of the journal of purges: what was to go when it began, and what was not. It names no person, and it is never changed; when it has
// been carried out, a PurgeDone stands beside it.
type Purge struct {
	Format   int             `json:"format"` // 1
	Number   int             `json:"number"` // 1, 2, …
	At       time.Time       `json:"at"`
	Clock    time.Time       `json:"clock"` // from which cuts are counted; of a project of old data it is another time
	By       string          `json:"by"`
	Classes  []PurgeCut      `json:"classes"`
	Goes     []PurgeGoes     `json:"goes"`
	Excepted []PurgeExcepted `json:"excepted"`
	Longer   []PurgeLonger   `json:"kept_longer"`
	Rests    []PurgeRests    `json:"rests"`
	Ended    []int           `json:"holds_ended,omitempty"` // that ended since the purge before
	Revision string          `json:"revision"`              // of the program
	Nonce    string          `json:"nonce"`
}

// PurgeCut is how long a job keeps a class: as long as the purpose that keeps it longest.
type PurgeCut struct {
	Class   string     `json:"class"`
	Job     string     `json:"job"`
	Purpose string     `json:"purpose"`
	Keep    string     `json:"keep,omitempty"`   // "": for ever
	Before  *time.Time `json:"before,omitempty"` // what is older goes
}

// PurgeGoes is what goes of a store.
type PurgeGoes struct {
	Class  string    `json:"class"`
	Store  string    `json:"store"`
	Tables int       `json:"tables"` // of reports and models, how many
	Rows   int64     `json:"rows"`
	Files  int       `json:"files"` // deleted; what stays of their rows is written anew
	Bytes  int64     `json:"bytes"` // of these files
	From   time.Time `json:"from"`  // of the times that the tables are of
	To     time.Time `json:"to"`
}

// PurgeExcepted is what would go, and a legal hold keeps.
type PurgeExcepted struct {
	Hold   int       `json:"hold"`
	Class  string    `json:"class"`
	Store  string    `json:"store"`
	Tables int       `json:"tables"`
	Rows   int64     `json:"rows"`
	Reason string    `json:"reason"`
	Until  time.Time `json:"until"`
}

// PurgeLonger is what one of its readers would let go, and another keeps.
type PurgeLonger struct {
	Store   string `json:"store"`
	Tables  int    `json:"tables"`
	Job     string `json:"job"` // which keeps it longest
	Purpose string `json:"purpose"`
}

// What becomes of what rests on purged events.
const (
	staysKept = "kept"
	isDropped = "dropped"
	isRebuilt = "rebuilt"
)

// PurgeRests is something that rests on events that go, or is past its own retention and stays.
type PurgeRests struct {
	What    string     `json:"what"`
	Count   int        `json:"count"`
	Becomes string     `json:"becomes"` // kept, dropped or rebuilt
	Why     string     `json:"why"`
	By      *time.Time `json:"by,omitempty"` // of what is rebuilt
}

// PurgeDone says that a purge has been carried out.
type PurgeDone struct {
	Format  int       `json:"format"` // 1
	Number  int       `json:"number"`
	At      time.Time `json:"at"`
	By      string    `json:"by"`
	Resumed bool      `json:"resumed,omitempty"` // it had been interrupted
	Nonce   string    `json:"nonce"`
}

// PurgeEntry is a purge, and its end; nil: it has been interrupted, and the next one goes on with it.
type PurgeEntry struct {
	Purge
	Finished *PurgeDone `json:"finished,omitempty"`
}

// purgeRegister is the journal; the ends of purges stand beside.
var purgeRegister = numbered[Purge]{
	what: "the journal of purges", one: "purge", prefix: purgePrefix, decode: decodePurge, number: func(p *Purge) *int { return &p.Number },
}

func purgeDoneKey(number int) string {
	return path.Join(purgePrefix, fmt.Sprintf("%08d.done.json", number))
}

// Purges reads the journal of purges, by number. Cost: one listing, two GETs a purge.
func (r *Runner) Purges(ctx context.Context) ([]PurgeEntry, error) {
	var out []PurgeEntry
	done := map[int]*PurgeDone{}
	for info, err := range r.Bucket.List(ctx, purgePrefix, storage.ListOpt{}) {
		if err != nil {
			return nil, fmt.Errorf("read the journal of purges: %w", err)
		}
		if !strings.HasSuffix(info.Key, ".done.json") {
			p, _, err := purgeRegister.read(ctx, r.Bucket, info.Key)
			if err != nil {
				return nil, err
			}
			out = append(out, PurgeEntry{Purge: *p})
			continue
		}
		body, _, err := storage.ReadAll(ctx, r.Bucket, info.Key)
		if err != nil {
			return nil, fmt.Errorf("read the journal of purges: %w", err)
		}
		d, err := decodePurgeDone(body)
		if err == nil && purgeDoneKey(d.Number) != info.Key {
			err = fmt.Errorf("it holds purge %d: it was moved", d.Number)
		}
		if err != nil {
			return nil, fmt.Errorf("read the journal of purges: %s: %w", info.Key, err)
		}
		done[d.Number] = d
	}
	for i := range out {
		if out[i].Number != i+1 {
			return nil, fmt.Errorf("the journal of purges has no number %d: restore %s", i+1, purgeRegister.key(i+1))
		}
		out[i].Finished = done[out[i].Number]
	}
	return out, nil
}

// decodePurge reads an entry. Its errors repeat nothing of it.
func decodePurge(body []byte) (*Purge, error) {
	if err := knownFormat(body); err != nil {
		return nil, err
	}
	p := new(Purge)
	if err := strictJSON(body, p); err != nil || p.Number < 1 || p.Clock.IsZero() {
		return nil, errDamaged
	}
	return p, nil
}

func decodePurgeDone(body []byte) (*PurgeDone, error) {
	if err := knownFormat(body); err != nil {
		return nil, err
	}
	d := new(PurgeDone)
	if err := strictJSON(body, d); err != nil || d.Number < 1 {
		return nil, errDamaged
	}
	return d, nil
}

// entry is what the purge has found so far.
func (p *purging) entry() Purge {
	out := Purge{
		Format: 1, At: p.Wall().UTC(), Clock: p.clock.UTC(), Classes: p.cuts(), Goes: []PurgeGoes{}, Excepted: []PurgeExcepted{}, Longer: []PurgeLonger{}, Rests: p.rests, Revision: p.Revision,
	}
	for _, g := range p.goes {
		out.Goes = append(out.Goes, *g)
	}
	order := func(class string) int { return slices.Index(policy.Classes, class) }
	slices.SortFunc(out.Goes, func(a, b PurgeGoes) int {
		return cmp.Or(cmp.Compare(order(a.Class), order(b.Class)), strings.Compare(a.Store, b.Store))
	})
	for _, x := range p.excepted {
		out.Excepted = append(out.Excepted, *x)
	}
	slices.SortFunc(out.Excepted, func(a, b PurgeExcepted) int {
		return cmp.Or(cmp.Compare(a.Hold, b.Hold), strings.Compare(a.Store, b.Store))
	})
	for by, n := range p.longer {
		out.Longer = append(out.Longer, PurgeLonger{by.store, n, by.job, by.purpose})
	}
	slices.SortFunc(out.Longer, func(a, b PurgeLonger) int {
		return cmp.Or(strings.Compare(a.Store, b.Store), strings.Compare(a.Job, b.Job))
	})
	if out.Rests == nil {
		out.Rests = []PurgeRests{}
	}
	return out
}

// stepOfClass is a step of each class, by which its cut is told.
var stepOfClass = map[string]string{classEvents: "ingest", classFeatures: "build", classTraining: "subjects", classModels: "train", classReports: "evaluate"}

// cuts are those of each class and job.
func (p *purging) cuts() (out []PurgeCut) {
	for _, j := range p.jobs {
		out = append(out, j.Keeps(p.clock)...)
	}
	slices.SortStableFunc(out, func(a, b PurgeCut) int {
		return cmp.Compare(slices.Index(policy.Classes, a.Class), slices.Index(policy.Classes, b.Class))
	})
	return out
}

// Keeps says how long each class is kept for the job, as of a clock: as long as the purpose says that keeps it longest.
func (j *Job) Keeps(clock time.Time) (out []PurgeCut) {
	for _, class := range policy.Classes {
		c := j.cut(stepOfClass[class], clock)
		x := PurgeCut{Class: class, Job: j.Name, Purpose: c.purpose, Keep: keepOf(c.keep)}
		if c.keep > 0 {
			at := time.UnixMicro(c.before).UTC()
			x.Before = &at
		}
		out = append(out, x)
	}
	return out
}

// journalPurge writes down what is to go.
func (w *work) journalPurge(ctx context.Context, p Purge, by string) (Purge, error) {
	p.By, p.Nonce = by, w.NewID(w.now)
	if err := purgeRegister.add(ctx, w.Bucket, &p, func() error { return w.lease.Check(ctx) }); err != nil {
		return p, fmt.Errorf("journal a purge: %w", err)
	}
	return p, nil
}

// finishPurge writes down that a purge has been carried out.
func (w *work) finishPurge(ctx context.Context, number int, by string, resumed bool) error {
	at := w.Wall().UTC()
	body, err := json.Marshal(PurgeDone{Format: 1, Number: number, At: at, By: by, Resumed: resumed, Nonce: w.NewID(at)})
	if err != nil {
		return err
	}
	_, err = storage.Commit(ctx, w.Bucket, purgeDoneKey(number), body, storage.Cond{IfAbsent: true})
	if err != nil && !errors.Is(err, storage.ErrPrecondition) {
		return fmt.Errorf("purge %d is carried out, and that could not be written down: %w", number, err)
	}
	return nil
}

// purged is the object at purgedMark.
type purged struct {
	Format int       `json:"format"` // 1
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	// Failed is what the last one failed with since; nil: it did not.
	Failed *purgeFailed `json:"failed,omitempty"`
}

type purgeFailed struct {
	At   time.Time `json:"at"`
	Says string    `json:"says"`
}

// markPurged writes down that a purge has been brought to its end, or, with a fault, that it has not.
func (r *Runner) markPurged(ctx context.Context, by string, fault error) error {
	m := purged{Format: 1, At: r.Wall().UTC(), By: by}
	if fault != nil {
		before, err := r.lastPurged(ctx)
		if err != nil {
			return err
		}
		m.At, m.Failed = before.At, &purgeFailed{r.Wall().UTC(), fault.Error()[:min(len(fault.Error()), maxPurgeFault)]}
	}
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if _, err := r.Bucket.Put(ctx, purgedMark, storage.Bytes(body), storage.Cond{}); err != nil {
		return fmt.Errorf("purge: when it was done: %w", err)
	}
	return nil
}

// PurgedAt is when the last purge was brought to its end; the zero time if none was.
func (r *Runner) PurgedAt(ctx context.Context) (time.Time, error) {
	m, err := r.lastPurged(ctx)
	return m.At, err
}

func (r *Runner) lastPurged(ctx context.Context) (m purged, err error) {
	body, _, err := storage.ReadAll(ctx, r.Bucket, purgedMark)
	if errors.Is(err, storage.ErrNotFound) {
		return m, nil
	}
	if err != nil {
		return m, fmt.Errorf("when was the last purge? %w", err)
	}
	if err = knownFormat(body); err == nil && strictJSON(body, &m) != nil {
		err = errDamaged
	}
	if err != nil {
		return m, fmt.Errorf("when was the last purge? %s: %w", purgedMark, err)
	}
	return m, nil
}

// holdsEnded are the holds that have ended since the last purge.
func (r *Runner) holdsEnded(ctx context.Context) ([]Hold, error) {
	since, err := r.PurgedAt(ctx)
	if err != nil {
		return nil, err
	}
	all, err := r.Holds(ctx)
	if err != nil {
		return nil, err
	}
	out := []Hold{}
	now := r.Wall()
	for _, h := range all {
		if !h.InForce(now) && h.Ended().After(since) {
			out = append(out, h)
		}
	}
	return out, nil
}

// Retention is how retention stands.
type Retention struct {
	Purged *time.Time `json:"last_purge,omitempty"` // nil: never
	Next   *time.Time `json:"next_due,omitempty"`   // nil: only rapport purge removes anything
	Late   bool       `json:"late"`                 // it fell due long ago, and has not been done
	Due    *time.Time `json:"fell_due,omitempty"`   // where it is late, or has failed
	Failed string     `json:"failed,omitempty"`     // why the last one was not brought to its end
	Open   int        `json:"interrupted"`          // purges that the next one goes on with
	Holds  int        `json:"legal_holds"`          // in force
	Ends   *time.Time `json:"next_hold_ends,omitempty"`
	Waits  *time.Time `json:"waits_since,omitempty"` // when one fell due that is not done, and not late: a server that runs has it before it

	Erasures []UnfinishedErasure `json:"erasures_unfinished,omitempty"`
	Held     []WaitingErasure    `json:"erasures_held,omitempty"` // done but for what holds keep
}

// purgeGrace is how long after a purge fell due it is late.
const purgeGrace = 12 * time.Hour

// Retention says when the last purge was, when the next is, which holds are in force, and which erasures are not done. Cost: two listings, a GET a hold, and the
// policy journal.
func (r *Runner) Retention(ctx context.Context, js []*Job) (*Retention, error) {
	out := &Retention{}
	last, err := r.lastPurged(ctx)
	if err != nil {
		return nil, err
	}
	at := last.At
	if !at.IsZero() {
		out.Purged = &at
	}
	if last.Failed != nil {
		out.Failed, out.Due = last.Failed.Says, &last.Failed.At
	}
	now := r.Wall()
	for _, j := range js {
		if j.PurgeDue.IsZero() {
			continue
		}
		next := j.PurgeDue.Next(now)
		out.Next = &next
		due := j.PurgeDue.Prev(now.Add(-purgeGrace))
		if out.Late = !at.IsZero() && at.Before(due); out.Late && out.Due == nil {
			out.Due = &due
		}
		// One that was never done falls due only for a server that was there in time, which nobody can tell from here: within two turns of that it is said.
		if fell := j.PurgeDue.Prev(now); !out.Late && out.Failed == "" && !fell.IsZero() && at.Before(fell) && (!at.IsZero() || now.Sub(fell) < 2*schedule.OnTime) {
			out.Waits = &fell
		}
		break // of the project: each job has the same
	}
	done, begun := 0, 0
	for info, err := range r.Bucket.List(ctx, purgePrefix, storage.ListOpt{}) {
		if err != nil {
			return nil, fmt.Errorf("read the journal of purges: %w", err)
		}
		if strings.HasSuffix(info.Key, ".done.json") {
			done++
		} else {
			begun++
		}
	}
	out.Open = begun - done
	holds, err := r.inForce(ctx)
	if err != nil {
		return nil, err
	}
	out.Holds = len(holds)
	for _, h := range holds {
		if end := h.Ended(); out.Ends == nil || end.Before(*out.Ends) {
			out.Ends = &end
		}
	}
	if out.Erasures, err = r.UnfinishedErasures(ctx); err != nil {
		return nil, err
	}
	journal, err := event.OpenJournal(ctx, r.Bucket)
	if err != nil {
		return nil, err
	}
	waiting, err := r.waiting(ctx, journal)
	for _, e := range waiting {
		if len(e.Holds) > 0 {
			out.Held = append(out.Held, e)
		}
	}
	return out, err
}

// latePurge is what is overdue where retention is not carried out. It stands under the first of the jobs, for it is the project's.
func (r *Runner) latePurge(ctx context.Context, js []*Job) ([]Overdue, error) {
	at, err := r.Retention(ctx, js)
	if err != nil || at.Due == nil {
		return nil, err
	}
	x := Overdue{Job: js[0], Kind: OverduePurge, Subject: "retention", Due: *at.Due, Command: "rapport purge"}
	if x.Says = "what is past its retention has not been removed: a purge fell due, and none was brought to its end"; at.Failed != "" {
		x.Says = "what is past its retention has not been removed: the last purge failed: " + at.Failed
	}
	return []Overdue{x}, nil
}

// rest notes what becomes of something, once.
func (p *purging) rest(x PurgeRests) {
	for i := range p.rests {
		if same := p.rests[i]; same.What == x.What && same.Becomes == x.Becomes && same.Why == x.Why {
			p.rests[i].Count += x.Count
			return
		}
	}
	p.rests = append(p.rests, x)
}

// resting lists what rests on events that go: views, what builds keep, training sets, models and reports.
func (p *purging) resting(ctx context.Context) error {
	gone := map[string]bool{}
	for key, d := range p.days {
		if d.rows > 0 {
			gone[key] = true
		}
	}
	if len(gone) == 0 {
		return nil
	}
	on := func(refs []table.Ref) bool {
		return slices.ContainsFunc(refs, func(r table.Ref) bool { return gone[r.Key] })
	}
	if err := p.restingViews(ctx); err != nil {
		return err
	}
	sets := map[string]bool{}
	for c, err := range p.tables.List(ctx, "assemble/") {
		if err != nil {
			return err
		}
		f, err := factsOf[assembled](c)
		if err != nil {
			return err
		}
		if on(f.Days) {
			sets[c.Key] = true
			p.rest(PurgeRests{What: "training sets", Count: 1, Becomes: staysKept, Why: "they are references and hold no row: what they were is gone with the events, and models verify says so"})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.versions)) {
		for _, v := range p.versions[name] {
			if !on(v.Inputs) {
				continue
			}
			x := PurgeRests{What: "versions of model " + name, Count: 1, Becomes: staysKept, Why: "a model is not dropped because an input aged out: " + p.keeps("train", p.modelJobs(name))}
			if why := p.safe[name][v.Number]; why != "" {
				x.What, x.Why = fmt.Sprintf("version %d of model %s", v.Number, name), why
			}
			if p.dropped[name][v.Number] {
				x.Becomes, x.Why = isDropped, "past its own retention"
			}
			p.rest(x)
		}
	}
	for c, err := range p.tables.List(ctx, "evaluate/") {
		if err != nil {
			return err
		}
		f, err := factsOf[judged](c)
		if err != nil {
			return err
		}
		if !sets[f.Assembled] {
			continue
		}
		x := PurgeRests{What: "reports", Count: 1, Becomes: staysKept, Why: "figures over many people: " + p.keeps(c.Step, p.jobs)}
		if p.unlinked[f.Report] {
			x.Becomes, x.Why = isDropped, "past their own retention"
		}
		p.rest(x)
	}
	return nil
}

// restingViews lists the tables of views of builds that rest on events that go, and what these keep for later ones.
func (p *purging) restingViews(ctx context.Context) error {
	newest := map[*Job]time.Time{}
	type found struct {
		end     time.Time
		readers []*Job
	}
	var all []found
	for c, err := range p.tables.List(ctx, "build/") {
		if err != nil {
			return err
		}
		if c.Interval == nil {
			continue
		}
		readers := readersOf(p.jobs, c)
		for _, j := range readers {
			if c.Interval.End.After(newest[j]) {
				newest[j] = c.Interval.End
			}
		}
		facts, err := factsOf[buildFacts](c)
		if err != nil {
			return err
		}
		own := map[bool]int{} // by whether it is a state
		rests, inside := false, false
		for _, d := range facts.Rests.Days {
			if p.changed(d) {
				rests, inside = true, inside || p.days[d.Key].iv.Overlaps(*c.Interval)
			}
		}
		if !rests {
			continue
		}
		views := false
		for name, m := range c.Outputs {
			switch {
			case !keptForBuilds(name):
				views = views || m.Rows > 0
			case strings.HasPrefix(name, statePrefix) || inside:
				own[strings.HasPrefix(name, statePrefix)]++
			}
		}
		for state, what := range map[bool]string{true: "running states of views", false: "tiles of views"} {
			if own[state] > 0 {
				p.rest(PurgeRests{What: what, Count: own[state], Becomes: isDropped, Why: "nothing may carry purged events further: the next build reads what remains"})
			}
		}
		if longest, _ := p.cutOf(c.Step, readers); views && table.Micros(c.Interval.End) > longest.before {
			all = append(all, found{c.Interval.End, readers})
		}
	}
	for _, f := range all {
		x := PurgeRests{What: "views", Count: 1, Becomes: staysKept, Why: "as of their own time: " + p.keeps("build", f.readers)}
		for _, j := range f.readers {
			if newest[j].Equal(f.end) {
				x = PurgeRests{What: "views of the last interval of job " + j.Name, Count: 1, Becomes: isRebuilt, Why: "the next run makes them of what remains"}
				if next := j.Due.Next(p.clock); !next.IsZero() {
					x.By = &next
				}
			}
		}
		p.rest(x)
	}
	return nil
}

// keeps says how long what a step makes is kept.
func (p *purging) keeps(step string, readers []*Job) string {
	longest, _ := p.cutOf(step, readers)
	if longest.keep <= 0 {
		return "class " + classOf(step) + " is kept for ever"
	}
	return fmt.Sprintf("class %s is kept for %s (job %s, purpose %s)", classOf(step), keepOf(longest.keep), longest.job, longest.purpose)
}
