package policy

import (
	"cmp"
	"iter"
	"maps"
	"math/bits"
	"slices"
)

// known is what is decided of the subjects whom a record or an erasure names, ascending by number: 16 bytes a subject and one to two of an index, 10 more where a basis ends at a known
// time. A subject's two words stand side by side: single subjects are looked up at random, and each place in memory costs as much as all else.
type known struct {
	now    int64
	n      int
	blocks []*block
	odd    map[Subject]verdict // what at can't tell from an entry: of few, as those whom a pending erasure names. What is said of many needs a place there
	back   map[Subject]int64   // who has left and come back, and when (µs)

	// Once sealed, where there are many: of each value of the top bits of a number, where the first such subject stands, or would, as its block and its row. One more stands at the end.
	index []uint32
	shift uint8
}

// block holds blockRows subjects at most, and at least one.
type block struct {
	rows []entry
	ends []uint16 // rows of those whose basis ends at a known time, ascending,
	at   []int64  // and when that is
}

// entry is one subject: said is when its span begins (µs), shifted by codeBits, and a code.
type entry struct {
	subject Subject
	said    int64
}

const (
	blockBits = 12
	blockRows = 1 << blockBits

	codeBits     = 8
	reasonBits   = 1<<5 - 1 // of a code: a Reason, and what follows
	everBit      = 1 << 5   // the span has no beginning
	withdrewBit  = 1 << 6
	elsewhereBit = 1 << 7 // in odd

	inBucket = 4 // subjects of one value of the index, about
)

// add appends a subject, whose number is greater than all before.
func (k *known) add(s Subject, v verdict) {
	var b *block
	if n := len(k.blocks); n > 0 && len(k.blocks[n-1].rows) < blockRows {
		b = k.blocks[n-1]
	} else {
		b = &block{}
		if n > 0 { // there are many
			b.rows = make([]entry, 0, blockRows)
		}
		k.blocks = append(k.blocks, b)
	}
	if v.returned != 0 {
		k.came(s, v.returned)
		v.returned = 0
	}
	e := entry{s, int64(v.Why)}
	if v.withdrew {
		e.said |= withdrewBit
	}
	switch {
	case v.Why != Kept:
	case v.From == ever:
		e.said |= everBit
	default:
		e.said |= v.From << codeBits
	}
	if v.Expires != 0 {
		b.ends, b.at = append(b.ends, uint16(len(b.rows))), append(b.at, v.Expires)
	}
	b.rows = append(b.rows, e)
	k.n++
	if i := len(b.rows) - 1; k.at(b, i) != v {
		b.rows[i].said |= elsewhereBit
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
	width := bits.Len(uint(k.n / inBucket))
	k.shift = uint8(64 - width)
	k.index = make([]uint32, 0, 1<<width+1)
	last := uint32(0)
	for n, b := range k.blocks {
		for i, e := range b.rows {
			last = uint32(n<<blockBits | i)
			for uint64(len(k.index)) <= uint64(e.subject>>k.shift) {
				k.index = append(k.index, last)
			}
		}
	}
	for len(k.index) < cap(k.index) {
		k.index = append(k.index, last)
	}
}

// place returns where the search for a subject begins. Somebody is known.
func (k *known) place(s Subject) (at, end uint32) {
	if k.index == nil {
		last := len(k.blocks) - 1
		return 0, uint32(last<<blockBits | len(k.blocks[last].rows) - 1)
	}
	return k.index[s>>k.shift], k.index[s>>k.shift+1]
}

// find returns where a subject stands between two places, and false if it does not. Where numbers are spread evenly it looks at a few that stand beside each other, else at O(log n).
func (k *known) find(s Subject, at, end uint32) (*block, int, bool) {
	lo, hi := int(at>>blockBits), int(end>>blockBits)
	b, i := k.blocks[lo], int(at&(blockRows-1))
	if end-at > 4*inBucket {
		for lo < hi { // the last block that begins with s or before it
			if mid := (lo + hi + 1) / 2; k.blocks[mid].rows[0].subject <= s {
				lo = mid
			} else {
				hi = mid - 1
			}
		}
		b = k.blocks[lo]
		i, _ = slices.BinarySearchFunc(b.rows, s, func(e entry, s Subject) int { return cmp.Compare(e.subject, s) })
		return b, i, i < len(b.rows) && b.rows[i].subject == s
	}
	for {
		for ; i < len(b.rows); i++ {
			if e := b.rows[i].subject; e >= s {
				return b, i, e == s
			}
		}
		if lo++; lo >= len(k.blocks) {
			return b, i, false
		}
		b, i = k.blocks[lo], 0
	}
}

// together is how many subjects are looked up side by side: what is read for them stays in the first cache.
const together = 64

// rules appends the rules of subjects, at most together, to dst; none is that of who is not known. Each step is taken for all of them before the next, so that what they
// read from memory is waited for together: alone, each would wait for each step.
func (k *known) rules(dst []Rule, subjects []Subject, oldest int64, none Rule) []Rule {
	var at, end [together]uint32
	var near [together]Subject
	if k.n > 0 {
		for n, s := range subjects {
			at[n], end[n] = k.place(s)
		}
		for n := range subjects {
			near[n] = k.blocks[at[n]>>blockBits].rows[at[n]&(blockRows-1)].subject
		}
	}
	for n, s := range subjects {
		r := none
		if k.n > 0 && near[n] <= s {
			if b, i, ok := k.find(s, at[n], end[n]); ok {
				r = k.rule(b, i, oldest)
			}
		}
		dst = append(dst, r)
	}
	return dst
}

// rule is what row i of a block says of events. When a basis ends says nothing of those that were, and is not looked at: it stands elsewhere in memory.
func (k *known) rule(b *block, i int, oldest int64) Rule {
	e := b.rows[i]
	if e.said&elsewhereBit != 0 {
		return k.odd[e.subject].rule(oldest)
	}
	why, from := e.decided()
	if why != Kept {
		return Rule{why: why, oldest: oldest, erased: ever, from: never, to: ever}
	}
	return Rule{oldest: oldest, erased: ever, from: from, to: k.now}
}

// decided is what an entry that does not stand elsewhere says, and from when on (ever: always) if that is Kept.
func (e entry) decided() (Reason, int64) {
	if e.said&everBit != 0 {
		return Kept, ever
	}
	return Reason(e.said & reasonBits), e.said >> codeBits
}

// at is the verdict in row i of a block.
func (k *known) at(b *block, i int) verdict {
	e := b.rows[i]
	if e.said&elsewhereBit != 0 {
		return k.odd[e.subject]
	}
	v := verdict{erased: ever, withdrew: e.said&withdrewBit != 0}
	why, from := e.decided()
	if why != Kept {
		v.Decision = denied(why)
		return v
	}
	v.From, v.To = from, k.now
	if n, ends := slices.BinarySearch(b.ends, uint16(i)); ends {
		v.Expires = b.at[n]
	}
	return v
}

// of returns what is known of a subject, and false if nothing is.
func (k *known) of(s Subject) (verdict, bool) {
	if k.n == 0 {
		return verdict{}, false
	}
	at, end := k.place(s)
	b, i, ok := k.find(s, at, end)
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
			for i, e := range b.rows {
				if !yield(e.subject, k.at(b, i)) {
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
