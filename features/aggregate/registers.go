package aggregate

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
)

// A HyperLogLog of 2^12 registers: the first 12 bits of a value's hash name a register, which knows the largest rank that it was shown: one more
// than the zeros that the other 52 bits begin with.
const (
	RegisterNum = 1 << precision
	MaxRank     = 64 - precision + 1

	precision    = 12
	rankBits     = 6 // of MaxRank
	registerWhat = "an approximate set"
)

// Register returns the register and the rank of a value's hash ([HashString], [HashBits]).
func Register(hash uint64) (register uint16, rank uint8) {
	return uint16(hash >> (64 - precision)), uint8(bits.LeadingZeros64(hash<<precision|1<<(precision-1))) + 1
}

// Ranks counts registers by their largest rank; those that were shown no value stand under 0. The counts sum to RegisterNum.
type Ranks [MaxRank + 1]int32

// Estimate returns how many distinct values leave such registers, with the improved raw estimator (Ertl, "New cardinality estimation
// algorithms for HyperLogLog sketches", 2017, algorithm 6):
//
//	m²/(2 ln 2) / (m·σ(C₀/m) + Σ Cₖ·2^−k + m·τ(1 − C₅₃/m)·2^−52)   m = 4096, k = 1 … 52
//
// It is unbiased over the whole range, from none to 2^62, where it ends, with a standard error of 1.04/√m = 1.63 %, 1.1 % below a thousand values. O(53).
func (c *Ranks) Estimate() int64 {
	const m = RegisterNum
	z := m * tau(1-float64(c[MaxRank])/m)
	for k := MaxRank - 1; k > 0; k-- {
		z = (z + float64(c[k])) / 2
	}
	z += m * sigma(float64(c[0])/m)
	return int64(min(math.Round(m*m/(2*math.Ln2)/z), 1<<62))
}

// sigma returns x + Σ x^(2^k)·2^(k−1), k = 1, 2, …: what registers without a value tell.
func sigma(x float64) float64 {
	if x == 1 {
		return math.Inf(1)
	}
	z, y := x, 1.0
	for was := -1.0; z != was; y *= 2 {
		was = z
		x *= x
		z += float64(x * y)
	}
	return z
}

// tau returns (1 − x − Σ (1 − x^(2^−k))²·2^−k)/3, k = 1, 2, …: what registers of the largest rank tell.
func tau(x float64) float64 {
	if x == 0 || x == 1 {
		return 0
	}
	z, y := 1-x, 1.0
	for was := -1.0; z != was; {
		was = z
		x = math.Sqrt(x)
		y /= 2
		z -= float64((1 - x) * (1 - x) * y)
	}
	return z / 3
}

// Ranked is a rank that a register was shown, and when (µs) last.
type Ranked struct {
	Time     int64
	Register uint16
	Rank     uint8
}

// Registers is the state of ApproxDistinct, a HyperLogLog that slides (Chabchoub & Hébrail, "Sliding HyperLogLog", 2010): of each
// register the ranks that no rank of the same or a later time reaches, sorted by register and time; so times ascend and ranks fall within a register.
// The largest rank of any window that ends after the newest event is the first one at or after the window's start: the estimate is that of a
// HyperLogLog of the window's values alone. It holds 16 bytes an entry: as many entries as values at first, later some
// ln(n/4096) a register.
//
// Nulls are not added. A late event takes its place in time as if it had come in time.
type Registers []Ranked

// Add adds a value by its hash. O(log n) and what is moved: to fill a large state, append to it what Register returns and call Normalize.
func (s *Registers) Add(hash uint64, t int64) {
	register, rank := Register(hash)
	s.add(Ranked{Time: t, Register: register, Rank: rank})
}

func (s *Registers) add(e Ranked) {
	list := *s
	at, same := slices.BinarySearchFunc(list, e, compareRanked)
	if at < len(list) && list[at].Register == e.Register && list[at].Rank >= e.Rank {
		return
	}
	end := at
	if same {
		end++
	}
	for at > 0 && list[at-1].Register == e.Register && list[at-1].Rank <= e.Rank {
		at--
	}
	if at == end {
		*s = slices.Insert(list, at, e)
		return
	}
	list[at] = e
	*s = slices.Delete(list, at+1, end)
}

// compareRanked orders by register and time.
func compareRanked(a, b Ranked) int {
	if a.Register != b.Register {
		return cmp.Compare(a.Register, b.Register)
	}
	return cmp.Compare(a.Time, b.Time)
}

// Normalize sorts entries that came in any order, and drops what later ones reach. O(n log n).
func (s *Registers) Normalize() {
	list := *s
	// The newest last, and of one time the largest rank: so one walk backwards sees first what drops the others.
	slices.SortFunc(list, func(a, b Ranked) int { return cmp.Or(compareRanked(a, b), cmp.Compare(a.Rank, b.Rank)) })
	kept := len(list)
	for i := len(list) - 1; i >= 0; i-- {
		if kept < len(list) && list[kept].Register == list[i].Register && list[kept].Rank >= list[i].Rank {
			continue
		}
		kept--
		list[kept] = list[i]
	}
	*s = slices.Delete(list, 0, kept)
}

// Merge adds the values of o.
func (s *Registers) Merge(o Registers) {
	*s = append(*s, o...)
	s.Normalize()
}

// Cut drops what no window that starts at or after from needs.
func (s *Registers) Cut(from int64) {
	*s = slices.DeleteFunc(*s, func(x Ranked) bool { return x.Time < from })
}

// Result estimates the number of distinct values in [from, ∞). O(n).
func (s Registers) Result(from int64) int64 {
	c := Ranks{0: RegisterNum}
	last := -1
	for i := range s {
		if e := &s[i]; e.Time >= from && int(e.Register) != last {
			last = int(e.Register)
			c[e.Rank]++
			c[0]--
		}
	}
	return c.Estimate()
}

// Append writes the state: bytes that depend on the values and times alone; about 7 an entry.
func (s Registers) Append(dst []byte) []byte {
	newest := int64(math.MinInt64)
	for _, e := range s {
		newest = max(newest, e.Time)
	}
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	if len(s) > 0 {
		dst = binary.AppendVarint(dst, newest)
	}
	last := uint16(0)
	for _, e := range s {
		dst = binary.AppendUvarint(dst, uint64(e.Register-last)<<rankBits|uint64(e.Rank))
		dst = binary.AppendUvarint(dst, uint64(newest-e.Time))
		last = e.Register
	}
	return dst
}

// DecodeRegisters reads what Append wrote into s, which it overwrites, and returns the bytes behind it.
func DecodeRegisters(s Registers, src []byte) (Registers, []byte, error) {
	n, src, err := decodeLen(src, 2, registerWhat)
	if err != nil || n == 0 {
		return s[:0], src, err
	}
	newest, src, err := DecodeInt(src)
	if err != nil {
		return nil, nil, err
	}
	s = slices.Grow(s[:0], n)
	last, least := uint64(0), uint64(math.MaxUint64)
	for range n {
		var key, ago uint64
		if key, src, err = DecodeUint(src); err == nil {
			ago, src, err = DecodeUint(src)
		}
		if err != nil {
			return nil, nil, err
		}
		rank := key & (1<<rankBits - 1)
		if key>>rankBits >= RegisterNum-last || rank == 0 || rank > MaxRank {
			return nil, nil, damaged(registerWhat)
		}
		last += key >> rankBits
		least = min(least, ago)
		e := Ranked{Time: newest - int64(ago), Register: uint16(last), Rank: uint8(rank)}
		if e.Time > newest {
			return nil, nil, damaged(registerWhat)
		}
		if k := len(s) - 1; k >= 0 && s[k].Register == e.Register && (s[k].Time >= e.Time || s[k].Rank <= e.Rank) {
			return nil, nil, damaged(registerWhat)
		}
		s = append(s, e)
	}
	if least != 0 {
		return nil, nil, damaged(registerWhat)
	}
	return s, src, nil
}
