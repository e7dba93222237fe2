package eval

import (
	"fmt"
	"slices"
)

// Pool holds some figures of an evaluation as sums, so that evaluations of several intervals can be judged as one. A subject has the same bootstrap
// weights in all of them, so that the pooled interval knows that people come back. It holds no cell of fewer than MinCell subjects, and nobody's
// values: sums over each cell, and over each replicate's draw of it.
type Pool struct {
	Seed  uint64
	Cells []PoolCell
}

// PoolCell is one set of subjects: everybody, or a group of a cohort.
type PoolCell struct {
	Cohort  string // "": everybody
	Level   string
	N       int       // subjects; over several intervals, each as often as it was evaluated
	Weight  []float64 // Σ w, by replicate
	Figures []PoolFigure
}

// PoolFigure is one metric of one contender in a cell.
type PoolFigure struct {
	Contender string // "candidate" or "live", whichever version that was, or a baseline's name
	Metric    string
	N         int // those of the cell for whom it is defined
	Sum       float64
	Square    float64   // Σ value², of everybody alone
	Weight    []float64 // Σ w over N, by replicate, where N is not the cell's
	Sums      []float64 // Σ w·value, by replicate
}

// pooled is the name of a contender in pools: versions come and go.
func (c *Contender) pooled() string {
	if c.Role == Candidate || c.Role == Live {
		return string(c.Role)
	}
	return c.Name
}

// pool takes the figures that the task wants pooled from a cell.
func (e *evaluation) pool(q *Quality, r *resampled, cohort, level string) {
	if len(e.task.Pool) == 0 || r.n < MinCell {
		return
	}
	if q.Pool == nil {
		q.Pool = &Pool{Seed: e.task.Seed}
	}
	cell := PoolCell{Cohort: cohort, Level: level, N: r.n, Weight: slices.Clone(r.weight)}
	for _, metric := range e.task.Pool {
		for c := range e.contenders {
			s, ok := e.series(metric, c)
			if !ok || !e.layout.measured[c] {
				continue
			}
			f := PoolFigure{Contender: e.contenders[c].pooled(), Metric: metric, N: r.size(s), Sum: r.total[s.num-r.from], Sums: slices.Clone(r.of(s.num))}
			if f.N < MinCell {
				continue
			}
			if r.square != nil {
				f.Square = r.square[s.num-r.from]
			}
			if s.den >= 0 {
				f.Weight = slices.Clone(r.of(s.den))
			}
			cell.Figures = append(cell.Figures, f)
		}
	}
	q.Pool.Cells = append(q.Pool.Cells, cell)
}

// series finds a metric of a contender on the split All; ok is false for one of all lists together, or that is not measured.
func (e *evaluation) series(metric string, contender int) (s series, ok bool) {
	for f := range e.layout.hits {
		if e.hitName(f) == metric {
			return e.layout.hit(0, contender, f), true
		}
	}
	for f := range e.layout.lists / 2 {
		if e.listName(f) == metric {
			return e.layout.list(contender, f), true
		}
	}
	return s, false
}

// Merge adds other's sums to p's: cells and figures that one of them lacks are taken from the other. A figure is only of the intervals that had it: two that are not of the same
// subjects are not compared.
func (p *Pool) Merge(other *Pool) error {
	if p.Seed != other.Seed {
		return fmt.Errorf("pool evaluations: bootstrap seeds %d and %d: their replicates do not belong together", p.Seed, other.Seed)
	}
	if err := other.check(p.replicates()); err != nil {
		return err
	}
	for _, from := range other.Cells {
		to := p.cell(from.Cohort, from.Level)
		if to == nil {
			p.Cells = append(p.Cells, from.clone())
			continue
		}
		to.N += from.N
		axpy(to.Weight, 1, from.Weight)
		for _, f := range from.Figures {
			mine := to.figure(f.Contender, f.Metric)
			if mine == nil {
				to.Figures = append(to.Figures, f.clone())
				continue
			}
			mine.N, mine.Sum, mine.Square = mine.N+f.N, mine.Sum+f.Sum, mine.Square+f.Square
			axpy(mine.Sums, 1, f.Sums)
			if mine.Weight != nil {
				axpy(mine.Weight, 1, f.Weight)
			}
		}
	}
	return nil
}

// replicates is how many replicates the pool has; 0: it is empty.
func (p *Pool) replicates() int {
	if len(p.Cells) == 0 {
		return 0
	}
	return len(p.Cells[0].Weight)
}

// check reports the first fault of a pool that was read: p is to have so many replicates (0: any number).
func (p *Pool) check(replicates int) error {
	if replicates == 0 {
		replicates = p.replicates()
	}
	for i := range p.Cells {
		c := &p.Cells[i]
		if len(c.Weight) != replicates {
			return fmt.Errorf("pool evaluations: %d replicates of %s %s, want %d", len(c.Weight), c.Cohort, c.Level, replicates)
		}
		for j := range c.Figures {
			f := &c.Figures[j]
			own := slices.Contains(listMetrics, metricOf(f.Metric))
			if len(f.Sums) != replicates || (own && len(f.Weight) != replicates) || (!own && f.Weight != nil) || f.N > c.N {
				return fmt.Errorf("pool evaluations: the sums of %s of %s do not fit their cell", f.Metric, f.Contender)
			}
		}
	}
	return nil
}

func (c PoolCell) clone() PoolCell {
	c.Weight = slices.Clone(c.Weight)
	figures := make([]PoolFigure, len(c.Figures))
	for i, f := range c.Figures {
		figures[i] = f.clone()
	}
	c.Figures = figures
	return c
}

func (f PoolFigure) clone() PoolFigure {
	f.Weight, f.Sums = slices.Clone(f.Weight), slices.Clone(f.Sums)
	return f
}

func (p *Pool) cell(cohort, level string) *PoolCell {
	for i := range p.Cells {
		if c := &p.Cells[i]; c.Cohort == cohort && c.Level == level {
			return c
		}
	}
	return nil
}

func (c *PoolCell) figure(contender, metric string) *PoolFigure {
	for i := range c.Figures {
		if f := &c.Figures[i]; f.Contender == contender && f.Metric == metric {
			return f
		}
	}
	return nil
}

// weights are Σ w over those for whom the figure is defined.
func (c *PoolCell) weights(f *PoolFigure) []float64 {
	if f.Weight != nil {
		return f.Weight
	}
	return c.Weight
}

// Quality returns the pooled figures as those of one evaluation, for Gate: of all contenders over everybody, of the candidate against those who were measured in
// all of the same evaluations, and by group. Groups of fewer than minN people are not judged, however often these were asked. It is nil of an empty pool.
func (p *Pool) Quality(minN int) *Quality {
	all := p.cell("", "")
	if all == nil || len(all.Figures) == 0 {
		return nil
	}
	q := &Quality{
		Protocol: Temporal, Seen: Kept, Headline: all.Figures[0].Metric, Queries: &all.N, Evaluated: all.N, NoRelevant: new(int), Replicates: len(all.Weight), Seed: p.Seed, Confidence: Confidence,
		MinN: max(minN, MinCell),
	}
	for i := range all.Figures {
		f := &all.Figures[i]
		at := slices.IndexFunc(q.Contenders, func(c ContenderQuality) bool { return c.Name == f.Contender })
		if at < 0 {
			at = len(q.Contenders)
			q.Contenders = append(q.Contenders, ContenderQuality{Name: f.Contender, Role: f.role(), Tied: new(int)})
		}
		q.Contenders[at].Estimates = append(q.Contenders[at].Estimates, all.estimate(f).as(toldOf(f.N, all.N)))
		if mine := all.figure(string(Candidate), f.Metric); mine != nil && mine != f && mine.N == f.N {
			c := compare(f.N, mine.Sum/float64(mine.N), f.Sum/float64(f.N), mine.Sums, all.weights(mine), f.Sums, all.weights(f))
			c.N = toldOf(c.N, all.N)
			c.Metric, c.Split, c.Against, c.Role, c.people = f.Metric, All, f.Contender, f.role(), all.people(f)
			q.Comparisons = append(q.Comparisons, c)
		}
	}
	adjust(q.Comparisons)
	for i := range p.Cells {
		cohort := p.Cells[i].Cohort
		if cohort == "" || slices.ContainsFunc(q.Cohorts, func(c CohortQuality) bool { return c.Cohort == cohort }) {
			continue
		}
		out := CohortQuality{Cohort: cohort}
		for j := range all.Figures {
			out.Figures = append(out.Figures, p.cohort(cohort, all, &all.Figures[j], q.MinN))
		}
		q.Cohorts = append(q.Cohorts, out)
	}
	return q
}

func (f *PoolFigure) role() Role {
	switch f.Contender {
	case string(Candidate), string(Live):
		return Role(f.Contender)
	}
	return Baseline
}

func (c *PoolCell) estimate(f *PoolFigure) Estimate {
	e := estimate(f.N, f.Sum/float64(f.N), f.Sums, c.weights(f))
	e.Metric, e.Split, e.people = f.Metric, All, c.people(f)
	return e
}

// people is how many people a figure is of, to a tenth and rather too many, of whom N counts each as often as they were asked: as many as would make the
// weights of the replicates vary as they do, N²/variance, if all were asked equally often. The variance is that of buckets, which hold others too; where they
// hold so many that people cannot be told from buckets it is N.
func (c *PoolCell) people(f *PoolFigure) int {
	const slack = 1.1 // a thousand replicates know a variance to 4.5 %
	_, _, se := interval(slices.Clone(c.weights(f)))
	if !(se > 0) {
		return f.N
	}
	n := float64(f.N)
	filled := n * n / (se * se)
	if filled > buckets/2 {
		return f.N
	}
	return min(f.N, int(slack/(1/filled-1.0/buckets)))
}

// cohort is a figure by the groups that any of the evaluations could show.
func (p *Pool) cohort(cohort string, all *PoolCell, whole *PoolFigure, minN int) CohortFigure {
	est := all.estimate(whole)
	out := CohortFigure{Contender: whole.Contender, Metric: whole.Metric, Overall: est.Value, OverallError: est.StandardError}
	spread := deviation(float64(whole.N), whole.Sum, whole.Square)
	for i := range p.Cells {
		c := &p.Cells[i]
		f := c.figure(whole.Contender, whole.Metric)
		if c.Cohort != cohort || f == nil {
			continue
		}
		g := group(c.estimate(f), spread, ceiling(f.Metric))
		g.Level, g.Status = c.Level, Judged
		if *g.N = toldOf(f.N, c.N); g.people < minN {
			g.Status = Insufficient
		}
		if mine := c.figure(string(Candidate), f.Metric); mine != nil && mine != f {
			g.apart = apart(mine.Sums, c.weights(mine), f.Sums, c.weights(f))
		}
		out.ByGroup = append(out.ByGroup, g)
	}
	out.summarize(minN)
	return out
}
