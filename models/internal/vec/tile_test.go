package vec

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// Tiles of all widths, joins and odd strides agree with float64, write nothing outside, and are alike with AVX2 and AVX-512.
func TestTilesAgainstFloat64(t *testing.T) {
	defer func(old int) { level = old }(level)
	r := rand.New(rand.NewPCG(8, 1))
	for _, n := range []int{0, 1, 2, 3, 7, 16, 64, 99, 300} {
		for _, stride := range [][4]int{ // ai, ak, bs, bk
			{1, 8, 16, 48},
			{1, 33, 16, 51},
			{n + 2, 1, 16*n + 16, 16},
			{0, 1, 16, 48},
			{5, 40, 17, 70},
		} {
			for strips := 1; strips <= 3; strips++ {
				for _, how := range []int{set, add, subtract} {
					offset := r.IntN(16)
					ai, ak, bs, bk, ldc := stride[0], stride[1], stride[2], stride[3], 16*strips+r.IntN(20)
					a, b := guarded(r, max(n-1, 0)*ak+7*ai+1, offset), guarded(r, (strips-1)*bs+max(n-1, 0)*bk+16, 15-offset)
					before := random(r, 7*ldc+16*strips)
					results := map[int][]float32{}
					for l := range best() + 1 {
						level = l
						what := fmt.Sprintf("%s: n=%d strides %v, %d strips, join %d", levels[l], n, stride, strips, how)
						c := guarded(r, len(before), offset)
						copy(c.x, before)
						mulTile(how, c.x, ldc, strips, n, a.x, ai, ak, b.x, bs, bk)
						c.check(t, what)
						results[l] = c.x
						for i := range 8 {
							for j := range ldc {
								at := i*ldc + j
								if at >= len(c.x) {
									break
								}
								if j >= 16*strips {
									if c.x[at] != before[at] {
										t.Fatalf("%s: wrote between rows at %d,%d", what, i, j)
									}
									continue
								}
								var want, scale float64
								for k := range n {
									v := float64(a.x[i*ai+k*ak]) * float64(b.x[j/16*bs+k*bk+j%16])
									want += v
									scale += math.Abs(v)
								}
								was := float64(before[at])
								switch how {
								case add:
									want += was
								case subtract:
									want = was - want
								}
								if !near(float64(c.x[at]), want, scale+math.Abs(was), float64(n+3)*0x1p-24) {
									t.Fatalf("%s: element %d,%d is %g, want %g", what, i, j, c.x[at], want)
								}
							}
						}
					}
					if best() == avx512 && !slices.Equal(results[avx2], results[avx512]) {
						t.Fatalf("AVX2 and AVX-512 differ: n=%d strides %v, %d strips, join %d", n, stride, strips, how)
					}
				}
			}
		}
	}
}

// What is not finite or is very small stays so: kernels neither hide a NaN nor flush denormals.
func TestTilesOfOddNumbers(t *testing.T) { atLevels(t, tilesOfOddNumbers) }

func tilesOfOddNumbers(t *testing.T) {
	nan, inf, tiny := float32(math.NaN()), float32(math.Inf(1)), float32(math.SmallestNonzeroFloat32)
	for _, c := range []struct{ a, b, want float32 }{
		{nan, 1, nan},
		{0, nan, nan},
		{inf, 0, nan},
		{inf, 2, inf},
		{inf, -1, -inf},
		{tiny, 1, tiny},
		{tiny, 3, 3 * tiny},
		{0x1p-80, 0x1p-69, tiny},
		{math.MaxFloat32, 2, inf},
	} {
		a, b := make([]float32, 8), make([]float32, 48)
		for i := range a {
			a[i] = c.a
		}
		for j := range b {
			b[j] = c.b
		}
		for strips := 1; strips <= 3; strips++ {
			got := make([]float32, 8*16*strips)
			mulTile(set, got, 16*strips, strips, 1, a, 1, 8, b, 16, 48)
			for _, v := range got {
				if v != c.want && (v == v || c.want == c.want) {
					t.Fatalf("%g · %g = %g in %d strips, want %g", c.a, c.b, v, strips, c.want)
				}
			}
		}
	}
}

// Rows solved by a factor, for each number of strips, against float64.
func TestSolveRows(t *testing.T) {
	defer func(old int) { level = old }(level)
	r := rand.New(rand.NewPCG(12, 1))
	for strips := 0; strips <= 8; strips++ {
		var f factors
		for i := range 8 {
			f.inverse[i] = .5 + r.Float32()
			for k := i + 1; k < 8; k++ {
				f.u[8*i+k] = r.Float32() - .5
			}
		}
		ldc := 16*strips + 5
		before := random(r, 7*ldc+16*strips)
		want := make([]float64, len(before))
		for i, v := range before {
			want[i] = float64(v)
		}
		for j := range 16 * strips {
			for i := range 8 {
				want[i*ldc+j] *= float64(f.inverse[i])
				for k := i + 1; k < 8; k++ {
					want[k*ldc+j] -= float64(f.u[8*i+k]) * want[i*ldc+j]
				}
			}
		}
		results := map[int][]float32{}
		for l := range best() + 1 {
			level = l
			c := guarded(r, len(before), strips)
			copy(c.x, before)
			solveRows(c.x, ldc, strips, &f)
			c.check(t, levels[l])
			for i, v := range c.x {
				if !near(float64(v), want[i], 20, 0x1p-20) {
					t.Fatalf("%s, %d strips: element %d is %g, want %g", levels[l], strips, i, v, want[i])
				}
			}
			results[l] = c.x
		}
		if best() == avx512 && !slices.Equal(results[avx2], results[avx512]) {
			t.Fatalf("%d strips: AVX2 and AVX-512 differ", strips)
		}
	}
}

// Whole kernels give the same bits with AVX2 and AVX-512, whatever the size: they are one class.
func TestClassHasOneAnswer(t *testing.T) {
	defer func(old int) { level = old }(level)
	run := func(d int) []float32 {
		r := rand.New(rand.NewPCG(9, uint64(d)))
		rows := PanelWidth + 30
		p := NewPanel(d)
		c := make([]float32, d*d)
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
		x := random(r, d)
		if !Cholesky(c, d) {
			t.Fatal("refused")
		}
		CholeskySolve(c, d, x)
		s := make([]float32, 11*50)
		Pack(random(r, 50*d), 50, d).MulNT(s, 50, random(r, 11*d), d, 11)
		x = append(x, s...)
		Axpy(c[:d], .3, random(r, d))
		x = append(x, Dot(random(r, d), random(r, d)))
		for i := range d {
			x = append(x, c[i*d+i:(i+1)*d]...)
		}
		return x
	}
	for _, d := range sizes[1:] {
		var first []float32
		for l := avx2; l <= best(); l++ {
			level = l
			if got := run(d); first == nil {
				first = got
			} else if !sameBits(got, first) {
				t.Errorf("d=%d: %s gives other bits", d, levels[l])
			}
		}
	}
}
