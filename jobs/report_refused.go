package jobs

import (
	"context"
	"fmt"

	"github.com/rapport-ml/rapport/eval"
)

// refused are the facts of the step that tells of a run whose inputs had drifted too far to train of them.
type refused struct {
	Report string `json:"report"` // key in the bucket, without extension
	SHA256 string `json:"sha256"` // of the report's JSON
}

// refuse writes the report of a run that ends with its drift check. It is a step of its own, keyed by what was found, what somebody knows of it, and
// the live version that it is told beside, so that the same refusal is told once, and a collection of garbage sees who refers to the report.
func (w *work) refuse(ctx context.Context, d eval.Drift, decision eval.Decision) error {
	p := w.plan
	inputs := p.driftInputs()
	if p.live != nil {
		inputs = append(inputs, p.live.Key, p.live.Digest)
	}
	s := step{name: "refuse", label: w.label, iv: w.iv, key: stepKey("refuse", w.label, w.iv, logicRefuse, w.job.Drift, inputs...)}
	c, err := w.do(ctx, s, func(ctx context.Context) (result, error) {
		id := hash(s.key)[:12]
		r, err := w.opening(ctx, id, decision, d.Report)
		if err != nil {
			return result{}, err
		}
		r.Model.Name = w.job.Model.Name
		r.Lineage = append(r.Lineage, eval.LineageStep{Step: "drift", Key: p.drift.key})
		key := w.reportAt(id)
		sum, err := w.writeReport(ctx, key, r)
		return result{facts: refused{Report: key, SHA256: sum}}, err
	})
	if err != nil {
		return fmt.Errorf("report of a refusal: %w", err)
	}
	f, err := factsOf[refused](c)
	w.res.Report = f.Report
	return err
}
