package table

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strings"
	"unicode/utf8"
)

// rows buffers rows in columns, in canonical form: a null's slot is zero, a Bool is 0 or 1, there is one NaN and one zero, and
// text is UTF-8.
type rows struct {
	schema Schema
	n      int
	cols   []Column
}

func newRows(s Schema) *rows { return &rows{schema: s, cols: make([]Column, len(s))} }

// add appends rows pick of b (nil: all), which has r's schema.
func (r *rows) add(b *Batch, pick []int32) error {
	n := len(pick)
	if pick == nil {
		n = b.N
	}
	for i, f := range r.schema {
		src, dst := &b.Cols[i], &r.cols[i]
		if err := appendColumn(dst, src, f.Type, r.n, n, pick); err != nil {
			return fmt.Errorf("column %q: %w", f.Name, err)
		}
	}
	r.n += n
	return nil
}

// appendColumn appends n values of src at pick (nil: the first n) to dst, which holds have.
func appendColumn(dst, src *Column, t Type, have, n int, pick []int32) error {
	at := func(i int) int {
		if pick == nil {
			return i
		}
		return int(pick[i])
	}
	if src.Valid != nil && dst.Valid == nil {
		dst.Valid = slices.Repeat([]bool{true}, have)
	}
	if dst.Valid != nil {
		dst.Valid = slices.Grow(dst.Valid, n)
		for i := range n {
			dst.Valid = append(dst.Valid, !src.Null(at(i)))
		}
	}
	switch t {
	case Float64:
		dst.Float = slices.Grow(dst.Float, n)
		for i := range n {
			var v float64
			if j := at(i); !src.Null(j) {
				v = canonicalFloat(src.Float[j])
			}
			dst.Float = append(dst.Float, v)
		}
	case String, Bytes:
		dst.Str = slices.Grow(dst.Str, n)
		for i := range n {
			var v string
			if j := at(i); !src.Null(j) {
				if v = src.Text(j); t == String && !utf8.ValidString(v) {
					return fmt.Errorf("a value is not UTF-8 text: decode or escape it before it is stored")
				}
			}
			dst.Str = append(dst.Str, v)
		}
	case Int64, Time:
		if pick == nil && src.Valid == nil {
			dst.Int = append(dst.Int, src.Int[:n]...)
			break
		}
		fallthrough
	default:
		dst.Int = slices.Grow(dst.Int, n)
		for i := range n {
			var v int64
			if j := at(i); !src.Null(j) {
				if v = src.Int[j]; t == Bool && v != 0 {
					v = 1
				}
			}
			dst.Int = append(dst.Int, v)
		}
	}
	return nil
}

// canonicalFloat maps every NaN to one and −0 to +0.
func canonicalFloat(v float64) float64 {
	if v != v {
		return math.Float64frombits(canonicalNaN)
	}
	return v + 0 // −0 + 0 = +0
}

const canonicalNaN = 0x7ff8000000000000

// A comparer orders two rows of one buffer by one column: nulls first, then ascending; NaN after +Inf; text by its bytes.
type comparer func(a, b int32) int

// comparer returns the order of column i; unsigned compares Int as the uint64 it holds.
func (r *rows) comparer(i int, unsigned bool) comparer {
	c := &r.cols[i]
	var order comparer
	switch r.schema[i].Type {
	case Float64:
		order = func(a, b int32) int { return compareFloat(c.Float[a], c.Float[b]) }
	case String, Bytes:
		order = func(a, b int32) int { return strings.Compare(c.Str[a], c.Str[b]) }
	default:
		if unsigned {
			order = func(a, b int32) int { return cmp.Compare(uint64(c.Int[a]), uint64(c.Int[b])) }
		} else {
			order = func(a, b int32) int { return cmp.Compare(c.Int[a], c.Int[b]) }
		}
	}
	if c.Valid == nil {
		return order
	}
	return func(a, b int32) int {
		switch va, vb := c.Valid[a], c.Valid[b]; {
		case va && vb:
			return order(a, b)
		case va:
			return 1
		case vb:
			return -1
		}
		return 0
	}
}

// compareFloat orders canonical floats: −Inf … +Inf, NaN.
func compareFloat(a, b float64) int {
	switch an, bn := a != a, b != b; {
	case an && bn:
		return 0
	case an:
		return 1
	case bn:
		return -1
	}
	return cmp.Compare(a, b)
}

// sort orders the rows by the named columns and, unless stable, by all the others in schema order: then equal sets of rows give equal
// sequences, whatever order they came in. Stable keeps ties in the order they came. unsigned names the column of subject numbers.
func (r *rows) sort(by []string, stable bool, unsigned string) {
	if stable && len(by) == 0 {
		return
	}
	var order []comparer
	for _, name := range by {
		order = append(order, r.comparer(r.schema.Index(name), name == unsigned))
	}
	if !stable {
		for i, f := range r.schema {
			if !slices.Contains(by, f.Name) {
				order = append(order, r.comparer(i, f.Name == unsigned))
			}
		}
	}
	less := func(a, b int32) int {
		for _, c := range order {
			if d := c(a, b); d != 0 {
				return d
			}
		}
		return 0
	}
	keys := r.firstKey(by, unsigned)
	sorted := true
	for i := int32(1); i < int32(r.n) && sorted; i++ {
		sorted = keys[i-1] < keys[i] || keys[i-1] == keys[i] && less(i-1, i) <= 0
	}
	if sorted {
		return
	}
	perm := ordered(keys, less)
	for i := range r.cols {
		c := &r.cols[i]
		c.Int, c.Float, c.Str, c.Valid = permute(c.Int, perm), permute(c.Float, perm), permute(c.Str, perm), permute(c.Valid, perm)
	}
}

// firstKey returns numbers of which the smaller never belongs to the row that comes later by the first column that rows are sorted by: most rows are told
// apart by them, without a look at the columns. Rows of equal numbers may be in any order.
func (r *rows) firstKey(by []string, unsigned string) []uint64 {
	at := 0
	if len(by) > 0 {
		at = r.schema.Index(by[0])
	}
	f, c := r.schema[at], &r.cols[at]
	keys := make([]uint64, r.n)
	const sign = uint64(1) << 63
	switch f.Type {
	case Float64:
		for i, v := range c.Float { // as they are in canonical form: the one NaN is above all
			w := math.Float64bits(v)
			if keys[i] = w | sign; w&sign != 0 {
				keys[i] = ^w
			}
		}
	case String, Bytes:
		shared := len(commonPrefix(c.Str))
		for i, v := range c.Str {
			var first [8]byte
			copy(first[:], v[min(shared, len(v)):])
			keys[i] = binary.BigEndian.Uint64(first[:])
		}
	default:
		flip := sign
		if f.Name == unsigned {
			flip = 0
		}
		for i, v := range c.Int {
			keys[i] = uint64(v) ^ flip
		}
	}
	for i, ok := range c.Valid {
		if !ok {
			keys[i] = 0 // beside the least value
		}
	}
	return keys
}

// commonPrefix is what all texts but empty ones, as those of nulls, begin with.
func commonPrefix(v []string) (prefix string) {
	first := true
	for _, s := range v {
		switch {
		case s == "":
		case first:
			prefix, first = s, false
		default:
			n := 0
			for n < len(prefix) && n < len(s) && prefix[n] == s[n] {
				n++
			}
			if prefix = prefix[:n]; n == 0 {
				return ""
			}
		}
	}
	return prefix
}

// keyed is a row and its key.
type keyed struct {
	key uint64
	row int32
}

// digit is how many bits of the keys one pass of ordered looks at.
const digit = 11

// ordered returns the rows in their order, ties as they came: two passes put them in the order of the highest bits in which keys differ, and what is left
// together is sorted by comparing.
func ordered(keys []uint64, less func(a, b int32) int) []int32 {
	n := len(keys)
	all, other := make([]keyed, n), make([]keyed, n)
	var differ uint64
	for i, k := range keys {
		all[i] = keyed{k, int32(i)}
		differ |= k ^ keys[0]
	}
	shift := max(0, bits.Len64(differ)-2*digit) // of what is not looked at
	for pass := range 2 {
		var next [1 << digit]int
		at := shift + pass*digit
		for i := range all {
			next[all[i].key>>at%(1<<digit)]++
		}
		sum := 0
		for d, c := range next {
			next[d] = sum
			sum += c
		}
		for _, k := range all {
			d := k.key >> at % (1 << digit)
			other[next[d]] = k
			next[d]++
		}
		all, other = other, all
	}
	for from := 0; from < n; {
		to := from + 1
		for to < n && all[to].key>>shift == all[from].key>>shift {
			to++
		}
		if to-from > 1 {
			slices.SortFunc(all[from:to], func(a, b keyed) int {
				if a.key != b.key {
					return cmp.Compare(a.key, b.key)
				}
				if d := less(a.row, b.row); d != 0 {
					return d
				}
				return cmp.Compare(a.row, b.row)
			})
		}
		from = to
	}
	perm := make([]int32, n)
	for i := range all {
		perm[i] = all[i].row
	}
	return perm
}

func permute[T any](v []T, perm []int32) []T {
	if v == nil {
		return nil
	}
	out := make([]T, len(perm))
	for i, p := range perm {
		out[i] = v[p]
	}
	return out
}

// batch returns the rows as one batch that shares their memory.
func (r *rows) batch() *Batch { return &Batch{Schema: r.schema, N: r.n, Cols: r.cols} }
