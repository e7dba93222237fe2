package content

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/artifact"
)

// space is the feature space of items: first the levels of each categorical column, then the bins of each numeric one.
type space struct {
	cats []levels
	nums []bins
	idf  []float32 // of each feature; 0 for one that is not used
}

// levels are the features [base, base+len(names)) of a categorical column.
type levels struct {
	column string
	names  []string // ascending
	base   int
}

// bins are the features [base, base+len(edges)] of a numeric column: bin b holds the values in (edges[b−1], edges[b]].
type bins struct {
	column string
	edges  []float64 // ascending
	base   int
}

// newSpace learns levels, bins and their idf from the attributes of the training catalog.
func newSpace(a *models.Attributes, maxBins int) *space {
	sp := &space{}
	if a == nil {
		return sp
	}
	base := 0
	for i := range a.Cats {
		c := &a.Cats[i]
		n := make([]int, len(c.Levels))
		for _, v := range c.Values {
			if v >= 0 {
				n[v]++
			}
		}
		l := levels{column: c.Name, base: base}
		for v, level := range c.Levels {
			if n[v] >= 2 {
				l.names = append(l.names, level)
				sp.idf = append(sp.idf, idf(a.N, n[v]))
			}
		}
		base += len(l.names)
		sp.cats = append(sp.cats, l)
	}
	for i := range a.Nums {
		c := &a.Nums[i]
		b := bins{column: c.Name, edges: quantiles(c.Values, maxBins), base: base}
		n := make([]int, len(b.edges)+1)
		for _, v := range c.Values {
			if finite(v) {
				n[b.of(v)]++
			}
		}
		for _, n := range n {
			sp.idf = append(sp.idf, idf(a.N, n))
		}
		base += len(n)
		sp.nums = append(sp.nums, b)
	}
	return sp
}

// idf is ln(N/n); a feature of fewer than two items is not used.
func idf(all, n int) float32 {
	if n < 2 {
		return 0
	}
	return float32(math.Log(float64(all) / float64(n)))
}

// quantiles returns the distinct values at 1/n, 2/n, … of the finite values, without the greatest.
func quantiles(values []float64, n int) []float64 {
	sorted := make([]float64, 0, len(values))
	for _, v := range values {
		if finite(v) {
			sorted = append(sorted, v)
		}
	}
	slices.Sort(sorted)
	var edges []float64
	for q := 1; q < n && len(sorted) > 0; q++ {
		v := sorted[(len(sorted)-1)*q/n]
		if v < sorted[len(sorted)-1] && (len(edges) == 0 || v > edges[len(edges)-1]) {
			edges = append(edges, v)
		}
	}
	return edges
}

func finite(v float64) bool { return v-v == 0 }

func (b *bins) of(v float64) int {
	i, _ := slices.BinarySearch(b.edges, v)
	return i
}

// vectors are the items' vectors, sparse: item i owns [off[i], off[i+1]).
type vectors struct {
	off []int
	f   []int32
	x   []float32
}

func (v *vectors) item(i int32) ([]int32, []float32) {
	a, b := v.off[i], v.off[i+1]
	return v.f[a:b], v.x[a:b]
}

// vectors places the items of a catalog in the space. Columns are found by name; levels that training did not see are left out.
func (sp *space) vectors(c *models.Catalog) *vectors {
	n := c.Len()
	out := &vectors{off: make([]int, 1, n+1)}
	type feature func(i int) int // the feature of item i in one column, -1 if none
	var columns []feature
	for _, l := range sp.cats {
		col := c.Attrs.Cat(l.column)
		if col == nil {
			continue
		}
		to := make([]int, len(col.Levels))
		for v, level := range col.Levels {
			to[v] = -1
			if j, ok := slices.BinarySearch(l.names, level); ok {
				to[v] = l.base + j
			}
		}
		columns = append(columns, func(i int) int {
			if v := col.Values[i]; v >= 0 {
				return to[v]
			}
			return -1
		})
	}
	for _, b := range sp.nums {
		col := c.Attrs.Num(b.column)
		if col == nil {
			continue
		}
		columns = append(columns, func(i int) int {
			if v := col.Values[i]; finite(v) {
				return b.base + b.of(v)
			}
			return -1
		})
	}
	for i := range n {
		begin, norm := len(out.f), 0.0
		for _, feature := range columns {
			if f := feature(i); f >= 0 && sp.idf[f] > 0 {
				out.f = append(out.f, int32(f))
				out.x = append(out.x, sp.idf[f])
				norm += float64(sp.idf[f]) * float64(sp.idf[f])
			}
		}
		for j := begin; j < len(out.x); j++ {
			out.x[j] = float32(float64(out.x[j]) / math.Sqrt(norm))
		}
		out.off = append(out.off, len(out.f))
	}
	return out
}

// save writes the space: strings "columns" (categorical, then numeric) and "levels", tensors "levels_of" and "edges_of" (their number for each
// column), "edges" and "idf".
func (sp *space) save(w *artifact.Writer) {
	var columns, names []string
	var levelsOf, edgesOf []int32
	var edges []float64
	for _, l := range sp.cats {
		columns, names, levelsOf = append(columns, l.column), append(names, l.names...), append(levelsOf, int32(len(l.names)))
	}
	for _, b := range sp.nums {
		columns, edges, edgesOf = append(columns, b.column), append(edges, b.edges...), append(edgesOf, int32(len(b.edges)))
	}
	w.Strings("columns", columns)
	w.Strings("levels", names)
	w.I32("levels_of", []int{len(levelsOf)}, levelsOf)
	w.I32("edges_of", []int{len(edgesOf)}, edgesOf)
	w.F64("edges", []int{len(edges)}, edges)
	w.F32("idf", []int{len(sp.idf)}, sp.idf)
}

func loadSpace(r *artifact.Reader) (*space, error) {
	columns, err := r.Strings("columns")
	if err != nil {
		return nil, err
	}
	names, err := r.Strings("levels")
	if err != nil {
		return nil, err
	}
	levelsOf, err := r.I32("levels_of", -1)
	if err != nil {
		return nil, err
	}
	edgesOf, err := r.I32("edges_of", -1)
	if err != nil {
		return nil, err
	}
	edges, err := r.F64("edges", -1)
	if err != nil {
		return nil, err
	}
	if len(columns) != len(levelsOf)+len(edgesOf) {
		return nil, fmt.Errorf("%d columns, but sizes of %d", len(columns), len(levelsOf)+len(edgesOf))
	}
	sp, base := &space{}, 0
	for i, n := range levelsOf {
		own, rest, err := take(names, n)
		if err != nil {
			return nil, fmt.Errorf("levels of column %q: %w", columns[i], err)
		}
		names = rest
		sp.cats = append(sp.cats, levels{column: columns[i], names: own, base: base})
		base += len(own)
	}
	for i, n := range edgesOf {
		column := columns[len(levelsOf)+i]
		own, rest, err := take(edges, n)
		if err != nil {
			return nil, fmt.Errorf("edges of column %q: %w", column, err)
		}
		edges = rest
		sp.nums = append(sp.nums, bins{column: column, edges: own, base: base})
		base += len(own) + 1
	}
	if len(names) > 0 || len(edges) > 0 {
		return nil, fmt.Errorf("%d levels and %d edges belong to no column", len(names), len(edges))
	}
	if sp.idf, err = r.F32("idf", base); err != nil {
		return nil, err
	}
	return sp, nil
}

// take splits n strictly ascending values off list.
func take[T cmp.Ordered](list []T, n int32) (own, rest []T, err error) {
	if n < 0 || int(n) > len(list) {
		return nil, nil, fmt.Errorf("%d values announced, %d left", n, len(list))
	}
	own, rest = list[:n:n], list[n:]
	for i := 1; i < len(own); i++ {
		if own[i-1] >= own[i] {
			return nil, nil, fmt.Errorf("value %d is out of order or repeated", i)
		}
	}
	return own, rest, nil
}
