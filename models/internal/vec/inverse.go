package vec

// InvertSPD overwrites a (n×n, symmetric positive definite, only the upper triangle is read) with its inverse, both triangles. It reports
// false, with a in an undefined state, if A is not positive definite in float32 or holds a NaN. n³ multiply-adds on all cores, as many as
// Cholesky and the inverse of its factor take; memory: 1920 bytes a row. The result does not depend on GOMAXPROCS.
//
// It sweeps blocks of rows K in turn (the sweep operator of Goodnight 1979, in blocks), in the upper triangle alone:
//
//	D = A_KK,  W = D⁻¹·A_K,  A_JL −= A_JK·W_L,  A_K = W,  A_KK = −D⁻¹
//
// After all blocks A holds −A⁻¹. Nearly all of the work is the update of J and L, in tiles.
func InvertSPD(a []float32, n int) bool {
	if n == 0 {
		return true
	}
	parallel := func(tasks int, f func(task int)) {
		Chunks(tasks, func() struct{} { return struct{}{} }, func(_ struct{}, task int) { f(task) })
	}
	if !newSweep(n, pivotRows, parallel).run(a, n) {
		return false
	}
	blocks := (n + mirrorBlock - 1) / mirrorBlock
	parallel(blocks, func(block int) {
		for other := range block + 1 {
			for i := block * mirrorBlock; i < min(n, (block+1)*mirrorBlock); i++ {
				for j := other * mirrorBlock; j < min(i+1, (other+1)*mirrorBlock); j++ {
					v := -a[j*n+i]
					a[j*n+i], a[i*n+j] = v, v
				}
			}
		}
	})
	return true
}

const (
	sweepCols   = 3 * tileCols  // columns of a strip: those of the widest tile
	pivotRows   = 5 * sweepCols // rows of a block: a strip of as many rows fits beside others in a core's second cache
	updateArea  = 10            // strips of a task's rows and of its columns
	turnRows    = 16            // rows of a block that are turned into columns at a time
	mirrorBlock = 32
)

// sweep is the memory of one inversion. Panels hold a block's rows in strips of 48 columns, each strip row by row.
type sweep struct {
	n, block int
	strips   int
	rows     []float32 // A_K
	w        []float32 // W
	d        []float32 // D and its inverse: block×block
	inner    *sweep    // inverts D
	each     func(tasks int, f func(task int))
}

// newSweep returns the memory to invert matrices of up to n rows in blocks of `block`; `each` calls f for each task, in any order.
func newSweep(n, block int, each func(tasks int, f func(task int))) *sweep {
	strips := (n + sweepCols - 1) / sweepCols
	block = min(block, strips*sweepCols)
	s := &sweep{n: n, block: block, strips: strips, each: each}
	if n <= sweepCols {
		return s
	}
	s.rows, s.w, s.d = aligned(strips*sweepCols*block), aligned(strips*sweepCols*block), aligned(block*block)
	s.inner = newSweep(block, sweepCols, func(tasks int, f func(task int)) {
		for task := range tasks {
			f(task)
		}
	})
	return s
}

// run overwrites the upper triangle of a (n×n, row stride lda) with that of −A⁻¹.
func (s *sweep) run(a []float32, lda int) bool {
	if s.inner == nil {
		return invertSmall(a, s.n, lda)
	}
	for k := 0; k < s.n; k += s.block {
		if !s.pivot(a, lda, k) {
			return false
		}
	}
	return true
}

// pivot sweeps rows k to k+block.
func (s *sweep) pivot(a []float32, lda, k int) bool {
	rows := min(s.block, s.n-k)
	s.each(s.strips, func(t int) { s.load(a, lda, k, rows, t) })
	// D stands in the strips of its own columns. Rows that the last block lacks are those of the identity.
	clear(s.d)
	for i := range s.block {
		if i >= rows {
			s.d[i*s.block+i] = 1
			continue
		}
		for j := i; j < rows; j++ {
			s.d[i*s.block+j] = a[(k+i)*lda+k+j]
		}
	}
	if !s.inner.run(s.d, s.block) {
		return false
	}
	for i := range s.block { // from −D⁻¹, upper, to D⁻¹, full
		for j := i; j < s.block; j++ {
			v := -s.d[i*s.block+j]
			s.d[i*s.block+j], s.d[j*s.block+i] = v, v
		}
	}
	s.each(s.strips, func(t int) {
		strip := s.block * sweepCols * t
		for i := 0; i < s.block; i += tileRows {
			mulTile(set, s.w[strip+i*sweepCols:], sweepCols, 3, s.block, s.d[i:], 1, s.block, s.rows[strip:], tileCols, sweepCols)
		}
	})
	first, last := k/sweepCols, (k+rows+sweepCols-1)/sweepCols // the strips of K
	areas := (s.strips + updateArea - 1) / updateArea
	s.each(areas*(areas+1)/2, func(task int) {
		// Tasks count through the upper triangle of areas, column by column.
		col := 0
		for task > col {
			col++
			task -= col
		}
		s.update(a, lda, task*updateArea, col*updateArea, first, last)
	})
	s.each(s.strips, func(t int) { s.store(a, lda, k, rows, t) })
	return true
}

// load copies strip t of A_K into its panel: what lies left of the diagonal is read from above it.
func (s *sweep) load(a []float32, lda, k, rows, t int) {
	strip := s.rows[s.block*sweepCols*t:][:s.block*sweepCols]
	clear(strip)
	j0, j1 := t*sweepCols, min((t+1)*sweepCols, s.n)
	for r0 := 0; r0 < rows; r0 += turnRows { // what is turned at a time stays in the first cache, on both sides
		for j := j0; j < min(j1, k); j++ {
			to := strip[r0*sweepCols+j-j0:]
			for r, v := range a[j*lda+k+r0:][:min(turnRows, rows-r0)] {
				to[r*sweepCols] = v
			}
		}
	}
	for r := range rows {
		for j := max(j0, k); j < min(j1, k+r); j++ {
			strip[r*sweepCols+j-j0] = a[j*lda+k+r]
		}
		if from := max(j0, k+r); from < j1 {
			copy(strip[r*sweepCols+from-j0:], a[(k+r)*lda+from:(k+r)*lda+j1])
		}
	}
}

// update takes A_JK·W_L from A_JL, upper triangle, for J and L in the areas that begin at strips row and col, without the strips first to last.
func (s *sweep) update(a []float32, lda, row, col, first, last int) {
	size := s.block * sweepCols
	for i := row * sweepCols; i < min(s.n, (row+updateArea)*sweepCols); i += tileRows {
		own := i / sweepCols
		if own >= first && own < last {
			continue
		}
		for t := max(own, col); t < min(s.strips, col+updateArea); t++ {
			if t >= first && t < last {
				continue
			}
			left := 0 // strips of the tile that are below the diagonal
			if t == own {
				left = i % sweepCols / tileCols
			}
			j := t*sweepCols + left*tileCols
			mulInside(subtract, a[i*lda+j:], lda, s.n-i, s.n-j, 3-left, s.block, s.rows[own*size+i%sweepCols:], 1, sweepCols,
				s.w[t*size+left*tileCols:], tileCols, sweepCols)
		}
	}
}

// store writes strip t of W where A_K was, and −D⁻¹ where D was.
func (s *sweep) store(a []float32, lda, k, rows, t int) {
	strip := s.w[s.block*sweepCols*t:]
	j0, j1 := t*sweepCols, min((t+1)*sweepCols, s.n)
	for r0 := 0; r0 < rows; r0 += turnRows {
		for j := j0; j < min(j1, k); j++ {
			to, from := a[j*lda+k+r0:][:min(turnRows, rows-r0)], strip[r0*sweepCols+j-j0:]
			for r := range to {
				to[r] = from[r*sweepCols]
			}
		}
	}
	for r := range rows {
		for j := max(j0, k+r); j < min(j1, k+rows); j++ {
			a[(k+r)*lda+j] = -s.d[r*s.block+j-k]
		}
		if from := max(j0, k+rows); from < j1 {
			copy(a[(k+r)*lda+from:(k+r)*lda+j1], strip[r*sweepCols+from-j0:])
		}
	}
}

// invertSmall overwrites the upper triangle of a (n×n, n ≤ 48, row stride lda) with that of −A⁻¹.
func invertSmall(a []float32, n, lda int) bool {
	var u [sweepCols * sweepCols]float32
	for i := range n {
		copy(u[i*n+i:(i+1)*n], a[i*lda+i:])
	}
	if !Cholesky(u[:n*n], n) {
		return false
	}
	// U⁻¹ over U, from the last row up: row i of U⁻¹ is (eᵢ − Σ_k>i U[i,k]·U⁻¹[k])/U[i,i].
	var work [sweepCols]float32
	for i := n - 1; i >= 0; i-- {
		row := u[i*n+i : (i+1)*n]
		sum := work[:len(row)]
		clear(sum)
		for k := 1; k < len(row); k++ {
			Axpy(sum[k:], -row[k], u[(i+k)*n+i+k:][:len(row)-k])
		}
		inverse := 1 / row[0]
		row[0] = inverse
		for j := range row[1:] {
			row[1+j] = sum[1+j] * inverse
		}
	}
	// A⁻¹ = U⁻¹·U⁻ᵀ: element (i, j ≥ i) is the product of rows i and j of U⁻¹ from column j on.
	for i := range n {
		for j := i; j < n; j++ {
			a[i*lda+j] = -Dot(u[i*n+j:(i+1)*n], u[j*n+j:(j+1)*n])
		}
	}
	return true
}
