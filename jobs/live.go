package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/table"
)

// Status is what is live, and how the jobs stand.
type Status struct {
	Clock  time.Time   `json:"clock"`
	Pinned bool        `json:"clock_pinned"`
	Jobs   []JobStatus `json:"jobs"`
	Stale  bool        `json:"stale"`
	// Fallback is the switch of the online store: while there is one, every subject reads the list that is not based on profiling.
	Fallback *online.Fallback `json:"fallback,omitempty"`
	// Retention is how that stands: the last purge, the next, legal holds.
	Retention *Retention `json:"retention"`
}

// JobStatus is how one job stands.
type JobStatus struct {
	Job         string         `json:"job"`
	Alias       string         `json:"alias"`
	Model       string         `json:"model"`
	Version     int            `json:"version"` // 0: nothing is live
	Verdict     string         `json:"verdict,omitempty"`
	Decision    string         `json:"decision,omitempty"` // the gate's own word: pass, fail or undecided, which is not a pass
	Reviewed    string         `json:"reviewed,omitempty"` // the verdict and the last review since: "rejected, then approved by NAME (ROLE)"
	Interval    table.Interval `json:"interval,omitzero"`  // of the live version
	Age         float64        `json:"age_seconds"`        // since the end of its interval
	Generation  uint64         `json:"generation"`
	Online      string         `json:"online"` // "in step with the alias", or what is wrong
	InStep      bool           `json:"online_in_step"`
	Lag         float64        `json:"lag_seconds"` // from the end of the live version's interval to that of the last closed one
	PinnedTo    string         `json:"pinned,omitempty"`
	Candidate   int            `json:"candidate,omitempty"`    // version that a pin keeps waiting
	Consent     string         `json:"consent,omitempty"`      // when the consent records were read last
	ConsentHeld string         `json:"consent_held,omitempty"` // their feed is held, and why
	Owed        *Owed          `json:"retrain_owed,omitempty"` // an erasure wants the live version replaced
	Last        *ledger.Line   `json:"last_run,omitempty"`
	Succeeded   time.Time      `json:"last_success,omitzero"` // when the last run that succeeded had ended
	Due         time.Time      `json:"fell_due,omitzero"`     // when the last interval did that should be done by now
	Next        time.Time      `json:"next_due,omitzero"`
	Late        bool           `json:"late"`             // what fell due then has not been brought to an end
	Paused      string         `json:"paused,omitempty"` // by whom, since when, and why
	Stale       bool           `json:"stale"`
	Why         string         `json:"why,omitempty"` // it is stale
}

// staleAfter is how many intervals a live version may lag behind the last closed one.
const staleAfter = 2

// Status reads what is live. It changes nothing.
func (r *Runner) Status(ctx context.Context, js []*Job) (*Status, error) {
	out := &Status{Clock: r.Now(), Pinned: r.Pinned, Jobs: []JobStatus{}}
	lines, err := r.lately(ctx, js)
	if err != nil {
		return nil, err
	}
	if out.Fallback, err = r.Online.Fallback(ctx); err != nil {
		return nil, err
	}
	if out.Retention, err = r.Retention(ctx, js); err != nil {
		return nil, err
	}
	for _, j := range js {
		s, err := r.jobStatus(ctx, j, lines)
		if err != nil {
			return nil, fmt.Errorf("job %s: %w", j.Name, err)
		}
		out.Stale = out.Stale || s.Stale
		out.Jobs = append(out.Jobs, s)
	}
	return out, nil
}

// lately returns the lines of the ledger's last months, newest first, if each job has a run in them that succeeded, and else of all: metrics ask for them
// every few seconds, and what years have gathered must not make that slower.
func (r *Runner) lately(ctx context.Context, js []*Job) ([]ledger.Line, error) {
	const month = 31 * 24 * time.Hour
	runs, end := ledger.Ledger{Bucket: r.Bucket}, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	lines, err := runs.List(ctx, r.Now().Add(-month), end)
	if err != nil {
		return nil, err
	}
	for _, j := range js {
		if !slices.ContainsFunc(lines, func(l ledger.Line) bool { return l.Job == j.Name && l.Status == ledger.Succeeded }) {
			return runs.List(ctx, time.Time{}, end)
		}
	}
	return lines, nil
}

func (r *Runner) jobStatus(ctx context.Context, j *Job, lines []ledger.Line) (JobStatus, error) {
	now := r.Now()
	s := JobStatus{Job: j.Name, Alias: j.Alias, Model: j.Model.Name, Next: j.Due.Next(now)}
	for i := range lines {
		if lines[i].Job != j.Name {
			continue
		}
		if s.Last == nil {
			s.Last = &lines[i]
			if err := r.SayGone(ctx, s.Last); err != nil {
				return s, err
			}
		}
		if lines[i].Status == ledger.Succeeded {
			s.Succeeded = lines[i].Ended
			break
		}
	}
	if p, err := r.Paused(ctx, j.Name); err != nil {
		return s, err
	} else if p != nil {
		s.Paused = p.String()
	}
	if s.Due = overdue(j, now); !r.Pinned && s.Paused == "" {
		s.Late = late(j, s.Due, lines)
	}
	w := r.newWork(j, j.Every.At(now), now)
	at, held, err := w.consentReadAt(ctx)
	if err != nil {
		return s, err
	}
	if s.ConsentHeld = held; !at.IsZero() {
		s.Consent = at.UTC().Format(time.RFC3339)
	}
	reg, err := registry.Open(r.Bucket, j.Model.Name)
	if err != nil {
		return s, err
	}
	live, err := reg.Live(ctx)
	if err != nil {
		return s, err
	}
	if s.Late {
		s.Stale, s.Why = true, fmt.Sprintf("%s fell due at %s, and no run has brought it to an end", j.Every.Label(j.Every.At(s.Due)), s.Due.Format(time.RFC3339))
	}
	t, ok := live.Aliases[j.Alias]
	if !ok {
		s.Stale, s.Why = true, "nothing has been published yet"
		s.Online = "empty"
		return s, nil
	}
	v, err := reg.Get(ctx, t.Version)
	if err != nil {
		return s, err
	}
	s.Version, s.Generation, s.Interval, s.Verdict, s.Decision = t.Version, t.Generation, v.Interval, string(v.Verdict), v.Decision
	if n := len(v.Approvals); n > 0 {
		s.Reviewed = fmt.Sprintf("%s, then %s", v.Verdict, v.Approvals[n-1].Review())
	}
	s.Age, s.Lag = now.Sub(v.Interval.End).Seconds(), j.Every.At(now).End.Sub(v.Interval.End).Seconds()
	s.Candidate = live.Candidates[j.Alias].Version
	if s.Owed, err = r.owes(ctx, j.Model.Name, t.Version); err != nil {
		return s, err
	}
	if pin, ok := live.Pinned[j.Alias]; ok {
		s.PinnedTo = fmt.Sprintf("to version %d by %s: %s", pin.Version, pin.By, pin.Why)
	}
	p, err := r.Online.Live(ctx)
	switch {
	case errors.Is(err, online.ErrNoGeneration):
		s.Online = "empty: rapport online load fills it, as the next run does"
	case err != nil:
		return s, err
	case p.Generation != t.Generation:
		s.Online = fmt.Sprintf("reads generation %d: rapport online load mends it, as the next run does", p.Generation)
	default:
		s.Online, s.InStep = "in step with the alias", true
	}
	due := j.Every.At(now)
	for range staleAfter {
		due = j.Every.At(due.Start)
	}
	if v.Interval.End.Before(due.End) && s.PinnedTo == "" {
		s.Stale, s.Why = true, fmt.Sprintf("the live version is of %s; the last closed interval is %s", v.Interval, j.Every.At(now))
	}
	if s.Owed != nil && s.Owed.Late(now) {
		s.Stale, s.Why = true, s.Owed.String()
	}
	if p.Generation != t.Generation {
		s.Stale, s.Why = true, "the online store is not in step with the alias"
	}
	if i, ok := r.Online.(online.Inspector); ok {
		f, err := i.Inspect(ctx)
		if err != nil {
			return s, fmt.Errorf("online store: %w", err)
		}
		if len(f.Faults) > 0 {
			s.Online, s.Stale, s.Why = f.Faults[0], true, "the online store is damaged, or in danger"
		}
	}
	return s, nil
}

// overdue is when the last interval fell due that should have been brought to an end by now, or the zero time. A run has a quarter of the time
// between two firings for that, at least five minutes and at most six hours.
func overdue(j *Job, now time.Time) time.Time {
	due := j.Due.Prev(now)
	if due.IsZero() {
		return due
	}
	if allowed := min(max(j.Due.Next(now).Sub(due)/4, 5*time.Minute), 6*time.Hour); now.Sub(due) < allowed {
		due = j.Due.Prev(due.Add(-1))
	}
	return due
}

// late reports whether what fell due at due is neither done nor refused, nor anything after it. A job that has never run is not late: nothing is
// known of when it should have begun.
func late(j *Job, due time.Time, lines []ledger.Line) bool {
	if due.IsZero() {
		return false
	}
	end, ran := j.Every.At(due).End, false
	for _, l := range lines {
		if l.Job != j.Name {
			continue
		}
		ran = true
		if (l.Status == ledger.Succeeded || l.Status == ledger.Rejected) && !l.Interval.End.Before(end) {
			return false
		}
	}
	return ran
}

// Rollback makes an earlier version live again and pins it there. Where its generation is kept, that is one write and a swap; else its
// lists are rebuilt from the old artifact under today's policy. Who is denied today stays denied.
func (r *Runner) Rollback(ctx context.Context, job *Job, version int, by, why string) (registry.Live, error) {
	return r.makeLive(ctx, job, version, func(reg *registry.Registry, generation uint64) (registry.Live, error) {
		return reg.Rollback(ctx, job.Alias, version, generation, by, why, r.Now())
	})
}

// Promote makes a version live by hand: one that waited, or that was rejected and has been approved since. It does not pin.
func (r *Runner) Promote(ctx context.Context, job *Job, version int, by, why string) (registry.Live, error) {
	return r.makeLive(ctx, job, version, func(reg *registry.Registry, generation uint64) (registry.Live, error) {
		return reg.Promote(ctx, job.Alias, version, generation, by, why, r.Now())
	})
}

func (r *Runner) makeLive(ctx context.Context, job *Job, version int, move func(*registry.Registry, uint64) (registry.Live, error)) (registry.Live, error) {
	reg, err := registry.Open(r.Bucket, job.Model.Name)
	if err != nil {
		return registry.Live{}, err
	}
	v, err := reg.Get(ctx, version)
	if err != nil {
		return registry.Live{}, err
	}
	w := r.newWork(job, v.Interval, r.Now())
	w.reg = reg
	if w.lease, err = r.acquire(ctx, publishLease); err != nil {
		return registry.Live{}, fmt.Errorf("make version %d live: %w", version, err)
	}
	ctx, stop := w.lease.Keep(ctx)
	defer stop()
	defer w.release(ctx, w.lease)

	w.plan = &plan{}
	if err := w.policy(ctx, w.plan); err != nil {
		return registry.Live{}, err
	}
	generation, err := w.keptGeneration(ctx, version)
	if err != nil {
		return registry.Live{}, err
	}
	if generation != 0 {
		if heeded, err := w.heeds(ctx, generation); err != nil {
			return registry.Live{}, err
		} else if !heeded {
			generation = 0
		}
	}
	if generation == 0 {
		if generation, err = w.rebuild(ctx, v); err != nil {
			return registry.Live{}, fmt.Errorf("rebuild the lists of version %d: %w", version, err)
		}
	}
	if err := w.refreshPolicy(ctx); err != nil { // rebuilding takes its time
		return registry.Live{}, err
	}
	w.next = &v.Interval
	if err := w.deny(ctx); err != nil {
		return registry.Live{}, err
	}
	if err := w.lease.Check(ctx); err != nil {
		return registry.Live{}, fmt.Errorf("make version %d live: %w", version, err)
	}
	live, err := move(reg, generation)
	if err != nil {
		return live, err
	}
	if err := w.swap(ctx, live); err != nil {
		return live, errors.Join(err, w.readmit(ctx))
	}
	if w.carried == nil { // a generation that was kept
		err = w.denyOutlived(ctx)
	}
	return live, errors.Join(err, w.readmit(ctx))
}

// release gives a lease back, also when ctx has been cancelled. One that cannot be given back expires.
func (r *Runner) release(ctx context.Context, lease *storage.Lease) {
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := lease.Release(end); err != nil {
		r.Log.Warn("lease not released; it expires by itself", "error", err)
	}
}

// keptGeneration returns the newest kept generation of a version, or 0.
func (w *work) keptGeneration(ctx context.Context, version int) (uint64, error) {
	have, err := w.Online.Generations(ctx)
	if err != nil {
		return 0, fmt.Errorf("online store: %w", err)
	}
	history, err := w.reg.History(ctx)
	if err != nil {
		return 0, err
	}
	best := uint64(0)
	for _, c := range history {
		if _, ok := have[c.Generation]; ok && c.Version == version && (c.Action == registry.Promoted || c.Action == registry.RolledBack) {
			best = max(best, c.Generation)
		}
	}
	return best, nil
}

// heeds reports whether the lists of a generation were made by what everybody wants of their lists today, and for today's audience of sensitive items. Who wants
// no list of its own is denied whatever a generation holds; what else people want is in the lists themselves.
func (w *work) heeds(ctx context.Context, generation uint64) (bool, error) {
	asked, guarded := w.plan.wishes != nil && w.plan.wishes.asked, w.plan.audience() != ""
	if !asked && !guarded {
		return true, nil
	}
	have, err := w.Online.Generations(ctx)
	if err != nil {
		return false, fmt.Errorf("online store: %w", err)
	}
	for c, err := range w.tables.List(ctx, "load/"+w.label+"/") {
		if err != nil {
			return false, fmt.Errorf("what was loaded: %w", err)
		}
		f, err := factsOf[loadedFacts](c)
		if err != nil {
			return false, err
		}
		if f.Digest == have[generation] && (!asked || f.Wishes == w.plan.wanted()) && (!guarded || f.Audience == w.plan.audience()) {
			return true, nil
		}
	}
	return false, nil
}

// rebuild loads a generation for an old version: its artifact, today's policy, the history up to the end of its interval.
func (w *work) rebuild(ctx context.Context, v registry.Version) (uint64, error) {
	var err error
	if w.plan, err = w.makePlan(ctx); err != nil {
		return 0, err
	}
	for _, d := range w.plan.days {
		if !d.done {
			return 0, fmt.Errorf("ingest of %s is not done any more; rapport run %s --at %s first", d.label, w.job.Name, w.iv.End.Format(time.RFC3339))
		}
	}
	if err := w.snapshots(ctx); err != nil {
		return 0, err
	}
	if err := w.ingest(ctx); err != nil {
		return 0, err
	}
	if err := w.build(ctx); err != nil {
		return 0, err
	}
	// The figures of the version are those that it was judged by.
	if _, w.plan.judged, err = w.evaluationOf(ctx, v); err != nil {
		return 0, err
	}
	w.carries()
	g, _, err := w.fill(ctx, v)
	return g, err
}

// Verified is the outcome of training a version again.
type Verified struct {
	Model   string           `json:"model"`
	Version int              `json:"version"`
	Outcome registry.Outcome `json:"outcome"`
	Digest  string           `json:"digest"`
	Again   string           `json:"digest_again"`
}

// Verify trains a version again from its recorded inputs, under today's policy, and compares the digests. It commits nothing.
func (r *Runner) Verify(ctx context.Context, job *Job, version int) (Verified, error) {
	out := Verified{Model: job.Model.Name, Version: version}
	reg, err := registry.Open(r.Bucket, job.Model.Name)
	if err != nil {
		return out, err
	}
	v, err := reg.Get(ctx, version)
	if err != nil {
		return out, err
	}
	w := r.newWork(job, v.Interval, r.Now())
	w.reg, w.dry, w.plan = reg, true, &plan{}
	set, line, err := w.madeFrom(ctx, v)
	if err != nil {
		return out, fmt.Errorf("version %d: %w", version, err)
	}
	spec, err := json.Marshal(job.Model.Spec)
	if err != nil {
		return out, err
	}
	if !sameJSON(spec, v.Spec) || job.Model.Seed != v.Seed || job.cuts(v.Interval) != set.Cuts || !maps.Equal(job.Model.Weights, set.Weights) || !job.Reweight.same(set.Reweight) {
		return out, fmt.Errorf("version %d was trained with other hyperparameters, weights or windows than models.%s and the job have now: verify it with the project file of that time", version, job.Model.Name)
	}
	if err := w.policy(ctx, w.plan); err != nil {
		return out, err
	}
	changed, err := w.planAgain(ctx, set)
	if err != nil {
		return out, err
	}
	d, err := w.load(ctx)
	if err != nil {
		return out, err
	}
	trainer, err := w.trainer(ctx, line)
	if err != nil {
		return out, fmt.Errorf("version %d: %w", version, err)
	}
	r.Progressed("verify", w.label, 0, 0, "")
	learned, err := w.weighed(ctx, d)
	if err != nil {
		return out, err
	}
	m, err := trainer.Train(ctx, learned, learned.Cuts.Test, v.Seed)
	if err != nil {
		return out, err
	}
	again := registry.Retrained{KernelClass: models.KernelClass()}
	if _, again.Digest, err = models.Encode(m); err != nil {
		return out, err
	}
	if changed || d.facts.Digest != set.Digest { // rows erased, or of subjects whose consent has ended: not there any more to train on
		again.ErasureEpoch = uint64(max(1, w.plan.journal.Epoch()))
	}
	out.Digest, out.Again = v.Digest, again.Digest
	out.Outcome, err = reg.Verify(ctx, version, again)
	return out, err
}

// assembledFor returns the facts of the training set that a version was made from.
func (w *work) assembledFor(ctx context.Context, v registry.Version) (assembled, error) {
	set, _, err := w.madeFrom(ctx, v)
	return set, err
}

// planAgain points the plan at the inputs of a training set that was made before. changed tells whether one of them has a successor.
func (w *work) planAgain(ctx context.Context, set assembled) (changed bool, err error) {
	p := w.plan
	p.training, p.filter = set.Window, p.trainingDecisions.Digest(set.Window)
	for _, ref := range set.Days {
		c, _, err := w.tables.Lookup(ctx, ref.Key)
		if err != nil {
			return false, fmt.Errorf("input %s: %w", ref.Key, err)
		}
		m := c.Outputs[ref.Name]
		changed = changed || m.Digest != ref.Digest
		p.committed = append(p.committed, day{iv: *c.Interval, key: ref.Key, manifest: m})
	}
	for key, to := range map[string]**snapshot{set.Items: &p.items, set.Subjects: &p.subjects, set.Cohorts: &p.cohorts} {
		if key == "" {
			continue
		}
		c, _, err := w.tables.Lookup(ctx, key)
		if err != nil {
			return false, fmt.Errorf("input %s: %w", key, err)
		}
		changed = changed || len(c.Supersedes) > 0
		*to = &snapshot{step: step{name: c.Step, label: c.Step, key: key, done: true}, set: c.Step}
	}
	return changed, nil
}

func sameJSON(a, b json.RawMessage) bool {
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	p, _ := json.Marshal(x)
	q, _ := json.Marshal(y)
	return string(p) == string(q)
}
