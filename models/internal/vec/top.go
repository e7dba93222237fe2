package vec

import (
	"math"
	"slices"
)

// Top selects the k elements of the greatest values among those that it is offered, ties going to the lower position. It is scratch of one
// worker: Reset, Offer in ascending order of positions, Best.
type Top struct {
	k     int
	limit float32   // what an element must exceed: the least of the best k, once there are k
	keys  []uint64  // candidates, between 0 and room of them
	at    []int32   // of one scan
	value []float32 // of one scan
}

// topRoom is how many candidates are kept beside the best k before they are cut down to k again.
const topRoom = 128

// Reset makes t select k elements anew.
func (t *Top) Reset(k int) {
	t.k, t.limit = k, float32(math.Inf(-1))
	if room := k + max(k, topRoom); cap(t.keys) < room {
		t.keys = make([]uint64, 0, room)
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

// cut drops all but the best k of the candidates.
func (t *Top) cut() {
	if len(t.keys) <= t.k {
		return
	}
	selectGreatest(t.keys, t.k)
	t.keys = t.keys[:t.k]
	t.limit = valueOf(slices.Min(t.keys))
}

// Best writes positions and values of the best elements, the best first, and returns their number, at most k. at and value have length k.
func (t *Top) Best(at []int32, value []float32) int {
	t.cut()
	slices.Sort(t.keys)
	n := len(t.keys)
	for i, key := range t.keys {
		at[n-1-i], value[n-1-i] = int32(^uint32(key)), valueOf(key)
	}
	return n
}

// key orders elements by value, and by position, the lower one first, among equal values: the greatest key is the best element.
func key(v float32, at int32) uint64 {
	bits := math.Float32bits(v + 0) // −0 is 0
	if bits>>31 != 0 {
		bits = ^bits
	} else {
		bits |= 1 << 31
	}
	return uint64(bits)<<32 | uint64(^uint32(at))
}

// valueOf returns the value of a key.
func valueOf(key uint64) float32 {
	bits := uint32(key >> 32)
	if bits>>31 != 0 {
		return math.Float32frombits(bits &^ (1 << 31))
	}
	return math.Float32frombits(^bits)
}

// selectGreatest moves the k greatest of x to its front, 0 < k < len(x) (Hoare's selection, around the median of three). Keys are distinct.
func selectGreatest(x []uint64, k int) {
	lo, hi := 0, len(x)-1
	for lo < hi {
		a, b, c := x[lo], x[(lo+hi)/2], x[hi]
		pivot := max(min(a, b), min(max(a, b), c))
		i, j := lo, hi
		for i <= j {
			for x[i] > pivot {
				i++
			}
			for x[j] < pivot {
				j--
			}
			if i <= j {
				x[i], x[j] = x[j], x[i]
				i++
				j--
			}
		}
		switch {
		case k-1 <= j:
			hi = j
		case k-1 >= i:
			lo = i
		default:
			return
		}
	}
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
