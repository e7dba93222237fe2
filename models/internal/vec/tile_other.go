//go:build !amd64

package vec

func mulTile(c *tile, n int, a []float32, ai, ak int, b []float32, bk int) {
	mulTilePortable(c, n, a, ai, ak, b, bk)
}
