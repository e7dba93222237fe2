package vec

import "golang.org/x/sys/cpu"

// useAVX is a variable so that tests can compare both kernels.
var useAVX = cpu.X86.HasAVX

//go:noescape
func tileAVX(c *float32, n int, a *float32, ai, ak int, b *float32, bk int)

// mulTile sets c to the product of tile, in assembly where the processor has AVX (every x86-64 since 2013).
func mulTile(c *tile, n int, a []float32, ai, ak int, b []float32, bk int) {
	if !useAVX {
		mulTilePortable(c, n, a, ai, ak, b, bk)
		return
	}
	if n > 0 { // the last elements that are read: the assembly does not check
		_, _ = a[(n-1)*ak+3*ai], b[(n-1)*bk+tileCols-1]
		tileAVX(&c[0], n, &a[0], ai, ak, &b[0], bk)
	} else {
		*c = tile{}
	}
}
