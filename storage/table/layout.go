package table

import (
	"math"
	"math/bits"

	"github.com/apache/arrow-go/v18/parquet"
)

// layout is how the values of a column stand in its pages.
type layout struct {
	dictionary bool
	encoding   parquet.Encoding // without a dictionary
}

// What decides a layout is looked for in so many of a column's first values: those of a row group of the usual size.
const layoutSample = defaultRowGroup

// layoutOf chooses for the first n rows of a column what is read fastest, which is what leaves the codec the least to do: codes of a dictionary where values
// recur; differences where integers lie close to those before; the lengths of text apart from it. It depends on the values alone; set is scratch.
func layoutOf(c *Column, t Type, n int, set *wordSet) layout {
	n = min(n, layoutSample)
	plain := layout{encoding: parquet.Encodings.Plain}
	switch t {
	case String:
		if recurs(c, n) {
			return layout{dictionary: true}
		}
		return layout{encoding: parquet.Encodings.DeltaLengthByteArray}
	case Bytes, Bool:
		return plain
	}
	distinct, rows := distinctWords(c, t, n, set)
	coded := math.Inf(1)
	if distinct > 0 {
		coded = float64(rows*bits.Len(uint(distinct-1)) + 64*distinct)
	}
	if t == Float64 {
		if coded <= 32*float64(rows) {
			return layout{dictionary: true}
		}
		return plain
	}
	apart := float64(differenceBits(c, n))
	switch {
	case coded <= apart && coded <= 48*float64(rows):
		return layout{dictionary: true}
	case apart <= 48*float64(n):
		return layout{encoding: parquet.Encodings.DeltaBinaryPacked}
	}
	return plain
}

// recurs reports whether the texts of n rows recur, twice on the average.
func recurs(c *Column, n int) bool {
	seen := make(map[string]struct{})
	rows := 0
	for i, s := range c.Str[:n] {
		if c.Null(i) {
			continue
		}
		rows++
		seen[s] = struct{}{}
		if rows >= hopeless && 10*len(seen) > 9*rows {
			return false
		}
	}
	return 2*len(seen) <= rows
}

// hopeless is after how many values, nine tenths of them different, a dictionary is not thought of any more.
const hopeless = 1 << 13

// wordSet is an open-addressing set of numbers other than 0, half full at the most.
type wordSet [1 << 17]uint64

// distinctWords counts the values of n rows that are not null, and how many of them are different; it gives up, with 0, where these are too many.
func distinctWords(c *Column, t Type, n int, set *wordSet) (distinct, rows int) {
	const most = len(set) / 2
	*set = wordSet{}
	zero := false
	for i := range n {
		if c.Null(i) {
			continue
		}
		rows++
		var w uint64
		if t == Float64 {
			w = math.Float64bits(c.Float[i])
		} else {
			w = uint64(c.Int[i])
		}
		if w == 0 {
			if !zero {
				zero = true
				distinct++
			}
			continue
		}
		at := w * 0x9e3779b97f4a7c15 >> 47 // the top 17 bits
		for set[at] != 0 && set[at] != w {
			at = (at + 1) % uint64(len(set))
		}
		if set[at] == 0 {
			set[at] = w
			distinct++
		}
		if distinct > most || rows >= hopeless && 10*distinct > 9*rows {
			return 0, rows
		}
	}
	return distinct, rows
}

// differenceBits is about how many bits the integers of n rows take as differences, in blocks as the encoding has them.
func differenceBits(c *Column, n int) (sum int) {
	const block = 128
	last, have := int64(0), false
	least, most, k := int64(math.MaxInt64), int64(math.MinInt64), 0
	end := func() {
		if k > 0 {
			sum += 64 + k*bits.Len64(uint64(most-least))
		}
		least, most, k = math.MaxInt64, math.MinInt64, 0
	}
	for i, v := range c.Int[:n] {
		if c.Null(i) {
			continue
		}
		if have {
			d := v - last // wraps around as the encoding does
			least, most = min(least, d), max(most, d)
			if k++; k == block {
				end()
			}
		}
		last, have = v, true
	}
	end()
	return sum
}
