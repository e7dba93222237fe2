package vec

// CholeskySolve overwrites b (n) with the solution x of Uᵀ·U·x = b, for the U that Cholesky left in a. O(n²).
func CholeskySolve(u []float32, n int, b []float32) {
	b = b[:n]
	whole := n / tileCols * tileCols // rows and columns in whole blocks of 16
	for i := 0; i < whole; i += tileCols {
		forward(u[i*n+i:], n, b[i:][:tileCols])
		right := i + tileCols
		takeRows(b[right:], (whole-right)/tileCols, u[i*n+right:], n, b[i:][:8])
		takeRows(b[right:], (whole-right)/tileCols, u[(i+8)*n+right:], n, b[i+8:][:8])
		for r := i; r < right; r++ {
			x, row := b[r], u[r*n+whole:(r+1)*n]
			for j, v := range row {
				b[whole+j] -= float32(x * v)
			}
		}
	}
	if whole < n {
		forward(u[whole*n+whole:], n, b[whole:])
		backward(u[whole*n+whole:], n, b[whole:])
	}
	for i := whole - tileCols; i >= 0; i -= tileCols {
		right := i + tileCols
		for r := i; r < right; r += 4 {
			var sums [4]float32
			dotRows(sums[:], (whole-right)/tileCols, u[r*n+right:], n, b[right:])
			for k, s := range sums {
				for j, v := range u[(r+k)*n+whole : (r+k+1)*n] {
					s += float32(v * b[whole+j])
				}
				b[r+k] -= s
			}
		}
		backward(u[i*n+i:], n, b[i:][:tileCols])
	}
}

// forward overwrites b with the solution x of Uᵀ·x = b for the small block at u, whose rows have stride n.
func forward(u []float32, n int, b []float32) {
	for i := range b {
		row := u[i*n:][:len(b)]
		x := b[i] / row[i]
		b[i] = x
		for j := i + 1; j < len(b); j++ {
			b[j] -= float32(x * row[j])
		}
	}
}

// backward overwrites b with the solution x of U·x = b for the small block at u, whose rows have stride n.
func backward(u []float32, n int, b []float32) {
	for i := len(b) - 1; i >= 0; i-- {
		row := u[i*n:][:len(b)]
		var s float32
		for j := i + 1; j < len(b); j++ {
			s += float32(row[j] * b[j])
		}
		b[i] = (b[i] - s) / row[i]
	}
}

// takeRows takes w[k]·x[k·stride + j] from dst[j] for the eight rows k of x and j < 16·strips.
func takeRows(dst []float32, strips int, x []float32, stride int, w []float32) {
	if strips == 0 {
		return
	}
	_, _, _ = dst[16*strips-1], x[7*stride+16*strips-1], w[7]
	if level != portable {
		takeRowsFMA(dst, strips, x, stride, w)
		return
	}
	dst = dst[:16*strips]
	for k := range 8 {
		a, row := w[k], x[k*stride:][:len(dst)]
		for j, v := range row {
			dst[j] -= float32(a * v)
		}
	}
}

// dotRows sets dst[k] to Σ x[k·stride + j]·p[j] over j < 16·strips for the four rows k of x: in 16 lanes, which are added in a tree.
func dotRows(dst []float32, strips int, x []float32, stride int, p []float32) {
	if strips == 0 {
		clear(dst[:4])
		return
	}
	_, _, _ = dst[3], x[3*stride+16*strips-1], p[16*strips-1]
	if level != portable {
		dotRowsFMA(dst, strips, x, stride, p)
		return
	}
	p = p[:16*strips]
	for k := range 4 {
		var lanes [16]float32
		row := x[k*stride:][:len(p)]
		for j, v := range row {
			lanes[j%16] += float32(v * p[j])
		}
		for half := 8; half > 0; half /= 2 {
			for l := range half {
				lanes[l] += lanes[l+half]
			}
		}
		dst[k] = lanes[0]
	}
}
