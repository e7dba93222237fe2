package vec

// Packed is a matrix laid out to be multiplied from the right, transposed: B (n×k) in strips of 16 rows, each strip transposed, the last
// one padded with zeros.
type Packed struct {
	n, k   int
	strips []float32 // ⌈n/16⌉ × k × 16
}

// Pack copies B (n×k, row-major). Memory: 4·k bytes a row.
func Pack(b []float32, n, k int) *Packed {
	p := &Packed{n: n, k: k, strips: aligned(roundUp(n) * k)}
	for j := range n {
		strip := p.strips[j/tileCols*tileCols*k+j%tileCols:]
		for l, v := range b[j*k:][:k] {
			strip[l*tileCols] = v
		}
	}
	return p
}

// PackColumns is Pack of the transpose: b is k×n with row stride ldb.
func PackColumns(b []float32, ldb, n, k int) *Packed {
	p := &Packed{n: n, k: k, strips: aligned(roundUp(n) * k)}
	for j := 0; j < n; j += tileCols {
		strip, cols := p.strips[j*k:], min(tileCols, n-j)
		for l := range k {
			copy(strip[l*tileCols:][:cols], b[l*ldb+j:][:cols])
		}
	}
	return p
}

// Part returns rows [lo, hi) of B, which share its memory. lo is a multiple of 16.
func (p *Packed) Part(lo, hi int) *Packed {
	if lo%tileCols != 0 {
		panic("vec: a part of a packed matrix that begins within a strip")
	}
	return &Packed{n: hi - lo, k: p.k, strips: p.strips[lo*p.k : roundUp(hi)*p.k]}
}

// MulNT sets dst = A·Bᵀ: A is m×k with row stride lda, dst is m×n with row stride ldd. An element depends on its two rows
// alone, to the bit, whatever m and n are: it is their sum of products in ascending order. O(m·n·k).
func (p *Packed) MulNT(dst []float32, ldd int, a []float32, lda, m int) {
	p.mul(dst, ldd, a, lda, 1, m)
}

// MulTT sets dst = Aᵀ·Bᵀ: A is k×m with row stride lda. It is MulNT otherwise.
func (p *Packed) MulTT(dst []float32, ldd int, a []float32, lda, m int) {
	p.mul(dst, ldd, a, 1, lda, m)
}

// mul multiplies the matrix whose element (i, l) is a[i·ai + l·ak].
func (p *Packed) mul(dst []float32, ldd int, a []float32, ai, ak, m int) {
	strips := (p.n + tileCols - 1) / tileCols
	for js := 0; js < strips; { // these strips of B stay in cache while all rows of A pass over them
		w := widest(strips - js)
		b, j := p.strips[js*tileCols*p.k:], js*tileCols
		cols := min(w*tileCols, p.n-j)
		i := 0
		for ; i+tileRows <= m && cols == w*tileCols; i += tileRows {
			mulTile(set, dst[i*ldd+j:], ldd, w, p.k, a[i*ai:], ai, ak, b, tileCols*p.k, tileCols)
		}
		// Fewer rows than a tile has are computed one by one, each as all rows of a tile, and columns that stick out are left aside.
		var beside [tileRows * 3 * tileCols]float32
		for i < m {
			rows, between := tileRows, ai
			if m-i < tileRows {
				rows, between = 1, 0
			}
			mulTile(set, beside[:], w*tileCols, w, p.k, a[i*ai:], between, ak, b, tileCols*p.k, tileCols)
			for r := range rows {
				copy(dst[(i+r)*ldd+j:][:cols], beside[r*w*tileCols:])
			}
			i += rows
		}
		js += w
	}
}
