package table

import (
	"context"
	"fmt"
)

// exploding turns row groups into one row an element of a list.
//
// Every column of one list has an entry for each element and one for each row without elements, and the repetition and definition levels of
// all agree on which is which. So a batch is the next entries, whichever rows they belong to: a list of any length is read in bounded
// memory, and a row may begin in one batch and end in a later one.
type exploding struct {
	entries *Batch  // the columns of the list, an entry each; of other columns nothing
	rows    *Batch  // the columns outside the list, a row of the file each
	carried *Batch  // the last of rows: the next entries may belong to it
	wide    *Batch  // all columns, exploded
	lead    int     // the column of the list whose levels are taken
	element []int32 // entries that are elements,
	row     []int32 // and the place in rows of the row that each belongs to; -1: it is the carried one
	inRow   bool    // a row has begun in this row group,
	full    bool    // and it has elements
	valid   [][]bool
}

// newExploding returns what explodes the declared columns, of which one at least must stand in the list: else nothing would say how many
// elements a row has.
func (s *scan) newExploding() (*exploding, error) {
	e := &exploding{lead: -1, valid: make([][]bool, len(s.columns))}
	var all Schema
	for i, c := range s.columns {
		all = append(all, Field{c.name, c.typ})
		if c.listed() && e.lead < 0 {
			e.lead = i
		}
	}
	if e.lead < 0 {
		for _, p := range s.places {
			if p.list == s.o.Explode {
				return nil, fmt.Errorf("%w: %q is exploded, but the file has none of the columns that are declared of it", ErrColumn, s.o.Explode)
			}
		}
		var lists []string
		for _, p := range s.places {
			if p.list != "" {
				lists = append(lists, p.list)
			}
		}
		return nil, fmt.Errorf("%w: there is no list %q to explode%s", ErrColumn, s.o.Explode, nearest(s.o.Explode, lists))
	}
	e.entries, e.rows, e.carried, e.wide = newBatch(all), newBatch(all), newBatch(all), newBatch(all)
	e.carried.resize(1)
	return e, nil
}

// decode yields the elements of a row group, batch by batch, and reports whether the consumer wants more.
func (e *exploding) decode(ctx context.Context, s *scan, group int, readers []*columnReader, yield func(*Batch) bool) (bool, error) {
	g := s.meta.RowGroups[group]
	left := g.Columns[s.columns[e.lead].leaf].MetaData.NumValues
	for _, c := range s.columns {
		if n := left; c.listed() {
			if n = g.Columns[c.leaf].MetaData.NumValues; n != left {
				return false, fmt.Errorf("%w: column %q has %d entries, column %q of the same list %d", ErrCorrupt, c.name, n, s.columns[e.lead].name, left)
			}
		}
	}
	var begun int64 // rows of the file
	before := s.rowsBefore(group)
	e.inRow = false
	for left > 0 {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		n := int(min(left, int64(s.o.BatchRows)))
		left -= int64(n)
		if err := e.readEntries(s, readers, n); err != nil {
			return false, err
		}
		k, err := e.match(s, readers[e.lead], n)
		if err != nil {
			return false, err
		}
		if begun += int64(k); begun > g.NumRows {
			return false, fmt.Errorf("%w: column %q has more than the row group's %d rows", ErrCorrupt, s.columns[e.lead].name, g.NumRows)
		}
		if err := e.readRows(s, readers, k); err != nil {
			return false, err
		}
		e.count(s, readers[e.lead], n)
		e.gather(s)
		e.carry(s, k)
		rows := e.row
		if s.time != nil {
			for i, c := range s.columns {
				if c == s.time {
					s.keep = s.inWindow(s.keep[:0], &e.wide.Cols[i], e.wide.N)
				}
			}
			e.wide.take(s.keep)
			rows = taken(rows, s.keep)
		}
		s.place(group, before+begun-int64(k), rows)
		s.out.N = e.wide.N
		copy(s.out.Cols, e.wide.Cols) // without a time column that is not delivered, which is the last
		if s.out.N > 0 && !yield(s.out) {
			return false, nil
		}
	}
	if begun != g.NumRows {
		return false, fmt.Errorf("%w: column %q ends after %d rows of %d", ErrCorrupt, s.columns[e.lead].name, begun, g.NumRows)
	}
	return true, nil
}

// readEntries reads the next n entries of the list's columns.
func (e *exploding) readEntries(s *scan, readers []*columnReader, n int) error {
	e.entries.resize(n)
	for i, r := range readers {
		c := s.columns[i]
		if !c.listed() {
			continue
		}
		if err := guard(func() error { return r.read(&e.entries.Cols[i], n) }); err != nil {
			return fmt.Errorf("column %q: %w", c.name, err)
		}
		lead := readers[e.lead]
		for k := range n {
			if r.rep[k] != lead.rep[k] || (r.def[k] < c.place.element) != (lead.def[k] < c.place.element) {
				return fmt.Errorf("%w: columns %q and %q differ in how many elements a row has", ErrCorrupt, s.columns[e.lead].name, c.name)
			}
		}
	}
	return nil
}

// match finds which of n entries are elements and to which row each belongs, and returns how many rows begin among them.
func (e *exploding) match(s *scan, lead *columnReader, n int) (begun int, err error) {
	e.element, e.row = e.element[:0], e.row[:0]
	for i := range n {
		present := lead.def[i] >= s.columns[e.lead].place.element
		switch {
		case lead.rep[i] == 0:
			begun++
			e.inRow, e.full = true, present
		case !e.inRow || !e.full || !present:
			return 0, fmt.Errorf("%w: column %q has an element without a row, or a row without elements goes on", ErrCorrupt, s.columns[e.lead].name)
		}
		if present {
			e.element, e.row = append(e.element, int32(i)), append(e.row, int32(begun-1))
		}
	}
	return begun, nil
}

// readRows reads the next n rows of the columns outside the list.
func (e *exploding) readRows(s *scan, readers []*columnReader, n int) error {
	e.rows.resize(n)
	for i, r := range readers {
		c := s.columns[i]
		if n == 0 || c.listed() {
			continue
		}
		if err := guard(func() error { return r.read(&e.rows.Cols[i], n) }); err != nil {
			return fmt.Errorf("column %q: %w", c.name, err)
		}
	}
	return nil
}

// count counts the rows without elements among n entries.
func (e *exploding) count(s *scan, lead *columnReader, n int) {
	f := s.o.Facts
	if f == nil {
		return
	}
	times := -1
	for i, c := range s.columns {
		if c == s.when && !c.listed() {
			times = i
		}
	}
	row := -1
	for i := range n {
		if lead.rep[i] == 0 {
			row++
		}
		if lead.def[i] >= s.columns[e.lead].place.element {
			continue
		}
		switch {
		case times < 0 && !s.o.bounded():
			f.Empty++
		case times < 0 || e.rows.Cols[times].Null(row):
			f.Timeless++
		case !s.o.bounded() || e.rows.Cols[times].Int[row] >= s.from && e.rows.Cols[times].Int[row] < s.to:
			f.Empty++
		}
	}
}

// gather puts the elements and the rows that they belong to together.
func (e *exploding) gather(s *scan) {
	n := len(e.element)
	e.wide.resize(n)
	for i, c := range s.columns {
		dst, t := &e.wide.Cols[i], e.wide.Schema[i].Type
		from, at := &e.rows.Cols[i], e.row
		if c.listed() {
			from, at = &e.entries.Cols[i], e.element
		}
		carried := &e.carried.Cols[i]
		null := from.Valid != nil || len(at) > 0 && at[0] < 0 && carried.Valid != nil
		if null {
			e.valid[i] = resized(e.valid[i], n)
			dst.Valid = e.valid[i]
		}
		for k, j := range at {
			src, j := from, int(j)
			if j < 0 {
				src, j = carried, 0
			}
			dst.set(k, src, j, t)
			if null {
				dst.Valid[k] = !src.Null(j)
			}
		}
	}
}

// carry keeps the last of n rows.
func (e *exploding) carry(s *scan, n int) {
	if n == 0 {
		return
	}
	for i, c := range s.columns {
		if c.listed() {
			continue
		}
		dst, src := &e.carried.Cols[i], &e.rows.Cols[i]
		dst.set(0, src, n-1, e.rows.Schema[i].Type)
		dst.Valid = nil
		if src.Null(n - 1) {
			dst.Valid = []bool{false}
		}
	}
}

// set copies value j of src to place i. Nulls are copied as the zeros that stand in their slots.
func (c *Column) set(i int, src *Column, j int, t Type) {
	switch t {
	case Float64:
		c.Float[i] = src.Float[j]
	case String:
		c.Str[i] = src.Str[j]
	default:
		c.Int[i] = src.Int[j]
	}
}
