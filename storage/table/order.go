package table

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
	"strings"
	"unsafe"
)

// pile holds rows as they come, and hands them out in order. It holds them in blocks, so that nothing that it has is copied when it grows: a slice that
// grows is copied four times over, and is another half as large while it is.
type pile struct {
	schema Schema
	n      int
	shift  uint // blocks have 1<<shift rows each, but for the last one
	blocks []*rows
	held   int64   // bytes
	text   *copies // nil: texts are not copied
}

// pileShift makes blocks of 8,192 rows: 64 KiB of a column of numbers.
const pileShift = 13

func newPile(s Schema) *pile { return &pile{schema: s, shift: pileShift} }

// add appends rows of b, which has p's schema.
func (p *pile) add(b *Batch, s selection) error {
	size := 1 << p.shift
	for done := 0; done < s.n; {
		at := p.n & (size - 1)
		if at == 0 {
			p.blocks = append(p.blocks, p.block())
		}
		part := s.cut(done, size-at)
		if at <= fewRows && at+part.n > fewRows && len(p.blocks) == 1 {
			p.blocks[0] = p.blocks[0].into(p.full())
		}
		last := p.blocks[len(p.blocks)-1]
		if err := last.add(b, part); err != nil {
			return err
		}
		if p.text != nil {
			last.copyText(at, p.text)
		}
		p.n += part.n
		done += part.n
		p.held += last.bytes(at)
	}
	return nil
}

// fewRows are those of a table that is small, as many are: until it has more its block grows as it needs to.
const fewRows = 1 << 10

// block makes an empty one.
func (p *pile) block() *rows {
	if len(p.blocks) == 0 {
		return newRows(p.schema)
	}
	return p.full()
}

// full makes an empty block with room for all of its rows, of columns that are borrowed.
func (p *pile) full() *rows {
	r := newRows(p.schema)
	size := 1 << p.shift
	for i, f := range p.schema {
		switch c := &r.cols[i]; f.Type {
		case Float64:
			c.Float = asFloats(borrowWords(size))[:0]
		case String, Bytes:
			c.Str = make([]string, 0, size)
		default:
			c.Int = asInts(borrowWords(size))[:0]
		}
	}
	return r
}

// into moves rows into an empty block.
func (r *rows) into(b *rows) *rows {
	for i := range r.cols {
		to, from := &b.cols[i], &r.cols[i]
		to.Int, to.Float, to.Str, to.Valid = append(to.Int, from.Int...), append(to.Float, from.Float...), append(to.Str, from.Str...), from.Valid
	}
	b.n = r.n
	return b
}

// copyText has copies of texts from a row on.
func (r *rows) copyText(from int, to *copies) {
	for i := range r.cols {
		if c := &r.cols[i]; c.Str != nil {
			for k, s := range c.Str[from:] {
				c.Str[from+k] = to.add(s)
			}
		}
	}
}

// bytes are those that rows from one on take, with their texts.
func (r *rows) bytes(from int) (n int64) {
	for i := range r.cols {
		c := &r.cols[i]
		n += int64(8*len(c.Int[min(from, len(c.Int)):]) + 8*len(c.Float[min(from, len(c.Float)):]) + len(c.Valid[min(from, len(c.Valid)):]))
		for _, s := range c.Str[min(from, len(c.Str)):] {
			n += int64(16 + len(s))
		}
	}
	return n
}

// A comparer orders two rows of one pile by one column: nulls first, then ascending; NaN after +Inf; text by its bytes.
type comparer func(a, b int32) int

// comparer returns the order of column i; unsigned compares Int as the uint64 it holds.
func (p *pile) comparer(i int, unsigned bool) comparer {
	mask := int32(1)<<p.shift - 1
	column := func(row int32) (*Column, int32) { return &p.blocks[row>>p.shift].cols[i], row & mask }
	var order func(c, d *Column, a, b int32) int
	switch p.schema[i].Type {
	case Float64:
		order = func(c, d *Column, a, b int32) int { return compareFloat(c.Float[a], d.Float[b]) }
	case String, Bytes:
		order = func(c, d *Column, a, b int32) int { return strings.Compare(c.Str[a], d.Str[b]) }
	default:
		if unsigned {
			order = func(c, d *Column, a, b int32) int { return cmp.Compare(uint64(c.Int[a]), uint64(d.Int[b])) }
		} else {
			order = func(c, d *Column, a, b int32) int { return cmp.Compare(c.Int[a], d.Int[b]) }
		}
	}
	return func(a, b int32) int {
		c, a := column(a)
		d, b := column(b)
		switch va, vb := c.Valid == nil || c.Valid[a], d.Valid == nil || d.Valid[b]; {
		case va && vb:
			return order(c, d, a, b)
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

// sorted takes the rows out of p, in the order of the named columns and, unless stable, of all the others in schema order: then equal sets of rows give equal
// sequences, whatever order they came in. Stable keeps ties in the order they came. unsigned names the column of subject numbers.
func (p *pile) sorted(by []string, stable bool, unsigned string) *rows {
	if p.n == 0 {
		return newRows(p.schema)
	}
	return p.take(p.order(by, stable, unsigned))
}

// order returns the numbers of rows in the order that sorted says, or nil if they are in it.
func (p *pile) order(by []string, stable bool, unsigned string) []int32 {
	if stable && len(by) == 0 {
		return nil
	}
	var order []comparer
	for _, name := range by {
		order = append(order, p.comparer(p.schema.Index(name), name == unsigned))
	}
	if !stable {
		for i, f := range p.schema {
			if !slices.Contains(by, f.Name) {
				order = append(order, p.comparer(i, f.Name == unsigned))
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
	keys := p.firstKey(by, unsigned)
	defer giveBackWords(keys)
	sorted := true
	for i := int32(1); i < int32(p.n) && sorted; i++ {
		sorted = keys[i-1] < keys[i] || keys[i-1] == keys[i] && less(i-1, i) <= 0
	}
	if sorted {
		return nil
	}
	return ordered(keys, less)
}

// take joins the blocks, rows in an order, or, if it is nil, as they are. Each column's blocks are given back as they are joined. Who has done with the rows
// gives these back.
func (p *pile) take(order []int32) *rows {
	if order == nil && len(p.blocks) == 1 {
		r := p.blocks[0]
		r.text, p.blocks = p.text, nil
		return r
	}
	r := newRows(p.schema)
	r.n, r.text = p.n, p.text
	for i, f := range p.schema {
		c := &r.cols[i]
		switch f.Type {
		case Float64:
			c.Float = joined(asFloats(borrowWords(p.n)), p, order, func(b *rows) []float64 { return b.cols[i].Float })
		case String, Bytes:
			c.Str = joined(make([]string, p.n), p, order, func(b *rows) []string { return b.cols[i].Str })
		default:
			c.Int = joined(asInts(borrowWords(p.n)), p, order, func(b *rows) []int64 { return b.cols[i].Int })
		}
		if slices.ContainsFunc(p.blocks, func(b *rows) bool { return b.cols[i].Valid != nil }) {
			c.Valid = joined(asBools(borrowBytes(p.n))[:p.n], p, order, func(b *rows) []bool {
				if v := b.cols[i].Valid; v != nil {
					return v
				}
				return slices.Repeat([]bool{true}, b.n)
			})
		}
		for _, b := range p.blocks {
			b.cols[i].giveBack()
		}
	}
	p.blocks = nil
	return r
}

// giveBack ends the loan of what the rows stand in.
func (r *rows) giveBack() {
	for i := range r.cols {
		r.cols[i].giveBack()
	}
	if r.text != nil {
		r.text.giveBack()
	}
}

// joined sets out to a column of the blocks, in an order.
func joined[T any](out []T, p *pile, order []int32, of func(*rows) []T) []T {
	if order == nil {
		at := 0
		for _, b := range p.blocks {
			at += copy(out[at:], of(b))
		}
		return out
	}
	blocks := make([]unsafe.Pointer, len(p.blocks))
	for i, b := range p.blocks {
		blocks[i] = unsafe.Pointer(unsafe.SliceData(of(b)))
	}
	mask, shift := int32(1)<<p.shift-1, p.shift&31
	out = out[:len(order)]
	for i, row := range order { // which is one of the pile
		out[i] = *(*T)(unsafe.Add(blocks[row>>shift], uintptr(row&mask)*unsafe.Sizeof(out[0])))
	}
	return out
}

// firstKey returns numbers of which the smaller never belongs to the row that comes later by the first column that rows are sorted by: most rows are told
// apart by them, without a look at the columns. Rows of equal numbers may be in any order. They are borrowed.
func (p *pile) firstKey(by []string, unsigned string) []uint64 {
	at := 0
	if len(by) > 0 {
		at = p.schema.Index(by[0])
	}
	f := p.schema[at]
	shared := -1 // bytes that all texts begin with
	keys := borrowWords(p.n)[:0]
	const sign = uint64(1) << 63
	for _, b := range p.blocks {
		c := &b.cols[at]
		switch f.Type {
		case Float64:
			for _, v := range c.Float { // as they are in canonical form: the one NaN is above all
				w := math.Float64bits(v)
				if w&sign != 0 {
					keys = append(keys, ^w)
				} else {
					keys = append(keys, w|sign)
				}
			}
		case String, Bytes:
			if shared < 0 {
				shared = p.commonPrefix(at)
			}
			for _, v := range c.Str {
				var first [8]byte
				copy(first[:], v[min(shared, len(v)):])
				keys = append(keys, binary.BigEndian.Uint64(first[:]))
			}
		default:
			flip := sign
			if f.Name == unsigned {
				flip = 0
			}
			for _, v := range c.Int {
				keys = append(keys, uint64(v)^flip)
			}
		}
		added := keys[len(keys)-b.n:]
		for i, ok := range c.Valid {
			if !ok {
				added[i] = 0 // beside the least value
			}
		}
	}
	return keys
}

// commonPrefix is how many bytes all texts of a column but empty ones, as those of nulls, begin with.
func (p *pile) commonPrefix(column int) int {
	prefix, first := "", true
	for _, b := range p.blocks {
		for _, s := range b.cols[column].Str {
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
					return 0
				}
			}
		}
	}
	return len(prefix)
}

// keyed is a row and its key.
type keyed struct {
	key uint64
	row int32
}

// keyedWords is how many words a keyed takes.
const keyedWords = 2

func asKeyed(w []uint64) []keyed {
	return unsafe.Slice((*keyed)(unsafe.Pointer(unsafe.SliceData(w))), len(w)/keyedWords)
}

// digit is how many bits of the keys one pass of ordered looks at.
const digit = 11

// ordered returns the rows in their order, ties as they came: two passes put them in the order of the highest bits in which keys differ, and what is left
// together is sorted by comparing.
func ordered(keys []uint64, less func(a, b int32) int) []int32 {
	n := len(keys)
	both := borrowWords(2 * keyedWords * n)
	defer giveBackWords(both)
	all, other := asKeyed(both[:keyedWords*n]), asKeyed(both[keyedWords*n:])
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
