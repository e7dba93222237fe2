package vec

// InvertSPD overwrites a (n×n, symmetric positive definite, only the upper triangle is read) with its inverse, both triangles. It reports
// false, with a in an undefined state, if A is not positive definite in float32 or holds a NaN. n³/2 multiply-adds on all cores, as many as
// Cholesky and the inverse of its factor take; memory: 960 bytes a row. The result does not depend on GOMAXPROCS.
//
// It sweeps blocks of rows K in turn (the sweep operator of Goodnight 1979, in blocks), in the upper triangle alone:
//
//	UᵀU = A_KK,  V = U⁻ᵀ·A_K,  A_JL −= V_Jᵀ·V_L,  A_K = U⁻¹·V,  A_KK = −U⁻¹·U⁻ᵀ
//
// After all blocks A holds −A⁻¹. Nearly all of the work is the update of J and L, in tiles.
func InvertSPD(a []float32, n int) bool {
	if n == 0 {
		return true
	}
	s := newSweep(n)
	for k := 0; k < n; k += s.block {
		if !s.pivot(a, k) {
			return false
		}
	}
	mirror(a, n)
	return true
}

const (
	sweepCols  = 3 * tileCols  // columns of a strip: those of the widest tile
	pivotRows  = 5 * sweepCols // rows of a block
	updateArea = 10            // strips of a task's rows and of its columns: as many fit in a core's second cache beside those that come next
	mirrorRows = 4 * tileCols  // rows of the lower triangle that are written side by side: so many pages are at hand
)

// each calls f for each task, on all cores.
func each(tasks int, f func(task int)) {
	Chunks(tasks, func() struct{} { return struct{}{} }, func(_ struct{}, task int) { f(task) })
}

// sweep is the memory of one inversion.
type sweep struct {
	n, block int
	strips   int
	panel    []float32 // A_K, then V, in strips of 48 columns, each strip row by row; U⁻ᵀ in the strips of K
	u        []float32 // U: block×block
	factors  []factors // of the diagonal blocks of U
}

func newSweep(n int) *sweep {
	strips := (n + sweepCols - 1) / sweepCols
	block := min(pivotRows, strips*sweepCols)
	return &sweep{
		n: n, block: block, strips: strips,
		panel: aligned(strips * sweepCols * block), u: aligned(block * block), factors: make([]factors, block/tileRows),
	}
}

// strip is strip t of the panel.
func (s *sweep) strip(t int) []float32 {
	size := s.block * sweepCols
	return s.panel[t*size:][:size]
}

// pivot sweeps rows k to k+block.
func (s *sweep) pivot(a []float32, k int) bool {
	rows := min(s.block, s.n-k)
	if !s.factor(a, k, rows) {
		return false
	}
	each(s.strips, func(t int) {
		s.load(a, k, rows, t)
		s.solve(t)
	})
	first, last := k/sweepCols, (k+rows+sweepCols-1)/sweepCols // the strips of K
	areas := (s.strips + updateArea - 1) / updateArea
	each(areas*(areas+1)/2, func(task int) {
		// Tasks count through the upper triangle of areas, column by column.
		col := 0
		for task > col {
			col++
			task -= col
		}
		s.update(a, task*updateArea, col*updateArea, first, last)
	})
	each(s.strips, func(t int) { s.store(a, k, rows, t) })
	return true
}

// factor sets u to U. Rows that the last block lacks are those of the identity.
func (s *sweep) factor(a []float32, k, rows int) bool {
	clear(s.u)
	for i := range s.block {
		if i >= rows {
			s.u[i*s.block+i] = 1
			continue
		}
		copy(s.u[i*s.block+i:][:rows-i], a[(k+i)*s.n+k+i:])
	}
	for i := 0; i < s.block; i += tileRows {
		if !choleskyRows(s.u, s.block, i, &s.factors[i/tileRows]) {
			return false
		}
	}
	return true
}

// load copies strip t of A_K into the panel, the identity where it is K itself: what lies left of the diagonal is read from above it.
func (s *sweep) load(a []float32, k, rows, t int) {
	strip, j := s.strip(t), t*sweepCols
	switch {
	case j < k:
		clear(strip[rows*sweepCols:])
		s.turnEach(rows, func(r, c int) {
			from := a[(j+c)*s.n+k+r:]
			turn(strip[r*sweepCols+c:], sweepCols, from, s.n, min(tileCols, rows-r), tileCols, from[tileCols*s.n:], s.n)
		})
	case j < k+s.block:
		clear(strip)
		for c := range sweepCols {
			strip[(j-k+c)*sweepCols+c] = 1
		}
	default: // there is such a strip only beside whole blocks
		lay(strip, a[k*s.n+j:], s.n, rows, min(sweepCols, s.n-j))
	}
}

// turnEach calls f for the first row and column of each 16×16 elements of a strip.
func (s *sweep) turnEach(rows int, f func(r, c int)) {
	for c := 0; c < sweepCols; c += tileCols {
		for r := 0; r < rows; r += tileCols {
			f(r, c)
		}
	}
}

// solve makes strip t of V from that of A_K.
func (s *sweep) solve(t int) {
	strip := s.strip(t)
	for i := 0; i < s.block; i += tileRows {
		mulTile(subtract, strip[i*sweepCols:], sweepCols, 3, i, s.u[i:], 1, s.block, strip, tileCols, sweepCols)
		solveRows(strip[i*sweepCols:], sweepCols, 3, &s.factors[i/tileRows])
	}
}

// update takes V_Jᵀ·V_L from A_JL, upper triangle, for J and L in the areas that begin at strips row and col, without the strips first to last.
func (s *sweep) update(a []float32, row, col, first, last int) {
	ahead := len(s.strip(0)) / (updateArea * sweepCols / tileRows) // of the next strip, for each tile of a strip's
	for i := row * sweepCols; i < min(s.n, (row+updateArea)*sweepCols); i += tileRows {
		own := i / sweepCols
		if own >= first && own < last {
			continue
		}
		rows, next := s.strip(own)[i%sweepCols:], s.strip(min(own+1, s.strips-1))
		for t := max(own, col); t < min(s.strips, col+updateArea); t++ {
			if t >= first && t < last {
				continue
			}
			left := 0 // strips of the tile that are below the diagonal
			if t == own {
				left = i % sweepCols / tileCols
			}
			j := t*sweepCols + left*tileCols
			if left == 0 && i+tileRows <= s.n && j+sweepCols <= s.n {
				takeStrips(a[i*s.n+j:], s.n, s.block, rows, s.strip(t), next[(i%sweepCols/tileRows*updateArea+t-col)*ahead:])
				continue
			}
			strips := min(3-left, roundUp(s.n-j)/tileCols)
			mulInside(subtract, a[i*s.n+j:], s.n, s.n-i, s.n-j, strips, s.block, rows, 1, sweepCols, s.strip(t)[left*tileCols:], tileCols, sweepCols)
		}
	}
}

// store writes strip t of U⁻¹·V where A_K was, and of −U⁻¹·U⁻ᵀ where A_KK was.
func (s *sweep) store(a []float32, k, rows, t int) {
	strip, j := s.strip(t), t*sweepCols
	var beside [tileRows * sweepCols]float32
	for i := 0; i < rows; i += tileRows {
		// Row i of U⁻¹ is column i of U⁻ᵀ: zeros up to i.
		inverse := s.strip((k + i) / sweepCols)[i*sweepCols+i%sweepCols:]
		n, v := s.block-i, strip[i*sweepCols:]
		if j >= k+s.block {
			mulInside(set, a[(k+i)*s.n+j:], s.n, rows-i, s.n-j, 3, n, inverse, 1, sweepCols, v, tileCols, sweepCols)
			continue
		}
		mulTile(set, beside[:], sweepCols, 3, n, inverse, 1, sweepCols, v, tileCols, sweepCols)
		if j < k {
			copy(v, beside[:]) // these rows are not used any more
			continue
		}
		for r := i; r < min(i+tileRows, rows); r++ {
			for c := max(j, k+r); c < min(j+sweepCols, s.n); c++ {
				a[(k+r)*s.n+c] = -beside[(r-i)*sweepCols+c-j]
			}
		}
	}
	if j >= k {
		return
	}
	s.turnEach(rows, func(r, c int) {
		to := a[(j+c)*s.n+k+r:]
		turn(to, s.n, strip[r*sweepCols+c:], sweepCols, tileCols, min(tileCols, rows-r), to[tileCols*s.n:], s.n)
	})
}

// mirror negates the upper triangle of a (n×n) and copies it to the lower one.
func mirror(a []float32, n int) {
	each((n+mirrorRows-1)/mirrorRows, func(task int) {
		end := min(n, (task+1)*mirrorRows)
		for i := 0; i < end; i += tileCols {
			for j := max(i, task*mirrorRows); j < end; j += tileCols {
				mirrorBlock(a, n, i, j)
			}
		}
	})
}
