package encode

import (
	"cmp"
	"math"
	"slices"

	"github.com/rapport-ml/rapport/models"
)

// Options say how a Space is learned. The zero value counts all rows, knows no bound, and takes every text for a category.
type Options struct {
	Bins  int     // quantile bins of a numeric column, at most
	Least int     // a level of fewer rows is left out; less than 2 means 2
	Most  int     // keep the features of this many most frequent levels; 0: all
	Rows  []int32 // the rows that count, ascending; nil: all
	Words bool    // cut lists and texts into their members
}

// Space is the feature space of a table of attributes: first the levels of each categorical column, then the bins of each numeric one.
type Space struct {
	cats  []levels
	nums  []bins
	idf   []float32 // of each feature; 0 for one that is not used
	words bool      // Options.Words
}

// levels are the features [base, base+len(names)) of a categorical column.
type levels struct {
	column string
	cut    cut
	names  []string // ascending
	base   int
}

// bins are the features [base, base+len(edges)] of a numeric column: bin b holds the values in (edges[b−1], edges[b]].
type bins struct {
	column string
	edges  []float64 // ascending
	base   int
}

// New learns levels, bins and their idf. a may be nil. O(values), and O(levels·log levels).
func New(a *models.Attributes, o Options) *Space {
	sp := &Space{words: o.Words}
	if a == nil {
		return sp
	}
	rows := o.Rows
	if rows == nil {
		rows = make([]int32, a.N)
		for i := range rows {
			rows[i] = int32(i)
		}
	}
	counted := make([][]int, len(a.Cats)) // parallel to the names of each column
	for i := range a.Cats {
		l, n := learnLevels(&a.Cats[i], rows, max(o.Least, 2), o.Words)
		sp.cats, counted[i] = append(sp.cats, l), n
	}
	if o.Most > 0 {
		sp.keep(counted, o.Most)
	}
	for i := range sp.cats {
		sp.cats[i].base = len(sp.idf)
		for _, n := range counted[i] {
			sp.idf = append(sp.idf, idf(len(rows), n))
		}
	}
	for i := range a.Nums {
		c := &a.Nums[i]
		b := bins{column: c.Name, edges: quantiles(c.Values, rows, o.Bins), base: len(sp.idf)}
		n := make([]int, len(b.edges)+1)
		for _, r := range rows {
			if v := c.Values[r]; finite(v) {
				n[b.of(v)]++
			}
		}
		for _, n := range n {
			sp.idf = append(sp.idf, idf(len(rows), n))
		}
		sp.nums = append(sp.nums, b)
	}
	return sp
}

// learnLevels returns the levels of at least `least` of the rows and how many rows have each.
func learnLevels(c *models.CatColumn, rows []int32, least int, words bool) (levels, []int) {
	n := make([]int, len(c.Levels))
	for _, r := range rows {
		if v := c.Values[r]; v >= 0 {
			n[v]++
		}
	}
	l, names := levels{column: c.Name}, c.Levels
	if words {
		l.cut = cutOf(c.Levels, n)
	}
	if l.cut != whole {
		byName := map[string]int{}
		for v, level := range c.Levels {
			if n[v] > 0 {
				for _, member := range l.cut.members(level) {
					byName[member] += n[v]
				}
			}
		}
		names, n = names[:0:0], n[:0:0]
		for name := range byName {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			n = append(n, byName[name])
		}
	}
	var kept []int
	for v, name := range names {
		if n[v] >= least {
			l.names, kept = append(l.names, name), append(kept, n[v])
		}
	}
	return l, kept
}

// keep leaves the `most` most frequent levels of all columns; of equals the first.
func (sp *Space) keep(counted [][]int, most int) {
	type at struct{ column, level, n int }
	var all []at
	for i, n := range counted {
		for v, n := range n {
			all = append(all, at{i, v, n})
		}
	}
	if len(all) <= most {
		return
	}
	slices.SortStableFunc(all, func(a, b at) int { return cmp.Compare(b.n, a.n) })
	all = all[:most]
	slices.SortFunc(all, func(a, b at) int { return cmp.Or(cmp.Compare(a.column, b.column), cmp.Compare(a.level, b.level)) })
	names, left := make([][]string, len(counted)), make([][]int, len(counted))
	for _, x := range all {
		names[x.column] = append(names[x.column], sp.cats[x.column].names[x.level])
		left[x.column] = append(left[x.column], x.n)
	}
	for i := range sp.cats {
		sp.cats[i].names, counted[i] = names[i], left[i]
	}
}

// idf is ln(N/n); a feature of fewer than two rows is not used.
func idf(all, n int) float32 {
	if n < 2 {
		return 0
	}
	return float32(math.Log(float64(all) / float64(n)))
}

// quantiles returns the distinct values at 1/n, 2/n, … of the finite values in the rows, without the greatest.
func quantiles(values []float64, rows []int32, n int) []float64 {
	sorted := make([]float64, 0, len(rows))
	for _, r := range rows {
		if v := values[r]; finite(v) {
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

// Len returns the number of features.
func (sp *Space) Len() int { return len(sp.idf) }

// Used returns how many features have weight.
func (sp *Space) Used() int {
	n := 0
	for _, v := range sp.idf {
		if v > 0 {
			n++
		}
	}
	return n
}
