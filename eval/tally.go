package eval

import (
	"runtime"
	"sync"
)

// tally holds, for each cell, the sums of every figure and their bootstrap replicates. Cells 0, 1, 2 are all subjects on the three splits; the rest are
// cohort groups on the split All.
type tally struct {
	cells      []cell
	judged     []bool // contenders measured by group
	figures    int
	replicates int
}

// cell is one set of subjects. Figures are numbered contender·figures + figure.
type cell struct {
	n      int
	weight []float64   // Σ w over its subjects, by replicate
	sums   [][]float64 // Σ w·value, by figure and replicate; nil for a contender that is not measured here
	total  []float64   // Σ value, by figure
	square []float64   // Σ value², by figure
}

func newTally(groups int, judged []bool, figures, replicates int) *tally {
	t := &tally{judged: judged, figures: figures, replicates: replicates, cells: make([]cell, len(splits)+groups)}
	for i := range t.cells {
		c := &t.cells[i]
		m := len(judged) * figures
		c.weight = make([]float64, replicates)
		c.sums, c.total, c.square = make([][]float64, m), make([]float64, m), make([]float64, m)
		for f := range m {
			if i < len(splits) || judged[f/figures] {
				c.sums[f] = make([]float64, replicates)
			}
		}
	}
	return t
}

// add takes one wave of values into every cell. Workers share the replicates, and each goes through the
// queries in order: no sum depends on how many workers there are.
func (t *tally) add(wave []row, values []float64, seed uint64) {
	t.addTotals(wave, values)
	var wg sync.WaitGroup
	limit := make(chan struct{}, runtime.GOMAXPROCS(0))
	for from := 0; from < t.replicates; from += replicateChunk {
		limit <- struct{}{}
		wg.Go(func() {
			t.addReplicates(wave, values, seed, from, min(from+replicateChunk, t.replicates))
			<-limit
		})
	}
	wg.Wait()
}

// at is the place of contender-and-figure f of query i of a wave on a split: values are ordered by query, contender, split, figure.
func (t *tally) at(i, f, split int) int {
	return ((i*len(t.judged)+f/t.figures)*len(splits)+split)*t.figures + f%t.figures
}

// each calls visit for every cell of the query at place i of the wave, with the split whose values belong to it.
func (t *tally) each(r *row, visit func(c *cell, split int)) {
	for s := range splits {
		if r.relevant[s] > 0 {
			visit(&t.cells[s], s)
		}
	}
	for _, g := range r.cells {
		visit(&t.cells[g], 0)
	}
}

func (t *tally) addTotals(wave []row, values []float64) {
	for i := range wave {
		t.each(&wave[i], func(c *cell, split int) {
			c.n++
			for f := range c.total {
				v := values[t.at(i, f, split)]
				c.total[f] += v
				c.square[f] += v * v
			}
		})
	}
}

func (t *tally) addReplicates(wave []row, values []float64, seed uint64, from, to int) {
	var buf [replicateChunk]float64
	w := buf[:to-from]
	for i := range wave {
		weights(w, seed, wave[i].query, from)
		t.each(&wave[i], func(c *cell, split int) {
			axpy(c.weight[from:to], 1, w)
			for k, sums := range c.sums {
				if sums == nil {
					continue
				}
				if v := values[t.at(i, k, split)]; v != 0 {
					axpy(sums[from:to], v, w)
				}
			}
		})
	}
}

// axpy adds a·x to dst.
func axpy(dst []float64, a float64, x []float64) {
	dst = dst[:len(x)]
	for i, v := range x {
		dst[i] += float64(a * v) // the conversion forbids a fused multiply-add, which would differ between architectures
	}
}
