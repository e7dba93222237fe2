package vec

// CholeskySolve overwrites b (n) with the solution x of Uᵀ·U·x = b, for the U that Cholesky left in a. O(n²).
func CholeskySolve(u []float32, n int, b []float32) {
	b = b[:n]
	whole := n / tileCols * tileCols // rows and columns in whole blocks of 16
	for i := 0; i < whole; i += tileCols {
		forward(u[i*n+i:], n, b[i:][:tileCols])
		right := i + tileCols
		if right < whole {
			var w [tileCols]float32
			for r := range w {
				w[r] = -b[i+r]
			}
			AddRows(b[right:whole], u[i*n+right:], n, w[:])
		}
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
		var sums [tileCols]float32
		if right < whole {
			Dots(sums[:], u[i*n+right:], n, b[right:whole])
		}
		for r, s := range sums {
			for j, v := range u[(i+r)*n+whole : (i+r+1)*n] {
				s += float32(v * b[whole+j])
			}
			b[i+r] -= s
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
