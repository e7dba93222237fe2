package vec

// A tile is the 4×16 product that everything fast here is made of, row-major:
//
//	c[i][j] = Σ_k a[i·ai + k·ak] · b[k·bk + j],  k = 0 … n−1
//
// Each element is summed in ascending k from 0, with one rounding after each product and one after each addition, so the kernels of
// all processors give the same bits.
type tile [tileRows * tileCols]float32

const (
	tileRows = 4
	tileCols = 16
)

// row returns row i from column j on.
func (c *tile) row(i, j int) []float32 { return c[i*tileCols+j : (i+1)*tileCols] }

// mulTilePortable computes 2×2 elements at a time: what the compiler keeps in registers everywhere. The conversions forbid fused
// multiply-add, which it would otherwise use on some architectures.
func mulTilePortable(c *tile, n int, a []float32, ai, ak int, b []float32, bk int) {
	for i := 0; i < tileRows; i += 2 {
		for j := 0; j < tileCols; j += 2 {
			var c00, c01, c10, c11 float32
			for k := range n {
				u, v := a[i*ai+k*ak], a[(i+1)*ai+k*ak]
				p := b[k*bk+j:][:2]
				c00 += float32(u * p[0])
				c01 += float32(u * p[1])
				c10 += float32(v * p[0])
				c11 += float32(v * p[1])
			}
			c[i*tileCols+j], c[i*tileCols+j+1] = c00, c01
			c[(i+1)*tileCols+j], c[(i+1)*tileCols+j+1] = c10, c11
		}
	}
}
