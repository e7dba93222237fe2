package vec

// Everything fast here is made of tiles: products of 8 rows and 16, 32 or 48 columns,
//
//	s[i][j] = Σ_k a[i·ai + k·ak] · b[j/16·bs + k·bk + j%16],  k = 0 … n−1
//
// each summed in ascending k from 0: fused multiply-adds in assembly, one rounding after each product and one after each addition in the
// portable kernel. A tile of c (row stride ldc) is then set to s, or s is added to or subtracted from it. So b is a matrix in row-major
// order (bs = 16), or in strips of 16 columns (bk = 16).
const (
	tileRows = 8
	tileCols = 16 // of the narrowest tile
)

// How a tile of c takes the sums.
const (
	set = iota
	add
	subtract
)

// widest returns how many strips of 16 columns the next tile should have, of those that are left: no tile of one strip is made if two of two
// serve, since its chains are too few to hide the latency of a fused multiply-add.
func widest(strips int) int {
	if strips == 4 {
		return 2
	}
	return min(strips, 3)
}

// mulTile does one tile of `strips` strips.
func mulTile(how int, c []float32, ldc, strips, n int, a []float32, ai, ak int, b []float32, bs, bk int) {
	if n > 0 { // the last elements that are read: the assembly does not check
		_, _ = a[(n-1)*ak+(tileRows-1)*ai], b[(strips-1)*bs+(n-1)*bk+tileCols-1]
	} else {
		a, b = c, c
	}
	_ = c[(tileRows-1)*ldc+strips*tileCols-1]
	if level == portable {
		mulTilePortable(how, c, ldc, strips, n, a, ai, ak, b, bs, bk)
		return
	}
	mulTileFMA(how, c, ldc, strips, n, a, ai, ak, b, bs, bk)
}

// mulInside is mulTile of a tile of which only the first `rows` rows and `cols` columns are in c.
func mulInside(how int, c []float32, ldc, rows, cols, strips, n int, a []float32, ai, ak int, b []float32, bs, bk int) {
	if rows >= tileRows && cols >= strips*tileCols {
		mulTile(how, c, ldc, strips, n, a, ai, ak, b, bs, bk)
		return
	}
	var beside [tileRows * 3 * tileCols]float32
	width := strips * tileCols
	rows, cols = min(tileRows, rows), min(width, cols)
	for r := range rows {
		copy(beside[r*width:][:cols], c[r*ldc:])
	}
	mulTile(how, beside[:], width, strips, n, a, ai, ak, b, bs, bk)
	for r := range rows {
		copy(c[r*ldc:][:cols], beside[r*width:])
	}
}

// mulTilePortable computes 2×2 elements at a time: what the compiler keeps in registers everywhere. The conversions forbid fused
// multiply-add, which it would otherwise use on some architectures.
func mulTilePortable(how int, c []float32, ldc, strips, n int, a []float32, ai, ak int, b []float32, bs, bk int) {
	for s := range strips {
		for i := 0; i < tileRows; i += 2 {
			for j := 0; j < tileCols; j += 2 {
				var c00, c01, c10, c11 float32
				for k := range n {
					u, v := a[i*ai+k*ak], a[(i+1)*ai+k*ak]
					p := b[s*bs+k*bk+j:][:2]
					c00 += float32(u * p[0])
					c01 += float32(u * p[1])
					c10 += float32(v * p[0])
					c11 += float32(v * p[1])
				}
				at := s*tileCols + j
				join(how, c[i*ldc+at:][:2], c00, c01)
				join(how, c[(i+1)*ldc+at:][:2], c10, c11)
			}
		}
	}
}

func join(how int, c []float32, s0, s1 float32) {
	switch how {
	case set:
		c[0], c[1] = s0, s1
	case add:
		c[0] += s0
		c[1] += s1
	default:
		c[0] -= s0
		c[1] -= s1
	}
}

// solveRows overwrites eight rows of c (strips·16 columns, row stride ldc) with U⁻ᵀ times them: row i is multiplied by f.inverse[i], and
// f.u[8i+k] times it is taken from each row k > i.
func solveRows(c []float32, ldc, strips int, f *factors) {
	if strips == 0 {
		return
	}
	_ = c[(tileRows-1)*ldc+strips*tileCols-1]
	if level != portable {
		solveRowsFMA(c, ldc, strips, f)
		return
	}
	for i := range tileRows {
		row := c[i*ldc:][:strips*tileCols]
		for j := range row {
			row[j] *= f.inverse[i]
		}
		for k := i + 1; k < tileRows; k++ {
			x, to := f.u[tileRows*i+k], c[k*ldc:][:len(row)]
			for j, v := range row {
				to[j] -= float32(x * v)
			}
		}
	}
}
