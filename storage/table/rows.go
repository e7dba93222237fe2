package table

import (
	"fmt"
	"math"
	"slices"
	"unicode/utf8"
)

// rows buffers rows in columns, in canonical form: a null's slot is zero, a Bool is 0 or 1, there is one NaN and one zero, and
// text is UTF-8.
type rows struct {
	schema Schema
	n      int
	cols   []Column
	text   *copies // of texts, if these were copied
}

func newRows(s Schema) *rows { return &rows{schema: s, cols: make([]Column, len(s))} }

// add appends rows of b, which has r's schema.
func (r *rows) add(b *Batch, s selection) error {
	for i, f := range r.schema {
		if err := appendColumn(&r.cols[i], &b.Cols[i], f.Type, r.n, s); err != nil {
			return fmt.Errorf("column %q: %w", f.Name, err)
		}
	}
	r.n += s.n
	return nil
}

// selection names rows of a batch: n of them from one on, or, if there are such, those picked, which are n.
type selection struct {
	from, n int
	pick    []int32
}

func all(b *Batch) selection { return selection{n: b.N} }

// cut is s without the first of its rows, and no more than some of the others.
func (s selection) cut(from, most int) selection {
	n := min(s.n-from, most)
	if s.pick != nil {
		return selection{n: n, pick: s.pick[from : from+n]}
	}
	return selection{from: s.from + from, n: n}
}

// row is the number of the row that s names as its i-th.
func (s selection) row(i int) int {
	if s.pick != nil {
		return int(s.pick[i])
	}
	return s.from + i
}

// appendColumn appends values of src to dst, which holds have.
func appendColumn(dst, src *Column, t Type, have int, s selection) error {
	var valid []bool // of the values that are appended, if some may be null
	switch {
	case src.Valid != nil:
		if dst.Valid == nil {
			dst.Valid = slices.Repeat([]bool{true}, have)
		}
		dst.Valid = appendSelected(dst.Valid, src.Valid, s)
		valid = dst.Valid[have:]
	case dst.Valid != nil:
		dst.Valid = append(dst.Valid, slices.Repeat([]bool{true}, s.n)...)
	}
	switch t {
	case Float64:
		dst.Float = appendFloats(dst.Float, src.Float, s)
		clearNulls(dst.Float[have:], valid)
	case String, Bytes:
		if src.Code == nil {
			dst.Str = appendSelected(dst.Str, src.Str, s)
		} else {
			dst.Str = slices.Grow(dst.Str, s.n)[:have+s.n]
			for i := range s.n {
				if row := s.row(i); !src.Null(row) {
					dst.Str[have+i] = src.Text(row)
				}
			}
		}
		added := dst.Str[have:]
		clearNulls(added, valid)
		if t == String {
			for _, v := range added {
				if !utf8.ValidString(v) {
					return fmt.Errorf("a value is not UTF-8 text: decode or escape it before it is stored")
				}
			}
		}
	default:
		dst.Int = appendSelected(dst.Int, src.Int, s)
		added := dst.Int[have:]
		clearNulls(added, valid)
		if t == Bool {
			for i, v := range added {
				if v != 0 {
					added[i] = 1
				}
			}
		}
	}
	return nil
}

// appendSelected appends values of src to dst.
func appendSelected[T any](dst, src []T, s selection) []T {
	if s.pick == nil {
		return append(dst, src[s.from:s.from+s.n]...)
	}
	have := len(dst)
	dst = slices.Grow(dst, s.n)[:have+s.n]
	added := dst[have:]
	for i, row := range s.pick {
		added[i] = src[row]
	}
	return dst
}

// appendFloats is appendSelected, of floats in canonical form.
func appendFloats(dst, src []float64, s selection) []float64 {
	have := len(dst)
	dst = slices.Grow(dst, s.n)[:have+s.n]
	added := dst[have:]
	if s.pick == nil {
		for i, v := range src[s.from : s.from+s.n] {
			added[i] = canonicalFloat(v)
		}
		return dst
	}
	for i, row := range s.pick {
		added[i] = canonicalFloat(src[row])
	}
	return dst
}

// clearNulls zeroes the slots of nulls.
func clearNulls[T any](v []T, valid []bool) {
	for i, ok := range valid {
		if !ok {
			var zero T
			v[i] = zero
		}
	}
}

// canonicalFloat maps every NaN to one and −0 to +0.
func canonicalFloat(v float64) float64 {
	if v != v {
		return math.Float64frombits(canonicalNaN)
	}
	return v + 0 // −0 + 0 = +0
}

const canonicalNaN = 0x7ff8000000000000

// batch returns the rows as one batch that shares their memory.
func (r *rows) batch() *Batch { return &Batch{Schema: r.schema, N: r.n, Cols: r.cols} }
