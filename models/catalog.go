package models

import (
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// Catalog is the set of items that may be ranked, with their attributes. Items are known by their position everywhere in this package;
// IDs are sorted ascending, so that equal sets give equal positions.
type Catalog struct {
	IDs   []string
	Attrs *Attributes // one row an item; nil if none are declared
}

// Len returns the number of items.
func (c *Catalog) Len() int { return len(c.IDs) }

// Lookup returns the position of an item. O(log n).
func (c *Catalog) Lookup(id string) (int32, bool) {
	i, ok := slices.BinarySearch(c.IDs, id)
	return int32(i), ok
}

// Validate reports the first fault of the catalog: ids out of order, repeated, or not UTF-8, attributes of another number of items.
func (c *Catalog) Validate() error {
	for i, id := range c.IDs {
		if !utf8.ValidString(id) {
			return fmt.Errorf("item %d: id is not valid UTF-8", i)
		}
		if i > 0 && c.IDs[i-1] >= id {
			return fmt.Errorf("item %d: id %q stands after %q; ids must ascend without repetition", i, id, c.IDs[i-1])
		}
	}
	if c.Attrs == nil {
		return nil
	}
	if c.Attrs.N != len(c.IDs) {
		return fmt.Errorf("attributes of %d items for a catalog of %d", c.Attrs.N, len(c.IDs))
	}
	if err := c.Attrs.Validate(); err != nil {
		return fmt.Errorf("item attributes: %w", err)
	}
	return nil
}

// Map returns, for each item of from, its position in to, or -1 where it is not there. One pass over both lists.
func Map(from, to *Catalog) []int32 {
	out := make([]int32, len(from.IDs))
	j := 0
	for i, id := range from.IDs {
		for j < len(to.IDs) && to.IDs[j] < id {
			j++
		}
		out[i] = -1
		if j < len(to.IDs) && to.IDs[j] == id {
			out[i] = int32(j)
		}
	}
	return out
}

// Attributes is a table of attributes in columns, one row an item or a subject.
type Attributes struct {
	N    int
	Cats []CatColumn
	Nums []NumColumn
}

// CatColumn is a categorical attribute. Values[i] indexes Levels; -1 is missing. Levels are sorted ascending.
type CatColumn struct {
	Name   string
	Levels []string
	Values []int32
}

// Level returns the level of row i, or "" where it is missing.
func (c *CatColumn) Level(i int) string {
	if v := c.Values[i]; v >= 0 {
		return c.Levels[v]
	}
	return ""
}

// NumColumn is a numeric attribute; NaN is missing.
type NumColumn struct {
	Name   string
	Values []float64
}

// NewCatColumn makes a column of one level a row; "" is missing.
func NewCatColumn(name string, rows []string) CatColumn {
	levels := slices.Clone(rows)
	slices.Sort(levels)
	levels = slices.Compact(levels)
	if len(levels) > 0 && levels[0] == "" {
		levels = levels[1:]
	}
	values := make([]int32, len(rows))
	for i, level := range rows {
		values[i] = -1
		if level != "" {
			j, _ := slices.BinarySearch(levels, level)
			values[i] = int32(j)
		}
	}
	return CatColumn{Name: name, Levels: levels, Values: values}
}

// Cat returns the categorical column of that name, or nil. It may be called on nil.
func (a *Attributes) Cat(name string) *CatColumn {
	if a == nil {
		return nil
	}
	for i := range a.Cats {
		if a.Cats[i].Name == name {
			return &a.Cats[i]
		}
	}
	return nil
}

// Num returns the numeric column of that name, or nil. It may be called on nil.
func (a *Attributes) Num(name string) *NumColumn {
	if a == nil {
		return nil
	}
	for i := range a.Nums {
		if a.Nums[i].Name == name {
			return &a.Nums[i]
		}
	}
	return nil
}

// Validate reports the first fault: a repeated name, a column of another length, levels out of order, a value that is no level.
func (a *Attributes) Validate() error {
	names := map[string]bool{}
	claim := func(name string, n int) error {
		switch {
		case name == "" || !utf8.ValidString(name):
			return errors.New("a column has no name, or one that is not valid UTF-8")
		case names[name]:
			return fmt.Errorf("column %q is there twice", name)
		case n != a.N:
			return fmt.Errorf("column %q has %d rows, want %d", name, n, a.N)
		}
		names[name] = true
		return nil
	}
	for _, c := range a.Cats {
		if err := claim(c.Name, len(c.Values)); err != nil {
			return err
		}
		for i, level := range c.Levels {
			if level == "" || !utf8.ValidString(level) || (i > 0 && c.Levels[i-1] >= level) {
				return fmt.Errorf("column %q: level %d is empty, not UTF-8, or out of order", c.Name, i)
			}
		}
		for i, v := range c.Values {
			if v < -1 || int(v) >= len(c.Levels) {
				return fmt.Errorf("column %q: row %d has level %d of %d", c.Name, i, v, len(c.Levels))
			}
		}
	}
	for _, c := range a.Nums {
		if err := claim(c.Name, len(c.Values)); err != nil {
			return err
		}
	}
	return nil
}
