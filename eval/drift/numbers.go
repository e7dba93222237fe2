package drift

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Numbers learns how the values of a numeric column are spread, in one scan, in bounded memory and in any order. Up to 4,096 distinct values are counted
// as they are; of more, a histogram is kept whose cells divide each power of two by 128, so that a cell is 0.8 % wide at most (as in DDSketch,
// Masson, Rim & Lee, VLDB 2019, with the bits of the number in place of its logarithm). The zero value is not usable; call NewNumbers.
type Numbers struct {
	cells  map[uint64]weighted // by ordered(value) >> coarse: value is the least of the cell
	coarse uint
	rows   int64
}

// weighted is a value that occurred n times.
type weighted struct {
	value float64
	n     int64
}

const (
	mostDistinct = 4096
	cellBits     = 45 // of the 64 are left out of a cell's number: sign, exponent and 7 bits of the fraction stay
	fewDistinct  = 5  // a column of at most so many values is one of levels
	evenBins     = 10 // of values that all lie within a few cells
)

// NewNumbers returns an empty sketch.
func NewNumbers() *Numbers { return &Numbers{cells: map[uint64]weighted{}} }

// ordered maps numbers to integers of the same order, −0 to that of 0.
func ordered(v float64) uint64 {
	bits := math.Float64bits(v + 0)
	return bits ^ (uint64(int64(bits)>>63) | 1<<63)
}

// isNumber reports whether v can be counted: NaN and infinities can't.
func isNumber(v float64) bool { return v-v == 0 }

// Add counts one value; NaN and infinities are left out.
func (n *Numbers) Add(v float64) {
	if isNumber(v) {
		n.take(ordered(v)>>n.coarse, weighted{v, 1})
	}
}

func (n *Numbers) take(cell uint64, w weighted) {
	n.rows += w.n
	if old, ok := n.cells[cell]; ok {
		w.n += old.n
		w.value = min(w.value, old.value)
	}
	n.cells[cell] = w
	if n.coarse == 0 && len(n.cells) > mostDistinct {
		n.coarsen()
	}
}

// coarsen goes from single values to cells: where it ends does not depend on when it happens.
func (n *Numbers) coarsen() {
	fine := n.cells
	n.cells, n.coarse, n.rows = make(map[uint64]weighted, len(fine)/2), cellBits, 0
	for key, w := range fine {
		n.take(key>>cellBits, w)
	}
}

// Merge adds the values of o, which it does not change.
func (n *Numbers) Merge(o *Numbers) {
	if o.coarse > 0 && n.coarse == 0 {
		n.coarsen()
	}
	for key, w := range o.cells {
		n.take(key>>(n.coarse-o.coarse), w)
	}
}

// Rows is how many values were counted.
func (n *Numbers) Rows() int64 { return n.rows }

// sorted returns the values, ascending, each with its count.
func (n *Numbers) sorted() []weighted {
	rows := make([]weighted, 0, len(n.cells))
	for _, w := range n.cells {
		rows = append(rows, w)
	}
	slices.SortFunc(rows, func(a, b weighted) int { return cmp.Compare(a.value, b.value) })
	return rows
}

// Quantiles returns the order statistics at ascending shares p, each taken for the least of its cell, or nil if no value was counted.
func (n *Numbers) Quantiles(p ...float64) []float64 {
	if n.rows == 0 {
		return nil
	}
	return quantiles(n.sorted(), n.rows, p)
}

// middle is the median of the values other than zero, which say nothing of a unit: NaN if there are none.
func (n *Numbers) middle() float64 {
	rows := slices.DeleteFunc(n.sorted(), func(w weighted) bool { return w.value == 0 })
	var all int64
	for _, w := range rows {
		all += w.n
	}
	if all == 0 {
		return math.NaN()
	}
	return quantiles(rows, all, []float64{0.5})[0]
}

// quantiles returns order statistics, no interpolations: each is a value that occurs.
func quantiles(sorted []weighted, rows int64, p []float64) []float64 {
	out := make([]float64, len(p))
	var below int64 // rows before sorted[i]
	i := 0
	for k, share := range p {
		at := int64(math.Round(share * float64(rows-1)))
		for below+sorted[i].n <= at {
			below += sorted[i].n
			i++
		}
		out[k] = sorted[i].value
	}
	return out
}

// Spec cuts the bins as NumericSpec does, taking each value for the least of its cell. Without a value it is an error.
func (n *Numbers) Spec(name string) (Spec, error) {
	if n.rows == 0 {
		return Spec{}, fmt.Errorf("learn the bins of %s: the reference window holds no value", name)
	}
	rows := n.sorted()
	if n.coarse > 0 && len(rows) <= fewDistinct { // thousands of values in a few cells: these are no levels
		return evenSpec(name, rows[0].value, n.cellEnd()), nil
	}
	return numericSpec(name, rows), nil
}

// cellEnd is where the last cell ends.
func (n *Numbers) cellEnd() float64 {
	var last uint64
	for key := range n.cells {
		last = max(last, key)
	}
	end := (last + 1) << cellBits
	return math.Float64frombits(end ^ (^uint64(int64(end)>>63) | 1<<63))
}

// evenSpec cuts [lo, hi) into equal bins. Their values' deviation is that of an even spread.
func evenSpec(name string, lo, hi float64) Spec {
	s := Spec{Name: name, Std: (hi - lo) / math.Sqrt(12)}
	for i := range evenBins + 1 {
		s.Edges = append(s.Edges, lo+(hi-lo)*float64(i)/evenBins)
	}
	return s
}
