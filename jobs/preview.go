package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/jobs/cost"
	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage/table"
)

// Preview is what a run would do and why, as rapport plan prints it.
type Preview struct {
	Job      string         `json:"job"`
	Interval table.Interval `json:"interval"`
	Label    string         `json:"label"`
	Clock    time.Time      `json:"clock"`
	Pinned   bool           `json:"clock_pinned"`
	Purpose  string         `json:"purpose"`
	Says     string         `json:"says"`
	Basis    policy.Basis   `json:"basis"`
	Admitted People         `json:"subjects_admitted"` // with a record that allows the purpose now
	Refused  People         `json:"subjects_refused"`
	Consent  string         `json:"consent,omitempty"`
	Steps    []PreviewStep  `json:"steps"`
	ToDo     int            `json:"steps_to_do"`
	Files    int            `json:"files_to_read"`
	Bytes    int64          `json:"bytes_to_read"`
	Views    *PreviewBuild  `json:"views,omitempty"`     // what they would be built from; nil: they stand, or there are none
	Reopened []Reopened     `json:"reopened,omitempty"`  // days that are read again
	NotReady []string       `json:"not_ready,omitempty"` // what the source has not delivered of the interval: a run would fail
	Excluded string         `json:"excluded,omitempty"`  // rows of ingested days of the interval, by reason
	Coarse   []string       `json:"coarsened,omitempty"` // columns whose values become coarser when they are read, and how
	Expects  []string       `json:"expects,omitempty"`   // what is expected of each source, in a line
	Lost     []string       `json:"lost,omitempty"`      // files of which no row lies in any day
	Masking  string         `json:"masking"`
	Live     string         `json:"live"`
	Owed     *Owed          `json:"retrain_owed,omitempty"` // an erasure wants the live version replaced
}

// People is how many they are. In print and in JSON, where it is null then, it is not told of fewer than 11, unless there are none.
type People int

// few reports whether the number is not told.
func (n People) few() bool { return n > 0 && n < smallCell }

// String prints the number, or that it is small.
func (n People) String() string { return smallCount(int(n)) }

// MarshalJSON writes the number, or null.
func (n People) MarshalJSON() ([]byte, error) {
	if n.few() {
		return []byte("null"), nil
	}
	return json.Marshal(int(n))
}

// PreviewStep is one step of a Preview.
type PreviewStep struct {
	Name  string `json:"name"`
	Label string `json:"label"`
	Key   string `json:"key"`
	Done  bool   `json:"done"`
	Why   string `json:"why,omitempty"`
	Files int    `json:"files,omitempty"`
	Bytes int64  `json:"bytes,omitempty"`
}

// Plan says what a run of iv through the given station would do. It writes nothing.
func (r *Runner) Plan(ctx context.Context, job *Job, iv table.Interval, through Through) (*Preview, error) {
	if err := r.closed(iv); err != nil {
		return nil, err
	}
	w := r.newWork(job, iv, r.Now())
	w.dry = true
	var err error
	if w.reg, err = registry.Open(r.Bucket, job.Model.Name); err != nil {
		return nil, err
	}
	p, err := w.makePlan(ctx)
	if err != nil {
		return nil, err
	}
	w.plan = p
	if err := w.reopened(ctx, p); err != nil {
		return nil, err
	}
	v := &Preview{
		Job: job.Name, Interval: iv, Label: w.label, Clock: w.now, Pinned: r.Pinned, Purpose: job.Training.Name, Basis: job.Training.Basis, Says: job.Training.Says,
		Masking: "decided when the training set is assembled, by the repeat share of its validation window", Live: "nothing",
	}
	v.NotReady, v.Coarse = p.notReady, job.coarsenedLines()
	admitted, refused := p.trainingDecisions.Admitted()
	v.Admitted, v.Refused = People(admitted), People(refused)
	if p.consent.key != "" {
		v.Consent = "read " + p.consent.at.UTC().Format(time.RFC3339)
		if !v.Admitted.few() && !v.Refused.few() { // or the number of records less the one would tell the other
			v.Consent = fmt.Sprintf("%d records, %s", p.consent.facts.Records, v.Consent)
		}
	}
	add := func(s step) {
		v.Steps = append(v.Steps, PreviewStep{Name: s.name, Label: s.label, Key: s.key, Done: s.done, Why: s.why, Files: s.files, Bytes: s.bytes})
		if !s.done {
			v.ToDo++
			v.Files += s.files
			v.Bytes += s.bytes
		}
	}
	for _, s := range []*snapshot{p.items, p.subjects, p.cohorts} {
		if s != nil {
			add(s.step)
		}
	}
	v.Expects = w.expects(p)
	if p.files != nil {
		for _, f := range p.files.Lost() {
			v.Lost = append(v.Lost, f.Key)
		}
	}
	funnel := policy.Funnel{}
	for _, d := range p.days {
		add(d.step)
		if d.done && d.unit.Overlaps(iv) {
			c, _, err := w.tables.Lookup(ctx, d.key)
			if err != nil {
				return nil, err
			}
			f, err := factsOf[event.IngestFacts](c)
			if err != nil {
				return nil, err
			}
			funnel.Merge(f.Funnel)
		}
	}
	if funnel.Read() > 0 {
		v.Excluded = funnel.Suppressed(smallCell)
	}
	for _, t := range p.trust {
		add(t.step)
	}
	if through >= ThroughBuild && len(job.Views) > 0 {
		add(p.build)
		if !p.build.done {
			if v.Views, err = w.previewBuild(ctx, p); err != nil {
				return nil, err
			}
		}
	}
	if v.Reopened, err = w.reopenedDays(ctx, p); err != nil {
		return nil, err
	}
	if through >= ThroughDrift {
		add(p.drift)
	}
	if through >= ThroughTrain {
		add(p.assemble)
		add(p.train)
		add(p.evaluate)
	}
	if job.Model.Lists.Seen != "auto" {
		v.Masking = "seen items: " + job.Model.Lists.Seen + " (lists.seen)"
	} else if p.assemble.done {
		c, _, err := w.tables.Lookup(ctx, p.assemble.key)
		if err != nil {
			return nil, err
		}
		set, err := factsOf[assembled](c)
		if err != nil {
			return nil, err
		}
		v.Masking = set.masking("auto")
	}
	publish := false
	live, err := w.reg.Live(ctx)
	if err != nil {
		return nil, err
	}
	if t, ok := live.Aliases[job.Alias]; ok {
		v.Live = fmt.Sprintf("%s is version %d, generation %d", job.Alias, t.Version, t.Generation)
		if v.Owed, err = r.owes(ctx, job.Model.Name, t.Version); err != nil {
			return nil, err
		}
		if through == ThroughPublish {
			if version, err := w.reg.Get(ctx, t.Version); err != nil {
				return nil, err
			} else if version.Interval != iv || !p.evaluate.done {
				publish = true
			}
		}
	} else {
		publish = through == ThroughPublish
	}
	if !publish {
		return v, nil
	}
	s := step{name: "publish", label: w.label}
	if p.evaluate.done {
		c, _, err := w.tables.Lookup(ctx, p.evaluate.key)
		if err != nil {
			return nil, err
		}
		f, err := factsOf[judged](c)
		if err != nil {
			return nil, err
		}
		if !f.Decision.Publish {
			s.done, s.why = true, "refused by the gate: a run ends as it did, without work"
		}
	}
	add(s)
	return v, nil
}

// newWork is a run that has not begun: with a ledger record that nobody has saved.
func (r *Runner) newWork(job *Job, iv table.Interval, now time.Time) *work {
	label := job.Every.Label(iv)
	return &work{
		Runner: r, job: job, iv: iv, label: label, now: now, tables: table.Store{Bucket: r.Bucket},
		run: &ledger.Run{Job: job.Name, Interval: iv, Label: label, Started: now, Steps: []ledger.Step{}},
		res: &Result{Job: job.Name, Interval: iv}, declared: job, meter: cost.NewMeter(r.Wall),
	}
}

// asOfNow is a work that knows what a run that began now would read of policy: to look, as it writes nothing.
func (r *Runner) asOfNow(ctx context.Context, job *Job) (*work, error) {
	now := r.Now()
	w := r.newWork(job, job.Every.At(now), now)
	w.dry, w.plan = true, &plan{}
	return w, w.policy(ctx, w.plan)
}
