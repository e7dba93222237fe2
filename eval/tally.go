package eval

import (
	"math"
)

// cell is one set of subjects: the sums of some columns of their values, by bucket of the bootstrap.
type cell struct {
	from, to int       // which columns of a subject's values
	n        int       // subjects
	slot     []int32   // of each bucket, in rows; −1: nobody of the cell is in it
	at       []int32   // the bucket of each slot
	members  []float64 // subjects of each slot
	rows     []float64 // by slot, to−from wide: Σ value
	total    []float64 // by column: Σ value
	square   []float64 // by column: Σ value²; nil where no spread is asked for
}

func newCell(from, to int, spread bool) cell {
	c := cell{from: from, to: to, slot: make([]int32, buckets), total: make([]float64, to-from)}
	for i := range c.slot {
		c.slot[i] = -1
	}
	if spread {
		c.square = make([]float64, to-from)
	}
	return c
}

// add takes one subject's values, of all columns, into the cell.
func (c *cell) add(bucket int, values []float64) {
	width := c.to - c.from
	s := c.slot[bucket]
	if s < 0 {
		s = int32(len(c.at))
		c.slot[bucket] = s
		c.at, c.members = append(c.at, int32(bucket)), append(c.members, 0)
		c.rows = append(c.rows, make([]float64, width)...)
	}
	c.n++
	c.members[s]++
	row := c.rows[int(s)*width:][:width]
	total := c.total[:width]
	for i, v := range values[c.from:c.to] {
		row[i] += v
		total[i] += v
	}
	if c.square != nil {
		for i, v := range values[c.from:c.to] {
			c.square[i] += float64(v * v)
		}
	}
}

// resampled is a cell with the sums of all replicates.
type resampled struct {
	*cell
	replicates int
	weight     []float64 // Σ w over its subjects, by replicate
	sums       []float64 // Σ w·value, by column and replicate
}

// resample sums the replicates of a cell.
func (c *cell) resample(d *draws) *resampled {
	r := &resampled{cell: c, replicates: d.replicates, weight: make([]float64, d.replicates), sums: make([]float64, (c.to-c.from)*d.replicates)}
	d.sum(r.weight, c.at, c.members, 1)
	d.sum(r.sums, c.at, c.rows, c.to-c.from)
	return r
}

// series is one figure as columns: the sum of num over that of den, or over the subjects if den is negative. Columns are counted over all values.
type series struct{ num, den int }

// size is over how many subjects a figure is a mean.
func (r *resampled) size(s series) int { return sizeOf(s, r.n, r.total, r.from) }

func (c *cell) size(s series) int { return sizeOf(s, c.n, c.total, c.from) }

func sizeOf(s series, n int, total []float64, from int) int {
	if s.den < 0 {
		return n
	}
	return int(total[s.den-from])
}

// value is the figure itself, NaN where it has none.
func (r *resampled) value(s series) float64 {
	if s.den < 0 {
		return r.total[s.num-r.from] / float64(r.n)
	}
	return r.total[s.num-r.from] / r.total[s.den-r.from]
}

// of returns the sums of a column, a replicate each, as a view.
func (r *resampled) of(column int) []float64 {
	return r.sums[(column-r.from)*r.replicates:][:r.replicates]
}

// over returns what the sums of a figure are divided by, a replicate each, as a view.
func (r *resampled) over(s series) []float64 {
	if s.den < 0 {
		return r.weight
	}
	return r.of(s.den)
}

// deviation is the standard deviation of n values of which the sum and the sum of squares are known.
func deviation(n, sum, square float64) float64 {
	return math.Sqrt(max(0, square-sum*sum/n) / (n - 1))
}

func (r *resampled) estimate(s series) Estimate {
	return estimate(r.size(s), r.value(s), r.of(s.num), r.over(s))
}

// apart is the standard error of the difference of two figures; nil where it has none.
func (r *resampled) apart(a, b series) *float64 {
	return apart(r.of(a.num), r.over(a), r.of(b.num), r.over(b))
}

func (r *resampled) compare(a, b series) Comparison {
	return compare(min(r.size(a), r.size(b)), r.value(a), r.value(b), r.of(a.num), r.over(a), r.of(b.num), r.over(b))
}
