package vec

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
)

// sizes covers every remainder of the 8×16 tiles, and the sizes that models use.
var sizes = []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 31, 32, 33, 48, 63, 64, 65, 96, 127, 128}

func random(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// near reports |got − want| ≤ eps·scale, where scale is the sum of the absolute terms: the bound of a sum in any order.
func near(got, want, scale, eps float64) bool {
	return math.Abs(got-want) <= eps*scale+1e-30
}

func TestDotAndAxpyAgainstFloat64(t *testing.T) { atLevels(t, dotAndAxpyAgainstFloat64) }

func dotAndAxpyAgainstFloat64(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, n := range sizes {
		for offset := range 4 { // every alignment of a slice's start
			a, b := random(r, n+offset)[offset:], random(r, n+offset)[offset:]
			var want, scale float64
			for i := range a {
				want += float64(a[i]) * float64(b[i])
				scale += math.Abs(float64(a[i]) * float64(b[i]))
			}
			if got := Dot(a, b); !near(float64(got), want, scale, float64(n+1)*0x1p-24) {
				t.Errorf("Dot n=%d offset=%d: got %g, want %g", n, offset, got, want)
			}
			if got := Dot64(a, b); !near(got, want, scale, float64(n+1)*0x1p-52) {
				t.Errorf("Dot64 n=%d offset=%d: got %g, want %g", n, offset, got, want)
			}
			dst := slices.Clone(b)
			Axpy(dst, 0.5, a)
			for i := range dst {
				if want := b[i] + a[i]/2; dst[i] != want {
					t.Fatalf("Axpy n=%d offset=%d: dst[%d] = %g, want %g", n, offset, i, dst[i], want)
				}
			}
		}
	}
}

// Every element of a product must have the bits of Dot of its row and column, whatever tile computed it.
func TestGemmElementsAreDots(t *testing.T) { atLevels(t, gemmElementsAreDots) }

func gemmElementsAreDots(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 1))
	for _, m := range []int{0, 1, 2, 3, 4, 5, 7, 12} {
		for _, n := range []int{0, 1, 2, 3, 4, 15, 16, 17, 63, 64, 65, 130} {
			for _, k := range []int{1, 2, 3, 16, 33} {
				lda, ldd := k+m%3, n+k%3
				a, b := random(r, m*lda), random(r, n*k)
				dst := make([]float32, m*ldd+1)
				for i := range dst {
					dst[i] = float32(math.NaN())
				}
				Pack(b, n, k).MulNT(dst, ldd, a, lda, m)
				for i := range m {
					for j := range ldd {
						got := dst[i*ldd+j]
						if j >= n {
							if got == got {
								t.Fatalf("m=%d n=%d k=%d: wrote past row %d", m, n, k, i)
							}
							continue
						}
						if want := Dot(a[i*lda:][:k], b[j*k:][:k]); got != want {
							t.Fatalf("m=%d n=%d k=%d: element %d,%d = %g, want %g", m, n, k, i, j, got, want)
						}
					}
				}
			}
		}
	}
}

func TestSyrkAgainstFloat64(t *testing.T) { atLevels(t, syrkAgainstFloat64) }

func syrkAgainstFloat64(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	for _, d := range sizes[1:] {
		counts := []int{0, 1, 2, 5, 33}
		if d < 8 || d == 64 {
			counts = append(counts, PanelWidth-1, PanelWidth, PanelWidth+1, 2*PanelWidth+7)
		}
		for _, n := range counts {
			x, c := random(r, n*d), random(r, d*d)
			w := make([]float32, n)
			for i := range w {
				w[i] = r.Float32() * 3
			}
			want, scale := make([]float64, d*d), make([]float64, d*d)
			for i := range want {
				want[i], scale[i] = float64(c[i]), math.Abs(float64(c[i]))
			}
			for k := range n {
				for i := range d {
					for j := range d {
						v := float64(w[k]) * float64(x[k*d+i]) * float64(x[k*d+j])
						want[i*d+j] += v
						scale[i*d+j] += math.Abs(v)
					}
				}
			}
			p := NewPanel(d)
			for k := range n {
				if p.Full() {
					p.Flush(c)
				}
				p.Add(x[k*d:][:d], w[k])
			}
			p.Flush(c)
			for i := range d {
				for j := i; j < d; j++ {
					if !near(float64(c[i*d+j]), want[i*d+j], scale[i*d+j], float64(n+6)*0x1p-23) {
						t.Fatalf("d=%d n=%d: C[%d,%d] = %g, want %g", d, n, i, j, c[i*d+j], want[i*d+j])
					}
				}
			}
		}
	}
}

// spd returns a well-conditioned symmetric positive definite matrix in float64, rounded to float32 first.
func spd(r *rand.Rand, n int) []float64 {
	x := random(r, n*(n+3))
	a := make([]float64, n*n)
	for i := range n {
		for j := range i + 1 {
			var s float64
			for k := range n + 3 {
				s += float64(x[i*(n+3)+k]) * float64(x[j*(n+3)+k])
			}
			if i == j {
				s += float64(n)
			}
			s = float64(float32(s))
			a[i*n+j], a[j*n+i] = s, s
		}
	}
	return a
}

func TestCholeskySolvesInBothPrecisions(t *testing.T) { atLevels(t, choleskySolvesInBothPrecisions) }

func choleskySolvesInBothPrecisions(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 1))
	for _, n := range sizes[1:] {
		a := spd(r, n)
		want := make([]float64, n)
		for i := range want {
			want[i] = r.NormFloat64()
		}
		b64, b32, a32 := make([]float64, n), make([]float32, n), make([]float32, n*n)
		for i := range n {
			for j := range n {
				b64[i] += a[i*n+j] * want[j]
				a32[i*n+j] = float32(a[i*n+j])
				if j < i { // must never be read
					a32[i*n+j] = float32(math.NaN())
				}
			}
			b32[i] = float32(b64[i])
		}
		l := slices.Clone(a)
		if !Cholesky64(l, n) {
			t.Fatalf("n=%d: float64 factorization refused", n)
		}
		for i := range n {
			for j := range i + 1 {
				var s float64
				for k := range j + 1 {
					s += l[i*n+k] * l[j*n+k]
				}
				if math.Abs(s-a[i*n+j]) > 1e-12*a[i*n+i]+1e-12*a[j*n+j] {
					t.Fatalf("n=%d: (LLᵀ)[%d,%d] = %g, want %g", n, i, j, s, a[i*n+j])
				}
			}
		}
		CholeskySolve64(l, n, b64, 1)
		if !Cholesky(a32, n) {
			t.Fatalf("n=%d: float32 factorization refused", n)
		}
		CholeskySolve(a32, n, b32)
		for i := range want {
			if math.Abs(b64[i]-want[i]) > 1e-10 {
				t.Errorf("n=%d float64: x[%d] = %g, want %g", n, i, b64[i], want[i])
			}
			if math.Abs(float64(b32[i])-want[i]) > 2e-4 {
				t.Errorf("n=%d float32: x[%d] = %g, want %g", n, i, b32[i], want[i])
			}
		}
	}
}

// By hand: A = [4 2; 2 5] = Uᵀ·U with U = [2 1; 0 2]; A·x = [8 12] has x = [1 2].
func TestCholeskyByHand(t *testing.T) { atLevels(t, choleskyByHand) }

func choleskyByHand(t *testing.T) {
	a := []float32{4, 2, 99, 5}
	b := []float32{8, 12}
	if !Cholesky(a, 2) || a[0] != 2 || a[1] != 1 || a[3] != 2 {
		t.Fatalf("U = %v", a)
	}
	CholeskySolve(a, 2, b)
	if b[0] != 1 || b[1] != 2 {
		t.Fatalf("x = %v", b)
	}
}

func TestCholeskyRefusesWhatIsNotPositiveDefinite(t *testing.T) {
	atLevels(t, choleskyRefusesWhatIsNotPositiveDefinite)
}

func choleskyRefusesWhatIsNotPositiveDefinite(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, n := range []int{1, 3, 4, 5, 8, 11, 64} {
		for _, bad := range []float64{0, -1, nan, inf} {
			for _, at := range []int{0, n / 2, n - 1} {
				a, a64 := make([]float32, n*n), make([]float64, n*n)
				for i := range n {
					a[i*n+i], a64[i*n+i] = 1, 1
				}
				a[at*n+at], a64[at*n+at] = float32(bad), bad
				if Cholesky(a, n) {
					t.Errorf("n=%d: float32 took %g at %d", n, bad, at)
				}
				if Cholesky64(a64, n) {
					t.Errorf("n=%d: float64 took %g at %d", n, bad, at)
				}
			}
		}
	}
}

func TestGramDoesNotDependOnWorkers(t *testing.T) { atLevels(t, gramDoesNotDependOnWorkers) }

func gramDoesNotDependOnWorkers(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 1))
	const d = 21
	for _, n := range []int{0, 1, 15, 16, 17, 1000} {
		x := random(r, n*d)
		want := make([]float64, d*d)
		for k := range n {
			for i := range d {
				for j := range d {
					want[i*d+j] += float64(x[k*d+i]) * float64(x[k*d+j])
				}
			}
		}
		var first []float64
		for _, procs := range []int{1, 2, 3, 8} {
			old := runtime.GOMAXPROCS(procs)
			got := make([]float64, d*d)
			Gram(got, x, n, d)
			runtime.GOMAXPROCS(old)
			if first == nil {
				first = got
			}
			if !slices.Equal(got, first) {
				t.Errorf("n=%d: another Gram at GOMAXPROCS %d", n, procs)
			}
		}
		for i := range want {
			if math.Abs(first[i]-want[i]) > 1e-5*float64(n+1) {
				t.Fatalf("n=%d: G[%d] = %g, want %g", n, i, first[i], want[i])
			}
		}
	}
}

func TestChunksVisitsEachOnceAndScratchIsExclusive(t *testing.T) {
	for _, procs := range []int{1, 2, 3, 8} {
		old := runtime.GOMAXPROCS(procs)
		for _, n := range []int{0, 1, 2, 7, 100} {
			seen := make([]int, n)
			var mu sync.Mutex
			var all []*int
			Chunks(n, func() *int {
				mu.Lock()
				defer mu.Unlock()
				all = append(all, new(int))
				return all[len(all)-1]
			}, func(mine *int, chunk int) {
				seen[chunk]++
				*mine++ // unsynchronized: the race detector proves that scratch is exclusive
			})
			total := 0
			for _, k := range all {
				total += *k
			}
			if total != n || len(all) > procs || slices.ContainsFunc(seen, func(k int) bool { return k != 1 }) {
				t.Errorf("procs=%d n=%d: visits %v by %d workers", procs, n, seen, len(all))
			}
		}
		runtime.GOMAXPROCS(old)
	}
}

func TestSpanPartitions(t *testing.T) {
	for _, n := range []int{0, 1, 15, 16, 17, 100} {
		at := 0
		for c := range 16 {
			lo, hi := Span(n, 16, c)
			if lo != at || hi < lo || hi-lo > n/16+1 {
				t.Fatalf("n=%d chunk %d: [%d, %d) after %d", n, c, lo, hi, at)
			}
			at = hi
		}
		if at != n {
			t.Fatalf("n=%d: covered %d", n, at)
		}
	}
}

func gflops(b *testing.B, flop float64) {
	b.ReportMetric(flop*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}

func BenchmarkSyrk(b *testing.B) {
	for _, d := range []int{32, 64, 128} {
		b.Run(fmt.Sprintf("d=%d/rows=%d", d, PanelWidth), func(b *testing.B) {
			b.ReportAllocs()
			x, c, p := random(rand.New(rand.NewPCG(1, 1)), PanelWidth*d), make([]float32, d*d), NewPanel(d)
			for b.Loop() {
				for k := range PanelWidth {
					p.Add(x[k*d:][:d], 1)
				}
				p.Flush(c)
			}
			gflops(b, PanelWidth*float64(d)*float64(d+1))
		})
	}
}

func BenchmarkCholeskyAndSolve(b *testing.B) {
	for _, d := range []int{32, 64, 128} {
		b.Run(fmt.Sprintf("d=%d", d), func(b *testing.B) {
			b.ReportAllocs()
			a := make([]float32, d*d)
			for i, v := range spd(rand.New(rand.NewPCG(1, 1)), d) {
				a[i] = float32(v)
			}
			l, x := make([]float32, d*d), make([]float32, d)
			for b.Loop() {
				copy(l, a)
				Cholesky(l, d)
				CholeskySolve(l, d, x)
			}
			gflops(b, float64(d)*float64(d)*float64(d)/3)
		})
	}
}

func BenchmarkMulNT(b *testing.B) {
	for _, m := range []int{1, 16} {
		b.Run(fmt.Sprintf("m=%d/n=4096/k=64", m), func(b *testing.B) {
			b.ReportAllocs()
			r := rand.New(rand.NewPCG(1, 1))
			x, y, dst := random(r, m*64), Pack(random(r, 4096*64), 4096, 64), make([]float32, m*4096)
			for b.Loop() {
				y.MulNT(dst, 4096, x, 64, m)
			}
			gflops(b, 2*float64(m)*4096*64)
		})
	}
}

// TestPackColumnsAndMulTT compares the products of transposed layouts with those of plain ones, bit by bit.
func TestPackColumnsAndMulTT(t *testing.T) { atLevels(t, packColumnsAndMulTT) }

func packColumnsAndMulTT(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for _, shape := range [][3]int{{1, 1, 1}, {3, 17, 5}, {4, 16, 9}, {9, 33, 20}} {
		m, n, k := shape[0], shape[1], shape[2]
		a, b := make([]float32, m*k), make([]float32, n*k)
		for i := range a {
			a[i] = float32(rng.NormFloat64())
		}
		for i := range b {
			b[i] = float32(rng.NormFloat64())
		}
		lda, ldb := m+2, n+3
		at, bt := make([]float32, k*lda), make([]float32, k*ldb)
		for l := range k {
			for i := range m {
				at[l*lda+i] = a[i*k+l]
			}
			for j := range n {
				bt[l*ldb+j] = b[j*k+l]
			}
		}
		want, got := make([]float32, m*n), make([]float32, m*n)
		Pack(b, n, k).MulNT(want, n, a, k, m)
		PackColumns(bt, ldb, n, k).MulNT(got, n, a, k, m)
		if !slices.Equal(got, want) {
			t.Errorf("%v: PackColumns: %v, want %v", shape, got, want)
		}
		clear(got)
		Pack(b, n, k).MulTT(got, n, at, lda, m)
		if !slices.Equal(got, want) {
			t.Errorf("%v: MulTT: %v, want %v", shape, got, want)
		}
	}
}
