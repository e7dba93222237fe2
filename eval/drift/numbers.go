package drift

import (
	"fmt"
	"math"
)

// Numbers learns the bins of a numeric column in one scan, in bounded memory and in any order: a histogram whose cells are 1 % wide on a
// logarithmic scale (as in DDSketch, Masson, Rim & Lee, VLDB 2019), each remembering its least value. The zero value is not usable; call NewNumbers.
type Numbers struct {
	cells map[int32]weighted // value is the least of the cell
}

// NewNumbers returns an empty histogram.
func NewNumbers() *Numbers { return &Numbers{cells: map[int32]weighted{}} }

const (
	cellWidth = 0.01
	maxCell   = 1 << 20 // beyond the logarithm of any float64
)

// Add counts one value; NaN and infinities are left out.
func (n *Numbers) Add(v float64) {
	if v != v || math.IsInf(v, 0) {
		return
	}
	n.take(cellOf(v), weighted{v, 1})
}

// cellOf numbers the cell of v: equal values share one, and so do values within 1 % of each other, roughly.
func cellOf(v float64) int32 {
	if v == 0 {
		return 0
	}
	c := int32(math.Floor(math.Log(math.Abs(v))/cellWidth)) + maxCell
	if v < 0 {
		return -c
	}
	return c
}

func (n *Numbers) take(cell int32, w weighted) {
	if old, ok := n.cells[cell]; ok {
		w.n += old.n
		w.value = min(w.value, old.value)
	}
	n.cells[cell] = w
}

// Merge adds the values of o.
func (n *Numbers) Merge(o *Numbers) {
	for cell, w := range o.cells {
		n.take(cell, w)
	}
}

// Spec cuts the bins as NumericSpec does, taking each value for the least of its cell. Without a value it is an error.
func (n *Numbers) Spec(name string) (Spec, error) {
	if len(n.cells) == 0 {
		return Spec{}, fmt.Errorf("learn the bins of %s: the reference window holds no value", name)
	}
	rows := make([]weighted, 0, len(n.cells))
	for _, w := range n.cells {
		rows = append(rows, w) // numericSpec sorts: the order of the map is lost
	}
	return numericSpec(name, rows), nil
}
