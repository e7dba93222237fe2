package jobs

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage/table"
)

// pooledFigures is the output of an evaluate step that later ones pool theirs with.
const pooledFigures = "pool"

// poolMetrics are the metrics of the budgets that look back.
func (j *Job) poolMetrics() (out []string) {
	for _, b := range j.Budgets {
		if b.Pool > 0 && !slices.Contains(out, b.Metric) {
			out = append(out, b.Metric)
		}
	}
	slices.Sort(out)
	return out
}

// pools adds to an evaluation's own figures those of the evaluations before it, for each length that a budget asks for. The facts say
// which intervals are left out, and why. Cost: reading the pooled figures of each interval of the longest pool once.
func (w *work) pools(ctx context.Context, q *eval.Quality) (eval.Pools, error) {
	out := eval.Pools{}
	if q.Pool == nil {
		return out, nil
	}
	type earlier struct {
		iv   table.Interval
		pool *eval.Pool
		why  eval.Omission // there is none
	}
	var before []earlier
	for _, v := range w.plan.past.pooled {
		p, why, err := w.poolOf(ctx, v, w.measures(q))
		if err != nil {
			return nil, fmt.Errorf("figures of version %d, to be pooled: %w", v.Number, err)
		}
		if p != nil {
			why = p.Unlike(q.Pool)
		}
		before = append(before, earlier{v.Interval, p, why})
	}
	for _, b := range w.job.Budgets {
		if _, had := out[b.Pool]; had || b.Pool == 0 {
			continue
		}
		sum := &eval.Pool{Seed: q.Pool.Seed}
		facts := eval.PoolFacts{Window: w.iv}
		from := w.job.poolStart(w.iv, b.Pool)
		left := map[eval.Omission]int{eval.NotEvaluated: len(w.job.Every.Between(from, w.iv.Start))}
		for _, e := range before {
			if e.iv.Start.Before(from) {
				continue
			}
			left[eval.NotEvaluated]--
			if e.why != "" {
				left[e.why]++
				continue
			}
			if err := sum.Merge(e.pool); err != nil {
				return nil, err
			}
			if facts.Evaluations++; facts.Evaluations == 1 {
				facts.Window.Start = e.iv.Start
			}
		}
		if err := sum.Merge(q.Pool); err != nil {
			return nil, err
		}
		facts.Evaluations++
		for _, why := range eval.Omissions {
			if n := left[why]; n > 0 {
				facts.LeftOut = append(facts.LeftOut, eval.Unpooled{Why: why, Intervals: n})
			}
		}
		pooled := sum.Quality(q.MinN)
		if pooled != nil {
			pooled.NoLive = q.NoLive
		}
		out[b.Pool] = eval.Pooled{Quality: pooled, Facts: facts}
	}
	return out, nil
}

// measures fingerprints what an evaluation's figures to be pooled mean: those of one name are not the same thing under two protocols, of lists that may hold what
// people had and of others, of groups with other bounds, or of likenesses by other attributes. It is "" where none are kept.
func (w *work) measures(q *eval.Quality) string {
	if q.Pool == nil {
		return ""
	}
	j := w.job.Judging
	return hash(struct {
		Protocol    eval.Protocol
		Seen        eval.Masking
		Activity    []int           `json:",omitempty"`
		Tenure      []time.Duration `json:",omitempty"`
		Diversity   []string        `json:",omitempty"`
		Calibration string          `json:",omitempty"`
	}{q.Protocol, q.Seen, j.Activity, j.Tenure, j.Diversity, j.Calibration})
}

// poolOf reads the figures that the evaluation of a version kept for pooling; nil where there are none of these measures, and why.
func (w *work) poolOf(ctx context.Context, v registry.Version, measures string) (*eval.Pool, eval.Omission, error) {
	f, c, err := w.judgedOf(ctx, v)
	if err != nil {
		return nil, "", err
	}
	if f == nil {
		return nil, eval.FiguresGone, nil
	}
	m, ok := c.Outputs[pooledFigures]
	switch {
	case !ok && f.Measures != "": // retention took the table alone
		return nil, eval.FiguresGone, nil
	case !ok:
		return nil, eval.NotKept, nil
	case f.Measures != measures:
		return nil, eval.OtherDefinitions, nil
	}
	p := &eval.Pool{}
	for b, err := range table.Read(ctx, w.Bucket, m, table.ReadOptions{}) {
		if err == nil {
			err = p.Add(b)
		}
		if err != nil {
			return nil, "", err
		}
	}
	return p, "", nil
}

// writePool stages an evaluation's figures for pooling.
func (w *work) writePool(ctx context.Context, p *eval.Pool) (map[string]table.Manifest, error) {
	if p == nil {
		return nil, nil
	}
	t := table.NewWriter(w.Bucket, dataPrefix(w.plan.evaluate.key, pooledFigures), eval.PoolSchema, table.WriteOptions{SortBy: eval.PoolOrder})
	if err := t.Append(p.Batch()); err != nil {
		return nil, err
	}
	m, err := t.Finish(ctx)
	if err != nil {
		return nil, err
	}
	return map[string]table.Manifest{pooledFigures: m}, nil
}
