package jobs

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/lists"
	"github.com/rapport-ml/rapport/storage"
)

// judged are the facts of an evaluate step.
type judged struct {
	Decision  eval.Decision `json:"decision"`
	Report    string        `json:"report"`    // key in the bucket, without .json or .html
	SHA256    string        `json:"sha256"`    // of the report's JSON
	Assembled string        `json:"assembled"` // key of the training set
	Metrics   []Metric      `json:"metrics"`   // the candidate's, on all relevant items
	Drifted   []string      `json:"drifted"`   // columns called, in words
	Risks     []string      `json:"risks"`     // rules that failed and were let pass, in words
	Cohorts   []CohortGap   `json:"cohorts"`
	Line      *descent      `json:"line,omitempty"` // of the candidate
	// Measures fingerprints what the figures to be pooled mean; "" where none are kept.
	Measures string `json:"measures,omitempty"`
	// Outputs are the drift verdicts on what the model makes of its inputs.
	Outputs []DriftVerdict `json:"outputs,omitempty"`
}

// Metric is one figure of a version, as registries and generations carry it.
type Metric struct {
	Name  string   `json:"name"`
	Value *float64 `json:"value"`
	Low   *float64 `json:"low"`
	High  *float64 `json:"high"`
	N     int      `json:"n"`
}

// CohortGap is the gap between the worst and the best judged group of a cohort.
type CohortGap struct {
	Cohort      string   `json:"cohort"`
	Metric      string   `json:"metric"`
	Gap         *float64 `json:"gap"`
	RelativeGap *float64 `json:"relative_gap"`
}

// Baseline is a recommender that the candidate is measured beside: its parts, blended with fixed weights.
type Baseline struct {
	Name  string
	Parts []BaselinePart
}

// BaselinePart is one part of a Baseline.
type BaselinePart struct {
	Trainer models.Trainer
	Weight  float64
}

// evaluate judges the candidate on the test window and writes the report. The report is written before the step commits. The first one that
// is written stands: who judges again, after a crash or beside another, comes to the same figures and differs only in the clock.
func (w *work) evaluate(ctx context.Context) (eval.Decision, error) {
	if w.place != nil && len(w.job.Budgets) > 0 { // the intervals before it may have been judged since it was planned
		if err := w.place.wait(ctx); err != nil {
			return eval.Decision{}, err
		}
		if err := w.planEvaluate(ctx, w.plan); err != nil {
			return eval.Decision{}, err
		}
	}
	c, err := w.do(ctx, w.plan.evaluate, func(ctx context.Context) (result, error) {
		return w.judge(ctx)
	})
	if err != nil {
		return eval.Decision{}, err
	}
	w.plan.judged, err = factsOf[judged](c)
	w.res.Report = w.plan.judged.Report
	w.driftJudged(w.plan.judged)
	for _, risk := range w.plan.judged.Risks {
		w.res.Flags = append(w.res.Flags, "risk: "+risk)
	}
	for _, r := range w.plan.judged.Decision.Rules {
		if r.Effect == eval.Warns && r.Verdict == eval.Fail && r.Kind != "drift" { // of drift its own flags tell
			w.res.Flags = append(w.res.Flags, "missed: "+r.Says)
		}
		if r.Effect == eval.Accepted {
			w.res.Flags = append(w.res.Flags, "risk: "+r.Says)
		}
	}
	if !w.plan.judged.Decision.Publish {
		w.res.Reasons = w.plan.judged.Decision.Refusals()
	}
	return w.plan.judged.Decision, err
}

func (w *work) judge(ctx context.Context) (result, error) {
	d, err := w.load(ctx)
	if err != nil {
		return result{}, err
	}
	w.report("evaluate", 0, 0, "")
	live, noLive, err := w.liveContender(ctx, d)
	if err != nil {
		return result{}, err
	}
	contenders, candidate, err := w.contenders(ctx, d, live)
	if err != nil {
		return result{}, err
	}
	rules, err := w.bindRules(ctx, d, w.model, candidate, d.Cuts.Test)
	if err != nil {
		return result{}, err
	}
	wishes, err := w.bindWishes(d, d.Cuts.Test)
	if err != nil {
		return result{}, err
	}
	contenders = asServed(contenders, rules, wishes)
	task, err := w.task(ctx, d)
	if err != nil {
		return result{}, err
	}
	q, err := eval.Evaluate(ctx, task, contenders)
	if err != nil {
		return result{}, err
	}
	q.NoLive = noLive
	w.report("drift", 0, 0, "")
	dr, err := w.outputDrift(ctx, d, candidate, q)
	if err != nil {
		return result{}, fmt.Errorf("drift: %w", err)
	}
	pools, err := w.pools(ctx, q)
	if err != nil {
		return result{}, err
	}
	decision := eval.Gate(w.job.Budgets, q, pools, w.driftRules(dr))
	decision.Remember(w.plan.past.rules, w.iv.End)

	rep, err := w.describe(ctx, d, q, dr, decision, candidate, rules)
	if err != nil {
		return result{}, err
	}
	if rep.Lists, err = w.tradeoff(ctx, d, &task, candidate, rules); err != nil {
		return result{}, err
	}
	facts := judged{Decision: decision, Report: w.reportKey(), Assembled: w.plan.assemble.key, Metrics: figures(q), Cohorts: gaps(q), Line: w.plan.trained.Line, Measures: w.measures(q), Outputs: w.outputVerdicts(dr, decision)}
	for _, r := range decision.Rules {
		switch {
		case r.Kind == "drift" && r.Verdict == eval.Fail:
			facts.Drifted = append(facts.Drifted, r.Says)
		case r.Effect == eval.Accepted:
			facts.Risks = append(facts.Risks, r.Says)
		}
	}
	if facts.SHA256, err = w.writeReport(ctx, facts.Report, rep); err != nil {
		return result{}, err
	}
	outputs, err := w.writePool(ctx, q.Pool)
	if err != nil {
		return result{}, fmt.Errorf("write figures to be pooled: %w", err)
	}
	asked := q.Evaluated // where few are left out, how many were asked says how many those are
	if q.Queries != nil {
		asked = *q.Queries
	}
	return result{outputs: outputs, facts: facts, rowsIn: int64(asked), rows: int64(q.Evaluated)}, nil
}

// writeReport stores a report in each of its forms, unless one stands there, and returns the SHA-256 of the JSON that stands there then.
func (w *work) writeReport(ctx context.Context, key string, r *eval.Report) (string, error) {
	var js, html, md bytes.Buffer
	if err := errors.Join(r.WriteJSON(&js), r.WriteHTML(&html), r.WriteMarkdown(&md)); err != nil {
		return "", err
	}
	if err := w.held(ctx); err != nil {
		return "", err
	}
	stands, err := putFirst(ctx, w.Bucket, key+".json", js.Bytes())
	if err == nil {
		_, err = putFirst(ctx, w.Bucket, key+".html", html.Bytes())
	}
	if err == nil {
		_, err = putFirst(ctx, w.Bucket, key+".md", md.Bytes())
	}
	if err != nil {
		return "", fmt.Errorf("write report: %w", err)
	}
	sum := sha256.Sum256(stands)
	return hex.EncodeToString(sum[:]), nil
}

// putFirst stores an object unless one stands there, and returns what stands there then. That is written anew, byte for byte: a collection
// may be about to take it for litter, if the run that wrote it died long ago.
func putFirst(ctx context.Context, b storage.Bucket, key string, body []byte) ([]byte, error) {
	for range firstTries {
		stands, info, err := storage.ReadAll(ctx, b, key)
		switch {
		case err == nil:
			_, err = b.Put(ctx, key, storage.Bytes(stands), storage.Cond{IfMatch: info.ETag})
		case errors.Is(err, storage.ErrNotFound):
			stands = body
			_, err = storage.Commit(ctx, b, key, body, storage.Cond{IfAbsent: true})
		}
		if !errors.Is(err, storage.ErrPrecondition) {
			return stands, err
		}
		// Another has written it, or a collection was faster.
	}
	return nil, fmt.Errorf("%s: others write and remove it all the time: does a lifecycle rule of the bucket?", key)
}

// firstTries bounds how often putFirst looks again.
const firstTries = 8

// reportID names a report by the whole of the evaluate step's key, its spec (the budgets are in it) and its inputs.
func (w *work) reportID() string { return hash(w.plan.evaluate.key)[:12] }

// reportKey is where the report stands: by the evaluate step's key, so that it describes exactly what that step judged.
func (w *work) reportKey() string { return w.reportAt(w.reportID()) }

// reportAt is where a report of the run's interval stands.
func (w *work) reportAt(id string) string {
	return fmt.Sprintf("reports/%s/%s/%s", w.job.Name, w.label, id)
}

// liveContender binds the live version to the catalog of the training set. It is nil if there is none, or one that has learned from some of what the candidate
// is asked: then without says so.
func (w *work) liveContender(ctx context.Context, d *dataset) (c *eval.Contender, without string, err error) {
	v := w.plan.live
	if v == nil {
		return nil, "", nil
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("live version %d: %w", v.Number, err)
		}
	}()
	if p := w.job.Judging.Protocol; p != "" {
		return nil, fmt.Sprintf("version %d was live, and has learned from what the protocol %s asks", v.Number, p), nil
	}
	switch set, _, err := w.madeFrom(ctx, *v); {
	case errors.Is(err, storage.ErrNotFound): // what it was made from is not known any more: its windows were as long as they are
	case err != nil:
		return nil, "", err
	case set.Cuts.Test > d.Cuts.Test:
		return nil, fmt.Sprintf("version %d was live, and has learned from days of this test window, which is longer than its own was", v.Number), nil
	}
	m, err := w.openModel(ctx, v.Digest)
	if err != nil {
		return nil, "", err
	}
	s, err := m.Bind(ctx, d.Catalog, d.SubjectColumns())
	return &eval.Contender{Name: fmt.Sprintf("live v%d", v.Number), Scorer: s, Role: eval.Live}, "", err
}

// contenders binds the candidate, its parts and the baselines to the catalog of the training set, beside the live version (nil: there is none).
func (w *work) contenders(ctx context.Context, d *dataset, live *eval.Contender) ([]eval.Contender, models.Scorer, error) {
	columns := d.SubjectColumns()
	m, err := w.openModel(ctx, w.plan.trained.Digest)
	if err != nil {
		return nil, nil, err
	}
	w.model = m
	candidate, err := m.Bind(ctx, d.Catalog, columns)
	if err != nil {
		return nil, nil, err
	}
	out := []eval.Contender{{Name: w.job.Model.Name, Scorer: candidate, Role: eval.Candidate}}
	if live != nil {
		out = append(out, *live)
	}
	for _, b := range w.job.Baselines {
		s, err := w.baseline(ctx, d, b, d.Cuts.Test)
		if err != nil {
			return nil, nil, fmt.Errorf("baseline %s: %w", b.Name, err)
		}
		out = append(out, eval.Contender{Name: b.Name, Scorer: s, Role: eval.Baseline})
	}
	if r, ok := m.(models.Reranked); ok {
		base, err := r.BindBase(ctx, d.Catalog, columns)
		if err != nil {
			return nil, nil, err
		}
		if base != nil {
			out = append(out, eval.Contender{Name: "part blend", Scorer: base, Role: eval.Part})
		}
	}
	if c, ok := m.(models.Composite); ok {
		parts, err := c.BindParts(ctx, d.Catalog, columns)
		if err != nil {
			return nil, nil, err
		}
		for _, p := range parts {
			out = append(out, eval.Contender{Name: "part " + p.Name, Scorer: p.Scorer, Role: eval.Part})
		}
	}
	return out, candidate, nil
}

// asServed gives rules to the contenders whose lists may be served, or the stage of wishes where there are none (nil: nor that), and shows the candidate without
// rules beside it. Parts are shown by their scores.
func asServed(contenders []eval.Contender, rules, wishes *lists.Stage) []eval.Contender {
	for i := range contenders {
		if c := &contenders[i]; c.Role != eval.Part {
			c.Rules = cmp.Or(rules, wishes)
		}
	}
	if rules == nil {
		return contenders
	}
	return append(contenders, eval.Contender{Name: withoutRules, Scorer: contenders[0].Scorer, Role: eval.Part})
}

// baseline trains a baseline on the events before until; on what the job's protocol lets models learn from, if that is the test cut.
func (w *work) baseline(ctx context.Context, d *dataset, b Baseline, until int64) (models.Scorer, error) {
	learned := &d.Dataset
	if until == d.Cuts.Test {
		var err error
		if learned, err = w.learned(d); err != nil {
			return nil, err
		}
		until = learned.Cuts.Test
	}
	parts := make([]eval.Weighted, len(b.Parts))
	for i, p := range b.Parts {
		m, err := p.Trainer.Train(ctx, learned, until, w.job.Model.Seed)
		if err != nil {
			return nil, err
		}
		if parts[i].Scorer, err = m.Bind(ctx, d.Catalog, d.SubjectColumns()); err != nil {
			return nil, err
		}
		parts[i].Weight = p.Weight
	}
	if len(parts) == 1 {
		return parts[0].Scorer, nil
	}
	return eval.Blend(d.Catalog.Len(), parts...), nil
}

// figures are the candidate's metrics on all relevant items.
func figures(q *eval.Quality) []Metric {
	var out []Metric
	if c := q.Contender(eval.Candidate); c != nil {
		for _, e := range c.Estimates {
			if e.Split == eval.All {
				out = append(out, Metric{Name: e.Metric, Value: e.Value, Low: e.Low, High: e.High, N: e.N})
			}
		}
	}
	return out
}

// gaps are the candidate's cohort gaps on the headline metric.
func gaps(q *eval.Quality) []CohortGap {
	c := q.Contender(eval.Candidate)
	var out []CohortGap
	for i := range q.Cohorts {
		if f := q.Cohort(q.Cohorts[i].Cohort, c.Name, q.Headline); f != nil {
			out = append(out, CohortGap{Cohort: q.Cohorts[i].Cohort, Metric: q.Headline, Gap: f.Difference, RelativeGap: f.RelativeGap})
		}
	}
	return out
}
