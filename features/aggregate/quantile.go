package aggregate

import (
	"math"
	"math/bits"
)

// The bins of a DDSketch (Masson, Rim & Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees", VLDB 2019) with
// the mapping that interpolates the logarithm linearly: 64 bins to every power of two, which are the leading bits of the float. So a bin is found
// with a shift, exactly and alike on every machine, where the paper's logarithm takes 35 bins and a call; the bins that are not empty are what costs
// memory, and an entity has few.
const (
	binBits = 6
	// subnormals is how many powers of two lie below the normal numbers.
	subnormals = 52
)

// BinError is the largest relative error of a quantile: half a bin by its lower edge, 0.78 %.
const BinError = 1.0 / (2 << binBits)

// Bin returns the bin of a value, which must be finite. Bins are in the order of their values: negative ones below zero, 0 for zero alone.
func Bin(x float64) int32 {
	b := math.Float64bits(x) &^ (1 << 63)
	var k int32
	if b >= 1<<52 {
		k = int32(b>>(52-binBits)) + subnormals<<binBits
	} else if b != 0 {
		n := bits.Len64(b) // 1 to 52
		k = int32(n<<binBits) | int32(b<<(53-n)>>(52-binBits))&(1<<binBits-1)
	}
	if x < 0 {
		return -k
	}
	return k
}

// BinValue returns the value that stands for a bin: its middle, or the one float that it holds.
func BinValue(bin int32) float64 {
	sign := 1.0
	if bin < 0 {
		bin, sign = -bin, -1
	}
	if bin == 0 {
		return 0
	}
	n := int(bin >> binBits)
	leading := 1<<binBits | uint64(bin&(1<<binBits-1))
	if n > subnormals {
		return sign * math.Float64frombits(uint64(bin-subnormals<<binBits)<<(52-binBits)|1<<(51-binBits))
	}
	if n <= binBits+1 {
		return sign * math.Float64frombits(leading>>(binBits+1-n))
	}
	return sign * math.Float64frombits((2*leading+1)<<(n-binBits-2))
}

// Rank returns the position ⌊q·(n−1)⌋, from 0, of the quantile q among n sorted values; the product is rounded to a float64.
func Rank(q float64, n int64) int64 { return int64(q * float64(n-1)) }

// Quantile returns the value of rank ⌊q·(n−1)⌋ with a relative error of at most BinError, false if there is none. O(bins).
func Quantile(s Tallies[int32], q float64) (float64, bool) {
	n := s.Total()
	if n == 0 {
		return 0, false
	}
	rank := Rank(q, n)
	for _, t := range s {
		if rank -= t.N; rank < 0 {
			return BinValue(t.Key), true
		}
	}
	return 0, false
}
