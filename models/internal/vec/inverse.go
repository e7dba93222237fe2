package vec

// InvertSPD overwrites a (n×n, symmetric positive definite, only the upper triangle is read) with its inverse, both triangles. It reports
// false, with a in an undefined state, if A is not positive definite in float32 or holds a NaN. O(n³) multiply-adds.
func InvertSPD(a []float32, n int) bool {
	if !Cholesky(a, n) {
		return false
	}
	// U⁻¹ over U, from the last row up: row i of U⁻¹ is (eᵢ − Σ_k>i U[i,k]·U⁻¹[k])/U[i,i].
	work := make([]float32, n)
	for i := n - 1; i >= 0; i-- {
		row := a[i*n+i : (i+1)*n]
		sum := work[:len(row)]
		clear(sum)
		for k := 1; k < len(row); k++ {
			Axpy(sum[k:], -row[k], a[(i+k)*n+i+k:][:len(row)-k])
		}
		inverse := 1 / row[0]
		row[0] = inverse
		for j := range row[1:] {
			row[1+j] = sum[1+j] * inverse
		}
	}
	// A⁻¹ = U⁻¹·U⁻ᵀ: element (i, j ≥ i) is the product of rows i and j of U⁻¹ from column j on, which nothing later needs.
	for i := range n {
		for j := i; j < n; j++ {
			a[i*n+j] = Dot(a[i*n+j:(i+1)*n], a[j*n+j:(j+1)*n])
		}
		for j := range i {
			a[i*n+j] = a[j*n+i]
		}
	}
	return true
}
