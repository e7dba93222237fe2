package policy

import (
	"iter"
	"maps"
	"math/bits"
	"slices"
)

// known is what is decided of the subjects whom a record or an erasure names, ascending by number: columns in blocks, 17 bytes a subject, 25 in a block where a basis ends at a known time.
type known struct {
	now    int64
	n      int
	blocks []*block
	odd    map[Subject]verdict // what at can't tell from the columns: of few, as those whom a pending erasure names. What is said of many needs a column
	back   map[Subject]int64   // who has left and come back, and when (µs)

	first []int32 // once sealed: of each value of the top bits of a number, the block in which the search for it begins. One more stands at the end
	shift uint8
}

// block holds blockRows subjects at most, and at least one.
type block struct {
	subjects []Subject
	codes    []uint8
	from     []int64
	expires  []int64 // nil: nobody's basis ends at a known time
}

const (
	blockRows = 1 << 12
	// A code is a Reason, and what follows.
	reasonBits   = 1<<6 - 1
	withdrewBit  = 1 << 6
	elsewhereBit = 1 << 7 // in odd
)

// add appends a subject, whose number is greater than all before.
func (k *known) add(s Subject, v verdict) {
	var b *block
	if n := len(k.blocks); n > 0 && len(k.blocks[n-1].subjects) < blockRows {
		b = k.blocks[n-1]
	} else {
		b = &block{}
		if n > 0 { // there are many
			b.subjects, b.codes, b.from = make([]Subject, 0, blockRows), make([]uint8, 0, blockRows), make([]int64, 0, blockRows)
		}
		k.blocks = append(k.blocks, b)
	}
	if v.returned != 0 {
		k.came(s, v.returned)
	}
	code := uint8(v.Why)
	if v.withdrew {
		code |= withdrewBit
	}
	if v.Expires != 0 && b.expires == nil {
		b.expires = make([]int64, len(b.subjects), cap(b.subjects))
	}
	b.subjects, b.codes, b.from = append(b.subjects, s), append(b.codes, code), append(b.from, v.From)
	if b.expires != nil {
		b.expires = append(b.expires, v.Expires)
	}
	k.n++
	v.returned = 0
	if i := len(b.codes) - 1; k.at(b, i) != v {
		b.codes[i] |= elsewhereBit
		if k.odd == nil {
			k.odd = map[Subject]verdict{}
		}
		k.odd[s] = v
	}
}

// came notes that a subject has come back.
func (k *known) came(s Subject, at int64) {
	if k.back == nil {
		k.back = map[Subject]int64{}
	}
	k.back[s] = at
}

// join appends what another holds, all of whose numbers are greater.
func (k *known) join(o *known) {
	k.n += o.n
	k.blocks = append(k.blocks, o.blocks...)
	for s, at := range o.back {
		k.came(s, at)
	}
	for s, v := range o.odd {
		if k.odd == nil {
			k.odd = map[Subject]verdict{}
		}
		k.odd[s] = v
	}
}

// seal makes single subjects quick to find. Nothing is added afterwards.
func (k *known) seal() {
	if len(k.blocks) < 2 {
		return
	}
	width := bits.Len(uint(len(k.blocks))) + 1 // two to four values a block: numbers are spread evenly
	k.shift = uint8(64 - width)
	k.first = make([]int32, 1<<width+1)
	at := 0
	for v := range 1 << width {
		for at+1 < len(k.blocks) && k.blocks[at+1].subjects[0] <= Subject(v)<<k.shift {
			at++
		}
		k.first[v] = int32(at)
	}
	k.first[1<<width] = int32(len(k.blocks) - 1)
}

// find returns where a subject stands, and false with where it would if it does not. O(log n), and little more than one look where numbers are spread evenly.
func (k *known) find(s Subject) (*block, int, bool) {
	if k == nil || k.n == 0 {
		return nil, 0, false
	}
	lo, hi := 0, len(k.blocks)-1
	if k.first != nil {
		v := s >> k.shift
		lo, hi = int(k.first[v]), int(k.first[v+1])
	}
	for lo < hi { // the last block that begins with s or before it
		if mid := (lo + hi + 1) / 2; k.blocks[mid].subjects[0] <= s {
			lo = mid
		} else {
			hi = mid - 1
		}
	}
	b := k.blocks[lo]
	i, ok := b.find(s)
	return b, i, ok
}

// find guesses where a number stands as if numbers were spread evenly, and looks around there in steps that double.
func (b *block) find(s Subject) (int, bool) {
	least, most := b.subjects[0], b.subjects[len(b.subjects)-1]
	if s <= least {
		return 0, s == least
	}
	if s >= most {
		if s == most {
			return len(b.subjects) - 1, true
		}
		return len(b.subjects), false
	}
	hi64, lo64 := bits.Mul64(uint64(s-least), uint64(len(b.subjects)-1))
	guess, _ := bits.Div64(hi64, lo64, uint64(most-least))
	lo, hi := int(guess), int(guess)+1 // what is sought stands in [lo, hi]
	for step := 1; lo > 0 && b.subjects[lo] > s; step *= 2 {
		lo, hi = max(0, lo-step), lo
	}
	for step := 1; hi < len(b.subjects) && b.subjects[hi] < s; step *= 2 {
		lo, hi = hi, min(len(b.subjects), hi+step)
	}
	i, _ := slices.BinarySearch(b.subjects[lo:hi], s)
	i += lo
	return i, i < len(b.subjects) && b.subjects[i] == s
}

// at is the verdict in row i of a block.
func (k *known) at(b *block, i int) verdict {
	code := b.codes[i]
	if code&elsewhereBit != 0 {
		return k.odd[b.subjects[i]]
	}
	v := verdict{erased: ever, withdrew: code&withdrewBit != 0}
	if why := Reason(code & reasonBits); why != Kept {
		v.Decision = denied(why)
		return v
	}
	v.From, v.To = b.from[i], k.now
	if b.expires != nil {
		v.Expires = b.expires[i]
	}
	return v
}

// of returns what is known of a subject, and false if nothing is.
func (k *known) of(s Subject) (verdict, bool) {
	b, i, ok := k.find(s)
	if !ok {
		return verdict{}, false
	}
	return k.at(b, i), true
}

// all yields every subject, ascending.
func (k *known) all() iter.Seq2[Subject, verdict] {
	return func(yield func(Subject, verdict) bool) {
		if k == nil {
			return
		}
		for _, b := range k.blocks {
			for i, s := range b.subjects {
				if !yield(s, k.at(b, i)) {
					return
				}
			}
		}
	}
}

// with returns a copy in which change has been applied to subjects, who are ascending: it is given what is known of each, and whether anything is.
func (k *known) with(subjects []Subject, change func(v verdict, ok bool) verdict) *known {
	out := &known{now: k.now, back: maps.Clone(k.back)}
	for s, v := range k.all() {
		for len(subjects) > 0 && subjects[0] < s {
			out.add(subjects[0], change(verdict{}, false))
			subjects = subjects[1:]
		}
		if len(subjects) > 0 && subjects[0] == s {
			v, subjects = change(v, true), subjects[1:]
		}
		out.add(s, v)
	}
	for _, s := range subjects {
		out.add(s, change(verdict{}, false))
	}
	out.seal()
	return out
}

// ascending returns subjects in order, each once.
func ascending(subjects []Subject) []Subject {
	s := slices.Clone(subjects)
	slices.Sort(s)
	return slices.Compact(s)
}
