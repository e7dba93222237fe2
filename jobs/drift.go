package jobs

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/eval/drift"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage/table"
)

// Drift says what inputs and scores are compared with, and what happens when one has drifted.
type Drift struct {
	Action string  `json:"action"` // "warn", "block", or in a job that watches another "retrain"
	Alpha  float64 `json:"alpha"`

	// What follows is left out of keys where a project does not say it.
	Reference string                    `json:"reference,omitempty"` // "previous" or "same_weekdays"; "": the training window
	Columns   map[string]drift.Override `json:"columns,omitempty"`   // by name
	NoViews   bool                      `json:"no_views,omitempty"`  // the columns of views are not compared
}

// drifted are the facts of a drift step. A nil report: there is nothing to compare with yet.
type drifted struct {
	Report *drift.Report `json:"report"`
}

// DriftVerdict is what the drift check says of one column, as the ledger keeps it.
type DriftVerdict struct {
	Column    string        `json:"column"`
	Group     string        `json:"group"`
	Verdict   drift.Verdict `json:"verdict"`
	Statistic string        `json:"statistic"`
	Effect    *float64      `json:"effect"`
	Threshold float64       `json:"threshold"`
	AdjustedP *float64      `json:"adjusted_p"`
	Cause     *drift.Cause  `json:"cause,omitempty"`
	Does      eval.Effect   `json:"does"` // none, warns or refuses
	Says      string        `json:"says"`
}

// Drifted is the outcome of a run's drift checks: of its inputs, before anything is trained of them, and of what a model makes of them.
type Drifted struct {
	Key       string                `json:"key"` // of the step
	Reference *drift.ReferenceFacts `json:"reference,omitempty"`
	Columns   []DriftVerdict        `json:"columns"`
	Says      string                `json:"says,omitempty"`     // why nothing was compared
	Expected  string                `json:"expected,omitempty"` // the declared day on which drift at most warns
	Retrain   *Retrain              `json:"retrain,omitempty"`  // of a job that watches another
}

// Called are the columns that have drifted and that nobody has acknowledged.
func (d *Drifted) Called() (out []DriftVerdict) {
	for _, c := range d.Columns {
		if c.Verdict == drift.Drifted && c.Does != eval.NoEffect {
			out = append(out, c)
		}
	}
	return out
}

// Decision is what the gate made of the columns, for those who are told of it.
func (d *Drifted) Decision() *eval.Decision {
	out := &eval.Decision{Publish: true, Verdict: eval.Pass}
	verdicts := map[drift.Verdict]eval.Verdict{drift.Drifted: eval.Fail, drift.Stable: eval.Pass, drift.Insufficient: eval.NotJudged}
	for _, c := range d.Columns {
		out.Rules = append(out.Rules, eval.Rule{Kind: "drift", Subject: "drift of " + c.Column, Verdict: verdicts[c.Verdict], Effect: c.Does, Value: c.Effect, Says: c.Says})
		if c.Does == eval.Refuses {
			out.Publish, out.Verdict = false, eval.Fail
			out.Reasons = append(out.Reasons, c.Says)
		}
	}
	return out
}

// driftWindow is what the drift step compares the interval with, and the time that it reads for it.
func (w *work) driftWindow(p *plan) (compared, table.Interval) {
	with, reads := w.reference(p), w.iv
	if len(with.in) > 0 {
		reads = with.window()
	}
	if !w.job.Drift.NoViews && len(w.job.Views) > 0 {
		reads.Start = earlier(reads.Start, w.viewsReference().End.Add(-w.viewsWindow().End.Sub(w.viewsWindow().Start)))
	}
	return with, reads
}

// planDrift keys the drift step: by what it reads, whose data that may be, and what the project says of it.
func (w *work) planDrift(ctx context.Context, p *plan) (err error) {
	j := w.job
	if p.acks, err = w.acknowledged(ctx); err != nil {
		return err
	}
	reads := p.driftReads
	inputs := append(p.keysIn(reads), p.trainingDecisions.Digest(reads))
	if p.evaluationDecisions != nil {
		inputs = append(inputs, p.evaluationDecisions.Digest(reads))
	}
	spec := struct {
		Drift     Drift
		Seed      uint64
		Views     any                 `json:",omitempty"`
		Intervals []string            // that it is compared with
		Expected  []drift.ExpectedDay `json:",omitempty"`
	}{Drift: j.Drift, Seed: j.Model.Seed, Intervals: p.compared.facts.Intervals, Expected: p.compared.facts.Expected}
	if !j.Drift.NoViews && len(j.Views) > 0 {
		spec.Views = j.buildSpec()
	}
	p.drift = step{name: "drift", label: w.label, iv: w.iv, key: stepKey("drift", w.label, w.iv, logicDrift, spec, inputs...)}
	p.drift.done, err = w.tables.Done(ctx, p.drift.key)
	return err
}

// driftInputs are what the drift check adds to the key of the evaluate step, whose report shows it.
func (p *plan) driftInputs() []string {
	in := []string{p.drift.key}
	for _, a := range p.acks {
		in = append(in, a.ID)
	}
	return in
}

// keysIn are the keys of the ingest steps of a window.
func (p *plan) keysIn(iv table.Interval) []string {
	var keys []string
	for _, d := range p.days {
		if d.unit.Overlaps(iv) {
			keys = append(keys, d.key)
		}
	}
	return keys
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// checkDrift compares the interval's inputs with the reference, before anything is trained of them. With action block, drift refuses the run.
func (w *work) checkDrift(ctx context.Context) error {
	c, err := w.do(ctx, w.plan.drift, func(ctx context.Context) (result, error) {
		w.report("drift", 0, 0, "")
		r, rows, err := w.inputDrift(ctx)
		return result{facts: drifted{r}, rowsIn: rows}, err
	})
	if err != nil {
		return err
	}
	if w.plan.drifted, err = factsOf[drifted](c); err != nil {
		return err
	}
	d := w.driftRules(w.plan.drifted.Report)
	decision := eval.GateDrift(d)
	w.res.Drift = w.driftOutcome(d, decision.Rules)
	for _, r := range decision.Rules {
		if r.Verdict == eval.Fail {
			w.res.Flags = append(w.res.Flags, r.Says)
		}
	}
	if !decision.Publish {
		w.res.Reasons = decision.Refusals()
		if err := w.refuse(ctx, d, decision); err != nil {
			return err
		}
		return fmt.Errorf("%w: %s", ErrRejected, decision.Reasons[0])
	}
	return nil
}

// driftRules is what the gate needs to judge a report's columns, which it marks as they are known of.
func (w *work) driftRules(r *drift.Report) eval.Drift {
	d := eval.Drift{Report: r, Action: eval.Action(w.job.Drift.Action), Expected: w.job.toldOf(w.iv, func(e Expected) bool { return e.Drift })}
	if r == nil {
		return d
	}
	for i := range r.Columns {
		c := &r.Columns[i]
		for _, a := range w.plan.acks {
			if c.Verdict == drift.Drifted && a.covers(c) {
				c.Acknowledged = a.String()
			}
		}
	}
	return d
}

func (w *work) driftOutcome(d eval.Drift, rules []eval.Rule) *Drifted {
	out := &Drifted{Key: w.plan.drift.key, Columns: []DriftVerdict{}, Expected: d.Expected}
	if d.Report == nil {
		out.Says = rules[0].Says
		return out
	}
	out.Reference = d.Report.Reference
	out.Columns = driftVerdicts(d.Report.Columns, rules)
	return out
}

// driftVerdicts joins columns and the rules made of them, which are in their order.
func driftVerdicts(columns []drift.Column, rules []eval.Rule) (out []DriftVerdict) {
	for i := range columns {
		c := &columns[i]
		out = append(out, DriftVerdict{
			Column: c.Name, Group: c.Group, Verdict: c.Verdict, Statistic: c.Statistic, Effect: c.Effect, Threshold: c.Threshold, AdjustedP: c.AdjustedP,
			Cause: c.Cause, Does: rules[i].Effect, Says: rules[i].Says,
		})
	}
	return out
}

// inputDrift compares all inputs. It returns nil where there is nothing to compare with.
func (w *work) inputDrift(ctx context.Context) (*drift.Report, int64, error) {
	c := w.plan.compared
	if len(c.in) == 0 {
		return nil, 0, nil
	}
	e, err := w.scanEvents(ctx, c)
	if err != nil || e == nil {
		return nil, 0, err
	}
	rates, err := w.funnels(ctx, c)
	if err != nil {
		return nil, 0, err
	}
	consent := drift.ConsentRate(w.job.Training.Name, w.consentRates(w.plan, rates, c.in), w.consentRates(w.plan, rates, []table.Interval{w.iv})[0])
	was, left, err := drift.Reference(e.periods)
	if err != nil {
		return nil, 0, err
	}
	views, err := w.scanViews(ctx)
	if err != nil {
		return nil, 0, err
	}
	is := e.current
	for _, v := range views {
		was, is = append(was, v.was...), append(is, v.is...)
	}
	o := drift.Options{Alpha: w.job.Drift.Alpha, Seed: w.job.Model.Seed, Columns: w.job.Drift.Columns}
	r, err := drift.Compare(was, is, o, consent)
	if err != nil {
		return nil, 0, err
	}
	r.Reference = &c.facts
	for _, l := range left {
		r.Reference.LeftOut = append(r.Reference.LeftOut, drift.Excluded{Interval: c.facts.Intervals[l.Period], Column: l.Column, Why: "it is unlike the others"})
	}
	for _, v := range views {
		r.Reference.Views = append(r.Reference.Views, v.facts)
	}
	return r, e.rows, w.explainDrift(ctx, r, c, views)
}

// funnels are what ingest counted of each day that is compared, by the key of its step.
func (w *work) funnels(ctx context.Context, c compared) (map[string]policy.Funnel, error) {
	var keys []string
	for _, iv := range append(slices.Clone(c.in), w.iv) {
		keys = append(keys, w.plan.keysIn(iv)...)
	}
	facts := make([]event.IngestFacts, len(keys))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for i, key := range keys {
		g.Go(func() error {
			c, _, err := w.tables.Lookup(gctx, key)
			if err == nil {
				facts[i], err = factsOf[event.IngestFacts](c)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("drift of consent: %w", err)
	}
	out := map[string]policy.Funnel{}
	for i, key := range keys {
		out[key] = facts[i].Funnel
	}
	return out, nil
}
