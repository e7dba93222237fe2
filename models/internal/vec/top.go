package vec

import (
	"math"
	"math/bits"
	"slices"
)

// Top selects the k elements of the greatest values among those that it is offered, ties going to the lower position. It is scratch of one
// worker: Reset, Offer in ascending order of positions, Best.
type Top struct {
	k     int
	limit float32   // what an element must exceed: the least of the best k, once there are k
	keys  []int64   // candidates
	at    []int32   // of one scan
	value []float32 // of one scan
}

// topRoom is how many candidates are kept beside the best k before they are cut down to about k again, and topSpare how many of them then stay.
const (
	topRoom  = 128
	topSpare = 16
)

// Reset makes t select k elements anew.
func (t *Top) Reset(k int) {
	t.k, t.limit = k, float32(math.Inf(-1))
	if room := (k + max(k, topRoom) + 7) / 8 * 8; cap(t.keys) < room {
		t.keys = make([]int64, 0, room)
		t.at, t.value = make([]int32, topRoom), make([]float32, topRoom)
	}
	t.keys = t.keys[:0]
}

// Offer adds the elements of x, whose positions count from first, without those at the positions in exclude, which ascend. It reports false if
// an element of x is not finite, whether excluded or not; t is of no use then. Positions are at least 0. O(len(x)), a sixteenth of it for most.
func (t *Top) Offer(x []float32, first int32, exclude []int32) bool {
	if t.k == 0 {
		return Finite(x)
	}
	for len(x) > 0 {
		done, found, ok := t.above(x, first)
		if !ok {
			return false
		}
		for i, v := range t.value[:found] {
			at := t.at[i]
			for len(exclude) > 0 && exclude[0] < at {
				exclude = exclude[1:]
			}
			if len(exclude) > 0 && exclude[0] == at {
				continue
			}
			t.Add(v, at)
		}
		x, first = x[done:], first+int32(done)
	}
	return true
}

// Add adds one element, in ascending order of positions like Offer. v must be finite.
func (t *Top) Add(v float32, at int32) {
	if t.k == 0 || !(v > t.limit) {
		return
	}
	t.keys = append(t.keys, key(v, at))
	if len(t.keys) == cap(t.keys) {
		t.cut()
	}
}

// cut drops candidates that are not among the best k, most of them. The number of those that stay is not exact, but the least of them is a
// limit all the same: at least k are better than what does not exceed it.
func (t *Top) cut() {
	least, most := t.keys[0], t.keys[0]
	for _, key := range t.keys {
		least, most = min(least, key), max(most, key)
	}
	// More than k+spare keys exceed from − 1, fewer than k exceed to.
	from, to := least, most
	for {
		middle := from + int64(uint64(to-from)/2)
		switch n := countAbove(t.keys, middle); {
		case n < t.k:
			to = middle
		case n > t.k+topSpare && middle > from:
			from = middle
		default:
			t.keep(middle)
			return
		}
	}
}

// keep drops the candidates that do not exceed a key, without a branch for each.
func (t *Top) keep(limit int64) {
	const sign = 1 << 63
	n := 0
	for _, key := range t.keys {
		t.keys[n] = key
		_, above := bits.Sub64(uint64(limit)^sign, uint64(key)^sign, 0)
		n += int(above)
	}
	t.keys = t.keys[:n]
	t.limit = valueOf(slices.Min(t.keys))
}

// countAbove returns how many keys are greater than limit.
func countAbove(keys []int64, limit int64) int {
	if n := len(keys) / 8 * 8; level != portable && n > 0 {
		return countFMA(keys[:n], limit) + countAbovePortable(keys[n:], limit)
	}
	return countAbovePortable(keys, limit)
}

func countAbovePortable(keys []int64, limit int64) int {
	n := 0
	for _, key := range keys {
		if key > limit {
			n++
		}
	}
	return n
}

// Best writes positions and values of the best elements, the best first, and returns their number, at most k. at and value have length k.
func (t *Top) Best(at []int32, value []float32) int {
	if len(t.keys) > t.k+topSpare {
		t.cut()
	}
	slices.Sort(t.keys)
	n := min(t.k, len(t.keys))
	for i, key := range t.keys[len(t.keys)-n:] {
		at[n-1-i], value[n-1-i] = int32(^uint32(key)), valueOf(key)
	}
	return n
}

// key orders elements by value, and by position, the lower one first, among equal values: the greatest key is the best element.
func key(v float32, at int32) int64 {
	order := int32(math.Float32bits(v + 0)) // −0 is 0
	order ^= order >> 31 & math.MaxInt32    // the more negative, the less
	return int64(order)<<32 | int64(^uint32(at))
}

// valueOf returns the value of a key.
func valueOf(key int64) float32 {
	order := int32(key >> 32)
	return math.Float32frombits(uint32(order ^ order>>31&math.MaxInt32))
}

// above writes to t.at and t.value which elements of x are greater than the limit, until there may be no room for more. It returns how many
// elements it looked at and found, and whether all of these are finite.
func (t *Top) above(x []float32, first int32) (done, found int, finite bool) {
	if groups := len(x) / 16; level != portable && groups > 0 {
		done, found, finite = aboveFMA(t.at, t.value, x, groups, t.limit, first)
		return 16 * done, found, finite
	}
	x = x[:min(len(x), topRoom)]
	finite = true
	for i, v := range x {
		if v-v != 0 {
			finite = false
		}
		if v > t.limit {
			t.at[found], t.value[found] = first+int32(i), v
			found++
		}
	}
	return len(x), found, finite
}

// Finite reports whether all elements of x are finite.
func Finite(x []float32) bool {
	for _, v := range x {
		if v-v != 0 {
			return false
		}
	}
	return true
}
