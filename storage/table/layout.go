package table

import "math/bits"

// layout is how the values of a column stand in its pages: an encoding, of which encodingDictionary says that they are codes.
type layout int

// What decides a layout is looked for in so many of a column's first values: those of a row group of the usual size.
const layoutSample = defaultRowGroup

// layoutOf chooses for a column, by its first values that are not null, what is read fastest, which is what leaves the codec the least to do: codes of a
// dictionary where values recur; differences where integers lie close to those before; the lengths of text apart from it. It depends on the values alone. Where
// it says encodingDictionary, e holds the dictionary and the codes of v.
func (e *chunkEncoder) layoutOf(v dense, t Type) layout {
	switch t {
	case String:
		// They recur, twice on the average.
		if e.coded = e.code(v, t, len(v.text)/2); e.coded {
			return encodingDictionary
		}
		return encodingLengths
	case Bytes, Bool:
		return encodingPlain
	}
	n := len(v.words)
	share := 48 // of 64 bits, that a layout may take to be chosen
	if t == Float64 {
		share = 32
	}
	e.coded = e.code(v, t, n*share/64)
	coded := -1
	if d := len(e.words.dict); e.coded && d > 0 {
		coded = n*bits.Len(uint(d-1)) + 64*d
		e.coded = coded <= share*n
	} else {
		e.coded = false
	}
	if t == Float64 {
		if e.coded {
			return encodingDictionary
		}
		return encodingPlain
	}
	if e.coded && coded <= 8*n {
		return encodingDictionary // little to gain by a look at the differences
	}
	apart := differenceBits(v.words)
	switch {
	case e.coded && coded <= apart:
		return encodingDictionary
	case apart <= 48*n:
		e.coded = false
		return encodingDelta
	}
	return encodingPlain
}

// differenceBits is about how many bits numbers take as differences, in blocks as the encoding has them.
func differenceBits(v []uint64) (sum int) {
	for at := 1; at < len(v); at += deltaBlock {
		n := min(deltaBlock, len(v)-at)
		last := v[at-1]
		least := int64(v[at] - last) // wraps around as the encoding does
		most := least
		for _, x := range v[at : at+n] {
			d := int64(x - last)
			least, most = min(least, d), max(most, d)
			last = x
		}
		sum += 64 + n*bits.Len64(uint64(most-least))
	}
	return sum
}
