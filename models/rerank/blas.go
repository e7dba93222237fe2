package rerank

import (
	"sync"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
	"gorgonia.org/gorgonia"

	"github.com/rapport-ml/rapport/models/internal/vec"
)

// kernels is the BLAS that gorgonia multiplies matrices with: ours for float32, in one goroutine and in one order of summation whatever
// the machine; gonum's for the rest, which training does not use.
type kernels struct{ gonum.Implementation }

// useKernels makes gorgonia use kernels. It is a setting of the process.
var useKernels = sync.OnceFunc(func() { gorgonia.Use(kernels{}) })

// Sgemm sets C (m×n) to alpha·op(A)·op(B) + beta·C.
func (kernels) Sgemm(tA, tB blas.Transpose, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	if m == 0 || n == 0 {
		return
	}
	var packed *vec.Packed
	switch {
	case tB == blas.NoTrans: // B is stored k×n
		packed = vec.PackColumns(b, ldb, n, k)
	case ldb == k:
		packed = vec.Pack(b, n, k)
	default:
		rows := make([]float32, 0, n*k)
		for j := range n {
			rows = append(rows, b[j*ldb:][:k]...)
		}
		packed = vec.Pack(rows, n, k)
	}
	multiply := packed.MulNT
	if tA != blas.NoTrans { // A is stored k×m
		multiply = packed.MulTT
	}
	if alpha == 1 && beta == 0 {
		multiply(c, ldc, a, lda, m)
		return
	}
	product := make([]float32, m*n)
	multiply(product, n, a, lda, m)
	for i := range m {
		row := c[i*ldc:][:n]
		for j, v := range product[i*n:][:n] {
			old := float32(0)
			if beta != 0 {
				old = float32(beta * row[j])
			}
			row[j] = float32(alpha*v) + old
		}
	}
}
