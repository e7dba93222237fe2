package vec

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// The assembly must give the bits of the portable kernel: KernelClass does not tell them apart.
func TestAssemblyGivesThePortableBits(t *testing.T) {
	if !useAVX {
		t.Log("this processor has no AVX: only the portable kernel runs here")
		return
	}
	r := rand.New(rand.NewPCG(8, 1))
	for _, n := range []int{0, 1, 2, 3, 7, 64, 300} {
		for _, stride := range [][3]int{{1, 16, 16}, {1, 33, 21}, {n + 2, 1, 16}, {0, 1, 40}, {5, 24, 17}} {
			ai, ak, bk := stride[0], stride[1], stride[2]
			a, b := random(r, max(n-1, 0)*ak+3*ai+1), random(r, max(n-1, 0)*bk+tileCols)
			var got, want tile
			copy(got[:], random(r, len(got)))
			copy(want[:], random(r, len(want)))
			mulTile(&got, n, a, ai, ak, b, bk)
			mulTilePortable(&want, n, a, ai, ak, b, bk)
			if got != want {
				t.Errorf("n=%d, strides %v: %v, portable %v", n, stride, got, want)
			}
		}
	}
}

// The whole kernels, too, run alike on a processor without AVX.
func TestPortableKernels(t *testing.T) {
	run := func() (c, x, s []float32) {
		r := rand.New(rand.NewPCG(9, 1))
		const d, rows = 37, 300
		p := NewPanel(d)
		c = make([]float32, d*d)
		for i := range d {
			c[i*d+i] = 1
		}
		for range rows {
			if p.Full() {
				p.Flush(c)
			}
			p.Add(random(r, d), r.Float32())
		}
		p.Flush(c)
		x = random(r, d)
		if !Cholesky(c, d) {
			t.Fatal("refused")
		}
		CholeskySolve(c, d, x)
		s = make([]float32, 5*50)
		Pack(random(r, 50*d), 50, d).MulNT(s, 50, random(r, 5*d), d, 5)
		return c, x, s
	}
	c, x, s := run()
	defer func(old bool) { useAVX = old }(useAVX)
	useAVX = false
	pc, px, ps := run()
	if !slices.Equal(c, pc) || !slices.Equal(x, px) || !slices.Equal(s, ps) {
		t.Error("the portable kernels give other bits")
	}
}
