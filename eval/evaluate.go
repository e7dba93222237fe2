package eval

import (
	"context"
	"fmt"
	"math"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/lists"
)

const (
	waveQueries    = 1024 // queries between two summations
	replicateChunk = 128  // replicates summed by one worker at a time; a multiple of 4
)

// Evaluate ranks the whole catalog for every query with every contender and measures the lists: the metrics of this package at each of t.K over all, repeated and
// explored items, the candidate's paired differences, and the figures by cohort. It does not change t's slices.
//
// Time is that of scoring plus O(queries · figures · replicates); memory is that of models.Rank, two numbers an item for each contender and length,
// and one a figure, group and replicate: none of it grows with the number of queries but the task itself.
func Evaluate(ctx context.Context, t Task, contenders []Contender) (*Quality, error) {
	if err := t.check(contenders); err != nil {
		return nil, err
	}
	e := newEvaluation(&t, contenders)
	if len(e.rows) == 0 {
		return nil, fmt.Errorf("evaluate: %w: none of the %d subjects took an item in the test window that a list may hold", ErrEmptyTask, len(t.Queries))
	}
	for lo := 0; lo < len(e.rows); lo += waveQueries {
		w := e.rows[lo:min(lo+waveQueries, len(e.rows))]
		if err := e.score(ctx, w); err != nil {
			return nil, fmt.Errorf("evaluate: %w", err)
		}
		e.cover(w)
		e.tally.add(w, e.values, t.Seed)
	}
	return e.quality(), nil
}

// row is one query with something to find.
type row struct {
	query    int // in Task.Queries
	relevant [len(splits)]int
	cells    []int32 // the groups it belongs to, as cells of the tally
}

// evaluation is the state of one call of Evaluate.
type evaluation struct {
	task       *Task
	contenders []Contender
	discount   discount
	depth      int // the longest list
	figures    int // list metrics × lengths
	rows       []row
	masked     int

	// One wave: the figures by query, contender, split and figure, and the lists by contender.
	values []float64
	lists  []models.Ranking
	flags  []bool // scratch: hits by split and rank

	tally    *tally
	coverage []cover // contender-major, one a length
	tied     []int
}

func newEvaluation(t *Task, contenders []Contender) *evaluation {
	depth := t.K[len(t.K)-1]
	e := &evaluation{
		task: t, contenders: contenders, depth: depth, figures: len(t.K) * len(listMetrics), discount: newDiscount(depth),
		coverage: make([]cover, len(contenders)*len(t.K)), tied: make([]int, len(contenders)),
		lists: make([]models.Ranking, len(contenders)), flags: make([]bool, len(splits)*depth),
	}
	var groups int
	base := make([]int, len(t.Cohorts)) // the first cell of each cohort; its last is Missing
	for i, c := range t.Cohorts {
		base[i] = len(splits) + groups
		groups += len(c.Levels) + 1
	}
	for q := range t.Queries {
		r := row{query: q}
		for _, item := range t.Relevant[q] {
			if !allows(&t.Queries[q], item) {
				e.masked++
				continue
			}
			r.relevant[0]++
			if t.Seen != nil && contains(t.Seen[q], item) {
				r.relevant[1]++
			} else {
				r.relevant[2]++
			}
		}
		if r.relevant[0] == 0 {
			continue
		}
		for i, c := range t.Cohorts {
			level := int(c.Of[q])
			if level < 0 {
				level = len(c.Levels)
			}
			r.cells = append(r.cells, int32(base[i]+level))
		}
		e.rows = append(e.rows, r)
	}
	judged := make([]bool, len(contenders)) // contenders that are measured by group
	for i, c := range contenders {
		judged[i] = c.Role != Part
	}
	e.tally = newTally(groups, judged, e.figures, t.Replicates)
	for i := range e.coverage {
		e.coverage[i].owner = make([]int32, len(t.Catalog.IDs))
	}
	return e
}

// score ranks and measures one wave, one contender after another: models.Rank uses all cores.
func (e *evaluation) score(ctx context.Context, wave []row) error {
	if e.values == nil {
		e.values = make([]float64, min(waveQueries, len(e.rows))*len(e.contenders)*len(splits)*e.figures)
	}
	queries := make([]models.Query, len(wave))
	for i := range queries {
		queries[i] = e.task.Queries[wave[i].query]
		queries[i].K = e.depth
	}
	for c := range e.contenders {
		if err := e.rank(ctx, c, queries); err != nil {
			return fmt.Errorf("rank with %s: %w", e.contenders[c].Name, err)
		}
		for i := range wave {
			at := (i*len(e.contenders) + c) * len(splits) * e.figures
			items, _ := e.lists[c].Query(i)
			e.measure(e.values[at:at+len(splits)*e.figures], &wave[i], items)
		}
	}
	return nil
}

// rank makes the lists of contender c for one wave: as they would be served, if it has rules.
func (e *evaluation) rank(ctx context.Context, c int, queries []models.Query) error {
	rules := e.contenders[c].Rules
	if rules == nil {
		return models.Rank(ctx, e.contenders[c].Scorer, len(e.task.Catalog.IDs), queries, &e.lists[c])
	}
	var made lists.Lists
	if err := rules.Rank(ctx, e.contenders[c].Scorer, queries, &made); err != nil {
		return err
	}
	e.lists[c] = made.Ranking
	return nil
}

// measure writes the figures of one list on each split; a split without relevant items is never read.
func (e *evaluation) measure(dst []float64, r *row, list []int32) {
	n := len(list)
	flags := e.flags[:len(splits)*n]
	hit := [len(splits)][]bool{flags[:n], flags[n : 2*n], flags[2*n:]}
	for i, item := range list {
		relevant := contains(e.task.Relevant[r.query], item)
		repeat := relevant && e.task.Seen != nil && contains(e.task.Seen[r.query], item)
		hit[0][i], hit[1][i], hit[2][i] = relevant, repeat, relevant && !repeat
	}
	for s := range splits {
		if r.relevant[s] > 0 {
			e.discount.score(dst[s*e.figures:(s+1)*e.figures], hit[s], r.relevant[s], e.task.K)
		}
	}
}

// cover takes the lists of one wave into the coverage of each contender and counts lists of equal scores.
func (e *evaluation) cover(wave []row) {
	for i := range wave {
		for c := range e.contenders {
			items, scores := e.lists[c].Query(i)
			if m := len(scores); m > 1 && scores[0] == scores[m-1] {
				e.tied[c]++
			}
			for j, k := range e.task.K {
				e.coverage[c*len(e.task.K)+j].add(items[:min(k, len(items))], int32(wave[i].query))
			}
		}
	}
}

// cover counts the distinct items over lists, and for the jackknife the lists that alone hold an item.
type cover struct {
	owner    []int32 // an item: 0 in no list, −1 in several, else 1 + the only list
	distinct int
}

func (c *cover) add(items []int32, list int32) {
	for _, i := range items {
		switch {
		case c.owner[i] == 0:
			c.owner[i] = list + 1
			c.distinct++
		case c.owner[i] != list+1:
			c.owner[i] = -1
		}
	}
}

// estimate returns the share of the catalog covered by n lists, and the delete-one jackknife's standard error of it. Leaving list q out loses the f_q
// items that it alone holds, so that with C₍q₎ = (distinct − f_q)/items the variance (n−1)/n · Σ(C₍q₎ − C̄)² is
//
//	(n−1)/n · (Σf_q² − (Σf_q)²/n) / items²
//
// (Efron & Stein 1981: biased upward, hence on the safe side.)
func (c *cover) estimate(n int) (value, se float64) {
	items := float64(len(c.owner))
	alone := map[int32]int{}
	for _, o := range c.owner {
		if o > 0 {
			alone[o]++
		}
	}
	var sum, squares int // integers: the order of the map does not matter
	for _, f := range alone {
		sum += f
		squares += f * f
	}
	value = float64(c.distinct) / items
	if n < 2 {
		return value, math.NaN()
	}
	v := float64(squares) - float64(sum)*float64(sum)/float64(n)
	return value, math.Sqrt(max(0, v)*float64(n-1)/float64(n)) / items
}
