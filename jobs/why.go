package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/features/expect"
	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// Why is what happened in a run, for somebody who was woken by it.
type Why struct {
	Run      string         `json:"run_id"`
	Job      string         `json:"job"`
	Interval table.Interval `json:"interval"`
	Status   ledger.Status  `json:"status"`
	Says     string         `json:"says"`             // what happened, in a sentence or two
	Step     string         `json:"step,omitempty"`   // where
	Object   string         `json:"object,omitempty"` // the file, or what else the error is about
	Error    string         `json:"error,omitempty"`
	Hint     string         `json:"hint,omitempty"`
	Rules    []WhyRule      `json:"rules,omitempty"` // that refused the candidate; of a run that succeeded, those that were missed and of what it warns; or the expectations that a source missed
	// Since names the last run of the job that succeeded before this one; Differs is what was otherwise then.
	Since   *ledger.Line `json:"last_success,omitempty"`
	Differs []Difference `json:"differs,omitempty"`
	Try     []string     `json:"try,omitempty"` // commands, the first one first
}

// WhyRule is a rule that the candidate did not keep.
type WhyRule struct {
	Rule  string   `json:"rule"`
	Says  string   `json:"says"` // by how much
	Value *float64 `json:"value"`
	Bound *float64 `json:"bound"`
	Owner string   `json:"owner,omitempty"`
	Why   string   `json:"why,omitempty"` // the budget is there
}

// Difference is one thing that was otherwise when the job last worked.
type Difference struct {
	What string `json:"what"`
	Was  string `json:"was"`
	Now  string `json:"now"`
}

// Why explains a run: by its record in the ledger, that of the last run of its job that succeeded, and the sources as they are now. js
// are the jobs of the project: without the run's among them, what the sources say is left out. It changes nothing. Cost: the ledger's index, two
// runs, and the footers of two raw files.
func (r *Runner) Why(ctx context.Context, js []*Job, id string) (*Why, error) {
	runs := ledger.Ledger{Bucket: r.Bucket}
	run, err := runs.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	e := &inquiry{Runner: r, run: run, why: &Why{
		Run: run.ID, Job: run.Job, Interval: run.Interval, Status: run.Status, Error: run.Error, Hint: run.Hint,
	}}
	if i := slices.IndexFunc(js, func(j *Job) bool { return j.Name == run.Job }); i >= 0 {
		e.job = js[i]
	}
	if e.why.Since, e.last, err = lastSuccess(ctx, runs, run); err != nil {
		return nil, err
	}
	e.why.Step = e.where()
	if err := e.explain(ctx); err != nil {
		return nil, err
	}
	if e.last != nil {
		e.compare(ctx)
	}
	return e.why, nil
}

// lastSuccess returns the last run of the same job that succeeded and began before r; nil if there is none.
func lastSuccess(ctx context.Context, runs ledger.Ledger, r *ledger.Run) (*ledger.Line, *ledger.Run, error) {
	lines, err := runs.List(ctx, time.Time{}, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		return nil, nil, err
	}
	for i, l := range lines {
		if l.Job == r.Job && l.Status == ledger.Succeeded && l.ID < r.ID {
			last, err := runs.Get(ctx, l.ID)
			return &lines[i], last, err
		}
	}
	return nil, nil, nil
}

// inquiry is a Why in the making.
type inquiry struct {
	*Runner
	run, last *ledger.Run
	job       *Job // nil: the project has none of this name any more
	why       *Why
}

// where names the step at which the run ended, or its stage.
func (e *inquiry) where() string {
	for _, s := range slices.Backward(e.run.Steps) {
		if s.Status == "failed" || s.Status == "running" || s.Status == "interrupted" {
			return s.Name + " " + s.Label
		}
	}
	return e.run.Stage
}

// try proposes a command.
func (e *inquiry) try(format string, args ...any) {
	e.why.Try = append(e.why.Try, fmt.Sprintf(format, args...))
}

// again proposes to run the same interval again.
func (e *inquiry) again() {
	at := e.run.Interval.End.UTC().Format(time.RFC3339)
	if e.run.Cause == "backfill" && e.run.Through != "" {
		e.try("rapport backfill %s --from %s --to %s --through %s --reprocess failed", e.run.Job, e.run.Interval.Start.UTC().Format(time.RFC3339), at, e.run.Through)
		return
	}
	e.try("rapport run %s --at %s", e.run.Job, at)
}

// explain fills in what happened and what to try.
func (e *inquiry) explain(ctx context.Context) error {
	r, w := e.run, e.why
	switch r.Status {
	case ledger.Succeeded:
		return e.succeeded()
	case ledger.Rejected:
		return e.rejected(ctx)
	case ledger.Running:
		return e.running(ctx)
	}
	switch r.Fault {
	case faultCancelled:
		w.Says = "It was cancelled " + r.Cancelled.String() + "."
		e.again()
	case faultKilled:
		w.Says = "Its process ended without a word: killed, out of memory, or its machine was switched off."
		if r.Cancelled != nil {
			w.Says += " It was cancelled after that " + r.Cancelled.String() + "."
		}
		e.again()
	case faultInterrupted:
		w.Says = "Its process was told to end (SIGINT or SIGTERM) and did so in good order."
		e.again()
	case faultLost:
		w.Says = "It overslept: its lease ended before it was renewed, and another process took the interval over."
		e.try("rapport runs list --job %s", r.Job)
	case faultNoData:
		w.Says = "The interval holds no event that may be used."
		if strings.HasPrefix(w.Step, "assemble") {
			w.Says = "The days of its training window hold no event that may still be used: what was kept when they were read is judged again by each run."
		}
		if r.Hint == "" { // the source is not what is to be looked at
			w.Says += " The error says why, and what there is to do."
			return nil
		}
		e.lookAtFiles(ctx)
		e.try("rapport plan %s --at %s", r.Job, r.Interval.End.UTC().Format(time.RFC3339))
		e.again()
	case faultLowVolume:
		v := r.Volume
		w.Says = fmt.Sprintf("The interval holds far fewer usable events than usual: %s, and the median of the %d intervals before is %s. Nothing was trained on it.",
			fewer(v.Events), v.Over, fewer(v.Median))
		e.lookAtFiles(ctx)
		e.try("rapport plan %s --at %s", r.Job, r.Interval.End.UTC().Format(time.RFC3339))
		e.again()
	case faultUnexpected:
		w.Says = "A source is not as the project file expects it. Nothing was trained on it."
		for _, v := range expect.Missed(r.Verdicts, expect.Failed) {
			w.Rules = append(w.Rules, WhyRule{Rule: strings.TrimSpace(v.Expectation + " " + v.Column), Says: v.String(), Value: v.Observed, Bound: v.Bound})
		}
		e.lookAtFiles(ctx)
		e.try("rapport runs show %s --quarantine", r.ID)
		e.again()
	case faultNotReady:
		w.Says = "The source has not delivered the interval whole yet. Nothing is wrong so far."
		e.lookAtFiles(ctx)
		e.again()
	case faultSchema:
		w.Says = "A file has not the shape that the project file describes: a column is missing, or of another type."
		e.lookAtFiles(ctx)
		e.try("rapport validate")
		e.again()
	case faultDamaged:
		w.Says = "A file cannot be read: it is cut off or damaged."
		e.lookAtFiles(ctx)
		e.again()
	case faultUnreachable:
		w.Says = "The storage could not be reached."
		e.try("rapport validate")
		e.again()
	case faultFull:
		w.Says = "There was no room left."
		e.try("rapport du")
		e.again()
	case faultErased:
		w.Says = "Somebody asked to be erased while it ran, so what it had read was thrown away."
		e.again()
	case faultNoKey:
		w.Says = "It needed the pseudonym key and did not have it."
		e.try("rapport validate")
		e.again()
	case faultHeld:
		w.Says = "Another process was publishing for longer than this one waits."
		e.again()
	default:
		w.Says = "It failed; the error says what is known."
		e.lookAtFiles(ctx)
		e.try("rapport validate")
		e.again()
	}
	return nil
}

// succeeded says why nothing more came of it, where that is so.
func (e *inquiry) succeeded() error {
	r, w := e.run, e.why
	w.Says = "It succeeded."
	if r.Waiting != "" {
		w.Says = "It succeeded, but what it trained is not live: " + r.Waiting + "."
		if e.job != nil && strings.Contains(r.Waiting, "is pinned") {
			e.try("rapport models unpin %s --why TEXT", e.job.Model.Name)
		}
	}
	for _, f := range r.Flags {
		if held, ok := strings.CutPrefix(f, "consent: "); ok {
			w.Says += " The consent file is held back: " + held + "."
		}
	}
	if r.Report != "" {
		e.try("rapport report %s", r.ID)
	}
	return e.flagged()
}

// flagged lists what a run that succeeded was warned of: what its sources were found to lack, the budgets that were missed or let pass, and the columns that have
// drifted.
func (e *inquiry) flagged() error {
	d, err := DriftOf(e.run)
	if err != nil {
		return err
	}
	w := e.why
	var told []string
	of := func(kinds ...string) (n int) {
		for _, f := range e.run.Flags {
			for _, kind := range kinds {
				if says, ok := strings.CutPrefix(f, kind+": "); ok {
					w.Rules = append(w.Rules, WhyRule{Rule: kind, Says: says})
					n++
				}
			}
		}
		return n
	}
	if n := of("quality"); n > 0 {
		told = append(told, count(n, "fault")+" of its sources")
		e.try("rapport runs show %s", e.run.ID)
	}
	if n := of("missed", "risk"); n > 0 {
		told = append(told, count(n, "rule")+" missed")
	}
	if called := d.Called(); len(called) > 0 {
		told = append(told, count(len(called), "column")+" drifted")
		for _, c := range called {
			w.Rules = append(w.Rules, driftRule(c))
		}
		e.acknowledge(d)
	}
	if len(told) > 0 {
		w.Says += " It warns of " + strings.Join(told, " and ") + "."
	}
	return nil
}

// driftRule tells of a column and what its drift is put down to, which a rule that misses says itself.
func driftRule(c DriftVerdict) WhyRule {
	says := c.Says
	if c.Cause != nil && !strings.Contains(says, c.Cause.Says) {
		says += " " + c.Cause.Says
	}
	return WhyRule{Rule: "drift of " + c.Column, Says: says, Value: c.Effect, Bound: &c.Threshold}
}

// rejected lists the rules that refused, as the evaluation that judged the run has them.
func (e *inquiry) rejected(ctx context.Context) error {
	r, w := e.run, e.why
	d, err := DriftOf(r)
	if err != nil {
		return err
	}
	refused := slices.ContainsFunc(d.Columns, func(c DriftVerdict) bool { return c.Does == eval.Refuses })
	if refused && !slices.ContainsFunc(r.Steps, func(s ledger.Step) bool { return s.Name == "evaluate" }) {
		w.Says = "The data have drifted, and the job refuses to train on such data: nothing was trained or published. What was live stays live."
		w.Step = "drift " + r.Label
		for _, c := range d.Columns {
			if c.Does == eval.Refuses {
				w.Rules = append(w.Rules, driftRule(c))
			}
		}
		e.known()
		return nil
	}
	w.Says = "The gate refused what it trained, so nothing was published. What was live stays live."
	w.Step = "evaluate " + r.Label
	for _, s := range r.Steps {
		if s.Name != "evaluate" {
			continue
		}
		c, _, err := (table.Store{Bucket: e.Bucket}).Lookup(ctx, s.Key)
		if errors.Is(err, storage.ErrNotFound) {
			break
		}
		if err != nil {
			return err
		}
		f, err := factsOf[judged](c)
		if err != nil {
			return err
		}
		for _, rule := range f.Decision.Rules {
			if rule.Effect != eval.Refuses {
				continue
			}
			x := WhyRule{Rule: rule.Subject, Says: rule.Says, Value: rule.Value, Bound: rule.Bound}
			if rule.Budget != nil {
				x.Owner, x.Why = rule.Budget.Owner, rule.Budget.Why
			}
			w.Rules = append(w.Rules, x)
		}
	}
	if len(w.Rules) == 0 {
		for _, reason := range r.Reasons {
			w.Rules = append(w.Rules, WhyRule{Says: reason})
		}
	}
	if refused {
		e.known()
	} else {
		e.try("rapport report %s", r.ID)
	}
	var m ModelRef
	if modelOf(r, &m) {
		e.try("rapport models approve %s %d --role ROLE --why TEXT", m.Name, m.Version)
		e.try("rapport models promote %s %d --why TEXT", m.Name, m.Version)
	}
	return nil
}

// known proposes what to do about drift that refuses: look at the data, and if their change is meant, say so, cause by cause, and run again.
func (e *inquiry) known() {
	e.try("rapport report %s", e.run.ID)
	d, err := DriftOf(e.run)
	if err != nil {
		d = &Drifted{}
	}
	d.Columns = slices.DeleteFunc(d.Columns, func(c DriftVerdict) bool { return c.Does != eval.Refuses })
	e.acknowledge(d)
	e.again()
}

// acknowledge proposes how each cause of the columns that were called is silenced.
func (e *inquiry) acknowledge(d *Drifted) {
	until := e.run.Interval.End.Add(ackFor).UTC().Format(time.DateOnly)
	var causes []string
	for _, c := range d.Called() {
		by := "--column " + c.Column
		if cause := causeOf(c.Cause); cause != "" {
			by = "--cause " + string(cause)
		}
		if !slices.Contains(causes, by) {
			causes = append(causes, by)
			e.try("rapport drift ack %s --until %s %s --why TEXT", e.run.ID, until, by)
		}
	}
}

// ackFor is for how long an acknowledgement is proposed: who knows the cause knows better.
const ackFor = 7 * 24 * time.Hour

// running tells a run that goes on from one whose process has died.
func (e *inquiry) running(ctx context.Context) error {
	r, w := e.run, e.why
	l, err := storage.ReadLease(ctx, e.Bucket, leaseKey(r.Job, r.Label))
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	where := w.Step
	if where == "" {
		where = "its beginning"
	}
	if err == nil && l.Fence == r.Fence && !l.Free(e.Wall()) && (e.Dead == nil || !e.Dead(l.Holder)) {
		w.Says = fmt.Sprintf("It goes on, at %s, in %s, which has its lease until %s.", where, l.Holder, l.Expires.UTC().Format(time.RFC3339))
		e.try("rapport runs cancel %s --why TEXT", r.ID)
		return nil
	}
	w.Says = fmt.Sprintf("Its process (%s) ended without a word at %s: killed, out of memory, or its machine was switched off. The next run of the interval says so in the ledger and goes on from what is done.", r.Holder, where)
	w.Hint = hints[faultKilled]
	e.again()
	e.try("rapport runs cancel %s --why TEXT", r.ID)
	return nil
}

// lookAtFiles finds the file that the error names, or says which files the interval has.
func (e *inquiry) lookAtFiles(ctx context.Context) {
	if e.job == nil {
		return
	}
	files, err := e.filesOf(ctx, e.run.Interval)
	if err != nil {
		e.why.Object = err.Error()
		return
	}
	for _, f := range files {
		if strings.Contains(e.run.Error, f.Key) {
			e.why.Object = f.Key
			return
		}
	}
	switch {
	case len(files) == 0:
		e.why.Object = fmt.Sprintf("%s: no file of it holds rows of %s now", e.job.Events.Path, e.run.Interval)
	case e.run.Fault == faultNoData || e.run.Fault == faultLowVolume || e.run.Fault == faultUnexpected || e.run.Fault == faultNotReady:
		e.why.Object = fmt.Sprintf("%s: %s of the interval now, the last one %s", e.job.Events.Path, count(len(files), "file"), files[len(files)-1].Key)
	}
}

// filesOf lists the raw events files of an interval as they are now.
func (e *inquiry) filesOf(ctx context.Context, iv table.Interval) ([]storage.Info, error) {
	all, err := e.job.Events.Listing(ctx)
	if err != nil {
		return nil, err
	}
	var out []storage.Info
	for _, u := range units(e.job.unit(), iv) {
		day, _ := all.Day(u)
		out = append(out, day...)
	}
	return out, nil
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// fewer prints a number of events, but not a small one.
func fewer(n int64) string {
	if n > 0 && n < smallCell {
		return fmt.Sprintf("fewer than %d", smallCell)
	}
	return fmt.Sprint(n)
}
