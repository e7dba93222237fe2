package encode

import (
	"cmp"
	"fmt"
	"strconv"

	"github.com/rapport-ml/rapport/models/artifact"
)

// name prints bin i as its bounds.
func (b *bins) name(i int) string {
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	switch {
	case len(b.edges) == 0:
		return "any"
	case i == 0:
		return "up to " + number(b.edges[0])
	case i == len(b.edges):
		return "above " + number(b.edges[i-1])
	}
	return number(b.edges[i-1]) + " to " + number(b.edges[i])
}

// Save writes the space: strings "columns" (categorical, then numeric) and "levels", tensors "levels_of" and "edges_of" (their number for
// each column), "edges" and "idf"; and of a space of words the tensor "cuts", how each categorical column is cut.
func (sp *Space) Save(w *artifact.Writer) {
	var columns, names []string
	var levelsOf, edgesOf []int32
	var edges []float64
	cuts := make([]uint8, len(sp.cats))
	for i, l := range sp.cats {
		columns, names, levelsOf = append(columns, l.column), append(names, l.names...), append(levelsOf, int32(len(l.names)))
		cuts[i] = uint8(l.cut)
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
	if sp.words {
		w.U8("cuts", []int{len(cuts)}, cuts)
	}
}

// Load reads what Save wrote of a space with or without words. The bytes are not trusted.
func Load(r *artifact.Reader, words bool) (*Space, error) {
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
	cutOf := make([]uint8, len(levelsOf))
	if words {
		if cutOf, err = r.U8("cuts", len(levelsOf)); err != nil {
			return nil, err
		}
	}
	sp, base := &Space{words: words}, 0
	for i, n := range levelsOf {
		own, rest, err := take(names, n)
		if err != nil {
			return nil, fmt.Errorf("levels of column %q: %w", columns[i], err)
		}
		if cut(cutOf[i]) >= cuts {
			return nil, fmt.Errorf("column %q is cut in way %d of %d", columns[i], cutOf[i], cuts)
		}
		names = rest
		sp.cats = append(sp.cats, levels{column: columns[i], cut: cut(cutOf[i]), names: own, base: base})
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
