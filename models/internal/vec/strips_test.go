package vec

import (
	"math/rand/v2"
	"testing"
)

// The assembly of strips gives the bits of what stands in its place, moves no bit wrongly, and writes nothing outside.
func TestStrips(t *testing.T) {
	defer func(old int) { level = old }(level)
	r := rand.New(rand.NewPCG(31, 1))
	for _, offset := range []int{0, 1, 13} {
		const ld = 100
		for _, n := range []int{48, 96, 240} {
			a, b := guarded(r, n*sweepCols, offset), guarded(r, n*sweepCols, offset)
			before := random(r, 7*ld+sweepCols)
			var results [][]float32
			for l := max(portable, min(avx2, best())); l <= best(); l++ { // one class
				level = l
				c := guarded(r, len(before), offset)
				copy(c.x, before)
				takeStrips(c.x, ld, n, a.x[8:], b.x, b.x[len(b.x)-1:])
				c.check(t, "takeStrips")
				results = append(results, c.x)
			}
			if !sameBits(results[0], results[len(results)-1]) {
				t.Errorf("n=%d: takeStrips gives other bits with AVX-512", n)
			}
			for i := range before {
				if i%ld >= sweepCols && results[len(results)-1][i] != before[i] {
					t.Fatalf("n=%d: takeStrips wrote between rows, at %d,%d", n, i/ld, i%ld)
				}
			}
		}
		for l := range best() + 1 {
			level = l
			for rows := 1; rows <= 40; rows += 3 {
				for _, cols := range []int{1, 47, 48} {
					src, strip := guarded(r, (rows-1)*ld+cols, offset), guarded(r, rows*sweepCols, offset)
					lay(strip.x, src.x, ld, rows, cols)
					strip.check(t, "lay")
					for i, v := range strip.x {
						var want float32
						if i%sweepCols < cols {
							want = src.x[i/sweepCols*ld+i%sweepCols]
						}
						if v != want {
							t.Fatalf("%s: lay of %d×%d: %d,%d is %g, want %g", levels[l], rows, cols, i/sweepCols, i%sweepCols, v, want)
						}
					}
				}
			}
			for _, shape := range [][2]int{{16, 16}, {1, 16}, {15, 16}, {16, 3}} {
				rows, cols := shape[0], shape[1]
				src, dst := guarded(r, (cols-1)*ld+rows, offset), guarded(r, (rows-1)*sweepCols+cols, offset)
				turn(dst.x, sweepCols, src.x, ld, rows, cols, src.x[len(src.x)-1:], ld)
				dst.check(t, "turn")
				for i := range rows {
					for j := range cols {
						if dst.x[i*sweepCols+j] != src.x[j*ld+i] {
							t.Fatalf("%s: turn of %d×%d: %d,%d is wrong", levels[l], rows, cols, i, j)
						}
					}
				}
			}
			for _, n := range []int{1, 16, 17, 31, 32, 64, 65, 100, 131} {
				a := guarded(r, n*n, offset)
				before := append([]float32(nil), a.x...)
				mirror(a.x, n)
				a.check(t, "mirror")
				for i := range n {
					for j := range n {
						if a.x[i*n+j] != -before[min(i, j)*n+max(i, j)] {
							t.Fatalf("%s: mirror of %d: %d,%d is wrong", levels[l], n, i, j)
						}
					}
				}
			}
		}
	}
}
