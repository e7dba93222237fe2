package table

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/rapport-ml/rapport/storage/table/internal/sha"
)

// Rows are encoded and hashed so many at once, fewer if they are long: what they take stays in a cache, and a processor's lanes are full.
const (
	hashedRows  = 8 * sha.Lanes
	hashedBytes = 64 << 10 // of more than sha.Lanes rows
	longRows    = 4 << 20  // of more than one row
)

// canonicalRows encodes rows of a batch as a Digest has them, column by column, and hashes them.
type canonicalRows struct {
	buf      []byte
	at       [hashedRows]int // where the next value of each row goes
	messages [hashedRows][]byte
	sums     [hashedRows][sha.Size]byte
}

// hash hashes rows of b from one on, and returns their hashes, which are valid until the next call: one at least, if there are rows.
func (r *canonicalRows) hash(b *Batch, from int) [][sha.Size]byte {
	n := min(hashedRows, b.N-from)
	sizes := r.at[:n]
	r.measure(sizes, b, from)
	total := 0
	for i, size := range sizes {
		if i >= sha.Lanes && total+size > hashedBytes || i > 0 && total+size > longRows {
			n = i
			break
		}
		sizes[i] = total
		total += size
	}
	if cap(r.buf) < total {
		giveBackBytes(r.buf)
		r.buf = asBytes(borrowWithin((total+7)/8, 0))
	}
	r.buf = r.buf[:total]
	at := r.at[:n]
	for k := range b.Cols {
		r.encode(&b.Cols[k], b.Schema[k].Type, from, at)
	}
	start := 0
	for i, end := range at {
		r.messages[i] = r.buf[start:end]
		start = end
	}
	sha.Sums(r.sums[:n], r.messages[:n])
	return r.sums[:n]
}

// measure sets sizes to the bytes that rows from one on take.
func (r *canonicalRows) measure(sizes []int, b *Batch, from int) {
	each := 0
	clear(sizes)
	for k := range b.Cols {
		c := &b.Cols[k]
		size := 9
		switch b.Schema[k].Type {
		case String, Bytes:
			for i := range sizes {
				if c.Null(from + i) {
					sizes[i]++
				} else {
					n := len(c.Text(from + i))
					sizes[i] += 1 + (bits.Len64(uint64(n)|1)+6)/7 + n
				}
			}
			continue
		case Bool:
			size = 2
		}
		each += size
		if c.Valid != nil {
			for i, ok := range c.Valid[from : from+len(sizes)] {
				if !ok {
					sizes[i] -= size - 1
				}
			}
		}
	}
	for i := range sizes {
		sizes[i] += each
	}
}

// encode writes a column's values of rows from one on, each at its place, and moves these behind them.
func (r *canonicalRows) encode(c *Column, t Type, from int, at []int) {
	valid := c.Valid
	if valid != nil {
		valid = valid[from : from+len(at)]
	}
	buf := r.buf
	switch t {
	case Float64:
		for i, v := range c.Float[from : from+len(at)] {
			if valid != nil && !valid[i] {
				at[i] = absent(buf, at[i])
				continue
			}
			at[i] = word(buf, at[i], math.Float64bits(canonicalFloat(v)))
		}
	case String, Bytes:
		for i := range at {
			if valid != nil && !valid[i] {
				at[i] = absent(buf, at[i])
				continue
			}
			text, to := c.Text(from+i), at[i]
			buf[to] = 1
			to += 1 + binary.PutUvarint(buf[to+1:], uint64(len(text)))
			at[i] = to + copy(buf[to:], text)
		}
	case Bool:
		for i, v := range c.Int[from : from+len(at)] {
			if valid != nil && !valid[i] {
				at[i] = absent(buf, at[i])
				continue
			}
			to := at[i]
			buf[to], buf[to+1] = 1, 0
			if v != 0 {
				buf[to+1] = 1
			}
			at[i] = to + 2
		}
	default:
		for i, v := range c.Int[from : from+len(at)] {
			if valid != nil && !valid[i] {
				at[i] = absent(buf, at[i])
				continue
			}
			at[i] = word(buf, at[i], uint64(v))
		}
	}
}

// absent writes a null, and returns where the next value goes.
func absent(buf []byte, at int) int {
	buf[at] = 0
	return at + 1
}

// word writes eight bytes that are not null.
func word(buf []byte, at int, v uint64) int {
	to := buf[at : at+9]
	to[0] = 1
	binary.LittleEndian.PutUint64(to[1:], v)
	return at + 9
}
