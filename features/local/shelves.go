package local

import "slices"

// A shelf holds the pairs of shelfSlots entities that came one after another, 4 bytes each: an open-addressed table of words without pointers, so small
// that it grows by a quarter at little cost, and that an entity's number within it takes few bits.
//
//	31…26  the entity's number in the shelf
//	25…s   the value + 1, so that no pair is 0, which is a free place
//	s−1…0  the bucket, s bits
type shelf struct {
	words []uint32
	n     int
}

const (
	shelfBits  = 6
	shelfSlots = 1 << shelfBits
	shelfShift = 32 - shelfBits
)

// shelfLimit is the first value that a shelf has no room for, if buckets take some bits.
func shelfLimit(bucketBits int) uint64 { return 1<<(shelfShift-bucketBits) - 1 }

// shelfWord returns a pair's word; values must be below the limit.
func shelfWord(slot uint32, id uint64, bucket uint8, bucketBits int) uint32 {
	return slot<<shelfShift | uint32(id+1)<<(bucketBits&31) | uint32(bucket)
}

// home is where the search for a pair begins in a table of n places. pair is the word without its bucket.
func home(pair uint32, n int) int {
	h := uint64(pair) * 0x9e3779b97f4a7c15
	h = (h ^ h>>32) * 0xd6e8feb86659fd93
	return int(h >> 32 * uint64(n) >> 32)
}

// add adds a pair, and reports whether it was not there. Of two buckets the lower stays.
func (b *shelf) add(x uint32, bucketBits int) bool {
	if (b.n+1)*6 > len(b.words)*5 {
		b.grow(bucketBits)
	}
	shift := bucketBits & 31
	words := b.words
	at := home(x>>shift, len(words))
	for {
		y := words[at]
		if y == 0 {
			words[at] = x
			b.n++
			return true
		}
		if (x^y)>>shift == 0 {
			words[at] = min(x, y)
			return false
		}
		if at++; at == len(words) {
			at = 0
		}
	}
}

// grow makes room for a quarter more, and for what the allocator rounds up to.
func (b *shelf) grow(bucketBits int) {
	old := b.words
	b.words = slices.Grow([]uint32(nil), len(old)*5/4+8)
	b.words = b.words[:cap(b.words)]
	clear(b.words)
	for _, x := range old {
		if x == 0 {
			continue
		}
		at := home(x>>(bucketBits&31), len(b.words))
		for b.words[at] != 0 {
			if at++; at == len(b.words) {
				at = 0
			}
		}
		b.words[at] = x
	}
}

// addShelved adds pairs whose values all are below the limit.
func (t *pairs) addShelved(slots []uint32, ids []uint64, buckets []uint8) {
	last := uint32(0)
	for _, slot := range slots {
		last = max(last, slot)
	}
	for len(t.shelves) <= int(last>>shelfBits) {
		b := shelf{}
		b.grow(t.bucketBits)
		t.shelves = append(t.shelves, b)
		t.held += int64(4 * len(b.words))
	}
	touched, shift := uint32(0), t.bucketBits&31
	for i, slot := range slots {
		words := t.shelves[slot>>shelfBits].words
		touched += words[home(shelfWord(slot, ids[i], 0, t.bucketBits)>>shift, len(words))]
	}
	sink(uint64(touched))
	for i, slot := range slots {
		b := &t.shelves[slot>>shelfBits]
		size := len(b.words)
		if b.add(shelfWord(slot, ids[i], buckets[i], t.bucketBits), t.bucketBits) {
			t.n++
		}
		t.held += int64(4 * (len(b.words) - size))
	}
}

// eachShelved calls f with every pair of the shelves.
func (t *pairs) eachShelved(f func(slot uint32, id uint64, bucket uint8)) {
	for i := range t.shelves {
		for _, x := range t.shelves[i].words {
			if x != 0 {
				f(uint32(i)<<shelfBits|x>>shelfShift, uint64(x<<shelfBits>>shelfBits>>t.bucketBits)-1, uint8(x&(1<<t.bucketBits-1)))
			}
		}
	}
}
