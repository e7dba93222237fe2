package event

import (
	"cmp"
	"maps"
	"slices"

	"github.com/rapport-ml/rapport/features/expect"
	"github.com/rapport-ml/rapport/storage/table"
)

// bySize tells the values of a column, which stand at the rule's level, so that each that is told, and what is withheld, is of AtLeast people: those of the
// batches' first column. A value that fewer share is told one level up, with others of its parent that are too few as well; where these are too few together,
// the smallest that were enough go with them, or what is left would follow from what is told. What the highest level still tells of too few is withheld: null.
// So are all, where there are fewer people than that.
//
// It depends on who shares which value, and on nothing else: neither on how rows are ordered nor on how they are split. Nulls are of nobody here: they may
// be of anybody. It returns how many values there were, and where those are told that are told above the rule's level. Memory: two words for each person and value;
// O(n log n) for the rows at each level.
func (c *Coarsening) bySize(batches []*table.Batch, column int) (did expect.Coarse) {
	values := sharing(batches, column)
	parents := c.Hierarchy.parents(c.Level)
	for range c.Hierarchy.depth - c.Level + 1 {
		for _, below := range families(values, parents) {
			lift(below, c.AtLeast)
		}
	}
	told := map[string]string{}
	for _, v := range values {
		told[v.path[0]] = v.told()
		switch did.Values++; {
		case v.told() == "":
			did.Withheld++
		case v.told() != v.path[0]: // what is other stays so at every level
			did.Lift(c.Level+v.at, 1)
		}
	}
	for _, b := range batches {
		col := &b.Cols[column]
		for i := range b.N {
			if col.Null(i) {
				continue
			}
			if col.Str[i] = told[col.Str[i]]; col.Str[i] == "" {
				withhold(col, b.N, i)
			}
		}
	}
	return did
}

// shared is a value at the finest level that is told, and who shares it.
type shared struct {
	path   []string // what it is from the rule's level on, level by level; the last is "", which stands for withheld
	people []int64  // ascending
	at     int      // where on the path it is told
}

func (v *shared) told() string { return v.path[v.at] }

// sharing finds who shares each value of a column.
func sharing(batches []*table.Batch, column int) []*shared {
	by := map[string]*shared{}
	for _, b := range batches {
		col := &b.Cols[column]
		for i := range b.N {
			if col.Null(i) {
				continue
			}
			v := by[col.Str[i]]
			if v == nil {
				v = &shared{path: []string{col.Str[i]}}
				by[col.Str[i]] = v
			}
			if who := b.Cols[0].Int[i]; len(v.people) == 0 || v.people[len(v.people)-1] != who {
				if n := len(v.people); n == cap(v.people) { // before it grows: most rows are of people who are known already
					if v.people = distinct(v.people); len(v.people) > n/2 {
						v.people = slices.Grow(v.people, n)
					}
				}
				v.people = append(v.people, who)
			}
		}
	}
	out := make([]*shared, 0, len(by))
	for _, value := range slices.Sorted(maps.Keys(by)) {
		v := by[value]
		v.people = distinct(v.people)
		out = append(out, v)
	}
	return out
}

func distinct(people []int64) []int64 {
	slices.Sort(people)
	return slices.Compact(people)
}

// families are the values by their parents at the level above the last of their paths, which they get. Above the highest level all have the same.
func families(values []*shared, parents []map[string]string) [][]*shared {
	by := map[string][]*shared{}
	for _, v := range values {
		parent := ""
		if k := len(v.path) - 1; k < len(parents) {
			if parent = parents[k][v.path[k]]; parent == "" {
				parent = Other
			}
		}
		v.path = append(v.path, parent)
		by[parent] = append(by[parent], v)
	}
	out := make([][]*shared, 0, len(by))
	for _, parent := range slices.Sorted(maps.Keys(by)) {
		out = append(out, by[parent])
	}
	return out
}

// told is what stands in place of a value.
type told struct {
	at    int // on the paths of values
	value string
}

// cell are the values of one parent that are told alike.
type cell struct {
	told
	values []*shared
	people []int64
}

// lift tells those values of one parent by it that too few people share.
func lift(below []*shared, least int) {
	of := map[told]*cell{}
	for _, v := range below {
		as := told{v.at, v.told()}
		if of[as] == nil {
			of[as] = &cell{told: as}
		}
		of[as].values = append(of[as].values, v)
		of[as].people = append(of[as].people, v.people...)
	}
	for _, c := range of {
		c.people = distinct(c.people)
	}
	cells := slices.SortedFunc(maps.Values(of), func(a, b *cell) int {
		return cmp.Or(cmp.Compare(len(a.people), len(b.people)), cmp.Compare(a.at, b.at), cmp.Compare(a.value, b.value))
	})
	var together []int64 // those who are lifted, until they are enough
	for i, c := range cells {
		if len(c.people) >= least && (i == 0 || len(together) >= least) {
			return
		}
		if len(together) < least {
			together = distinct(append(together, c.people...))
		}
		for _, v := range c.values {
			v.at = len(v.path) - 1
		}
	}
}

// parents says what each value of a level of the hierarchy is one level up, from one level on; "" where it is Other.
func (h *Hierarchy) parents(from int) []map[string]string {
	out := make([]map[string]string, h.depth-from)
	for k := range out {
		out[k] = map[string]string{}
		for _, levels := range h.levels {
			if levels[from+k-1] != "" {
				out[k][levels[from+k-1]] = levels[from+k]
			}
		}
	}
	return out
}

// withhold makes row i of a column of n rows a null.
func withhold(c *table.Column, n, i int) {
	if c.Valid == nil {
		c.Valid = make([]bool, n)
		for k := range c.Valid {
			c.Valid[k] = true
		}
	}
	c.Valid[i] = false
}
