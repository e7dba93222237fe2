package eval

import (
	"context"
	"fmt"
	"slices"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/lists"
)

// waveQueries is how many queries are asked and measured at a time.
const waveQueries = 1024

// Evaluate ranks the whole catalog for every query with every contender and measures the lists: the metrics of this package at each of t.K by split, the
// candidate's paired differences, the figures by cohort, and what stands in the lists. It does not change what t holds.
//
// Memory is that of models.Rank and of one wave of queries; 2·4·20 bytes an item for each length and judged contender; and 8 bytes for each figure,
// group and bucket of the bootstrap: none of it grows with the number of subjects. Time is that of scoring, O(queries · figures · cohorts) and, at the
// end, O(groups · figures · 1024 · replicates).
func Evaluate(ctx context.Context, t Task, contenders []Contender) (*Quality, error) {
	if err := t.check(contenders); err != nil {
		return nil, err
	}
	e := newEvaluation(&t, contenders)
	for next := 0; next < t.Rows; {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("evaluate: %w", err)
		}
		var err error
		if next, err = e.ask(next); err != nil {
			return nil, fmt.Errorf("evaluate: %w", err)
		}
		if len(e.wave) == 0 {
			continue
		}
		if err := e.rank(ctx); err != nil {
			return nil, fmt.Errorf("evaluate: %w", err)
		}
		e.measure(e.wave)
		e.catalogue()
		e.tally()
		e.evaluated += len(e.wave)
	}
	if e.evaluated == 0 {
		return nil, fmt.Errorf("evaluate: %w: none of the %d subjects took an item in the test window that a list may hold", ErrEmptyTask, t.Rows)
	}
	return e.quality(), nil
}

// row is one subject with something to find.
type row struct {
	Subject
	row      int // of the task
	bucket   int // of the bootstrap
	relevant [len(splits)]int
}

// evaluation is the state of one call of Evaluate.
type evaluation struct {
	task       *Task
	contenders []Contender
	candidate  int
	live       int // −1: none
	discount   discount
	depth      int // the longest list
	layout     layout
	rarity     []float64 // of items; nil: not known
	standing   []float64

	// One wave: its subjects, their values, and the lists by contender.
	wave    []row
	queries []models.Query
	values  []float64
	lists   []models.Ranking

	evaluated, masked int
	cells             []cell   // the splits, then the groups of each cohort, the last of which is Missing
	first             []int    // the first cell of each cohort
	unknown           []partly // of each intersection
	hidden            [][]bool // by cohort, the groups that are withheld
	spread            []cover
	shelf             []shelf
	tied              []int
}

func newEvaluation(t *Task, contenders []Contender) *evaluation {
	e := &evaluation{
		task: t, contenders: contenders, live: -1, depth: t.K[len(t.K)-1], layout: newLayout(t, contenders),
		rarity: t.Items.rarity(), standing: t.Items.standing(), tied: make([]int, len(contenders)), lists: make([]models.Ranking, len(contenders)),
		spread: make([]cover, len(contenders)*len(t.K)), shelf: make([]shelf, len(contenders)*len(t.K)), first: make([]int, len(t.Cohorts)),
	}
	e.discount = newDiscount(e.depth)
	for c := range contenders {
		switch contenders[c].Role {
		case Candidate:
			e.candidate = c
		case Live:
			e.live = c
		}
	}
	for s := range splits {
		e.cells = append(e.cells, newCell(e.layout.of[s][0], e.layout.of[s][1], s == 0))
	}
	for i, c := range t.Cohorts {
		e.first[i] = len(e.cells)
		e.unknown = append(e.unknown, partly{})
		for range len(c.Levels) + 1 {
			e.cells = append(e.cells, newCell(0, e.layout.byGroup, false))
		}
	}
	for c := range contenders {
		for j := range t.K {
			e.spread[c*len(t.K)+j].owner = make([]int32, len(t.Catalog.IDs))
			if e.layout.measured[c] {
				e.shelf[c*len(t.K)+j] = newShelf(len(t.Catalog.IDs))
			}
		}
	}
	return e
}

// ask fills the wave with subjects who have something to find, from row next on, and returns the row after them.
func (e *evaluation) ask(next int) (int, error) {
	e.wave, e.queries = e.wave[:0], e.queries[:0]
	for ; next < e.task.Rows && len(e.wave) < waveQueries; next++ {
		r := row{Subject: e.task.Subject(next), row: next}
		if err := r.check(int32(len(e.task.Catalog.IDs))); err != nil {
			return 0, fmt.Errorf("row %d: %w", next, err)
		}
		for _, item := range r.Relevant {
			if !allows(&r.Query, item) {
				e.masked++
				continue
			}
			r.relevant[0]++
			if contains(r.Seen, item) {
				r.relevant[1]++
			} else {
				r.relevant[2]++
			}
			if e.task.Items.Cold != nil && e.task.Items.Cold[item] {
				r.relevant[4]++
			}
		}
		if r.relevant[0] == 0 {
			continue
		}
		if r.Cold {
			r.relevant[3] = r.relevant[0]
		}
		r.bucket = bucket(e.task.Seed, r.Key)
		r.Query.K = e.depth
		e.wave, e.queries = append(e.wave, r), append(e.queries, r.Query)
	}
	if n := len(e.wave) * e.layout.width; n > len(e.values) {
		e.values = make([]float64, n)
	}
	return next, nil
}

// rank makes the lists of one wave, one contender after another, as they would be served: models.Rank uses all cores.
func (e *evaluation) rank(ctx context.Context) error {
	for c := range e.contenders {
		rules, queries := e.contenders[c].Rules, e.queries
		if ask := e.contenders[c].Ask; ask != nil {
			queries = make([]models.Query, len(e.queries))
			for i, q := range e.queries {
				queries[i] = ask(q)
				queries[i].K = e.depth
			}
		}
		if rules == nil {
			if err := models.Rank(ctx, e.contenders[c].Scorer, len(e.task.Catalog.IDs), queries, &e.lists[c]); err != nil {
				return fmt.Errorf("rank with %s: %w", e.contenders[c].Name, err)
			}
			continue
		}
		var made lists.Lists
		if err := rules.Rank(ctx, e.contenders[c].Scorer, queries, &made); err != nil {
			return fmt.Errorf("rank with %s: %w", e.contenders[c].Name, err)
		}
		e.lists[c] = made.Ranking
	}
	return nil
}

// catalogue takes the lists of one wave into the coverage and the exposure of items of each contender, and counts lists of equal scores.
func (e *evaluation) catalogue() {
	for i := range e.wave {
		for c := range e.contenders {
			items, scores := e.lists[c].Query(i)
			if m := len(scores); m > 1 && slices.Max(scores) == slices.Min(scores) {
				e.tied[c]++
			}
			for j, k := range e.task.K {
				list := items[:min(k, len(items))]
				e.spread[c*len(e.task.K)+j].add(list, int32(e.evaluated+i))
				if e.layout.measured[c] {
					e.shelf[c*len(e.task.K)+j].add(list, e.wave[i].bucket)
				}
			}
		}
	}
}

// tally takes the values of one wave into every cell, in the order of the rows.
func (e *evaluation) tally() {
	headline := make([]float64, len(e.contenders))
	for i := range e.wave {
		r := &e.wave[i]
		values := e.values[i*e.layout.width:][:e.layout.width]
		if e.task.Each != nil {
			for c := range headline {
				headline[c] = values[e.layout.hit(0, c, 0).num]
			}
			e.task.Each(r.row, headline)
		}
		for s := range splits {
			if r.relevant[s] > 0 {
				e.cells[s].add(r.bucket, values)
			}
		}
		for j, c := range e.task.Cohorts {
			level := int(c.Of[r.row])
			if level < 0 {
				level = len(c.Levels)
				if c.parts != nil {
					e.unknown[j].add(c.parts, r.row)
				}
			}
			e.cells[e.first[j]+level].add(r.bucket, values)
		}
	}
}
