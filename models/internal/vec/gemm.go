package vec

// Packed is a matrix laid out to be multiplied from the right, transposed: B (n×k) in strips of 16 rows, each strip transposed, the last
// one padded with zeros.
type Packed struct {
	n, k   int
	strips []float32 // ⌈n/16⌉ × k × 16
}

// Pack copies B (n×k, row-major). Memory: 4·k bytes a row.
func Pack(b []float32, n, k int) *Packed {
	p := &Packed{n: n, k: k, strips: make([]float32, (n+tileCols-1)/tileCols*tileCols*k)}
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
	p := &Packed{n: n, k: k, strips: make([]float32, (n+tileCols-1)/tileCols*tileCols*k)}
	for j := 0; j < n; j += tileCols {
		strip, cols := p.strips[j*k:], min(tileCols, n-j)
		for l := range k {
			copy(strip[l*tileCols:][:cols], b[l*ldb+j:][:cols])
		}
	}
	return p
}

// MulNT sets dst = A·Bᵀ: A is m×k with row stride lda, dst is m×n with row stride ldd. An element has the bits of Dot of its two rows,
// whatever m is. O(m·n·k).
func (p *Packed) MulNT(dst []float32, ldd int, a []float32, lda, m int) {
	p.mul(dst, ldd, a, lda, 1, m)
}

// MulTT sets dst = Aᵀ·Bᵀ: A is k×m with row stride lda. It is MulNT otherwise.
func (p *Packed) MulTT(dst []float32, ldd int, a []float32, lda, m int) {
	p.mul(dst, ldd, a, 1, lda, m)
}

// mul multiplies the matrix whose element (i, l) is a[i·ai + l·ak].
func (p *Packed) mul(dst []float32, ldd int, a []float32, ai, ak, m int) {
	var c tile
	for j0 := 0; j0 < p.n; j0 += tileCols { // a strip of B stays in cache while all rows of A pass over it
		strip, cols := p.strips[j0*p.k:][:tileCols*p.k], min(tileCols, p.n-j0)
		for i0 := 0; i0 < m; {
			// Fewer rows than a tile has are computed one by one, each as all rows of a tile.
			rows, between := tileRows, ai
			if m-i0 < tileRows {
				rows, between = 1, 0
			}
			mulTile(&c, p.k, a[i0*ai:], between, ak, strip, tileCols)
			for i := range rows {
				copy(dst[(i0+i)*ldd+j0:][:cols], c.row(i, 0))
			}
			i0 += rows
		}
	}
}
