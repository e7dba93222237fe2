package encode

import (
	"math"
	"slices"

	"github.com/rapport-ml/rapport/models"
)

// Rows are sparse rows: row i owns [off[i], off[i+1]) of f, which ascend, and x.
type Rows struct {
	off []int
	f   []int32
	x   []float32
}

// Len returns the number of rows.
func (v *Rows) Len() int { return len(v.off) - 1 }

// Row returns the features of row i and their values, as views.
func (v *Rows) Row(i int32) ([]int32, []float32) {
	a, b := v.off[i], v.off[i+1]
	return v.f[a:b], v.x[a:b]
}

// Rows places the first n rows of a in the space. Columns are found by name; levels that the Space does not know are left out. a may be
// nil: the rows are empty then. O(values).
func (sp *Space) Rows(a *models.Attributes, n int) *Rows {
	out := &Rows{off: make([]int, 1, n+1)}
	var columns []func(i int) []int32 // the features of row i in one column
	for _, l := range sp.cats {
		col := a.Cat(l.column)
		if col == nil {
			continue
		}
		of := make([][]int32, len(col.Levels))
		for v, level := range col.Levels {
			of[v] = l.of(nil, level)
		}
		columns = append(columns, func(i int) []int32 {
			if v := col.Values[i]; v >= 0 {
				return of[v]
			}
			return nil
		})
	}
	for _, b := range sp.nums {
		col := a.Num(b.column)
		if col == nil {
			continue
		}
		one := make([]int32, 1)
		columns = append(columns, func(i int) []int32 {
			if v := col.Values[i]; finite(v) {
				one[0] = int32(b.base + b.of(v))
				return one
			}
			return nil
		})
	}
	for i := range n {
		for _, of := range columns {
			out.f = append(out.f, of(i)...)
		}
		out.close(sp)
	}
	return out
}

// of appends the features of a level to dst.
func (l *levels) of(dst []int32, level string) []int32 {
	if l.cut == whole {
		if j, ok := slices.BinarySearch(l.names, level); ok {
			dst = append(dst, int32(l.base+j))
		}
		return dst
	}
	for _, member := range l.cut.members(level) {
		if j, ok := slices.BinarySearch(l.names, member); ok {
			dst = append(dst, int32(l.base+j))
		}
	}
	return dst
}

// close ends a row whose features have been appended: those without weight leave, the others get their values.
func (v *Rows) close(sp *Space) {
	begin, norm := v.off[len(v.off)-1], 0.0
	own := slices.DeleteFunc(v.f[begin:], func(f int32) bool { return !(sp.idf[f] > 0) })
	v.f = v.f[:begin+len(own)]
	for _, f := range own {
		v.x = append(v.x, sp.idf[f])
		norm += float64(sp.idf[f]) * float64(sp.idf[f])
	}
	for j := begin; j < len(v.x); j++ {
		v.x[j] = float32(float64(v.x[j]) / math.Sqrt(norm))
	}
	v.off = append(v.off, len(v.f))
}

// Levels places rows that come as levels of categorical columns, one after another, as the subject of a query does.
type Levels struct {
	space *Space
	at    []int // column of the rows → position in space.cats, or −1
}

// Levels returns what places rows of these columns.
func (sp *Space) Levels(columns []string) *Levels {
	l := &Levels{space: sp, at: make([]int, len(columns))}
	for i, name := range columns {
		l.at[i] = slices.IndexFunc(sp.cats, func(c levels) bool { return c.column == name })
		if slices.Contains(columns[:i], name) {
			l.at[i] = -1 // given twice: the first counts
		}
	}
	return l
}

// Row returns a row's features, ascending, and their values. levels is parallel to the columns; "" and what is missing at its end are unknown.
func (l *Levels) Row(levels []string) ([]int32, []float32) {
	r := Rows{off: []int{0}}
	for i, level := range levels[:min(len(levels), len(l.at))] {
		if c := l.at[i]; c >= 0 && level != "" {
			r.f = l.space.cats[c].of(r.f, level)
		}
	}
	slices.Sort(r.f)
	r.close(l.space)
	return r.f, r.x
}

// Source names a feature: a level as column=level, a bin as column=low…high, open at its ends.
func (sp *Space) Source(f int) string {
	for _, l := range sp.cats {
		if f >= l.base && f < l.base+len(l.names) {
			return l.column + "=" + l.names[f-l.base]
		}
	}
	for _, b := range sp.nums {
		if f >= b.base && f <= b.base+len(b.edges) {
			return b.column + "=" + b.name(f-b.base)
		}
	}
	return ""
}
